"""What the CRM sends, in any shape and however often: all of it is somewhere, once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Opener
from tests.properties.rig import KEY, World, examples, login, mark
from tests.strategies import json_values
from tracker.events import event_key
from tracker.review import ReviewKind, content_id
from tracker.store.port import Change, Outcome, Store, Unavailable
from tracker.store.schema import EVENTS_ALL, REVIEW_ALL, Kind


class Forgetful:
    """A store behind a line that breaks: what was committed is kept, but nobody hears of it."""

    def __init__(self, store: Store):
        self._store, self.breaks = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _break(self) -> None:
        if self.breaks:
            self.breaks -= 1
            raise Unavailable("the answer was lost")

    async def commit(self, *changes: Change) -> None:
        await self._store.commit(*changes)
        self._break()

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        outcomes = await self._store.commit_each(units)
        self._break()
        return outcomes


class Line:
    """A running server, and the CRM's end of the line to it."""

    def __init__(self, world: World, session: ClientSession):
        self.world, self.session = world, session
        self.store = Forgetful(world.store)

    async def open(self) -> None:
        """Start a server that remembers nothing."""
        self.world.store = self.store
        self.world.plug()
        self.runner = web.AppRunner(self.world.server.app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def post(self, body: Any) -> list[dict[str, Any]]:
        """Send a request until it is answered, as n8n does, and return the result of each record."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        for _ in range(10):
            async with self.session.post(
                f"{self.base}/events/logins", data=orjson.dumps(body), headers=headers
            ) as reply:
                if reply.status == 503:
                    continue
                answer = await reply.json()
                assert reply.status == 202, answer
                counts = Counter(result["status"] for result in answer["results"])
                assert {name: answer[name] for name in ("accepted", "duplicate", "quarantined")} == {
                    name: counts[name] for name in ("accepted", "duplicate", "quarantined")
                }, "the counts add up"
                results: list[dict[str, Any]] = answer["results"]
                return results
        raise AssertionError("the server stays away")


@pytest.fixture
async def line(opener: Opener) -> AsyncIterator[Line]:
    world = await World(opener).start()
    await world.product("flow", engaged_threshold=12)
    await world.product("desk")
    async with ClientSession() as session:
        line = Line(world, session)
        await line.open()
        yield line
        await line.runner.cleanup()
    await world.stop()


logins = st.builds(
    lambda n, user, ago, product, more: login(f"{n}", f"u{user}", minutes_ago=ago, product_id=product, **more),
    st.integers(0, 14),
    st.integers(0, 4),
    st.integers(-60, 200_000),
    st.sampled_from(["flow", "desk"]),
    st.fixed_dictionaries(
        {}, optional={"name": st.text("abc ", max_size=5), "phone": st.sampled_from(["+4930123456", "+4930123457"])}
    ),
)
others = logins.map(
    lambda record: {**record, "event_id": f"b{record['event_id']}"}
)  # an id that is taken is a duplicate
spoilt = st.one_of(
    st.tuples(others, st.sampled_from(["event_id", "crm_user_id", "organization_id", "product_id", "occurred_at"])).map(
        lambda pair: {name: value for name, value in pair[0].items() if name != pair[1]}
    ),
    others.map(lambda record: {**record, "product_id": "unknown"}),
    others.map(lambda record: {**record, "occurred_at": "yesterday"}),
    json_values.filter(lambda value: not (isinstance(value, dict) and "events" in value)),
)
blemished = st.tuples(logins, st.sampled_from(["email", "phone", "time_zone", "odd"])).map(
    lambda pair: {**pair[0], pair[1]: "no such thing"}
)
shapes = st.sampled_from(["one", "array", "events"])


def marked(records: Sequence[tuple[str, Any]], its: str) -> list[tuple[str, Any]]:
    """The records with ids of this example."""
    ids = ("event_id", "crm_user_id", "email")
    return [
        (
            kind,
            {name: f"{its}-{value}" if name in ids else value for name, value in record.items()}
            if isinstance(record, dict)
            else [its, record],
        )
        for kind, record in records
    ]


def bodies(records: Sequence[Any], shape: str) -> list[Any]:
    """Requests that carry the records."""
    if shape == "one":
        return [record if isinstance(record, dict) else [record] for record in records]
    return [{"events": list(records)}] if shape == "events" else [list(records)]


@examples()
@given(
    records=st.lists(
        st.tuples(st.just("good"), logins) | st.tuples(st.just("bad"), spoilt) | st.tuples(st.just("odd"), blemished),
        min_size=1,
        max_size=12,
    ),
    data=st.data(),
)
async def test_complete_data_ingestion(line: Line, records: list[tuple[str, Any]], data: st.DataObject) -> None:
    """Feature: lead-nurturing-automation, Property 1: Complete Data Ingestion

    Whatever is sent (good, bad, blemished, twice, out of order), in any split into requests of any shape, one after
    the other or at once, with lost answers and servers that start anew in between: every good record is in the ledger
    exactly once, every bad one is in review with its input as it came, each record has its result, the results add up,
    and there is nothing else.

    Seen to catch: a repeat within one batch that is counted again, a login of an unknown product that is taken for
    counted, a dropped field that nobody is told of, results that come in another order than their records.
    """
    records = marked(records, its := mark())
    again = data.draw(st.lists(st.sampled_from(records), max_size=6), "sent again")
    order = data.draw(st.permutations([*records, *again]), "order")
    results: list[tuple[str, Any, dict[str, Any]]] = []
    while order:
        size = data.draw(st.integers(1, len(order)), "in one go")
        share, order = order[:size], order[size:]
        its_bodies = bodies([record for _, record in share], data.draw(shapes, "shape"))
        line.store.breaks = data.draw(st.sampled_from([0, 0, 0, 1, 2]), "answers lost")
        if data.draw(st.booleans(), "at once"):
            answers = await asyncio.gather(*(line.post(body) for body in its_bodies))
        else:
            answers = [await line.post(body) for body in its_bodies]
        line.store.breaks = 0
        flat = [result for answer in answers for result in answer]
        results += [(kind, record, result) for (kind, record), result in zip(share, flat, strict=True)]
        if data.draw(st.sampled_from([False, False, True]), "starts anew"):
            await line.runner.cleanup()
            await line.open()
    await all_is_there(line, its, results)


async def all_is_there(line: Line, its: str, results: list[tuple[str, Any, dict[str, Any]]]) -> None:
    find = line.world.store.find
    good = [(record, result) for kind, record, result in results if kind != "bad"]
    keys = {event_key("crm", record["event_id"]) for record, _ in good}
    ledger = (await find(EVENTS_ALL, low=f"crm:{its}-", high=f"crm:{its}.", limit=1000)).items
    assert {d.id for d in ledger} == keys, "every good record is in the ledger, and nothing else"
    leads = {d.id: d.body["lead_id"] for d in ledger}
    for record, result in good:
        key = event_key("crm", record["event_id"])
        assert result["lead_id"] == leads[key], "each result names the lead on which the record counted"
    taken = Counter(record["event_id"] for record, result in good if result["status"] == "accepted")
    assert not taken or max(taken.values()) == 1, "a record counts once"
    assert {result["status"] for _, result in good} <= {"accepted", "duplicate"}
    assert {result["status"] for kind, _, result in results if kind == "bad"} <= {"quarantined"}
    for kind, record, result in results:
        await is_in_review(line.world.store, record, result, expected=kind != "good")
    counted = [d.body for lead_id in set(leads.values()) for d in await line.world.store.get(Kind.LEADS, lead_id) if d]
    assert sum(sum(lead["login_days"].values()) for lead in counted) <= len(keys)
    wanted = {result["review_id"] for _, _, result in results if result.get("review_id")}
    review = {d.id for d in (await find(REVIEW_ALL, reverse=True, limit=1000)).items if f'"{its}' in d.body["input"]}
    assert review <= wanted, "nothing else is in review"


async def is_in_review(store: Store, record: Any, result: dict[str, Any], *, expected: bool) -> None:
    assert bool(result.get("review_id")) is expected
    if expected:
        (found,) = await store.get(Kind.REVIEW, result["review_id"])
        assert found is not None
        assert orjson.loads(found.body["input"]) == record, "as it came"
        assert found.body["kind"] in {ReviewKind.QUARANTINE, ReviewKind.DROPPED_FIELD}
        assert found.id == content_id(found.body["kind"], record), "once, however often it was sent"
