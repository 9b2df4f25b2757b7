"""Points: what an event is worth, as integer thousandths, so that a sum does not depend on its order."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tracker.events import Event, EventType
from tracker.lead import Lead
from tracker.points import thousandths
from tracker.product import ScoringRules
from tracker.times import Instant, moment

RULES: dict[EventType, str] = {
    EventType.LOGIN: "login_points",
    EventType.EMAIL_OPEN: "email_open_points",
    EventType.EMAIL_CLICK: "email_click_points",
    EventType.EMAIL_REPLY: "default_points",
    EventType.WHATSAPP_REPLY: "whatsapp_reply_points",
    EventType.CHATBOT_INTERACTION: "chatbot_points",
    EventType.QUALIFICATION_ANSWER: "answer_points",
}
"""Which rule scores which event; what is not here is worth nothing."""

SCALED = frozenset({EventType.EMAIL_OPEN, EventType.EMAIL_CLICK})
"""`email_engagement_multiplier` scales these."""


class Scored(NamedTuple):
    """Thousandths of a point, and the rule that gave them."""

    impact: int
    rule: str


def score(event_type: EventType, rules: ScoringRules, *, slot: object = None, machine: bool = False) -> Scored:
    """Return what one event is worth.

    Args: slot: the question that a `qualification_answer` answers, as its metadata says. machine: a scanner's hit.
    """
    if machine:
        return Scored(0, "machine")
    rule = RULES.get(event_type, "")
    if not rule:
        return Scored(0, "")
    if event_type is EventType.QUALIFICATION_ANSWER:
        known = slot if isinstance(slot, str) and slot in rules.answer_points else None
        return Scored(thousandths(rules.answer_points[known]), f"answer_points/{known}") if known else Scored(0, "")
    points = getattr(rules, rule)
    if event_type in SCALED:
        return Scored(thousandths(points * rules.email_engagement_multiplier), f"{rule} × email_engagement_multiplier")
    return Scored(thousandths(points), rule)


FAILED = "default_points: the rule failed: "
"""How the rule of an event begins that got the product's default because its own rule failed."""

CUT = ", cut by daily_caps"
"""How the rule of an event ends from which the day's cap took points."""


def worth(event_type: EventType, rules: ScoringRules, metadata: Mapping[str, object], *, machine: bool) -> Scored:
    """Return what one event is worth; the product's default where its rule fails."""
    try:
        return score(event_type, rules, slot=metadata.get("slot"), machine=machine)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a rule, no event is lost for it
        return Scored(thousandths(rules.default_points), f"{FAILED}{error!r}")


def is_plain(rules: ScoringRules) -> bool:
    """Whether the score is nothing but the sum of the points."""
    return rules.half_life_days is None and not rules.daily_caps


def limited(lead: Lead, event_type: EventType, scored: Scored, at: Instant, rules: ScoringRules) -> Scored:
    """Return what the day's cap leaves of the points of one event; its rule says so where that is less."""
    cap = rules.daily_caps.get(event_type)
    if cap is None or scored.impact <= 0:
        return scored
    left = max(0, thousandths(cap) - lead.capped.get(_day(event_type, at), 0))
    return Scored(left, scored.rule + CUT) if left < scored.impact else scored


def tallied(lead: Lead, event_type: EventType, impact: int, at: Instant, rules: ScoringRules) -> Lead:
    """Return the lead with the points of one event, in whatever order events come.

    Points fade from when their event happened until the newest scoring event.
    """
    if impact == 0:
        return lead
    capped = lead.capped
    if impact > 0 and event_type in rules.daily_caps:
        day = _day(event_type, at)
        capped = {**capped, day: capped.get(day, 0) + impact}
    if rules.half_life_days is None:
        return lead.but(score=lead.score + impact, capped=capped)
    newest = max(lead.scored_at or at, at)
    total = faded(lead.faded, rules.half_life_days, since=lead.scored_at or at, until=newest)
    total += faded(impact, rules.half_life_days, since=at, until=newest)
    return lead.but(score=rounded(total), faded=total, scored_at=newest, capped=capped)


def summed(lead: Lead, lead_id: str, events: Iterable[Event], rules: ScoringRules) -> Lead:
    """Return the lead with what the events of its ledger gave, whoever's rules gave it.

    What absorbed leads had of a day's cap is theirs alone: the sum of two leads is what it was before they were one.
    """
    lead = lead.but(score=0, faded=0.0, scored_at=None, capped={})
    for event in events:
        after = tallied(lead, event.event_type, event.score_impact, event.timestamp, rules)
        lead = after if event.lead_id == lead_id else after.but(capped=lead.capped)
    return lead


def faded(points: float, half_life_days: float, *, since: Instant, until: Instant) -> float:
    """Return what is left of points after a while; all of them where `until` is not later."""
    days = (moment(until) - moment(since)).total_seconds() / 86_400
    return points * 0.5 ** (days / half_life_days) if days > 0 else points


def rounded(total: float) -> int:
    """Whole thousandths. What sums in another order differ by is far behind the sixth digit."""
    return round(round(total, 6))


def _day(event_type: EventType, at: Instant) -> str:
    return f"{at[:10]}/{event_type}"
