"""Every product nurtures its own leads, in its own words and on its own channels."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.messages import Message
from tests.conftest import Opener
from tests.properties.rig import World, examples, happening, login, mark
from tracker.events import Channel, EventType
from tracker.stages import ORDER, Stage
from tracker.store.schema import MESSAGES_BY_LEAD
from tracker.times import later

CHANNELS = (Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT)
TEMPLATES = ("hello", "tips", "offer")
ENGAGED_AT, QUALIFIED_AT, POINTS = 10, 20, 5

step = st.builds(
    lambda channel, template, hours: {"channel": channel, "template_id": template, "delay_hours": hours},
    st.sampled_from(CHANNELS),
    st.sampled_from(TEMPLATES),
    st.integers(0, 48),
)
sequences = st.dictionaries(st.sampled_from(ORDER), st.lists(step, max_size=3), max_size=3)
products = st.builds(
    lambda sequences, hours: {
        "nurturing_sequences": [{"stage": stage, "messages": messages} for stage, messages in sequences.items()],
        "nurture_after_hours": hours,
        "engaged_threshold": ENGAGED_AT,
        "scoring_rules": {
            "login_points": POINTS,
            "email_click_points": POINTS,
            "qualification_threshold": QUALIFIED_AT,
        },
        "conversion_goals": ["paid"],
    },
    sequences,
    st.sampled_from([0, 1, 72]),
)


class Comer(NamedTuple):
    """Somebody who comes. Attributes: by: a login or by hand. clicks: that many clicks later. bought: at last."""

    user: int
    product: int
    by: str
    hours_ago: float
    clicks: int
    bought: bool


comers = st.builds(
    Comer,
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(["login", "hand"]),
    st.sampled_from([0, 0.5, 2, 71, 73, 500]),
    st.integers(0, 4),
    st.booleans(),
)


@pytest.fixture
async def world(opener: Opener) -> AsyncIterator[World]:
    world = await World(opener).start()
    for template in TEMPLATES:
        for channel in CHANNELS:
            await world.template(template, channel)
    yield world
    await world.stop()


def stages_of(comer: Comer) -> list[Stage]:
    """The stages that the comer enters, in order."""
    score = POINTS * (comer.clicks + (comer.by == "login"))
    reached = (1, 2, 3)[(score >= ENGAGED_AT) + (score >= QUALIFIED_AT)]
    return list(ORDER[:4]) if comer.bought else list(ORDER[:reached])


@examples(least=200)
@given(
    configs=st.lists(products, min_size=2, max_size=3),
    people=st.lists(comers, min_size=1, max_size=6, unique_by=lambda comer: (comer.user, comer.product)),
)
async def test_product_specific_workflow_routing(world: World, configs: list[Any], people: list[Comer]) -> None:
    """Feature: lead-nurturing-automation, Property 3: Product-Specific Workflow Routing

    A lead that enters a stage gets exactly the first step of that stage's sequence in its own product: on the step's
    channel, with the product's template, when its delay is over; the step before it is cancelled. A product without a
    sequence for the stage plans nothing, nor does one whose lead comes from a login older than `nurture_after_hours`.

    Seen to catch: old logins that are greeted, a channel that is not the step's, the sequence of another stage.
    """
    its = mark()
    ids = [f"{its}-{number}" for number in range(len(configs))]
    for product_id, config in zip(ids, configs, strict=True):
        await world.product(product_id, **config)
    for comer in people:
        if comer.product < len(ids):
            lead_id = await come(world, comer, f"{its}-u{comer.user}", ids[comer.product])
            await is_nurtured(world, lead_id, comer, configs[comer.product], ids[comer.product])


async def come(world: World, comer: Comer, user: str, product_id: str) -> str:
    name = f"{user}-{product_id}"
    if comer.by == "hand":
        lead_id = await world.lead(product_id, crm_user_id=user, email=f"{user}@example.com")
    else:
        record = login(name, user, minutes_ago=round(60 * comer.hours_ago), product_id=product_id)
        (result,) = await world.login(record)
        assert result.lead_id is not None
        lead_id = result.lead_id
    for number in range(comer.clicks):
        await world.happen(lead_id, happening(f"{name}-{number}", EventType.EMAIL_CLICK))
    if comer.bought:
        await world.happen(lead_id, happening(f"{name}-paid", EventType.CONVERSION, metadata={"goal": "paid"}))
    return lead_id


async def is_nurtured(world: World, lead_id: str, comer: Comer, config: dict[str, Any], product_id: str) -> None:
    entered = stages_of(comer)
    sequences = {sequence["stage"]: sequence["messages"] for sequence in config["nurturing_sequences"]}
    firsts = {stage: sequences[stage][0] for stage in entered if sequences.get(stage)}
    if comer.by == "login" and comer.hours_ago > config["nurture_after_hours"]:
        firsts.pop(Stage.USER, None)
    # An event that moves a lead by more than one stage enters the last one only.
    if comer.bought and entered[-1] is Stage.CUSTOMER:
        by_score = stages_of(comer._replace(bought=False))
        firsts = {stage: first for stage, first in firsts.items() if stage in {*by_score, Stage.CUSTOMER}}
    messages = [Message.read(d.body) for d in await world.each(MESSAGES_BY_LEAD, lead_id)]
    assert {m.product_id for m in messages} <= {product_id}
    assert {m.stage: (m.channel, m.template_id, m.due_at) for m in messages} == {
        stage: (first["channel"], first["template_id"], later(world.clock(), hours=first["delay_hours"]))
        for stage, first in firsts.items()
    }
    assert len(messages) == len(firsts), "one step of a sequence at a time"
    assert {m.stage for m in messages if m.waiting} == {entered[-1]} & firsts.keys(), "and only of the lead's stage"
