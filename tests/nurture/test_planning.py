"""Planning: what a stage entered and a message settled mean for a lead's sequence. A pure decision on facts."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from channels.messages import Message, SequenceOutbox
from channels.states import WAITING, State
from nurture.planning import Drips, Place, Standing
from nurture.sequences import Enrolment, message_id
from tests.fakes import Clock
from tracker.events import Channel
from tracker.lead import Lead, StageChange
from tracker.person import Person
from tracker.ports import Facts, Settled
from tracker.product import ProductConfig
from tracker.stages import Stage
from tracker.store.port import Change, Document, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import Instant, instant, later

NOW = Clock()()
AT = instant(NOW)
DRIPS = Drips(SequenceOutbox())


def step(template_id: str, delay_hours: float) -> dict[str, Any]:
    return {"template_id": template_id, "delay_hours": delay_hours, "channel": "email"}


CONFIG = ProductConfig.model_validate(
    {
        "product_id": "flow",
        "name": "Flow",
        "nurturing_sequences": [
            {"stage": "User", "messages": [step("welcome", 1), step("tips", 24)]},
            {"stage": "Engaged_Lead", "messages": [step("offer", 0)]},
        ],
    }
)


def lead_at(stage: Stage, *absorbed: str) -> Lead:
    return Lead(
        person_id="p",
        product_id="flow",
        config_number=1,
        created_at=AT,
        updated_at=AT,
        stage=stage,
        absorbed=absorbed,
    )


def facts(stage: Stage = Stage.USER, *, absorbed: Sequence[str] = (), **more: Any) -> Facts:
    lead = lead_at(stage, *absorbed)
    person = Person(created_at=AT, updated_at=AT)
    return Facts(lead_id="l", lead=lead, person=person, config=CONFIG, now=NOW, **more)


def entered(stage: Stage, before: Stage = Stage.USER, **more: Any) -> Facts:
    change = StageChange(lead_id="l", before=before, to=stage, at=AT, actor="sales", reason="called")
    return facts(stage, stage_changes=[change], **more)


def enrolled(message_id: str | None = "l.1.0", step: int = 0, stage: Stage = Stage.USER, number: int = 1) -> Document:
    enrolment = Enrolment(number=number, stage=stage, step=step, message_id=message_id, started_at=AT)
    return Document(Kind.ENROLMENTS, "l", 4, enrolment.body())


def outstanding(status: State = State.PLANNED, id: str = "l.1.0") -> Document:
    change = SequenceOutbox().planned(
        id,
        lead_id="l",
        person_id="p",
        product_id="flow",
        stage="User",
        step=0,
        channel=Channel.EMAIL,
        template_id="welcome",
        due_at=AT,
        at=AT,
    )
    assert isinstance(change, Insert)
    return Document(Kind.MESSAGES, id, 2, {**change.body, "status": status, "waiting": status in WAITING})


def decided(facts: Facts, known: Standing = Standing()) -> dict[tuple[str, str], Change]:  # noqa: B008
    """The changes by kind and id; no document is changed twice."""
    changes = list(DRIPS.decide(facts, known))
    by_id = {(str(change.kind), change.id): change for change in changes}
    assert len(by_id) == len(changes)
    return by_id


def absorbing(stage: Stage = Stage.USER, **more: Any) -> Facts:
    """What is decided on when a lead absorbs another one, `o`."""
    return facts(stage, absorbed=["o"], lead_before=lead_at(stage), **more)


def other(step: int, stage: Stage = Stage.USER, message: Document | None = None) -> Place:
    """Where the absorbed lead stands. Args: message: its outstanding one."""
    enrolment = Enrolment(number=1, stage=stage, step=step, message_id=message and message.id, started_at=AT)
    return Place(Document(Kind.ENROLMENTS, "o", 1, enrolment.body()), message)


def planned(change: Change) -> Message:
    assert isinstance(change, Insert)
    return Message.read(change.body)


def enrolment(change: Change) -> Enrolment:
    assert isinstance(change, Insert | Replace)
    return Enrolment.read(change.body)


def test_a_new_lead_gets_the_first_message_of_its_stage():
    """The message is planned for its delay after now, for the stage, on the step's channel, with its template."""
    changes = decided(facts(created=True))
    assert set(changes) == {("messages", "l.1.0"), ("enrolments", "l")}
    message = planned(changes["messages", "l.1.0"])
    assert (message.template_id, message.due_at, message.stage, message.category) == (
        "welcome",
        later(NOW, hours=1),
        "User",
        "nurture",
    )
    assert isinstance(changes["enrolments", "l"], Insert)
    assert enrolment(changes["enrolments", "l"]).message_id == "l.1.0"


