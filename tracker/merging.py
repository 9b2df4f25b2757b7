"""Two persons are one: the older id survives and lists the ids that it absorbed; nothing moves. Pure.

The ledgers stay where they are, each on its own lead: whoever reads the survivor's lead reads those of the absorbed
leads with it, and its score is their sum.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tracker import consent_history
from tracker.counting import entered
from tracker.errors import Refused
from tracker.events import Event
from tracker.handoff import Handoff, HandoffStatus, led, opened, outdone, qualified, revived
from tracker.lead import Lead, StageChange, dated, words
from tracker.ledger import by_score
from tracker.model import Document
from tracker.person import CONSENTS, MOST_REMEMBERED, Consent, Person
from tracker.product import ProductConfig
from tracker.scoring import summed
from tracker.search_words import reworded
from tracker.stages import ORDER, Stage, path
from tracker.store.port import Change, Insert, Replace
from tracker.store.port import Document as Stored
from tracker.store.schema import Kind
from tracker.times import Instant
from tracker.told import ADDRESSES, NEVER, OF_LEAD, PERSONAL, Times, latest, of_lead, of_person


class LeadPair(Document, frozen=True, kw_only=True):
    """Two leads of one product that became one. before: the survivor's lead as it was, as JSON text; version: of its
    document after the merge, so that an undo sees whether anything happened since. closed: the handoff that ended
    because both had one. stage: to which the survivor's lead came; None where an earlier version did not keep it.
    """

    survivor: str
    absorbed: str
    before: str
    version: int
    closed: str | None = None
    stage: Stage | None = None


class Merge(Document, frozen=True, kw_only=True):
    """Attributes: survivor, absorbed: person ids. before: the survivor as it was, as JSON text. told: when each field
    was last told by then; None where an earlier version did not keep it.
    """

    survivor: str
    absorbed: str
    before: str
    leads: tuple[LeadPair, ...] = ()
    told: dict[str, Instant] | None = None
    by: str
    at: Instant
    undone_at: Instant | None = None
    undone_by: str | None = None


class Side(NamedTuple):
    """A person and its leads, as stored, by product."""

    found: Stored
    person: Person
    leads: Mapping[str, tuple[Stored, Lead]]

    @property
    def told(self) -> dict[str, Instant]:
        """When each field was last told."""
        return of_person(self.person, (lead for _, lead in self.leads.values()))


class Merged(NamedTuple):
    """What a merge comes to. `ended`: absorbed leads, whose sequences end. `joint`: the survivor's, before and
    after, and their stage changes; a threshold that one of the two had reached before is no news.
    """

    merge: Merge
    person: Person
    changes: list[Change]
    ended: list[tuple[str, Lead]]
    joint: list[tuple[str, Lead, Lead, list[StageChange]]]


class Parted(NamedTuple):
    """What the undoing of a merge comes to. Attributes: lowered: leads whose stage goes back."""

    person: Person
    changes: list[Change]
    lowered: list[tuple[str, Lead, list[StageChange]]]


def older(one: Side, other: Side) -> tuple[Side, Side]:
    """Return the survivor and the one that it absorbs."""
    first, second = sorted((one, other), key=lambda side: (side.person.created_at, side.found.id))
    return first, second


def merged(
    survivor: Side,
    absorbed: Side,
    id: str,
    *,
    configs: Mapping[str, ProductConfig],
    ledgers: Mapping[str, Sequence[Event]],
    handoffs: Mapping[str, Stored],
    by: str,
    at: Instant,
) -> Merged:
    """Decide on a merge.

    Args: id: of the merge. configs: of the survivor's leads, by product. ledgers: of both leads, by product, where
        points fade and sums of two moments cannot be added. handoffs: that are not resolved.
    """
    told = survivor.told, absorbed.told
    person = joined(survivor.person, absorbed.person, absorbed.found.id, told=told, at=at)
    changes: list[Change] = [
        Replace(Kind.PERSONS, survivor.found.id, survivor.found.version, person.body()),
        Replace(
            Kind.PERSONS,
            absorbed.found.id,
            absorbed.found.version,
            absorbed.person.but(merged_into=survivor.found.id, updated_at=at).body(),
        ),
        *consent_history.changed(survivor.found.id, survivor.found.version, person, survivor.person),
    ]
    # Who remembers the other leads as those of one of them has to see whose they are.
    changes += [
        Replace(Kind.LEADS, found.id, found.version, found.body)
        for one, other in ((survivor, absorbed), (absorbed, survivor))
        for product_id, (found, _) in one.leads.items()
        if product_id not in other.leads
    ]
    both = [
        _united(survivor, absorbed, product_id, person, id, configs[product_id], ledgers.get(product_id), by=by, at=at)
        for product_id in absorbed.leads
        if product_id in survivor.leads
    ]
    for one in both:
        changes += one.changes
        if (closed := one.pair.closed) is not None:
            changes.append(_kept(handoffs[closed], outdone(Handoff.read(handoffs[closed].body), by, at=at)))
    changes += reworded(_words(survivor) | _words(absorbed), dict.fromkeys(person.leads.values(), words(person)))
    merge = Merge(
        survivor=survivor.found.id,
        absorbed=absorbed.found.id,
        before=orjson.dumps(survivor.person.body()).decode(),
        leads=tuple(one.pair for one in both),
        told=latest(*told),
        by=by,
        at=at,
    )
    changes.append(Insert(Kind.MERGES, id, merge.body()))
    return Merged(merge, person, changes, [one.ended for one in both], [one.joint for one in both])


class _United(NamedTuple):
    """What becomes of two people's leads in one product. `ended`, `joint`: as those of `Merged`."""

    pair: LeadPair
    changes: list[Change]
    ended: tuple[str, Lead]
    joint: tuple[str, Lead, Lead, list[StageChange]]


