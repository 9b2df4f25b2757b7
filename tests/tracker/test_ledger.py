"""The fold: a lead's score is the sum of its ledger, whatever the order and the batches."""

import random
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.strategies import NOON, configs, histories
from tracker.counting import counters
from tracker.events import Channel, EventType, Happening
from tracker.lead import Lead
from tracker.ledger import Folded, entries, fold, logged, recounted
from tracker.product import ProductConfig
from tracker.scoring import score
from tracker.stages import ORDER, Stage
from tracker.store.port import Increment, Insert
from tracker.store.schema import Kind
from tracker.times import instant, later
from tracker.told import of_lead

AT = instant(NOON)
NEW = Lead(person_id="p", product_id="flowdesk", config_number=1, created_at=AT, updated_at=AT)


def config(**changes: Any) -> ProductConfig:
    base = {"product_id": "flowdesk", "name": "Flowdesk", "engaged_threshold": 20, "conversion_goals": ["paid"]}
    return ProductConfig.model_validate({**base, "scoring_rules": {"qualification_threshold": 50}, **changes})


def happening(event_type: EventType, id: str = "e1", machine: bool = False, **metadata: Any) -> Happening:
    return Happening("crm", id, event_type, Channel.PRODUCT, AT, metadata, machine)


def logins(count: int) -> list[Happening]:
    return [happening(EventType.LOGIN, f"l{n}") for n in range(count)]


def folded(history: Sequence[Happening], rules: ProductConfig, lead: Lead = NEW) -> Folded:
    return fold("lead-1", lead, history, rules, at=AT)


@given(histories(), configs())
def test_the_score_is_the_sum_of_the_ledger(history: list[Happening], rules: ProductConfig) -> None:
    """`engagement_score` always equals the sum recomputed from the events."""
    done = folded(history, rules)
    assert done.lead.score == sum(event.score_impact for event in done.events)
    assert [event.key for event in done.events] == [h.key for h in history]


@given(histories(), configs(), st.randoms(use_true_random=False))
def test_the_score_does_not_depend_on_the_order(
    history: list[Happening], rules: ProductConfig, shuffler: random.Random
) -> None:
    """Late and early arrivals lead to the same score, the same logins, the same last login."""
    shuffled = history[:]
    shuffler.shuffle(shuffled)
    one, other = folded(history, rules).lead, folded(shuffled, rules).lead
    assert (one.score, one.login_days, one.last_login_at) == (other.score, other.login_days, other.last_login_at)


@given(histories(), configs(st.integers(0, 50)), st.randoms(use_true_random=False))
def test_the_stage_does_not_depend_on_the_order_when_no_rule_takes_points_away(
    history: list[Happening], rules: ProductConfig, shuffler: random.Random
) -> None:
    """However the events of a day arrive, the lead ends at the same stage."""
    shuffled = history[:]
    shuffler.shuffle(shuffled)
    assert folded(history, rules).lead.stage is folded(shuffled, rules).lead.stage


@given(histories(), configs(), st.data())
def test_batches_do_not_matter(history: list[Happening], rules: ProductConfig, data: st.DataObject) -> None:
    """One commit of ten events does what ten commits do, the audit trail included."""
    cut = data.draw(st.integers(0, len(history)))
    whole, first = folded(history, rules), folded(history[:cut], rules)
    second = folded(history[cut:], rules, first.lead)
    # But for the handoff: who qualifies and buys in the same moment needs none.
    assert second.lead.but(handoff_id=None) == whole.lead.but(handoff_id=None)
    assert first.events + second.events == whole.events
    changes = [*first.stage_changes, *second.stage_changes]
    assert [c.but(opens=None) for c in changes] == [c.but(opens=None) for c in whole.stage_changes]


