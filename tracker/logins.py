"""Product logins: the input, and what one person's logins do to the person and its leads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from tracker import consent_history
from tracker.counting import arrived, counters
from tracker.errors import Fault
from tracker.events import OURS, Channel, EventType, Happening, event_key
from tracker.identity import Key, crm_key, email_address, email_key, phone_key, phone_number
from tracker.lead import Lead, words
from tracker.ledger import entries, fold
from tracker.model import CleanLine, CleanName, Input, Name, PastTime, Slug, cleaned, faults
from tracker.person import Consent, ConsentStatus, CrmIdentity, Person
from tracker.ports import Facts
from tracker.product import ProductConfig, Versioned
from tracker.product_parts import Zone
from tracker.search_words import word_changes
from tracker.store.port import Change, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.unit import Decision


def _features(value: Any) -> Any:
    return list(value) if isinstance(value, dict) else value


def _not_ours(source: str) -> str:
    if source in OURS:
        raise ValueError("is a source of this server's own events")
    return source


Source = Annotated[Slug, AfterValidator(_not_ours)]
"""Where an event comes from; its ids are unique there."""

Email = Annotated[str, Field(max_length=320), AfterValidator(email_address)]
Phone = Annotated[str, Field(max_length=40), AfterValidator(phone_number)]


Preferred = Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT]
Trimmed = BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)
"""For what is no text; pydantic trims texts itself."""


class Login(Input):
    """One login as a CRM tells it, its texts cleaned. An id may come as a number."""

    model_config = ConfigDict(coerce_numbers_to_str=True, str_strip_whitespace=True)

    event_id: CleanName
    crm_user_id: CleanName
    organization_id: CleanName
    product_id: Slug
    occurred_at: PastTime
    organization_name: CleanLine | None = None
    email: Email | None = None
    phone: Phone | None = None
    name: CleanLine | None = None
    job_title: CleanLine | None = None
    company_size: CleanLine | None = None
    industry: CleanLine | None = None
    preferred_channel: Annotated[Preferred, Trimmed] | None = None
    feature_usage: Annotated[tuple[Name, ...], BeforeValidator(_features), Field(max_length=100)] | None = None
    trial_status: CleanLine | None = None
    time_zone: Zone | None = None
    whatsapp_opt_in: Annotated[bool, Trimmed] | None = None
    source: Source = "crm"

    @property
    def key(self) -> str:
        return event_key(self.source, self.event_id)


REQUIRED = frozenset(name for name, field in Login.model_fields.items() if field.is_required())


class Read(Struct, frozen=True):
    """A record as understood: a login, what was dropped from it, or why it is none."""

    login: Login | None
    faults: tuple[Fault, ...] = ()


def read_login(record: Any, *, now: datetime, plain: bool = False) -> Read:
    """Understand one record. A bad optional field is dropped and told; a bad required one leaves no login.

    Args: plain: its texts need no cleaning (`is_plain`).
    """
    context = {"now": now}
    told = record if plain else cleaned(record)
    try:
        return Read(Login.model_validate(told, context=context))
    except ValidationError as error:
        wrong, bad = faults(error), {e["loc"][0] for e in error.errors(include_url=False) if e["loc"]}
    if not isinstance(told, dict) or not bad.isdisjoint(REQUIRED | {"source"}):
        return Read(None, wrong)
    return Read(Login.model_validate({k: v for k, v in told.items() if k not in bad}, context=context), wrong)


def identity_keys(login: Login) -> list[Key]:
    """Strongest first."""
    keys = [crm_key(login.source, login.crm_user_id)]
    if login.email:
        keys.append(email_key(login.email))
    if login.phone:
        keys.append(phone_key(login.phone))
    return keys


class KnownLead(Struct, frozen=True):
    id: str
    version: int
    lead: Lead


class KnownPerson(Struct, frozen=True):
    """A person as it was read, with its leads by product; version 0 where it is not stored yet."""

    id: str
    version: int
    person: Person
    leads: Mapping[str, KnownLead]


class Known(Struct, frozen=True):
    """What is known of the person whose logins these are.

    Attributes: seen: lead id by key, of events that the ledger has. owners: of the identity keys. new_keys: identity
    keys to add. configs: per product id, the version that the lead follows or a new one would. new_leads: ids to use
    for leads that do not exist yet. kin: people who share an address and no CRM knows: the same human. besides: changes
    that belong to the same commit: keys taken over, review items for addresses of somebody else.
    """

    person: KnownPerson
    seen: Mapping[str, str]
    owners: Mapping[Key, str]
    new_keys: Sequence[Key]
    configs: Mapping[str, Versioned | None]
    new_leads: Mapping[str, str]
    kin: Sequence[str] = ()
    besides: Sequence[Change] = ()


class LoginResult(Struct, frozen=True):
    """What became of one login: the lead it counted on, or why it was not taken."""

    status: Literal["accepted", "duplicate", "unknown_product"]
    lead_id: str | None = None


class Counted(Struct, frozen=True):
    """The results, in the order given, the person as it is after the commit, and who turned out to be the same."""

    results: list[LoginResult]
    person: KnownPerson
    kin: Sequence[str] = ()


def decide_logins(logins: Sequence[Login], known: Known, *, now: datetime) -> Decision[Counted]:
    """Decide on the logins of one person, in the order sent."""
    before, at = known.person, _instant(now)
    person, leads = before.person, before.leads
    since = max([found.lead.last_login_at or Instant("") for found in leads.values()], default=Instant(""))
    results: list[LoginResult] = []
    taken = dict(known.seen)
    fresh: dict[str, list[Login]] = {}
    for login in logins:
        product_id, key = login.product_id, login.key
        if key in taken:
            results.append(LoginResult("duplicate", taken[key]))
        elif known.configs[product_id] is None:
            results.append(LoginResult("unknown_product"))
        else:
            person = take_over(person, login, known.owners, before.id, since=since)
            since = max(since, login.occurred_at)
            taken[key] = leads[product_id].id if product_id in leads else known.new_leads[product_id]
            fresh.setdefault(product_id, []).append(login)
            results.append(LoginResult("accepted", taken[key]))
    if not fresh:
        return Decision(Counted(results, before))
    for product_id in fresh:
        if product_id not in person.leads:
            person = person.with_lead(product_id, known.new_leads[product_id])
    changes: list[Change] = [Insert(Kind.PERSON_KEYS, key.id, {"person_id": before.id}) for key in known.new_keys]
    changes += person_changes(before.id, before.version, person, before.person)
    changes += known.besides
    after, facts = dict(leads), []
    for product_id, its in fresh.items():
        config = known.configs[product_id]
        assert config is not None
        found = leads.get(product_id) or KnownLead(
            known.new_leads[product_id], 0, _new_lead(its[0], before.id, config.number, at)
        )
        more, fact = _count(its, found, person, config.config, before.person, now=now, at=at)
        changes += more
        facts.append(fact)
        after[product_id] = KnownLead(found.id, found.version + 1, fact.lead)
    version = before.version if person is before.person else before.version + 1
    return Decision(Counted(results, KnownPerson(before.id, version, person, after), known.kin), changes, facts)


_instant = lru_cache(maxsize=1)(instant)
"""The people of a group share one now."""


def _count(
    logins: Sequence[Login],
    found: KnownLead,
    person: Person,
    config: ProductConfig,
    before: Person,
    *,
    now: datetime,
    at: Instant,
) -> tuple[list[Change], Facts]:
    """Count logins on their lead, which may be new. Args: before: the person as it was."""
    lead, newest = found.lead, logins[0].occurred_at
    since = lead.last_login_at or Instant("")
    happenings = []
    for login in logins:
        lead, newest = _context(lead, login, is_newest=login.occurred_at >= since), max(newest, login.occurred_at)
        since = max(since, login.occurred_at)
        happenings.append(Happening(login.source, login.event_id, EventType.LOGIN, Channel.PRODUCT, login.occurred_at))
    folded = fold(found.id, lead, happenings, config, at=at, person=person)
    body = folded.lead.body()
    write = Replace(Kind.LEADS, found.id, found.version, body) if found.version else Insert(Kind.LEADS, found.id, body)
    facts = Facts(
        lead_id=found.id,
        lead=folded.lead,
        person=person,
        config=config,
        now=now,
        created=not found.version,
        newest=newest,
        events=folded.events,
        stage_changes=folded.stage_changes,
        lead_before=found.lead if found.version else None,
        person_before=before if found.version else None,
    )
    changes = [
        write,
        *entries(folded.events, folded.stage_changes),
        *counters(folded.events, folded.stage_changes),
    ]
    if not found.version:
        changes.append(arrived(found.id, lead))
    return changes, facts


def _new_lead(login: Login, person_id: str, number: int, at: Instant) -> Lead:
    return Lead(
        person_id=person_id,
        product_id=login.product_id,
        crm_user_id=login.crm_user_id,
        organization_id=login.organization_id,
        config_number=number,
        created_at=at,
        updated_at=at,
    )


def _context(lead: Lead, login: Login, *, is_newest: bool) -> Lead:
    """Return the lead with what the login tells of the product's use; an older one only fills gaps."""
    update: dict[str, Any] = {}
    if lead.organization_id != login.organization_id and (is_newest or lead.organization_id is None):
        update["organization_id"] = login.organization_id
    if lead.crm_user_id is None:
        update["crm_user_id"] = login.crm_user_id
    if login.feature_usage:
        update["feature_usage"] = tuple(dict.fromkeys((*lead.feature_usage, *login.feature_usage)))[-100:]
    if login.trial_status is not None and (is_newest or lead.trial_status is None):
        update["trial_status"] = login.trial_status
    return lead.but(**update) if update else lead


