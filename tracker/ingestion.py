"""Ingestion: logins into the ledger, each person's in one commit."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime

from tracker.catalog import Catalog
from tracker.identity import Key, match
from tracker.lead import Lead
from tracker.logins import (
    Counted,
    Known,
    KnownLead,
    KnownPerson,
    Login,
    LoginResult,
    decide_logins,
    identity_keys,
    strangers,
)
from tracker.model import new_id
from tracker.person import Person
from tracker.ports import Reactor
from tracker.store.port import Store
from tracker.store.schema import Kind
from tracker.times import instant
from tracker.unit import Decision, run

REMEMBERED = 5000


class Ingestion:
    """Remembers the people whose logins came lately, since most logins are of people just seen.

    What is remembered may be old: the versions in the commit tell, and then everything is read.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        clock: Callable[[], datetime],
        reactors: Sequence[Reactor] = (),
        after: Callable[[], None] = lambda: None,
    ):
        """Args: after: called when something was kept, so that a sleeping worker looks for work."""
        self.store, self.clock = store, clock
        self._catalog, self._reactors, self._after = catalog, reactors, after
        self._people: OrderedDict[tuple[str, str], KnownPerson] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def record(self, logins: Sequence[Login]) -> list[LoginResult]:
        """Count logins; the results are in the order given."""
        if len(logins) == 1:
            results = await self._of_person(logins)
        else:
            groups: dict[tuple[str, str], list[int]] = {}
            for index, login in enumerate(logins):
                groups.setdefault((login.source, login.crm_user_id), []).append(index)
            done = await asyncio.gather(*(self._of_person([logins[i] for i in its]) for its in groups.values()))
            by_index = {i: r for its, rs in zip(groups.values(), done, strict=True) for i, r in zip(its, rs, strict=True)}
            results = [by_index[index] for index in range(len(logins))]
        self._after()
        return results

    async def _of_person(self, logins: Sequence[Login]) -> list[LoginResult]:
        """Count the logins of one person, after those that are under way: they would only meet on the lead."""
        who = (logins[0].source, logins[0].crm_user_id)
        while turn := self._under_way.get(who):
            await turn
        turn = self._under_way[who] = asyncio.get_running_loop().create_future()
        try:
            return await self._in_turn(who, logins)
        finally:
            del self._under_way[who]
            turn.set_result(None)

    async def _in_turn(self, who: tuple[str, str], logins: Sequence[Login]) -> list[LoginResult]:

        async def read() -> Known:
            # Taken out: if this attempt fails, the next one reads.
            recent = self._people.pop(who, None)
            return (recent and await self._from_memory(recent, logins)) or await self._from_store(logins)

        def decide(known: Known) -> Decision[Counted]:
            return decide_logins(logins, known, now=self.clock())

        counted = await run(self.store, read, decide, reactors=self._reactors)
        if counted.person.version:
            self._people[who] = counted.person
            if len(self._people) > REMEMBERED:
                self._people.popitem(last=False)
        return counted.results

    async def _from_memory(self, person: KnownPerson, logins: Sequence[Login]) -> Known | None:
        """Return what is known without reading, None where something new must be looked up."""
        owners: dict[Key, str] = {}
        for login in logins:
            if login.product_id not in person.leads:
                return None
            for key in identity_keys(login)[1:]:
                if key.value not in (person.person.email, person.person.phone):
                    return None
                owners[key] = person.id
        configs = {p: await self._catalog.version(p, found.lead.config_number) for p, found in person.leads.items()}
        return Known(person, {}, owners, (), configs, {})

    async def _from_store(self, logins: Sequence[Login]) -> Known:
        get = self.store.get
        keys = list(dict.fromkeys(key for login in logins for key in identity_keys(login)))
        events = await get(Kind.LEAD_EVENTS, *dict.fromkeys(login.key for login in logins))
        found = await get(Kind.PERSON_KEYS, *(key.id for key in keys))
        owners: dict[Key, str] = {key: d.body["person_id"] for key, d in zip(keys, found, strict=True) if d}
        documents = {d.id: d for d in await get(Kind.PERSONS, *dict.fromkeys(owners.values())) if d}
        persons = {id: Person.read(d.body) for id, d in documents.items()}
        others = frozenset[str]()
        if keys[0] not in owners:  # the CRM's id is new: whoever it knows under another one is not meant
            others = strangers(persons.items(), logins[0].source, logins[0].crm_user_id)
        matched = match(keys, owners, others)
        at = instant(self.clock())
        if matched.person_id is None:
            person = KnownPerson(new_id(), 0, Person(created_at=at, updated_at=at), {})
        else:
            id = matched.person_id
            leads = {
                d.body["product_id"]: KnownLead(d.id, d.version, Lead.read(d.body))
                for d in await get(Kind.LEADS, *persons[id].leads.values())
                if d
            }
            person = KnownPerson(id, documents[id].version, persons[id], leads)
        products = dict.fromkeys(login.product_id for login in logins)
        configs = {
            p: await self._catalog.version(p, person.leads[p].lead.config_number)
            if p in person.leads
            else await self._catalog.live(p)
            for p in products
        }
        seen = {d.id: d.body["lead_id"] for d in events if d}
        new_leads = {p: new_id() for p in products if p not in person.leads}
        return Known(person, seen, owners, matched.new_keys, configs, new_leads)
