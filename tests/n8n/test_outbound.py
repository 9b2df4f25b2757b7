"""Outbound events on their way: planned with their cause, in order, until they are delivered or a person decides."""

import asyncio
from typing import Any

import pytest

from n8n.outbound import Way
from n8n.outbound_events import OutboundType
from n8n.posting import Posted
from n8n.subscriptions import MOST
from tests.fakes import Clock
from tests.n8n.rig import OTHER, URL, CountingStore, Rig, ScriptedPoster
from tracker.errors import NotFound, Refused
from tracker.events import Channel, EventType
from tracker.retry import ATTEMPTS
from tracker.store.port import Insert, Store, Unavailable
from tracker.store.schema import OUTBOUND_DELIVERED, OUTBOUND_DUE, Kind
from tracker.times import later

DOWN = Posted("the receiver answered 503")
RECORDED, ALERT = OutboundType.ENGAGEMENT_RECORDED, OutboundType.ALERT_RAISED


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def rig(store: Store, clock: Clock) -> Rig:
    rig = Rig(store, clock)
    await rig.furnish()
    return rig


async def opened(rig: Rig, lead_id: str, times: int = 1) -> None:
    for _ in range(times):
        await rig.happen(lead_id, EventType.EMAIL_OPEN, Channel.EMAIL)


async def everything_due(rig: Rig, id: str) -> int:
    return len((await rig.store.find(OUTBOUND_DUE, id, limit=1000)).items)


async def test_nobody_who_wants_it_costs_nothing(store: Store, clock: Clock):
    """Without subscribers of a type nothing is written of it, and a commit reads nothing more than it would anyway."""
    counting = CountingStore(store)
    rig = Rig(counting, clock)
    await rig.furnish()
    await rig.login()
    await rig.login()
    counting.reads = 0
    for _ in range(10):
        await rig.login()
    assert counting.reads == 0, "logins of a known person read nothing"
    id = await rig.subscribe(OutboundType.LEAD_STAGE_CHANGED)
    await rig.login()
    await rig.login("u2")
    assert await everything_due(rig, id) == 0


async def test_what_another_process_registers_is_seen_after_a_second(store: Store, rig: Rig, clock: Clock):
    """The list is remembered for a second, no longer."""
    await rig.login()
    other = Rig(store, clock)
    await other.subscribe()
    await rig.login("u2")
    assert await rig.told() == []
    rig.ticks += 1.1
    await rig.login("u3")
    assert [event["type"] for event in await rig.told()] == ["lead.created", "engagement.recorded"]


