"""Replays of messages: what could not be sent, may not have been sent, or could not be written or answered."""

from collections.abc import Callable
from datetime import datetime

from channels.delivery import Delivery
from channels.heard import sid_of
from channels.inbox import Inbound
from channels.messages import REPLAYED, Attempt, Check, Message, write
from channels.rendering import Unrenderable
from channels.states import State, may_follow
from tracker.errors import Fault, Invalid, NotFound, Refused
from tracker.ports import Discarded, Mended, Settled, ToMend
from tracker.recorder import Effect, Recorder
from tracker.store.port import Document, Replace, Store
from tracker.store.schema import Kind
from tracker.times import instant


class MessageMender:
    """Makes a message due again. One that may have been sent may arrive twice: that is the person's decision."""

    acts_itself = False

    def __init__(self, store: Store, clock: Callable[[], datetime]):
        self._store, self._clock = store, clock

    async def mend(self, wanted: ToMend) -> Mended:
        found, message = await _message(self._store, wanted)
        if not may_follow(message.status, State.DUE) or message.status is State.SENDING:
            raise Refused(f"the message is {message.status} by now")
        at = instant(self._clock())
        attempts = (*message.attempts, Attempt(at=at, outcome=REPLAYED))
        due = message.moved(State.DUE, at=at, due_at=at, attempts=attempts, lease_until=None, provider_id=None)
        return Mended("sent again", message.lead_id, [write(found, due)])


class UncertainMender(MessageMender):
    """A message that may have been sent: a person has it sent again or, by discarding its item, takes it for sent.

    Nothing else would lead on from there, and its sequence would wait for ever. No event says that it was sent: the
    ledger has what the provider told, and may still come to have it.
    """

    def __init__(self, recorder: Recorder):
        super().__init__(recorder.store, recorder.clock)
        self._recorder = recorder

    async def discarded(self, wanted: ToMend, reason: str) -> Discarded | None:
        (found,) = await self._store.get(Kind.MESSAGES, wanted.message_id or "")
        if found is None or (message := Message.read(found.body)).status is not State.UNCERTAIN:
            return None
        try:
            loaded = await self._recorder.load(message.lead_id)
        except NotFound:  # the person is being erased, and the message with them
            return None
        line = Check(check="review", input=f"{wanted.by}: {reason or 'no reason given'}", outcome="taken for sent")
        sent = message.moved(State.SENT, at=instant(self._clock()), decision=(*message.decision, line))
        effect = Effect([write(found, sent)], [Settled(found.id, "sent")])
        changes, facts = self._recorder.settled(loaded, effect)
        return Discarded("the message counts as sent", changes, [facts])


class TemplateMender:
    """Looks whether a template renders by now. The message that it kept from being sent is history."""

    acts_itself = False

    def __init__(self, store: Store, delivery: Delivery):
        self._store, self._delivery = store, delivery

    async def mend(self, wanted: ToMend) -> Mended:
        found, message = await _message(self._store, wanted)
        try:
            await self._delivery.try_rendering(found.id, message)
        except Unrenderable as error:
            raise Invalid("the template still does not render", error.fault) from error
        return Mended("checked: the template renders now", message.lead_id)


class InboundMender:
    """Has a message that came in answered once more."""

    acts_itself = False

    def __init__(self, store: Store, clock: Callable[[], datetime]):
        self._store, self._clock = store, clock

    async def mend(self, wanted: ToMend) -> Mended:
        _demand_as_it_came(wanted)
        (found,) = await self._store.get(Kind.INBOX, sid_of(wanted.original))
        item = Inbound.read(found.body) if found else None
        if found is None or item is None or item.waiting:
            raise Refused("the message is no longer there, or is being answered")
        at = instant(self._clock())
        again = item.but(waiting=True, attempts=0, due_at=at, outcome=None, replays=item.replays + 1)
        return Mended("answered again", None, [Replace(Kind.INBOX, found.id, found.version, again.body())])


async def _message(store: Store, wanted: ToMend) -> tuple[Document, Message]:
    """Raises: Invalid: a corrected input. Refused: the message is gone."""
    _demand_as_it_came(wanted)
    (found,) = await store.get(Kind.MESSAGES, wanted.message_id or "")
    if found is None:
        raise Refused("the message is no longer there; discard the item")
    return found, Message.read(found.body)


def _demand_as_it_came(wanted: ToMend) -> None:
    if wanted.corrected:
        raise Invalid("a message is sent as it was", Fault("input", "cannot be changed"))
