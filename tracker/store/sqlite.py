"""The embedded store: SQLite, one writer, many readers."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import orjson

from tracker.store.port import (
    Body,
    Change,
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
from tracker.store.schema import INDEXES, LAYOUT, Index, Kind, stamp, upcast

GROUP = 256
"""Units in one transaction at most, so that a big batch does not hold up the event loop for long."""

BUSY_MS = 5000
"""How long to wait for another process (a command) that is writing."""

SCRUB_MS = 500
"""How long emptying the log waits for a reader; writers wait as long for it."""


class SqliteStore:
    """Group commit on one connection: units that arrive while a transaction is being synced share the next one.

    A group is written in one go; where a unit is refused, which is rare, all is undone and written again with a
    savepoint for each unit, so that each has its own outcome.

    The statements run on the event loop, only `COMMIT` (the disk) and waiting for another process run in a thread:
    around each statement Python gives up its lock several times, and a thread waits up to `sys.getswitchinterval()`
    each time to have it back from a busy loop.
    """

    def __init__(self, path: Path):
        self._path = path
        self._writer = connect(path)
        self._execute = self._writer.cursor().execute  # a cursor for each statement would be a sixth of its price
        self._reader = connect(path)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="sqlite-commit")
        self._waiting: deque[_Waiting] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._generation = _generation(self._reader)

    @classmethod
    async def open(cls, path: Path) -> "SqliteStore":
        """Open or create the database file.

        Raises: Unusable: the file is damaged, of a newer Leadline, or its folder cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _prepare(path)
            return cls(path)
        except (apsw.Error, OSError) as error:
            raise Unusable(f"{path} cannot be opened as a Leadline database: {error}") from error

    async def get(self, kind: Kind, *ids: str) -> list[Document | None]:
        if not ids:
            return []
        if len(ids) == 1:
            rows = self._read(_SQL[kind].get, ids)
        else:
            rows = self._read(_SQL[kind].get_many, (orjson.dumps(ids).decode(),))
        found = {row[0]: _document(kind, row) for row in rows}
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
        sql, values = _find_sql(index, prefix, low=low, high=high, reverse=reverse, after=after, limit=limit)
        items = [_document(index.kind, row) for row in self._read(sql, values)]
        if len(items) <= limit:
            return Page(items, None)
        last = items[limit - 1]
        return Page(items[:limit], Cursor(last.id if index.range == "id" else last.body[index.range], last.id))

    async def commit(self, *changes: Change) -> None:
        if changes:
            (outcome,) = await self.commit_each([changes])
            if outcome is not None:
                raise outcome

    async def commit_each(self, units: Sequence[Sequence[Change]]) -> list[Outcome]:
        for changes in units:
            check_unit(changes)
        if not units:
            return []
        if self._closed:
            raise Unavailable("the store is closed")
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(units, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work())
        return await future

    async def ping(self) -> None:
        self._read("SELECT 1", ())

    def is_outdated(self) -> bool:
        """Whether a backup was restored since the database was opened. Nothing is written from then on: whoever asks
        may have decided on what is no more, and has to open the database anew.
        """
        try:
            return _generation(self._reader) != self._generation
        except apsw.Error:  # it cannot be read just now, which is no reason to start again
            return False

    async def scrub(self) -> bool:
        """Empty the log, which holds what documents were before; False: a reader or a writer is in the way by now.

        What it says is written into the database, where nothing is left of what was deleted (`secure_delete`).
        """
        return await asyncio.to_thread(_empty_log, self._path)

    async def close(self) -> None:
        self._closed = True
        if self._pump is not None:
            await self._pump
        self._disk.shutdown()
        self._reader.close()
        self._writer.close()

    def _read(self, sql: str, values: Sequence[Any]) -> list[Any]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except apsw.Error as error:
            raise Unavailable("the database cannot be read", retry_after=5) from error

    async def _work(self) -> None:
        """Write what waits, group after group, until nothing waits."""
        while self._waiting:
            group = [self._waiting.popleft()]
            room = GROUP - len(group[0].units)
            while self._waiting and (room := room - len(self._waiting[0].units)) >= 0:
                group.append(self._waiting.popleft())
            units = [changes for waiting in group for changes in waiting.units]
            try:
                outcomes = await self._write(units)
            except StoreError as error:
                outcomes = [error] * len(units)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave the callers waiting
                self._undo()
                for waiting in group:
                    waiting.fail(error)
                continue
            rest = iter(outcomes)
            for waiting in group:
                waiting.done(list(islice(rest, len(waiting.units))))

    async def _write(self, units: list[Sequence[Change]]) -> list[Outcome]:
        """Write the units in one transaction, each kept or refused for itself.

        Raises: Unavailable: none was kept. Unknown: they may have been.
        """
        loop = asyncio.get_running_loop()
        try:
            try:
                self._execute("BEGIN IMMEDIATE")
            except apsw.BusyError:  # another process writes: wait for it, in the thread
                await loop.run_in_executor(self._disk, self._begin_patiently)
            if _generation(self._writer) != self._generation:
                self._undo()
                raise Unavailable("a backup was restored: this process has to start again", retry_after=3)
            outcomes = self._apply(units)
        except apsw.Error as error:
            self._undo()
            raise Unavailable(f"the database cannot be written: {error}", retry_after=5) from error
        try:
            await loop.run_in_executor(self._disk, self._execute, "COMMIT")
        except apsw.Error as error:
            self._undo()
            # A full disk is told before anything is kept; what else can fail in a sync leaves it open.
            fate = Unavailable if isinstance(error, apsw.FullError) else Unknown
            raise fate(f"the database could not finish a write: {error}", retry_after=5) from error
        return outcomes

    def _begin_patiently(self) -> None:
        self._writer.set_busy_timeout(BUSY_MS)
        try:
            self._execute("BEGIN IMMEDIATE")
        finally:
            self._writer.set_busy_timeout(0)

    def _undo(self) -> None:
        with contextlib.suppress(apsw.Error):  # a closed connection refuses even to be asked
            if self._writer.in_transaction:
                self._execute("ROLLBACK")

    def _apply(self, units: list[Sequence[Change]]) -> list[Outcome]:
        """Write the units all at once; where one is refused, which is rare, again behind a savepoint each.

        Counters are summed and written once at the end.
        """
        if self._try(chain.from_iterable(units)) is None:
            outcomes: list[Outcome] = [None] * len(units)
        else:
            outcomes = [self._try(changes) for changes in units]
        counters: dict[tuple[Kind, str], Body] = {}
        for changes, outcome in zip(units, outcomes, strict=True):
            for change in changes if outcome is None else ():
                if isinstance(change, Increment):
                    counter = counters.setdefault((change.kind, change.id), {**change.labels, "value": 0})
                    counter["value"] += change.by
        for (kind, id), first in counters.items():
            sql = _SQL[kind]
            values = (id, orjson.dumps(stamp(kind, first)).decode(), *map(first.get, sql.columns), first["value"])
            self._execute(sql.increment, values)
        return outcomes

    def _try(self, changes: Iterable[Change]) -> Outcome:
        """Write changes, all or none, and return what was in their way."""
        outcome: Outcome = None
        self._execute("SAVEPOINT unit")
        try:
            for change in changes:
                self._apply_one(change)
        except (Duplicate, Stale) as conflict:
            outcome = conflict
        except _NOT_JSON as error:
            outcome = TypeError(f"this cannot be stored: {error}")
        if outcome is not None:
            self._execute("ROLLBACK TO unit")
        self._execute("RELEASE unit")
        return outcome

    def _apply_one(self, change: Change) -> None:
        execute, changed, sql = self._execute, self._writer.changes, _SQL[change.kind]
        match change:
            case Insert(kind, id, body):
                try:
                    execute(sql.insert, (id, orjson.dumps(stamp(kind, body)).decode(), *map(body.get, sql.columns)))
                except apsw.ConstraintError:
                    raise Duplicate(kind, id) from None
            case Replace(kind, id, version, body):
                text, columns = orjson.dumps(stamp(kind, body)).decode(), [*map(body.get, sql.columns)]
                execute(sql.replace_body, (text, id, version, *columns))
                if columns and not changed():
                    execute(sql.replace, (text, *columns, id, version))
                if not changed():
                    raise Stale(kind, id)
            case Expect(kind, id, version):
                if execute(sql.expect, (id, version)).get is None:
                    raise Stale(kind, id)
            case Delete(kind, id, version):
                execute(sql.delete, (id, version))
                if not changed():
                    raise Stale(kind, id)
            case Increment(by=by, labels=labels):  # summed over the group by `_apply`
                orjson.dumps({"value": by, **labels})