def _united(
    survivor: Side,
    absorbed: Side,
    product_id: str,
    person: Person,
    merge_id: str,
    config: ProductConfig,
    ledger: Sequence[Event] | None,
    *,
    by: str,
    at: Instant,
) -> _United:
    """Let the survivor's lead absorb the other one.

    Args: person: both people in one. ledger: of both leads, where their points fade.
    """
    (kept, before), (found, lead) = survivor.leads[product_id], absorbed.leads[product_id]
    after = added(before, lead, found.id, at=at)
    if ledger is not None:
        after = summed(after, kept.id, ledger, config.scoring_rules)
    brought, reached = after.stage, by_score(after, person, config)
    if all(
        path(by_score(its, whose, config), reached)
        for its, whose in ((before, survivor.person), (lead, absorbed.person))
    ):  # what neither alone had come to
        after = after.but(stage=max(brought, reached, key=ORDER.index))
    steps = [
        StageChange(lead_id=kept.id, before=a, to=b, at=at, actor=by, reason=_reason(after, b, brought))
        for a, b in path(before.stage, after.stage)
    ]
    after, steps = dated(after, steps)
    changes: list[Change] = []
    if after.stage is not brought:
        after, steps = qualified(after, steps, merge_id)
        changes += entered(product_id, [step for step in steps if path(brought, step.to)])
    after, closed = _one_handoff(after, before, lead)
    changes += [
        *(change for step in steps for change in opened(step)),
        Replace(Kind.LEADS, kept.id, kept.version, after.body()),
        Replace(Kind.LEADS, found.id, found.version, lead.but(merged_into=kept.id, updated_at=at).body()),
        *(Insert(Kind.LEAD_AUDIT, f"{kept.id}:{merge_id}:{step.to}", step.body()) for step in steps),
    ]
    pair = LeadPair(
        survivor=kept.id,
        absorbed=found.id,
        before=orjson.dumps(before.body()).decode(),
        version=kept.version + 1,
        closed=closed,
        stage=after.stage,
    )
    joint = (kept.id, before.but(score=max(before.score, lead.score)), after, steps)
    return _United(pair, changes, (found.id, lead), joint)


