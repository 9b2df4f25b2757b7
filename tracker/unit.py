"""`run(read, decide)`: how every use case is written."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from tracker.ports import Facts, Reactor
from tracker.store.port import Change, Conflict, Store, Unavailable
from tracker.store.schema import Kind

ATTEMPTS = 200
"""One of several writers of a document wins each round, so this bounds how many may meet on one lead."""

Known = TypeVar("Known")
Outcome = TypeVar("Outcome")
OutcomeIn = TypeVar("OutcomeIn", contravariant=True)


class Decision(Struct, Generic[Outcome], frozen=True):
    """What a use case decided: the answer, the changes, and the facts that other rooms react to."""

    outcome: Outcome
    changes: Sequence[Change] = ()
    facts: Iterable[Facts] = ()


class Record(Protocol[OutcomeIn]):
    """Turns an outcome into a change that belongs to the same commit, such as the answer to repeat."""

    def __call__(self, outcome: OutcomeIn, /) -> Change: ...


async def run(
    store: Store,
    read: Callable[[], Awaitable[Known]],
    decide: Callable[[Known], Decision[Outcome]],
    *,
    reactors: Sequence[Reactor] = (),
    record: Record[Outcome] | None = None,
) -> Outcome:
    """Read, decide, commit; start again when somebody else was faster.

    Raises: Unavailable: the store is away, or too many writers met on one document.
    """
    for _ in range(ATTEMPTS):
        decision = decide(await read())
        changes = await whole(store, decision, reactors)
        if record is not None:
            changes.append(record(decision.outcome))
        try:
            await store.commit(*changes)
        except Conflict as conflict:
            if conflict.kind is Kind.IDEMPOTENCY:  # the same request is answered elsewhere at this moment
                raise
            await asyncio.sleep(0)
            continue
        return decision.outcome
    raise Unavailable("too many writers met on one record; try again", retry_after=1)


async def whole(store: Store, decision: Decision[Any], reactors: Sequence[Reactor]) -> list[Change]:
    """Return the changes of a decision and what the reactors add to them."""
    changes = list(decision.changes)
    for facts in decision.facts:
        for reactor in reactors:
            if reactor.concerns(facts):
                changes.extend(reactor.decide(facts, await reactor.read(store, facts)))
    return changes
