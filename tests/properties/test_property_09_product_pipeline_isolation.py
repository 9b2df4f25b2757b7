"""Two products and people who use both: what happens in one is nothing to the other."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Opener
from tests.properties.rig import World, examples, happening, login, mark
from tracker.errors import NotFound, Refused
from tracker.events import Channel, EventType
from tracker.person import Person
from tracker.stages import ORDER, IllegalTransition
from tracker.store.port import Document
from tracker.store.schema import (
    AUDIT_BY_LEAD,
    COUNTERS_BY_PRODUCT,
    EVENTS_BY_LEAD,
    HANDOFFS_BY_LEAD,
    LEADS_BY_PRODUCT,
    MESSAGES_BY_LEAD,
    PRODUCT_VERSIONS,
    Kind,
)

OF_LEAD = (AUDIT_BY_LEAD, EVENTS_BY_LEAD, HANDOFFS_BY_LEAD, MESSAGES_BY_LEAD)
USERS = 3
EVENTS = (
    (EventType.EMAIL_CLICK, Channel.EMAIL),
    (EventType.UNSUBSCRIBE, Channel.EMAIL),
    (EventType.UNSUBSCRIBE, Channel.WHATSAPP),
    (EventType.EMAIL_BOUNCE, Channel.EMAIL),
    (EventType.CHATBOT_INTERACTION, Channel.CHATBOT),
    (EventType.WHATSAPP_REPLY, Channel.WHATSAPP),
    (EventType.CONVERSION, Channel.PRODUCT),
)
CONFIG: dict[str, Any] = {
    "scoring_rules": {"login_points": 5, "email_click_points": 10, "qualification_threshold": 30},
    "engaged_threshold": 12,
    "conversion_goals": ["paid"],
    "nurturing_sequences": [
        {"stage": stage, "messages": [{"delay_hours": 5, "channel": "email", "template_id": "hello"}]}
        for stage in ("User", "Engaged_Lead", "Qualified_Lead")
    ],
}

users = st.integers(0, USERS - 1)
whens = st.integers(0, 5000)
deeds = st.one_of(
    st.tuples(st.just("login"), users, whens),
    st.tuples(st.just("event"), users, st.sampled_from(EVENTS)),
    st.tuples(st.just("move"), users, st.sampled_from(ORDER)),
    st.tuples(st.just("revert"), users, st.none()),
    st.tuples(st.just("reclassify"), users, st.booleans()),
    st.tuples(st.just("claim"), users, st.sampled_from(["claim", "release", "resolve"])),
    st.tuples(st.just("configure"), users, st.sampled_from(["put", "draft", "rollout", "rollback"])),
)


@pytest.fixture
async def world(opener: Opener) -> AsyncIterator[World]:
    world = await World(opener).start()
    await world.template("hello", Channel.EMAIL)
    yield world
    await world.stop()


class Pair:
    """Two products, and the people who have a lead in each."""

    def __init__(self, world: World, its: str):
        self.world, self.its, self.count = world, its, 0
        self.ids = (f"{its}-a", f"{its}-b")
        self.leads: dict[tuple[str, int], str] = {}

    async def furnish(self) -> None:
        for product_id in self.ids:
            await self.world.product(product_id, **CONFIG)
            for user in range(USERS):
                await self.do(product_id, "login", user, 10)

    def name(self) -> str:
        self.count += 1
        return f"{self.its}-{self.count}"

    async def do(self, product_id: str, deed: str, user: int, how: Any) -> None:
        """Let something happen in a product. Raises: LeadlineError: it is not possible now."""
        world, recorder = self.world, self.world.recorder
        lead_id = self.leads.get((product_id, user), "")
        match deed:
            case "login":
                record = login(self.name(), f"{self.its}-u{user}", minutes_ago=how, product_id=product_id)
                (result,) = await world.login({**record, "name": f"Name {how}"})
                assert result.lead_id is not None
                self.leads[product_id, user] = result.lead_id
            case "event":
                kind, channel = how
                metadata = {"goal": "paid"} if kind is EventType.CONVERSION else {}
                await world.happen(lead_id, happening(self.name(), kind, channel=channel, metadata=metadata))
            case "move":
                await recorder.move(lead_id, how, actor="mia", reason="by hand")
            case "revert":
                await recorder.revert(lead_id, actor="mia", reason="no")
            case "reclassify":
                events = await world.each(EVENTS_BY_LEAD, lead_id)
                await recorder.reclassify(events[0].id, machine=how)
            case "claim":
                handoff_id = (await recorder.load(lead_id)).lead.handoff_id
                if handoff_id is not None:
                    await getattr(world.handoffs, how)(handoff_id, "mia")
            case "configure":
                await self.configure(product_id, how)

    async def configure(self, product_id: str, how: str) -> None:
        catalog = self.world.server.catalog
        if how in {"put", "draft"}:
            rules = {**CONFIG["scoring_rules"], "login_points": self.count}
            given = {"product_id": product_id, "name": "Another", **CONFIG, "scoring_rules": rules}
            config = type((await self.live(product_id)).config).model_validate(given)
            await catalog.put(config, author="mia", draft=how == "draft")
        elif how == "rollout":
            await catalog.rollout(product_id, len((await catalog.versions(product_id)).items), 50, author="mia")
        else:
            await catalog.rollback(product_id, author="mia")

    async def live(self, product_id: str) -> Any:
        found = await self.world.server.catalog.live(product_id)
        assert found is not None
        return found

    async def all_of(self, product_id: str) -> list[Document | None]:
        """Every document of a product, with its version."""
        find, get = self.world.store.find, self.world.store.get
        leads = (await find(LEADS_BY_PRODUCT, product_id, limit=1000)).items
        ids = [d.id for d in leads]
        found = [*leads, *[d for index in OF_LEAD for d in await self.world.each(index, *ids)]]
        found += (await find(PRODUCT_VERSIONS, product_id, limit=1000)).items
        found += (await find(COUNTERS_BY_PRODUCT, product_id, limit=1000)).items
        return [*found, *await get(Kind.ENROLMENTS, *ids), *await get(Kind.PRODUCTS, product_id)]


@examples()
@given(history=st.lists(deeds, min_size=1, max_size=12), which=st.integers(0, 1))
async def test_product_pipeline_isolation(world: World, history: list[tuple[str, int, Any]], which: int) -> None:
    """Feature: lead-nurturing-automation, Property 9: Product Pipeline Isolation

    Whatever happens in one product (logins, events, stages by hand, handoffs, other configurations, rollouts) leaves
    every document of the other one as it was: leads, scores, stages, histories, enrolments, messages, configuration
    and counts. The person is the same in both: consent and suppressions from one hold in the other.

    Seen to catch: a login that counts on any lead of the person, products that share their counts, an opt-out that is
    forgotten.
    """
    pair = Pair(world, mark())
    await pair.furnish()
    here, there = pair.ids[which], pair.ids[1 - which]
    before = await pair.all_of(there)
    counts = [d.body["value"] for d in before if d and d.body.get("metric") == "events.login"]
    assert sum(counts) == USERS, "each product has its own counts"
    for deed, user, how in history:
        with contextlib.suppress(IllegalTransition, NotFound, Refused):
            await pair.do(here, deed, user, how)
        assert await pair.all_of(there) == before, deed
        if deed == "event":
            await is_shared(pair, here, there, user, *how)


async def is_shared(pair: Pair, here: str, there: str, user: int, kind: EventType, channel: Channel) -> None:
    one, other = [(await pair.world.recorder.load(pair.leads[product, user])).person for product in (here, there)]
    assert one == other, "they are one person"
    assert isinstance(other, Person)
    if kind in {EventType.UNSUBSCRIBE, EventType.EMAIL_BOUNCE} and channel is Channel.EMAIL:
        assert kind in {s.reason for s in other.suppressions}, "an opt-out holds in every product"
    if kind is EventType.UNSUBSCRIBE and channel is Channel.WHATSAPP:
        assert other.whatsapp_consent.status == "denied"