@given(histories(), configs())
def test_the_audit_trail_leads_from_the_old_stage_to_the_new(history: list[Happening], rules: ProductConfig) -> None:
    """Each change goes one step on, names the event that caused it, and the last one is where the lead stands."""
    done = folded(history, rules)
    at = Stage.USER
    for change in done.stage_changes:
        assert change.before is at
        assert ORDER.index(change.to) == ORDER.index(at) + 1
        assert change.event_id in {event.key for event in done.events}
        at = change.to
    assert done.lead.stage is at


def test_one_event_over_two_thresholds_writes_two_entries() -> None:
    """No stage is skipped in the audit trail."""
    rules = config(scoring_rules={"login_points": 60, "qualification_threshold": 50})
    changes = folded(logins(1), rules).stage_changes
    assert [(c.before, c.to, c.reason) for c in changes] == [
        (Stage.USER, Stage.ENGAGED, "score 60 reached 20"),
        (Stage.ENGAGED, Stage.QUALIFIED, "score 60 reached 50"),
    ]


@pytest.mark.parametrize("event_type", [EventType.CHATBOT_INTERACTION, EventType.WHATSAPP_REPLY, EventType.EMAIL_REPLY])
def test_whoever_answers_is_engaged(event_type: EventType) -> None:
    """A first reply or chat makes an engaged lead, even where replies are worth nothing."""
    rules = config(scoring_rules={"whatsapp_reply_points": 0, "chatbot_points": 0, "default_points": 0})
    (change,) = folded([happening(event_type)], rules).stage_changes
    assert (change.to, change.reason) == (Stage.ENGAGED, "first answer on product")


def test_a_goal_makes_a_customer_from_any_stage() -> None:
    """A conversion that names one of the product's goals walks the lead to the end, other conversions do nothing."""
    done = folded([happening(EventType.CONVERSION, goal="paid")], config())
    assert [c.to for c in done.stage_changes] == [Stage.ENGAGED, Stage.QUALIFIED, Stage.CUSTOMER]
    assert folded([happening(EventType.CONVERSION, goal="demo")], config()).lead.stage is Stage.USER
    assert folded([happening(EventType.CONVERSION)], config()).lead.stage is Stage.USER


def test_what_earns_nothing_lifts_nobody() -> None:
    """After a revert the lead stays where it was put until a scoring event comes."""
    reverted = NEW.but(score=30_000, stage=Stage.USER)
    assert folded([happening(EventType.EMAIL_SENT)], config(), reverted).lead.stage is Stage.USER
    assert folded([happening(EventType.EMAIL_OPEN, machine=True)], config(), reverted).lead.stage is Stage.USER
    assert folded(logins(1), config(), reverted).lead.stage is Stage.ENGAGED


def test_a_customer_stays_one() -> None:
    """What would engage or qualify somebody else leads nobody back."""
    customer = NEW.but(stage=Stage.CUSTOMER)
    done = folded([*logins(20), happening(EventType.CHATBOT_INTERACTION)], config(), customer)
    assert (done.lead.stage, done.stage_changes) == (Stage.CUSTOMER, [])


def test_under_n8n_the_stage_is_left_alone() -> None:
    """Where the workflow decides on stages, the score grows and the stage waits."""
    done = folded([*logins(20), happening(EventType.CONVERSION, goal="paid")], config(stage_policy="n8n"))
    assert (done.lead.score, done.lead.stage, done.stage_changes) == (100_000, Stage.USER, [])


def test_a_score_that_falls_takes_no_stage_away() -> None:
    """Rules may take points; a stage is only left by hand."""
    rules = config(scoring_rules={"login_points": 20, "email_open_points": -15, "qualification_threshold": 50})
    done = folded([*logins(1), happening(EventType.EMAIL_OPEN)], rules)
    assert (done.lead.score, done.lead.stage) == (5000, Stage.ENGAGED)


@pytest.mark.parametrize("slot", [["budget"], {"a": 1}, 5, None, True])
def test_a_slot_that_is_no_text_is_worth_nothing(slot: Any) -> None:
    """Metadata is free-form: whatever it holds, the event is counted."""
    rules = config(scoring_rules={"answer_points": {"budget": 10}})
    (event,) = folded([happening(EventType.QUALIFICATION_ANSWER, slot=slot)], rules).events
    assert (event.score_impact, orjson.loads(event.metadata)) == (0, {"slot": slot})


