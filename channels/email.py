"""E-mail through SMTP, over a few kept connections."""

import asyncio
import contextlib
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate, parseaddr
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent, Uncertain

POLICY = SMTP_POLICY.clone(cte_type="7bit")
"""Every server takes 7-bit mail; which ones take more is known only when connected."""

CONNECTIONS = 4
IDLE_SECONDS = 30
"""A connection unused for longer is opened anew: servers close idle ones, and that must not look like a failure."""


class SmtpUrl(NamedTuple):
    host: str
    port: int
    tls: bool
    starttls: bool
    user: str | None
    password: str | None


def parse_url(url: str) -> SmtpUrl:
    """Read `smtp[s]://user:pass@host:port?starttls=1`. Raises: ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("wants smtp[s]://user:pass@host:port?starttls=1")
    tls = parts.scheme == "smtps"
    starttls = parse_qs(parts.query).get("starttls", ["0"])[-1] in {"1", "true"}
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return SmtpUrl(parts.hostname, parts.port or (465 if tls else 587 if starttls else 25), tls, starttls, user, password)


def compose(outgoing: Outgoing, *, sender: str, date: float | None = None) -> EmailMessage:
    """Return the mail. Its Message-ID follows from the message's id, so that receivers and bounces name it."""
    mail = EmailMessage(policy=POLICY)
    name, address = parseaddr(outgoing.sender or sender)
    mail["From"] = Address(name, addr_spec=address)
    mail["To"] = Address(addr_spec=outgoing.to)
    mail["Subject"] = outgoing.content.subject
    mail["Date"] = formatdate(date)
    mail["Message-ID"] = message_id(outgoing.message_id, address)
    if outgoing.reply_to:
        mail["Reply-To"] = outgoing.reply_to
    if outgoing.unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{outgoing.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail["Precedence"] = "bulk"
    mail.set_content(outgoing.content.text)
    if outgoing.content.html:
        mail.add_alternative(outgoing.content.html, subtype="html")
    return mail


def message_id(id: str, sender_address: str) -> str:
    return f"<{id}@{sender_address.rpartition('@')[2] or 'localhost'}>"


class SmtpSender:
    """Sends over a pool of kept connections; one that broke is opened anew for the next mail."""

    def __init__(self, url: str, *, sender: str, timeout: float = 15):
        """Raises: ValueError: `url` is no SMTP address."""
        self._to, self._sender, self._timeout = parse_url(url), sender, timeout
        self._idle: list[tuple[float, SMTP]] = []
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        try:
            mail = compose(outgoing, sender=self._sender)
            raw = mail.as_bytes()
        except (ValueError, LookupError, MessageError) as error:
            return Refused(f"the mail cannot be written: {error}", bounced=False)
        _, envelope_from = parseaddr(outgoing.sender or self._sender)
        async with self._room:
            try:
                client = await self._connected()
            except SMTPResponseException as error:
                return Later(f"{error.code} {error.message}")
            except (SMTPException, OSError, TimeoutError) as error:
                return Later(f"the mail server cannot be reached: {error}")
            refusal = await self._deliver(client, envelope_from, outgoing.to, raw)
            if client.is_connected:
                self._idle.append((asyncio.get_running_loop().time(), client))
            return refusal or Sent(str(mail["Message-ID"]).strip("<>"))

    async def _connected(self) -> SMTP:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, client = self._idle.pop()
            if client.is_connected and now - since < IDLE_SECONDS:
                return client
            client.close()
        context = ssl.create_default_context()
        to = self._to
        client = SMTP(
            hostname=to.host,
            port=to.port,
            use_tls=to.tls,
            start_tls=to.starttls,
            tls_context=context,
            timeout=self._timeout,
            username=to.user,
            password=to.password,
        )
        await client.connect()
        return client

    async def _deliver(self, client: SMTP, sender: str, to: str, raw: bytes) -> SendOutcome | None:
        """Run one mail transaction; None when the server took the mail. Until the text of the mail goes out, whatever fails has sent nothing."""
        try:
            await client.mail(sender)
            await client.rcpt(to)
        except SMTPResponseException as error:
            await _reset(client)
            return _answered(error)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Later(f"the connection broke before the mail was sent: {error}")
        try:
            await client.data(raw)
        except SMTPResponseException as error:
            await _reset(client)
            return _answered(error)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Uncertain(f"the connection broke while the mail was sent: {error}")
        return None

    async def close(self) -> None:
        for _, client in self._idle:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await client.quit()
        self._idle.clear()


async def _reset(client: SMTP) -> None:
    with contextlib.suppress(SMTPException, OSError, TimeoutError):
        await client.rset()


MAILBOX_GONE = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
"""Enhanced codes that say that the address itself is bad (RFC 3463)."""


def _answered(error: SMTPResponseException) -> SendOutcome:
    """An SMTP answer is definite: 4xx asks to come again, 5xx refuses for good."""
    code, message = error.code, error.message
    text = f"{code} {message}"
    if 400 <= code < 500:
        return Later(text)
    enhanced = message.split(" ", 1)[0]
    bounced = enhanced in MAILBOX_GONE or (code in {550, 551, 553} and not enhanced.startswith("5.7"))
    return Refused(text, bounced=bounced)

