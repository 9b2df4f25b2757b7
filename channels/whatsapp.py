"""WhatsApp through Twilio."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    TCPConnector,
    encode_basic_auth,
)
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent, Uncertain
from channels.twilio_errors import answered, refused

HOSTS = frozenset({"api.twilio.com"})
"""Where the client may call; with another address in the settings, what is called instead."""

LONGEST = 1600
"""Characters that WhatsApp takes in one message through Twilio."""

IDLE_SECONDS = 5
"""A connection unused for longer is opened anew: one that the other side just closed would look like a lost answer."""

CONNECTING = 2 / 3
"""The share of the time-out within which a connection must stand."""


class NotTwilio(Exception):
    """The client was about to call a host that is not Twilio's."""


class Answered(Exception):
    """Twilio answered, and not with success. Attributes: after: seconds that it asks to wait."""

    def __init__(self, status: int, code: int | None, words: str, after: float | None):
        super().__init__(f"{status} {words}")
        self.status, self.code, self.words, self.after = status, code, words, after


class TwilioHttp(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The SDK's way to the network: a time-out for each request, no repeats, no other hosts, no lost Retry-After."""

    def __init__(self, *, api_url: str | None = None, timeout: float = 15):
        """Args: api_url: what is called instead of Twilio's API. timeout: seconds for a whole request."""
        super().__init__(pool_connections=False)
        self.session: ClientSession | None = None  # made at the first call, when a loop runs
        self._api_url = urlsplit(api_url) if api_url else None
        self._limits = ClientTimeout(total=timeout, connect=timeout * CONNECTING)

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the SDK's signature
        allow_redirects: bool = False,
    ) -> Response:
        """Call Twilio once.

        Raises: NotTwilio. Answered: it did not say yes. ClientError, TimeoutError: it could not be asked, or did not
            answer.
        """
        target = self._target(url)
        if self.session is None:
            self.session = ClientSession(connector=TCPConnector(keepalive_timeout=IDLE_SECONDS))
        async with self.session.request(
            method.upper(),
            target,
            params=params,
            data=data,
            headers={**(headers or {}), **({"Authorization": encode_basic_auth(*auth)} if auth else {})},
            timeout=self._limits,
            allow_redirects=False,
        ) as got:
            text = await got.text(errors="replace")
            if not 200 <= got.status < 300:
                raise _answer(got.status, text, got.headers.get("Retry-After"))
            return Response(got.status, text, got.headers)

    def _target(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.hostname not in HOSTS or parts.scheme != "https":
            raise NotTwilio(f"{parts.hostname} is not a host of Twilio's API")
        if self._api_url is None:
            return url
        path = self._api_url.path.rstrip("/") + parts.path
        return urlunsplit((self._api_url.scheme, self._api_url.netloc, path, parts.query, ""))


def _answer(status: int, text: str, after: str | None) -> Answered:
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        body = {"message": text[:200]}
    code, words = body.get("code"), body.get("message") or body.get("detail") or ""
    seconds = float(after) if after is not None and after.strip().isdecimal() else None
    return Answered(status, code if isinstance(code, int) else None, str(words), seconds)


class TwilioSender:
    """Sends WhatsApp messages with Twilio's SDK."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        sender: str,
        callback_url: str | None,
        api_url: str | None = None,
        timeout: float = 15,
    ):
        """Args: sender: such as `whatsapp:+14155238886`. callback_url: where Twilio tells what becomes of a message;
        None where it cannot reach this server. timeout: seconds for a message.
        """
        self._http = TwilioHttp(api_url=api_url, timeout=timeout)
        # An environment of its own: the SDK would look for a region in this process's.
        environment = {"TWILIO_ACCOUNT_SID": account_sid}
        self._client = Client(account_sid, auth_token, http_client=self._http, environment=environment)
        self._sender, self._callback_url = sender, callback_url

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        content = outgoing.content
        if content.content_sid is None and not 0 < len(content.text) <= LONGEST:
            return Refused(f"the text has {len(content.text)} characters; WhatsApp takes 1 to {LONGEST:,}")
        try:
            message = await self._client.messages.create_async(**self._form(outgoing))
        except Answered as error:
            return answered(error.status, error.code, error.words, error.after)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            return Later(f"Twilio cannot be reached: {error}"[:500])
        except (ClientError, OSError, TimeoutError) as error:
            return Uncertain(f"Twilio's answer was lost: {str(error) or 'time-out'}"[:500])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            return Uncertain(f"Twilio's answer cannot be read: {error!r}"[:500])
        if not isinstance(message.sid, str):
            return Uncertain("Twilio's answer names no message")
        if message.status in {"failed", "undelivered"}:
            return refused(message.error_code, message.error_message or "")
        return Sent(message.sid)

    def _form(self, outgoing: Outgoing) -> dict[str, Any]:
        form = {"to": address(outgoing.to), "from_": self._sender}
        if self._callback_url is not None:
            form["status_callback"] = f"{self._callback_url}?message_id={quote(outgoing.message_id, safe='')}"
        if outgoing.content.content_sid is None:
            return {**form, "body": outgoing.content.text}
        form["content_sid"] = outgoing.content.content_sid
        if outgoing.content.content_variables:
            form["content_variables"] = json.dumps(dict(outgoing.content.content_variables), ensure_ascii=False)
        return form

    async def close(self) -> None:
        await self._http.close()


def address(to: str) -> str:
    """Return a phone number, a WhatsApp id or a user id as Twilio writes it."""
    return f"whatsapp:+{to}" if to.isdecimal() else f"whatsapp:{to}"
