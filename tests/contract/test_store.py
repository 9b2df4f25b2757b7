"""What every store promises, over each of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.store.port import (
    Change,
    Cursor,
    Delete,
    Document,
    Duplicate,
    Expect,
    Increment,
    Insert,
    Replace,
    Stale,
    Store,
    Unavailable,
)
from tracker.store.schema import INDEXES, Index, Kind

Opener = Callable[[], Awaitable[Store]]

TIMELINE = next(index for index in INDEXES if index.prefix and index.range != "id" and not index.where)
PARTIAL = next(index for index in INDEXES if index.prefix and index.where)
BY_ID = next(index for index in INDEXES if index.prefix and index.range == "id")
ALL = next(index for index in INDEXES if not index.prefix and index.range == "id")
UNINDEXED = next(kind for kind in Kind if not any(index.kind is kind for index in INDEXES))
SHAPES = pytest.mark.parametrize("index", [TIMELINE, PARTIAL, BY_ID, ALL], ids=lambda index: index.name)


def body_in(index: Index, at: Any, *, of: Any = "a", inside: bool = True) -> dict[str, Any]:
    """Return a body that stands in the index: its prefix fields are `of`, its range field is `at`."""
    fields: dict[str, Any] = dict.fromkeys(index.prefix, of)
    if index.range != "id":
        fields[index.range] = at
    if index.where:
        field, value = index.where
        fields[field] = value if inside else None
    return fields


async def ids(store: Store, index: Index, of: Any = "a", **options: Any) -> list[str]:
    page = await store.find(index, *[of] * len(index.prefix), **options)
    return [item.id for item in page.items]


async def outcomes(*units: Awaitable[None]) -> list[BaseException | None]:
    return await asyncio.gather(*units, return_exceptions=True)


# --- units


async def test_a_unit_of_many_kinds_is_kept_whole(any_store: Store) -> None:
    """Everything that a unit says is there when it has been acknowledged, with versions that count the writes."""
    await any_store.commit(Insert(Kind.LEADS, "l", {"score": 1}), Insert(Kind.PERSONS, "p", {"name": "Dana"}))
    await any_store.commit(
        Replace(Kind.LEADS, "l", 1, {"score": 2}),
        Expect(Kind.PERSONS, "p", 1),
        Insert(Kind.LEAD_EVENTS, "e", {}),
        Increment(Kind.COUNTERS, "c", 3, {}),
    )
    assert await any_store.get(Kind.LEADS, "l") == [Document(Kind.LEADS, "l", 2, {"score": 2})]
    assert await any_store.get(Kind.PERSONS, "p") == [Document(Kind.PERSONS, "p", 1, {"name": "Dana"})]
    assert await any_store.get(Kind.LEAD_EVENTS, "e") == [Document(Kind.LEAD_EVENTS, "e", 1, {})]
    assert await any_store.get(Kind.COUNTERS, "c") == [Document(Kind.COUNTERS, "c", 1, {"value": 3})]
    await any_store.commit(Delete(Kind.LEADS, "l", 2), Increment(Kind.COUNTERS, "c", -1, {}))
    assert await any_store.get(Kind.LEADS, "l") == [None]
    assert await any_store.get(Kind.COUNTERS, "c") == [Document(Kind.COUNTERS, "c", 2, {"value": 2})]


REFUSED: dict[str, tuple[Change, type[Exception]]] = {
    "insert existing": (Insert(Kind.LEADS, "there", {}), Duplicate),
    "replace old version": (Replace(Kind.LEADS, "there", 1, {}), Stale),
    "replace missing": (Replace(Kind.LEADS, "none", 1, {}), Stale),
    "expect old version": (Expect(Kind.LEADS, "there", 1), Stale),
    "expect missing": (Expect(Kind.LEADS, "none", 1), Stale),
    "delete old version": (Delete(Kind.LEADS, "there", 1), Stale),
    "delete missing": (Delete(Kind.LEADS, "none", 1), Stale),
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a unit"])
@pytest.mark.parametrize("case", REFUSED)
async def test_one_refused_change_refuses_its_unit(any_store: Store, case: str, alone: bool) -> None:
    """The error names the document that was not as believed, and nothing of the unit was kept."""
    await any_store.commit(Insert(Kind.LEADS, "there", {"n": 1}))
    await any_store.commit(Replace(Kind.LEADS, "there", 1, {"n": 2}))
    await any_store.commit(Insert(Kind.PERSONS, "other", {}))
    change, refusal = REFUSED[case]
    rest = (
        Insert(Kind.LEADS, "new", {}),
        Replace(Kind.PERSONS, "other", 1, {"n": 9}),
        Increment(Kind.COUNTERS, "c", 1, {}),
    )
    with pytest.raises(refusal) as caught:
        await any_store.commit(*(() if alone else rest[:2]), change, *(() if alone else rest[2:]))
    error = caught.value
    assert isinstance(error, Duplicate | Stale)
    assert (error.kind, error.id) == (change.kind, change.id)
    assert await any_store.get(Kind.LEADS, "there", "new") == [Document(Kind.LEADS, "there", 2, {"n": 2}), None]
    assert await any_store.get(Kind.PERSONS, "other") == [Document(Kind.PERSONS, "other", 1, {})]
    assert await any_store.get(Kind.COUNTERS, "c") == [None]


async def test_the_first_change_that_is_refused_is_named(any_store: Store) -> None:
    """With several reasons to refuse a unit, the first in its order is told, on every engine."""
    await any_store.commit(Insert(Kind.LEADS, "there", {}))
    stale, duplicate = Replace(Kind.PERSONS, "none", 1, {}), Insert(Kind.LEADS, "there", {})
    with pytest.raises(Stale):
        await any_store.commit(stale, duplicate)
    with pytest.raises(Duplicate):
        await any_store.commit(duplicate, stale)


async def test_a_deleted_id_can_be_used_again(any_store: Store) -> None:
    """Nothing stays behind a deleted document: its id starts again at version 1."""
    await any_store.commit(Insert(Kind.LEADS, "l", {"n": 1}))
    await any_store.commit(Delete(Kind.LEADS, "l", 1))
    await any_store.commit(Insert(Kind.LEADS, "l", {"n": 2}))
    assert await any_store.get(Kind.LEADS, "l") == [Document(Kind.LEADS, "l", 1, {"n": 2})]


async def test_a_unit_names_a_document_once(any_store: Store) -> None:
    """Two writes of one document in a unit have no order that all databases share: a mistake of the caller."""
    with pytest.raises(ValueError, match="leads/l once"):
        await any_store.commit(Insert(Kind.LEADS, "l", {}), Expect(Kind.LEADS, "l", 1))
    await any_store.commit()
    assert await any_store.get(Kind.LEADS, "l") == [None]


async def test_units_at_once_have_outcomes_of_their_own(any_store: Store) -> None:
    """One refused unit among many that arrive together costs the others nothing."""
    await any_store.commit(Insert(Kind.LEADS, "7", {}))
    units = (any_store.commit(Insert(Kind.LEADS, str(n), {}), Insert(Kind.PERSONS, str(n), {})) for n in range(40))
    results = await outcomes(*units)
    assert [n for n, result in enumerate(results) if result is not None] == [7]
    assert isinstance(results[7], Duplicate)
    persons = await any_store.get(Kind.PERSONS, *map(str, range(40)))
    assert [n for n, person in enumerate(persons) if person is None] == [7]


async def test_a_batch_tells_what_became_of_each_unit(any_store: Store) -> None:
    """One call takes many units, each kept or refused for itself; those about the same document follow each other."""
    await any_store.commit(Insert(Kind.LEADS, "there", {}))
    batch: list[list[Change]] = [
        [Insert(Kind.LEADS, "1", {"n": 1}), Increment(Kind.COUNTERS, "c", 1, {})],
        [Insert(Kind.LEADS, "there", {}), Increment(Kind.COUNTERS, "c", 10, {})],
        [Replace(Kind.LEADS, "1", 1, {"n": 2}), Increment(Kind.COUNTERS, "c", 100, {})],
        [],
        [Insert(Kind.LEADS, "bad", {"wrong": object()}), Increment(Kind.COUNTERS, "c", 1000, {})],
        [Replace(Kind.LEADS, "1", 1, {"n": 3}), Increment(Kind.COUNTERS, "c", 10_000, {})],
        [Replace(Kind.LEADS, "1", 2, {"n": 4}), Increment(Kind.COUNTERS, "c", 100_000, {})],
    ]
    results = await any_store.commit_each(batch)
    assert [result and type(result) for result in results] == [None, Duplicate, None, None, TypeError, Stale, None]
    assert await any_store.get(Kind.LEADS, "1", "bad") == [Document(Kind.LEADS, "1", 3, {"n": 4}), None]
    (counter,) = await any_store.get(Kind.COUNTERS, "c")
    assert counter is not None
    assert counter.body == {"value": 100_101}
    assert await any_store.commit_each([]) == []
    with pytest.raises(ValueError, match="leads/2 once"):
        await any_store.commit_each(
            [[Insert(Kind.LEADS, "3", {})], [Insert(Kind.LEADS, "2", {}), Insert(Kind.LEADS, "2", {})]]
        )
    assert await any_store.get(Kind.LEADS, "2", "3") == [None, None]


async def test_of_units_that_want_the_same_document_one_wins(any_store: Store) -> None:
    """Of many that insert an id, or replace a version, exactly one is kept and the others are told."""
    inserts = await outcomes(*(any_store.commit(Insert(Kind.LEADS, "l", {"by": n})) for n in range(12)))
    assert [type(result) for result in inserts if result] == [Duplicate] * 11
    replaces = await outcomes(
        *(any_store.commit(Replace(Kind.LEADS, "l", 1, {}), Insert(Kind.TURNS, str(n), {})) for n in range(12))
    )
    assert [type(result) for result in replaces if result] == [Stale] * 11
    assert len([turn for turn in await any_store.get(Kind.TURNS, *map(str, range(12))) if turn]) == 1


async def test_expect_holds_until_the_unit_is_kept(open_any: Opener) -> None:
    """Two units that each expect what the other one changes are never both kept, whichever processes they come from."""
    one, two = await open_any(), await open_any()
    pairs = range(12)
    await asyncio.gather(*(one.commit(Insert(Kind.LEADS, f"{n}", {}), Insert(Kind.PERSONS, f"{n}", {})) for n in pairs))
    left = (one.commit(Expect(Kind.PERSONS, f"{n}", 1), Replace(Kind.LEADS, f"{n}", 1, {})) for n in pairs)
    right = (two.commit(Expect(Kind.LEADS, f"{n}", 1), Replace(Kind.PERSONS, f"{n}", 1, {})) for n in pairs)
    results = await outcomes(*left, *right)
    for n in pairs:
        kept, refused = sorted((results[n], results[n + len(pairs)]), key=lambda result: result is not None)
        assert kept is None
        assert isinstance(refused, Stale)
    await one.close()
    await two.close()


async def test_expecting_leaves_the_document_as_it_is(any_store: Store) -> None:
    """To expect a document changes neither its version nor its body, however often."""
    await any_store.commit(Insert(Kind.PERSONS, "p", {"name": "Dana"}))
    for n in range(3):
        await any_store.commit(Expect(Kind.PERSONS, "p", 1), Insert(Kind.MESSAGES, str(n), {}))
    await any_store.commit(Expect(Kind.PERSONS, "p", 1))
    assert await any_store.get(Kind.PERSONS, "p") == [Document(Kind.PERSONS, "p", 1, {"name": "Dana"})]


# --- counters


async def test_increments_add_up(open_any: Opener) -> None:
    """Whoever counts at the same time, from however many processes, the sum is exact and nobody is refused."""
    stores = [await open_any(), await open_any()]
    units = (
        store.commit(Increment(Kind.COUNTERS, "c", n, {}), Insert(Kind.TURNS, f"{place}-{n}", {}))
        for place, store in enumerate(stores)
        for n in range(20)
    )
    await asyncio.gather(*units)
    (counter,) = await stores[0].get(Kind.COUNTERS, "c")
    assert counter is not None
    assert counter.body == {"value": 2 * sum(range(20))}
    for store in stores:
        await store.close()


async def test_the_first_increment_labels_the_counter(any_store: Store) -> None:
    """Labels are written once, so that a counter can be found by its index; several increments of a unit add up."""
    index = next(index for index in INDEXES if index.kind is Kind.COUNTERS)
    labels = body_in(index, "2026-03-01")
    await any_store.commit(Increment(Kind.COUNTERS, "c", 2, labels), Increment(Kind.COUNTERS, "c", 3, labels))
    await any_store.commit(Increment(Kind.COUNTERS, "c", 5, body_in(index, "2026-03-02")))
    page = await any_store.find(index, *["a"] * len(index.prefix), low="2026-03-01", high="2026-03-02")
    assert [item.body for item in page.items] == [{**labels, "value": 10}]


async def test_lanes_add_up_to_their_counter(any_store: Store) -> None:
    """However a store keeps them, what has the labels of a counter adds up to what was counted."""
    index = next(index for index in INDEXES if index.kind is Kind.COUNTERS)
    labels = body_in(index, "2026-03-01")
    units = (
        [Increment(Kind.COUNTERS, "c", n, labels, n % 3), Increment(Kind.COUNTERS, "c", 1, labels, 0)] for n in range(9)
    )
    assert await any_store.commit_each(list(units)) == [None] * 9
    page = await any_store.find(index, *["a"] * len(index.prefix), low="2026-03-01", high="2026-03-02")
    assert sum(item.body["value"] for item in page.items) == sum(range(9)) + 9


# --- bodies


NASTY: dict[str, Any] = {
    "$where": 1,
    "a.b": {"c.d": [{"$ref": "x", "$id": 1}]},
    "reference": {"$ref": "x", "$id": 1},
    "list": [[], {}, [{"x.y": None}]],
    "nul\0key": "nul\0value",
    "": "no name",
    "_id": "mine",
    "version": 7,
    "_json": "{}",
    "_guard": True,
    "largest": 2**64 - 1,
    "larger": 2**63,
    "least": -(2**63),
    "half": 0.5,
    "whole": 1.0,
    "no": False,
    "null": None,
    "text": "Grüße 👋 \u2028",
}


async def test_a_body_may_be_any_json(any_store: Store) -> None:
    """Names and numbers that a database would refuse, or take for its own, come back as they went in."""
    deep: Any = "bottom"
    for _ in range(90):
        deep = {"d": [deep]}
    nasty = {**NASTY, "deep": deep}
    await any_store.commit(Insert(Kind.LEADS, "i", nasty), Increment(Kind.COUNTERS, "c", 1, nasty))
    await any_store.commit(Replace(Kind.LEADS, "i", 1, nasty))
    assert await any_store.get(Kind.LEADS, "i") == [Document(Kind.LEADS, "i", 2, nasty)]
    assert await any_store.get(Kind.COUNTERS, "c") == [Document(Kind.COUNTERS, "c", 1, {**nasty, "value": 1})]


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(bodies=st.lists(st.dictionaries(text.filter(lambda name: name != "schema"), json, max_size=6), max_size=6))
async def test_every_json_object_comes_back(any_store: Store, bodies: list[dict[str, Any]]) -> None:
    """A store neither changes nor refuses what JSON can say."""
    names = [f"{_next():06}-{n}" for n in range(len(bodies))]
    await any_store.commit(*(Insert(UNINDEXED, id, body) for id, body in zip(names, bodies, strict=True)))
    assert [item and item.body for item in await any_store.get(UNINDEXED, *names)] == bodies


_count = iter(range(10**6))


def _next() -> int:
    return next(_count)


@pytest.mark.parametrize("wrong", [object(), {1: 2}, 2**64, "\ud800"], ids=["object", "key", "number", "text"])
async def test_what_is_not_json_is_refused_alone(any_store: Store, wrong: Any) -> None:
    """A mistake in one body reaches its caller, and no other unit that is written at the same time."""
    bad = any_store.commit(Insert(Kind.TURNS, "x", {}), Insert(Kind.LEADS, "bad", {"wrong": wrong}))
    counting = any_store.commit(Increment(Kind.COUNTERS, "c", 1, {"wrong": wrong}))
    results = await outcomes(any_store.commit(Insert(Kind.LEADS, "good", {})), bad, counting)
    assert results[0] is None
    assert all(isinstance(result, TypeError | ValueError) for result in results[1:])
    assert [bool(item) for item in await any_store.get(Kind.LEADS, "good", "bad")] == [True, False]
    assert await any_store.get(Kind.TURNS, "x") == [None]


@pytest.mark.parametrize("value", [[], {}, 2**63], ids=["list", "object", "number"])
async def test_an_indexed_field_has_an_order(any_store: Store, value: Any) -> None:
    """What no index could order the same way everywhere is refused, and no other unit with it."""
    bad = any_store.commit(Insert(TIMELINE.kind, "bad", body_in(TIMELINE, value)))
    results = await outcomes(bad, any_store.commit(Insert(TIMELINE.kind, "good", body_in(TIMELINE, 1))))
    assert isinstance(results[0], TypeError)
    assert results[1] is None
    assert await ids(any_store, TIMELINE) == ["good"]


async def test_get_answers_in_the_order_asked(any_store: Store) -> None:
    """Any number of ids, repeated or missing ones too; another kind has ids of its own."""
    many = [f"{n}" for n in range(250)]
    await any_store.commit(*(Insert(Kind.LEADS, id, {"id": id}) for id in many))
    found = await any_store.get(Kind.LEADS, "none", *reversed(many), "7")
    assert [item and item.body["id"] for item in found] == [None, *reversed(many), "7"]
    assert await any_store.get(Kind.PERSONS, "7") == [None]
    assert await any_store.get(Kind.LEADS) == []


# --- ranges


@SHAPES
async def test_find_goes_through_a_range_in_both_directions(any_store: Store, index: Index) -> None:
    """Documents come in the order of the range field and then of their ids, low bound included and high excluded."""
    names = ["e1", "e2", "e3", "e4", "e5"]
    ats = names if index.range == "id" else ["t1", "t2", "t2", "t3", "t4"]
    await any_store.commit(*(Insert(index.kind, id, body_in(index, at)) for id, at in zip(names, ats, strict=True)))
    if index.prefix:
        await any_store.commit(Insert(index.kind, "e2b", body_in(index, "t2", of="b")))
    assert await ids(any_store, index) == names
    assert await ids(any_store, index, reverse=True) == names[::-1]
    bounds = {"low": ats[1], "high": ats[4]}
    assert await ids(any_store, index, **bounds) == names[1:4]
    assert await ids(any_store, index, **bounds, reverse=True) == names[3:0:-1]
    assert await ids(any_store, index, low=ats[4]) == names[4:]
    assert await ids(any_store, index, high=ats[0]) == []
    assert await ids(any_store, index, **bounds, limit=2) == names[1:3]


async def test_find_compares_numbers_as_numbers(any_store: Store) -> None:
    """A range over numbers has the order of numbers."""
    numbers = [2, 10, -1, 2.5, 0]
    await any_store.commit(*(Insert(TIMELINE.kind, str(n), body_in(TIMELINE, n)) for n in numbers))
    assert await ids(any_store, TIMELINE) == ["-1", "0", "2", "2.5", "10"]
    assert await ids(any_store, TIMELINE, low=0, high=10) == ["0", "2", "2.5"]


async def test_a_partial_index_follows_its_field(any_store: Store) -> None:
    """A document enters and leaves a partial index when the field that decides it changes."""
    for n, inside in enumerate((True, False, True, False)):
        body = body_in(PARTIAL, "t", inside=inside)
        await any_store.commit(Replace(PARTIAL.kind, "m", n, body) if n else Insert(PARTIAL.kind, "m", body))
        assert await ids(any_store, PARTIAL) == ["m"] * inside
    await any_store.commit(Replace(PARTIAL.kind, "m", 4, body_in(PARTIAL, "t")))
    await any_store.commit(Delete(PARTIAL.kind, "m", 5))
    assert await ids(any_store, PARTIAL) == []


async def test_a_prefix_may_be_null(any_store: Store) -> None:
    """To look for null finds the documents whose field is null and those that have no such field."""
    null, missing = body_in(TIMELINE, "t1", of=None), {TIMELINE.range: "t2"}
    await any_store.commit(Insert(TIMELINE.kind, "null", null), Insert(TIMELINE.kind, "missing", missing))
    await any_store.commit(Insert(TIMELINE.kind, "other", body_in(TIMELINE, "t1")))
    assert await ids(any_store, TIMELINE, of=None) == ["null", "missing"]
    assert await ids(any_store, TIMELINE) == ["other"]


async def test_what_has_no_range_value_is_not_in_the_index(any_store: Store) -> None:
    """No page of any direction holds a document whose range field is null or missing, bounds or not."""
    bare = dict.fromkeys(TIMELINE.prefix, "a")
    await any_store.commit(
        Insert(TIMELINE.kind, "null", body_in(TIMELINE, None)),
        Insert(TIMELINE.kind, "missing", bare),
        Insert(TIMELINE.kind, "there", body_in(TIMELINE, "t")),
    )
    for options in ({}, {"low": "a"}, {"high": "z"}, {"reverse": True}):
        assert await ids(any_store, TIMELINE, **options) == ["there"]


async def test_find_wants_the_whole_prefix(any_store: Store) -> None:
    """A prefix that is too short or too long would not be served by the index: a mistake of the caller."""
    with pytest.raises(ValueError, match=TIMELINE.name):
        await any_store.find(TIMELINE)
    with pytest.raises(ValueError, match=ALL.name):
        await any_store.find(ALL, "a")


# --- pages


async def pages(store: Store, index: Index, **options: Any) -> list[str]:
    """Return the ids of all pages; every cursor goes through its text, as it does over HTTP."""
    found: list[str] = []
    after: Cursor | None = None
    while True:
        page = await store.find(index, *["a"] * len(index.prefix), after=after, **options)
        found += [item.id for item in page.items]
        if page.next is None:
            return found
        assert len(page.items) == options["limit"]
        after = Cursor.decode(page.next.encode())


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@SHAPES
async def test_pages_hold_every_document_once(any_store: Store, index: Index, reverse: bool) -> None:
    """However many documents share a range value, and whatever the page size, none is lost or repeated."""
    names = [f"{n:02}" for n in range(24)]
    writes = [Insert(index.kind, id, body_in(index, f"t{n // 9}")) for n, id in enumerate(names)]
    others = [Insert(index.kind, f"{id}x", body_in(index, "t1", of="b")) for id in names if index.prefix]
    await any_store.commit(*reversed(writes), *others)
    expected = names[::-1] if reverse else names
    for limit in (1, 4, 9, 23, 24, 25):
        assert await pages(any_store, index, limit=limit, reverse=reverse) == expected
    bounds = {"low": "03", "high": "20"} if index.range == "id" else {"low": "t0", "high": "t2"}
    inside = (
        [id for id in expected if "03" <= id < "20"] if index.range == "id" else [id for id in expected if id < "18"]
    )
    assert await pages(any_store, index, limit=5, reverse=reverse, **bounds) == inside


async def test_a_page_ends_with_the_last_document(any_store: Store) -> None:
    """There is a next page exactly when there are more documents."""
    await any_store.commit(*(Insert(ALL.kind, str(n), {}) for n in range(3)))
    assert (await any_store.find(ALL, limit=3)).next is None
    page = await any_store.find(ALL, limit=2)
    assert page.next == Cursor("1", "1")
    assert [item.id for item in (await any_store.find(ALL, after=page.next)).items] == ["2"]


@pytest.mark.parametrize("bad", ["", "x", "%%%", "bnVsbA", "WzFd", "e30", "WzEsMl0", "W1tdLCJhIl0", "Grüße", "W10="])
def test_a_cursor_that_is_not_ours_is_refused(bad: str) -> None:
    """What a client sends as a cursor is checked before it reaches a database."""
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.decode(bad)


@given(value=st.none() | st.booleans() | numbers | text, id=text)
def test_a_cursor_comes_back_from_its_text(value: Any, id: str) -> None:
    """The text of a cursor is safe in a URL and says the same."""
    encoded = Cursor(value, id).encode()
    assert encoded.replace("-", "").replace("_", "").isalnum()
    assert Cursor.decode(encoded) == Cursor(value, id)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
async def test_a_forged_cursor_does_not_leave_the_bounds(any_store: Store, reverse: bool) -> None:
    """A cursor moves within what was asked for, never out of it, whatever a client makes of its text."""
    await any_store.commit(*(Insert(TIMELINE.kind, f"e{n}", body_in(TIMELINE, f"t{n}")) for n in range(6)))
    for value in ("t0", "t5", None, True, 3):
        found = await ids(any_store, TIMELINE, low="t2", high="t4", reverse=reverse, after=Cursor(value, "e3"))
        assert set(found) <= {"e2", "e3"}


# --- life


async def test_a_caller_that_goes_away_does_not_tear_its_unit(any_store: Store) -> None:
    """A unit that was begun is kept whole although nobody waits for it any more."""
    caller = asyncio.create_task(any_store.commit(Insert(Kind.LEADS, "l", {}), Insert(Kind.PERSONS, "p", {})))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    with pytest.raises(Duplicate):  # a unit about the same document comes after it
        await any_store.commit(Insert(Kind.LEADS, "l", {}))
    assert None not in await any_store.get(Kind.PERSONS, "p")


async def test_close_finishes_what_was_begun(open_any: Opener) -> None:
    """Units that wait when the store is closed are written first; later ones are told."""
    store = await open_any()
    units = [asyncio.create_task(store.commit(Insert(Kind.LEADS, str(n), {}))) for n in range(30)]
    await asyncio.sleep(0)
    await store.close()
    assert await outcomes(*units) == [None] * 30
    with pytest.raises(Unavailable):
        await store.commit(Insert(Kind.LEADS, "late", {}))
    with pytest.raises(Unavailable):
        await store.get(Kind.LEADS, "1")
    with pytest.raises(Unavailable):
        await store.ping()
    again = await open_any()
    await again.ping()
    assert None not in await again.get(Kind.LEADS, *map(str, range(30)))
    await again.close()
