"""`leadline erase`: a person is removed everywhere, while the server runs or not."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from config.commands import link_secrets, who, with_store
from config.settings import Settings
from tracker.store.port import Store


def add(sub: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command. Args: sub: subparsers of the main parser. command: makes one, as `__main__` does."""
    made = command("erase", "Erase a person everywhere, and print the receipt.", "leadline erase dana@acme.example")
    made.add_argument("person", help="a person's id, the id of one of its leads, or its e-mail address")
    made.add_argument("--yes", action="store_true", help="do not ask")
    made.set_defaults(run=erase)


def erase(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(store: Store) -> int:
        import orjson

        from channels.templates import TemplateCatalog
        from config.privacy import make_privacy
        from tracker.catalog import Catalog
        from tracker.opt_outs import OptOuts
        from tracker.recorder import Recorder
        from tracker.times import now

        opt_outs = OptOuts(store, link_secrets(settings))
        recorder = Recorder(store, Catalog(store, TemplateCatalog(store)), now, opt_outs=opt_outs)
        privacy = make_privacy(recorder, settings.outbox)
        whole = await privacy.whole(await privacy.named(arguments.person))
        name = whole.person.email or whole.person.name or whole.persons[0].id
        if not arguments.yes and not _sure(f"Erase {name}, {len(whole.leads)} leads and all that was said? [y/N] "):
            print("nothing was erased", file=sys.stderr)
            return 1
        receipt = await privacy.erase(whole.persons[0].id, by=who("leadline erase"))
        print(orjson.dumps({"erasure_id": receipt.id, **receipt.erasure.body()}, option=orjson.OPT_INDENT_2).decode())
        return 0

    return with_store(settings, work)


def _sure(question: str) -> bool:
    """Ask on a terminal; elsewhere nobody can answer, so that is a no."""
    if not sys.stdin.isatty():
        print("leadline: say --yes where nobody can be asked", file=sys.stderr)
        return False
    return input(question).strip().lower() in {"y", "yes"}
