"""Twilio's webhooks. What is not signed by Twilio is refused, whatever it is."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import orjson
from aiohttp import web
from multidict import MultiDict
from pydantic import BaseModel, ConfigDict
from twilio.request_validator import RequestValidator

from channels.callbacks import Callbacks
from channels.heard import Unreadable
from channels.inbox import Inbox
from tracker.errors import Forbidden, Invalid, Malformed, UnsupportedMedia
from tracker.model import Input
from tracker.web import Answer, Call, Media, Route

SIGNATURE = "X-Twilio-Signature"
NOTHING = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""TwiML that says: send no answer of your own."""

TWIML = Media("text/xml")
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
FIELDS = 1000


class SignedQuery(Input):
    """Anything goes: the signature covers it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bodySHA256: str | None = None  # noqa: N815 - Twilio's name


class StatusQuery(SignedQuery):
    message_id: str | None = None


class TwilioForm(BaseModel):
    """Twilio's fields; every other one is kept, too."""

    model_config = ConfigDict(extra="allow")

    MessageSid: str
    From: str | None = None
    To: str | None = None
    Body: str | None = None
    MessageStatus: str | None = None


class TwilioRoutes:
    def __init__(
        self, inbox: Inbox, callbacks: Callbacks, *, wake: Callable[[], None], auth_token: str | None, base_url: str
    ):
        """Args: wake: called when something came in. auth_token: what Twilio signs with; None: everything is refused.
        base_url: how Twilio reaches us.
        """
        self._inbox, self._callbacks, self._wake = inbox, callbacks, wake
        self._signatures = Signatures(auth_token, base_url) if auth_token else None

    def routes(self) -> list[Route]:
        more: dict[str, Any] = {"form": TwilioForm, "errors": (400, 403, 413, 415)}
        return [
            Route("POST", "/webhooks/twilio/whatsapp", None, self.whatsapp, "A WhatsApp message, signed by Twilio",
                  {200: TWIML}, query=SignedQuery, **more),
            Route("POST", "/webhooks/twilio/status", None, self.status, "What became of a message, signed by Twilio",
                  {200: TWIML}, query=StatusQuery, **more),
        ]  # fmt: skip

    async def whatsapp(self, call: Call[None, Any]) -> Answer:
        """A repeat is answered as the first was. Nothing is answered before it is kept."""
        fields = await self._fields(call.request)
        try:
            new = await self._inbox.take({name: _plain(fields.getall(name)) for name in fields})
        except Unreadable as error:
            raise Invalid(f"this is no message: {error}") from error
        if new:
            self._wake()
        return Answer(body=NOTHING, content_type="text/xml")

    async def status(self, call: Call[None, StatusQuery]) -> Answer:
        """A status of no message of ours is answered as well: Twilio would tell it again and again."""
        fields = await self._fields(call.request)
        provider_id = fields.get("MessageSid") or fields.get("SmsSid") or ""
        status = (fields.get("MessageStatus") or fields.get("SmsStatus") or "").lower()
        message_id = call.query.message_id
        if message_id and provider_id and len(message_id) <= 500 and message_id.isprintable():
            code = (fields.get("ErrorCode") or "")[:20] or None
            to = (fields.get("To") or "").removeprefix("whatsapp:")[:100] or None
            await self._callbacks.take(message_id, provider_id[:100], status, code, to=to)
        return Answer(body=NOTHING, content_type="text/xml")

    async def _fields(self, request: web.Request) -> MultiDict[str]:
        """Return the fields of a request that Twilio signed.

        Raises: Forbidden: it is not signed so. Malformed, UnsupportedMedia: it is no form.
        """
        signature = request.headers.get(SIGNATURE)
        if self._signatures is None or not signature:
            raise Forbidden("only Twilio may call this address, and signs its calls")
        try:
            raw = await request.read()
        except web.RequestPayloadError as error:
            raise Malformed("the body cannot be read as its Content-Encoding says") from error
        text = _text(raw)
        if request.content_type == JSON:
            return self._signatures.of_json(request.raw_path, text, signature)
        if request.content_type not in {FORM, "application/octet-stream"}:
            raise UnsupportedMedia(f"send a form with Content-Type: {FORM}")
        return self._signatures.of_form(request.raw_path, text, signature)


class Signatures:
    """Checks what Twilio signed: the address as Twilio knows it, and every field."""

    def __init__(self, auth_token: str, base_url: str):
        self._validator, self._base = RequestValidator(auth_token), base_url.rstrip("/")

    def of_form(self, path: str, text: str, signature: str) -> MultiDict[str]:
        """Return the fields of a form. Args: path: with its query, as it was asked for.

        Raises: Forbidden. Malformed.
        """
        try:
            fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
        except ValueError as error:
            raise Malformed("the form cannot be decoded") from error
        form = MultiDict(fields)
        self._check(path, form, signature)
        return form

    def of_json(self, path: str, text: str, signature: str) -> MultiDict[str]:
        """Return the fields of a JSON body, whose hash the signed address names. Raises: Forbidden. Malformed."""
        if "bodySHA256" not in parse_qs(urlsplit(path).query):
            raise Forbidden("the signature does not cover the body")
        self._check(path, text, signature)
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Malformed(f"the body is not JSON: {error}") from error
        if not isinstance(given, dict):
            raise Malformed("the body is no JSON object")
        return MultiDict({name: value if isinstance(value, str) else _json(value) for name, value in given.items()})

    def _check(self, path: str, params: Mapping[str, str] | str, signature: str) -> None:
        try:
            valid = self._validator.validate(self._base + path, params, signature)
        except ValueError:  # an address or a field that no signature can cover
            valid = False
        if not valid:
            raise Forbidden("the signature is not Twilio's for this address and these fields; see LEADLINE_PUBLIC_URL")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error


def _json(value: Any) -> str:
    return "" if value is None else orjson.dumps(value).decode()


def _plain(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
