"""The parts around a store that deliver messages, put together as the server does, with a clock of their own."""

import itertools
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from channels.delivery import Delivery
from channels.messages import Category, Message, SequenceOutbox, planned
from channels.sending import Sender
from channels.states import State
from channels.templates import NewTemplate, TemplateCatalog
from channels.tokens import Tokens
from channels.tracking import Addresses
from nurture.planning import Drips
from nurture.sequences import Enrolment
from tests.fakes import Clock
from tracker.catalog import Catalog
from tracker.events import Channel, EventType, Happening
from tracker.ingestion import Ingestion
from tracker.lead import Lead
from tracker.logins import Login
from tracker.model import new_id
from tracker.person import Person
from tracker.product import ProductConfig
from tracker.recorder import Recorder
from tracker.store.port import Document, Insert, Store
from tracker.store.schema import EVENTS_BY_LEAD, MESSAGES_BY_LEAD, REVIEW_ALL, Kind
from tracker.times import instant, later

ADDRESSES = Addresses("https://leads.test", Tokens(["a secret of the tests"]))
PRODUCT = "flow"


def step(template_id: str, delay_hours: float, channel: Channel = Channel.EMAIL) -> dict[str, Any]:
    return {"template_id": template_id, "delay_hours": delay_hours, "channel": channel}


SEQUENCES: dict[str, list[dict[str, Any]]] = {
    "User": [step("welcome", 1), step("tips", 24)],
    "Engaged_Lead": [step("offer", 2)],
}


class Rig:
    """A server's parts for delivery over `store`; as many as wished may share one store, as processes do."""

    def __init__(self, store: Store, clock: Clock, senders: Mapping[Channel, Sender], *, provider_timeout: float = 15):
        self.store, self.clock, self.senders = store, clock, senders
        self.templates = TemplateCatalog(store)
        self.catalog = Catalog(store, self.templates)
        reactors = (Drips(SequenceOutbox()),)
        self.recorder = Recorder(store, self.catalog, clock, reactors)
        self.ingestion = Ingestion(store, self.catalog, clock, reactors)
        self.delivery = Delivery(
            self.recorder,
            self.templates,
            senders,
            provider_timeout=provider_timeout,
            random=Random(7),
            addresses=ADDRESSES,
        )
        self._numbers = itertools.count(1)

    async def furnish(
        self, sequences: Mapping[str, Sequence[Mapping[str, Any]]] = SEQUENCES, product_id: str = PRODUCT, **more: Any
    ) -> None:
        """Bring in a product and the templates that its sequences name."""
        steps = {(s["template_id"], s["channel"]) for messages in sequences.values() for s in messages}
        for template_id, channel in sorted(steps):
            await self.template(template_id, channel)
        config = {
            "product_id": product_id,
            "name": "Flow",
            "nurturing_sequences": [{"stage": stage, "messages": messages} for stage, messages in sequences.items()],
            **more,
        }
        await self.catalog.put(ProductConfig.model_validate(config), author="tests")

    async def template(self, template_id: str, channel: Channel = Channel.EMAIL) -> None:
        words: dict[str, Any] = {"text": f"{template_id} for {{{{ person.first_name }}}}"}
        if channel is Channel.EMAIL:
            words |= {"subject": f"{template_id}, {{{{ person.first_name }}}}", "html": "<p>{{ person.name }}</p>"}
        if channel is Channel.WHATSAPP:
            words |= {"content_sid": "HX" + "0" * 32}
        await self.templates.add(NewTemplate.model_validate({"template_id": template_id, "channel": channel, **words}))

    async def login(self, user: str = "u1", *, hours_ago: float = 0, event_id: str | None = None, **more: Any) -> str:
        """Record a login and return the lead's id."""
        record = {
            "event_id": event_id or f"{user}-{new_id()}",
            "crm_user_id": user,
            "organization_id": "org",
            "product_id": PRODUCT,
            "occurred_at": later(self.clock(), hours=-hours_ago),
            "email": f"{user}@example.com",
            "name": "Dana Fox",
            **more,
        }
        (result,) = await self.ingestion.record([Login.model_validate(record, context={"now": self.clock()})])
        assert result.lead_id is not None
        return result.lead_id

    async def happen(self, lead_id: str, event_type: EventType, channel: Channel = Channel.EMAIL) -> None:
        id = f"{event_type}-{new_id()}"
        await self.recorder.event(lead_id, Happening("tests", id, event_type, channel, instant(self.clock())))

    async def message(self, lead_id: str, category: Category = Category.TRANSACTIONAL, **more: Any) -> str:
        """Put one message into the queue, as the API does, and return its id."""
        loaded, id, at = await self.recorder.load(lead_id), new_id(), instant(self.clock())
        given: dict[str, Any] = {"channel": Channel.EMAIL, "text": "Hello", "due_at": at, **more}
        message = planned(
            lead_id=lead_id,
            person_id=loaded.person_id,
            product_id=loaded.lead.product_id,
            category=category,
            at=at,
            **given,
        )
        await self.store.commit(Insert(Kind.MESSAGES, id, message.body()))
        return id

    async def quiet(self) -> int:
        """Deliver until nothing is due; return how many messages were looked at."""
        handled = 0
        for _ in range(200):
            done = await self.delivery.work()
            handled += done
            if not done:
                return handled
        raise AssertionError("delivery does not come to rest")

    async def live(self, hours: float = 72, *, step: float = 1) -> None:
        """Let time pass, with the ticks of a server."""
        for _ in range(int(hours / step)):
            self.clock.forward(hours=step)
            await self.delivery.recover()
            await self.quiet()

    async def stored(self, id: str) -> Message:
        (found,) = await self.store.get(Kind.MESSAGES, id)
        assert found is not None
        return Message.read(found.body)

    async def messages(self, lead_id: str) -> dict[str, Message]:
        page = await self.store.find(MESSAGES_BY_LEAD, lead_id, limit=1000)
        return {found.id: Message.read(found.body) for found in page.items}

    async def states(self, lead_id: str) -> dict[str, State]:
        """The state of each of the lead's messages, by template."""
        return {m.template_id or "text": m.status for m in (await self.messages(lead_id)).values()}

    async def events(self, lead_id: str, event_type: EventType | None = None) -> list[Document]:
        page = await self.store.find(EVENTS_BY_LEAD, lead_id, limit=1000)
        return [found for found in page.items if event_type in (None, found.body["event_type"])]

    async def reviews(self, lead_id: str | None = None) -> list[Document]:
        page = await self.store.find(REVIEW_ALL, limit=1000)
        return [found for found in page.items if lead_id in (None, found.body["lead_id"])]

    async def enrolment(self, lead_id: str) -> Enrolment:
        (found,) = await self.store.get(Kind.ENROLMENTS, lead_id)
        assert found is not None
        return Enrolment.read(found.body)

    async def lead(self, lead_id: str) -> Lead:
        return (await self.recorder.load(lead_id)).lead

    async def person(self, lead_id: str) -> Person:
        return (await self.recorder.load(lead_id)).person
