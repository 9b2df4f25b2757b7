"""Recording: the use cases that change leads. Each reads, decides with pure functions and commits once."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tracker import consent
from tracker.catalog import Catalog, check_version
from tracker.counting import counters, entered, recounters
from tracker.errors import NotFound, Refused
from tracker.events import USUAL_SOURCES, Event, EventType, Happening, event_key
from tracker.handoff import opened, qualified
from tracker.lead import Lead, StageChange, dated, view
from tracker.ledger import deserved, entries, fold, logged, recounted, rescored, sighted, steps
from tracker.logins import person_changes
from tracker.model import new_id
from tracker.opt_outs import OptOuts
from tracker.people import followed
from tracker.person import Person
from tracker.ports import Facts, Failure, Reactor, Settled
from tracker.product import ProductConfig, Versioned
from tracker.reading import of_lead
from tracker.scoring import is_plain
from tracker.stages import Stage, advance
from tracker.store.port import Change, Document, Expect, Insert, Replace, Store
from tracker.store.schema import AUDIT_BY_LEAD, EVENTS_BY_LEAD, Kind
from tracker.times import instant
from tracker.told import spelled_out
from tracker.unit import Decision, Record, run


class Loaded(NamedTuple):
    """A lead with its person and the configuration version that it follows."""

    id: str
    version: int
    lead: Lead
    person_id: str
    person_version: int
    person: Person
    config: Versioned

    def view(self, now: datetime) -> dict[str, Any]:
        """The API's lead. It belongs to the person who absorbed its own, where one did."""
        lead = self.lead.but(person_id=self.person_id)
        return view(self.id, self.version, lead, self.person, now=now)

    @property
    def ids(self) -> tuple[str, ...]:
        """The lead's own id, and those of the leads that it absorbed."""
        return (self.id, *self.lead.absorbed)

    @property
    def person_ids(self) -> tuple[str, ...]:
        """The person's own id, and those of the persons that it absorbed."""
        return (self.person_id, *self.person.absorbed)


class _Ledger(NamedTuple):
    """A lead with its whole ledger, by event, and the configurations of it and of the leads that it absorbed."""

    loaded: Loaded
    found: dict[str, Document]
    configs: dict[str, ProductConfig]


class Recorded(NamedTuple):
    """What an event did. `duplicate`: it was in the ledger already, and this is what it did then."""

    duplicate: bool
    event: Event


class Effect(NamedTuple):
    """What another room wants in the same commit: documents to write, messages that reached their end or failed."""

    changes: Sequence[Change] = ()
    settled: Sequence[Settled] = ()
    failures: Sequence[Failure] = ()


async def no_effect(_: Loaded) -> Effect:
    return Effect()


EffectOf = Callable[[Loaded], Awaitable[Effect]]
"""Reads what it needs and decides on a lead as it was just read; called again when the commit must be repeated."""


