"""Sessions: who is signed in, and for how long."""

import pytest

from tests.fakes import Clock
from tests.tracker.desk.conftest import CHEAP, PASSWORD
from tracker.desk import sessions
from tracker.desk.sessions import IDLE_HOURS, LONGEST_HOURS, Sessions
from tracker.desk.users import Users
from tracker.store.port import Store
from tracker.store.schema import SESSIONS_EXPIRY


class Door:
    """Sessions and users with one clock, and ana, who is signed in."""

    def __init__(self, store: Store):
        self.store, self.clock = store, Clock()
        self.users = Users(store, self.clock, cost=CHEAP)
        self.sessions = Sessions(store, self.clock)
        self.token = ""

    async def is_open(self, token: str | None = None, *, noted: bool = True) -> bool:
        return await self.sessions.visitor(token or self.token, noted=noted) is not None


@pytest.fixture
async def door(store: Store) -> Door:
    door = Door(store)
    door.token = await door.sessions.open(await door.users.add("ana", PASSWORD))
    return door


async def test_a_token_is_who_it_was_made_for(door: Door) -> None:
    visitor = await door.sessions.visitor(door.token)
    assert visitor is not None
    assert visitor.user.name == "ana"
    for token in (None, "", "guessed", door.token + "x", "\udcff"):
        assert await door.sessions.visitor(token) is None


async def test_the_store_never_sees_a_token(door: Door) -> None:
    """Who reads the database cannot sign in, nor fill in a form."""
    (kept,) = (await door.store.find(SESSIONS_EXPIRY)).items
    visitor = await door.sessions.visitor(door.token)
    assert visitor is not None
    assert door.token not in str(kept)
    assert visitor.csrf not in str(kept)
    assert not await door.is_open(kept.id)


async def test_each_session_has_forms_of_its_own(door: Door) -> None:
    (user,) = await door.users.all()
    other = await door.sessions.visitor(await door.sessions.open(user))
    mine = await door.sessions.visitor(door.token)
    assert mine is not None
    assert other is not None
    assert mine.csrf != other.csrf


async def test_an_idle_session_ends(door: Door) -> None:
    door.clock.forward(hours=IDLE_HOURS, seconds=-1)
    assert await door.is_open(noted=False)
    door.clock.forward(seconds=1)
    assert not await door.is_open()


async def test_a_busy_session_goes_on_for_a_week(door: Door) -> None:
    for _ in range(LONGEST_HOURS // 6 - 1):
        door.clock.forward(hours=6)
        assert await door.is_open()
    door.clock.forward(hours=6)
    assert not await door.is_open()


async def test_a_page_that_asks_by_itself_keeps_nobody_signed_in(door: Door) -> None:
    """An open handoff asks every two seconds, also when everybody went home."""
    for _ in range(IDLE_HOURS - 1):
        door.clock.forward(hours=1)
        assert await door.is_open(noted=False)
    door.clock.forward(hours=1)
    assert not await door.is_open(noted=False)


async def test_a_busy_session_writes_seldom(door: Door) -> None:
    (before,) = (await door.store.find(SESSIONS_EXPIRY)).items
    for _ in range(5):
        door.clock.forward(seconds=100)
        assert await door.is_open()
    (after,) = (await door.store.find(SESSIONS_EXPIRY)).items
    assert after.version == before.version


async def test_signing_out_ends_this_session_only(door: Door) -> None:
    (user,) = await door.users.all()
    other = await door.sessions.open(user)
    await door.sessions.end(door.token)
    await door.sessions.end(door.token)
    await door.sessions.end(None)
    assert not await door.is_open()
    assert await door.is_open(other)


async def test_another_password_ends_every_session(door: Door) -> None:
    (user,) = await door.users.all()
    other = await door.sessions.open(user)
    await door.users.change_password("ana", "a new password")
    assert not await door.is_open()
    assert not await door.is_open(other)


async def test_a_user_who_came_back_does_not_bring_old_sessions(door: Door) -> None:
    await door.users.remove("ana")
    assert not await door.is_open()
    await door.users.add("ana", PASSWORD)
    assert not await door.is_open()


async def test_what_is_over_is_forgotten(door: Door) -> None:
    assert await sessions.forget_expired(door.store, at=door.clock()) == 0
    door.clock.forward(hours=IDLE_HOURS, seconds=1)
    assert await sessions.forget_expired(door.store, at=door.clock()) == 1
    assert (await door.store.find(SESSIONS_EXPIRY)).items == []
