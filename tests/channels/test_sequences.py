"""Sequences as people meet them: what somebody does with one step leaves the others, and no step goes twice."""

from typing import Any, cast

import pytest

from channels.routes import ChannelRoutes
from channels.states import State
from tests.channels.rig import Rig
from tests.fakes import Clock, ScriptedSender
from tracker.errors import Refused as Conflicting
from tracker.events import Channel
from tracker.keys import Principal, Scope
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
