"""Logins: reading a record, what it says of a person, and what a batch does to the person and its leads."""

import itertools
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
from tracker.store.port import Change, Expect, Increment, Insert, Replace, check_unit
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.told import ADDRESSES, DEMOGRAPHIC, PERSONAL
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


KNOWN_SINCE = dict.fromkeys(("name", "email", "job_title"), AT)


def told(person: Person, owners: Mapping[Key, str] | None = None, **changes: Any) -> Person:
    return take_over(person, login(**changes), owners or {}, "p1", KNOWN_SINCE)[0]


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


# order of arrival

TOLD_FIELDS = {
    "name": ["Dana", "Dana Doe"],
    "preferred_channel": ["email", "whatsapp"],
    "time_zone": ["Europe/Berlin", "Europe/Paris"],
    "email": ["a@b.example", "c@d.example"],
    "phone": ["+4915112345678", "+4915112345679"],
    "job_title": ["Dev", "CTO", "CEO"],
    "company_size": ["5", "50"],
    "industry": ["toys", "cars"],
    "organization_name": ["Acme", "Beta"],
    "trial_status": ["active", "over"],
}
tellings = st.fixed_dictionaries(
    {"product_id": st.sampled_from(PRODUCTS), "organization_id": st.sampled_from(["org1", "org2"])},
    optional={name: st.sampled_from(values) for name, values in TOLD_FIELDS.items()},
)


def sent_as(
    records: Sequence[Mapping[str, Any]], order: Sequence[int], cuts: Sequence[int], person: KnownPerson | None = None
) -> KnownPerson:
    """Return a person after records arrived in an order and in batches. What happened n-th is n minutes past ten."""
    at = [Instant(f"2026-11-22T10:{n:02}:00.000Z") for n in range(len(records))]
    logins = [login(event_id=f"l{n}", occurred_at=at[n], **records[n]) for n in order]
    for first, end in itertools.pairwise(sorted({0, *cuts, len(logins)})):
        person = decide(known(person), *logins[first:end])[0].person
        person = stored(person)
    assert person is not None
    return person


def stored(person: KnownPerson) -> KnownPerson:
    """Return a person as it is read back from the store."""
    leads = {p: KnownLead(k.id, k.version, Lead.read(k.lead.body())) for p, k in person.leads.items()}
    return KnownPerson(person.id, max(person.version, 1), Person.read(person.person.body()), leads)


def is_told(person: KnownPerson) -> dict[str, Any]:
    """What logins have told of a person and its leads."""
    one = person.person
    values: dict[str, Any] = {name: getattr(one, name) for name in (*PERSONAL, *ADDRESSES)}
    of_leads = {p: (k.lead.organization_id, k.lead.trial_status) for p, k in person.leads.items()}
    return values | {"demographics": one.demographics, "leads": of_leads}


def newest_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the same, as the rule says it: of each field the last word."""
    last = {name: value for record in records for name, value in record.items()}
    values: dict[str, Any] = {name: last.get(name) for name in (*PERSONAL, *ADDRESSES)}
    demographics = {name: last[field] for field, name in DEMOGRAPHIC.items() if field in last}
    of_leads = {
        product: (
            [r["organization_id"] for r in records if r["product_id"] == product][-1],
            next(
                (r["trial_status"] for r in reversed(records) if r["product_id"] == product and "trial_status" in r),
                None,
            ),
        )
        for product in {r["product_id"] for r in records}
    }
    return values | {"demographics": demographics, "leads": of_leads}


@given(st.lists(tellings, min_size=1, max_size=7), st.data())
def test_whatever_the_order_of_arrival_the_newest_word_on_each_field_wins(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Any permutation and any batching of the same logins makes the same person and the same leads."""
    order = data.draw(st.permutations(range(len(records))))
    cuts = data.draw(st.lists(st.integers(0, len(records))))
    assert is_told(sent_as(records, order, cuts)) == newest_of(records)


TEN, ELEVEN, TWELVE = (Instant(f"2026-11-22T{hour}:00:00.000Z") for hour in (10, 11, 12))


def come(*logins: Mapping[str, Any]) -> KnownPerson:
    """Return the person after logins that arrived one by one."""
    person: KnownPerson | None = None
    for n, fields in enumerate(logins):
        person = stored(decide(known(person), login(event_id=f"l{n}", **fields))[0].person)
    assert person is not None
    return person


def test_a_login_that_leaves_a_field_out_says_nothing_of_it() -> None:
    """The title of eleven wins over that of ten although a login of twelve without one came before."""
    after = come(
        {"occurred_at": TEN, "job_title": "Dev"},
        {"occurred_at": TWELVE, "name": "Dana"},
        {"occurred_at": ELEVEN, "job_title": "CTO", "name": "D."},
    )
    assert (after.person.demographics, after.person.name) == ({"job_title": "CTO"}, "Dana")


def test_what_was_told_again_is_as_new_as_that() -> None:
    """And nothing but the lead and its ledger was written for it."""
    person = come({"occurred_at": TEN, "job_title": "Dev", "trial_status": "active"})
    again = login(event_id="again", occurred_at=TWELVE, job_title="Dev", trial_status="active")
    outcome, changes, _ = decide(known(person), again)
    assert Kind.PERSONS not in {change.kind for change in changes}
    late = login(event_id="late", occurred_at=ELEVEN, job_title="CTO", trial_status="over")
    after = decide(known(stored(outcome.person)), late)[0].person
    assert after.person.demographics == {"job_title": "Dev"}
    assert after.leads["flowdesk"].lead.trial_status == "active"


