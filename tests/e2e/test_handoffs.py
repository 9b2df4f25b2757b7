"""A handoff from the prospect's wish to the salesperson's last word, over HTTP, the web socket and the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.turns import TurnTeller
from channels.replies import HumanReplyOutbox, MessageTeller
from tests.e2e.client import Api, login
from tests.fakes import Clock
from tests.talking import Parrot, Served, serving
from tracker.errors import Refused
from tracker.handoffs import Handoffs
from tracker.keys import Scope
from tracker.store.port import Store
from tracker.store.schema import MESSAGES_BY_LEAD, TURNS_BY_LEAD, Kind

Json = dict[str, Any]
WISH = "I want a person"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def served(store: Store, tmp_path: Path, clock: Clock) -> AsyncIterator[Served]:
    async with serving(store, tmp_path, clock=clock) as served:
        yield served


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(served.server, served.url, session)


class Visitor:
    """Somebody on web chat, over HTTP."""

    def __init__(self, api: Api, clock: Clock, product_id: str = "flowdesk"):
        self.api, self.clock, self.product_id = api, clock, product_id
        self.known: Json = {}
        self.said = 0

    async def say(self, text: str) -> list[str]:
        """Say something and return the answers."""
        self.said += 1
        self.clock.forward(seconds=1)
        body = {"product_id": self.product_id, "id": f"m{self.said}", "text": text, **self.known}
        reply = await self.api.post("/chat/messages", body, key=None)
        assert reply.status == 200, reply
        self.known = {name: reply.body[name] for name in ("visitor", "token")}
        return [message["text"] for message in reply.body["messages"]]

    async def thread(self) -> list[tuple[str, str]]:
        """What the visitor sees after a reload."""
        query = f"product={self.product_id}&visitor={self.known['visitor']}&token={self.known['token']}"
        reply = await self.api.get(f"/chat/messages?{query}", key=None)
        return [(line["from"], line["text"]) for line in reply.body["messages"]]


@pytest.fixture
def visitor(api: Api, clock: Clock) -> Visitor:
    return Visitor(api, clock)


async def the_handoff(api: Api) -> str:
    (item,) = (await api.get("/handoffs")).body["items"]
    id: str = item["id"]
    return id


async def claimed(api: Api, visitor: Visitor, by: str = "ana") -> str:
    await visitor.say(WISH)
    id = await the_handoff(api)
    assert (await api.post(f"/handoffs/{id}/claim", {"by": by})).status == 200
    return id


def handoffs(served: Served) -> Handoffs:
    server = served.server
    replies = HumanReplyOutbox(frozenset(server.senders))
    return Handoffs(server.recorder, replies, (TurnTeller(), MessageTeller()))


# the queue


async def test_a_wish_is_a_handoff_that_tells_everything(api: Api, visitor: Visitor) -> None:
    """Who, why, what was said and what to do, as soon as the turn is answered."""
    await visitor.say("hello")
    await visitor.say(WISH)
    id = await the_handoff(api)
    view = (await api.get(f"/handoffs/{id}")).body
    assert view["name"] == f"Visitor {visitor.known['visitor'][-4:]}"
    assert (view["reason"], view["status"], view["channel"]) == ("asked", "open", "chatbot")
    assert [(line["by"], line["text"]) for line in view["transcript"]] == [
        ("visitor", "hello"), ("bot", "You said: hello"), ("visitor", WISH), ("bot", f"You said: {WISH}"),
    ]  # fmt: skip
    assert view["why"][:2] == ["The lead asked for a person.", "4 points from 2 messages in the chat."]
    assert view["score"]["total"] == view["lead"]["engagement_score"] == 4
    assert "person" in view["next_step"]
    assert [note["did"] for note in view["history"]] == ["asked for a person"]


async def test_a_qualified_lead_waits_however_it_qualified(api: Api) -> None:
    """By logins, by an event, by hand: one handoff each, with the answers and their e-mail as the way."""
    await api.product(scoring_rules={"login_points": 100, "email_click_points": 100})
    await api.post("/events/logins", [login(email="dana@example.com", name="Dana")])
    by_event, by_hand = await api.lead(), await api.lead()
    await api.event(by_event["id"], "email_click", channel="email")
    for stage in ("Engaged_Lead", "Qualified_Lead"):
        await api.post(f"/leads/{by_hand['id']}/stage", {"stage": stage})
    items = (await api.get("/handoffs?status=open")).body["items"]
    assert {(item["reason"], item["channel"]) for item in items} == {("qualified", "email")}
    assert {item["name"] for item in items} == {
        "Dana",
        *(lead["contact_info"]["email"] for lead in (by_event, by_hand)),
    }
    shown = [(await api.get(f"/handoffs/{item['id']}")).body for item in items]
    assert "100 points from 1 login." in next(view["why"] for view in shown if view["name"] == "Dana")


async def test_a_reverted_qualification_leaves_the_handoff_open_and_says_so(api: Api, clock: Clock) -> None:
    """Somebody may have begun to work on it: a person resolves it."""
    lead = await api.lead()
    for stage in ("Engaged_Lead", "Qualified_Lead"):
        await api.post(f"/leads/{lead['id']}/stage", {"stage": stage})
    clock.forward(seconds=1)
    await api.post(f"/leads/{lead['id']}/stage/revert", {"reason": "too early", "actor": "ben"})
    view = (await api.get(f"/handoffs/{await the_handoff(api)}")).body
    assert view["status"] == "open"
    assert view["history"][-1]["by"] == "ben"
    assert view["history"][-1]["did"] == "moved the lead from Qualified_Lead to Engaged_Lead: too early"
    await api.post(f"/leads/{lead['id']}/stage", {"stage": "Qualified_Lead"})
    assert len((await api.get("/handoffs")).body["items"]) == 1


async def test_lists_show_who_waits_longest_first(api: Api, clock: Clock) -> None:
    """Open ones oldest first; all of them newest first; pages follow each other."""
    visitors = [Visitor(api, clock) for _ in range(4)]
    for visitor in visitors:
        await visitor.say(WISH)
    opened = [item["created_at"] for item in await api.everything("/handoffs?status=open")]
    assert opened == sorted(opened)
    assert [item["created_at"] for item in await api.everything("/handoffs")] == opened[::-1]
    assert await api.everything("/handoffs?status=resolved") == []
    assert (await api.get("/handoffs?status=lost")).status == 422
    assert (await api.get("/handoffs/nobody")).status == 404
    assert (await api.post("/handoffs/nobody/claim")).status == 404


async def test_reading_and_acting_need_their_scopes(api: Api, visitor: Visitor) -> None:
    """leads:read sees, leads:write acts; the key's name is who acts where nobody is named."""
    await visitor.say(WISH)
    id = await the_handoff(api)
    reader, writer = await api.key(Scope.LEADS_READ, name="r"), await api.key(Scope.LEADS_WRITE, name="Wanda")
    assert (await api.get(f"/handoffs/{id}", key=reader)).status == 200
    assert (await api.post(f"/handoffs/{id}/claim", key=reader)).status == 403
    assert (await api.post(f"/handoffs/{id}/claim", key=writer)).body["claimed_by"] == "Wanda"


