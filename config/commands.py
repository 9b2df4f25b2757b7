"""What each command does."""

import argparse
import contextlib
import csv
import gc
import getpass
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from config.here import is_here, is_loopback
from config.settings import Settings, WrongSettings
from tracker.errors import Fault, LeadlineError
from tracker.store.port import Store

if TYPE_CHECKING:
    import asyncio

    from config.demo import Crowd, Demo

KEY_FILE = "api_key"
SECRET_FILE = "secret"  # noqa: S105 - a file name
OUTBOUND_FILE = "outbound_secret"
"""Signs events for the addresses of LEADLINE_OUTBOUND_URLS, where LEADLINE_OUTBOUND_SECRET is not set."""

TWILIO_FILE = "twilio_token"
"""Signs WhatsApp messages of the demo, where no Twilio account does."""

DESK_FILE = "desk_password"
"""Of the demo's user of the desk."""


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
    if arguments.demo_speed is not None and not arguments.demo:
        raise UsageError("--demo-speed is for a demo: give --demo too")
    settings = _with_key(settings, arguments.host)
    if uvloop.run(_serve(settings, arguments)):
        print("leadline: a backup was restored: starting again", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
    return 0


def _with_key(settings: Settings, host: str) -> Settings:
    """Return the settings with an API key: on loopback one is made and kept; elsewhere there must be one."""
    if settings.api_key is not None:
        return settings
    if not is_loopback(host):
        raise WrongSettings(
            "no API key",
            Fault("LEADLINE_API_KEY", f"wants a key of 16 characters or more, since {host} is not only this machine"),
        )
    return settings.model_copy(update={"api_key": _kept(settings.data / KEY_FILE, prefix="ll_")})


def link_secrets(settings: Settings) -> list[str]:
    """Return what signs links, newest first; without a setting one is made and kept."""
    if settings.secret is not None:
        return [part.strip() for part in settings.secret.split(",")]
    return [_kept(settings.data / SECRET_FILE)]


def _kept(path: Path, *, prefix: str = "", size: int = 32) -> str:
    """Return the secret in a file that only its owner can read, made of `size` bytes at the first time."""
    if not path.exists() or not path.read_text().strip():  # empty where a start was cut off
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(f"{prefix}{secrets.token_urlsafe(size)}\n")
    return path.read_text().strip()


async def _serve(settings: Settings, arguments: argparse.Namespace) -> bool:
    """Run until somebody stops us. Returns: whether to start again, since the store has another content by now."""
    import asyncio

    from aiohttp import web

    from config.app import build, open_store
    from config.seeding import first_product, seed

    if arguments.demo and settings.default_product is None:  # so that who writes by WhatsApp is answered
        settings = settings.model_copy(update={"default_product": first_product()})
    if settings.receivers and settings.outbound_secret is None:
        settings = settings.model_copy(update={"outbound_secret": _kept(settings.data / OUTBOUND_FILE)})
    store = await open_store(settings)
    demo = _demo(settings, arguments) if arguments.demo else None
    base_url = settings.public_url or f"http://{arguments.host}:{arguments.port}"
    token = _kept(settings.data / TWILIO_FILE) if arguments.demo and settings.twilio is None else None
    server = build(
        settings,
        store,
        secrets=link_secrets(settings),
        base_url=base_url,
        outbox=demo.outbox if demo else None,
        demo_token=token,
        demo=demo,
    )
    products = await seed(server.catalog, server.templates) if demo else []
    crowd = await _crowd(settings, arguments, store) if demo else None
    # A long query is refused by its model, which says why, rather than by the parser, which does not.
    limits: dict[str, Any] = {"max_line_size": 65_536, "max_field_size": 65_536}
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=10, handle_signals=False, **limits)
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    try:
        await server.outbound.start()
        if arguments.role != "worker":
            await runner.setup()
            try:
                await web.TCPSite(runner, arguments.host, arguments.port).start()
            except OSError as error:
                why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                raise CannotListen(f"cannot listen on {arguments.host}:{arguments.port}: {why}") from error
        if arguments.role != "web":
            await server.start_work()
        if crowd is not None:
            crowd.start()
        _long_life()
        _say_hello(settings, arguments, products=[config.product_id for config in products])
        return await _watch(store, stopping)
    finally:
        if crowd is not None:
            await crowd.stop()
        await runner.cleanup()
        await server.stop()


async def _watch(store: Store, stopping: "asyncio.Event") -> bool:
    """Wait until somebody stops us; True: a backup was restored beneath us."""
    import asyncio

    from tracker.store.sqlite import SqliteStore

    while not stopping.is_set():
        if isinstance(store, SqliteStore) and store.is_outdated():
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 1)
    return False


