"""The ledger's fold: what a run of events does to one lead. Pure."""

from collections.abc import Iterable, Mapping

import orjson
from msgspec import Struct

from tracker import review
from tracker.conditions import holds, sightings, told
from tracker.events import REPLIES, Event, EventType, Happening
from tracker.handoff import opened, qualified
from tracker.lead import Lead, StageChange, count_login, dated
from tracker.person import Person
from tracker.points import thousandths
from tracker.product import ProductConfig
from tracker.product_parts import Progression
from tracker.qualification import answers_something, missing
from tracker.review import ReviewKind
from tracker.scoring import FAILED, RULES, Scored, is_plain, limited, summed, tallied, worth
from tracker.stages import ORDER, Stage, path
from tracker.store.port import Change, Insert
from tracker.store.schema import Kind
from tracker.times import Instant, moment
from tracker.told import spelled_out


class Folded(Struct, frozen=True):
    """The lead afterwards, the events with their points, and the stage changes, in order."""

    lead: Lead
    events: list[Event]
    stage_changes: list[StageChange]


def fold(
    lead_id: str,
    lead: Lead,
    happenings: Iterable[Happening],
    config: ProductConfig,
    *,
    at: Instant,
    person: Person | None = None,
) -> Folded:
    """Count what happened on a lead, in order.

    Args: happenings: not yet in the ledger. config: the version that the lead follows. at: now. person: whose answers
        count although nobody asked for them on this lead.
    """
    rules, plain = config.scoring_rules, is_plain(config.scoring_rules)
    total, stage, login_days, last_login = lead.score, lead.stage, lead.login_days, lead.last_login_at
    so_far = lead
    events, changes = [], []
    for happening in happenings:
        kind, timestamp = happening.event_type, happening.timestamp
        scored = worth(kind, rules, happening.metadata, machine=happening.machine)
        if plain:
            total += scored.impact
        else:
            scored = limited(lead, kind, scored, timestamp, rules)
            lead = tallied(lead, kind, scored.impact, timestamp, rules)
            total = lead.score
        event = _event(happening, lead_id, lead.product_id, scored, at, after=(total, stage))
        if kind is not EventType.LOGIN:
            lead = _said(lead, happening)
        elif not happening.machine:
            login_days = count_login(login_days, timestamp)
            last_login = max(last_login or timestamp, timestamp)
        before, so_far = so_far, lead
        if config.progression is not None:
            so_far = lead.but(score=total, stage=stage, login_days=login_days, last_login_at=last_login)
        reached = deserved(before, so_far, (stage, total), event, config, person)
        if reached is not stage and (moved := steps(lead_id, stage, reached, total, event, config, at=at)):
            stage = moved[-1].to
            lead, moved = qualified(*dated(lead.but(stage=stage), moved), event.key)
            changes += moved
        events.append(event if stage is event.stage_after else event.but(stage_after=stage))
    after = lead.but(score=total, updated_at=at, login_days=login_days, last_login_at=last_login)
    return Folded(after, events, changes)


def _said(lead: Lead, happening: Happening) -> Lead:
    """Return the lead with when this was last seen, where the person wrote, and which question it answered."""
    wrote_at = lead.wrote_at
    lead = _seen(lead, happening)
    if happening.event_type in REPLIES:
        is_no_news = happening.timestamp < wrote_at or happening.channel is lead.wrote_on
        return lead if is_no_news else lead.but(wrote_on=happening.channel)
    if happening.event_type is EventType.QUALIFICATION_ANSWER:
        slot = answers_something(happening.metadata)
        return lead if slot is None or slot in lead.answered else lead.but(answered=(*lead.answered, slot))
    return lead


def _seen(lead: Lead, happening: Happening) -> Lead:
    if happening.machine:
        return lead
    keys = sightings(happening.event_type, happening.metadata)
    latest = {key: max(lead.seen.get(key, happening.timestamp), happening.timestamp) for key in keys}
    return lead if latest.items() <= lead.seen.items() else lead.but(seen=lead.seen | latest)