# claiming


async def test_one_of_many_claims_wins(served: Served, api: Api, visitor: Visitor) -> None:
    """Twenty at once: one holds it, nineteen are told who."""
    await visitor.say(WISH)
    id, desk = await the_handoff(api), handoffs(served)
    results = await asyncio.gather(*(desk.claim(id, f"p{n}") for n in range(20)), return_exceptions=True)
    won = [result for result in results if isinstance(result, dict)]
    assert len(won) == 1
    assert sum(isinstance(result, Refused) for result in results) == 19
    assert (await desk.get(id))["claimed_by"] == won[0]["claimed_by"]
    (lead,) = await served.server.store.get(Kind.LEADS, won[0]["lead_id"])
    assert lead is not None
    assert lead.body["held_by"] == won[0]["claimed_by"]


async def test_nobody_writes_without_the_thread(api: Api, visitor: Visitor, store: Store) -> None:
    """Not before a claim, not past somebody else's, not after the end; and nothing is queued then."""
    await visitor.say(WISH)
    id = await the_handoff(api)
    assert (await api.post(f"/handoffs/{id}/reply", {"text": "Hi", "by": "ana"})).status == 409
    await api.post(f"/handoffs/{id}/claim", {"by": "ana"})
    assert (await api.post(f"/handoffs/{id}/reply", {"text": "Hi", "by": "ben"})).status == 409
    assert (await api.post(f"/handoffs/{id}/release", {"by": "ben"})).status == 409
    await api.post(f"/handoffs/{id}/resolve", {"by": "ana"})
    assert (await api.post(f"/handoffs/{id}/reply", {"text": "Hi", "by": "ana"})).status == 409
    lead_id = (await api.get(f"/handoffs/{id}")).body["lead_id"]
    assert (await store.find(MESSAGES_BY_LEAD, lead_id)).items == []


