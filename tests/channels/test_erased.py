"""Messages whose person is erased while they are on their way: nothing is left to settle, and nothing goes wrong."""

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

import pytest

from channels.callbacks import Callbacks
from channels.sending import Later, Refused, SendOutcome, Sent, Uncertain
from channels.states import State
from tests.channels.rig import Rig
from tests.fakes import Clock, ScriptedSender
from tracker.errors import NotFound
from tracker.events import Channel
from tracker.privacy import Privacy
from tracker.recorder import Loaded
from tracker.store.port import Store
from tracker.store.schema import REVIEW_ALL, Kind

Logs = list[MutableMapping[str, Any]]

OUTCOMES = [
    Sent("p"),
    Later("451 busy"),
    Refused("554 no"),
    Refused("550 nobody", bounced=True),
    Refused("63024", opted_out=True),
    Uncertain("cut"),
]


class Nowhere:
    """Nothing of people lies anywhere else. Attributes: cut_off: the erasure ends before it comes to messages."""

    cut_off = False

    async def forget(self, message_id: str) -> None:
        if self.cut_off:
            raise OSError("the process ends")

    async def scrub(self) -> bool:
        return True


async def erased(rig: Rig, lead_id: str, *, cut_off: bool = False) -> Privacy:
    """Erase the person of a lead. Args: cut_off: its messages are still there."""
    nowhere = Nowhere()
    privacy = Privacy(rig.recorder, nowhere)
    nowhere.cut_off = cut_off
    try:
        await privacy.erase((await rig.recorder.load(lead_id)).person_id, by="tests")
    except OSError:
        nowhere.cut_off = False
    return privacy


async def rest(store: Store, id: str) -> list[Any]:
    """What there is of a message, and in review."""
    return [*filter(None, await store.get(Kind.MESSAGES, id)), *(await store.find(REVIEW_ALL)).items]


def troubles(logs: Logs) -> list[Any]:
    return [entry for entry in logs if entry["log_level"] not in {"debug", "info"}]


@pytest.mark.parametrize("cut_off", [False, True], ids=["erased", "erasure cut off"])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
async def test_an_answer_about_an_erased_person_settles_nothing(
    store: Store, clock: Clock, logs: Logs, outcome: SendOutcome, cut_off: bool
) -> None:
    """Whatever the provider says, and also where the erasure has yet to come to the message, which goes with it."""
    sender = ScriptedSender(outcome)
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    privacy = await erased(rig, lead_id, cut_off=cut_off)
    sender.gate.set()
    await work
    assert troubles(logs) == []
    await privacy.resume()
    assert await rest(store, id) == []


def erase_at_next_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a person erased just after their lead was read."""
    load = rig.recorder.load

    async def then_erased(lead_id: str) -> Loaded:
        loaded = await load(lead_id)
        monkeypatch.undo()
        await erased(rig, lead_id)
        return loaded

    monkeypatch.setattr(rig.recorder, "load", then_erased)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
async def test_an_erasure_between_two_looks_leaves_nothing_to_settle(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, outcome: SendOutcome
) -> None:
    """The lead was still there when it was read, and its message no more."""
    rig = Rig(store, clock, {Channel.EMAIL: ScriptedSender()})
    await rig.furnish({})
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    erase_at_next_look(rig, monkeypatch)
    if isinstance(outcome, Later):  # which reads no lead
        monkeypatch.undo()
        await erased(rig, lead_id)
    assert await rig.delivery.settling.settle(id, outcome, lease=None) is False
    assert await rest(store, id) == []


async def test_a_message_whose_erasure_was_cut_off_keeps_nobody_waiting(
    store: Store, clock: Clock, sender: ScriptedSender, logs: Logs
) -> None:
    """It is put off until the erasure goes on; so is one that was being sent when its process ended."""
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id, other = await rig.login(), await rig.login("u2")
    id = await rig.message(lead_id)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    waiting = await rig.message(lead_id)
    privacy = await erased(rig, lead_id, cut_off=True)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    sender.gate.set()
    clock.forward(seconds=26)
    await rig.delivery.recover()
    theirs = await rig.message(other)
    await rig.quiet()
    assert (await rig.stored(theirs)).status is State.SENT
    assert troubles(logs) == []
    await privacy.resume()
    assert await rest(store, id) == await rest(store, waiting) == []


@pytest.mark.parametrize("status", ["sent", "delivered", "failed"])
async def test_a_status_of_an_erased_message_is_no_news(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Also when the person is erased while it is being kept."""
    rig = Rig(store, clock, {})
    await rig.furnish({})
    lead_id = await rig.login()
    id = await rig.message(lead_id, channel=Channel.WHATSAPP)
    erase_at_next_look(rig, monkeypatch)
    callbacks = Callbacks(rig.recorder, rig.delivery.settling)
    assert await callbacks.take(id, "SM1", status, "63016" if status == "failed" else None) is False
    assert await rest(store, id) == []
    with pytest.raises(NotFound):
        await rig.recorder.load(lead_id)
