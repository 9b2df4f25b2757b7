"""Users of the desk and their passwords."""

import pytest

from tests.fakes import Clock
from tests.tracker.desk.conftest import CHEAP, PASSWORD
from tracker.desk import passwords
from tracker.desk.passwords import Cost, PasswordHash
from tracker.desk.users import Role, Users, user_id
from tracker.errors import Invalid, NotFound, Refused
from tracker.store.port import Store
from tracker.store.schema import Kind


@pytest.fixture
def users(store: Store) -> Users:
    return Users(store, Clock(), cost=CHEAP)


async def test_the_right_password_opens_and_no_other(users: Users) -> None:
    """The name in any case and any spacing, the password to the letter."""
    await users.add("Ana Lopez", PASSWORD, Role.ADMIN)
    for name in ("Ana Lopez", " ana  lopez "):
        user = await users.verified(name, PASSWORD)
        assert user is not None
        assert (user.name, user.role) == ("Ana Lopez", Role.ADMIN)
    for name, password in (("Ana Lopez", PASSWORD + " "), ("Ana Lopez", ""), ("ana", PASSWORD), ("", PASSWORD)):
        assert await users.verified(name, password) is None
    assert await users.verified("Ana Lopez", PASSWORD * 100_000) is None


async def test_a_password_is_its_letters_not_its_bytes(users: Users) -> None:
    """One keyboard writes é as one code point, another as two."""
    await users.add("ana", "caf\u00e9 au lait")
    assert await users.verified("ana", "cafe\u0301 au lait") is not None


async def test_the_store_never_sees_a_password(users: Users, store: Store) -> None:
    """Two users with one password have different hashes, with the parameters beside them."""
    for name in ("ana", "ben"):
        await users.add(name, PASSWORD)
    ana, ben = await store.get(Kind.USERS, "ana", "ben")
    assert ana is not None
    assert ben is not None
    assert PASSWORD not in f"{ana} {ben}"
    assert ana.body["password"]["digest"] != ben.body["password"]["digest"]
    assert {name: ana.body["password"][name] for name in "nrp"} == CHEAP._asdict()


async def test_a_hash_of_other_parameters_still_opens(users: Users, store: Store) -> None:
    """Passwords made before the parameters grew are not lost."""
    await users.add("ana", PASSWORD)
    assert await Users(store, Clock(), cost=Cost(n=32, r=2, p=1)).verified("ana", PASSWORD) is not None


async def test_whoever_is_unknown_costs_as_much_as_whoever_is_not(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hash of the same parameters each time: the clock tells nobody who exists."""
    await users.add("ana", PASSWORD)
    costs = []

    def matches(password: str, stored: PasswordHash) -> bool:
        costs.append((stored.n, stored.r, stored.p))
        return False

    monkeypatch.setattr(passwords, "matches", matches)
    assert await users.verified("ana", "wrong password") is None
    assert await users.verified("nobody", "wrong password") is None
    assert costs == [CHEAP, CHEAP]


async def test_a_name_is_taken_once(users: Users) -> None:
    await users.add("ana", PASSWORD)
    with pytest.raises(Refused, match="there is a user named ANA already"):
        await users.add("ANA", "another password")
    assert await users.verified("ana", PASSWORD) is not None


@pytest.mark.parametrize("name", ["", "  ", "\x00", "x" * 101])
async def test_a_name_that_cannot_be(users: Users, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        await users.add(name, PASSWORD)


@pytest.mark.parametrize("password", ["", "123456789", "x" * 1001])
async def test_a_password_that_cannot_be(users: Users, password: str) -> None:
    """Ten characters at least, for new users and for old ones."""
    with pytest.raises(Invalid, match="10 to 1,000 characters"):
        await users.add("ana", password)
    await users.add("ben", PASSWORD)
    with pytest.raises(Invalid, match="10 to 1,000 characters"):
        await users.change_password("ben", password)


async def test_another_password_replaces_the_old_one(users: Users) -> None:
    await users.add("ana", PASSWORD)
    await users.change_password("Ana", "a new password")
    assert await users.verified("ana", PASSWORD) is None
    assert await users.verified("ana", "a new password") is not None


async def test_who_is_gone_is_gone(users: Users) -> None:
    await users.add("ana", PASSWORD)
    await users.remove("ANA")
    assert await users.verified("ana", PASSWORD) is None
    assert await users.all() == []
    for work in (users.remove("ana"), users.change_password("ana", PASSWORD)):
        with pytest.raises(NotFound, match="no user named ana"):
            await work


async def test_the_list_is_by_name(users: Users) -> None:
    for name in ("Zoe", "ana", "Ben"):
        await users.add(name, PASSWORD)
    assert [user.name for user in await users.all()] == ["ana", "Ben", "Zoe"]
    assert user_id("Straße") == user_id("STRASSE")
