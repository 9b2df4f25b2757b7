"""`leadline store backup` and `restore`: files, crashes, and servers that run meanwhile."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.__main__ import main
from tests.config.test_commands import LOGIN, Serve, alone, command, now, serve, until
from tests.conftest import Opener
from tracker.store import backup
from tracker.store.port import Delete, Document, Increment, Insert, Replace, Store, Unavailable, Unusable
from tracker.store.schema import LAYOUT, Index, Kind
from tracker.store.sqlite import SqliteStore

__all__ = ["alone", "serve"]  # fixtures

EVENT = {"lead_id": "l1", "timestamp": "2026-01-05T10:00:00.000Z", "metadata": '{"text": "ö\\n\u2028 \\"x\\""}'}


async def content(store: Store) -> dict[tuple[Kind, str], tuple[int, Any]]:
    found: dict[tuple[Kind, str], tuple[int, Any]] = {}
    for kind in Kind:
        for d in (await store.find(Index(f"{kind}_by_id", kind, (), "id"), limit=10_000)).items:
            found[d.kind, d.id] = (d.version, d.body)
    return found


async def fill(store: Store) -> None:
    """Documents of several kinds, some written more than once."""
    await store.commit(
        Insert(Kind.LEADS, "l1", {"product_id": "a", "stage": "User", "score": 1}),
        Insert(Kind.LEAD_EVENTS, "crm:e1", EVENT),
        Increment(Kind.COUNTERS, "c", 3, {"day": "2026-01-05", "product_id": "a", "metric": "m"}),
        Insert(Kind.MESSAGES, "m", {"waiting": True, "due_at": "2026-01-05T10:00:00.000Z", "lead_id": "l1",
                                    "channel": "email", "priority": 1, "created_at": "2026-01-05T10:00:00.000Z"}),
        Insert(Kind.PERSONS, "gone", {"email": "erased@example.com"}),
    )  # fmt: skip
    await store.commit(Replace(Kind.LEADS, "l1", 1, {"product_id": "a", "stage": "User", "score": 2}))
    await store.commit(Delete(Kind.PERSONS, "gone", 1))


@pytest.fixture
def run(request: pytest.FixtureRequest, open_any: Opener, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command on the database that `open_any` opens, in a thread: it has a loop of its own."""
    if request.node.callspec.params["open_any"] == "mongo":
        monkeypatch.setenv("LEADLINE_MONGO_URL", request.getfixturevalue("mongo_database"))
    else:
        monkeypatch.setenv("LEADLINE_DATA", str(request.getfixturevalue("sqlite_path").parent))
    return lambda *arguments: main(["store", *map(str, arguments)])


async def test_a_backup_goes_into_an_empty_store(
    open_any: Opener, run: Callable[..., int], tmp_path: Path, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of either store into an empty SQLite: the same documents and versions, what was erased not among them."""
    import asyncio

    store = await open_any()
    await fill(store)
    before = await content(store)
    file = tmp_path / "backup.jsonl"
    assert await asyncio.to_thread(run, "backup", file) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"erased@example.com" not in file.read_bytes()
    assert not (tmp_path / "backup.jsonl.part").exists()
    audit = [body for (kind, _), (_, body) in (await content(store)).items() if kind is Kind.AUDIT]
    assert [(entry["action"], entry["subject"]) for entry in audit] == [("store.backup", "backup.jsonl")]
    await store.close()

    monkeypatch.delenv("LEADLINE_MONGO_URL", raising=False)
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path / "other"))
    assert await asyncio.to_thread(run, "restore", file) == 0
    other = await SqliteStore.open(tmp_path / "other" / "leadline.db")
    after = await content(other)
    noted = [after.pop(key)[1] for key in list(after) if key[0] is Kind.AUDIT]
    assert after == before
    assert [(entry["action"], entry["subject"]) for entry in noted] == [("store.restore", "backup.jsonl")]
    found = await other.find(Index("leads_by_stage", Kind.LEADS, ("product_id", "stage"), "id"), "a", "User")
    assert [d.id for d in found.items] == ["l1"]
    await other.commit(Increment(Kind.COUNTERS, "c", 1, {}))
    assert (await other.get(Kind.COUNTERS, "c"))[0].body["value"] == 4  # type: ignore[union-attr]
    await other.close()


async def test_into_mongodb_only_where_nothing_is(
    mongo_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite to MongoDB is a backup and a restore. A database with anything in it is refused, and stays as it is."""
    import asyncio

    from tracker.store.mongo import MongoStore

    old = await SqliteStore.open(tmp_path / "leadline.db")
    await fill(old)
    before = await content(old)
    await old.close()
    file = tmp_path / "backup.jsonl"
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))
    assert await asyncio.to_thread(main, ["store", "backup", str(file)]) == 0
    monkeypatch.setenv("LEADLINE_MONGO_URL", mongo_database)
    assert await asyncio.to_thread(main, ["store", "restore", str(file)]) == 0
    assert "1 messages in it are due by now" in capsys.readouterr().out
    store = await MongoStore.open(mongo_database)
    after = await content(store)
    assert {key: body for key, (_, body) in after.items() if key[0] is not Kind.AUDIT} == {
        key: body for key, (_, body) in before.items()
    }
    assert await asyncio.to_thread(main, ["store", "restore", str(file)]) == 1
    assert "a backup goes into an empty one" in capsys.readouterr().err
    assert await content(store) == after
    await store.close()


