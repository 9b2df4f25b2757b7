"""What is kept of a conversation: its state, every turn, and how others read them."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from bot.dialogue import Message, State
from tracker.model import Document
from tracker.ports import Spoken
from tracker.store.port import Change, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import TURNS_BY_CONVERSATION, TURNS_BY_LEAD
from tracker.times import Instant, moment


class Conversation(Document, frozen=True, kw_only=True):
    """Attributes: product_id: what it is about. named: the product that the channel named last, which stays the old one
    when the prospect has switched. state: the engine's, as JSON text. turns: inbound messages so far.
    """

    product_id: str
    named: str | None = None
    person_id: str
    lead_id: str
    state: str
    turns: int
    updated_at: Instant

    def subject(self, named: str) -> str:
        """Return the product that the conversation is about when the channel names this one."""
        return self.product_id if named in (self.product_id, self.named) else named

    def state_about(self, product_id: str) -> State:
        """Return the state to go on with: a fresh one for another product, which is another conversation."""
        return State.from_json(orjson.loads(self.state)) if self.product_id == product_id else State()


class StoredTurn(Document, frozen=True, kw_only=True):
    """One inbound message and what became of it; JSON texts: parse, steps, messages, slots before and after.

    Attributes: inbound_id: the provider's or client's id of the message. pressed: title of the button whose payload
    `text` is. held_by: who held the thread, so that the assistant was not asked.
    """

    conversation_id: str
    lead_id: str
    number: int
    at: Instant
    text: str
    parse: str
    steps: str
    messages: str
    slots_before: str
    slots: str
    loop: str | None
    inbound_id: str | None = None
    pressed: str | None = None
    held_by: str | None = None

    @property
    def said(self) -> list[Message]:
        """What the assistant said."""
        return [Message.from_json(message) for message in orjson.loads(self.messages)]

    def events(self) -> Iterable[dict[str, Any]]:
        """The turn as events of Rasa's tracker."""
        time = moment(self.at).timestamp()
        yield {"event": "user", "text": self.text, "timestamp": time, "parse_data": orjson.loads(self.parse)}
        for step in orjson.loads(self.steps):
            yield {"event": "action", "name": step["action"], "timestamp": time, "policy": step["by"]}
        for message in self.said:
            data = {"buttons": message.to_json().get("buttons")}
            yield {"event": "bot", "text": message.text, "timestamp": time, "data": data}


def conversation_id(sender: str) -> str:
    return f"chat:{sender}"


async def newest(store: Store, sender: str, *, since: Instant | None = None, limit: int = 100) -> list[StoredTurn]:
    """Return the newest turns of a sender, oldest first. Args: since: none from before."""
    page = await store.find(TURNS_BY_CONVERSATION, conversation_id(sender), low=since, reverse=True, limit=limit)
    return sorted((StoredTurn.read(document.body) for document in page.items), key=lambda turn: turn.number)


LOOKED_AT = 20
"""How many turns back it is looked where a lead was talked with."""


async def places(store: Store, lead_ids: Iterable[str]) -> list[str]:
    """Return the conversations in which these leads were last talked with, the newest first."""
    pages = [await store.find(TURNS_BY_LEAD, id, reverse=True, limit=LOOKED_AT) for id in lead_ids]
    turns = sorted((d.body for page in pages for d in page.items), key=lambda turn: str(turn["at"]), reverse=True)
    return list(dict.fromkeys(turn["conversation_id"] for turn in turns))


def tracker(sender: str, conversation: Conversation, turns: list[StoredTurn], slots: Iterable[str]) -> dict[str, Any]:
    """Return a conversation as Rasa's tracker shows it. Args: slots: every name there is."""
    state = State.from_json(orjson.loads(conversation.state))
    return {
        "sender_id": sender,
        "slots": dict.fromkeys(slots) | dict(state.slots),
        "latest_message": orjson.loads(turns[-1].parse) if turns else None,
        "latest_event_time": moment(conversation.updated_at).timestamp(),
        "paused": False,
        "events": [event for turn in turns for event in turn.events()],
        "active_loop": {"name": state.loop} if state.loop else {},
    }


def forgotten(conversation_id: str, lead_id: str, text: str, inbound_id: str, *, at: Instant) -> StoredTurn:
    """Return what is left of a turn whose words were purged: that it was, and when."""
    return StoredTurn(
        conversation_id=conversation_id,
        lead_id=lead_id,
        number=0,
        at=at,
        text=text,
        parse="{}",
        steps="[]",
        messages="[]",
        slots_before="{}",
        slots="{}",
        loop=None,
        inbound_id=inbound_id,
    )


def told(found: Stored) -> dict[str, Any]:
    """A turn as a lead's timeline tells it."""
    turn = StoredTurn.read(found.body)
    parse: Mapping[str, Any] = orjson.loads(turn.parse)
    return {
        "conversation_id": turn.conversation_id,
        "text": turn.text,
        "intent": parse["intent"],
        "steps": orjson.loads(turn.steps),
        "messages": orjson.loads(turn.messages),
        "held_by": turn.held_by,
    }


def ended(found: Stored) -> Instant | None:
    """A turn has its end when it is made."""
    return Instant(found.body["at"])


def left(found: Stored) -> Instant | None:
    """When a conversation was last gone on with, None where nothing of what was said is kept in it."""
    conversation = Conversation.read(found.body)
    return None if conversation.state == NOTHING else conversation.updated_at


def emptied(found: Stored) -> Change:
    """Forget what was said in a conversation. It stays, since the number of its last turn must not come again."""
    after = Conversation.read(found.body).but(state=NOTHING)
    return Replace(found.kind, found.id, found.version, after.body())


NOTHING = "{}"
"""The state of a conversation in which nothing was said."""


class TurnTeller:
    """Tells a handoff what was said in a lead's turns."""

    async def spoken(self, store: Store, lead_id: str, *, limit: int) -> list[Spoken]:
        page = await store.find(TURNS_BY_LEAD, lead_id, reverse=True, limit=limit)
        turns = sorted((StoredTurn.read(document.body) for document in page.items), key=lambda turn: turn.number)
        return [line for turn in turns for line in _lines(turn)]


def _lines(turn: StoredTurn) -> Iterable[Spoken]:
    yield Spoken(turn.at, "visitor", turn.pressed or turn.text)
    for message in turn.said:
        yield Spoken(turn.at, "bot", message.text)
