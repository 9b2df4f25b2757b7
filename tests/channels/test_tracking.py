"""The addresses in a message: they stay with who got it, whatever becomes of the message here."""

from types import SimpleNamespace

import pytest

from channels.tokens import Purpose, Tokens
from channels.tracking import PIXEL, TrackingRoutes
from tests.channels.rig import Rig
from tests.fakes import Clock, ScriptedSender
from tracker.errors import NotFound
from tracker.events import EventType
from tracker.store.port import Delete, Store
from tracker.store.schema import Kind
from tracker.web import Answer

TOKENS = Tokens(["a secret of the tests"])


async def follow(rig: Rig, what: str, token: str) -> Answer:
    """Open an address of a message, as a browser does. Args: what: the handler."""
    routes = TrackingRoutes(rig.recorder, TOKENS)
    request = SimpleNamespace(headers={"User-Agent": "Firefox"})
    answer: Answer = await getattr(routes, what)(SimpleNamespace(path={"token": token}, request=request))
    return answer


async def mail(rig: Rig, clock: Clock) -> tuple[str, str]:
    """Have a lead's first mail sent, and return the lead and the message."""
    lead_id = await rig.login()
    clock.forward(hours=1)
    await rig.quiet()
    return lead_id, f"{lead_id}.1.0"


async def removed(store: Store, id: str) -> None:
    """Remove a message, as retention does."""
    (found,) = await store.get(Kind.MESSAGES, id)
    assert found is not None
    await store.commit(Delete(found.kind, found.id, found.version))


async def test_an_unsubscribe_link_outlives_its_message(rig: Rig, store: Store, clock: Clock, sender: ScriptedSender):
    """Its page and its button work, and the drips end."""
    lead_id, id = await mail(rig, clock)
    token = sender.given[0].unsubscribe_url.rpartition("/")[2]
    await removed(store, id)
    assert b"Unsubscribe?" in (await follow(rig, "ask", token)).body
    for _ in range(2):
        assert b"You are unsubscribed" in (await follow(rig, "unsubscribe", token)).body
    assert len(await rig.events(lead_id, EventType.UNSUBSCRIBE)) == 1
    await rig.live()
    assert len(sender.given) == 1


async def test_a_link_from_before_works_while_its_message_is_kept(rig: Rig, store: Store, clock: Clock):
    """It names the message alone."""
    lead_id, id = await mail(rig, clock)
    token = TOKENS.make(Purpose.UNSUBSCRIBE, id)
    assert b"You are unsubscribed" in (await follow(rig, "unsubscribe", token)).body
    assert [s.reason for s in (await rig.person(lead_id)).suppressions] == ["unsubscribe"]
    await removed(store, id)
    with pytest.raises(NotFound):
        await follow(rig, "unsubscribe", token)


async def test_what_else_stands_in_a_mail_ends_kindly(rig: Rig, store: Store, clock: Clock):
    """The picture is one always, and a link leads to a page of ours, never to where somebody else says."""
    lead_id, id = await mail(rig, clock)
    await removed(store, id)
    opened = await follow(rig, "open", TOKENS.make(Purpose.OPEN, id))
    assert (opened.status, opened.body) == (200, PIXEL)
    clicked = await follow(rig, "click", TOKENS.make(Purpose.CLICK, id, 0))
    assert clicked.status == 200
    assert b"This link has ended" in clicked.body
    assert "Location" not in clicked.headers
    assert await rig.events(lead_id, EventType.EMAIL_OPEN) == []
    with pytest.raises(NotFound):
        await follow(rig, "click", "made-up")
