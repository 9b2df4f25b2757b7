"""Who is signed in. The browser holds a random token, the store its hash."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from tracker.desk.users import User, user_id
from tracker.forgetting import forget
from tracker.model import Document
from tracker.store.port import Conflict, Delete, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import SESSIONS_EXPIRY, Kind
from tracker.times import Instant, instant, later, now

IDLE_HOURS = 12
LONGEST_HOURS = 24 * 7
"""After so long even a busy session wants the password again."""

NOTED_EVERY = 600
"""Seconds: a busy session costs no more than one write in so long."""


class Session(Document, frozen=True, kw_only=True):
    """Attributes: user: id of the user. password: salt of the password that opened it, so that it ends with it."""

    user: str
    password: str
    created_at: Instant
    seen_at: Instant
    expires_at: Instant


class Visitor(NamedTuple):
    """Somebody who is signed in. `csrf`: what each of their forms carries."""

    user: User
    csrf: str


class Sessions:
    def __init__(self, store: Store, clock: Callable[[], datetime]):
        self._store, self._clock = store, clock

    async def open(self, user: User) -> str:
        """Return the token of a new session."""
        token = secrets.token_urlsafe(32)
        at = self._clock()
        session = Session(
            user=user_id(user.name),
            password=user.password.salt,
            created_at=instant(at),
            seen_at=instant(at),
            expires_at=later(at, hours=IDLE_HOURS),
        )
        await self._store.commit(Insert(Kind.SESSIONS, _hash(token), session.body()))
        return token

    async def visitor(self, token: str | None, *, noted: bool = True) -> Visitor | None:
        """Return who shows this token, None when it opens nothing (any more).

        Args: noted: the visit keeps the session from ending; a page that asks by itself does not.
        """
        if not token:
            return None
        (found,) = await self._store.get(Kind.SESSIONS, _hash(token))
        if found is None:
            return None
        session = Session.read(found.body)
        (known,) = await self._store.get(Kind.USERS, session.user)
        user = User.read(known.body) if known else None
        if user is None or user.password.salt != session.password or session.expires_at <= instant(self._clock()):
            return None
        if noted:
            await self._note(found, session)
        return Visitor(user, csrf_token(token))

    async def _note(self, found: Stored, session: Session) -> None:
        at = self._clock()
        if session.seen_at > later(at, seconds=-NOTED_EVERY):
            return
        longest = later(datetime.fromisoformat(session.created_at), hours=LONGEST_HOURS)
        seen = session.but(seen_at=instant(at), expires_at=min(later(at, hours=IDLE_HOURS), longest))
        try:
            await self._store.commit(Replace(Kind.SESSIONS, found.id, found.version, seen.body()))
        except Conflict:  # another page of the same browser was faster
            return

    async def end(self, token: str | None) -> None:
        """Sign out; fine when nobody was signed in."""
        if not token:
            return
        (found,) = await self._store.get(Kind.SESSIONS, _hash(token))
        while found is not None:
            try:
                await self._store.commit(Delete(found.kind, found.id, found.version))
                return
            except Conflict:  # another page of the same browser notes its visit
                (found,) = await self._store.get(found.kind, found.id)


async def forget_expired(store: Store, *, at: datetime | None = None) -> int:
    """Remove sessions that are over and return how many."""
    return await forget(store, SESSIONS_EXPIRY, high=instant(at or now()))


def csrf_token(token: str) -> str:
    """What a session's forms carry: derived from a secret that no other site can read."""
    return hashlib.blake2b(token.encode(errors="surrogateescape"), digest_size=24, person=b"leadline desk").hexdigest()


def _hash(token: str) -> str:
    """Tokens carry 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
