"""The parts around a store that tell the world outside of events, with a clock of their own and receivers that obey."""

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

import orjson

from n8n.delivering import Deliverer
from n8n.mending import OutboundMender, ThresholdMender
from n8n.outbound import OutboundEvents, Outgoing
from n8n.outbound_events import OutboundType
from n8n.posting import Posted
from n8n.subscriptions import Subscriptions
from n8n.thresholds import OpenThresholds, Thresholds
from tests.fakes import Clock
from tracker.catalog import Catalog
from tracker.contacts import Contacts, NewLead
from tracker.events import Channel, EventType, Happening
from tracker.ingestion import Ingestion
from tracker.logins import Login
from tracker.model import new_id
from tracker.ports import Mender
from tracker.product import ProductConfig
from tracker.recorder import Recorder
from tracker.review import ReviewKind
from tracker.reviews import Review
from tracker.store.port import Document, Page, Store
from tracker.store.schema import OUTBOUND_DELIVERED, REVIEW_ALL, Kind
from tracker.times import instant

SECRET = "a secret of the tests"
URL = "https://receiver.test/hook"
OTHER = "https://other.test/hook"


class Got(NamedTuple):
    url: str
    event: Mapping[str, Any]


class ScriptedPoster:
    """Receivers that answer as they are told, then yes for ever; keeps what they got."""

    def __init__(self, *answers: Posted):
        self.answers = deque(answers)
        self.got: list[Got] = []
        self.refusing: dict[str, Posted] = {}

    async def post(self, url: str, body: bytes, secret: str) -> Posted:
        assert secret
        self.got.append(Got(url, orjson.loads(body)))
        if url in self.refusing:
            return self.refusing[url]
        return self.answers.popleft() if self.answers else Posted()

    async def close(self) -> None:
        return None


class CountingStore:
    """A store that counts what is read from it."""

    def __init__(self, store: Store):
        self._store, self.reads = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, kind: Kind, *ids: str) -> list[Document | None]:
        self.reads += 1
        return await self._store.get(kind, *ids)

    async def find(self, *args: Any, **more: Any) -> Page:
        self.reads += 1
        return await self._store.find(*args, **more)


class Rig:
    def __init__(self, store: Store, clock: Clock, poster: ScriptedPoster | None = None):
        self.store, self.clock, self.poster = store, clock, poster or ScriptedPoster()
        self.ticks = 0.0
        self.subscriptions = Subscriptions(store, clock, secret=SECRET, ticks=lambda: self.ticks)
        self.catalog = Catalog(store, NoTemplates())
        reactors = (OutboundEvents(self.subscriptions, base_url="https://leads.test"), OpenThresholds())
        self.recorder = Recorder(store, self.catalog, clock, reactors)
        self.ingestion = Ingestion(store, self.catalog, clock, reactors)
        self.contacts = Contacts(self.recorder)
        self.deliverer = Deliverer(
            store, self.subscriptions, self.poster, clock, timeout=15, retry_base=30, random=Random(7)  # type: ignore[arg-type]
        )  # fmt: skip
        self.thresholds = Thresholds(self.recorder, self.subscriptions)
        menders: dict[ReviewKind, Mender] = {
            ReviewKind.OUTBOUND: OutboundMender(store, self.subscriptions, clock),
            ReviewKind.THRESHOLD: ThresholdMender(self.recorder, self.subscriptions),
        }
        self.review = Review(store, clock, menders)

    async def furnish(self, **config: Any) -> None:
        given = {"product_id": "flow", "name": "Flow", **config}
        await self.catalog.put(ProductConfig.model_validate(given), author="tests")

    async def subscribe(self, *types: OutboundType, url: str = URL) -> str:
        return (await self.subscriptions.add(url, types or tuple(OutboundType))).id

    async def login(self, user: str = "u1", **more: Any) -> str:
        record = {
            "event_id": new_id(),
            "crm_user_id": user,
            "organization_id": "org",
            "product_id": "flow",
            "occurred_at": instant(self.clock()),
            **more,
        }
        (result,) = await self.ingestion.record([Login.model_validate(record, context={"now": self.clock()})])
        assert result.lead_id is not None
        return result.lead_id

    async def lead(self, **fields: Any) -> str:
        given = NewLead.model_validate({"product_id": "flow", "email": "dana@example.com", **fields})
        return (await self.contacts.create(given, actor="tests", record=lambda: None)).lead_id

    async def happen(self, lead_id: str, event_type: EventType, channel: Channel, **metadata: Any) -> None:
        at = instant(self.clock())
        await self.recorder.event(lead_id, Happening("tests", new_id(), event_type, channel, at, metadata))

    async def quiet(self) -> None:
        """Deliver until nothing is due, and no turn is left that took longer than `work` waits for one."""
        for _ in range(50):
            if not await self.deliverer.work() and not self.deliverer._running:
                return
        raise AssertionError("delivery does not come to rest")

    async def told(self, *types: OutboundType) -> list[Mapping[str, Any]]:
        """Deliver, and return the events that came meanwhile."""
        before = len(self.poster.got)
        await self.quiet()
        return [got.event for got in self.poster.got[before:] if not types or got.event["type"] in types]

    async def outgoing(self, event_id: str, subscription_id: str) -> Outgoing:
        (found,) = await self.store.get(Kind.OUTBOUND, f"{event_id}:{subscription_id}")
        assert found is not None
        return Outgoing.read(found.body)

    async def delivered(self) -> list[Document]:
        return (await self.store.find(OUTBOUND_DELIVERED, limit=1000)).items

    async def reviews(self) -> list[Document]:
        return (await self.store.find(REVIEW_ALL, limit=1000)).items


class NoTemplates:
    async def missing(self, wanted: Any, product_id: str) -> set[Any]:
        return set()


def verified(header: str, body: bytes, secret: str) -> bool:
    """What a receiver does, as the docs say it."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"])
