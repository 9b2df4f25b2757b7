"""Logins: reading a record, what it says of a person, and what a batch does to the person and its leads."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import NOON, json_values, texts
from tracker.claims import strangers
from tracker.events import Channel
from tracker.identity import Key, crm_key, email_key, phone_key
from tracker.lead import Lead
from tracker.logins import (
    REQUIRED,
    Counted,
    Known,
    KnownLead,
    KnownPerson,
    Login,
    decide_logins,
    identity_keys,
    read_login,
    take_over,
)
from tracker.model import is_plain
from tracker.person import Consent, CrmIdentity, Person
from tracker.product import ProductConfig, Versioned
from tracker.store.port import Change, Increment, Insert, Replace, check_unit
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.unit import Decision

AT = instant(NOON)
RECORD = {
    "event_id": "l1",
    "crm_user_id": "u1",
    "organization_id": "org1",
    "product_id": "flowdesk",
    "occurred_at": "2026-11-22T11:00:00Z",
}
FULL = {
    **RECORD,
    "organization_name": "Acme",
    "email": "Dana@Example.com",
    "phone": "+49 151 12345678",
    "name": "Dana Doe",
    "job_title": "CTO",
    "company_size": "50",
    "industry": "toys",
    "preferred_channel": "whatsapp",
    "feature_usage": ["reports", "export"],
    "trial_status": "active",
    "time_zone": "Europe/Berlin",
    "whatsapp_opt_in": True,
    "source": "hubspot",
}


def login(**changes: Any) -> Login:
    read = read_login({**RECORD, **changes}, now=NOON)
    assert read.login is not None, read.faults
    return read.login


# reading

AWKWARD = st.lists(
    st.sampled_from([" ", "  ", "\t", "\n", "\x00", "\x7f", "\u0301", "\u00a0", "e", "Z", "ß", "\\", '"'])
)


@given(st.data())
def test_a_body_that_is_plain_reads_as_if_it_were_cleaned(data: st.DataObject) -> None:
    """Leaving the cleaning out where a look at the bytes says so changes nothing."""
    name, text = data.draw(st.sampled_from([*FULL, "other"])), data.draw(AWKWARD.map("".join))
    told = FULL.get(name)
    for value in (text, f" {told}", f"{told} ", f"a  b {told}", f"{text}{told}{text}"):
        record = {**FULL, name: value}
        if is_plain(orjson.dumps(record)):
            assert read_login(record, now=NOON, plain=True) == read_login(record, now=NOON)


def test_most_bodies_are_plain() -> None:
    """What a CRM sends in English needs no cleaning; accents, escapes and runs of spaces do."""
    assert is_plain(orjson.dumps(FULL))
    for name in ("Zoë", "a  b", "a\tb", "a\x7fb", 'a "b" c'):
        assert not is_plain(orjson.dumps({**FULL, "name": name}))


def test_a_full_record_is_read() -> None:
    """Every documented field arrives, in its final form."""
    read = read_login(FULL, now=NOON)
    assert read.faults == ()
    assert read.login is not None
    assert read.login.model_dump() == {
        **FULL,
        "email": "dana@example.com",
        "phone": "+4915112345678",
        "feature_usage": ("reports", "export"),
        "occurred_at": "2026-11-22T11:00:00.000Z",
    }


@pytest.mark.parametrize("field", sorted(REQUIRED))
@pytest.mark.parametrize("value", [None, "", " ", [], {}, True, "\x00", "x" * 300])
def test_without_a_required_field_there_is_no_login(field: str, value: Any) -> None:
    """A record without its ids or its time cannot be counted; the fault names the field, and nothing else."""
    left_out = {key: v for key, v in FULL.items() if key != field}
    for record in (left_out, {**FULL, field: value}):
        read = read_login(record, now=NOON)
        assert read.login is None
        assert {fault.path for fault in read.faults} == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "dana"),
        ("email", ["dana@example.com"]),
        ("phone", "0151 123"),
        ("preferred_channel", "pigeon"),
        ("feature_usage", "reports"),
        ("feature_usage", ["reports", None]),
        ("feature_usage", ["f"] * 101),
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", "Europe"),
        ("time_zone", ""),
        ("whatsapp_opt_in", "perhaps"),
        ("name", {"first": "Dana"}),
        ("job_title", "x" * 2001),
        ("utm_source", "ads"),
        ("__class__", 1),
    ],
)
def test_a_bad_optional_field_is_dropped_and_told(field: str, value: Any) -> None:
    """A login is a buying signal also with a mistyped phone number: the field is left out, the rest is kept."""
    read = read_login({**FULL, field: value}, now=NOON)
    good = read_login({key: v for key, v in FULL.items() if key != field}, now=NOON)
    assert read.login == good.login
    assert {fault.path.split("/")[0] for fault in read.faults} == {field}


@pytest.mark.parametrize("occurred_at", ["2026-11-22T11:00:00", "2026-11-23T12:00:01Z", "soon", 1764000000])
def test_a_login_at_no_time_is_none(occurred_at: Any) -> None:
    """Times without a zone, or more than a day ahead, are refused."""
    assert read_login({**RECORD, "occurred_at": occurred_at}, now=NOON).login is None


def test_a_bad_source_leaves_no_login() -> None:
    """The source is part of who the user is, so it is never guessed."""
    assert read_login({**RECORD, "source": "a b"}, now=NOON).login is None
    assert login().source == "crm"


def test_an_id_may_be_a_number() -> None:
    """CRMs number their users; `7` and `"7"` are the same user."""
    assert login(crm_user_id=7, event_id=12).key == login(event_id="12").key
    assert identity_keys(login(crm_user_id=7)) == identity_keys(login(crm_user_id="7"))


def test_features_may_be_counts() -> None:
    """`{"reports": 12}` says that reports are used."""
    assert login(feature_usage={"reports": 12, "export": 1}).feature_usage == ("reports", "export")


fields = (st.sampled_from([*FULL, "utm", "Source"]) | texts).filter(lambda name: name and "/" not in name)


@given(json_values | st.dictionaries(fields, json_values))
def test_any_json_is_understood(record: Any) -> None:
    """Whatever a source sends, there is a login or there are faults, never an error."""
    read = read_login(record, now=NOON)
    assert (read.login is None) <= bool(read.faults)


@given(st.dictionaries(fields, json_values))
def test_a_good_core_is_a_login(record: dict[str, Any]) -> None:
    """Where the ids and the time are good, the login is counted, whatever else the record holds."""
    read = read_login({**record, **RECORD, "source": "crm"}, now=NOON)
    assert read.login is not None
    assert (read.login.event_id, read.login.product_id) == ("l1", "flowdesk")


@pytest.mark.parametrize("name", ["utm/source", "", "/", "event_id/x", "email/"])
def test_an_unknown_field_of_any_name_is_dropped(name: str) -> None:
    """A CRM may call its own fields what it likes; the login is counted."""
    read = read_login({**RECORD, name: 1}, now=NOON)
    assert read.login == login()
    assert [fault.path for fault in read.faults] == [name]


# who it is


def test_keys_are_strongest_first() -> None:
    """The CRM's id before the address, the address before the number."""
    assert identity_keys(login(email="a@b.example", phone="+4915112345678", source="hubspot")) == [
        crm_key("hubspot", "u1"),
        email_key("a@b.example"),
        phone_key("+4915112345678"),
    ]


