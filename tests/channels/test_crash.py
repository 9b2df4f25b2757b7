"""The central guarantee: a process may end, or its store go away, at any commit and at any call of the provider.

Whatever the moment, nothing that was acknowledged is lost, no message is sent twice by the system's own doing, and a
message that may have been sent waits for a person.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent, Uncertain
from channels.states import State
from tests.channels.rig import Rig
from tests.fakes import Clock
from tracker.events import Channel, EventType
from tracker.review import ReviewKind
from tracker.store.port import Change, Cursor, Document, Outcome, Page, Scalar, Store, Unavailable, Unknown
from tracker.store.schema import Index, Kind

LEASE_HOURS = 0.01
"""A little longer than the lease of a message that is being sent."""


class Ended(BaseException):
    """The process ended here: nothing in it catches that, and nothing it does afterwards counts."""


class Fuse:
    """Ends the process, or takes the store away for once, at the n-th point at which something can be cut off.

    Attributes: where: the points that were passed, the last one being where it blew, if it did.
    """

    def __init__(self, at: int, *, ends: bool):
        self.at, self.ends = at, ends
        self.where: list[str] = []
        self.ended = asyncio.Event()

    @property
    def dead(self) -> bool:
        return self.ended.is_set()

    @property
    def blown(self) -> bool:
        return len(self.where) >= self.at

    def check(self) -> None:
        if self.dead:
            raise Ended

    def passes(self, point: str) -> bool:
        """Note that this point is reached; False when this is where it is cut off."""
        self.check()
        self.where.append(point)
        if len(self.where) != self.at:
            return True
        if self.ends:
            self.ended.set()
        return False


class FragileStore:
    """The store as a process sees it that may end before a commit is kept, or when it is kept and not yet heard of."""

    def __init__(self, store: Store, fuse: Fuse):
        self._store, self._fuse = store, fuse

    async def get(self, kind: Kind, *ids: str) -> list[Document | None]:
        self._fuse.check()
        return await self._store.get(kind, *ids)

    async def find(
        self,
        index: Index,
        *prefix: Scalar,
        low: Scalar = None,
        high: Scalar = None,
        reverse: bool = False,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        self._fuse.check()
        return await self._store.find(index, *prefix, low=low, high=high, reverse=reverse, after=after, limit=limit)

    async def commit(self, *changes: Change) -> None:
        (outcome,) = await self.commit_each([changes])
        if outcome is not None:
            raise outcome

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        told = "+".join(sorted({change.kind for changes in units for change in changes}))
        if not self._fuse.passes(f"before {told}"):
            self._fuse.check()
            return [Unavailable("the store is away")] * len(units)
        outcomes = await self._store.commit_each(units)
        if not self._fuse.passes(f"after {told}"):
            self._fuse.check()
            return [Unknown("the store went away")] * len(units)
        return outcomes

    async def ping(self) -> None:
        await self._store.ping()

    async def close(self) -> None:
        await self._store.close()


class Provider:
    """The world outside: what it took stays taken, whoever crashes. Answers as told, then yes."""

    def __init__(self, *outcomes: SendOutcome):
        self.outcomes = list(outcomes)
        self.calls: list[str] = []
        self.taken: Counter[str] = Counter()

    def take(self, id: str) -> SendOutcome:
        outcome = self.outcomes.pop(0) if self.outcomes else Sent(f"provider-{id}")
        self.calls.append(id)
        if isinstance(outcome, Sent | Uncertain):
            self.taken[id] += 1
        return outcome


class FragileSender:
    """The way to the provider, on which the process may end before and after the provider has the mail."""

    def __init__(self, provider: Provider, fuse: Fuse):
        self._provider, self._fuse = provider, fuse

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        if not self._fuse.passes("before the provider"):
            self._fuse.check()
            return Later("the network is away")
        await asyncio.sleep(0)
        outcome = self._provider.take(outgoing.message_id)
        if not self._fuse.passes("after the provider"):
            self._fuse.check()
            return Uncertain("the answer was lost")
        await asyncio.sleep(0)
        return outcome

    async def close(self) -> None:
        return None


class World(NamedTuple):
    """A store, a clock and a provider, which outlive every process."""

    store: Store
    clock: Clock
    provider: Provider

    def process(self, fuse: Fuse | None = None) -> Rig:
        fuse = fuse or Fuse(0, ends=True)
        store = FragileStore(self.store, fuse)
        return Rig(store, self.clock, {Channel.EMAIL: FragileSender(self.provider, fuse)})


async def life(world: World, fuse: Fuse, users: Sequence[str]) -> None:
    """What a process does in two days: takes logins, sends what is due, looks for what was cut off.

    Raises: Ended: in the middle of it.
    """
    rig = world.process(fuse)

    async def lives() -> None:
        for user in users:
            try:
                await rig.login(user, event_id=f"{user}-1")
            except Unavailable:
                await rig.login(user, event_id=f"{user}-1")  # the CRM tells it again
        await rig.live(4, step=1)
        await rig.live(48, step=12)

    living, ending = asyncio.create_task(lives()), asyncio.create_task(fuse.ended.wait())
    await asyncio.wait({living, ending}, return_when=asyncio.FIRST_COMPLETED)
    for task in (living, ending):
        task.cancel()
    (outcome, _) = await asyncio.gather(living, ending, return_exceptions=True)
    if fuse.dead:
        raise Ended
    if outcome is not None:
        raise outcome


async def aftermath(world: World, users: Sequence[str]) -> dict[str, str]:
    """Start anew over the same store, live on until all is at rest, and return each user's lead."""
    rig = world.process()
    leads = {user: await rig.login(user, event_id=f"{user}-1") for user in users}
    await rig.live(LEASE_HOURS * 2, step=LEASE_HOURS)
    await rig.live(72, step=6)
    return leads


