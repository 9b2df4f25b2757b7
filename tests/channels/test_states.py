"""A message's life: the table says which state may follow which, and everything else is refused."""

import re

import pytest

from channels.messages import Category, planned
from channels.states import NEXT, WAITING, State, diagram, may_follow
from tracker.events import Channel
from tracker.times import Instant

AT, LATER = Instant("2026-03-02T09:00:00.000Z"), Instant("2026-03-02T10:00:00.000Z")
MESSAGE = planned(
    lead_id="l", person_id="p", product_id="flow", channel=Channel.EMAIL, category=Category.NURTURE, due_at=AT, at=AT
)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("to", State)
def test_every_move_is_allowed_or_refused_as_the_table_says(state: State, to: State):
    """A message moves along the table, keeps the time of the move, and waits only in a waiting state."""
    before = MESSAGE.but(status=state, waiting=state in WAITING)
    if to in NEXT.get(state, ()):
        after = before.moved(to, at=LATER, provider_id="x")
        assert (after.status, after.updated_at, after.provider_id) == (to, LATER, "x")
        assert after.waiting == (to in WAITING)
        assert may_follow(state, to)
    else:
        with pytest.raises(ValueError, match=f"{state} cannot become {to}"):
            before.moved(to, at=LATER)
        assert not may_follow(state, to)


def test_nothing_leads_back_from_the_ends():
    """What is read, skipped or cancelled stays so."""
    assert set(State) - NEXT.keys() == {State.READ, State.SKIPPED, State.CANCELLED}


def test_from_failure_only_a_person_leads_back():
    """What is failed or dead waits for a person, who may have it sent again; nothing else can become of it."""
    assert NEXT[State.FAILED] == NEXT[State.DEAD] == {State.DUE}


def test_only_what_waits_can_be_sent():
    """A message is handed to a provider only out of the due queue: never from `uncertain`, never twice in a row."""
    assert {state for state, following in NEXT.items() if State.SENDING in following} == WAITING


def test_an_uncertain_message_is_reached_from_sending_only():
    """Doubt arises only while a provider has the message in hand."""
    assert {state for state, following in NEXT.items() if State.UNCERTAIN in following} == {State.SENDING}


def test_the_diagram_is_the_table():
    """The picture in the docs shows every move of the table and no other."""
    arrows = re.findall(r"^    (\w+) --> (\w+)$", diagram(), re.MULTILINE)
    assert set(arrows) == {(a, b) for a, following in NEXT.items() for b in following}
    assert len(arrows) == len(set(arrows))
    assert diagram().startswith("stateDiagram-v2\n    [*] --> planned\n    [*] --> due\n")
