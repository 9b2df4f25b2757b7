"""What Hypothesis draws from: moments, texts, rules, histories."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tracker.events import Channel, EventType, Happening
from tracker.product import ProductConfig, ScoringRules
from tracker.times import instant

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""When the tests of this folder take place, where it matters."""

moments = st.datetimes(timezones=st.timezones() | st.just(UTC), allow_imaginary=False)
recent = st.integers(0, 90 * 24 * 60).map(lambda minutes: NOON - timedelta(minutes=minutes))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
"""Any text that JSON can carry."""

messy = st.text(
    st.sampled_from("ab é\u0065\u0301\u0344\ufb1d\u200b\u2028\u00a0\u3000\x00\x1f\x7f\x85\t\n\r")
    | st.characters(exclude_categories=["Cs"]),
    max_size=20,
)
"""Text with what makes cleaning hard: marks that combine, spaces of every kind, control characters in between."""

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)

points = st.integers(-50, 50) | st.floats(-50, 50, allow_nan=False).map(lambda p: round(p, 3))


@st.composite
def configs(draw: st.DrawFn, points: st.SearchStrategy[float] = points) -> ProductConfig:
    """A product with rules of any kind; `points`: what its rules may give."""
    names = [n for n in ScoringRules.model_fields if n.endswith("_points") and n != "answer_points"]
    rules: dict[str, Any] = {name: draw(points) for name in names}
    rules["answer_points"] = draw(st.dictionaries(st.sampled_from(["budget", "timeline"]), points))
    rules["email_engagement_multiplier"] = draw(st.sampled_from([0, 0.5, 1, 1.5, 3]))
    rules["qualification_threshold"] = draw(st.integers(30, 200))
    return ProductConfig.model_validate(
        {
            "product_id": "flowdesk",
            "name": "Flowdesk",
            "engaged_threshold": draw(st.integers(0, 60)),
            "scoring_rules": rules,
            "conversion_goals": ["paid"],
        }
    )


@st.composite
def happenings(draw: st.DrawFn, number: int) -> Happening:
    event_type = draw(st.sampled_from(list(EventType)))
    metadata = {
        EventType.QUALIFICATION_ANSWER: {"slot": draw(st.sampled_from(["budget", "timeline", "unknown"]))},
        EventType.CONVERSION: {"goal": draw(st.sampled_from(["paid", "other"]))},
    }.get(event_type, {})
    return Happening(
        "crm",
        f"e{number}",
        event_type,
        draw(st.sampled_from(list(Channel))),
        instant(draw(recent)),
        metadata,
        draw(st.booleans()) if event_type in {EventType.EMAIL_OPEN, EventType.EMAIL_CLICK} else False,
    )


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12) -> list[Happening]:
    """What happened on one lead, each event once."""
    return [draw(happenings(number)) for number in range(draw(st.integers(0, max_size)))]
