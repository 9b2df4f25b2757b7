"""Posting over a real connection: signed, in bounded time, and only to addresses that are allowed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from n8n.addresses import Allowed, Guard, NotAllowed, allowed, is_public, parse
from n8n.posting import Poster, seconds_of, signature
from tests.n8n.rig import SECRET, verified

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """A name server that says what it is told."""

    def __init__(self, **addresses: str):
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        ip = self.addresses.get(host.split(".")[0])
        if ip is None:
            raise OSError("no such name")
        kind = socket.AF_INET6 if ":" in ip else socket.AF_INET
        return [ResolveResult(hostname=host, host=ip, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        return None


class Receiver:
    """A web server on loopback that keeps what it gets."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Any] = []
        self.answer: Handler = self.yes
        self.port = 0

    async def yes(self, request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.headers.append(request.headers)
        return await self.answer(request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    """A poster that may reach this machine."""
    poster = Poster(Guard(allowed("127.0.0.0/8")), timeout=5, clock=lambda: 1_700_000_000.9)
    yield poster
    await poster.close()


async def test_a_body_arrives_signed(receiver: Receiver, poster: Poster):
    """The receiver checks the signature over the very bytes that came; any other secret or byte fails."""
    body = '{"text": "ä"}'.encode()
    assert await poster.post(receiver.url, body, SECRET) == (None, None)
    (got,), (headers,) = receiver.bodies, receiver.headers
    assert got == body
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Leadline-Signature"].startswith("t=1700000000,v1=")
    assert verified(headers["X-Leadline-Signature"], got, SECRET)
    assert not verified(headers["X-Leadline-Signature"], got + b" ", SECRET)
    assert not verified(headers["X-Leadline-Signature"], got, SECRET + "x")


@given(st.binary(), st.text(min_size=1), st.integers(0, 2**40))
def test_any_signature_can_be_checked(body: bytes, secret: str, at: int):
    """Whatever the body and the secret."""
    secret = secret.encode(errors="replace").decode()
    assert verified(signature(body, secret, at=at), body, secret)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_yes(receiver: Receiver, poster: Poster, status: int):
    """Receivers answer what suits them."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    receiver.answer = answer
    assert (await poster.post(receiver.url, b"{}", SECRET)).error is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_anything_else_is_a_no(receiver: Receiver, poster: Poster, status: int):
    """A redirect is not followed: it could lead where nobody has allowed."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/elsewhere", "Retry-After": "90"})

    receiver.answer = answer
    posted = await poster.post(receiver.url, b"{}", SECRET)
    assert str(status) in (posted.error or "")
    assert posted.after == 90
    assert len(receiver.bodies) == 1


async def test_an_answer_without_end_is_not_read(receiver: Receiver, poster: Poster):
    """A receiver that never stops talking has said yes all the same."""
    stopped = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except (ConnectionError, asyncio.CancelledError):
            stopped.set()
            raise

    receiver.answer = answer
    assert (await poster.post(receiver.url, b"{}", SECRET)).error is None
    await asyncio.wait_for(stopped.wait(), 5)


async def test_who_does_not_answer_is_told_so(receiver: Receiver):
    """Nobody waits longer than the time-out."""
    done = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        await done.wait()
        return web.Response()

    receiver.answer = answer
    poster = Poster(Guard(allowed("127.0.0.1")), timeout=0.05)
    assert (await poster.post(receiver.url, b"{}", SECRET)).error == "no answer within 0.05 s"
    done.set()
    await poster.close()


async def test_nobody_there(poster: Poster, unused_port: int):
    """A refused connection, a name that nobody knows, a line that breaks: each in words, none an exception."""
    assert "no connection" in ((await poster.post(f"http://127.0.0.1:{unused_port}/", b"{}", SECRET)).error or "")
    nameless = Poster(Guard(Allowed(), Names()), timeout=5)
    posted = await nameless.post("http://nowhere.test/", b"{}", SECRET)
    assert posted.error == "the host's name is not found"
    await nameless.close()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert "broke" in ((await poster.post(f"http://127.0.0.1:{port}/", b"{}", SECRET)).error or "")
    server.close()


PRIVATE = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://2130706433/",
    "http://127.1/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://LOCALHOST./",
]


@pytest.mark.parametrize("url", PRIVATE)
async def test_nothing_goes_to_a_private_address(url: str):
    """However it is written: this machine, the network around it, the cloud's metadata."""
    guard = Guard(Allowed())
    poster = Poster(guard, timeout=5)
    posted = await poster.post(url, b"{}", SECRET)
    assert posted.error is not None
    assert "no connection" not in posted.error, "it was tried"
    await poster.close()
    await guard.close()


