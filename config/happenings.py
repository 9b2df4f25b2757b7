"""What is going on, in a few reads whose cost does not grow with the store: for the demo's start page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from channels.messages import PRIORITY
from tracker.catalog import Catalog
from tracker.desk.story import EVENTS
from tracker.events import Channel
from tracker.handoff import HandoffStatus
from tracker.handoff_view import name
from tracker.points import points
from tracker.product import ProductConfig
from tracker.reading import Found, with_persons
from tracker.review import ReviewStatus
from tracker.stages import Stage
from tracker.store.port import Document, Scalar, Store
from tracker.store.schema import (
    COUNTERS_BY_PRODUCT,
    EVENTS_BY_LEAD,
    HANDOFFS_BY_STATUS,
    LEADS_ALL,
    LEADS_BY_STAGE,
    MESSAGES_DUE,
    PRODUCTS_ALL,
    REVIEW_BY_STATUS,
    Index,
    Kind,
)
from tracker.times import Instant, instant

MOST = 250
"""Nothing is counted further than this."""

PRODUCTS, NEWEST, COMING = 6, 8, 6
"""How many are shown."""

TODAY: Mapping[str, tuple[str, str]] = {
    "events.login": ("login", "logins"),
    "events.email_sent": ("mail sent", "mails sent"),
    "events.email_open": ("mail opened", "mails opened"),
    "events.email_click": ("link followed", "links followed"),
    "events.whatsapp_sent": ("WhatsApp message sent", "WhatsApp messages sent"),
    "events.whatsapp_reply": ("WhatsApp reply", "WhatsApp replies"),
    "events.chatbot_interaction": ("chat remark", "chat remarks"),
    "events.qualification_answer": ("question answered", "questions answered"),
}
"""Counters of the day, in the words of the page: of one, of several."""


class Count(NamedTuple):
    """So many; or more, which were not counted."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"


class ProductNow(NamedTuple):
    """Attributes: stages: how many leads are in each, in order. today: what happened since midnight UTC, in words."""

    config: ProductConfig
    stages: Sequence[tuple[Stage, Count]]
    today: Sequence[tuple[str, int]]


class LeadNow(NamedTuple):
    id: str
    name: str
    company: str
    product: str
    stage: Stage
    score: float
    did: str
    at: Instant


class Coming(NamedTuple):
    """A message that waits for its time."""

    to: str
    product: str
    channel: str
    template: str
    due_at: Instant


class Happenings(NamedTuple):
    """Attributes: newest: the newest leads and what they did last. coming: the next messages of `waiting`."""

    products: Sequence[ProductNow]
    newest: Sequence[LeadNow]
    waiting: Count
    coming: Sequence[Coming]
    handoffs: Count
    review: Count


async def happenings(store: Store, catalog: Catalog, *, now: datetime) -> Happenings:
    """Read what is going on. At most 250 documents are read of anything, and six products are looked at."""
    names = await catalog.names()
    found = await store.find(PRODUCTS_ALL, limit=PRODUCTS)
    live = [versioned.config for versioned in [await catalog.live(d.id) for d in found.items] if versioned]
    waiting, coming = await _waiting(store, names)
    return Happenings(
        products=[await _product(store, config, today=instant(now)[:10]) for config in live],
        newest=await _newest(store, names),
        waiting=waiting,
        coming=coming,
        handoffs=await _count(store, HANDOFFS_BY_STATUS, HandoffStatus.OPEN),
        review=await _count(store, REVIEW_BY_STATUS, ReviewStatus.OPEN),
    )


async def _count(store: Store, index: Index, *prefix: Scalar) -> Count:
    page = await store.find(index, *prefix, limit=MOST)
    return Count(len(page.items), page.next is not None)


async def _product(store: Store, config: ProductConfig, *, today: str) -> ProductNow:
    stages = [(stage, await _count(store, LEADS_BY_STAGE, config.product_id, stage)) for stage in Stage]
    counters = await store.find(COUNTERS_BY_PRODUCT, config.product_id, low=today, limit=4 * MOST)
    sums: dict[str, int] = {}
    for counter in counters.items:
        metric = counter.body["metric"]
        sums[metric] = sums.get(metric, 0) + counter.body["value"]
    happened = [(words, sums[metric]) for metric, words in TODAY.items() if sums.get(metric)]
    return ProductNow(config, stages, [(one if number == 1 else many, number) for (one, many), number in happened])


async def _newest(store: Store, names: Mapping[str, str]) -> list[LeadNow]:
    page = await store.find(LEADS_ALL, reverse=True, limit=NEWEST)
    found = [each for each in await with_persons(store, page.items) if each is not None]
    shown = [await _lead(store, each, names) for each in found]
    return sorted(shown, key=lambda lead: lead.at, reverse=True)


async def _lead(store: Store, found: Found, names: Mapping[str, str]) -> LeadNow:
    document, lead, person = found
    last = (await store.find(EVENTS_BY_LEAD, document.id, reverse=True, limit=1)).items
    return LeadNow(
        id=document.id,
        name=name(lead, person),
        company=person.demographics.get("company", ""),
        product=names.get(lead.product_id, lead.product_id),
        stage=lead.stage,
        score=points(lead.score),
        did=EVENTS.get(last[0].body["event_type"], "Did something") if last else "Came in",
        at=last[0].body["timestamp"] if last else lead.created_at,
    )


async def _waiting(store: Store, names: Mapping[str, str]) -> tuple[Count, list[Coming]]:
    number, more = 0, False
    first: list[Document] = []
    for channel in (Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT):
        for priority in sorted(PRIORITY.values()):
            page = await store.find(MESSAGES_DUE, channel, priority, limit=MOST)
            number, more = number + len(page.items), more or page.next is not None
            first += page.items[:COMING]
    first = sorted(first, key=lambda document: (document.body["due_at"], document.id))[:COMING]
    leads = await store.get(Kind.LEADS, *dict.fromkeys(message.body["lead_id"] for message in first))
    called = {
        each.document.id: name(each.lead, each.person) for each in await with_persons(store, leads) if each is not None
    }
    return Count(number, more), [_coming(message.body, called, names) for message in first]


def _coming(message: Mapping[str, Any], called: Mapping[str, str], names: Mapping[str, str]) -> Coming:
    return Coming(
        to=called.get(message["lead_id"], "somebody"),
        product=names.get(message["product_id"], message["product_id"]),
        channel=message["channel"],
        template=message.get("template_id") or "a text of its own",
        due_at=message["due_at"],
    )
