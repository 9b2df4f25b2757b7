"""Analytics: what the counters say is what the ledger and the audit trail say."""

import contextlib
import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from channels.templates import TemplateCatalog
from tests.fakes import Clock
from tracker import analytics
from tracker.analytics import Flow, Period, engagement, entered, events, funnel, per, period, tally, total
from tracker.catalog import Catalog
from tracker.contacts import Contacts, NewLead
from tracker.errors import Invalid, Refused
from tracker.events import Channel, EventType, Happening
from tracker.ingestion import Ingestion
from tracker.logins import read_login
from tracker.product import ProductConfig
from tracker.recorder import Recorder
from tracker.stages import NEXT, ORDER, Stage
from tracker.store.port import Store
from tracker.store.schema import AUDIT_BY_LEAD, EVENTS_ALL, LEADS_ALL
from tracker.times import instant

TODAY = date(2026, 3, 2)
PRODUCTS = ("flowdesk", "gridwise")


class Shop:
    """Two products that people use for a week, at random."""

    def __init__(self, store: Store, seed: int):
        self.store, self.clock, self.random = store, Clock(), random.Random(seed)
        catalog = self.catalog = Catalog(store, TemplateCatalog(store))
        self.recorder = Recorder(store, catalog, self.clock)
        self.ingestion = Ingestion(store, catalog, self.clock)
        self.count = 0

    async def open(self) -> None:
        for product_id in PRODUCTS:
            await self.catalog.put(ProductConfig(product_id=product_id, name=product_id), author="tests")

    async def leads(self) -> list[str]:
        return [d.id for d in (await self.store.find(LEADS_ALL, limit=1000)).items]

    async def step(self) -> None:
        self.count += 1
        self.clock.forward(hours=self.random.choice((0, 1, 9)), seconds=1)
        acts = [self.log_in, self.log_in, self.write_in, self.happen, self.happen, self.move, self.revert, self.judge]
        await self.random.choice(acts)()

    async def log_in(self) -> None:
        user = self.random.randrange(6)
        record = {
            "event_id": f"l{self.count}", "crm_user_id": f"u{user}", "organization_id": "o",
            "product_id": self.random.choice(PRODUCTS), "occurred_at": instant(self.clock()),
        }  # fmt: skip
        login = read_login(record, now=self.clock()).login
        assert login is not None
        await self.ingestion.record([login] * self.random.choice((1, 2)))

    async def write_in(self) -> None:
        given: dict[str, Any] = {"product_id": "flowdesk", "email": f"p{self.random.randrange(4)}@example.com"}
        await Contacts(self.recorder).create(NewLead.model_validate(given), actor="tests", record=lambda: None)

    async def happen(self) -> None:
        kind = self.random.choice((EventType.EMAIL_OPEN, EventType.WHATSAPP_REPLY, EventType.CHATBOT_INTERACTION))
        happening = Happening(
            "tests", f"e{self.count}", kind, Channel.EMAIL, instant(self.clock()), machine=self.random.random() < 0.3
        )
        for lead in self.random.sample(await self.leads(), 1):
            await self.recorder.event(lead, happening)

    async def move(self) -> None:
        for lead in self.random.sample(await self.leads(), 1):
            stage = (await self.recorder.load(lead)).lead.stage
            if stage in NEXT:
                await self.recorder.move(lead, NEXT[stage], actor="tests", reason="")

    async def revert(self) -> None:
        for lead in self.random.sample(await self.leads(), 1):
            with contextlib.suppress(Refused):
                await self.recorder.revert(lead, actor="tests", reason="")

    async def judge(self) -> None:
        kept = (await self.store.find(EVENTS_ALL, limit=1000)).items
        for event in self.random.sample([d.id for d in kept if d.id.startswith("tests:")][:1], 1) if kept else ():
            await self.recorder.reclassify(event, machine=self.random.random() < 0.5)


async def shopping(store: Store, seed: int) -> Shop:
    shop = Shop(store, seed)
    await shop.open()
    await shop.log_in()
    await shop.happen()
    for _ in range(60):
        await shop.step()
    return shop


async def ledger(store: Store, product_id: str) -> Counter[tuple[str, str]]:
    """The events of people by day and type, read one by one."""
    kept = (await store.find(EVENTS_ALL, limit=1000)).items
    return Counter(
        (d.body["received_at"][:10], d.body["event_type"])
        for d in kept
        if d.body["product_id"] == product_id and not d.body["machine"]
    )