def _event(
    happening: Happening, lead_id: str, product_id: str, scored: Scored, at: Instant, *, after: tuple[int, Stage]
) -> Event:
    """Return the event with its points. Args: after: score of the lead with it, and the stage before it."""
    total, stage = after
    return Event(
        lead_id=lead_id,
        product_id=product_id,
        source=happening.source,
        event_id=happening.event_id,
        event_type=happening.event_type,
        channel=happening.channel,
        timestamp=happening.timestamp,
        received_at=at,
        metadata=orjson.dumps(dict(happening.metadata)).decode() if happening.metadata else "{}",
        score_impact=scored.impact,
        score_after=total,
        stage_after=stage,
        rule=scored.rule,
        machine=happening.machine,
    )


def rescored(event: Event, config: ProductConfig, *, machine: bool) -> Event:
    """Return an event of the ledger as it counts when it was, or was not, a machine's."""
    impact, rule = worth(event.event_type, config.scoring_rules, orjson.loads(event.metadata), machine=machine)
    return event.but(machine=machine, score_impact=impact, rule=rule)


def recounted(
    lead: Lead, lead_id: str, events: Iterable[Event], configs: Mapping[str, ProductConfig]
) -> tuple[Lead, list[Event]]:
    """Count a whole ledger anew, where points fade or a day has a cap: one event may change what others are worth.

    Args: configs: of the lead and of those that it absorbed: each event counts by the rules and caps of its own lead.
    Returns: the lead, and the events whose points or rule are not what they say.
    """
    counted, changed = [], []
    alone = {id: lead.but(score=0, faded=0.0, scored_at=None, capped={}) for id in configs}
    for event in sorted(events, key=lambda event: (event.timestamp, event.key)):
        id, rules = event.lead_id, configs[event.lead_id].scoring_rules
        scored = worth(event.event_type, rules, orjson.loads(event.metadata), machine=event.machine)
        impact, rule = limited(alone[id], event.event_type, scored, event.timestamp, rules)
        alone[id] = tallied(alone[id], event.event_type, impact, event.timestamp, rules)
        counted.append(event.but(score_impact=impact, rule=rule))
        if (impact, rule) != (event.score_impact, event.rule):
            changed.append(counted[-1])
    return summed(lead, lead_id, counted, configs[lead_id].scoring_rules), changed


def sighted(lead: Lead, events: Iterable[Event]) -> Lead:
    """Return the lead with what its ledger says it did, answered and wrote last. What a machine did says nothing."""
    seen: dict[str, Instant] = {}
    answered: dict[str, None] = {}
    wrote_on = None
    for event in sorted(events, key=lambda event: event.timestamp):
        if event.machine or event.event_type is EventType.LOGIN:
            continue
        metadata = orjson.loads(event.metadata)
        seen |= dict.fromkeys(sightings(event.event_type, metadata), event.timestamp)
        if event.event_type is EventType.QUALIFICATION_ANSWER and (slot := answers_something(metadata)):
            answered[slot] = None
        if event.event_type in REPLIES:
            wrote_on = event.channel
    return lead.but(seen=seen, answered=tuple(answered), wrote_on=wrote_on)


def logged(lead: Lead, events: Iterable[Event]) -> Lead:
    """Return the lead with the logins that its ledger holds. What a machine did is none."""
    times = sorted(event.timestamp for event in events if event.event_type is EventType.LOGIN and not event.machine)
    days: dict[str, int] = {}
    for at in times:
        days = count_login(days, at)
    last = times[-1] if times else None
    if last != lead.last_login_at:  # as of which its fields were told
        lead = spelled_out(lead)
    return lead.but(login_days=days, last_login_at=last)


def deserved(
    before: Lead, lead: Lead, now_at: tuple[Stage, int], event: Event, config: ProductConfig, person: Person | None
) -> Stage:
    """Return the furthest stage that the lead has come to with `event`.

    Args: before, lead: without and with the event, where the product has conditions of its own. now_at: its stage and
        score.
    """
    stage, total = now_at
    reached = earned(stage, total, event, config)
    if config.progression is not None and not event.machine and config.stage_policy == "automatic":
        reached = _progressed(before, lead, person or _NOBODY, event, reached, config.progression)
    if reached is Stage.QUALIFIED and missing(lead, person, config):
        return max(Stage.ENGAGED, stage, key=ORDER.index)
    return reached


