"""Who is told of events: addresses from the settings and those registered over the API."""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from n8n.addresses import parse
from n8n.outbound_events import OutboundType
from tracker import audit
from tracker.errors import NotFound, Refused
from tracker.model import Document
from tracker.store.port import Change, Cursor, Delete, Insert, Page, Replace, Stale, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import SUBSCRIPTIONS_ALL, Kind
from tracker.times import Instant, instant, later
from tracker.unit import Decision, run

FRESH_SECONDS = 1.0
"""How long another process's change may go unseen."""

MOST = 100
SETTINGS = "LEADLINE_OUTBOUND_URLS"
FORGOTTEN_SECONDS = 60
"""How long a subscription that was removed is remembered: commits under way may still plan something for it."""


class Subscription(Document, frozen=True, kw_only=True):
    """Attributes: secret: signs what is sent; None for the one of the settings. deleted_at: nothing is sent since."""

    url: str
    types: tuple[str, ...]
    secret: str | None = None
    from_settings: bool = False
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None = None


class Known(NamedTuple):
    """Attributes: subscriptions: those in use, by id. types: what any of them wants. removed: those that are not."""

    subscriptions: Mapping[str, Subscription]
    types: frozenset[str]
    removed: Mapping[str, Stored]


class Added(NamedTuple):
    """Attributes: secret: one that was made, to be shown now and never again."""

    id: str
    subscription: Subscription
    new: bool
    secret: str | None = None


