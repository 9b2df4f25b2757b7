"""`/outbox`: the messages that the demo wrote, to be read in the browser. Only in a demo that only this machine
reaches."""

import asyncio
import email
import heapq
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from config.demo import Demo
from config.here import asks_here
from tracker.desk.layout import filters
from tracker.errors import NotFound
from tracker.pages import CSP, HEADERS, Pages
from tracker.times import Instant, instant
from tracker.web import Answer, Call, Media, Route

SHOWN = 50
NAME = re.compile(r"[A-Za-z0-9][\w.:~-]{0,199}\.(eml|json)", re.ASCII)
FRAME = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""What a mail may do: look like itself, show its picture of one pixel, and open links in new tabs. No script."""


class Letter(NamedTuple):
    """A message as it was written. Attributes: name: of its file. html: None where it has only text."""

    name: str
    at: Instant
    channel: str
    to: str
    sender: str
    subject: str
    text: str
    html: str | None


class OutboxRoutes:
    def __init__(self, demo: Demo, clock: Callable[[], datetime]):
        self._demo, self._folder = demo, demo.outbox
        self._pages = Pages("config", filters(clock))

    def routes(self) -> list[Route]:
        page = {200: Media("text/html")}
        return [
            Route("GET", "/outbox", None, self.list, "The messages that the demo wrote", page, errors=(404,)),
            Route("GET", "/outbox/{name}", None, self.one, "A message that the demo wrote", page),
            Route("GET", "/outbox/{name}/html", None, self.html, "The HTML of a mail, to be framed", page),
        ]

    async def list(self, call: Call[None, Any]) -> Answer:
        self._demand_here(call)
        letters, more = await asyncio.to_thread(newest, self._folder, SHOWN)
        return self._pages.show("outbox.html", letters=letters, more=more, folder=self._folder)

    async def one(self, call: Call[None, Any]) -> Answer:
        answer = self._pages.show("letter.html", letter=await self._letter(call))
        answer.headers = {**HEADERS, "Content-Security-Policy": f"{CSP}; frame-src 'self'"}
        return answer

    async def html(self, call: Call[None, Any]) -> Answer:
        letter = await self._letter(call)
        if letter.html is None:
            raise NotFound("this message has no HTML")
        headers = {**HEADERS, "Content-Security-Policy": FRAME}
        return Answer(200, in_new_tabs(letter.html).encode(), headers, "text/html; charset=utf-8")

    async def _letter(self, call: Call[None, Any]) -> Letter:
        """Raises: NotFound."""
        self._demand_here(call)
        name = call.path["name"]
        letter = await asyncio.to_thread(read, self._folder / name) if NAME.fullmatch(name) else None
        if letter is None:
            raise NotFound("there is no such message in the outbox")
        return letter

    def _demand_here(self, call: Call[None, Any]) -> None:
        """Raises: NotFound: whoever asks may be somewhere else."""
        if not asks_here(call.request.host):
            raise NotFound("the outbox is shown on this machine only")


def newest(folder: Path, count: int) -> tuple[list[Letter], int]:
    """Return the newest messages of a folder, and how many more it has."""
    try:
        found = [(entry.stat().st_mtime, entry.name) for entry in os.scandir(folder) if NAME.fullmatch(entry.name)]
    except FileNotFoundError:
        return [], 0
    letters = [read(folder / name, head=True) for _, name in heapq.nlargest(count, found)]
    return [letter for letter in letters if letter is not None], max(0, len(found) - count)


def read(path: Path, *, head: bool = False) -> Letter | None:
    """Return the message in a file, None where there is none, or it is still being written.

    Args: head: leave the words of a mail out: taking them apart is most of the work.
    """
    try:
        raw, at = path.read_bytes(), instant(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    except OSError:
        return None
    if head and path.suffix == ".eml":
        raw = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0] + b"\n\n"
    return _mail(path.name, raw, at) if path.suffix == ".eml" else _other(path.name, raw, at)


def _mail(name: str, raw: bytes, at: Instant) -> Letter | None:
    mail = email.message_from_bytes(raw, policy=policy.default)
    if mail["To"] is None:
        return None
    return Letter(
        name=name,
        at=at,
        channel="email",
        to=str(mail["To"]),
        sender=str(mail["From"] or ""),
        subject=str(mail["Subject"] or ""),
        text=_part(mail, "plain") or "",
        html=_part(mail, "html"),
    )


def _part(mail: EmailMessage, kind: str) -> str | None:
    part = mail.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else None


def _other(name: str, raw: bytes, at: Instant) -> Letter | None:
    try:
        told = orjson.loads(raw)
        to, channel, text = str(told["to"]), str(told["channel"]), str(told.get("text") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    return Letter(name=name, at=at, channel=channel, to=to, sender="", subject="", text=text, html=None)


def in_new_tabs(html: str) -> str:
    """Return a page whose links open in new tabs: the frame around a mail goes nowhere."""
    base = '<base target="_blank">'
    head = re.search(r"<head\b[^>]*>", html, re.IGNORECASE)
    return f"{html[: head.end()]}{base}{html[head.end() :]}" if head else base + html
