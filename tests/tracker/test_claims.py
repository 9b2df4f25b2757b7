"""Addresses that are somebody else's: whose they are from now on, and what is told."""

from typing import Any

import pytest

from tests.strategies import NOON
from tracker.claims import Claims, claimed, has_left, inheriting
from tracker.events import Channel
from tracker.identity import Key, email_key, phone_key
from tracker.person import Consent, CrmIdentity, Person, Suppression
from tracker.store.port import Document, Expect, Replace, check_unit
from tracker.store.schema import Kind
from tracker.times import instant

AT = instant(NOON)
EMAIL, PHONE = email_key("team@acme.example"), phone_key("+4915112345678")


def person(**fields: Any) -> Person:
    return Person(created_at=AT, updated_at=AT, **fields)


def claims(other: Person, *keys: Key, stranger: bool) -> Claims:
    """What comes of keys that `other` owns, for a person who is not stored yet."""
    return claimed(
        "me",
        dict.fromkeys(keys, "other"),
        {key: Document(Kind.PERSON_KEYS, key.id, 4, {"person_id": "other"}) for key in keys},
        {"other": Document(Kind.PERSONS, "other", 7, other.body())},
        frozenset({"other"} if stranger else ()),
        at=AT,
    )


CRM = (CrmIdentity(source="crm", user_id="a"),)


def test_whom_no_crm_knows_is_the_same_human() -> None:
    """They are to be merged; nothing is noted."""
    assert claims(person(email=EMAIL.value), EMAIL, stranger=False) == (["other"], [], [], [])


def test_two_crms_may_mean_one_human() -> None:
    """A person decides; one item for the two, however many addresses they share."""
    told = claims(person(email=EMAIL.value, phone=PHONE.value, crm=CRM), EMAIL, PHONE, stranger=False)
    assert (told.kin, told.taken, told.changes) == ([], [], [])
    assert [item.body["reason"] for item in told.notes] == ["two persons share an address"]


def test_a_shared_address_stays_where_it_is() -> None:
    """One item for each address, whoever asks for it."""
    told = claims(person(email=EMAIL.value, phone=PHONE.value, crm=CRM), EMAIL, PHONE, stranger=True)
    assert (told.kin, told.taken, told.changes) == ([], [], [])
    assert len({item.id for item in told.notes}) == 2


def test_an_address_that_was_left_is_taken_over_under_guard() -> None:
    """Its key is rewritten, and the one who left it must not have come back in the meantime."""
    other = person(email="ann@acme.example", phone="+4915100000000", crm=CRM)
    told = claims(other, EMAIL, PHONE, stranger=True)
    assert [key for key, _ in told.taken] == [EMAIL, PHONE]
    assert told.changes == [
        Replace(Kind.PERSON_KEYS, EMAIL.id, 4, {"person_id": "me"}),
        Replace(Kind.PERSON_KEYS, PHONE.id, 4, {"person_id": "me"}),
        Expect(Kind.PERSONS, "other", 7),
    ]
    assert (told.kin, told.notes) == ([], [])
    check_unit(told.changes)


@pytest.mark.parametrize(("owner", "moves"), [("other", True), ("third", False)])
def test_a_number_is_taken_over_on_whatsapp_too(owner: str, moves: bool) -> None:
    """Who has left it neither answers nor is written to there any more; what is a third one's stays theirs."""
    writer = Key("whatsapp", "4915112345678")
    other = person(phone="+4915100000000", whatsapp_id=writer.value if moves else None, crm=CRM)
    told = claimed(
        "me",
        {PHONE: "other"},
        {
            PHONE: Document(Kind.PERSON_KEYS, PHONE.id, 4, {"person_id": "other"}),
            writer: Document(Kind.PERSON_KEYS, writer.id, 5, {"person_id": owner}),
        },
        {"other": Document(Kind.PERSONS, "other", 7, other.body())},
        frozenset({"other"}),
        at=AT,
    )
    taken = Replace(Kind.PERSON_KEYS, PHONE.id, 4, {"person_id": "me"})
    if moves:
        also = Replace(Kind.PERSON_KEYS, writer.id, 5, {"person_id": "me"})
        left = Replace(Kind.PERSONS, "other", 7, other.but(whatsapp_id=None).body())
        assert told.changes == [taken, also, left]
    else:
        assert told.changes == [taken, Expect(Kind.PERSONS, "other", 7)]
    check_unit(told.changes)


@pytest.mark.parametrize(
    ("owner", "left"),
    [(person(), False), (person(email=EMAIL.value), False), (person(email="ann@acme.example"), True)],
)
def test_nobody_has_left_the_only_address_that_is_known(owner: Person, left: bool) -> None:
    """Only who has another address by now has left this one."""
    assert has_left(owner, EMAIL) is left


def test_what_an_address_refused_goes_with_it() -> None:
    """Of the same channel alone."""
    no = Consent(status="denied", at=AT)
    refused = [Suppression(channel=c, reason="unsubscribed", at=AT) for c in (Channel.EMAIL, Channel.WHATSAPP)]
    other = person(email_consent=no, whatsapp_consent=no).suppress(refused[0]).suppress(refused[1])
    heir = inheriting(person(), [(EMAIL, other)])
    assert (heir.suppressions, heir.email_consent) == ((refused[0],), no)
    assert heir.whatsapp_consent.status == "unknown"


@pytest.mark.parametrize("address", [EMAIL.value, "ann@former.example"])
def test_a_bounce_goes_with_the_address_that_bounced(address: str) -> None:
    """The mail of another address of theirs says nothing of this one."""
    bounced = Suppression(channel=Channel.EMAIL, reason="550", at=AT, scope="all", address=address)
    heir = inheriting(person(), [(EMAIL, person().suppress(bounced))])
    assert heir.suppressions == ((bounced,) if address == EMAIL.value else ())
