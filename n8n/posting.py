"""Posting events to their receivers: signed, in bounded time, to addresses that are allowed."""

import contextlib
import hashlib
import hmac
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import NamedTuple

import aiohttp

from n8n.addresses import Guard, NotAllowed, parse

READ_BYTES = 65_536
"""How much of an answer is read, so that the connection can be used again; nobody looks at it."""

CONNECTIONS = 64


class Posted(NamedTuple):
    """What a receiver answered. Attributes: error: why it does not have the event; None when it has. after: seconds
    that it asked us to wait.
    """

    error: str | None = None
    after: float | None = None


def signature(body: bytes, secret: str, *, at: float) -> str:
    """Return `t=<seconds>,v1=<HMAC-SHA256 of "t.body">`. Args: at: now, in seconds since 1970."""
    seconds = str(int(at))
    digest = hmac.new(secret.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


class Poster:
    """Keeps connections to the receivers. A redirect is not followed: who moves tells the new address."""

    def __init__(self, guard: Guard, *, timeout: float, clock: Callable[[], float] = time.time):
        """Args: timeout: seconds for everything that one delivery takes."""
        self._guard, self._timeout, self._clock = guard, timeout, clock
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, secret: str) -> Posted:
        """Send a JSON body. 2xx means that the receiver has it; nothing else does, and an event may be sent twice."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Leadline/{version('leadline')}",
            "X-Leadline-Signature": signature(body, secret, at=self._clock()),
        }
        try:
            address = parse(url)
            self._guard.check_literal(address)
            async with self._opened().post(address, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.content.read(READ_BYTES)
                return _read(answer.status, answer.headers.get("Retry-After"), now=self._clock())
        except TimeoutError:
            return Posted(f"no answer within {self._timeout:g} s")
        except aiohttp.ClientConnectorDNSError as error:
            refused = isinstance(error.os_error, NotAllowed)
            return Posted(str(error.os_error) if refused else "the host's name is not found")
        except NotAllowed as error:
            return Posted(str(error))
        except aiohttp.ClientConnectorError as error:
            return Posted(f"no connection: {error.os_error.strerror or type(error.os_error).__name__}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Posted(f"the connection broke: {type(error).__name__}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._guard, limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _read(status: int, retry_after: str | None, *, now: float) -> Posted:
    if 200 <= status < 300:
        return Posted()
    moved = ", and redirects are not followed" if 300 <= status < 400 else ""
    return Posted(f"the receiver answered {status}{moved}", seconds_of(retry_after, now=now))


def seconds_of(retry_after: str | None, *, now: float) -> float | None:
    """Return the seconds that a Retry-After asks for, as a number or as a date; None where it says nothing sensible."""
    if retry_after is None:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(retry_after)
        return max(seconds, 0) if math.isfinite(seconds) else None
    with contextlib.suppress(ValueError, OverflowError):
        at: datetime = parsedate_to_datetime(retry_after)
        return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now, 0)
    return None
