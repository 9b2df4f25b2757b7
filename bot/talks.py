"""Conversations in the store: a turn comes in, the engine answers, everything that follows is kept in one commit."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import orjson

from bot.dialogue import DialogueEngine, Message, Reply, State, Turn
from tracker.errors import NotFound
from tracker.events import Channel, EventType, Happening
from tracker.identity import Key, email_key
from tracker.model import Document
from tracker.person import Person
from tracker.prospects import Acted, Met, engage
from tracker.recorder import Recorder
from tracker.store.port import Change, Insert, Replace
from tracker.store.port import Document as Stored
from tracker.store.schema import TURNS_BY_CONVERSATION, Kind
from tracker.times import Instant, instant, moment


class Conversation(Document, frozen=True, kw_only=True):
    """Attributes: state: the engine's, as JSON text. turns: inbound messages so far."""

    product_id: str
    person_id: str
    lead_id: str
    state: str
    turns: int
    updated_at: Instant


class StoredTurn(Document, frozen=True, kw_only=True):
    """One inbound message and what became of it; JSON texts: parse, steps, messages, slots before and after.

    Attributes: inbound_id: the provider's or client's id of the message. pressed: title of the button whose payload
    `text` is.
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

    @property
    def said(self) -> list[Message]:
        """What the assistant said."""
        return [Message.from_json(message) for message in orjson.loads(self.messages)]


class Inbound(NamedTuple):
    """A message of a prospect.

    Attributes: keys: how the sender is recognised. id: the provider's, so that a repeat is answered and not counted
    again. trusted: came over an authenticated channel, so that `/intent{...}` is a payload.
    """

    sender: str
    text: str
    product_id: str
    keys: Sequence[Key]
    channel: Channel = Channel.CHATBOT
    trusted: bool = False
    metadata: Mapping[str, Any] = {}
    id: str | None = None


class _Repeated(Exception):
    """A message with this id was answered before."""

    def __init__(self, turn: StoredTurn):
        super().__init__(turn.number)
        self.turn = turn


ANSWERS_OF_PERSON = {"full_name": "name", "email": "email"}
ANSWERS_OF_DEMOGRAPHICS = {
    "company": "company",
    "company_size": "company_size",
    "job_title": "job_title",
    "industry": "industry",
}
DECLINED = "declined"


class Talks:
    def __init__(self, recorder: Recorder, engine: DialogueEngine):
        self._recorder, self._store, self._engine = recorder, recorder.store, engine
        self._in_turn: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, inbound: Inbound) -> list[Message]:
        """Answer one message, as `take` does."""
        return (await self.take(inbound)).said

    async def take(self, inbound: Inbound) -> StoredTurn:
        """Answer one message; messages of one sender are handled in the order in which they came.

        Returns: the turn; for an id that was taken before, the turn of that time.
        Raises: Invalid: no such product.
        """
        id = conversation_id(inbound.sender)
        lock = self._in_turn.setdefault(id, asyncio.Lock())
        try:
            async with lock:
                turn = await engage(
                    self._recorder, inbound.keys, inbound.product_id, lambda met: self._turn(id, inbound, met)
                )
        except _Repeated as repeated:
            return repeated.turn
        assert isinstance(turn, StoredTurn)
        return turn

    async def turns(self, sender: str, *, since: Instant | None = None, limit: int = 100) -> list[StoredTurn]:
        """Return the newest turns of a sender, oldest first. Args: since: none from before."""
        id = conversation_id(sender)
        page = await self._store.find(TURNS_BY_CONVERSATION, id, low=since, reverse=True, limit=limit)
        return sorted((StoredTurn.read(document.body) for document in page.items), key=lambda turn: turn.number)

    async def _turn(self, id: str, inbound: Inbound, met: Met) -> Acted:
        if inbound.id is not None:
            (taken,) = await self._store.get(Kind.TURNS, _turn_id(id, inbound, 0))
            if taken is not None:
                raise _Repeated(StoredTurn.read(taken.body))
        (found,) = await self._store.get(Kind.CONVERSATIONS, id)
        before = Conversation.read(found.body) if found else None
        # Another product is another conversation, but for its number of turns.
        state = (
            State.from_json(orjson.loads(before.state))
            if before and before.product_id == inbound.product_id
            else State()
        )
        now = self._recorder.clock()
        config = met.config.config
        turn = Turn(
            sender=inbound.sender,
            text=inbound.text,
            channel=inbound.channel,
            product={"product_id": config.product_id, "name": config.name, "facts": dict(config.facts)},
            known=known_slots(met.person),
            trusted=inbound.trusted,
            now=now,
            metadata=inbound.metadata,
        )
        reply = await self._engine.handle(turn, state)
        at = instant(now)
        number = before.turns + 1 if before else 1
        after = Conversation(
            product_id=inbound.product_id,
            person_id=met.person_id,
            lead_id=met.lead_id,
            state=_json(reply.state.to_json()),
            turns=number,
            updated_at=at,
        )
        stored = StoredTurn(
            conversation_id=id,
            lead_id=met.lead_id,
            number=number,
            at=at,
            text=inbound.text,
            parse=_json(reply.parse.to_json()),
            steps=_json([{"action": s.action, "by": s.by, "rule": s.rule} for s in reply.steps]),
            messages=_json([message.to_json() for message in reply.messages]),
            slots_before=_json(dict(state.slots)),
            slots=_json(dict(reply.state.slots)),
            loop=reply.state.loop,
            inbound_id=inbound.id,
            pressed=next((button.title for button in state.offered if button.payload == inbound.text), None),
        )
        turn_id = _turn_id(id, inbound, number)
        changes: list[Change] = [
            Replace(Kind.CONVERSATIONS, id, found.version, after.body())
            if found
            else Insert(Kind.CONVERSATIONS, id, after.body()),
            Insert(Kind.TURNS, turn_id, stored.body()),
        ]
        happenings = list(_happenings(turn_id, inbound, reply, at))
        person = with_answers(met.person, reply, at=at)
        claims = [email_key(person.email)] if person.email and person.email != met.person.email else []
        return Acted(stored, happenings, person, changes, claims)

    async def tracker(self, sender: str, slot_names: Sequence[str]) -> dict[str, Any]:
        """Return a conversation as Rasa's tracker shows it. Raises: NotFound."""
        id = conversation_id(sender)
        (found,) = await self._store.get(Kind.CONVERSATIONS, id)
        if found is None:
            raise NotFound(f"there is no conversation of {sender}")
        conversation = Conversation.read(found.body)
        state = State.from_json(orjson.loads(conversation.state))
        turns = await self.turns(sender, limit=500)
        return {
            "sender_id": sender,
            "slots": dict.fromkeys(slot_names) | dict(state.slots),
            "latest_message": orjson.loads(turns[-1].parse) if turns else None,
            "latest_event_time": moment(conversation.updated_at).timestamp(),
            "paused": False,
            "events": [event for turn in turns for event in _events(turn)],
            "active_loop": {"name": state.loop} if state.loop else {},
        }


