"""Retention: what has come to its end is kept as long as its product says, then removed bit by bit.

A walk goes through the leads and the closed review items of the products that want it, once a day. Where it has come is
a document, and what a step removes is in the commit that moves it on: any number of processes may walk.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from tracker import audit
from tracker.catalog import Catalog
from tracker.errors import NotFound, Refused
from tracker.lead import Lead
from tracker.model import Document
from tracker.privacy import Privacy, Whole
from tracker.product_parts import Kept
from tracker.reading import everything
from tracker.review import ReviewItem, ReviewKind, ReviewStatus
from tracker.review import ended as review_ended
from tracker.store.port import Change, Cursor, Delete, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import LEADS_BY_PRODUCT, REVIEW_BY_STATUS, Index, Kind
from tracker.times import Instant, instant, later
from tracker.unit import Decision, run

BY = "retention"
"""Who removed it, in the audit."""

WALK = "retention"
CHUNK = 200
"""Documents that one commit removes at most."""

LEADS = 200
"""Leads that one chunk looks at."""

PERSONS = 20
"""Idle people whom one chunk lets go: each erasure searches what names nobody."""

CHUNKS = 5
"""Chunks of one tick."""

EVERY_HOURS = 24

Policies = Mapping[str, Mapping[Kept, int]]
"""Per product, the days of each kind that is not kept for good."""


def deleted(found: Stored) -> Change:
    return Delete(found.kind, found.id, found.version)


@dataclass(frozen=True, slots=True)
class Rule:
    """What belongs to a lead and is not kept for good.

    Attributes: index: it, by its lead. ended: when a document came to its end, None while it has not. gone: removes it.
    """

    kind: Kept
    index: Index
    ended: Callable[[Stored], Instant | None]
    gone: Callable[[Stored], Change] = deleted


class Walk(Document, frozen=True, kw_only=True):
    """Attributes: place: what it walks through, empty before the first. after: cursor there. next_at: not before."""

    place: str = ""
    after: str | None = None
    next_at: Instant


class Due(NamedTuple):
    """A document that goes: whose it was, what it was, and how."""

    product_id: str
    kind: Kept
    change: Change


class Chunk(NamedTuple):
    """Attributes: due: what goes. idle: people who may have been idle for long enough. after: where the next chunk of
    this place begins; None when it is through.
    """

    due: Sequence[Due] = ()
    idle: Sequence[str] = ()
    after: Cursor | None = None


class Step(NamedTuple):
    """What is known before a commit. `place`: None at the end of a round, or while the next is not due."""

    walk: Stored | None
    place: str | None
    chunk: Chunk
    waits: bool = False


class Done(NamedTuple):
    removed: int
    idle: Sequence[str]
    over: bool


def places(policies: Policies) -> list[str]:
    """Where there may be something to remove, in the order of the walk."""
    review = any("review" in days for days in policies.values())
    closed = [f"review:{status}" for status in ReviewStatus if status is not ReviewStatus.OPEN] if review else []
    return sorted([*closed, *(f"leads:{product_id}" for product_id, days in policies.items() if days)])


def is_due(ended: Instant | None, days: int | None, now: datetime) -> bool:
    """Whether something that came to its end then has been kept long enough. Args: days: None: for good."""
    return days is not None and ended is not None and ended <= later(now, hours=-24 * days)


def is_idle(leads: Iterable[Lead], policies: Policies, now: datetime) -> bool:
    """Whether nothing has happened to any of a person's leads for as long as its product wants, and nobody waits."""
    return all(
        lead.handoff_id is None and is_due(lead.updated_at, policies.get(lead.product_id, {}).get("leads"), now)
        for lead in leads
    )


def review_days(product_id: str | None, policies: Policies, products: Container[str]) -> int | None:
    """How long a closed item is kept; one that names no product there is, as long as any product keeps its own."""
    if product_id in products:
        return policies.get(product_id or "", {}).get("review")
    return max((days["review"] for days in policies.values() if "review" in days), default=None)


