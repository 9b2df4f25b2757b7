"""The use cases of merging persons: read both with their leads, decide, commit once."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from tracker import audit
from tracker.conditions import sightings
from tracker.errors import NotFound, Refused
from tracker.events import Event, EventType
from tracker.lead import Lead, count_login
from tracker.ledger import recounted
from tracker.merging import LeadPair, Merge, Side, demand_mergeable, merged, older, undone
from tracker.model import new_id
from tracker.people import followed
from tracker.person import Person
from tracker.ports import Facts
from tracker.product import ProductConfig
from tracker.reading import everything
from tracker.recorder import Recorder
from tracker.store.port import Document, Replace
from tracker.store.schema import EVENTS_BY_LEAD, MERGES_BY_SURVIVOR, Kind
from tracker.times import Instant, instant
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

        async def read() -> tuple[Side, Side, dict[str, ProductConfig]]:
            sides = [await self._side(one), await self._side(other)]
            demand_mergeable(*sides)
            survivor, absorbed = older(sides[0], sides[1])
            configs = {}
            for product_id, (_, lead) in {**absorbed.leads, **survivor.leads}.items():
                config = await self._recorder.catalog.version(product_id, lead.config_number)
                assert config is not None, "a lead has a configuration"
                configs[product_id] = config.config
            return survivor, absorbed, configs

        def decide(known: tuple[Side, Side, dict[str, ProductConfig]]) -> Decision[Done]:
            survivor, absorbed, configs = known
            now = self._recorder.clock()
            half_lives = {p: config.scoring_rules.half_life_days for p, config in configs.items()}
            made = merged(survivor, absorbed, id, half_lives=half_lives, by=by, at=instant(now))
            subject = f"{absorbed.found.id} into {survivor.found.id}"
            facts = [
                Facts(lead_id=lead_id, lead=lead, person=made.person, config=configs[lead.product_id], now=now,
                      stage_changes=changes)
                for lead_id, lead, changes in made.lifted if changes
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
        """Merge two persons who share an address, and return which lead each absorbed lead is by now."""
        done = await self.merge(one, other, by="leadline")
        return {pair.absorbed: pair.survivor for pair in done.merge.leads}

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
            at = instant(self._recorder.clock())
            changes = undone(known.merge, known.survivor, known.absorbed, known.leads, known.ledgers, at=at)
            after = known.merge.but(undone_at=at, undone_by=by)
            changes.append(Replace(Kind.MERGES, id, known.found.version, after.body()))
            changes.append(audit.entry(by, "person.unmerge", id, at=at))
            return Decision(Done(id, after), changes)

        return await run(self._store, read, decide)

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
        leads = {d.id: d for d in await self._store.get(Kind.LEADS, *ids) if d}
        changed = [pair for pair in merge.leads if leads[pair.survivor].version != pair.version]
        ledgers = {pair.survivor: await self._alone(pair, leads) for pair in changed}
        return _ToUndo(found, merge, survivor, absorbed, leads, ledgers)

    async def _alone(self, pair: LeadPair, leads: dict[str, Document]) -> Lead:
        """Return the survivor's lead as its own ledger makes it."""
        before, now = Lead.read(orjson.loads(pair.before)), Lead.read(leads[pair.survivor].body)
        config = await self._recorder.catalog.version(now.product_id, now.config_number)
        assert config is not None, "a lead has a configuration"
        own = [
            Event.read(d.body)
            for lead_id in (pair.survivor, *before.absorbed)
            async for d in everything(self._store, EVENTS_BY_LEAD, lead_id)
        ]
        lifted = max(before.stage, Lead.read(leads[pair.absorbed].body).stage, key=list(type(now.stage)).index)
        stage = before.stage if now.stage is lifted else now.stage
        return alone(before, now, own, config.config).but(stage=stage, updated_at=now.updated_at)


class _ToUndo(NamedTuple):
    found: Document
    merge: Merge
    survivor: Document
    absorbed: Document
    leads: dict[str, Document]
    ledgers: dict[str, Lead]


def alone(before: Lead, now: Lead, own: Sequence[Event], config: ProductConfig) -> Lead:
    """Return a lead without what another one brought: recounted from its own ledger."""
    lead, _ = recounted(now.but(absorbed=before.absorbed), own, config)
    days: dict[str, int] = {}
    seen: dict[str, Instant] = {}
    last: Instant | None = None
    for event in sorted(own, key=lambda event: event.timestamp):
        if event.event_type is EventType.LOGIN:
            days, last = count_login(days, event.timestamp), event.timestamp
        elif not event.machine:
            seen |= dict.fromkeys(sightings(event.event_type, orjson.loads(event.metadata)), event.timestamp)
    return lead.but(login_days=days, last_login_at=last, seen=seen)
