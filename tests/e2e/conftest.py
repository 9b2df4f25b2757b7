"""A server of this test's own, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from config.app import Server, build
from config.settings import Settings
from tests.e2e.client import ADMIN, Api
from tracker.store.port import Store

SECRETS = ["the-secret-of-the-end-to-end-tests"]


@pytest.fixture
def server(store: Store, tmp_path: Path) -> Server:
    """The server's parts. Its worker does not run by itself: a test calls `server.delivery.work()`."""
    settings = Settings(data=tmp_path, api_key=ADMIN)
    return build(settings, store, secrets=SECRETS, base_url="http://leadline.test", outbox=tmp_path / "outbox")


@pytest.fixture
async def bare(server: Server) -> AsyncIterator[Api]:
    """A running server without any product."""
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield Api(server, f"http://127.0.0.1:{port}", session)
    await runner.cleanup()


@pytest.fixture
async def api(bare: Api) -> Api:
    """A running server with the product `flowdesk`."""
    await bare.product()
    return bare
