"""Replies of the bot and of salespeople, on their way into the outbox."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from channels.deciding import WINDOW, Verdict, decide
from channels.messages import SHOWN, Category, Message, planned
from channels.texts import composed, split
from tracker.events import Channel
from tracker.lead import Lead
from tracker.person import Person
from tracker.ports import Spoken, Way
from tracker.store.port import Change, Insert, Store
from tracker.store.schema import MESSAGES_BY_LEAD, Kind
from tracker.times import Instant, instant


class ReplyOutbox:
    """How the bot answers on channels that are written to (`bot/ports.py`)."""

    def planned(
        self,
        turn_id: str,
        *,
        lead_id: str,
        person_id: str,
        product_id: str,
        channel: Channel,
        said: Sequence[tuple[str, Sequence[str]]],
        at: Instant,
    ) -> Sequence[Change]:
        """Return the messages of a turn. Their ids follow from the turn's: a turn can be answered only once."""
        key = hashlib.blake2b(turn_id.encode(), digest_size=13).hexdigest()
        reply = _reply(lead_id, person_id, product_id, channel, at=at)
        return _inserts([f"{key}.{n:02}" for n in range(100)], reply, composed(said))


class HumanReplyOutbox:
    """How a salesperson answers (`tracker/ports.py`)."""

    def __init__(self, open_channels: frozenset[Channel]):
        """Args: open_channels: channels that are configured."""
        self._open = open_channels

    def way(self, lead: Lead, person: Person, *, now: datetime) -> Way:
        wanted = (lead.wrote_on, person.preferred_channel, Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT)
        channels = list(dict.fromkeys(channel for channel in wanted if channel not in (None, Channel.PRODUCT)))
        verdicts = {channel: self._verdict(channel, lead, person, now) for channel in channels}
        window = _window_open(person, now) if lead.wrote_on is Channel.WHATSAPP else None
        for outcome in ("send", "hold"):  # what is held arrives once the channel is configured
            for channel, verdict in verdicts.items():
                if verdict.outcome == outcome:
                    return Way(channel, None, window)
        first = channels[0]
        return Way(first, verdicts[first].checks[-1].outcome.removeprefix("skipped: "), window)

    def planned(
        self, id: str, *, lead_id: str, lead: Lead, channel: Channel, text: str, author: str, at: Instant
    ) -> Sequence[Change]:
        reply = _reply(lead_id, lead.person_id, lead.product_id, channel, at=at).but(author=author)
        texts = split(text) if channel is Channel.WHATSAPP else [text]
        return _inserts([id, *(f"{id}.{n:02}" for n in range(2, 100))], reply, texts)

    def _verdict(self, channel: Channel, lead: Lead, person: Person, now: datetime) -> Verdict:
        probe = _reply("", lead.person_id, lead.product_id, channel, at=instant(now))
        return decide(probe, lead, person, open_channels=self._open, now=now)


def _reply(lead_id: str, person_id: str, product_id: str, channel: Channel, *, at: Instant) -> Message:
    return planned(
        lead_id=lead_id,
        person_id=person_id,
        product_id=product_id,
        channel=channel,
        category=Category.REPLY,
        due_at=at,
        at=at,
    )


def _inserts(ids: Sequence[str], reply: Message, texts: Sequence[str]) -> list[Change]:
    """One message for each text; the ids keep the order of what is due at the same moment."""
    return [Insert(Kind.MESSAGES, id, reply.but(text=text).body()) for id, text in zip(ids, texts, strict=False)]


def _window_open(person: Person, now: datetime) -> bool:
    return person.whatsapp_seen_at is not None and person.whatsapp_seen_at > instant(now - WINDOW)


class MessageTeller:
    """Tells a handoff what was said to a lead in messages, but for the bot's answers, which are in its turns."""

    async def spoken(self, store: Store, lead_id: str, *, limit: int) -> list[Spoken]:
        page = await store.find(MESSAGES_BY_LEAD, lead_id, reverse=True, limit=limit)
        return [line for line in (_told(Message.read(document.body)) for document in page.items) if line]


def _told(message: Message) -> Spoken | None:
    if message.author is not None and message.text:
        return Spoken(message.created_at, "human", message.text, message.author, str(message.status))
    if message.channel is Channel.CHATBOT and message.status in SHOWN:
        return Spoken(message.updated_at, "bot", message.words)
    return None
