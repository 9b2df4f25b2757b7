"""A process that writes: `writer.py URL NAME [UNITS]` prints the number of each unit when it has been acknowledged.

Without UNITS it writes until it is killed. Eight units are under way at a time. Every unit is a lead, its first event
and a count under the writer's name.
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

from tracker.store.mongo import MongoStore
from tracker.store.port import Increment, Insert, Store
from tracker.store.schema import Kind
from tracker.store.sqlite import SqliteStore

LANES = 8


async def write(store: Store, name: str, number: int) -> None:
    id = f"{name}-{number:06}"
    await store.commit(
        Insert(Kind.LEADS, id, {"product_id": "demo"}),
        Insert(Kind.LEAD_EVENTS, id, {"lead_id": id}),
        Increment(Kind.COUNTERS, name, 1, {}),
    )
    sys.stdout.write(f"{id}\n")
    sys.stdout.flush()


async def main(url: str, name: str, units: str = "") -> None:
    if url.startswith("mongodb"):
        store: Store = await MongoStore.open(url)
    else:
        store = await SqliteStore.open(Path(url))
    numbers = iter(range(int(units)) if units else count())

    async def lane() -> None:
        for number in numbers:
            await write(store, name, number)

    await asyncio.gather(*(lane() for _ in range(LANES)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
