"""Conversations in the store: what a turn does besides answering, and what it leaves alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bot.dialogue import Answered, Button, Message, Parse, Reply, State, Turn, Want
from bot.talks import Inbound, Talks, chosen
from bot.turns import StoredTurn
from channels.replies import ReplyOutbox
from channels.templates import TemplateCatalog
from tests.fakes import Clock
from tracker.catalog import Catalog
from tracker.events import Channel
from tracker.identity import Key
from tracker.lead import Lead
from tracker.person import CrmIdentity, Person
from tracker.product import ProductConfig
from tracker.recorder import Recorder
from tracker.stages import Stage
from tracker.store.port import Delete, Document, Replace, Store
from tracker.store.schema import EVENTS_BY_LEAD, HANDOFFS_ALL, LEADS_ALL, MESSAGES_BY_LEAD, TURNS_BY_LEAD, Kind

YES_NO = (Button("Yes, please", "/affirm"), Button("Not now", "/deny"))


class Engine:
    """Says what it heard, unless it was told what to answer. Attributes: turns: what it was asked."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.will: Callable[[Turn, State], Reply] | None = None

    async def handle(self, turn: Turn, state: State) -> Reply:
        self.turns.append(turn)
        return self.will(turn, state) if self.will else reply(turn, state)


def reply(
    turn: Turn,
    state: State,
    *wants: Want,
    messages: tuple[Message, ...] = (),
    answered: dict[str, Any] | None = None,
) -> Reply:
    messages = messages or (Message(f"You said: {turn.text}"),)
    given = tuple(Answered(slot, str(value), value) for slot, value in (answered or {}).items())
    slots = {**state.slots, **(answered or {})}
    return Reply(messages, State(slots, messages=messages), Parse(turn.text, "inform"), answered=given, wants=wants)


class Rig:
    def __init__(self, store: Store, clock: Clock):
        self.store, self.clock, self.engine = store, clock, Engine()
        self.catalog = Catalog(store, TemplateCatalog(store), clock=lambda: clock().timestamp())
        self.recorder = Recorder(store, self.catalog, clock)
        self.talks = Talks(self.recorder, self.engine, ReplyOutbox())

    async def product(self, product_id: str, **config: Any) -> None:
        body = {"product_id": product_id, "name": product_id.title(), **config}
        await self.catalog.put(ProductConfig.model_validate(body), author="tests")

    async def say(
        self, text: str, product_id: str = "flow", channel: Channel = Channel.CHATBOT, **more: Any
    ) -> StoredTurn:
        self.clock.forward(seconds=1)
        keys = [Key("visitor", "v1")] if channel is Channel.CHATBOT else [Key("whatsapp", "4915112345678")]
        return await self.talks.take(Inbound("s1", text, product_id, keys, channel, **more))

    def will(self, *wants: Want, messages: tuple[Message, ...] = (), **answered: Any) -> None:
        """Have the engine answer so from now on."""
        self.engine.will = lambda turn, state: reply(turn, state, *wants, messages=messages, answered=answered)

    async def leads(self) -> dict[str, tuple[str, Lead]]:
        """Every lead with its id, by product."""
        page = await self.store.find(LEADS_ALL)
        return {d.body["product_id"]: (d.id, Lead.read(d.body)) for d in page.items}

    async def lead(self) -> tuple[str, Lead]:
        (found,) = (await self.leads()).values()
        return found

    async def person(self) -> Person:
        (found,) = {lead.person_id for _, lead in (await self.leads()).values()}
        (document,) = await self.store.get(Kind.PERSONS, found)
        assert document is not None
        return Person.read(document.body)

    async def events(self, lead_id: str) -> list[str]:
        return [d.body["event_type"] for d in (await self.store.find(EVENTS_BY_LEAD, lead_id)).items]

    async def messages(self) -> list[Document]:
        lead_id, _ = await self.lead()
        return (await self.store.find(MESSAGES_BY_LEAD, lead_id)).items

    async def hold(self, by: str | None) -> None:
        lead_id, _ = await self.lead()
        (found,) = await self.store.get(Kind.LEADS, lead_id)
        assert found is not None
        await self.store.commit(Replace(Kind.LEADS, lead_id, found.version, {**found.body, "held_by": by}))


