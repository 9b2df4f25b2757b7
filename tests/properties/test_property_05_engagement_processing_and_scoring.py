"""The score against the rules, computed here a second time from the whole history."""

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Opener
from tests.properties.rig import World, examples, happening, mark
from tracker.events import Channel, Event, EventType, Happening
from tracker.scoring import CUT
from tracker.store.schema import EVENTS_BY_LEAD
from tracker.times import Instant, just_after, moment

KINDS = (
    EventType.LOGIN,
    EventType.EMAIL_OPEN,
    EventType.EMAIL_CLICK,
    EventType.EMAIL_REPLY,
    EventType.WHATSAPP_REPLY,
    EventType.CHATBOT_INTERACTION,
    EventType.QUALIFICATION_ANSWER,
    EventType.EMAIL_SENT,
)
points = st.sampled_from([5, 2.5, 10, 0, -5])
plain_rules = st.fixed_dictionaries(
    {
        "login_points": points,
        "email_open_points": points,
        "email_click_points": points,
        "whatsapp_reply_points": points,
        "chatbot_points": points,
        "default_points": points,
        "answer_points": st.dictionaries(st.sampled_from(["budget", "timeline"]), points),
        "email_engagement_multiplier": st.sampled_from([0, 0.5, 1, 3]),
    },
    optional={"half_life_days": st.sampled_from([0.5, 7, 30])},
)


CAPPED = {
    EventType.LOGIN: "login_points",
    EventType.EMAIL_CLICK: "email_click_points",
    EventType.CHATBOT_INTERACTION: "chatbot_points",
}


@st.composite
def histories(draw: st.DrawFn, kinds: Sequence[EventType], *, least: int, hours: int) -> list[Happening]:
    history = []
    for number in range(draw(st.integers(least, 12))):
        kind = draw(st.sampled_from(kinds))
        slot = draw(st.sampled_from(["budget", "timeline", "unknown"]))
        history.append(
            happening(
                str(number),
                kind,
                minutes_ago=draw(st.integers(0, hours * 60)),
                channel=Channel.EMAIL,
                metadata={"slot": slot} if kind is EventType.QUALIFICATION_ANSWER else {},
                machine=draw(st.sampled_from([False, False, True])),
            )
        )
    return history


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], list[Happening]]:
    """Rules, and a history. Every other time several events of a day that are worth something meet under one cap."""
    rules = draw(plain_rules)
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    if draw(st.booleans()):
        return rules, draw(histories(kinds, least=1, hours=48))
    kind = draw(st.sampled_from([*CAPPED]))
    rules[CAPPED[kind]] = draw(st.sampled_from([2.5, 5, 10]))
    rules["daily_caps"] = {kind: draw(st.sampled_from([0, 5, 12.5])), kinds[0]: 7}
    return rules, draw(histories([kind, kind, *kinds], least=3, hours=24))


def worth(it: Happening, rules: dict[str, Any]) -> int:
    """What an event is worth, in thousandths, before any cap."""
    if it.machine:
        return 0
    times = rules["email_engagement_multiplier"]
    worth: float = {
        EventType.LOGIN: rules["login_points"],
        EventType.EMAIL_OPEN: rules["email_open_points"] * times,
        EventType.EMAIL_CLICK: rules["email_click_points"] * times,
        EventType.EMAIL_REPLY: rules["default_points"],
        EventType.WHATSAPP_REPLY: rules["whatsapp_reply_points"],
        EventType.CHATBOT_INTERACTION: rules["chatbot_points"],
        EventType.QUALIFICATION_ANSWER: rules["answer_points"].get(it.metadata.get("slot"), 0),
    }.get(it.event_type, 0)
    return round(1000 * worth)


