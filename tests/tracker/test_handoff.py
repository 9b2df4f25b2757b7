"""A handoff's rules: who may do what, and what opens one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import NOON
from tracker.errors import Refused
from tracker.handoff import (
    STRENGTH,
    Handoff,
    HandoffStatus,
    Reason,
    Verb,
    act,
    demand_holder,
    handoff_id,
    led,
    opened,
    qualified,
    wished,
)
from tracker.lead import Lead, StageChange
from tracker.stages import Stage
from tracker.store.port import Document, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import instant

AT = instant(NOON)
NEW = Handoff(lead_id="l1", reason=Reason.ASKED, created_at=AT, updated_at=AT)
LEAD = Lead(person_id="p1", product_id="flowdesk", config_number=1, created_at=AT, updated_at=AT)

PEOPLE = ("ana", "ben")
TRIES = st.lists(st.tuples(st.sampled_from(Verb), st.sampled_from(PEOPLE)), max_size=12)


def states() -> dict[str, Handoff]:
    claimed = act(NEW, Verb.CLAIM, "ana", at=AT)
    return {"open": NEW, "claimed by ana": claimed, "resolved": act(claimed, Verb.RESOLVE, "ana", at=AT)}


@pytest.mark.parametrize(
    ("before", "verb", "by", "after"),
    [
        ("open", Verb.CLAIM, "ana", HandoffStatus.CLAIMED),
        ("open", Verb.RELEASE, "ana", None),
        ("open", Verb.RESOLVE, "ana", HandoffStatus.RESOLVED),
        ("claimed by ana", Verb.CLAIM, "ana", None),
        ("claimed by ana", Verb.CLAIM, "ben", Refused),
        ("claimed by ana", Verb.RELEASE, "ana", HandoffStatus.OPEN),
        ("claimed by ana", Verb.RELEASE, "ben", Refused),
        ("claimed by ana", Verb.RESOLVE, "ana", HandoffStatus.RESOLVED),
        ("claimed by ana", Verb.RESOLVE, "ben", HandoffStatus.RESOLVED),
        ("resolved", Verb.CLAIM, "ana", Refused),
        ("resolved", Verb.RELEASE, "ana", Refused),
        ("resolved", Verb.RESOLVE, "ben", None),
    ],
)
def test_the_table(before: str, verb: Verb, by: str, after: HandoffStatus | type[Refused] | None) -> None:
    """Every state and verb; None where a repeat changes nothing, not even the history."""
    handoff = states()[before]
    if after is Refused:
        with pytest.raises(Refused):
            act(handoff, verb, by, at=AT)
    elif after is None:
        assert act(handoff, verb, by, at=AT) is handoff
    else:
        done = act(handoff, verb, by, at=AT)
        assert done.status is after
        assert (done.history[-1].by, len(done.history)) == (by, len(handoff.history) + 1)


@given(TRIES)
def test_whatever_is_tried_one_person_holds_it_and_the_lead_says_who(tries: list[tuple[Verb, str]]) -> None:
    """Claims do not replace each other, nobody writes without one, and what is resolved stays so."""
    handoff, lead = NEW, LEAD.but(handoff_id="h1")
    for verb, by in tries:
        before = handoff
        try:
            handoff = act(handoff, verb, by, at=AT)
        except Refused:
            handoff = before
        lead = led(lead, "h1", handoff)
        holder = handoff.claimed_by if handoff.status is HandoffStatus.CLAIMED else None
        assert lead.held_by == holder
        assert lead.handoff_id == (None if handoff.status is HandoffStatus.RESOLVED else "h1")
        if before.status is HandoffStatus.CLAIMED and handoff.status is HandoffStatus.CLAIMED:
            assert handoff.claimed_by == before.claimed_by
        if before.status is HandoffStatus.RESOLVED:
            assert handoff is before
        for person in PEOPLE:
            if person == holder:
                demand_holder(handoff, person)
            else:
                with pytest.raises(Refused):
                    demand_holder(handoff, person)


def moved(before: Stage, to: Stage) -> StageChange:
    return StageChange(lead_id="l1", before=before, to=to, at=AT, actor="a", reason="r", event_id="e1")


def test_a_qualification_opens_one() -> None:
    """In the very changes that move the lead; the lead names it."""
    lead, (first, second) = qualified(
        LEAD.but(stage=Stage.QUALIFIED),
        [moved(Stage.USER, Stage.ENGAGED), moved(Stage.ENGAGED, Stage.QUALIFIED)],
        "cause",
    )
    assert (first.opens, second.opens) == (None, handoff_id("l1", "e1"))
    assert lead.handoff_id == second.opens
    (change,) = opened(second)
    assert isinstance(change, Insert)
    assert (change.id, Handoff.read(change.body).reason) == (second.opens, Reason.QUALIFIED)
    assert opened(first) == []


@pytest.mark.parametrize(
    ("lead", "change"),
    [
        (LEAD.but(stage=Stage.QUALIFIED, handoff_id="h0"), moved(Stage.ENGAGED, Stage.QUALIFIED)),
        (LEAD.but(stage=Stage.ENGAGED), moved(Stage.USER, Stage.ENGAGED)),
        (LEAD.but(stage=Stage.QUALIFIED), moved(Stage.CUSTOMER, Stage.QUALIFIED)),
        (LEAD.but(stage=Stage.CUSTOMER), moved(Stage.ENGAGED, Stage.QUALIFIED)),
    ],
    ids=["one is open", "another stage", "back from customer", "bought at once"],
)
def test_these_open_none(lead: Lead, change: StageChange) -> None:
    """A second one, one for another stage, and one for somebody who has bought, would only be in the way."""
    assert qualified(lead, [change], "cause") == (lead, [change])


@given(st.lists(st.sampled_from(Reason), min_size=1, max_size=12))
def test_many_wishes_are_one_handoff_with_the_strongest_reason(wishes: list[Reason]) -> None:
    """Each kind of wish is told once in the history, so that it does not grow without end."""
    lead, found = LEAD, None
    for n, reason in enumerate(wishes):
        lead, changes = wished(lead, "l1", reason, f"turn-{n}", found=found, at=AT)
        for change in changes:
            assert isinstance(change, Insert | Replace)
            found = Document(Kind.HANDOFFS, change.id, n + 1, change.body)
    assert found is not None
    assert lead.handoff_id == found.id == handoff_id("l1", "turn-0")
    handoff = Handoff.read(found.body)
    assert handoff.reason is max(wishes, key=STRENGTH.index)
    assert len(handoff.history) == len(set(wishes))
