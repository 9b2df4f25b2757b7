"""Sequences: one planned step at a time per lead. Pure."""

from tracker.model import Document
from tracker.product import ProductConfig
from tracker.product_parts import Step
from tracker.stages import Stage
from tracker.times import Instant


class Enrolment(Document, frozen=True, kw_only=True):
    """Where a lead stands in a sequence; its document id is the lead's.

    Attributes: number: counts the lead's enrolments, from 1. step: from 0. message_id: the one outstanding message,
    None when the sequence has ended.
    """

    number: int
    stage: Stage
    step: int
    message_id: str | None
    started_at: Instant
    ended: str | None = None


def message_id(lead_id: str, number: int, step: int) -> str:
    """The id of a step's message: a step can be planned only once."""
    return f"{lead_id}.{number}.{step}"


def step_of(config: ProductConfig, stage: Stage, step: int) -> Step | None:
    """Return a step of the stage's sequence, None behind its end."""
    sequence = config.sequence(stage)
    return sequence.messages[step] if sequence and step < len(sequence.messages) else None


def enrol(
    lead_id: str, config: ProductConfig, stage: Stage, *, before: Enrolment | None, at: Instant
) -> Enrolment | None:
    """Return the enrolment at the stage's first step, None when the stage has no sequence."""
    if step_of(config, stage, 0) is None:
        return None
    number = before.number + 1 if before else 1
    return Enrolment(number=number, stage=stage, step=0, message_id=message_id(lead_id, number, 0), started_at=at)


def following(lead_id: str, enrolment: Enrolment, config: ProductConfig) -> Enrolment:
    """Return the enrolment at its next step, or ended behind the last one.

    A version that has taken the lead over may have fewer steps than the lead has had.
    """
    step = enrolment.step + 1
    if step_of(config, enrolment.stage, step) is None:
        is_last = step_of(config, enrolment.stage, enrolment.step) is not None
        return enrolment.but(message_id=None, ended="complete" if is_last else "the sequence has become shorter")
    return enrolment.but(step=step, message_id=message_id(lead_id, enrolment.number, step))
