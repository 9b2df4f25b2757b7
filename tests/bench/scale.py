"""What one thing costs among 100 leads and among 100,000, on SQLite in one process: it should be the same."""

import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
import uvloop

from config.app import DATABASE, build
from config.demo_feed import User, people
from config.settings import Settings
from tracker import ingestion, reading
from tracker.lead import view
from tracker.logins import Login
from tracker.model import new_id
from tracker.product import ProductConfig
from tracker.reading import Filter
from tracker.store.port import Change, Insert, Outcome
from tracker.store.schema import Kind
from tracker.store.sqlite import SqliteStore
from tracker.times import instant

FEW, MANY = 100, 100_000
ROUNDS = 15
CALLS = 40
"""Calls of one round: every one is about another lead, one out of all of them."""

MODELS = 1000
"""People who log in; the others are copies of what that wrote, with ids and addresses of their own."""

LIMIT = 1.5
PAGE = 50
BATCH = 100
"""Logins that are ingested together where that is measured."""

PRODUCTS = ("flowdesk", "gridwise", "third")
START = datetime(2026, 3, 2, 8, tzinfo=UTC)

Measured = Callable[["Scale"], Awaitable[None]]


class Scale:
    """A server's parts over so many leads of people as the demo feed has them."""

    def __init__(self, folder: Path, store: SqliteStore, leads: int):
        self.server = build(Settings(data=folder), store, secrets=["s" * 20], base_url="http://leadline.test")
        self.leads = leads
        self.crowd: list[User] = []
        self.ids: list[str] = []
        self.rng, self._numbers = Random(2), count()

    async def furnish(self) -> None:
        for product_id in PRODUCTS:
            # Scoring goes on and stages stay, so that every login costs alike.
            rules = {"qualification_threshold": 1e9}
            config = {"product_id": product_id, "name": product_id, "engaged_threshold": 1e9, "scoring_rules": rules}
            await self.server.catalog.put(ProductConfig.model_validate(config), author="bench")
        self.crowd = [_clear(user) for user in islice(people(Random(1), PRODUCTS), min(self.leads, MODELS))]
        patterns = await self._patterns()
        for number in range(1, self.leads // len(self.crowd)):
            units = []
            for user, pattern in zip(self.crowd[:MODELS], patterns, strict=True):
                twin, lead_id, unit = pattern.twin(user, number)
                self.crowd.append(twin)
                self.ids.append(lead_id)
                units.append(unit)
            assert not any(await self.server.store.commit_each(units))

    async def _patterns(self) -> "list[Pattern]":
        """Have the first people log in, and return what that wrote, by person."""
        store = self.server.store
        written: list[Sequence[Change]] = []
        commit_each = store.commit_each

        async def noted(units: Sequence[Sequence[Change]]) -> list[Outcome]:
            written.extend(units)
            return await commit_each(units)

        store.commit_each = noted  # type: ignore[method-assign]
        await self._ingested([Login.model_validate(self._record(user)) for user in self.crowd])
        store.commit_each = commit_each  # type: ignore[method-assign]
        patterns = [Pattern.of(unit) for unit in written]
        return sorted((p for p in patterns if p), key=lambda pattern: pattern.number)

    async def read(self) -> None:
        """`GET /leads/{id}`."""
        loaded = await self.server.recorder.load(self.rng.choice(self.ids))
        orjson.dumps(view(loaded.id, loaded.version, loaded.lead, loaded.person, now=START))

    async def page(self) -> None:
        """`GET /leads`."""
        await self._listed(Filter())

    async def search(self) -> None:
        """`GET /leads?q=`, an address that one person has."""
        await self._listed(Filter(q=self.rng.choice(self.crowd).email))

    async def ingest(self) -> None:
        """`POST /events/logins` of one login."""
        await self._ingested([Login.model_validate(self._record(self.rng.choice(self.crowd)))])

    async def ingest_batch(self) -> None:
        """`POST /events/logins` of a batch."""
        users = self.rng.sample(self.crowd, BATCH)
        await self._ingested([Login.model_validate(self._record(user)) for user in users])

    async def _listed(self, wanted: Filter) -> None:
        found, _ = await reading.leads(self.server.store, wanted, after=None, limit=PAGE)
        assert found, wanted
        orjson.dumps([view(d.id, d.version, lead, person, now=START) for d, lead, person in found])

    async def _ingested(self, logins: list[Login]) -> None:
        results = await self.server.ingestion.record(logins)
        self.ids += [result.lead_id for result in results if result.lead_id]

    def _record(self, user: User) -> dict[str, Any]:
        return {
            "source": "bench",
            "event_id": f"{user.id}-{next(self._numbers)}",
            "crm_user_id": user.id,
            "organization_id": user.company.id,
            "organization_name": user.company.name,
            "product_id": user.product_id,
            "occurred_at": instant(START),
            "email": user.email,
            "name": user.name,
            "job_title": user.job_title,
        }


def _clear(user: User) -> User:
    """With ids of fixed width, none of which is within another."""
    return user._replace(id=f"user-{user.id.removeprefix('u-'):0>7}")


class Pattern(NamedTuple):
    """What somebody's first login wrote, as text in which ids can be exchanged. Attributes: number: the user's id."""

    number: str
    person_id: str
    lead_id: str
    text: str

    @classmethod
    def of(cls, unit: Sequence[Change]) -> "Pattern | None":
        made = [(change.kind, change.id, change.body) for change in unit if isinstance(change, Insert)]
        ids = {kind: id for kind, id, _ in made}
        if Kind.LEADS not in ids:
            return None
        number = next(body["crm_user_id"] for kind, _, body in made if kind is Kind.LEADS)
        return cls(number, ids[Kind.PERSONS], ids[Kind.LEADS], orjson.dumps(made).decode())

    def twin(self, user: User, number: int) -> tuple[User, str, list[Change]]:
        """Return somebody like this user at a company of another domain, their lead, and what their login wrote."""
        twin = user._replace(id=f"{user.id}x{number}", email=user.email.replace("@", f"@{number}."))
        person_id, lead_id = new_id(), new_id()
        text = self.text.replace(user.id, twin.id).replace(user.email, twin.email)
        text = text.replace(self.person_id, person_id).replace(self.lead_id, lead_id)
        return twin, lead_id, [Insert(Kind(kind), id, body) for kind, id, body in orjson.loads(text)]


MEASURED: dict[str, tuple[Measured, int]] = {
    "reading a lead": (Scale.read, CALLS),
    "a page of 50": (Scale.page, CALLS),
    "searching": (Scale.search, CALLS),
    "ingesting a login": (Scale.ingest, CALLS),
    f"ingesting {BATCH} logins": (Scale.ingest_batch, 3),
}
"""What is measured, and how many calls make a round."""


@asynccontextmanager
async def _scale(folder: Path, leads: int) -> Any:
    path = folder / str(leads)
    path.mkdir()
    store = await SqliteStore.open(path / DATABASE)
    try:
        scale = Scale(path, store, leads)
        await scale.furnish()
        yield scale
    finally:
        await store.close()


async def _round(measured: Measured, scale: Scale, calls: int) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    for _ in range(calls):
        await measured(scale)
    return (time.perf_counter() - start) / calls


async def _measure() -> list[str]:
    ingestion.REMEMBERED = 0  # 100 people would all be remembered: what is compared is the store
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as folder:
        async with _scale(Path(folder), FEW) as few, _scale(Path(folder), MANY) as many:
            gc.collect()
            gc.freeze()
            return [line async for line in _lines(few, many)]


async def _lines(few: Scale, many: Scale) -> Any:
    for name, (measured, calls) in MEASURED.items():
        pairs = []
        for _ in range(ROUNDS):  # in turns, so that what else the machine does meets both
            pairs.append((await _round(measured, few, calls), await _round(measured, many, calls)))
        ratio = statistics.median(there / here for here, there in pairs)
        here, there = (statistics.median(pair[n] for pair in pairs) * 1e6 for n in (0, 1))
        yield f"{name}: {here:,.0f} µs among {FEW} leads, {there:,.0f} µs among {MANY:,} = {ratio:.2f} ×; limit {LIMIT}"


def run() -> Iterator[str]:
    """Return lines to print."""
    yield from uvloop.run(_measure())
