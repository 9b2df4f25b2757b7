"""Removing what is kept for a while only: as much as is over, so that a busy server cannot outgrow it."""

from collections.abc import Awaitable, Callable, Sequence

from tracker.reading import pages
from tracker.store.port import Conflict, Delete, Document, Store
from tracker.store.schema import Index
from tracker.times import Instant

CHUNK = 250
"""Documents that are removed together: others write between two chunks."""

MOST = 50_000
"""Documents that one call removes, more or less; the next one goes on."""

Choose = Callable[[Sequence[Document]], Awaitable[Sequence[Document]]]


async def forget(
    store: Store, index: Index, *, high: Instant, choose: Choose | None = None, chunk: int = CHUNK, most: int = MOST
) -> int:
    """Remove the documents of an index below `high` and return how many. One that is written meanwhile stays.

    Args: choose: which of a page may go; None: all.
    """
    removed = 0
    async for page in pages(store, index, high=high, chunk=chunk):
        going = page if choose is None else await choose(page)
        for outcome in await store.commit_each([[Delete(one.kind, one.id, one.version)] for one in going]):
            if outcome is None:
                removed += 1
            elif not isinstance(outcome, Conflict):
                raise outcome
        if removed >= most:
            break
    return removed