# talking


async def test_a_reply_reaches_the_open_tab_and_the_reload(served: Served, api: Api, visitor: Visitor) -> None:
    """At once over the web socket, as a human's; later from the store, in its place."""
    id = await claimed(api, visitor)
    known = {"product": "flowdesk", **visitor.known}
    async with api.session.ws_connect(f"{served.url}/chat/ws") as tab:
        await tab.send_json({"type": "hello", **known})
        assert (await tab.receive_json(timeout=5))["type"] == "welcome"
        await api.post(f"/handoffs/{id}/reply", {"text": "Ana here, <b>how</b> can I help?", "by": "ana"})
        await served.server.delivery.work()
        frame = await tab.receive_json(timeout=5)
    assert (frame["type"], frame["from"], frame["text"]) == ("message", "human", "Ana here, <b>how</b> can I help?")
    await visitor.say("finally")
    assert (await visitor.thread())[-2:] == [("human", "Ana here, <b>how</b> can I help?"), ("visitor", "finally")]
    spoken = (await api.get(f"/handoffs/{id}")).body["transcript"][-2:]
    assert [(line["by"], line["author"], line["status"]) for line in spoken] == [
        ("human", "ana", "sent"), ("visitor", None, None),
    ]  # fmt: skip


async def test_the_bot_is_silent_while_a_person_holds_the_thread(
    served: Served, api: Api, visitor: Visitor, store: Store
) -> None:
    """The engine is not asked; what is written is kept and counted, and the bot is back on release."""
    id = await claimed(api, visitor)
    engine: Parrot = served.engine
    engine.heard.clear()
    assert await visitor.say("are you there?") == []
    assert await visitor.say("hello?") == []
    assert engine.heard == []
    view = (await api.get(f"/handoffs/{id}")).body
    assert [line["text"] for line in view["transcript"][-2:]] == ["are you there?", "hello?"]
    assert view["score"]["by_type"]["chatbot_interaction"] == 6
    await api.post(f"/handoffs/{id}/release", {"by": "ana"})
    assert await visitor.say("and now?") == ["You said: and now?"]
    page = await store.find(TURNS_BY_LEAD, view["lead_id"])
    assert [turn.body["held_by"] for turn in page.items] == [None, "ana", "ana", None]


async def test_nothing_is_lost_when_claims_and_words_meet(served: Served, api: Api, visitor: Visitor) -> None:
    """Words that come while the thread changes hands are all kept, each once, and silence is silence."""
    await visitor.say(WISH)
    id, desk = await the_handoff(api), handoffs(served)

    async def change_hands() -> None:
        for _ in range(10):
            await desk.claim(id, "ana")
            await desk.release(id, "ana")

    async def talk() -> None:
        for n in range(20):
            await visitor.say(f"word {n}")

    await asyncio.gather(change_hands(), talk())
    said = [line["text"] for line in (await desk.get(id))["transcript"] if line["by"] == "visitor"]
    assert said == [WISH, *(f"word {n}" for n in range(20))]


