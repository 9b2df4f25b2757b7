"""A Twilio of the tests: takes messages over HTTP, misbehaves as it is told, and signs what it tells us."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web
from twilio.request_validator import RequestValidator

SID, TOKEN, SENDER = "AC" + "a" * 32, "a-token-of-the-tests", "whatsapp:+14155238886"


class Says(NamedTuple):
    """An answer instead of taking the message."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}


CUT, SILENT = "cut", "silent"
"""Close the connection when the request was read; never answer it."""


class FakeTwilio:
    """Attributes: script: what to do with the next messages instead of taking them. taken: the forms of the others."""

    def __init__(self) -> None:
        self.script: deque[Says | str] = deque()
        self.taken: list[dict[str, str]] = []
        self.asked: list[tuple[str, str | None]] = []
        self.arrived = asyncio.Semaphore(0)
        self.over = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((request.path, request.headers.get("Authorization")))
        self.arrived.release()
        say = self.script.popleft() if self.script else None
        if say == CUT:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if say == SILENT:
            await self.over.wait()
            return web.Response()
        if isinstance(say, Says):
            if isinstance(say.body, str):
                return web.Response(status=say.status, text=say.body, headers=say.headers)
            return web.json_response(say.body, status=say.status, headers=say.headers)
        self.taken.append(form)
        sid = f"SM{len(self.taken):032x}"
        return web.json_response({"sid": sid, "status": "queued", "error_code": None}, status=201)


@contextlib.asynccontextmanager
async def serve_twilio() -> AsyncIterator[FakeTwilio]:
    fake = FakeTwilio()
    app = web.Application()
    app.router.add_post("/2010-04-01/Accounts/{sid}/Messages.json", fake.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        fake.over.set()
        await runner.cleanup()


def inbound(text: str = "", sid: str = "SM" + "1" * 32, phone: str = "+4915112345678", **more: str) -> dict[str, str]:
    """The form of a message as Twilio tells it."""
    return {
        "MessageSid": sid,
        "AccountSid": SID,
        "From": f"whatsapp:{phone}",
        "To": SENDER,
        "WaId": phone.removeprefix("+"),
        "ProfileName": "Dana",
        "Body": text,
        "NumMedia": "0",
        **more,
    }


def signed(url: str, form: Mapping[str, Any], *, token: str = TOKEN) -> dict[str, str]:
    """The headers of a form that was signed for a URL."""
    signature = RequestValidator(token).compute_signature(url, form)
    return {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}


def encoded(form: Mapping[str, Any]) -> bytes:
    return urlencode(form, doseq=True).encode()