@given(histories(), configs())
def test_every_event_and_change_becomes_one_document(history: list[Happening], rules: ProductConfig) -> None:
    """Documents are named after what they hold, so the same history can be kept only once."""
    done = folded(history, rules)
    changes = entries(done.events, done.stage_changes)
    assert all(isinstance(change, Insert) for change in changes)
    opened = [change.opens for change in done.stage_changes if change.opens]
    assert len({(c.kind, c.id) for c in changes}) == len(done.events) + len(done.stage_changes) + len(opened)
    assert [c.id for c in changes if c.kind is Kind.HANDOFFS] == opened


def test_the_analytics_count_each_event_once() -> None:
    """One increment per event, by the day it was received, the product and the type."""
    done = folded([*logins(3), happening(EventType.EMAIL_OPEN)], config())
    counted = counters(done.events)
    assert all(isinstance(change, Increment) and change.by == 1 for change in counted)
    metrics = [c.labels["metric"] for c in counted if isinstance(c, Increment)]
    assert sorted(metrics) == ["events.email_open", *["events.login"] * 3]
    assert {c.labels["day"] for c in counted if isinstance(c, Increment)} == {AT[:10]}


# points that fade, days with a cap, rules that fail


@st.composite
def fading_configs(draw: st.DrawFn) -> ProductConfig:
    """A product whose points fade, or whose days have caps, or both."""
    rules = draw(configs()).model_dump(mode="json", exclude_none=True)
    half_life, caps = draw(st.sampled_from([(None, True), (0.5, False), (7, True), (30, False)]))
    if half_life:
        rules["scoring_rules"]["half_life_days"] = half_life
    if caps:
        types = st.sampled_from([str(t) for t in EventType])
        rules["scoring_rules"]["daily_caps"] = draw(st.dictionaries(types, st.integers(0, 60), max_size=5))
    return ProductConfig.model_validate(rules)


def shuffled_copy(history: list[Happening], shuffler: random.Random) -> list[Happening]:
    other = history[:]
    shuffler.shuffle(other)
    return other


@given(histories(20), fading_configs(), st.randoms(use_true_random=False))
def test_what_fades_does_not_depend_on_the_order(
    history: list[Happening], rules: ProductConfig, shuffler: random.Random
) -> None:
    """Late and early arrivals lead to the same score, as of the newest event, when no rule takes points away."""
    positive = [h for h in history if score(h.event_type, rules.scoring_rules, slot=h.metadata.get("slot")).impact >= 0]
    one, other = folded(positive, rules).lead, folded(shuffled_copy(positive, shuffler), rules).lead
    if not rules.scoring_rules.daily_caps:  # which event of a capped day gives the points depends on the order
        assert (one.score, one.scored_at) == (other.score, other.scored_at)
    elif rules.scoring_rules.half_life_days is None:
        assert (one.score, one.capped) == (other.score, other.capped)


@given(histories(20), fading_configs())
def test_recounting_finds_what_counting_did(history: list[Happening], rules: ProductConfig) -> None:
    """A ledger that came in order is worth the same when it is counted anew, event by event."""
    in_order = sorted(history, key=lambda h: (h.timestamp, h.key))
    done = folded(in_order, rules)
    lead, changed = recounted(done.lead, "lead-1", done.events, {"lead-1": rules})
    assert (lead.score, lead.capped, changed) == (done.lead.score, done.lead.capped, [])


