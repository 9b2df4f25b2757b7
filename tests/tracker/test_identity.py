"""Identity: addresses in one form, and which person a set of keys belongs to."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies import texts
from tracker.identity import Key, crm_key, email_address, email_key, match, phone_key, phone_number

CRM, EMAIL, PHONE = crm_key("crm", "u1"), email_key("dana@example.com"), phone_key("+4915112345678")


def test_the_strongest_known_key_decides() -> None:
    """CRM id before e-mail before phone; a weaker key that belongs to somebody else stays theirs."""
    assert match([CRM, EMAIL, PHONE], {EMAIL: "b", CRM: "a"}) == ("a", (PHONE,))
    assert match([CRM, EMAIL, PHONE], {PHONE: "c"}) == ("c", (CRM, EMAIL))


def test_nobody_knows_a_new_person() -> None:
    """Where no key is known, all of them become the new person's."""
    assert match([CRM, EMAIL], {}) == (None, (CRM, EMAIL))


def test_a_shared_mailbox_does_not_make_two_users_one() -> None:
    """Whom the same CRM knows under another id cannot be meant; the next key, or nobody, is."""
    assert match([CRM, EMAIL], {EMAIL: "b"}, frozenset({"b"})) == (None, (CRM,))
    assert match([CRM, EMAIL, PHONE], {EMAIL: "b", PHONE: "c"}, frozenset({"b"})) == ("c", (CRM,))


owners = st.dictionaries(st.sampled_from([CRM, EMAIL, PHONE]), st.sampled_from(["a", "b"]))


@given(owners, st.frozensets(st.sampled_from(["a", "b"])))
def test_a_key_is_never_taken_from_its_owner(owned: dict[Key, str], strangers: frozenset[str]) -> None:
    """New keys are exactly those that nobody has, and no stranger is ever meant."""
    found = match([CRM, EMAIL, PHONE], owned, strangers)
    assert set(found.new_keys) == {CRM, EMAIL, PHONE} - owned.keys()
    assert found.person_id is None or (found.person_id in owned.values() and found.person_id not in strangers)


def test_keys_of_different_kinds_and_sources_never_meet() -> None:
    """A person called like an e-mail in some CRM is not the owner of that mailbox."""
    keys = [
        crm_key("crm", "dana@example.com"),
        crm_key("email", "dana@example.com"),
        EMAIL,
        crm_key("hubspot", "u1"),
        CRM,
    ]
    assert len({key.id for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("Dana@Example.COM", "dana@example.com"),
        ("dana+news@example.com", "dana+news@example.com"),
        ("dana@BÜCHER.example", "dana@bücher.example"),
        ("dana@localhost", None),
        ("dana", None),
        ("a b@example.com", None),
        ("", None),
    ],
)
def test_an_address_has_one_form(given: str, known: str | None) -> None:
    """The case of an e-mail address makes no second person."""
    if known is not None:
        assert email_address(given) == known
        return
    with pytest.raises(ValueError, match=r"."):
        email_address(given)


@given(texts | st.emails())
@example("İ@example.com")
def test_an_address_read_again_is_the_same(text: str) -> None:
    """Whatever comes in is an address in its final form, or refused as ValueError."""
    try:
        address = email_address(text)
    except ValueError:
        return
    assert email_address(address) == address


LABELS = st.text("aZ09-", min_size=1, max_size=5)
TOPS = st.sampled_from(["de", "Example", "c", "local", "Onion", "test", "c1", "a-b", "xn--a"])


@given(st.text("aZ0._+-", min_size=1, max_size=8), st.lists(LABELS, min_size=1, max_size=3), TOPS)
@example("a", ["ab--c"], "de")
@example("a" * 65, ["b"], "de")
def test_a_usual_address_is_what_the_library_says(local: str, labels: list[str], top: str) -> None:
    """Also where it is not asked."""
    text = f"{local}@{'.'.join(labels)}.{top}"
    try:
        wanted = validate_email(text, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        with pytest.raises(ValueError, match=r"."):
            email_address(text)
    else:
        assert email_address(text) == wanted


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("+49 151 12345678", "+4915112345678"),
        ("+1 202-555-0123 ext. 5", "+12025550123"),
        ("+49000000", None),
        ("+49 (0)151/1234 5678", "+4915112345678"),
        ("+1-202-555-0123", "+12025550123"),
        ("0151 12345678", None),
        ("+49", None),
        ("call me", None),
        ("", None),
    ],
)
def test_a_number_is_e164(given: str, known: str | None) -> None:
    """A number without its country code could be anybody's, so it is refused."""
    if known is not None:
        assert phone_number(given) == known
        return
    with pytest.raises(ValueError, match="phone number"):
        phone_number(given)


@given(texts | st.from_regex(r"\+[0-9 ()/-]{4,18}", fullmatch=True))
def test_a_number_read_again_is_the_same(text: str) -> None:
    """Whatever comes in becomes E.164, or is refused as ValueError."""
    try:
        number = phone_number(text)
    except ValueError:
        return
    assert phone_number(number) == number
    assert number[0] == "+"
    assert number[1:].isdigit()
