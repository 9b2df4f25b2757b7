"""Conversations in the store: a turn comes in, the engine answers, everything that follows is kept in one commit."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import orjson

from bot import effects, turns
from bot.dialogue import Button, DialogueEngine, Message, Parse, Reply, State, Turn
from bot.ports import Replies
from bot.turns import Conversation, StoredTurn, conversation_id, forgotten
from tracker.errors import NotFound
from tracker.events import Channel, Happening, event_key
from tracker.identity import Key, email_key
from tracker.person import Person
from tracker.product import ProductConfig
from tracker.prospects import Acted, Met, engage
from tracker.recorder import Recorder
from tracker.store.port import Change, Document, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import Instant, instant

WRITTEN_TO = frozenset({Channel.WHATSAPP})
"""Channels on which answers are messages of their own; elsewhere whoever asks takes them along."""

_CHOICE = re.compile(r"\s*(\d{1,2})\s*[.)]?\s*")


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


class _Switched(Exception):
    """The prospect named another product: the turn belongs to the lead there. `before`: what it was about."""

    def __init__(self, product_id: str, before: ProductConfig):
        super().__init__(product_id)
        self.product_id, self.before = product_id, before


class _Heard(NamedTuple):
    """A turn that was answered and is not stored yet.

    Attributes: found: the conversation as stored. state: before the turn. text: as the engine took it.
    """

    found: Document | None
    number: int
    state: State
    text: str
    reply: Reply
    at: Instant


class Talks:
    def __init__(self, recorder: Recorder, engine: DialogueEngine, replies: Replies):
        """Args: replies: takes the answers on channels that are written to."""
        self._recorder, self._store, self._engine, self._replies = recorder, recorder.store, engine, replies
        self._in_turn: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, inbound: Inbound) -> list[Message]:
        """Answer one message, as `take` does."""
        return (await self.take(inbound)).said

    async def take(self, inbound: Inbound) -> StoredTurn:
        """Answer one message; messages of one sender are handled in the order in which they came.

        While a person holds the thread the engine is not asked: the turn is kept without an answer.

        Returns: the turn; for an id that was taken before, the turn of that time.
        Raises: Invalid: no such product.
        """
        id = conversation_id(inbound.sender)
        lock = self._in_turn.setdefault(id, asyncio.Lock())
        try:
            async with lock:
                return await self._take(id, inbound)
        except _Repeated as repeated:
            return repeated.turn

    async def _take(self, id: str, inbound: Inbound) -> StoredTurn:
        (found,) = await self._store.get(Kind.CONVERSATIONS, id)
        named = inbound.product_id
        product_id = Conversation.read(found.body).subject(named) if found else named
        try:
            turn = await self._engage(id, inbound, product_id)
        except _Switched as switched:
            turn = await self._engage(id, inbound, switched.product_id, switched.before)
        assert isinstance(turn, StoredTurn)
        return turn

    async def _engage(self, id: str, inbound: Inbound, product_id: str, before: ProductConfig | None = None) -> object:
        async def act(met: Met) -> Acted:
            heard = await self._hear(id, inbound, met, before)
            return self._acted(id, inbound, met, heard, switches=before is not None)

        return await engage(self._recorder, inbound.keys, product_id, act)

    async def turns(self, sender: str, *, since: Instant | None = None, limit: int = 100) -> list[StoredTurn]:
        """Return the newest turns of a sender, oldest first. Args: since: none from before."""
        return await turns.newest(self._store, sender, since=since, limit=limit)

    async def tracker(self, sender: str, slot_names: Sequence[str]) -> dict[str, Any]:
        """Return a conversation as Rasa's tracker shows it. Raises: NotFound."""
        (found,) = await self._store.get(Kind.CONVERSATIONS, conversation_id(sender))
        if found is None:
            raise NotFound(f"there is no conversation of {sender}")
        stored = await self.turns(sender, limit=500)
        return turns.tracker(sender, Conversation.read(found.body), stored, slot_names)

    async def _hear(self, id: str, inbound: Inbound, met: Met, before: ProductConfig | None) -> _Heard:
        """Ask the engine. Args: before: the product that the prospect switches away from, in this very turn.

        Raises: _Repeated. _Switched.
        """
        if inbound.id is not None:
            turn_id = _turn_id(id, inbound, 0)
            (taken,) = await self._store.get(Kind.TURNS, turn_id)
            if taken is not None:
                raise _Repeated(StoredTurn.read(taken.body))
            (counted,) = await self._store.get(Kind.LEAD_EVENTS, event_key("bot", turn_id))
            if counted is not None:  # it was answered so long ago that the words are no longer kept
                raise _Repeated(forgotten(id, met.lead_id, inbound.text, inbound.id, at=counted.body["received_at"]))
        (found,) = await self._store.get(Kind.CONVERSATIONS, id)
        config = before or met.config.config
        conversation = Conversation.read(found.body) if found else None
        state = conversation.state_about(config.product_id) if conversation else State()
        text = chosen(inbound.text, state.offered) if inbound.channel in WRITTEN_TO else inbound.text
        at = instant(self._recorder.clock())
        if met.lead.held_by is None:
            reply = await self._engine.handle(await self._as_turn(inbound, text, config, met.person), state)
            to = effects.switched(reply)
            if before is None and to not in (None, config.product_id) and await self._recorder.catalog.live(str(to)):
                raise _Switched(str(to), config)
        else:
            reply = _silence(text, state)
        return _Heard(found, conversation.turns + 1 if conversation else 1, state, text, reply, at)

    async def _as_turn(self, inbound: Inbound, text: str, config: ProductConfig, person: Person) -> Turn:
        names = await self._recorder.catalog.names()
        return Turn(
            sender=inbound.sender,
            text=text,
            channel=inbound.channel,
            product={
                "product_id": config.product_id,
                "name": config.name,
                "facts": dict(config.facts),
                "required": list(config.qualification.required),
            },
            known=effects.known_slots(person),
            trusted=inbound.trusted,
            now=self._recorder.clock(),
            products={id: name for id, name in names.items() if id != config.product_id},
            metadata=inbound.metadata,
        )

    def _acted(self, id: str, inbound: Inbound, met: Met, heard: _Heard, *, switches: bool) -> Acted:
        """Decide what the turn comes to: everything that is kept with it."""
        turn_id, reply, at = _turn_id(id, inbound, heard.number), heard.reply, heard.at
        stored = _stored(id, inbound, met, heard)
        changes: list[Change] = [
            _kept(id, inbound, met, heard, switches=switches),
            Insert(Kind.TURNS, turn_id, stored.body()),
            *self._written(turn_id, inbound.channel, met, reply, at),
        ]
        given = [*(effects.carried(reply, met.person) if switches else ()), *reply.answered]
        person = effects.with_answers(met.person, reply.answered, at=at)
        happenings: list[Happening] = [
            effects.wrote(turn_id, inbound.channel, at, **_about(stored)),
            *effects.answered(turn_id, inbound.channel, at, given),
        ]
        if effects.opts_out(reply):
            person = effects.without_nurture(person, inbound.channel, at=at)
            happenings += effects.unsubscribed(turn_id, inbound.channel, at)
        claims = [email_key(person.email)] if person.email and person.email != met.person.email else []
        return Acted(stored, happenings, person, changes, claims, effects.wish(reply), turn_id)

    def _written(self, turn_id: str, channel: Channel, met: Met, reply: Reply, at: Instant) -> Sequence[Change]:
        if channel not in WRITTEN_TO or not reply.messages:
            return ()
        return self._replies.planned(
            turn_id,
            lead_id=met.lead_id,
            person_id=met.person_id,
            product_id=met.lead.product_id,
            channel=channel,
            said=[(message.text, [button.title for button in message.buttons]) for message in reply.messages],
            at=at,
        )