def test_what_the_api_told_is_a_word_like_any_other() -> None:
    """A login from before gives way to it, one from afterwards does not; of the lead's own fields too."""
    person = come({"occurred_at": TEN, "job_title": "Dev", "trial_status": "active"})
    found = person.leads["flowdesk"]
    lead = found.lead.but(trial_status="longer", told={"trial_status": ELEVEN})
    told = person.person.but(demographics={"job_title": "CTO"}, told={"job_title": ELEVEN})
    corrected = KnownPerson("p1", 2, told, {"flowdesk": KnownLead(found.id, 2, lead)})
    for at, title, trial in (("10:59", "CTO", "longer"), ("11:01", "Dev", "over")):
        occurred_at = f"2026-11-22T{at}:00Z"
        sent = login(event_id=at, occurred_at=occurred_at, job_title="Dev", trial_status="over")
        after = decide(known(corrected), sent)[0].person
        assert after.person.demographics == {"job_title": title}
        assert after.leads["flowdesk"].lead.trial_status == trial


def test_what_was_said_in_a_chat_gives_way_to_any_login() -> None:
    """Also to a late one: no CRM has told of the field before."""
    person = come({"occurred_at": TWELVE, "name": "Dana"})
    chatted = person.person.but(demographics={"job_title": "boss"})
    after = decide(
        known(KnownPerson("p1", 2, chatted, person.leads)), login(event_id="l", occurred_at=TEN, job_title="CTO")
    )[0]
    assert after.person.person.demographics == {"job_title": "CTO"}


def test_what_an_earlier_version_wrote_is_as_new_as_its_newest_login() -> None:
    """It did not keep which field was told when: a late login fills gaps, as it did then."""
    person = come({"occurred_at": TWELVE, "job_title": "Dev", "trial_status": "active"})
    before = {p: KnownLead(k.id, 1, k.lead.but(tells=None)) for p, k in person.leads.items()}
    late = login(event_id="l", occurred_at=ELEVEN, job_title="CTO", industry="toys", trial_status="over")
    after = decide(known(KnownPerson("p1", 1, person.person, before)), late)[0].person
    assert after.person.demographics == {"job_title": "Dev", "industry": "toys"}
    assert after.leads["flowdesk"].lead.trial_status == "active"
    other = login(event_id="n", occurred_at=LATER, name="Dana")
    later_on = decide(known(KnownPerson("p1", 1, person.person, before)), other)[0].person
    late = login(event_id="l", occurred_at=Instant("2026-11-22T12:30:00.000Z"), job_title="CTO")
    assert decide(known(later_on), late)[0].person.person.demographics == {"job_title": "CTO"}
    assert decide(known(later_on), login(event_id="l", occurred_at=ELEVEN, job_title="CTO"))[
        0
    ].person.person.demographics == {"job_title": "Dev"}


def test_the_value_that_lost_stays_in_the_ledger() -> None:
    """The event says what its login replaced, or what it told too late; one that brought no conflict says nothing."""
    person = come({"occurred_at": TEN, "job_title": "Dev", "trial_status": "active", "name": "Dana"})
    decision = decide(
        known(person),
        login(event_id="n", occurred_at=TWELVE, job_title="CTO", trial_status="over", name="Dana", industry="toys"),
        login(event_id="l", occurred_at=ELEVEN, job_title="Boss", trial_status="longer", organization_id="org0"),
    )[2]
    (facts,) = decision.facts
    assert [orjson.loads(event.metadata) for event in facts.events] == [
        {"replaced": {"job_title": "Dev", "trial_status": "active"}},
        {"outdated": {"job_title": "Boss", "organization_id": "org0", "trial_status": "longer"}},
    ]
    (quiet,) = decide(known(person), login(event_id="q", occurred_at=TWELVE, industry="cars"))[2].facts
    assert quiet.events[0].metadata == "{}"


def test_an_address_that_was_not_taken_was_not_told() -> None:
    """A login whose address belongs to somebody else does not keep an older one with the person's own out."""
    person = come({"occurred_at": TEN, "email": "a@b.example"})
    foreign = login(event_id="f", occurred_at=TWELVE, email="bob@example.com")
    after = decide(known(person, owners={email_key("bob@example.com"): "p2"}), foreign)[0].person
    mine = login(event_id="m", occurred_at=ELEVEN, email="c@d.example")
    assert decide(known(stored(after)), mine)[0].person.person.email == "c@d.example"


def test_who_tells_of_other_products_at_the_same_time_is_seen() -> None:
    """A login without news demands the person as it was read, one with news the other leads; with one lead, neither."""
    alone = come({"occurred_at": TEN, "name": "Dana"})
    both = come({"occurred_at": TEN, "name": "Dana"}, {"occurred_at": TEN, "product_id": "gridwise", "name": "Dana"})

    def guarded(person: KnownPerson, **told: Any) -> set[tuple[Kind, str]]:
        changes = decide(known(person), login(event_id="n", occurred_at=ELEVEN, **told))[1]
        return {(c.kind, c.id) for c in changes if isinstance(c, Expect)}

    assert guarded(alone, name="Dana") == guarded(alone, name="Dan") == set()
    assert guarded(both, name="Dana") == {(Kind.PERSONS, "p1")}
    assert guarded(both, name="Dan") == {(Kind.LEADS, "new-gridwise")}


def test_a_consent_may_have_changed_by_itself() -> None:
    """What seems to be no news of it holds only if the person is as it was read."""
    person = come({"occurred_at": TEN, "whatsapp_opt_in": False})
    changes = decide(known(person), login(event_id="n", occurred_at=ELEVEN, whatsapp_opt_in=False))[1]
    assert [(c.kind, c.id) for c in changes if isinstance(c, Expect)] == [(Kind.PERSONS, "p1")]


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