def test_a_lead_that_is_born_engaged_skips_the_users_sequence():
    """One login that crosses a threshold enters the stage it earned, and only that one is nurtured."""
    change = StageChange(lead_id="l", before=Stage.USER, to=Stage.ENGAGED, at=AT, actor="leadline", reason="score")
    changes = decided(facts(Stage.ENGAGED, created=True, stage_changes=[change]))
    assert planned(changes["messages", "l.1.0"]).template_id == "offer"


def test_what_concerns_no_sequence_changes_nothing():
    """An event that neither enters a stage nor settles a message of the sequence plans nothing."""
    assert decided(facts()) == {}
    assert decided(facts(settled=[Settled("other", "sent")])) == {}
    assert decided(facts(settled=[Settled("other", "sent")]), Standing(enrolled(), outstanding())) == {}


def test_old_logins_plan_nothing():
    """History greets nobody: the stage is entered without a message."""
    old = later(NOW, hours=-72.001)
    assert decided(facts(created=True, newest=old)) == {}
    assert len(decided(facts(created=True, newest=later(NOW, hours=-72)))) == 2


def test_an_old_login_that_enters_a_stage_still_ends_the_sequence():
    """Late history may move a lead on: the old stage's message is cancelled, and no new one is planned."""
    old = later(NOW, hours=-100)
    changes = decided(entered(Stage.ENGAGED, newest=old), Standing(enrolled(), outstanding()))
    assert set(changes) == {("messages", "l.1.0"), ("enrolments", "l")}
    ended = enrolment(changes["enrolments", "l"])
    assert (ended.message_id, ended.ended) == (None, "the lead became Engaged_Lead")


def test_a_new_stage_cancels_and_plans():
    """The old message is cancelled and the new one planned in one decision, under the enrolment's next number."""
    changes = decided(entered(Stage.ENGAGED), Standing(enrolled(), outstanding()))
    assert set(changes) == {("messages", "l.1.0"), ("messages", "l.2.0"), ("enrolments", "l")}
    cancelled = changes["messages", "l.1.0"]
    assert isinstance(cancelled, Replace)
    assert (cancelled.version, cancelled.body["status"]) == (2, State.CANCELLED)
    kept = changes["enrolments", "l"]
    assert isinstance(kept, Replace)
    assert kept.version == 4
    assert enrolment(kept) == Enrolment(number=2, stage=Stage.ENGAGED, step=0, message_id="l.2.0", started_at=AT)


def test_a_stage_without_a_sequence_ends_the_one_before():
    """A qualified lead is sales' matter: nothing more is planned, and what waits is cancelled."""
    changes = decided(entered(Stage.QUALIFIED), Standing(enrolled(), outstanding()))
    assert set(changes) == {("messages", "l.1.0"), ("enrolments", "l")}
    assert enrolment(changes["enrolments", "l"]).ended == "the lead became Qualified_Lead"


def test_a_message_that_is_out_is_not_called_back():
    """What a provider has in hand is left alone; the new sequence starts all the same."""
    for status in (State.SENDING, State.UNCERTAIN, State.SENT):
        changes = decided(entered(Stage.ENGAGED), Standing(enrolled(), outstanding(status)))
        assert set(changes) == {("messages", "l.2.0"), ("enrolments", "l")}


def test_a_settled_step_plans_the_next():
    """Sent, skipped or failed: the next step is planned, its delay counted from now."""
    for outcome in ("sent", "skipped", "failed"):
        known = Standing(enrolled(), outstanding(State.SENT))
        changes = decided(facts(settled=[Settled("l.1.0", outcome)]), known)
        assert set(changes) == {("messages", "l.1.1"), ("enrolments", "l")}
        assert planned(changes["messages", "l.1.1"]).due_at == later(NOW, hours=24)
        assert enrolment(changes["enrolments", "l"]).step == 1


def test_the_last_step_completes_the_sequence():
    """Behind the last step nothing is planned."""
    changes = decided(facts(settled=[Settled("l.1.1", "sent")]), Standing(enrolled("l.1.1", 1), None))
    assert set(changes) == {("enrolments", "l")}
    assert enrolment(changes["enrolments", "l"]).ended == "complete"