@pytest.fixture
async def rig(store: Store) -> Rig:
    rig = Rig(store, Clock())
    await rig.product("flow")
    return rig


# handing over


@pytest.mark.parametrize("reason", ["asked", "demo", "accepted_offer"])
async def test_a_wish_makes_a_handoff_in_the_turns_own_commit(rig: Rig, reason: str) -> None:
    """One for all wishes of a lead, and the turn that has none makes none."""
    await rig.say("hello")
    assert (await rig.store.find(HANDOFFS_ALL)).items == []
    rig.will(Want("handoff", reason))
    await asyncio.gather(*(rig.say("somebody, please") for _ in range(3)))
    (handoff,) = (await rig.store.find(HANDOFFS_ALL)).items
    assert (handoff.body["reason"], len(handoff.body["history"])) == (reason, 1)
    assert (await rig.lead())[1].handoff_id == handoff.id


async def test_a_turn_that_qualifies_and_wishes_makes_one_handoff(rig: Rig) -> None:
    """The wish is the stronger reason."""
    await rig.product("flow", scoring_rules={"chatbot_points": 500})
    rig.will(Want("handoff", "demo"))
    await rig.say("a demo!")
    (handoff,) = (await rig.store.find(HANDOFFS_ALL)).items
    assert handoff.body["reason"] == "demo"
    assert (await rig.lead())[1].stage is Stage.QUALIFIED


async def test_a_turn_in_a_held_thread_is_kept_without_an_answer(rig: Rig) -> None:
    """The engine is not asked, its state stays but for the buttons, and the turn counts."""
    rig.will(messages=(Message("A demo?", YES_NO),))
    await rig.say("hello")
    await rig.hold("ana")
    turn = await rig.say("1", id="m2")
    assert (turn.said, turn.held_by, len(rig.engine.turns)) == ([], "ana", 1)
    assert (await rig.say("1", id="m2")) == turn
    lead_id, _ = await rig.lead()
    assert await rig.events(lead_id) == ["chatbot_interaction"] * 2
    await rig.hold(None)
    await rig.say("2")
    assert rig.engine.turns[-1].text == "2"


# opting out


async def test_an_opt_out_in_the_chat_ends_nurture_everywhere(rig: Rig) -> None:
    """E-mail and chat keep what is not nurture; WhatsApp's consent is taken back."""
    rig.will(Want("opt_out"))
    await rig.say("leave me alone")
    person = await rig.person()
    assert {(s.channel, s.scope, s.reason) for s in person.suppressions} == {
        (Channel.EMAIL, "nurture", "asked in chat"),
        (Channel.CHATBOT, "nurture", "asked in chat"),
    }
    assert (person.whatsapp_consent.status, person.whatsapp_consent.basis) == ("denied", "asked in chat")


async def test_an_opt_out_on_whatsapp_is_an_unsubscribe_there(rig: Rig) -> None:
    """The ledger has it, the consent is gone, and the confirmation is of the same moment, so that it still goes."""
    rig.will(Want("opt_out"))
    await rig.say("no more messages please", channel=Channel.WHATSAPP)
    lead_id, _ = await rig.lead()
    assert sorted(await rig.events(lead_id)) == ["unsubscribe", "whatsapp_reply"]
    person = await rig.person()
    (message,) = await rig.messages()
    assert person.whatsapp_consent.status == "denied"
    assert person.whatsapp_consent.at == message.body["created_at"]
    assert {s.channel for s in person.suppressions} == {Channel.EMAIL, Channel.CHATBOT}


# switching products


