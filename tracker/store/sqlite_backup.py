"""A SQLite database as a whole: all of it as of one moment, and another content for all of it, while others use it."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import orjson

from tracker.store.port import Document, Unavailable, Unusable
from tracker.store.schema import Kind, stamp
from tracker.store.sqlite import COLUMNS, connect

PATIENCE_MS = 30_000
"""How long a restore waits for whoever is writing."""


class Row(NamedTuple):
    """A document as it is stored. `body`: JSON."""

    kind: Kind
    id: str
    version: int
    body: bytes


class Snapshot(NamedTuple):
    documents: int
    rows: Iterator[Row]


@contextlib.contextmanager
def snapshot(path: Path) -> Iterator[Snapshot]:
    """Give everything as it is at one moment; whoever writes meanwhile is not kept waiting.

    Raises: Unusable: there is no database, or it is damaged.
    """
    if not path.exists():
        raise Unusable(f"there is no database {path}")
    try:
        with contextlib.closing(connect(path)) as connection:
            connection.execute("BEGIN")
            state = connection.execute("PRAGMA quick_check(1)").get
            if state != "ok":
                raise Unusable(f"{path} is damaged: {state}")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            there = [kind for kind in Kind if kind in tables]
            count = sum(connection.execute(f"SELECT count(*) FROM {kind}").get for kind in there)
            yield Snapshot(count, _rows(connection, there))
    except apsw.Error as error:
        raise Unusable(f"{path} cannot be read as a Leadline database: {error}") from error


def _rows(connection: apsw.Connection, kinds: Iterable[Kind]) -> Iterator[Row]:
    for kind in kinds:
        for id, version, body in connection.execute(f"SELECT id, version, body FROM {kind}"):
            yield Row(kind, id, version, body.encode())


def replace_all(path: Path, documents: Iterable[Document]) -> None:
    """Put these documents in the place of all that there are, in one transaction: others see the old or the new.

    Processes that had the database open write nothing more to it: what they know is of before. See
    `SqliteStore.is_outdated`.

    Args: path: of a database that exists.
    Raises: Unavailable: somebody was writing for too long, or the disk is full; everything is as it was.
    """
    with contextlib.closing(connect(path)) as connection:
        connection.set_busy_timeout(PATIENCE_MS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for kind in Kind:
                connection.execute(f"DELETE FROM {kind}")
            for kind, id, version, body in documents:
                values = (id, version, orjson.dumps(stamp(kind, body)).decode(), *map(body.get, COLUMNS[kind]))
                connection.execute(f"INSERT INTO {kind} VALUES ({','.join('?' * len(values))})", values)
            connection.execute("UPDATE generation SET number = number + 1")
            connection.execute("COMMIT")
        except apsw.Error as error:
            raise Unavailable(f"the database cannot be written, and is as it was: {error}") from error
