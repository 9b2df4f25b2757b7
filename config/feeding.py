"""Posts a feed of logins to a running server: `leadline demo feed`, and what the demo does by itself at its start."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, ClientTimeout

from config.demo_feed import Item
from tracker.errors import LeadlineError

BATCH = 250
"""Records in a request, where nothing holds them back."""

LIVE_SECONDS = 0.5
"""How often a feed with a rate posts what has come up."""

BUSY = frozenset({429, 503})
TRIES = 8
LONGEST_WAIT = 60.0


class NotTaken(LeadlineError):
    """The server is not there, or does not take what it was sent."""


@dataclass(slots=True)
class Totals:
    """What became of the records so far."""

    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0

    def __str__(self) -> str:
        return f"{self.accepted:,} accepted, {self.duplicate:,} duplicate, {self.quarantined:,} quarantined"


Sleep = Callable[[float], Awaitable[object]]


class Server:
    """A running server, as its clients see it. What may be repeated is repeated: every login has its own id."""

    def __init__(
        self, session: ClientSession, url: str, key: str, *, secret: str | None = None, sleep: Sleep = asyncio.sleep
    ):
        """Args: secret: signs the logins."""
        self._session, self._url, self._secret, self._sleep = session, url.rstrip("/"), secret, sleep
        self._met = False
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    async def products(self) -> list[str]:
        """Return the ids of all products. Raises: NotTaken."""
        listed = await self._ask("GET", "/products")
        return [product["product_id"] for product in listed["items"]]

    async def logins(self, records: Sequence[Any]) -> dict[str, int]:
        """Raises: NotTaken."""
        answer: dict[str, int] = await self._ask("POST", "/events/logins", list(records))
        return answer

    async def say(self, remark: dict[str, Any]) -> dict[str, Any]:
        """Write in the web chat. Raises: NotTaken."""
        answer: dict[str, Any] = await self._ask("POST", "/chat/messages", remark)
        return answer

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        raw = None if body is None else orjson.dumps(body)
        for tries in range(1, TRIES + 1):
            headers = self._headers if raw is None else self._headers | self._signed(raw)
            try:
                async with self._session.request(method, self._url + path, data=raw, headers=headers) as got:
                    told = await got.read()
            except (ClientError, TimeoutError) as error:
                if tries == TRIES or (isinstance(error, ClientConnectorError) and not self._met):
                    raise NotTaken(f"nobody answers at {self._url}: {str(error) or 'time-out'}") from error
                await self._sleep(min(2.0**tries, LONGEST_WAIT))
                continue
            self._met = True
            if got.status < 300:
                return orjson.loads(told)
            if got.status not in BUSY or tries == TRIES:
                break
            await self._sleep(_wait(got, tries))
        raise NotTaken(f"the server answered {got.status}: {_detail(told)}")

    def _signed(self, raw: bytes) -> dict[str, str]:
        if self._secret is None:
            return {}
        at = str(int(time.time()))
        digest = hmac.new(self._secret.encode(), f"{at}.".encode() + raw, hashlib.sha256).hexdigest()
        return {"X-Leadline-Signature": f"t={at},v1={digest}"}


def session() -> ClientSession:
    return ClientSession(timeout=ClientTimeout(total=60))


def _wait(got: ClientResponse, tries: int) -> float:
    """Return how long a busy server asks to wait."""
    asked = got.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdecimal() else 2.0**tries, LONGEST_WAIT)


def _detail(told: bytes) -> str:
    try:
        return str(orjson.loads(told)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return told[:200].decode(errors="replace")


async def send(
    server: Server,
    items: Sequence[Item],
    totals: Totals,
    *,
    rate: float | None = None,
    told: Callable[[Totals], None] = lambda totals: None,
    sleep: Sleep = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Post a feed in batches, in its order, and count what becomes of it.

    Args: rate: records a second; as fast as the server takes them without one. told: called after each batch.
    Raises: NotTaken: `totals` holds what was taken until then.
    """
    began = clock()
    while totals.sent < len(items):
        due = len(items) if rate is None else int((clock() - began) * rate) + 1
        batch = items[totals.sent : min(due, totals.sent + BATCH)]
        if not batch:
            await sleep(max(LIVE_SECONDS, 1 / rate) if rate else LIVE_SECONDS)
            continue
        answer = await server.logins([item.record for item in batch])
        totals.sent += len(batch)
        totals.accepted += answer["accepted"]
        totals.duplicate += answer["duplicate"]
        totals.quarantined += answer["quarantined"]
        told(totals)
