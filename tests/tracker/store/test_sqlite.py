"""What SQLite alone has to show: files, disks, processes, and that every `find` is served by its index."""

import asyncio
import contextlib
import sys
import threading
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from tracker.store import sqlite
from tracker.store.port import Cursor, Delete, Increment, Insert, Replace, Unavailable, Unknown, Unusable
from tracker.store.schema import INDEXES, LAYOUT, LEADS_BY_ORGANIZATION, Index, Kind
from tracker.store.sqlite import SqliteStore

WRITER = str(Path(__file__).with_name("writer.py"))


@pytest.fixture
async def opened(sqlite_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(sqlite_path)
    yield store
    await store.close()


async def everything(store: SqliteStore, kind: Kind) -> set[str]:
    """Return all ids of a kind."""
    return {row[0] for row in store._read(f"SELECT id FROM {kind}", ())}


# --- processes


async def test_processes_write_the_same_file_at_once(sqlite_path: Path) -> None:
    """Commands and the server share one file: each waits for the other, and nothing is lost or counted twice."""
    store = await SqliteStore.open(sqlite_path)
    writers = [
        await asyncio.create_subprocess_exec(sys.executable, WRITER, sqlite_path, f"w{n}", "150", stdout=DEVNULL)
        for n in range(4)
    ]
    for n in range(150):
        await store.commit(Insert(Kind.LEADS, f"own-{n}", {}), Increment(Kind.COUNTERS, "own", 1, {}))
    for writer in writers:
        assert await writer.wait() == 0
    counters = await store.get(Kind.COUNTERS, "own", *(f"w{n}" for n in range(4)))
    assert [counter and counter.body["value"] for counter in counters] == [150] * 5
    assert len(await everything(store, Kind.LEADS)) == 5 * 150
    assert len(await everything(store, Kind.LEAD_EVENTS)) == 4 * 150
    await store.close()


async def test_what_was_acknowledged_survives_a_kill(sqlite_path: Path, acknowledged: Callable[..., set[str]]) -> None:
    """However often the process is killed, every acknowledged unit is there whole, and no unit is there in part."""
    told: set[str] = set()
    for n in range(5):
        told |= acknowledged(str(sqlite_path), f"run{n}", at_least=25)
    store = await SqliteStore.open(sqlite_path)
    leads, events = await everything(store, Kind.LEADS), await everything(store, Kind.LEAD_EVENTS)
    assert told <= leads
    assert leads == events
    counters = await store.get(Kind.COUNTERS, *(f"run{n}" for n in range(5)))
    assert sum(counter.body["value"] for counter in counters if counter) == len(leads)
    await store.close()


async def test_a_busy_writer_is_waited_for_and_then_told(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process holds the file too long, the caller hears that nothing was kept, and may come again."""
    monkeypatch.setattr(sqlite, "BUSY_MS", 50)
    store = await SqliteStore.open(sqlite_path)
    other = apsw.Connection(str(sqlite_path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked") as caught:
        await store.commit(Insert(Kind.LEADS, "l", {}))
    assert not isinstance(caught.value, Unknown)
    other.execute("ROLLBACK")
    other.close()
    await store.commit(Insert(Kind.LEADS, "l", {}))
    await store.close()


# --- what was deleted


async def test_a_scrub_leaves_nothing_of_what_was_deleted(sqlite_path: Path) -> None:
    """Neither in the log nor in the database; what is there stays, also while others write."""
    store = await SqliteStore.open(sqlite_path)
    await store.commit(Insert(Kind.LEADS, "gone", {"name": "canary"}), Insert(Kind.LEADS, "here", {}))
    await store.commit(Delete(Kind.LEADS, "gone", 1))
    files = [sqlite_path, sqlite_path.with_name(f"{sqlite_path.name}-wal")]
    assert any(b"canary" in file.read_bytes() for file in files)
    assert await store.scrub()
    assert not any(b"canary" in file.read_bytes() for file in files)
    units = (store.commit(Insert(Kind.LEADS, f"{n}", {})) for n in range(20))
    scrubbed, *_ = await asyncio.gather(store.scrub(), *units)
    assert scrubbed
    assert len(await everything(store, Kind.LEADS)) == 21
    await store.close()


async def test_who_opens_the_file_waits_for_a_process_that_ends(sqlite_path: Path) -> None:
    """The last one to close it has it alone for a moment; from then on nothing waits for anybody."""
    store = await SqliteStore.open(sqlite_path)
    await store.close()
    other = apsw.Connection(str(sqlite_path))
    other.execute("PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; COMMIT").fetchall()
    ending = threading.Timer(0.1, other.close)
    ending.start()
    with contextlib.closing(sqlite.connect(sqlite_path)) as connection:
        assert connection.execute("SELECT number FROM generation").get == 0
        assert connection.execute("PRAGMA busy_timeout").get == 0
    ending.join()


async def test_a_scrub_waits_for_nobody_long(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes, or reads what was before, is left alone, and so is a file that cannot be opened."""
    monkeypatch.setattr(sqlite, "SCRUB_MS", 1)
    store = await SqliteStore.open(sqlite_path)
    await store.commit(Insert(Kind.LEADS, "l", {}))
    for begin in ("BEGIN IMMEDIATE", "BEGIN; SELECT count(*) FROM leads"):
        with contextlib.closing(apsw.Connection(str(sqlite_path))) as other:
            for statement in begin.split("; "):
                other.execute(statement).fetchall()
            assert not await store.scrub()
        assert await store.scrub()
        await store.commit(Insert(Kind.LEADS, f"after {begin}", {}))
    assert not sqlite._empty_log(sqlite_path.parent / "none" / "leadline.db")
    await store.close()


# --- disks


async def test_a_full_disk_keeps_nothing_and_is_told(opened: SqliteStore) -> None:
    """When the disk is full no unit of the group is kept, reading goes on, and with space writing does too."""
    await opened.commit(Insert(Kind.LEADS, "before", {}))
    pages = opened._writer.execute("PRAGMA page_count").get
    opened._writer.execute(f"PRAGMA max_page_count={pages + 4}")
    units = (
        opened.commit(Insert(Kind.LEADS, str(n), {}), Insert(Kind.TURNS, str(n), {"x": "x" * 900})) for n in range(40)
    )
    results = await asyncio.gather(*units, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert "full" in str(results[0])
    assert await everything(opened, Kind.LEADS) == {"before"}
    assert await everything(opened, Kind.TURNS) == set()
    opened._writer.execute(f"PRAGMA max_page_count={2**30}")
    await opened.commit(Insert(Kind.LEADS, "after", {}))
    assert await everything(opened, Kind.LEADS) == {"before", "after"}


async def test_a_commit_is_synced(opened: SqliteStore) -> None:
    """What is acknowledged is on disk: the write-ahead log is synced by every commit."""
    assert opened._writer.execute("PRAGMA journal_mode").get == "wal"
    assert opened._writer.execute("PRAGMA synchronous").get == 2


async def test_a_disk_that_fails_in_the_sync_leaves_the_unit_unknown(
    opened: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that breaks while it is being synced may have been kept or not, and the caller is told just that."""

    execute = opened._execute

    def broken(sql: str, values: Any = ()) -> Any:
        if sql == "COMMIT":
            raise apsw.IOError("disk I/O error")
        return execute(sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(opened, "_execute", broken)
        with pytest.raises(Unknown, match="disk I/O error"):
            await opened.commit(Insert(Kind.LEADS, "l", {}))
    await opened.commit(Insert(Kind.LEADS, "next", {}))


# --- files


async def test_a_file_that_cannot_be_read_is_not_taken_for_a_restored_one(opened: SqliteStore) -> None:
    """A disk that fails for a moment ends no server."""
    opened._reader.close()
    assert not opened.is_outdated()
    with pytest.raises(Unavailable):
        await opened.ping()


async def test_a_file_that_is_no_database_is_refused(sqlite_path: Path) -> None:
    """The message names the file and what is wrong with it."""
    spoil(sqlite_path, b"this is no database at all\n" * 200)
    with pytest.raises(Unusable, match=r"leadline\.db cannot be opened .*not a database"):
        await SqliteStore.open(sqlite_path)


def spoil(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_a_damaged_file_is_told(sqlite_path: Path) -> None:
    """A file that lost its middle is refused when it is opened, or told when what is missing is read."""
    store = await SqliteStore.open(sqlite_path)
    await store.commit(*(Insert(Kind.LEADS, f"{n}", {"text": "x" * 2000}) for n in range(300)))
    await store.close()
    cut_middle(sqlite_path)
    with pytest.raises((Unusable, Unavailable), match=r"malformed|cannot be read"):
        await read_all(sqlite_path)


def cut_middle(path: Path) -> None:
    content = path.read_bytes()
    third = len(content) // 3
    path.write_bytes(content[:third] + content[-third:])


async def read_all(path: Path) -> None:
    store = await SqliteStore.open(path)
    try:
        await store.get(Kind.LEADS, *map(str, range(300)))
    finally:
        await store.close()


async def test_a_file_of_a_newer_leadline_is_refused(sqlite_path: Path) -> None:
    """An old program must not write into a layout that it does not know; the file stays as it is."""
    with contextlib.closing(apsw.Connection(str(sqlite_path))) as connection:
        connection.execute(f"PRAGMA user_version={LAYOUT + 1}")
    with pytest.raises(Unusable, match=f"newer Leadline .layout {LAYOUT + 1}; this one knows {LAYOUT}"):
        await SqliteStore.open(sqlite_path)


async def test_a_folder_that_cannot_be_made_is_told(sqlite_path: Path) -> None:
    """Where a file is in the place of the folder, nothing can be opened, and the message names the path."""
    spoil(sqlite_path, b"")
    with pytest.raises(Unusable, match="below"):
        await SqliteStore.open(sqlite_path / "below" / "leadline.db")


async def test_missing_folders_are_made(sqlite_path: Path) -> None:
    """A first start needs no preparation."""
    path = sqlite_path.parent / "a" / "b" / "leadline.db"
    store = await SqliteStore.open(path)
    await store.commit(Insert(Kind.LEADS, "l", {}))
    await store.close()
    assert path.exists()


# --- indexes


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("where", ["all", "bounds", "cursor"])
@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.name)
async def test_every_find_is_one_stretch_of_its_index(
    opened: SqliteStore, index: Index, where: str, reverse: bool
) -> None:
    """No declared index needs a scan or a sort, whatever its bounds: the cost of a page is that of the page."""
    low, high = ("a", "b") if where == "bounds" else (None, None)
    after = Cursor("a", "a") if where == "cursor" else None
    prefix = ("x",) * len(index.prefix)
    sql, values = sqlite._find_sql(index, prefix, low=low, high=high, reverse=reverse, after=after, limit=10)
    plan = [row[3] for row in opened._read(f"EXPLAIN QUERY PLAN {sql}", values)]
    name = f"sqlite_autoindex_{index.kind}_1" if index.is_primary else index.name
    assert len(plan) == 1
    assert plan[0].startswith(f"SEARCH {index.kind} USING INDEX {name} (")


async def test_indexed_fields_follow_a_replace(opened: SqliteStore) -> None:
    """Whether a replace changes an indexed field or not, columns and body say the same."""
    index = next(index for index in INDEXES if index.prefix and index.range != "id" and not index.where)
    (field, *_) = index.prefix
    for n, value in enumerate(["a", "a", "b", None, "b"]):
        body = {**dict.fromkeys(index.prefix, value), index.range: f"t{n}", "n": n}
        await opened.commit(Replace(index.kind, "x", n, body) if n else Insert(index.kind, "x", body))
        row = opened._read(f"SELECT {field}, {index.range}, body ->> 'n' FROM {index.kind}", ())
        assert row == [(value, f"t{n}", n)]


async def test_a_database_of_an_earlier_version_gets_its_new_columns(tmp_path: Path) -> None:
    """An index that came since finds what was written before it, and what is written from now on."""
    path = tmp_path / "leadline.db"
    lead = {"product_id": "flowdesk", "stage": "User", "organization_id": "acme"}
    store = await SqliteStore.open(path)
    await store.commit(Insert(Kind.LEADS, "l1", lead))
    await store.close()
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP INDEX leads_by_organization")
        connection.execute("ALTER TABLE leads DROP COLUMN organization_id")
        connection.execute("DROP TABLE merges")
    store = await SqliteStore.open(path)
    await store.commit(Insert(Kind.LEADS, "l2", lead), Insert(Kind.MERGES, "m1", {"survivor": "p", "at": "a"}))
    page = await store.find(LEADS_BY_ORGANIZATION, "acme")
    assert [document.id for document in page.items] == ["l1", "l2"]
    assert [document.body for document in page.items] == [lead, lead]
    await store.close()
