"""Points: what an event is worth, as integer thousandths, so that a sum does not depend on its order."""

from typing import NamedTuple

from tracker.events import EventType
from tracker.product import ScoringRules

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


def thousandths(points: float) -> int:
    return round(points * 1000)


def points(thousandths: int) -> float:
    """Points as the API shows them: 5, 7.5."""
    whole, rest = divmod(thousandths, 1000)
    return thousandths / 1000 if rest else whole
