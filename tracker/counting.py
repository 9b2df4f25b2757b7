"""Counters for the analytics: increments that belong to the commit of what they count. Pure."""

from collections.abc import Iterable, Sequence

from tracker.events import Event
from tracker.lead import Lead, StageChange
from tracker.stages import ORDER
from tracker.store.port import Change, Increment
from tracker.store.schema import Kind
from tracker.times import Instant

LANES = 8
"""How many documents a store may keep a counter in."""

CREATED = "leads.created"


def counters(events: Sequence[Event], stage_changes: Sequence[StageChange] = ()) -> list[Change]:
    """One increment per event and stage change, for the analytics. What a machine did is counted apart."""
    changes = [_counted(event, 1) for event in events]
    if stage_changes:
        changes += entered(events[0].product_id, stage_changes)
    return changes


def recounters(before: Event, after: Event) -> list[Change]:
    """Bring the counters of an event that was, or was not, a machine's to where they belong."""
    return [_counted(before, -1), _counted(after, 1)]


def entered(
    product_id: str, stage_changes: Iterable[StageChange], *, entered_at: Instant | None = None
) -> list[Change]:
    """Count the stages that a lead came to; a step back takes one from the day when the stage was entered.

    Args: entered_at: when the stage that a step back leaves was entered, if that is known.
    """
    changes: list[Change] = []
    for change in stage_changes:
        if change.to in ORDER[ORDER.index(change.before) + 1 :]:
            changes.append(_increment(change.at, product_id, f"stage.{change.to}", change.lead_id, 1))
        elif change.to is not change.before:
            back_to = entered_at or change.at
            changes.append(_increment(back_to, product_id, f"stage.{change.before}", change.lead_id, -1))
    return changes


def arrived(lead_id: str, lead: Lead) -> Change:
    """Count a new lead."""
    return _increment(lead.created_at, lead.product_id, CREATED, lead_id, 1)


def _counted(event: Event, by: int) -> Change:
    metric = f"machine.{event.event_type}" if event.machine else f"events.{event.event_type}"
    return _increment(event.received_at, event.product_id, metric, event.lead_id, by)


def _increment(at: Instant, product_id: str, metric: str, lead_id: str, by: int) -> Change:
    day = at[:10]
    labels = {"day": day, "product_id": product_id, "metric": metric}
    return Increment(Kind.COUNTERS, f"{day}:{product_id}:{metric}", by, labels, ord(lead_id[-1]) % LANES)
