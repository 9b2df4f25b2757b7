"""Delivery over a real store: what is due is decided, sent once and settled."""

import asyncio

import pytest

from channels.messages import Category
from channels.order import LOOKED_AT
from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent, Uncertain
from channels.states import State
from tests.channels.rig import Rig, step
from tests.fakes import Clock, ScriptedSender
from tracker.events import Channel, EventType
from tracker.merges import Merges
from tracker.person import Suppression
from tracker.review import ReviewKind
from tracker.stages import Stage
from tracker.store.port import Change, Conflict, Replace, Store, Unavailable
from tracker.store.schema import Kind
from tracker.times import instant, later


async def test_a_login_plans_one_message_that_is_sent_once(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A new user gets the first message of the sequence once, when it is due, and the ledger says so once."""
    lead_id = await rig.login()
    assert list((await rig.messages(lead_id)).values()) == [await rig.stored(f"{lead_id}.1.0")]

    clock.forward(hours=1)
    assert await rig.quiet() == 1
    assert await rig.quiet() == 0

    (outgoing,) = sender.given
    assert (outgoing.message_id, outgoing.to) == (f"{lead_id}.1.0", "u1@example.com")
    assert outgoing.content.subject == "welcome, Dana"
    assert "<p>Dana Fox</p>" in (outgoing.content.html or "")
    sent = await rig.stored(f"{lead_id}.1.0")
    assert sent.status is State.SENT
    assert sent.provider_id == f"provider-{lead_id}.1.0"
    assert [attempt.outcome for attempt in sent.attempts] == ["sent"]
    assert [check.check for check in sent.decision] == ["suppression", "consent", "condition", "channel", "template"]
    assert len(await rig.events(lead_id, EventType.EMAIL_SENT)) == 1


async def test_a_repeated_login_plans_nothing_more(rig: Rig):
    """The CRM may tell the same login, or further ones, as often as it likes: the sequence starts once."""
    lead_id = await rig.login(event_id="e1")
    await rig.login(event_id="e1")
    await rig.login(event_id="e2")
    assert len(await rig.messages(lead_id)) == 1


async def test_nothing_goes_before_its_time(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A step waits its delay, to the second, and the next one is planned only when the one before is settled."""
    lead_id = await rig.login()
    clock.forward(seconds=3599)
    assert await rig.quiet() == 0
    assert await rig.states(lead_id) == {"welcome": State.PLANNED}

    clock.forward(seconds=1)
    await rig.quiet()
    assert await rig.states(lead_id) == {"welcome": State.SENT, "tips": State.PLANNED}
    assert (await rig.stored(f"{lead_id}.1.1")).due_at == later(clock(), hours=24)

    clock.forward(hours=23.99)
    assert await rig.quiet() == 0
    clock.forward(hours=0.01)
    await rig.quiet()
    assert sender.ids == [f"{lead_id}.1.0", f"{lead_id}.1.1"]
    assert (await rig.enrolment(lead_id)).ended == "complete"


async def test_the_next_step_counts_from_the_settling(rig: Rig, clock: Clock):
    """A server that was down for a week does not send the rest of a sequence in one burst."""
    lead_id = await rig.login()
    clock.forward(hours=24 * 7)
    await rig.quiet()
    assert await rig.states(lead_id) == {"welcome": State.SENT, "tips": State.PLANNED}


async def test_a_new_stage_ends_one_sequence_and_starts_the_next(rig: Rig, clock: Clock, sender: ScriptedSender):
    """What waits for the stage that was left is cancelled, and the new stage's first message is planned at once."""
    lead_id = await rig.login()
    before = (await rig.recorder.load(lead_id)).version
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="sales", reason="called")
    assert (await rig.recorder.load(lead_id)).version == before + 1
    messages = await rig.messages(lead_id)
    assert {id: message.status for id, message in messages.items()} == {
        f"{lead_id}.1.0": State.CANCELLED,
        f"{lead_id}.2.0": State.PLANNED,
    }
    assert messages[f"{lead_id}.1.0"].decision[-1].outcome == "cancelled"
    await rig.live(30)
    assert sender.ids == [f"{lead_id}.2.0"]


