"""Posting a feed: everything arrives in its order, a busy server is waited for, the command tells what came of it."""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from aiohttp import web

from config.__main__ import main, parser
from config.app import build
from config.demo_feed import feed
from config.feed_command import _feed
from config.feeding import NotTaken, Server, Totals, send, session
from config.settings import Settings
from n8n.ingest import check_signature
from tracker.product import ProductConfig
from tracker.store.port import Store

KEY = "ll_a-key-of-the-feeding-tests"
SECRET = "a-secret-of-the-feeding-tests"
ITEMS = feed(Random(1), datetime(2026, 3, 2, tzinfo=UTC), events=700, users=40, products=["flowdesk"])
TAKEN = {"accepted": 1, "duplicate": 0, "quarantined": 0}

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Sleeps:
    """Sleeps no time, and notes how long it should have been. Attributes: now: what a clock would say."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.now = 100.0

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.now += seconds


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering(answer: Handler) -> AsyncIterator[str]:
    """A server that answers logins as it is told."""
    app = web.Application()
    app.router.add_post("/events/logins", answer)
    async with listening(app) as url:
        yield url


@asynccontextmanager
async def leadline(store: Store, folder: Path, *, secret: str | None = None) -> AsyncIterator[str]:
    settings = Settings(data=folder, api_key=KEY, ingest_secret=secret)
    server = build(settings, store, secrets=[SECRET], base_url="http://leadline.test")
    await server.catalog.put(ProductConfig(product_id="flowdesk", name="Flowdesk"), author="tests")
    async with listening(server.app) as url:
        yield url


async def test_everything_arrives_in_its_order():
    """Batches hold what the feed holds, one behind the other, under the given key."""
    came: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        batch = orjson.loads(await request.read())
        came.extend(batch)
        return web.json_response({"accepted": len(batch), "duplicate": 0, "quarantined": 0}, status=202)

    shown: list[str] = []
    async with answering(take) as url, session() as client:
        totals = Totals()
        await send(Server(client, url, KEY), ITEMS, totals, told=lambda totals: shown.append(str(totals)))
    assert came == [item.record for item in ITEMS]
    assert (totals.sent, totals.accepted) == (700, 700)
    assert shown[-1] == "700 accepted, 0 duplicate, 0 quarantined"
    assert len(shown) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_waited_for(status: int):
    """As long as it asks, and then the same batch comes again: nothing is left out."""
    came: list[int] = []

    async def take(request: web.Request) -> web.Response:
        came.append(len(orjson.loads(await request.read())))
        if len(came) in {2, 3}:
            return web.json_response({"detail": "busy"}, status=status, headers={"Retry-After": str(len(came))})
        return web.json_response({**TAKEN, "accepted": came[-1]}, status=202)

    sleeps, totals = Sleeps(), Totals()
    async with answering(take) as url, session() as client:
        await send(Server(client, url, KEY, sleep=sleeps), ITEMS, totals)
    assert sleeps.asked == [2, 3]
    assert came == [250, 250, 250, 250, 200]
    assert totals.accepted == 700


async def test_a_server_that_stays_busy_is_given_up():
    """With what it said, and the waits grow when it names none."""

    async def take(_: web.Request) -> web.Response:
        return web.json_response({"detail": "the store is away"}, status=503)

    sleeps = Sleeps()
    async with answering(take) as url, session() as client:
        with pytest.raises(NotTaken, match="503: the store is away"):
            await Server(client, url, KEY, sleep=sleeps).logins([{}])
    assert sleeps.asked == sorted(sleeps.asked)
    assert max(sleeps.asked) == 60


async def test_a_refusal_is_told_at_once(unused_port: int):
    """A wrong key is not tried again, and a server that is not there is named."""
    tries = 0

    async def refuse(_: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        return web.json_response({"detail": "this key opens nothing"}, status=401)

    async with answering(refuse) as url, session() as client:
        with pytest.raises(NotTaken, match="401: this key opens nothing"):
            await Server(client, url, KEY).logins([{}])
        with pytest.raises(NotTaken, match=f"nobody answers at http://127.0.0.1:{unused_port}"):
            await Server(client, f"http://127.0.0.1:{unused_port}", KEY).logins([{}])
    assert tries == 1


async def test_a_cut_connection_is_tried_again():
    """A server that is restarted in the middle gets the batch again; logins have ids, so nothing counts twice."""
    tries = 0

    async def cut(request: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        if tries == 1:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(TAKEN, status=202)

    sleeps = Sleeps()
    async with answering(cut) as url, session() as client:
        assert await Server(client, url, KEY, sleep=sleeps).logins([{}]) == TAKEN
    assert sleeps.asked == [2]


async def test_a_rate_is_kept():
    """A live feed sends what has come up, and sleeps in between."""
    sizes: list[int] = []

    async def take(request: web.Request) -> web.Response:
        sizes.append(len(orjson.loads(await request.read())))
        return web.json_response({**TAKEN, "accepted": sizes[-1]}, status=202)

    sleeps = Sleeps()
    async with answering(take) as url, session() as client:
        await send(Server(client, url, KEY), ITEMS, Totals(), rate=10, sleep=sleeps, clock=lambda: sleeps.now)
    assert sum(sizes) == 700
    assert max(sizes) <= 6
    assert 69 <= sum(sleeps.asked) <= 71


async def test_a_signed_feed_is_taken():
    """Where the server demands signatures, the feed signs as the contract says."""
    seen: list[bool] = []

    async def take(request: web.Request) -> web.Response:
        header = request.headers["X-Leadline-Signature"]
        check_signature(header, await request.read(), SECRET, datetime.now(UTC).timestamp())
        seen.append(True)
        return web.json_response(TAKEN, status=202)

    async with answering(take) as url, session() as client:
        await Server(client, url, KEY, secret=SECRET).logins([{"event_id": "l1"}])
    assert seen == [True]


def wanted(*words: str) -> argparse.Namespace:
    return parser().parse_args(["demo", "feed", *words])


async def test_the_command_brings_a_day(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It finds products and key by itself, and its totals are the server's; a pipe sees one line."""
    (tmp_path / "api_key").write_text(KEY + "\n")
    async with leadline(store, tmp_path) as url:
        assert await _feed(Settings(data=tmp_path), wanted("--url", url, "--events", "500", "--users", "30")) == 0
    out, err = capsys.readouterr()
    assert out == "500 of 500 sent: 485 accepted, 10 duplicate, 5 quarantined\n"
    assert err == ""


