"""Addresses in a login that are somebody else's: the same human's, one that was left behind, or a shared one. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from tracker import review
from tracker.events import Channel
from tracker.identity import Key
from tracker.person import Person
from tracker.review import ReviewKind
from tracker.store.port import Change, Document, Expect, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import Instant


class Claims(NamedTuple):
    """What comes of addresses that somebody else owns.

    Attributes: kin: people whom no CRM knows: the same human. taken: keys that are this person's from now on, and whose
    they were. changes: that take these. notes: review items for the other addresses, which are left out.
    """

    kin: list[str]
    taken: list[tuple[Key, Person]]
    changes: list[Change]
    notes: list[Insert]


def claimed(
    person_id: str,
    owners: Mapping[Key, str],
    keys: Mapping[Key, Document],
    persons: Mapping[str, Document],
    strangers: frozenset[str],
    *,
    at: Instant,
) -> Claims:
    """Decide on the keys of a login that are not the person's.

    Args: keys: documents of those that are known, and of what WhatsApp knows their numbers by. persons: the owners.
        strangers: whom the login's CRM knows under another id: they share an address, or have left it to somebody else.
    """
    claims = Claims([], [], [], [])
    notes: dict[tuple[str, str], Insert] = {}
    left: dict[str, tuple[Document, Person]] = {}
    for key, owner in owners.items():
        other = persons[owner]
        if owner == person_id:
            continue
        if owner not in strangers:
            if other.body["crm"]:
                notes.setdefault((owner, ""), alike(person_id, owner, key, at=at))
            else:
                claims.kin.append(owner)
        elif has_left(was := Person.read(other.body), key):
            claims.taken.append((key, was))
            for moved in (key, *whatsapp_keys([key])):
                if (found := keys.get(moved)) and found.body["person_id"] == keys[key].body["person_id"]:
                    claims.changes.append(Replace(Kind.PERSON_KEYS, moved.id, found.version, {"person_id": person_id}))
            left[owner] = other, _without(left[owner][1] if owner in left else was, key, at=at)
        else:
            notes[owner, key.id] = shared(person_id, owner, key, at=at)
    claims.notes.extend(notes.values())
    claims.changes.extend(_guard(document, person) for document, person in left.values())
    return claims


def whatsapp_keys(keys: Iterable[Key]) -> list[Key]:
    """Return what WhatsApp knows the numbers among `keys` by: who has the number is who writes from it."""
    return [Key("whatsapp", key.value.removeprefix("+")) for key in keys if key.kind == "phone"]


def _without(owner: Person, key: Key, *, at: Instant) -> Person:
    """Return who left an address. Who has left a number is not written to there on WhatsApp either."""
    if owner.whatsapp_id not in {its.value for its in whatsapp_keys([key])}:
        return owner
    return owner.updated({"whatsapp_id": None}, at=at)


def _guard(found: Document, left: Person) -> Change:
    """Demand that who left an address has not come back; written where it has changed."""
    body = left.body()
    if body == found.body:
        return Expect(Kind.PERSONS, found.id, found.version)
    return Replace(Kind.PERSONS, found.id, found.version, body)


def has_left(owner: Person, key: Key) -> bool:
    """Whether the owner of an address has another one by now. Who is two persons in one may well have both."""
    if owner.absorbed:
        return False
    now = {"email": owner.email, "phone": owner.phone}.get(key.kind)
    return now is not None and now != key.value


def inheriting(person: Person, taken: Iterable[tuple[Key, Person]]) -> Person:
    """Return a person with what its addresses refused while they were somebody else's."""
    for key, other in taken:
        channel = Channel.EMAIL if key.kind == "email" else Channel.WHATSAPP
        for suppression in other.suppressions:
            if suppression.channel is channel and suppression.holds_for(key.value):
                person = person.suppress(suppression)
        name = "email_consent" if channel is Channel.EMAIL else "whatsapp_consent"
        if getattr(other, name).status == "denied":
            person = person.but(**{name: getattr(other, name)}).refuse_again(name)
    return person


def strangers(persons: Iterable[tuple[str, Person]], source: str, user_id: str) -> frozenset[str]:
    """Return the people whom `source` knows under another id than `user_id`."""
    return frozenset(
        person_id
        for person_id, person in persons
        if any(i.source == source for i in person.crm)
        and not any(i.source == source and i.user_id == user_id for i in person.crm)
    )


def alike(person_id: str, other_id: str, key: Key, *, at: Instant) -> Insert:
    """The review item for two persons who share an address, each known to a CRM of its own."""
    return review.item(
        ReviewKind.IDENTITY,
        reason="two persons share an address",
        error=f"the {key.kind} of {person_id} belongs to {other_id}; merge them if they are one",
        input={"persons": [person_id, other_id], "key": key.kind},
        at=at,
        id=f"identity:{':'.join(sorted((person_id, other_id)))}",
    )


def shared(person_id: str, other_id: str, key: Key, *, at: Instant) -> Insert:
    """The review item for an address that several users of one CRM have: one for each address."""
    return review.item(
        ReviewKind.IDENTITY,
        reason="users of one CRM share an address",
        error=f"the {key.kind} of {person_id} is used by {other_id}, a user of the same CRM; it was left out",
        input={"persons": [person_id, other_id], "key": key.kind},
        at=at,
        id=f"shared:{blake2b(key.id.encode(errors='surrogateescape'), digest_size=16).hexdigest()}",
    )


def untold(notes: Sequence[Insert], found: Sequence[Document | None]) -> list[Insert]:
    """Return the items that are not in review yet. Args: found: the documents of their ids, in order."""
    return [item for item, there in zip(notes, found, strict=True) if there is None]