def undone(
    id: str,
    merge: Merge,
    survivor: Stored,
    absorbed: Stored,
    leads: Mapping[str, Stored],
    ledgers: Mapping[str, Lead],
    handoffs: Mapping[str, Stored],
    *,
    by: str,
    at: Instant,
) -> Parted:
    """Decide on the undoing of a merge.

    Args: leads: of both, by id, those too that had none to merge with. ledgers: leads as their own ledgers alone make
        them, where something happened since the merge. handoffs: of these leads, by id.
    """
    person, other = Person.read(survivor.body), Person.read(absorbed.body)
    before = Person.read(orjson.loads(merge.before))
    taken = set(other.leads.values()) - {pair.absorbed for pair in merge.leads}
    since = {product: id for product, id in person.leads.items() if id not in taken and product not in before.leads}
    back, alone = kept_since(before, other, person), refused_since(other, before, person)
    if merge.told is not None:
        own = of_person(person, (Lead.read(leads[id].body) for id in person.leads.values() if id not in taken))
        others = of_person(other, (Lead.read(leads[id].body) for id in taken))
        back, alone = told_since(person, back, alone, merge.told, own, others)
    back = back.but(leads={**before.leads, **since}, updated_at=at)
    alone = alone.but(merged_into=None, updated_at=at)
    changes: list[Change] = [
        Replace(Kind.PERSONS, survivor.id, survivor.version, back.body()),
        Replace(Kind.PERSONS, absorbed.id, absorbed.version, alone.body()),
        *consent_history.changed(survivor.id, survivor.version, back, person),
        *consent_history.changed(absorbed.id, absorbed.version, alone, other),
    ]
    lowered = []
    for pair in merge.leads:
        kept, gone = leads[pair.survivor], leads[pair.absorbed]
        lead, steps = _lowered(pair, kept, gone, ledgers, by=by, at=at)
        separate = (ledgers.get(gone.id) or Lead.read(gone.body)).but(merged_into=None, updated_at=at)
        lead, separate, revivals = _own_handoffs(pair, lead, separate, handoffs, by=by, at=at)
        changes += [
            Replace(Kind.LEADS, kept.id, kept.version, lead.body()),
            Replace(Kind.LEADS, gone.id, gone.version, separate.body()),
            *(Insert(Kind.LEAD_AUDIT, f"{kept.id}:{id}:undone", step.body()) for step in steps),
            *entered(lead.product_id, _uncounted(pair, kept, gone, steps), entered_at=merge.at),
            *revivals,
        ]
        if steps:
            lowered.append((kept.id, lead, steps))
    # Who remembers them as the survivor's has to see that they are somebody else's again.
    changes += [Replace(Kind.LEADS, lead_id, leads[lead_id].version, leads[lead_id].body) for lead_id in sorted(taken)]
    stood = dict.fromkeys(person.leads.values(), words(person))
    stands = dict.fromkeys(back.leads.values(), words(back)) | dict.fromkeys(alone.leads.values(), words(alone))
    return Parted(back, changes + reworded(stood, stands), lowered)


def _reason(lead: Lead, stage: Stage, brought: Stage) -> str:
    """Why a merge leads a lead to a stage. Args: brought: the further one of the two that it comes of."""
    if path(brought, stage):
        return f"merged with another lead: together their score is {lead.score / 1000:g}"
    return "merged with another lead"


def _one_handoff(after: Lead, survivor: Lead, absorbed: Lead) -> tuple[Lead, str | None]:
    """Return the lead with one handoff of the two, and the id of the other: the one that somebody holds goes on."""
    if absorbed.handoff_id is None or survivor.handoff_id is None:
        return after, None
    on, off = (absorbed, survivor) if absorbed.held_by and not survivor.held_by else (survivor, absorbed)
    return after.but(handoff_id=on.handoff_id, held_by=on.held_by), off.handoff_id