async def test_naming_another_product_goes_on_about_it(rig: Rig) -> None:
    """The lead there gets the turn and the answers so far; the channel may go on naming the old one."""
    await rig.product("grid")
    rig.will(company="Acme")
    await rig.say("we are Acme")
    rig.will(Want("switch_product", detail={"product_id": "grid"}), Want("handoff", "asked"))
    await rig.say("what about Grid?")
    leads = await rig.leads()
    flow, grid = leads["flow"], leads["grid"]
    assert sorted(await rig.events(flow[0])) == ["chatbot_interaction", "qualification_answer"]
    assert sorted(await rig.events(grid[0])) == ["chatbot_interaction", "qualification_answer"]
    assert (flow[1].handoff_id, grid[1].handoff_id is not None, grid[1].answered) == (None, True, ("company",))
    assert flow[1].person_id == grid[1].person_id
    rig.engine.will = None
    turn = await rig.say("and the price?")
    asked = rig.engine.turns[-1]
    assert (turn.lead_id, asked.product["product_id"], dict(asked.products)) == (grid[0], "grid", {"flow": "Flow"})


async def test_a_different_product_named_by_the_channel_starts_over(rig: Rig) -> None:
    """And so does the old one, once the channel has named the new one itself."""
    await rig.product("grid")
    rig.will(Want("switch_product", detail={"product_id": "grid"}), company="Acme")
    await rig.say("Grid!")
    rig.engine.will = None
    states = {
        "flow after the switch": await rig.say("a"),
        "grid": await rig.say("b", "grid"),
        "flow": await rig.say("c"),
    }
    leads = {id: product for product, (id, _) in (await rig.leads()).items()}
    assert [leads[turn.lead_id] for turn in states.values()] == ["grid", "grid", "flow"]
    assert [turn.slots_before for turn in states.values()] == ['{"company":"Acme"}'] * 2 + ["{}"]


@pytest.mark.parametrize("product_id", ["nowhere", "flow", None, 5])
async def test_a_switch_to_no_other_product_is_none(rig: Rig, product_id: Any) -> None:
    """Whatever an engine says."""
    rig.will(Want("switch_product", detail={"product_id": product_id}))
    turn = await rig.say("Nowhere!")
    assert len(turn.said) == 1
    assert list(await rig.leads()) == ["flow"]


# answers


async def test_the_engine_is_told_what_the_product_requires(rig: Rig) -> None:
    """With the names of the other products."""
    await rig.product("flow", qualification={"required": ["budget"]})
    await rig.product("grid")
    await rig.say("hello")
    (turn,) = rig.engine.turns
    assert (turn.product["required"], dict(turn.products)) == (["budget"], {"grid": "Grid"})


async def test_a_score_qualifies_once_the_required_answers_are_there(rig: Rig) -> None:
    """The last of them does it, though it is worth no points; one that is declined does not."""
    rules = {"chatbot_points": 100}
    await rig.product("flow", scoring_rules=rules, qualification={"required": ["company", "budget"]})
    stages = []
    for answers in ({}, {"company": "Acme"}, {"budget": "declined"}, {"budget": {"amount": 5, "currency": "USD"}}):
        rig.will(**answers)
        await rig.say("hello")
        stages.append((await rig.lead())[1].stage)
    assert stages == [Stage.ENGAGED] * 3 + [Stage.QUALIFIED]
    assert (await rig.lead())[1].answered == ("company", "budget")


async def test_what_the_crm_knows_need_not_be_asked(rig: Rig) -> None:
    """It counts as answered."""
    await rig.product("flow", scoring_rules={"chatbot_points": 60}, qualification={"required": ["company"]})
    await rig.say("hello")
    _, lead = await rig.lead()
    (found,) = await rig.store.get(Kind.PERSONS, lead.person_id)
    assert found is not None
    person = Person.read(found.body).but(
        crm=(CrmIdentity(source="crm", user_id="u1"),), demographics={"company": "Acme"}
    )
    await rig.store.commit(Replace(Kind.PERSONS, found.id, found.version, person.body()))
    await rig.say("hello again")
    assert (await rig.lead())[1].stage is Stage.QUALIFIED


