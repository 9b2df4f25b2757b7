"""A server that chats, for tests: a real one on a port of its own, with an engine that says what it heard."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

from aiohttp import web

from bot.dialogue import Button, Message, Parse, Reply, State, Turn, Want
from config.app import Server, build
from config.assistant import TrainedEngine
from config.settings import Settings
from tests.e2e.client import ADMIN
from tests.fakes import Clock
from tracker.product import ProductConfig
from tracker.store.port import Store

PRODUCTS = (
    ProductConfig(product_id="flowdesk", name="Flowdesk"),
    ProductConfig(product_id="gridwise", name="Gridwise"),
)


class Parrot(TrainedEngine):
    """Repeats the text; asks back, with buttons, when a demo is mentioned; wants a person when one is.

    Attributes: heard: every text, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def handle(self, turn: Turn, state: State) -> Reply:
        self.heard.append(turn.text)
        messages: tuple[Message, ...] = (Message(f"You said: {turn.text}"),)
        if "demo" in turn.text:
            buttons = (Button("Yes, please", "/affirm"), Button("Not now", "/deny"))
            messages = (Message("See https://flowdesk.example/demo."), Message("Shall I book it?", buttons))
        wants = (Want("handoff", "asked"),) if "a person" in turn.text else ()
        state = State(messages=messages, turns=state.turns + 1)
        return Reply(messages, state, Parse(turn.text, "inform"), wants=wants)


class Served:
    """Attributes: url: where it listens. server: its parts."""

    def __init__(self, url: str, server: Server, engine: Parrot, runner: web.AppRunner):
        self.url, self.server, self.engine, self._runner = url, server, engine, runner

    async def stop(self) -> None:
        await self._runner.cleanup()


async def serve(
    store: Store,
    folder: Path,
    *,
    port: int = 0,
    clock: Callable[[], datetime] | None = None,
    default: str | None = None,
) -> Served:
    """Start a server over `store`. It must be stopped; the store stays open."""
    engine = Parrot()
    settings = Settings(data=folder, default_product=default, api_key=ADMIN)
    url = f"http://127.0.0.1:{port}"
    server = build(
        settings, store, secrets=["a secret of the tests"], base_url=url, clock=clock or Clock(), engine=engine
    )
    for product in PRODUCTS:
        await server.catalog.put(product, author="tests")
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    port = runner.addresses[0][1]
    return Served(f"http://127.0.0.1:{port}", server, engine, runner)


@contextlib.asynccontextmanager
async def serving(
    store: Store,
    folder: Path,
    *,
    port: int = 0,
    clock: Callable[[], datetime] | None = None,
    default: str | None = None,
) -> AsyncIterator[Served]:
    served = await serve(store, folder, port=port, clock=clock, default=default)
    try:
        yield served
    finally:
        await served.stop()
