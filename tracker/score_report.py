"""Why a lead has its score: recounted from the ledger, as of any moment."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tracker.conditions import told
from tracker.events import Event
from tracker.points import points
from tracker.product import ProductConfig
from tracker.qualification import missing
from tracker.reading import of_lead
from tracker.recorder import Loaded
from tracker.scoring import CUT, faded, rounded
from tracker.stages import NEXT, Stage
from tracker.store.port import Store
from tracker.store.schema import AUDIT_BY_LEAD, EVENTS_BY_LEAD
from tracker.times import Instant, just_after


async def explained_score(store: Store, loaded: Loaded, *, now: Instant, at: Instant | None = None) -> dict[str, Any]:
    """Return the score with its parts; where points fade, what is left of them.

    Args: at: of what had happened by then, as it was worth then; else of everything, as it is worth now.
    """
    until, config = at or now, loaded.config.config
    by_type: dict[str, float] = defaultdict(float)
    by_day: dict[str, float] = defaultdict(float)
    half_life = config.scoring_rules.half_life_days
    total, cut = 0.0, 0
    high = just_after(at) if at else None
    async for document in of_lead(store, EVENTS_BY_LEAD, loaded.ids, high=high):
        event = Event.read(document.body)
        left: float = event.score_impact
        if half_life is not None:
            left = faded(left, half_life, since=event.timestamp, until=until)
        total += left
        cut += event.rule.endswith(CUT)
        by_type[str(event.event_type)] += left
        by_day[event.timestamp[:10]] += left
    thresholds = {"engaged": config.engaged_threshold, "qualified": config.scoring_rules.qualification_threshold}
    worth = {name: rounded(value) for name, value in by_type.items()}
    stage = await _stage_before(store, loaded.id, high) if high else loaded.lead.stage
    unanswered = () if at else missing(loaded.lead, loaded.person, config)
    explanation = _explanation(rounded(total), worth, stage, config, unanswered, cut=cut)
    return {
        "total": points(rounded(total)),
        "by_type": {name: points(value) for name, value in worth.items()},
        "by_day": {name: points(rounded(value)) for name, value in sorted(by_day.items())},
        "thresholds": thresholds,
        "explanation": explanation,
    }


async def _stage_before(store: Store, lead_id: str, moment: Instant) -> Stage:
    last = await store.find(AUDIT_BY_LEAD, lead_id, high=moment, reverse=True, limit=1)
    return Stage(last.items[0].body["to"]) if last.items else Stage.USER


def _explanation(
    total: int, by_type: dict[str, int], stage: Stage, config: ProductConfig, unanswered: Sequence[str], *, cut: int
) -> str:
    """Args: unanswered: what the product asks of a lead that is to qualify. cut: from how many events a cap took."""
    parts = [f"{points(value):g} from {name}" for name, value in sorted(by_type.items(), key=lambda p: -p[1]) if value]
    text = f"{points(total):g} points" + (": " + ", ".join(parts) if parts else "")
    text += f"; daily_caps cut the points of {cut} event{'' if cut == 1 else 's'}" if cut else ""
    text += f". Stage {stage}."
    ahead = NEXT.get(stage)
    if ahead is None or ahead is Stage.CUSTOMER:
        return text
    if condition := config.progression and config.progression.condition(ahead):
        text += f" The next stage, {ahead}, wants: {told(condition)}."
    else:
        text += f" {_distance(total, ahead, config)}"
    return f"{text} Not answered yet: {', '.join(unanswered)}." if unanswered and ahead is Stage.QUALIFIED else text


def _distance(total: int, ahead: Stage, config: ProductConfig) -> str:
    """How far the score is from the threshold of the next stage."""
    qualifies = ahead is Stage.QUALIFIED
    threshold = config.scoring_rules.qualification_threshold if qualifies else config.engaged_threshold
    at = f"{threshold:g} ({'qualified' if qualifies else 'engaged'})"
    left = threshold - total / 1000
    return f"{left:g} more would reach {at}." if left > 0 else f"The score has reached the threshold of {at}."
