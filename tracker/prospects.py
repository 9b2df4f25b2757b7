"""People who come to us by themselves, over a chat: found by a key, or met for the first time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from tracker.errors import Fault, Invalid
from tracker.events import Happening
from tracker.identity import Key, match
from tracker.lead import Lead
from tracker.ledger import counters, entries, fold
from tracker.logins import person_changes
from tracker.model import new_id
from tracker.person import Person
from tracker.ports import Facts
from tracker.product import Versioned
from tracker.recorder import Recorder
from tracker.store.port import Change, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import instant
from tracker.unit import Decision, run

Outcome = TypeVar("Outcome")


class Met(NamedTuple):
    """A person and its lead as they stand before the turn; version 0 where nothing is stored yet.

    Attributes: stored: the person as the store has it. person: the same, with the lead.
    """

    person_id: str
    person_version: int
    stored: Person
    person: Person
    lead_id: str
    lead_version: int
    lead: Lead
    config: Versioned
    new_keys: Sequence[Key]


class Acted(NamedTuple):
    """What a turn comes to. `person`: as it becomes. `claims`: keys that it says are its own."""

    outcome: object
    happenings: Sequence[Happening]
    person: Person
    changes: Sequence[Change] = ()
    claims: Sequence[Key] = ()


async def engage(
    recorder: Recorder, keys: Sequence[Key], product_id: str, act: Callable[[Met], Awaitable[Acted]]
) -> object:
    """Find or make the person and its lead, let `act` say what happens, and keep everything in one commit.

    Args: act: called again when the commit must be repeated.
    Returns: what `act` gave as outcome.
    Raises: Invalid: no such product.
    """
    person_id, lead_id = new_id(), new_id()

    async def read() -> tuple[Met, Acted, Sequence[Key]]:
        met = await _meet(recorder, keys, product_id, person_id, lead_id)
        acted = await act(met)
        found = await recorder.store.get(Kind.PERSON_KEYS, *(key.id for key in acted.claims))
        return met, acted, [key for key, owner in zip(acted.claims, found, strict=True) if owner is None]

    def decide(known: tuple[Met, Acted, Sequence[Key]]) -> Decision[object]:
        return _decide(*known, recorder)

    outcome = await run(recorder.store, read, decide, reactors=recorder.reactors)
    recorder.after()
    return outcome


async def _meet(recorder: Recorder, keys: Sequence[Key], product_id: str, person_id: str, lead_id: str) -> Met:
    get, at = recorder.store.get, instant(recorder.clock())
    live = await recorder.catalog.live(product_id)
    if live is None:
        raise Invalid("the product does not exist", Fault("product_id", f"there is no product {product_id}"))
    found = await get(Kind.PERSON_KEYS, *(key.id for key in keys))
    matched = match(keys, {key: d.body["person_id"] for key, d in zip(keys, found, strict=True) if d})
    stored = (await get(Kind.PERSONS, matched.person_id))[0] if matched.person_id else None
    before = person = Person.read(stored.body) if stored else Person(created_at=at, updated_at=at)
    person_id = stored.id if stored else person_id
    known_lead = (await get(Kind.LEADS, person.leads[product_id]))[0] if product_id in person.leads else None
    if known_lead is not None:
        lead, lead_id = Lead.read(known_lead.body), known_lead.id
        config = await recorder.catalog.version(product_id, lead.config_number) or live
    else:
        config = live
        lead = Lead(person_id=person_id, product_id=product_id, config_number=live.number, created_at=at, updated_at=at)
        person = person.with_lead(product_id, lead_id)
    return Met(
        person_id,
        stored.version if stored else 0,
        before,
        person,
        lead_id,
        known_lead.version if known_lead else 0,
        lead,
        config,
        matched.new_keys,
    )


def _decide(met: Met, acted: Acted, free_claims: Sequence[Key], recorder: Recorder) -> Decision[object]:
    now, config = recorder.clock(), met.config.config
    folded = fold(met.lead_id, met.lead, acted.happenings, config, at=instant(now))
    body = folded.lead.body()
    changes: list[Change] = [
        Replace(Kind.LEADS, met.lead_id, met.lead_version, body)
        if met.lead_version
        else Insert(Kind.LEADS, met.lead_id, body)
    ]
    changes += person_changes(met.person_id, met.person_version, acted.person, met.stored)
    own = dict.fromkeys((*met.new_keys, *free_claims))
    changes += [Insert(Kind.PERSON_KEYS, key.id, {"person_id": met.person_id}) for key in own]
    changes += entries(folded.events, folded.stage_changes)
    changes += counters(folded.events)
    changes += acted.changes
    facts = Facts(
        lead_id=met.lead_id,
        lead=folded.lead,
        person=acted.person,
        config=config,
        now=now,
        created=not met.lead_version,
        events=folded.events,
        stage_changes=folded.stage_changes,
    )
    return Decision(acted.outcome, changes, [facts])
