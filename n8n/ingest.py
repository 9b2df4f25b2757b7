"""What n8n posts: product logins, and records that a workflow could not process."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tracker import review
from tracker.errors import Fault, Forbidden, Invalid
from tracker.ingestion import Ingestion
from tracker.keys import Scope
from tracker.logins import Login, LoginResult, Read, read_login
from tracker.model import Input, Lines, Name, Output, is_plain
from tracker.review import ReviewKind, content_id, told
from tracker.store.port import Document, Duplicate, Insert
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.unit import Decision, run
from tracker.web import Answer, Call, Route

MOST = 1000
SIGNATURE_SECONDS = 300


class LoginOutcome(Output):
    event_id: str | None
    status: Literal["accepted", "duplicate", "quarantined"]
    lead_id: str | None = None
    reason: str | None = None
    review_id: str | None = None


class LoginOutcomes(Output):
    results: list[LoginOutcome]
    accepted: int
    duplicate: int
    quarantined: int


class DeadLetter(Input):
    """A record that a workflow could not process."""

    workflow: Name
    record: Any
    error: Lines
    node: Name | None = None
    execution_id: Name | None = None


class Queued(Output):
    review_id: str


LOGIN_BODY = {
    "description": "One login, an array of logins, or an object with the array under `events`; 1,000 at most. "
    "A record that is no good login is quarantined and costs the others nothing.",
    "anyOf": [{"type": "object"}, {"type": "array", "items": {}, "maxItems": MOST}],
    "examples": [
        {
            "event_id": "l-1",
            "crm_user_id": "u-1",
            "organization_id": "org-1",
            "product_id": "flowdesk",
            "occurred_at": "2026-11-22T14:27:00Z",
            "email": "dana@example.com",
        }
    ],
}


class IngestRoutes:
    def __init__(self, ingestion: Ingestion, *, secret: str | None = None, clock: Callable[[], float] = time.time):
        """Args: secret: demand the header X-Leadline-Signature on logins."""
        self._ingestion, self._store, self._now = ingestion, ingestion.store, ingestion.clock
        self._secret, self._clock = secret, clock

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/events/logins", Scope.INGEST, self.logins, "Ingest product logins", {202: LoginOutcomes},
                  body=Any, schema=LOGIN_BODY, creates=True),
            Route("POST", "/dead-letters", Scope.INGEST, self.dead_letter, "Queue a record that a workflow gave up on",
                  {202: Queued}, body=DeadLetter, creates=True),
        ]  # fmt: skip

    async def logins(self, call: Call[Any, Any]) -> Answer:
        if self._secret is not None:
            check_signature(call.request.headers.get("X-Leadline-Signature"), call.raw, self._secret, self._clock())
        records = unwrap(call.body)
        now = self._now()
        plain = is_plain(call.raw)
        reads = [read_login(record, now=now, plain=plain) for record in records]
        results = iter(await self._ingestion.record([read.login for read in reads if read.login]))
        outcomes, queued = [], []
        for record, read in zip(records, reads, strict=True):
            counted = next(results) if read.login else None
            if counted is not None and counted.status != "unknown_product" and not read.faults:
                outcomes.append(_outcome(read.login, counted))
            else:
                outcome, item = _reviewed(record, read, counted, at=instant(self._now()))
                outcomes.append(outcome)
                queued.append(item)
        await self._queue(queued)
        counts = {"accepted": 0, "duplicate": 0, "quarantined": 0}
        for outcome in outcomes:
            counts[outcome["status"]] += 1
        return Answer(202, {"results": outcomes, **counts})

    async def _queue(self, items: Sequence[Insert]) -> None:
        """Put items into the queue, all in one go: a call may bring a thousand."""
        for outcome in await self._store.commit_each([[item] for item in items]):
            if outcome is not None and not isinstance(outcome, Duplicate):  # this very record is in the queue already
                raise outcome

    async def dead_letter(self, call: Call[DeadLetter, Any]) -> Answer:
        given = call.body
        where = f"{given.workflow} / {given.node}" if given.node else given.workflow
        if given.execution_id:
            where += f" (execution {given.execution_id})"
        id = content_id(ReviewKind.DEAD_LETTER, [where, given.record, given.error])
        at = instant(self._now())
        item = review.item(ReviewKind.DEAD_LETTER, reason=where, error=given.error, input=given.record, at=at, id=id)
        answer = Answer(202, {"review_id": id})

        async def read() -> Document | None:
            (found,) = await self._store.get(Kind.REVIEW, id)
            return found

        def decide(found: Document | None) -> Decision[None]:
            if found is None:
                return Decision(None, [item])
            return Decision(None, review.opened_again(found, call.principal.name, "given up again", at=at))

        await run(self._store, read, decide, record=call.remember(lambda _: answer))
        return answer


def unwrap(body: Any) -> Sequence[Any]:
    """Return the records of a body. Raises: Invalid: it holds no list of records, or too many."""
    path = ""
    if isinstance(body, dict) and (isinstance(body.get("events"), list) or body.keys() == {"events"}):
        path, body = "events", body["events"]
    elif isinstance(body, dict):
        body = [body]
    if not isinstance(body, list):
        raise Invalid('send one login, an array of logins, or {"events": [...]}', Fault(path, "is no list of records"))
    if len(body) > MOST:
        raise Invalid(f"send {MOST} logins at most", Fault("events", f"has {len(body)} records"))
    return body


def check_signature(header: str | None, body: bytes, secret: str, now: float) -> None:
    """Check `t=<seconds>,v1=<HMAC-SHA256 of "t.body">`.

    Raises: Forbidden: missing, wrong, or more than five minutes away.
    """
    parts = dict(part.strip().partition("=")[::2] for part in (header or "").split(","))
    sent = parts.get("t", "")
    if not (sent.isascii() and sent.isdigit()):
        raise Forbidden("the header X-Leadline-Signature does not say when it was made")
    expected = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), parts.get("v1", "").encode(errors="replace")):
        raise Forbidden("the header X-Leadline-Signature does not fit the body")
    if abs(now - int(sent[:15])) > SIGNATURE_SECONDS:
        raise Forbidden("the signature is more than five minutes old")


def _reviewed(record: Any, read: Read, counted: LoginResult | None, *, at: Instant) -> tuple[dict[str, Any], Insert]:
    """Return what became of a record with which something was wrong, and the change that queues it for a person."""
    if counted is None or counted.status == "unknown_product":
        kind = ReviewKind.QUARANTINE
        unknown = (Fault("product_id", "there is no such product"),) if read.login else ()
        error = told((*read.faults, *unknown))
    else:
        kind, error = ReviewKind.DROPPED_FIELD, told(read.faults)
    id = content_id(kind, record)
    reason = "the record is no login" if kind is ReviewKind.QUARANTINE else "a field was left out"
    lead_id = counted.lead_id if counted else None
    item = review.item(kind, reason=reason, error=error, input=record, at=at, lead_id=lead_id, id=id)
    if kind is ReviewKind.DROPPED_FIELD and counted is not None:
        return {**_outcome(read.login, counted), "reason": f"left out: {error}", "review_id": id}, item
    return {"event_id": _named(record), "status": "quarantined", "reason": error, "review_id": id}, item


def _outcome(login: Login | None, result: LoginResult) -> dict[str, Any]:
    return {"event_id": login.event_id if login else None, "status": result.status, "lead_id": result.lead_id}


def _named(record: Any) -> str | None:
    """The event id that a bad record claims to have."""
    claimed = record.get("event_id") if isinstance(record, dict) else None
    return claimed[:200] if isinstance(claimed, str) else None
