"""Review: one queue for what needs a human. Each item keeps the original input."""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import orjson

from tracker.errors import Fault
from tracker.model import Document, Output, new_id
from tracker.store.port import Document as Stored
from tracker.store.port import Insert
from tracker.store.schema import Kind
from tracker.times import Instant


class ReviewKind(StrEnum):
    QUARANTINE = "quarantine"  # a record that is no login
    DROPPED_FIELD = "dropped_field"  # a login was kept without a field that made no sense
    DEAD_LETTER = "dead_letter"  # a workflow could not process a record
    MESSAGE = "message"  # a message that could not be sent
    UNCERTAIN = "uncertain"  # a message that may or may not have been sent
    TEMPLATE = "template"  # a template that is missing or does not render


class ReviewStatus(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class ReviewItem(Document, frozen=True, kw_only=True):
    """Attributes: input: JSON text, as it came. error: what was wrong, as JSON-free text."""

    kind: ReviewKind
    status: ReviewStatus = ReviewStatus.OPEN
    reason: str
    error: str
    input: str
    lead_id: str | None = None
    message_id: str | None = None
    attempts: int = 0
    created_at: Instant


class ReviewView(Output):
    """A review item as the API shows it."""

    id: str
    kind: ReviewKind
    status: ReviewStatus
    reason: str
    lead_id: str | None
    message_id: str | None
    input: Any
    error: str
    attempts: int
    created_at: Instant


def view(found: Stored) -> dict[str, Any]:
    item = ReviewItem.read(found.body)
    return {"id": found.id, **item.body(), "input": orjson.loads(item.input)}


def item(
    kind: ReviewKind,
    *,
    reason: str,
    error: str,
    input: Any,
    at: Instant,
    lead_id: str | None = None,
    message_id: str | None = None,
    id: str | None = None,
) -> Insert:
    """The change that puts something into the queue."""
    text = orjson.dumps(input).decode()
    document = ReviewItem(
        kind=kind, reason=reason, error=error, input=text, lead_id=lead_id, message_id=message_id, created_at=at
    )
    return Insert(Kind.REVIEW, id or new_id(), document.body())


def content_id(kind: ReviewKind, input: Any) -> str:
    """The id of an item for this very input: the same malformed record is queued once however often it is sent."""
    digest = hashlib.blake2b(orjson.dumps([kind, input], option=orjson.OPT_SORT_KEYS), digest_size=13)
    return f"{kind}-{digest.hexdigest()}"


def told(faults: Iterable[Fault]) -> str:
    return "; ".join(f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in faults)
