"""Exports and erasures, and where something of people lies besides documents."""

from pathlib import Path

from channels.outbox import forget
from tracker.privacy import Privacy
from tracker.recorder import Recorder
from tracker.store.port import Store
from tracker.store.sqlite import SqliteStore


class Leftovers:
    """The demo's outbox, which may be of an earlier start, and the database's log."""

    def __init__(self, store: Store, folder: Path):
        self._store, self._folder = store, folder

    async def forget(self, message_id: str) -> None:
        await forget(self._folder, message_id)

    async def scrub(self) -> bool:
        return await self._store.scrub() if isinstance(self._store, SqliteStore) else True


def make_privacy(recorder: Recorder, outbox: Path) -> Privacy:
    """Args: outbox: the folder in which a demo writes its messages, if there ever was one."""
    return Privacy(recorder, Leftovers(recorder.store, outbox))
