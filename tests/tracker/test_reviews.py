"""The review queue over a real store: a person replays once, or discards; nothing is lost on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes import Clock
from tracker import review
from tracker.errors import Fault, Invalid, NotFound, Refused
from tracker.ports import Mended, ToMend
from tracker.review import ReviewFull, ReviewKind, ReviewStatus
from tracker.reviews import Review, Wanted
from tracker.store.port import Insert, Replace, Store, Unavailable
from tracker.store.schema import Kind
from tracker.times import instant, later

FAULT = Fault("occurred_at", "is no time")


class Scripted:
    """Tries again as it is told; counts."""

    def __init__(self, *, acts_itself: bool = False):
        self.acts_itself = acts_itself
        self.seen: list[ToMend] = []
        self.does: Callable[[ToMend], Awaitable[Mended]] = self.yes

    async def mend(self, wanted: ToMend) -> Mended:
        self.seen.append(wanted)
        return await self.does(wanted)

    async def yes(self, wanted: ToMend) -> Mended:
        return Mended("done again", "lead-1", [Insert(Kind.LEADS, f"of-{wanted.id}", {"n": len(self.seen)})])

    async def no(self, wanted: ToMend) -> Mended:
        raise Invalid("still no good", FAULT)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mender() -> Scripted:
    return Scripted()


@pytest.fixture
def queue(store: Store, clock: Clock, mender: Scripted) -> Review:
    kinds = (ReviewKind.QUARANTINE, ReviewKind.UNCERTAIN, ReviewKind.OUTBOUND)
    return Review(store, clock, dict.fromkeys(kinds, mender))


async def put(store: Store, clock: Clock, id: str = "i", kind: ReviewKind = ReviewKind.QUARANTINE, **more: Any) -> str:
    given = {"reason": "r", "error": "e", "input": {"a": 1}, "at": instant(clock()), "id": id, **more}
    await store.commit(review.item(kind, **given))
    return id


async def test_a_replay_and_its_effect_are_one_commit(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """The item says who did what and when, keeps its input, and names the lead."""
    id = await put(store, clock)
    clock.forward(seconds=5)
    done = await queue.replay(id, "ana")
    assert (done["status"], done["lead_id"], done["attempts"], done["input"]) == ("replayed", "lead-1", 1, {"a": 1})
    assert list(done["history"]) == [{"at": instant(clock()), "by": "ana", "did": "done again"}]
    ReviewFull.model_validate(done)
    assert await queue.get(id) == done
    assert (await store.get(Kind.LEADS, f"of-{id}"))[0] is not None


@pytest.mark.parametrize("acts_itself", [False, True])
async def test_one_of_many_replays_wins(store: Store, queue: Review, clock: Clock, mender: Scripted, acts_itself: bool):
    """All get the answer of the first, and its effect is there once."""
    mender.acts_itself = acts_itself
    id = await put(store, clock)
    done = await asyncio.gather(*(queue.replay(id, f"user {n}") for n in range(20)))
    assert all(one == done[0] for one in done)
    assert len(done[0]["history"]) == 1
    (found,) = await store.get(Kind.LEADS, f"of-{id}")
    assert found is not None
    assert found.version == 1
    assert await queue.replay(id, "late") == done[0]


async def test_what_is_still_bad_stays_open(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """With the first error and the last one, one more attempt, and the input as it came; then a correction helps."""
    id = await put(store, clock)
    mender.does = mender.no
    with pytest.raises(Invalid) as raised:
        await queue.replay(id, "ana", {"a": 2})
    assert raised.value.faults == (FAULT,)
    item = await queue.get(id)
    assert (item["status"], item["attempts"]) == ("open", 1)
    assert (item["error"], item["last_error"]) == ("e", "occurred_at: is no time")
    assert (item["input"], item["corrected"]) == ({"a": 1}, None)
    assert item["history"][0]["did"] == "replayed in vain: occurred_at: is no time"
    mender.does = mender.yes
    done = await queue.replay(id, "ana", {"a": 3})
    assert (done["status"], done["attempts"], done["input"], done["corrected"]) == ("replayed", 2, {"a": 1}, {"a": 3})
    assert done["history"][-1]["did"] == "done again, with a corrected input"
    assert [(seen.original, seen.input, seen.corrected) for seen in mender.seen] == [
        ({"a": 1}, {"a": 2}, True),
        ({"a": 1}, {"a": 3}, True),
    ]


async def test_two_corrections_at_once_are_not_both_taken(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """Where a replay has an effect of its own, another correction waits until the first one is settled."""
    mender.acts_itself = True
    id = await put(store, clock)
    begun, go = asyncio.Event(), asyncio.Event()

    async def slowly(wanted: ToMend) -> Mended:
        begun.set()
        await go.wait()
        return await mender.yes(wanted)

    mender.does = slowly
    first = asyncio.create_task(queue.replay(id, "ana", {"a": 2}))
    await begun.wait()
    with pytest.raises(Refused, match="with another input"):
        await queue.replay(id, "bob", {"a": 3})
    with pytest.raises(Refused, match="is being replayed"):
        await queue.discard(id, "bob")
    go.set()
    assert (await first)["corrected"] == {"a": 2}
    assert (await queue.replay(id, "bob", {"a": 3}))["corrected"] == {"a": 2}
    assert [seen.input for seen in mender.seen] == [{"a": 2}]


async def test_a_replay_that_was_cut_off_blocks_nobody_for_long(
    store: Store, queue: Review, clock: Clock, mender: Scripted
):
    """After a crash the same input goes at once, another one after half a minute."""
    mender.acts_itself = True
    id = await put(store, clock)

    async def crash(_: ToMend) -> Mended:
        raise Unavailable("the store is away")

    mender.does = crash
    with pytest.raises(Unavailable):
        await queue.replay(id, "ana")
    mender.does = mender.yes
    with pytest.raises(Refused):
        await queue.replay(id, "ana", {"a": 2})
    clock.forward(seconds=31)
    assert (await queue.replay(id, "ana", {"a": 2}))["status"] == "replayed"


async def test_what_changes_meanwhile_is_decided_again(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """A mender's changes hold for what it read; when that has moved on, it looks again."""
    await store.commit(Insert(Kind.LEADS, "l", {}))
    id = await put(store, clock)

    async def replace(wanted: ToMend) -> Mended:
        (found,) = await store.get(Kind.LEADS, "l")
        assert found is not None
        if len(mender.seen) == 1:
            await store.commit(Replace(Kind.LEADS, "l", found.version, {"moved": True}))
        return Mended("done", None, [Replace(Kind.LEADS, "l", found.version, {**found.body, "mended": True})])

    mender.does = replace
    await queue.replay(id, "ana")
    (found,) = await store.get(Kind.LEADS, "l")
    assert found is not None
    assert found.body == {"moved": True, "mended": True}


