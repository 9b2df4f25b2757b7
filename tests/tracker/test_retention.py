"""Retention: what each product keeps for how long, over a server and its store, with a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from channels.messages import Category, Message, ended, planned
from channels.states import State
from config.retention import RULES, make_retention
from n8n.posting import Posted, Poster
from tests.e2e.client import Api, login
from tests.fakes import Clock
from tests.talking import Served, serving
from tracker import retention
from tracker.events import Channel
from tracker.lead import Lead
from tracker.retention import is_due, is_idle, places, review_days
from tracker.retry import ATTEMPTS
from tracker.store.port import Document, Store
from tracker.store.schema import INDEXES, Index, Kind
from tracker.times import instant, later

Json = dict[str, Any]
DAYS = 24.0
NOW = Clock()()


# what is due


@pytest.mark.parametrize(
    ("ago", "days", "due"), [(29.9, 30, False), (30.0, 30, True), (99.0, None, False), (None, 30, False)]
)
def test_due_is_what_ended_long_enough_ago(ago: float | None, days: int | None, due: bool) -> None:
    """To the moment; what has not ended, or is kept for good, never is."""
    end = None if ago is None else later(NOW, hours=-DAYS * ago)
    assert is_due(end, days, NOW) is due


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, []),
        ({"a": {}}, []),
        ({"a": {"turns": 1}}, ["leads:a"]),
        ({"b": {"review": 1}, "a": {"leads": 1}}, ["leads:a", "leads:b", "review:discarded", "review:replayed"]),
    ],
)
def test_the_walk_goes_where_something_may_be_due(given: Any, wanted: list[str]) -> None:
    """Only through products that want it, in an order that a change of products does not upset."""
    assert places(given) == wanted


def test_an_item_of_no_product_is_kept_as_long_as_any() -> None:
    """A record that names no product there is follows the most patient one; a product without a limit keeps its own."""
    policies: Any = {"a": {"review": 10}, "b": {"review": 90}, "c": {"turns": 1}}
    products = {"a", "b", "c", "d"}
    wanted = {"a": 10, "b": 90, "c": None, "d": None, "typo": 90, None: 90}
    assert {name: review_days(name, policies, products) for name in wanted} == wanted
    assert review_days("typo", {}, products) is None


def lead(days_ago: float, product_id: str = "a", **more: Any) -> Lead:
    at = later(NOW, hours=-DAYS * days_ago)
    return Lead(person_id="p", product_id=product_id, config_number=1, created_at=at, updated_at=at, **more)


def test_a_person_is_idle_when_every_lead_is() -> None:
    """One busy lead, one that waits for somebody, or one of a product that keeps leads for good: the person stays."""
    policies: Any = {"a": {"leads": 30}, "b": {"leads": 60}, "c": {"turns": 1}}

    def idle(*leads: Lead) -> bool:
        return is_idle(leads, policies, NOW)

    assert idle(lead(31))
    assert idle(lead(31), lead(61, "b"))
    assert not idle(lead(29))
    assert not idle(lead(31), lead(31, "b"))
    assert not idle(lead(31), lead(400, "c"))
    assert not idle(lead(31, handoff_id="h"))


@pytest.mark.parametrize("state", list(State))
def test_a_message_ends_when_nothing_moves_it_any_more(state: State) -> None:
    """What waits, is being sent or may have been sent stays, however old it is."""
    at = instant(NOW)
    message: Message = planned(
        lead_id="l", person_id="p", product_id="a", channel=Channel.EMAIL, category=Category.REPLY, due_at=at, at=at
    ).but(status=state, waiting=state in {State.PLANNED, State.DUE, State.HELD})
    moving = {State.PLANNED, State.DUE, State.HELD, State.SENDING, State.UNCERTAIN}
    assert ended(Document(Kind.MESSAGES, "m", 1, message.body())) == (None if state in moving else at)


# the walk


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def served(store: Store, tmp_path: Path, clock: Clock) -> AsyncIterator[Served]:
    async with serving(store, tmp_path, clock=clock) as served:
        yield served


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(served.server, served.url, session)


@pytest.fixture(autouse=True)
def _little_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    monkeypatch.setattr(retention, "LEADS", 2)
    monkeypatch.setattr(retention, "PERSONS", 2)


async def everything(store: Store, kind: Kind) -> list[Document]:
    return (await store.find(Index(f"{kind}_by_id", kind, (), "id"), limit=1000)).items


async def rounds(api: Api, clock: Clock) -> int:
    """A day of ticks: a round, however many chunks it takes."""
    clock.forward(hours=25)
    removed = 0
    for _ in range(40):
        removed += await api.server.retention.tick()
    return removed


async def told(api: Api, action: str = "retention.purge") -> list[tuple[str, str]]:
    entries = (await api.get("/audit?limit=1000")).body["items"]
    return [(e["subject"], e["detail"]) for e in entries if e["action"] == action]


async def talk(api: Api, texts: int, product_id: str = "flowdesk") -> Json:
    known: Json = {}
    for n in range(texts):
        body = {"product_id": product_id, "text": f"words {n}", **known}
        reply = await api.post("/chat/messages", body, key=None)
        assert reply.status == 200, reply
        known = {name: reply.body[name] for name in ("visitor", "token")}
    return known


async def test_turns_go_and_the_score_stays(api: Api, clock: Clock, store: Store) -> None:
    """After their days the words are gone, chunk by chunk and audited; the ledger, which makes the score, is whole.
    The conversation goes on: its next turn is a new one."""
    await api.product(retention_days={"turns": 30})
    who = await talk(api, 8)
    (before,) = (await api.get("/leads")).body["items"]
    assert await rounds(api, clock) == 0
    clock.forward(hours=DAYS * 30)
    assert await rounds(api, clock) == 8 + 1
    assert await everything(store, Kind.TURNS) == []
    assert "words" not in str(await everything(store, Kind.CONVERSATIONS))
    assert [subject for subject, _ in await told(api)] == ["flowdesk"] * 3
    assert sum(int(detail.removeprefix("turns ")) for _, detail in await told(api)) == 9
    (after,) = (await api.get("/leads")).body["items"]
    assert after["engagement_score"] == before["engagement_score"] > 0
    assert (await api.get(f"/leads/{after['id']}/timeline")).status == 200
    assert await rounds(api, clock) == 0
    reply = await api.post("/chat/messages", {"product_id": "flowdesk", "text": "again", **who}, key=None)
    assert (reply.status, reply.body["visitor"]) == (200, who["visitor"])
    assert len(await everything(store, Kind.TURNS)) == 1


async def test_a_number_is_about_four_kinds(api: Api, clock: Clock, store: Store) -> None:
    """Turns, messages that are settled, handoffs that are resolved and items that are closed go; what is open stays,
    and so does everything of a product that says nothing."""
    await api.product(retention_days=10)
    await api.product("gridwise")
    for product_id in ("flowdesk", "gridwise"):
        await talk(api, 1, product_id)
        for n in range(2):
            await api.post("/chat/messages", {"product_id": product_id, "text": f"a person {n}"}, key=None)
        waiting = (await api.get("/handoffs?status=open")).body["items"]
        one = next(handoff["id"] for handoff in waiting if handoff["product_id"] == product_id)
        await api.post(f"/handoffs/{one}/resolve")
        item = (await api.get(f"/leads?product_id={product_id}")).body["items"][0]
        for when in ({}, {"send_at": "2026-12-01T00:00:00Z"}):
            sent = {"lead_id": item["id"], "channel": "chatbot", "text": "hi", **when}
            assert (await api.post("/messages/send", sent)).status == 202
        for n in range(2):
            bad = login(event_id=f"{product_id}{n}", product_id=product_id, occurred_at="never")
            (result,) = (await api.post("/events/logins", bad)).body["results"]
        await api.post(f"/review/{result['review_id']}/discard")
    await api.server.delivery.work()
    counts = {kind: len(await everything(store, kind)) for kind in KINDS}
    clock.forward(hours=DAYS * 10)
    await rounds(api, clock)
    gone = {kind: counts[kind] - len(await everything(store, kind)) for kind in KINDS}
    assert gone == {Kind.TURNS: 3, Kind.MESSAGES: 1, Kind.HANDOFFS: 1, Kind.REVIEW: 1}
    assert {subject for subject, _ in await told(api)} == {"flowdesk"}
    assert len((await api.get("/handoffs?status=open")).body["items"]) == 2
    assert {d.body["status"] for d in await everything(store, Kind.MESSAGES)} == {"planned", "sent"}


KINDS = (Kind.TURNS, Kind.MESSAGES, Kind.HANDOFFS, Kind.REVIEW)


async def test_an_event_that_was_given_up_goes_with_its_item(
    api: Api, clock: Clock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody can send any more is as old as the item that told of it; while that is open, it may be sent yet."""

    async def post(*_: Any) -> Posted:
        return Posted("no answer")

    await api.product(retention_days=10)
    made = await api.post("/subscriptions", {"url": "https://hooks.example.com/x", "types": ["lead.created"]})
    assert made.status == 201
    monkeypatch.setattr(Poster, "post", post)
    for _ in range(2):
        await api.lead()
    for _ in range(ATTEMPTS):
        await api.server.outbound.deliverer.work()
        clock.forward(hours=2)
    one, other = (await api.get("/review?kind=outbound")).body["items"]
    await api.post(f"/review/{one['id']}/discard")
    clock.forward(hours=DAYS * 10)
    await rounds(api, clock)
    assert [d.id for d in await everything(store, Kind.OUTBOUND)] == [other["input"]["outbound_id"]]
    assert (await api.get(f"/review/{one['id']}")).status == 404
    assert (await api.post(f"/review/{other['id']}/replay")).status == 200