def test_strangers_are_known_to_the_same_crm_under_another_id() -> None:
    """Somebody of another CRM, or of none, may be the same human."""

    def of(*identities: tuple[str, str]) -> Person:
        crm = tuple(CrmIdentity(source=source, user_id=user_id) for source, user_id in identities)
        return Person(crm=crm, created_at=AT, updated_at=AT)

    people = [("same", of(("crm", "u1"))), ("other", of(("crm", "u2"))), ("chat", of()), ("hub", of(("hubspot", "u9")))]
    assert strangers(people, "crm", "u1") == {"other"}
    assert strangers([("both", of(("crm", "u2"), ("crm", "u1")))], "crm", "u1") == frozenset()


# what it says of the person

KNOWN = Person(
    crm=(CrmIdentity(source="crm", user_id="u1"),),
    name="Dana",
    email="dana@example.com",
    demographics={"job_title": "CTO"},
    created_at=AT,
    updated_at=AT,
)
EARLIER, LATER = Instant("2026-11-22T10:00:00.000Z"), Instant("2026-11-22T13:00:00.000Z")


def told(person: Person, owners: Mapping[Key, str] | None = None, since: Instant = AT, **changes: Any) -> Person:
    return take_over(person, login(**changes), owners or {}, "p1", since=since)