async def test_a_new_stage_and_its_plan_are_one_commit(rig: Rig, clock: Clock, sender: ScriptedSender):
    """No moment exists in which a lead has entered a stage and the old stage's message is still to go."""
    lead_id = await rig.login()
    commits: list[tuple[Change, ...]] = []
    real = rig.store.commit

    async def watched(*changes: Change) -> None:
        commits.append(changes)
        await real(*changes)

    rig.store.commit = watched  # type: ignore[method-assign]
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="sales", reason="called")
    (unit,) = commits
    assert {(change.kind, change.id) for change in unit} >= {
        (Kind.LEADS, lead_id),
        (Kind.ENROLMENTS, lead_id),
        (Kind.MESSAGES, f"{lead_id}.1.0"),
        (Kind.MESSAGES, f"{lead_id}.2.0"),
    }


async def test_a_stage_that_is_entered_while_a_message_is_out(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A message in the provider's hands cannot be called back; it settles, and does not disturb the new sequence."""
    lead_id = await rig.login()
    clock.forward(hours=1)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="sales", reason="called")
    sender.gate.set()
    await work
    assert await rig.states(lead_id) == {"welcome": State.SENT, "offer": State.PLANNED}
    await rig.live(48)
    assert sender.ids == [f"{lead_id}.1.0", f"{lead_id}.2.0"]


async def test_a_step_that_is_skipped_plans_the_next(store: Store, clock: Clock, sender: ScriptedSender):
    """A person without the address that a step needs gets the steps that need none of it."""
    senders = {Channel.EMAIL: sender, Channel.WHATSAPP: sender}
    rig = Rig(store, clock, senders)
    await rig.furnish({"User": [step("ping", 0, Channel.WHATSAPP), step("welcome", 1)]})
    lead_id = await rig.login()
    await rig.quiet()
    assert await rig.states(lead_id) == {"ping": State.SKIPPED, "welcome": State.PLANNED}
    skipped = await rig.stored(f"{lead_id}.1.0")
    assert (skipped.decision[-1].check, skipped.decision[-1].outcome) == ("consent", "skipped: consent is unknown")
    clock.forward(hours=1)
    await rig.quiet()
    assert sender.ids == [f"{lead_id}.1.1"]


async def test_old_logins_greet_nobody(rig: Rig, sender: ScriptedSender):
    """A first import of history scores, and mails nobody: logins older than `nurture_after_hours` plan nothing."""
    lead_id = await rig.login(hours_ago=73)
    assert (await rig.lead(lead_id)).score == 5000
    assert await rig.messages(lead_id) == {}
    just = await rig.login("u2", hours_ago=72)
    assert len(await rig.messages(just)) == 1


@pytest.mark.parametrize("instances", [2, 3])
async def test_several_servers_send_each_message_once(
    store: Store, clock: Clock, sender: ScriptedSender, instances: int
):
    """Any number of processes may deliver from one store: each of 100 messages goes out exactly once."""
    rigs = [Rig(store, clock, {Channel.EMAIL: sender}) for _ in range(instances)]
    await rigs[0].furnish()
    leads = await asyncio.gather(*(rigs[0].login(f"u{n}") for n in range(100)))
    clock.forward(hours=1)
    await asyncio.gather(*(rig.quiet() for rig in rigs))
    assert sorted(sender.ids) == sorted(f"{lead_id}.1.0" for lead_id in leads)
    for lead_id in leads:
        assert await rigs[0].states(lead_id) == {"welcome": State.SENT, "tips": State.PLANNED}
        assert len(await rigs[0].events(lead_id, EventType.EMAIL_SENT)) == 1


class Meddler:
    """A store on which something else happens just before the n-th commit."""

    def __init__(self, store: Store):
        self._store = store
        self.before: list[object] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, *changes: Change) -> None:
        if self.before:
            await self.before.pop(0)()  # type: ignore[operator]
        await self._store.commit(*changes)


async def test_an_opt_out_between_deciding_and_sending_wins(store: Store, clock: Clock, sender: ScriptedSender):
    """The word "stop" that is kept in the moment between decision and sending still stops the message."""
    meddler = Meddler(store)
    meddled, rig = Rig(meddler, clock, {Channel.EMAIL: sender}), Rig(store, clock, {})  # type: ignore[arg-type]
    await rig.furnish()
    lead_id = await rig.login()
    clock.forward(hours=1)

    async def opt_out() -> None:
        await rig.happen(lead_id, EventType.UNSUBSCRIBE)

    meddler.before.append(opt_out)
    await meddled.quiet()
    assert sender.given == []
    assert (await rig.states(lead_id))["welcome"] is State.SKIPPED


