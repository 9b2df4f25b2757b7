"""Sequences: one planned step at a time per lead. Pure."""

from collections.abc import Mapping

from tracker.model import Document
from tracker.product import ProductConfig
from tracker.product_parts import Step
from tracker.stages import Stage
from tracker.times import Instant

NOTHING: Mapping[Stage, int] = {}
"""No step of any sequence."""


class Enrolment(Document, frozen=True, kw_only=True):
    """Where a lead stands in a sequence; its document id is the lead's.

    Attributes: number: counts the lead's enrolments, from 1. step: from 0. message_id: the one outstanding message,
    None when the sequence has ended. had: how many steps of each stage's sequence the lead has had, so that no stage
    that is entered again sends them again; an earlier version did not keep it.
    """

    number: int
    stage: Stage
    step: int
    message_id: str | None
    started_at: Instant
    ended: str | None = None
    had: dict[Stage, int] = {}


def message_id(lead_id: str, number: int, step: int) -> str:
    """The id of a step's message: a step can be planned only once."""
    return f"{lead_id}.{number}.{step}"


def step_of(config: ProductConfig, stage: Stage, step: int) -> Step | None:
    """Return a step of the stage's sequence, None behind its end."""
    sequence = config.sequence(stage)
    return sequence.messages[step] if sequence and step < len(sequence.messages) else None


def had_by(enrolment: Enrolment | None, *, out: bool) -> dict[Stage, int]:
    """Return how many steps of each stage's sequence a lead has had, or may have had.

    Args: out: whether the outstanding message, where there is one, has left and cannot be called back.
    """
    if enrolment is None:
        return {}
    steps = enrolment.step + (out and enrolment.message_id is not None)
    return most(enrolment.had, {enrolment.stage: steps})


def most(*had: Mapping[Stage, int]) -> dict[Stage, int]:
    """Return how far several leads of one human have come in each stage's sequence."""
    return {stage: steps for stage in Stage if (steps := max((its.get(stage, 0) for its in had), default=0))}


def enrol(
    lead_id: str,
    config: ProductConfig,
    stage: Stage,
    *,
    before: Enrolment | None,
    at: Instant,
    had: Mapping[Stage, int] = NOTHING,
) -> Enrolment | None:
    """Return the enrolment at the stage's first step that the lead has not had, None when there is none.

    A stage that is entered again, after a revert or the undoing of a merge, goes on where it was left.
    """
    step = had.get(stage, 0)
    if step_of(config, stage, step) is None:
        return None
    number = before.number + 1 if before else 1
    id = message_id(lead_id, number, step)
    return Enrolment(number=number, stage=stage, step=step, message_id=id, started_at=at, had=dict(had))


def following(
    lead_id: str, enrolment: Enrolment, config: ProductConfig, *, others: Mapping[Stage, int] = NOTHING
) -> Enrolment:
    """Return the enrolment at its next step, or ended behind the last one.

    A version that has taken the lead over may have fewer steps than the lead has had.

    Args: others: what leads that were merged with it have had.
    """
    had = most(had_by(enrolment, out=True), others)
    step = had[enrolment.stage]
    if step_of(config, enrolment.stage, step) is None:
        is_last = step_of(config, enrolment.stage, enrolment.step) is not None
        ended = "complete" if is_last else "the sequence has become shorter"
        return enrolment.but(message_id=None, ended=ended, had=had)
    return enrolment.but(step=step, message_id=message_id(lead_id, enrolment.number, step), had=had)