@given(histories(20), fading_configs(), st.data())
def test_to_and_fro_is_as_before(history: list[Happening], rules: ProductConfig, data: st.DataObject) -> None:
    """What is called a machine's and then a person's again leaves the score where it was."""
    in_order = sorted(history, key=lambda h: (h.timestamp, h.key))
    done = folded(in_order, rules)
    if not done.events:
        return
    turned = data.draw(st.sampled_from(done.events))
    others = [event for event in done.events if event is not turned]
    configs = {"lead-1": rules}
    away, changed = recounted(done.lead, "lead-1", [*others, turned.but(machine=not turned.machine)], configs)
    known = {event.key: event for event in [*others, turned.but(machine=not turned.machine), *changed]}
    back, _ = recounted(away, "lead-1", [*(e for k, e in known.items() if k != turned.key), turned], configs)
    assert (back.score, back.capped) == (done.lead.score, done.lead.capped)


@given(histories(20), configs(), st.data())
def test_a_machines_login_is_none(history: list[Happening], rules: ProductConfig, data: st.DataObject) -> None:
    """Whether it came as one or is called so later; called a person's again it counts as before."""
    if not history:
        return
    events = folded(history, rules).events
    turned = data.draw(st.sampled_from(events))
    others = [event for event in events if event is not turned]
    for machine in (True, False):
        said = [replace(h, machine=machine) if h.key == turned.key else h for h in history]
        done, lead = folded(said, rules).lead, folded(history, rules).lead
        counted = logged(lead, [*others, turned.but(machine=machine)])
        assert (counted.login_days, counted.last_login_at) == (done.login_days, done.last_login_at)


def test_what_a_login_told_is_as_old_as_the_login() -> None:
    """Also when the newest login was a machine's, or was one after all: no field grows older or newer by that."""
    lead = NEW.but(last_login_at=later(NOON, hours=1), tells="name", told={"email": AT})
    (newer,) = logins(1)
    newer = replace(newer, event_id="newer", timestamp=later(NOON, hours=1))
    events = folded([*logins(1), newer], config()).events
    away = logged(lead, [events[0], events[1].but(machine=True)])
    assert (away.last_login_at, away.login_days, of_lead(away)) == (AT, {"2026-11-22": 1}, of_lead(lead))
    back = logged(away.but(tells="email"), events)
    assert (back.last_login_at, of_lead(back)) == (lead.last_login_at, of_lead(away) | {"email": AT})
    assert logged(back, []).last_login_at is None


def test_points_halve_with_the_half_life() -> None:
    """After one half-life an event is worth half, after two a quarter; a late one is worth what is left of it."""
    rules = config(scoring_rules={"login_points": 10, "half_life_days": 7, "qualification_threshold": 500})
    days = [
        Happening("crm", f"l{n}", EventType.LOGIN, Channel.PRODUCT, later(NOON, hours=-24 * n), {}) for n in (14, 7, 0)
    ]
    assert [folded(days[: n + 1], rules).lead.score for n in range(3)] == [10_000, 15_000, 17_500]
    assert folded([days[2], days[0]], rules).lead.score == 12_500


def test_a_day_gives_no_more_than_its_cap() -> None:
    """Beyond the cap events count for nothing; the next day begins anew; other types have their own."""
    rules = config(scoring_rules={"login_points": 4, "daily_caps": {"login": 10}, "qualification_threshold": 500})
    done = folded(logins(4), rules)
    assert [event.score_impact for event in done.events] == [4000, 4000, 2000, 0]
    assert folded([happening(EventType.EMAIL_CLICK)], rules, done.lead).events[0].score_impact == 3000
    tomorrow = Happening("crm", "x", EventType.LOGIN, Channel.PRODUCT, later(NOON, hours=24), {})
    assert folded([tomorrow], rules, done.lead).events[0].score_impact == 4000


CAPPED = config(
    scoring_rules={
        "email_click_points": 4,
        "email_open_points": 0,
        "daily_caps": {"email_click": 6, "email_open": 1},
        "qualification_threshold": 500,
    }
)


