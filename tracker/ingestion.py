"""Ingestion: logins into the ledger, each person's in one commit."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from msgspec.structs import replace

from tracker.catalog import Catalog
from tracker.errors import LeadlineError
from tracker.known import Reader
from tracker.logins import (
    Counted,
    Known,
    KnownPerson,
    Login,
    LoginResult,
    decide_logins,
)
from tracker.opt_outs import OptOuts
from tracker.ports import Reactor
from tracker.store.port import Conflict, Store
from tracker.unit import Decision, run, whole

log = structlog.get_logger()

REMEMBERED = 5000

TOGETHER = 256
"""About so many logins are decided in one go, so that a big import does not hold up the event loop for long."""

Join = Callable[[str, str], Awaitable[Mapping[str, str]]]
"""Makes two persons one, and returns which lead each absorbed lead is by now."""

Who = tuple[str, str]
"""A source, and the person's id there."""


class Ingestion:
    """Counts logins in groups, one after the other: those of all requests that came while the last one was being kept.

    Deciding many in one go and committing them together costs half of what each alone would. Remembers the people
    whose logins came lately, since most logins are of people just seen: what is remembered may be old, but the versions
    in the commit tell, and then everything is read.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        clock: Callable[[], datetime],
        reactors: Sequence[Reactor] = (),
        after: Callable[[], None] = lambda: None,
        opt_outs: OptOuts | None = None,
        join: Join | None = None,
    ):
        """Args: after: called when another room added something, so that a sleeping worker looks for it. opt_outs:
        what addresses refused earlier.
        """
        self._reader, self._join = Reader(store, catalog, clock, opt_outs or OptOuts(store, ())), join
        self.store, self.clock = store, clock
        self._catalog, self._reactors, self._after = catalog, reactors, after
        self._people: OrderedDict[Who, KnownPerson] = OrderedDict()
        self._waiting: deque[_Request] = deque()
        self._pump: asyncio.Task[None] | None = None

    async def record(self, logins: Sequence[Login]) -> list[LoginResult]:
        """Count logins; the results are in the order given."""
        if not logins:
            return []
        request = _Request(logins)
        self._waiting.append(request)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work())
        results = await request.answer
        return await self._joined(request, results) if request.kin else results

    async def _joined(self, request: "_Request", results: list[LoginResult]) -> list[LoginResult]:
        """Merge people who turned out to be one: whoever chatted with us before the CRM told of the same address.

        Where that is cut off, the next login finds them again.
        """
        if self._join is None:
            return results
        moved: dict[str, str] = {}
        for one, other in dict.fromkeys(request.kin):
            try:
                joined = await self._join(one, other)
            except LeadlineError:
                log.warning("two persons who share an address were not merged", persons=(one, other))
                continue
            moved = {old: joined.get(lead, lead) for old, lead in moved.items()} | dict(joined)
        return [replace(r, lead_id=moved[r.lead_id]) if r.lead_id in moved else r for r in results]

    async def _work(self) -> None:
        """Count group after group until nothing waits: what comes while one is being kept makes up the next."""
        while self._waiting:
            shares: dict[Who, _Share] = {}
            count = 0
            while self._waiting and count < TOGETHER:
                request = self._waiting.popleft()
                count += len(request.logins)
                for index, login in enumerate(request.logins):
                    who = (login.source, login.crm_user_id)
                    share = shares.get(who)
                    if share is None:
                        share = shares[who] = _Share(who)
                    share.logins.append(login)
                    share.places.append((request, index))
            if alone := await self._together(list(shares.values())):
                await asyncio.gather(*map(self._alone, alone))

    async def _together(self, shares: "Sequence[_Share]") -> "list[_Share]":
        """Decide and commit in one go, and return the shares that have to be counted alone."""
        try:
            decisions = await self._decide(shares)
            units = [await whole(self.store, decision, self._reactors) for decision in decisions]
            outcomes = await self.store.commit_each(units)
            if any(len(unit) > len(its.changes) for unit, its in zip(units, decisions, strict=True)):
                self._after()
        except Exception:  # noqa: BLE001 - whoever it was, it is no reason to refuse the others
            return list(shares)
        alone = []
        for share, decision, outcome in zip(shares, decisions, outcomes, strict=True):
            if outcome is None:
                self._done(share, decision.outcome)
            elif isinstance(outcome, Conflict):
                alone.append(share)
            else:
                share.fail(outcome)
        return alone

    async def _decide(self, shares: "Sequence[_Share]") -> list[Decision[Counted]]:
        known: list[Known | None] = []
        for share in shares:
            # Taken out of memory: what fails now is read the next time.
            person = self._people.pop(share.who, None)
            known.append(await self._from_memory(person, share.logins) if person else None)
        new = [share.logins for share, found in zip(shares, known, strict=True) if found is None]
        read = iter(await self._reader.read(new) if new else ())
        now = self.clock()
        return [
            decide_logins(share.logins, found or next(read), now=now)
            for share, found in zip(shares, known, strict=True)
        ]

    async def _alone(self, share: "_Share") -> None:
        """Count the logins of a person who is not as remembered, or was changed at the same time."""

        async def read() -> Known:
            (known,) = await self._reader.read([share.logins])
            return known

        def decide(known: Known) -> Decision[Counted]:
            return decide_logins(share.logins, known, now=self.clock())

        try:
            self._done(share, await run(self.store, read, decide, reactors=self._reactors))
            self._after()
        except Exception as error:  # noqa: BLE001 - it is told to those who wait for an answer
            share.fail(error)

    def _done(self, share: "_Share", counted: Counted) -> None:
        if counted.person.version:
            self._people[share.who] = counted.person
            if len(self._people) > REMEMBERED:
                self._people.popitem(last=False)
        for request, _ in share.places if counted.kin else ():
            request.kin += [(counted.person.id, other) for other in counted.kin]
        share.answer(counted.results)

    async def _from_memory(self, person: KnownPerson, logins: Sequence[Login]) -> Known | None:
        """Return what is known without reading, None where something new must be looked up."""
        stored, configs = person.person, {}
        for login in logins:
            found = person.leads.get(login.product_id)
            if found is None or login.email not in (None, stored.email) or login.phone not in (None, stored.phone):
                return None
            if login.product_id not in configs:
                configs[login.product_id] = await self._catalog.version(login.product_id, found.lead.config_number)
        return Known(person, {}, {}, (), configs, {})


class _Request:
    """Logins that came together, and their results as they come in."""

    __slots__ = ("answer", "kin", "logins", "missing", "results")

    def __init__(self, logins: Sequence[Login]):
        self.logins = logins
        self.kin: list[tuple[str, str]] = []
        self.missing = len(logins)
        self.results: list[Any] = [None] * self.missing
        self.answer: asyncio.Future[list[LoginResult]] = asyncio.get_running_loop().create_future()

    def take(self, index: int, result: LoginResult) -> None:
        self.results[index] = result
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(self.results)


class _Share:
    """The logins of one person in a group, in order, and from which requests they are."""

    __slots__ = ("logins", "places", "who")

    def __init__(self, who: Who):
        self.who = who
        self.logins: list[Login] = []
        self.places: list[tuple[_Request, int]] = []

    def answer(self, results: Sequence[LoginResult]) -> None:
        for (request, index), result in zip(self.places, results, strict=True):
            request.take(index, result)

    def fail(self, error: Exception) -> None:
        for request, _ in self.places:
            if not request.answer.done():
                request.answer.set_exception(error)
