"""`leadline review`: the queue of what needs a human, from a terminal."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from config.commands import UsageError, link_secrets, who, with_store
from config.settings import Settings
from tracker.review import ReviewKind, ReviewStatus
from tracker.reviews import AS_IT_CAME, Review, Wanted
from tracker.store.port import Cursor, Store

PAGE = 100


def add(sub: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the `review` commands. Args: sub: subparsers of the main parser. command: makes one, as `__main__` does."""
    review = sub.add_parser("review", help="The review queue.").add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    listed = command("list", "List what needs a human.", "leadline review list --kind quarantine", review)
    _takes_kind(listed)
    statuses = [str(status) for status in ReviewStatus]
    listed.add_argument("--status", choices=statuses, default="open", help="how items stand (default open)")
    listed.set_defaults(run=review_list)
    shown = command("show", "Show an item, as JSON.", "leadline review show quarantine-5f2c…", review)
    shown.add_argument("id")
    shown.set_defaults(run=review_show)
    replayed = command(
        "replay", "Try items again.", "leadline review replay --all --kind quarantine --product flowdesk", review
    )
    _takes_many(replayed)
    replayed.add_argument("--input", type=Path, metavar="FILE", help="a corrected input, JSON; - for standard input")
    replayed.set_defaults(run=review_replay)
    discarded = command(
        "discard", "Take items from the queue.", 'leadline review discard quarantine-5f2c… --reason "a test"', review
    )
    _takes_many(discarded)
    discarded.add_argument("--reason", default="", help="why, for the history of each item")
    discarded.set_defaults(run=review_discard)


def _takes_many(made: argparse.ArgumentParser) -> None:
    made.add_argument("id", nargs="?", help="one item")
    made.add_argument("--all", action="store_true", help="every open item, or those of a kind or product")
    _takes_kind(made)
    made.add_argument("--product", metavar="ID", help="only items of this product")


def _takes_kind(made: argparse.ArgumentParser) -> None:
    made.add_argument("--kind", choices=[str(kind) for kind in ReviewKind], help="only items of this kind")


def review_list(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(review: Review) -> int:
        status, kind = ReviewStatus(arguments.status), _kind(arguments)
        after: Cursor | None = None
        while True:
            items, page = await review.list(status, kind, after=after, limit=PAGE)
            for item in items:
                print(f"{item['id']}  {item['kind']}  {item['created_at']}  {item['reason']}: {item['error']}")
            if page.next is None:
                return 0
            after = page.next

    return _with_review(settings, work)


def review_show(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(review: Review) -> int:
        _print_json(await review.get(arguments.id))
        return 0

    return _with_review(settings, work)


def review_replay(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns: 1 when something is still no good."""
    _demand_one_or_all(arguments)
    if arguments.id is None:
        if arguments.input is not None:
            raise UsageError("--input corrects one item: name it")
        return _with_review(settings, lambda review: _each(review.replay_all, arguments))
    given = _input(arguments.input) if arguments.input else AS_IT_CAME

    async def work(review: Review) -> int:
        item = await review.replay(arguments.id, who("leadline review"), given)
        print(f"{item['id']}  {item['status']}  {item['lead_id'] or ''}".rstrip())
        return 0

    return _with_review(settings, work)


def _demand_one_or_all(arguments: argparse.Namespace) -> None:
    """Raises: UsageError."""
    if arguments.all == (arguments.id is not None):
        raise UsageError("name one item, or give --all")
    if arguments.id is not None and (arguments.kind or arguments.product):
        raise UsageError("--kind and --product go with --all")


async def _each(act: Callable[..., Any], arguments: argparse.Namespace) -> int:
    """Do something with many items. Args: act: `Review.replay_all` or `discard_all`. Returns: 1 when one failed."""
    wanted, failed = Wanted(_kind(arguments), arguments.product), 0
    after: Cursor | None = None
    while True:
        results, after = await act(wanted, who("leadline review"), limit=PAGE, after=after)
        for result in results:
            failed += result["error"] is not None
            print(f"{result['id']}  {result['status']}  {result['error'] or result['lead_id'] or ''}".rstrip())
        if after is None:
            return 1 if failed else 0


def review_discard(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns: 1 when something could not be discarded."""
    _demand_one_or_all(arguments)
    if arguments.id is None:
        return _with_review(settings, lambda r: _each(partial(r.discard_all, reason=arguments.reason), arguments))

    async def work(review: Review) -> int:
        item = await review.discard(arguments.id, who("leadline review"), arguments.reason)
        print(f"{item['id']}  {item['status']}")
        return 0

    return _with_review(settings, work)


def _kind(arguments: argparse.Namespace) -> ReviewKind | None:
    return ReviewKind(arguments.kind) if arguments.kind else None


def _input(path: Path) -> Any:
    """Raises: UsageError: it is no JSON."""
    try:
        return orjson.loads(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise UsageError(f"--input: {error}") from error


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _with_review(settings: Settings, work: Callable[[Review], Awaitable[int]]) -> int:
    async def run(store: Store) -> int:
        from config.app import build

        # The server's own parts, not started: what they put into the queues a running server finds within a second.
        base_url = settings.public_url or "http://127.0.0.1:8080"
        return await work(build(settings, store, secrets=link_secrets(settings), base_url=base_url).review)

    return with_store(settings, run)