class _Waiting(NamedTuple):
    """Units of one caller, and where it waits for their outcomes."""

    units: Sequence[Sequence[Change]]
    future: asyncio.Future[list[Outcome]]

    def done(self, outcomes: list[Outcome]) -> None:
        if not self.future.done():  # the caller went away; what it asked for is kept all the same
            self.future.set_result(outcomes)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


_NOT_JSON = (TypeError, ValueError, OverflowError)
"""What orjson and the binding of columns raise for a body that is not JSON. Its unit alone is refused."""


class _Statements:
    """The SQL of one kind. The fields of its indexes are columns of their own, beside the whole body."""

    def __init__(self, kind: Kind):
        names = self.columns = COLUMNS[kind]
        marks, sets = ", ?" * len(names), "".join(f", {name} = ?" for name in names)
        same = "".join(f" AND {name} IS ?" for name in names)
        fields = "".join(f", {name}" for name in names)
        self.get = f"SELECT id, version, body FROM {kind} WHERE id = ?"
        self.get_many = (
            f"SELECT {kind}.id, version, body FROM json_each(?) AS wanted CROSS JOIN {kind} ON {kind}.id = wanted.value"
        )
        self.insert = f"INSERT INTO {kind} (id, version, body{fields}) VALUES (?, 1, ?{marks})"
        # SQLite rewrites the entry of every index whose column is named in SET, changed or not: so the common case,
        # in which none changed, names none.
        self.replace_body = f"UPDATE {kind} SET version = version + 1, body = ? WHERE id = ? AND version = ?{same}"
        self.replace = f"UPDATE {kind} SET version = version + 1, body = ?{sets} WHERE id = ? AND version = ?"
        self.expect = f"SELECT 1 FROM {kind} WHERE id = ? AND version = ?"
        self.delete = f"DELETE FROM {kind} WHERE id = ? AND version = ?"
        self.increment = (
            f"{self.insert} ON CONFLICT (id) DO UPDATE SET version = version + 1,"
            " body = json_set(body, '$.value', json_extract(body, '$.value') + ?)"
        )


