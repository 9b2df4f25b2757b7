"""Every field of a lead that comes from outside is known wherever such fields are listed, so that none is forgotten."""

from typing import Any

import pytest

from n8n.outbound_events import OutboundType, happened
from tests.strategies import NOON
from tracker.contacts import ContactFields, ContextFields, LeadFields
from tracker.corrections import Correction, corrected
from tracker.events import Channel
from tracker.lead import Lead, view
from tracker.logins import Login
from tracker.merging import added, joined, parted, told_since
from tracker.person import Person
from tracker.ports import Facts
from tracker.product import ProductConfig
from tracker.times import Instant, instant
from tracker.told import DEMOGRAPHIC, FIELDS, OF_LEAD

AT = instant(NOON)
EARLY, LATE = Instant("2026-01-01T10:00:00.000Z"), Instant("2026-01-02T10:00:00.000Z")
LEAD = Lead(person_id="p", product_id="flow", config_number=1, created_at=AT, updated_at=AT)
PERSON = Person(created_at=AT, updated_at=AT)
CONFIG = ProductConfig.model_validate({"product_id": "flow", "name": "Flow"})

GROWS = "feature_usage"
"""No word on it replaces another one, so nobody asks which is newer, and it has no time in `told.FIELDS`."""

ALL = (*FIELDS, GROWS)

NOT_SHOWN = frozenset({"time_zone"})
"""What the API's lead, whose fields are a contract, does not show: receivers of events are told in its words."""

OF_LOGIN_ALONE = frozenset({"event_id", "crm_user_id", "product_id", "occurred_at", "source", "whatsapp_opt_in"})
"""What a login says besides: which one it is, of whom, when; and a consent, which has a history of its own."""

VALUES: dict[str, tuple[Any, Any]] = {
    "preferred_channel": (Channel.WHATSAPP, Channel.CHATBOT),
    GROWS: (("api",), ("sso",)),
}


def saying(field: str, value: Any) -> tuple[Lead, Person]:
    """A lead and its person of whom one field is known."""
    if field in OF_LEAD or field == GROWS:
        return LEAD.but(**{field: value}), PERSON
    if field in DEMOGRAPHIC.values():
        return LEAD, PERSON.but(demographics={field: value})
    return LEAD, PERSON.but(**{field: value})


def said(field: str, lead: Lead, person: Person) -> Any:
    if field in OF_LEAD or field == GROWS:
        return getattr(lead, field)
    return person.demographics.get(field) if field in DEMOGRAPHIC.values() else getattr(person, field)


def updated(before: tuple[Lead, Person], after: tuple[Lead, Person]) -> list[str]:
    """What an outbound `lead.updated` names."""
    (lead_before, person_before), (lead, person) = before, after
    facts = Facts(
        lead_id="l", lead=lead, person=person, config=CONFIG, now=NOON, lead_before=lead_before,
        person_before=person_before, cause="c",
    )  # fmt: skip
    events = happened(facts, [OutboundType.LEAD_UPDATED], base_url="")
    return [name for event in events for name in event.data["changed"]]


@pytest.mark.parametrize("field", ALL)
def test_a_correction_of_any_field_is_kept(field: str) -> None:
    """Under its own name, with the value before and after."""
    old, new = VALUES.get(field, ("old", "new"))
    (entry,) = corrected("l", 1, saying(field, old), saying(field, new), person_id="p", actor="ana")
    ((name, its),) = Correction.read(entry.body).fields.items()
    assert (name.split("/")[-1], its.before, its.after) == (field, old, new)


@pytest.mark.parametrize("field", ALL)
def test_a_change_of_any_field_that_is_shown_is_told(field: str) -> None:
    """`lead.updated` names what the API's lead shows otherwise now, and nothing else."""
    before, after = (saying(field, value) for value in VALUES.get(field, ("old", "new")))
    shown = [view("l", 0, lead, person, now=NOON) for lead, person in (before, after)]
    assert (shown[0] == shown[1]) is (field in NOT_SHOWN)
    assert [name.split(".")[-1] for name in updated(before, after)] == ([] if field in NOT_SHOWN else [field])


@pytest.mark.parametrize("field", ALL)
def test_a_merge_takes_any_field_along(field: str) -> None:
    """What only the other one knows is kept; of two words the newer one is, whoever of the two has it."""
    old, new = VALUES.get(field, ("old", "new"))
    assert merged(field, None, new, {}, {}) == new
    both = (*old, *new) if field == GROWS else None
    assert merged(field, old, new, {field: EARLY}, {field: LATE}) == (both or new)
    assert merged(field, old, new, {field: LATE}, {field: EARLY}) == (both or old)


def merged(field: str, of_one: Any, of_other: Any, told: dict[str, Instant], others: dict[str, Instant]) -> Any:
    """What is known of a field once two leads, and their persons, are one."""
    one, other = (saying(field, value) if value else (LEAD, PERSON) for value in (of_one, of_other))
    lead = added(one[0].but(told=told, tells=""), other[0].but(told=others, tells=""), "l2", at=AT)
    return said(field, lead, joined(one[1], other[1], "p2", at=AT, told=(told, others)))


@pytest.mark.parametrize("field", FIELDS)
def test_undoing_a_merge_keeps_what_was_told_since_of_any_field(field: str) -> None:
    """The survivor, whose leads it was told of, has the word that came after the merge; without one, its own."""
    old, new = VALUES.get(field, ("old", "new"))
    (lead, person), (lead_now, person_now) = saying(field, old), saying(field, new)
    for told, known in (({field: LATE}, new), ({field: EARLY}, old)):
        alone = parted(lead_now.but(told=told, tells=""), lead.but(told={field: EARLY}, tells=""), LEAD)
        survivor, _ = told_since(person_now, person, PERSON, {field: EARLY}, told, {})
        assert said(field, alone, survivor) == known


def test_there_is_no_other_field() -> None:
    """What a login or a call can say of a lead is among those that are looked at here."""
    assert {DEMOGRAPHIC.get(name, name) for name in Login.model_fields} == {*ALL, *OF_LOGIN_ALONE}
    of_call = LeadFields.model_fields | ContactFields.model_fields | ContextFields.model_fields
    groups = {"contact_info", "demographics", "product_context"}
    assert of_call.keys() - groups == {*ALL} - {*DEMOGRAPHIC.values()}
