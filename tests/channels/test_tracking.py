"""The addresses in a message: they stay with who got it, whatever becomes of the message here."""

from types import SimpleNamespace

import pytest

from channels.mending import MessageMender
from channels.sending import Uncertain
from channels.templates import NewTemplate
from channels.tokens import Purpose, Tokens
from channels.tracking import PIXEL, TrackingRoutes
from tests.channels.rig import ADDRESSES, Rig
from tests.channels.test_sequences import merge, two
from tests.fakes import Clock, ScriptedSender
from tracker.errors import NotFound
from tracker.events import Channel, EventType
from tracker.merges import Merges
from tracker.person import Consent
from tracker.ports import ToMend
from tracker.store.port import Delete, Replace, Store
from tracker.store.schema import Kind
from tracker.times import instant
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
    assert b"no more news from" in (await follow(rig, "ask", token)).body
    for _ in range(2):
        assert b"You are unsubscribed" in (await follow(rig, "unsubscribe", token)).body
    assert len(await rig.events(lead_id, EventType.UNSUBSCRIBE)) == 1
    await rig.live()
    assert len(sender.given) == 1


async def test_an_unsubscribe_link_ends_a_consent_as_often_as_it_is_told(rig: Rig, store: Store, clock: Clock):
    """A system that tells the same consent again and again makes the link no weaker."""
    lead_id = await rig.login()
    granted = Consent(status="granted", source="api", at=instant(clock()))
    token = TOKENS.make(Purpose.UNSUBSCRIBE, "m", lead_id, Channel.WHATSAPP)
    for times in range(1, 4):
        loaded = await rig.recorder.load(lead_id)
        allowing = loaded.person.but(whatsapp_consent=granted).body()
        await store.commit(Replace(Kind.PERSONS, loaded.person_id, loaded.person_version, allowing))
        for _ in range(2):
            await follow(rig, "unsubscribe", token)
            assert (await rig.person(lead_id)).whatsapp_consent.status == "denied"
        assert len(await rig.events(lead_id, EventType.UNSUBSCRIBE)) == times


async def test_an_unsubscribe_link_works_on_when_a_merge_was_undone(rig: Rig, clock: Clock, sender: ScriptedSender):
    """What was refused while two persons were one is in the other one's ledger; the page says the same as before."""
    _, other = await two(rig, clock)
    clock.forward(hours=1)
    await rig.quiet()
    (url,) = [outgoing.unsubscribe_url for outgoing in sender.given if outgoing.message_id == f"{other}.1.0"]
    done = await merge(rig, *(outgoing.lead_id for outgoing in sender.given))
    for undo in (True, False):
        assert b"You are unsubscribed" in (await follow(rig, "unsubscribe", url.rpartition("/")[2])).body
        if undo:
            await Merges(rig.recorder).undo(done.id, by="mia")
    assert [s.reason for s in (await rig.person(other)).suppressions] == ["unsubscribe"]


async def test_a_link_from_before_works_while_its_message_is_kept(rig: Rig, store: Store, clock: Clock):
    """It names the message alone."""
    lead_id, id = await mail(rig, clock)
    token = TOKENS.make(Purpose.UNSUBSCRIBE, id)
    assert b"You are unsubscribed" in (await follow(rig, "unsubscribe", token)).body
    assert [s.reason for s in (await rig.person(lead_id)).suppressions] == ["unsubscribe"]
    await removed(store, id)
    with pytest.raises(NotFound):
        await follow(rig, "unsubscribe", token)


def with_links(*urls: str) -> NewTemplate:
    html = "".join(f'<a href="{url}">here</a>' for url in urls)
    words = {"template_id": "welcome", "channel": "email", "subject": "Hi", "html": html, "text": "Hi"}
    return NewTemplate.model_validate(words)


async def where(rig: Rig, id: str, number: int) -> str | None:
    answer = await follow(rig, "click", TOKENS.make(Purpose.CLICK, id, number))
    return answer.headers.get("Location")


async def test_links_lead_on_to_where_they_did(store: Store, clock: Clock):
    """A mail that may be out is sent again with other links: those of the first one keep their meaning."""
    pricing, demo, webinar = (f"https://x.example/{name}" for name in ("pricing", "demo", "webinar"))
    rig = Rig(store, clock, {Channel.EMAIL: (sender := ScriptedSender(Uncertain("time-out")))})
    await rig.furnish()
    await rig.templates.add(with_links(pricing, demo))
    _, id = await mail(rig, clock)
    await rig.templates.add(with_links(webinar, demo))
    rig.templates.__init__(store)  # type: ignore[misc]  # what it remembers is a second old
    wanted = ToMend("i", "ana", {}, {}, message_id=id)
    await store.commit(*(await MessageMender(store, clock).mend(wanted)).changes)
    await rig.quiet()
    assert len(sender.given) == 2
    assert [await where(rig, id, number) for number in range(3)] == [pricing, demo, webinar]
    second = sender.given[1].content.html or ""
    assert [ADDRESSES.link(id, number) in second for number in range(3)] == [False, True, True]


async def test_a_link_that_a_message_does_not_have_leads_nowhere(rig: Rig, clock: Clock):
    """Such as one of a message whose links were numbered anew; nothing is counted."""
    lead_id, id = await mail(rig, clock)
    for number in (-1, 0, 7):
        assert await where(rig, id, number) is None
    assert await rig.events(lead_id, EventType.EMAIL_CLICK) == []


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
