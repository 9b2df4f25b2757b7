"""Review: one queue for what needs a human. Each item keeps the original input."""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import orjson

from tracker import audit
from tracker.errors import Fault
from tracker.model import Document, Note, Output, new_id
from tracker.store.port import Change, Insert, Replace
from tracker.store.port import Document as Stored
from tracker.store.schema import Kind
from tracker.times import Instant


class ReviewKind(StrEnum):
    QUARANTINE = "quarantine"  # a record that is no login
    DROPPED_FIELD = "dropped_field"  # a login was kept without a field that made no sense
    DEAD_LETTER = "dead_letter"  # a workflow could not process a record
    MESSAGE = "message"  # a message that could not be sent
    UNCERTAIN = "uncertain"  # a message that may or may not have been sent
    IDENTITY = "identity"  # two persons share an address
    SCORING = "scoring"  # an event whose scoring rule failed
    INBOUND = "inbound"  # a message of a prospect that could not be answered
    OUTBOUND = "outbound"  # an event that did not reach its receiver
    THRESHOLD = "threshold"  # a threshold on which the stage-management workflow has not decided
    TEMPLATE = "template"  # a template that is missing or does not render


class ReviewStatus(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class Trial(Document, frozen=True, kw_only=True):
    """A replay under way, which may have done its work already. Attributes: input: digest of what is replayed."""

    input: str
    until: Instant


class ReviewItem(Document, frozen=True, kw_only=True):
    """Attributes: input: JSON text, as it came. error: what was wrong at first, as JSON-free text. last_error: what was
    still wrong at the last replay. attempts: how often it was tried, before it came here and by replays since.
    corrected: the input that was replayed instead, as JSON text.
    """

    kind: ReviewKind
    status: ReviewStatus = ReviewStatus.OPEN
    reason: str
    error: str
    input: str
    last_error: str | None = None
    lead_id: str | None = None
    message_id: str | None = None
    product_id: str | None = None
    attempts: int = 0
    created_at: Instant
    corrected: str | None = None
    history: tuple[Note, ...] = ()
    trial: Trial | None = None

    def noted(self, by: str, did: str, *, at: Instant, **changes: Any) -> "ReviewItem":
        return self.but(history=(*self.history, Note(at=at, by=by, did=did)), **changes)


class ReviewView(Output):
    """A review item as the API shows it. Attributes: last_error: what was still wrong when it was replayed in vain."""

    id: str
    kind: ReviewKind
    status: ReviewStatus
    reason: str
    lead_id: str | None
    message_id: str | None
    input: Any
    error: str
    last_error: str | None
    attempts: int
    created_at: Instant


class HistoryLine(Output):
    at: Instant
    by: str
    did: str


class ReviewFull(ReviewView):
    """One item with all that is known of it. Attributes: corrected: the input that was replayed instead."""

    product_id: str | None
    corrected: Any
    history: list[HistoryLine]


LISTED = tuple(name for name in ReviewView.model_fields if name not in {"id", "input"})


def view(found: Stored) -> dict[str, Any]:
    """Return an item as lists show it (`ReviewView`), as JSON."""
    body = ReviewItem.read(found.body).body()
    return {"id": found.id, **{name: body[name] for name in LISTED}, "input": orjson.loads(body["input"])}


def full(id: str, item: ReviewItem) -> dict[str, Any]:
    """Return an item with its history (`ReviewFull`), as JSON."""
    body = item.body()
    del body["trial"]
    corrected = None if item.corrected is None else orjson.loads(item.corrected)
    return {"id": id, **body, "input": orjson.loads(item.input), "corrected": corrected}


def item(
    kind: ReviewKind,
    *,
    reason: str,
    error: str,
    input: Any,
    at: Instant,
    lead_id: str | None = None,
    message_id: str | None = None,
    product_id: str | None = None,
    attempts: int = 0,
    id: str | None = None,
) -> Insert:
    """The change that puts something into the queue. Args: attempts: how often it was tried."""
    text = orjson.dumps(input).decode()
    document = ReviewItem(
        kind=kind,
        reason=reason,
        error=error,
        input=text,
        lead_id=lead_id,
        message_id=message_id,
        product_id=product_id or _product_of(input),
        attempts=attempts,
        created_at=at,
    )
    return Insert(Kind.REVIEW, id or new_id(), document.body())


def _product_of(input: Any) -> str | None:
    """The product that a record claims to be about."""
    claimed = input.get("product_id") if isinstance(input, dict) else None
    return claimed[:100] if isinstance(claimed, str) else None


def closed(found: Stored, by: str, did: str, *, at: Instant) -> Replace:
    """The change that takes an item from the queue: what it is about has come to its end by itself."""
    item = ReviewItem.read(found.body).noted(by, did, at=at, status=ReviewStatus.DISCARDED)
    return Replace(found.kind, found.id, found.version, item.body())


def opened_again(found: Stored, by: str, did: str, *, at: Instant) -> list[Change]:
    """The changes that put an item that was settled back into the queue; none while it waits there."""
    item = ReviewItem.read(found.body)
    if item.status is ReviewStatus.OPEN:
        return []
    after = item.noted(by, did, at=at, status=ReviewStatus.OPEN, corrected=None)
    noted = audit.entry(by, "review.reopen", found.id, at=at, detail=did)
    return [Replace(found.kind, found.id, found.version, after.body()), noted]


def ended(found: Stored) -> Instant | None:
    """When an item was closed, None while it is open."""
    item = ReviewItem.read(found.body)
    if item.status is ReviewStatus.OPEN:
        return None
    return item.history[-1].at if item.history else item.created_at


def content_id(kind: ReviewKind, input: Any) -> str:
    """The id of an item for this very input: the same malformed record is queued once however often it is sent."""
    digest = hashlib.blake2b(orjson.dumps([kind, input], option=orjson.OPT_SORT_KEYS), digest_size=13)
    return f"{kind}-{digest.hexdigest()}"


def told(faults: Iterable[Fault]) -> str:
    return "; ".join(f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in faults)
