"""What Twilio tells of a message that went out. It comes in any order, several times, and before the call returns."""

import structlog
from msgspec.structs import replace

from channels.messages import Attempt, Callback, Message, write
from channels.sending import Refused, Sent
from channels.settling import Settling, bounce, current_message, opted_out
from channels.states import State, may_follow
from channels.twilio_errors import refused
from tracker import review
from tracker.errors import NotFound
from tracker.events import Channel, EventType, Happening
from tracker.ports import Failure, Settled
from tracker.recorder import Effect, EffectOf, Loaded, Recorder
from tracker.review import ReviewKind
from tracker.store.port import Document
from tracker.store.schema import Kind
from tracker.times import instant

log = structlog.get_logger()

REACHED: dict[str, tuple[State, EventType]] = {
    "delivered": (State.DELIVERED, EventType.WHATSAPP_DELIVERED),
    "read": (State.READ, EventType.WHATSAPP_READ),
}
"""Statuses that say that the person has the message."""

TAKEN = frozenset({"accepted", "scheduled", "queued", "sending", "sent", *REACHED})
"""Statuses that say that the provider has it."""

ENDED = frozenset({"failed", "undelivered", "canceled"})
"""Statuses that say that it will never arrive."""

OPEN = frozenset({State.SENDING, State.UNCERTAIN})
"""States in which we do not know yet whether the provider has it."""


class Told(Exception):
    """This was told before."""


class Callbacks:
    def __init__(self, recorder: Recorder, settling: Settling):
        self._recorder, self._settling = recorder, settling

    async def take(
        self, message_id: str, provider_id: str, status: str, error_code: str | None = None, *, to: str | None = None
    ) -> bool:
        """Keep what became of a message; it only moves forward. Return whether it is news.

        Args: to: the number that it is about; None: the one to which the message was last sent.
        Raises: Unavailable: the store is away.
        """
        found = await self._found(message_id)
        message = Message.read(found.body) if found else None
        if message is None or message.channel is not Channel.WHATSAPP or status not in TAKEN | ENDED:
            log.warning("a status of no message of ours", message_id=message_id[:200], status=status[:50])
            return False
        if _known(message, provider_id, status):
            return False
        callback = Callback(
            at=instant(self._recorder.clock()), status=status, error_code=error_code, provider_id=provider_id
        )
        try:
            if status in ENDED:
                await self._ended(message_id, message, callback, to)
            else:
                await self._reached(message_id, message, callback)
        except Told:
            return False
        except NotFound:
            log.info("the person was erased when a status of a message came", message_id=message_id)
            return False
        return True

    async def _reached(self, id: str, message: Message, callback: Callback) -> None:
        if message.status in OPEN:
            await self._settling.settle(id, Sent(callback.provider_id or ""), lease=None)
        state, event_type = REACHED.get(callback.status, (None, None))
        effect = self._noted(id, callback, to=state)
        if event_type is None:
            await self._recorder.settle(message.lead_id, effect)
            return
        happening = Happening(
            "leadline", f"{id}:{callback.provider_id}:{callback.status}", event_type, message.channel, callback.at,
            {"message_id": id, "template_id": message.template_id},
        )  # fmt: skip
        await self._recorder.event(message.lead_id, happening, effect=effect)

    def _noted(self, id: str, callback: Callback, *, to: State | None) -> EffectOf:
        async def effect(_: Loaded) -> Effect:
            found, message = await self._current(id, callback)
            noted = message.but(
                callbacks=(*message.callbacks, callback),
                provider_id=message.provider_id or callback.provider_id,
                updated_at=callback.at,
            )
            if to is not None and noted.provider_id == callback.provider_id and may_follow(noted.status, to):
                noted = noted.moved(to, at=callback.at)
            return Effect([write(found, noted)])

        return effect

    async def _ended(self, id: str, message: Message, callback: Callback, to: str | None) -> None:
        code = int(callback.error_code) if callback.error_code and callback.error_code.isdecimal() else None
        why = refused(code, f"Twilio says {callback.status}")
        effect = self._failed(id, callback, why, to)
        # An id of its own for each sending: the link in the message, or another sending, may have said so before.
        event_id = f"{id}:unsubscribe:{callback.provider_id}"
        happening = replace(opted_out(id, message, callback.at, why.error), event_id=event_id)
        (seen,) = await self._recorder.store.get(Kind.LEAD_EVENTS, happening.key)
        if why.opted_out and seen is None:
            await self._recorder.event(message.lead_id, happening, effect=effect)
        else:
            await self._recorder.settle(message.lead_id, effect)

    def _failed(self, id: str, callback: Callback, why: Refused, to: str | None) -> EffectOf:
        """Return what ends a message that does not arrive, and puts it before a person.

        Where the message has moved on, such as one that was sent again, what it says of the address holds all the same.
        """

        async def effect(loaded: Loaded) -> Effect:
            found, message = await self._current(id, callback)
            noted = message.but(callbacks=(*message.callbacks, callback), updated_at=callback.at)
            bad = to or message.recipient
            stop = bounce(loaded, message.channel, why.error, callback.at, recipient=bad) if why.bounced else []
            if not _ends(message, callback):
                return Effect([write(found, noted), *stop])
            attempts = (*message.attempts, Attempt(at=callback.at, outcome="failed", error=why.error))
            failed = noted.moved(
                State.FAILED, at=callback.at, attempts=attempts, lease_until=None, provider_id=callback.provider_id
            )
            item = review.item(
                ReviewKind.MESSAGE,
                reason=f"the {message.channel} message did not arrive",
                error=why.error,
                input={"message_id": id, "template_id": message.template_id, "provider_id": callback.provider_id},
                at=callback.at,
                lead_id=loaded.id,
                message_id=id,
                product_id=message.product_id,
                attempts=message.tries,
            )
            settled = [Settled(id, "failed")] if message.status in OPEN else []
            failure = Failure(id, message.channel, message.template_id, why.error, len(attempts))
            why_closed = "the provider has said that it did not arrive"
            closed = await self._settling.no_longer_unsure(id, message, why_closed, at=callback.at)
            return Effect([write(found, failed), item, *closed, *stop], settled, [failure])

        return effect

    async def _current(self, id: str, callback: Callback) -> tuple[Document, Message]:
        """Return the message as it is now. Raises: Told: somebody else has kept this callback meanwhile. NotFound."""
        found, message = await current_message(self._recorder.store, id)
        if _known(message, callback.provider_id or "", callback.status):
            raise Told
        return found, message

    async def _found(self, id: str) -> Document | None:
        (found,) = await self._recorder.store.get(Kind.MESSAGES, id)
        return found


def _ends(message: Message, callback: Callback) -> bool:
    """Whether a callback that says that a sending did not arrive is about the last one, and ends the message."""
    return may_follow(message.status, State.FAILED) and message.provider_id in {None, callback.provider_id}


def _known(message: Message, provider_id: str, status: str) -> bool:
    return any(callback.status == status and callback.provider_id == provider_id for callback in message.callbacks)
