"""What a configuration names: read from whatever was given, so that every fault can be told at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from tracker.events import Channel
from tracker.references import Named, endless_quiet, named_templates, stray_experiments, unasked_answers

STEP = {"delay_hours": 0, "channel": "email", "template_id": "welcome"}


def test_every_place_that_names_a_template_is_found() -> None:
    """Steps, variants (which are sent where their step is), and conditions wherever they stand."""
    seen = {"type": "email_click", "message": "seen"}
    config = {
        "nurturing_sequences": [
            {"stage": "User", "messages": [STEP, {**STEP, "channel": "whatsapp", "template_id": "tips"}]},
            {"stage": "Engaged_Lead", "messages": [{**STEP, "conditions": [{"not": {"event_seen": seen}}]}],
             "goal": {"event_not_seen": seen}},
        ],
        "re_engagement": {"messages": [{**STEP, "template_id": "back"}]},
        "experiments": [
            {"stage": "User", "step": 1, "variants": [{"template_id": "a"}, {"template_id": "b"}]},
            {"stage": "Customer", "step": 0, "variants": [{"template_id": "c"}]},
        ],
        "progression": {"engaged": {"any": [{"score_at_least": 5}, {"event_seen": seen}]}},
    }  # fmt: skip
    assert set(named_templates(config)) == {
        Named("nurturing_sequences/0/messages/0/template_id", "welcome", Channel.EMAIL),
        Named("nurturing_sequences/0/messages/1/template_id", "tips", Channel.WHATSAPP),
        Named("nurturing_sequences/1/messages/0/template_id", "welcome", Channel.EMAIL),
        Named("nurturing_sequences/1/messages/0/conditions/0/not/event_seen/message", "seen", None),
        Named("nurturing_sequences/1/goal/event_not_seen/message", "seen", None),
        Named("re_engagement/messages/0/template_id", "back", Channel.EMAIL),
        Named("experiments/0/variants/0/template_id", "a", Channel.WHATSAPP),
        Named("experiments/0/variants/1/template_id", "b", Channel.WHATSAPP),
        Named("experiments/1/variants/0/template_id", "c", None),
        Named("progression/engaged/any/1/event_seen/message", "seen", None),
    }


def test_an_experiment_is_about_a_step_that_there_is() -> None:
    """Its stage has to have a sequence, and that so many steps; an unknown stage is its own field's fault."""
    places = [("User", 0), ("User", 1), ("Customer", 0), ("Boss", 0), (["User"], 0), ("User", "1")]
    experiments = [{"stage": stage, "step": step} for stage, step in places]
    config = {"nurturing_sequences": [{"stage": "User", "messages": [STEP]}], "experiments": experiments}
    assert [fault.path for fault in stray_experiments(config)] == ["experiments/1/step", "experiments/2/step"]


def test_points_are_for_questions_that_the_assistant_asks() -> None:
    """Each other one is told with its path; what is no object of points is the model's to refuse."""
    points = {"budget": 5, "bugdet": 5, " timeline ": 3, "": 1}
    faults = unasked_answers({"scoring_rules": {"answer_points": points}})
    assert [fault.path for fault in faults] == [f"scoring_rules/answer_points/{name}" for name in ("bugdet", "")]
    assert "budget" in faults[0].message
    odds: list[Any] = [None, [], {"answer_points": ["bugdet"]}, {"answer_points": "bugdet"}]
    for odd in odds:
        assert unasked_answers({"scoring_rules": odd}) == []


@pytest.mark.parametrize(
    ("quiet", "paths"),
    [
        ({"start": "09:00", "end": "09:00", "time_zone": "Europe/Berlin"}, ["quiet_hours/end"]),
        ({"start": "00:00", "end": "00:00"}, ["quiet_hours/end"]),
        ({"start": "22:00", "end": "07:00"}, []),
        (None, []),
        ([], []),
        ("22:00", []),
        ({"start": 9, "end": 9}, []),
    ],
)
def test_quiet_hours_leave_some_of_the_day(quiet: Any, paths: list[str]) -> None:
    """Ones that end when they begin would hold nurture for ever; what is no span of hours is the model's to refuse."""
    assert [fault.path for fault in endless_quiet({"quiet_hours": quiet})] == paths


names = st.sampled_from(
    ["nurturing_sequences", "messages", "experiments", "variants", "re_engagement", "stage", "step", "template_id",
     "channel", "event_seen", "message", "scoring_rules", "answer_points", "quiet_hours", "start", "end"]
)  # fmt: skip
shapes: st.SearchStrategy[Any] = st.recursive(
    json_values | st.sampled_from(["User", "email", 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)


@given(shapes)
def test_whatever_is_given_is_read(value: Any) -> None:
    """A configuration of any shape has its faults told by the model; looking for names in it never fails."""
    for one in named_templates(value):
        inner = value
        for part in one.path.split("/"):
            inner = inner[int(part)] if isinstance(inner, list) else inner[part]
        assert inner == one.template_id
    stray_experiments(value)
    unasked_answers(value)
