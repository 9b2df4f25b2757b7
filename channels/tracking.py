"""E-mail engagement: the pixel, the links, the unsubscribe page. A signed token says what each address is about."""

from typing import Any, NamedTuple

import structlog

from channels import machines
from channels.machines import Hit
from channels.messages import Message, write
from channels.refusals import refuse
from channels.tokens import Purpose, Tokens
from tracker.errors import LeadlineError, NotFound
from tracker.events import Channel, EventType, Happening
from tracker.pages import Pages
from tracker.recorder import Effect, Loaded, Recorder
from tracker.store.port import Document, StoreError
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.web import Answer, Call, Media, Route

log = structlog.get_logger()

PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
"""A transparent GIF of one pixel."""

NOT_KEPT = {"Cache-Control": "no-store, private", "X-Content-Type-Options": "nosniff"}


class Addresses:
    """The addresses that go into messages."""

    def __init__(self, base: str, tokens: Tokens):
        """Args: base: how the world reaches this server, such as https://leads.example.com."""
        self.base, self._tokens = base.rstrip("/"), tokens

    def pixel(self, message_id: str) -> str:
        return f"{self.base}/t/o/{self._tokens.make(Purpose.OPEN, message_id)}.gif"

    def link(self, message_id: str, number: int) -> str:
        return f"{self.base}/t/c/{self._tokens.make(Purpose.CLICK, message_id, number)}"

    def unsubscribe(self, message_id: str, lead_id: str, channel: Channel) -> str:
        """Says itself whose it is: it has to work when retention has long removed the message."""
        return f"{self.base}/u/{self._tokens.make(Purpose.UNSUBSCRIBE, message_id, lead_id, channel)}"


class _Refusable(NamedTuple):
    """What an unsubscribe address is about."""

    message_id: str
    loaded: Loaded
    channel: Channel


