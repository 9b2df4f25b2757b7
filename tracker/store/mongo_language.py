"""Units, ranges and documents in the language of MongoDB. Nothing here talks to a server."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from tracker.store.port import Body, Change, Cursor, Delete, Document, Expect, Increment, Insert, Replace, Scalar
from tracker.store.schema import INDEXES, Index, Kind, stamp, upcast

Raw: TypeAlias = dict[str, Any]


class Write(NamedTuple):
    """One document's part of a unit. It counts when it found its document, or made it."""

    verb: Literal["insert", "replace", "update", "delete"]
    place: str
    query: Raw
    content: Raw
    upsert: bool = False


_ORDER: dict[type[Change], int] = {Delete: 0, Expect: 1, Replace: 1, Insert: 2, Increment: 3}
"""What may fail comes first, what others wait for (counters) last; and a document is counted after it is written."""


def writes_of(changes: Sequence[Change]) -> list[Write]:
    """Return one write for each document of the unit.

    Raises: TypeError, ValueError: a body is not JSON.
    """
    counters: dict[tuple[Kind, str], Write] = {}
    writes: list[Write] = []
    for change in sorted(changes, key=lambda change: (_ORDER[type(change)], change.kind)):
        match change:
            case Insert(kind, id, body):
                writes.append(Write("insert", kind, {}, {"_id": id, "version": 1, **_pack(kind, body)}))
            case Replace(kind, id, version, body):
                new = {"version": version + 1, **_pack(kind, body)}
                writes.append(Write("replace", kind, {"_id": id, "version": version}, new))
            case Expect(kind, id, version):
                # Reading would not conflict with whoever changes the document meanwhile; writing does.
                writes.append(Write("update", kind, {"_id": id, "version": version}, {"$inc": {"_guard": 1}}))
            case Delete(kind, id, version):
                writes.append(Write("delete", kind, {"_id": id, "version": version}, {}))
            case Increment(kind, id, by, labels, lane):
                id = id if lane is None else f"{id}:{lane}"
                if (kind, id) in counters:
                    by += counters[kind, id].content["$inc"]["value"]
                first = _pack(kind, labels)
                first.pop("value", None)
                content = {"$inc": {"value": by, "version": 1}, "$setOnInsert": first}
                counters[kind, id] = Write("update", kind, {"_id": id}, content, upsert=True)
    return writes + list(counters.values())


def bulk_write(database: str, writes: Iterable[Write]) -> Raw:
    """Return the one command that makes all writes, of MongoDB 8."""
    places: dict[str, int] = {}
    operations: list[Raw] = []
    for verb, place, query, content, upsert in writes:
        number = places.setdefault(place, len(places))
        match verb:
            case "insert":
                operations.append({"insert": number, "document": content})
            case "delete":
                operations.append({"delete": number, "filter": query, "multi": False})
            case _:
                update = {"filter": query, "updateMods": content, "upsert": upsert, "multi": False}
                operations.append({"update": number, **update})
    spaces = [{"ns": f"{database}.{place}"} for place in places]
    return {"bulkWrite": 1, "ops": operations, "nsInfo": spaces, "ordered": True, "errorsOnly": True}


def commands(writes: Iterable[Write]) -> Iterator[Raw]:
    """Yield the commands that make all writes, one for each run of the same collection and verb."""
    for (verb, place), run in groupby(writes, key=lambda write: (write.verb, write.place)):
        match verb:
            case "insert":
                yield {"insert": place, "documents": [write.content for write in run]}
            case "delete":
                yield {"delete": place, "deletes": [{"q": write.query, "limit": 1} for write in run]}
            case _:
                updates = [{"q": write.query, "u": write.content, "upsert": write.upsert} for write in run]
                yield {"update": place, "updates": updates}


def stretches(
    index: Index,
    prefix: tuple[Scalar, ...],
    *,
    low: Scalar,
    high: Scalar,
    reverse: bool,
    after: Cursor | None,
) -> Iterator[Raw]:
    """Yield the filters whose results, one behind the other, are the page. Each is one stretch of the index.

    Behind a cursor there are two: the rest of those with its range value, then the values beyond. One filter with an
    `$or` would say the same, but leave it to the planner whether the index still gives the order.
    """
    if len(prefix) != len(index.prefix):
        raise ValueError(f"{index.name} wants {index.prefix}")
    same: Raw = dict(zip(index.prefix, prefix, strict=True)) | dict([index.where] if index.where else [])
    field, beyond = field_of(index.range), "$lt" if reverse else "$gt"
    bounds: list[Raw] = [{field: {sign: bound}} for sign, bound in (("$gte", low), ("$lt", high)) if bound is not None]
    if after is None:
        yield same | {"$and": bounds or [{field: {"$ne": None}}]}  # what has no range value is not in the index
    elif index.range == "id":
        yield same | {"$and": [*bounds, {"_id": {beyond: after.id}}]}
    elif after.value is not None:
        yield same | {"$and": [*bounds, {field: after.value}, {"_id": {beyond: after.id}}]}
        yield same | {"$and": [*bounds, {field: {beyond: after.value}}]}


def _fields(index: Index) -> tuple[str, ...]:
    return (*index.prefix, index.range, *([index.where[0]] if index.where else []))


def field_of(name: str) -> str:
    """Return the field in which MongoDB has what the schema table calls `name`."""
    return "_id" if name == "id" else name


OWN = frozenset(("_id", "version", "_guard", "_json"))
"""Fields of the adapter. A body that has one of these names finds it again, but in MongoDB it is inside `_json`."""

_DEEPEST = 40
"""How deep a field may go. The limit of BSON is 100, and that of other tools is lower."""

_INDEXED = {kind: {name for index in INDEXES if index.kind is kind for name in _fields(index)} for kind in Kind}


def _pack(kind: Kind, body: Body) -> Raw:
    """Return a body as BSON takes it: the fields as they are, and in `_json` those that it would refuse or change.

    Raises: TypeError: the body is not JSON, or the value of an indexed field is not one that has an order.
    """
    plain: Raw = orjson.loads(orjson.dumps(stamp(kind, body)))
    odd = {name: value for name, value in plain.items() if name in OWN or not _is_plain({name: value})}
    if odd:
        plain = {name: value for name, value in plain.items() if name not in odd}
        plain["_json"] = orjson.dumps(odd).decode()
    for name in _INDEXED[kind]:
        if name in odd or isinstance(plain.get(name), list | dict):
            raise TypeError(f"the value of {name} in {kind} cannot be in an index")
    return plain


def _is_plain(value: Any, depth: int = 0) -> bool:
    match value:
        case dict():
            return depth < _DEEPEST and all(
                name and name[0] != "$" and "." not in name and "\0" not in name and _is_plain(part, depth + 1)
                for name, part in value.items()
            )
        case list():
            return depth < _DEEPEST and all(_is_plain(part, depth + 1) for part in value)
        case int():
            return -(2**63) <= value < 2**63
        case _:
            return True


def document_of(kind: Kind, raw: Raw) -> Document:
    """Return what was written with `_pack`. Takes `raw` apart."""
    id, version, odd = raw.pop("_id"), raw.pop("version"), raw.pop("_json", "{}")
    raw.pop("_guard", None)
    body: Body = orjson.loads(orjson.dumps(raw, default=str))  # BSON's own number types become plain ones
    body |= orjson.loads(odd)
    return Document(kind, id, version, upcast(kind, body))
