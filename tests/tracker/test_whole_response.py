"""Answers written at once say on the wire what aiohttp's own would say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tracker.whole_response import WholeResponse

Exchange = Callable[..., Awaitable[tuple[str, bytes]]]


@pytest_asyncio.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """Sends raw requests, and returns the first head and all that follows until the server closes."""

    async def usual(_: web.Request) -> web.Response:
        return WholeResponse(body=b'{"a":1}', status=202, headers={"Content-Type": "application/json"})

    async def tagged(_: web.Request) -> web.Response:
        return WholeResponse(body=b"{}", headers={"Content-Type": "application/json", "ETag": '"3"'})

    async def gone(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(0)
        return await usual(request)

    app = web.Application()
    app.router.add_route("*", "/usual", usual)
    app.router.add_route("*", "/tagged", tagged)
    app.router.add_route("*", "/gone", gone)
    async with TestServer(app) as server:

        async def exchange(request: str) -> tuple[str, bytes]:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(request.replace("\n", "\r\n").encode())
            answer = await reader.read()
            writer.close()
            head, _, body = answer.partition(b"\r\n\r\n")
            return head.decode(), body

        yield exchange


LAST = "GET /usual HTTP/1.1\nHost: x\nConnection: close\n\n"


@pytest.mark.parametrize("path", ["/usual", "/tagged"])
async def test_a_connection_is_kept_and_every_answer_is_whole(exchange: Exchange, path: str) -> None:
    """Two requests at once on one connection get two answers in order, with length, type and date."""
    head, rest = await exchange(f"GET {path} HTTP/1.1\nHost: x\n\n" + LAST)
    assert head.startswith("HTTP/1.1 20")
    assert {"Content-Type", "Content-Length", "Date"} <= {line.partition(":")[0] for line in head.splitlines()[1:]}
    assert ('ETag: "3"' in head) is (path == "/tagged")
    first, _, second = rest.partition(b"HTTP/1.1 202 Accepted\r\n")
    assert first == (b'{"a":1}' if path == "/usual" else b"{}")
    assert b"Connection: close\r\n" in second
    assert second.endswith(b'{"a":1}')


async def test_head_has_no_body(exchange: Exchange) -> None:
    """HEAD is told the length and nothing more."""
    head, rest = await exchange("HEAD /usual HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert (head.splitlines()[0], rest) == ("HTTP/1.1 202 Accepted", b"")


async def test_an_old_client_is_answered_and_left(exchange: Exchange) -> None:
    """HTTP/1.0 closes by itself."""
    head, rest = await exchange("GET /usual HTTP/1.0\n\n")
    assert (head.splitlines()[0], rest) == ("HTTP/1.0 202 Accepted", b'{"a":1}')


async def test_a_client_that_went_away_harms_nobody(exchange: Exchange) -> None:
    """Its answer is dropped; the next one is served."""
    with contextlib.suppress(ConnectionError):
        assert await exchange("GET /gone HTTP/1.1\nHost: x\n\n") == ("", b"")
    assert (await exchange(LAST))[1] == b'{"a":1}'
