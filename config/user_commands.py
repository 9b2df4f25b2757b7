"""`leadline users`: who may sign in at the desk."""

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from config.commands import UsageError, who, with_store
from config.settings import Settings
from tracker.desk.passwords import SHORTEST, check
from tracker.desk.users import Role, Users
from tracker.errors import Invalid
from tracker.store.port import Store


def add(sub: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the `users` commands. Args: sub: subparsers of the main parser. command: makes one, as `__main__` does."""
    users = sub.add_parser("users", help="Who may sign in at the desk.").add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    made = command("add", "Make a user of the desk.", "leadline users add ana --role sales", users)
    made.add_argument("name")
    made.add_argument(
        "--role", choices=list(Role), default=Role.SALES, type=str, help="what they may do (default sales)"
    )
    _takes_password(made)
    made.set_defaults(run=users_add)
    changed = command("passwd", "Give a user another password.", "leadline users passwd ana", users)
    changed.add_argument("name")
    _takes_password(changed)
    changed.set_defaults(run=users_passwd)
    listed = command("list", "List the users of the desk.", "leadline users list", users)
    listed.set_defaults(run=users_list)
    removed = command("remove", "Take a user out and end their sessions.", "leadline users remove ana", users)
    removed.add_argument("name")
    removed.set_defaults(run=users_remove)


def _takes_password(made: argparse.ArgumentParser) -> None:
    made.add_argument("--password-stdin", action="store_true", help="read the password, one line, from standard input")


def users_add(settings: Settings, arguments: argparse.Namespace) -> int:
    password = _password(arguments)

    async def work(users: Users) -> str:
        user = await users.add(arguments.name, password, Role(arguments.role), by=who("leadline users"))
        return f"{user.name} ({user.role}) may sign in at /desk"

    return _with_users(settings, work)


def users_passwd(settings: Settings, arguments: argparse.Namespace) -> int:
    password = _password(arguments)

    async def work(users: Users) -> str:
        user = await users.change_password(arguments.name, password, by=who("leadline users"))
        return f"{user.name} has a new password; every session with the old one has ended"

    return _with_users(settings, work)


def users_list(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(users: Users) -> str:
        return "\n".join(f"{user.name}  {user.role}  {user.created_at}" for user in await users.all())

    return _with_users(settings, work)


def users_remove(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(users: Users) -> str:
        await users.remove(arguments.name, by=who("leadline users"))
        return f"removed {arguments.name}"

    return _with_users(settings, work)


def _with_users(settings: Settings, work: Callable[[Users], Awaitable[str]]) -> int:
    async def run(store: Store) -> int:
        told = await work(Users(store))
        if told:
            print(told)
        return 0

    return with_store(settings, run)


def _password(arguments: argparse.Namespace) -> str:
    """Ask for a password, or read it. Raises: UsageError: there is nobody to ask. Invalid: it cannot be used."""
    if arguments.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked for the password: give it on standard input, --password-stdin")
    else:
        password = getpass.getpass(f"Password ({SHORTEST} characters or more): ")
        check(password)
        if getpass.getpass("Once more: ") != password:
            raise Invalid("the two passwords differ; nothing was changed")
    check(password)
    return password
