"""A handoff: a lead that needs a person. The document, who may do what with it, and what opens one. Pure."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

from tracker.errors import Refused
from tracker.lead import Lead, StageChange
from tracker.model import Document, Note
from tracker.stages import Stage
from tracker.store.port import Change, Insert, Replace
from tracker.store.port import Document as Stored
from tracker.store.schema import Kind
from tracker.times import Instant


class Reason(StrEnum):
    """Why a person is needed, the weakest first: nobody waits for an answer to a qualification."""

    QUALIFIED = "qualified"
    ACCEPTED_OFFER = "accepted_offer"
    ASKED = "asked"
    DEMO = "demo"


STRENGTH: tuple[Reason, ...] = tuple(Reason)

DID: dict[Reason, str] = {
    Reason.QUALIFIED: "became a qualified lead",
    Reason.ACCEPTED_OFFER: "said yes to the offer of a person",
    Reason.ASKED: "asked for a person",
    Reason.DEMO: "asked for a demo",
}
"""What the lead did, as the history tells it."""


class HandoffStatus(StrEnum):
    OPEN = "open"
    CLAIMED = "claimed"
    RESOLVED = "resolved"


class Verb(StrEnum):
    CLAIM = "claim"
    RELEASE = "release"
    RESOLVE = "resolve"


NEXT: dict[tuple[HandoffStatus, Verb], HandoffStatus] = {
    (HandoffStatus.OPEN, Verb.CLAIM): HandoffStatus.CLAIMED,
    (HandoffStatus.CLAIMED, Verb.RELEASE): HandoffStatus.OPEN,
    (HandoffStatus.OPEN, Verb.RESOLVE): HandoffStatus.RESOLVED,
    (HandoffStatus.CLAIMED, Verb.RESOLVE): HandoffStatus.RESOLVED,
}
"""The whole table. Where a verb is done already (a claim of one's own, what is resolved), a repeat changes nothing."""

DONE: dict[Verb, HandoffStatus] = {
    Verb.CLAIM: HandoffStatus.CLAIMED,
    Verb.RELEASE: HandoffStatus.OPEN,
    Verb.RESOLVE: HandoffStatus.RESOLVED,
}

ONLY_HOLDER = frozenset({Verb.CLAIM, Verb.RELEASE})
"""What a claim keeps from everybody else. Anybody may resolve: nobody's absence leaves a lead without answers."""

PAST: dict[Verb, str] = {Verb.CLAIM: "claimed it", Verb.RELEASE: "gave it back", Verb.RESOLVE: "resolved it"}


class Handoff(Document, frozen=True, kw_only=True):
    """Attributes: reason: the strongest so far. claimed_by: who holds the thread, or held it until it was resolved."""

    lead_id: str
    reason: Reason
    status: HandoffStatus = HandoffStatus.OPEN
    claimed_by: str | None = None
    created_at: Instant
    updated_at: Instant
    history: tuple[Note, ...] = ()

    def noted(self, by: str, did: str, *, at: Instant) -> "Handoff":
        return self.but(updated_at=at, history=(*self.history, Note(at=at, by=by, did=did)))


def ended(found: Stored) -> Instant | None:
    """When a handoff was resolved, None while it is not."""
    return found.body["updated_at"] if found.body["status"] == HandoffStatus.RESOLVED else None


def act(handoff: Handoff, verb: Verb, by: str, *, at: Instant) -> Handoff:
    """Return the handoff after `verb`; the very same object when that is how it stands already.

    Raises: Refused: somebody else holds it, or it is resolved.
    """
    held_by_other = handoff.status is HandoffStatus.CLAIMED and handoff.claimed_by != by
    if held_by_other and verb in ONLY_HOLDER:
        raise Refused(f"the handoff is held by {handoff.claimed_by}")
    if handoff.status is DONE[verb]:
        return handoff
    to = NEXT.get((handoff.status, verb))
    if to is None:
        raise Refused(f"the handoff is {handoff.status}")
    holder = {Verb.CLAIM: by, Verb.RELEASE: None}.get(verb, handoff.claimed_by)
    return handoff.noted(by, PAST[verb], at=at).but(status=to, claimed_by=holder)


def demand_holder(handoff: Handoff, by: str) -> None:
    """Raises: Refused: `by` does not hold the handoff."""
    if handoff.status is HandoffStatus.RESOLVED:
        raise Refused("the handoff is resolved")
    if handoff.status is HandoffStatus.OPEN:
        raise Refused("claim the handoff before you reply")
    if handoff.claimed_by != by:
        raise Refused(f"the handoff is held by {handoff.claimed_by}")


MERGED = "closed it: its lead was merged with another one, whose handoff goes on"


def outdone(handoff: Handoff, by: str, *, at: Instant) -> Handoff:
    """Return a handoff that ends because its lead became one with a lead that has one, too."""
    return handoff.noted(by, MERGED, at=at).but(status=HandoffStatus.RESOLVED)


def revived(handoff: Handoff, by: str, *, at: Instant) -> Handoff:
    """Return a handoff that a merge ended as it was before; the very same object when no merge ended it."""
    if handoff.status is not HandoffStatus.RESOLVED or handoff.history[-1].did != MERGED:
        return handoff
    status = HandoffStatus.CLAIMED if handoff.claimed_by else HandoffStatus.OPEN
    return handoff.noted(by, "opened it again: the merge was undone", at=at).but(status=status)


def led(lead: Lead, id: str, handoff: Handoff) -> Lead:
    """Return the lead as its handoff leaves it: who holds the thread, and which handoff is not resolved."""
    ended = handoff.status is HandoffStatus.RESOLVED
    holder = handoff.claimed_by if handoff.status is HandoffStatus.CLAIMED else None
    return lead.but(handoff_id=None if ended else id, held_by=holder)


def handoff_id(lead_id: str, cause: str) -> str:
    """The id of the handoff that `cause`, the id of an event or a turn, opens: the same cause opens one only."""
    return hashlib.blake2b(f"{lead_id}\n{cause}".encode(), digest_size=13).hexdigest()


def qualified(
    lead: Lead, changes: Sequence[StageChange], cause: str, *, mark: str = ""
) -> tuple[Lead, list[StageChange]]:
    """Return the lead and its stage changes, with a handoff when it has just qualified and has none that is open.

    Who bought in the same moment, or only came back from there, needs none.

    Args: lead: as the changes leave it. cause: what moved the lead when a change names no event. mark: tells apart
        the times that the same cause qualified the lead.
    """
    if lead.stage is not Stage.QUALIFIED or lead.handoff_id is not None:
        return lead, list(changes)
    after: list[StageChange] = []
    for change in changes:
        if change.to is Stage.QUALIFIED and change.before is not Stage.CUSTOMER:
            id = handoff_id(change.lead_id, (change.event_id or cause) + mark)
            lead, change = lead.but(handoff_id=id), change.but(opens=id)
        after.append(change)
    return lead, after


def opened(change: StageChange) -> list[Change]:
    """The document of the handoff that a stage change opens, if it does."""
    return [] if change.opens is None else [_new(change.opens, change.lead_id, Reason.QUALIFIED, at=change.at)]


def wished(
    lead: Lead, lead_id: str, reason: Reason, cause: str, *, found: Stored | None, at: Instant
) -> tuple[Lead, list[Change]]:
    """Return the lead after it wished for a person, and the changes: a new handoff, or a line in the open one.

    Args: found: the lead's handoff that is not resolved.
    """
    if found is None:
        id = handoff_id(lead_id, cause)
        return lead.but(handoff_id=id), [_new(id, lead_id, reason, at=at)]
    handoff = Handoff.read(found.body)
    if any(note.did == DID[reason] for note in handoff.history):  # who asks a hundred times is told once
        return lead, []
    stronger = max(handoff.reason, reason, key=STRENGTH.index)
    after = handoff.noted(LEAD, DID[reason], at=at).but(reason=stronger)
    return lead, [Replace(Kind.HANDOFFS, found.id, found.version, after.body())]


LEAD = "lead"
"""Who did it, in a history, where it was the lead itself."""


def _new(id: str, lead_id: str, reason: Reason, *, at: Instant) -> Change:
    handoff = Handoff(lead_id=lead_id, reason=reason, created_at=at, updated_at=at)
    return Insert(Kind.HANDOFFS, id, handoff.noted(LEAD, DID[reason], at=at).body())


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    steps = "\n".join(f"    {status} --> {to}: {verb}" for (status, verb), to in NEXT.items())
    return f"stateDiagram-v2\n    [*] --> {HandoffStatus.OPEN}\n{steps}\n    {HandoffStatus.RESOLVED} --> [*]\n"