def test_a_sequence_that_has_become_shorter_ends():
    """A version that takes leads over may have fewer steps: what is behind its end plans nothing and says so."""
    for settled, step, ended in (("l.1.1", 1, "complete"), ("l.1.4", 4, "the sequence has become shorter")):
        changes = decided(facts(settled=[Settled(settled, "skipped")]), Standing(enrolled(settled, step), None))
        assert set(changes) == {("enrolments", "l")}
        assert enrolment(changes["enrolments", "l"]).ended == ended


def test_a_message_of_an_older_enrolment_settles_without_effect():
    """A late answer for a sequence that was left does not move the present one."""
    known = Standing(enrolled("l.2.0", 0, Stage.ENGAGED, number=2), outstanding(id="l.2.0"))
    assert decided(facts(Stage.ENGAGED, settled=[Settled("l.1.0", "sent")]), known) == {}


def test_an_event_that_settles_a_message_and_enters_a_stage_does_not_cancel_it():
    """A document is written once in a commit: the message that settles in this very one is not touched again."""
    both = entered(Stage.ENGAGED, settled=[Settled("l.1.0", "sent")])
    changes = decided(both, Standing(enrolled(), outstanding(State.SENDING)))
    assert set(changes) == {("messages", "l.2.0"), ("enrolments", "l")}
    waiting = decided(both, Standing(enrolled(), outstanding(State.DUE)))
    assert set(waiting) == {("messages", "l.2.0"), ("enrolments", "l")}


def test_a_stage_that_is_entered_again_does_not_begin_anew():
    """Taken back by a revert, a lead gets the step that it has not had yet, or none."""
    at_tips = Standing(enrolled("l.1.1", 1), outstanding(id="l.1.1"))
    left = enrolment(decided(entered(Stage.ENGAGED), at_tips)["enrolments", "l"])
    known = Standing(Document(Kind.ENROLMENTS, "l", 5, left.body()), outstanding(id="l.2.0"))
    changes = decided(entered(Stage.USER, Stage.ENGAGED), known)
    assert planned(changes["messages", "l.3.1"]).template_id == "tips"
    had_all = left.but(had={Stage.USER: 2})
    known = Standing(Document(Kind.ENROLMENTS, "l", 5, had_all.body()), outstanding(id="l.2.0"))
    changes = decided(entered(Stage.USER, Stage.ENGAGED), known)
    assert set(changes) == {("messages", "l.2.0"), ("enrolments", "l")}
    assert enrolment(changes["enrolments", "l"]).ended == "the lead became User"


def test_a_step_that_is_out_counts_as_had():
    """Nobody knows whether what a provider has in hand arrives: it does not come a second time."""
    for status, step in ((State.SENDING, 1), (State.UNCERTAIN, 1), (State.PLANNED, 0)):
        left = enrolment(decided(entered(Stage.ENGAGED), Standing(enrolled(), outstanding(status)))["enrolments", "l"])
        known = Standing(Document(Kind.ENROLMENTS, "l", 5, left.body()), outstanding(id="l.2.0"))
        assert ("messages", f"l.3.{step}") in decided(entered(Stage.USER, Stage.ENGAGED), known)


def test_what_an_absorbed_lead_has_had_does_not_come_again():
    """What waits gives way to the next step that neither has had; a lead that is further goes on as it was."""
    waits = Standing(enrolled(), outstanding(), [other(1)])
    changes = decided(absorbing(), waits)
    assert set(changes) == {("messages", "l.1.0"), ("messages", "l.2.1"), ("enrolments", "l")}
    assert decided(absorbing(), waits._replace(others=[other(0)])) == {}
    assert decided(absorbing(), waits._replace(others=[other(1, Stage.ENGAGED)])) == {}
    assert decided(absorbing(), Standing(None, None, [other(1)])) == {}
    rest = decided(absorbing(), waits._replace(others=[other(2)]))
    assert set(rest) == {("messages", "l.1.0"), ("enrolments", "l")}
    assert enrolment(rest["enrolments", "l"]).ended == "the lead that was merged with it has had the rest"


def test_what_an_absorbed_lead_is_being_sent_counts_too():
    """Its message that is out; one that waits is cancelled, and the survivor's takes its place."""
    for status, ids in ((State.SENDING, {"l.1.0", "l.2.1"}), (State.PLANNED, set())):
        known = Standing(enrolled(), outstanding(), [other(0, message=outstanding(status, "o.1.0"))])
        assert {id for kind, id in decided(absorbing(), known) if kind == "messages"} == ids


