"""`leadline demo`: the world outside, played against a running server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from config.__main__ import parser
from config.app import Server, build
from config.demo_commands import TOKEN_FILE, letter_of, run_whatsapp
from config.settings import Settings
from tests.conftest import free_port
from tests.talking import PRODUCTS, Parrot
from tracker.errors import LeadlineError
from tracker.store.port import Store

TOKEN = "a-token-of-the-demo"


class Demo(NamedTuple):
    server: Server
    settings: Settings
    port: int


@pytest.fixture
async def demo(store: Store, tmp_path: Path) -> AsyncIterator[Demo]:
    """A server as `serve --demo` starts it, with an engine that repeats."""
    settings, port = Settings(data=tmp_path, default_product="flowdesk"), free_port()
    (tmp_path / TOKEN_FILE).write_text(TOKEN + "\n")
    server = build(
        settings,
        store,
        secrets=["s" * 20],
        base_url=f"http://127.0.0.1:{port}",
        outbox=tmp_path / "outbox",
        demo_token=TOKEN,
        engine=Parrot(),
    )
    for product in PRODUCTS:
        await server.catalog.put(product, author="tests")
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    for worker in server.workers:
        worker.start()
    yield Demo(server, settings, port)
    await runner.cleanup()
    for worker in server.workers:
        await worker.stop()


async def wrote(demo: Demo, *more: str, settings: Settings | None = None) -> int:
    arguments = parser().parse_args(["demo", "whatsapp", *more, "--port", str(demo.port)])
    return await asyncio.to_thread(run_whatsapp, settings or demo.settings, arguments)


async def test_somebody_writes_and_reads_the_answer(demo: Demo, capsys: pytest.CaptureFixture[str]):
    """With no account anywhere: the message is signed as Twilio would, and the answer is a file of the outbox."""
    assert await wrote(demo, "+49 151 12345678", "What does it cost?") == 0
    assert capsys.readouterr().out == "You said: What does it cost?\n"
    assert len(list((demo.settings.data / "outbox").glob("*.json"))) == 1


async def test_another_token_is_refused(demo: Demo, tmp_path: Path):
    """The command needs the server's own data folder."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / TOKEN_FILE).write_text("another-token")
    with pytest.raises(LeadlineError, match="403"):
        await wrote(demo, "+4915112345678", "Hi", settings=Settings(data=tmp_path / "other"))
    with pytest.raises(LeadlineError, match="serve --demo"):
        await wrote(demo, "+4915112345678", "Hi", settings=Settings(data=tmp_path / "nowhere"))


async def test_what_cannot_be_written_is_told(demo: Demo, unused_port: int):
    """A number that is none, and a server that is not there."""
    with pytest.raises(LeadlineError, match="not a phone number"):
        await wrote(demo, "12", "Hi")
    with pytest.raises(LeadlineError, match="nobody answers"):
        await wrote(demo._replace(port=unused_port), "+4915112345678", "Hi")


def test_a_server_with_a_public_address_is_signed_for(tmp_path: Path):
    """What is signed is the address that the world knows."""
    (tmp_path / TOKEN_FILE).write_text(TOKEN)
    letter = letter_of("+4915112345678", "Hi", signed_for="https://leads.test", settings=Settings(data=tmp_path))
    assert letter.url == "https://leads.test/webhooks/twilio/whatsapp"
    assert letter.form["WaId"] == "4915112345678"
