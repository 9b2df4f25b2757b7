"""Idempotency keys: a repeated request gets the answer of the first."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from tracker.errors import Invalid
from tracker.forgetting import forget
from tracker.model import Document
from tracker.store.port import Change, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import IDEMPOTENCY_EXPIRY, Kind
from tracker.times import Instant, instant, later, now

KEPT = timedelta(hours=24)


class Remembered(Document, frozen=True, kw_only=True):
    """An answer that was given. `answer` is its body as JSON text."""

    digest: str
    status: int
    answer: str
    headers: dict[str, str]
    expires_at: Instant


class Once:
    """One request under an Idempotency-Key. `recorded`: a use case keeps the answer in its own commit."""

    def __init__(self, where: str, key: str, digest: str):
        """Args: where: caller and route. digest: of the request's body."""
        self.id = hashlib.sha256(f"{where}\n{key}".encode(errors="surrogateescape")).hexdigest()
        self.digest, self.recorded = digest, False
        self._expired: Stored | None = None

    def known(self, found: Stored | None) -> Remembered | None:
        """Return the answer given before. Raises: Invalid: the key came with another body."""
        if found is None:
            return None
        remembered = Remembered.read(found.body)
        if remembered.expires_at <= instant(now()):
            self._expired = found
            return None
        if remembered.digest != self.digest:
            raise Invalid("this Idempotency-Key was used with another body")
        return remembered

    def change(self, status: int, body: Any, headers: Mapping[str, str]) -> Change:
        """The change that keeps an answer."""
        remembered = Remembered(
            digest=self.digest,
            status=status,
            answer=orjson.dumps(body).decode(),
            headers=dict(headers),
            expires_at=later(now(), seconds=KEPT.total_seconds()),
        ).body()
        if self._expired is not None:
            return Replace(Kind.IDEMPOTENCY, self.id, self._expired.version, remembered)
        return Insert(Kind.IDEMPOTENCY, self.id, remembered)


async def forget_expired(store: Store) -> int:
    """Remove answers whose day is over and return how many."""
    return await forget(store, IDEMPOTENCY_EXPIRY, high=instant(now()))
