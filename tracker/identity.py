"""Who is who: identity keys, strongest first, and which known person a set of keys belongs to."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email


class Key(NamedTuple):
    """One way to recognise a person. `id` is the id of its document in `person_keys`."""

    kind: str
    value: str

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.value}"

    @classmethod
    def of(cls, id: str) -> "Key":
        kind, _, value = id.partition(":")
        return cls(kind, value)


def crm_key(source: str, user_id: str) -> Key:
    return Key("crm", f"{source}:{user_id}")


def email_key(email: str) -> Key:
    return Key("email", email)


def phone_key(phone: str) -> Key:
    return Key("phone", phone)


class Match(NamedTuple):
    """The person that the keys belong to, None for a new one, and which keys to add to it."""

    person_id: str | None
    new_keys: tuple[Key, ...]


def match(keys: Sequence[Key], owners: Mapping[Key, str], strangers: frozenset[str] = frozenset()) -> Match:
    """Find the person of `keys`.

    Args: keys: strongest first. owners: the person of each key that is known. strangers: people who cannot be meant,
        because the same CRM knows them under another id: a shared phone or mailbox does not make two users one.
    Returns: the owner of the strongest key who is no stranger; a key that belongs to somebody else stays theirs.
    """
    person_id = next((owners[key] for key in keys if key in owners and owners[key] not in strangers), None)
    return Match(person_id, tuple(key for key in keys if key not in owners))


_USUAL = re.compile(
    r"[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+(?P<top>[a-z]{2,20})", re.ASCII | re.IGNORECASE
)
"""How nearly every address looks. With 64 characters at most no part of it can be too long."""


@lru_cache(maxsize=65_536)
def email_address(text: str) -> str:
    """Return the address lower-cased. Raises: ValueError: not an address."""
    # Asking the library about an address costs more than counting its login.
    usual = _USUAL.fullmatch(text) if len(text) <= 64 else None
    if usual and usual["top"].lower() not in SPECIAL_USE_DOMAIN_NAMES:
        return text.lower()
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=65_536)
def phone_number(text: str) -> str:
    """Return the number in E.164. Raises: ValueError: not a number with a country code."""
    try:
        number = phonenumbers.parse(text, None)
        known = _e164(number)
        again = _e164(phonenumbers.parse(known, None))
    except phonenumbers.NumberParseException as error:
        raise ValueError("is not a phone number with its country code, such as +4915112345678") from error
    # Where a prefix for calls within the country is left, it would be another number when it is read again.
    if not phonenumbers.is_possible_number(number) or again != known:
        raise ValueError("is not a possible phone number")
    return known


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