async def test_an_event_is_kept_with_its_cause(store: Store, rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """When the commit is refused, nothing is told; when it is kept, the event is there before anybody delivers."""
    id = await rig.subscribe(OutboundType.LEAD_CREATED)
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit_each", _away)
        patch.setattr(store, "commit", _away)
        with pytest.raises(Unavailable):
            await rig.login()
    assert await everything_due(rig, id) == 0
    await rig.login()
    assert await everything_due(rig, id) == 1


async def _away(*_: Any, **more: Any) -> Any:
    raise Unavailable("the store is away")


async def test_each_receiver_gets_the_types_that_it_wants(rig: Rig):
    """A registration names its types; the same address registered again gets the new ones, and no event twice."""
    await rig.subscribe(OutboundType.LEAD_CREATED)
    await rig.subscribe(RECORDED, url=OTHER)
    await rig.login()
    await rig.quiet()
    assert [(got.url, got.event["type"]) for got in sorted(rig.poster.got)] == [
        (OTHER, "engagement.recorded"),
        (URL, "lead.created"),
    ]
    await rig.subscribe(RECORDED)
    await rig.login()
    assert [event["type"] for event in await rig.told()] == ["engagement.recorded"] * 2


async def test_events_of_a_lead_come_in_order(rig: Rig, clock: Clock):
    """The next waits until the one before has arrived, however long that takes; other leads do not wait with it."""
    first, second = await rig.login("u1"), await rig.login("u2")
    await rig.subscribe(RECORDED)
    rig.poster.refusing[URL] = DOWN
    await opened(rig, first, times=3)
    await rig.quiet()
    assert len(rig.poster.got) == 1
    del rig.poster.refusing[URL]
    await opened(rig, second)
    assert [event["data"]["lead_id"] for event in await rig.told()] == [second]
    clock.forward(hours=1)
    await rig.quiet()
    scores = [got.event["data"]["engagement_score"] for got in rig.poster.got if got.event["data"]["lead_id"] == first]
    assert scores == sorted(scores)
    assert len(scores) == 4, "one was sent twice"
    assert len({got.event["id"] for got in rig.poster.got}) == 4


async def test_a_lane_is_gone_when_nothing_waits(rig: Rig):
    """Millions of quiet leads leave nothing behind but what was delivered."""
    lead_id, id = await rig.login(), await rig.subscribe(RECORDED)
    await opened(rig, lead_id, times=2)
    assert (await rig.store.get(Kind.OUTBOUND_LANES, f"{id}:{lead_id}"))[0] is not None
    await rig.quiet()
    assert await rig.store.get(Kind.OUTBOUND_LANES, f"{id}:{lead_id}") == [None]
    await opened(rig, lead_id)
    assert len(await rig.told()) == 1


async def test_many_at_once_lose_none_and_keep_order(rig: Rig):
    """Planners and senders meet on one lane: each event arrives once, in the order of the ledger."""
    lead_id = await rig.login()
    await rig.subscribe(RECORDED)

    async def plan() -> None:
        for _ in range(10):
            await opened(rig, lead_id)

    async def send() -> None:
        for _ in range(40):
            await rig.deliverer.work()
            await asyncio.sleep(0)

    await asyncio.gather(plan(), plan(), plan(), send())
    await rig.quiet()
    scores = [got.event["data"]["engagement_score"] for got in rig.poster.got]
    assert len(scores) == 30
    assert scores == sorted(scores)


async def test_several_processes_send_each_event_once(store: Store, rig: Rig, clock: Clock):
    """A claim is a write: whoever loses it leaves the event alone."""
    await rig.subscribe(RECORDED)
    others = [Rig(store, clock, rig.poster) for _ in range(3)]
    for n in range(20):
        await rig.login(f"u{n}")
    await asyncio.gather(*(each.quiet() for each in [rig, *others]))
    ids = [got.event["id"] for got in rig.poster.got]
    assert len(ids) == len(set(ids)) == 20


async def test_a_crash_between_sending_and_settling_repeats_with_the_same_id(
    rig: Rig, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """The receiver may see an event twice, never under two ids; another process waits until the lease is over."""
    id = await rig.subscribe(RECORDED)
    await rig.login()
    with monkeypatch.context() as patch:
        patch.setattr(rig.deliverer, "_settle", _away)
        await rig.deliverer.work()
    assert await rig.told() == []
    clock.forward(seconds=26)
    assert len(await rig.told()) == 1
    (first, second) = rig.poster.got
    assert first.event == second.event
    assert (await rig.outgoing(first.event["id"], id)).status is Way.DELIVERED


async def test_what_fails_is_tried_again_later(store: Store, clock: Clock):
    """With growing pauses, and not before the receiver wants it."""
    rig = Rig(store, clock, ScriptedPoster(DOWN, Posted("the receiver answered 429", after=600)))
    await rig.furnish()
    id = await rig.subscribe(RECORDED)
    await rig.login()
    (event,) = await rig.told()
    assert (await rig.outgoing(event["id"], id)).error == DOWN.error
    clock.forward(seconds=121)
    assert await rig.told() == [event]
    assert (await rig.outgoing(event["id"], id)).due_at >= later(clock(), seconds=600)
    clock.forward(seconds=599)
    assert await rig.told() == []
    clock.forward(hours=1)
    assert await rig.told() == [event]
    kept = await rig.outgoing(event["id"], id)
    assert (kept.status, kept.attempts, kept.error) == (Way.DELIVERED, 3, None)


async def exhaust(rig: Rig, clock: Clock) -> None:
    for _ in range(ATTEMPTS + 1):
        await rig.quiet()
        clock.forward(hours=2)


async def test_six_failures_put_an_event_before_a_person(rig: Rig, clock: Clock):
    """The item shows the event and not the receiver's path, which may be a secret; the lead's next event goes."""
    lead_id = await rig.login()
    id = await rig.subscribe(RECORDED)
    rig.poster.refusing[URL] = DOWN
    await opened(rig, lead_id)
    await exhaust(rig, clock)
    assert len(rig.poster.got) == ATTEMPTS
    (item,) = (await rig.review.list())[0]
    assert (item["kind"], item["status"], item["lead_id"], item["error"]) == ("outbound", "open", lead_id, DOWN.error)
    assert item["input"]["event"] == rig.poster.got[0].event
    assert "receiver.test" in item["reason"]
    assert item["attempts"] == ATTEMPTS
    assert "/hook" not in str(item)
    assert (await rig.outgoing(rig.poster.got[0].event["id"], id)).status is Way.DEAD
    del rig.poster.refusing[URL]
    await opened(rig, lead_id)
    assert len(await rig.told()) == 1


async def test_a_replay_sends_an_event_again_with_its_id(rig: Rig, clock: Clock):
    """Once, whoever presses the button how often; six more failures make an item of their own."""
    lead_id = await rig.login()
    await rig.subscribe(RECORDED)
    rig.poster.refusing[URL] = DOWN
    await opened(rig, lead_id)
    await exhaust(rig, clock)
    (item,) = (await rig.review.list())[0]
    done = await asyncio.gather(*(rig.review.replay(item["id"], "ana") for _ in range(5)))
    assert {one["status"] for one in done} == {"replayed"}
    assert all(one == done[0] for one in done)
    await exhaust(rig, clock)
    assert len(rig.poster.got) == 2 * ATTEMPTS
    _, again = (await rig.review.list())[0]
    await rig.review.replay(again["id"], "ana")
    del rig.poster.refusing[URL]
    (event,) = await rig.told()
    assert event["id"] == rig.poster.got[0].event["id"]


async def test_a_replay_joins_behind_what_waits(rig: Rig, clock: Clock):
    """What a person sends again does not overtake and is not overtaken."""
    lead_id = await rig.login()
    await rig.subscribe(RECORDED)
    rig.poster.refusing[URL] = DOWN
    await opened(rig, lead_id)
    await exhaust(rig, clock)
    await opened(rig, lead_id)
    (item,) = (await rig.review.list())[0]
    await rig.review.replay(item["id"], "ana")
    del rig.poster.refusing[URL]
    later_one, again = await rig.told()
    assert again["id"] == item["input"]["event"]["id"] != later_one["id"]


async def test_other_receivers_hear_that_one_cannot_be_reached(rig: Rig, clock: Clock):
    """An alert, once; of an alert that cannot be delivered nobody is alerted."""
    await rig.login()
    await rig.subscribe(RECORDED, ALERT)
    await rig.subscribe(ALERT, url=OTHER)
    rig.poster.refusing[URL] = DOWN
    lead_id = await rig.login()
    await exhaust(rig, clock)
    (alert,) = [got.event for got in rig.poster.got if got.url == OTHER]
    assert (alert["type"], alert["data"]["alert"], alert["data"]["lead_id"]) == (
        "alert.raised",
        "outbound_given_up",
        lead_id,
    )
    rig.poster.refusing[OTHER] = DOWN
    await rig.login()
    await exhaust(rig, clock)
    await exhaust(rig, clock)
    assert sum(got.event["type"] == ALERT for got in rig.poster.got if got.url == URL) == 0


async def test_a_receiver_that_is_slow_holds_up_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """One that never answers costs the others nothing."""
    stuck = asyncio.Event()
    post = rig.poster.post

    async def slowly(url: str, body: bytes, secret: str) -> Posted:
        if url == URL:
            await stuck.wait()
        return await post(url, body, secret)

    monkeypatch.setattr(rig.poster, "post", slowly)
    await rig.subscribe(RECORDED)
    await rig.subscribe(RECORDED, url=OTHER)
    await rig.login()
    await rig.deliverer.work()
    await rig.login("u2")
    await rig.deliverer.work()
    assert [got.url for got in rig.poster.got] == [OTHER, OTHER]
    stuck.set()
    await rig.deliverer.close()


async def test_who_leaves_gets_nothing_more(rig: Rig, clock: Clock):
    """What waits for a receiver that was removed is dropped, and after a while nothing of it is left."""
    lead_id = await rig.login()
    id = await rig.subscribe(RECORDED)
    await rig.subscribe(RECORDED, url=OTHER)
    await opened(rig, lead_id, times=5)
    await rig.subscriptions.remove(id)
    await opened(rig, lead_id)
    await rig.quiet()
    assert {got.url for got in rig.poster.got} == {OTHER}
    assert len(rig.poster.got) == 6
    assert await everything_due(rig, id) == 0
    assert await rig.store.get(Kind.OUTBOUND_LANES, f"{id}:{lead_id}") == [None]
    with pytest.raises(NotFound):
        await rig.subscriptions.remove(id)
    clock.forward(seconds=61)
    await rig.quiet()
    assert await rig.store.get(Kind.SUBSCRIPTIONS, id) == [None]


async def test_an_event_for_nobody_is_not_sent_again(rig: Rig, clock: Clock):
    """A replay for a receiver that is gone is refused in words."""
    await rig.login()
    id = await rig.subscribe(RECORDED)
    rig.poster.refusing[URL] = DOWN
    await rig.login()
    await exhaust(rig, clock)
    await rig.subscriptions.remove(id)
    (item,) = (await rig.review.list())[0]
    with pytest.raises(Refused, match="nobody subscribes"):
        await rig.review.replay(item["id"], "ana")
    assert (await rig.review.discard(item["id"], "ana"))["status"] == "discarded"


async def test_addresses_of_the_settings_come_and_go_with_them(rig: Rig):
    """They get every type; what is taken out of the setting gets nothing more; the API does not touch them."""
    await rig.subscriptions.adopt([URL, OTHER])
    known = await rig.subscriptions.fresh()
    assert {one.url for one in known.subscriptions.values()} == {URL, OTHER}
    assert known.types == set(OutboundType)
    with pytest.raises(Refused, match="LEADLINE_OUTBOUND_URLS"):
        await rig.subscribe(RECORDED)
    with pytest.raises(Refused, match="LEADLINE_OUTBOUND_URLS"):
        await rig.subscriptions.remove(next(iter(known.subscriptions)))
    await rig.subscriptions.adopt([OTHER])
    assert [one.url for one in (await rig.subscriptions.fresh()).subscriptions.values()] == [OTHER]
    await rig.subscriptions.adopt([URL])
    assert [one.url for one in (await rig.subscriptions.fresh()).subscriptions.values()] == [URL]


async def test_a_secret_is_made_where_there_is_none(rig: Rig):
    """It is told once; registering the address again keeps it."""
    rig.subscriptions.secret = None
    made = await rig.subscriptions.add(URL, [RECORDED])
    assert made.secret is not None
    assert len(made.secret) > 30
    again = await rig.subscriptions.add(URL, [RECORDED])
    assert (again.new, again.secret, again.subscription.secret) == (False, None, made.secret)
    own = await rig.subscriptions.add(OTHER, [RECORDED], "a secret of the receiver")
    assert (own.secret, own.subscription.secret) == (None, "a secret of the receiver")


async def test_there_is_a_most(rig: Rig):
    """Each receiver costs every commit something, so their number is bounded."""
    for n in range(MOST):
        await rig.subscribe(url=f"https://r{n}.test/")
    with pytest.raises(Refused, match="remove one first"):
        await rig.subscribe(url="https://one-more.test/")
    await rig.subscribe(RECORDED, url="https://r7.test/")


async def test_what_was_delivered_is_forgotten_after_a_week(rig: Rig, clock: Clock):
    """The disk does not fill with what has arrived."""
    await rig.subscribe(RECORDED)
    await rig.login()
    await rig.quiet()
    clock.forward(hours=24 * 7 - 1)
    assert await rig.deliverer.forget() == 0
    clock.forward(hours=2)
    assert await rig.deliverer.forget() == 1
    assert (await rig.store.find(OUTBOUND_DELIVERED)).items == []


async def test_a_busy_receiver_does_not_outgrow_the_forgetting(rig: Rig, clock: Clock):
    """All that is old enough goes at once, however much was delivered in an hour: it names people."""
    await rig.subscribe(RECORDED)
    await rig.login()
    await rig.quiet()
    (one,) = await rig.delivered()
    many = [[Insert(one.kind, f"{one.id}-{n}", one.body)] for n in range(600)]
    assert not any(await rig.store.commit_each(many))
    clock.forward(hours=24 * 7 + 1)
    assert await rig.deliverer.forget() == 601
    assert await rig.delivered() == []
