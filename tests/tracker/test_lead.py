"""The lead: login frequency, search words, and how the API shows it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import NOON, moments, recent
from tracker.lead import Lead, LeadView, count_login, login_frequency, view, words
from tracker.person import CrmIdentity, Person
from tracker.times import Instant, instant

AT = instant(NOON)
LEAD = Lead(person_id="p", product_id="flowdesk", config_number=1, created_at=AT, updated_at=AT)
PERSON = Person(created_at=AT, updated_at=AT)


def counted(moments: list[datetime]) -> dict[str, int]:
    days: dict[str, int] = {}
    for at in moments:
        days = count_login(days, instant(at))
    return days


@given(st.lists(recent, max_size=30))
def test_frequency_counts_the_logins_of_the_last_thirty_days(logins: list[datetime]) -> None:
    """Whatever the order in which logins arrive, those of the window are counted and no others."""
    newest = max(logins, default=NOON)
    oldest = instant(newest - timedelta(days=30))[:10]
    expected = sum(instant(at)[:10] >= oldest for at in logins)
    assert login_frequency(counted(logins), newest) == expected


@given(st.lists(recent, max_size=30))
def test_only_a_month_of_days_is_kept(logins: list[datetime]) -> None:
    """A lead does not grow with its age."""
    days = counted(logins)
    assert len(days) <= 31
    true_counts = Counter(instant(at)[:10] for at in logins)
    assert all(true_counts[day] == count for day, count in days.items())


@given(st.lists(moments, max_size=5))
def test_any_moment_of_the_calendar_can_be_counted(logins: list[datetime]) -> None:
    """A CRM that sends the year 1 for "never" breaks nothing."""
    days: dict[str, int] = {}
    for at in logins:
        try:
            days = count_login(days, instant(at))
        except OverflowError:
            assert at.year in {1, 9999}, "only a zone may lead out of the calendar"
    login_frequency(days, NOON)


def test_the_first_days_of_the_calendar_count() -> None:
    """Where the window would begin before the calendar does, it begins with the calendar."""
    first = Instant("0001-01-01T00:00:00.000Z")
    assert count_login({}, first) == {"0001-01-01": 1}
    assert count_login({"0001-01-01": 1}, Instant("0001-01-05T00:00:00.000Z")) == {"0001-01-01": 1, "0001-01-05": 1}
    assert login_frequency({"0001-01-01": 1}, datetime(1, 1, 2, tzinfo=UTC)) == 1


def test_old_logins_fall_out_of_the_frequency_as_time_goes_by() -> None:
    """The number is of the last 30 days as of now, not as of the last login."""
    days = counted([NOON])
    assert login_frequency(days, NOON + timedelta(days=30)) == 1
    assert login_frequency(days, NOON + timedelta(days=31)) == 0


def test_a_lead_is_shown_as_the_api_names_it() -> None:
    """Contact and demographics are the person's, points are whole where they can be."""
    person = PERSON.but(name="Dana Doe", email="dana@example.com", demographics={"company": "Acme"})
    lead = LEAD.but(score=7500, login_days={"2026-11-22": 2}, feature_usage=("reports",), trial_status="active")
    shown = view("l1", 3, lead, person, now=NOON)
    LeadView.model_validate(shown)
    assert shown["engagement_score"] == 7.5
    assert shown["contact_info"] == {"email": "dana@example.com", "phone": None, "preferred_channel": "email"}
    assert shown["demographics"] == {"company": "Acme", "name": "Dana Doe"}
    assert shown["product_context"] == {"login_frequency": 2, "feature_usage": ["reports"], "trial_status": "active"}
    assert (shown["id"], shown["version"], shown["stage"]) == ("l1", 3, "User")


def finds(person: Person, query: str) -> bool:
    """As the list does it: every token begins a word."""
    return all(any(word.startswith(token) for word in words(person)) for token in query.casefold().split())


def test_a_person_is_found_by_any_word() -> None:
    """E-mail, phone, name, company and CRM id, from the start of any of their words, in any case."""
    person = PERSON.but(
        name="Renée O'Brien-Smith",
        email="renee.brien@mail.acme.com",
        phone="+4915112345678",
        demographics={"company": "ACME & Sons GmbH", "industry": "toys"},
        crm=(CrmIdentity(source="crm", user_id="U-77"),),
    )
    found = ["renée", "REN", "o'brien", "brien", "o'brien-sm", "smith", "renee.brien@mail", "brien@mail", "acme.com"]
    found += ["+49151", "4915112345678", "sons", "acme & so", "gmbh acme", "u-77", "77", "renee.brien@mail.acme.com"]
    assert [query for query in found if not finds(person, query)] == []
    assert [query for query in ("enée", "toys", "12345", "smith anna", "cme") if finds(person, query)] == []


@given(st.text(max_size=60), st.data())
def test_a_name_is_found_by_the_beginning_of_each_of_its_words(name: str, data: st.DataObject) -> None:
    """Whatever script and punctuation a name has, what stands between its spaces finds it."""
    for chunk in name.split():
        beginning = chunk[: data.draw(st.integers(1, len(chunk)))]
        assert finds(PERSON.but(name=name), beginning)


def test_words_are_bounded() -> None:
    """An endless name makes no endless index entry, and nobody is found under nothing."""
    assert max(map(len, words(PERSON.but(name="x" * 5000)))) <= 80
    assert words(PERSON) == frozenset()
