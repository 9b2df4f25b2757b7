"""The assistant of a server: trained in a thread while the server already answers everything else."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.dialogue import Parse, Reply, State, Turn

if TYPE_CHECKING:
    from bot.embedded import EmbeddedEngine


class TrainedEngine:
    """The embedded engine, made at the first need. Whoever asks before it is ready waits for it."""

    def __init__(self) -> None:
        self._ready: asyncio.Task[EmbeddedEngine] | None = None

    def prepare(self) -> None:
        """Begin the training, once."""
        if self._ready is None:
            self._ready = asyncio.create_task(asyncio.to_thread(_make))

    async def handle(self, turn: Turn, state: State) -> Reply:
        return await (await self._engine()).handle(turn, state)

    async def parse(self, text: str) -> Parse:
        return (await self._engine()).parse(Turn("", text, trusted=True), State())

    async def slots(self) -> Sequence[str]:
        return list((await self._engine()).assistant.domain.slots)

    async def _engine(self) -> "EmbeddedEngine":
        self.prepare()
        assert self._ready is not None
        return await asyncio.shield(self._ready)


def _make() -> "EmbeddedEngine":
    # Imported here, in the thread: rasa-sdk and numpy take a second, and nothing else waits for them.
    from bot.actions import all_actions
    from bot.assistant_files import Assistant
    from bot.embedded import EmbeddedEngine

    return EmbeddedEngine(Assistant.load(), all_actions())
