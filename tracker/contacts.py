"""Leads that are created or corrected by hand or by an API client: contact, demographics, product context."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from tracker import people
from tracker.catalog import Catalog, check_version
from tracker.claims import Claims, alike, claimed, inheriting, strangers, untold, whatsapp_keys
from tracker.corrections import corrected
from tracker.counting import arrived
from tracker.errors import Fault, Invalid, Refused
from tracker.events import Channel
from tracker.identity import Key, crm_key, email_key, match, phone_key
from tracker.lead import Lead
from tracker.logins import Email, Phone, person_changes
from tracker.model import Input, Line, Name, Slug, new_id
from tracker.opt_outs import OptOut, refusing
from tracker.person import CrmIdentity, Person
from tracker.ports import Facts
from tracker.product import Versioned
from tracker.product_parts import Zone
from tracker.recorder import Loaded, Recorder
from tracker.store.port import Change, Document, Insert, Replace, Store
from tracker.store.schema import Kind
from tracker.times import instant
from tracker.told import OF_LEAD, by_api
from tracker.unit import Decision, Record, run

Told = Annotated[
    Line,
    BeforeValidator(lambda value: str(value) if type(value) in {int, float} else value),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 2000}, {"type": "number"}]}),
]
"""What is known of somebody; a company's size may come as a number."""


class ContactFields(Input):
    email: Email | None = None
    phone: Phone | None = None
    preferred_channel: Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT] | None = None


class ContextFields(Input):
    feature_usage: Annotated[tuple[Name, ...], Field(max_length=100)] | None = None
    trial_status: Line | None = None


class LeadFields(Input):
    """What may be said of a lead. Fields left out keep their value. `email`, `phone` are short for `contact_info`."""

    organization_id: Name | None = None
    name: Line | None = None
    email: Email | None = None
    phone: Phone | None = None
    contact_info: ContactFields = ContactFields()
    demographics: Annotated[dict[Name, Told], Field(max_length=50)] = {}
    product_context: ContextFields = ContextFields()
    time_zone: Zone | None = None

    def personal(self) -> dict[str, Any]:
        """The person's fields that are given, but for demographics."""
        contact = self.contact_info
        values = {
            "name": self.name or self.demographics.get("name"),
            "email": contact.email or self.email,
            "phone": contact.phone or self.phone,
            "preferred_channel": contact.preferred_channel,
            "time_zone": self.time_zone,
        }
        return {name: value for name, value in values.items() if value is not None}

    def identity_keys(self) -> list[Key]:
        values = self.personal()
        keys = [email_key(values["email"])] if "email" in values else []
        return keys + ([phone_key(values["phone"])] if "phone" in values else [])


class NewLead(LeadFields):
    """A lead to create. It needs something to know the person by."""

    product_id: Slug
    crm_user_id: Name | None = None
    source: Slug = "crm"

    @model_validator(mode="after")
    def _known_by_something(self) -> "NewLead":
        if not self.identity_keys():
            raise ValueError("one of crm_user_id, contact_info.email, contact_info.phone is needed")
        return self

    def identity_keys(self) -> list[Key]:
        known = [crm_key(self.source, self.crm_user_id)] if self.crm_user_id else []
        return known + super().identity_keys()


class Created(NamedTuple):
    lead_id: str
    version: int
    lead: Lead
    person: Person
    new: bool


class _KnownPerson(NamedTuple):
    """Attributes: there: the lead, where there is one. config: with which a new one enters. foreign: keys of somebody
    else, who is not meant. taken: keys that somebody else has left behind, and whose they were. besides: what goes with
    them, and review items for the foreign ones.
    """

    person: Document | None
    there: Loaded | None
    new_keys: tuple[Key, ...]
    config: Versioned
    foreign: frozenset[Key] = frozenset()
    refused: tuple[OptOut, ...] = ()
    taken: Sequence[tuple[Key, Person]] = ()
    besides: Sequence[Change] = ()


