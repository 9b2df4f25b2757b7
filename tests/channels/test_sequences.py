"""Sequences as people meet them: what somebody does with one step leaves the others, and no step goes twice."""

import asyncio
from typing import Any, cast

import pytest

from channels.mending import MessageMender
from channels.routes import ChannelRoutes
from channels.sending import Later, Refused
from channels.states import State
from tests.channels.rig import Rig
from tests.fakes import Clock, ScriptedSender
from tracker.errors import Refused as Conflicting
from tracker.events import Channel
from tracker.keys import Principal, Scope
from tracker.merges import Done, Merges
from tracker.ports import ToMend
from tracker.stages import Stage
from tracker.store.schema import Kind
from tracker.times import later
from tracker.web import Answer, Call


async def cancel(rig: Rig, id: str) -> Answer:
    """Ask for a message's cancellation as the API's caller "ana" does."""
    routes = ChannelRoutes(rig.recorder, rig.templates, open_channels=frozenset({Channel.EMAIL}))
    caller = Principal("ana", frozenset({Scope.MESSAGES_SEND}))
    return await routes.cancel(Call(cast(Any, None), caller, {"id": id}, None, None))


async def test_a_step_that_is_cancelled_leaves_the_next(rig: Rig, clock: Clock, sender: ScriptedSender):
    """The next step is planned from then on, and the record says who cancelled; a second time is refused."""
    lead_id = await rig.login()
    answer = cast(dict[str, Any], (await cancel(rig, f"{lead_id}.1.0")).body)
    assert answer["status"] == "cancelled"
    line = {"check": "cancel", "input": "asked for by ana", "outcome": "cancelled"}
    assert answer["decision"][-1] == line
    with pytest.raises(Conflicting):
        await cancel(rig, f"{lead_id}.1.0")
    assert (await rig.stored(f"{lead_id}.1.1")).due_at == later(clock(), hours=24)
    await rig.live(48)
    assert await rig.states(lead_id) == {"welcome": State.CANCELLED, "tips": State.SENT}
    assert sender.ids == [f"{lead_id}.1.1"]


async def test_the_last_step_that_is_cancelled_completes_the_sequence(rig: Rig, sender: ScriptedSender):
    """Behind it nothing is planned."""
    lead_id = await rig.login()
    await cancel(rig, f"{lead_id}.1.0")
    await cancel(rig, f"{lead_id}.1.1")
    assert ((await rig.enrolment(lead_id)).message_id, (await rig.enrolment(lead_id)).ended) == (None, "complete")
    await rig.live(48)
    assert sender.given == []


async def test_a_message_of_no_sequence_is_cancelled_alone(rig: Rig):
    """The sequence stands where it stood."""
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    before = await rig.enrolment(lead_id)
    await cancel(rig, id)
    assert (await rig.stored(id)).status is State.CANCELLED
    assert await rig.enrolment(lead_id) == before


async def move(rig: Rig, lead_id: str) -> None:
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="mia", reason="called")


async def revert(rig: Rig, lead_id: str) -> None:
    await rig.recorder.revert(lead_id, actor="mia", reason="a mistake")


async def merge(rig: Rig, one: str, other: str) -> Done:
    persons = [(await rig.recorder.load(lead_id)).person_id for lead_id in (one, other)]
    return await Merges(rig.recorder).merge(*persons, by="mia")


async def two(rig: Rig, clock: Clock) -> tuple[str, str]:
    """Two leads that are one human's, as will turn out; the first is the older."""
    one = await rig.login("u1")
    clock.forward(seconds=5)
    return one, await rig.login("u2")


def subjects(sender: ScriptedSender) -> list[str]:
    return [(outgoing.content.subject or "").split(",")[0] for outgoing in sender.given]


async def test_a_revert_sends_nothing_again(rig: Rig, sender: ScriptedSender):
    """A stage entered by mistake and taken back: the sequence goes on where it was left."""
    lead_id = await rig.login()
    await rig.live(2)
    await move(rig, lead_id)
    await revert(rig, lead_id)
    await rig.live(48)
    assert subjects(sender) == ["welcome", "tips"]
    await move(rig, lead_id)
    await rig.live(48)
    await revert(rig, lead_id)
    await rig.live(48)
    assert subjects(sender) == ["welcome", "tips", "offer"]


async def test_a_merge_and_its_undoing_send_nothing_again(rig: Rig, clock: Clock, sender: ScriptedSender):
    """The survivor comes to a stage whose mail the other one has had, and goes back to one whose mails it had."""
    one, other = await two(rig, clock)
    await rig.live(30)
    await move(rig, other)
    await rig.live(3)
    assert sorted(subjects(sender)) == ["offer", "tips", "tips", "welcome", "welcome"]
    done = await merge(rig, one, other)
    await rig.live(30)
    await Merges(rig.recorder).undo(done.id, by="mia")
    await rig.live(60)
    assert len(sender.given) == 5