def chosen(text: str, offered: Iterable[Button]) -> str:
    """Return the payload of the button that a number or a title means, where buttons were shown as a list; else the
    text as it is."""
    buttons = list(offered)
    number = _CHOICE.fullmatch(text)
    if number and 1 <= int(number[1]) <= len(buttons):
        return buttons[int(number[1]) - 1].payload
    said = text.strip().casefold()
    return next((button.payload for button in buttons if button.title.casefold() == said), text)


def _silence(text: str, state: State) -> Reply:
    """What the assistant says while a person holds the thread. Buttons from before are no longer meant."""
    return Reply((), replace(state, messages=()), Parse(text, "", 0.0))


def _about(turn: StoredTurn) -> dict[str, Any]:
    if turn.held_by is not None:
        return {"held_by": turn.held_by}
    return {"intent": orjson.loads(turn.parse)["intent"]["name"]}


def _stored(id: str, inbound: Inbound, met: Met, heard: _Heard) -> StoredTurn:
    reply, state = heard.reply, heard.state
    return StoredTurn(
        conversation_id=id,
        lead_id=met.lead_id,
        number=heard.number,
        at=heard.at,
        text=heard.text,
        parse=_json(reply.parse.to_json()),
        steps=_json([{"action": s.action, "by": s.by, "rule": s.rule} for s in reply.steps]),
        messages=_json([message.to_json() for message in reply.messages]),
        slots_before=_json(dict(state.slots)),
        slots=_json(dict(reply.state.slots)),
        loop=reply.state.loop,
        inbound_id=inbound.id,
        pressed=next((button.title for button in state.offered if button.payload == heard.text), None),
        held_by=met.lead.held_by,
    )


NOT_CARRIED = frozenset({"qualified", "demo_announced"})
"""Slots that say how far a prospect has come with one product."""


def _kept(id: str, inbound: Inbound, met: Met, heard: _Heard, *, switches: bool) -> Change:
    """The change that keeps the conversation as it is after the turn."""
    state = heard.reply.state
    if switches:
        slots = {name: value for name, value in state.slots.items() if name not in NOT_CARRIED}
        state = replace(state, slots=slots)
    after = Conversation(
        product_id=met.lead.product_id,
        named=inbound.product_id,
        person_id=met.person_id,
        lead_id=met.lead_id,
        state=_json(state.to_json()),
        turns=heard.number,
        updated_at=heard.at,
    ).body()
    found = heard.found
    return Replace(Kind.CONVERSATIONS, id, found.version, after) if found else Insert(Kind.CONVERSATIONS, id, after)


def _turn_id(conversation: str, inbound: Inbound, number: int) -> str:
    """The message's own id where it has one, so that a repeat meets the turn of the first."""
    return f"{conversation}:m:{inbound.id}" if inbound.id is not None else f"{conversation}:{number:08d}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
