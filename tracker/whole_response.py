"""A response whose bytes are known, written at once."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

PHRASES = {status.value: status.phrase for status in HTTPStatus}


class WholeResponse(web.Response):
    """A `web.Response` with a body of bytes that costs a third: its head is one string, sent together with the body.

    So it goes where nothing but the content type has to be said to a client that keeps its connection, which is nearly
    always. Everything else (more headers, HEAD, HTTP/1.0, `Connection: close`) is left to aiohttp.
    """

    _is_written = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Raises: ConnectionResetError: the client went away."""
        if self._is_written:
            return None
        if len(self.headers) != 1 or not _is_usual(request):
            return await super().prepare(request)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client went away")
        body = self.body
        assert isinstance(body, bytes)
        transport.write(_head(self.status, self.headers["Content-Type"], len(body), int(time.time())) + body)
        self._is_written = True
        await request.writer.drain()  # waits where the client reads too slowly
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if not self._is_written:
            await super().write_eof(data)

    @property
    def prepared(self) -> bool:
        return self._is_written or super().prepared

    @property
    def keep_alive(self) -> bool | None:
        return self._is_written or super().keep_alive


def _is_usual(request: web.BaseRequest) -> bool:
    return request.version == HttpVersion11 and request.keep_alive and request.method != "HEAD"


def _head(status: int, content_type: str, length: int, second: int) -> bytes:
    return (
        f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\nDate: {_date(second)}\r\n\r\n"
    ).encode()


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