def _lowered(
    pair: LeadPair, kept: Stored, gone: Stored, ledgers: Mapping[str, Lead], *, by: str, at: Instant
) -> tuple[Lead, list[StageChange]]:
    """Return the survivor's lead without the other, back at its stage unless it has come further since the merge."""
    before, now = Lead.read(orjson.loads(pair.before)), Lead.read(kept.body)
    lifted = pair.stage or max(before.stage, Lead.read(gone.body).stage, key=ORDER.index)
    lead = (ledgers.get(pair.survivor) or before).but(stage=now.stage, staged_at=now.staged_at, updated_at=at)
    if not ORDER.index(before.stage) < ORDER.index(now.stage) <= ORDER.index(lifted):
        return lead, []
    step = StageChange(
        lead_id=kept.id,
        before=now.stage,
        to=before.stage,
        at=at,
        actor=by,
        reason="the merge with another lead was undone",
    )
    return dated(lead.but(stage=before.stage), [step])


def _uncounted(pair: LeadPair, kept: Stored, gone: Stored, lowered: Sequence[StageChange]) -> list[StageChange]:
    """Return, as single steps back, the stages that a merge counted: those that only both together had come to."""
    brought = max(Stage(orjson.loads(pair.before)["stage"]), Stage(gone.body["stage"]), key=ORDER.index)
    return [step.but(before=b, to=a) for step in lowered for a, b in path(brought, Stage(kept.body["stage"]))]


def _own_handoffs(
    pair: LeadPair, lead: Lead, other: Lead, handoffs: Mapping[str, Stored], *, by: str, at: Instant
) -> tuple[Lead, Lead, list[Change]]:
    """Return the survivor's lead and the other one, each with its own handoff, and what opens one again."""
    changes: list[Change] = []
    others = (pair.absorbed, *other.absorbed)
    lead, other = lead.but(handoff_id=None, held_by=None), other.but(handoff_id=None, held_by=None)
    for id, found in handoffs.items():
        handoff = Handoff.read(found.body)
        if id == pair.closed and (again := revived(handoff, by, at=at)) is not handoff:
            handoff = again
            changes.append(_kept(found, handoff))
        if handoff.status is HandoffStatus.RESOLVED:
            continue
        if handoff.lead_id in others:
            other = led(other, id, handoff)
        elif handoff.lead_id in (pair.survivor, *lead.absorbed):
            lead = led(lead, id, handoff)
    return lead, other, changes


def _kept(found: Stored, handoff: Handoff) -> Change:
    return Replace(Kind.HANDOFFS, found.id, found.version, handoff.body())


def joined(
    survivor: Person, absorbed: Person, absorbed_id: str, *, at: Instant, told: tuple[Times, Times] = ({}, {})
) -> Person:
    """Return the survivor with what is known of the absorbed one.

    An opt-out wins. Of each field the newer word wins; what a CRM supplied has a time and wins over what was said in a
    chat. Where neither has one, the person that a CRM knows goes first, then the one that changed last.

    Args: told: when each field of the survivor was told, and of the absorbed one.
    """
    crm_first = (bool(absorbed.crm), absorbed.updated_at) > (bool(survivor.crm), survivor.updated_at)
    weak, strong = (survivor, absorbed) if crm_first else (absorbed, survivor)
    old, new = told if crm_first else told[::-1]

    def best(name: str, of_weak: Any, of_strong: Any) -> Any:
        first, second = (of_weak, of_strong) if old.get(name, NEVER) > new.get(name, NEVER) else (of_strong, of_weak)
        return first or second

    values: dict[str, Any] = {
        name: best(name, getattr(weak, name), getattr(strong, name))
        for name in (*PERSONAL, *ADDRESSES, "whatsapp_id", "visitor")
    }
    known = weak.demographics | strong.demographics
    person = survivor.but(
        **values,
        crm=tuple(dict.fromkeys((*survivor.crm, *absorbed.crm))),
        demographics={name: best(name, weak.demographics.get(name), strong.demographics.get(name)) for name in known},
        told=latest(survivor.told, absorbed.told),
        email_consent=stricter(strong.email_consent, weak.email_consent),
        whatsapp_consent=stricter(strong.whatsapp_consent, weak.whatsapp_consent),
        whatsapp_seen_at=max(survivor.whatsapp_seen_at or "", absorbed.whatsapp_seen_at or "") or None,
        whatsapp_lead=_about(survivor, absorbed),
        nurtured=tuple(sorted((*survivor.nurtured, *absorbed.nurtured)))[-MOST_REMEMBERED:],
        leads={**absorbed.leads, **survivor.leads},
        absorbed=(*survivor.absorbed, absorbed_id, *absorbed.absorbed),
        updated_at=at,
    )
    for suppression in absorbed.suppressions:
        person = person.suppress(suppression)
    return person.but(refused_again=())  # what both refused before is not refused once more


