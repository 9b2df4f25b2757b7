"""E-mail engagement: the pixel, the links, the unsubscribe page. A signed token says what each address is about."""

from typing import Any

from channels import machines
from channels.machines import Hit
from channels.messages import Message, write
from channels.refusals import refuse
from channels.tokens import Purpose, Tokens
from tracker.errors import NotFound
from tracker.events import EventType, Happening
from tracker.pages import Pages
from tracker.recorder import Effect, Loaded, Recorder
from tracker.store.port import Document
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.web import Answer, Call, Media, Route

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

    def unsubscribe(self, message_id: str) -> str:
        return f"{self.base}/u/{self._tokens.make(Purpose.UNSUBSCRIBE, message_id)}"


class TrackingRoutes:
    def __init__(self, recorder: Recorder, tokens: Tokens):
        self._recorder, self._store, self._tokens = recorder, recorder.store, tokens
        self._pages = Pages("channels")

    def routes(self) -> list[Route]:
        page = Media("text/html")
        return [
            Route("GET", "/t/o/{token}.gif", None, self.open, "The pixel of a mail", {200: Media("image/gif")}),
            Route("HEAD", "/t/o/{token}.gif", None, self.glance, "Counts as nothing", {200: Media("image/gif")}),
            Route("GET", "/t/c/{token}", None, self.click, "Follow a link of a mail", {302: None}),
            Route("GET", "/u/{token}", None, self.ask, "The unsubscribe page; changes nothing", {200: page}),
            Route("POST", "/u/{token}", None, self.unsubscribe, "Unsubscribe, one click (RFC 8058)", {200: page}),
        ]  # fmt: skip

    async def glance(self, call: Call[None, Any]) -> Answer:
        return Answer(body=PIXEL, content_type="image/gif", headers=NOT_KEPT)

    async def open(self, call: Call[None, Any]) -> Answer:
        """Always the picture: a reader sees no difference, and a made-up token is counted nowhere."""
        parts = self._tokens.read(Purpose.OPEN, call.path["token"])
        if parts is not None:
            await self._opened(str(parts[0]), _agent(call))
        return await self.glance(call)

    async def _opened(self, message_id: str, agent: str) -> None:
        _, message = await self._message(message_id)
        at = instant(self._recorder.clock())
        machine = machines.of_open(agent, sent_at=_sent_at(message), at=at)
        await self._recorder.event(
            message.lead_id, _hit(message_id, message, EventType.EMAIL_OPEN, at, machine=machine)
        )

    async def click(self, call: Call[None, Any]) -> Answer:
        parts = self._tokens.read(Purpose.CLICK, call.path["token"])
        if parts is None:
            raise NotFound("this link is not one of ours")
        message_id, number = str(parts[0]), int(parts[1])
        _, message = await self._message(message_id)
        agent, at = _agent(call), instant(self._recorder.clock())
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
        loaded = await self._of_token(call)
        parts = self._tokens.read(Purpose.UNSUBSCRIBE, call.path["token"]) or []
        message_id = str(parts[0])
        _, message = await self._message(message_id)
        at = instant(self._recorder.clock())
        happening = Happening(
            "leadline",
            f"{message_id}:unsubscribe",
            EventType.UNSUBSCRIBE,
            message.channel,
            at,
            {"message_id": message_id},
        )
        await refuse(self._recorder, loaded.id, happening)
        return self._page(loaded, done=True)

    async def _of_token(self, call: Call[None, Any]) -> Loaded:
        parts = self._tokens.read(Purpose.UNSUBSCRIBE, call.path["token"])
        if parts is None:
            raise NotFound("this address is not one of ours")
        _, message = await self._message(str(parts[0]))
        return await self._recorder.load(message.lead_id)

    def _page(self, loaded: Loaded, *, done: bool) -> Answer:
        address, product = loaded.person.email or "This address", loaded.config.config.name
        return self._pages.show("unsubscribe.html", address=address, product=product, done=done)

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
