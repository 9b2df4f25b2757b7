"""The composition root: every part is made here and handed to the rooms that need it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from aiohttp import web

from bot.routes import BotRoutes
from bot.talks import Talks
from bot.talks import told as talks_told
from channels.chat import Chat
from channels.delivery import Delivery
from channels.email import SmtpSender
from channels.messages import SequenceOutbox, told
from channels.outbox import OutboxSender
from channels.routes import ChannelRoutes
from channels.sending import Sender
from channels.templates import TemplateCatalog
from channels.tokens import Tokens
from channels.tracking import Addresses, TrackingRoutes
from channels.webchat import WebChatRoutes
from config.assistant import TrainedEngine
from config.operation import OperationRoutes, Traffic
from config.problems import edge
from config.schedule import Schedule, Worker
from config.settings import Settings
from config.webchat import TalkingAssistant
from n8n.ingest import IngestRoutes
from nurture.planning import Drips
from tracker import idempotency
from tracker.catalog import Catalog
from tracker.events import Channel
from tracker.ingestion import Ingestion
from tracker.keys import Keys
from tracker.reading import Source
from tracker.recorder import Recorder
from tracker.routes.leads import LeadRoutes
from tracker.routes.persons import PersonRoutes
from tracker.routes.products import ProductRoutes
from tracker.routes.review import ReviewRoutes
from tracker.store.port import Store
from tracker.store.schema import MESSAGES_BY_LEAD, TURNS_BY_LEAD
from tracker.store.sqlite import SqliteStore
from tracker.times import now
from tracker.web import MAX_BODY, Route, mount

DATABASE = "leadline.db"

TIMELINE = (Source(MESSAGES_BY_LEAD, "message", told), Source(TURNS_BY_LEAD, "turn", talks_told))
"""What the other rooms tell of a lead."""


@dataclass(slots=True)
class Server:
    """A server's parts, made and not yet started."""

    settings: Settings
    store: Store
    app: web.Application
    routes: Sequence[Route]
    keys: Keys
    catalog: Catalog
    templates: TemplateCatalog
    recorder: Recorder
    ingestion: Ingestion
    delivery: Delivery
    workers: list[Worker]
    senders: dict[Channel, Sender]
    engine: TrainedEngine
    chat: Chat
    schedule: Schedule = field(default_factory=Schedule)

    async def start_work(self) -> None:
        """Begin what happens by itself."""
        self.engine.prepare()
        self.schedule.every(1, self.wake, "deliver what is due")
        self.schedule.every(5, self.delivery.recover, "find messages whose sending was cut off")
        self.schedule.every(60, lambda: idempotency.forget_expired(self.store), "forget old answers")
        for worker in self.workers:
            worker.start()
        self.wake()
        self.schedule.start()

    def wake(self) -> None:
        """Have every channel look for what is due."""
        for worker in self.workers:
            worker.wake()

    async def stop(self) -> None:
        """Finish what is in hand and let go of everything."""
        self.schedule.stop()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        for sender in self.senders.values():
            await sender.close()
        await self.store.close()


async def open_store(settings: Settings) -> Store:
    """Open the store that the settings name. Raises: Unusable."""
    if settings.mongo_url is not None:
        from tracker.store.mongo import MongoStore

        return await MongoStore.open(settings.mongo_url)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return await SqliteStore.open(settings.data / DATABASE)


def build(
    settings: Settings,
    store: Store,
    *,
    secrets: Sequence[str],
    base_url: str,
    outbox: Path | None = None,
    clock: Callable[[], datetime] = now,
    engine: TrainedEngine | None = None,
) -> Server:
    """Make a server around an open store.

    Args: secrets: the first signs links, all verify. base_url: how the world reaches the server. outbox: where channels
    without settings write their messages; None: they are off. engine: another one than the assistant's.
    """
    tokens = Tokens(secrets)
    senders = make_senders(settings, outbox)
    templates = TemplateCatalog(store)
    catalog = Catalog(store, templates)
    reactors = (Drips(SequenceOutbox()),)
    workers: list[Worker] = []

    def wake() -> None:
        for worker in workers:
            worker.wake()

    recorder = Recorder(store, catalog, clock, reactors, after=wake)
    ingestion = Ingestion(store, catalog, clock, reactors, after=wake)
    delivery = Delivery(
        recorder,
        templates,
        senders,
        provider_timeout=settings.provider_timeout,
        retry_base=settings.retry_base_seconds,
        addresses=Addresses(base_url, tokens),
    )
    workers.extend(Worker(partial(delivery.work_on, channel)) for channel in senders)
    keys = Keys(store, seed=settings.api_key)
    traffic = Traffic()
    operation = OperationRoutes(store, traffic, told_channels(senders, outbox), version=version("leadline"))
    engine = engine or TrainedEngine()
    talks = Talks(recorder, engine)
    chat = Chat(TalkingAssistant(talks), catalog, tokens, default_product=settings.default_product)
    web_chat = WebChatRoutes(chat, base_url=base_url)
    rooms = {
        "tracker": [
            *LeadRoutes(recorder, timeline=TIMELINE).routes(),
            *ProductRoutes(catalog).routes(),
            *PersonRoutes(recorder).routes(),
            *ReviewRoutes(store).routes(),
        ],
        "channels": [
            *ChannelRoutes(recorder, templates, open_channels=frozenset(senders)).routes(),
            *TrackingRoutes(recorder, tokens).routes(),
            *web_chat.routes(),
        ],
        "bot": BotRoutes(talks, engine, default_product=settings.default_product).routes(),
        "n8n": IngestRoutes(ingestion, secret=settings.ingest_secret).routes(),
        "operation": operation.routes(),
    }
    routes = [replace(route, tag=room) for room, its in rooms.items() for route in its]
    operation.describe(routes)
    app = web.Application(middlewares=[edge(traffic)], client_max_size=MAX_BODY)
    mount(app, routes, keys, store)
    web_chat.attach(app)
    return Server(
        settings,
        store,
        app,
        routes,
        keys,
        catalog,
        templates,
        recorder,
        ingestion,
        delivery,
        workers,
        senders,
        engine,
        chat,
    )


def make_senders(settings: Settings, outbox: Path | None) -> dict[Channel, Sender]:
    """Return a sender for each channel that is on."""
    senders: dict[Channel, Sender] = {}
    if settings.smtp_url is not None:
        senders[Channel.EMAIL] = SmtpSender(
            settings.smtp_url, sender=settings.mail_from, timeout=settings.provider_timeout
        )
    elif outbox is not None:
        senders[Channel.EMAIL] = OutboxSender(outbox, Channel.EMAIL, sender=settings.mail_from)
    if outbox is not None:
        senders[Channel.WHATSAPP] = OutboxSender(outbox, Channel.WHATSAPP, sender=settings.mail_from)
    return senders


def told_channels(senders: dict[Channel, Sender], outbox: Path | None) -> dict[str, str]:
    """How each channel is, for `/readyz`."""
    told = {}
    for channel, setting in ((Channel.EMAIL, "LEADLINE_SMTP_URL"), (Channel.WHATSAPP, "LEADLINE_TWILIO_ACCOUNT_SID")):
        sender = senders.get(channel)
        if isinstance(sender, OutboxSender):
            told[str(channel)] = f"on: writes to {outbox}"
        else:
            told[str(channel)] = "on" if sender else f"off: {setting} is not set; its messages wait"
    return told
