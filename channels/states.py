"""A message's life, as data."""

from enum import StrEnum


class State(StrEnum):
    PLANNED = "planned"
    DUE = "due"
    HELD = "held"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    DEAD = "dead"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


NEXT: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.SENDING, State.HELD, State.SKIPPED, State.CANCELLED}),
    State.DUE: frozenset({State.SENDING, State.HELD, State.SKIPPED, State.CANCELLED}),
    State.HELD: frozenset({State.SENDING, State.HELD, State.SKIPPED, State.CANCELLED}),
    State.SENDING: frozenset({State.SENT, State.DUE, State.UNCERTAIN, State.FAILED, State.DEAD}),
    State.SENT: frozenset({State.DELIVERED, State.READ, State.FAILED}),
    State.DELIVERED: frozenset({State.READ, State.FAILED}),
    State.UNCERTAIN: frozenset({State.SENT, State.DELIVERED, State.READ, State.DUE, State.FAILED}),
    State.FAILED: frozenset({State.DUE}),
    State.DEAD: frozenset({State.DUE}),
}
"""Which state may follow which; what is not a key is an end. From `uncertain`, `failed` and `dead` back to `due` only a
person leads.

`sending` is committed before the provider is called and is never left by itself: a late answer settles it, or it
becomes `uncertain`, from which only a provider's word or a person leads on.
"""

WAITING = frozenset({State.PLANNED, State.DUE, State.HELD})
"""States in which the message waits for its `due_at`."""


def may_follow(state: State, to: State) -> bool:
    return to in NEXT.get(state, frozenset())


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    steps = "\n".join(f"    {a} --> {b}" for a, following in NEXT.items() for b in sorted(following))
    return f"stateDiagram-v2\n    [*] --> {State.PLANNED}\n    [*] --> {State.DUE}\n{steps}\n"
