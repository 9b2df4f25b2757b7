"""What happens by itself: APScheduler ticks, a worker delivers. The store remembers what is due."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = structlog.get_logger()

PAUSE = 0.02
"""Seconds between two looks at the due queue, however often somebody wakes the worker."""


class Worker:
    """Runs `work` whenever it is woken, until there is nothing left to do."""

    def __init__(self, work: Callable[[], Awaitable[int]]):
        self._work = work
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._woken.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End after the message in hand is settled."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            turn = asyncio.create_task(self._turn())
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError:
                await turn
                raise
            await asyncio.sleep(PAUSE)

    async def _turn(self) -> None:
        try:
            if await self._work():
                self._woken.set()
        except Exception:
            log.exception("a worker's turn failed; the next tick tries again")


class Schedule:
    """The ticks of one process."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    def every(self, seconds: float, job: Callable[[], Awaitable[object] | None], name: str) -> None:
        async def safely() -> None:
            try:
                done = job()
                if done is not None:
                    await done
            except Exception:
                log.exception("a job failed; the next tick tries again", job=name)

        self._scheduler.add_job(safely, "interval", seconds=seconds, name=name, max_instances=1, coalesce=True)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
