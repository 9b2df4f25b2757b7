"""Commits of the MongoDB adapter beside raw driver transactions that do the same writes."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from tests.conftest import MongoServer
from tracker.store.mongo import MongoStore
from tracker.store.port import Increment, Insert, Replace
from tracker.store.schema import Kind

UNITS = 600
AT_ONCE = 8
ROUNDS = 5
LEADS = 200
EVENT = {"lead_id": "l", "product_id": "bench", "timestamp": "2026-01-01T00:00:00.000Z", "metadata": "{}"}
LEAD = {"product_id": "bench", "stage": "User", "person_id": "p", "score": 5}
COUNTER = {"day": "2026-01-01", "product_id": "bench", "metric": "events.login"}


async def _rate(unit: Callable[[int, int], Awaitable[None]], first: int) -> float:
    """Units per second, some at once; each worker has a counter of its own, so that no two meet."""
    numbers = iter(range(first, first + UNITS))

    async def worker(lane: int) -> None:
        for number in numbers:
            await unit(number, lane)

    start = time.perf_counter()
    await asyncio.gather(*(worker(lane) for lane in range(AT_ONCE)))
    return UNITS / (time.perf_counter() - start)


async def _measure(url: str) -> str:
    store = await MongoStore.open(f"{url}/bench_store")
    client: AsyncIOMotorClient = AsyncIOMotorClient(url)  # type: ignore[type-arg]
    raw = client.get_database("bench_raw")
    versions = dict.fromkeys(range(LEADS), 1)
    for number in range(LEADS):
        await store.commit(Insert(Kind.LEADS, f"l{number}", LEAD))
        await raw["leads"].insert_one({"_id": f"l{number}", "version": 1, **LEAD})
    for kind in ("lead_events", "counters"):
        await raw.create_collection(kind)

    async def ours(number: int, lane: int) -> None:
        lead = number % LEADS
        version, versions[lead] = versions[lead], versions[lead] + 1
        await store.commit(
            Insert(Kind.LEAD_EVENTS, f"crm:e{number}", EVENT),
            Replace(Kind.LEADS, f"l{lead}", version, LEAD),
            Increment(Kind.COUNTERS, f"day:bench:login:{lane}", 1, COUNTER),
        )

    async def peer(number: int, lane: int) -> None:
        lead, counter = f"l{number % LEADS}", f"day:bench:login:{lane}"
        change = {"$inc": {"value": 1, "version": 1}, "$setOnInsert": COUNTER}
        session = await client.start_session()
        async with session, session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority", j=True)):
            await raw["lead_events"].insert_one({"_id": f"crm:e{number}", "version": 1, **EVENT}, session=session)
            await raw["leads"].update_one({"_id": lead}, {"$inc": {"version": 1}, "$set": LEAD}, session=session)
            await raw["counters"].update_one({"_id": counter}, change, upsert=True, session=session)

    pairs = []
    for round in range(ROUNDS):
        first = round * UNITS
        pairs.append((await _rate(peer, first), await _rate(ours, first)))
    await store.close()
    client.close()
    ratio = statistics.median(mine / theirs for theirs, mine in pairs)
    mine, theirs = (statistics.median(pair[n] for pair in pairs) for n in (1, 0))
    return f"MongoDB commits: {mine:,.0f}/s = {ratio:.2f} × raw driver transactions ({theirs:,.0f}/s); wanted 0.70"


def run() -> list[str]:
    """Return lines to print."""
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as folder:
        server = MongoServer(Path(folder) / "mongo")
        server.start()
        try:
            return [asyncio.run(_measure(server.url))]
        finally:
            server.stop()