def _demo(settings: Settings, arguments: argparse.Namespace) -> "Demo":
    from config.demo import Demo

    return Demo(
        outbox=settings.outbox,
        speed=arguments.demo_speed or 1,
        is_here=is_here(arguments.host, settings.public_url),
        key_file=settings.data / KEY_FILE if _is_key_kept(settings) else None,
    )


async def _crowd(settings: Settings, arguments: argparse.Namespace, store: Store) -> "Crowd | None":
    """Make the demo's user of the desk, and return the made-up people who bring a new demo to life.

    They come only where their messages go nowhere, and only to the process that does everything.
    """
    from config.demo import Crowd, add_desk_user, is_new
    from tracker.times import now

    if is_here(arguments.host, settings.public_url):
        await add_desk_user(store, lambda: _kept(settings.data / DESK_FILE, size=9))
    is_real = settings.smtp_url is not None or settings.twilio is not None
    if arguments.role != "all" or is_real or settings.api_key is None or not await is_new(store):
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(arguments.host, arguments.host)  # noqa: S104 - compared, not bound
    url = f"http://{f'[{host}]' if ':' in host else host}:{arguments.port}"
    return Crowd(url, settings.api_key, secret=settings.ingest_secret, at=now())


def _is_key_kept(settings: Settings) -> bool:
    """Whether the API key is the one in the data folder."""
    path = settings.data / KEY_FILE
    return path.exists() and path.read_text().strip() == settings.api_key


def _long_life() -> None:
    """Tell the collector that what is there now stays: else it looks through all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    # A commit that is on disk is told within so many seconds, however busy the loop is; the default is ten times that.
    sys.setswitchinterval(0.0005)


def _say_hello(settings: Settings, arguments: argparse.Namespace, *, products: list[str]) -> None:
    base = settings.public_url or f"http://{arguments.host}:{arguments.port}"
    lines = ["Leadline is ready"]
    if arguments.demo:
        lines.append(f"  Start     {base}/")
    lines.append(f"  API docs  {base}/docs")
    lines += [f"  Chat      {base}/chat?product={product}" for product in products]
    if _is_key_kept(settings):
        lines.append(f"  API key   {settings.api_key}  (kept in {settings.data / KEY_FILE})")
    if arguments.demo:
        lines += _demo_lines(settings, arguments, base)
    print("\n".join(lines), flush=True)


def _demo_lines(settings: Settings, arguments: argparse.Namespace, base: str) -> list[str]:
    password = settings.data / DESK_FILE
    lines = []
    if password.exists():
        lines.append(
            f"  Desk      {base}/desk  user demo, password {password.read_text().strip()}  (kept in {password})"
        )
    lines.append(f"  Outbox    {settings.outbox}")
    more = f" --port {arguments.port}" if arguments.port != 8080 else ""
    more += f" --data {settings.data}" if settings.data != Path("data") else ""
    lines.append(f'  WhatsApp  leadline demo whatsapp +4915112345678 "What does it cost?"{more}')
    url = f" --url {base}" if arguments.port != 8080 else ""
    data = f" --data {settings.data}" if settings.data != Path("data") else ""
    lines.append(f"  Logins    leadline demo feed --minutes 5{url}{data}")
    if arguments.demo_speed not in (None, 1):
        lines.append(f"  Time      sequences wait {arguments.demo_speed:,.10g} times as short as they say")
    return lines


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


def with_store(settings: Settings, work: Callable[[Store], Awaitable[int]]) -> int:
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

    return with_store(settings, work)


def who(otherwise: str) -> str:
    """Return who runs a command, for the audit. Args: otherwise: where the system cannot tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return otherwise


def keys_create(settings: Settings, arguments: argparse.Namespace) -> int:
    from tracker.keys import Keys, Scope

    unknown = [scope for scope in arguments.scope if scope not in set(Scope)]
    if unknown:
        raise UsageError(f"unknown scope {unknown[0]}; there are {', '.join(Scope)}")

    async def work(store: Store) -> int:
        scopes = tuple(Scope(scope) for scope in arguments.scope)
        print(await Keys(store).create(arguments.name, scopes, by=who("leadline keys")))
        return 0

    return with_store(settings, work)


def keys_list(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker.keys import Keys

        for hashed, key in await Keys(store).all():
            state = f"revoked {key.revoked_at}" if key.revoked_at else "in use"
            print(f"{key.name}  {','.join(key.scopes)}  {key.created_at}  {state}  {hashed[:12]}")
        return 0

    return with_store(settings, work)


def keys_revoke(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker.keys import Keys

        print(f"revoked {await Keys(store).revoke(arguments.name, by=who('leadline keys'))}")
        return 0

    return with_store(settings, work)


def export_events(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        from tracker import reading
        from tracker.csv_stream import safe

        writer = csv.writer(sys.stdout)
        writer.writerow(reading.EVENT_COLUMNS)
        async for row in reading.event_rows(store):
            writer.writerow([safe(cell) for cell in row])
        return 0

    return with_store(settings, work)
