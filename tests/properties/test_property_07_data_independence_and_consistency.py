"""The same history by different ways: through other doors, in another order, on other servers."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Opener
from tests.properties.rig import World, examples, happening, login, mark, told_lead
from tracker.events import Channel, Event, EventType, Happening
from tracker.identity import crm_key
from tracker.person import Person
from tracker.store.mongo import MongoStore
from tracker.store.port import Document
from tracker.store.schema import EVENTS_BY_LEAD, Kind
from tracker.store.sqlite import SqliteStore

PRODUCTS = ("flow", "desk")
USERS = ("u0", "u1")
EVENTS = (
    (EventType.EMAIL_CLICK, Channel.EMAIL),
    (EventType.UNSUBSCRIBE, Channel.EMAIL),
    (EventType.WHATSAPP_REPLY, Channel.WHATSAPP),
    (EventType.CHATBOT_INTERACTION, Channel.CHATBOT),
    (EventType.QUALIFICATION_ANSWER, Channel.CHATBOT),
    (EventType.CONVERSION, Channel.PRODUCT),
)
TOLD = ("name", "job_title", "organization_name", "trial_status")
METADATA: dict[EventType, dict[str, Any]] = {
    EventType.QUALIFICATION_ANSWER: {"slot": "budget", "value": "much"},
    EventType.CONVERSION: {"goal": "paid"},
}


class It(NamedTuple):
    """One thing that happens. Attributes: what: a login's record, or an event."""

    user: str
    product: str
    what: dict[str, Any] | Happening


@st.composite
def histories(draw: st.DrawFn) -> list[It]:
    """What happened, each at a moment of its own; a login tells some of what the CRM knows of the person then."""
    count = draw(st.integers(2, 10))
    moments = draw(st.lists(st.integers(0, 40_000), min_size=count, max_size=count, unique=True))
    words = st.sampled_from(["red", "green", "blue"])
    history = []
    for number, minutes in enumerate(moments):
        user, product = draw(st.sampled_from(USERS)), draw(st.sampled_from(PRODUCTS))
        if draw(st.booleans()):
            told: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(TOLD, words)))
            told |= {"feature_usage": draw(st.lists(words, min_size=1, max_size=2)), "organization_id": draw(words)}
            record = login(f"l{number}", user, minutes_ago=minutes, product_id=product, **told)
            history.append(It(user, product, record))
        else:
            kind, channel = draw(st.sampled_from(EVENTS))
            metadata = METADATA.get(kind, {})
            what = happening(f"e{number}", kind, minutes_ago=minutes, channel=channel, metadata=metadata)
            history.append(It(user, product, what))
    return history


async def opened(opener: Opener) -> World:
    world = await World(opener).start()
    for product_id in PRODUCTS:
        rules = {"email_click_points": 10, "qualification_threshold": 30, "answer_points": {"budget": 7}}
        await world.product(product_id, scoring_rules=rules, engaged_threshold=12, conversion_goals=["paid"])
    return world


@pytest.fixture
async def world(opener: Opener) -> AsyncIterator[World]:
    world = await opened(opener)
    yield world
    await world.stop()


@pytest.fixture
async def both(sqlite_path: Path, mongo_database: str) -> AsyncIterator[tuple[World, World]]:
    """A server over each kind of store."""
    worlds = (
        await opened(lambda: SqliteStore.open(sqlite_path)),
        await opened(lambda: MongoStore.open(mongo_database)),
    )
    yield worlds
    for world in worlds:
        await world.stop()