def _about(survivor: Person, absorbed: Person) -> str | None:
    """Return the lead that WhatsApp was last about: that of whoever of the two wrote last."""
    absorbed_last = (absorbed.whatsapp_seen_at or "") > (survivor.whatsapp_seen_at or "")
    first, second = (absorbed, survivor) if absorbed_last else (survivor, absorbed)
    lead_id = first.whatsapp_lead or second.whatsapp_lead
    product_id = next((product_id for product_id, id in absorbed.leads.items() if id == lead_id), "")
    return survivor.leads.get(product_id, lead_id)


def stricter(one: Consent, other: Consent) -> Consent:
    """The consent that counts when two are told: a denial, else the one that says anything."""
    for consent in (one, other):
        if consent.status == "denied":
            return consent
    return one if one.status != "unknown" else other


SINCE = ("email_consent", "whatsapp_consent", "whatsapp_id", "visitor", "whatsapp_seen_at", "whatsapp_lead")
LISTED_SINCE = ("crm", "suppressions", "nurtured")
"""What an undo leaves with the survivor, where neither of the two had it before. Fields that are told have times."""


def kept_since(before: Person, other: Person, now: Person) -> Person:
    """Return the survivor as before a merge, with what came since. Args: other: the absorbed person, as it was."""
    values: dict[str, Any] = {}
    for name in SINCE:
        value = getattr(now, name)
        brought = (getattr(before, name), getattr(other, name), *([_about(before, other)] * (name == "whatsapp_lead")))
        if value not in brought:
            values[name] = value
    for name in LISTED_SINCE:
        had, others = getattr(before, name), getattr(other, name)
        values[name] = (*had, *(value for value in getattr(now, name) if value not in (*had, *others)))
    return _refusing_again(before.but(**values), now)


def refused_since(other: Person, before: Person, now: Person) -> Person:
    """Return the absorbed person with what was refused since its merge: nobody knows any more which of the two it was.

    Args: before, now: the survivor.
    """
    for name in CONSENTS:
        consent: Consent = getattr(now, name)
        if consent.status == "denied" and consent != getattr(before, name):
            other = other.but(**{name: consent})
    for suppression in now.suppressions:
        if suppression not in before.suppressions:
            other = other.suppress(suppression)
    return _refusing_again(other, now)


def _refusing_again(one: Person, now: Person) -> Person:
    """Return one of two persons with what was refused again while they were `now`, whoever of them refused it first."""
    for suppression in now.suppressions:
        if suppression.what in now.refused_again:
            one = one.suppress(suppression)
    for name in CONSENTS:
        consent: Consent = getattr(now, name)
        if name in now.refused_again and consent.status == "denied":
            own: Consent = getattr(one, name)
            one = one.but(**{name: own if own.status == "denied" else consent}).refuse_again(name)
    return one


