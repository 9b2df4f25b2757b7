"""What a dialogue engine takes and gives back: frozen values, all of them plain JSON inside.

An engine is a function from a turn and a state to a reply. It stores nothing and reads no clock: the caller keeps the
state, says what time it is, and does what the reply wants.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, Self

Json = Any
"""Anything that JSON can hold."""

WantKind = Literal["handoff", "restart", "opt_out", "qualified", "switch_product"]


@dataclass(frozen=True, slots=True)
class Button:
    """A choice shown under a message; pressing it sends `payload`."""

    title: str
    payload: str


@dataclass(frozen=True, slots=True)
class Message:
    text: str
    buttons: tuple[Button, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return `{text, buttons?: [{title, payload}]}`, the shape of Rasa's REST channel."""
        shown: dict[str, Json] = {"text": self.text}
        if self.buttons:
            shown["buttons"] = [asdict(button) for button in self.buttons]
        return shown

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(
            str(data.get("text") or ""), tuple(Button(b["title"], b["payload"]) for b in data.get("buttons", ()))
        )


@dataclass(frozen=True, slots=True)
class Entity:
    """Characters `start` to `end` of the text and what they are; `value` is the words, or a synonym's value."""

    entity: str
    value: Json
    start: int | None = None
    end: int | None = None
    role: str | None = None
    group: str | None = None
    confidence: float = 1.0
    extractor: str = "payload"

    def to_json(self) -> dict[str, Json]:
        """Return Rasa's entity shape, without what is not known."""
        shown = {"entity": self.entity, "value": self.value, "start": self.start, "end": self.end}
        shown |= {"role": self.role, "group": self.group}
        shown |= {"confidence_entity": round(self.confidence, 4), "extractor": self.extractor}
        return {key: value for key, value in shown.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Parse:
    """What a text means. `ranking` holds (intent, probability), best first; `language` is an ISO 639 code."""

    text: str
    intent: str
    confidence: float = 1.0
    ranking: tuple[tuple[str, float], ...] = ()
    entities: tuple[Entity, ...] = ()
    language: str = "en"

    def to_json(self) -> dict[str, Json]:
        """Return the answer of Rasa's `POST /model/parse`."""
        return {
            "text": self.text,
            "intent": {"name": self.intent, "confidence": round(self.confidence, 4)},
            "intent_ranking": [{"name": name, "confidence": round(value, 4)} for name, value in self.ranking],
            "entities": [entity.to_json() for entity in self.entities],
        }


@dataclass(frozen=True, slots=True)
class Turn:
    """One inbound message and what the caller knows about it.

    Args:
        text: what was written, or the payload of a pressed button.
        channel: `chatbot`, `whatsapp`, …; responses may have variations per channel.
        product: `{product_id, name, facts: {pricing, integrations, security, trial, …}, required: [slot, …]}`.
        known: slots already known (from the CRM), normalised or as words; they are not asked again.
        offered: payloads of buttons just offered, besides those that the state remembers.
        trusted: came through the authenticated REST webhook, so any `/intent{"entity": "value"}` is a payload.
        now: aware UTC.
        products: names of the other products by product id, so that a prospect can switch by naming one.
        metadata: passed through to the actions.
    """

    sender: str
    text: str
    channel: str = "chatbot"
    product: Mapping[str, Json] = field(default_factory=dict)
    known: Mapping[str, Json] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    trusted: bool = False
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    products: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """A conversation between two turns. A fresh one is `State()`.

    Args:
        slots: filled slots only, `requested_slot` among them.
        loop: the active form, or none. `rejected`: the form has left the floor to a rule and not come back yet.
        history: the last prediction states, oldest first, as far as the longest rule looks back.
        messages: what the bot said last. Buttons in it are the ones just offered.
        turns: inbound messages so far. `seen_at`: when the last one came (ISO 8601).
        past: earlier states, newest last, for `action_back`. `resume`: what a fallback dialogue goes back to.
        asks: intents heard since a fallback dialogue began, newest last.
    """

    slots: Mapping[str, Json] = field(default_factory=dict)
    loop: str | None = None
    rejected: bool = False
    history: tuple[Mapping[str, Json], ...] = ()
    messages: tuple[Message, ...] = ()
    turns: int = 0
    seen_at: str | None = None
    past: tuple[Mapping[str, Json], ...] = ()
    resume: Mapping[str, Json] | None = None
    asks: tuple[str, ...] = ()

    @property
    def requested_slot(self) -> str | None:
        return self.slots.get("requested_slot")

    @property
    def offered(self) -> tuple[Button, ...]:
        """The buttons of the last messages."""
        return tuple(button for message in self.messages for button in message.buttons)

    def to_json(self) -> dict[str, Json]:
        """Return a JSON object; empty fields are left out."""
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        shown["messages"] = [message.to_json() for message in self.messages]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in shown.items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Json] | None) -> Self:
        """Read what `to_json` wrote, now or in another version: unknown fields are dropped, missing ones are empty."""
        names = {item.name for item in fields(cls)}
        known = {key: value for key, value in (data or {}).items() if key in names and value is not None}
        for name in ("history", "past", "asks"):
            known[name] = tuple(known.get(name, ()))
        known["messages"] = tuple(Message.from_json(message) for message in known.get("messages", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question of a form was answered: `raw` as said, `value` normalised."""

    slot: str
    raw: Json
    value: Json


@dataclass(frozen=True, slots=True)
class Want:
    """What the caller must do. Handoff reasons: `asked, demo, accepted_offer`; `switch_product` has a `product_id`."""

    kind: WantKind
    reason: str = ""
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """Which action ran and what chose it: `by` is `rule, loop, default, fallback, followup` or `session`."""

    action: str
    by: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    messages: tuple[Message, ...]
    state: State
    parse: Parse
    steps: tuple[Step, ...] = ()
    answered: tuple[Answered, ...] = ()
    wants: tuple[Want, ...] = ()


class DialogueEngine(Protocol):
    """Answers a turn. Raises: LeadlineError: the engine cannot answer now."""

    async def handle(self, turn: Turn, state: State) -> Reply: ...
