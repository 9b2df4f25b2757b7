"""Messages: how one begins, how nurture plans and cancels one, and what the API shows of one."""

import orjson
import pytest

from channels.messages import PRIORITY, Attempt, Category, Check, Message, SequenceOutbox, planned, status, told, write
from channels.states import WAITING, State
from tracker.events import Channel
from tracker.store.port import Document, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import Instant

AT, LATER = Instant("2026-03-02T09:00:00.000Z"), Instant("2026-03-02T10:00:00.000Z")


def message(category: Category = Category.NURTURE, due_at: Instant = AT) -> Message:
    return planned(
        lead_id="l",
        person_id="p",
        product_id="flow",
        channel=Channel.EMAIL,
        category=category,
        due_at=due_at,
        at=AT,
        template_id="welcome",
        stage="User",
        step=0,
    )


def stored(message: Message) -> Document:
    return Document(Kind.MESSAGES, "m1", 3, message.body())


@pytest.mark.parametrize(("due_at", "state"), [(AT, State.DUE), (LATER, State.PLANNED)])
def test_a_message_is_planned_until_its_time_has_come(due_at: Instant, state: State):
    """A message whose time lies ahead is planned, any other is due; both wait in the queue."""
    new = message(due_at=due_at)
    assert (new.status, new.waiting, new.due_at) == (state, True, due_at)


def test_replies_go_before_transactions_before_nurture():
    """The queue is sorted by what a person is waiting for."""
    assert sorted(Category, key=lambda c: message(c).priority) == [
        Category.REPLY,
        Category.TRANSACTIONAL,
        Category.NURTURE,
    ]
    assert len(set(PRIORITY.values())) == len(Category)


def test_a_message_is_what_it_was_when_it_is_read_again():
    """Nothing of a message is lost in the store."""
    full = message().but(
        attempts=(Attempt(at=AT, outcome="retry", error="451"),), decision=(Check(check="c", input="i", outcome="ok"),)
    )
    assert Message.read(full.body()) == full


def test_a_message_of_a_newer_version_can_be_read():
    """A field that this version does not know is no reason to stop sending."""
    assert Message.read({**message().body(), "mood": "sunny"}) == message()


def test_writing_names_the_version_that_was_read():
    """A change is refused when somebody else was faster."""
    assert write(stored(message()), message()) == Replace(Kind.MESSAGES, "m1", 3, message().body())


def test_nurture_plans_a_message_under_the_id_it_gives():
    """A step's message is inserted under its own id, so that it exists once."""
    change = SequenceOutbox().planned(
        "l.1.0",
        lead_id="l",
        person_id="p",
        product_id="flow",
        stage="User",
        step=0,
        channel=Channel.EMAIL,
        template_id="welcome",
        due_at=LATER,
        at=AT,
    )
    assert change == Insert(Kind.MESSAGES, "l.1.0", message(due_at=LATER).body())


@pytest.mark.parametrize("state", State)
def test_nurture_cancels_what_waits_and_nothing_else(state: State):
    """A message that waits is cancelled with a line that says why; what is out or over is left alone."""
    found = stored(message().but(status=state, waiting=state in WAITING))
    change = SequenceOutbox().cancelled(found, reason="the lead is Customer by now", at=LATER)
    if state not in WAITING:
        assert change is None
        return
    assert isinstance(change, Replace)
    cancelled = Message.read(change.body)
    assert (cancelled.status, cancelled.waiting, cancelled.updated_at) == (State.CANCELLED, False, LATER)
    assert cancelled.decision == (Check(check="condition", input="the lead is Customer by now", outcome="cancelled"),)


def test_the_status_shows_the_attempts_and_the_decision():
    """The API tells where a message stands and why, and nothing of how it is queued."""
    sent = message().but(status=State.SENT, attempts=(Attempt(at=AT, outcome="sent"),), provider_id="x")
    shown = orjson.loads(orjson.dumps(status(stored(sent))))
    assert shown == {
        "message_id": "m1",
        "lead_id": "l",
        "channel": "email",
        "template_id": "welcome",
        "category": "nurture",
        "status": "sent",
        "attempts": [{"at": AT, "outcome": "sent", "error": None}],
        "callbacks": [],
        "decision": [],
        "provider_id": "x",
        "failover_of": None,
        "failover_to": None,
    }


def test_the_timeline_tells_when_a_message_is_due():
    """In a lead's own story the lead is not named, the time is."""
    line = told(stored(message(due_at=LATER)))
    assert line["due_at"] == LATER
    assert "lead_id" not in line
