"""The `leadline` command."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from config import (
    commands,
    demo_commands,
    n8n_commands,
    person_commands,
    review_commands,
    store_commands,
    user_commands,
)
from config.settings import WrongSettings, load
from tracker.errors import LeadlineError

EXAMPLE = "example:\n  {}"


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) < 65_536:
        raise ValueError
    return port


def _speed(text: str) -> float:
    if not 0 < (speed := float(text)) <= 1e9:
        raise ValueError
    return speed


_port.__name__, _speed.__name__ = "port", "speed"  # what the parser calls them in its messages


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="leadline",
        description="Conversation-first server for product-led lead nurturing.",
        epilog=EXAMPLE.format("leadline serve --demo"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, example: str, to: argparse._SubParsersAction = sub) -> argparse.ArgumentParser:  # type: ignore[type-arg]
        made: argparse.ArgumentParser = to.add_parser(
            name,
            help=text,
            description=text,
            epilog=EXAMPLE.format(example),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.add_argument("--data", type=Path, help="the data folder (LEADLINE_DATA, default ./data)")
        return made

    serve = command("serve", "Run the server.", "leadline serve --port 8080 --demo")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=_port, default=8080, help="port to listen on (default 8080)")
    serve.add_argument("--role", choices=["all", "web", "worker"], default="all", help="what this process does")
    serve.add_argument("--workers", type=int, default=1, help="processes; more than 1 needs MongoDB (default 1)")
    serve.add_argument("--demo", action="store_true", help="bring the demo products; unset channels write files")
    serve.add_argument(
        "--demo-speed",
        type=_speed,
        metavar="N",
        help="delays of sequences pass N times as fast, with --demo (default 1)",
    )
    serve.set_defaults(run=commands.serve)

    check = command("check-config", "Check settings, store and products.", "leadline check-config")
    check.set_defaults(run=commands.check_config)

    keys = sub.add_parser("keys", help="API keys.").add_subparsers(dest="what", required=True, metavar="WHAT")
    create = command("create", "Make an API key and print it once.", "leadline keys create crm --scope ingest", keys)
    create.add_argument("name")
    create.add_argument("--scope", action="append", required=True, help="a scope; may be given several times")
    create.set_defaults(run=commands.keys_create)
    listing = command("list", "List API keys.", "leadline keys list", keys)
    listing.set_defaults(run=commands.keys_list)
    revoke = command("revoke", "Revoke the API keys of a name.", "leadline keys revoke crm", keys)
    revoke.add_argument("name")
    revoke.set_defaults(run=commands.keys_revoke)

    export = sub.add_parser("export", help="Exports.").add_subparsers(dest="what", required=True, metavar="WHAT")
    events = command(
        "events", "Write the ledger as CSV to standard output.", "leadline export events > events.csv", export
    )
    events.set_defaults(run=commands.export_events)
    n8n_commands.add(sub, command)
    user_commands.add(sub, command)
    person_commands.add(sub, command)
    review_commands.add(sub, command)
    store_commands.add(sub, command)
    demo_commands.add(sub, command)
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns: 0, 1 (failed) or 2 (usage, wrong settings)."""
    arguments = parser().parse_args(argv)
    try:
        settings = load(data=arguments.data)
        return int(arguments.run(settings, arguments))
    except WrongSettings as error:
        told = [": ".join(fault) for fault in error.faults] or [error.detail]
        print("\n".join(f"leadline: {line}" for line in told), file=sys.stderr)
        return 2
    except LeadlineError as error:
        print(f"leadline: {error.detail}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"leadline: {error.filename or 'cannot go on'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
