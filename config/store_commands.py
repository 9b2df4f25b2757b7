"""`leadline store`: the whole store into a file, and back, while servers run."""

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from config.commands import UsageError, who, with_store
from config.settings import Settings
from tracker import audit
from tracker.errors import Refused
from tracker.reading import everything
from tracker.store import backup
from tracker.store.port import Document, Insert, Store
from tracker.store.schema import Index, Kind, stamp
from tracker.times import instant, now

UNIT = 200
"""Documents of one commit."""

STEP = 1000
"""Documents between two signs of progress."""

Told = Callable[[int], None]


def add(sub: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the `store` commands. Args: sub: subparsers of the main parser. command: makes one, as `__main__` does."""
    store = sub.add_parser("store", help="The store as a whole.").add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    kept = command("backup", "Write everything into a file.", "leadline store backup monday.jsonl", store)
    kept.add_argument("file", type=Path, help="what is written, readable by you alone; one that exists is replaced")
    kept.set_defaults(run=store_backup)
    restored = command(
        "restore", "Put a backup in the place of all that there is.", "leadline store restore monday.jsonl", store
    )
    restored.add_argument("file", type=Path, help="a backup of any store, SQLite or MongoDB")
    restored.add_argument("--yes", action="store_true", help="do not ask; where nobody can be asked nobody is")
    restored.set_defaults(run=store_restore)


def store_backup(settings: Settings, arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be a file: give one in a folder that is there")
    with backup.Writer(path, made_at=instant(now())) as writer:
        if settings.mongo_url is None:
            _write_sqlite(settings, writer)
        else:
            with_store(settings, lambda store: _write_each(store, writer))
        writer.finish()
    with_store(settings, lambda store: _noted(store, "store.backup", path.name, writer.documents))
    print(f"{writer.documents:,} documents are in {path}, which was read back")
    return 0


def _write_sqlite(settings: Settings, writer: backup.Writer) -> None:
    from config.app import DATABASE
    from tracker.store.sqlite_backup import snapshot

    with snapshot(settings.data / DATABASE) as (count, rows):
        told = _progress(count)
        for row in rows:
            writer.add(*row)
            told(writer.documents)


async def _write_each(store: Store, writer: backup.Writer) -> int:
    """Write document after document: each is whole, but they are not all of one moment."""
    told = _progress(None)
    async for found in _all_of(store):
        writer.add(found.kind, found.id, found.version, orjson.dumps(stamp(found.kind, found.body)))
        told(writer.documents)
    return 0


async def _all_of(store: Store) -> AsyncIterator[Document]:
    for kind in Kind:
        async for found in everything(store, _by_id(kind)):
            yield found


def _by_id(kind: Kind) -> Index:
    """Every document of a kind in the order of its ids, which every store has."""
    return Index(f"{kind}_by_id", kind, (), "id")


def store_restore(settings: Settings, arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    summary = backup.check(path)
    if not arguments.yes and not _sure(f"Replace everything by what {path} holds, as of {summary.made_at}? [y/N] "):
        print("nothing was restored", file=sys.stderr)
        return 1
    waiting = _Waiting()
    documents = waiting.counted(_told(backup.read(path), _progress(summary.documents)))
    noted = audit.entry(
        who("leadline store"), "store.restore", path.name, at=instant(now()), detail=f"as of {summary.made_at}"
    )
    if settings.mongo_url is None:
        _restore_sqlite(settings, documents, noted)
    else:
        with_store(settings, lambda store: _restore_each(store, documents, noted))
    print(f"{summary.documents:,} documents of {summary.made_at} are restored")
    if settings.mongo_url is None:
        print("servers that run start again by themselves, within seconds")
    if waiting.due:
        print(f"{waiting.due:,} messages in it are due by now: they go out as soon as a server works, again where they")
        print("went out after the backup was made")
    return 0


def _restore_sqlite(settings: Settings, documents: Iterable[Document], noted: Insert) -> None:
    from config.app import DATABASE
    from tracker.store.sqlite_backup import replace_all

    async def made(store: Store) -> int:
        return 0

    with_store(settings, made)  # there is a database now, if there was none
    entry = Document(noted.kind, noted.id, 1, noted.body)
    replace_all(settings.data / DATABASE, chain(documents, [entry]))


async def _restore_each(store: Store, documents: Iterable[Document], noted: Insert) -> int:
    """Write into an empty database, unit after unit. The versions of documents begin anew.

    Raises: Refused: there is something already. Those who use it would see half of one and half of the other.
    """
    for kind in Kind:
        if (await store.find(_by_id(kind), limit=1)).items:
            raise Refused(
                "there is something in this database: a backup goes into an empty one, which servers use next"
            )
    rest = iter(documents)
    while unit := [Insert(d.kind, d.id, d.body) for d in islice(rest, UNIT)]:
        await store.commit(*unit)
    await store.commit(noted)
    return 0


async def _noted(store: Store, action: str, subject: str, documents: int) -> int:
    at = instant(now())
    await store.commit(audit.entry(who("leadline store"), action, subject, at=at, detail=f"{documents} documents"))
    return 0


class _Waiting:
    """Counts messages that are due, as their documents go by."""

    def __init__(self) -> None:
        self.due = 0

    def counted(self, documents: Iterable[Document]) -> Iterator[Document]:
        at = instant(now())
        for found in documents:
            if found.kind is Kind.MESSAGES and found.body["waiting"] and found.body["due_at"] <= at:
                self.due += 1
            yield found


def _told(documents: Iterable[Document], told: Told) -> Iterator[Document]:
    for number, found in enumerate(documents, 1):
        told(number)
        yield found


def _progress(of: int | None) -> Told:
    """Return what shows how far it is, on a terminal. Args: of: None where nobody knows how many there are."""
    if not sys.stderr.isatty():
        return lambda done: None
    end = f" of {of:,}" if of is not None else ""

    def told(done: int) -> None:
        if done % STEP == 0 or done == of:
            last = "\n" if done == of else ""
            print(f"\r{done:,}{end} documents", end=last, file=sys.stderr, flush=True)

    return told


def _sure(question: str) -> bool:
    """Ask on a terminal; who runs a script has decided."""
    return not sys.stdin.isatty() or input(question).strip().lower() in {"y", "yes"}