def _happenings(turn_id: str, inbound: Inbound, reply: Reply, at: Instant) -> Sequence[Happening]:
    """What a turn means for the ledger: somebody wrote, and perhaps answered questions."""
    wrote = EventType.WHATSAPP_REPLY if inbound.channel is Channel.WHATSAPP else EventType.CHATBOT_INTERACTION
    happenings = [Happening("bot", turn_id, wrote, inbound.channel, at, {"intent": reply.parse.intent})]
    for answer in reply.answered:
        metadata = {"slot": answer.slot, "raw": answer.raw, "value": answer.value}
        id = f"{turn_id}:{answer.slot}"
        happenings.append(Happening("bot", id, EventType.QUALIFICATION_ANSWER, inbound.channel, at, metadata))
    return happenings


def known_slots(person: Person) -> dict[str, Any]:
    """What the CRM knows of a person before a question is asked. What was said here is in the conversation itself."""
    if not person.crm:
        return {}
    values = {slot: getattr(person, name) for slot, name in ANSWERS_OF_PERSON.items()}
    values |= {slot: person.demographics.get(name) for slot, name in ANSWERS_OF_DEMOGRAPHICS.items()}
    return {slot: value for slot, value in values.items() if value}


def with_answers(person: Person, reply: Reply, *, at: Instant) -> Person:
    """Return the person with what it said of itself. What the CRM supplied stays."""
    answers = {a.slot: a.value for a in reply.answered if isinstance(a.value, str) and a.value != DECLINED}
    values: dict[str, Any] = {
        name: answers[slot] for slot, name in ANSWERS_OF_PERSON.items() if slot in answers and not _of_crm(person, name)
    }
    told = {
        name: answers[slot]
        for slot, name in ANSWERS_OF_DEMOGRAPHICS.items()
        if slot in answers and not (person.crm and name in person.demographics)
    }
    return person.updated({**values, "demographics": person.demographics | told}, at=at)


def _of_crm(person: Person, name: str) -> bool:
    return bool(person.crm) and getattr(person, name) is not None


def _events(turn: StoredTurn) -> list[dict[str, Any]]:
    time = moment(turn.at).timestamp()
    user = {"event": "user", "text": turn.text, "timestamp": time, "parse_data": orjson.loads(turn.parse)}
    actions = [
        {"event": "action", "name": step["action"], "timestamp": time, "policy": step["by"]}
        for step in orjson.loads(turn.steps)
    ]
    bot = [
        {"event": "bot", "text": m["text"], "timestamp": time, "data": {"buttons": m.get("buttons")}}
        for m in orjson.loads(turn.messages)
    ]
    return [user, *actions, *bot]


def told(found: Stored) -> dict[str, Any]:
    """A turn as a lead's timeline tells it."""
    turn = StoredTurn.read(found.body)
    parse = orjson.loads(turn.parse)
    return {
        "conversation_id": turn.conversation_id,
        "text": turn.text,
        "intent": parse["intent"],
        "steps": orjson.loads(turn.steps),
        "messages": orjson.loads(turn.messages),
    }


def conversation_id(sender: str) -> str:
    return f"chat:{sender}"


def _turn_id(conversation: str, inbound: Inbound, number: int) -> str:
    """The message's own id where it has one, so that a repeat meets the turn of the first."""
    return f"{conversation}:m:{inbound.id}" if inbound.id is not None else f"{conversation}:{number:08d}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