async def check(world: World, lead_id: str, *, at: str) -> None:
    """All that has to hold of one lead when all is at rest."""
    rig = world.process()
    messages = await rig.messages(lead_id)
    reviews = await rig.reviews(lead_id)
    sent = {event.body["event_id"] for event in await rig.events(lead_id, EventType.EMAIL_SENT)}

    assert f"{lead_id}.1.0" in messages, f"{at}: the login was acknowledged, and its message is lost"
    assert max(world.provider.taken[id] for id in messages) <= 1, f"{at}: a message was sent twice"
    assert {m.status for m in messages.values()} <= {State.SENT, State.UNCERTAIN, State.DEAD, State.SKIPPED}, at
    for id, message in messages.items():
        items = [item for item in reviews if item.body["message_id"] == id]
        assert (f"{id}:sent" in sent) == (message.status is State.SENT), at
        match message.status:
            case State.SENT:
                assert world.provider.taken[id] == 1, f"{at}: {id} counts as sent and was not"
                assert items == [], at
            case State.UNCERTAIN:
                assert [item.body["kind"] for item in items] == [ReviewKind.UNCERTAIN], at
            case State.DEAD:
                assert [item.body["kind"] for item in items] == [ReviewKind.MESSAGE], at
                assert world.provider.taken[id] == 0, at
            case _:
                assert world.provider.taken[id] == 0, at

    events = await rig.events(lead_id)
    assert (await rig.lead(lead_id)).score == sum(event.body["score_impact"] for event in events) == 5000, at
    enrolment = await rig.enrolment(lead_id)
    if enrolment.ended == "complete":
        assert set(messages) == {f"{lead_id}.1.0", f"{lead_id}.1.1"}, f"{at}: a step was left out"
        assert messages[f"{lead_id}.1.1"].status is not State.UNCERTAIN
    else:
        assert enrolment.message_id is not None, f"{at}: the sequence stands at no message"
        assert messages[enrolment.message_id].status is State.UNCERTAIN, f"{at}: the sequence stands still"


SCENARIOS: dict[str, Callable[[], Provider]] = {
    "yes": Provider,
    "later, then yes": lambda: Provider(Later("451 busy"), Sent("x")),
    "bounce": lambda: Provider(Refused("550 5.1.1 nobody", bounced=True)),
    "refusal": lambda: Provider(Refused("554 no")),
    "no answer": lambda: Provider(Uncertain("no answer")),
}


