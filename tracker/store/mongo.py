"""The store for more than one machine: MongoDB through motor, a transaction per unit."""

import asyncio
import contextlib
import re
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, TypeAlias

from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import (
    CollectionInvalid,
    ConfigurationError,
    DuplicateKeyError,
    InvalidName,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tracker.store.mongo_language import (
    Raw,
    Write,
    bulk_write,
    commands,
    document_of,
    field_of,
    stretches,
    writes_of,
)
from tracker.store.port import (
    Change,
    Conflict,
    Cursor,
    Delete,
    Document,
    Duplicate,
    Expect,
    Increment,
    Insert,
    Outcome,
    Page,
    Replace,
    Scalar,
    Stale,
    StoreError,
    Unavailable,
    Unknown,
    Unusable,
    check_unit,
)
from tracker.store.schema import INDEXES, LAYOUT, Index, Kind

if TYPE_CHECKING:  # motor's classes take a type only in its stubs
    Client: TypeAlias = AsyncIOMotorClient[Raw]
    Database: TypeAlias = AsyncIOMotorDatabase[Raw]

SELECTION_MS = 3000
"""How long to look for a primary. An election takes longer: meanwhile callers are told to come back."""

SOCKET_MS = 20_000
MAJORITY_MS = 10_000
"""How long a commit may wait for the majority before its fate is called unknown."""

IN_FLIGHT = 32
"""Units that are being written at the same time."""

ATTEMPTS = 10
"""Runs of one unit before the database is called too busy; with the pauses between them about two seconds."""

COMMITS = 3
"""Tries of one commit whose answer was lost. The server knows the transaction by number: it is kept once."""

LAYOUT_PLACE = "layout"
"""The collection of the one document that says which layout the database has."""

_jitter = SystemRandom().random
_DURABLE = WriteConcern(w="majority", j=True, wtimeout=MAJORITY_MS)
_MAJORITY = ReadConcern("majority")
_NOTHING_SENT = (ServerSelectionTimeoutError, WaitQueueTimeoutError, ConfigurationError)
_COUNTS = ("n", "nInserted", "nMatched", "nUpserted", "nDeleted")
_DUPLICATE_KEY, _WRITE_CONFLICT, _NAMESPACE_EXISTS = 11000, 112, 48


class MongoStore:
    """Documents as they are, in collections named after their kinds, beside `_id` and `version`.

    A unit is one `bulkWrite` and one `commitTransaction`, whatever it touches. Nothing is read in it: what a unit
    demands of a document stands in the filter of a write, and a write that finds fewer documents than it has changes
    is undone. Only then are the versions read, to tell whose fault it was.
    """

    def __init__(self, client: "Client"):
        self._client = client
        self._database: Database = client.get_default_database("leadline", read_concern=_MAJORITY)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._idle: list[AsyncIOMotorClientSession] = []
        self._queues: dict[tuple[Kind, str], asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._closed = False
        self._one_command = True

    @classmethod
    async def open(cls, url: str) -> "MongoStore":
        """Connect, and create the collections and indexes that are missing.

        Args: url: `mongodb://` or `mongodb+srv://`; its path names the database, `leadline` when it has none.
        Raises: Unusable: unreachable, refuses us, has no transactions, or was written by a newer Leadline.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # an option that is misspelled, such as tls, is not ignored
                client: Client = AsyncIOMotorClient(
                    url,
                    io_loop=asyncio.get_running_loop(),
                    appname="leadline",
                    serverSelectionTimeoutMS=SELECTION_MS,
                    connectTimeoutMS=SELECTION_MS,
                    waitQueueTimeoutMS=SELECTION_MS,
                    socketTimeoutMS=SOCKET_MS,
                    readPreference="primary",
                    retryReads=True,
                    retryWrites=True,
                    w="majority",
                    journal=True,
                    wTimeoutMS=MAJORITY_MS,
                )
            store = cls(client)
        except (ConfigurationError, InvalidName, ValueError, UserWarning):
            # What the driver says may quote a piece of the URL, and with it the password.
            raise Unusable("the MongoDB URL cannot be understood: mongodb://user:password@host:port/database") from None
        try:
            await store._prepare()
        except (PyMongoError, Unusable) as error:
            await store.close()
            if isinstance(error, Unusable):
                raise
            raise Unusable(f"MongoDB at {_hosts(url)} cannot be used: {_brief(error)}") from error
        return store

    async def get(self, kind: Kind, *ids: str) -> list[Document | None]:
        if not ids:
            return []
        with self._reading():
            if len(ids) == 1:
                raw = await self._database[kind].find_one({"_id": ids[0]})
                return [None if raw is None else document_of(kind, raw)]
            cursor = self._database[kind].find({"_id": {"$in": list(set(ids))}}).batch_size(len(ids) + 1)
            found = {raw["_id"]: document_of(kind, raw) for raw in await cursor.to_list(None)}
        return [found.get(id) for id in ids]

    async def find(
        self,
        index: Index,
        *prefix: Scalar,
        low: Scalar = None,
        high: Scalar = None,
        reverse: bool = False,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        raws: list[Raw] = []
        for terms in stretches(index, prefix, low=low, high=high, reverse=reverse, after=after):
            if len(raws) <= limit:
                raws += await self._range(index, terms, reverse=reverse, limit=limit + 1 - len(raws))
        items = [document_of(index.kind, raw) for raw in raws[:limit]]
        if len(raws) <= limit:
            return Page(items, None)
        last = items[-1]
        return Page(items, Cursor(last.id if index.range == "id" else last.body[index.range], last.id))

    async def commit(self, *changes: Change) -> None:
        (outcome,) = await self.commit_each([changes])
        if outcome is not None:
            raise outcome

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        for changes in units:
            check_unit(changes)
        if self._closed:
            return [Unavailable("the store is closed")] * len(units)
        # Tasks of their own: when the caller goes away, units are kept all the same, never torn in the middle.
        tasks = [asyncio.create_task(self._outcome(changes)) for changes in units]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(asyncio.gather(*tasks))

    async def ping(self) -> None:
        with self._reading():
            await self._client.admin.command("ping")

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(PyMongoError):
            for session in self._idle:
                await session.end_session()
        self._idle.clear()
        await asyncio.to_thread(self._client.close)  # it tells the server which sessions have ended

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except PyMongoError as error:
            raise Unavailable("the database cannot be read", retry_after=5) from error

    async def _range(self, index: Index, terms: Raw, *, reverse: bool, limit: int) -> list[Raw]:
        # The hint makes the promise of the schema table hold whatever the planner has learned meanwhile.
        name = "_id_" if index.is_primary else index.name
        way = DESCENDING if reverse else ASCENDING
        order = [(field, way) for field in dict.fromkeys((field_of(index.range), "_id"))]
        with self._reading():
            cursor = self._database[index.kind].find(terms).sort(order).hint(name).limit(limit).batch_size(limit + 1)
            return await cursor.to_list(None)

    async def _outcome(self, changes: Sequence[Change]) -> Outcome:
        try:
            if changes:
                await self._keep(changes, writes_of(changes))
        except StoreError as error:
            return error
        except (TypeError, ValueError, OverflowError, InvalidDocument) as error:
            return TypeError(f"this cannot be stored: {error}")
        return None

    async def _keep(self, changes: Sequence[Change], writes: list[Write]) -> None:
        """Write one unit; again when another writer was in its way without changing what it demands."""
        async with self._turn(changes), self._slots:
            for attempt in range(ATTEMPTS):
                if attempt:
                    await asyncio.sleep(_jitter() * min(0.5, 0.01 * 2**attempt))
                if await (self._write(writes[0]) if len(writes) == 1 else self._transact(writes)):
                    return
                if conflict := await self._conflict(changes):
                    raise conflict
        raise Unavailable("the same records are being written by too many others", retry_after=1)

    @contextlib.asynccontextmanager
    async def _turn(self, changes: Sequence[Change]) -> AsyncIterator[None]:
        """Let units of this process that name the same document take turns: MongoDB would refuse all but the first.

        Each queues behind the last of every document at once, so that no two can wait for each other.
        """
        keys = {(change.kind, change.id) for change in changes}
        ahead = {self._queues[key] for key in keys if key in self._queues}
        done = asyncio.get_running_loop().create_future()
        self._queues.update(dict.fromkeys(keys, done))
        try:
            if ahead:
                await asyncio.wait(ahead)
            yield
        finally:
            done.set_result(None)
            for key in keys:
                if self._queues.get(key) is done:
                    del self._queues[key]

    async def _transact(self, writes: list[Write]) -> bool:
        """Return whether the unit was kept; False: something was in its way, and nothing was.

        Raises: Unavailable: nothing was kept. Unknown: it may have been.
        """
        try:
            session = self._idle.pop() if self._idle else await self._client.start_session(causal_consistency=False)
        except PyMongoError as error:
            raise Unavailable("the database cannot be written", retry_after=5) from error
        try:
            # No read concern: nothing is only read here. What a unit demands of a document it also writes, which holds
            # until the commit on every shard, whatever snapshot the first statement saw.
            session.start_transaction(write_concern=_DURABLE)
            kept = await self._send(writes, session)
            if kept:
                await self._confirm(session)
            else:
                await session.abort_transaction()
        except PyMongoError as error:
            await session.end_session()  # undoes what is open; the server forgets it anyway
            if error.has_error_label("TransientTransactionError") and not isinstance(error, _NOTHING_SENT):
                return False
            raise Unavailable("the database cannot be written", retry_after=5) from error
        except BaseException:
            await session.end_session()
            raise
        self._idle.append(session)
        return kept

    async def _send(self, writes: list[Write], session: AsyncIOMotorClientSession) -> bool:
        """Return whether every write found its document."""
        if self._one_command:
            answers = [await self._client.admin.command(bulk_write(self._database.name, writes), session=session)]
            errors = answers[0]["cursor"]["firstBatch"] if answers[0]["nErrors"] else []
        else:
            answers, errors = [], []
            for command in commands(writes):
                answers.append(await self._database.command(command, session=session))
                if errors := answers[-1].get("writeErrors", []):
                    break
        if errors:
            if errors[0]["code"] in (_DUPLICATE_KEY, _WRITE_CONFLICT):
                return False
            raise OperationFailure(errors[0]["errmsg"], errors[0]["code"])
        done: int = sum(answer.get(count, 0) for answer in answers for count in _COUNTS)
        return done == len(writes)

    async def _confirm(self, session: AsyncIOMotorClientSession) -> None:
        for left in reversed(range(COMMITS)):
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if error.has_error_label("TransientTransactionError"):
                    raise  # the server is sure that nothing was kept
                if not left or not error.has_error_label("UnknownTransactionCommitResult"):
                    raise Unknown("the database did not confirm a write", retry_after=5) from error
            else:
                return

    async def _write(self, write: Write) -> bool:
        """Write a single document, which needs no transaction; the outcome is that of `_transact`."""
        place = self._database[write.place]
        try:
            match write.verb:
                case "insert":
                    await place.insert_one(write.content)
                    return True
                case "replace":
                    return (await place.replace_one(write.query, write.content)).matched_count == 1
                case "update":
                    result = await place.update_one(write.query, write.content, upsert=write.upsert)
                    return result.matched_count == 1 or result.upserted_id is not None
                case "delete":
                    return (await place.delete_one(write.query)).deleted_count == 1
        except DuplicateKeyError:
            return False
        except _NOTHING_SENT as error:
            raise Unavailable("the database cannot be written", retry_after=5) from error
        except OperationFailure as error:
            if error.code == _WRITE_CONFLICT:
                return False
            if isinstance(error, WriteConcernError) or error.has_error_label("RetryableWriteError"):
                raise Unknown("the database did not confirm a write", retry_after=5) from error
            raise Unavailable("the database cannot be written", retry_after=5) from error
        except PyMongoError as error:
            raise Unknown("the database did not answer a write", retry_after=5) from error

    async def _conflict(self, changes: Sequence[Change]) -> Conflict | None:
        """Return what is wrong with the first change that cannot be made, or None when each could be made now."""
        versions: dict[tuple[Kind, str], int] = {}
        with self._reading():
            for kind in {change.kind for change in changes}:
                ids = [change.id for change in changes if change.kind is kind and not isinstance(change, Increment)]
                cursor = self._database[kind].find({"_id": {"$in": ids}}, {"version": 1}).batch_size(len(ids) + 1)
                versions |= {(kind, raw["_id"]): raw["version"] for raw in await cursor.to_list(None)}
        for change in changes:
            found = versions.get((change.kind, change.id))
            match change:
                case Insert(kind, id) if found is not None:
                    return Duplicate(kind, id)
                case Replace(kind, id, version) | Expect(kind, id, version) | Delete(kind, id, version) if (
                    found != version
                ):
                    return Stale(kind, id)
        return None

    async def _prepare(self) -> None:
        """Raises: Unusable, PyMongoError."""
        hello = await self._client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise Unusable("this MongoDB is a single server without transactions: Leadline needs a replica set")
        layout = await self._database[LAYOUT_PLACE].find_one({"_id": LAYOUT_PLACE}) or {}
        if layout.get("layout", 0) > LAYOUT:
            known = f"layout {layout['layout']}; this one knows {LAYOUT}"
            raise Unusable(f"the database {self._database.name} was written by a newer Leadline ({known})")
        there = set(await self._database.list_collection_names())
        for place in (LAYOUT_PLACE, *Kind):
            if place not in there:  # a transaction cannot be relied on to create it
                await self._create(place)
        for kind, models in _index_models().items():
            await self._database[kind].create_indexes(models)
        await self._mark()

    async def _create(self, place: str) -> None:
        try:
            await self._database.create_collection(place)
        except CollectionInvalid:
            pass  # another process was faster
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:
                raise

    async def _mark(self) -> None:
        """Write the layout the way every unit is written, which shows whether this server can do that.

        `bulkWrite` is of MongoDB 8; before it, a unit takes a command per collection.
        """
        mark = Write("update", LAYOUT_PLACE, {"_id": LAYOUT_PLACE}, {"$max": {"layout": LAYOUT}}, upsert=True)
        for self._one_command in (True, False):
            for attempt in range(ATTEMPTS):
                try:
                    if await self._transact([mark]):
                        return
                except Unavailable as error:
                    refusal = error.__cause__ or error
                    break
                await asyncio.sleep(_jitter() * 0.05 * (attempt + 1))
        raise Unusable(f"this MongoDB cannot do transactions, which Leadline needs: {_brief(refusal)}") from refusal


def _index_models() -> dict[Kind, list[IndexModel]]:
    models: dict[Kind, list[IndexModel]] = {}
    for index in INDEXES:
        if index.is_primary:
            continue
        keys = [(field, ASCENDING) for field in dict.fromkeys((*index.prefix, field_of(index.range), "_id"))]
        partial = {"partialFilterExpression": dict([index.where])} if index.where else {}
        models.setdefault(index.kind, []).append(IndexModel(keys, name=index.name, **partial))
    return models


def _brief(error: BaseException) -> str:
    """Return what the driver says without its report on every server it knows."""
    return re.split(r", full error:|, Timeout:| \(configured timeouts:", str(error))[0]


def _hosts(url: str) -> str:
    """Return the part of a URL that may be shown."""
    return url.rpartition("@")[2].rpartition("://")[2].split("/")[0].split("?")[0]