async def test_an_opt_out_from_another_product_wins_too(store: Store, clock: Clock, sender: ScriptedSender):
    """Suppressions belong to the person: one that comes in through another product's lead stops the message as well."""
    meddler = Meddler(store)
    meddled, rig = Rig(meddler, clock, {Channel.EMAIL: sender}), Rig(store, clock, {})  # type: ignore[arg-type]
    await rig.furnish()
    await rig.furnish({}, "other")
    lead_id, other = await rig.login(), await rig.login(product_id="other")
    assert lead_id != other
    clock.forward(hours=1)

    async def opt_out() -> None:
        await rig.happen(other, EventType.UNSUBSCRIBE)

    meddler.before.append(opt_out)
    await meddled.quiet()
    assert sender.given == []
    assert (await rig.states(lead_id))["welcome"] is State.SKIPPED


async def test_a_decision_holds_for_the_lead_it_was_made_on(store: Store, clock: Clock, sender: ScriptedSender):
    """Whatever changes on the lead between decision and sending, the decision is made anew."""
    meddler = Meddler(store)
    meddled, rig = Rig(meddler, clock, {Channel.EMAIL: sender}), Rig(store, clock, {})  # type: ignore[arg-type]
    await rig.furnish()
    lead_id = await rig.login()
    (found,) = await store.get(Kind.MESSAGES, f"{lead_id}.1.0")
    assert found is not None

    async def click() -> None:
        await rig.happen(lead_id, EventType.EMAIL_CLICK)

    meddler.before.append(click)
    with pytest.raises(Conflict):
        await meddled.delivery.deliver(found)
    assert sender.given == []
    await meddled.delivery.deliver(found)
    assert sender.ids == [found.id]


async def test_a_cancellation_between_deciding_and_sending_wins(store: Store, clock: Clock, sender: ScriptedSender):
    """A stage that is entered in the moment between decision and sending cancels the message before it goes."""
    meddler = Meddler(store)
    meddled, rig = Rig(meddler, clock, {Channel.EMAIL: sender}), Rig(store, clock, {})  # type: ignore[arg-type]
    await rig.furnish()
    lead_id = await rig.login()
    clock.forward(hours=1)

    async def move() -> None:
        await rig.recorder.move(lead_id, Stage.ENGAGED, actor="sales", reason="called")

    meddler.before.append(move)
    await meddled.quiet()
    assert sender.given == []
    assert await rig.states(lead_id) == {"welcome": State.CANCELLED, "offer": State.PLANNED}


async def test_a_backlog_of_drips_delays_no_reply(rig: Rig, clock: Clock, sender: ScriptedSender):
    """With 500 nurture messages waiting, a transactional one and a reply that come in meanwhile go next."""
    leads = [await rig.login(f"u{n}") for n in range(10)]
    drips = [await rig.message(leads[n % 10], Category.NURTURE) for n in range(500)]
    sender.gate.clear()
    work = asyncio.create_task(rig.delivery.work())
    await sender.arrived.acquire()
    transactional = await rig.message(leads[0], Category.TRANSACTIONAL)
    reply = await rig.message(leads[1], Category.REPLY)
    sender.gate.set()
    await work
    in_hand = sender.ids.index(reply)
    assert in_hand <= 4
    assert set(sender.ids[:in_hand]) <= set(drips)
    assert sender.ids[in_hand + 1] == transactional
    assert sender.most_under_way <= 4


async def replies(rig: Rig, clock: Clock, lead_id: str) -> list[str]:
    """Three replies, one after the other."""
    ids = []
    for n in range(3):
        clock.forward(seconds=1)
        ids.append(await rig.message(lead_id, Category.REPLY, text=f"part {n}"))
    return ids


async def test_a_reply_that_is_tried_again_is_not_overtaken(store: Store, clock: Clock):
    """What was said after it waits, and goes in its order; another lead's replies wait for nothing."""
    sender = ScriptedSender(Later("429"))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id, other = await rig.login(), await rig.login("u2")
    first, *rest = await replies(rig, clock, lead_id)
    await rig.quiet()
    assert sender.ids == [first]
    assert [(await rig.stored(id)).decision[-1].check for id in rest] == ["order"] * 2
    its = await rig.message(other, Category.REPLY)
    await rig.quiet()
    assert sender.ids == [first, its]
    sender.outcomes.append(Later("429"))
    await rig.live(2, step=0.05)
    assert sender.ids == [first, its, first, first, *rest]


async def test_a_reply_does_not_overtake_one_that_another_process_is_sending(store: Store, clock: Clock):
    """Two processes and three replies: the second waits until the first has arrived."""
    slow, quick = ScriptedSender(), ScriptedSender()
    one, two = Rig(store, clock, {Channel.EMAIL: slow}), Rig(store, clock, {Channel.EMAIL: quick})
    await one.furnish({})
    lead_id = await one.login()
    ids = await replies(one, clock, lead_id)
    slow.gate.clear()
    work = asyncio.create_task(one.delivery.work())
    await slow.arrived.acquire()
    await two.quiet()
    assert (slow.ids, quick.ids) == (ids[:1], [])
    slow.gate.set()
    await work
    clock.forward(seconds=2)
    await two.quiet()
    assert (slow.ids, quick.ids) == (ids[:1], ids[1:])