class Way:
    """One way in which a history comes in. Its ids begin with `its`, so that several share a store."""

    def __init__(self, world: World, its: str):
        self.servers = [world, world.twin()]
        self.its = its
        self.leads: dict[tuple[str, str], str] = {}

    async def walk(self, history: Sequence[It], data: st.DataObject | None = None) -> None:
        """Args: data: says how; None is the plain way, one after the other on one server."""
        rest = list(data.draw(st.permutations(history), "order") if data else history)
        while rest:
            batch = [rest.pop(0)]
            if isinstance(batch[0].what, dict) and data and data.draw(st.booleans(), "in a batch"):
                batch += [it for it in rest if isinstance(it.what, dict)]
                rest = [it for it in rest if it not in batch]
            server = self.servers[data.draw(st.integers(0, 1), "server") if data else 0]
            await self.step(server, batch)
            if data and data.draw(st.sampled_from([False, False, True]), "told again"):
                await self.step(server, batch)
            if data and data.draw(st.sampled_from([False, False, False, True]), "starts anew"):
                server.plug()

    async def step(self, server: World, batch: Sequence[It]) -> None:
        """Let one thing happen, or several logins at once; nobody else's lead may change."""
        before = await self.documents(server)
        if isinstance(batch[0].what, dict):
            results = await server.login(*(self.record(it) for it in batch))
            for it, result in zip(batch, results, strict=True):
                assert result.lead_id is not None
                assert self.leads.setdefault((it.user, it.product), result.lead_id) == result.lead_id
        else:
            (it,) = batch
            await server.happen(await self.lead(server, it), self.event(it))
        concerned = {self.leads[it.user, it.product] for it in batch}
        for id, found in (await self.documents(server)).items():
            assert id in concerned or found == before[id], "a lead changed by what happened to another"

    async def documents(self, server: World) -> dict[str, Document]:
        return {d.id: d for d in await server.store.get(Kind.LEADS, *self.leads.values()) if d}

    async def lead(self, server: World, it: It) -> str:
        """The lead, made by hand where it has not come by itself yet."""
        key = it.user, it.product
        if key not in self.leads:
            user = f"{self.its}-{it.user}"
            self.leads[key] = await server.lead(it.product, crm_user_id=user, email=f"{user}@example.com")
        return self.leads[key]

    def record(self, it: It) -> dict[str, Any]:
        assert isinstance(it.what, dict)
        user = f"{self.its}-{it.user}"
        its = {"event_id": f"{self.its}-{it.what['event_id']}", "crm_user_id": user, "email": f"{user}@example.com"}
        return it.what | its

    def event(self, it: It) -> Happening:
        assert isinstance(it.what, Happening)
        what = it.what
        id = f"{self.its}-{what.event_id}"
        return Happening(what.source, id, what.event_type, what.channel, what.timestamp, what.metadata)

    async def told(self) -> Any:
        """All that is known in the end, without what tells this way from others."""
        world, told = self.servers[0], {}
        for (user, product), id in sorted(self.leads.items()):
            loaded = await world.recorder.load(id)
            ledger = [Event.read(d.body) for d in await world.each(EVENTS_BY_LEAD, id)]
            events = sorted((e.event_id, e.event_type, e.timestamp, e.score_impact, said(e)) for e in ledger)
            told[user, product] = {**told_lead(loaded.lead, loaded.person), "events": events}
        return _without(told, f"{self.its}-")

    async def persons(self) -> dict[str, Person]:
        """The person whom each user's key leads to."""
        keys = [crm_key("crm", f"{self.its}-{user}").id for user in sorted({user for user, _ in self.leads})]
        found = [d for d in await self.servers[0].store.get(Kind.PERSON_KEYS, *keys) if d]
        persons = await self.servers[0].store.get(Kind.PERSONS, *(d.body["person_id"] for d in found))
        return {d.id: Person.read(d.body) for d in persons if d}


def said(event: Event) -> str:
    """What an event came with. Of a login it is what lost, which follows from the order in which they came."""
    return "" if event.event_type is EventType.LOGIN else event.metadata


def _without(value: Any, its: str) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, its) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without(inner, its) for inner in value]
    return value.replace(its, "") if isinstance(value, str) else value


@examples()
@given(history=histories(), data=st.data())
async def test_data_independence_and_consistency(world: World, history: list[It], data: st.DataObject) -> None:
    """Feature: lead-nurturing-automation, Property 7: Data Independence and Consistency

    However the same history comes in (in any order and any batches, repeated, to one server or two over one store,
    with servers that forget in between, into leads made by a login or by hand), the same is known in the end. A lead
    changes only by what happens to it; leads of one human have the person in common, who is one person.

    Seen to catch: an old login that comes late and moves the lead to its old organization, a batch of which the last
    record wins instead of the newest, a last reply and a last login that are those which came last.
    """
    its = mark()
    plain, other = Way(world, f"{its}a"), Way(world, f"{its}b")
    await plain.walk(history)
    await other.walk(history, data)
    assert await other.told() == await plain.told()
    for way in (plain, other):
        persons = await way.persons()
        assert len(persons) == len({user for user, _ in way.leads}), "a human is one person"
        assert {id for person in persons.values() for id in person.leads.values()} == set(way.leads.values())


@settings(examples(), max_examples=10)
@given(history=histories(), data=st.data())
async def test_both_kinds_of_store_come_to_the_same(
    both: tuple[World, World], history: list[It], data: st.DataObject
) -> None:
    """The same history by the plain way into SQLite and by another way into MongoDB: the same is known."""
    its = mark()
    plain, other = (Way(world, its) for world in both)
    await plain.walk(history)
    await other.walk(history, data)
    assert await other.told() == await plain.told()
