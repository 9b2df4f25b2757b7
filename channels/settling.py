"""Settling: what a provider's answer to a message comes to, in one commit with what follows from it."""

from collections.abc import Mapping
from random import Random

import structlog

from channels.messages import Attempt, Message, write
from channels.sending import Later, Refused, SendOutcome, Sent, Uncertain
from channels.states import State
from tracker import review
from tracker.errors import NotFound
from tracker.events import Channel, EventType, Happening
from tracker.logins import person_changes
from tracker.person import Suppression
from tracker.ports import Failure, Settled
from tracker.recorder import Effect, EffectOf, Loaded, Recorder
from tracker.retry import ATTEMPTS, retry_at
from tracker.review import ReviewKind, ReviewStatus
from tracker.store.port import Change, Document, Store
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.unit import Decision, run

log = structlog.get_logger()

SENT: Mapping[Channel, EventType] = {
    Channel.EMAIL: EventType.EMAIL_SENT,
    Channel.WHATSAPP: EventType.WHATSAPP_SENT,
}
"""What the ledger says of a message that went out; web chat has no such event."""


class Settling:
    def __init__(self, recorder: Recorder, *, retry_base: float, random: Random):
        """Args: retry_base: seconds; see `retry_at`."""
        self._recorder, self._store = recorder, recorder.store
        self._retry_base, self._random = retry_base, random

    async def settle(self, id: str, outcome: SendOutcome, *, lease: Instant | None) -> bool:
        """Keep what the provider said. That it has the mail settles an `uncertain` message too.

        Args: lease: of the sending that the provider answered.
        Returns: whether there was anything to settle: the person may have been erased meanwhile.
        """
        try:
            await self._settle(id, outcome, lease)
        except NotFound:
            log.info("the person was erased while the message was being sent", message_id=id)
            return False
        return True

    async def _settle(self, id: str, outcome: SendOutcome, lease: Instant | None) -> None:
        """Raises: NotFound: the message or its lead was erased."""
        _, message = await current_message(self._store, id)
        at = instant(self._recorder.clock())
        match outcome:
            case Sent() if message.waiting and message.replays:
                log.warning("a message that a person has sent again had been sent", message_id=id)
            case Sent():
                await self._sent(id, message, outcome)
            case Later() if message.tries + 1 < ATTEMPTS:
                await self._again(id, outcome, lease)
            case Refused(bounced=True) if message.channel is Channel.EMAIL:
                metadata = {"message_id": id, "error": outcome.error, "recipient": message.recipient}
                key = message.mark(id, "bounce")
                bounce = Happening("leadline", key, EventType.EMAIL_BOUNCE, message.channel, at, metadata)
                end = self._end(id, State.DEAD, outcome.error, lease)
                await self._recorder.event(message.lead_id, bounce, effect=end)
            case Refused(opted_out=True):
                end = self._end(id, State.DEAD, outcome.error, lease)
                await self._recorder.event(message.lead_id, opted_out(id, message, at, outcome.error), effect=end)
            case Refused(bounced=True):
                end = self._end(id, State.DEAD, outcome.error, lease, bounced=True)
                await self._recorder.settle(message.lead_id, end)
            case Uncertain():
                await self._recorder.settle(message.lead_id, self._end(id, State.UNCERTAIN, outcome.error, lease))
            case Later() | Refused():
                end = self._end(id, State.DEAD, outcome.error, lease, tried=isinstance(outcome, Later))
                await self._recorder.settle(message.lead_id, end)

    async def _sent(self, id: str, message: Message, outcome: Sent) -> None:
        now = self._recorder.clock()
        at = instant(now)

        async def effect(_: Loaded) -> Effect:
            found, current = await current_message(self._store, id)
            attempt = Attempt(at=at, outcome="sent")
            if current.status not in {State.SENDING, State.UNCERTAIN}:  # a callback was faster and said more
                return Effect([write(found, current.but(provider_id=outcome.provider_id))], [Settled(id, "sent")])
            attempts = (*current.attempts, attempt)
            sent = current.moved(
                State.SENT, at=at, attempts=attempts, provider_id=outcome.provider_id, lease_until=None
            )
            closed = await self.no_longer_unsure(id, current, "the provider has said that it has the message", at=at)
            return Effect([write(found, sent), *closed], [Settled(id, "sent")])

        event_type = SENT.get(message.channel)
        if event_type is None:
            await self._recorder.settle(message.lead_id, effect)
            return
        metadata = {"message_id": id, "template_id": message.template_id}
        if message.channel is Channel.WHATSAPP:
            metadata["category"] = message.category
        happening = Happening("leadline", message.mark(id, "sent"), event_type, message.channel, at, metadata)
        await self._recorder.event(message.lead_id, happening, effect=effect)

    async def no_longer_unsure(self, id: str, message: Message, why: str, *, at: Instant) -> list[Change]:
        """The changes that take an `uncertain` message from the review queue: nobody need look for it any more."""
        if message.status is not State.UNCERTAIN:
            return []
        (item,) = await self._store.get(Kind.REVIEW, _unsure_id(id, len(message.attempts)))
        if item is None or item.body["status"] != ReviewStatus.OPEN:
            return []
        return [review.closed(item, "leadline", f"closed: {why}", at=at)]

    async def _again(self, id: str, outcome: Later, lease: Instant | None) -> None:
        now = self._recorder.clock()

        def decide_retry(known: tuple[Document, Message]) -> Decision[None]:
            found, message = known
            if not _is_of(message, lease):
                return Decision(None)
            attempts = (*message.attempts, Attempt(at=instant(now), outcome="retry", error=outcome.error))
            due_at = retry_at(
                message.tries + 1, now=now, random=self._random, base=self._retry_base, after=outcome.after
            )
            moved = message.moved(State.DUE, at=instant(now), attempts=attempts, due_at=due_at, lease_until=None)
            return Decision(None, [write(found, moved)])

        await run(self._store, lambda: current_message(self._store, id), decide_retry)

    def _end(
        self, id: str, to: State, error: str, lease: Instant | None, *, bounced: bool = False, tried: bool = False
    ) -> EffectOf:
        """Return what ends a message that was not sent, or may not have been, and puts it before a person.

        Args: bounced: nothing more is to be sent to the address. tried: it was tried as often as we try.
        """
        kind = ReviewKind.UNCERTAIN if to is State.UNCERTAIN else ReviewKind.MESSAGE
        settled = [] if to is State.UNCERTAIN else [Settled(id, "failed")]
        at = instant(self._recorder.clock())

        async def effect(loaded: Loaded) -> Effect:
            found, message = await current_message(self._store, id)
            if not _is_of(message, lease):
                return Effect()
            attempts = (*message.attempts, Attempt(at=at, outcome=str(to), error=error))
            item = review.item(
                kind,
                reason=f"the {message.channel} message is {to}",
                error=error,
                input={"message_id": id, "template_id": message.template_id, "attempts": len(attempts)},
                at=at,
                lead_id=loaded.id,
                message_id=id,
                product_id=message.product_id,
                attempts=message.tries + 1,
                id=_unsure_id(id, len(attempts)) if to is State.UNCERTAIN else None,
            )
            ended = message.moved(to, at=at, attempts=attempts, lease_until=None)
            also = bounce(loaded, message.channel, error, at, recipient=message.recipient) if bounced else []
            failure = Failure(id, message.channel, message.template_id, error, len(attempts), tried)
            failures = [] if to is State.UNCERTAIN else [failure]
            return Effect([write(found, ended), item, *also], settled, failures)

        return effect

    async def cut_off(self, found: Document) -> None:
        """Make a message uncertain whose sending has outlived its lease."""
        error = "the process ended, or the answer was lost, while the message was being sent"
        uncertain = self._end(found.id, State.UNCERTAIN, error, found.body["lease_until"])
        await self._recorder.settle(found.body["lead_id"], uncertain)