def by_day(history: Sequence[Happening], rules: dict[str, Any]) -> dict[tuple[str, str], int]:
    """What the events of each day and type are worth together, capped."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for it in history:
        impact = worth(it, rules)
        sums[it.timestamp[:10], it.event_type][impact < 0] += impact
    caps = rules.get("daily_caps", {})
    return {
        (day, kind): min(gain, round(1000 * caps[EventType(kind)])) + loss if kind in caps else gain + loss
        for (day, kind), (gain, loss) in sums.items()
    }


def left(events: Sequence[Event], rules: dict[str, Any], until: Instant) -> float:
    """What is left of the points of events at a moment."""
    half_life: float | None = rules.get("half_life_days")
    if half_life is None:
        return sum(event.score_impact for event in events)
    days = [(moment(until) - moment(event.timestamp)).total_seconds() / 86400 for event in events]
    return sum(e.score_impact * math.pow(0.5, max(d, 0) / half_life) for e, d in zip(events, days, strict=True))


@pytest.fixture
async def world(opener: Opener) -> AsyncIterator[World]:
    world = await World(opener).start()
    yield world
    await world.stop()


@examples(least=200)
@given(case=cases(), data=st.data())
async def test_engagement_processing_and_scoring(
    world: World, case: tuple[dict[str, Any], list[Happening]], data: st.DataObject
) -> None:
    """Feature: lead-nurturing-automation, Property 5: Engagement Processing and Scoring

    Any history, in any order, with repeats and with machine flags that are said and unsaid at any time: the lead's
    score, the total of its explanation and the sum by the product's rules are one number, at any moment asked for; the
    parts of the explanation add up to the total, and no event counts twice or above its day's cap; what the cap cut
    says so. In another order the score is the same.

    Seen to catch: a cap for each event instead of the day, machine hits that count, points that fade from when they
    came and not from when they were earned, a reclassification that leaves the other events of a capped day as they
    were, a machine's login that is still one of the lead's, a moment that is left out of the score as of that moment,
    a click that stays "cut by daily_caps" when it is called a machine's.
    """
    its, (rules, history) = mark(), case
    await world.product(its, scoring_rules=rules, engaged_threshold=1000)
    history = [Happening("api", f"{its}-{it.event_id}", *_rest(it)) for it in history]
    lead_id = await world.lead(its, email=f"{its}@example.com")
    final = {it.key: it for it in history}
    arrivals = data.draw(st.permutations([*history, *history[:3]]), "arrivals")
    seen: list[str] = []
    for it in arrivals:
        done = await world.happen(lead_id, it)
        assert done.duplicate is (it.key in seen)
        seen.append(it.key)
        if data.draw(st.sampled_from([False, False, True]), "reclassified"):
            key = data.draw(st.sampled_from(seen), "which")
            flipped = Happening("api", final[key].event_id, *_rest(final[key], machine=not final[key].machine))
            final[key] = flipped
            await world.recorder.reclassify(key, machine=flipped.machine)
    await is_scored(world, lead_id, list(final.values()), rules, data)
    score = (await world.recorder.load(lead_id)).lead.score
    if not ("half_life_days" in rules and rules.get("daily_caps")):  # which of a day's events the cap cuts has an order
        assert abs(score - await in_another_order(world, its, list(final.values()), data)) <= 1


def _rest(it: Happening, *, machine: bool | None = None) -> tuple[Any, ...]:
    flag = it.machine if machine is None else machine
    return it.event_type, it.channel, it.timestamp, it.metadata, flag


async def is_scored(
    world: World, lead_id: str, final: Sequence[Happening], rules: dict[str, Any], data: st.DataObject
) -> None:
    loaded = await world.recorder.load(lead_id)
    ledger = [Event.read(d.body) for d in await world.each(EVENTS_BY_LEAD, lead_id)]
    assert len(ledger) == len(final)
    given_points: dict[tuple[str, str], int] = defaultdict(int)
    for event in ledger:
        given_points[event.timestamp[:10], event.event_type] += event.score_impact
    assert given_points == by_day(final, rules), "what the ledger gives is what the rules give"
    full = {it.key: worth(it, rules) for it in final}
    assert [e.rule.endswith(CUT) for e in ledger] == [e.score_impact < full[e.key] for e in ledger], "less says why"
    logins = [it.timestamp for it in final if it.event_type is EventType.LOGIN and not it.machine]
    assert sum(loaded.lead.login_days.values()) == len(logins), "nor is a machine's login one"
    assert loaded.lead.last_login_at == max(logins, default=None)
    newest = max((e.timestamp for e in ledger if e.score_impact), default=ledger[0].timestamp)
    assert abs(loaded.lead.score - left(ledger, rules, newest)) <= 1, "the score is the fold of the ledger"
    at = data.draw(st.sampled_from([None, *(e.timestamp for e in ledger)]), "asked for")
    told = await world.score(loaded, at)
    counted = [e for e in ledger if at is None or e.timestamp < just_after(at)]
    until = at or Instant(world.clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    assert abs(told["total"] * 1000 - left(counted, rules, until)) <= 1, "and so is the explanation"
    for parts in ("by_type", "by_day"):
        assert abs(sum(told[parts].values()) - told["total"]) * 1000 <= (len(ledger) + 1) / 2
    if "half_life_days" not in rules and at is None:
        assert told["total"] * 1000 == loaded.lead.score


async def in_another_order(world: World, its: str, final: Sequence[Happening], data: st.DataObject) -> int:
    lead_id = await world.lead(its, email=f"{its}-other@example.com")
    for it in data.draw(st.permutations(final), "another order"):
        await world.happen(lead_id, Happening("other", it.event_id, *_rest(it)))
    return (await world.recorder.load(lead_id)).lead.score