class Retention:
    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        privacy: Privacy,
        rules: Sequence[Rule],
        clock: Callable[[], datetime],
    ):
        """Args: rules: what the rooms keep of a lead."""
        self._store, self._catalog, self._privacy, self._clock = store, catalog, privacy, clock
        self._rules = rules

    async def tick(self) -> int:
        """Go some chunks on and return how many documents and people were removed."""
        removed = 0
        for _ in range(CHUNKS):
            done = await run(self._store, self._read, self._decide)
            removed += done.removed
            for person_id in done.idle:
                removed += await self._let_go(person_id)
            if done.over:
                break
        return removed

    async def _policies(self) -> tuple[Policies, frozenset[str]]:
        """Return what the live configurations want, and every product."""
        configs = [versioned.config for versioned in await self._catalog.products()]
        wanted = {c.product_id: c.retention_days.days() for c in configs if c.retention_days is not None}
        return wanted, frozenset(config.product_id for config in configs)

    async def _read(self) -> Step:
        (found,) = await self._store.get(Kind.WALKS, WALK)
        walk = Walk.read(found.body) if found else None
        if walk is not None and walk.next_at > instant(self._clock()):
            return Step(found, None, Chunk(), waits=True)
        policies, products = await self._policies()
        order = places(policies)
        place, after = (walk.place, walk.after) if walk else ("", None)
        if after is None or place not in order:
            behind = bisect_right(order, place)
            place, after = order[behind] if behind < len(order) else "", None
        if not place:
            return Step(found, None, Chunk())
        what, _, which = place.partition(":")
        cursor = Cursor.decode(after) if after else None
        if what == "review":
            return Step(found, place, await self._closed(which, policies, products, cursor))
        return Step(found, place, await self._leads(which, policies, cursor))

    async def _leads(self, product_id: str, policies: Policies, after: Cursor | None) -> Chunk:
        page = await self._store.find(LEADS_BY_PRODUCT, product_id, after=after, limit=LEADS)
        due: list[Due] = []
        idle: dict[str, None] = {}
        for found in page.items:
            due += await self._of_lead(found.id, product_id, policies[product_id], CHUNK - len(due))
            if len(due) >= CHUNK:
                return Chunk(due, list(idle), after or Cursor("", ""))  # the same lead again: it may have more
            lead = Lead.read(found.body)
            if is_idle([lead], policies, self._clock()):
                idle[lead.person_id] = None
            after = Cursor(found.id, found.id)
            if len(idle) >= PERSONS:
                return Chunk(due, list(idle), after)
            await asyncio.sleep(0)  # a long look keeps nobody waiting
        return Chunk(due, list(idle), page.next)

    async def _of_lead(self, lead_id: str, product_id: str, days: Mapping[Kept, int], room: int) -> list[Due]:
        due: list[Due] = []
        now = self._clock()
        for rule in self._rules:
            if rule.kind not in days:
                continue
            # What was made later cannot have ended earlier; an index by id says nothing of time.
            high = None if rule.index.range == "id" else later(now, hours=-24 * days[rule.kind])
            async for found in everything(self._store, rule.index, lead_id, high=high, chunk=CHUNK):
                if is_due(rule.ended(found), days[rule.kind], now):
                    due.append(Due(product_id, rule.kind, rule.gone(found)))
                    if len(due) >= room:
                        return due
        return due

    async def _closed(self, status: str, policies: Policies, products: frozenset[str], after: Cursor | None) -> Chunk:
        now = self._clock()
        shortest = min(days["review"] for days in policies.values() if "review" in days)
        high = later(now, hours=-24 * shortest)
        # An item may take its event along.
        page = await self._store.find(REVIEW_BY_STATUS, status, high=high, after=after, limit=max(CHUNK // 2, 1))
        due = []
        for found in page.items:
            product_id = found.body["product_id"]
            if is_due(review_ended(found), review_days(product_id, policies, products), now):
                ends = [found, *await self._unsent(found)]
                due += [Due(product_id or "(no product)", "review", deleted(one)) for one in ends]
        return Chunk(due, after=page.next)

    async def _unsent(self, found: Stored) -> list[Stored]:
        """Return the outbound event that a discarded item was about: nobody can send it any more."""
        item = ReviewItem.read(found.body)
        if item.kind is not ReviewKind.OUTBOUND or item.status is not ReviewStatus.DISCARDED:
            return []
        return [one for one in await self._store.get(Kind.OUTBOUND, orjson.loads(item.input)["outbound_id"]) if one]

    def _decide(self, step: Step) -> Decision[Done]:
        if step.waits:
            return Decision(Done(0, (), over=True))
        now, chunk = self._clock(), step.chunk
        if step.place is None:
            walk = Walk(next_at=later(now, hours=EVERY_HOURS))
        else:
            walk = Walk(place=step.place, after=chunk.after.encode() if chunk.after else None, next_at=instant(now))
        changes = [due.change for due in chunk.due] + _audited(chunk.due, at=instant(now))
        changes.append(
            Replace(Kind.WALKS, WALK, step.walk.version, walk.body())
            if step.walk
            else Insert(Kind.WALKS, WALK, walk.body())
        )
        return Decision(Done(len(chunk.due), chunk.idle, over=step.place is None), changes)

    async def _let_go(self, person_id: str) -> int:
        """Erase a person if every one of its leads is idle, as it stands when it goes."""
        policies, _ = await self._policies()

        def only(whole: Whole) -> bool:
            return is_idle((Lead.read(lead.body) for lead in whole.leads), policies, self._clock())

        try:
            await self._privacy.erase(person_id, by=BY, only=only)
        except (NotFound, Refused):  # somebody else was faster, or something happened to them
            return 0
        return 1


def _audited(due: Sequence[Due], *, at: Instant) -> list[Change]:
    """An audit entry per product: how many of each kind went."""
    entries: list[Change] = []
    for product_id in dict.fromkeys(one.product_id for one in due):
        counts = Counter(one.kind for one in due if one.product_id == product_id)
        detail = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        entries.append(audit.entry(BY, "retention.purge", product_id, at=at, detail=detail))
    return entries