def written(path: Path, *documents: Document) -> Path:
    with backup.Writer(path, made_at="2026-01-05T10:00:00.000Z") as writer:
        for d in documents:
            writer.add(d.kind, d.id, d.version, b'{"name":"x"}')
        writer.finish()
    return path


LEAD = Document(Kind.LEADS, "l1", 3, {"name": "x"})
NEWER_LAYOUT = b'{"leadline_backup":1,"layout":%d,"made_at":"x"}\n' % (LAYOUT + 1)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda raw: b"", "no backup of Leadline"),
        (lambda raw: b"SQLite format 3\0" + raw, "no backup of Leadline"),
        (lambda raw: b"[1]\n", "no backup of Leadline"),
        (lambda raw: NEWER_LAYOUT, "made by a newer Leadline"),
        (lambda raw: raw.replace(b'"leads"', b'"rockets"'), "made by a newer Leadline"),
        (lambda raw: raw.replace(b'"x"}}', b'"x","schema":99}}'), "made by a newer Leadline"),
        (lambda raw: raw[: raw.index(b'{"documents"')], "its end is missing"),
        (lambda raw: raw.replace(b'"l1"', b'"l2"'), "not what was written"),
        (lambda raw: raw.replace(b'{"kind"', b'{"kind', 1), "line 2 is not JSON"),
        (lambda raw: raw.replace(b'"version"', b'"virsion"'), "line 2 is no document"),
        (lambda raw: raw + raw.splitlines(keepends=True)[1], "goes on behind its end"),
    ],
)
def test_a_file_that_is_not_whole_restores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoil: Any, why: str
) -> None:
    """Cut off, changed, newer, something else: told in a line, before anything is touched."""
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path / "data"))
    file = written(tmp_path / "b", LEAD)
    file.write_bytes(spoil(file.read_bytes()))
    assert main(["store", "restore", str(file)]) == 1
    err = capsys.readouterr().err
    assert why in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_a_backup_replaces_the_last_one_only_when_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No database, a damaged one, a folder that is not there: the older file stays, and nothing half lies beside it."""
    file = written(tmp_path / "b", LEAD)
    before = file.read_bytes()
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))
    assert main(["store", "backup", str(file)]) == 1
    assert "there is no database" in capsys.readouterr().err
    (tmp_path / "leadline.db").write_bytes(b"nonsense" * 1000)
    assert main(["store", "backup", str(file)]) == 1
    assert main(["store", "backup", str(tmp_path / "nowhere" / "b")]) == 2
    assert main(["store", "backup", str(tmp_path)]) == 2
    assert main(["store", "restore", str(tmp_path / "none")]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "leadline.db"]
    assert file.read_bytes() == before


async def test_a_backup_is_of_one_moment(sqlite_path: Path) -> None:
    """What is written while it is read is not in it, and whoever writes is not kept waiting."""
    from tracker.store.sqlite_backup import snapshot

    store = await SqliteStore.open(sqlite_path)
    await fill(store)
    with snapshot(sqlite_path) as (count, rows):
        first = next(rows)
        await store.commit(Insert(Kind.LEADS, "l2", {}), Increment(Kind.COUNTERS, "c", 1, {}))
        found = {(row.kind, row.id): row.version for row in (first, *rows)}
    assert len(found) == count == 4
    assert (Kind.LEADS, "l2") not in found
    assert found[Kind.COUNTERS, "c"] == 1
    await store.close()


async def test_who_knew_the_old_content_writes_nothing_into_the_new(sqlite_path: Path) -> None:
    """A store that was open during a restore reads the new content and refuses every write, and says that it is
    outdated; one that is opened afterwards works."""
    from tracker.store.sqlite_backup import replace_all

    store = await SqliteStore.open(sqlite_path)
    await fill(store)
    assert not store.is_outdated()
    replace_all(sqlite_path, [LEAD])
    assert store.is_outdated()
    assert await store.get(Kind.LEADS, "l1") == [LEAD]
    for change in (Replace(Kind.LEADS, "l1", 3, {}), Insert(Kind.LEADS, "l9", {})):
        with pytest.raises(Unavailable, match="restored"):
            await store.commit(change)
    fresh = await SqliteStore.open(sqlite_path)
    assert not fresh.is_outdated()
    await fresh.commit(Replace(Kind.LEADS, "l1", 3, {"name": "y"}))
    assert set(await content(fresh)) == {(Kind.LEADS, "l1")}
    await store.close()
    await fresh.close()


async def test_a_restore_that_fails_leaves_all_as_it_was(sqlite_path: Path) -> None:
    """Half of a file, or a document twice: the transaction is undone, and the store goes on."""
    from tracker.store.sqlite_backup import replace_all

    store = await SqliteStore.open(sqlite_path)
    await fill(store)
    before = await content(store)

    def broken() -> Any:
        yield LEAD
        raise Unusable("the disk is gone")

    with pytest.raises(Unusable):
        replace_all(sqlite_path, broken())
    with pytest.raises(Unavailable, match="as it was"):
        replace_all(sqlite_path, [LEAD, LEAD])
    assert not store.is_outdated()
    await store.commit(Insert(Kind.LEADS, "l9", {}))
    after = await content(store)
    del after[Kind.LEADS, "l9"]
    assert after == before
    await store.close()


def test_a_running_server_is_backed_up_and_restored(
    serve: Serve, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server takes logins while the backup is made. After the restore it starts again by itself: leads, products
    and keys are those of the backup, nothing that it remembered from before, and it takes logins again."""
    server = serve()
    product = {"product_id": "flowdesk", "name": "Flowdesk", "scoring_rules": {"login_points": 5}}
    assert server.call("PUT", "/products/flowdesk", product)[0] == 200
    login = {**LOGIN, "occurred_at": now()}
    assert server.call("POST", "/events/logins", login)[1]["accepted"] == 1
    assert command("store", "backup", "b.jsonl") == 0
    assert "read back" in capsys.readouterr().out
    assert command("keys", "create", "late", "--scope", "leads:read") == 0
    late = capsys.readouterr().out.strip()
    other = {**product, "scoring_rules": {"login_points": 100}}
    assert server.call("PUT", "/products/flowdesk", other)[0] == 200
    for n in range(3):
        another = {**login, "crm_user_id": f"v{n}", "email": f"v{n}@example.com", "event_id": f"v{n}"}
        assert server.call("POST", "/events/logins", another)[1]["accepted"] == 1
    assert len(server.call("GET", "/leads", key=late)[1]["items"]) == 4

    assert command("store", "restore", "b.jsonl") == 0
    assert "start again by themselves" in capsys.readouterr().out
    assert server.process.stdout is not None
    while server.process.stdout.readline() != "Leadline is ready\n":
        assert server.process.poll() is None
    (lead,) = server.call("GET", "/leads")[1]["items"]
    assert lead["engagement_score"] == 5
    assert server.call("GET", "/leads", key=late)[0] == 401
    assert server.call("GET", "/products/flowdesk")[1]["version"] == 1
    again = {**login, "event_id": "l2"}
    assert server.call("POST", "/events/logins", [login, again])[1]["accepted"] == 1
    assert server.call("GET", f"/leads/{lead['id']}")[1]["engagement_score"] == 10
    actions = [entry["action"] for entry in server.call("GET", "/audit")[1]["items"]]
    assert actions[0] == "store.restore"
    assert "a backup was restored: starting again" in (alone / "log").read_text()
    until(lambda: server.call("GET", "/readyz")[0] == 200)
    assert server.stop() == 0