def points() -> Iterator[int]:
    """Every point of a flow; whoever asks stops when the fuse did not blow any more."""
    yield from range(1, 200)


async def _each_point(
    store: Store, clock: Clock, provider: Callable[[], Provider], *, ends: bool, attempt: Callable[..., Awaitable[None]]
) -> int:
    """Cut the flow off at each of its points, one after the other, each with people of its own; return how many."""
    await Rig(store, clock, {}).furnish()
    for n in points():
        world, fuse = World(store, clock, provider()), Fuse(n, ends=ends)
        await attempt(world, fuse, f"p{n}")
        if not fuse.blown:
            return n - 1
    raise AssertionError("the flow does not end")


@pytest.mark.parametrize("answers", SCENARIOS)
async def test_a_process_may_end_at_any_point(store: Store, clock: Clock, answers: str):
    """A process ends before or after any commit or call of the provider; the next one makes the best of it.

    Seen to fail: when the message is handed over before `sending` is committed; when `recover` puts what was cut off
    back into the queue; when the next step is planned in a commit of its own.
    """

    async def attempt(world: World, fuse: Fuse, user: str) -> None:
        try:
            await life(world, fuse, [user])
        except Ended:
            assert fuse.blown
        leads = await aftermath(world, [user])
        await check(world, leads[user], at=f"{answers}, {len(fuse.where)}: {fuse.where[-1]}")

    count = await _each_point(store, clock, SCENARIOS[answers], ends=True, attempt=attempt)
    assert count >= 8  # login, sending, provider, settling: each before and after; more with a second message


@pytest.mark.parametrize("answers", SCENARIOS)
async def test_the_store_may_go_away_at_any_point(store: Store, clock: Clock, answers: str):
    """The store or the network fails once at any point, and the process lives on."""

    async def attempt(world: World, fuse: Fuse, user: str) -> None:
        await life(world, fuse, [user])
        leads = await aftermath(world, [user])
        await check(world, leads[user], at=f"{answers}, {len(fuse.where)}: {fuse.where[-1]}")

    await _each_point(store, clock, SCENARIOS[answers], ends=False, attempt=attempt)


async def test_one_of_two_processes_may_end_at_any_point(store: Store, clock: Clock):
    """Two processes share the work for several people; one of them ends anywhere, and the other goes on."""

    async def attempt(world: World, fuse: Fuse, user: str) -> None:
        users = [f"{user}-{n}" for n in range(3)]
        other = world.process()

        async def live_on() -> None:
            for _ in range(8):
                await other.delivery.recover()
                await other.quiet()
                await asyncio.sleep(0)

        first, _ = await asyncio.gather(life(world, fuse, users), live_on(), return_exceptions=True)
        assert first is None or isinstance(first, Ended)
        leads = await aftermath(world, users)
        for lead_id in leads.values():
            await check(world, lead_id, at=f"{len(fuse.where)}: {fuse.where[-1]}")

    assert await _each_point(store, clock, Provider, ends=True, attempt=attempt) > 20


async def test_a_crash_costs_at_most_the_message_in_hand(store: Store, clock: Clock):
    """Only what was in the provider's hands when the process ended needs a person: every other message goes out."""
    unsure: Counter[str] = Counter()

    async def attempt(world: World, fuse: Fuse, user: str) -> None:
        with contextlib.suppress(Ended):
            await life(world, fuse, [user])
        (lead_id,) = (await aftermath(world, [user])).values()
        states = await world.process().states(lead_id)
        if State.UNCERTAIN in states.values():
            unsure[fuse.where[-1]] += 1
        else:
            assert states == {"welcome": State.SENT, "tips": State.SENT}

    await _each_point(store, clock, Provider, ends=True, attempt=attempt)
    settling = [point for point in unsure if point.startswith("before") and "lead_events" in point]
    sending = [point for point in unsure if point.startswith("after") and "persons" in point]
    assert len(settling) == len(sending) == 1
    assert unsure == dict.fromkeys([*settling, *sending, "before the provider", "after the provider"], 2)
