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
from bot.turns import TurnTeller
from bot.turns import told as turn_told
from channels.answering import WhatsAppAnswers
from channels.callbacks import Callbacks
from channels.chat import Chat
from channels.chat_sender import WebChatSender
from channels.delivery import Delivery
from channels.email import SmtpSender
from channels.inbox import Inbox
from channels.messages import SequenceOutbox, told
from channels.outbox import OutboxSender, forget
from channels.replies import HumanReplyOutbox, MessageTeller, ReplyOutbox
from channels.routes import ChannelRoutes
from channels.sending import Sender
from channels.templates import TemplateCatalog
from channels.tokens import Tokens
from channels.tracking import Addresses, TrackingRoutes
from channels.twilio_routes import TwilioRoutes
from channels.webchat import WebChatRoutes
from config.assistant import TrainedEngine
from config.demo import Demo
from config.desk import desk_routes, make_desk
from config.operation import OperationRoutes, Traffic
from config.outbound import Outbound, make_outbound
from config.outbox_page import OutboxRoutes
from config.privacy import make_privacy
from config.problems import edge
from config.retention import make_retention
from config.review import make_review
from config.schedule import Schedule, Worker
from config.settings import Settings, Twilio
from config.start_page import StartRoutes
from config.webchat import TalkingAssistant, WebChatThreads
from config.whatsapp import TalkingCorrespondent
from n8n.ingest import IngestRoutes
from n8n.thresholds import OpenThresholds, Thresholds
from nurture.planning import Drips
from tracker import idempotency
from tracker.catalog import Catalog
from tracker.desk import sessions
from tracker.events import Channel
from tracker.handoffs import Handoffs
from tracker.handoffs import told as handoff_told
from tracker.ingestion import Ingestion
from tracker.keys import Keys
from tracker.merges import Merges
from tracker.opt_outs import OptOuts
from tracker.privacy import Privacy
from tracker.reading import Source
from tracker.recorder import Recorder
from tracker.retention import Retention
from tracker.reviews import Review
from tracker.routes.analytics import AnalyticsRoutes
from tracker.routes.audit import AuditRoutes
from tracker.routes.handoffs import HandoffRoutes
from tracker.routes.leads import TIMELINE as TRACKER_TIMELINE
from tracker.routes.leads import LeadRoutes
from tracker.routes.persons import PersonRoutes
from tracker.routes.privacy import PrivacyRoutes
from tracker.routes.products import ProductRoutes
from tracker.routes.review import ReviewRoutes
from tracker.store.port import Store
from tracker.store.schema import HANDOFFS_BY_LEAD, MESSAGES_BY_LEAD, TURNS_BY_LEAD
from tracker.store.sqlite import SqliteStore
from tracker.times import now
from tracker.web import MAX_BODY, Route, mount

DATABASE = "leadline.db"

