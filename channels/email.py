"""E-mail through SMTP, over a few kept connections."""

import asyncio
import contextlib
import re
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import SMTP, SMTPException, SMTPRecipientRefused, SMTPResponseException, SMTPSenderRefused
from email_validator import EmailNotValidError, validate_email

from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent, Uncertain

POLICY = SMTP_POLICY.clone(cte_type="7bit")
"""Every server takes 7-bit mail; which ones take more is known only when connected."""

CONNECTIONS = 4
IDLE_SECONDS = 30
"""A connection unused for longer is opened anew: servers close idle ones, and that must not look like a failure."""

PROBE_SECONDS = 1
"""A connection unused for longer is asked whether it still stands."""

ADDRESSING = 2 / 3
"""The share of the time-out after which a mail must be on its way: what is left is for the server to take it in."""


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
    port = parts.port or (465 if tls else 587 if starttls else 25)
    return SmtpUrl(parts.hostname, port, tls, starttls, user, password)


def compose(outgoing: Outgoing, *, sender: str, date: float | None = None) -> EmailMessage:
    """Return the mail. Its Message-ID follows from the message's id, so that receivers and bounces name it."""
    mail = EmailMessage(policy=POLICY)
    name, address = mailbox(outgoing.sender or sender)
    mail["From"] = Address(name, addr_spec=address)
    mail["To"] = Address(addr_spec=plain(outgoing.to))
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


def mailbox(sender: str) -> tuple[str, str]:
    """Split `Name <mail@host>` or `mail@host`. A comma in the name needs no quotes. Raises: ValueError: no address."""
    name, bracket, address = sender.strip().rpartition("<")
    if bracket and not address.endswith(">"):
        raise ValueError(f"{sender!r} is not `Name <mail@host>`")
    address = plain(address.removesuffix(">").strip())
    if "@" not in address:
        raise ValueError(f"{sender!r} names no mail address")
    return name.strip().strip('"'), address


def plain(address: str) -> str:
    """Return an address in ASCII: a domain with other letters as every server takes it.

    Raises: ValueError: it cannot be written so.
    """
    if address.isascii():
        return address
    try:
        written = validate_email(address, check_deliverability=False, test_environment=True).ascii_email
    except EmailNotValidError as error:
        raise ValueError(f"{address!r} is not a mail address: {error}") from error
    if written is None:
        raise ValueError(f"{address!r} has letters that mail servers do not take")
    return written


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
        """Hand over one mail within the time-out, counted from when a connection is free."""
        try:
            mail = compose(outgoing, sender=self._sender)
            raw = mail.as_bytes()
            _, sender = mailbox(outgoing.sender or self._sender)
            to = plain(outgoing.to)
        except (ValueError, LookupError, MessageError) as error:
            return Refused(f"the mail cannot be written: {error}", bounced=False)
        async with self._room:
            start = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout_at(start + self._timeout * ADDRESSING):
                    client = await self._connected()
            except SMTPResponseException as error:
                return Later(_said(error))
            except (SMTPException, OSError, TimeoutError) as error:
                return Later(f"the mail server cannot be reached: {_told(error)}")
            refusal = await self._deliver(client, sender, to, raw, start=start)
            if client.is_connected:
                self._idle.append((asyncio.get_running_loop().time(), client))
            return refusal or Sent(str(mail["Message-ID"]).strip("<>"))

    async def _connected(self) -> SMTP:
        while self._idle:
            since, client = self._idle.pop()
            stands = False
            try:
                stands = await _stands(client, asyncio.get_running_loop().time() - since)
            finally:
                if not stands:
                    client.close()
            if stands:
                return client
        to = self._to
        client = SMTP(
            hostname=to.host,
            port=to.port,
            use_tls=to.tls,
            start_tls=to.starttls,
            timeout=self._timeout,
            username=to.user,
            password=to.password,
        )
        await client.connect()
        return client

    async def _deliver(self, client: SMTP, sender: str, to: str, raw: bytes, *, start: float) -> SendOutcome | None:
        """Run one mail transaction; None when the server took the mail.

        Until the text of the mail goes out, whatever fails has sent nothing.
        """
        try:
            async with asyncio.timeout_at(start + self._timeout * ADDRESSING):
                await client.mail(sender)
                await client.rcpt(to)
        except SMTPResponseException as error:
            await _reset(client)
            return answered(error) or Later(f"the mail server answered {_said(error)}")
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Later(f"the connection broke before the mail was sent: {_told(error)}")
        try:
            async with asyncio.timeout_at(start + self._timeout):
                await client.data(raw)
        except SMTPResponseException as error:
            await _reset(client)
            return answered(error) or Uncertain(f"the mail server answered {_said(error)}")
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Uncertain(f"the connection broke while the mail was sent: {_told(error)}")
        return None

    async def close(self) -> None:
        for _, client in self._idle:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await client.quit()
        self._idle.clear()


async def _stands(client: SMTP, idle: float) -> bool:
    """Whether a kept connection can be used."""
    if not client.is_connected or idle >= IDLE_SECONDS:
        return False
    if idle < PROBE_SECONDS:
        return True
    with contextlib.suppress(SMTPException, OSError, TimeoutError):
        await client.noop()
        return client.is_connected
    return False


async def _reset(client: SMTP) -> None:
    """Make the connection ready for the next mail, or close it."""
    try:
        async with asyncio.timeout(1):
            await client.rset()
    except (SMTPException, OSError, TimeoutError):
        client.close()


GONE = ("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
"""Enhanced codes that say that the address itself is bad (RFC 3463)."""

ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)")


def answered(error: SMTPResponseException) -> Later | Refused | None:
    """Return what an SMTP answer means: 4xx asks to come again, 5xx refuses for good, anything else is no answer.

    Only a refusal that speaks of the recipient is a bounce: one of the sender or of the text says nothing of the
    address, and must not suppress it.
    """
    if 400 <= error.code < 500:
        return Later(_said(error))
    if not 500 <= error.code < 600:
        return None
    enhanced = ENHANCED.match(error.message)
    at_recipient = isinstance(error, SMTPRecipientRefused)
    if isinstance(error, SMTPSenderRefused):
        bounced = False
    elif enhanced is None or enhanced[0] == "5.0.0":
        bounced = at_recipient and error.code in {550, 551, 553}
    else:
        bounced = enhanced[0] in GONE
    return Refused(_said(error), bounced=bounced)


def _said(error: SMTPResponseException) -> str:
    """The server's own words, at most 500 characters of them, in whatever encoding they came."""
    words = error.message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f"{error.code} {words}"[:500]


def _told(error: BaseException) -> str:
    return str(error) or "time-out"
