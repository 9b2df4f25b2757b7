"""API keys: named, scoped, revocable, stored as hashes."""

import hashlib
import secrets
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from tracker import audit
from tracker.errors import Fault, Forbidden, Invalid, NotFound, Refused, Unauthenticated
from tracker.model import Document, clean
from tracker.reading import everything
from tracker.store.port import Change, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import KEYS_ALL, Kind
from tracker.times import Instant, instant, now
from tracker.unit import Decision, run

FRESH_SECONDS = 1.0
"""How long a revoked key may still be taken."""

PREFIX = "ll_"

SEED = "LEADLINE_API_KEY"
"""The name of the key of the settings."""

LONGEST_NAME = 100


class Scope(StrEnum):
    INGEST = "ingest"
    LEADS_READ = "leads:read"
    LEADS_WRITE = "leads:write"
    MESSAGES_SEND = "messages:send"
    CHAT = "chat"
    CONFIG_WRITE = "config:write"
    ANALYTICS_READ = "analytics:read"
    REVIEW = "review"
    ADMIN = "admin"


class ApiKey(Document, frozen=True, kw_only=True):
    """A key as it is stored; its document id is the hash."""

    name: str
    scopes: tuple[Scope, ...]
    created_at: Instant
    revoked_at: Instant | None = None


class Principal(NamedTuple):
    """Who calls."""

    name: str
    scopes: frozenset[Scope]

    def demand(self, scope: Scope) -> None:
        """Raises: Forbidden."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise Forbidden(f"this key lacks the scope {scope}")


class Keys:
    """The keys of a server. Answers are remembered for a second, so that a request costs no read."""

    def __init__(self, store: Store, *, seed: str | None = None, clock: Callable[[], float] = time.monotonic):
        """Args: seed: a key with the scope admin that comes from the settings and is not stored."""
        self._store, self._clock = store, clock
        self._seed = hash_key(seed) if seed else None
        self._known: dict[str, tuple[float, Principal]] = {}

    async def principal(self, authorization: str | None) -> Principal:
        """Return who sends this Authorization header. Raises: Unauthenticated."""
        known = self._known.get(authorization or "")
        if known is not None and self._clock() - known[0] < FRESH_SECONDS:
            return known[1]
        if authorization is None:
            raise Unauthenticated("send the header Authorization: Bearer <key>")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated("send the header Authorization: Bearer <key>")
        principal = await self._look_up(hash_key(key.strip()))
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[authorization] = (self._clock(), principal)
        return principal

    async def _look_up(self, hashed: str) -> Principal:
        if self._seed is not None and secrets.compare_digest(hashed, self._seed):
            return Principal(SEED, frozenset({Scope.ADMIN}))
        (found,) = await self._store.get(Kind.API_KEYS, hashed)
        key = ApiKey.read(found.body) if found else None
        if key is None or key.revoked_at is not None:
            raise Unauthenticated("the key is not known or was revoked")
        return Principal(key.name, frozenset(key.scopes))

    async def create(self, name: str, scopes: tuple[Scope, ...], *, by: str = "leadline") -> str:
        """Make a key and return it; it cannot be shown again.

        Raises: Invalid: a name that cannot be. Refused: another key in use has the name. A key is revoked by its name,
            and answers to repeat are kept by it.
        """
        name, scopes = clean(name), tuple(dict.fromkeys(scopes))
        if not 1 <= len(name) <= LONGEST_NAME:
            wanted = f"wants 1 to {LONGEST_NAME} characters"
            raise Invalid(f"the name {wanted}", Fault("name", wanted))
        if name == SEED or await self._in_use(name):
            raise Refused(f"a key named {name} is in use: revoke it first, or give this one another name")
        key = PREFIX + secrets.token_urlsafe(32)
        stored = ApiKey(name=name, scopes=scopes, created_at=instant(now()))
        noted = audit.entry(by, "key.create", name, at=stored.created_at, detail=", ".join(scopes))
        await self._store.commit(Insert(Kind.API_KEYS, hash_key(key), stored.body()), noted)
        return key

    async def _in_use(self, name: str) -> list[Stored]:
        found = everything(self._store, KEYS_ALL)
        return [d async for d in found if d.body["name"] == name and d.body["revoked_at"] is None]

    async def all(self) -> list[tuple[str, ApiKey]]:
        """Return every key with its hash."""
        return [(found.id, ApiKey.read(found.body)) async for found in everything(self._store, KEYS_ALL)]

    async def revoke(self, name: str, *, by: str = "leadline") -> int:
        """Revoke every key of this name and return how many. Raises: NotFound: there is none in use."""

        async def read() -> list[Stored]:
            return await self._in_use(name)

        def decide(found: list[Stored]) -> Decision[int]:
            at = instant(now())
            changes: list[Change] = [Replace(d.kind, d.id, d.version, {**d.body, "revoked_at": at}) for d in found]
            noted = [audit.entry(by, "key.revoke", name, at=at, detail=_counted(len(found)))] if found else []
            return Decision(len(found), [*changes, *noted])

        count = await run(self._store, read, decide)
        if not count:
            raise NotFound(f"there is no key in use named {name}")
        return count


def _counted(keys: int) -> str:
    return "1 key" if keys == 1 else f"{keys} keys"


def hash_key(key: str) -> str:
    """Keys carry 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
