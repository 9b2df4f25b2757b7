"""A threshold that nobody answers in time raises an alert, once; one that somebody answered raises none."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.privacy import make_privacy
from n8n.outbound_events import OutboundType
from n8n.thresholds import ANSWER_MINUTES, OpenThresholds
from tests.fakes import Clock
from tests.n8n.rig import CountingStore, Rig
from tracker.errors import Invalid, Refused
from tracker.events import Channel, EventType
from tracker.merges import Merges
from tracker.ports import Facts
from tracker.stages import Stage
from tracker.store.port import Document, Insert, Store, Unavailable
from tracker.store.schema import EVENTS_BY_LEAD, THRESHOLDS_DUE, Kind

REACHED, ALERT = OutboundType.LEAD_THRESHOLD_REACHED, OutboundType.ALERT_RAISED
LATE = 60 * ANSWER_MINUTES
_ANY: Any = None
RULES = {"login_points": 5, "qualification_threshold": 20, "whatsapp_reply_points": 0, "answer_points": {}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def made(store: Store, clock: Clock, **config: Any) -> Rig:
    """A rig whose leads need two logins to be engaged and four to be qualified, and n8n to become it."""
    rig = Rig(store, clock)
    await rig.furnish(**{"engaged_threshold": 10, "stage_policy": "n8n", "scoring_rules": RULES, **config})
    return rig


@pytest.fixture
async def rig(store: Store, clock: Clock) -> Rig:
    rig = await made(store, clock)
    await rig.subscribe(REACHED, ALERT)
    return rig


async def engaged(rig: Rig, user: str = "u1", logins: int = 2) -> str:
    return [await rig.login(user) for _ in range(logins)][-1]


async def waiting(rig: Rig) -> list[Document]:
    return (await rig.store.find(THRESHOLDS_DUE, limit=1000)).items


async def items(rig: Rig) -> list[Mapping[str, Any]]:
    return [item for item in (await rig.review.list())[0] if item["kind"] == "threshold"]


async def test_nobody_answers(rig: Rig, clock: Clock):
    """After 15 minutes, and not before: an event for whoever subscribes, an item for whoever looks; then silence."""
    lead_id = await engaged(rig)
    (announced,) = await rig.told(REACHED)
    clock.forward(seconds=LATE - 0.001)
    assert await rig.thresholds.tick() == 0
    assert await rig.told(ALERT) == []
    clock.forward(seconds=0.001)
    assert await rig.thresholds.tick() == 1
    (raised,) = await rig.told(ALERT)
    assert raised["data"] | {"text": ""} == {
        "lead_id": lead_id,
        "person_id": (await rig.recorder.load(lead_id)).person_id,
        "product_id": "flow",
        "stage": "User",
        "engagement_score": 10,
        "alert": "threshold_unanswered",
        "text": "",
        "threshold": "engaged",
        "to": "Engaged_Lead",
        "reason": "score 10 reached 10",
        "event_id": announced["id"],
        "reached_at": announced["created_at"],
    }
    assert "15 minutes" in raised["data"]["text"]
    (item,) = await items(rig)
    assert (item["status"], item["lead_id"], item["input"]["event"]) == ("open", lead_id, announced)
    assert item["reason"] == "nobody has decided on Engaged_Lead for 15 minutes"
    assert await waiting(rig) == []
    clock.forward(hours=24)
    assert await rig.thresholds.tick() == 0
    assert await rig.told() == []


async def test_somebody_answers(rig: Rig, clock: Clock):
    """A stage that was posted, a step beyond it, or a decision that was taken back again: nobody is alerted."""
    posted, beyond, back = [await engaged(rig, user) for user in ("u1", "u2", "u3")]
    clock.forward(seconds=60)
    for lead_id in (posted, beyond, back):
        await rig.recorder.move(lead_id, Stage.ENGAGED, actor="n8n", reason="score")
    await rig.recorder.move(beyond, Stage.QUALIFIED, actor="ana", reason="spoke")
    await rig.recorder.revert(back, actor="ana", reason="too early")
    await rig.told()
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    assert (await rig.told(ALERT), await items(rig), await waiting(rig)) == ([], [], [])


async def test_each_threshold_wants_an_answer_of_its_own(rig: Rig, clock: Clock):
    """A lead that was made an engaged one is not thereby answered about its qualification."""
    lead_id = await engaged(rig, logins=4)
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="n8n", reason="score")
    await rig.told()
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1
    (raised,) = await rig.told(ALERT)
    assert (raised["data"]["threshold"], raised["data"]["stage"]) == ("qualified", "Engaged_Lead")


async def test_a_decision_before_is_no_answer(rig: Rig, clock: Clock):
    """Who was once taken back has come to the threshold anew, and somebody has to decide anew."""
    lead_id = await engaged(rig, logins=1)
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="ana", reason="spoke")
    await rig.recorder.revert(lead_id, actor="ana", reason="a mistake")
    clock.forward(seconds=1)
    await engaged(rig, logins=1)
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1


async def test_what_is_settled_already_is_not_waited_for(rig: Rig):
    """Whoever is ahead of the threshold when it is reached needs no decision."""
    lead_id = await rig.lead()
    for stage in (Stage.ENGAGED, Stage.QUALIFIED):
        await rig.recorder.move(lead_id, stage, actor="ana", reason="spoke")
    assert await rig.login(email="dana@example.com") == lead_id
    await engaged(rig, logins=3)
    assert [event["data"]["threshold"] for event in await rig.told(REACHED)] == ["engaged", "qualified"]
    assert await waiting(rig) == []


async def test_what_no_longer_holds_is_dropped(rig: Rig, clock: Clock):
    """The score fell again because a machine did it."""
    lead_id = await engaged(rig, logins=1)
    for _ in range(2):
        await rig.happen(lead_id, EventType.EMAIL_CLICK, Channel.EMAIL)
    (threshold,) = await waiting(rig)
    (event,) = await rig.told(REACHED)
    assert threshold.id == event["id"]
    events = (await rig.store.find(EVENTS_BY_LEAD, lead_id, limit=10)).items
    key = next(d.id for d in events if d.body["event_type"] == "email_click")
    await rig.recorder.reclassify(key, machine=True)
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    assert await waiting(rig) == []


async def test_the_last_answer_makes_it_due(store: Store, clock: Clock):
    """While answers are missing nobody can qualify the lead; with the last one the time begins."""
    rig = await made(store, clock, qualification={"required": ["budget"]})
    await rig.subscribe(REACHED, ALERT)
    lead_id = await engaged(rig, logins=4)
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="n8n", reason="score")
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    await rig.happen(lead_id, EventType.QUALIFICATION_ANSWER, Channel.CHATBOT, slot="budget", value="10k")
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1
    assert [event["data"]["to"] for event in await rig.told(ALERT)] == ["Qualified_Lead"]


async def test_a_first_reply_wants_an_answer_too(rig: Rig, clock: Clock):
    """Whatever the score."""
    lead_id = await rig.lead()
    await rig.happen(lead_id, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1
    (raised,) = await rig.told(ALERT)
    assert (raised["data"]["reason"], raised["data"]["engagement_score"]) == ("first answer on whatsapp", 0)


async def test_where_nobody_subscribes_a_person_still_sees_it(store: Store, clock: Clock):
    """That no workflow listens is the very trouble."""
    rig = await made(store, clock)
    await engaged(rig)
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1
    assert len(await items(rig)) == 1


async def test_under_the_automatic_policy_it_costs_nothing(store: Store, clock: Clock):
    """Nothing is kept of a threshold that nobody has to answer, and nothing is read."""
    counting = CountingStore(store)
    rig = await made(counting, clock, stage_policy="automatic")
    await rig.login()
    counting.reads = 0
    await engaged(rig, logins=4)
    assert counting.reads == 0
    assert await waiting(rig) == []
    config = (await rig.recorder.load(await rig.login())).config.config
    facts = Facts(lead_id="", lead=_ANY, person=_ANY, config=config, now=clock())
    assert not OpenThresholds().concerns(facts)


async def test_many_processes_raise_it_once(store: Store, rig: Rig, clock: Clock):
    """Each looks at the same moment, and again after a restart: one event and one item for each threshold."""
    for n in range(20):
        await engaged(rig, f"u{n}")
    await rig.told()
    clock.forward(seconds=LATE)
    others = [Rig(store, clock, rig.poster) for _ in range(3)]
    raised = await asyncio.gather(*(each.thresholds.tick() for each in [rig, *others]))
    assert sum(raised) == 20
    assert await Rig(store, clock).thresholds.tick() == 0
    assert len(await rig.told(ALERT)) == len(await items(rig)) == 20


async def test_a_crash_leaves_it_to_the_next_tick(rig: Rig, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    """The alert, the item and the end of the wait are one commit."""
    await engaged(rig)
    await rig.told()
    clock.forward(seconds=LATE)

    async def away(*_: Any) -> None:
        raise Unavailable("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "commit", away)
        with pytest.raises(Unavailable):
            await rig.thresholds.tick()
    assert (await rig.told(ALERT), await items(rig), len(await waiting(rig))) == ([], [], 1)
    assert await rig.thresholds.tick() == 1
    assert len(await rig.told(ALERT)) == 1


async def test_an_answer_in_the_last_moment_counts(rig: Rig, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    """It comes after the lead was looked at and before the alert is kept: the tick looks again."""
    lead_id = await engaged(rig)
    await rig.told()
    clock.forward(seconds=LATE)
    known = rig.subscriptions.known

    async def answered_meanwhile() -> Any:
        monkeypatch.undo()
        await rig.recorder.move(lead_id, Stage.ENGAGED, actor="n8n", reason="score")
        return await known()

    monkeypatch.setattr(rig.subscriptions, "known", answered_meanwhile)
    assert await rig.thresholds.tick() == 0
    assert (await rig.told(ALERT), await items(rig), await waiting(rig)) == ([], [], [])


async def test_one_that_cannot_be_read_costs_the_others_nothing(rig: Rig, clock: Clock):
    """It is told in the log; the rest is raised."""
    await rig.store.commit(Insert(Kind.THRESHOLDS, "evt_0", {"due_at": "2026-01-01T00:00:00.000Z", "lead_id": "x"}))
    await engaged(rig)
    clock.forward(seconds=LATE)
    with capture_logs() as logs:
        assert await rig.thresholds.tick() == 1
    assert [entry["event"] for entry in logs] == ["a threshold could not be looked at"]


async def test_a_merged_lead_is_asked_about_as_the_one_that_it_is(rig: Rig, clock: Clock):
    """The alert names the survivor; an answer given to either is one; nothing stays behind."""
    older, younger = await engaged(rig, "u1", logins=1), await engaged(rig, "u2")
    persons = [(await rig.recorder.load(id)).person_id for id in (older, younger)]
    await rig.told()
    await Merges(rig.recorder).merge(persons[0], persons[1], by="tests")
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1
    (raised,) = await rig.told(ALERT)
    assert (raised["data"]["lead_id"], raised["data"]["engagement_score"]) == (older, 15)
    assert await waiting(rig) == []
    (item,) = await items(rig)
    assert item["lead_id"] == older


async def test_a_lead_that_moves_by_itself_waits_for_nobody(store: Store, clock: Clock):
    """It was absorbed by one of a version whose policy is automatic."""
    rig = await made(store, clock, stage_policy="automatic", engaged_threshold=100)
    older = await engaged(rig, "u1", logins=1)
    await rig.furnish(engaged_threshold=10, stage_policy="n8n", scoring_rules=RULES)
    younger = await engaged(rig, "u2", logins=30)
    assert len(await waiting(rig)) == 2
    persons = [(await rig.recorder.load(id)).person_id for id in (older, younger)]
    await Merges(rig.recorder).merge(persons[0], persons[1], by="tests")
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    assert await waiting(rig) == []


async def test_an_answer_to_an_absorbed_lead_counts(rig: Rig, clock: Clock):
    """It was given before the merge, and taken back: somebody has decided."""
    older, younger = await engaged(rig, "u1", logins=1), await engaged(rig, "u2")
    persons = [(await rig.recorder.load(id)).person_id for id in (older, younger)]
    await rig.recorder.move(younger, Stage.ENGAGED, actor="n8n", reason="score")
    await rig.recorder.revert(younger, actor="ana", reason="too early")
    await Merges(rig.recorder).merge(persons[0], persons[1], by="tests")
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    assert await waiting(rig) == []


async def test_who_is_erased_leaves_none(rig: Rig, clock: Clock, tmp_path: Path):
    """It is in the export, goes with the person, and nobody is alerted of somebody who is gone."""
    lead_id = await engaged(rig)
    person_id = (await rig.recorder.load(lead_id)).person_id
    privacy = make_privacy(rig.recorder, tmp_path)
    assert len((await privacy.export(person_id))["thresholds"]) == 1
    (left,) = await waiting(rig)
    receipt = await privacy.erase(person_id, by="tests")
    assert receipt.erasure.counts["thresholds"] == 1
    assert await waiting(rig) == []
    await rig.store.commit(Insert(Kind.THRESHOLDS, left.id, left.body))
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    assert await waiting(rig) == []


async def test_a_person_has_it_announced_again(rig: Rig, clock: Clock):
    """With an id of its own, as it stands now; an answer is waited for as the first time."""
    lead_id = await engaged(rig)
    (first,) = await rig.told(REACHED)
    clock.forward(seconds=LATE)
    await rig.thresholds.tick()
    await rig.login()
    (item,) = await items(rig)
    with pytest.raises(Invalid):
        await rig.review.replay(item["id"], "ana", {"event": {}})
    assert (await rig.review.replay(item["id"], "ana"))["status"] == "replayed"
    assert (await rig.review.replay(item["id"], "ana"))["status"] == "replayed"
    (again,) = await rig.told(REACHED)
    assert again["id"] != first["id"]
    assert again["data"] == {**first["data"], "engagement_score": 15}
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 1
    assert [item["status"] for item in await items(rig)] == ["replayed", "open"]
    await rig.recorder.move(lead_id, Stage.ENGAGED, actor="n8n", reason="score")
    done = await rig.review.replay((await items(rig))[1]["id"], "ana")
    assert done["history"][-1]["did"] == "closed: it has been decided on"
    await rig.told()
    clock.forward(seconds=LATE)
    assert await rig.thresholds.tick() == 0
    assert await rig.told() == []


async def test_where_nobody_listens_it_cannot_be_announced(store: Store, clock: Clock):
    """The item says so and stays open."""
    rig = await made(store, clock)
    await engaged(rig)
    clock.forward(seconds=LATE)
    await rig.thresholds.tick()
    (item,) = await items(rig)
    with pytest.raises(Refused, match="nobody subscribes"):
        await rig.review.replay(item["id"], "ana")
    assert [one["status"] for one in await items(rig)] == ["open"]