def test_what_the_cap_cut_says_so() -> None:
    """The rule of an event names the cap where it took points, also those of a rule that failed."""
    rule = "email_click_points × email_engagement_multiplier"
    done = folded([happening(EventType.EMAIL_CLICK, id) for id in ("1", "2", "3")], CAPPED)
    assert [(event.score_impact, event.rule) for event in done.events] == [
        (4000, rule),
        (2000, f"{rule}, cut by daily_caps"),
        (0, f"{rule}, cut by daily_caps"),
    ]
    (machine,) = folded([happening(EventType.EMAIL_CLICK, "4", machine=True)], CAPPED, done.lead).events
    (opened,) = folded([happening(EventType.EMAIL_OPEN)], CAPPED, done.lead).events
    assert (machine.rule, opened.rule) == ("machine", "email_open_points × email_engagement_multiplier")


def test_the_cap_may_cut_the_points_of_a_failed_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event still stands in review, with what was wrong and that the cap cut the default."""

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("no such rule")

    monkeypatch.setattr("tracker.scoring.score", broken)
    rules = config(scoring_rules={"default_points": 2, "daily_caps": {"login": 1}})
    done = folded(logins(1), rules)
    (item,) = [change for change in entries(done.events, ()) if change.kind is Kind.REVIEW]
    assert isinstance(item, Insert)
    assert item.body["error"] == "default_points: the rule failed: ZeroDivisionError('no such rule'), cut by daily_caps"


def test_an_event_that_only_says_something_else_is_counted_anew() -> None:
    """A click that gave nothing, because of the cap, gives nothing as a machine's: but it says why."""
    rule = "email_click_points × email_engagement_multiplier"
    first, second, third = folded([happening(EventType.EMAIL_CLICK, id) for id in ("1", "2", "3")], CAPPED).events
    _, changed = recounted(NEW, "lead-1", [first, second, third.but(machine=True)], {"lead-1": CAPPED})
    assert [(event.key, event.score_impact, event.rule) for event in changed] == [("crm:3", 0, "machine")]
    _, changed = recounted(NEW, "lead-1", [first.but(machine=True), second, third], {"lead-1": CAPPED})
    assert [(event.key, event.score_impact, event.rule) for event in changed] == [
        ("crm:1", 0, "machine"),
        ("crm:2", 4000, rule),
        ("crm:3", 2000, f"{rule}, cut by daily_caps"),
    ]
    before = second.but(rule=rule)  # as versions before this one kept it
    _, changed = recounted(NEW, "lead-1", [first, before, third], {"lead-1": CAPPED})
    assert changed == [second]


def test_a_rule_that_fails_costs_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event gets the product's default points, and a review item tells why."""

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("no such rule")

    monkeypatch.setattr("tracker.scoring.score", broken)
    done = folded(logins(1), config(scoring_rules={"default_points": 2}))
    assert done.lead.score == 2000
    items = [change for change in entries(done.events, ()) if change.kind is Kind.REVIEW]
    assert [(i.body["kind"], i.body["lead_id"]) for i in items if isinstance(i, Insert)] == [("scoring", "lead-1")]
    assert "no such rule" in items[0].body["error"]  # type: ignore[union-attr]


def test_a_product_may_say_what_engages_and_qualifies() -> None:
    """Conditions of the product take the place of the thresholds, and the audit trail names them."""
    rules = config(
        progression={
            "engaged": {"logins_at_least": {"days": 7, "count": 2}},
            "qualified": {"all": [{"event_seen": {"type": "email_click"}}, {"score_at_least": 1}]},
        },
        engaged_threshold=1,
    )
    assert folded(logins(1), rules).lead.stage is Stage.USER
    two = folded(logins(2), rules)
    assert [c.reason for c in two.stage_changes] == ["the product's condition holds: at least 2 logins in 7 days"]
    done = folded([happening(EventType.EMAIL_CLICK, "c")], rules, two.lead)
    assert done.lead.stage is Stage.QUALIFIED
    assert folded([happening(EventType.CONVERSION, goal="paid")], rules).lead.stage is Stage.CUSTOMER
