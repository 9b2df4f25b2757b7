"""API keys: hashed, scoped, revocable."""

import pytest

from tracker.errors import Forbidden, Invalid, NotFound, Refused, Unauthenticated
from tracker.keys import FRESH_SECONDS, Keys, Principal, Scope, hash_key
from tracker.store.port import Insert, Store
from tracker.store.schema import Kind


async def test_a_key_is_who_it_was_made_for(store: Store) -> None:
    """The key opens with its name and its scopes, the scheme in any case."""
    key = await Keys(store).create("crm", (Scope.INGEST, Scope.REVIEW))
    for header in (f"Bearer {key}", f"bearer  {key} "):
        assert await Keys(store).principal(header) == Principal("crm", frozenset({Scope.INGEST, Scope.REVIEW}))


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "ll_abc", "Bearer nonsense", "Bearer \udcff"]
)
async def test_nobody_else_is_let_in(store: Store, header: str | None) -> None:
    """No key, half a header, a wrong scheme, an unknown key: all the same to the caller."""
    await Keys(store).create("crm", (Scope.ADMIN,))
    with pytest.raises(Unauthenticated):
        await Keys(store, seed="s" * 20).principal(header)


@pytest.mark.parametrize("name", ["", "  ", "\n", "x" * 101])
async def test_a_key_needs_a_name(store: Store, name: str) -> None:
    """One by which a person can tell it, in the list and in the audit, and revoke it."""
    with pytest.raises(Invalid):
        await Keys(store).create(name, (Scope.INGEST,))
    assert await Keys(store).all() == []


async def test_a_name_is_one_line_and_a_scope_is_named_once(store: Store) -> None:
    """However it was typed: what is listed can be typed again."""
    keys = Keys(store)
    await keys.create(" crm\n two ", (Scope.INGEST, Scope.REVIEW, Scope.INGEST))
    ((_, stored),) = await keys.all()
    assert (stored.name, stored.scopes) == ("crm two", (Scope.INGEST, Scope.REVIEW))


async def test_the_store_never_sees_a_key(store: Store) -> None:
    """Who reads the database cannot call the API."""
    keys = Keys(store)
    key = await keys.create("crm", (Scope.INGEST,))
    ((hashed, stored),) = await keys.all()
    assert hashed == hash_key(key)
    assert key.removeprefix("ll_") not in f"{hashed} {stored}"
    with pytest.raises(Unauthenticated):
        await keys.principal(f"Bearer {hashed}")


async def test_the_seed_is_an_admin_that_is_not_stored(store: Store) -> None:
    """The key of the settings works from the first moment and leaves with the setting."""
    seeded = Keys(store, seed="a-key-from-the-settings")
    principal = await seeded.principal("Bearer a-key-from-the-settings")
    principal.demand(Scope.CONFIG_WRITE)
    assert await seeded.all() == []
    with pytest.raises(Unauthenticated):
        await Keys(store).principal("Bearer a-key-from-the-settings")


async def test_a_revoked_key_ends_within_a_second(store: Store) -> None:
    """Answers are remembered for a moment only, so a revoked key, also one revoked elsewhere, soon opens nothing."""
    at = 100.0
    keys, elsewhere = Keys(store, clock=lambda: at), Keys(store)
    header = f"Bearer {await keys.create('crm', (Scope.INGEST,))}"
    await keys.principal(header)
    assert await elsewhere.revoke("crm") == 1
    at += FRESH_SECONDS
    with pytest.raises(Unauthenticated):
        await keys.principal(header)
    ((_, stored),) = await keys.all()
    assert stored.revoked_at is not None


async def test_revoking_takes_every_key_of_the_name_and_no_other(store: Store) -> None:
    """Two keys may share a name where an earlier version made them; both go, and going twice is told."""
    keys = Keys(store)
    await keys.create("crm", (Scope.INGEST,))
    ((_, first),) = await keys.all()
    await store.commit(Insert(Kind.API_KEYS, hash_key("ll_another"), first.body()))
    other = await keys.create("desk", (Scope.REVIEW,))
    assert await keys.revoke("crm") == 2
    await keys.principal(f"Bearer {other}")
    for name in ("crm", "nobody"):
        with pytest.raises(NotFound, match=name):
            await keys.revoke(name)


async def test_a_name_is_one_keys(store: Store) -> None:
    """A second key of a name is refused until the first one is revoked, as is the name of the settings' key: what is
    revoked, and whose answers are repeated, goes by the name.
    """
    keys = Keys(store)
    await keys.create("crm", (Scope.INGEST,))
    with pytest.raises(Refused, match="named crm is in use"):
        await keys.create("crm", (Scope.ADMIN,))
    assert len(await keys.all()) == 1
    await keys.revoke("crm")
    again = await keys.create("crm", (Scope.INGEST,))
    assert (await keys.principal(f"Bearer {again}")).name == "crm"
    with pytest.raises(Refused, match="LEADLINE_API_KEY"):
        await keys.create("LEADLINE_API_KEY", (Scope.INGEST,))


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_opens_itself_and_admin_opens_all(scope: Scope) -> None:
    """No scope implies another one, but for admin."""
    for held in Scope:
        principal = Principal("x", frozenset({held}))
        if held in {scope, Scope.ADMIN}:
            principal.demand(scope)
        else:
            with pytest.raises(Forbidden, match=scope):
                principal.demand(scope)


async def test_an_unknown_key_costs_no_memory_of_the_known(store: Store) -> None:
    """Whoever guesses keys fills no table: only keys that were let in are remembered."""
    keys = Keys(store)
    for n in range(50):
        with pytest.raises(Unauthenticated):
            await keys.principal(f"Bearer guess-{n}")
    assert len(keys._known) == 0

    assert hash_key("a") != hash_key("b")


async def test_a_key_is_stored_under_its_hash(store: Store) -> None:
    """Looking a key up costs one read by id."""
    key = await Keys(store).create("crm", (Scope.INGEST,))
    (found,) = await store.get(Kind.API_KEYS, hash_key(key))
    assert found is not None
    assert found.body["name"] == "crm"
