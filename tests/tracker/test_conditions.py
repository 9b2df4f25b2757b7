"""Conditions: typed data, checked when saved, and true or false for a lead."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.strategies import NOON
from tracker.conditions import Condition, Conditions, holds, told
from tracker.lead import Lead
from tracker.person import Person
from tracker.stages import Stage
from tracker.times import instant, later

AT = instant(NOON)
PERSON = Person(created_at=AT, updated_at=AT, demographics={"job_title": "CTO", "industry": "software"})
LEAD = Lead(
    person_id="p",
    product_id="flowdesk",
    config_number=1,
    created_at=AT,
    updated_at=AT,
    stage=Stage.ENGAGED,
    score=12_500,
    trial_status="active",
    last_login_at=later(NOON, hours=-5),
    login_days={"2026-11-22": 2, "2026-11-20": 1, "2026-11-01": 4},
    seen={"email_click": later(NOON, hours=-30), "email_click/welcome": later(NOON, hours=-80)},
)
READ: TypeAdapter[Condition] = TypeAdapter(Conditions)


def truth(condition: Any) -> bool:
    return holds(READ.validate_python(condition), LEAD, PERSON, now=NOON)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"score_at_least": 12.5}, True),
        ({"score_at_least": 12.501}, False),
        ({"stage_is": "Engaged_Lead"}, True),
        ({"stage_is": "User"}, False),
        ({"event_seen": {"type": "email_click"}}, True),
        ({"event_seen": {"type": "email_click", "within_hours": 30}}, True),
        ({"event_seen": {"type": "email_click", "within_hours": 29.9}}, False),
        ({"event_seen": {"type": "email_click", "message": "welcome"}}, True),
        ({"event_seen": {"type": "email_click", "message": "welcome", "within_hours": 48}}, False),
        ({"event_seen": {"type": "email_click", "message": "other"}}, False),
        ({"event_seen": {"type": "login", "within_hours": 6}}, True),
        ({"event_not_seen": {"type": "login", "within_hours": 4}}, True),
        ({"event_not_seen": {"type": "email_click"}}, False),
        ({"event_not_seen": {"type": "conversion"}}, True),
        ({"demographic_in": {"job_title": ["CEO", "cto"]}}, True),
        ({"demographic_in": {"job_title": ["CTO"], "industry": ["retail"]}}, False),
        ({"demographic_in": {"company_size": ["1-10"]}}, False),
        ({"trial_status_is": "Active"}, True),
        ({"trial_status_is": "expired"}, False),
        ({"logins_at_least": {"days": 7, "count": 3}}, True),
        ({"logins_at_least": {"days": 1, "count": 3}}, False),
        ({"logins_at_least": {"days": 30, "count": 7}}, True),
        ({"all": [{"score_at_least": 1}, {"stage_is": "Engaged_Lead"}]}, True),
        ({"all": [{"score_at_least": 1}, {"stage_is": "User"}]}, False),
        ({"any": [{"score_at_least": 100}, {"stage_is": "Engaged_Lead"}]}, True),
        ({"not": {"any": [{"score_at_least": 100}, {"stage_is": "User"}]}}, True),
        ([{"score_at_least": 1}, {"trial_status_is": "active"}], True),
    ],
)
def test_what_holds(condition: Any, expected: bool) -> None:
    """Each condition means what its name says; names and values of people are compared whatever their case."""
    assert truth(condition) is expected


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({}, ()),
        ({"score_at_least": 1, "stage_is": "User"}, ()),
        ({"score_at_leest": 1}, ("score_at_leest",)),
        ({"all": [{"stage_is": "Users"}]}, ("all", 0, "stage_is")),
        ({"all": []}, ()),
        ({"not": {"any": [{"score_at_least": "many"}]}}, ("not", "any", 0, "score_at_least")),
        ({"event_seen": {"type": "email_clicked"}}, ("event_seen", "type")),
        ({"logins_at_least": {"days": 31, "count": 1}}, ("logins_at_least", "days")),
        ({"score_at_least": None}, ()),
        ([{"stage_is": "User"}, {"stage_is": "Users"}], (1, "stage_is")),
        ([{"stage_is": "User"}, {}], (1,)),
        ([], ()),
        ([{"stage_is": "User"}] * 21, ()),
        ("score", ()),
        (5, ()),
    ],
)
def test_faults_name_their_path(condition: Any, path: tuple[Any, ...]) -> None:
    """A condition that cannot be meant is refused where it is wrong."""
    with pytest.raises(ValidationError) as error:
        READ.validate_python(condition)
    assert path in [fault["loc"] for fault in error.value.errors()]


leaves = st.sampled_from(
    [{"score_at_least": 12.5}, {"score_at_least": 99}, {"stage_is": "User"}, {"trial_status_is": "active"}]
)
trees: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda part: {"not": part}, inner)
        | st.builds(lambda name, parts: {name: parts}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1))
    ),
    max_leaves=8,
)


@given(trees)
def test_conditions_follow_de_morgan(condition: Any) -> None:
    """`not` turns a condition round, however deep it goes; every condition has words."""
    assert truth({"not": condition}) is not truth(condition)
    assert truth({"all": [condition, {"not": condition}]}) is False
    assert truth({"any": [condition, {"not": condition}]}) is True
    assert told(READ.validate_python(condition))


@given(st.integers(0, 200), st.integers(1, 200))
def test_an_event_is_seen_for_as_long_as_asked(ago: int, within: int) -> None:
    """`within_hours` counts back from now."""
    lead = LEAD.but(seen={"email_open": later(NOON, hours=-ago)})
    condition = READ.validate_python({"event_seen": {"type": "email_open", "within_hours": within}})
    assert holds(condition, lead, PERSON, now=NOON) is (ago <= within)
    assert not holds(condition, lead, PERSON, now=NOON + timedelta(hours=within + 1))
