"""The inbox: what came in is kept before it is acknowledged, and answered afterwards, in order and once."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import orjson
import structlog

from channels.heard import Form, Heard, Unreadable, contact_of, read, sid_of
from tracker import review
from tracker.forgetting import forget
from tracker.model import Document
from tracker.review import ReviewKind, ReviewStatus
from tracker.store.port import Change, Conflict, Cursor, Duplicate, Insert, Replace, Store, StoreError
from tracker.store.port import Document as Stored
from tracker.store.schema import INBOX_SETTLED, INBOX_WAITING, Kind
from tracker.times import Instant, instant, later, moment

log = structlog.get_logger()

ATTEMPTS = 5
"""How often our own code may fail on a message before a person looks at it: within some 15 s."""

SECONDS = 30
"""How long one answer may take."""

AT_ONCE = 16
PAGE = 200
KEPT_DAYS = 30
"""How long a message that was settled is kept, and with it the knowledge that its id has come."""


class Inbound(Document, frozen=True, kw_only=True):
    """One message that came in; its document id is the provider's.

    Attributes: contact: who wrote; their messages are answered in order. form: what the provider told, as JSON text.
    waiting: it is to be answered. due_at: not before. outcome: what became of it. replays: how often a person had it
    answered again.
    """

    contact: str
    form: str
    received_at: Instant
    waiting: bool = True
    due_at: Instant
    attempts: int = 0
    outcome: str | None = None
    replays: int = 0


class Unanswerable(Exception):
    """The message cannot be answered as things stand, however often it is tried: a person has to see it."""


class Answers(Protocol):
    """Who answers."""

    async def answer(self, heard: Heard) -> str:
        """Answer a message and return what became of it; a message that was answered before is not answered again.

        Raises: Unanswerable. StoreError: the store is away.
        """
        ...


class Inbox:
    def __init__(self, store: Store, answers: Answers, clock: Callable[[], datetime]):
        self._store, self._answers, self._clock = store, answers, clock
        self._last = Instant("")

    async def take(self, form: Form) -> bool:
        """Keep a message that came in, and return whether it is new. Raises: Unreadable. Unavailable."""
        at = self._arrival()
        item = Inbound(contact=contact_of(form), form=orjson.dumps(form).decode(), received_at=at, due_at=at)
        try:
            await self._store.commit(Insert(Kind.INBOX, sid_of(form), item.body()))
        except Duplicate:
            return False
        return True

    def _arrival(self) -> Instant:
        """Return now, and never the same instant twice: it keeps the order in which messages came."""
        at = instant(self._clock())
        if at <= self._last:
            at = later(moment(self._last), seconds=0.001)
        self._last = at
        return at

    async def work(self) -> int:
        """Answer what waits, several people at a time, each one's messages in order; return how many were settled."""
        settled, after = 0, None
        blocked: set[str] = set()
        while True:
            lanes, after = await self._waiting(after, blocked)
            room = asyncio.Semaphore(AT_ONCE)
            done = await asyncio.gather(*(self._lane(contact, items, room) for contact, items in lanes.items()))
            for (contact, items), count in zip(lanes.items(), done, strict=True):
                settled += count
                if count < len(items):
                    blocked.add(contact)
            if after is None:
                return settled

    async def _waiting(self, after: Cursor | None, blocked: set[str]) -> tuple[dict[str, list[Stored]], Cursor | None]:
        page = await self._store.find(INBOX_WAITING, after=after, limit=PAGE)
        lanes: dict[str, list[Stored]] = defaultdict(list)
        for found in page.items:
            if found.body["contact"] not in blocked:
                lanes[found.body["contact"]].append(found)
        return lanes, page.next

    async def _lane(self, contact: str, items: Sequence[Stored], room: asyncio.Semaphore) -> int:
        """Answer one person's messages until one has to wait; return how many were settled."""
        async with room:
            for count, found in enumerate(items):
                item = Inbound.read(found.body)
                if item.due_at > instant(self._clock()) and item.attempts:
                    return count
                if not await self._safely(found, item):
                    return count
            return len(items)

    async def _safely(self, found: Stored, item: Inbound) -> bool:
        """Answer one message and return whether it is settled. What goes wrong costs nobody else anything."""
        try:
            async with asyncio.timeout(SECONDS):
                outcome = await self._answers.answer(read(orjson.loads(item.form)))
            await self._settle(found, item.but(waiting=False, outcome=outcome))
        except StoreError as error:
            log.warning("the store is away, or somebody else was faster", inbound_id=found.id, error=str(error))
            return isinstance(error, Conflict)
        except (Unanswerable, Unreadable) as error:
            return await self._to_review(found, item.but(attempts=item.attempts + 1), str(error))
        except Exception as error:
            log.exception("a message that came in could not be answered", inbound_id=found.id)
            return await self._again(found, item, error)
        return True

    async def _again(self, found: Stored, item: Inbound, error: Exception) -> bool:
        """Try once more a little later, or leave it to a person."""
        attempts = item.attempts + 1
        if attempts >= ATTEMPTS:
            return await self._to_review(found, item.but(attempts=attempts), f"{type(error).__name__}: {error}")
        due_at = later(self._clock(), seconds=2 ** (attempts - 1))
        return await self._kept(found, item.but(attempts=attempts, due_at=due_at)) and False

    async def _to_review(self, found: Stored, item: Inbound, error: str) -> bool:
        """Put the message, with all that the provider told, before a person."""
        wanted = review.item(
            ReviewKind.INBOUND,
            reason="a message that came in by WhatsApp could not be answered",
            error=error[:500],
            input=orjson.loads(item.form),
            at=instant(self._clock()),
            attempts=item.attempts,
            id=_review_id(found.id, item),
        )
        return await self._kept(found, item.but(waiting=False, outcome="review"), wanted)

    async def _kept(self, found: Stored, item: Inbound, *also: Change) -> bool:
        """Whether the item was kept; what was not is found again by the next look."""
        try:
            await self._settle(found, item, *also)
        except StoreError as error:
            log.warning("a message that came in stays as it is", inbound_id=found.id, error=str(error))
            return False
        return True

    async def forget(self) -> int:
        """Remove messages that were settled a while ago, and return how many; what is open in review stays."""
        high = later(self._clock(), hours=-24 * KEPT_DAYS)
        return await forget(self._store, INBOX_SETTLED, high=high, choose=self._unasked)

    async def _unasked(self, page: Sequence[Stored]) -> Sequence[Stored]:
        """Return those of which nothing is open in review."""
        queued = await self._store.get(Kind.REVIEW, *(_review_id(one.id, Inbound.read(one.body)) for one in page))
        return [
            one
            for one, item in zip(page, queued, strict=True)
            if item is None or item.body["status"] != ReviewStatus.OPEN
        ]

    async def _settle(self, found: Stored, item: Inbound, *also: Change) -> None:
        await self._store.commit(Replace(Kind.INBOX, found.id, found.version, item.body()), *also)


def _review_id(id: str, item: Inbound) -> str:
    return f"inbound-{id}" + (f"-{item.replays}" if item.replays else "")
