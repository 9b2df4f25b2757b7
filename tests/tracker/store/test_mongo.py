"""What MongoDB alone has to show: servers that are absent, unfit or go away, and documents as its tools see them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from tracker.store import mongo, mongo_language
from tracker.store.mongo import MongoStore
from tracker.store.port import (
    Delete,
    Document,
    Duplicate,
    Expect,
    Increment,
    Insert,
    Replace,
    Stale,
    Unavailable,
    Unknown,
    Unusable,
)
from tracker.store.schema import INDEXES, LAYOUT, Kind, stamp

Client = MongoClient[dict[str, Any]]
PARTIAL = next(index for index in INDEXES if index.prefix and index.where)


@pytest.fixture
async def opened(mongo_database: str) -> AsyncIterator[MongoStore]:
    store = await MongoStore.open(mongo_database)
    yield store
    await store.close()


@pytest.fixture
def database(mongo_client: Client, mongo_database: str) -> Any:
    """This test's database through the driver itself."""
    return mongo_client[urlsplit(mongo_database).path[1:]]


@pytest.fixture
def spare_database(spare_mongo_url: str) -> str:
    """The URL of a database of this test's own, which goes with its server."""
    return f"{spare_mongo_url}/leadline_test_{secrets.token_hex(6)}"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo, "SELECTION_MS", 1000)