def test_a_step_that_is_out_at_the_merge_is_followed_by_what_neither_has_had():
    """It cannot be called back; the next one is planned when it settles, behind what the absorbed lead has had."""
    out = Standing(enrolled(), outstanding(State.SENDING), [other(2)])
    assert decided(absorbing(), out) == {}
    changes = decided(facts(absorbed=["o"], settled=[Settled("l.1.0", "sent")]), out)
    assert set(changes) == {("enrolments", "l")}
    assert enrolment(changes["enrolments", "l"]).ended == "complete"


def test_a_stage_that_a_merge_brings_is_begun_behind_what_the_other_has_had():
    """The absorbed lead was there before, and its steps went to the same human."""
    merged = entered(Stage.ENGAGED, absorbed=["o"], lead_before=lead_at(Stage.USER))
    changes = decided(merged, Standing(enrolled(), outstanding(), [other(1, Stage.ENGAGED)]))
    assert set(changes) == {("messages", "l.1.0"), ("enrolments", "l")}


class Watched:
    """A store that counts what is read."""

    def __init__(self, *documents: Document):
        self.documents = {(d.kind, d.id): d for d in documents}
        self.reads: list[str] = []

    async def get(self, kind: Kind, *ids: str) -> list[Document | None]:
        self.reads += ids
        return [self.documents.get((kind, id)) for id in ids]


async def _read(store: Watched, facts: Facts) -> Standing:
    return await DRIPS.read(store, facts)  # type: ignore[arg-type]


async def test_most_events_read_nothing():
    """Logins are many: what enters no stage and settles nothing, and what is new, costs no reading."""
    store = Watched()
    assert not DRIPS.concerns(facts())
    assert DRIPS.concerns(facts(created=True))
    assert await _read(store, facts(created=True)) == Standing()
    assert store.reads == []


async def test_the_standing_is_the_enrolment_and_its_message():
    """A stage change reads where the lead stands."""
    known = Standing(enrolled(), outstanding())
    assert known.enrolment is not None
    assert known.message is not None
    store = Watched(known.enrolment, known.message)
    assert await _read(store, entered(Stage.ENGAGED)) == known
    ended = Watched(enrolled(None))
    assert await _read(ended, entered(Stage.ENGAGED)) == Standing(enrolled(None))
    assert await _read(Watched(), entered(Stage.ENGAGED)) == Standing()
    both = Watched(known.enrolment, known.message, *(d for d in other(0, message=outstanding(id="o.1.0")) if d))
    assert await _read(both, absorbing()) == Standing(*known[:2], (other(0, message=outstanding(id="o.1.0")),))
    assert DRIPS.concerns(absorbing())