def by_score(lead: Lead, person: Person, config: ProductConfig) -> Stage:
    """Return the furthest stage whose threshold a lead's score has reached, as if it stood at the beginning.

    Where n8n or a condition of the product decides, the score does not.
    """
    levels = {Stage.ENGAGED: config.engaged_threshold, Stage.QUALIFIED: config.scoring_rules.qualification_threshold}
    if config.stage_policy == "n8n":
        return Stage.USER
    reached = [
        stage
        for stage, threshold in levels.items()
        if lead.score >= thousandths(threshold)
        and (config.progression is None or config.progression.condition(stage) is None)
        and (stage is not Stage.QUALIFIED or not missing(lead, person, config))
    ]
    return reached[-1] if reached else Stage.USER


def _progressed(
    before: Lead, lead: Lead, person: Person, event: Event, by_score: Stage, progression: Progression
) -> Stage:
    if by_score is Stage.CUSTOMER:
        return by_score
    now = moment(event.received_at)
    scores = event.event_type in RULES
    for stage in (Stage.QUALIFIED, Stage.ENGAGED):
        if (condition := progression.condition(stage)) is None:
            held = by_score is stage
        else:  # where nothing scores, what held before lifts nobody: the stage may have been reverted
            held = holds(condition, lead, person, now=now) and (scores or not holds(condition, before, person, now=now))
        if held:
            return max(stage, lead.stage, key=ORDER.index)
    return lead.stage


def steps(
    lead_id: str, stage: Stage, reached: Stage, total: int, event: Event, config: ProductConfig, *, at: Instant
) -> list[StageChange]:
    """Return the audit entries of a lead that `event` brings from `stage` to `reached`."""
    return [
        StageChange(
            lead_id=lead_id,
            before=before,
            to=to,
            at=at,
            actor="leadline",
            reason=_reason(to, total, event, config),
            event_id=event.key,
        )
        for before, to in path(stage, reached)
    ]


def earned(stage: Stage, total: int, event: Event, config: ProductConfig) -> Stage:
    """Return the furthest stage that the lead has earned with `event`; its own when the event earns nothing."""
    if config.stage_policy == "n8n" or event.machine:
        return stage
    if event.event_type is EventType.CONVERSION:
        goal = orjson.loads(event.metadata).get("goal")
        return Stage.CUSTOMER if goal in config.conversion_goals else stage
    replied = event.event_type in REPLIES
    completes = event.event_type is EventType.QUALIFICATION_ANSWER and config.qualification.required
    if event.score_impact <= 0 and not replied and not completes:
        return stage
    if total >= thousandths(config.scoring_rules.qualification_threshold):
        return Stage.QUALIFIED
    if replied or total >= thousandths(config.engaged_threshold):
        return Stage.ENGAGED
    return stage


def _reason(to: Stage, total: int, event: Event, config: ProductConfig) -> str:
    if event.event_type is EventType.CONVERSION:
        return "a conversion goal was reached"
    condition = config.progression and config.progression.condition(to)
    if condition:
        return f"the product's condition holds: {told(condition)}"
    threshold = config.scoring_rules.qualification_threshold if to is Stage.QUALIFIED else config.engaged_threshold
    if total >= thousandths(threshold):
        return f"score {total / 1000:g} reached {threshold:g}"
    return f"first answer on {event.channel}"


def entries(events: Iterable[Event], stage_changes: Iterable[StageChange], *, mark: str = "") -> list[Change]:
    """The documents of a fold; the event that caused a stage change names its audit entry.

    Args: mark: tells apart the times that the same event moved the lead.
    """
    events = list(events)
    changes: list[Change] = [Insert(Kind.LEAD_EVENTS, event.key, event.body()) for event in events]
    changes += [_fault(event) for event in events if event.rule.startswith(FAILED)]
    changes += [
        Insert(Kind.LEAD_AUDIT, f"{change.lead_id}:{change.event_id}:{ORDER.index(change.to)}{mark}", change.body())
        for change in stage_changes
    ]
    for change in stage_changes:
        changes += opened(change)
    return changes


def _fault(event: Event) -> Change:
    """The review item of an event whose rule failed."""
    return review.item(
        ReviewKind.SCORING,
        reason=f"a {event.event_type} was given the product's default points",
        error=event.rule,
        input={"event": event.key, "product_id": event.product_id},
        at=event.received_at,
        lead_id=event.lead_id,
    )


_NOBODY = Person(created_at=Instant(""), updated_at=Instant(""))
