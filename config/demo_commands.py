"""`leadline demo`: plays the world outside, to try a running server."""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from config import feed_command
from config.settings import Settings
from tracker.errors import Fault, LeadlineError
from tracker.identity import phone_number

TOKEN_FILE = "twilio_token"  # noqa: S105 - a file name
PATH = "/webhooks/twilio/whatsapp"
WAIT_SECONDS = 15
MORE_SECONDS = 0.5
"""How long to look for another message behind the first one."""


class NoAnswer(LeadlineError):
    """The server did not take what the demo sent."""


class Letter(NamedTuple):
    """A request as Twilio makes it."""

    url: str
    form: dict[str, str]
    signature: str


def add(sub: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the `demo` commands. Args: sub: the subparsers of the main parser. command: makes one, as `__main__` does."""
    demo = sub.add_parser("demo", help="Play the world outside, to try a running server.").add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    text = "Write to the server by WhatsApp, as Twilio would tell it, and print what it answers."
    whatsapp = command("whatsapp", text, 'leadline demo whatsapp +4915112345678 "What does it cost?"', demo)
    whatsapp.add_argument("phone", help="who writes: a number with its country code")
    whatsapp.add_argument("text", help="what they write")
    whatsapp.add_argument("--host", default="127.0.0.1", help="where the server listens (default 127.0.0.1)")
    whatsapp.add_argument("--port", type=int, default=8080, help="its port (default 8080)")
    whatsapp.set_defaults(run=run_whatsapp)
    feed_command.add(demo, command)


def run_whatsapp(settings: Settings, arguments: argparse.Namespace) -> int:
    """Raises: LeadlineError: the server is not there, or did not take the message."""
    try:
        phone = phone_number(arguments.phone)
    except ValueError as error:
        raise LeadlineError(f"{arguments.phone} {error}") from error
    local = f"http://{arguments.host}:{arguments.port}"
    letter = letter_of(phone, arguments.text, signed_for=settings.public_url or local, settings=settings)
    return asyncio.run(_write(letter._replace(url=local + PATH), phone, settings))


def letter_of(phone: str, text: str, *, signed_for: str, settings: Settings) -> Letter:
    """Return a message as Twilio tells it. Raises: LeadlineError: nothing to sign it with."""
    from twilio.request_validator import RequestValidator

    digits = phone.removeprefix("+")
    sid = f"SM{secrets.token_hex(16)}"
    form = {
        "MessageSid": sid,
        "SmsMessageSid": sid,
        "SmsStatus": "received",
        "AccountSid": settings.twilio_account_sid or "AC" + "0" * 32,
        "From": f"whatsapp:{phone}",
        "To": settings.twilio_whatsapp_from or "whatsapp:+14155238886",
        "WaId": digits,
        "ProfileName": "Demo",
        "Body": text,
        "NumMedia": "0",
        "MessageType": "text",
        "ApiVersion": "2010-04-01",
    }
    signature = RequestValidator(_token(settings)).compute_signature(signed_for + PATH, form)
    return Letter(signed_for + PATH, form, signature)


def _token(settings: Settings) -> str:
    if settings.twilio is not None:
        return settings.twilio.auth_token
    path = settings.data / TOKEN_FILE
    if not path.exists():
        detail = f"{path} is not there: start the server first, with `leadline serve --demo` and the same data folder"
        raise LeadlineError(detail, Fault(str(path), "is missing"))
    return path.read_text().strip()


async def _write(letter: Letter, phone: str, settings: Settings) -> int:
    outbox = settings.outbox
    before = frozenset(outbox.glob("*.json"))
    await _post(letter)
    if settings.twilio is not None:
        print("taken; the answer goes out through Twilio")
        return 0
    texts = await asyncio.to_thread(_answers, outbox, before, phone)
    if not texts:
        print(f"taken; no answer in {outbox} within {WAIT_SECONDS} s", file=sys.stderr)
        return 1
    print("\n".join(texts))
    return 0


async def _post(letter: Letter) -> None:
    """Raises: NoAnswer."""
    from aiohttp import ClientError, ClientSession, ClientTimeout

    headers = {"X-Twilio-Signature": letter.signature, "Content-Type": "application/x-www-form-urlencoded"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=15)) as session,
            session.post(letter.url, data=urlencode(letter.form), headers=headers) as got,
        ):
            status, told = got.status, await got.text()
    except (ClientError, TimeoutError) as error:
        raise NoAnswer(f"nobody answers at {letter.url}: {str(error) or 'time-out'}; give --host and --port") from error
    if status != 200:
        raise NoAnswer(f"the server answered {status}: {told[:300]}")


def _answers(outbox: Path, before: frozenset[Path], phone: str) -> list[str]:
    """Return the texts of new messages to a phone, once none has come for a moment."""
    end, texts = time.monotonic() + WAIT_SECONDS, list[str]()
    while time.monotonic() < end:
        found = [_text(path, phone) for path in sorted(frozenset(outbox.glob("*.json")) - before, key=_age)]
        now = [text for text in found if text is not None]
        if now and len(now) == len(texts):
            return now
        texts = now
        time.sleep(MORE_SECONDS if texts else 0.1)
    return texts


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _text(path: Path, phone: str) -> str | None:
    """Return the text of a message to a phone; None for another's, or one that is still being written."""
    try:
        message = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return None
    to = str(message.get("to", "")).removeprefix("+")
    return str(message.get("text", "")) if to == phone.removeprefix("+") else None
