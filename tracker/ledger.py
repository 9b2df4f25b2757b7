"""The ledger's fold: what a run of events does to one lead. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from tracker.events import REPLIES, Event, EventType, Happening
from tracker.lead import Lead, StageChange, count_login
from tracker.product import ProductConfig
from tracker.scoring import score, thousandths
from tracker.stages import ORDER, Stage, path
from tracker.store.port import Change, Increment, Insert
from tracker.store.schema import Kind
from tracker.times import Instant

LANES = 8
"""Counters are spread over so many documents, so that writers do not meet on one."""


class Folded(NamedTuple):
    """The lead afterwards, the events with their points, and the stage changes, in order."""

    lead: Lead
    events: list[Event]
    stage_changes: list[StageChange]


def fold(lead_id: str, lead: Lead, happenings: Iterable[Happening], config: ProductConfig, *, at: Instant) -> Folded:
    """Count what happened on a lead, in order.

    Args: happenings: not yet in the ledger. config: the version that the lead follows. at: now.
    """
    total, stage, login_days, last_login = lead.score, lead.stage, lead.login_days, lead.last_login_at
    events, changes = [], []
    for happening in happenings:
        event = _scored(happening, lead_id, lead.product_id, config, at, before=(total, stage))
        total = event.score_after
        if event.event_type is EventType.LOGIN:
            login_days = count_login(login_days, event.timestamp)
            last_login = max(last_login or event.timestamp, event.timestamp)
        for before, to in path(stage, earned(stage, total, event, config, goal=happening.metadata.get("goal"))):
            changes.append(
                StageChange(
                    lead_id=lead_id,
                    before=before,
                    to=to,
                    at=at,
                    actor="leadline",
                    reason=_reason(to, total, event, config),
                    event_id=event.key,
                )
            )
            stage = to
        events.append(event if stage is event.stage_after else event.but(stage_after=stage))
    after = lead.but(score=total, stage=stage, updated_at=at, login_days=login_days, last_login_at=last_login)
    return Folded(after, events, changes)


def _scored(
    happening: Happening,
    lead_id: str,
    product_id: str,
    config: ProductConfig,
    at: Instant,
    *,
    before: tuple[int, Stage],
) -> Event:
    """Return the event with its points. Args: before: score and stage of the lead."""
    total, stage = before
    slot = happening.metadata.get("slot")
    impact, rule = score(happening.event_type, config.scoring_rules, slot=slot, machine=happening.machine)
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
        score_impact=impact,
        score_after=total + impact,
        stage_after=stage,
        rule=rule,
        machine=happening.machine,
    )


def rescored(event: Event, config: ProductConfig, *, machine: bool) -> Event:
    """Return an event of the ledger as it counts when it was, or was not, a machine's."""
    slot = orjson.loads(event.metadata).get("slot")
    impact, rule = score(event.event_type, config.scoring_rules, slot=slot, machine=machine)
    return event.but(machine=machine, score_impact=impact, rule=rule)


def earned(stage: Stage, total: int, event: Event, config: ProductConfig, *, goal: str | None = None) -> Stage:
    """Return the furthest stage that the lead has earned with `event`; its own when the event earns nothing."""
    if config.stage_policy == "n8n" or event.machine:
        return stage
    if event.event_type is EventType.CONVERSION:
        return Stage.CUSTOMER if goal in config.conversion_goals else stage
    replied = event.event_type in REPLIES
    if event.score_impact <= 0 and not replied:
        return stage
    if total >= thousandths(config.scoring_rules.qualification_threshold):
        return Stage.QUALIFIED
    if replied or total >= thousandths(config.engaged_threshold):
        return Stage.ENGAGED
    return stage


def _reason(to: Stage, total: int, event: Event, config: ProductConfig) -> str:
    if event.event_type is EventType.CONVERSION:
        return "a conversion goal was reached"
    threshold = config.scoring_rules.qualification_threshold if to is Stage.QUALIFIED else config.engaged_threshold
    if total >= thousandths(threshold):
        return f"score {total / 1000:g} reached {threshold:g}"
    return f"first answer on {event.channel}"


def counters(events: Sequence[Event]) -> list[Change]:
    """One increment per event type, for the analytics."""
    changes: list[Change] = []
    for event in events:
        day, metric = event.received_at[:10], f"events.{event.event_type}"
        id = f"{day}:{event.product_id}:{metric}:{ord(event.lead_id[-1]) % LANES}"
        changes.append(Increment(Kind.COUNTERS, id, 1, {"day": day, "product_id": event.product_id, "metric": metric}))
    return changes


def entries(events: Iterable[Event], stage_changes: Iterable[StageChange]) -> list[Change]:
    """The documents of a fold; the event that caused a stage change names its audit entry."""
    changes: list[Change] = [Insert(Kind.LEAD_EVENTS, event.key, event.body()) for event in events]
    changes += [
        Insert(Kind.LEAD_AUDIT, f"{change.lead_id}:{change.event_id}:{ORDER.index(change.to)}", change.body())
        for change in stage_changes
    ]
    return changes