async def test_a_reply_is_sent_once_however_often_it_is_posted(served: Served, api: Api, visitor: Visitor) -> None:
    """By its Idempotency-Key over the API, by its reply id at the desk, also when the thread was given back since."""
    id, desk = await claimed(api, visitor), handoffs(served)
    body = {"text": "Hi", "by": "ana"}
    first = await api.post(f"/handoffs/{id}/reply", body, Idempotency_Key="k")
    assert (await api.post(f"/handoffs/{id}/reply", body, Idempotency_Key="k")).body == first.body
    visitor.clock.forward(seconds=1)
    await asyncio.gather(*(desk.reply(id, "Again", "ana", reply_id="form-1") for _ in range(5)))
    await desk.release(id, "ana")
    await desk.reply(id, "Again", "ana", reply_id="form-1")
    await served.server.delivery.work()
    assert [text for by, text in await visitor.thread() if by == "human"] == ["Hi", "Again"]


async def test_whoever_cannot_be_reached_is_not_answered_into_the_void(api: Api) -> None:
    """A sender of the REST channel has no address: the reply is refused, and the handoff says why."""
    body = {"sender": "s1", "message": WISH, "metadata": {"product_id": "flowdesk"}}
    await api.post("/webhooks/rest/webhook", body)
    id = await the_handoff(api)
    view = (await api.post(f"/handoffs/{id}/claim", {"by": "ana"})).body
    assert "would not arrive" in view["next_step"]
    assert (await api.post(f"/handoffs/{id}/reply", {"text": "Hi", "by": "ana"})).status == 409


async def test_the_next_wish_after_the_end_is_another_handoff(api: Api, visitor: Visitor) -> None:
    """One that is not resolved at a time; the old one stays as it was."""
    first = await claimed(api, visitor)
    await api.post(f"/handoffs/{first}/resolve")
    await visitor.say(WISH)
    items = (await api.get("/handoffs")).body["items"]
    assert [item["status"] for item in items] == ["open", "resolved"]
    assert items[1]["id"] == first


async def test_the_timeline_tells_of_the_handoff(api: Api, visitor: Visitor) -> None:
    """As a part of the lead's one story."""
    id = await claimed(api, visitor)
    lead_id = (await api.get(f"/handoffs/{id}")).body["lead_id"]
    entry = next(e for e in await api.everything(f"/leads/{lead_id}/timeline") if e["kind"] == "handoff")
    assert (entry["id"], entry["status"], entry["claimed_by"]) == (id, "claimed", "ana")


@pytest.mark.parametrize("crm_first", [True, False])
async def test_a_handoff_stays_whole_when_its_lead_is_absorbed(
    served: Served, api: Api, visitor: Visitor, *, crm_first: bool
) -> None:
    """What was said before and after, where the person writes, and what moved the lead, whichever of the two is left;
    an undo gives it back with the rest of the conversation.
    """
    known = login(crm_user_id="u9", event_id="l9", email="dana@acme.example")
    if crm_first:
        await api.post("/events/logins", known)
        visitor.clock.forward(seconds=1)
    id = await claimed(api, visitor)
    if not crm_first:
        visitor.clock.forward(seconds=1)
        await api.post("/events/logins", known)
    chat, crm = sorted((await api.get("/leads")).body["items"], key=lambda lead: lead["crm_user_id"] or "")
    into, other = (crm, chat) if crm_first else (chat, crm)
    moved = {"stage": "Qualified_Lead", "actor": "ana", "reason": "asked"}
    assert (await api.post(f"/leads/{chat['id']}/stage", moved)).status == 200
    merge = await api.post(f"/persons/{other['person_id']}/merge", {"into": into["person_id"]})
    assert merge.status == 200, merge
    await visitor.say("still me")
    view = (await api.get(f"/handoffs/{id}")).body
    said = [("visitor", WISH), ("bot", f"You said: {WISH}"), ("visitor", "still me")]
    assert [(line["by"], line["text"]) for line in view["transcript"]] == said
    assert await handoffs(served).transcript(id) == view["transcript"]
    assert (view["channel"], view["lead"]["id"]) == ("chatbot", into["id"])
    assert "moved the lead from Engaged_Lead to Qualified_Lead: asked" in [note["did"] for note in view["history"]]
    (line,) = (await api.get("/handoffs")).body["items"]
    assert {name: view[name] for name in line} == line
    assert (await api.post(f"/persons/merges/{merge.body['merge_id']}/undo")).status == 200
    assert (await api.get(f"/handoffs/{id}")).body["channel"] == "chatbot"