async def current_message(store: Store, id: str) -> tuple[Document, Message]:
    """Return a message as it is now. Raises: NotFound: it was erased with its person."""
    (found,) = await store.get(Kind.MESSAGES, id)
    if found is None:
        raise NotFound(f"there is no message {id}")
    return found, Message.read(found.body)


def _unsure_id(id: str, attempts: int) -> str:
    """The id of the review item of a message that may have been sent at its last attempt."""
    return f"{id}:uncertain:{attempts}"


def opted_out(id: str, message: Message, at: Instant, error: str) -> Happening:
    """What the ledger says when the provider refuses because the person wants no more."""
    metadata = {"message_id": id, "error": error}
    return Happening("leadline", message.mark(id, "unsubscribe"), EventType.UNSUBSCRIBE, message.channel, at, metadata)


def bounce(loaded: Loaded, channel: Channel, error: str, at: Instant, *, recipient: str | None = None) -> list[Change]:
    """The changes that stop everything to an address that is bad.

    Args: recipient: the address. None: the one that the person has now.
    """
    address = recipient or loaded.person.address_on(channel) or None
    stop = Suppression(channel=channel, reason=error, at=at, scope="all", address=address)
    return person_changes(loaded.person_id, loaded.person_version, loaded.person.suppress(stop), loaded.person)


def _is_of(message: Message, lease: Instant | None) -> bool:
    """Whether the message is still in the very sending that had this lease, not settled and not in a later one."""
    return message.status is State.SENDING and message.lease_until == lease
