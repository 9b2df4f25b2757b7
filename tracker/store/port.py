"""The store port: `get`, `find`, `commit`. All state goes through these three verbs."""

import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import orjson
from msgspec import Struct

from tracker.errors import LeadlineError
from tracker.store.schema import Index, Kind

Scalar: TypeAlias = str | int | float | bool | None
Body: TypeAlias = dict[str, Any]


class Document(NamedTuple):
    """A stored JSON object. `version` counts its writes, from 1."""

    kind: Kind
    id: str
    version: int
    body: Body


class Insert(Struct, frozen=True):
    """Write a new document; `Duplicate` when the id is taken."""

    kind: Kind
    id: str
    body: Body


class Replace(Struct, frozen=True):
    """Write a document that was read at `version`; `Stale` when it has moved on or is gone."""

    kind: Kind
    id: str
    version: int
    body: Body


class Expect(Struct, frozen=True):
    """Demand that a document that was read, and is not written, is still at `version`; else `Stale`."""

    kind: Kind
    id: str
    version: int


class Delete(Struct, frozen=True):
    """Remove a document that was read at `version`; `Stale` when it has moved on or is gone."""

    kind: Kind
    id: str
    version: int


class Increment(Struct, frozen=True):
    """Add `by` to `value` of a counter; the first one creates it, with `labels` beside the value. Never conflicts.

    Attributes: lane: where writers would wait for each other on one document, a store may keep the counter as one for
        each lane, by the id `id:lane`. Who reads such a counter adds up what has its labels.
    """

    kind: Kind
    id: str
    by: int
    labels: Body
    lane: int | None = None


Change: TypeAlias = Insert | Replace | Expect | Delete | Increment


class Cursor(NamedTuple):
    """Where a page ended: the range value and the id of its last document."""

    value: Scalar
    id: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps([self.value, self.id])).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises: ValueError: `text` was not made by `encode`."""
        try:
            value, id = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError("not a cursor of this server") from error
        if not isinstance(id, str) or not isinstance(value, str | int | float | bool | None):
            raise ValueError("not a cursor of this server")
        return cls(value, id)


class Page(NamedTuple):
    """Documents in index order; `next` continues behind the last of them, None at the end."""

    items: list[Document]
    next: Cursor | None


class StoreError(LeadlineError):
    """What can go wrong in a store."""


class Conflict(StoreError):
    """A unit was refused whole because a document is not as the caller believed. Read again and decide again."""

    status: ClassVar[HTTPStatus] = HTTPStatus.CONFLICT

    def __init__(self, kind: Kind, id: str):
        super().__init__("the record was changed by somebody else at the same time; try again")
        self.kind, self.id = kind, id


class Duplicate(Conflict):
    """An `Insert` met an existing id."""


class Stale(Conflict):
    """A `Replace`, `Expect` or `Delete` named an old version."""


class Unavailable(StoreError):
    """The store cannot be reached or cannot write. Nothing of the unit was kept."""

    status: ClassVar[HTTPStatus] = HTTPStatus.SERVICE_UNAVAILABLE


class Unknown(Unavailable):
    """The store cannot say whether the unit was kept. Safe to repeat: every write has its own id."""


class Unusable(StoreError):
    """The store cannot be opened: damaged, of a newer version, or without what Leadline needs."""


Outcome: TypeAlias = Exception | None
"""What became of one unit: None where it was kept, else what `commit` would have raised: a StoreError, or a TypeError
where a body cannot be stored."""


class Store(Protocol):
    async def get(self, kind: Kind, *ids: str) -> list[Document | None]:
        """Return the documents with these ids, in the order asked, None where there is none."""
        ...

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
        """Return a page of the documents whose leading fields equal `prefix`.

        Args: low, high: bounds of the range field, `low <= value < high`. after: the `next` of the page before.
        """
        ...

    async def commit(self, *changes: Change) -> None:
        """Keep all changes, on disk, or none.

        Raises: Duplicate, Stale: nothing was kept. Unavailable: nothing was kept. Unknown: it may have been kept.
        """
        ...

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        """Keep or refuse each unit for itself, and return what became of each, in order."""
        ...

    async def ping(self) -> None:
        """Return when the store answers. Raises: Unavailable."""
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of the database."""
        ...


def check_unit(changes: Sequence[Change]) -> None:
    """Raises: ValueError: a unit names one document twice, which the databases would order differently."""
    if len({(change.kind, change.id) for change in changes}) == len(changes):
        return
    seen: set[tuple[Kind, str]] = set()
    for change in changes:
        key = (change.kind, change.id)
        if key in seen and not isinstance(change, Increment):
            raise ValueError(f"a unit may name {change.kind}/{change.id} once")
        seen.add(key)
