"""The stages of a lead: the table and one step in it. Pure. Which stage a lead has earned is in `tracker/ledger.py`."""

from enum import StrEnum
from http import HTTPStatus

from tracker.errors import LeadlineError


class Stage(StrEnum):
    USER = "User"
    ENGAGED = "Engaged_Lead"
    QUALIFIED = "Qualified_Lead"
    CUSTOMER = "Customer"


NEXT: dict[Stage, Stage] = {
    Stage.USER: Stage.ENGAGED,
    Stage.ENGAGED: Stage.QUALIFIED,
    Stage.QUALIFIED: Stage.CUSTOMER,
}
"""The whole transition table: one step forward at a time."""

ORDER: tuple[Stage, ...] = tuple(Stage)


class IllegalTransition(LeadlineError):
    """A lead moves one stage forward at a time."""

    status = HTTPStatus.CONFLICT


def advance(stage: Stage, to: Stage) -> Stage:
    """Return `to`; raise `IllegalTransition` unless it is the next stage."""
    if NEXT.get(stage) is not to:
        ahead = NEXT.get(stage)
        hint = f"the next stage is {ahead}" if ahead else "it is the last stage"
        raise IllegalTransition(f"a lead at {stage} cannot move to {to}: {hint}")
    return to


def path(stage: Stage, earned: Stage) -> list[tuple[Stage, Stage]]:
    """Return the single steps from `stage` to `earned`, none when it is not ahead."""
    low, high = ORDER.index(stage), ORDER.index(earned)
    return list(zip(ORDER[low:high], ORDER[low + 1 : high + 1], strict=True))


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    steps = "\n".join(f"    {a} --> {b}" for a, b in NEXT.items())
    return f"stateDiagram-v2\n    [*] --> {ORDER[0]}\n{steps}\n    {ORDER[-1]} --> [*]\n"
