"""`leadline demo feed`: a CRM with made-up users, for a running server."""

import argparse
import asyncio
import math
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from config.settings import Settings
from tracker.times import now

KEY_FILE = "api_key"
DAY = timedelta(hours=24)
EVENTS = 1000
BEHIND = timedelta(minutes=2)
"""How far a live feed is behind, so that nobody logs in before their time."""


def _above_zero(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= 10_000_000:
        raise ValueError
    return value


_above_zero.__name__, _count.__name__ = "number above 0", "count"  # what the parser calls them in its messages


def add(demo: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command. Args: demo: the subparsers of `demo`. command: makes one, as `__main__` does."""
    text = (
        "Log made-up users in, as a CRM would: companies of all sizes, bursts, repeats, and one record in a hundred "
        "that is no login. Without --rate it brings the last 24 hours, as fast as the server takes them."
    )
    feed = command("feed", text, "leadline demo feed --minutes 5 --rate 20", demo)
    feed.add_argument("--url", default="http://127.0.0.1:8080", help="the server (default http://127.0.0.1:8080)")
    feed.add_argument("--key", help="an API key (LEADLINE_API_KEY, default the one in the data folder)")
    size = feed.add_mutually_exclusive_group()
    size.add_argument("--events", type=_count, help=f"records to send (default {EVENTS:,})")
    size.add_argument("--minutes", type=_above_zero, help="go on for so long")
    feed.add_argument("--rate", type=_above_zero, help="records a second (default 10 with --minutes)")
    feed.add_argument("--users", type=_count, default=200, help="how many people (default 200)")
    feed.add_argument("--product", action="append", help="a product's id; may be given several times (default all)")
    feed.add_argument("--seed", type=int, default=1, help="the same seed makes the same people (default 1)")
    feed.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Raises: UsageError: no key. NotTaken: the server is not there, or refuses."""
    return asyncio.run(_feed(settings, arguments))


async def _feed(settings: Settings, arguments: argparse.Namespace) -> int:
    from config.demo_feed import feed
    from config.feeding import NotTaken, Server, Totals, send, session

    key = arguments.key or settings.api_key or _kept_key(settings.data)
    rate = arguments.rate or (10.0 if arguments.minutes else None)
    events = math.ceil(arguments.minutes * 60 * rate) if arguments.minutes and rate else arguments.events or EVENTS
    at = now()
    span = timedelta(seconds=events / rate) if rate else DAY
    start = at - min(span, BEHIND) if rate else at - DAY
    totals = Totals()
    async with session() as client:
        server = Server(client, arguments.url, key, secret=settings.ingest_secret)
        products = arguments.product or await server.products()
        if not products:
            raise NotTaken("the server has no product yet: start it with --demo, or PUT one to /products/{id}")
        items = feed(Random(arguments.seed), start, events=events, users=arguments.users, products=products, span=span)
        try:
            await send(server, items, totals, rate=rate, told=_progress(len(items)))
        finally:
            if sys.stderr.isatty():
                print(file=sys.stderr)
            print(f"{totals.sent:,} of {len(items):,} sent: {totals}", flush=True)
    return 0


def _progress(of: int) -> Callable[[Any], None]:
    """Return what shows how far it is, on a terminal."""
    if not sys.stderr.isatty():
        return lambda totals: None
    return lambda totals: print(f"\r{totals.sent:,} of {of:,}: {totals}", end="", file=sys.stderr, flush=True)


def _kept_key(folder: Path) -> str:
    """Return the key that a server on this machine made. Raises: UsageError."""
    from config.commands import UsageError

    path = folder / KEY_FILE
    key = path.read_text().strip() if path.exists() else ""
    if not key:
        raise UsageError(f"no API key: give --key, or --data with the server's data folder ({path} is not there)")
    return key
