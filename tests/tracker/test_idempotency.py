"""Idempotency keys: the same request, the same answer, for a day."""

from datetime import timedelta

import pytest

from tracker.errors import Invalid
from tracker.idempotency import KEPT, Once, Remembered, forget_expired
from tracker.store.port import Document, Insert, Replace, Store
from tracker.store.schema import Kind
from tracker.times import instant, now


def kept(digest: str, *, hours_left: float) -> Document:
    remembered = Remembered(
        digest=digest,
        status=201,
        answer="{}",
        headers={"ETag": '"1"'},
        expires_at=instant(now() + timedelta(hours=hours_left)),
    )
    return Document(Kind.IDEMPOTENCY, "id", 3, remembered.body())


def test_a_repeat_gets_what_the_first_got() -> None:
    """Status, body and headers of the first answer."""
    found = Once("crm POST /leads", "k", "d").known(kept("d", hours_left=1))
    assert found is not None
    assert (found.status, found.answer, found.headers) == (201, "{}", {"ETag": '"1"'})
    assert Once("crm POST /leads", "k", "d").known(None) is None


def test_another_body_is_refused() -> None:
    """A key that is used again by mistake never gets the wrong answer."""
    with pytest.raises(Invalid, match="another body"):
        Once("crm POST /leads", "k", "other").known(kept("d", hours_left=1))


def test_a_key_is_its_callers_and_its_routes() -> None:
    """Two clients that both count from 1 do not meet, nor do two routes."""
    ids = {Once(where, "1", "d").id for where in ("crm POST /leads", "web POST /leads", "crm POST /templates")}
    assert len(ids) == 3
    assert Once("a", "b", "x").id == Once("a", "b", "y").id


def test_after_a_day_a_key_may_be_used_again() -> None:
    """What has expired is as if it had never been, and is overwritten at the version that was read."""
    once = Once("crm POST /leads", "k", "new")
    assert once.known(kept("old", hours_left=-0.01)) is None
    change = once.change(202, {"a": 1}, {})
    assert isinstance(change, Replace)
    assert (change.version, change.body["digest"], change.body["answer"]) == (3, "new", '{"a":1}')
    fresh = Once("crm POST /leads", "k2", "new")
    assert isinstance(fresh.change(202, {}, {}), Insert)


def test_an_answer_is_kept_for_a_day() -> None:
    """The answer to a repeat is there for 24 hours, as the contract says."""
    body = Once("w", "k", "d").change(202, {}, {}).body  # type: ignore[union-attr]
    left = instant(now() + KEPT - timedelta(minutes=1)), instant(now() + KEPT + timedelta(minutes=1))
    assert left[0] < body["expires_at"] < left[1]


async def test_old_answers_are_forgotten(store: Store) -> None:
    """The table does not grow for ever, and what may still be asked for stays."""
    for name, hours in (("old", -1), ("older", -30), ("new", 1)):
        await store.commit(Insert(Kind.IDEMPOTENCY, name, kept("d", hours_left=hours).body))
    assert await forget_expired(store) == 2
    assert await forget_expired(store) == 0
    assert [bool(d) for d in await store.get(Kind.IDEMPOTENCY, "old", "older", "new")] == [False, False, True]


async def test_a_busy_api_does_not_outgrow_the_forgetting(store: Store) -> None:
    """All that is old enough goes at once, however many keys come in a minute."""
    body = kept("d", hours_left=-1).body
    assert not any(await store.commit_each([[Insert(Kind.IDEMPOTENCY, f"old{n}", body)] for n in range(600)]))
    assert await forget_expired(store) == 600