def test_a_newer_login_wins() -> None:
    """The CRM's latest word on name, contact and demographics is what the person is."""
    values: dict[str, Any] = {
        "name": "Dana Doe",
        "email": "d@example.com",
        "job_title": "CEO",
        "time_zone": "Europe/Berlin",
    }
    after = told(KNOWN, occurred_at=LATER, organization_name="Acme", **values)
    assert (after.name, after.email, after.time_zone) == ("Dana Doe", "d@example.com", "Europe/Berlin")
    assert after.demographics == {"job_title": "CEO", "company": "Acme"}


def test_an_older_login_only_fills_gaps() -> None:
    """History that is imported late tells what was not known, and changes nothing that is."""
    after = told(KNOWN, occurred_at=EARLIER, name="D.", email="old@example.com", job_title="Dev", industry="toys")
    assert (after.name, after.email) == ("Dana", "dana@example.com")
    assert after.demographics == {"job_title": "CTO", "industry": "toys"}


def test_what_a_login_leaves_out_stays() -> None:
    """An absent field is not an empty one."""
    assert told(KNOWN, occurred_at=LATER) is KNOWN


def test_an_address_of_somebody_else_is_not_taken() -> None:
    """Mail for Dana never goes to an address that is known to be another person's."""
    owners = {email_key("bob@example.com"): "p2", phone_key("+4915112345678"): "p2"}
    after = told(KNOWN, owners, occurred_at=LATER, email="bob@example.com", phone="+4915112345678")
    assert (after.email, after.phone) == ("dana@example.com", None)
    mine = {email_key("new@example.com"): "p1"}
    assert told(KNOWN, mine, occurred_at=LATER, email="new@example.com").email == "new@example.com"


def test_a_second_crm_is_remembered() -> None:
    """One human may be known to two CRMs; each is listed once."""
    after = told(KNOWN, source="hubspot", crm_user_id="h1", occurred_at=LATER)
    assert [(i.source, i.user_id) for i in after.crm] == [("crm", "u1"), ("hubspot", "h1")]
    assert told(after, source="hubspot", crm_user_id="h1", occurred_at=LATER) is after


def test_an_opt_out_wins() -> None:
    """Whoever refused WhatsApp is not opted in by a login; a grant and a refusal name the CRM and the moment."""
    granted = told(KNOWN, whatsapp_opt_in=True, occurred_at=LATER)
    assert granted.whatsapp_consent == Consent(status="granted", basis="opt_in", source="crm", at=LATER)
    refused = told(granted, whatsapp_opt_in=False, occurred_at=LATER)
    assert refused.whatsapp_consent.status == "denied"
    assert told(refused, whatsapp_opt_in=True, occurred_at=LATER).whatsapp_consent.status == "denied"


# what a batch does

PRODUCTS = ("flowdesk", "gridwise")


def known(
    person: KnownPerson | None = None,
    *,
    seen: Mapping[str, str] | None = None,
    owners: Mapping[Key, str] | None = None,
    new_keys: Sequence[Key] = (),
    products: Sequence[str] = PRODUCTS,
) -> Known:
    person = person or KnownPerson("p1", 0, Person(created_at=AT, updated_at=AT), {})
    configs: dict[str, Versioned | None] = dict.fromkeys((*PRODUCTS, "nowhere"))
    for product in products:
        configs[product] = Versioned(ProductConfig(product_id=product, name=product), 3)
    return Known(person, seen or {}, owners or {}, new_keys, configs, {p: f"new-{p}" for p in (*PRODUCTS, "nowhere")})


