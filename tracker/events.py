"""Engagement events: what the ledger holds."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from tracker.model import Document
from tracker.stages import Stage
from tracker.times import Instant


class EventType(StrEnum):
    LOGIN = "login"
    EMAIL_SENT = "email_sent"
    EMAIL_DELIVERED = "email_delivered"
    EMAIL_OPEN = "email_open"
    EMAIL_CLICK = "email_click"
    EMAIL_BOUNCE = "email_bounce"
    UNSUBSCRIBE = "unsubscribe"
    WHATSAPP_SENT = "whatsapp_sent"
    WHATSAPP_DELIVERED = "whatsapp_delivered"
    WHATSAPP_READ = "whatsapp_read"
    WHATSAPP_REPLY = "whatsapp_reply"
    EMAIL_REPLY = "email_reply"
    COMPLAINT = "complaint"
    CHATBOT_INTERACTION = "chatbot_interaction"
    QUALIFICATION_ANSWER = "qualification_answer"
    CONVERSION = "conversion"


class Channel(StrEnum):
    EMAIL = "email"
    WHATSAPP = "whatsapp"
    CHATBOT = "chatbot"
    PRODUCT = "product"


NO_METADATA: Mapping[str, Any] = MappingProxyType({})

OURS = frozenset({"leadline", "bot"})
"""Sources of the events that this server records itself."""

USUAL_SOURCES = ("leadline", "bot", "api", "crm")
"""Where nearly every event comes from: this server, and whoever does not say otherwise."""

REPLIES = frozenset({EventType.WHATSAPP_REPLY, EventType.EMAIL_REPLY, EventType.CHATBOT_INTERACTION})
"""A person who answers is engaged, whatever the score."""


class Happening(Struct, frozen=True):
    """Something that a person did, as its source tells it, before it is counted on a lead.

    Attributes: timestamp: when it happened. machine: done by a scanner or proxy.
    """

    source: str
    event_id: str
    event_type: EventType
    channel: Channel
    timestamp: Instant
    metadata: Mapping[str, Any] = NO_METADATA
    machine: bool = False

    @property
    def key(self) -> str:
        return event_key(self.source, self.event_id)


class Event(Document, frozen=True, kw_only=True):
    """One entry of the ledger. Its document id is `source:event_id`, so that it can exist only once.

    Attributes: timestamp: when it happened. score_impact: thousandths of a point. score_after, stage_after: of the
    lead, when the event was counted. metadata: JSON text. rule: the scoring rule that gave the points. machine: done
    by a scanner or proxy, kept and worth nothing.
    """

    lead_id: str
    product_id: str
    source: str
    event_id: str
    event_type: EventType
    channel: Channel
    timestamp: Instant
    received_at: Instant
    metadata: str = "{}"
    score_impact: int = 0
    score_after: int = 0
    stage_after: Stage = Stage.USER
    rule: str = ""
    machine: bool = False

    @property
    def key(self) -> str:
        return event_key(self.source, self.event_id)


def event_key(source: str, event_id: str) -> str:
    return f"{source}:{event_id}"
