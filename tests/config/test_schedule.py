"""What happens by itself: a worker that is woken, and ticks that survive their own failures."""

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

import config.schedule
from config.schedule import Schedule, Worker


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.schedule, "PAUSE", 0)


class Work:
    """Turns that end when they are allowed to."""

    def __init__(self, *found: int | Exception, gated: bool = False):
        self.found = list(found)
        self.begun = asyncio.Semaphore(0)
        self.turns = self.ended = 0
        self.gate = asyncio.Event()
        if not gated:
            self.gate.set()

    async def __call__(self) -> int:
        self.turns += 1
        self.begun.release()
        await self.gate.wait()
        self.ended += 1
        found = self.found.pop(0) if self.found else 0
        if isinstance(found, Exception):
            raise found
        return found


async def rest() -> None:
    """Let everything run that can run without being woken."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_worker_sleeps_until_it_is_woken():
    """Nobody asks the store for work while nothing has happened."""
    work = Work()
    worker = Worker(work)
    worker.start()
    await rest()
    assert work.turns == 0
    worker.wake()
    await work.begun.acquire()
    await rest()
    assert work.turns == 1
    await worker.stop()


async def test_being_woken_a_thousand_times_is_one_more_turn():
    """However often it is woken while it works, a worker looks once more, not a thousand times."""
    work = Work(gated=True)
    worker = Worker(work)
    worker.start()
    worker.wake()
    await work.begun.acquire()
    for _ in range(1000):
        worker.wake()
    work.gate.set()
    await work.begun.acquire()
    await rest()
    assert work.turns == 2
    await worker.stop()


async def test_a_worker_goes_on_while_there_is_work():
    """As long as a turn found something, the next one follows by itself."""
    work = Work(3, 2, 1)
    worker = Worker(work)
    worker.start()
    worker.wake()
    for _ in range(4):
        await work.begun.acquire()
    await rest()
    assert work.turns == 4
    await worker.stop()


async def test_turns_do_not_overlap():
    """One turn at a time, so that two never take the same message."""
    work = Work(gated=True)
    worker = Worker(work)
    worker.start()
    worker.wake()
    await work.begun.acquire()
    worker.wake()
    await rest()
    assert work.turns == 1
    work.gate.set()
    await worker.stop()


async def test_stopping_waits_for_the_turn_in_hand():
    """A server that is told to stop finishes the messages it has begun, and begins no others."""
    work = Work(5, gated=True)
    worker = Worker(work)
    worker.start()
    worker.wake()
    await work.begun.acquire()
    stopping = asyncio.create_task(worker.stop())
    await rest()
    assert not stopping.done()
    work.gate.set()
    await stopping
    assert (work.turns, work.ended) == (1, 1)


async def test_a_worker_that_was_never_started_or_woken_stops_at_once():
    """Stopping is always safe."""
    await Worker(Work()).stop()
    idle = Worker(Work())
    idle.start()
    await rest()
    await idle.stop()


async def test_a_failing_turn_does_not_end_the_worker(logs: list[MutableMapping[str, Any]]):
    """A mistake in one turn is logged; the next tick works again."""
    work = Work(RuntimeError("broken"))
    worker = Worker(work)
    worker.start()
    worker.wake()
    await work.begun.acquire()
    await rest()
    assert work.turns == 1  # not in a circle
    worker.wake()
    await work.begun.acquire()
    await rest()
    assert work.turns == 2
    assert [entry["log_level"] for entry in logs] == ["error"]
    await worker.stop()


async def test_a_job_runs_at_every_tick_even_after_it_failed(logs: list[MutableMapping[str, Any]]):
    """A job that fails is named in the log and runs again at the next tick."""
    ran = asyncio.Semaphore(0)
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1
        ran.release()
        if runs == 1:
            raise RuntimeError("broken")

    schedule = Schedule()
    schedule.every(0.005, job, "look around")
    schedule.start()
    for _ in range(3):
        await asyncio.wait_for(ran.acquire(), 5)
    schedule.stop()
    assert [entry["job"] for entry in logs] == ["look around"]


async def test_a_job_may_be_a_plain_function():
    """Waking a worker needs no coroutine."""
    ran = asyncio.Event()
    schedule = Schedule()
    schedule.every(0.005, ran.set, "wake")
    schedule.start()
    await asyncio.wait_for(ran.wait(), 5)
    schedule.stop()


async def test_a_slow_job_is_not_started_twice():
    """A tick that comes while the job still runs is left out."""
    gate, ticked = asyncio.Event(), asyncio.Semaphore(0)
    running = most = 0

    async def slow() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    schedule = Schedule()
    schedule.every(0.005, slow, "slow")
    schedule.every(0.005, ticked.release, "tick")
    schedule.start()
    for _ in range(4):
        await asyncio.wait_for(ticked.acquire(), 5)
    gate.set()
    schedule.stop()
    assert most == 1


async def test_stopping_a_schedule_is_always_safe():
    """Before it was started, and twice."""
    schedule = Schedule()
    schedule.stop()
    schedule.start()
    schedule.stop()
    schedule.stop()
