"""People who come to us by themselves, over a chat: found by a key, or met for the first time."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from tracker import consent, people
from tracker.claims import alike, untold
from tracker.counting import arrived, counters
from tracker.errors import Fault, Invalid
from tracker.events import Happening
from tracker.handoff import Reason, wished
from tracker.identity import Key, match
from tracker.lead import Lead
from tracker.ledger import entries, fold
from tracker.logins import person_changes
from tracker.model import new_id
from tracker.opt_outs import refusing
from tracker.person import Person
from tracker.ports import Facts
from tracker.product import Versioned
from tracker.recorder import Recorder
from tracker.store.port import Change, Document, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import instant
from tracker.unit import Decision, run

Outcome = TypeVar("Outcome")

CONTACT = {"visitor": "visitor", "whatsapp": "whatsapp_id", "phone": "phone"}
"""What of a person a key is, where it is an address to answer to."""


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
    """What a turn comes to.

    Attributes: person: as it becomes. claims: keys that it says are its own; those of somebody else are left out. wish:
        why a person is asked for. cause: id of what caused the wish.
    """

    outcome: object
    happenings: Sequence[Happening]
    person: Person
    changes: Sequence[Change] = ()
    claims: Sequence[Key] = ()
    wish: Reason | None = None
    cause: str = ""


class _Engaged(NamedTuple):
    """Attributes: free_claims: keys that are nobody's yet. handoff: the lead's, where another wish concerns it."""

    met: Met
    acted: Acted
    free_claims: Sequence[Key]
    handoff: Document | None


async def engage(
    recorder: Recorder, keys: Sequence[Key], product_id: str, act: Callable[[Met], Awaitable[Acted]]
) -> object:
    """Find or make the person and its lead, let `act` say what happens, and keep everything in one commit.

    Args: act: called again when the commit must be repeated.
    Returns: what `act` gave as outcome.
    Raises: Invalid: no such product.
    """
    person_id, lead_id = new_id(), new_id()

    async def read() -> _Engaged:
        met = await _meet(recorder, keys, product_id, person_id, lead_id)
        acted = await act(met)
        owners = await people.owners(recorder.store, acted.claims)
        free = [key for key in acted.claims if key not in owners.keys]
        foreign = {key: owner for key, owner in owners.by_key.items() if owner != met.person_id}
        person = acted.person.but(**{key.kind: getattr(met.person, key.kind) for key in foreign})
        person = refusing(person, await recorder.opt_outs.of(free))
        noted = await _noted(recorder, met.person_id, foreign)
        acted = acted._replace(person=person, changes=(*acted.changes, *noted))
        handoff = None
        if acted.wish is not None and met.lead.handoff_id is not None:
            (handoff,) = await recorder.store.get(Kind.HANDOFFS, met.lead.handoff_id)
        return _Engaged(met, acted, free, handoff)

    def decide(known: _Engaged) -> Decision[object]:
        return _decide(known, recorder)

    outcome = await run(recorder.store, read, decide, reactors=recorder.reactors)
    recorder.after()
    return outcome


async def _noted(recorder: Recorder, person_id: str, foreign: Mapping[Key, str]) -> list[Insert]:
    """Return the review items for addresses of others that are not there yet: anybody may type any address.

    So nobody is merged for it, and mail does not go to somebody who may have refused it.
    """
    at = instant(recorder.clock())
    notes = list({(note := alike(person_id, owner, key, at=at)).id: note for key, owner in foreign.items()}.values())
    return untold(notes, await recorder.store.get(Kind.REVIEW, *(note.id for note in notes)))


async def _meet(recorder: Recorder, keys: Sequence[Key], product_id: str, person_id: str, lead_id: str) -> Met:
    get, at = recorder.store.get, instant(recorder.clock())
    live = await recorder.catalog.live(product_id)
    if live is None:
        raise Invalid("the product does not exist", Fault("product_id", f"there is no product {product_id}"))
    owners, documents, _ = await people.owners(recorder.store, keys)
    matched = match(keys, owners)
    stored = documents[matched.person_id] if matched.person_id else None
    before = person = Person.read(stored.body) if stored else Person(created_at=at, updated_at=at)
    person_id = stored.id if stored else person_id
    person = _with_contact(person, (key for key in keys if owners.get(key, person_id) == person_id))
    person = refusing(person, await recorder.opt_outs.of(matched.new_keys))
    known_lead = (await get(Kind.LEADS, person.leads[product_id]))[0] if product_id in person.leads else None
    if known_lead is not None:
        lead, lead_id = Lead.read(known_lead.body), known_lead.id
        config = await recorder.catalog.version(product_id, lead.config_number) or live
    else:
        config = await recorder.catalog.entering(product_id, person_id) or live
        lead = Lead(
            person_id=person_id, product_id=product_id, config_number=config.number, created_at=at, updated_at=at
        )
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


def _with_contact(person: Person, keys: Iterable[Key]) -> Person:
    """Return the person with the addresses that its own keys are, where it has none yet."""
    values = {CONTACT[key.kind]: key.value for key in reversed(list(keys)) if key.kind in CONTACT}
    values = {name: value for name, value in values.items() if getattr(person, name) is None}
    return person.but(**values) if values else person


def _decide(known: _Engaged, recorder: Recorder) -> Decision[object]:
    met, acted = known.met, known.acted
    now, config = recorder.clock(), met.config.config
    at = instant(now)
    lead, wishes = met.lead, list[Change]()
    if acted.wish is not None:
        lead, wishes = wished(lead, met.lead_id, acted.wish, acted.cause, found=known.handoff, at=at)
    folded = fold(met.lead_id, lead, acted.happenings, config, at=at, person=acted.person)
    body = folded.lead.body()
    changes: list[Change] = [
        Replace(Kind.LEADS, met.lead_id, met.lead_version, body)
        if met.lead_version
        else Insert(Kind.LEADS, met.lead_id, body)
    ]
    person = acted.person
    for event in folded.events:
        person = consent.after(person, event)
    changes += person_changes(met.person_id, met.person_version, person, met.stored)
    own = dict.fromkeys((*met.new_keys, *known.free_claims))
    changes += [Insert(Kind.PERSON_KEYS, key.id, {"person_id": met.person_id}) for key in own]
    changes += entries(folded.events, folded.stage_changes)
    changes += counters(folded.events, folded.stage_changes)
    if not met.lead_version:
        changes.append(arrived(met.lead_id, lead))
    changes += wishes
    changes += acted.changes
    facts = Facts(
        lead_id=met.lead_id,
        lead=folded.lead,
        person=person,
        config=config,
        now=now,
        created=not met.lead_version,
        events=folded.events,
        stage_changes=folded.stage_changes,
        wished=lead.handoff_id if acted.wish is not None and known.handoff is None else None,
        wish=acted.wish,
        cause=acted.cause,
        lead_before=met.lead if met.lead_version else None,
        person_before=met.stored if met.lead_version else None,
    )
    return Decision(acted.outcome, changes, [facts])
