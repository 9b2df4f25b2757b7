"""Stages: one step forward at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.stages import NEXT, ORDER, IllegalTransition, Stage, advance, diagram, path

stages = st.sampled_from(list(Stage))


@given(stages, stages)
def test_only_the_next_stage_is_taken(stage: Stage, to: Stage) -> None:
    """Of all sixteen pairs, the three steps forward pass and the others are refused."""
    if ORDER.index(to) == ORDER.index(stage) + 1:
        assert advance(stage, to) is to
    else:
        with pytest.raises(IllegalTransition):
            advance(stage, to)


def test_a_refusal_says_what_would_be_legal() -> None:
    """Whoever moved a lead wrongly reads which stage is next."""
    with pytest.raises(IllegalTransition, match="the next stage is Engaged_Lead"):
        advance(Stage.USER, Stage.CUSTOMER)
    with pytest.raises(IllegalTransition, match="it is the last stage"):
        advance(Stage.CUSTOMER, Stage.USER)
    assert IllegalTransition.status == 409


@given(stages, stages)
def test_a_path_is_made_of_legal_steps(stage: Stage, earned: Stage) -> None:
    """A lead that earns a far stage passes every stage between; one that earns less stays."""
    steps = path(stage, earned)
    assert len(steps) == max(0, ORDER.index(earned) - ORDER.index(stage))
    at = stage
    for before, to in steps:
        assert before is at
        at = advance(before, to)
    assert at is (earned if steps else stage)


def test_the_diagram_shows_the_whole_table() -> None:
    """The docs' picture is made from the table, so it cannot lie."""
    lines = diagram().splitlines()
    assert [line.strip() for line in lines[2:-1]] == [f"{a} --> {b}" for a, b in NEXT.items()]
    assert (lines[1].strip(), lines[-1].strip()) == ("[*] --> User", "Customer --> [*]")
