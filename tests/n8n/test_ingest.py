"""What n8n posts: signatures, containers, limits, dead letters."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from config.app import build
from config.operation import Traffic
from config.problems import edge
from config.settings import Settings
from n8n.ingest import MOST, IngestRoutes, check_signature, unwrap
from tests.fakes import Clock
from tests.n8n.rig import Rig
from tests.strategies import NOON
from tracker.errors import Forbidden, Invalid
from tracker.product import ProductConfig
from tracker.store.port import Change, Outcome, Store, Unavailable
from tracker.store.schema import REVIEW_ALL, Kind
from tracker.web import mount

SECRET = "the-secret-of-the-crm"
NOW = NOON.timestamp()
BODY = b'[{"event_id":"l1"}]'


def signed(body: bytes = BODY, *, secret: str = SECRET, at: float = NOW) -> str:
    digest = hmac.new(secret.encode(), f"{int(at)}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={int(at)},v1={digest}"


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_fresh_signature_is_taken(seconds: int) -> None:
    """Five minutes of clock difference, either way, are allowed; so is space after the comma."""
    header = signed(at=NOW + seconds)
    check_signature(header, BODY, SECRET, NOW)
    check_signature(header.replace(",", ", "), BODY, SECRET, NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        "t=,v1=",
        f"t={int(NOW)}",
        signed(secret="another-secret"),
        signed(b"[]"),
        signed().replace("v1=", "v0="),
        signed()[:-1],
        signed().replace(str(int(NOW)), str(int(NOW) + 1)),
        f"t={int(NOW)},v1=\xe4\xf6",
        signed(at=NOW - 301),
        signed(at=NOW + 301),
    ],
)
def test_any_other_is_refused(header: str | None) -> None:
    """Missing, of another secret or body, cut, altered, or older than five minutes: 403, without saying which."""
    with pytest.raises(Forbidden):
        check_signature(header, BODY, SECRET, NOW)


@pytest.mark.parametrize("time", ["soon", "-5", "9" * 400, "²", "\udcff"])
def test_a_time_that_is_none_is_refused(time: str) -> None:
    """Whatever a stranger writes into the header, the answer is 403 and no error of ours."""
    digest = hmac.new(SECRET.encode(), f"{time}.".encode(errors="surrogateescape") + BODY, hashlib.sha256).hexdigest()
    with pytest.raises(Forbidden):
        check_signature(f"t={time},v1={digest}", BODY, SECRET, NOW)


@pytest.mark.parametrize(
    ("body", "records"),
    [
        ({"event_id": "1"}, [{"event_id": "1"}]),
        ([1, {}], [1, {}]),
        ([], []),
        ({"events": [1, 2]}, [1, 2]),
        ({"events": [], "more": 1}, []),
        ({"events": 1, "event_id": "1"}, [{"events": 1, "event_id": "1"}]),
        ({}, [{}]),
    ],
)
def test_a_container_is_opened(body: Any, records: list[Any]) -> None:
    """One record, an array or a batch; an object that is no batch is a record, so that nothing is lost."""
    assert unwrap(body) == records


@pytest.mark.parametrize("body", ["text", 5, None, True, 1.5])
def test_what_contains_nothing_is_refused(body: Any) -> None:
    """A number or a text holds no records, so the whole request is refused; so is an envelope around one."""
    for sent, path in ((body, ""), ({"events": body}, "events"), ({"events": {"event_id": "1"}}, "events")):
        with pytest.raises(Invalid) as raised:
            unwrap(sent)
        assert [fault.path for fault in raised.value.faults] == [path]


def test_a_batch_has_a_thousand_records_at_most() -> None:
    """A thousand are taken, one more is refused whole, and the answer says how many there were."""
    assert len(unwrap([{}] * MOST)) == MOST == 1000
    bodies: list[Any] = [[{}] * 1001, {"events": [{}] * 1001}]
    for body in bodies:
        with pytest.raises(Invalid, match="1000 logins at most") as raised:
            unwrap(body)
        assert "1001" in raised.value.faults[0].message


class Guarded:
    """A server that demands signatures, at a time that the test says."""

    def __init__(self, session: ClientSession, base: str):
        self.session, self.base, self.at = session, base, NOW

    async def post(self, path: str, body: bytes, signature: str | None) -> int:
        headers = {"Authorization": "Bearer a-key-for-the-ingest", "Content-Type": "application/json"}
        if signature is not None:
            headers["X-Leadline-Signature"] = signature
        async with self.session.post(self.base + path, data=body, headers=headers) as reply:
            return reply.status


@pytest.fixture
async def guarded(store: Store, tmp_path: Path) -> AsyncIterator[Guarded]:
    settings = Settings(data=tmp_path, api_key="a-key-for-the-ingest")
    server = build(settings, store, secrets=["s" * 20], base_url="http://leadline.test")
    await server.catalog.put(ProductConfig(product_id="flowdesk", name="Flowdesk"), author="test")
    app = web.Application()
    routes = IngestRoutes(server.ingestion, secret=SECRET, clock=lambda: client.at).routes()
    mount(app, routes, server.keys, store, edge(Traffic()))
    async with TestServer(app) as running, ClientSession() as session:
        client = Guarded(session, f"http://127.0.0.1:{running.port}")
        yield client


async def test_a_server_with_a_secret_demands_it(guarded: Guarded, store: Store) -> None:
    """With LEADLINE_INGEST_SECRET a key alone counts no login; a good signature does, until it is five minutes old."""
    body = orjson.dumps(
        {
            "event_id": "l1",
            "crm_user_id": "u1",
            "organization_id": "o",
            "product_id": "flowdesk",
            "occurred_at": "2026-11-22T11:00:00Z",
        }
    )
    header = signed(body)
    assert await guarded.post("/events/logins", body, None) == 403
    assert await guarded.post("/events/logins", body, signed(body, secret="another-secret")) == 403
    assert await guarded.post("/events/logins", body + b" ", header) == 403
    assert await guarded.post("/events/logins", body, header) == 202
    guarded.at += 301
    assert await guarded.post("/events/logins", body, header) == 403
    assert await guarded.post("/events/logins", body, signed(body, at=guarded.at)) == 202


async def test_dead_letters_need_no_signature(guarded: Guarded) -> None:
    """A workflow that gives up has only its key; its record must not be lost for want of a signature."""
    letter = orjson.dumps({"workflow": "crm", "record": {"a": 1}, "error": "no answer"})
    assert await guarded.post("/dead-letters", letter, None) == 202


@pytest.mark.parametrize(
    "change", [{"workflow": ""}, {"workflow": None}, {"error": ""}, {"error": {}}, {"node": 5}, {"record": "missing"}]
)
async def test_a_dead_letter_without_its_story_is_refused(guarded: Guarded, change: dict[str, Any]) -> None:
    """Which workflow, what record, what went wrong: without these nobody could mend it."""
    letter: dict[str, Any] = {"workflow": "crm", "record": {"a": 1}, "error": "no answer", **change}
    if letter["record"] == "missing":
        del letter["record"]
    assert await guarded.post("/dead-letters", orjson.dumps(letter), None) == 422


class Watched:
    """A store that counts commits. Attributes: refuses: what every unit is refused with from now on."""

    def __init__(self, store: Store):
        self._store, self.commits = store, 0
        self.refuses: Unavailable | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, *changes: Change) -> None:
        (outcome,) = await self.commit_each([changes])
        if outcome is not None:
            raise outcome

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        self.commits += 1
        return [self.refuses for _ in units] if self.refuses else await self._store.commit_each(units)


async def sent(watched: Any, records: list[Any]) -> list[dict[str, Any]]:
    rig = Rig(watched, Clock())
    await rig.furnish()
    watched.commits = 0
    call: Any = SimpleNamespace(body=records, raw=orjson.dumps(records))
    results: list[dict[str, Any]] = (await IngestRoutes(rig.ingestion).logins(call)).body["results"]
    return results


LOGIN = {
    "crm_user_id": "u1",
    "organization_id": "o",
    "product_id": "flow",
    "occurred_at": "2026-03-01T10:00:00Z",
}


async def test_bad_records_are_queued_in_one_go(store: Store) -> None:
    """The CRM does not wait for a thousand commits. Each record gets its answer, in the order sent."""
    good = [{**LOGIN, "event_id": f"good{n}"} for n in range(3)]
    mixed = [
        record for n in range(3) for record in ({"n": n}, good[n], 5, {**good[n], "event_id": f"x{n}", "phone": "?"})
    ]
    watched = Watched(store)
    results = await sent(watched, mixed)
    assert watched.commits == 2, "the logins, and what is queued"
    assert [r["status"] for r in results] == ["quarantined", "accepted", "quarantined", "accepted"] * 3
    assert [r["event_id"] for r in results[3::4]] == ["x0", "x1", "x2"]
    ids = [r.get("review_id") for r in results]
    assert ids[1::4] == [None] * 3
    assert len(set(ids[2::4])) == 1, "the same content is one item"
    found = await store.get(Kind.REVIEW, *(id for id in ids if id))
    assert [orjson.loads(one.body["input"]) for one in found if one] == [r for r in mixed if r not in good]
    again = await sent(Watched(store), mixed)
    assert [r.get("review_id") for r in again] == ids


async def test_what_cannot_be_queued_is_told(store: Store) -> None:
    """The CRM sends it again."""
    watched: Any = Watched(store)
    rig = Rig(watched, Clock())
    await rig.furnish()
    watched.refuses = Unavailable("the store is away")
    call: Any = SimpleNamespace(body=[5], raw=b"[5]")
    with pytest.raises(Unavailable):
        await IngestRoutes(rig.ingestion).logins(call)
    assert (await store.find(REVIEW_ALL)).items == []