class Contacts:
    def __init__(self, recorder: Recorder):
        self._recorder = recorder
        self._store: Store = recorder.store
        self._catalog: Catalog = recorder.catalog
        self._clock: Callable[[], datetime] = recorder.clock

    async def create(self, wanted: NewLead, *, actor: str, record: Callable[[], Record[Created] | None]) -> Created:
        """Create the lead, or return the one that this person has in the product: known by what is new of its keys too.

        Args: actor: who wants it, for the history of a person that is known.
        Raises: Invalid: no such product.
        """
        live = await self._catalog.live(wanted.product_id)
        if live is None:
            raise Invalid("the product does not exist", Fault("product_id", f"there is no product {wanted.product_id}"))
        lead_id, person_id = new_id(), new_id()

        async def read() -> _KnownPerson:
            keys = wanted.identity_keys()
            known = await people.owners(self._store, [*keys, *whatsapp_keys(keys)])
            owners = {key: known.by_key[key] for key in keys if key in known.by_key}
            documents = {id: known.documents[id] for id in owners.values()}
            apart = _strangers(wanted, documents)
            matched = match(keys, owners, apart)
            id = matched.person_id or person_id
            claims = claimed(id, owners, known.keys, documents, apart, at=instant(self._clock()))
            taken = [key for key, _ in claims.taken]
            foreign = frozenset(key for key, owner in owners.items() if owner != id and key not in taken)
            besides = [*claims.changes, *await self._notes(id, owners, claims)]
            config = await self._catalog.entering(wanted.product_id, id) or live
            refused = tuple(await self._recorder.opt_outs.of(matched.new_keys))
            person = documents[matched.person_id] if matched.person_id else None
            there = await self._there(person, wanted.product_id) if person else None
            return _KnownPerson(person, there, matched.new_keys, config, foreign, refused, claims.taken, besides)

        def decide(known: _KnownPerson) -> Decision[Created]:
            return decide_creation(wanted, known, lead_id=lead_id, person_id=person_id, actor=actor, now=self._clock())

        created = await run(self._store, read, decide, reactors=self._recorder.reactors, record=record())
        self._recorder.after()
        return created

    async def _there(self, person: Document, product_id: str) -> Loaded | None:
        """Return the lead that a person has in a product."""
        id = person.body["leads"].get(product_id)
        (found,) = await self._store.get(Kind.LEADS, id) if id else [None]
        if found is None:
            return None
        lead = Lead.read(found.body)
        config = await self._catalog.version(product_id, lead.config_number)
        assert config is not None, "a lead has a configuration"
        return Loaded(found.id, found.version, lead, person.id, person.version, Person.read(person.body), config)

    async def _notes(self, person_id: str, owners: Mapping[Key, str], claims: Claims) -> list[Insert]:
        """Return the review items for addresses of others that are not there yet; nobody is merged for a form."""
        at = instant(self._clock())
        kin = [alike(person_id, owner, key, at=at) for key, owner in owners.items() if owner in claims.kin]
        notes = list({item.id: item for item in (*claims.notes, *kin)}.values())
        return untold(notes, await self._store.get(Kind.REVIEW, *(item.id for item in notes)))

    async def update(self, lead_id: str, given: LeadFields, *, actor: str, expected: int | None) -> Loaded:
        """Merge the given fields into a lead and its person.

        Args: actor: who wants it, for the history.
        Raises: NotFound, Outdated. Refused: an address belongs to somebody else.
        """

        cause = new_id()

        async def read() -> tuple[Loaded, dict[Key, str], list[OptOut]]:
            loaded = await self._recorder.load(lead_id)
            keys = given.identity_keys()
            owners = (await people.owners(self._store, keys)).by_key
            return loaded, owners, await self._recorder.opt_outs.of(key for key in keys if key not in owners)

        def decide(known: tuple[Loaded, dict[Key, str], list[OptOut]]) -> Decision[None]:
            loaded, owners, refused = known
            check_version(expected, loaded.version)
            return decide_update(given, loaded, owners, refused, actor=actor, cause=cause, now=self._clock())

        await run(self._store, read, decide, reactors=self._recorder.reactors)
        self._recorder.after()
        return await self._recorder.load(lead_id)


def decide_creation(
    wanted: NewLead, known: _KnownPerson, *, lead_id: str, person_id: str, actor: str, now: datetime
) -> Decision[Created]:
    if known.there is not None:
        return _recognised(wanted, known, known.there, actor=actor, cause=lead_id, now=now)
    at = instant(now)
    stored = Person.read(known.person.body) if known.person else Person(created_at=at, updated_at=at)
    if known.person is not None:
        person_id = known.person.id
    person = _merged(stored, wanted, at=now, foreign=known.foreign).with_lead(wanted.product_id, lead_id)
    person = _identified(inheriting(refusing(person, known.refused), known.taken), wanted)
    lead = Lead(
        person_id=person_id,
        product_id=wanted.product_id,
        crm_user_id=wanted.crm_user_id,
        organization_id=wanted.organization_id,
        config_number=known.config.number,
        created_at=at,
        updated_at=at,
        feature_usage=wanted.product_context.feature_usage or (),
        trial_status=wanted.product_context.trial_status,
    )
    lead = lead.but(told=by_api(lead, (name for name in OF_LEAD if getattr(lead, name) is not None), at))
    changes: list[Change] = [Insert(Kind.LEADS, lead_id, lead.body()), arrived(lead_id, lead)]
    changes += [Insert(Kind.PERSON_KEYS, key.id, {"person_id": person_id}) for key in known.new_keys]
    changes += person_changes(person_id, known.person.version if known.person else 0, person, stored)
    if known.person is not None:  # only what was known of the person is replaced: the lead itself is new
        before, after = (lead, stored), (lead, person)
        changes += corrected(lead_id, 0, before, after, person_id=person_id, actor=actor)
    changes += known.besides
    facts = Facts(lead_id=lead_id, lead=lead, person=person, config=known.config.config, now=now, created=True)
    return Decision(Created(lead_id, 1, lead, person, True), changes, [facts])