def decide(known: Known, *logins: Login) -> tuple[Counted, list[Change], Decision[Counted]]:
    decision = decide_logins(logins, known, now=NOON)
    check_unit(decision.changes)
    return decision.outcome, list(decision.changes), decision


def inserted(changes: Sequence[Change], kind: Kind) -> list[str]:
    return [c.id for c in changes if isinstance(c, Insert) and c.kind is kind]


def test_a_login_that_opts_in_leaves_an_entry() -> None:
    """What a CRM tells of the consent is kept with its source and time, once."""
    at = "2026-01-05T10:00:00.000Z"
    outcome, changes, _ = decide(known(), login(whatsapp_opt_in=True, occurred_at=at))
    (entry,) = (c.body for c in changes if isinstance(c, Insert) and c.kind is Kind.CONSENTS)
    assert (entry["person_id"], entry["channel"], entry["before"]["status"]) == ("p1", "whatsapp", "unknown")
    assert entry["after"] == {"status": "granted", "basis": "opt_in", "source": "crm", "at": at}
    _, again, _ = decide(known(outcome.person), login(event_id="again", whatsapp_opt_in=True, job_title="CTO"))
    assert inserted(again, Kind.CONSENTS) == []


def test_the_first_login_makes_a_person_and_a_lead() -> None:
    """One commit: person, its keys, lead, event and counter, and the words to find it by."""
    outcome, changes, decision = decide(
        known(new_keys=[email_key("dana@example.com")]), login(email="dana@example.com")
    )
    assert [r.status for r in outcome.results] == ["accepted"]
    assert inserted(changes, Kind.PERSONS) == ["p1"]
    assert inserted(changes, Kind.PERSON_KEYS) == ["email:dana@example.com"]
    assert inserted(changes, Kind.LEADS) == ["new-flowdesk"]
    assert inserted(changes, Kind.LEAD_EVENTS) == ["crm:l1"]
    assert "dana@example.com:new-flowdesk" in inserted(changes, Kind.LEAD_WORDS)
    (facts,) = decision.facts
    assert facts.created
    assert (facts.lead.score, facts.lead.config_number, facts.lead.crm_user_id) == (5000, 3, "u1")
    assert facts.person.leads == {"flowdesk": "new-flowdesk"}


def test_a_batch_is_counted_in_its_order() -> None:
    """Results stand in the order sent, and the last word of the batch is what counts."""
    batch = [login(event_id=f"l{n}", trial_status=f"day {n}") for n in range(5)]
    outcome, _, decision = decide(known(), *batch)
    assert [(r.status, r.lead_id) for r in outcome.results] == [("accepted", "new-flowdesk")] * 5
    (facts,) = decision.facts
    assert [event.event_id for event in facts.events] == [f"l{n}" for n in range(5)]
    assert (facts.lead.score, facts.lead.trial_status, facts.lead.login_days) == (25_000, "day 4", {"2026-11-22": 5})


def test_a_duplicate_in_a_batch_counts_once() -> None:
    """The second of two equal events is a duplicate of the first, and names the same lead."""
    outcome, changes, _ = decide(known(), login(), login(), login(event_id="l2"))
    assert [r.status for r in outcome.results] == ["accepted", "duplicate", "accepted"]
    assert {r.lead_id for r in outcome.results} == {"new-flowdesk"}
    assert inserted(changes, Kind.LEAD_EVENTS) == ["crm:l1", "crm:l2"]


def test_what_the_ledger_has_is_not_counted_again() -> None:
    """A batch of nothing new writes nothing at all."""
    outcome, changes, decision = decide(known(seen={"crm:l1": "lead-9"}), login())
    assert [(r.status, r.lead_id) for r in outcome.results] == [("duplicate", "lead-9")]
    assert changes == []
    assert not decision.facts


def test_the_same_event_id_of_another_source_is_another_event() -> None:
    """An id is unique within its source only."""
    outcome, _, _ = decide(known(seen={"crm:l1": "lead-9"}), login(source="hubspot"))
    assert outcome.results[0].status == "accepted"


