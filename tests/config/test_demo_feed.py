"""The feed of made-up logins: the promised shares, the same for the same seed, and each record what it claims to be."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.demo_feed import DISPLACED, MALFORMED, REPEATED, SOURCE, SPOILT, Item, feed, people
from tracker.identity import phone_number
from tracker.logins import read_login
from tracker.times import instant

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(hours=24)

sizes = st.fixed_dictionaries(
    {
        "events": st.integers(0, 400),
        "users": st.integers(1, 80),
        "products": st.lists(st.sampled_from(["flowdesk", "gridwise", "third"]), min_size=1, max_size=3, unique=True),
        "span": st.timedeltas(timedelta(seconds=1), timedelta(days=20)),
    }
)


def records(items: list[Item], kind: str) -> list[Any]:
    return [item.record for item in items if item.kind == kind]


@given(st.integers(0, 2**32), sizes)
def test_a_feed_has_the_promised_shares(seed: int, wanted: dict[str, Any]):
    """One record in a hundred is no login, one in fifty comes again, and there are as many as were asked for."""
    items = feed(Random(seed), START, **wanted)
    counts = Counter(item.kind for item in items)
    bad, again = round(wanted["events"] * MALFORMED), round(wanted["events"] * REPEATED)
    assert len(items) == wanted["events"]
    assert (counts["malformed"], counts["repeat"]) == (bad, again)
    first = records(items, "login")
    assert len({record["event_id"] for record in first}) == len(first)
    assert all(record in first for record in records(items, "repeat"))
    assert {record["product_id"] for record in first} <= set(wanted["products"])
    assert len({record["crm_user_id"] for record in first}) <= wanted["users"]


@given(st.integers(0, 2**32), sizes)
def test_every_record_is_what_it_claims_to_be(seed: int, wanted: dict[str, Any]):
    """A well-formed record is understood whole, a malformed one is no login at all."""
    now = START + wanted["span"]
    for item in feed(Random(seed), START, **wanted):
        read = read_login(item.record, now=now)
        assert (read.login is None) == (item.kind == "malformed")
        if read.login is not None:
            assert read.faults == ()
            assert instant(START) <= read.login.occurred_at <= instant(now)


def test_every_way_to_spoil_a_record_is_seen():
    """Each of them, by itself, leaves no login, so that no quarantine in the demo is there by luck."""
    (item,) = feed(Random(1), START, events=1, users=1, products=["p"])
    assert read_login(item.record, now=START + DAY).login is not None
    assert [spoil for spoil in SPOILT if read_login(spoil(item.record), now=START + DAY).login is not None] == []


@given(st.integers(0, 2**32), sizes)
def test_the_same_seed_brings_the_same_records(seed: int, wanted: dict[str, Any]):
    """To the byte, so that a screenshot or a bench can be repeated; another start has event ids of its own."""
    items = feed(Random(seed), START, **wanted)
    assert feed(Random(seed), START, **wanted) == items
    later = feed(Random(seed), START + DAY, **wanted)
    ids = {record["event_id"] for record in records(items, "login")}
    assert ids.isdisjoint(record["event_id"] for record in records(later, "login"))


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60))
def test_more_people_are_the_same_people_and_some(seed: int, few: int, many: int):
    """A small feed and a large one of one seed are about the same companies."""
    few, many = sorted((few, many))
    assert list(islice(people(Random(seed), ["a", "b"]), many))[:few] == list(
        islice(people(Random(seed), ["a", "b"]), few)
    )


def test_a_day_of_a_large_customer_looks_like_one():
    """30,000 events of 4,000 users and three products: habits, bursts, changed addresses, shared phones, disorder."""
    start = datetime(2026, 3, 3, tzinfo=UTC)  # a Tuesday
    items = feed(Random(7), start, events=30_000, users=4_000, products=["a", "b", "c"])
    logins = records(items, "login")
    by_user = Counter(record["crm_user_id"] for record in logins)
    assert len(by_user) > 3_000
    assert max(by_user.values()) > 5 * len(logins) / len(by_user), "some use it far more than others"
    hours = Counter(record["occurred_at"][11:13] for record in logins)
    assert min(hours[hour] for hour in ("09", "10", "14")) > 3 * max(hours[hour] for hour in ("00", "01", "02"))
    emails: dict[str, set[str]] = {}
    phones: dict[str, set[str]] = {}
    for record in logins:
        emails.setdefault(record["crm_user_id"], set()).add(record["email"])
        if "phone" in record:
            phones.setdefault(record["phone"], set()).add(record["crm_user_id"])
    assert sum(len(its) == 2 for its in emails.values()) > 20, "addresses change"
    assert len({email for its in emails.values() for email in its}) == sum(map(len, emails.values())), "nobody's own"
    assert sum(len(its) > 1 for its in phones.values()) > 20, "phones are shared"
    assert all(phone_number(phone) == phone and phone[-7:-2] == "55501" for phone in phones), "and are nobody's"
    sizes = Counter(record["company_size"] for record in logins)
    assert len(sizes) == 5
    assert {record["product_id"] for record in logins} == {"a", "b", "c"}
    assert {record["source"] for record in logins} == {SOURCE}
    late = sum(a["occurred_at"] > b["occurred_at"] for a, b in pairwise(logins))
    assert 300 < late < 3_000, "some come out of order"
    minutes = Counter((record["organization_id"], record["occurred_at"][:15]) for record in logins)
    assert max(minutes.values()) >= 10, "teams come together"


def test_a_repeat_comes_soon_behind_the_first():
    """What a CRM sends twice it sends within the same batch or the next."""
    items = feed(Random(3), START, events=3_000, users=50, products=["a"])
    place = {item.record["event_id"]: n for n, item in enumerate(items) if item.kind == "login"}
    gaps = [n - place[item.record["event_id"]] for n, item in enumerate(items) if item.kind == "repeat"]
    assert 0 < min(gaps) <= max(gaps) < 3 * DISPLACED


def test_weekends_are_quiet():
    """Over two weeks a Sunday has a fraction of a Tuesday's logins."""
    items = feed(Random(5), START, events=20_000, users=400, products=["a"], span=timedelta(days=14))
    days = Counter(datetime.fromisoformat(r["occurred_at"]).weekday() for r in records(items, "login"))
    assert days[6] < days[1] / 3
