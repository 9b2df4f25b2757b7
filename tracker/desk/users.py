"""People who use the desk: a name, a role, a password."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from tracker import audit
from tracker.desk import passwords
from tracker.desk.passwords import Cost, PasswordHash
from tracker.errors import Fault, Invalid, NotFound, Refused
from tracker.model import Document, clean
from tracker.reading import everything
from tracker.store.port import Delete, Duplicate, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import USERS_ALL, Kind
from tracker.times import Instant, instant, now
from tracker.unit import Decision, run

LONGEST_NAME = 100
AT_ONCE = 2
"""Passwords that are hashed at the same time: each takes a core and 32 MB for a while."""


class Role(StrEnum):
    SALES = "sales"
    MARKETING = "marketing"
    ADMIN = "admin"

    @property
    def may_act(self) -> bool:
        """Whether they answer handoffs and settle what is in review; everybody reads."""
        return self is not Role.MARKETING


class User(Document, frozen=True, kw_only=True):
    name: str
    role: Role
    password: PasswordHash
    created_at: Instant
    updated_at: Instant


class Users:
    def __init__(self, store: Store, clock: Callable[[], datetime] = now, *, cost: Cost | None = None):
        """Args: cost: of new passwords; tests choose a cheap one."""
        self._store, self._clock, self._cost = store, clock, cost or Cost()
        self._hashing = asyncio.Semaphore(AT_ONCE)
        self._nobody = PasswordHash(n=self._cost.n, r=self._cost.r, p=self._cost.p, salt="00" * 16, digest="00" * 32)

    async def add(self, name: str, password: str, role: Role = Role.SALES, *, by: str = "leadline") -> User:
        """Raises: Invalid: a name or password that cannot be. Refused: the name is taken."""
        name = clean(name)
        if not 1 <= len(name) <= LONGEST_NAME:
            wanted = f"wants 1 to {LONGEST_NAME} characters"
            raise Invalid(f"the name {wanted}", Fault("name", wanted))
        passwords.check(password)
        at = instant(self._clock())
        hashed = await asyncio.to_thread(passwords.hashed, password, self._cost)
        user = User(name=name, role=role, password=hashed, created_at=at, updated_at=at)
        try:
            noted = audit.entry(by, "user.add", name, at=at, detail=role)
            await self._store.commit(Insert(Kind.USERS, user_id(name), user.body()), noted)
        except Duplicate as error:
            raise Refused(f"there is a user named {name} already") from error
        return user

    async def change_password(self, name: str, password: str, *, by: str = "leadline") -> User:
        """Set another password and end every session of the user. Raises: NotFound, Invalid."""
        passwords.check(password)
        await self._found(name)
        hashed = await asyncio.to_thread(passwords.hashed, password, self._cost)

        def decide(found: Stored) -> Decision[User]:
            at = instant(self._clock())
            user = User.read(found.body).but(password=hashed, updated_at=at)
            noted = audit.entry(by, "user.passwd", user.name, at=at)
            return Decision(user, [Replace(Kind.USERS, found.id, found.version, user.body()), noted])

        return await run(self._store, lambda: self._found(name), decide)

    async def remove(self, name: str, *, by: str = "leadline") -> None:
        """Take a user out; their sessions end with them. Raises: NotFound."""

        def decide(found: Stored) -> Decision[None]:
            noted = audit.entry(by, "user.remove", User.read(found.body).name, at=instant(self._clock()))
            return Decision(None, [Delete(Kind.USERS, found.id, found.version), noted])

        await run(self._store, lambda: self._found(name), decide)

    async def all(self) -> list[User]:
        """Return every user, by name."""
        return [User.read(found.body) async for found in everything(self._store, USERS_ALL)]

    async def verified(self, name: str, password: str) -> User | None:
        """Return the user whose name and password these are. Whoever is unknown costs as much work as whoever is not.

        A password that could never have been set is not hashed: it says nothing about who exists.
        """
        if len(password) > passwords.LONGEST:
            return None
        (found,) = await self._store.get(Kind.USERS, user_id(clean(name)))
        user = User.read(found.body) if found else None
        async with self._hashing:
            fits = await asyncio.to_thread(passwords.matches, password, user.password if user else self._nobody)
        return user if fits else None

    async def _found(self, name: str) -> Stored:
        (found,) = await self._store.get(Kind.USERS, user_id(clean(name)))
        if found is None:
            raise NotFound(f"there is no user named {clean(name)}")
        return found


def user_id(name: str) -> str:
    """Ana and ana are one user."""
    return name.casefold()
