"""Reads what is known of people whose logins came: of a whole group at once, since each question has its price."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from tracker import people
from tracker.catalog import Catalog
from tracker.claims import Claims, claimed, inheriting, strangers, untold, whatsapp_keys
from tracker.identity import Key, Match, match
from tracker.lead import Lead
from tracker.logins import Known, KnownLead, KnownPerson, Login, identity_keys
from tracker.model import new_id
from tracker.opt_outs import OptOut, OptOuts, refusing
from tracker.people import Owners
from tracker.person import Person
from tracker.product import Versioned
from tracker.store.port import Document, Store
from tracker.store.schema import Kind
from tracker.times import Instant, instant


class _Who(NamedTuple):
    """Attributes: id: of the person, stored or not. keys: the documents of identity keys that are known."""

    id: str
    owners: dict[Key, str]
    match: Match
    claims: Claims


class _Read(NamedTuple):
    """Documents by id, and what addresses refused earlier."""

    events: dict[str, Document]
    persons: dict[str, Document]
    leads: dict[str, Document]
    refused: dict[Key, list[OptOut]]
    noted: dict[str, Document]


class Reader:
    def __init__(self, store: Store, catalog: Catalog, clock: Callable[[], datetime], opt_outs: OptOuts):
        self._store, self._catalog, self._clock, self._opt_outs = store, catalog, clock, opt_outs

    async def read(self, groups: Sequence[Sequence[Login]]) -> list[Known]:
        """Return what is known of each person. Args: groups: the logins of one person each."""
        at = instant(self._clock())
        keys = [list(dict.fromkeys(key for login in logins for key in identity_keys(login))) for logins in groups]
        asked = dict.fromkeys(key for its in keys for key in (*its, *whatsapp_keys(its)))
        owners = await people.owners(self._store, list(asked))
        everybody = [_who(logins, its, owners, at=at) for logins, its in zip(groups, keys, strict=True)]
        lead_ids = [id for who in everybody for id in _leads(owners, who)]
        read = _Read(
            await self._documents(Kind.LEAD_EVENTS, (login.key for logins in groups for login in logins)),
            owners.documents,
            await self._documents(Kind.LEADS, lead_ids),
            await self._opt_outs.by_key(key for who in everybody for key in who.match.new_keys),
            await self._documents(Kind.REVIEW, (item.id for who in everybody for item in who.claims.notes)),
        )
        return [await self._known(logins, who, read, at) for logins, who in zip(groups, everybody, strict=True)]

    async def _documents(self, kind: Kind, ids: Iterable[str]) -> dict[str, Document]:
        return {d.id: d for d in await self._store.get(kind, *dict.fromkeys(ids)) if d}

    async def _known(self, logins: Sequence[Login], who: _Who, read: _Read, at: Instant) -> Known:
        person = _person(who, read, at)
        products = dict.fromkeys(login.product_id for login in logins)
        seen = {id: str(read.events[id].body["lead_id"]) for login in logins if (id := login.key) in read.events}
        now = {absorbed: lead.id for lead in person.leads.values() for absorbed in lead.lead.absorbed}
        return Known(
            person,
            seen={id: now.get(its, its) for id, its in seen.items()},
            owners=who.owners,
            new_keys=who.match.new_keys,
            configs={product_id: await self._config(product_id, person) for product_id in products},
            new_leads={product_id: new_id() for product_id in products if product_id not in person.leads},
            kin=who.claims.kin,
            besides=[
                *who.claims.changes,
                *untold(who.claims.notes, [read.noted.get(item.id) for item in who.claims.notes]),
            ],
        )

    async def _config(self, product_id: str, person: KnownPerson) -> Versioned | None:
        if product_id in person.leads:
            return await self._catalog.version(product_id, person.leads[product_id].lead.config_number)
        return await self._catalog.entering(product_id, person.id)


def _who(logins: Sequence[Login], keys: Sequence[Key], known: Owners, *, at: Instant) -> _Who:
    owners = {key: known.by_key[key] for key in keys if key in known.by_key}
    others = ((id, Person.read(known.documents[id].body)) for id in dict.fromkeys(owners.values()))
    apart = strangers(others, logins[0].source, logins[0].crm_user_id)
    matched = match(keys, owners, apart)
    id = matched.person_id or new_id()
    claims = claimed(id, owners, known.keys, known.documents, apart, at=at)
    return _Who(id, owners | {key: id for key, _ in claims.taken}, matched, claims)


def _leads(known: Owners, who: _Who) -> Iterable[str]:
    """The ids of the leads that the person has."""
    return known.documents[who.id].body["leads"].values() if who.match.person_id else ()


def _person(who: _Who, read: _Read, at: Instant) -> KnownPerson:
    """Return the person as stored, or a new one, with what its new addresses refused before."""
    stored = read.persons[who.id] if who.match.person_id else None
    person = Person.read(stored.body) if stored else Person(created_at=at, updated_at=at)
    leads = {
        d.body["product_id"]: KnownLead(d.id, d.version, Lead.read(d.body))
        for id in person.leads.values()
        if (d := read.leads.get(id))
    }
    refused = [opt_out for key in who.match.new_keys for opt_out in read.refused.get(key, ())]
    person = inheriting(refusing(person, refused), who.claims.taken)
    return KnownPerson(who.id, stored.version if stored else 0, person, leads)
