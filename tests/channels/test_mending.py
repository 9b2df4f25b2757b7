"""Messages that a person has sent again: due once more, with all tries anew, and the ledger tells each sending."""

import asyncio

import pytest

from channels.callbacks import Callbacks
from channels.inbox import ATTEMPTS as INBOX_ATTEMPTS
from channels.inbox import Inbox
from channels.mending import InboundMender, MessageMender, TemplateMender, UncertainMender
from channels.messages import REPLAYED, ended, write
from channels.sending import Later, Refused, Sent, Uncertain
from channels.states import State
from channels.templates import NewTemplate
from tests.channels.rig import Rig
from tests.fakes import Clock, ScriptedSender
from tracker.errors import Invalid
from tracker.errors import Refused as Conflicting
from tracker.events import Channel, EventType
from tracker.ports import Failure, Mended, Mender, ToMend
from tracker.retry import ATTEMPTS
from tracker.review import ReviewKind
from tracker.reviews import Review, Wanted
from tracker.store.port import Change, Store
from tracker.store.schema import Kind


def queue_of(rig: Rig) -> Review:
    uncertain = UncertainMender(rig.recorder)
    menders: dict[ReviewKind, Mender] = {
        ReviewKind.MESSAGE: MessageMender(rig.store, rig.clock),
        ReviewKind.UNCERTAIN: uncertain,
        ReviewKind.TEMPLATE: TemplateMender(rig.store, rig.delivery),
    }
    discarders = {ReviewKind.UNCERTAIN: uncertain}
    return Review(rig.store, rig.clock, menders, discarders=discarders, reactors=rig.recorder.reactors)


async def made(store: Store, clock: Clock, sender: ScriptedSender) -> Rig:
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish({})
    return rig


