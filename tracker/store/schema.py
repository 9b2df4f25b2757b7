"""Every kind of document and every index, in one table. Adapters create exactly these."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LAYOUT = 1
"""Version of the database layout. A database that carries a higher one was written by a newer Leadline."""


class Kind(StrEnum):
    """A collection of documents; also the name of its table or collection."""

    PRODUCTS = "products"  # id: product id. Which version is live
    PRODUCT_CONFIGS = "product_configs"  # id: product:version. Immutable
    PERSONS = "persons"
    MERGES = "merges"  # who absorbed whom, and what there was before
    PERSON_KEYS = "person_keys"  # id: an identity key, such as email:dana@example.com
    CONSENTS = "consents"  # id: person:version:channel. Every change of what a person allows
    CORRECTIONS = "corrections"  # id: lead:version. What a call changed of a lead and its person
    LEADS = "leads"
    LEAD_WORDS = "lead_words"  # id: word:lead. What a search finds
    LEAD_EVENTS = "lead_events"  # id: source:event id. The ledger
    LEAD_AUDIT = "lead_audit"
    ENROLMENTS = "enrolments"  # id: lead. Where the lead stands in its sequence
    MESSAGES = "messages"
    TEMPLATES = "templates"  # id: scope:template id. Newest version and its contents
    TEMPLATE_CONTENTS = "template_contents"  # id: scope:template:channel:locale:version. Immutable
    CONVERSATIONS = "conversations"  # id: channel:sender. Slots and form
    TURNS = "turns"
    HANDOFFS = "handoffs"  # id: hash of lead and cause. One that is not resolved per lead
    INBOX = "inbox"  # id: the provider's id of a message that came in
    SUBSCRIPTIONS = "subscriptions"  # id: hash of the address. Who is told of events
    OUTBOUND = "outbound"  # id: event:subscription. An event on its way to one receiver
    OUTBOUND_LANES = "outbound_lanes"  # id: subscription:lead. While something waits for one receiver about one lead
    THRESHOLDS = "thresholds"  # id: the announcement's. A threshold that waits for n8n's answer
    REVIEW = "review"
    COUNTERS = "counters"  # id: day:product:metric, with a lane behind it on MongoDB
    ERASURES = "erasures"  # receipts, and what is still to be removed
    OPT_OUTS = "opt_outs"  # id: keyed hash of an address that refused while it was nobody's, or before an erasure
    AUDIT = "audit"  # who changed what of the server itself
    API_KEYS = "api_keys"
    USERS = "users"  # id: name, case folded. Who uses the desk
    SESSIONS = "desk_sessions"  # id: hash of the token
    IDEMPOTENCY = "idempotency"
    WALKS = "walks"  # id: what goes. How far something that looks at everything, bit by bit, has come


@dataclass(frozen=True, slots=True)
class Index:
    """Documents ordered by `prefix` (compared for equality), then `range`, then id.

    Attributes: range: a field, or `id`. where: a field and the value it must have for a document to be in the index.
    """

    name: str
    kind: Kind
    prefix: tuple[str, ...]
    range: str
    where: tuple[str, str | int | bool] | None = None

    @property
    def is_primary(self) -> bool:
        """Whether it is the one by id that every kind has anyway."""
        return self.range == "id" and not self.prefix


LEADS_ALL = Index("leads_all", Kind.LEADS, (), "id")
LEADS_BY_PRODUCT = Index("leads_by_product", Kind.LEADS, ("product_id",), "id")
LEADS_BY_STAGE = Index("leads_by_stage", Kind.LEADS, ("product_id", "stage"), "id")
LEADS_BY_WORD = Index("leads_by_word", Kind.LEAD_WORDS, (), "word")
LEADS_BY_ORGANIZATION = Index("leads_by_organization", Kind.LEADS, ("organization_id",), "id")
EVENTS_ALL = Index("events_all", Kind.LEAD_EVENTS, (), "id")
EVENTS_BY_LEAD = Index("events_by_lead", Kind.LEAD_EVENTS, ("lead_id",), "timestamp")
AUDIT_BY_LEAD = Index("audit_by_lead", Kind.LEAD_AUDIT, ("lead_id",), "at")
MESSAGES_BY_LEAD = Index("messages_by_lead", Kind.MESSAGES, ("lead_id",), "created_at")
MESSAGES_DUE = Index("messages_due", Kind.MESSAGES, ("channel", "priority"), "due_at", ("waiting", True))
MESSAGES_BY_THREAD = Index("messages_by_thread", Kind.MESSAGES, ("provider_id",), "updated_at", ("channel", "chatbot"))
MESSAGES_SENDING = Index("messages_sending", Kind.MESSAGES, (), "lease_until", ("status", "sending"))
TEMPLATES_ALL = Index("templates_all", Kind.TEMPLATES, (), "id")
PRODUCTS_ALL = Index("products_all", Kind.PRODUCTS, (), "id")
PRODUCT_VERSIONS = Index("product_versions", Kind.PRODUCT_CONFIGS, ("product_id",), "number")
TURNS_BY_CONVERSATION = Index("turns_by_conversation", Kind.TURNS, ("conversation_id",), "at")
TURNS_BY_LEAD = Index("turns_by_lead", Kind.TURNS, ("lead_id",), "at")
HANDOFFS_ALL = Index("handoffs_all", Kind.HANDOFFS, (), "created_at")
HANDOFFS_BY_STATUS = Index("handoffs_by_status", Kind.HANDOFFS, ("status",), "created_at")
HANDOFFS_BY_LEAD = Index("handoffs_by_lead", Kind.HANDOFFS, ("lead_id",), "created_at")
INBOX_SETTLED = Index("inbox_settled", Kind.INBOX, (), "received_at", ("waiting", False))
INBOX_WAITING = Index("inbox_waiting", Kind.INBOX, (), "received_at", ("waiting", True))
SUBSCRIPTIONS_ALL = Index("subscriptions_all", Kind.SUBSCRIPTIONS, (), "id")
OUTBOUND_DUE = Index("outbound_due", Kind.OUTBOUND, ("subscription_id",), "due_at", ("status", "due"))
OUTBOUND_QUEUED = Index("outbound_queued", Kind.OUTBOUND, ("lane",), "number", ("status", "queued"))
OUTBOUND_DELIVERED = Index("outbound_delivered", Kind.OUTBOUND, (), "settled_at", ("status", "delivered"))
THRESHOLDS_DUE = Index("thresholds_due", Kind.THRESHOLDS, (), "due_at")
THRESHOLDS_BY_LEAD = Index("thresholds_by_lead", Kind.THRESHOLDS, ("lead_id",), "due_at")
REVIEW_BY_STATUS = Index("review_by_status", Kind.REVIEW, ("status",), "created_at")
REVIEW_BY_KIND = Index("review_by_kind", Kind.REVIEW, ("status", "kind"), "created_at")
REVIEW_ALL = Index("review_all", Kind.REVIEW, (), "created_at")
COUNTERS_BY_PRODUCT = Index("counters_by_product", Kind.COUNTERS, ("product_id",), "day")
CONVERSATIONS_BY_LEAD = Index("conversations_by_lead", Kind.CONVERSATIONS, ("lead_id",), "id")
OUTBOUND_BY_LEAD = Index("outbound_by_lead", Kind.OUTBOUND, ("lead_id",), "created_at")
REVIEW_BY_LEAD = Index("review_by_lead", Kind.REVIEW, ("lead_id",), "created_at")
INBOX_BY_CONTACT = Index("inbox_by_contact", Kind.INBOX, ("contact",), "received_at")
KEYS_BY_PERSON = Index("keys_by_person", Kind.PERSON_KEYS, ("person_id",), "id")
CONSENTS_BY_PERSON = Index("consents_by_person", Kind.CONSENTS, ("person_id",), "at")
CORRECTIONS_BY_LEAD = Index("corrections_by_lead", Kind.CORRECTIONS, ("lead_id",), "at")
CORRECTIONS_BY_PERSON = Index("corrections_by_person", Kind.CORRECTIONS, ("person_id",), "at")
ERASURES_RUNNING = Index("erasures_running", Kind.ERASURES, (), "at", ("running", True))
AUDIT_ALL = Index("audit_all", Kind.AUDIT, (), "at")
MERGES_BY_SURVIVOR = Index("merges_by_survivor", Kind.MERGES, ("survivor",), "at")
KEYS_ALL = Index("keys_all", Kind.API_KEYS, (), "id")
USERS_ALL = Index("users_all", Kind.USERS, (), "id")
SESSIONS_EXPIRY = Index("sessions_expiry", Kind.SESSIONS, (), "expires_at")
IDEMPOTENCY_EXPIRY = Index("idempotency_expiry", Kind.IDEMPOTENCY, (), "expires_at")

INDEXES: tuple[Index, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Index))

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[Kind, tuple[Upcaster, ...]] = {}
"""Per kind, the steps from each schema to the next: the n-th turns a body of schema n (from 1) into one of n + 1."""


def stamp(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as it is written: marked with the schema that it follows, if that is not the first."""
    steps = UPCASTERS.get(kind)
    return {"schema": len(steps) + 1, **body} if steps else body


def upcast(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """Return a stored body in today's shape, without the mark."""
    steps = UPCASTERS.get(kind)
    if steps:
        for step in steps[body.pop("schema", 1) - 1 :]:
            body = step(body)
    return body
