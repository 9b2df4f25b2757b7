"""Web chat's rows of the route table: a page to try it, the widget for any site, the web socket, messages over HTTP."""

import hashlib
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

from aiohttp import web

from channels.chat import Chat
from channels.chat_frames import Answered, PageQuery, Post, SocketQuery, Thread, ThreadQuery, shown
from channels.chat_socket import ChatSocket
from tracker.errors import Malformed
from tracker.pages import CSP, HEADERS, Pages
from tracker.web import Answer, Call, Media, Route

SCRIPTS = ("memory.js", "wire.js", "dom.js", "thread.js", "panel.js", "start.js")
OPEN_TO_SITES = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
"""Pages of any site may read what is under /chat/, errors too. No cookie is ever looked at there."""

NOT_KEPT = {"Cache-Control": "no-store"}
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


class WebChatRoutes:
    def __init__(self, chat: Chat, *, base_url: str):
        """Args: base_url: how the world reaches this server."""
        self._chat, self._base = chat, base_url.rstrip("/")
        self._pages = Pages("channels")
        self._script, self._style, self._page_style = widget_script(), _file("widget.css"), _file("page.css")
        self._icon = _file("icon.svg")

    def routes(self) -> list[Route]:
        page, script, css, svg = map(Media, ("text/html", "text/javascript", "text/css", "image/svg+xml"))
        table = [
            Route("GET", "/chat", None, self.page, "A page to try web chat", {200: page}, query=PageQuery),
            Route("GET", "/chat/widget.js", None, self.script, "Web chat for any site, one script tag",
                  {200: script, 304: None}),
            Route("GET", "/chat/widget.css", None, self.style, "How the widget looks", {200: css, 304: None}),
            Route("GET", "/chat/page.css", None, self.page_style, "How the page looks", {200: css, 304: None}),
            Route("GET", "/chat/icon.svg", None, self.icon, "The page's icon", {200: svg, 304: None}),
            Route("GET", "/chat/ws", None, self.socket, "Web chat's web socket", {101: None}, query=SocketQuery,
                  errors=(400, 429)),
            Route("GET", "/chat/messages", None, self.read, "A visitor's thread, for clients without web sockets",
                  {200: Thread}, query=ThreadQuery, errors=(429,)),
            Route("POST", "/chat/messages", None, self.post, "Say something, for clients without web sockets",
                  {200: Answered}, body=Post, errors=(429,)),
            Route("OPTIONS", "/chat/messages", None, self.options, "What other sites may do here", {204: None}),
        ]  # fmt: skip
        return [replace(route, headers=OPEN_TO_SITES) if route.path != "/chat" else route for route in table]

    async def page(self, call: Call[None, PageQuery]) -> Answer:
        product = await self._chat.product(call.query.product)
        answer = self._pages.show("chat.html", product=product, base=self._base)
        return Answer(
            200, answer.body, {**HEADERS, "Content-Security-Policy": policy(call.request)}, answer.content_type
        )

    async def script(self, call: Call[None, Any]) -> Answer:
        return _asset(call.request, self._script, "text/javascript")

    async def style(self, call: Call[None, Any]) -> Answer:
        return _asset(call.request, self._style, "text/css")

    async def page_style(self, call: Call[None, Any]) -> Answer:
        return _asset(call.request, self._page_style, "text/css")

    async def icon(self, call: Call[None, Any]) -> Answer:
        return _asset(call.request, self._icon, "image/svg+xml")

    async def socket(self, call: Call[None, SocketQuery]) -> web.StreamResponse:
        request = call.request
        if not web.WebSocketResponse().can_prepare(request):
            raise Malformed("this address speaks web socket; without one, use /chat/messages")
        self._chat.throttle.address(request.remote)
        return await ChatSocket(self._chat, request.remote, call.query).serve(request)

    async def read(self, call: Call[None, ThreadQuery]) -> Answer:
        self._chat.throttle.address(call.request.remote)
        given = call.query
        guest = await self._chat.welcome(given.product, given.visitor, given.token)
        lines = await self._chat.history(guest, given.after)
        product = {"product_id": guest.product.product_id, "name": guest.product.name}
        body = {"visitor": guest.visitor, "token": guest.token, "messages": [shown(line) for line in lines]}
        return Answer(body={**body, "product": product}, headers=NOT_KEPT)

    async def post(self, call: Call[Post, Any]) -> Answer:
        self._chat.throttle.address(call.request.remote)
        given = call.body
        guest = await self._chat.welcome(given.product_id, given.visitor, given.token)
        lines = await self._chat.say(guest, given)
        body = {"visitor": guest.visitor, "token": guest.token, "messages": [shown(line) for line in lines]}
        return Answer(body=body, headers=NOT_KEPT)

    async def options(self, _: Call[None, Any]) -> Answer:
        allowed = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "Content-Type"}
        return Answer(204, headers={**allowed, "Access-Control-Max-Age": "86400"})

    def attach(self, app: web.Application) -> None:
        """Do what concerns more than one row of the table."""
        app.on_shutdown.append(self._close)

    async def _close(self, _: web.Application) -> None:
        self._chat.hub.close()


def policy(request: web.Request) -> str:
    """The page's Content-Security-Policy: scripts and connections of this very host. Not every browser counts a web
    socket as 'self'."""
    connect = "connect-src 'self'"
    if HOST.fullmatch(request.host):
        connect += f" ws://{request.host} wss://{request.host}"
    return f"{CSP}; script-src 'self'; {connect}"


def widget_script() -> bytes:
    """The widget's files as one script that leaves no name behind."""
    parts = "\n".join(_file(name).decode() for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n\n{parts}}})();\n'.encode()


def _file(name: str) -> bytes:
    return files("channels").joinpath("widget", name).read_bytes()


def _asset(request: web.Request, content: bytes, kind: str) -> Answer:
    """A file that browsers keep for five minutes and then ask about."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}
    if tag in request.headers.get("If-None-Match", ""):
        return Answer(304, headers=headers)
    return Answer(body=content, content_type=f"{kind}; charset=utf-8", headers=headers)