async def test_a_name_is_checked_when_it_is_used(receiver: Receiver):
    """A name that was public when it was registered and now means this machine gets nothing; allowed, it does."""
    names = Names(rebound="93.184.215.14")
    guard = Guard(Allowed(), names)
    url = f"http://rebound.test:{receiver.port}/hook"
    await guard.check(parse(url))
    names.addresses["rebound"] = "127.0.0.1"
    poster = Poster(guard, timeout=5)
    posted = await poster.post(url, b"{}", SECRET)
    assert posted.error == "rebound.test is a private address: LEADLINE_OUTBOUND_ALLOW has to name it"
    assert receiver.bodies == []
    await poster.close()
    fine = Poster(Guard(allowed(f"rebound.test:{receiver.port}"), names), timeout=5)
    assert (await fine.post(url, b"{}", SECRET)).error is None
    assert len(receiver.bodies) == 1
    await fine.close()


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1"])
async def test_a_name_of_a_private_address_is_not_registered(ip: str):
    """It is told at once, not when the first event fails; a name that nobody knows yet is taken."""
    guard = Guard(Allowed(), Names(inside=ip))
    with pytest.raises(NotAllowed, match="LEADLINE_OUTBOUND_ALLOW"):
        await guard.check(parse("https://inside.test/hook"))
    await guard.check(parse("https://not-yet.test/hook"))


@pytest.mark.parametrize(
    ("setting", "host", "port", "ip", "fine"),
    [
        ("n8n", "n8n", 5678, "10.0.0.2", True),
        ("n8n", "N8N.", 5678, "10.0.0.2", True),
        ("n8n", "other", 5678, "10.0.0.2", False),
        ("n8n:5678", "n8n", 5678, "10.0.0.2", True),
        ("n8n:5678", "n8n", 80, "10.0.0.2", False),
        ("127.0.0.1:5678", "127.0.0.1", 5678, "127.0.0.1", True),
        ("127.0.0.1:5678", "localhost", 5678, "127.0.0.1", True),
        ("127.0.0.1:5678", "127.0.0.1", 6379, "127.0.0.1", False),
        ("[::1]:5678", "::1", 5678, "::1", True),
        ("10.0.0.0/8", "any", 1, "10.255.0.1", True),
        ("10.0.0.0/8", "any", 1, "192.168.0.1", False),
        ("127.0.0.1", "localhost", 1, "127.0.0.1", True),
        ("a, b:1 ,fd00::/8", "x", 1, "fd00::1", True),
        ("", "x", 1, "10.0.0.1", False),
        ("", "x", 1, "93.184.215.14", True),
    ],
)
def test_what_the_operator_allows(setting: str, host: str, port: int, ip: str, fine: bool):
    """Hosts, hosts with a port, networks; nothing more than what is named."""
    assert allowed(setting).permits(host, port, ip_address(ip)) is fine


@pytest.mark.parametrize(
    "setting", ["http://n8n:5678", "n8n/x", "n8n:many", "10.0.0.0/99", "a b", "user@n8n", "n8n:0x1"]
)
def test_what_allows_nothing_is_told(setting: str):
    """A mistyped entry stops the start rather than allowing less than was meant."""
    with pytest.raises(ValueError, match="is no host, host:port or network"):
        allowed(setting)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "n8n",
        "ftp://x/",
        "http://",
        "http:///x",
        "https://x:99999/",
        "http://u:p@x/",
        "http://u@x/",
        "http://x\n/",
        "http://x y/",
    ],
)
def test_what_is_no_address(url: str):
    """Also one with a password, which whoever lists the subscriptions would read."""
    with pytest.raises(ValueError, match=r"wants|must not"):
        parse(url)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_a_private_address_inside_of_an_ipv6_is_private(ip: Any):
    """A translated address leads to the same machine."""
    for text in (f"::ffff:{ip}", f"64:ff9b::{ip}", f"::{ip}"):
        assert not is_public(ip_address(text)), text


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("-5", 0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
        ("Tue, 14 Nov 99999 22:00:00 GMT", None),
    ],
)
def test_retry_after(said: str | None, seconds: float | None):
    """A number of seconds, or a date; nonsense says nothing."""
    assert seconds_of(said, now=1_700_000_000) == seconds
