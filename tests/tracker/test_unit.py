"""`run`: read, decide, commit, and again when somebody else was faster."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from msgspec import structs

from tests.strategies import NOON
from tracker import unit
from tracker.lead import Lead
from tracker.person import Person
from tracker.ports import Facts
from tracker.product import ProductConfig
from tracker.store.port import Change, Document, Duplicate, Insert, Replace, Store, Unavailable
from tracker.store.schema import Kind
from tracker.times import instant
from tracker.unit import Decision, run

AT = instant(NOON)
FACTS = Facts(
    lead_id="l",
    lead=Lead(person_id="p", product_id="x", config_number=1, created_at=AT, updated_at=AT),
    person=Person(created_at=AT, updated_at=AT),
    config=ProductConfig(product_id="x", name="X"),
    now=NOON,
)


def reader(store: Store, calls: list[int] | None = None) -> Callable[[], Awaitable[Document | None]]:
    async def read() -> Document | None:
        if calls is not None:
            calls.append(1)
        (found,) = await store.get(Kind.PRODUCTS, "n")
        return found

    return read


def add_one(found: Document | None) -> Decision[int]:
    if found is None:
        return Decision(1, [Insert(Kind.PRODUCTS, "n", {"n": 1})])
    n = found.body["n"] + 1
    return Decision(n, [Replace(Kind.PRODUCTS, "n", found.version, {"n": n})])


async def test_a_lost_race_is_run_again(store: Store) -> None:
    """Somebody wrote between our reading and our commit: we read what they wrote, and nothing of theirs is lost."""
    calls: list[int] = []
    plain = reader(store)

    async def read() -> Document | None:
        found = await reader(store, calls)()
        if len(calls) <= 2:
            await run(store, plain, add_one)
        return found

    assert await run(store, read, add_one) == 3
    assert len(calls) == 3


async def test_it_gives_up_when_the_race_never_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller waits for a bounded number of attempts, and is then told when to come back."""
    monkeypatch.setattr(unit, "ATTEMPTS", 5)
    await store.commit(Insert(Kind.PRODUCTS, "n", {"n": 1}))
    calls: list[int] = []
    with pytest.raises(Unavailable) as raised:
        await run(store, reader(store, calls), lambda _: Decision(None, [Insert(Kind.PRODUCTS, "n", {})]))
    assert (len(calls), raised.value.status, raised.value.retry_after) == (5, 503, 1)


async def test_a_refusal_is_not_tried_again(store: Store) -> None:
    """What the domain refuses goes to the caller at once, and nothing is kept."""
    calls: list[int] = []

    def refuse(_: object) -> Decision[None]:
        raise KeyError("no")

    with pytest.raises(KeyError):
        await run(store, reader(store, calls), refuse)
    assert len(calls) == 1


async def test_the_answer_is_kept_in_the_same_commit(store: Store) -> None:
    """The record of a request and what it did are there together or not at all."""

    def record(outcome: int, /) -> Change:
        return Insert(Kind.IDEMPOTENCY, "k", {"expires_at": AT, "answer": outcome})

    assert await run(store, reader(store), add_one, record=record) == 1
    (kept,) = await store.get(Kind.IDEMPOTENCY, "k")
    assert kept is not None
    assert kept.body["answer"] == 1
    with pytest.raises(Duplicate) as raised:  # the same request, elsewhere at this moment
        await run(store, reader(store), add_one, record=record)
    assert raised.value.kind is Kind.IDEMPOTENCY
    (counter,) = await store.get(Kind.PRODUCTS, "n")
    assert counter is not None
    assert counter.body["n"] == 1


class Echo:
    """A reactor of another room: writes one document with what it read."""

    def concerns(self, facts: Facts) -> bool:
        return facts.lead_id != "of nobody's concern"

    async def read(self, store: Store, facts: Facts) -> Any:
        return await store.get(Kind.PRODUCTS, "n")

    def decide(self, facts: Facts, known: Any) -> Iterable[Change]:
        yield Insert(Kind.ENROLMENTS, facts.lead_id, {"saw": [d and d.body["n"] for d in known]})


async def test_what_does_not_concern_a_room_costs_it_nothing(store: Store) -> None:
    """A reactor that says so is neither given a reading nor asked for changes."""
    facts = structs.replace(FACTS, lead_id="of nobody's concern")
    await run(store, reader(store), lambda found: Decision(0, add_one(found).changes, [facts]), reactors=[Echo()])
    assert await store.get(Kind.ENROLMENTS, facts.lead_id) == [None]


async def test_reactors_join_the_commit(store: Store) -> None:
    """Another room's changes go into the commit that gives the reason, and are decided anew with every attempt."""
    first = True

    def decide(found: Document | None) -> Decision[int]:
        return Decision(0, add_one(found).changes, [FACTS])

    async def read() -> Document | None:
        nonlocal first
        found = await reader(store)()
        if first:
            first = False
            await run(store, reader(store), add_one)
        return found

    await run(store, read, decide, reactors=[Echo()])
    (written,) = await store.get(Kind.ENROLMENTS, "l")
    assert written is not None
    assert written.body["saw"] == [1]
