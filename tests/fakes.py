"""Stand-ins that tests share: a clock, a sender that answers as it is told, mail servers that behave and misbehave."""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiosmtpd.smtp import SMTP, Envelope, Session

from channels.sending import Outgoing, SendOutcome, Sent


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, at: datetime = datetime(2026, 3, 2, 9, tzinfo=UTC)):
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, *, hours: float = 0, seconds: float = 0) -> None:
        self.at += timedelta(hours=hours, seconds=seconds)


class ScriptedSender:
    """Gives the outcomes it was made with, one a message, then `Sent` for ever; keeps what it was handed.

    Attributes: gate: while it is clear, nobody is answered. arrived: to be acquired once for each message handed over.
    """

    def __init__(self, *outcomes: SendOutcome):
        self.outcomes = deque(outcomes)
        self.given: list[Outgoing] = []
        self.under_way = self.most_under_way = 0
        self.arrived = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def ids(self) -> list[str]:
        return [outgoing.message_id for outgoing in self.given]

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        self.given.append(outgoing)
        self.under_way += 1
        self.arrived.release()
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        return self.outcomes.popleft() if self.outcomes else Sent(f"provider-{outgoing.message_id}")

    async def close(self) -> None:
        return None


class Mail(NamedTuple):
    sender: str
    to: Sequence[str]
    raw: bytes


class Mailbox:
    """The handler of an aiosmtpd server: keeps mails, answers as it is told.

    Attributes: answers: per hook (`rcpt`, `data`), what to say to the next ones instead of yes.
    """

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.connections = 0
        self.answers: dict[str, deque[str]] = defaultdict(deque)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers["rcpt"]:
            return self.answers["rcpt"].popleft()
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers["data"]:
            return self.answers["data"].popleft()
        assert isinstance(envelope.original_content, bytes)
        self.mails.append(Mail(str(envelope.mail_from), tuple(map(str, envelope.rcpt_tos)), envelope.original_content))
        return "250 2.0.0 taken"


@contextlib.asynccontextmanager
async def serve_mail(mailbox: Mailbox, *, port: int = 0) -> AsyncIterator[int]:
    """Run a real SMTP server (aiosmtpd) on this loop; yields its port."""
    loop = asyncio.get_running_loop()
    made: list[SMTP] = []

    def connected() -> SMTP:
        mailbox.connections += 1
        made.append(SMTP(mailbox, hostname="mail.test", ident="test", loop=loop, enable_SMTPUTF8=False))
        return made[-1]

    server = await loop.create_server(connected, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for protocol in made:
            if protocol.transport is not None:
                protocol.transport.close()
        await server.wait_closed()
        await asyncio.sleep(0)


CUT = "cut"
"""Close the connection instead of answering."""
SILENT = "silent"
"""Never answer."""


class WilfulSmtp:
    """Just enough SMTP to misbehave in ways in which a proper server cannot.

    Attributes: script: per step (`connect`, `EHLO`, `MAIL`, `RCPT`, `DATA`, `text`, `dot`, `RSET`, `NOOP`), what to do
    the next times instead of going on: an answer, `CUT` or `SILENT`. `text` comes before the text is read, `dot` when
    all of it is there. taken: the text of every mail whose last dot was seen and that was not refused.
    """

    def __init__(self) -> None:
        self.script: dict[str, deque[str | bytes]] = defaultdict(deque)
        self.seen: list[str] = []
        self.taken: list[bytes] = []
        self.connections = self.open = self.most_open = self.port = 0
        self._writers: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._server: asyncio.Server | None = None

    def will(self, step: str, *actions: str | bytes) -> None:
        self.script[step].extend(actions)

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            await self.hang_up()
            await self._server.wait_closed()
            self._server = None

    async def hang_up(self) -> None:
        """Cut every connection; new ones are welcome."""
        talks = [talk for talk in self._writers.values() if talk is not None]
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = asyncio.current_task()
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if await self._answer("connect", "220 mail.test", reader, writer):
                while await self._obey(reader, writer):
                    pass
        self.open -= 1
        del self._writers[writer]
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one command; False when the connection is to end."""
        verb = (await reader.readline()).split(b" ")[0].strip().decode().upper()
        self.seen.append(verb)
        if verb in {"", "QUIT"}:
            return False
        if verb != "DATA":
            return await self._answer(verb, "250 2.0.0 ok", reader, writer) is not None
        return await self._take(reader, writer)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        answer = await self._answer("DATA", "354 go on", reader, writer)
        if answer is None or not answer.startswith(b"354"):
            return answer is not None
        if self.script["text"] and await self._answer("text", "", reader, writer) is None:
            return False
        text = await reader.readuntil(b"\r\n.\r\n")
        refused = self.script["dot"] and str(self.script["dot"][0])[:1] in {"4", "5"}
        if not refused:
            self.taken.append(text)
        return await self._answer("dot", "250 2.0.0 taken", reader, writer) is not None

    async def _answer(
        self, step: str, usual: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        action = self.script[step].popleft() if self.script[step] else usual
        if action == SILENT:
            await reader.read()  # until the other side gives up
        if action in {CUT, SILENT}:
            return None
        answer = action if isinstance(action, bytes) else action.encode()
        writer.write(answer + b"\r\n")
        await writer.drain()
        return answer