@pytest.mark.parametrize("seed", range(5))
async def test_the_numbers_are_those_of_the_ledger(store: Store, seed: int) -> None:
    """Whatever happened: per day, product and type, machines apart; stages as they stand; each lead once."""
    shop = await shopping(store, seed)
    week = Period(TODAY, TODAY + timedelta(days=60))
    for product_id in PRODUCTS:
        counted = await tally(store, [product_id], week)
        by_day = Counter({(day, kind): n for day in counted for kind, n in events(counted[day]).items()})
        assert by_day == await ledger(store, product_id)
        leads = [d.body for d in (await store.find(LEADS_ALL, limit=1000)).items if d.body["product_id"] == product_id]
        reached = entered(total(counted.values()))
        for n, stage in enumerate(ORDER):
            assert reached[stage] == sum(ORDER.index(Stage(lead["stage"])) >= n for lead in leads), stage
        assert all(number >= 0 for day in counted.values() for number in day.values())
    assert shop.count == 60


async def test_an_entry_that_is_reverted_was_none(store: Store) -> None:
    """It is taken from the day when it was made, not from the day when somebody noticed."""
    shop = Shop(store, 0)
    await shop.open()
    await shop.write_in()
    (lead,) = await shop.leads()
    await shop.recorder.move(lead, Stage.ENGAGED, actor="tests", reason="")
    shop.clock.forward(hours=48)
    await shop.recorder.revert(lead, actor="tests", reason="")
    counted = await tally(store, ["flowdesk"], Period(TODAY, TODAY + timedelta(days=3)))
    assert [entered(counted[day])[Stage.ENGAGED] for day in sorted(counted)] == [0, 0, 0, 0]
    shop.clock.forward(seconds=1)
    await shop.recorder.revert(lead, actor="tests", reason="")
    counted = await tally(store, ["flowdesk"], Period(TODAY, TODAY + timedelta(days=3)))
    assert [entered(counted[day])[Stage.ENGAGED] for day in sorted(counted)] == [0, 0, 1, 0]
    assert len((await store.find(AUDIT_BY_LEAD, lead)).items) == 3


async def test_a_period_has_its_own_days_only(store: Store) -> None:
    shop = Shop(store, 0)
    await shop.open()
    for _ in range(4):
        await shop.log_in()
        shop.count += 1
        shop.clock.forward(hours=24)
    counted = await tally(store, PRODUCTS, Period(TODAY + timedelta(days=1), TODAY + timedelta(days=2)))
    assert [counted[day][analytics.LOGINS] for day in sorted(counted)] == [1, 1]
    assert list(await tally(store, ["nothing"], Period(TODAY, TODAY))) == [TODAY.isoformat()]


def test_the_funnel_tells_shares_of_those_who_came_in() -> None:
    numbers = {"leads.created": 8, "stage.Engaged_Lead": 4, "stage.Qualified_Lead": 1}
    assert funnel(numbers) == [
        Flow(Stage.USER, 8, 1.0), Flow(Stage.ENGAGED, 4, 0.5), Flow(Stage.QUALIFIED, 1, 0.125),
        Flow(Stage.CUSTOMER, 0, 0.0),
    ]  # fmt: skip
    assert [flow.share for flow in funnel({"stage.Customer": 2})] == [None] * 4


def test_engagement_is_what_people_did() -> None:
    numbers = {"events.email_open": 2, "events.email_sent": 9, "machine.email_click": 5, "events.whatsapp_reply": 1}
    assert engagement(numbers) == {"email": 2, "whatsapp": 1, "conversation": 0}


def test_a_period_is_30_days_unless_somebody_says_otherwise() -> None:
    assert period(None, None, today=TODAY) == Period(date(2026, 2, 1), TODAY)
    assert period(TODAY, None, today=TODAY) == Period(TODAY, TODAY)
    assert period(None, date(2026, 1, 31), today=TODAY).first == date(2026, 1, 2)
    assert period(date.max, None, today=TODAY) == Period(date.max, date.max)
    assert period(None, date.min, today=TODAY) == Period(date.min, date.min)
    for first, last in ((TODAY, TODAY - timedelta(days=1)), (TODAY - timedelta(days=366), TODAY)):
        with pytest.raises(Invalid):
            period(first, last, today=TODAY)
    assert len(period(TODAY - timedelta(days=365), TODAY, today=TODAY).days) == 366


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    """The first one is named by the first day of the period."""
    counted = {day: {"n": 1} for day in Period(date(2026, 2, 26), date(2026, 3, 4)).days}
    assert per("day", counted)[0] == ("2026-02-26", {"n": 1})
    assert per("week", counted) == [("2026-02-26", {"n": 4}), ("2026-03-02", {"n": 3})]
    assert per("month", counted) == [("2026-02-26", {"n": 3}), ("2026-03-01", {"n": 4})]
