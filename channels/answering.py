"""Who answers on WhatsApp: orders to the channel and what is no text here, everything else the assistant."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from channels.heard import Heard, Word
from channels.inbox import Unanswerable
from channels.messages import Category, planned
from channels.ports import Correspondent, Letter
from tracker import consent, people
from tracker.catalog import Catalog
from tracker.events import Channel, EventType, Happening
from tracker.identity import Key, match
from tracker.logins import person_changes
from tracker.person import Consent, Person
from tracker.prospects import Acted, Met, engage
from tracker.recorder import Recorder
from tracker.store.port import Change, Insert
from tracker.store.schema import Kind
from tracker.times import Instant, instant

STOPPED = "Done: you get no more WhatsApp messages from us. Write START if you change your mind."
STARTED = "Welcome back! You get our messages here again. Write STOP at any time to end them."
HELP = (
    "This is the assistant of {product}. Ask me anything about it, or write “talk to a human”. "
    "Write STOP to get no more messages."
)
NO_WORDS = "Thank you for the {kind}! I can only read text here: would you tell me in words?"
NO_PRODUCT = "there is no product to talk about: set LEADLINE_DEFAULT_PRODUCT"
KINDS = {"image": "picture", "audio": "voice note", "video": "video", "document": "document", "location": "location"}


class _Before(Exception):
    """This message was answered before."""


class WhatsAppAnswers:
    def __init__(self, recorder: Recorder, assistant: Correspondent, *, default_product: str | None):
        """Args: default_product: what people talk about who have no lead yet."""
        self._recorder, self._store, self._assistant = recorder, recorder.store, assistant
        self._default = default_product

    async def answer(self, heard: Heard) -> str:
        """Answer a message, once, and return what became of it: talked, stopped, started, helped or thanked.

        Raises: Unanswerable: there is no product to talk about; a STOP counts all the same. Unavailable: the store is
            away.
        """
        person, product_id = await self._about(heard)
        if product_id is None and heard.word is Word.STOP:
            await self._recorder.opt_outs.remember(heard.keys, Channel.WHATSAPP, at=instant(self._recorder.clock()))
            person, product_id = await self._about(heard)  # whoever became known meanwhile did not inherit it
            if product_id is None:
                raise Unanswerable(f"the STOP is kept, but cannot be confirmed: {NO_PRODUCT}")
        if product_id is None:
            raise Unanswerable(NO_PRODUCT)
        match heard.word:
            case Word.STOP:
                return await self._act(heard, product_id, self._stop, "stopped")
            case Word.START if await self._refuses(person, heard):
                return await self._act(heard, product_id, self._start, "started")
            case Word.HELP:
                return await self._act(heard, product_id, self._help, "helped")
        if not heard.text:
            return await self._act(heard, product_id, self._thank, "thanked")
        letter = Letter(heard.contact, heard.text, product_id, heard.sid, heard.keys, heard.pressed, _told(heard))
        await self._assistant.answer(letter)
        return "talked"

    async def _about(self, heard: Heard) -> tuple[Person | None, str | None]:
        """Return who wrote, where they are known, and which product it is about, where that is clear."""
        person = await self._person(heard.keys)
        return person, await product_of(person, self._recorder.catalog, self._default)

    async def _person(self, keys: Sequence[Key]) -> Person | None:
        owners, documents, _ = await people.owners(self._store, keys)
        person_id = match(keys, owners).person_id
        return Person.read(documents[person_id].body) if person_id else None

    async def _refuses(self, person: Person | None, heard: Heard) -> bool:
        """Whether who wrote has opted out, be it before an erasure or before there was anything to talk about."""
        if person is not None:
            return person.whatsapp_consent.status == "denied"
        earlier = await self._recorder.opt_outs.of(heard.keys)
        return any(opt_out.channel is Channel.WHATSAPP and opt_out.scope == "denied" for opt_out in earlier)

    async def _act(
        self, heard: Heard, product_id: str, act: Callable[[Met, Heard, Instant], Awaitable[Acted]], outcome: str
    ) -> str:
        """Keep what `act` makes of a message, and its answer, in one commit."""

        async def once(met: Met) -> Acted:
            acted = await act(met, heard, instant(self._recorder.clock()))
            seen = await self._store.get(Kind.LEAD_EVENTS, *(happening.key for happening in acted.happenings))
            if any(seen):
                raise _Before
            return acted

        try:
            await engage(self._recorder, heard.keys, product_id, once)
        except _Before:
            return outcome
        return outcome

    async def _stop(self, met: Met, heard: Heard, at: Instant) -> Acted:
        """The consent ends, whatever the category; a first STOP gets one confirmation.

        Several people may be known by what the sender is known by: whoever it is now, none of them is written to.
        """
        stop = _happening(heard, EventType.UNSUBSCRIBE, at, {"word": heard.text[:50]})
        person = met.person.updated({"whatsapp_seen_at": at}, at=at)
        denied = met.person.whatsapp_consent.status == "denied"
        others = await self._others(met, heard, at)
        return Acted(None, [stop], person, [*others, *([] if denied else [_reply(met, heard, STOPPED, at)])])

    async def _others(self, met: Met, heard: Heard, at: Instant) -> list[Change]:
        """The changes that end the consent of everybody else who is known by a key of the sender."""
        known = await people.owners(self._store, heard.keys)
        changes: list[Change] = []
        for id in known.documents.keys() - {met.person_id}:
            before = Person.read(known.documents[id].body)
            after = consent.denied(before, "leadline", at, received_at=at)
            changes += person_changes(id, known.documents[id].version, after, before)
        return changes

    async def _start(self, met: Met, heard: Heard, at: Instant) -> Acted:
        granted = Consent(status="granted", basis="opt_in", source="whatsapp", at=at)
        person = met.person.updated({"whatsapp_consent": granted}, at=at)
        wrote = _happening(heard, EventType.WHATSAPP_REPLY, at, {"word": heard.text[:50]})
        return Acted(None, [wrote], person, [_reply(met, heard, STARTED, at)])

    async def _help(self, met: Met, heard: Heard, at: Instant) -> Acted:
        wrote = _happening(heard, EventType.WHATSAPP_REPLY, at, {"word": heard.text[:50]})
        return Acted(None, [wrote], met.person, [_reply(met, heard, HELP.format(product=met.config.config.name), at)])

    async def _thank(self, met: Met, heard: Heard, at: Instant) -> Acted:
        """A picture, a voice note or a place is no answer to a question of the assistant: it is kept and thanked for.

        While a person holds the thread, they answer.
        """
        wrote = _happening(heard, EventType.WHATSAPP_REPLY, at, {"kind": heard.kind, **_told(heard)})
        words = NO_WORDS.format(kind=KINDS.get(heard.kind, "message"))
        return Acted(None, [wrote], met.person, [] if met.lead.held_by else [_reply(met, heard, words, at)])


async def product_of(person: Person | None, catalog: Catalog, default: str | None) -> str | None:
    """Return what a person's message is about: the lead that WhatsApp was last about, else the newest lead, else the
    default product, else the only one; None where that leaves it open."""
    if person is not None and person.leads:
        by_lead = {lead_id: product_id for product_id, lead_id in person.leads.items()}
        return by_lead.get(person.whatsapp_lead or "") or by_lead[max(by_lead)]
    if default is not None and await catalog.live(default) is not None:
        return default
    products = await catalog.products()
    return products[0].config.product_id if len(products) == 1 else None


def _happening(heard: Heard, event_type: EventType, at: Instant, metadata: dict[str, Any]) -> Happening:
    return Happening("leadline", f"{heard.sid}:in", event_type, Channel.WHATSAPP, at, metadata)


def _reply(met: Met, heard: Heard, text: str, at: Instant) -> Change:
    message = planned(
        lead_id=met.lead_id,
        person_id=met.person_id,
        product_id=met.lead.product_id,
        channel=Channel.WHATSAPP,
        category=Category.REPLY,
        due_at=at,
        at=at,
        text=text,
    )
    return Insert(Kind.MESSAGES, f"{heard.sid}.reply", message.body())


def _told(heard: Heard) -> dict[str, Any]:
    """What came besides the words."""
    told: dict[str, Any] = {}
    if heard.media:
        told["media"] = [{"url": media.url[:2000], "type": media.type[:200]} for media in heard.media]
    if heard.place:
        told["location"] = {"latitude": heard.place[0][:50], "longitude": heard.place[1][:50]}
    return told