async def test_a_discarded_item_is_out_of_the_queue(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """Once, with the reason; it cannot be replayed, and what was replayed cannot be discarded."""
    id = await put(store, clock)
    done = await queue.discard(id, "ana", "a test record")
    assert (done["status"], done["history"][0]["did"]) == ("discarded", "discarded: a test record")
    assert await queue.discard(id, "bob") == done
    with pytest.raises(Refused):
        await queue.replay(id, "bob")
    other = await put(store, clock, "j")
    await queue.replay(other, "ana")
    with pytest.raises(Refused):
        await queue.discard(other, "ana")
    assert len(mender.seen) == 1


async def test_what_nobody_can_try_again_is_told(store: Store, queue: Review, clock: Clock):
    """An unknown item is not found; a kind without a mender can only be discarded."""
    with pytest.raises(NotFound):
        await queue.replay("nothing", "ana")
    with pytest.raises(NotFound):
        await queue.discard("nothing", "ana")
    id = await put(store, clock, kind=ReviewKind.SCORING)
    with pytest.raises(Refused, match="only discarded"):
        await queue.replay(id, "ana")
    assert not queue.can_replay(ReviewKind.SCORING)
    assert (await queue.discard(id, "ana"))["status"] == "discarded"


async def test_many_are_replayed_by_filter(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """Only what the filter names, oldest first, a bounded number, and one that fails costs the others nothing."""
    for n in range(6):
        clock.forward(seconds=1)
        await put(store, clock, f"q{n}", product_id="flow" if n % 2 else "grid", lead_id=f"l{n}")
    await put(store, clock, "out", ReviewKind.OUTBOUND, product_id="flow")

    async def some(wanted: ToMend) -> Mended:
        return await (mender.no if wanted.id == "q3" else mender.yes)(wanted)

    mender.does = some
    results, after = await queue.replay_all(Wanted(ReviewKind.QUARANTINE, "flow"), "ana", limit=2)
    assert [(r["id"], r["status"], r["error"]) for r in results] == [
        ("q1", "replayed", None),
        ("q3", "open", "occurred_at: is no time"),
    ]
    assert after is not None
    results, after = await queue.replay_all(Wanted(ReviewKind.QUARANTINE, "flow"), "ana", limit=2, after=after)
    assert ([r["id"] for r in results], after) == (["q5"], None)
    results, _ = await queue.replay_all(Wanted(lead_id="l0"), "ana")
    assert [r["id"] for r in results] == ["q0"]
    items, _ = await queue.list(ReviewStatus.OPEN)
    assert {item["id"] for item in items} == {"q2", "q3", "q4", "out"}


async def test_many_are_discarded_by_filter(store: Store, queue: Review, clock: Clock, mender: Scripted):
    """As many are replayed: what the filter names, a bounded number, each with the reason; the rest stays."""
    for n in range(4):
        clock.forward(seconds=1)
        await put(store, clock, f"q{n}", product_id="flow" if n else "grid", lead_id=f"l{n}")
    await put(store, clock, "u", ReviewKind.UNCERTAIN, product_id="flow")
    wanted = Wanted(product_id="flow")
    results, after = await queue.discard_all(wanted, "ana", "old tests", limit=2)
    assert [(r["id"], r["status"], r["lead_id"], r["error"]) for r in results] == [
        ("q1", "discarded", "l1", None),
        ("q2", "discarded", "l2", None),
    ]
    results, after = await queue.discard_all(wanted, "ana", limit=2, after=after)
    assert ([r["id"] for r in results], after) == (["q3"], None)
    assert [(await queue.get(id))["history"][0]["did"] for id in ("q1", "q3")] == ["discarded: old tests", "discarded"]
    items, _ = await queue.list(ReviewStatus.OPEN)
    assert {item["id"] for item in items} == {"q0", "u"}
    assert mender.seen == []
    results, _ = await queue.discard_all(Wanted(ReviewKind.UNCERTAIN), "ana")
    assert [r["status"] for r in results] == ["discarded"]


async def test_what_is_being_replayed_is_not_discarded_in_passing(store: Store, queue: Review, clock: Clock):
    """One item that cannot be discarded at this moment costs the others nothing, and says why."""
    busy, free = await put(store, clock), await put(store, clock, "j")
    (found,) = await store.get(Kind.REVIEW, busy)
    assert found is not None
    trial = {"input": "d", "until": later(clock(), seconds=9)}
    await store.commit(Replace(Kind.REVIEW, busy, found.version, {**found.body, "trial": trial}))
    results, _ = await queue.discard_all(Wanted(), "ana")
    assert {r["id"]: r["status"] for r in results} == {busy: "open", free: "discarded"}
    assert "is being replayed" in next(r["error"] for r in results if r["error"])


async def test_what_may_have_happened_is_not_replayed_in_passing(
    store: Store, queue: Review, clock: Clock, mender: Scripted
):
    """Somebody who replays everything does not send twice what perhaps was sent: that kind has to be named."""
    await put(store, clock, "u", ReviewKind.UNCERTAIN)
    assert (await queue.replay_all(Wanted(), "ana"))[0] == []
    results, _ = await queue.replay_all(Wanted(ReviewKind.UNCERTAIN), "ana")
    assert [r["id"] for r in results] == ["u"]


async def test_an_item_of_an_older_version_is_read(store: Store, queue: Review, clock: Clock):
    """Items from before there were histories can be replayed."""
    made = review.item(ReviewKind.QUARANTINE, reason="r", error="e", input=1, at=instant(clock()), id="old")
    body = {k: v for k, v in made.body.items() if k not in {"history", "trial", "corrected", "product_id"}}
    await store.commit(Insert(Kind.REVIEW, "old", body))
    assert (await queue.replay("old", "ana"))["status"] == "replayed"


async def test_what_ends_by_itself_is_noted(store: Store, queue: Review, clock: Clock):
    """A queue item that is no longer true closes with a line that says why."""
    id = await put(store, clock, kind=ReviewKind.UNCERTAIN)
    (found,) = await store.get(Kind.REVIEW, id)
    assert found is not None
    await store.commit(review.closed(found, "leadline", "closed: it was sent", at=later(clock(), seconds=1)))
    item = await queue.get(id)
    assert (item["status"], item["history"][0]["did"]) == ("discarded", "closed: it was sent")