@pytest.mark.parametrize("again", [True, False])
async def test_a_reply_goes_to_the_thread_in_which_a_merged_person_wrote_last(
    served: Served, api: Api, clock: Clock, *, again: bool
) -> None:
    """Whichever visitor the person keeps; after an undo each of the two is answered in a thread of their own."""

    async def answer(text: str) -> list[list[str]]:
        assert (await api.post(f"/handoffs/{id}/reply", {"text": text, "by": "ana"})).status == 200
        await served.server.delivery.work()
        return [[said for by, said in await its.thread() if by == "human"] for its in (laptop, phone)]

    laptop, phone = Visitor(api, clock), Visitor(api, clock)
    await laptop.say("hello")
    id = await claimed(api, phone)
    first, second = sorted((await api.get("/leads")).body["items"], key=lambda lead: lead["id"])
    merge = await api.post(f"/persons/{second['person_id']}/merge", {"into": first["person_id"]})
    if again:
        await phone.say("are you there?")
    assert await answer("Here I am") == [[], ["Here I am"]]
    if not again:
        await laptop.say("and here?")
        assert await answer("There, too") == [["There, too"], ["Here I am"]]
    await phone.say("bye")
    assert (await api.post(f"/persons/merges/{merge.body['merge_id']}/undo")).status == 200
    before = [await its.thread() for its in (laptop, phone)]
    for lead in (first, second):
        sent = {"lead_id": lead["id"], "channel": "chatbot", "text": f"To {lead['id']}"}
        assert (await api.post("/messages/send", sent)).status == 202
    clock.forward(seconds=1)
    await served.server.delivery.work()
    after = [await its.thread() for its in (laptop, phone)]
    assert [now[len(then) :] for then, now in zip(before, after, strict=True)] == [
        [("bot", f"To {first['id']}")],
        [("bot", f"To {second['id']}")],
    ]


# drips


async def test_drips_wait_while_a_person_holds_the_thread(served: Served, api: Api, visitor: Visitor) -> None:
    """A nurture message is held and goes after the release; a transactional one goes at once. Both over web chat."""
    id = await claimed(api, visitor)
    lead_id = (await api.get(f"/handoffs/{id}")).body["lead_id"]
    about = {"lead_id": lead_id, "channel": "chatbot"}
    drip = (await api.post("/messages/send", {**about, "text": "A tip", "category": "nurture"})).body
    assert (drip["status"], drip["decision"][-1]["input"]) == ("held", "a person holds the thread")
    await api.post("/messages/send", {**about, "text": "A receipt"})
    await served.server.delivery.work()
    assert (await visitor.thread())[-1] == ("bot", "A receipt")
    await api.post(f"/handoffs/{id}/release", {"by": "ana"})
    visitor.clock.forward(hours=1)
    await served.server.delivery.work()
    assert (await visitor.thread())[-1] == ("bot", "A tip")


async def test_a_template_on_web_chat_is_there_after_a_reload(served: Served, api: Api, visitor: Visitor) -> None:
    """With the words of its day, though the person's name has changed since."""
    await visitor.say("hello")
    lead_id = (await api.get("/leads")).body["items"][0]["id"]
    await api.put(f"/leads/{lead_id}", {"name": "Dana"})
    await api.post("/templates", {"template_id": "hi", "channel": "chatbot", "text": "Hi {{ person.first_name }}"})
    await api.post("/messages/send", {"lead_id": lead_id, "channel": "chatbot", "template_id": "hi"})
    await served.server.delivery.work()
    await api.put(f"/leads/{lead_id}", {"name": "Zoe"})
    assert (await visitor.thread())[-1] == ("bot", "Hi Dana")
