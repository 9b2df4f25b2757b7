"""When each field was last told: what a lead keeps of it is exact, whatever came in whatever order."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tracker.lead import Lead
from tracker.person import Person
from tracker.times import Instant
from tracker.told import BITS, FIELDS, NEVER, by_api, latest, logged_in, named, of_lead, of_person, spelled_out

AT = Instant("2026-01-01T00:00:00.000Z")
LEAD = Lead(person_id="p", product_id="flow", config_number=1, created_at=AT, updated_at=AT)
times = st.integers(0, 59).map(lambda minute: Instant(f"2026-01-01T10:{minute:02}:00.000Z"))
some_fields = st.frozensets(st.sampled_from(["name", "email", "trial_status"]))
tellings = st.tuples(st.sampled_from(["login", "api", "silent"]), times, some_fields)


def after(lead: Lead, kind: str, at: Instant, fields: frozenset[str]) -> Lead:
    """Return a lead after a login, what the API told, or a login that nobody tells anything about."""
    if kind == "api":
        return lead.but(told=by_api(lead, fields, at))
    newest = max(lead.last_login_at or NEVER, at)
    if kind == "silent":
        return spelled_out(lead).but(last_login_at=newest)
    update: dict[str, Any] = logged_in(lead, lead.last_login_at or NEVER, at, named(sum(BITS[f] for f in fields)))
    return lead.but(**update, last_login_at=newest)


def minute(number: int) -> Instant:
    return Instant(f"2026-01-01T10:{number:02}:00.000Z")


NAME, NOTHING = frozenset({"name"}), frozenset[str]()


@given(st.lists(tellings, max_size=12))
@example([("silent", minute(9), NOTHING), ("login", minute(5), NAME)])
@example([("login", minute(1), NOTHING), ("api", minute(9), NAME), ("login", minute(5), NAME)])
@example([("login", minute(9), NOTHING), ("login", minute(5), NAME), ("login", minute(3), NAME)])
@example([("api", minute(9), NAME), ("login", minute(5), NAME)])
def test_what_a_lead_keeps_is_exact(told: list[tuple[str, Instant, frozenset[str]]]) -> None:
    """Of each field the latest time at which anybody told it; of others none."""
    lead, model = LEAD, dict[str, Instant]()
    for kind, at, fields in told:
        lead = after(lead, kind, at, fields)
        if kind != "silent":
            model = latest(model, dict.fromkeys(fields, at))
        assert of_lead(lead) == of_lead(spelled_out(lead)) == model


def test_a_login_like_the_one_before_changes_nothing_of_it() -> None:
    """The common case: its time is the lead's last login, which is kept anyway."""
    tells = named(BITS["name"] | BITS["email"])
    lead = after(LEAD, "login", minute(1), frozenset({"name", "email"}))
    assert (lead.tells, lead.told) == (tells, {})
    again = after(lead, "login", minute(2), frozenset({"name", "email"}))
    assert again == lead.but(last_login_at=minute(2))
    assert of_lead(again) == dict.fromkeys(("name", "email"), minute(2))


def test_what_was_not_kept_may_have_been_told_by_the_newest_login() -> None:
    """Documents of an earlier version; one of a lead without logins has been told nothing."""
    assert of_lead(LEAD) == {}
    assert of_lead(LEAD.but(last_login_at=minute(1))) == dict.fromkeys(FIELDS, minute(1))


def test_a_person_is_told_by_all_its_leads_and_the_api() -> None:
    """The latest of them counts."""
    person = Person(created_at=AT, updated_at=AT, told={"name": minute(2), "phone": minute(1)})
    one = after(LEAD, "login", minute(3), frozenset({"name"}))
    other = after(LEAD, "login", minute(1), frozenset({"name", "email"}))
    expected = {"name": minute(3), "phone": minute(1), "email": minute(1)}
    assert {f: at for f, at in of_person(person, [one, other]).items() if f in expected} == expected