class Recorder:
    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        clock: Callable[[], datetime],
        reactors: Sequence[Reactor] = (),
        after: Callable[[], None] = lambda: None,
        opt_outs: OptOuts | None = None,
    ):
        """Args: after: called when something was kept, so that a sleeping worker looks for work. opt_outs: what
        addresses refused earlier.
        """
        self.store, self.catalog, self.clock, self.reactors, self.after = store, catalog, clock, reactors, after
        self.opt_outs = opt_outs or OptOuts(store, ())

    async def load(self, lead_id: str) -> Loaded:
        """Return a lead; for one that was absorbed by another, that other one. Raises: NotFound."""
        (found,) = await self.store.get(Kind.LEADS, lead_id)
        while found is not None and (into := found.body.get("merged_into")):
            (found,) = await self.store.get(Kind.LEADS, into)
        if found is None:
            raise NotFound(f"there is no lead {lead_id}")
        return await self.loaded(found)

    async def loaded(self, found: Document) -> Loaded:
        """Return the lead of a document together with its person and configuration. Raises: NotFound."""
        lead = Lead.read(found.body)
        person = (await followed(self.store, [lead.person_id])).get(lead.person_id)
        config = await self.catalog.version(lead.product_id, lead.config_number)
        if person is None:  # erased since the document was read
            raise NotFound(f"there is no lead {found.id}")
        assert config is not None, "a lead has a configuration"
        return Loaded(found.id, found.version, lead, person.id, person.version, Person.read(person.body), config)

    async def configs(self, lead_ids: Sequence[str]) -> dict[str, ProductConfig]:
        """Return the configuration that each lead follows, by lead."""
        configs = {}
        for found in await self.store.get(Kind.LEADS, *lead_ids):
            assert found is not None, "an absorbed lead stays"
            config = await self.catalog.version(found.body["product_id"], found.body["config_number"])
            assert config is not None, "a lead has a configuration"
            configs[found.id] = config.config
        return configs

    async def event(
        self,
        lead_id: str,
        happening: Happening,
        *,
        effect: EffectOf = no_effect,
        expected: int | None = None,
        record: Record[Recorded] | None = None,
    ) -> Recorded:
        """Count one event on a lead, together with what `effect` decides on the lead as it is read.

        Args: expected: refuse a new event unless the lead is at this version.
        Raises: NotFound: no such lead. Refused: the id belongs to another lead's event. Outdated. Whatever `effect`
            raises.
        """

        async def read() -> tuple[Loaded, Document | None, Effect]:
            (seen,) = await self.store.get(Kind.LEAD_EVENTS, happening.key)
            loaded = await self.load(lead_id)
            return loaded, seen, await effect(loaded)

        def decide(known: tuple[Loaded, Document | None, Effect]) -> Decision[Recorded]:
            loaded, seen, also = known
            if seen is not None:
                return Decision(Recorded(True, _same_lead(Event.read(seen.body), loaded)))
            check_version(expected, loaded.version)
            return self._counted(loaded, happening, also)

        done = await run(self.store, read, decide, reactors=self.reactors, record=record)
        self.after()
        return done

    def _counted(self, loaded: Loaded, happening: Happening, effect: Effect) -> Decision[Recorded]:
        now, config = self.clock(), loaded.config.config
        lead = loaded.lead
        if happening.event_type is EventType.LOGIN:
            lead = spelled_out(lead)  # one that tells nothing of the person
        folded = fold(loaded.id, lead, [happening], config, at=instant(now), person=loaded.person)
        (event,) = folded.events
        person = consent.after(loaded.person, event)
        changes: list[Change] = [Replace(Kind.LEADS, loaded.id, loaded.version, folded.lead.body())]
        changes += entries(folded.events, folded.stage_changes)
        changes += counters(folded.events, folded.stage_changes)
        changes += person_changes(loaded.person_id, loaded.person_version, person, loaded.person)
        changes += effect.changes
        facts = Facts(
            lead_id=loaded.id,
            lead=folded.lead,
            person=person,
            config=config,
            now=now,
            events=folded.events,
            stage_changes=folded.stage_changes,
            settled=effect.settled,
            failures=effect.failures,
            lead_before=loaded.lead,
            person_before=loaded.person,
        )
        return Decision(Recorded(False, event), changes, [facts])

    async def reclassify(self, id: str, *, machine: bool) -> Event:
        """Say whether an event was a machine's, and count it anew.

        Args: id: `source:event_id`; the source may be left out where it is one of `USUAL_SOURCES`.
        Raises: NotFound: no such event.
        """
        keys = (id, *(event_key(source, id) for source in USUAL_SOURCES))
        found = next((d for d in await self.store.get(Kind.LEAD_EVENTS, *keys) if d), None)
        if found is None:
            raise NotFound(f"there is no event {id}")
        return await self._reclassify(found.id, machine=machine)

    async def _reclassify(self, key: str, *, machine: bool) -> Event:
        mark = new_id()

        async def read() -> _Ledger:
            (found,) = await self.store.get(Kind.LEAD_EVENTS, key)
            if found is None:
                raise NotFound(f"there is no event {key}")
            loaded = await self.load(found.body["lead_id"])
            configs = {**await self.configs(loaded.lead.absorbed), loaded.id: loaded.config.config}
            return _Ledger(loaded, {d.id: d async for d in of_lead(self.store, EVENTS_BY_LEAD, loaded.ids)}, configs)

        def decide(ledger: _Ledger) -> Decision[Event]:
            before = Event.read(ledger.found[key].body)
            if before.machine == machine:
                return Decision(before)
            return self._reclassified(ledger, before.but(machine=machine), mark=mark)

        done = await run(self.store, read, decide, reactors=self.reactors)
        self.after()
        return done

    def _reclassified(self, ledger: "_Ledger", event: Event, *, mark: str) -> Decision[Event]:
        """Args: mark: an id of this reclassification; the same event may move the lead more than once."""
        loaded, found, configs = ledger
        now, config, lead = self.clock(), loaded.config.config, loaded.lead
        at, others = instant(now), [Event.read(d.body) for id, d in found.items() if id != event.key]
        if all(is_plain(its.scoring_rules) for its in configs.values()):
            after = rescored(event, configs[event.lead_id], machine=event.machine)
            lead, events = lead.but(score=lead.score + after.score_impact - event.score_impact), [after]
        else:
            lead, events = recounted(lead, loaded.id, [*others, event], configs)
            after = next((e for e in events if e.key == event.key), event)
            events = [after, *(e for e in events if e is not after)]
        lead = sighted(lead, [*others, after])
        if after.event_type is EventType.LOGIN:
            lead = logged(lead, [*others, after])
        reached = deserved(loaded.lead, lead, (lead.stage, lead.score), after, config, loaded.person)
        stage_changes = steps(loaded.id, lead.stage, reached, lead.score, after, config, at=at)
        lead = lead.but(stage=stage_changes[-1].to if stage_changes else lead.stage, updated_at=at)
        if stage_changes:
            lead, stage_changes = qualified(*dated(lead, stage_changes), event.key, mark=f":{mark}")
        changes: list[Change] = [
            *(Replace(Kind.LEAD_EVENTS, e.key, found[e.key].version, e.body()) for e in events),
            Replace(Kind.LEADS, loaded.id, loaded.version, lead.body()),
            *entries([], stage_changes, mark=f":{mark}"),
            *recounters(Event.read(found[event.key].body), after),
            *entered(lead.product_id, stage_changes),
        ]
        facts = Facts(
            lead_id=loaded.id,
            lead=lead,
            person=loaded.person,
            config=config,
            now=now,
            stage_changes=stage_changes,
            lead_before=loaded.lead,
            person_before=loaded.person,
            cause=f"{event.key}:{mark}",
        )
        return Decision(after, changes, [facts])

    async def settle(self, lead_id: str, effect: EffectOf) -> None:
        """Commit what `effect` decides on a lead although nothing happened that the ledger counts.

        The lead is guarded: what was decided on it holds when it is kept.
        """

        async def read() -> tuple[Loaded, Effect]:
            loaded = await self.load(lead_id)
            return loaded, await effect(loaded)

        def decide(known: tuple[Loaded, Effect]) -> Decision[None]:
            loaded, done = known
            if not done.changes:
                return Decision(None)
            changes, facts = self.settled(loaded, done)
            return Decision(None, changes, [facts])

        await run(self.store, read, decide, reactors=self.reactors)
        self.after()

    def settled(self, loaded: Loaded, effect: Effect) -> tuple[list[Change], Facts]:
        """Return the changes of an effect with the guard of its lead, and the facts of it for the other rooms."""
        facts = Facts(
            lead_id=loaded.id,
            lead=loaded.lead,
            person=loaded.person,
            config=loaded.config.config,
            now=self.clock(),
            settled=effect.settled,
            failures=effect.failures,
            lead_before=loaded.lead,
            person_before=loaded.person,
        )
        return [Expect(Kind.LEADS, loaded.id, loaded.version), *effect.changes], facts

    async def move(
        self,
        lead_id: str,
        to: Stage,
        *,
        actor: str,
        reason: str,
        expected: int | None = None,
        record: Record[Loaded] | None = None,
    ) -> Loaded:
        """Move a lead to its next stage by hand, and return it as it is then.

        Raises: NotFound, IllegalTransition, Outdated.
        """
        audit_id = new_id()

        def decide(loaded: Loaded) -> Decision[Loaded]:
            check_version(expected, loaded.version)
            before = loaded.lead.stage
            return self._restaged(loaded, advance(before, to), actor=actor, reason=reason, audit_id=audit_id)

        moved = await run(self.store, lambda: self.load(lead_id), decide, reactors=self.reactors, record=record)
        self.after()
        return moved

    def _restaged(
        self, loaded: Loaded, to: Stage, *, actor: str, reason: str, audit_id: str, reverts: Document | None = None
    ) -> Decision[Loaded]:
        now = self.clock()
        at = instant(now)
        change = StageChange(
            lead_id=loaded.id,
            before=loaded.lead.stage,
            to=to,
            at=at,
            actor=actor,
            reason=reason,
            reverts=reverts.id if reverts else None,
        )
        lead, changed = dated(loaded.lead.but(stage=to, updated_at=at), [change])
        lead, (change,) = qualified(lead, changed, audit_id)
        facts = Facts(
            lead_id=loaded.id,
            lead=lead,
            person=loaded.person,
            config=loaded.config.config,
            now=now,
            stage_changes=[change],
            lead_before=loaded.lead,
            person_before=loaded.person,
            cause=audit_id,
        )
        changes: list[Change] = [
            Replace(Kind.LEADS, loaded.id, loaded.version, lead.body()),
            Insert(Kind.LEAD_AUDIT, audit_id, change.body()),
            *opened(change),
            *entered(lead.product_id, [change], entered_at=reverts.body["at"] if reverts else None),
        ]
        return Decision(loaded._replace(version=loaded.version + 1, lead=lead), changes, [facts])

    async def revert(
        self,
        lead_id: str,
        *,
        actor: str,
        reason: str,
        expected: int | None = None,
        record: Record[Loaded] | None = None,
    ) -> Loaded:
        """Undo the last stage change as a new entry of the audit trail, and return the lead as it is then.

        Raises: NotFound. Refused: there is nothing to undo. Outdated.
        """
        audit_id = new_id()

        async def read() -> tuple[Loaded, Document | None]:
            loaded = await self.load(lead_id)
            last = await self.store.find(AUDIT_BY_LEAD, loaded.id, reverse=True, limit=1)
            return loaded, last.items[0] if last.items else None

        def decide(known: tuple[Loaded, Document | None]) -> Decision[Loaded]:
            loaded, last = known
            check_version(expected, loaded.version)
            if last is None:
                raise Refused(f"lead {lead_id} has no stage change to revert")
            to = Stage(last.body["before"])
            return self._restaged(loaded, to, actor=actor, reason=reason, audit_id=audit_id, reverts=last)

        reverted = await run(self.store, read, decide, reactors=self.reactors, record=record)
        self.after()
        return reverted


def _same_lead(event: Event, loaded: Loaded) -> Event:
    """Raises: Refused: the source gave this id to an event of another lead."""
    if event.lead_id not in loaded.ids:
        raise Refused(f"{event.source} has given the id {event.event_id!r} to an event of another lead")
    return event


def shown(change: StageChange) -> dict[str, object]:
    """An audit entry as the API shows it."""
    return {
        "from": change.before,
        "to": change.to,
        "at": change.at,
        "actor": change.actor,
        "reason": change.reason,
        "event_id": change.event_id,
    }