async def test_idle_people_are_erased(api: Api, clock: Clock, store: Store) -> None:
    """Whoever did nothing anywhere for so long is gone, ledger and all, with a receipt; whoever is busy in one product
    stays in both."""
    await api.product(retention_days={"leads": 80})
    await api.product("gridwise", retention_days={"leads": 30})
    for n in range(5):
        await api.post("/events/logins", login(event_id=f"i{n}", crm_user_id=f"idle{n}", email=f"i{n}@a.example"))
    both = {"crm_user_id": "both", "email": "both@a.example"}
    await api.post("/events/logins", login(event_id="b1", **both))
    clock.forward(hours=DAYS * 60)
    await api.post("/events/logins", login(event_id="b2", product_id="gridwise", **both))
    clock.forward(hours=DAYS * 28)
    assert await rounds(api, clock) == 5
    assert {d.body["crm_user_id"] for d in await everything(store, Kind.LEADS)} == {"both"}
    assert {d.body["lead_id"] for d in await everything(store, Kind.LEAD_EVENTS)} == {
        d.id for d in await everything(store, Kind.LEADS)
    }
    assert len(await told(api, "person.erase")) == 5
    clock.forward(hours=DAYS)
    assert await rounds(api, clock) == 1
    assert await everything(store, Kind.PERSONS) == []


