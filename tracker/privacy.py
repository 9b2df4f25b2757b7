"""Everything that is held about a person: told in an export, removed by an erasure with a receipt."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from tracker import audit
from tracker.errors import NotFound, Refused
from tracker.identity import Key, email_key
from tracker.lead import words
from tracker.marks import Marks, mark, opened
from tracker.model import Document, new_id
from tracker.people import followed, known_as, owners
from tracker.person import Person
from tracker.ports import Elsewhere
from tracker.reading import everything
from tracker.recorder import Recorder
from tracker.store.port import Change, Delete, Insert, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import (
    AUDIT_BY_LEAD,
    CONSENTS_BY_PERSON,
    CONVERSATIONS_BY_LEAD,
    CORRECTIONS_BY_LEAD,
    CORRECTIONS_BY_PERSON,
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
    EVENTS_BY_LEAD,
    AUDIT_BY_LEAD,
    CORRECTIONS_BY_LEAD,
)
"""What belongs to a lead, each by its lead."""

OF_PERSON: tuple[Index, ...] = (CONSENTS_BY_PERSON, CORRECTIONS_BY_PERSON)
"""What belongs to a person, whatever the lead: an undone merge may have given the lead of a correction back."""

BY_ID = frozenset(
    {
        Kind.PERSONS,
        Kind.PERSON_KEYS,
        Kind.LEADS,
        Kind.LEAD_WORDS,
        Kind.ENROLMENTS,
        Kind.MERGES,
        Kind.INBOX,
        Kind.OUTBOUND_LANES,
    }
)
"""What is found from the person itself, or from what belongs to it."""

SEARCHED: tuple[Index, ...] = (REVIEW_ALL, IDEMPOTENCY_EXPIRY)
"""What may tell of a person without naming a lead: every document is looked at."""

OF_NOBODY = frozenset(
    {
        Kind.PRODUCTS,
        Kind.PRODUCT_CONFIGS,
        Kind.TEMPLATES,
        Kind.TEMPLATE_CONTENTS,
        Kind.SUBSCRIPTIONS,
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
    """The receipt, and until it is done the plan. Attributes: persons, leads: their ids. marks, users: what to search
    for, emptied at the end. counts: documents removed, by kind.
    """

    persons: tuple[str, ...]
    leads: tuple[str, ...]
    marks: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    by: str
    at: Instant
    running: bool = True
    done_at: Instant | None = None


class Receipt(NamedTuple):
    id: str
    erasure: Erasure


class Sought(NamedTuple):
    """By what documents about a person are found. Attributes: persons, leads: ids. contacts: under which names their
    messages came in. marks: words by which a document without a lead shows that it is about them. users: their ids in
    CRMs, each behind its source.
    """

    persons: Sequence[str]
    leads: Sequence[str]
    contacts: Sequence[str]
    marks: Sequence[str]
    users: Sequence[str]


class Whole(NamedTuple):
    """A person: the survivor first, then those that it absorbed; every lead and every key of any of them."""

    persons: list[Stored]
    leads: list[Stored]
    keys: list[Stored]

    @property
    def person(self) -> Person:
        return Person.read(self.persons[0].body)

    @property
    def names(self) -> list[Key]:
        """By what they are known, or ever were."""
        told = (key for d in self.persons for key in known_as(Person.read(d.body)))
        return list(dict.fromkeys((*(Key.of(d.id) for d in self.keys), *told)))

    @property
    def sought(self) -> Sought:
        persons, leads = tuple(d.id for d in self.persons), tuple(d.id for d in self.leads)
        numbers = [key.value.removeprefix("+") for key in self.names if key.kind in {"whatsapp", "phone"}]
        contacts = dict.fromkeys(form for number in numbers for form in (number, f"+{number}"))
        marks = dict.fromkeys((*(mark(key) for key in self.names if key.kind != "crm"), *persons, *leads))
        users = tuple(key.value for key in self.names if key.kind == "crm")
        return Sought(persons, leads, tuple(contacts), tuple(marks), users)


class Privacy:
    def __init__(self, recorder: Recorder, elsewhere: Elsewhere):
        self._recorder, self._store, self._opt_outs = recorder, recorder.store, recorder.opt_outs
        self._elsewhere, self._is_clean = elsewhere, True

    async def whole(self, person_id: str) -> Whole:
        """Raises: NotFound."""
        found = (await followed(self._store, [person_id])).get(person_id)
        if found is None:
            raise NotFound(f"there is no person {person_id}")
        persons = [found]
        absorbed = Person.read(found.body).absorbed
        persons += [d for d in await self._store.get(Kind.PERSONS, *absorbed) if d]
        ids = dict.fromkeys(lead_id for person in persons for lead_id in person.body["leads"].values())
        leads = [d for d in await self._store.get(Kind.LEADS, *ids) if d]
        keys = [key for person in persons async for key in everything(self._store, KEYS_BY_PERSON, person.id)]
        return Whole(persons, leads, keys)

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
        for document in (*whole.persons, *whole.leads, *whole.keys):
            yield document
        async for document in _of_ids(self._store, whole):
            yield document
        async for document in self._around(whole.sought):
            yield document

    async def _around(self, sought: Sought) -> AsyncIterator[Stored]:
        """Yield what there is about a person besides the documents that it is found by, each once."""
        persons, leads, contacts, words, users = sought
        for index, names in (*((index, leads) for index in OF_LEAD), (INBOX_BY_CONTACT, contacts)):
            for name in names:
                async for document in everything(self._store, index, name, chunk=CHUNK):
                    yield document
        for index in OF_PERSON:
            for name in persons:
                async for document in everything(self._store, index, name, chunk=CHUNK):
                    if document.body.get("lead_id") not in leads:  # told by its lead already
                        yield document
        items = {d.id: d for name in leads async for d in everything(self._store, REVIEW_BY_LEAD, name, chunk=CHUNK)}
        items |= {d.id: d async for d in self._naming(REVIEW_ALL, Marks(words, users))}
        # Before the items, so that it holds after a crash: an answer may tell of one by nothing but its id.
        async for document in self._naming(IDEMPOTENCY_EXPIRY, Marks([*words, *items], users)):
            yield document
        for document in items.values():
            yield document

    async def _naming(self, index: Index, marks: Marks) -> AsyncIterator[Stored]:
        """Yield what tells of the person."""
        async for document in everything(self._store, index, chunk=CHUNK):
            if marks.told_in(document.body):
                yield document
            await asyncio.sleep(0)  # a long look keeps nobody waiting

    async def erase(self, person_id: str, *, by: str, only: Callable[[Whole], bool] = lambda _: True) -> Receipt:
        """Remove a person everywhere. What it refused is remembered as hashes of its addresses.

        Args: only: whether the person, as it is when it goes, is to go.
        Raises: NotFound. Refused: `only` said no.
        """
        id = new_id()

        async def read() -> tuple[Whole, list[Stored], list[str]]:
            whole = await self.whole(person_id)
            first = [document async for document in _of_ids(self._store, whole)]
            refused = await self._store.get(Kind.OPT_OUTS, *self._opt_outs.hashes(whole.names))
            return whole, first, [d.id for d in refused if d]

        def decide(known: tuple[Whole, list[Stored], list[str]]) -> Decision[Receipt]:
            whole, first, refused = known
            if not only(whole):
                raise Refused("the person stays")
            at = instant(self._recorder.clock())
            gone = [*whole.persons, *whole.leads, *whole.keys, *first]
            counts: dict[str, int] = {}
            for document in gone:
                counts[str(document.kind)] = counts.get(str(document.kind), 0) + 1
            erasure = Erasure(**whole.sought._asdict(), counts=counts, by=by, at=at)
            changes: list[Change] = [Delete(d.kind, d.id, d.version) for d in gone]
            changes += self._opt_outs.kept(whole.person, whole.names, refused, at=at)
            noted = audit.entry(by, "person.erase", id, at=at, detail=", ".join(erasure.persons))
            changes += [Insert(Kind.ERASURES, id, erasure.body()), noted]
            return Decision(Receipt(id, erasure), changes)

        # From this commit on nobody finds the person; the rest goes chunk by chunk, again after a crash.
        await run(self._store, read, decide)
        return await self._finish(id)

    async def resume(self) -> int:
        """Go on with erasures that were cut off, and return how many there were."""
        page = await self._store.find(ERASURES_RUNNING)
        for found in page.items:
            await self._finish(found.id)
        if not self._is_clean:
            self._is_clean = await self._elsewhere.scrub()
        return len(page.items)

    async def _finish(self, id: str) -> Receipt:
        """Remove the rest. Several may be at it, after a restart or a long time: each adds what it removed."""

        async def read() -> Stored:
            (found,) = await self._store.get(Kind.ERASURES, id)
            assert found is not None, "an erasure is kept"
            return found

        def decide(found: Stored) -> Decision[Receipt]:
            erasure = Erasure.read(found.body)
            counts = dict(Counter(erasure.counts) + removed)
            at = instant(self._recorder.clock())
            done = erasure.but(marks=(), users=(), contacts=(), counts=counts, running=False, done_at=at)
            return Decision(Receipt(id, done), [Replace(Kind.ERASURES, id, found.version, done.body())])

        erasure = Erasure.read((await read()).body)
        removed = Counter[str]()
        sought = Sought(erasure.persons, erasure.leads, erasure.contacts, erasure.marks, erasure.users)
        async for document in self._around(sought):
            removed[str(document.kind)] += await self._remove(document)
        receipt = await run(self._store, read, decide)
        self._is_clean = await self._elsewhere.scrub()
        return receipt

    async def _remove(self, document: Stored) -> int:
        """Delete a document, whoever changed it meanwhile, and return whether it was there."""

        gone = [(document.kind, document.id)]
        if document.kind is Kind.OUTBOUND:  # nothing of the lead waits there any more
            gone.append((Kind.OUTBOUND_LANES, document.body["lane"]))

        async def read() -> list[Stored]:
            return [now for kind, id in gone for now in await self._store.get(kind, id) if now]

        def decide(there: list[Stored]) -> Decision[int]:
            count = sum(now.kind is document.kind for now in there)
            return Decision(count, [Delete(now.kind, now.id, now.version) for now in there])

        if document.kind is Kind.MESSAGES:  # before the document, without which nobody would know of it
            await self._elsewhere.forget(document.id)
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
    for person in whole.persons:
        async for document in everything(store, MERGES_BY_SURVIVOR, person.id):
            yield document


def shown(document: Stored) -> dict[str, Any]:
    """A document as an export tells it: JSON texts opened."""
    return {"id": document.id, **{name: _deep(value) for name, value in document.body.items()}}


def _deep(value: Any) -> Any:
    if isinstance(value, str):
        return opened(value)
    if isinstance(value, Sequence):
        return [_deep(item) for item in value]
    return value