class TrackingRoutes:
    def __init__(self, recorder: Recorder, tokens: Tokens):
        self._recorder, self._store, self._tokens = recorder, recorder.store, tokens
        self._pages = Pages("channels")

    def routes(self) -> list[Route]:
        page = Media("text/html")
        return [
            Route("GET", "/t/o/{token}.gif", None, self.open, "The pixel of a mail", {200: Media("image/gif")}),
            Route("HEAD", "/t/o/{token}.gif", None, self.glance, "Counts as nothing", {200: Media("image/gif")}),
            Route("GET", "/t/c/{token}", None, self.click, "Follow a link of a mail", {200: page, 302: None}),
            Route("GET", "/u/{token}", None, self.ask, "The unsubscribe page; changes nothing", {200: page}),
            Route("POST", "/u/{token}", None, self.unsubscribe, "Unsubscribe, one click (RFC 8058)", {200: page}),
        ]  # fmt: skip

    async def glance(self, call: Call[None, Any]) -> Answer:
        return Answer(body=PIXEL, content_type="image/gif", headers=NOT_KEPT)

    async def open(self, call: Call[None, Any]) -> Answer:
        """Always the picture: a reader sees no difference, and a made-up token is counted nowhere."""
        parts = self._tokens.read(Purpose.OPEN, call.path["token"])
        if parts is not None:
            try:
                await self._opened(str(parts[0]), _agent(call))
            except (LeadlineError, StoreError) as error:  # the message is no longer kept, or the store is away
                log.info("an open is not counted", message_id=str(parts[0]), error=str(error))
        return await self.glance(call)

    async def _opened(self, message_id: str, agent: str) -> None:
        _, message = await self._message(message_id)
        at = instant(self._recorder.clock())
        machine = machines.of_open(agent, sent_at=_sent_at(message), at=at)
        await self._recorder.event(
            message.lead_id, _hit(message_id, message, EventType.EMAIL_OPEN, at, machine=machine)
        )

    async def click(self, call: Call[None, Any]) -> Answer:
        """Lead on to where a link leads. Where that is no longer kept, a page says so."""
        parts = self._tokens.read(Purpose.CLICK, call.path["token"])
        if parts is None:
            raise NotFound("this link is not one of ours")
        message_id, number = str(parts[0]), int(parts[1])
        try:
            return await self._clicked(message_id, number, _agent(call))
        except NotFound:
            return self._pages.show("gone.html")

    async def _clicked(self, message_id: str, number: int, agent: str) -> Answer:
        """Raises: NotFound: the message, or its lead, is no longer kept, or has no such link."""
        _, message = await self._message(message_id)
        if not 0 <= number < len(message.links):
            raise NotFound("the message has no such link")
        at = instant(self._recorder.clock())
        judged = machines.of_click(agent, number, message.hits, sent_at=_sent_at(message), at=at)
        for link in judged.also:
            await self._recorder.reclassify(_hit_key(message_id, EventType.EMAIL_CLICK, link), machine=True)

        async def remember(_: Loaded) -> Effect:
            found, current = await self._message(message_id)
            hits = (*current.hits, Hit(link=number, at=at, machine=judged.machine))[-20:]
            return Effect([write(found, current.but(hits=hits))])

        happening = _hit(message_id, message, EventType.EMAIL_CLICK, at, machine=judged.machine, link=number)
        await self._recorder.event(message.lead_id, happening, effect=remember)
        return Answer(302, headers={"Location": message.links[number], **NOT_KEPT})

    async def ask(self, call: Call[None, Any]) -> Answer:
        return self._page(await self._of_token(call), done=False)

    async def unsubscribe(self, call: Call[None, Any]) -> Answer:
        refusable = await self._of_token(call)
        message_id, loaded, channel = refusable
        at, about = instant(self._recorder.clock()), {"message_id": message_id}
        happening = Happening("leadline", f"{message_id}:unsubscribe", EventType.UNSUBSCRIBE, channel, at, about)
        await refuse(self._recorder, loaded.id, happening)
        return self._page(refusable, done=True)

    async def _of_token(self, call: Call[None, Any]) -> _Refusable:
        """Raises: NotFound: the address is none of ours, or the person was erased."""
        parts = self._tokens.read(Purpose.UNSUBSCRIBE, call.path["token"])
        if parts is None:
            raise NotFound("this address is not one of ours")
        message_id, *about = map(str, parts)
        if about:
            lead_id, channel = about
        else:  # in a message from before these stood in its address
            _, message = await self._message(message_id)
            lead_id, channel = message.lead_id, message.channel
        return _Refusable(message_id, await self._recorder.load(lead_id), Channel(channel))

    def _page(self, refusable: _Refusable, *, done: bool) -> Answer:
        _, loaded, channel = refusable
        who = "You" if channel is Channel.CHATBOT else loaded.person.address_on(channel) or "This address"
        product = loaded.config.config.name
        return self._pages.show("unsubscribe.html", who=who, product=product, channel=channel, done=done)

    async def _message(self, id: str) -> tuple[Document, Message]:
        (found,) = await self._store.get(Kind.MESSAGES, id)
        if found is None:
            raise NotFound("the message is no longer kept")
        return found, Message.read(found.body)


def _agent(call: Call[None, Any]) -> str:
    return call.request.headers.get("User-Agent", "")


def _sent_at(message: Message) -> Instant | None:
    return next((attempt.at for attempt in message.attempts if attempt.outcome == "sent"), None)


def _hit(
    message_id: str, message: Message, event_type: EventType, at: Instant, *, machine: bool, link: int | None = None
) -> Happening:
    """A hit counts once for a person and once for machines, however often it is repeated."""
    metadata: dict[str, Any] = {"message_id": message_id, "template_id": message.template_id}
    if link is not None:
        metadata["url"] = message.links[link]
    id = _hit_id(message_id, event_type, link) + (":machine" if machine else "")
    return Happening("leadline", id, event_type, message.channel, at, metadata, machine)


def _hit_id(message_id: str, event_type: EventType, link: int | None) -> str:
    return f"{message_id}:{event_type}" if link is None else f"{message_id}:{event_type}:{link}"


def _hit_key(message_id: str, event_type: EventType, link: int) -> str:
    return f"leadline:{_hit_id(message_id, event_type, link)}"
