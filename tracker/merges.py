"""The use cases of merging persons: read both with their leads, decide, commit once."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from tracker import audit
from tracker.errors import NotFound, Refused
from tracker.events import Event
from tracker.lead import Lead
from tracker.ledger import logged, recounted, sighted
from tracker.merging import LeadPair, Merge, Side, demand_mergeable, merged, older, parted, undone
from tracker.model import new_id
from tracker.people import followed
from tracker.person import Person
from tracker.ports import Facts
from tracker.product import ProductConfig
from tracker.reading import everything, of_lead
from tracker.recorder import Recorder
from tracker.store.port import Change, Document, Replace
from tracker.store.schema import EVENTS_BY_LEAD, MERGES_BY_SURVIVOR, Kind
from tracker.times import instant
from tracker.unit import Decision, run


class Done(NamedTuple):
    """A merge, or its undoing, as it is kept."""

    id: str
    merge: Merge


class Merges:
    def __init__(self, recorder: Recorder):
        self._recorder, self._store = recorder, recorder.store

    async def merge(self, one: str, other: str, *, by: str) -> Done:
        """Make two persons one; the older id survives.

        Raises: NotFound: no such person. Refused: they are one already.
        """
        id = new_id()

        async def read() -> "_ToMerge":
            sides = [await self._side(one), await self._side(other)]
            demand_mergeable(*sides)
            survivor, absorbed = older(sides[0], sides[1])
            configs = {p: await self._config(lead) for p, (_, lead) in {**absorbed.leads, **survivor.leads}.items()}
            ledgers = {
                p: await self._ledger(survivor.leads[p], absorbed.leads[p])
                for p in survivor.leads.keys() & absorbed.leads.keys()
                if fades(configs[p]) or fades(await self._config(absorbed.leads[p][1]))
            }
            held = [lead.handoff_id for side in sides for _, lead in side.leads.values() if lead.handoff_id]
            handoffs = {d.id: d for d in await self._store.get(Kind.HANDOFFS, *held) if d}
            return _ToMerge(survivor, absorbed, configs, ledgers, handoffs)

        def decide(known: "_ToMerge") -> Decision[Done]:
            survivor, absorbed, configs, ledgers, handoffs = known
            now = self._recorder.clock()
            made = merged(
                survivor, absorbed, id, configs=configs, ledgers=ledgers, handoffs=handoffs, by=by, at=instant(now)
            )
            subject = f"{absorbed.found.id} into {survivor.found.id}"
            facts = [
                Facts(lead_id=lead_id, lead=lead, person=made.person, config=configs[lead.product_id], now=now,
                      stage_changes=changes, lead_before=before, person_before=survivor.person, cause=id)
                for lead_id, before, lead, changes in made.joint
            ] + [
                Facts(lead_id=lead_id, lead=lead, person=made.person, config=configs[lead.product_id], now=now,
                      ended="the lead was merged with another")
                for lead_id, lead in made.ended
            ]  # fmt: skip
            noted = audit.entry(by, "person.merge", subject, at=made.merge.at, detail=id)
            return Decision(Done(id, made.merge), [*made.changes, noted], facts)

        done = await run(self._store, read, decide, reactors=self._recorder.reactors)
        self._recorder.after()
        return done

    async def join(self, one: str, other: str) -> dict[str, str]:
        """Merge two persons who share an address, and return which lead each absorbed lead is by now.

        Two whom somebody took apart stay apart: a person knows better than an address.
        """
        if await self._were_parted(one, other):
            return {}
        done = await self.merge(one, other, by="leadline")
        return {pair.absorbed: pair.survivor for pair in done.merge.leads}

    async def _were_parted(self, one: str, other: str) -> bool:
        for survivor, absorbed in ((one, other), (other, one)):
            async for merge in everything(self._store, MERGES_BY_SURVIVOR, survivor):
                if merge.body["undone_at"] and merge.body["absorbed"] == absorbed:
                    return True
        return False

    async def _config(self, lead: Lead) -> ProductConfig:
        config = await self._recorder.catalog.version(lead.product_id, lead.config_number)
        assert config is not None, "a lead has a configuration"
        return config.config

    async def _ledger(self, *leads: tuple[Document, Lead]) -> list[Event]:
        ids = [id for found, lead in leads for id in (found.id, *lead.absorbed)]
        return [Event.read(d.body) async for d in of_lead(self._store, EVENTS_BY_LEAD, ids)]

    async def _side(self, person_id: str) -> Side:
        found = (await followed(self._store, [person_id])).get(person_id)
        if found is None:
            raise NotFound(f"there is no person {person_id}")
        person = Person.read(found.body)
        leads = [d for d in await self._store.get(Kind.LEADS, *person.leads.values()) if d]
        return Side(found, person, {d.body["product_id"]: (d, Lead.read(d.body)) for d in leads})

    async def undo(self, id: str, *, by: str) -> Done:
        """Take a merge back: both persons and their leads are as they were; what came since stays with the survivor.

        Raises: NotFound: no such merge. Refused: it is undone already, or a later one has to be undone first.
        """

        async def read() -> "_ToUndo":
            return await self._to_undo(id)

        def decide(known: "_ToUndo") -> Decision[Done]:
            now = self._recorder.clock()
            at, ledgers = instant(now), {id: lead for id, (lead, _) in known.ledgers.items()}
            made = undone(
                id, known.merge, known.survivor, known.absorbed, known.leads, ledgers, known.handoffs, by=by, at=at
            )
            after = known.merge.but(undone_at=at, undone_by=by)
            changes = [
                *made.changes,
                *(change for _, rewritten in known.ledgers.values() for change in rewritten),
                Replace(Kind.MERGES, id, known.found.version, after.body()),
                audit.entry(by, "person.unmerge", id, at=at),
            ]
            facts = [
                Facts(lead_id=lead_id, lead=lead, person=made.person, config=known.configs[lead_id], now=now,
                      stage_changes=steps, cause=f"{id}:undone")
                for lead_id, lead, steps in made.lowered
            ]  # fmt: skip
            return Decision(Done(id, after), changes, facts)

        done = await run(self._store, read, decide, reactors=self._recorder.reactors)
        self._recorder.after()
        return done

    async def _to_undo(self, id: str) -> "_ToUndo":
        (found,) = await self._store.get(Kind.MERGES, id)
        if found is None:
            raise NotFound(f"there is no merge {id}")
        merge = Merge.read(found.body)
        if merge.undone_at is not None:
            raise Refused("the merge is undone already")
        survivor, absorbed = await self._store.get(Kind.PERSONS, merge.survivor, merge.absorbed)
        if survivor is None or absorbed is None:
            raise NotFound("one of the persons was erased")
        later = [
            d
            async for d in everything(self._store, MERGES_BY_SURVIVOR, merge.survivor)
            if d.body["undone_at"] is None and (d.body["at"], d.id) > (merge.at, id)
        ]
        if later or survivor.body["merged_into"] is not None:
            raise Refused("a later merge of this person has to be undone first")
        ids = [lead_id for pair in merge.leads for lead_id in (pair.survivor, pair.absorbed)]
        ids += [*absorbed.body["leads"].values(), *survivor.body["leads"].values()]
        leads = {d.id: d for d in await self._store.get(Kind.LEADS, *dict.fromkeys(ids)) if d}
        return _ToUndo(
            found,
            merge,
            survivor,
            absorbed,
            leads,
            await self._ledgers(merge.leads, leads),
            await self._handoffs(merge.leads, leads),
            {pair.survivor: await self._config(Lead.read(leads[pair.survivor].body)) for pair in merge.leads},
        )

    async def _ledgers(
        self, pairs: Sequence[LeadPair], leads: Mapping[str, Document]
    ) -> dict[str, tuple[Lead, list[Change]]]:
        """Return both leads of each pair to which something happened since, as their own ledgers make them."""
        ledgers = {}
        for pair in pairs:
            kept, gone = leads[pair.survivor], leads[pair.absorbed]
            if kept.version != pair.version:
                before, other = Lead.read(orjson.loads(pair.before)), Lead.read(gone.body)
                now = parted(Lead.read(kept.body), before, other).but(absorbed=before.absorbed)
                ledgers[kept.id] = await self._alone(kept.id, now)
                ledgers[gone.id] = await self._alone(gone.id, other)
        return ledgers

    async def _alone(self, lead_id: str, lead: Lead) -> tuple[Lead, list[Change]]:
        """Return a lead as its own ledger makes it, and the writes of events that are worth something else alone."""
        found = {d.id: d async for d in of_lead(self._store, EVENTS_BY_LEAD, (lead_id, *lead.absorbed))}
        own = [Event.read(d.body) for d in found.values()]
        configs = {**await self._recorder.configs(lead.absorbed), lead_id: await self._config(lead)}
        after, changed = alone(lead, lead_id, own, configs)
        return after, [Replace(Kind.LEAD_EVENTS, e.key, found[e.key].version, e.body()) for e in changed]

    async def _handoffs(self, pairs: Sequence[LeadPair], leads: Mapping[str, Document]) -> dict[str, Document]:
        """Return the handoffs that the leads name, or named before the merge."""
        ids = [
            id
            for pair in pairs
            for id in (
                pair.closed,
                orjson.loads(pair.before).get("handoff_id"),
                leads[pair.survivor].body["handoff_id"],
                leads[pair.absorbed].body["handoff_id"],
            )
            if id
        ]
        return {d.id: d for d in await self._store.get(Kind.HANDOFFS, *dict.fromkeys(ids)) if d}


def fades(config: ProductConfig) -> bool:
    return config.scoring_rules.half_life_days is not None


class _ToMerge(NamedTuple):
    """Attributes: ledgers: of both leads of a product in which points fade. handoffs: of both, not resolved, by id."""

    survivor: Side
    absorbed: Side
    configs: dict[str, ProductConfig]
    ledgers: dict[str, list[Event]]
    handoffs: dict[str, Document]


class _ToUndo(NamedTuple):
    found: Document
    merge: Merge
    survivor: Document
    absorbed: Document
    leads: dict[str, Document]
    ledgers: dict[str, tuple[Lead, list[Change]]]
    handoffs: dict[str, Document]
    configs: dict[str, ProductConfig]


def alone(
    lead: Lead, lead_id: str, own: Sequence[Event], configs: Mapping[str, ProductConfig]
) -> tuple[Lead, list[Event]]:
    """Return a lead without what another one brought, recounted from its own ledger, and the events that change."""
    lead, changed = recounted(lead, lead_id, own, configs)
    return sighted(logged(lead, own), own), changed
