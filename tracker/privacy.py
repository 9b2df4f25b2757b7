"""Everything that is held about a person: told in an export, removed by an erasure with a receipt."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from tracker import audit
from tracker.errors import NotFound, Refused
from tracker.identity import email_key
from tracker.lead import words
from tracker.model import Document, new_id
from tracker.opt_outs import OptOuts, addresses
from tracker.people import followed, owners
from tracker.person import Person
from tracker.reading import everything
from tracker.recorder import Recorder
from tracker.store.port import Change, Delete, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import (
    AUDIT_BY_LEAD,
    CONVERSATIONS_BY_LEAD,
    ERASURES_RUNNING,
    EVENTS_BY_LEAD,
    HANDOFFS_BY_LEAD,
    IDEMPOTENCY_EXPIRY,
    INBOX_BY_CONTACT,
    KEYS_BY_PERSON,
    MERGES_BY_SURVIVOR,
    MESSAGES_BY_LEAD,
    OUTBOUND_BY_LEAD,
    REVIEW_ALL,
    REVIEW_BY_LEAD,
    THRESHOLDS_BY_LEAD,
    TURNS_BY_LEAD,
    Index,
    Kind,
)
from tracker.times import Instant, instant
from tracker.unit import Decision, run

OF_LEAD: tuple[Index, ...] = (
    MESSAGES_BY_LEAD,
    TURNS_BY_LEAD,
    CONVERSATIONS_BY_LEAD,
    HANDOFFS_BY_LEAD,
    OUTBOUND_BY_LEAD,
    THRESHOLDS_BY_LEAD,
    REVIEW_BY_LEAD,
    EVENTS_BY_LEAD,
    AUDIT_BY_LEAD,
)
"""What belongs to a lead, each by its lead."""

BY_ID = frozenset(
    {Kind.PERSONS, Kind.PERSON_KEYS, Kind.LEADS, Kind.LEAD_WORDS, Kind.ENROLMENTS, Kind.MERGES, Kind.INBOX}
)
"""What is found from the person itself."""

SEARCHED: tuple[Index, ...] = (REVIEW_ALL, IDEMPOTENCY_EXPIRY)
"""What may tell of a person without naming a lead: every document is looked at."""

OF_NOBODY = frozenset(
    {
        Kind.PRODUCTS,
        Kind.PRODUCT_CONFIGS,
        Kind.TEMPLATES,
        Kind.TEMPLATE_CONTENTS,
        Kind.SUBSCRIPTIONS,
        Kind.OUTBOUND_LANES,
        Kind.COUNTERS,
        Kind.AUDIT,
        Kind.API_KEYS,
        Kind.USERS,
        Kind.SESSIONS,
        Kind.ERASURES,
        Kind.OPT_OUTS,
        Kind.WALKS,
    }
)
"""What holds nothing of the people who are leads, but ids that lead nowhere once they are gone."""

CHUNK = 200


class Erasure(Document, frozen=True, kw_only=True):
    """The receipt, and until it is done the plan. Attributes: persons, leads: their ids. marks: what to search for,
    emptied at the end. counts: documents removed, by kind.
    """

    persons: tuple[str, ...]
    leads: tuple[str, ...]
    marks: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    by: str
    at: Instant
    running: bool = True
    done_at: Instant | None = None


class Receipt(NamedTuple):
    id: str
    erasure: Erasure


class Whole(NamedTuple):
    """A person: the survivor first, then those that it absorbed; and every lead of any of them."""

    persons: list[Stored]
    leads: list[Stored]

    @property
    def person(self) -> Person:
        return Person.read(self.persons[0].body)


class Privacy:
    def __init__(self, recorder: Recorder, opt_outs: OptOuts):
        self._recorder, self._store, self._opt_outs = recorder, recorder.store, opt_outs

    async def whole(self, person_id: str) -> Whole:
        """Raises: NotFound."""
        found = (await followed(self._store, [person_id])).get(person_id)
        if found is None:
            raise NotFound(f"there is no person {person_id}")
        persons = [found]
        absorbed = Person.read(found.body).absorbed
        persons += [d for d in await self._store.get(Kind.PERSONS, *absorbed) if d]
        ids = dict.fromkeys(lead_id for person in persons for lead_id in person.body["leads"].values())
        return Whole(persons, [d for d in await self._store.get(Kind.LEADS, *ids) if d])

    async def named(self, name: str) -> str:
        """Return the person that a person's id, a lead's id or an e-mail address names. Raises: NotFound."""
        (lead,) = await self._store.get(Kind.LEADS, name)
        if lead is not None:
            return str(lead.body["person_id"])
        key = email_key(name.strip().lower())
        return (await owners(self._store, [key])).by_key.get(key, name)

    async def export(self, person_id: str) -> dict[str, Any]:
        """Return everything held about a person, by kind. Raises: NotFound."""
        whole = await self.whole(person_id)
        told: dict[str, list[dict[str, Any]]] = {}
        async for document in self._held(whole):
            told.setdefault(str(document.kind), []).append(shown(document))
        return {"person_id": whole.persons[0].id, "exported_at": instant(self._recorder.clock()), **told}

    async def _held(self, whole: Whole) -> AsyncIterator[Stored]:
        for document in (*whole.persons, *whole.leads):
            yield document
        async for document in _of_ids(self._store, whole):
            yield document
        person_marks = marks(whole)
        seen: set[tuple[Kind, str]] = set()
        for index in OF_LEAD:
            for lead in whole.leads:
                async for document in everything(self._store, index, lead.id):
                    seen.add((document.kind, document.id))
                    yield document
        async for document in everything(self._store, REVIEW_ALL):
            if (document.kind, document.id) not in seen and mentions(document, person_marks):
                yield document

    async def erase(self, person_id: str, *, by: str, only: Callable[[Whole], bool] = lambda _: True) -> Receipt:
        """Remove a person everywhere. What it refused is remembered as hashes of its addresses.

        Args: only: whether the person, as it is when it goes, is to go.
        Raises: NotFound. Refused: `only` said no.
        """
        id = new_id()

        async def read() -> tuple[Whole, list[Stored], list[str]]:
            whole = await self.whole(person_id)
            first = [document async for document in _of_ids(self._store, whole) if document.kind is not Kind.INBOX]
            refused = await self._store.get(Kind.OPT_OUTS, *self._opt_outs.hashes(addresses(whole.person)))
            return whole, first, [d.id for d in refused if d]

        def decide(known: tuple[Whole, list[Stored], list[str]]) -> Decision[Receipt]:
            whole, first, refused = known
            if not only(whole):
                raise Refused("the person stays")
            at = instant(self._recorder.clock())
            gone = [*whole.persons, *whole.leads, *first]
            counts: dict[str, int] = {}
            for document in gone:
                counts[str(document.kind)] = counts.get(str(document.kind), 0) + 1
            erasure = Erasure(
                persons=tuple(d.id for d in whole.persons),
                leads=tuple(d.id for d in whole.leads),
                marks=tuple(sorted(marks(whole))),
                contacts=tuple(contacts(whole)),
                counts=counts,
                by=by,
                at=at,
            )
            changes: list[Change] = [Delete(d.kind, d.id, d.version) for d in gone]
            changes += self._opt_outs.kept(whole.person, refused, at=at)
            changes += [Insert(Kind.ERASURES, id, erasure.body()), audit.entry(by, "person.erase", id, at=at)]
            return Decision(Receipt(id, erasure), changes)

        # From this commit on nobody finds the person; the rest goes chunk by chunk, again after a crash.
        await run(self._store, read, decide)
        return await self._finish(id)

    async def resume(self) -> int:
        """Go on with erasures that were cut off, and return how many there were."""
        page = await self._store.find(ERASURES_RUNNING)
        for found in page.items:
            await self._finish(found.id)
        return len(page.items)

    async def _finish(self, id: str) -> Receipt:
        (found,) = await self._store.get(Kind.ERASURES, id)
        assert found is not None, "an erasure is kept"
        erasure = Erasure.read(found.body)
        counts = dict(erasure.counts)
        async for document in self._rest(erasure):
            counts[str(document.kind)] = counts.get(str(document.kind), 0) + await self._remove(document)
        done = erasure.but(marks=(), contacts=(), counts=counts, running=False, done_at=instant(self._recorder.clock()))
        await self._store.commit(Replace(Kind.ERASURES, id, found.version, done.body()))
        return Receipt(id, done)

    async def _rest(self, erasure: Erasure) -> AsyncIterator[Stored]:
        for index in OF_LEAD:
            for lead_id in erasure.leads:
                async for document in everything(self._store, index, lead_id, chunk=CHUNK):
                    yield document
        for contact in erasure.contacts:
            async for document in everything(self._store, INBOX_BY_CONTACT, contact, chunk=CHUNK):
                yield document
        wanted = frozenset((*erasure.marks, *erasure.persons, *erasure.leads))
        for index in SEARCHED:
            async for document in everything(self._store, index, chunk=CHUNK):
                if mentions(document, wanted):
                    yield document

    async def _remove(self, document: Stored) -> int:
        """Delete a document, whoever changed it meanwhile, and return whether it was there."""

        async def read() -> Stored | None:
            (now,) = await self._store.get(document.kind, document.id)
            return now

        def decide(now: Stored | None) -> Decision[int]:
            return Decision(1, [Delete(now.kind, now.id, now.version)]) if now else Decision(0)

        return await run(self._store, read, decide)


async def _of_ids(store: Store, whole: Whole) -> AsyncIterator[Stored]:
    """What is found from the person itself, but for the person and its leads."""
    lead_ids = [lead.id for lead in whole.leads]
    people = [Person.read(d.body) for d in whole.persons]
    word_ids = {f"{word}:{lead_id}" for person in people for word in words(person) for lead_id in lead_ids}
    for kind, ids in ((Kind.ENROLMENTS, lead_ids), (Kind.LEAD_WORDS, sorted(word_ids))):
        for document in await store.get(kind, *ids):
            if document is not None:
                yield document
    for index, names in (
        (KEYS_BY_PERSON, [d.id for d in whole.persons]),
        (MERGES_BY_SURVIVOR, [d.id for d in whole.persons]),
        (INBOX_BY_CONTACT, contacts(whole)),
    ):
        for name in names:
            async for document in everything(store, index, name):
                yield document


def marks(whole: Whole) -> frozenset[str]:
    """Words by which a document without a lead shows that it is about this person."""
    people = [Person.read(d.body) for d in whole.persons]
    told = [value for p in people for value in (p.email, p.phone, p.whatsapp_id, p.visitor) if value]
    told += [identity.user_id for p in people for identity in p.crm]
    return frozenset((*told, *(d.id for d in whole.persons), *(d.id for d in whole.leads)))


def contacts(whole: Whole) -> list[str]:
    """Under which names the person's messages came in."""
    people = [Person.read(d.body) for d in whole.persons]
    numbers = [value for p in people for value in (p.whatsapp_id, p.phone) if value]
    return list(dict.fromkeys(form for n in numbers for form in (n, n.removeprefix("+"), "+" + n.removeprefix("+"))))


def mentions(document: Stored, wanted: Iterable[str]) -> bool:
    """Whether any text within a document, JSON texts opened, is one of `wanted`."""
    known = {value.casefold() for value in wanted}
    return any(text.strip().casefold() in known for text in _texts(document.body))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        opened = _opened(value)
        if opened is value:
            yield value
        else:
            yield from _texts(opened)
    elif isinstance(value, int):
        yield str(value)


def _opened(text: str) -> Any:
    """JSON text as what it says."""
    if text[:1] not in "{[" or not text:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def shown(document: Stored) -> dict[str, Any]:
    """A document as an export tells it: JSON texts opened."""
    return {"id": document.id, **{name: _deep(value) for name, value in document.body.items()}}


def _deep(value: Any) -> Any:
    if isinstance(value, str):
        return _opened(value)
    if isinstance(value, Sequence):
        return [_deep(item) for item in value]
    return value
