"""Outbound events on their way: planned in the commit that causes them, one after the other for each lead and receiver.

A lane is what waits for one receiver about one lead. Only its first event is due; the next becomes so in the commit
that settles the one before. A lane's document exists while something waits, and its version keeps planners and senders
from overlooking each other.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from n8n.outbound_events import OutboundEvent, happened
from n8n.subscriptions import Known, Subscriptions
from tracker.model import Document
from tracker.ports import Facts
from tracker.store.port import Change, Delete, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import OUTBOUND_QUEUED, Kind
from tracker.times import Instant, instant


class Way(StrEnum):
    """Where an event stands on its way to one receiver."""

    QUEUED = "queued"  # another one of its lane goes first
    DUE = "due"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; a person may send it again


class Outgoing(Document, frozen=True, kw_only=True):
    """An event for one receiver.

    Attributes: number: its place in the lane. text: the JSON that the receiver gets. due_at: when it is tried; while it
    is being sent, when somebody else may try. attempts: since it was planned, or sent again by a person.
    """

    subscription_id: str
    lane: str
    number: int
    status: Way
    event_id: str
    type: str
    text: str
    due_at: Instant
    created_at: Instant
    lead_id: str | None = None
    product_id: str | None = None
    attempts: int = 0
    replays: int = 0
    error: str | None = None
    settled_at: Instant | None = None


class Lane(Document, frozen=True, kw_only=True):
    """Attributes: next: number of the next event. waiting: how many are queued or due."""

    next: int = 0
    waiting: int = 0


def lane_id(subscription_id: str, lead_id: str | None) -> str:
    return f"{subscription_id}:{lead_id or ''}"


def planned(
    subscription_id: str,
    events: Sequence[OutboundEvent],
    found: Stored | None,
    *,
    lead_id: str | None,
    product_id: str | None,
    at: Instant,
) -> list[Change]:
    """Return the changes that put events at the end of a lane.

    Args: found: the lane; None while nothing waits there.
    """
    lane = Lane.read(found.body) if found else Lane()
    id = lane_id(subscription_id, lead_id)
    changes: list[Change] = []
    for number, event in enumerate(events):
        first = lane.waiting + number == 0
        outgoing = Outgoing(
            subscription_id=subscription_id,
            lane=id,
            number=lane.next + number,
            status=Way.DUE if first else Way.QUEUED,
            event_id=event.id,
            type=event.type,
            text=event.text(),
            due_at=at,
            created_at=at,
            lead_id=lead_id,
            product_id=product_id,
        )
        changes.append(Insert(Kind.OUTBOUND, f"{event.id}:{subscription_id}", outgoing.body()))
    return [*changes, _longer(id, found, lane, len(events))]


def again(outgoing: Stored, found: Stored | None, *, at: Instant) -> list[Change]:
    """Return the changes that put an event that was given up at the end of its lane once more."""
    before = Outgoing.read(outgoing.body)
    lane = Lane.read(found.body) if found else Lane()
    after = before.but(
        number=lane.next,
        status=Way.QUEUED if lane.waiting else Way.DUE,
        due_at=at,
        attempts=0,
        replays=before.replays + 1,
        settled_at=None,
    )
    return [Replace(Kind.OUTBOUND, outgoing.id, outgoing.version, after.body()), _longer(before.lane, found, lane, 1)]


def _longer(id: str, found: Stored | None, lane: Lane, by: int) -> Change:
    body = lane.but(next=lane.next + by, waiting=lane.waiting + by).body()
    return Replace(Kind.OUTBOUND_LANES, id, found.version, body) if found else Insert(Kind.OUTBOUND_LANES, id, body)


class Head(NamedTuple):
    """The first event of a lane as it was read. Attributes: following: the next one that waits."""

    found: Stored
    outgoing: Outgoing
    lane: Stored | None
    following: Stored | None


async def read_head(store: Store, id: str) -> Head | None:
    (found,) = await store.get(Kind.OUTBOUND, id)
    if found is None:
        return None
    outgoing = Outgoing.read(found.body)
    (lane,) = await store.get(Kind.OUTBOUND_LANES, outgoing.lane)
    page = await store.find(OUTBOUND_QUEUED, outgoing.lane, limit=1)
    return Head(found, outgoing, lane, page.items[0] if page.items else None)


def left(head: Head, *, at: Instant) -> list[Change]:
    """Return the changes that let the next of a lane go, when its first one has reached its end."""
    if head.lane is None:
        return []
    lane = Lane.read(head.lane.body)
    if lane.waiting <= 1 or head.following is None:
        return [Delete(Kind.OUTBOUND_LANES, head.lane.id, head.lane.version)]
    following = Outgoing.read(head.following.body).but(status=Way.DUE, due_at=at)
    shorter = lane.but(waiting=lane.waiting - 1)
    return [
        Replace(Kind.OUTBOUND_LANES, head.lane.id, head.lane.version, shorter.body()),
        Replace(Kind.OUTBOUND, head.following.id, head.following.version, following.body()),
    ]


class Planned(NamedTuple):
    """Events for one receiver, and its lane as it was read."""

    subscription_id: str
    events: Sequence[OutboundEvent]
    lane: Stored | None


NOTHING: Sequence[Planned] = ()


class OutboundEvents:
    """The reactor that plans outbound events. Where nobody wants a type, nothing is made of it and nothing is read."""

    def __init__(self, subscriptions: Subscriptions, *, base_url: str):
        """Args: base_url: how people reach this server."""
        self._subscriptions, self._base_url = subscriptions, base_url

    def concerns(self, facts: Facts) -> bool:
        return self._subscriptions.may_want()

    async def read(self, store: Store, facts: Facts) -> Sequence[Planned]:
        known = await self._subscriptions.known()
        if not known.types:
            return NOTHING
        events = happened(facts, known.types, base_url=self._base_url)
        return await receivers(store, known, events, lead_id=facts.lead_id) if events else NOTHING

    def decide(self, facts: Facts, known: Sequence[Planned]) -> Iterable[Change]:
        if not known:
            return ()
        return changes(known, lead_id=facts.lead_id, product_id=facts.lead.product_id, at=instant(facts.now))


async def receivers(
    store: Store,
    known: Known,
    events: Sequence[OutboundEvent],
    *,
    lead_id: str | None,
    but_not: Collection[str] = (),
) -> Sequence[Planned]:
    """Return who is to get which of the events. Args: but_not: subscriptions that get none."""
    wanting = [
        (id, wanted)
        for id, subscription in known.subscriptions.items()
        if id not in but_not and (wanted := [event for event in events if event.type in subscription.types])
    ]
    lanes = await store.get(Kind.OUTBOUND_LANES, *(lane_id(id, lead_id) for id, _ in wanting)) if wanting else []
    return [Planned(id, wanted, lane) for (id, wanted), lane in zip(wanting, lanes, strict=True)]


def changes(
    all_planned: Sequence[Planned], *, lead_id: str | None, product_id: str | None, at: Instant
) -> Iterable[Change]:
    for plan in all_planned:
        yield from planned(plan.subscription_id, plan.events, plan.lane, lead_id=lead_id, product_id=product_id, at=at)
