"""What is kept for a while only: all of it goes when its time is over, whoever else writes meanwhile."""

from collections.abc import Sequence
from typing import Any

import pytest

from tracker.forgetting import forget
from tracker.store.port import Change, Document, Insert, Outcome, Page, Replace, Store, Unavailable
from tracker.store.schema import SESSIONS_EXPIRY, Kind
from tracker.times import Instant

HIGH = Instant("2026-03-01T12:00:00.000Z")
OVER, NOT_OVER = "2026-03-01T10:00:00.000Z", "2026-03-01T13:00:00.000Z"


async def keep(store: Store, *ids: str, at: str = OVER) -> None:
    outcomes = await store.commit_each([[Insert(Kind.SESSIONS, id, {"expires_at": at})] for id in ids])
    assert not any(outcomes)


async def left(store: Store) -> list[str]:
    return [found.id for found in (await store.find(SESSIONS_EXPIRY, limit=1000)).items]


class Meddled:
    """A store in which somebody writes a document as soon as it was read."""

    def __init__(self, store: Store, id: str):
        self._store, self._id = store, id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def find(self, *args: Any, **more: Any) -> Page:
        page = await self._store.find(*args, **more)
        for found in page.items:
            if found.id == self._id:
                await self._store.commit(Replace(found.kind, found.id, found.version, found.body))
        return page


class Away:
    """A store that goes away before anything is written."""

    def __init__(self, store: Store):
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        return [Unavailable("the store is away") for _ in units]


async def test_all_that_is_over_goes(store: Store) -> None:
    """However many pages it fills; what is not over stays."""
    await keep(store, *(f"s{n}" for n in range(10)))
    await keep(store, "new", at=NOT_OVER)
    await keep(store, "now", at=HIGH)
    assert await forget(store, SESSIONS_EXPIRY, high=HIGH, chunk=3) == 10
    assert await left(store) == ["now", "new"]
    assert await forget(store, SESSIONS_EXPIRY, high=HIGH) == 0


async def test_one_call_comes_to_an_end(store: Store) -> None:
    """What is more than it may remove is left to the next one."""
    await keep(store, *(f"s{n}" for n in range(10)))
    assert await forget(store, SESSIONS_EXPIRY, high=HIGH, chunk=3, most=4) == 6
    assert await forget(store, SESSIONS_EXPIRY, high=HIGH, chunk=3, most=4) == 4


async def test_what_is_written_meanwhile_stays_and_keeps_nothing_else(store: Store) -> None:
    """It may no longer be over; the next call looks again."""
    await keep(store, *(f"s{n}" for n in range(5)))
    meddled: Any = Meddled(store, "s1")
    assert await forget(meddled, SESSIONS_EXPIRY, high=HIGH, chunk=3) == 4
    assert await left(store) == ["s1"]
    assert await forget(store, SESSIONS_EXPIRY, high=HIGH) == 1


async def test_what_may_not_go_is_passed_over(store: Store) -> None:
    """A page of it does not keep what comes behind it."""
    await keep(store, *(f"s{n}" for n in range(9)))

    async def choose(page: Sequence[Document]) -> Sequence[Document]:
        return [one for one in page if one.id > "s4"]

    assert await forget(store, SESSIONS_EXPIRY, high=HIGH, choose=choose, chunk=2, most=3) == 3
    assert await left(store) == ["s0", "s1", "s2", "s3", "s4", "s8"]


async def test_a_store_that_is_away_is_told(store: Store) -> None:
    """The tick logs it."""
    await keep(store, "s1")
    away: Any = Away(store)
    with pytest.raises(Unavailable):
        await forget(away, SESSIONS_EXPIRY, high=HIGH)