# --- opening


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_does_not_answer_is_named(unused_port: int) -> None:
    """The start fails within seconds and says where it looked, without the password."""
    began = time.monotonic()
    with pytest.raises(Unusable, match=rf"MongoDB at 127\.0\.0\.1:{unused_port} cannot be used: .*refused") as caught:
        await MongoStore.open(f"mongodb://dana:hunter2@127.0.0.1:{unused_port}/leadline")
    assert "hunter2" not in str(caught.value)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://dana:hunter2@host:port/leadline",
        "mongodb://dana:hunter2:hunter2@host/leadline",
        "mongodb://dana:hunter2@/leadline",
        "http://dana:hunter2@host/",
        "mongodb://dana:hunter2@host/lead line",
        "mongodb://dana:hunter2@host/?w=hunter2&tls=hunter2",
        "",
    ],
)
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    """The message shows what a URL looks like, and nothing of the one that was given, which may hold a password."""
    with pytest.raises(Unusable, match="MongoDB URL cannot be understood") as caught:
        await MongoStore.open(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_mongodb_without_transactions_is_refused(start_mongo: Callable[..., Any]) -> None:
    """A single server has no transactions: the start says what is needed, and creates nothing there."""
    server = start_mongo(standalone=True)
    with pytest.raises(Unusable, match="needs a replica set"):
        await MongoStore.open(f"{server.url}/leadline")
    with Client(server.url) as client:
        assert "leadline" not in client.list_database_names()


async def test_a_server_that_refuses_the_first_transaction_is_refused(
    mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What calls itself a replica set and cannot do a transaction all the same is found out at the start."""

    async def refuse(self: MongoStore, writes: object) -> bool:
        raise Unavailable("the database cannot be written: Transactions are not supported")

    monkeypatch.setattr(MongoStore, "_transact", refuse)
    with pytest.raises(Unusable, match=r"cannot do transactions, which Leadline needs: .*not supported"):
        await MongoStore.open(mongo_database)


async def test_a_database_of_a_newer_leadline_is_refused(mongo_database: str, database: Any) -> None:
    """An old program must not write into a layout that it does not know."""
    await (await MongoStore.open(mongo_database)).close()
    assert database.layout.find_one() == {"_id": "layout", "layout": LAYOUT}
    database.layout.update_one({"_id": "layout"}, {"$set": {"layout": LAYOUT + 1}})
    with pytest.raises(Unusable, match=f"written by a newer Leadline .layout {LAYOUT + 1}; this one knows {LAYOUT}"):
        await MongoStore.open(mongo_database)
    assert database.layout.find_one() == {"_id": "layout", "layout": LAYOUT + 1}


async def test_many_may_open_a_new_database_at_once(mongo_database: str) -> None:
    """Servers that start at the same time create what is missing together."""
    stores = await asyncio.gather(*(MongoStore.open(mongo_database) for _ in range(3)))
    await asyncio.gather(*(store.commit(Insert(Kind.LEADS, f"{n}", {})) for n, store in enumerate(stores)))
    for store in stores:
        await store.close()


# --- documents and indexes


@pytest.mark.usefixtures("opened")
async def test_the_indexes_are_those_of_the_schema(database: Any) -> None:
    """Each collection has its declared indexes, prefix, range and id in order, partial where the table says so."""
    assert set(database.list_collection_names()) >= {kind.value for kind in Kind}
    for kind in Kind:
        found = {
            name: (tuple(field for field, _ in index["key"]), index.get("partialFilterExpression"))
            for name, index in database[kind].index_information().items()
            if name != "_id_"
        }
        declared = {
            index.name: (
                tuple("_id" if name == "id" else name for name in dict.fromkeys((*index.prefix, index.range, "id"))),
                {index.where[0]: index.where[1]} if index.where else None,
            )
            for index in INDEXES
            if index.kind is kind and (index.prefix or index.range != "id")
        }
        assert found == declared


def test_no_index_is_over_a_field_of_the_adapter() -> None:
    """Fields that the adapter keeps for itself cannot be declared in an index: they would not be where it looks."""
    fields = {name for index in INDEXES for name in (*index.prefix, index.range)}
    assert not fields & mongo_language.OWN


async def test_documents_read_naturally(opened: MongoStore, database: Any) -> None:
    """In MongoDB's own tools a document shows its fields; only what BSON cannot take is inside a text."""
    body = {"name": "Dana", "tags": ["a"], "at": "2026-03-01T00:00:00.000Z"}
    await opened.commit(Insert(Kind.PERSONS, "p", body))
    assert database.persons.find_one({"name": "Dana"}) == {"_id": "p", "version": 1, **stamp(Kind.PERSONS, body)}
    await opened.commit(Replace(Kind.PERSONS, "p", 1, {"name": "Dana", "slots": {"a.b": 1}}))
    found = stamp(Kind.PERSONS, {"name": "Dana"})
    assert database.persons.find_one() == {"_id": "p", "version": 2, **found, "_json": '{"slots":{"a.b":1}}'}


async def test_every_write_waits_for_the_journal_of_the_majority(opened: MongoStore) -> None:
    """What is acknowledged survives the loss of a server, whether it took a transaction or not."""
    assert mongo._DURABLE.document == {"w": "majority", "j": True, "wtimeout": mongo.MAJORITY_MS}
    assert opened._client.write_concern.document == mongo._DURABLE.document
    assert opened._database.read_concern.level == "majority"


async def test_a_server_without_bulk_write_gets_a_command_per_collection(opened: MongoStore) -> None:
    """Before MongoDB 8 a unit takes more commands, and keeps the same promises."""
    opened._one_command = False
    await opened.commit(Insert(Kind.LEADS, "l", {"n": 1}), Insert(Kind.PERSONS, "p", {}), Insert(Kind.LEADS, "m", {}))
    await opened.commit(
        Replace(Kind.LEADS, "l", 1, {"n": 2}),
        Expect(Kind.PERSONS, "p", 1),
        Delete(Kind.LEADS, "m", 1),
        Increment(Kind.COUNTERS, "c", 2, {"of": "x"}),
    )
    with pytest.raises(Stale):
        await opened.commit(Increment(Kind.COUNTERS, "c", 1, {}), Expect(Kind.LEADS, "l", 1))
    with pytest.raises(Duplicate):
        await opened.commit(Increment(Kind.COUNTERS, "c", 1, {}), Insert(Kind.LEADS, "l", {}))
    assert await opened.get(Kind.LEADS, "l", "m") == [Document(Kind.LEADS, "l", 2, {"n": 2}), None]
    assert await opened.get(Kind.COUNTERS, "c") == [Document(Kind.COUNTERS, "c", 1, {"of": "x", "value": 2})]


# --- others in the way


async def test_a_unit_waits_for_a_transaction_of_somebody_else(
    opened: MongoStore, database: Any, mongo_client: Client
) -> None:
    """A document that another transaction holds is tried again, and only its outcome decides."""
    await opened.commit(Insert(Kind.LEADS, "l", {}), Insert(Kind.COUNTERS, "c", {"value": 0}))
    with mongo_client.start_session() as session:
        session.start_transaction()
        database.counters.update_one({"_id": "c"}, {"$inc": {"value": 1}}, session=session)
        unit = asyncio.create_task(
            opened.commit(Replace(Kind.LEADS, "l", 1, {"kept": True}), Increment(Kind.COUNTERS, "c", 10, {}))
        )
        await asyncio.sleep(0.05)  # time for a first try, which cannot succeed
        assert not unit.done()
        session.commit_transaction()
    await unit
    lead, counter = *await opened.get(Kind.LEADS, "l"), *await opened.get(Kind.COUNTERS, "c")
    assert lead == Document(Kind.LEADS, "l", 2, {"kept": True})
    assert counter is not None
    assert counter.body["value"] == 11


async def test_a_document_that_stays_locked_is_told(
    opened: MongoStore, database: Any, mongo_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded number of tries the caller hears that nothing was kept, and when to come back."""
    monkeypatch.setattr(mongo, "ATTEMPTS", 2)
    await opened.commit(Insert(Kind.LEADS, "l", {}))
    with mongo_client.start_session() as session:
        session.start_transaction()
        database.leads.update_one({"_id": "l"}, {"$inc": {"_guard": 1}}, session=session)
        with pytest.raises(Unavailable, match="too many others") as caught:
            await opened.commit(Expect(Kind.LEADS, "l", 1), Insert(Kind.TURNS, "t", {}))
        session.abort_transaction()
    assert caught.value.retry_after == 1
    assert await opened.get(Kind.TURNS, "t") == [None]


# --- servers and connections that go away


class Wire:
    """A wire to the server that is cut as a word of the protocol passes over it.

    Attributes: word: what cuts it. cuts: how often it is still to be cut. deliver: whether the word itself arrives.
    """

    def __init__(self, port: int):
        self.port, self.word, self.cuts, self.deliver = port, b"", 0, True
        self._ends: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.append(writer)
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def close(self) -> None:
        self._closed = True
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        self._ends.append(to_server)
        ends = (writer, to_server)
        if self._closed:
            to_server.transport.abort()
        await asyncio.gather(
            self._forward(reader, to_server, ends, watch=True), self._forward(from_server, writer, ends)
        )

    async def _forward(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
        *,
        watch: bool = False,
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                cut = watch and self.cuts > 0 and self.word in data
                if self.deliver or not cut:
                    target.write(data)
                    await target.drain()
                if cut:
                    self.cuts -= 1
                    break
        for end in ends:
            end.transport.abort()


@asynccontextmanager
async def wired(spare_database: str) -> AsyncIterator[tuple[MongoStore, Wire]]:
    parts = urlsplit(spare_database)
    wire = Wire(parts.port or 27017)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = await MongoStore.open(f"mongodb://127.0.0.1:{port}{parts.path}?directConnection=true")
    try:
        yield store, wire
    finally:
        wire.cuts = 0
        await store.close()
        server.close()
        await wire.close()


UNIT = (Insert(Kind.LEADS, "l", {}), Insert(Kind.PERSONS, "p", {}), Increment(Kind.COUNTERS, "c", 1, {}))


def found(url: str) -> list[bool]:
    """Return which documents of the unit are there, asked without the store and its wire."""
    with Client(url) as client:
        database = client.get_default_database()
        return [database[change.kind].find_one({"_id": change.id}) is not None for change in UNIT]


async def is_back(store: MongoStore) -> None:
    """Return when the store has found its server again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return await store.ping()
        except Unavailable:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("word", [b"bulkWrite", b"commitTransaction"], ids=bytes.decode)
@pytest.mark.parametrize("deliver", [True, False], ids=["delivered", "lost"])
async def test_a_wire_that_is_cut_once_is_mended(spare_database: str, word: bytes, deliver: bool) -> None:
    """A connection that breaks in the middle of a unit is no matter for the caller: it is kept, once."""
    async with wired(spare_database) as (store, wire):
        wire.word, wire.deliver, wire.cuts = word, deliver, 1
        await store.commit(*UNIT)
        assert wire.cuts == 0
        assert await store.get(Kind.COUNTERS, "c") == [Document(Kind.COUNTERS, "c", 1, {"value": 1})]
    assert found(spare_database) == [True] * 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("deliver", [True, False], ids=["delivered", "lost"])
async def test_a_commit_without_an_answer_is_unknown(spare_database: str, deliver: bool) -> None:
    """When no answer to the commit can be had, the caller is told that the unit may have been kept; it is whole."""
    async with wired(spare_database) as (store, wire):
        wire.word, wire.deliver, wire.cuts = b"commitTransaction", deliver, 1000
        with pytest.raises(Unknown, match="did not confirm a write") as caught:
            await store.commit(*UNIT)
        assert caught.value.retry_after == 5
    assert found(spare_database) == [deliver] * 3


async def test_a_single_write_is_repeated_under_its_number(spare_database: str) -> None:
    """A write of one document whose answer is lost is sent again, and found to have been made: no false duplicate."""
    async with wired(spare_database) as (store, wire):
        wire.word, wire.cuts = b"one-lead", 1
        await store.commit(Insert(Kind.LEADS, "one-lead", {}))
        assert wire.cuts == 0


@pytest.mark.usefixtures("impatient")
async def test_a_single_write_without_an_answer_is_unknown(spare_database: str) -> None:
    """A write of one document takes no transaction, and says the same when its answer is lost."""
    async with wired(spare_database) as (store, wire):
        wire.word, wire.cuts = b"other-lead", 1000
        with pytest.raises(Unknown, match="did not answer a write"):
            await store.commit(Insert(Kind.LEADS, "other-lead", {}))


@pytest.mark.usefixtures("impatient")
async def test_a_wire_that_is_always_cut_before_the_commit_keeps_nothing(
    spare_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks before the commit was sent is known not to be kept."""
    monkeypatch.setattr(mongo, "ATTEMPTS", 3)
    async with wired(spare_database) as (store, wire):
        wire.word, wire.cuts = b"bulkWrite", 1000
        with pytest.raises(Unavailable) as caught:
            await store.commit(*UNIT)
        assert not isinstance(caught.value, Unknown)
    assert found(spare_database) == [False] * 3


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_is_gone_is_told_and_found_again(start_mongo: Callable[..., Any]) -> None:
    """While the server is away every verb says so; when it is back the same store goes on, nothing half done."""
    server = start_mongo()
    store = await MongoStore.open(f"{server.url}/leadline")
    await store.commit(Insert(Kind.LEADS, "before", {}), Insert(Kind.PERSONS, "before", {}))
    await asyncio.to_thread(server.stop, kill=True)
    attempts = (
        store.commit(*UNIT),
        store.commit(Insert(Kind.TURNS, "t", {})),
        store.commit(Expect(Kind.LEADS, "before", 1)),
        store.get(Kind.LEADS, "before"),
        store.get(Kind.LEADS, "before", "after"),
        store.find(PARTIAL, *["a"] * len(PARTIAL.prefix)),
        store.ping(),
    )
    for error in await asyncio.gather(*attempts, return_exceptions=True):
        assert isinstance(error, Unavailable)
        assert error.retry_after == 5
        said = {"cannot be read", "cannot be written", "did not answer a write", "did not confirm a write"}
        assert str(error).removeprefix("the database ") in said
    await asyncio.to_thread(server.start)
    await is_back(store)
    await store.commit(Insert(Kind.LEADS, "after", {}), Insert(Kind.PERSONS, "after", {}))
    for kind in (Kind.LEADS, Kind.PERSONS):
        assert None not in await store.get(kind, "before", "after")
    assert found(f"{server.url}/leadline") in ([False] * 3, [True] * 3)
    await store.close()


@pytest.mark.usefixtures("impatient")
async def test_what_was_acknowledged_survives_a_kill_of_the_server(start_mongo: Callable[..., Any]) -> None:
    """However often the server is killed, every acknowledged unit is there whole, and no unit is there in part."""
    server = start_mongo()
    store = await MongoStore.open(f"{server.url}/leadline")
    told: set[str] = set()
    enough = asyncio.Event()

    async def write(name: str) -> None:
        for n in range(1000):
            id = f"{name}-{n}"
            with suppress(Unavailable):  # and Unknown: kept or not, but whole
                await store.commit(Insert(Kind.LEADS, id, {}), Insert(Kind.LEAD_EVENTS, id, {}))
                told.add(id)
            if enough.is_set():
                return
            if len(told) % 20 == 0:
                asyncio.get_running_loop().call_soon(progress.set)

    for run in range(2):
        progress = asyncio.Event()
        enough.clear()
        writers = [asyncio.create_task(write(f"run{run}-{lane}")) for lane in range(4)]
        await progress.wait()
        await asyncio.to_thread(server.stop, kill=True)
        enough.set()
        await asyncio.gather(*writers)
        await asyncio.to_thread(server.start)
        await is_back(store)
    with Client(server.url) as client:
        leads = {raw["_id"] for raw in client.leadline.leads.find()}
        events = {raw["_id"] for raw in client.leadline.lead_events.find()}
    assert told
    assert told <= leads
    assert leads == events
    await store.close()


async def test_what_was_acknowledged_survives_a_kill_of_its_writer(
    spare_database: str, acknowledged: Callable[..., set[str]]
) -> None:
    """However often the process is killed, every acknowledged unit is there whole, and no unit is there in part."""
    await (await MongoStore.open(spare_database)).close()
    told: set[str] = set()
    for n in range(5):
        told |= acknowledged(spare_database, f"run{n}", at_least=10)
    with Client(spare_database) as client:
        database = client.get_default_database()
        leads = {raw["_id"] for raw in database.leads.find()}
        events = {raw["_id"] for raw in database.lead_events.find()}
        counted = sum(raw["value"] for raw in database.counters.find())
    assert told <= leads
    assert leads == events
    assert counted == len(leads)
