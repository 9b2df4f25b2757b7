"""Why a lead has its score: recounted from the ledger, as of any moment."""

from collections import defaultdict
from typing import Any

from tracker.events import Event
from tracker.lead import Lead
from tracker.points import points
from tracker.product import ProductConfig
from tracker.reading import of_lead
from tracker.scoring import faded, rounded
from tracker.stages import Stage
from tracker.store.port import Store
from tracker.store.schema import AUDIT_BY_LEAD, EVENTS_BY_LEAD
from tracker.times import Instant, just_after


async def explained_score(
    store: Store, lead_id: str, lead: Lead, config: ProductConfig, *, now: Instant, at: Instant | None = None
) -> dict[str, Any]:
    """Return the score with its parts; where points fade, what is left of them.

    Args: at: of what had happened by then, as it was worth then; else of everything, as it is worth now.
    """
    until = at or now
    by_type: dict[str, float] = defaultdict(float)
    by_day: dict[str, float] = defaultdict(float)
    half_life = config.scoring_rules.half_life_days
    total = 0.0
    high = just_after(at) if at else None
    async for document in of_lead(store, EVENTS_BY_LEAD, (lead_id, *lead.absorbed), high=high):
        event = Event.read(document.body)
        left: float = event.score_impact
        if half_life is not None:
            left = faded(left, half_life, since=event.timestamp, until=until)
        total += left
        by_type[str(event.event_type)] += left
        by_day[event.timestamp[:10]] += left
    thresholds = {"engaged": config.engaged_threshold, "qualified": config.scoring_rules.qualification_threshold}
    stage = await _stage(store, lead_id, at) if at else lead.stage
    worth = {name: rounded(value) for name, value in by_type.items()}
    return {
        "total": points(rounded(total)),
        "by_type": {name: points(value) for name, value in worth.items()},
        "by_day": {name: points(rounded(value)) for name, value in sorted(by_day.items())},
        "thresholds": thresholds,
        "explanation": _explanation(rounded(total), worth, stage, thresholds),
    }


async def _stage(store: Store, lead_id: str, at: Instant) -> Stage:
    """Return the stage in which a lead was at a moment."""
    last = await store.find(AUDIT_BY_LEAD, lead_id, high=just_after(at), reverse=True, limit=1)
    return Stage(last.items[0].body["to"]) if last.items else Stage.USER


def _explanation(total: int, by_type: dict[str, int], stage: Stage, thresholds: dict[str, float]) -> str:
    parts = [f"{points(value):g} from {name}" for name, value in sorted(by_type.items(), key=lambda p: -p[1]) if value]
    text = f"{points(total):g} points" + (": " + ", ".join(parts) if parts else "") + f". Stage {stage}."
    target = {Stage.USER: "engaged", Stage.ENGAGED: "qualified"}.get(stage)
    if target is None:
        return text
    missing = thresholds[target] - total / 1000
    if missing <= 0:
        return f"{text} The score has reached the threshold of {thresholds[target]:g} ({target})."
    return f"{text} {missing:g} more would reach {thresholds[target]:g} ({target})."
