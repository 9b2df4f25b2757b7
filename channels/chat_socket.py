"""One open web socket: frames in, one by one; frames out through a queue, so that slow readers hold up nobody."""

import asyncio
import contextlib
from typing import Any

import orjson
import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import ValidationError

from channels.chat import Chat, Guest
from channels.chat_frames import FRAMES, Frame, Hello, Said, SocketQuery, error_frame, shown
from tracker.errors import Fault, Invalid, LeadlineError, Malformed
from tracker.model import faults

MOST_BYTES = 64 * 1024
"""A longer frame ends the connection."""
HEARTBEAT = 25
"""Seconds: shorter than what proxies and phone networks take for silence."""
BACKLOG = 200
"""Frames that a client may leave unread before it is let go; it reads them from the store when it is back."""

log = structlog.get_logger()


class ChatSocket:
    def __init__(self, chat: Chat, address: str | None, query: SocketQuery):
        """Args: query: stands in for a hello that does not come."""
        self._chat, self._address, self._query = chat, address, query
        self._guest: Guest | None = None
        self.ends = False
        self._socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=MOST_BYTES, compress=False)
        self._out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(BACKLOG)

    def push(self, frame: dict[str, Any]) -> None:
        if self._out.full():
            self.end()
        elif not self.ends:
            self._out.put_nowait(frame)

    def end(self) -> None:
        if not self.ends:
            self.ends = True
            if self._out.full():
                self._out.get_nowait()
            self._out.put_nowait(None)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk until one of us leaves."""
        await self._socket.prepare(request)
        writer = asyncio.create_task(self._write())
        self._chat.hub.present.add(self)
        try:
            async for message in self._socket:
                if message.type is WSMsgType.ERROR:
                    break
                await self._take(message.data if message.type is WSMsgType.TEXT else None)
        finally:
            self._chat.hub.present.discard(self)
            if self._guest is not None:
                self._chat.hub.leave(self._guest.thread, self)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return self._socket

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while (frame := await self._out.get()) is not None:
                await self._socket.send_str(orjson.dumps(frame).decode())
            await self._socket.close(code=WSCloseCode.GOING_AWAY)

    async def _take(self, text: str | None) -> None:
        """Answer one frame; whatever is wrong with it is told, and the connection stays."""
        frame = None
        try:
            frame = parse(text)
            await self._answer(frame)
        except LeadlineError as error:
            self.push(error_frame(error, frame.id if isinstance(frame, Said) else None))
        except Exception:
            log.exception("a chat frame could not be answered")
            ours = LeadlineError("something went wrong on our side; it has been logged")
            self.push(error_frame(ours, frame.id if isinstance(frame, Said) else None))

    async def _answer(self, frame: Frame) -> None:
        if isinstance(frame, Hello):
            await self._greet(frame.product or self._query.product, frame.visitor, frame.token)
        elif isinstance(frame, Said):
            guest = self._guest
            if guest is None:
                guest = await self._greet(self._query.product, self._query.visitor, self._query.token)
            await self._chat.say(guest, frame, self)

    async def _greet(self, product_id: str | None, visitor: str | None, token: str | None) -> Guest:
        self._chat.throttle.address(self._address)
        guest = await self._chat.welcome(product_id, visitor, token)
        if self._guest is not None:
            self._chat.hub.leave(self._guest.thread, self)
        self._guest = guest
        self._chat.hub.join(guest.thread, self)  # before the history is read: better twice than never
        history = [shown(line) for line in await self._chat.history(guest)]
        product = {"product_id": guest.product.product_id, "name": guest.product.name}
        known = {"visitor": guest.visitor, "token": guest.token, "product": product, "history": history}
        self.push({"type": "welcome", **known})
        return guest


def parse(text: str | None) -> Frame:
    """Raises: Malformed: not JSON. Invalid: not a frame that a client sends."""
    if text is None:
        raise Malformed("frames are JSON text")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the frame is not JSON: {error}") from error
    try:
        return FRAMES.validate_python(value)
    except ValidationError as error:
        wanted = [Fault(fault.path or "type", fault.message) for fault in faults(error)]
        raise Invalid("the frame is not as documented", *wanted) from error