async def test_somebody_who_comes_back_in_time_stays(api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login between the look and the erasure: the erasure looks again, in its own commit."""
    await api.product(retention_days={"leads": 30})
    await api.post("/events/logins", login(event_id="1"))
    clock.forward(hours=DAYS * 31)
    privacy = api.server.privacy
    erase = privacy.erase

    async def late(person_id: str, **more: Any) -> Any:
        await api.post("/events/logins", login(event_id="2"))
        return await erase(person_id, **more)

    monkeypatch.setattr(privacy, "erase", late)
    assert await rounds(api, clock) == 0
    (back,) = (await api.get("/leads")).body["items"]
    assert back["engagement_score"] == 10


async def test_two_processes_share_a_walk(api: Api, store: Store, clock: Clock) -> None:
    """Each document goes once and is counted once, whoever was faster."""
    await api.product(retention_days={"turns": 1})
    for _ in range(6):
        await talk(api, 3)
    clock.forward(hours=DAYS * 3)
    other = make_retention(api.server.recorder, api.server.privacy)
    ticks = [walker.tick() for walker in (api.server.retention, other) for _ in range(8)]
    assert sum(await asyncio.gather(*ticks)) == 6 * 3 + 6
    assert await everything(store, Kind.TURNS) == []
    assert sum(int(detail.removeprefix("turns ")) for _, detail in await told(api)) == 24


async def test_a_round_takes_a_day(api: Api, clock: Clock, store: Store) -> None:
    """When it is through, nothing is looked at until a day has gone by; products may come and go meanwhile."""
    await api.product(retention_days={"turns": 1})
    assert await rounds(api, clock) == 0
    (walk,) = await everything(store, Kind.WALKS)
    assert walk.body["next_at"] == later(clock(), hours=24)
    clock.forward(hours=23)
    await api.server.retention.tick()
    assert [d.version for d in await everything(store, Kind.WALKS)] == [walk.version]
    await api.product()
    clock.at += timedelta(hours=2)
    await api.server.retention.tick()
    (after,) = await everything(store, Kind.WALKS)
    assert after.body["next_at"] == later(clock(), hours=24)


def test_what_rules_read_is_by_lead() -> None:
    """Every rule's index is one that a lead's id opens."""
    assert all(rule.index in INDEXES and rule.index.prefix == ("lead_id",) for rule in RULES)