def _indexed(kind: Kind) -> tuple[str, ...]:
    fields = (name for index in INDEXES if index.kind is kind for name in (*index.prefix, index.range, *_guard(index)))
    return tuple(name for name in dict.fromkeys(fields) if name != "id")


def _guard(index: Index) -> tuple[str, ...]:
    return () if index.where is None else (index.where[0],)


COLUMNS = {kind: _indexed(kind) for kind in Kind}
_SQL = {kind: _Statements(kind) for kind in Kind}


def connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), statementcachesize=512)
    connection.set_busy_timeout(BUSY_MS)  # another process may be ending, or reading the log after a crash
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA secure_delete=ON")  # what an erasure removes is overwritten, not only unlinked
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA wal_autocheckpoint=8000")
    connection.set_busy_timeout(0)  # from here on nobody waits on the event loop
    return connection


def _empty_log(path: Path) -> bool:
    """On a connection of its own, so that the store's stay free; whoever writes meanwhile waits as for any process."""
    try:
        with contextlib.closing(connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # the bulk, while others write
            connection.set_busy_timeout(SCRUB_MS)
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    except apsw.Error:
        return False
    return not busy


def _prepare(path: Path) -> None:
    """Create tables and indexes that are missing. Raises: Unusable: written by a newer Leadline."""
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(BUSY_MS)
        connection.execute("PRAGMA journal_mode=WAL")
        layout = connection.execute("PRAGMA user_version").get
        if layout > LAYOUT:
            raise Unusable(f"{path} was written by a newer Leadline (layout {layout}; this one knows {LAYOUT})")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _tables():
            connection.execute(statement)
        for kind in Kind:
            _complete(connection, kind)
        for statement in _indexes():
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={LAYOUT}")
        connection.execute("COMMIT")


def _generation(connection: apsw.Connection) -> int:
    """How often a backup was restored."""
    return int(connection.execute("SELECT number FROM generation").get)


def _complete(connection: apsw.Connection, kind: Kind) -> None:
    """Give a table of an earlier version the columns of indexes that came since."""
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({kind})")}
    missing = [name for name in COLUMNS[kind] if name not in there]
    for name in missing:
        connection.execute(f"ALTER TABLE {kind} ADD COLUMN {name}")
    if missing:
        values = ", ".join(f"{name} = json_extract(body, '$.{name}')" for name in missing)
        connection.execute(f"UPDATE {kind} SET {values}")


def _tables() -> Iterator[str]:
    yield "CREATE TABLE IF NOT EXISTS generation (number INTEGER NOT NULL)"
    yield "INSERT INTO generation SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM generation)"
    for kind in Kind:
        columns = "".join(f", {name}" for name in COLUMNS[kind])
        fields = f"id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL{columns}"
        yield f"CREATE TABLE IF NOT EXISTS {kind} ({fields})"


def _indexes() -> Iterator[str]:
    for index in INDEXES:
        if index.is_primary:
            continue
        columns = ", ".join(dict.fromkeys((*index.prefix, index.range, "id")))
        where = f" WHERE {_partial(index)}" if index.where else ""
        yield f"CREATE INDEX IF NOT EXISTS {index.name} ON {index.kind} ({columns}){where}"


def _partial(index: Index) -> str:
    assert index.where is not None
    field, value = index.where
    return f"{field} = " + (f"'{value}'" if isinstance(value, str) else str(int(value)))


def _find_sql(
    index: Index,
    prefix: tuple[Scalar, ...],
    *,
    low: Scalar,
    high: Scalar,
    reverse: bool,
    after: Cursor | None,
    limit: int,
) -> tuple[str, list[Scalar]]:
    if len(prefix) != len(index.prefix):
        raise ValueError(f"{index.name} wants {index.prefix}")
    column = index.range
    terms = [f"{name} IS ?" for name in index.prefix]
    values: list[Scalar] = list(prefix)
    for bound, sign in ((low, ">="), (high, "<")):
        if bound is not None:
            terms.append(f"{column} {sign} ?")
            values.append(bound)
    if low is None and high is None and after is None:
        terms.append(f"{column} IS NOT NULL")  # as the bounds have it: what has no range value is not in the index
    if after is not None:
        beyond = "<" if reverse else ">"
        terms.append(f"id {beyond} ?" if column == "id" else f"({column}, id) {beyond} (?, ?)")
        values += after[1:] if column == "id" else after
    if index.where is not None:
        terms.append(_partial(index))
    where = " WHERE " + " AND ".join(terms) if terms else ""
    way = "DESC" if reverse else "ASC"
    # Named twice, the id would be sorted once more.
    order = ", ".join(f"{name} {way}" for name in dict.fromkeys((column, "id")))
    # Left to itself SQLite may take another index that fits the range, and read what the prefix would have left out.
    table = index.kind if index.is_primary else f"{index.kind} INDEXED BY {index.name}"
    sql = f"SELECT id, version, body FROM {table}{where} ORDER BY {order} LIMIT {limit + 1}"
    return sql, values


def _document(kind: Kind, row: tuple[str, int, str]) -> Document:
    return Document(kind, row[0], row[1], upcast(kind, orjson.loads(row[2])))
