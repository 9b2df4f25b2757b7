"""Delivering outbound events: at least once, in the order of each lead, receiver by receiver."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import NamedTuple

import orjson
import structlog

from n8n.addresses import parse
from n8n.outbound import Head, Outgoing, Planned, Way, changes, left, read_head, receivers
from n8n.outbound_events import OutboundType, alert, made
from n8n.posting import Posted, Poster
from n8n.subscriptions import Subscription, Subscriptions
from tracker import review
from tracker.forgetting import forget
from tracker.retry import ATTEMPTS, retry_at
from tracker.review import ReviewKind
from tracker.store.port import Change, Conflict, Delete, Replace, Store, StoreError
from tracker.store.port import Document as Stored
from tracker.store.schema import OUTBOUND_DELIVERED, OUTBOUND_DUE, OUTBOUND_QUEUED, Kind
from tracker.times import instant, just_after, later
from tracker.unit import Decision, run

log = structlog.get_logger()

AT_ONCE = 8
"""How many events one receiver gets at the same time, each of another lead."""

TURN_SECONDS = 1.0
"""A receiver that takes longer goes on by itself, and nobody waits for it."""

KEPT_DAYS = 7
"""How long an event that was delivered is kept."""

LATE_SECONDS = 10
"""What a delivery may take beyond its time-out before another process tries it."""


class _Settling(NamedTuple):
    """Attributes: alerts: who is told that the event was given up."""

    head: Head | None
    alerts: tuple[Planned, ...] = ()


class Deliverer:
    def __init__(
        self,
        store: Store,
        subscriptions: Subscriptions,
        poster: Poster,
        clock: Callable[[], datetime],
        *,
        timeout: float,
        retry_base: float,
        random: Random | None = None,
    ):
        """Args: timeout: seconds that a delivery may take. retry_base: see `retry_at`."""
        self._store, self._subscriptions, self._poster, self._clock = store, subscriptions, poster, clock
        self._lease = timeout + LATE_SECONDS
        self._retry_base, self._random = retry_base, random or Random()
        self._running: dict[str, asyncio.Task[int]] = {}

    async def work(self) -> int:
        """Deliver what is due, for a second or so, and return how many events were tried."""
        known = await self._subscriptions.known()
        for id, removed in known.removed.items():
            await self._drop(id, removed)
        for id, subscription in known.subscriptions.items():
            if id not in self._running:
                self._running[id] = asyncio.create_task(self._turn(id, subscription))
        if not self._running:
            return 0
        done, _ = await asyncio.wait(self._running.values(), timeout=TURN_SECONDS)
        for id in [id for id, task in self._running.items() if task in done]:
            del self._running[id]
        return sum(task.result() for task in done)

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._running.values())
        self._running.clear()
        await self._poster.close()

    async def _turn(self, id: str, subscription: Subscription) -> int:
        """Deliver to one receiver what is due, until a second has gone by."""
        loop, tried = asyncio.get_running_loop(), 0
        end = loop.time() + TURN_SECONDS
        try:
            while loop.time() < end:
                high = just_after(instant(self._clock()))
                page = await self._store.find(OUTBOUND_DUE, id, high=high, limit=AT_ONCE)
                went = await asyncio.gather(*(self._safely(found, subscription) for found in page.items))
                tried += sum(went)
                if not any(went):
                    break
        except StoreError as error:
            log.warning("the store is away", subscription_id=id, error=str(error))
        return tried

    async def _safely(self, found: Stored, subscription: Subscription) -> bool:
        """Deliver one event and return whether it was tried. What goes wrong costs the others nothing."""
        try:
            await self._deliver(found, subscription)
        except Conflict:
            return False  # another process has it
        except StoreError as error:
            log.warning("the store is away", outbound_id=found.id, error=str(error))
            return False
        except Exception:
            log.exception("an outbound event could not be handled", outbound_id=found.id)
        return True

    async def _deliver(self, found: Stored, subscription: Subscription) -> None:
        """Claim an event, send it, settle it. Raises: Conflict: somebody else was faster."""
        outgoing = Outgoing.read(found.body)
        claimed = outgoing.but(due_at=later(self._clock(), seconds=self._lease))
        await self._store.commit(Replace(Kind.OUTBOUND, found.id, found.version, claimed.body()))
        secret = subscription.secret or self._subscriptions.secret
        if secret is None:
            posted = Posted("there is nothing to sign with: set LEADLINE_OUTBOUND_SECRET")
        else:
            posted = await self._poster.post(subscription.url, outgoing.text.encode(), secret)
        await self._settle(found.id, posted, subscription, version=found.version + 1)

    async def _settle(self, id: str, posted: Posted, subscription: Subscription, *, version: int) -> None:
        """Keep what the receiver answered. Args: version: of the event as it was claimed."""

        async def read() -> _Settling:
            head = await read_head(self._store, id)
            if head is None or posted.error is None or head.outgoing.attempts + 1 < ATTEMPTS:
                return _Settling(head)
            return _Settling(head, tuple(await self._alerts(head, subscription)))

        def decide(known: _Settling) -> Decision[None]:
            head = known.head
            if head is None or head.outgoing.status is not Way.DUE:
                return Decision(None)
            if posted.error is None:  # true, whoever else has claimed it since
                return Decision(None, self._delivered(head))
            if head.found.version != version:
                return Decision(None)
            if head.outgoing.attempts + 1 < ATTEMPTS:
                return Decision(None, [self._again(head, posted)])
            return Decision(None, [*self._given_up(head, posted, subscription), *self._told(known)])

        await run(self._store, read, decide)

    def _delivered(self, head: Head) -> list[Change]:
        at, outgoing = instant(self._clock()), head.outgoing
        after = outgoing.but(status=Way.DELIVERED, attempts=outgoing.attempts + 1, error=None, settled_at=at)
        return [_write(head, after), *left(head, at=at)]

    def _again(self, head: Head, posted: Posted) -> Change:
        attempts = head.outgoing.attempts + 1
        due_at = retry_at(attempts, now=self._clock(), random=self._random, base=self._retry_base, after=posted.after)
        return _write(head, head.outgoing.but(attempts=attempts, error=posted.error, due_at=due_at))

    def _given_up(self, head: Head, posted: Posted, subscription: Subscription) -> list[Change]:
        """The event waits for a person, and the lead's next one goes."""
        at, outgoing, host = instant(self._clock()), head.outgoing, _host(subscription.url)
        dead = outgoing.but(status=Way.DEAD, attempts=outgoing.attempts + 1, error=posted.error, settled_at=at)
        item = review.item(
            ReviewKind.OUTBOUND,
            reason=f"the event {outgoing.type} did not reach {host} in {dead.attempts} attempts",
            error=posted.error or "",
            input={
                "outbound_id": head.found.id,
                "subscription_id": outgoing.subscription_id,
                "event": orjson.loads(outgoing.text),
            },
            at=at,
            lead_id=outgoing.lead_id,
            product_id=outgoing.product_id,
            attempts=dead.attempts,
            id=f"outbound-{head.found.id}-{outgoing.replays}",
        )
        return [_write(head, dead), item, *left(head, at=at)]

    async def _alerts(self, head: Head, subscription: Subscription) -> list[Planned]:
        """Tell the other receivers of alerts that this one cannot be reached; of an alert nobody is alerted."""
        outgoing = head.outgoing
        if outgoing.type == OutboundType.ALERT_RAISED:
            return []
        text = f"the event {outgoing.type} did not reach {_host(subscription.url)}: it waits in review"
        data = alert("outbound_given_up", text, subscription_id=outgoing.subscription_id, event_id=outgoing.event_id)
        if outgoing.lead_id:
            data = {"lead_id": outgoing.lead_id, "product_id": outgoing.product_id, **data}
        event = made(OutboundType.ALERT_RAISED, [head.found.id, str(outgoing.replays)], data, at=instant(self._clock()))
        known = await self._subscriptions.known()
        but_not = {outgoing.subscription_id}
        return list(await receivers(self._store, known, [event], lead_id=outgoing.lead_id, but_not=but_not))

    def _told(self, known: _Settling) -> list[Change]:
        assert known.head is not None
        outgoing = known.head.outgoing
        at = instant(self._clock())
        return list(changes(known.alerts, lead_id=outgoing.lead_id, product_id=outgoing.product_id, at=at))

    async def _drop(self, id: str, removed: Stored) -> None:
        """Drop what waits for a receiver that is no more, a few leads at a time."""
        page = await self._store.find(OUTBOUND_DUE, id, limit=AT_ONCE)
        for found in page.items:
            with contextlib.suppress(Conflict):  # it is being sent at this moment, or just planned
                await self._drop_lane(found)
        if not page.items:
            await self._subscriptions.forget(removed)

    async def _drop_lane(self, found: Stored) -> None:
        """Remove a lane, those behind first: what is cut off in between is found again by its first one."""
        lane = found.body["lane"]
        while behind := (await self._store.find(OUTBOUND_QUEUED, lane, limit=100)).items:
            await self._store.commit(*(Delete(Kind.OUTBOUND, one.id, one.version) for one in behind))
        (kept,) = await self._store.get(Kind.OUTBOUND_LANES, lane)
        ends: list[Change] = [Delete(Kind.OUTBOUND, found.id, found.version)]
        ends += [Delete(Kind.OUTBOUND_LANES, kept.id, kept.version)] if kept else []
        await self._store.commit(*ends)

    async def forget(self) -> int:
        """Remove events that were delivered a while ago and return how many."""
        return await forget(self._store, OUTBOUND_DELIVERED, high=later(self._clock(), hours=-24 * KEPT_DAYS))


def _write(head: Head, outgoing: Outgoing) -> Change:
    return Replace(Kind.OUTBOUND, head.found.id, head.found.version, outgoing.body())


def _host(url: str) -> str:
    """What may be shown of an address: its path may be a secret."""
    return parse(url).host or ""
