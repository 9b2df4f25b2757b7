"""Delivery: takes due messages from the store, decides, sends, settles. Any number of processes may do it at once."""

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from random import Random

import orjson
import structlog

from channels.context import context_of
from channels.deciding import Verdict, decide
from channels.email import CONNECTIONS
from channels.links import Tracked, track
from channels.messages import PRIORITY, Attempt, Check, Message, write
from channels.rendering import Rendered, Unrenderable, as_html, render
from channels.retry import ATTEMPTS, retry_at
from channels.sending import Later, Outgoing, Refused, Sender, SendOutcome, Sent, Uncertain
from channels.states import State
from channels.templates import TemplateCatalog
from channels.tracking import Addresses
from tracker import review
from tracker.errors import Fault
from tracker.events import Channel, EventType, Happening
from tracker.ports import Settled
from tracker.recorder import Effect, EffectOf, Loaded, Recorder
from tracker.review import ReviewKind
from tracker.store.port import Change, Conflict, Document, Expect, Replace, Stale, StoreError
from tracker.store.schema import MESSAGES_DUE, MESSAGES_SENDING, Kind
from tracker.times import Instant, instant, later
from tracker.unit import Decision, run

log = structlog.get_logger()

AT_ONCE: Mapping[Channel, int] = {Channel.EMAIL: CONNECTIONS, Channel.WHATSAPP: 16, Channel.CHATBOT: 16}
"""How many messages are sent at the same time. Those that had to wait for a connection would outlive their lease."""

TURN = 64
TURN_SECONDS = 1
HOLD_SECONDS = 60
SENT: Mapping[Channel, EventType] = {
    Channel.EMAIL: EventType.EMAIL_SENT,
    Channel.WHATSAPP: EventType.WHATSAPP_SENT,
}
"""What the ledger says of a message that went out; web chat has no such event."""