def _recognised(
    wanted: NewLead, known: _KnownPerson, loaded: Loaded, *, actor: str, cause: str, now: datetime
) -> Decision[Created]:
    """Answer with the lead that is there. What is known of it stays, but the person is known by each new key from now
    on, or the next call that has only this one would make another person.
    """
    at, before, given = instant(now), loaded.person, wanted.personal()
    keys = [*known.new_keys, *(key for key, _ in known.taken)]
    if not keys:
        return Decision(Created(loaded.id, loaded.version, loaded.lead, before, False), known.besides)
    first = {key.kind: given[key.kind] for key in keys if key.kind in given and getattr(before, key.kind) is None}
    person = before.updated({**first, "told": before.told | dict.fromkeys(first, at)}, at=at)
    person = _identified(inheriting(refusing(person, known.refused), known.taken), wanted)
    lead = loaded.lead.but(crm_user_id=loaded.lead.crm_user_id or wanted.crm_user_id, updated_at=at)
    changes: list[Change] = [
        Replace(Kind.LEADS, loaded.id, loaded.version, lead.body()),
        *(Insert(Kind.PERSON_KEYS, key.id, {"person_id": loaded.person_id}) for key in known.new_keys),
        *person_changes(loaded.person_id, loaded.person_version, person, before),
        *_corrections(loaded, lead, person, actor=actor),
        *known.besides,
    ]
    facts = _changed(loaded, lead, person, cause=cause, now=now)
    return Decision(Created(loaded.id, loaded.version + 1, lead, person, False), changes, [facts])


def _identified(person: Person, wanted: NewLead) -> Person:
    """Return a person with its id in the CRM, where that CRM has not given another one."""
    if not wanted.crm_user_id or any(i.source == wanted.source for i in person.crm):
        return person
    return person.but(crm=(*person.crm, CrmIdentity(source=wanted.source, user_id=wanted.crm_user_id)))


def _strangers(wanted: NewLead, documents: dict[str, Document]) -> frozenset[str]:
    """Return those owners whom the CRM knows under another id."""
    if wanted.crm_user_id is None:
        return frozenset()
    persons = ((id, Person.read(document.body)) for id, document in documents.items())
    return strangers(persons, wanted.source, wanted.crm_user_id)


def decide_update(
    given: LeadFields,
    loaded: Loaded,
    owners: dict[Key, str],
    refused: Sequence[OptOut] = (),
    *,
    actor: str,
    cause: str,
    now: datetime,
) -> Decision[None]:
    """Raises: Refused: an address belongs to somebody else."""
    for key, owner in owners.items():
        if owner != loaded.person_id:
            raise Refused(f"the {key.kind} belongs to another person")
    at = instant(now)
    person = refusing(_merged(loaded.person, given, at=now), refused)
    context = given.product_context
    update: dict[str, Any] = {"updated_at": at}
    if given.organization_id is not None:
        update["organization_id"] = given.organization_id
    if context.feature_usage is not None:
        update["feature_usage"] = context.feature_usage
    if context.trial_status is not None:
        update["trial_status"] = context.trial_status
    if told := OF_LEAD & update.keys():
        update["told"] = by_api(loaded.lead, told, at)
    lead = loaded.lead.but(**update)
    changes: list[Change] = [Replace(Kind.LEADS, loaded.id, loaded.version, lead.body())]
    new_keys = [key for key in given.identity_keys() if key not in owners]
    changes += [Insert(Kind.PERSON_KEYS, key.id, {"person_id": loaded.person_id}) for key in new_keys]
    changes += person_changes(loaded.person_id, loaded.person_version, person, loaded.person)
    changes += _corrections(loaded, lead, person, actor=actor)
    facts = _changed(loaded, lead, person, cause=cause, now=now)
    return Decision(None, changes, [facts])


def _corrections(loaded: Loaded, lead: Lead, person: Person, *, actor: str) -> list[Insert]:
    before, after = (loaded.lead, loaded.person), (lead, person)
    return corrected(loaded.id, loaded.version, before, after, person_id=loaded.person_id, actor=actor)


def _changed(loaded: Loaded, lead: Lead, person: Person, *, cause: str, now: datetime) -> Facts:
    return Facts(
        lead_id=loaded.id,
        lead=lead,
        person=person,
        config=loaded.config.config,
        now=now,
        lead_before=loaded.lead,
        person_before=loaded.person,
        cause=cause,
    )


def _merged(person: Person, given: LeadFields, *, at: datetime, foreign: frozenset[Key] = frozenset()) -> Person:
    values = given.personal()
    for key in foreign & set(given.identity_keys()):
        values.pop(key.kind, None)
    told = {name: value for name, value in given.demographics.items() if name != "name"}
    times = dict.fromkeys((*values, *told), instant(at))
    values |= {"demographics": person.demographics | told, "told": person.told | times}
    return person.updated(values, at=instant(at))