def test_one_person_in_two_products_has_two_leads() -> None:
    """The pipelines share the human and nothing else."""
    outcome, changes, decision = decide(
        known(), login(), login(event_id="l2", product_id="gridwise"), login(event_id="l3")
    )
    assert [r.lead_id for r in outcome.results] == ["new-flowdesk", "new-gridwise", "new-flowdesk"]
    assert sorted(inserted(changes, Kind.LEADS)) == ["new-flowdesk", "new-gridwise"]
    assert inserted(changes, Kind.PERSONS) == ["p1"]
    scores = {facts.lead.product_id: facts.lead.score for facts in decision.facts}
    assert scores == {"flowdesk": 10_000, "gridwise": 5000}
    assert outcome.person.person.leads == {"flowdesk": "new-flowdesk", "gridwise": "new-gridwise"}


def test_an_unknown_product_costs_the_others_nothing() -> None:
    """The record of a product that does not exist is told apart, and leaves no trace on the person."""
    outcome, _, _ = decide(known(), login(product_id="nowhere", name="Wrong"), login(event_id="l2"))
    assert [r.status for r in outcome.results] == ["unknown_product", "accepted"]
    assert outcome.person.person.name is None
    alone, changes, _ = decide(known(), login(product_id="nowhere"))
    assert (alone.results[0].status, alone.results[0].lead_id, changes) == ("unknown_product", None, [])


def test_a_known_lead_is_written_at_its_version() -> None:
    """What somebody else changed meanwhile makes the commit fail, so no login is ever lost to a race."""
    lead = Lead(person_id="p1", product_id="flowdesk", config_number=3, created_at=AT, updated_at=AT, score=1000)
    person = KnownPerson("p1", 4, KNOWN.with_lead("flowdesk", "lead-1"), {"flowdesk": KnownLead("lead-1", 7, lead)})
    outcome, changes, _ = decide(known(person), login(name="Dana Doe"))
    versions = {c.kind: c.version for c in changes if isinstance(c, Replace)}
    assert versions == {Kind.LEADS: 7, Kind.PERSONS: 4}
    assert (outcome.person.version, outcome.person.leads["flowdesk"].version) == (5, 8)
    assert outcome.person.leads["flowdesk"].lead.score == 6000


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([*PRODUCTS, "nowhere"]), st.integers(0, 5000)),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_however_logins_are_batched_the_result_is_the_same(
    sent: list[tuple[int, str, int]], data: st.DataObject
) -> None:
    """Two requests do what one does: the same results, the same person, the same leads."""
    logins = [
        login(
            event_id=f"l{n}",
            product_id=product,
            occurred_at=(NOON - timedelta(minutes=minutes)).isoformat(),
            feature_usage=[f"f{n}"],
        )
        for n, product, minutes in sent
    ]
    cut = data.draw(st.integers(0, len(logins)))
    whole = decide_logins(logins, known(), now=NOON).outcome
    first = decide_logins(logins[:cut], known(), now=NOON)
    seen = {c.id: c.body["lead_id"] for c in first.changes if isinstance(c, Insert) and c.kind is Kind.LEAD_EVENTS}
    second = decide_logins(logins[cut:], known(first.outcome.person, seen=seen), now=NOON).outcome
    assert first.outcome.results + second.results == whole.results
    assert second.person.person == whole.person.person
    assert {p: k.lead for p, k in second.person.leads.items()} == {p: k.lead for p, k in whole.person.leads.items()}


def test_counters_never_conflict() -> None:
    """A thousand leads of one product are counted by increments, which wait for nobody."""
    _, changes, _ = decide(known(), *(login(event_id=f"l{n}") for n in range(3)))
    counted = [c for c in changes if isinstance(c, Increment)]
    assert [c.labels["metric"] for c in counted] == ["events.login"] * 3 + ["leads.created"]
    assert {c.by for c in counted} == {1}


def test_the_preferred_channel_is_the_persons() -> None:
    """What a login says of the channel holds for the human, in every product."""
    outcome, _, _ = decide(known(), login(preferred_channel="whatsapp"))
    assert outcome.person.person.preferred_channel is Channel.WHATSAPP
