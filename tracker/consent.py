"""What an event does to what a person may be sent."""

from typing import Any

import orjson

from tracker.events import Channel, Event, EventType
from tracker.identity import email_address
from tracker.person import Consent, Person, Suppression, SuppressionScope
from tracker.times import Instant

SCOPES: dict[EventType, SuppressionScope] = {
    EventType.UNSUBSCRIBE: "nurture",
    EventType.COMPLAINT: "nurture",
    EventType.EMAIL_BOUNCE: "all",
}
"""Which events stop what. On WhatsApp an unsubscribe is more: it takes the consent back, and nothing is sent at all."""

WROTE_FIRST = "wrote first"
UNSUBSCRIBED = "unsubscribe"
"""Bases of a consent."""


def after(person: Person, event: Event) -> Person:
    """Return the person after `event`; the very same object when it changes nothing."""
    match event.event_type:
        case EventType.WHATSAPP_REPLY:
            return _wrote(person, event)
        case EventType.WHATSAPP_SENT:
            return _written_to(person, event)
        case EventType.UNSUBSCRIBE if event.channel is Channel.WHATSAPP:
            return denied(person, event.source, event.timestamp, received_at=event.received_at)
    scope = SCOPES.get(event.event_type)
    if scope is None:
        return person
    channel = event.channel if event.channel is not Channel.PRODUCT else Channel.EMAIL
    address = _returned(person, event, channel) if event.event_type is EventType.EMAIL_BOUNCE else None
    stop = Suppression(channel=channel, reason=event.event_type, at=event.timestamp, scope=scope, address=address)
    return person.suppress(stop)


def _returned(person: Person, event: Event, channel: Channel) -> str | None:
    """Return the address that is bad: the one that the event names, else the person's, which is all that is known."""
    named = orjson.loads(event.metadata).get("recipient")
    try:
        return email_address(named)
    except (ValueError, TypeError):
        return person.address_on(channel) or None


def _wrote(person: Person, event: Event) -> Person:
    """Who writes may be answered, for a day at least, unless they took that back before."""
    at = min(event.timestamp, event.received_at)
    values: dict[str, Any] = {"whatsapp_seen_at": max(at, person.whatsapp_seen_at or at)}
    if person.whatsapp_lead is None:
        values["whatsapp_lead"] = event.lead_id
    if person.whatsapp_consent.status == "unknown":
        values["whatsapp_consent"] = Consent(status="granted", basis=WROTE_FIRST, source=event.source, at=at)
    return person.updated(values, at=event.received_at)


def _written_to(person: Person, event: Event) -> Person:
    """An answer to the person says nothing new of what they are written to about."""
    if orjson.loads(event.metadata).get("category") == "reply":
        return person
    return person.updated({"whatsapp_lead": event.lead_id}, at=event.received_at)


def denied(person: Person, source: str, at: Instant, *, received_at: Instant) -> Person:
    """Return the person who wants nothing on WhatsApp any more."""
    if person.whatsapp_consent.status == "denied":
        return person.refuse_again("whatsapp_consent")
    consent = Consent(status="denied", basis=UNSUBSCRIBED, source=source, at=at)
    return person.updated({"whatsapp_consent": consent}, at=received_at)