async def test_a_reply_does_not_overtake_one_of_a_lead_that_was_merged(store: Store, clock: Clock):
    """The two are one conversation by now, although each message stays with the lead for which it was made."""
    sender = ScriptedSender(Later("429"))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    one = await rig.login()
    clock.forward(seconds=1)
    other = await rig.login("u2")
    first = await rig.message(other, Category.REPLY)
    await rig.quiet()
    persons = [(await rig.recorder.load(lead_id)).person_id for lead_id in (one, other)]
    await Merges(rig.recorder).merge(*persons, by="mia")
    clock.forward(seconds=1)
    second = await rig.message(one, Category.REPLY)
    await rig.quiet()
    assert sender.ids == [first]
    await rig.live(2, step=0.05)
    assert sender.ids == [first, first, second]


@pytest.mark.parametrize("channel", [Channel.WHATSAPP, Channel.EMAIL])
async def test_on_whatsapp_all_products_are_one_thread(store: Store, clock: Clock, channel: Channel):
    """A reply about one waits there for an earlier one about another; by mail each has its own."""
    sender = ScriptedSender(Later("429"))
    rig = Rig(store, clock, {channel: sender})
    ids = []
    for product_id in ("flow", "grid"):
        await rig.furnish({}, product_id)
        lead_id = await rig.login(phone="+4915112345678", product_id=product_id, whatsapp_opt_in=True)
        await rig.happen(lead_id, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
        clock.forward(seconds=1)
        ids.append(await rig.message(lead_id, Category.REPLY, channel=channel))
        await rig.quiet()
    assert sender.ids == (ids[:1] if channel is Channel.WHATSAPP else ids)


async def test_replies_of_one_moment_keep_their_order(store: Store, clock: Clock):
    """However many they are."""
    sender = ScriptedSender(Later("429"))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id = await rig.login()
    ids = [await rig.message(lead_id, Category.REPLY) for _ in range(LOOKED_AT + 5)]
    await rig.quiet()
    assert sender.ids == ids[:1]


@pytest.mark.parametrize("outcome", [Uncertain("the connection broke"), Refused("554 no")])
async def test_a_reply_that_waits_for_a_person_blocks_no_other(store: Store, clock: Clock, outcome: SendOutcome):
    """Nor does one that is planned for tomorrow, nor one that the process did not live to settle."""
    sender = ScriptedSender(outcome)
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id = await rig.login()
    await rig.message(lead_id, Category.REPLY, due_at=later(clock(), hours=24))
    ids = await replies(rig, clock, lead_id)
    await rig.quiet()
    assert sender.ids == ids
    lost = await rig.message(lead_id, Category.REPLY)
    sending = (await rig.stored(lost)).moved(State.SENDING, at=instant(clock()), lease_until=later(clock(), seconds=25))
    await store.commit(Replace(Kind.MESSAGES, lost, 1, sending.body()))
    clock.forward(seconds=1)
    id = await rig.message(lead_id, Category.REPLY)
    await rig.quiet()
    assert id not in sender.ids
    await rig.live(0.1, step=0.01)
    assert sender.ids[-1] == id


async def test_a_channel_that_is_off_holds_its_messages(store: Store, clock: Clock, sender: ScriptedSender):
    """Messages of a channel without settings wait, whatever their number, block nobody, and go when it is on."""
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login(whatsapp_opt_in=True, phone="+4915112345678")
    waiting = [await rig.message(lead_id, channel=Channel.WHATSAPP) for _ in range(100)]
    mail = await rig.message(lead_id, Category.NURTURE)
    await rig.live(48)
    assert mail in sender.ids
    assert not set(waiting) & set(sender.ids)
    assert all([(await rig.stored(id)).waiting for id in waiting])

    phone = ScriptedSender()
    later_on = Rig(store, clock, {Channel.EMAIL: sender, Channel.WHATSAPP: phone})
    await later_on.happen(lead_id, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    await later_on.quiet()
    assert sorted(phone.ids) == sorted(waiting)


async def test_a_slow_channel_does_not_hold_up_another(store: Store, clock: Clock, sender: ScriptedSender):
    """While the mail server takes its time, WhatsApp messages go out."""
    phone = ScriptedSender()
    rig = Rig(store, clock, {Channel.EMAIL: sender, Channel.WHATSAPP: phone})
    await rig.furnish()
    lead_id = await rig.login(whatsapp_opt_in=True, phone="+4915112345678")
    await rig.message(lead_id)
    sender.gate.clear()
    work = asyncio.create_task(rig.delivery.work())
    await sender.arrived.acquire()
    await rig.happen(lead_id, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    id = await rig.message(lead_id, channel=Channel.WHATSAPP)
    await rig.delivery.work_on(Channel.WHATSAPP)
    assert phone.ids == [id]
    sender.gate.set()
    await work


async def test_a_channel_that_is_off_for_this_server_only_is_held(rig: Rig, clock: Clock):
    """A message of a channel that is off is held and looked at again later, should it be asked for by itself."""
    lead_id = await rig.login(whatsapp_opt_in=True, phone="+4915112345678")
    id = await rig.message(lead_id, channel=Channel.WHATSAPP)
    (found,) = await rig.store.get(Kind.MESSAGES, id)
    assert found is not None
    await rig.delivery.deliver(found)
    held = await rig.stored(id)
    assert (held.status, held.due_at) == (State.HELD, later(clock(), seconds=60))
    assert held.decision[-1].outcome == "held: the channel is not configured"


@pytest.mark.parametrize("broken", ["gone", "unrenderable"])
async def test_a_template_that_is_missing_or_broken(rig: Rig, clock: Clock, sender: ScriptedSender, broken: str):
    """A message that cannot be written is skipped with a review item that names it, and the sequence goes on."""
    lead_id = await rig.login()
    (found,) = await rig.store.get(Kind.MESSAGES, f"{lead_id}.1.0")
    assert found is not None
    body = {**found.body, "template_id": "no-such"} if broken == "gone" else found.body
    if broken == "unrenderable":
        (scope,) = await rig.store.get(Kind.TEMPLATES, "*:welcome")
        (content,) = await rig.store.get(Kind.TEMPLATE_CONTENTS, "*:welcome:email:*:1")
        assert scope is not None
        assert content is not None
        words = {"content": '{"subject": "{{ nobody.here }}", "text": "x"}'}
        await rig.store.commit(Replace(Kind.TEMPLATE_CONTENTS, content.id, content.version, words))
    await rig.store.commit(Replace(Kind.MESSAGES, found.id, found.version, body))
    clock.forward(hours=1)
    await Rig(rig.store, clock, rig.senders).quiet()  # as after a restart: contents are remembered

    assert sender.given == []
    skipped = await rig.stored(f"{lead_id}.1.0")
    assert skipped.status is State.SKIPPED
    assert skipped.decision[-1].check == "template"
    assert skipped.decision[-1].outcome.startswith("skipped: ")
    (item,) = await rig.reviews(lead_id)
    assert (item.body["kind"], item.body["message_id"]) == (ReviewKind.TEMPLATE, f"{lead_id}.1.0")
    assert ("no-such" if broken == "gone" else "nobody") in item.body["error"]
    assert (await rig.stored(f"{lead_id}.1.1")).status is State.PLANNED


async def test_what_comes_again_is_tried_again(store: Store, clock: Clock):
    """A mail server's "later" is obeyed: the message stays due, goes when its time has come, and is counted once."""
    sender = ScriptedSender(Later("451 busy"), Later("451 busy", after=600))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    await rig.quiet()
    waiting = await rig.stored(id)
    assert waiting.status is State.DUE
    assert instant(clock()) <= waiting.due_at <= later(clock(), seconds=60)
    assert waiting.lease_until is None

    clock.forward(seconds=60)
    await rig.quiet()
    assert (await rig.stored(id)).due_at >= later(clock(), seconds=600)
    clock.forward(seconds=599)
    assert await rig.quiet() == 0
    clock.forward(seconds=1)
    await rig.quiet()
    sent = await rig.stored(id)
    assert [attempt.outcome for attempt in sent.attempts] == ["retry", "retry", "sent"]
    assert len(await rig.events(lead_id, EventType.EMAIL_SENT)) == 1


async def test_six_failures_are_enough(store: Store, clock: Clock):
    """After six attempts a message is given up, with one review item that says why, and the sequence goes on."""
    sender = ScriptedSender(*[Later("451 busy")] * 6)
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login()
    await rig.live(12)
    dead = await rig.stored(f"{lead_id}.1.0")
    assert dead.status is State.DEAD
    assert len(dead.attempts) == 6
    (item,) = await rig.reviews(lead_id)
    assert (item.body["kind"], item.body["error"]) == (ReviewKind.MESSAGE, "451 busy")
    assert item.body["attempts"] == 6
    assert (await rig.stored(f"{lead_id}.1.1")).status is State.PLANNED


async def test_an_uncertain_message_waits_for_a_person(store: Store, clock: Clock):
    """What may have been sent is never sent again by itself, and its sequence waits in review."""
    sender = ScriptedSender(Uncertain("no answer"))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login()
    await rig.live(24 * 14, step=6)
    assert sender.ids == [f"{lead_id}.1.0"]
    assert await rig.states(lead_id) == {"welcome": State.UNCERTAIN}
    (item,) = await rig.reviews(lead_id)
    assert (item.body["kind"], item.body["message_id"]) == (ReviewKind.UNCERTAIN, f"{lead_id}.1.0")


async def test_a_late_yes_settles_an_uncertain_message(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A provider that answers after the lease has run out is still believed: the message was sent, once."""
    lead_id = await rig.login()
    clock.forward(hours=1)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    clock.forward(seconds=26)
    await rig.delivery.recover()
    assert await rig.states(lead_id) == {"welcome": State.UNCERTAIN}
    sender.gate.set()
    await work
    assert await rig.states(lead_id) == {"welcome": State.SENT, "tips": State.PLANNED}
    assert len(await rig.events(lead_id, EventType.EMAIL_SENT)) == 1


@pytest.mark.parametrize("late", [Later("451 busy"), Refused("554 no"), Uncertain("cut")])
async def test_a_late_no_does_not_touch_a_later_sending(
    store: Store, clock: Clock, sender: ScriptedSender, late: SendOutcome
):
    """An answer belongs to the sending that it answers: it must not touch a message that is out for a second time."""
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    old_lease = (await rig.stored(id)).lease_until
    clock.forward(seconds=26)
    await rig.delivery.recover()
    (found,) = await rig.store.get(Kind.MESSAGES, id)
    assert found is not None
    again = (await rig.stored(id)).moved(State.DUE, at=instant(clock()), due_at=instant(clock()))
    await rig.store.commit(Replace(Kind.MESSAGES, id, found.version, again.body()))  # a person decided so
    other = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    await rig.delivery.settling.settle(id, late, lease=old_lease)
    assert (await rig.stored(id)).status is State.SENDING
    sender.gate.set()
    await asyncio.gather(work, other)
    assert (await rig.stored(id)).status is State.SENT
    assert len(sender.given) == 2


async def test_recovery_leaves_a_newer_sending_alone(store: Store, clock: Clock, sender: ScriptedSender):
    """A message that was settled and is out again when recovery comes to it is not called cut off."""
    meddler = Meddler(store)
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    (found,) = await store.get(Kind.MESSAGES, id)
    assert found is not None
    sending = (await rig.stored(id)).moved(State.SENDING, at=instant(clock()), lease_until=later(clock(), seconds=25))
    await store.commit(Replace(Kind.MESSAGES, id, 1, sending.body()))
    clock.forward(seconds=26)

    async def out_again() -> None:
        newer = sending.but(lease_until=later(clock(), seconds=25))
        await store.commit(Replace(Kind.MESSAGES, id, 2, newer.body()))

    meddler.before.append(out_again)
    recovering = Rig(meddler, clock, {})  # type: ignore[arg-type]
    await recovering.delivery.recover()
    assert (await rig.stored(id)).status is State.SENDING
    assert await rig.reviews() == []


async def test_a_bounce_ends_all_mail_to_the_address(store: Store, clock: Clock):
    """A mailbox that does not exist is written to once: the bounce is in the ledger, everything on e-mail stops."""
    sender = ScriptedSender(Refused("550 5.1.1 nobody here", bounced=True))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login()
    await rig.live(72)
    id = await rig.message(lead_id)
    await rig.quiet()
    assert len(sender.given) == 1
    assert await rig.states(lead_id) == {"welcome": State.DEAD, "tips": State.SKIPPED, "text": State.SKIPPED}
    (bounce,) = await rig.events(lead_id, EventType.EMAIL_BOUNCE)
    assert bounce.body["score_impact"] == 0
    (suppression,) = (await rig.person(lead_id)).suppressions
    assert (suppression.channel, suppression.scope, suppression.reason) == (Channel.EMAIL, "all", "email_bounce")
    assert (await rig.stored(id)).decision[0].outcome == "skipped: email_bounce"
    (item,) = await rig.reviews(lead_id)
    assert item.body["kind"] == ReviewKind.MESSAGE


async def test_a_bounce_bars_the_address_and_not_the_person(store: Store, clock: Clock):
    """Once the CRM has corrected the address everything goes to the new one, and nothing to the bad one ever again."""
    sender = ScriptedSender(Refused("550 5.1.1 nobody here", bounced=True))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id = await rig.login(email="typo@example.com")
    await rig.live(2)
    for address, state in (("right@example.com", State.SENT), ("typo@example.com", State.SKIPPED)):
        clock.forward(hours=1)
        await rig.login(email=address)
        ids = [await rig.message(lead_id, category) for category in Category]
        await rig.quiet()
        assert [(await rig.stored(id)).status for id in ids] == [state] * 3
    assert {outgoing.to for outgoing in sender.given[1:]} == {"right@example.com"}


async def test_a_bounce_that_comes_late_is_about_the_address_that_was_written_to(store: Store, clock: Clock):
    """The address that the CRM told meanwhile is as good as before."""
    sender = ScriptedSender(Refused("550 5.1.1 nobody here", bounced=True))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id = await rig.login(email="typo@example.com")
    await rig.message(lead_id)
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    clock.forward(seconds=1)
    await rig.login(email="right@example.com")
    sender.gate.set()
    await work
    id = await rig.message(lead_id, Category.REPLY)
    await rig.quiet()
    assert [outgoing.to for outgoing in sender.given] == ["typo@example.com", "right@example.com"]
    assert (await rig.stored(id)).status is State.SENT
    (suppression,) = (await rig.person(lead_id)).suppressions
    assert suppression.address == "typo@example.com"


class Clumsy:
    """A sender with a mistake of its own in it, which one message meets."""

    def __init__(self) -> None:
        self.calls, self.stumbles_at = 0, ""

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        self.calls += 1
        if outgoing.message_id == self.stumbles_at:
            raise ZeroDivisionError
        return Sent("x")

    async def close(self) -> None:
        return None


async def test_a_mistake_of_ours_costs_the_others_nothing(store: Store, clock: Clock):
    """A sender that raises has perhaps sent: that message becomes uncertain, the others go out."""
    clumsy = Clumsy()
    rig = Rig(store, clock, {Channel.EMAIL: clumsy})
    await rig.furnish()
    lead_id = await rig.login()
    clumsy.stumbles_at = await rig.message(lead_id)
    rest = [await rig.message(await rig.login(f"u{n}")) for n in range(2, 11)]
    await rig.quiet()
    assert [(await rig.stored(id)).status for id in rest] == [State.SENT] * 9
    clock.forward(seconds=26)
    await rig.delivery.recover()
    assert (await rig.stored(clumsy.stumbles_at)).status is State.UNCERTAIN
    assert clumsy.calls == 10


async def test_a_message_that_cannot_be_read_costs_the_others_nothing(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A document that this version does not understand is put off; what waits behind it goes out."""
    lead_id = await rig.login()
    strange = [await rig.message(lead_id) for _ in range(8)]
    for id in strange:
        (found,) = await rig.store.get(Kind.MESSAGES, id)
        assert found is not None
        await rig.store.commit(Replace(Kind.MESSAGES, id, 1, {**found.body, "category": "carrier pigeon"}))
    fine = await rig.message(lead_id, Category.NURTURE)
    await rig.quiet()
    assert sender.ids == [fine]


async def test_a_reply_that_cannot_be_delivered_blocks_no_other(store: Store, clock: Clock):
    """Although it was tried before and waits to be tried again; once it can be delivered it goes."""
    sender = ScriptedSender(Later("429"))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    lead_id = await rig.login()
    first, *rest = await replies(rig, clock, lead_id)
    await rig.quiet()
    (found,) = await store.get(Kind.MESSAGES, first)
    assert found is not None
    await store.commit(Replace(Kind.MESSAGES, first, found.version, {**found.body, "hits": "carrier pigeon"}))
    await rig.live(2, step=0.05)
    assert sender.ids == [first, *rest]
    (found,) = await store.get(Kind.MESSAGES, first)
    assert found is not None
    await store.commit(Replace(Kind.MESSAGES, first, found.version, {**found.body, "hits": []}))
    await rig.live(1, step=0.05)
    assert sender.ids == [first, *rest, first]
    assert not (await rig.stored(first)).broken


async def test_a_lead_that_is_gone_costs_the_others_nothing(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A message whose lead no longer exists is put off, not retried in a circle, and blocks nobody."""
    lead_id = await rig.login()
    orphan, fine = await rig.message(lead_id), await rig.message(lead_id)
    (found,) = await rig.store.get(Kind.MESSAGES, orphan)
    assert found is not None
    await rig.store.commit(Replace(Kind.MESSAGES, orphan, 1, {**found.body, "lead_id": "nobody"}))
    assert await rig.quiet() == 2
    assert sender.ids == [fine]


async def test_one_message_that_recovery_cannot_settle_does_not_hide_the_others(rig: Rig, clock: Clock):
    """Recovery goes on behind a message whose lead is gone."""
    lead_id = await rig.login()
    ids = [await rig.message(lead_id) for _ in range(3)]
    for n, id in enumerate(ids):
        message = (await rig.stored(id)).moved(
            State.SENDING, at=instant(clock()), lease_until=later(clock(), seconds=n)
        )
        body = message.body() | ({"lead_id": "nobody"} if n == 0 else {})
        await rig.store.commit(Replace(Kind.MESSAGES, id, 1, body))
    clock.forward(seconds=10)
    await rig.delivery.recover()
    assert [(await rig.stored(id)).status for id in ids] == [State.SENDING, State.UNCERTAIN, State.UNCERTAIN]


async def test_a_store_that_is_away_costs_nothing_but_time(store: Store, clock: Clock, sender: ScriptedSender):
    """When the store cannot keep the sending, nothing is sent; when it is back, the message goes out once."""
    meddler = Meddler(store)
    rig = Rig(meddler, clock, {Channel.EMAIL: sender})  # type: ignore[arg-type]
    await rig.furnish()
    lead_id = await rig.login()
    clock.forward(hours=1)

    async def away() -> None:
        assert sender.given == []
        raise Unavailable("away")

    meddler.before.append(away)
    await rig.delivery.work()
    await rig.quiet()
    assert sender.ids == [f"{lead_id}.1.0"]
    assert await rig.states(lead_id) == {"welcome": State.SENT, "tips": State.PLANNED}


async def test_the_suppression_is_read_at_sending_not_at_planning(rig: Rig, clock: Clock, sender: ScriptedSender):
    """Who unsubscribes while a message waits does not get it, but still gets what they asked for themselves."""
    lead_id = await rig.login()
    await rig.happen(lead_id, EventType.UNSUBSCRIBE)
    receipt = await rig.message(lead_id, Category.TRANSACTIONAL)
    clock.forward(hours=1)
    await rig.quiet()
    assert sender.ids == [receipt]
    assert (await rig.states(lead_id))["welcome"] is State.SKIPPED
    assert (
        Suppression(channel=Channel.EMAIL, reason="unsubscribe", at=later(clock(), hours=-1))
        in (await rig.person(lead_id)).suppressions
    )


async def test_deliver_says_when_somebody_else_was_faster(rig: Rig, clock: Clock, sender: ScriptedSender):
    """A message that changed since it was found is refused by the store before the provider is called."""
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    (found,) = await rig.store.get(Kind.MESSAGES, id)
    assert found is not None
    await rig.store.commit(Replace(Kind.MESSAGES, id, 1, found.body))
    with pytest.raises(Conflict):
        await rig.delivery.deliver(found)
    assert sender.given == []


async def test_two_products_share_one_frequency_cap(store: Store, clock: Clock):
    """One mail a day, whoever writes: of two due at once one waits, with two processes at work too."""
    senders = {Channel.EMAIL: ScriptedSender()}
    rigs = [Rig(store, clock, senders), Rig(store, clock, senders)]
    cap = {"frequency_cap": {"messages": 1, "hours": 24}}
    for product_id in ("flow", "grid"):
        await rigs[0].furnish({"User": [step("welcome", 1)]}, product_id, **cap)
        lead_id = await rigs[0].login(product_id=product_id)
    person_id = (await rigs[0].recorder.load(lead_id)).person_id
    clock.forward(hours=1)
    await asyncio.gather(*(rig.quiet() for rig in rigs))
    assert len(senders[Channel.EMAIL].given) == 1
    held = [m for lead in (await rigs[0].recorder.load(lead_id)).person.leads.values()
            for m in (await rigs[0].messages(lead)).values() if m.status is State.HELD]  # fmt: skip
    assert [(m.due_at, m.decision[-1].check) for m in held] == [(later(clock(), hours=24), "frequency_cap")]
    clock.forward(hours=24)
    await rigs[1].quiet()
    assert len(senders[Channel.EMAIL].given) == 2
    (person,) = await store.get(Kind.PERSONS, person_id)
    assert person is not None
    assert len(person.body["nurtured"]) == 2
