"""Sequences: where a lead stands, which step follows, and the id of each step's message."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nurture.sequences import Enrolment, enrol, following, had_by, message_id, most, step_of
from tracker.product import ProductConfig
from tracker.stages import Stage
from tracker.times import Instant

AT, LATER = Instant("2026-03-02T09:00:00.000Z"), Instant("2026-03-02T10:00:00.000Z")


def config(**steps: int) -> ProductConfig:
    """A product with so many steps for each stage, by the stage's name."""
    sequences: list[dict[str, Any]] = [
        {
            "stage": Stage[stage],
            "messages": [
                {"delay_hours": n, "channel": "email", "template_id": f"{stage.lower()}-{n}"} for n in range(count)
            ],
        }
        for stage, count in steps.items()
    ]
    return ProductConfig.model_validate({"product_id": "flow", "name": "Flow", "nurturing_sequences": sequences})


TWO = config(USER=2, ENGAGED=1, CUSTOMER=0)


def test_a_lead_begins_at_the_first_step():
    """An enrolment names its stage, its number and the one message that is outstanding."""
    assert enrol("l", TWO, Stage.USER, before=None, at=AT) == Enrolment(
        number=1, stage=Stage.USER, step=0, message_id="l.1.0", started_at=AT
    )


def test_the_next_enrolment_has_the_next_number():
    """A lead that enters another stage, or the same one again, starts a new count: ids never come twice."""
    first = enrol("l", TWO, Stage.USER, before=None, at=AT)
    second = enrol("l", TWO, Stage.ENGAGED, before=first, at=LATER)
    third = enrol("l", TWO, Stage.USER, before=second, at=LATER)
    assert [e and (e.number, e.message_id) for e in (first, second, third)] == [
        (1, "l.1.0"),
        (2, "l.2.0"),
        (3, "l.3.0"),
    ]


def test_a_stage_that_is_entered_again_goes_on_where_it_was_left():
    """Steps that a lead has had do not come again; where none is left it is not enrolled."""
    first = enrol("l", TWO, Stage.USER, before=None, at=AT)
    assert first is not None
    assert (had_by(first, out=False), had_by(first, out=True)) == ({}, {Stage.USER: 1})
    again = enrol("l", TWO, Stage.USER, before=first, at=LATER, had={Stage.USER: 1})
    assert again is not None
    assert (again.number, again.step, again.message_id, again.had) == (2, 1, "l.2.1", {Stage.USER: 1})
    end = following("l", again, TWO)
    assert (end.ended, had_by(end, out=True), had_by(end, out=False)) == ("complete", {Stage.USER: 2}, {Stage.USER: 2})
    assert enrol("l", TWO, Stage.USER, before=end, at=LATER, had=end.had) is None


def test_what_an_earlier_version_kept_is_read():
    """An enrolment that does not say what the lead has had stands at a step: those before it were had."""
    body = Enrolment(number=1, stage=Stage.USER, step=1, message_id="l.1.1", started_at=AT).body()
    del body["had"]
    assert had_by(Enrolment.read(body), out=False) == {Stage.USER: 1}
    assert had_by(None, out=True) == {}


def test_a_sequence_goes_on_behind_what_another_lead_has_had():
    """Of two leads that are one, the one that has come further counts, stage by stage."""
    first = enrol("l", TWO, Stage.USER, before=None, at=AT)
    assert first is not None
    after = following("l", first, TWO, others={Stage.USER: 2, Stage.ENGAGED: 1})
    assert (after.message_id, after.ended, after.had) == (None, "complete", {Stage.USER: 2, Stage.ENGAGED: 1})
    assert most() == {}
    assert most({Stage.USER: 1}, {Stage.USER: 2}, {Stage.ENGAGED: 1}) == {Stage.USER: 2, Stage.ENGAGED: 1}


def test_a_stage_without_steps_enrols_nobody():
    """No sequence, or an empty one, plans nothing."""
    assert enrol("l", TWO, Stage.QUALIFIED, before=None, at=AT) is None
    assert enrol("l", TWO, Stage.CUSTOMER, before=None, at=AT) is None


def test_steps_follow_in_order_and_end():
    """After the last step the sequence is complete, and nothing is outstanding."""
    first = enrol("l", TWO, Stage.USER, before=None, at=AT)
    assert first is not None
    second = following("l", first, TWO)
    assert (second.step, second.message_id, second.ended) == (1, "l.1.1", None)
    end = following("l", second, TWO)
    assert (end.step, end.message_id, end.ended) == (1, None, "complete")


def test_a_step_is_what_the_configuration_says():
    """Each step has its delay, channel and template; behind the end there is none."""
    step = step_of(TWO, Stage.USER, 1)
    assert step is not None
    assert (step.delay_hours, step.channel, step.template_id) == (1, "email", "user-1")
    assert step_of(TWO, Stage.USER, 2) is None
    assert step_of(TWO, Stage.QUALIFIED, 0) is None


@given(st.integers(0, 20), st.integers(1, 5))
def test_a_sequence_has_as_many_messages_as_steps(steps: int, number: int):
    """Following a sequence to its end names each step once, in order."""
    its = config(USER=steps)
    before = (
        None if number == 1 else Enrolment(number=number - 1, stage=Stage.USER, step=0, message_id=None, started_at=AT)
    )
    enrolment = enrol("l", its, Stage.USER, before=before, at=AT)
    ids = []
    while enrolment is not None and enrolment.message_id is not None:
        ids.append(enrolment.message_id)
        enrolment = following("l", enrolment, its)
    assert ids == [message_id("l", number, step) for step in range(steps)]


def test_an_enrolment_is_what_it_was_when_it_is_read_again():
    """Nothing of it is lost in the store."""
    enrolment = Enrolment(
        number=2, stage=Stage.USER, step=1, message_id=None, started_at=AT, ended="complete", had={Stage.USER: 2}
    )
    assert Enrolment.read(enrolment.body()) == enrolment
