"""What each command does."""

import argparse
import csv
import gc
import ipaddress
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
import uvloop

from config.settings import Settings, WrongSettings
from tracker.errors import Fault, LeadlineError
from tracker.store.port import Store

KEY_FILE = "api_key"
SECRET_FILE = "secret"  # noqa: S105 - a file name


class UsageError(WrongSettings):
    """The command cannot be run in this way."""


class CannotListen(LeadlineError):
    """The address is taken or not ours."""


def serve(settings: Settings, arguments: argparse.Namespace) -> int:
    _log_as(settings.log)
    if arguments.workers != 1:
        if settings.mongo_url is None:
            raise UsageError("--workers above 1 needs MongoDB: set LEADLINE_MONGO_URL")
        raise UsageError("--workers above 1: start more processes with the same settings instead")
    settings = _with_key(settings, arguments.host)
    uvloop.run(_serve(settings, arguments))
    return 0


def _with_key(settings: Settings, host: str) -> Settings:
    """Return the settings with an API key: on loopback one is made and kept; elsewhere there must be one."""
    if settings.api_key is not None:
        return settings
    if not _is_loopback(host):
        raise WrongSettings(
            "no API key",
            Fault("LEADLINE_API_KEY", f"wants a key of 16 characters or more, since {host} is not only this machine"),
        )
    return settings.model_copy(update={"api_key": _kept(settings.data / KEY_FILE, prefix="ll_")})


def _secrets(settings: Settings) -> list[str]:
    """Return what signs links, newest first; without a setting one is made and kept."""
    if settings.secret is not None:
        return [part.strip() for part in settings.secret.split(",")]
    return [_kept(settings.data / SECRET_FILE)]


def _kept(path: Path, *, prefix: str = "") -> str:
    """Return the secret in a file that only its owner can read, made at the first time."""
    if not path.exists() or not path.read_text().strip():  # empty where a start was cut off
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(f"{prefix}{secrets.token_urlsafe(32)}\n")
    return path.read_text().strip()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _serve(settings: Settings, arguments: argparse.Namespace) -> None:
    import asyncio

    from aiohttp import web

    from config.app import build, open_store
    from config.seeding import seed

    store = await open_store(settings)
    outbox = settings.data / "outbox" if arguments.demo else None
    base_url = settings.public_url or f"http://{arguments.host}:{arguments.port}"
    server = build(settings, store, secrets=_secrets(settings), base_url=base_url, outbox=outbox)
    products = await seed(server.catalog, server.templates) if arguments.demo else []
    # A long query is refused by its model, which says why, rather than by the parser, which does not.
    limits: dict[str, Any] = {"max_line_size": 65_536, "max_field_size": 65_536}
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=10, handle_signals=False, **limits)
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    try:
        if arguments.role != "worker":
            await runner.setup()
            try:
                await web.TCPSite(runner, arguments.host, arguments.port).start()
            except OSError as error:
                why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                raise CannotListen(f"cannot listen on {arguments.host}:{arguments.port}: {why}") from error
        if arguments.role != "web":
            await server.start_work()
        _long_life()
        _say_hello(settings, arguments, products=[config.product_id for config in products])
        await stopping.wait()
    finally:
        await runner.cleanup()
        await server.stop()


def _long_life() -> None:
    """Tell the collector that what is there now stays: else it looks through all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    # A commit that is on disk is told within so many seconds, however busy the loop is; the default is ten times that.
    sys.setswitchinterval(0.0005)


def _say_hello(settings: Settings, arguments: argparse.Namespace, *, products: list[str]) -> None:
    base = settings.public_url or f"http://{arguments.host}:{arguments.port}"
    lines = ["Leadline is ready", f"  API docs  {base}/docs"]
    lines += [f"  Chat      {base}/chat?product={product}" for product in products]
    path = settings.data / KEY_FILE
    if path.exists() and path.read_text().strip() == settings.api_key:
        lines.append(f"  API key   {settings.api_key}  (kept in {path})")
    if arguments.demo:
        lines.append(f"  Outbox    {settings.data / 'outbox'}")
    print("\n".join(lines), flush=True)


def _log_as(kind: str) -> None:
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if kind == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _with_store(settings: Settings, work: Callable[[Store], Awaitable[int]]) -> int:
    async def run() -> int:
        from config.app import open_store

        store = await open_store(settings)
        try:
            return await work(store)
        finally:
            await store.close()

    return uvloop.run(run())


def check_config(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from channels.templates import TemplateCatalog
        from tracker.catalog import Catalog

        products = await Catalog(store, TemplateCatalog(store)).products()
        where = "MongoDB" if settings.mongo_url else str(settings.data)
        print(f"settings are fine; the store in {where} opens; {len(products)} products")
        return 0

    return _with_store(settings, work)


def keys_create(settings: Settings, arguments: argparse.Namespace) -> int:
    from tracker.keys import Keys, Scope

    unknown = [scope for scope in arguments.scope if scope not in set(Scope)]
    if unknown:
        raise UsageError(f"unknown scope {unknown[0]}; there are {', '.join(Scope)}")

    async def work(store: Store) -> int:
        print(await Keys(store).create(arguments.name, tuple(Scope(scope) for scope in arguments.scope)))
        return 0

    return _with_store(settings, work)


def keys_list(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker.keys import Keys

        for hashed, key in await Keys(store).all():
            state = f"revoked {key.revoked_at}" if key.revoked_at else "in use"
            print(f"{key.name}  {','.join(key.scopes)}  {key.created_at}  {state}  {hashed[:12]}")
        return 0

    return _with_store(settings, work)


def keys_revoke(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker.keys import Keys

        print(f"revoked {await Keys(store).revoke(arguments.name)}")
        return 0

    return _with_store(settings, work)


def review_list(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker.reading import everything
        from tracker.review import ReviewItem, ReviewStatus
        from tracker.store.schema import REVIEW_BY_STATUS

        async for found in everything(store, REVIEW_BY_STATUS, ReviewStatus.OPEN):
            item = ReviewItem.read(found.body)
            print(f"{found.id}  {item.kind}  {item.created_at}  {item.reason}: {item.error}")
        return 0

    return _with_store(settings, work)


def export_events(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker import reading
        from tracker.csv_stream import safe

        writer = csv.writer(sys.stdout)
        writer.writerow(reading.EVENT_COLUMNS)
        async for row in reading.event_rows(store):
            writer.writerow([safe(cell) for cell in row])
        return 0

    return _with_store(settings, work)