async def on_whatsapp(store: Store, clock: Clock, sender: ScriptedSender) -> tuple[Rig, str, str]:
    """Have one message sent to who wrote just before, and return the lead and the message too."""
    rig = Rig(store, clock, {Channel.WHATSAPP: sender})
    await rig.furnish({})
    lead_id = await rig.login(phone="+4915112345678", whatsapp_opt_in=True)
    await rig.happen(lead_id, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    id = await rig.message(lead_id, channel=Channel.WHATSAPP)
    await rig.quiet()
    return rig, lead_id, id


async def open_item(rig: Rig) -> str:
    (item,) = [found for found in await rig.reviews() if found.body["status"] == "open"]
    return item.id


async def test_an_uncertain_message_is_sent_again_by_a_person_only(store: Store, clock: Clock):
    """It is due at once, it goes, and a second replay sends nothing more."""
    sender = ScriptedSender(Uncertain("no answer"))
    rig = await made(store, clock, sender)
    id = await rig.message(await rig.login())
    await rig.quiet()
    queue, item = queue_of(rig), await open_item(rig)
    await asyncio.gather(*(queue.replay(item, "ana") for _ in range(5)))
    await rig.quiet()
    await queue.replay(item, "ana")
    await rig.quiet()
    assert sender.ids == [id, id]
    message = await rig.stored(id)
    assert message.status is State.SENT
    assert [attempt.outcome for attempt in message.attempts] == ["uncertain", REPLAYED, "sent"]


async def uncertain_step(rig: Rig) -> tuple[str, str]:
    """Let the first message of a new lead's sequence get lost; return the lead and the review item of it."""
    lead_id = await rig.login()
    await rig.live(2)
    assert await rig.states(lead_id) == {"welcome": State.UNCERTAIN}
    return lead_id, await open_item(rig)


async def test_an_uncertain_step_that_is_discarded_lets_the_sequence_go_on(store: Store, clock: Clock):
    """It is taken for sent, and the record says by whom and why: nothing is sent again, and the next step goes."""
    sender = ScriptedSender(Uncertain("no answer"))
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    lead_id, item = await uncertain_step(rig)
    done = await queue_of(rig).discard(item, "ana", "it arrived")
    assert done["history"][-1]["did"] == "discarded: it arrived; the message counts as sent"
    message = await rig.stored(f"{lead_id}.1.0")
    assert (message.decision[-1].input, message.decision[-1].outcome) == ("ana: it arrived", "taken for sent")
    (found,) = await store.get(Kind.MESSAGES, f"{lead_id}.1.0")
    assert found is not None
    assert ended(found) == message.updated_at
    await rig.live(48)
    assert await rig.states(lead_id) == {"welcome": State.SENT, "tips": State.SENT}
    assert sender.ids == [f"{lead_id}.1.0", f"{lead_id}.1.1"]
    assert (await rig.enrolment(lead_id)).ended == "complete"


async def test_what_a_discard_comes_to_is_one_commit(store: Store, clock: Clock):
    """No moment exists in which nobody looks for the message any more and its sequence still waits for it."""
    rig = Rig(store, clock, {Channel.EMAIL: ScriptedSender(Uncertain("no answer"))})
    await rig.furnish()
    lead_id, item = await uncertain_step(rig)
    commits: list[tuple[Change, ...]] = []
    real = store.commit

    async def watched(*changes: Change) -> None:
        commits.append(changes)
        await real(*changes)

    store.commit = watched  # type: ignore[method-assign]
    queue = queue_of(rig)
    await asyncio.gather(*(queue.discard(item, "ana") for _ in range(3)))
    await queue.discard(item, "ana")
    store.commit = real  # type: ignore[method-assign]
    unit = next(commit for commit in commits if commit)
    assert {(change.kind, change.id) for change in unit} >= {
        (Kind.REVIEW, item),
        (Kind.MESSAGES, f"{lead_id}.1.0"),
        (Kind.MESSAGES, f"{lead_id}.1.1"),
        (Kind.ENROLMENTS, lead_id),
    }
    taken = [check for check in (await rig.stored(f"{lead_id}.1.0")).decision if check.outcome == "taken for sent"]
    assert [check.input for check in taken] == ["ana: no reason given"]


async def test_uncertain_steps_are_discarded_by_filter_too(store: Store, clock: Clock):
    """Where their kind is named; each sequence goes on."""
    rig = Rig(store, clock, {Channel.EMAIL: ScriptedSender(Uncertain("no answer"), Uncertain("no answer"))})
    await rig.furnish()
    leads = [await rig.login(user) for user in ("u1", "u2")]
    await rig.live(2)
    results, _ = await queue_of(rig).discard_all(Wanted(ReviewKind.UNCERTAIN), "ana", "all arrived")
    assert [result["status"] for result in results] == ["discarded", "discarded"]
    for lead_id in leads:
        assert await rig.states(lead_id) == {"welcome": State.SENT, "tips": State.PLANNED}


async def test_the_ledger_has_what_the_provider_told(store: Store, clock: Clock):
    """That a person takes a message for sent is no event; a late yes of the provider is one, and plans nothing."""
    rig = Rig(store, clock, {Channel.EMAIL: ScriptedSender(Uncertain("no answer"))})
    await rig.furnish()
    lead_id, item = await uncertain_step(rig)
    await queue_of(rig).discard(item, "ana")
    assert await rig.events(lead_id, EventType.EMAIL_SENT) == []
    before = await rig.messages(lead_id)
    assert await rig.delivery.settling.settle(f"{lead_id}.1.0", Sent("late"), lease=None)
    assert len(await rig.events(lead_id, EventType.EMAIL_SENT)) == 1
    assert (await rig.messages(lead_id)).keys() == before.keys()
    assert (await rig.stored(f"{lead_id}.1.0")).provider_id == "late"


async def test_a_discard_changes_no_message_that_was_settled_meanwhile(store: Store, clock: Clock):
    """Nothing follows for what is not uncertain any more, nor for what is gone."""
    rig = Rig(store, clock, {Channel.EMAIL: ScriptedSender(Uncertain("no answer"))})
    await rig.furnish()
    lead_id, item = await uncertain_step(rig)
    mender = UncertainMender(rig.recorder)
    assert await mender.discarded(_wanted("gone"), "") is None
    (found,) = await store.get(Kind.MESSAGES, f"{lead_id}.1.0")
    assert found is not None
    await store.commit(write(found, (await rig.stored(found.id)).moved(State.FAILED, at=found.body["updated_at"])))
    done = await queue_of(rig).discard(item, "ana")
    assert done["history"][-1]["did"] == "discarded"
    assert (await rig.stored(found.id)).status is State.FAILED


async def test_a_dead_message_gets_all_its_tries_again(store: Store, clock: Clock):
    """Six failures, a person, six more: then it is dead once more, with an item of its own."""
    sender = ScriptedSender(*[Later("451 busy")] * (2 * ATTEMPTS))
    rig = await made(store, clock, sender)
    id = await rig.message(await rig.login())
    await rig.live(12, step=1)
    assert len(sender.given) == ATTEMPTS
    queue = queue_of(rig)
    await queue.replay(await open_item(rig), "ana")
    await rig.live(12, step=1)
    assert len(sender.given) == 2 * ATTEMPTS
    assert (await rig.stored(id)).status is State.DEAD
    await queue.replay(await open_item(rig), "ana")
    await rig.quiet()
    assert (await rig.stored(id)).status is State.SENT


async def test_a_message_that_was_sent_twice_is_counted_twice(store: Store, clock: Clock):
    """One that failed after it was sent, and is sent again, settles again: the ledger has both sendings."""
    sender = ScriptedSender()
    rig = await made(store, clock, sender)
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    await rig.quiet()
    (found,) = await store.get(Kind.MESSAGES, id)
    assert found is not None
    failed = (await rig.stored(id)).moved(State.FAILED, at=found.body["updated_at"])
    await store.commit(write(found, failed))
    mended = await MessageMender(store, clock).mend(_wanted(id))
    await store.commit(*mended.changes)
    await rig.quiet()
    assert (await rig.stored(id)).status is State.SENT
    assert len(await rig.events(lead_id, EventType.EMAIL_SENT)) == 2


def _wanted(id: str, **more: object):
    return ToMend("i", "ana", {"message_id": id}, {"message_id": id}, message_id=id, **more)  # type: ignore[arg-type]


async def test_what_has_moved_on_is_not_sent_again(store: Store, clock: Clock, rig: Rig):
    """A message that went meanwhile, or is out, or is gone: refused in words; so is a corrected input."""
    mender = MessageMender(store, clock)
    id = await rig.message(await rig.login())
    for_later = _wanted(id)
    await rig.quiet()
    with pytest.raises(Conflicting, match="the message is sent by now"):
        await mender.mend(for_later)
    with pytest.raises(Conflicting, match="no longer there"):
        await mender.mend(_wanted("gone"))
    with pytest.raises(Invalid):
        await mender.mend(_wanted(id, corrected=True))


async def test_who_is_overtaken_hears_what_the_first_replay_made_of_it(store: Store, clock: Clock):
    """The message is due by then, which alone would be a refusal; it goes once."""
    sender = ScriptedSender(Uncertain("no answer"))
    rig = await made(store, clock, sender)
    id = await rig.message(await rig.login())
    await rig.quiet()
    item, firsts = await open_item(rig), []

    class Slow(UncertainMender):
        async def mend(self, wanted: ToMend) -> Mended:
            firsts.append(await queue_of(rig).replay(item, "bo"))
            return await super().mend(wanted)

    queue = Review(rig.store, rig.clock, {ReviewKind.UNCERTAIN: Slow(rig.recorder)})
    assert await queue.replay(item, "ana") == firsts[0]
    await rig.quiet()
    assert sender.ids == [id] * 2


async def test_a_late_yes_takes_the_item_from_the_queue(store: Store, clock: Clock, sender: ScriptedSender):
    """Nobody is asked about a message of which the provider says by now that it has it."""
    rig = await made(store, clock, sender)
    id = await rig.message(await rig.login())
    sender.gate.clear()
    work = asyncio.create_task(rig.quiet())
    await sender.arrived.acquire()
    clock.forward(seconds=26)
    await rig.delivery.recover()
    item, queue = await open_item(rig), queue_of(rig)
    sender.gate.set()
    await work
    closed = await queue.get(item)
    assert closed["status"] == "discarded"
    assert [line["by"] for line in closed["history"]] == ["leadline"]
    with pytest.raises(Conflicting):
        await queue.replay(item, "ana")
    assert sender.ids == [id]


async def test_a_late_no_leaves_one_item(store: Store, clock: Clock):
    """A provider that says at last that a message did not arrive settles the doubt: one item remains, for that."""
    rig, _, id = await on_whatsapp(store, clock, ScriptedSender(Uncertain("cut")))
    assert (await rig.stored(id)).status is State.UNCERTAIN
    await Callbacks(rig.recorder, rig.delivery.settling).take(id, "SM1", "undelivered", "63024")
    item = await open_item(rig)
    queue = queue_of(rig)
    assert (await queue.get(item))["kind"] == "message"
    await queue.replay(item, "ana")
    assert (await rig.stored(id)).status is State.DUE


@pytest.mark.parametrize("code", ["63014", "63024"])
async def test_a_late_no_of_the_first_sending_holds(store: Store, clock: Clock, code: str):
    """A person had the message sent again, and then the provider says of the first sending that the person wants no
    more, or that the number is bad: nothing goes there, and the repeat of it changes nothing.
    """
    sender = ScriptedSender(Uncertain("cut"))
    rig, lead_id, id = await on_whatsapp(store, clock, sender)
    await queue_of(rig).replay(await open_item(rig), "ana")
    callbacks = Callbacks(rig.recorder, rig.delivery.settling)
    for status in ("undelivered", "failed"):
        assert await callbacks.take(id, "SM1", status, code)
        assert not await callbacks.take(id, "SM1", status, code)
    await rig.quiet()
    message, person = await rig.stored(id), await rig.person(lead_id)
    assert (message.status, len(message.callbacks), len(sender.given)) == (State.SKIPPED, 2, 1)
    told = (person.whatsapp_consent.status, [s.scope for s in person.suppressions][:1])
    assert told == (("denied", []) if code == "63014" else ("granted", ["all"]))
    assert len(await rig.events(lead_id, EventType.UNSUBSCRIBE)) == (code == "63014")


async def test_a_late_no_is_about_the_number_that_was_written_to(store: Store, clock: Clock):
    """Not about the one that the CRM has told meanwhile."""
    rig, lead_id, id = await on_whatsapp(store, clock, ScriptedSender(Sent("SM1")))
    clock.forward(seconds=1)
    await rig.login(phone="+4915198765432")
    assert await Callbacks(rig.recorder, rig.delivery.settling).take(id, "SM1", "undelivered", "63024")
    (suppression,) = (await rig.person(lead_id)).suppressions
    assert suppression.holds_for("+4915112345678")
    assert not suppression.holds_for("+4915198765432")


async def test_a_late_no_of_the_first_sending_is_about_its_number(store: Store, clock: Clock):
    """The message was sent again meanwhile, to the number that the CRM has told since."""
    sender = ScriptedSender(Uncertain("cut"), Sent("SM2"))
    rig, lead_id, id = await on_whatsapp(store, clock, sender)
    clock.forward(seconds=1)
    await rig.login(phone="+4915198765432")
    await queue_of(rig).replay(await open_item(rig), "ana")
    await rig.quiet()
    callbacks = Callbacks(rig.recorder, rig.delivery.settling)
    assert await callbacks.take(id, "SM1", "undelivered", "63024", to=sender.given[0].to)
    (suppression,) = (await rig.person(lead_id)).suppressions
    assert suppression.holds_for("+4915112345678")
    assert not suppression.holds_for(sender.given[1].to)


async def test_a_template_is_looked_at_again(store: Store, clock: Clock, sender: ScriptedSender):
    """While it does not render the item stays, with the new error; mended, it closes and nothing old is sent."""
    rig = await made(store, clock, sender)
    await rig.message(await rig.login(), template_id="offer", text=None)
    await rig.quiet()
    queue, item = queue_of(rig), await open_item(rig)
    with pytest.raises(Invalid) as raised:
        await queue.replay(item, "ana")
    assert raised.value.faults[0].path == "template_id"
    words = {"template_id": "offer", "channel": "email", "subject": "s", "text": "t"}
    await rig.templates.add(NewTemplate.model_validate(words))
    rig.templates.__init__(store)  # type: ignore[misc]  # what it remembers is a second old
    assert (await queue.replay(item, "ana"))["status"] == "replayed"
    await rig.quiet()
    assert sender.given == []


@pytest.mark.parametrize(
    ("outcomes", "tried", "attempt"),
    [([Refused("550 no such box")], False, 1), ([Later("451 busy")] * ATTEMPTS, True, ATTEMPTS)],
)
async def test_a_failure_is_told_to_the_other_rooms(
    store: Store, clock: Clock, outcomes: list[Later | Refused], tried: bool, attempt: int
):
    """In the commit that ends the message, with what is needed to tell others."""
    rig = await made(store, clock, ScriptedSender(*outcomes))
    heard: list[Failure] = []

    class Ear:
        def concerns(self, facts):
            return True

        async def read(self, store: Store, facts):
            heard.extend(facts.failures)

        def decide(self, facts, known):
            return ()

    rig.recorder.reactors = [*rig.recorder.reactors, Ear()]
    id = await rig.message(await rig.login())
    await rig.live(12, step=1)
    (failure,) = heard
    assert (failure.message_id, failure.channel, failure.tried, failure.attempt) == (id, Channel.EMAIL, tried, attempt)


async def test_a_message_that_came_in_is_answered_again(store: Store, clock: Clock):
    """Once per replay; when it fails again it is before a person again."""

    class Broken:
        heard = 0

        async def answer(self, heard: object) -> str:
            self.heard += 1
            raise RuntimeError("bug")

    answers = Broken()
    inbox = Inbox(store, answers, clock)
    form = {"MessageSid": "SM" + "0" * 32, "From": "whatsapp:+4915112345678", "To": "whatsapp:+1415", "Body": "Hi"}
    await inbox.take(form)
    queue = Review(store, clock, {ReviewKind.INBOUND: InboundMender(store, clock)})
    for round in (1, 2):
        for _ in range(INBOX_ATTEMPTS):
            await inbox.work()
            clock.forward(seconds=16)
        items, _ = await queue.list(kind=ReviewKind.INBOUND)
        assert answers.heard == round * INBOX_ATTEMPTS
        await queue.replay(items[0]["id"], "ana")
