"""The demo: what it may show, how fast its days pass, and the made-up people who bring it to life."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import structlog

from config.demo_feed import feed
from config.feeding import NotTaken, Server, Sleep, Totals, send, session
from tracker.desk.users import Role, Users
from tracker.store.port import Store
from tracker.store.schema import LEADS_ALL

log = structlog.get_logger()

PEOPLE, LOGINS = 36, 210
LIVELY = timedelta(seconds=70)
"""So many people log in so often in the first minute of a new store."""

SEED = 150
DESK_USER = "demo"

TALKS: Sequence[tuple[float, str, Sequence[str]]] = (
    (4, "flowdesk", ("What does it cost?", "Does it work with Slack?", "Can I talk to a person, please?")),
    (12, "gridwise", ("Hello", "Is our data safe with you?", "What does a pilot cost?")),
    (
        20,
        "flowdesk",
        (
            "I would like to book a demo",
            "Robin Hale",
            "robin.hale@willow-retail.example",
            "Willow Retail",
            "about 120 people",
            "Head of Support",
            "retail",
            "we want to answer customers faster",
            "within 3 months",
            "around 15000 dollars",
        ),
    ),
)
"""Who writes in the web chat: after how many seconds, about which product, and what."""

READING_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class Demo:
    """Attributes: outbox: where messages are written. speed: how many times as fast the delays of sequences pass.
    is_here: only this machine reaches the server, so that its pages may show what is in it. key_file: where the API key
    is, None where a setting gives it.
    """

    outbox: Path
    speed: float = 1
    is_here: bool = False
    key_file: Path | None = None


async def add_desk_user(store: Store, password: Callable[[], str]) -> bool:
    """Make the demo's user of the desk unless somebody may sign in already; return whether it was made."""
    users = Users(store)
    if await users.all():
        return False
    await users.add(DESK_USER, password(), Role.ADMIN, by="leadline serve --demo")
    return True


async def is_new(store: Store) -> bool:
    """Whether nobody has ever come."""
    return not (await store.find(LEADS_ALL, limit=1)).items


class Crowd:
    """Made-up people who log in and write during the demo's first minute, over HTTP as everybody does."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        secret: str | None,
        at: datetime,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Args: url: of this very server. secret: signs logins. at: now."""
        self._url, self._key, self._secret, self._at = url, key, secret, at
        self._sleep, self._clock = sleep, clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def run(self) -> None:
        """Do all of it; what the server does not take ends it, and is told in the log."""
        async with session() as client:
            server = Server(client, self._url, self._key, secret=self._secret, sleep=self._sleep)
            try:
                products = await server.products()
                acts: list[Awaitable[None]] = [self._talk(server, *talk) for talk in TALKS if talk[1] in products]
                await asyncio.gather(self._log_in(server, products), *acts)
            except NotTaken as error:
                log.warning("the demo's people stay away", reason=error.detail)

    async def _log_in(self, server: Server, products: Sequence[str]) -> None:
        start = self._at - LIVELY  # so that nobody logs in before their time
        items = feed(Random(SEED), start, events=LOGINS, users=PEOPLE, products=products, span=LIVELY)
        rate = LOGINS / LIVELY.total_seconds()
        await send(server, items, Totals(), rate=rate, sleep=self._sleep, clock=self._clock)

    async def _talk(self, server: Server, after: float, product_id: str, remarks: Sequence[str]) -> None:
        await self._sleep(after)
        who: dict[str, str] = {"product_id": product_id}
        for text in remarks:
            answer = await server.say({**who, "text": text})
            who |= {"visitor": answer["visitor"], "token": answer["token"]}
            await self._sleep(READING_SECONDS)