async def test_what_the_other_has_had_is_passed_over(rig: Rig, clock: Clock, sender: ScriptedSender):
    """Two leads of one stage become one: the survivor goes on with the step that neither has had."""
    one, other = await two(rig, clock)
    await cancel(rig, f"{other}.1.0")
    (tips,) = await rig.store.get(Kind.MESSAGES, f"{other}.1.1")
    assert tips is not None
    await rig.delivery.deliver(tips)
    assert subjects(sender) == ["tips"]
    await merge(rig, one, other)
    assert (await rig.stored(f"{one}.1.0")).status is State.CANCELLED
    assert (await rig.enrolment(one)).ended == "the lead that was merged with it has had the rest"
    await rig.live(60)
    assert subjects(sender) == ["tips"]


async def test_a_message_that_was_out_at_a_merge_is_not_tried_again(rig: Rig, clock: Clock, sender: ScriptedSender):
    """Its sequence ended with the merge: one that comes back unsent is skipped, and the record says why."""
    one, other = await two(rig, clock)
    sender.outcomes.extend([Later("busy"), Later("busy")])
    work = await out(rig, clock, sender, 2)
    await merge(rig, one, other)
    sender.gate.set()
    await work
    await rig.live(5)
    assert sender.ids.count(f"{one}.1.0") == 2
    assert sender.ids.count(f"{other}.1.0") == 1
    skipped = await rig.stored(f"{other}.1.0")
    assert (skipped.status, skipped.decision[-1].outcome) == (
        State.SKIPPED,
        "skipped: the lead was merged with another",
    )
    assert (await rig.enrolment(other)).ended == "the lead was merged with another"


async def out(rig: Rig, clock: Clock, sender: ScriptedSender, messages: int) -> "asyncio.Task[int]":
    """Send what is due in an hour; return the work, which goes on when the sender's gate is opened."""
    clock.forward(hours=1)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    for _ in range(messages):
        await sender.arrived.acquire()
    return work


async def test_nor_is_one_that_came_back_when_the_merge_was_undone(rig: Rig, clock: Clock, sender: ScriptedSender):
    """The sequence of an absorbed lead does not begin again with the undo."""
    one, other = await two(rig, clock)
    sender.outcomes.extend([Later("busy"), Later("busy")])
    work = await out(rig, clock, sender, 2)
    await Merges(rig.recorder).undo((await merge(rig, one, other)).id, by="mia")
    sender.gate.set()
    await work
    await rig.live(30)
    assert sender.ids.count(f"{other}.1.0") == 1
    ended = "skipped: the sequence has ended or gone on without it"
    assert (await rig.stored(f"{other}.1.0")).decision[-1].outcome == ended
    assert await rig.states(other) == {"welcome": State.SKIPPED}


async def test_a_step_that_comes_back_after_its_stage_was_left_and_entered_again(
    rig: Rig, clock: Clock, sender: ScriptedSender
):
    """The sequence has gone on without it: one message of a lead waits at a time."""
    lead_id = await rig.login()
    sender.outcomes.append(Later("busy"))
    work = await out(rig, clock, sender, 1)
    await move(rig, lead_id)
    await revert(rig, lead_id)
    sender.gate.set()
    await work
    await rig.live(48)
    assert sender.ids == [f"{lead_id}.1.0", f"{lead_id}.3.1"]
    assert (await rig.stored(f"{lead_id}.1.0")).status is State.SKIPPED


async def test_a_step_that_a_person_sends_again_goes(rig: Rig, clock: Clock, sender: ScriptedSender):
    """The sequence has gone on behind the one that failed, or is over: that the person wants it counts."""
    lead_id = await rig.login()
    sender.outcomes.append(Refused("554 no"))
    await rig.live(30)
    assert await rig.states(lead_id) == {"welcome": State.DEAD, "tips": State.SENT}
    id = f"{lead_id}.1.0"
    mended = await MessageMender(rig.store, clock).mend(ToMend("i", "ana", {}, {}, message_id=id))
    await rig.store.commit(*mended.changes)
    await rig.live(1)
    assert (await rig.stored(id)).status is State.SENT


async def test_and_so_does_one_of_a_lead_that_was_merged(rig: Rig, clock: Clock, sender: ScriptedSender):
    """It failed before the merge; the sequence itself ended with it."""
    one, other = await two(rig, clock)
    clock.forward(hours=1)
    sender.outcomes.extend([Refused("554 no"), Refused("554 no")])
    await rig.quiet()
    await merge(rig, one, other)
    id = f"{other}.1.0"
    mended = await MessageMender(rig.store, clock).mend(ToMend("i", "ana", {}, {}, message_id=id))
    await rig.store.commit(*mended.changes)
    await rig.quiet()
    assert (await rig.stored(id)).status is State.SENT
