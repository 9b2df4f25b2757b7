"""By what a text tells of a person, and by what it tells of somebody else."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.identity import Key
from tracker.marks import Marks, mark

LEAD = "01JD8Z9QK3V5X7M2N4P6R8T0W1"
MARKS = Marks(["ann@x.example", "+4915112340777", "42", "a-visitor", LEAD, ""])

TOLD: tuple[Any, ...] = (
    "ann@x.example",
    " Ann@X.Example ",
    "mail ann@x.example bounced",
    "Sent to ann@x.example.",
    "Zed <ann@x.example>",
    "mailto:ann@x.example?subject=hi",
    "GET /users?mail=ann%40x.example failed",
    "'ann@x.example','bob@x.example'",
    {"ann@x.example": "no such field"},
    orjson.dumps({"deep": [{"text": "to ann@x.example"}]}).decode(),
    "+4915112340777",
    "+49 (151) 1234 0777",
    "+49 (0)151 1234-0777",
    "0049 151/12340777",
    "whatsapp:+4915112340777",
    "4915112340777 2026-01-05",
    4915112340777,
    {"crm_user_id": "42"},
    {"user": {"id": 42}},
    {"userId": " 42 "},
    {"contact-ids": ["41", "42"]},
    {"id": " A-Visitor"},
    f"PUT /leads/{LEAD}/events failed",
)

OTHERS: tuple[Any, ...] = (
    "",
    "joann@x.example",
    "jo.ann@x.example",
    "jo+ann@x.example",
    "jo-ann@x.example",
    "ann@x.example.org",
    "ann@x.examples",
    "ann@x.example-shop.test",
    "ann@xqexample",
    "149 151 1234 0777",
    "+4915112340778",
    "+49151123407775",
    "4915112340",
    "42",
    42,
    {"version": 42, "attempts": 42, "seats": "42"},
    {"event_id": "42", "organization_id": 42, "paid": "42"},
    "42 people",
    "1742",
    {"42": "a field", "a-visitor": 1},
    "not a-visitor of ours",
    f"{LEAD}0",
    True,
    None,
    4.2,
)


@pytest.mark.parametrize("value", TOLD, ids=repr)
def test_what_names_the_person_is_found(value: Any) -> None:
    """Addresses, numbers and long ids wherever they stand and however they are written; short ids as a person's id."""
    assert MARKS.told_in({"record": [value]})
    assert MARKS.told_in({"input": orjson.dumps({"record": value}).decode()})


@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_what_names_somebody_else_is_not(value: Any) -> None:
    """A longer address, another number, a text or a field that happens to hold a short id, which may be a count."""
    assert not MARKS.told_in({"record": [value]})


USER = Marks([LEAD], ["hubspot:7:x", "hubspot:8", "crm:8", "hubspot:user-00000000000009"])


@pytest.mark.parametrize(
    "value",
    [
        {"crm_user_id": "7:X"},
        {"crm_user_id": "7:x", "source": "HubSpot "},
        {"crm_user_id": 8, "source": "crm"},
        {"crm_user_id": "8", "source": None},
        {"crm_user_id": "8", "source": ""},
        {"source": "hubspot", "user": {"id": 8}},
        {"source": "zoho", "crm_user_id": 9, "user": {"crm_user_id": 8, "source": "crm"}},
        {"source": "webinar", "contact": {"id": 8}},
        {"source": "zoho", "text": "for user-00000000000009"},
        {"source": "zoho", "id": LEAD},
    ],
    ids=repr,
)
def test_a_crms_user_is_found_in_records_of_this_crm(value: Any) -> None:
    """And in those that name none: another system's `source` may be anything. What is nobody else's is found whatever
    a record names.
    """
    assert USER.told_in({"input": orjson.dumps([value]).decode()})


@pytest.mark.parametrize(
    "value",
    [
        {"crm_user_id": "7:x", "source": "crm"},
        {"crm_user_id": 8, "source": "zoho"},
        {"source": "zoho", "crm_user_id": 9, "users": [{"id": 8}, {"user_id": "8"}]},
        {"source": "crm", "crm_user_id": 9, "user": {"crm_user_id": 8, "source": "zoho"}},
        {"crm_user_id": "x", "source": "hubspot"},
    ],
    ids=repr,
)
def test_another_crms_user_with_this_id_is_somebody_else(value: Any) -> None:
    """Of two CRMs each may have a user 8. The source that is named nearest counts."""
    assert not USER.told_in({"input": orjson.dumps([value]).decode()})


def test_nobody_is_named_by_nothing() -> None:
    """Without a mark nothing is found, not even the empty text."""
    assert not Marks([]).told_in({"a": "", "b": "ann@x.example"})


def test_depth_is_no_obstacle() -> None:
    """What somebody sent may lie deeper than a program can call itself."""
    value: Any = "ann@x.example"
    for _ in range(5000):
        value = [value]
    assert MARKS.told_in(value)


@given(st.lists(st.sampled_from(["", " ", "-", ".", "(", ") ", "/", " - "]), min_size=12, max_size=12))
def test_a_number_is_its_digits(gaps: list[str]) -> None:
    """Whatever stands between the digits."""
    digits = "4915112340777"
    assert MARKS.told_in("+" + "".join(d + gap for d, gap in zip(digits, [*gaps, ""], strict=True)))


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (Key("email", "ann@x.example"), "ann@x.example"),
        (Key("phone", "+4915112340777"), "+4915112340777"),
        (Key("whatsapp", "4915112340777"), "+4915112340777"),
        (Key("whatsapp", "US.13491208655302741918"), "US.13491208655302741918"),
        (Key("visitor", "a:b"), "a:b"),
    ],
)
def test_a_key_is_looked_for_as_others_write_it(key: Key, word: str) -> None:
    """A WhatsApp number with its plus; a key is read from its id."""
    assert mark(key) == word
    assert Key.of(key.id) == key