TIMELINE = (
    Source(MESSAGES_BY_LEAD, "message", told),
    Source(TURNS_BY_LEAD, "turn", turn_told),
    Source(HANDOFFS_BY_LEAD, "handoff", handoff_told),
)
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
    privacy: Privacy
    ingestion: Ingestion
    delivery: Delivery
    inbox: Inbox
    retention: Retention
    thresholds: Thresholds
    workers: list[Worker]
    senders: dict[Channel, Sender]
    engine: TrainedEngine
    chat: Chat
    outbound: Outbound
    review: Review
    schedule: Schedule = field(default_factory=Schedule)

    async def start_work(self) -> None:
        """Begin what happens by itself."""
        self.engine.prepare()
        self.schedule.every(1, self.wake, "deliver what is due")
        self.schedule.every(5, self.delivery.recover, "find messages whose sending was cut off")
        self.schedule.every(60, lambda: idempotency.forget_expired(self.store), "forget old answers")
        self.schedule.every(10, self.privacy.resume, "go on with erasures that were cut off")
        self.schedule.every(300, lambda: sessions.forget_expired(self.store), "forget sessions that are over")
        self.schedule.every(60, self.outbound.deliverer.forget, "forget events that were delivered long ago")
        self.schedule.every(600, self.inbox.forget, "forget messages that were answered long ago")
        self.schedule.every(15, self.thresholds.tick, "raise alerts for thresholds that nobody answers")
        self.schedule.every(60, self.retention.tick, "remove what products no longer keep")
        for worker in self.workers:
            worker.start()
        self.wake()
        self.schedule.start()

    def wake(self) -> None:
        """Have every channel look for what is due, and for what came in."""
        for worker in self.workers:
            worker.wake()

    async def stop(self) -> None:
        """Finish what is in hand and let go of everything."""
        self.schedule.stop()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        await self.outbound.close()
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
    demo_token: str | None = None,
    demo: Demo | None = None,
    clock: Callable[[], datetime] = now,
    engine: TrainedEngine | None = None,
) -> Server:
    """Make a server around an open store.

    Args: secrets: the first signs links, all verify. base_url: how the world reaches the server. outbox: where channels
    without settings write their messages; None: they are off. demo_token: signs WhatsApp messages where no Twilio
    account does. demo: what only a demo does. engine: another one than the assistant's.
    """
    tokens = Tokens(secrets)
    senders = make_senders(settings, outbox, base_url)
    templates = TemplateCatalog(store)
    catalog = Catalog(store, templates)
    outbound = make_outbound(settings, store, clock, base_url=base_url)
    reactors = (Drips(SequenceOutbox(), pace=demo.speed if demo else 1), outbound.events, OpenThresholds())
    workers: list[Worker] = []

    def wake() -> None:
        for worker in workers:
            worker.wake()

    opt_outs = OptOuts(store, secrets)
    recorder = Recorder(store, catalog, clock, reactors, after=wake, opt_outs=opt_outs)
    ingestion = Ingestion(store, catalog, clock, reactors, after=wake, opt_outs=opt_outs, join=Merges(recorder).join)
    privacy = make_privacy(recorder, outbox or settings.outbox)
    engine = engine or TrainedEngine()
    talks = Talks(recorder, engine, ReplyOutbox())
    assistant = TalkingAssistant(talks, store)
    chat = Chat(assistant, catalog, tokens, default_product=settings.default_product)
    senders[Channel.CHATBOT] = WebChatSender(chat.hub, WebChatThreads(store), clock)
    delivery = Delivery(
        recorder,
        templates,
        senders,
        provider_timeout=settings.provider_timeout,
        retry_base=settings.retry_base_seconds,
        addresses=Addresses(base_url, tokens),
        forget=partial(forget, outbox or settings.outbox),
    )
    workers.extend(Worker(partial(delivery.work_on, channel)) for channel in senders)
    workers.append(Worker(outbound.deliverer.work))
    keys = Keys(store, seed=settings.api_key)
    traffic = Traffic()
    operation = OperationRoutes(store, traffic, told_channels(senders, outbox), version=version("leadline"))
    web_chat = WebChatRoutes(chat, base_url=base_url)
    handoffs = Handoffs(recorder, HumanReplyOutbox(frozenset(senders)), (TurnTeller(), MessageTeller()))
    answers = WhatsAppAnswers(recorder, TalkingCorrespondent(talks), default_product=settings.default_product)
    inbox = Inbox(store, answers, clock)
    inbox_worker = Worker(inbox.work)
    review = make_review(recorder, ingestion, delivery, outbound.subscriptions)
    token = settings.twilio.auth_token if settings.twilio else demo_token
    twilio = TwilioRoutes(
        inbox, Callbacks(recorder, delivery.settling), wake=inbox_worker.wake, auth_token=token, base_url=base_url
    )
    desk = make_desk(recorder, base_url=base_url)
    start = StartRoutes(store, catalog, clock, base_url=base_url, default_product=settings.default_product, demo=demo)
    rooms = {
        "tracker": [
            *LeadRoutes(recorder, timeline=TIMELINE).routes(),
            *PrivacyRoutes(recorder, privacy).routes(),
            *HandoffRoutes(handoffs).routes(),
            *ProductRoutes(catalog).routes(),
            *PersonRoutes(recorder).routes(),
            *ReviewRoutes(review).routes(),
            *AnalyticsRoutes(store, catalog, clock).routes(),
            *AuditRoutes(store).routes(),
        ],
        "channels": [
            *ChannelRoutes(recorder, templates, open_channels=frozenset(senders)).routes(),
            *TrackingRoutes(recorder, tokens).routes(),
            *web_chat.routes(),
            *twilio.routes(),
        ],
        "bot": BotRoutes(talks, engine, default_product=settings.default_product).routes(),
        "n8n": [*IngestRoutes(ingestion, secret=settings.ingest_secret).routes(), *outbound.routes()],
        "operation": [*operation.routes(), *start.routes()],
        "demo": OutboxRoutes(demo, clock).routes() if demo and demo.is_here else [],
        "desk": desk_routes(desk, recorder, handoffs, review, (*TRACKER_TIMELINE, *TIMELINE)),
    }
    routes = [replace(route, tag=room) for room, its in rooms.items() for route in its]
    operation.describe(routes)
    app = web.Application(client_max_size=MAX_BODY)
    mount(app, routes, keys, store, edge(traffic, desk.tell))
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
        privacy,
        ingestion,
        delivery,
        inbox,
        make_retention(recorder, privacy),
        Thresholds(recorder, outbound.subscriptions),
        [*workers, inbox_worker],
        senders,
        engine,
        chat,
        outbound,
        review,
    )


def make_senders(settings: Settings, outbox: Path | None, base_url: str) -> dict[Channel, Sender]:
    """Return a sender for each channel that is on. Args: base_url: how the world reaches the server."""
    senders: dict[Channel, Sender] = {}
    if settings.smtp_url is not None:
        senders[Channel.EMAIL] = SmtpSender(
            settings.smtp_url, sender=settings.mail_from, timeout=settings.provider_timeout
        )
    elif outbox is not None:
        senders[Channel.EMAIL] = OutboxSender(outbox, Channel.EMAIL, sender=settings.mail_from)
    if settings.twilio is not None:
        senders[Channel.WHATSAPP] = _twilio_sender(settings, settings.twilio, base_url)
    elif outbox is not None:
        senders[Channel.WHATSAPP] = OutboxSender(outbox, Channel.WHATSAPP, sender=settings.mail_from)
    return senders


def _twilio_sender(settings: Settings, account: Twilio, base_url: str) -> Sender:
    from channels.whatsapp import TwilioSender  # Twilio's package takes a while to load, and few need it

    # Twilio refuses an address for its callbacks that it cannot reach.
    reachable = settings.public_url is not None or settings.twilio_api_url is not None
    return TwilioSender(
        account.account_sid,
        account.auth_token,
        sender=account.sender,
        callback_url=f"{base_url.rstrip('/')}/webhooks/twilio/status" if reachable else None,
        api_url=settings.twilio_api_url,
        timeout=settings.provider_timeout,
    )


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