class Delivery:
    def __init__(
        self,
        recorder: Recorder,
        templates: TemplateCatalog,
        senders: Mapping[Channel, Sender],
        *,
        provider_timeout: float = 15,
        retry_base: float = 30,
        random: Random | None = None,
        addresses: Addresses,
    ):
        """Args: senders: a channel without one is off, and its messages wait. addresses: what goes into messages."""
        self._recorder, self._store, self._templates = recorder, recorder.store, templates
        self._senders = senders
        self._lease = provider_timeout + 10
        self._retry_base, self._random = retry_base, random or Random()
        self._addresses = addresses

    async def work(self) -> int:
        """Send what is due on every channel and return how many messages were looked at."""
        return sum(await asyncio.gather(*(self.work_on(channel) for channel in self._senders)))

    async def work_on(self, channel: Channel) -> int:
        """Send what is due on one channel, for a second or so, and return how many messages were looked at.

        A few at a time: what matters more and comes meanwhile goes next, however much waits.
        """
        loop, handled = asyncio.get_running_loop(), 0
        end = loop.time() + TURN_SECONDS
        while found := await self._next(channel):
            await asyncio.gather(*(self._safely(message) for message in found))
            handled += len(found)
            if loop.time() > end or handled >= TURN:
                break
        return handled

    async def _next(self, channel: Channel) -> list[Document]:
        """Return a few due messages of the highest priority that has some."""
        high = later(self._recorder.clock(), seconds=0.001)
        for priority in sorted(PRIORITY.values()):
            page = await self._store.find(MESSAGES_DUE, channel, priority, high=high, limit=AT_ONCE[channel])
            if page.items:
                return page.items
        return []

    async def _safely(self, found: Document) -> None:
        """Deliver one message. What goes wrong costs the others nothing; the store remembers where it stands."""
        try:
            await self.deliver(found)
        except Conflict:
            log.debug("somebody else took the message", message_id=found.id)
        except StoreError as error:
            log.warning("the store is away", message_id=found.id, error=str(error))
        except Exception:
            log.exception("delivery failed", message_id=found.id)
            await self._broken(found)

    async def deliver(self, found: Document) -> None:
        """Decide on one waiting message and carry it out. Raises: Conflict: it changed meanwhile."""
        message = Message.read(found.body)
        loaded = await self._recorder.load(message.lead_id)
        now = self._recorder.clock()
        verdict = decide(message, loaded.lead, loaded.person, open_channels=frozenset(self._senders), now=now)
        if verdict.outcome == "skip":
            await self._skip(found, verdict.checks)
        elif verdict.outcome == "hold":
            until = later(now, seconds=HOLD_SECONDS)
            held = message.moved(State.HELD, at=instant(now), decision=verdict.checks, due_at=until)
            await self._store.commit(write(found, held))
        else:
            await self._go(found, message, loaded, verdict)

    async def _go(self, found: Document, message: Message, loaded: Loaded, verdict: Verdict) -> None:
        try:
            tracked = await self._rendered(found.id, message, loaded)
        except Unrenderable as error:
            await self._unrenderable(found, verdict, error)
        else:
            await self._send(found, message, loaded, verdict, tracked)

    async def _rendered(self, id: str, message: Message, loaded: Loaded) -> Tracked:
        """Return what is sent; a mail's links are tracked. Raises: Unrenderable."""
        rendered = await self._words(id, message, loaded)
        if message.channel is not Channel.EMAIL:
            return Tracked(rendered, ())
        unsubscribe = self._addresses.unsubscribe(id)
        pixel = self._addresses.pixel(id)
        return track(rendered, link=partial(self._addresses.link, id), pixel=pixel, keep=frozenset({unsubscribe}))

    async def _words(self, id: str, message: Message, loaded: Loaded) -> Rendered:
        """Raises: Unrenderable."""
        if message.template_id is None:
            text = message.text or ""
            html = as_html(text) if message.channel is Channel.EMAIL else None
            return Rendered(loaded.config.config.name, text, html)
        content = await self._templates.content(message.template_id, message.channel, message.product_id)
        if content is None:
            raise Unrenderable(Fault("template_id", f"there is no {message.channel} template {message.template_id!r}"))
        variables, url = orjson.loads(message.variables), self._addresses.unsubscribe(id)
        return render(content, context_of(loaded, variables, url, now=self._recorder.clock()))

    async def _send(
        self, found: Document, message: Message, loaded: Loaded, verdict: Verdict, tracked: Tracked
    ) -> None:
        """Commit `sending`, guarded by what the decision read, then call the provider, then settle."""
        now = self._recorder.clock()
        checks = (*verdict.checks, Check(check="template", input=message.template_id or "text", outcome="ok"))
        sending = message.moved(
            State.SENDING,
            at=instant(now),
            decision=checks,
            lease_until=later(now, seconds=self._lease),
            links=tracked.links,
        )
        await self._store.commit(
            write(found, sending),
            Expect(Kind.PERSONS, loaded.person_id, loaded.person_version),
            Expect(Kind.LEADS, loaded.id, loaded.version),
        )
        sender = loaded.config.config.sender
        outgoing = Outgoing(
            message_id=found.id,
            to=verdict.address,
            content=tracked.content,
            sender=sender.from_ if sender else None,
            reply_to=sender.reply_to if sender else None,
            unsubscribe_url=self._addresses.unsubscribe(found.id) if message.channel is Channel.EMAIL else "",
        )
        outcome = await self._senders[message.channel].send(outgoing)
        await self.settle(found.id, outcome, lease=sending.lease_until)

    async def settle(self, id: str, outcome: SendOutcome, *, lease: Instant | None) -> None:
        """Keep what the provider said. That it has the mail settles an `uncertain` message too.

        Args: lease: of the sending that the provider answered.
        """
        (found,) = await self._store.get(Kind.MESSAGES, id)
        assert found is not None, "a message that is being sent exists"
        message = Message.read(found.body)
        at = instant(self._recorder.clock())
        match outcome:
            case Sent():
                await self._sent(id, message, outcome)
            case Later() if len(message.attempts) + 1 < ATTEMPTS:
                await self._again(id, outcome, lease)
            case Refused(bounced=True) if message.channel is Channel.EMAIL:
                metadata = {"message_id": id, "error": outcome.error}
                bounce = Happening("leadline", f"{id}:bounce", EventType.EMAIL_BOUNCE, message.channel, at, metadata)
                end = self._end(id, State.DEAD, outcome.error, lease)
                await self._recorder.event(message.lead_id, bounce, effect=end)
            case Uncertain():
                await self._recorder.settle(message.lead_id, self._end(id, State.UNCERTAIN, outcome.error, lease))
            case Later() | Refused():
                await self._recorder.settle(message.lead_id, self._end(id, State.DEAD, outcome.error, lease))

    async def _sent(self, id: str, message: Message, outcome: Sent) -> None:
        now = self._recorder.clock()
        at = instant(now)

        async def effect(_: Loaded) -> Effect:
            found, current = await self._current(id)
            attempt = Attempt(at=at, outcome="sent")
            if current.status not in {State.SENDING, State.UNCERTAIN}:  # a callback was faster and said more
                return Effect([write(found, current.but(provider_id=outcome.provider_id))], [Settled(id, "sent")])
            attempts = (*current.attempts, attempt)
            sent = current.moved(
                State.SENT, at=at, attempts=attempts, provider_id=outcome.provider_id, lease_until=None
            )
            return Effect([write(found, sent)], [Settled(id, "sent")])

        event_type = SENT.get(message.channel)
        if event_type is None:
            await self._recorder.settle(message.lead_id, effect)
            return
        metadata = {"message_id": id, "template_id": message.template_id}
        happening = Happening("leadline", f"{id}:sent", event_type, message.channel, at, metadata)
        await self._recorder.event(message.lead_id, happening, effect=effect)

    async def _again(self, id: str, outcome: Later, lease: Instant | None) -> None:
        now = self._recorder.clock()

        def decide_retry(known: tuple[Document, Message]) -> Decision[None]:
            found, message = known
            if not _is_of(message, lease):
                return Decision(None)
            attempts = (*message.attempts, Attempt(at=instant(now), outcome="retry", error=outcome.error))
            due_at = retry_at(len(attempts), now=now, random=self._random, base=self._retry_base, after=outcome.after)
            moved = message.moved(State.DUE, at=instant(now), attempts=attempts, due_at=due_at, lease_until=None)
            return Decision(None, [write(found, moved)])

        await run(self._store, lambda: self._current(id), decide_retry)

    def _end(self, id: str, to: State, error: str, lease: Instant | None) -> EffectOf:
        """Return what ends a message that was not sent, or may not have been, and puts it before a person."""
        kind = ReviewKind.UNCERTAIN if to is State.UNCERTAIN else ReviewKind.MESSAGE
        settled = [] if to is State.UNCERTAIN else [Settled(id, "failed")]
        at = instant(self._recorder.clock())

        async def effect(loaded: Loaded) -> Effect:
            found, message = await self._current(id)
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
            )
            ended = message.moved(to, at=at, attempts=attempts, lease_until=None)
            return Effect([write(found, ended), item], settled)

        return effect

    async def _skip(self, found: Document, checks: tuple[Check, ...], *also: Change) -> None:
        """End a message unsent. Raises: Conflict: it changed meanwhile, so that the decision no longer stands."""
        at = instant(self._recorder.clock())
        lead_id = found.body["lead_id"]

        async def effect(_: Loaded) -> Effect:
            current, message = await self._current(found.id)
            if current.version != found.version:
                raise Stale(Kind.MESSAGES, found.id)
            skipped = message.moved(State.SKIPPED, at=at, decision=checks)
            return Effect([write(current, skipped), *also], [Settled(found.id, "skipped")])

        await self._recorder.settle(lead_id, effect)

    async def _unrenderable(self, found: Document, verdict: Verdict, error: Unrenderable) -> None:
        """A message that cannot be written is skipped, and somebody is told."""
        message = Message.read(found.body)
        check = Check(check="template", input=message.template_id or "text", outcome=f"skipped: {error}")
        item = review.item(
            ReviewKind.TEMPLATE,
            reason=f"the template {message.template_id} does not render",
            error=str(error),
            input={"message_id": found.id, "template_id": message.template_id},
            at=instant(self._recorder.clock()),
            lead_id=message.lead_id,
            message_id=found.id,
        )
        await self._skip(found, (*verdict.checks, check), item)

    async def recover(self) -> int:
        """Find messages whose sending was cut off, by a crash or a lost answer, and make them uncertain."""
        page = await self._store.find(MESSAGES_SENDING, high=instant(self._recorder.clock()), limit=100)
        for found in page.items:
            await self._safely_cut_off(found)
        return len(page.items)

    async def _safely_cut_off(self, found: Document) -> None:
        error = "the process ended, or the answer was lost, while the message was being sent"
        uncertain = self._end(found.id, State.UNCERTAIN, error, found.body["lease_until"])
        try:
            await self._recorder.settle(found.body["lead_id"], uncertain)
        except Exception:
            log.exception("a message that was cut off stays as it is; the next look tries again", message_id=found.id)

    async def _broken(self, found: Document) -> None:
        """Put off a message on which our own code failed, so that it does not fail again at once and for ever.

        It may be one that cannot even be read.
        """
        with contextlib.suppress(StoreError):
            (current,) = await self._store.get(Kind.MESSAGES, found.id)
            if current is not None and current.body["waiting"]:
                body = {**current.body, "due_at": later(self._recorder.clock(), seconds=HOLD_SECONDS)}
                await self._store.commit(Replace(Kind.MESSAGES, current.id, current.version, body))

    async def _current(self, id: str) -> tuple[Document, Message]:
        (found,) = await self._store.get(Kind.MESSAGES, id)
        assert found is not None, "a message that is being sent exists"
        return found, Message.read(found.body)


def _is_of(message: Message, lease: Instant | None) -> bool:
    """Whether the message is still in the very sending that had this lease, not settled and not in a later one."""
    return message.status is State.SENDING and message.lease_until == lease