async def test_the_same_people_come_back(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A second feed is of the same users, so that scores rise instead of leads piling up."""
    async with leadline(store, tmp_path) as url:
        words = ("--url", url, "--key", KEY, "--events", "300", "--users", "5", "--product", "flowdesk")
        settings = Settings(data=tmp_path)
        await _feed(settings, wanted(*words))
        await _feed(settings, wanted(*words, "--seed", "1"))
        headers = {"Authorization": f"Bearer {KEY}"}
        async with session() as client, client.get(f"{url}/leads?limit=1000", headers=headers) as got:
            assert len((await got.json())["items"]) <= 5
    assert "accepted" in capsys.readouterr().out


async def test_a_server_without_products_is_told(store: Store, tmp_path: Path):
    """Nothing is sent that could only be quarantined."""
    server = build(Settings(data=tmp_path, api_key=KEY), store, secrets=[SECRET], base_url="http://leadline.test")
    async with listening(server.app) as url:
        with pytest.raises(NotTaken, match="no product yet"):
            await _feed(Settings(data=tmp_path), wanted("--url", url, "--key", KEY))


def test_wrong_wishes_are_usage_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """2 for what cannot be meant, and for a key that is nowhere; 1 when nobody answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADLINE_API_KEY", raising=False)
    for words in (["--events", "0"], ["--rate", "nan"], ["--minutes", "-1"], ["--events", "5", "--minutes", "5"]):
        with pytest.raises(SystemExit) as left:
            wanted(*words)
        assert left.value.code == 2
    assert main(["demo", "feed"]) == 2
    assert "no API key" in capsys.readouterr().err
    assert main(["demo", "feed", "--key", KEY, "--url", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.startswith("leadline: nobody answers at http://127.0.0.1:9")
