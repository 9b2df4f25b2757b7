"""The Rasa-compatible channel: what a Rasa server answers, this server answers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field, RootModel

from bot.dialogue import Parse
from bot.talks import Inbound, Talks
from tracker.errors import Fault, Invalid
from tracker.identity import Key
from tracker.keys import Scope
from tracker.model import Input, Lines, Metadata, Name, Output
from tracker.web import Answer, Call, Route


class Understanding(Protocol):
    """What the assistant makes of a text, and the slots that it fills."""

    async def parse(self, text: str) -> Parse: ...

    async def slots(self) -> Sequence[str]: ...


class RestMessage(Input):
    sender: Name
    message: Lines
    metadata: Metadata = {}


class ButtonView(Output):
    title: str
    payload: str


class RestReply(Output):
    recipient_id: str
    text: str
    buttons: list[ButtonView] | None = None


class RestReplies(RootModel[list[RestReply]]):
    """What the bot says, in order."""


class ParseText(Input):
    text: Annotated[str, Field(max_length=20_000)]


class Intent(Output):
    name: str
    confidence: float


class Parsed(Output):
    text: str
    intent: Intent
    intent_ranking: list[Intent]
    entities: list[dict[str, Any]]


class TrackerView(Output):
    sender_id: str
    slots: dict[str, Any]
    latest_message: Parsed | None
    latest_event_time: float
    paused: bool
    events: list[dict[str, Any]]
    active_loop: dict[str, Any]


class BotRoutes:
    def __init__(
        self,
        talks: Talks,
        understanding: Understanding,
        *,
        default_product: str | None = None,
    ):
        self._talks, self._understanding, self._default = talks, understanding, default_product

    def routes(self) -> list[Route]:
        chat = Scope.CHAT
        return [
            Route("POST", "/webhooks/rest/webhook", chat, self.rest, "Talk to the bot, as Rasa's REST channel",
                  {200: RestReplies}, body=RestMessage),
            Route("POST", "/model/parse", chat, self.parse, "Understand a text", {200: Parsed}, body=ParseText),
            Route("GET", "/conversations/{sender}/tracker", chat, self.tracker, "A conversation, as Rasa shows it",
                  {200: TrackerView}),
        ]  # fmt: skip

    async def rest(self, call: Call[RestMessage, Any]) -> Answer:
        given = call.body
        product_id = self._product(given.metadata)
        inbound = Inbound(
            sender=given.sender,
            text=given.message,
            product_id=product_id,
            keys=[Key("rest", given.sender)],
            trusted=True,
            metadata=given.metadata,
        )
        messages = await self._talks.answer(inbound)
        return Answer(body=[{"recipient_id": given.sender, **message.to_json()} for message in messages])

    def _product(self, metadata: Mapping[str, Any]) -> str:
        product_id = metadata.get("product_id") or self._default
        if not isinstance(product_id, str):
            raise Invalid(
                "say which product the conversation is about",
                Fault("metadata/product_id", "is needed, since LEADLINE_DEFAULT_PRODUCT is not set"),
            )
        return product_id

    async def parse(self, call: Call[ParseText, Any]) -> Answer:
        return Answer(body=(await self._understanding.parse(call.body.text)).to_json())

    async def tracker(self, call: Call[None, Any]) -> Answer:
        slots = await self._understanding.slots()
        return Answer(body=await self._talks.tracker(call.path["sender"], slots))