class Subscriptions:
    """Reads are remembered for a second, so that a commit costs none."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        secret: str | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ):
        """Args: secret: of the settings."""
        self._store, self._clock, self._ticks = store, clock, ticks
        self.secret = secret
        self._known: Known | None = None
        self._asked = 0.0

    def may_want(self) -> bool:
        """Whether somebody wants an event, or has to be asked anew."""
        known = self._known
        return known is None or bool(known.types) or self._ticks() - self._asked > FRESH_SECONDS

    async def known(self) -> Known:
        """Return the subscriptions as they were a second ago at the most."""
        now = self._ticks()
        if self._known is None or now - self._asked > FRESH_SECONDS:
            self._known, self._asked = _known((await self._store.find(SUBSCRIPTIONS_ALL, limit=1000)).items), now
        return self._known

    async def fresh(self) -> Known:
        """Return the subscriptions as they are."""
        self._known = None
        return await self.known()

    async def page(self, *, after: Cursor | None, limit: int) -> tuple[Mapping[str, Subscription], Page]:
        """Return some of those in use, by id, and the page that they are of."""
        page = await self._store.find(SUBSCRIPTIONS_ALL, after=after, limit=limit)
        return _known(page.items).subscriptions, page

    async def add(self, url: str, types: Sequence[str], secret: str | None = None, *, by: str = "leadline") -> Added:
        """Register an address, or change what one that is registered gets: an address is told of an event once.

        Without a secret the one of the settings signs; where there is none, one is made.

        Raises: Refused: the settings name the address, or there are too many.
        """
        id, made = address_id(url), secrets.token_urlsafe(32)

        async def read() -> tuple[Stored | None, Known]:
            (found,) = await self._store.get(Kind.SUBSCRIPTIONS, id)
            return found, await self.fresh()

        def decide(stands: tuple[Stored | None, Known]) -> Decision[Added]:
            found, known = stands
            at = instant(self._clock())
            before = Subscription.read(found.body) if found else None
            if before is not None and before.deleted_at is not None:
                before = None
            if before is not None and before.from_settings:
                raise Refused("LEADLINE_OUTBOUND_URLS names this address: it gets every event already")
            if before is None and len(known.subscriptions) >= MOST:
                raise Refused(f"there are {MOST} subscriptions, which is the most; remove one first")
            own = secret or (before.secret if before else None)
            shown = made if own is None and self.secret is None else None
            subscription = Subscription(
                url=url,
                types=tuple(type for type in OutboundType if type in types),
                secret=own or shown,
                created_at=before.created_at if before else at,
                updated_at=at,
            )
            changes = [_write(id, found, subscription), _noted(by, "subscription.put", id, subscription)]
            return Decision(Added(id, subscription, before is None, shown), changes)

        added = await run(self._store, read, decide)
        self._known = None
        return added

    async def remove(self, id: str, *, by: str = "leadline") -> None:
        """End a subscription; what waits for it is dropped.

        Raises: NotFound. Refused: the settings name it.
        """

        async def read() -> Stored:
            (found,) = await self._store.get(Kind.SUBSCRIPTIONS, id)
            if found is None or found.body["deleted_at"] is not None:
                raise NotFound(f"there is no subscription {id}")
            return found

        def decide(found: Stored) -> Decision[None]:
            subscription = Subscription.read(found.body)
            if subscription.from_settings:
                raise Refused("this address comes from LEADLINE_OUTBOUND_URLS: take it out there")
            ended = self._ended(subscription)
            return Decision(None, [_write(id, found, ended), _noted(by, "subscription.remove", id, ended)])

        await run(self._store, read, decide)
        self._known = None

    async def adopt(self, urls: Sequence[str]) -> None:
        """Make the store's subscriptions from settings exactly these addresses; each gets every type."""

        async def read() -> dict[str, Stored]:
            return {found.id: found for found in (await self._store.find(SUBSCRIPTIONS_ALL, limit=1000)).items}

        def decide(found: dict[str, Stored]) -> Decision[None]:
            at, wanted = instant(self._clock()), {address_id(url): url for url in urls}
            changes: list[Change] = []
            for id, url in wanted.items():
                subscription = Subscription(
                    url=url, types=tuple(OutboundType), from_settings=True, created_at=at, updated_at=at
                )
                if id not in found or not _same(Subscription.read(found[id].body), subscription):
                    changes.append(_write(id, found.get(id), subscription))
                    changes.append(_noted(SETTINGS, "subscription.put", id, subscription))
            for id, document in found.items():
                subscription = Subscription.read(document.body)
                if subscription.from_settings and subscription.deleted_at is None and id not in wanted:
                    ended = self._ended(subscription)
                    changes.append(_write(id, document, ended))
                    changes.append(_noted(SETTINGS, "subscription.remove", id, ended))
            return Decision(None, changes)

        await run(self._store, read, decide)
        self._known = None

    def _ended(self, subscription: Subscription) -> Subscription:
        at = instant(self._clock())
        return subscription.but(deleted_at=at, updated_at=at, secret=None)

    async def forget(self, found: Stored) -> None:
        """Remove what is left of a subscription that was ended a while ago."""
        if found.body["deleted_at"] < later(self._clock(), seconds=-FORGOTTEN_SECONDS):
            with contextlib.suppress(Stale):
                await self._store.commit(Delete(Kind.SUBSCRIPTIONS, found.id, found.version))
            self._known = None


def address_id(url: str) -> str:
    """The id of the subscription of an address: it has one."""
    return f"sub_{hashlib.blake2b(url.encode(), digest_size=10).hexdigest()}"


def _known(found: Sequence[Stored]) -> Known:
    all_of_them = {document.id: (document, Subscription.read(document.body)) for document in found}
    subscriptions = {id: one for id, (_, one) in all_of_them.items() if one.deleted_at is None}
    removed = {id: document for id, (document, one) in all_of_them.items() if one.deleted_at is not None}
    return Known(subscriptions, frozenset(type for one in subscriptions.values() for type in one.types), removed)


def _same(one: Subscription, other: Subscription) -> bool:
    return one.but(created_at=other.created_at, updated_at=other.updated_at) == other


def _noted(by: str, action: str, id: str, subscription: Subscription) -> Change:
    """Of an address only the host is told: its path may be a secret."""
    host = parse(subscription.url).host or ""
    return audit.entry(by, action, id, at=subscription.updated_at, detail=host)


def _write(id: str, found: Stored | None, subscription: Subscription) -> Change:
    if found is None:
        return Insert(Kind.SUBSCRIPTIONS, id, subscription.body())
    return Replace(Kind.SUBSCRIPTIONS, id, found.version, subscription.body())