class OneLead(RuleBasedStateMachine):
    """A lead whose stages are entered and whose messages settle in any order, over documents in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.enrolment: Document | None = None
        self.messages: dict[str, Document] = {}
        self.stage = Stage.USER
        self.others: tuple[Place, ...] = ()
        self.apply(facts(created=True))

    def apply(self, facts: Facts, own: Sequence[Change] = ()) -> None:
        known = Standing()
        if not facts.created:
            id = self.enrolment.body["message_id"] if self.enrolment else None
            known = Standing(self.enrolment, self.messages.get(id) if id else None, self.others)
        changes = [*own, *DRIPS.decide(facts, known)]
        assert len({(c.kind, c.id) for c in changes}) == len(changes), "a document is written once in a commit"
        for change in changes:
            match change:
                case Insert(Kind.MESSAGES, id, body):
                    assert id not in self.messages, "a message id is used once"
                    self.messages[id] = Document(Kind.MESSAGES, id, 1, body)
                case Replace(Kind.MESSAGES, id, version, body):
                    assert self.messages[id].version == version
                    self.messages[id] = Document(Kind.MESSAGES, id, version + 1, body)
                case Insert(Kind.ENROLMENTS, id, body):
                    assert self.enrolment is None
                    self.enrolment = Document(Kind.ENROLMENTS, id, 1, body)
                case Replace(Kind.ENROLMENTS, id, version, body):
                    assert self.enrolment is not None
                    assert self.enrolment.version == version
                    self.enrolment = Document(Kind.ENROLMENTS, id, version + 1, body)
                case _:
                    raise AssertionError(change)

    def in_state(self, *states: State) -> list[Document]:
        return [d for d in self.messages.values() if d.body["status"] in states]

    @rule(stage=st.sampled_from(Stage), fresh=st.booleans())
    def enter(self, stage: Stage, fresh: bool) -> None:
        """By hand, by score, or back by a revert."""
        newest = None if fresh else Instant("2020-01-01T00:00:00.000Z")
        self.apply(entered(stage, self.stage, newest=newest))
        self.stage = stage

    @precondition(lambda self: not self.others)
    @rule(stage=st.sampled_from(Stage), step=st.integers(0, 2))
    def absorb(self, stage: Stage, step: int) -> None:
        """Another lead of the same human, who has come so far in the sequence of some stage."""
        self.others = (other(step, stage),)
        self.apply(absorbing(self.stage))

    def move(self, found: Document, state: State) -> Change:
        message = Message.read(found.body).moved(state, at=AT)
        return Replace(Kind.MESSAGES, found.id, found.version, message.body())

    @precondition(lambda self: self.in_state(*WAITING))
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.in_state(*WAITING)))
        self.apply(facts(self.stage), [self.move(found, State.SENDING)])

    @precondition(lambda self: self.in_state(State.SENDING, State.UNCERTAIN))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.in_state(State.SENDING, State.UNCERTAIN)))
        ends = [State.SENT, State.DEAD] if found.body["status"] == State.SENDING else [State.SENT]
        to = data.draw(st.sampled_from(ends))
        self.apply(facts(self.stage, settled=[Settled(found.id, to)]), [self.move(found, to)])

    @precondition(lambda self: self.in_state(State.SENDING))
    @rule(data=st.data())
    def lose_sight(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.in_state(State.SENDING)))
        self.apply(facts(self.stage), [self.move(found, State.UNCERTAIN)])

    @precondition(lambda self: self.in_state(*WAITING))
    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.in_state(*WAITING)))
        self.apply(facts(self.stage, settled=[Settled(found.id, "skipped")]), [self.move(found, State.SKIPPED)])

    @invariant()
    def at_most_one_waits(self) -> None:
        """A lead has one message outstanding, the one that its enrolment names."""
        waiting = [d.id for d in self.in_state(*WAITING)]
        assert len(waiting) <= 1
        if waiting:
            assert self.enrolment is not None
            assert waiting == [self.enrolment.body["message_id"]]

    @invariant()
    def what_waits_is_for_the_stage(self) -> None:
        """Nothing waits for a stage that the lead has left."""
        assert all(d.body["stage"] == self.stage for d in self.in_state(*WAITING))

    @invariant()
    def no_step_goes_twice(self) -> None:
        """However often a stage is entered, a step that has left, or was passed over, is not planned again."""
        over = [d for d in self.messages.values() if d.body["status"] not in {*WAITING, State.CANCELLED}]
        steps = [(d.body["stage"], d.body["step"]) for d in over]
        assert len(steps) == len(set(steps))
        waiting = [(d.body["stage"], d.body["step"]) for d in self.in_state(*WAITING)]
        assert not set(waiting) & set(steps)

    @invariant()
    def nothing_waits_that_the_other_has_had(self) -> None:
        """What went to the same human by another lead is not planned for this one."""
        for place in self.others:
            assert place.enrolment is not None
            stage, step = place.enrolment.body["stage"], place.enrolment.body["step"]
            assert all(d.body["step"] >= step for d in self.in_state(*WAITING) if d.body["stage"] == stage)


TestOneLead = OneLead.TestCase


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50), st.integers(0, 50))
def test_steps_have_ids_of_their_own(number: int, step: int, other_number: int, other_step: int):
    """No two steps of a lead's life share a message id."""
    same = message_id("l", number, step) == message_id("l", other_number, other_step)
    assert same == ((number, step) == (other_number, other_step))


@given(st.floats(0, 24 * 400), st.floats(0.01, 1e9))
def test_a_demo_divides_the_delays(delay_hours: float, pace: float):
    """Days pass in seconds when a demo wants it; which message comes, and where, stays as configured."""
    sequences = [{"stage": "User", "messages": [step("welcome", delay_hours)]}]
    config = ProductConfig.model_validate({**CONFIG.model_dump(), "nurturing_sequences": sequences})
    lead = Facts(**{**structs.asdict(facts(created=True)), "config": config})
    (message,) = (c for c in Drips(SequenceOutbox(), pace=pace).decide(lead, Standing()) if c.kind == Kind.MESSAGES)
    assert planned(message).due_at == later(NOW, hours=delay_hours / pace)
    assert planned(message).template_id == "welcome"
    assert planned(message).created_at == AT


def test_without_a_demo_the_delays_are_as_configured():
    """A pace of one is what everybody has who asks for nothing."""
    changes = decided(facts(created=True))
    assert planned(changes["messages", "l.1.0"]).due_at == later(NOW, hours=1)