def told_since(
    now: Person, survivor: Person, absorbed: Person, merged: Times, own: Times, others: Times
) -> tuple[Person, Person]:
    """Return both persons with the fields that were told since their merge, each with those of its own leads.

    An address stays with the survivor, who owns its identity key.

    Args: now: the person that both were. merged, own, others: when each field was told: by the merge; by now, on the
        leads that stay with the survivor, and on those that go.
    """
    for name in sorted({*own, *others} - OF_LEAD):
        mine, its = own.get(name, NEVER), others.get(name, NEVER)
        if max(mine, its) <= merged.get(name, NEVER):
            continue
        if mine >= its or name in ADDRESSES:
            survivor = _with(survivor, now, name)
        else:
            absorbed = _with(absorbed, now, name)
    return survivor, absorbed


def _with(person: Person, now: Person, name: str) -> Person:
    """Return a person with a field, and when the API told it, as they are now."""
    told = {**person.told, name: now.told[name]} if name in now.told else person.told
    if name in (*PERSONAL, *ADDRESSES):
        return person.but(**{name: getattr(now, name)}, told=told)
    if name not in now.demographics:
        return person
    return person.but(demographics={**person.demographics, name: now.demographics[name]}, told=told)


def parted(now: Lead, before: Lead, other: Lead) -> Lead:
    """Return the survivor's lead with what was told of it before the merge and since, without what the other brought.

    Args: now: as it is. before: as it was. other: the one that it absorbed.
    """
    told, own, others = of_lead(now), of_lead(before), of_lead(other)
    since = {name: at for name, at in told.items() if at > max(own.get(name, NEVER), others.get(name, NEVER))}
    values: dict[str, Any] = {name: getattr(before, name) for name in OF_LEAD if name not in since}
    brought = set(other.feature_usage) - set(before.feature_usage)
    return now.but(
        **values,
        crm_user_id=before.crm_user_id if now.crm_user_id == other.crm_user_id else now.crm_user_id,
        feature_usage=tuple(name for name in now.feature_usage if name not in brought),
        told=own | since,
        tells="",
    )


def added(lead: Lead, other: Lead, other_id: str, *, at: Instant) -> Lead:
    """Return the survivor's lead with what happened on another lead of the same person and product."""
    told, others = of_lead(lead), of_lead(other)
    newer = {
        name: getattr(other, name) or getattr(lead, name)
        for name in OF_LEAD
        if others.get(name, NEVER) > told.get(name, NEVER)
    }
    days = {
        day: lead.login_days.get(day, 0) + other.login_days.get(day, 0) for day in {*lead.login_days, *other.login_days}
    }
    return lead.but(
        score=lead.score + other.score,
        stage=max(lead.stage, other.stage, key=ORDER.index),
        crm_user_id=lead.crm_user_id or other.crm_user_id,
        organization_id=newer.get("organization_id", lead.organization_id or other.organization_id),
        login_days=dict(sorted(days.items())),
        last_login_at=max(lead.last_login_at or "", other.last_login_at or "") or None,
        feature_usage=tuple(dict.fromkeys((*lead.feature_usage, *other.feature_usage)))[-100:],
        trial_status=newer.get("trial_status", lead.trial_status or other.trial_status),
        told=latest(told, others),
        tells="",
        seen={key: max(lead.seen.get(key, ""), other.seen.get(key, "")) for key in {*lead.seen, *other.seen}},
        answered=tuple(dict.fromkeys((*lead.answered, *other.answered))),
        wrote_on=other.wrote_on if other.wrote_at > lead.wrote_at else lead.wrote_on or other.wrote_on,
        handoff_id=lead.handoff_id or other.handoff_id,
        held_by=lead.held_by or other.held_by,
        absorbed=(*lead.absorbed, other_id, *other.absorbed),
        updated_at=at,
    )


def _words(side: Side) -> dict[str, frozenset[str]]:
    return dict.fromkeys(side.person.leads.values(), words(side.person))


def demand_mergeable(one: Side, other: Side) -> None:
    """Raises: Refused: they are one person already."""
    if one.found.id == other.found.id:
        raise Refused("they are one person already")
