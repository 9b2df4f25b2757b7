"""Product logins: the input, and what one person's logins do to the person and its leads."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from tracker import consent_history
from tracker.counting import arrived, counters
from tracker.errors import Fault
from tracker.events import NO_METADATA, OURS, Channel, EventType, Happening, event_key
from tracker.identity import Key, crm_key, email_address, email_key, phone_key, phone_number
from tracker.lead import Lead, words
from tracker.ledger import entries, fold
from tracker.model import CleanLine, CleanName, Input, Name, PastTime, Slug, cleaned, faults
from tracker.person import Consent, ConsentStatus, CrmIdentity, Person
from tracker.ports import Facts
from tracker.product import ProductConfig, Versioned
from tracker.product_parts import Zone
from tracker.search_words import word_changes
from tracker.store.port import Change, Expect, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.told import ADDRESSES, BITS, DEMOGRAPHIC, NEVER, PERSONAL, Times, by_newest, logged_in, named, of_person
from tracker.unit import Decision


def _features(value: Any) -> Any:
    return list(value) if isinstance(value, dict) else value


def _not_ours(source: str) -> str:
    if source in OURS:
        raise ValueError("is a source of this server's own events")
    return source


Source = Annotated[Slug, AfterValidator(_not_ours)]
"""Where an event comes from; its ids are unique there."""

Email = Annotated[str, StringConstraints(max_length=320, strip_whitespace=True), AfterValidator(email_address)]
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


_Fresh = tuple[Login, str, Mapping[str, Any]]
"""A login that is to be counted, the fields that it told, and the values that lost."""

_NO_TIMES: Times = {}


def decide_logins(logins: Sequence[Login], known: Known, *, now: datetime) -> Decision[Counted]:
    """Decide on the logins of one person, in the order sent."""
    before, at = known.person, _instant(now)
    person, leads = before.person, before.leads
    since = max([found.lead.last_login_at or NEVER for found in leads.values()], default=NEVER)
    if person.told:
        since = max(since, *person.told.values())
    times: dict[str, Instant] | None = None
    results: list[LoginResult] = []
    taken = dict(known.seen)
    fresh: dict[str, list[_Fresh]] = {}
    for login in logins:
        product_id, key = login.product_id, login.key
        if key in taken:
            results.append(LoginResult("duplicate", taken[key]))
        elif known.configs[product_id] is None:
            results.append(LoginResult("unknown_product"))
        else:
            if times is None and login.occurred_at < since:  # a late one: only now it matters who told what when
                times = _times(person, leads.values(), fresh)
            person, tells, lost = take_over(person, login, known.owners, before.id, times or _NO_TIMES)
            since = max(since, login.occurred_at)
            if times is not None:
                _tell(times, login, tells)
            taken[key] = leads[product_id].id if product_id in leads else known.new_leads[product_id]
            fresh.setdefault(product_id, []).append((login, tells, lost))
            results.append(LoginResult("accepted", taken[key]))
    if not fresh:
        return Decision(Counted(results, before))
    for product_id in fresh:
        if product_id not in person.leads:
            person = person.with_lead(product_id, known.new_leads[product_id])
    changes: list[Change] = [Insert(Kind.PERSON_KEYS, key.id, {"person_id": before.id}) for key in known.new_keys]
    changes += person_changes(before.id, before.version, person, before.person)
    changes += known.besides
    changes += _guards(before, person, fresh)
    after, facts = dict(leads), []
    for product_id, its in fresh.items():
        config = known.configs[product_id]
        assert config is not None
        found = leads.get(product_id) or KnownLead(
            known.new_leads[product_id], 0, _new_lead(its[0][0], before.id, config.number, at)
        )
        more, fact = _count(its, found, person, config.config, before.person, now=now, at=at)
        changes += more
        facts.append(fact)
        after[product_id] = KnownLead(found.id, found.version + 1, fact.lead)
    version = before.version if person is before.person else before.version + 1
    return Decision(Counted(results, KnownPerson(before.id, version, person, after), known.kin), changes, facts)


def _times(person: Person, leads: Iterable[KnownLead], fresh: Mapping[str, Sequence[_Fresh]]) -> dict[str, Instant]:
    """Return when each field was told, by the logins that were counted before and those of this batch."""
    times = of_person(person, [found.lead for found in leads])
    for its in fresh.values():
        for login, tells, _ in its:
            _tell(times, login, tells)
    return times


def _tell(times: dict[str, Instant], login: Login, tells: str) -> None:
    for field in tells.split():
        times[field] = max(login.occurred_at, times.get(field, NEVER))


_instant = lru_cache(maxsize=1)(instant)
"""The people of a group share one now."""


def _guards(known: KnownPerson, person: Person, fresh: Mapping[str, Sequence[_Fresh]]) -> list[Change]:
    """Demand that what is not written is as it was read: somebody may have told of the person meanwhile.

    A word that lies on another lead may be newer than what is taken now, and what seems to be no news may be some.
    With one lead alone nobody tells anything without writing it, but for consents.
    """
    if person is not known.person:
        return [Expect(Kind.LEADS, its.id, its.version) for product, its in known.leads.items() if product not in fresh]
    if len(person.leads) > 1 or any(login.whatsapp_opt_in is not None for its in fresh.values() for login, *_ in its):
        return [Expect(Kind.PERSONS, known.id, known.version)]
    return []


def _count(
    logins: Sequence[_Fresh],
    found: KnownLead,
    person: Person,
    config: ProductConfig,
    before: Person,
    *,
    now: datetime,
    at: Instant,
) -> tuple[list[Change], Facts]:
    """Count logins on their lead, which may be new. Args: before: the person as it was."""
    lead, newest = found.lead, logins[0][0].occurred_at
    since = lead.last_login_at or NEVER
    happenings = []
    for login, tells, lost in logins:
        at_login = login.occurred_at
        lead, lost = _context(lead, login, since, tells, lost)
        since, newest = max(since, at_login), max(newest, at_login)
        happenings.append(Happening(login.source, login.event_id, EventType.LOGIN, Channel.PRODUCT, at_login, lost))
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


def _context(
    lead: Lead, login: Login, since: Instant, tells: str, lost: Mapping[str, Any]
) -> tuple[Lead, Mapping[str, Any]]:
    """Return the lead with what the login tells of the product's use, and what lost.

    Args: since: the newest login so far. tells: the fields of this one.
    """
    update: dict[str, Any] = {}
    at = login.occurred_at
    if login.organization_id != lead.organization_id:
        lost = _newer(update, lead, "organization_id", login.organization_id, at, since, lost)
    if login.trial_status is not None and login.trial_status != lead.trial_status:
        lost = _newer(update, lead, "trial_status", login.trial_status, at, since, lost)
    if lead.crm_user_id is None:
        update["crm_user_id"] = login.crm_user_id
    if login.feature_usage:
        update["feature_usage"] = tuple(dict.fromkeys((*lead.feature_usage, *login.feature_usage)))[-100:]
    if tells is not lead.tells and tells != lead.tells:
        update |= logged_in(lead, since, at, tells)
    return lead.but(**update) if update else lead, lost


def _newer(
    update: dict[str, Any], lead: Lead, name: str, value: str, at: Instant, since: Instant, lost: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Update a field of a lead unless something newer was told, and return what lost."""
    has, told = getattr(lead, name), lead.told.get(name, NEVER)
    if name in by_newest(lead, since):
        told = max(since, told)
    wins = has is None or at >= told
    if wins:
        update[name] = value
    return lost if has is None else _noted(lost, name, has if wins else value, wins=wins)