# WhatsApp


async def test_answers_on_whatsapp_are_messages_of_the_turns_commit(rig: Rig) -> None:
    """One for all texts, buttons as a list, due at once and before everything else; a repeat makes no second one."""
    rig.will(messages=(Message("Hi."), Message("A demo?", YES_NO)))
    for _ in range(2):
        await rig.say("hello", channel=Channel.WHATSAPP, id="SM1")
    (message,) = await rig.messages()
    body = message.body
    assert body["text"] == "Hi.\n\nA demo?\n1. Yes, please\n2. Not now"
    assert (body["channel"], body["category"], body["status"], body["priority"]) == ("whatsapp", "reply", "due", 0)


async def test_a_long_answer_goes_in_parts_in_order(rig: Rig) -> None:
    """Each short enough for WhatsApp; the order of their ids is that of the text."""
    rig.will(messages=(Message("One sentence of many. " * 200),))
    await rig.say("tell me everything", channel=Channel.WHATSAPP)
    texts = [d.body["text"] for d in sorted(await rig.messages(), key=lambda d: d.id)]
    assert " ".join(texts) == ("One sentence of many. " * 200).strip()
    assert all(len(text) <= 1600 for text in texts)


async def test_other_channels_take_their_answers_along(rig: Rig) -> None:
    """Nothing is queued for web chat and REST."""
    await rig.say("hello")
    assert await rig.messages() == []


@pytest.mark.parametrize(
    ("text", "heard"),
    [("1", "/affirm"), (" 2. ", "/deny"), ("not now", "/deny"), ("3", "3"), ("0", "0"), ("12 people", "12 people")],
)
async def test_a_number_on_whatsapp_is_the_button(rig: Rig, text: str, heard: str) -> None:
    """Or its title; anything else is what it says."""
    rig.will(messages=(Message("A demo?", YES_NO),))
    await rig.say("hello", channel=Channel.WHATSAPP)
    turn = await rig.say(text, channel=Channel.WHATSAPP)
    assert (rig.engine.turns[-1].text, turn.text) == (heard, heard)
    assert turn.pressed == {"/affirm": "Yes, please", "/deny": "Not now"}.get(heard)


async def test_a_number_elsewhere_is_a_number(rig: Rig) -> None:
    """Web chat shows buttons as buttons."""
    rig.will(messages=(Message("A demo?", YES_NO),))
    await rig.say("hello")
    assert (await rig.say("1")).text == "1"


def test_without_buttons_a_number_is_an_answer() -> None:
    assert chosen("1", ()) == "1"


async def test_a_visitor_can_be_written_to(rig: Rig) -> None:
    """The person keeps the visitor's id, which is web chat's address."""
    await rig.say("hello")
    lead_id, lead = await rig.lead()
    assert ((await rig.person()).visitor, lead.wrote_on) == ("v1", Channel.CHATBOT)
    assert len((await rig.store.find(TURNS_BY_LEAD, lead_id)).items) == 1


async def test_a_repeat_of_what_is_no_longer_kept_is_no_new_message(rig: Rig) -> None:
    """The words of a turn may be purged: a client that sends it once more is told that it was, and nothing counts."""
    await rig.say("hello", id="m1")
    (turn,) = (await rig.store.find(TURNS_BY_LEAD, (await rig.store.find(LEADS_ALL)).items[0].id)).items
    await rig.store.commit(Delete(Kind.TURNS, turn.id, turn.version))
    again = await rig.say("hello", id="m1")
    assert (again.said, again.inbound_id) == ([], "m1")
    assert len(rig.engine.turns) == 1
    assert (await rig.say("still there?", id="m2")).said
