"""Delivery: takes due messages from the store, decides, sends, settles. Any number of processes may do it at once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random

import orjson
import structlog

from channels.context import context_of
from channels.deciding import Verdict, decide
from channels.email import CONNECTIONS
from channels.links import Tracked, track
from channels.messages import PRIORITY, Category, Check, Message, write
from channels.order import LOOKED_AT, STUCK_HOURS, waits_until
from channels.rendering import Content, Rendered, Unrenderable, as_html, render
from channels.sending import Outgoing, Sender
from channels.settling import Settling, current_message
from channels.states import State
from channels.templates import TemplateCatalog
from channels.tracking import Addresses
from tracker import review
from tracker.errors import Fault, NotFound
from tracker.events import Channel
from tracker.ports import Settled
from tracker.recorder import Effect, Loaded, Recorder
from tracker.review import ReviewKind
from tracker.store.port import Change, Conflict, Cursor, Document, Expect, Replace, Stale, StoreError
from tracker.store.schema import MESSAGES_BY_LEAD, MESSAGES_DUE, MESSAGES_SENDING, Kind
from tracker.times import Instant, instant, later

log = structlog.get_logger()

AT_ONCE: Mapping[Channel, int] = {Channel.EMAIL: CONNECTIONS, Channel.WHATSAPP: 16, Channel.CHATBOT: 16}
"""How many messages are sent at the same time. Those that had to wait for a connection would outlive their lease."""

TURN = 64
TURN_SECONDS = 1
HOLD_SECONDS = 60


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
        forget: Callable[[str], Awaitable[None]] | None = None,
    ):
        """Args: senders: a channel without one is off, and its messages wait. addresses: what goes into messages.
        forget: removes what senders keep of a message whose person was erased while it was being sent.
        """
        self._recorder, self._store, self._templates = recorder, recorder.store, templates
        self._senders = senders
        self._lease = provider_timeout + 10
        self._addresses, self._forget = addresses, forget
        self.settling = Settling(recorder, retry_base=retry_base, random=random or Random())

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
            await asyncio.gather(*(self._one_by_one(messages) for messages in _by_person(found)))
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

    async def _one_by_one(self, messages: Sequence[Document]) -> None:
        """Deliver one person's messages one after the other. A reply waits besides for those before it (`_turn`)."""
        for message in messages:
            await self._safely(message)

    async def _safely(self, found: Document) -> None:
        """Deliver one message. What goes wrong costs the others nothing; the store remembers where it stands."""
        try:
            await self.deliver(found)
        except Conflict:
            log.debug("somebody else took the message", message_id=found.id)
        except StoreError as error:
            log.warning("the store is away", message_id=found.id, error=str(error))
        except NotFound:
            log.info("the person of a message is being erased", message_id=found.id)
            await self._broken(found)  # until the erasure comes to it, others go first
        except Exception:
            log.exception("delivery failed", message_id=found.id)
            await self._broken(found)

    async def deliver(self, found: Document) -> None:
        """Decide on one waiting message and carry it out. Raises: Conflict: it changed meanwhile."""
        message = Message.read(found.body)
        loaded = await self._recorder.load(message.lead_id)
        if (over := await self._sequence_over(found.id, message, loaded)) is not None:
            await self._skip(found, (Check(check="condition", input="its sequence", outcome=f"skipped: {over}"),))
            return
        now = self._recorder.clock()
        content = await self._content(message)
        verdict = decide(
            message,
            loaded.lead,
            loaded.person,
            open_channels=frozenset(self._senders),
            now=now,
            approved=content is not None and content.content_sid is not None,
            config=loaded.config.config,
        )
        if verdict.outcome == "skip":
            await self._skip(found, verdict.checks)
        elif verdict.outcome == "hold":
            await self._hold(found, message, verdict.checks, verdict.until or later(now, seconds=HOLD_SECONDS))
        elif until := await self._turn(found, message, _in_thread(message, loaded)):
            check = Check(check="order", input="an earlier reply has not gone yet", outcome=f"held: until {until}")
            await self._hold(found, message, (*verdict.checks, check), until)
        else:
            await self._go(found, message, loaded, verdict)

    async def _sequence_over(self, id: str, message: Message, loaded: Loaded) -> str | None:
        """Return why a step is no longer wanted, None where it is.

        A sequence cannot call back what is with the provider. If it comes back unsent, the lead may have been absorbed
        or have left the stage meanwhile, and another step waits. What a person has sent again goes all the same.
        """
        if message.stage is None or message.replays:
            return None
        if loaded.id != message.lead_id:
            return "the lead was merged with another"
        (enrolment,) = await self._store.get(Kind.ENROLMENTS, message.lead_id)
        if enrolment is None or enrolment.body["message_id"] == id:
            return None
        return "the sequence has ended or gone on without it"

    async def _turn(self, found: Document, message: Message, lead_ids: Iterable[str]) -> Instant | None:
        """Return until when a reply waits for earlier ones, which another process may be sending; None: it is next.

        Args: lead_ids: the leads whose messages stand in one thread with it.
        """
        if message.category is not Category.REPLY:
            return None
        now = self._recorder.clock()
        low, itself = later(now, hours=-STUCK_HOURS), Cursor(message.created_at, found.id)
        before = partial(self._store.find, MESSAGES_BY_LEAD, low=low, reverse=True, after=itself, limit=LOOKED_AT)
        others = [other for lead_id in lead_ids for other in (await before(lead_id)).items]
        return waits_until(found, others, now)

    async def _hold(self, found: Document, message: Message, checks: tuple[Check, ...], until: Instant) -> None:
        at = instant(self._recorder.clock())
        await self._store.commit(write(found, message.moved(State.HELD, at=at, decision=checks, due_at=until)))

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
        unsubscribe = self._unsubscribe(id, message)
        pixel = self._addresses.pixel(id)
        link, keep = partial(self._addresses.link, id), frozenset({unsubscribe})
        return track(rendered, link=link, pixel=pixel, keep=keep, known=message.links)

    async def _words(self, id: str, message: Message, loaded: Loaded) -> Rendered:
        """Raises: Unrenderable."""
        if message.template_id is None:
            text = message.text or ""
            html = as_html(text) if message.channel is Channel.EMAIL else None
            return Rendered(loaded.config.config.name, text, html)
        content = await self._content(message)
        if content is None:
            raise Unrenderable(Fault("template_id", f"there is no {message.channel} template {message.template_id!r}"))
        variables, url = orjson.loads(message.variables), self._unsubscribe(id, message)
        return render(content, context_of(loaded, variables, url, now=self._recorder.clock()))

    def _unsubscribe(self, id: str, message: Message) -> str:
        return self._addresses.unsubscribe(id, message.lead_id, message.channel)

    async def try_rendering(self, id: str, message: Message) -> None:
        """Look whether a message can be written as things are. Raises: Unrenderable."""
        await self._rendered(id, message, await self._recorder.load(message.lead_id))

    async def _content(self, message: Message) -> Content | None:
        if message.template_id is None:
            return None
        return await self._templates.content(message.template_id, message.channel, message.product_id)

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
            recipient=verdict.address,
            links=tracked.links,
            said=tracked.content.text if message.channel is Channel.CHATBOT and message.template_id else None,
        )
        guard: Change = Expect(Kind.PERSONS, loaded.person_id, loaded.person_version)
        if message.category is Category.NURTURE and not message.attempts:  # counted here, so that no two pass one cap
            person = loaded.person.sent_nurture(instant(now))
            guard = Replace(Kind.PERSONS, loaded.person_id, loaded.person_version, person.body())
        await self._store.commit(write(found, sending), guard, Expect(Kind.LEADS, loaded.id, loaded.version))
        sender = loaded.config.config.sender
        outgoing = Outgoing(
            message_id=found.id,
            to=verdict.address,
            content=tracked.content,
            sender=sender.from_ if sender else None,
            reply_to=sender.reply_to if sender else None,
            unsubscribe_url=self._unsubscribe(found.id, message) if message.channel is Channel.EMAIL else "",
            lead_id=loaded.id,
            product_id=loaded.lead.product_id,
            author=message.author,
        )
        outcome = await self._senders[message.channel].send(outgoing)
        if not await self.settling.settle(found.id, outcome, lease=sending.lease_until) and self._forget is not None:
            await self._forget(found.id)

    async def _skip(self, found: Document, checks: tuple[Check, ...], *also: Change) -> None:
        """End a message unsent. Raises: Conflict: it changed meanwhile, so that the decision no longer stands."""
        at = instant(self._recorder.clock())
        lead_id = found.body["lead_id"]

        async def effect(_: Loaded) -> Effect:
            current, message = await current_message(self._store, found.id)
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
            product_id=message.product_id,
        )
        await self._skip(found, (*verdict.checks, check), item)

    async def recover(self) -> int:
        """Find messages whose sending was cut off, by a crash or a lost answer, and make them uncertain."""
        page = await self._store.find(MESSAGES_SENDING, high=instant(self._recorder.clock()), limit=100)
        for found in page.items:
            await self._safely_cut_off(found)
        return len(page.items)

    async def _safely_cut_off(self, found: Document) -> None:
        try:
            await self.settling.cut_off(found)
        except NotFound:
            log.info("the person of a message is being erased", message_id=found.id)
        except Exception:
            log.exception("a message that was cut off stays as it is; the next look tries again", message_id=found.id)

    async def _broken(self, found: Document) -> None:
        """Put off a message that cannot be delivered now, so that it does not fail again at once and for ever.

        It may be one that cannot even be read.
        """
        with contextlib.suppress(StoreError):
            (current,) = await self._store.get(Kind.MESSAGES, found.id)
            if current is not None and current.body["waiting"]:
                due_at = later(self._recorder.clock(), seconds=HOLD_SECONDS)
                body = {**current.body, "due_at": due_at, "broken": True}
                await self._store.commit(Replace(Kind.MESSAGES, current.id, current.version, body))


def _in_thread(message: Message, loaded: Loaded) -> Iterable[str]:
    """Return the leads whose messages their reader sees in one thread: on WhatsApp those about every product.

    Messages of an absorbed lead stay with it.
    """
    about_others = loaded.person.leads.values() if message.channel is Channel.WHATSAPP else ()
    return dict.fromkeys((*loaded.ids, *about_others))


def _by_person(found: Iterable[Document]) -> Iterable[Sequence[Document]]:
    groups: dict[str, list[Document]] = {}
    for document in found:
        groups.setdefault(document.body.get("person_id", document.id), []).append(document)
    return groups.values()