_PERSONAL = [(name, BITS[name]) for name in PERSONAL]
_ADDRESSES = [("email", BITS["email"], email_key), ("phone", BITS["phone"], phone_key)]
_DEMOGRAPHIC = [(field, name, BITS[name]) for field, name in DEMOGRAPHIC.items()]
_OF_PERSON = frozenset((*PERSONAL, *ADDRESSES))
_ALWAYS, _TRIAL = BITS["organization_id"], BITS["trial_status"]


def take_over(
    person: Person, login: Login, owners: Mapping[Key, str], person_id: str, times: Times
) -> tuple[Person, str, Mapping[str, Any]]:
    """Take what the CRM says of a person, where nobody has said anything newer.

    An address that belongs to somebody else is not taken.

    Args: times: when each field was told, where that may have been later than this login. What was said in a chat has
        no time there, and gives way.
    Returns: the person, the very same object when it learns nothing; the fields that the login told (`named`); values
        that were replaced or came too late, as the ledger keeps them.
    """
    says, demographics = login.__dict__, person.demographics  # a model's attributes, twice as fast to read
    at = login.occurred_at
    bits = _ALWAYS if login.trial_status is None else _ALWAYS | _TRIAL
    news: list[tuple[str, Any, Any]] = []
    # Loops that collect what differs, which is nothing most of the time: most logins run only through here.
    for name, bit in _PERSONAL:
        if value := says[name]:
            bits |= bit
            if value != (has := getattr(person, name)):
                news.append((name, value, has))
    for name, bit, key in _ADDRESSES:
        if value := says[name]:
            if value == (has := getattr(person, name)):
                bits |= bit
            elif owners.get(key(value), person_id) == person_id:
                bits |= bit
                news.append((name, value, has))
    for field, name, bit in _DEMOGRAPHIC:
        if value := says[field]:
            bits |= bit
            if value != (has := demographics.get(name)):
                news.append((name, value, has))
    values, lost = _settled(news, at, times, demographics) if news else ({}, NO_METADATA)
    for identity in person.crm:
        if identity.user_id == says["crm_user_id"] and identity.source == says["source"]:
            break
    else:
        values["crm"] = (*person.crm, CrmIdentity(source=login.source, user_id=login.crm_user_id))
    if login.whatsapp_opt_in is not None and person.whatsapp_consent.status != "denied":
        status: ConsentStatus = "granted" if login.whatsapp_opt_in else "denied"
        if person.whatsapp_consent.status != status:
            values["whatsapp_consent"] = Consent(status=status, basis="opt_in", source=login.source, at=at)
    elif login.whatsapp_opt_in is False:
        person = person.refuse_again("whatsapp_consent")
    return person.updated(values, at=max(at, person.updated_at)) if values else person, named(bits), lost


def _settled(
    news: Iterable[tuple[str, Any, Any]], at: Instant, times: Times, demographics: Mapping[str, str]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the values to take, and those that lost against a newer word. Args: news: field, value told, value had."""
    values: dict[str, Any] = {}
    lost: Mapping[str, Any] = NO_METADATA
    told: dict[str, str] = {}
    for name, value, has in news:
        if wins := has is None or at >= times.get(name, NEVER):
            (values if name in _OF_PERSON else told)[name] = value
        if has is not None:
            lost = _noted(lost, name, has if wins else value, wins=wins)
    if told:
        values["demographics"] = {**demographics, **told}
    return values, lost


def _noted(lost: Mapping[str, Any], name: str, value: Any, *, wins: bool) -> Mapping[str, Any]:
    """Add a value that lost to what the ledger keeps of a login: one that it replaced, or one that came too late."""
    kind = "replaced" if wins else "outdated"
    return {**lost, kind: {**lost.get(kind, {}), name: value}}


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
