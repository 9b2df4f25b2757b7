"""Every store against a model of a few lines: random units, then everything that can be read."""

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tracker.store.port import (
    Change,
    Conflict,
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
)
from tracker.store.schema import INDEXES, Index, Kind

TIMELINE = next(index for index in INDEXES if index.prefix and index.range != "id" and not index.where)
PARTIAL = next(index for index in INDEXES if index.prefix and index.where)
BY_ID = next(index for index in INDEXES if index.prefix and index.range == "id")
WATCHED = (TIMELINE, PARTIAL, BY_ID)
KINDS = tuple(dict.fromkeys(index.kind for index in WATCHED))

_example = count()


class Model:
    """A store as the port describes it."""

    def __init__(self) -> None:
        self.documents: dict[tuple[Kind, str], Document] = {}

    def commit(self, unit: list[Change]) -> None:
        """Raises: Duplicate, Stale: nothing was kept."""
        after = dict(self.documents)
        for change in unit:
            key = (change.kind, change.id)
            found = after.get(key)
            match change:
                case Insert(kind, id, body):
                    if found:
                        raise Duplicate(kind, id)
                    after[key] = Document(kind, id, 1, body)
                case Increment(kind, id, by, labels):
                    body = {**found.body, "value": found.body["value"] + by} if found else {**labels, "value": by}
                    after[key] = Document(kind, id, found.version + 1 if found else 1, body)
                case Replace(kind, id, version) | Expect(kind, id, version) | Delete(kind, id, version):
                    if found is None or found.version != version:
                        raise Stale(kind, id)
                    if isinstance(change, Replace):
                        after[key] = Document(kind, id, version + 1, change.body)
                    elif isinstance(change, Delete):
                        del after[key]
        self.documents = after

    def find(self, index: Index, prefix: tuple[Any, ...], low: str, high: str, reverse: bool) -> list[Document]:
        def place(document: Document) -> Any:
            return document.id if index.range == "id" else document.body.get(index.range)

        def is_in(document: Document) -> bool:
            return (
                document.kind is index.kind
                and tuple(document.body.get(name) for name in index.prefix) == prefix
                and (index.where is None or document.body.get(index.where[0]) == index.where[1])
                and place(document) is not None
                and low <= place(document) < high
            )

        inside = filter(is_in, self.documents.values())
        return sorted(inside, key=lambda document: (place(document), document.id), reverse=reverse)


fields = {name for index in WATCHED for name in (*index.prefix, index.range) if name != "id"}
flags = {index.where[0]: index.where[1] for index in WATCHED if index.where}
bodies = st.fixed_dictionaries(
    {"note": st.integers(0, 3)},
    optional={name: st.sampled_from(["a", "b", None]) for name in fields}
    | {name: st.sampled_from([value, None]) for name, value in flags.items()},
)
names = st.tuples(st.sampled_from(KINDS), st.sampled_from("wxyz"))
versions = st.integers(1, 3)
changes = st.one_of(
    st.builds(lambda key, body: Insert(key[0], key[1], body), names, bodies),
    st.builds(lambda key, version, body: Replace(key[0], key[1], version, body), names, versions, bodies),
    st.builds(lambda key, version: Expect(key[0], key[1], version), names, versions),
    st.builds(lambda key, version: Delete(key[0], key[1], version), names, versions),
    st.builds(
        lambda id, by: Increment(Kind.COUNTERS, id, by, {"label": id}), st.sampled_from("uv"), st.integers(-3, 3)
    ),
)
units = st.lists(changes, max_size=5, unique_by=lambda change: (change.kind, change.id))


def tell_apart(mark: str, change: Change) -> Change:
    """Return the change with ids and range values of this example, which shares its database with the others."""
    change = replace(change, id=mark + change.id)
    if isinstance(change, Insert | Replace):
        ranges = {index.range for index in WATCHED} & change.body.keys()
        change = replace(
            change,
            body={
                **change.body,
                **{name: mark + change.body[name] for name in ranges if change.body[name] is not None},
            },
        )
    return change


async def outcome(store: Store, unit: list[Change]) -> tuple[type[Conflict], Kind, str] | None:
    try:
        await store.commit(*unit)
    except Conflict as error:
        return type(error), error.kind, error.id
    return None


def expected(model: Model, unit: list[Change]) -> tuple[type[Conflict], Kind, str] | None:
    try:
        model.commit(unit)
    except Conflict as error:
        return type(error), error.kind, error.id
    return None


@given(history=st.lists(units, max_size=10), limit=st.integers(1, 4), reverse=st.booleans())
async def test_a_store_does_what_the_model_does(
    any_store: Store, history: list[list[Change]], limit: int, reverse: bool
) -> None:
    """Every unit has the outcome of the model, and every document, range and page reads the same afterwards."""
    mark = f"{next(_example):06}-"
    model = Model()
    for raw in history:
        unit = [tell_apart(mark, change) for change in raw]
        assert await outcome(any_store, unit) == expected(model, unit)
    for kind in (*KINDS, Kind.COUNTERS):
        ids = [mark + id for id in "uvwxyz"]
        assert await any_store.get(kind, *ids) == [model.documents.get((kind, id)) for id in ids]
    low, high = mark, mark[:-1] + "."  # the character behind the dash
    for index in WATCHED:
        for value in ("a", None):
            prefix = (value,) * len(index.prefix)
            found: list[Document] = []
            after: Cursor | None = None
            while found == [] or after is not None:
                page = await any_store.find(
                    index, *prefix, low=low, high=high, reverse=reverse, after=after, limit=limit
                )
                found, after = found + page.items, page.next
                if not page.items:
                    break
            assert found == model.find(index, prefix, low, high, reverse)