PERSONAL = ("name", "preferred_channel", "time_zone")
DEMOGRAPHIC = {
    "job_title": "job_title",
    "company_size": "company_size",
    "industry": "industry",
    "organization_name": "company",
}


def take_over(person: Person, login: Login, owners: Mapping[Key, str], person_id: str, *, since: Instant) -> Person:
    """Return the person with what the CRM says of it; the very same object when that is nothing new.

    A login older than `since`, the newest one known, only fills gaps. An address that belongs to somebody else is not
    taken.
    """
    at, newest, demographics = login.occurred_at, login.occurred_at >= since, person.demographics
    values: dict[str, Any] = {}
    told: dict[str, str] = {}
    # Loops that collect what differs, which is nothing most of the time: most logins run only through here.
    for name in PERSONAL:
        value, has = getattr(login, name), getattr(person, name)
        if value and value != has and (newest or has is None):
            values[name] = value
    for name, value, key in (("email", login.email, email_key), ("phone", login.phone, phone_key)):
        has = getattr(person, name)
        if value and value != has and (newest or has is None) and owners.get(key(value), person_id) == person_id:
            values[name] = value
    for field, name in DEMOGRAPHIC.items():
        value, has = getattr(login, field), demographics.get(name)
        if value and value != has and (newest or has is None):
            told[name] = value
    if told:
        values["demographics"] = demographics | told
    identity = CrmIdentity(source=login.source, user_id=login.crm_user_id)
    if identity not in person.crm:
        values["crm"] = (*person.crm, identity)
    if login.whatsapp_opt_in is not None and person.whatsapp_consent.status != "denied":
        status: ConsentStatus = "granted" if login.whatsapp_opt_in else "denied"
        if person.whatsapp_consent.status != status:
            values["whatsapp_consent"] = Consent(status=status, basis="opt_in", source=login.source, at=at)
    return person.updated(values, at=max(at, person.updated_at)) if values else person


def person_changes(person_id: str, version: int, person: Person, before: Person) -> list[Change]:
    """The writes that bring a person, the history of its consent and the search words of its leads up to date.

    Args: version: of the stored document, 0 for a new person. before: the person as stored.
    """
    if person is before:
        return []
    body = person.body()
    changes: list[Change] = [
        Replace(Kind.PERSONS, person_id, version, body) if version else Insert(Kind.PERSONS, person_id, body)
    ]
    changes += consent_history.changed(person_id, version, person, before)
    now_words, old_words = words(person), words(before)
    known_leads = set(before.leads.values())
    for lead_id in person.leads.values():
        changes += word_changes(lead_id, now_words, old_words if lead_id in known_leads else frozenset())
    return changes
