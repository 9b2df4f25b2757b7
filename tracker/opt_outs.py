"""Opt-outs that outlive an erasure: kept as keyed hashes of addresses, which tell nobody whose they are."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from tracker.events import Channel
from tracker.identity import Key, email_key, phone_key
from tracker.model import Document
from tracker.person import Consent, Person, Suppression
from tracker.store.port import Change, Insert, Store
from tracker.store.schema import Kind
from tracker.times import Instant

SCOPES = ("nurture", "all", "denied")

ERASED = "opted out before an erasure"


class OptOut(Document, frozen=True, kw_only=True):
    """What an address must not be sent. Its document id is the hash."""

    channel: Channel
    scope: str
    at: Instant


class OptOuts:
    def __init__(self, store: Store, secrets: Sequence[str]):
        """Args: secrets: the first makes hashes, all recognise them."""
        self._store, self._secrets = store, secrets

    def kept(self, person: Person, known: Iterable[str] = (), *, at: Instant) -> list[Change]:
        """Return the changes that remember what a person refused. Args: known: hashes that are kept already."""
        refused = [
            (key, channel, scope)
            for key, channel, consent in (
                (email_key(person.email) if person.email else None, Channel.EMAIL, person.email_consent),
                (_number(person), Channel.WHATSAPP, person.whatsapp_consent),
            )
            if key is not None
            for scope in _scopes(person, channel, consent)
        ]
        made = {self._hash(self._secrets[0], key, scope): (channel, scope) for key, channel, scope in refused}
        return [
            Insert(Kind.OPT_OUTS, id, OptOut(channel=channel, scope=scope, at=at).body())
            for id, (channel, scope) in made.items()
            if id not in set(known)
        ]

    def hashes(self, person: Person) -> list[str]:
        """Every hash under which something could be remembered of a person's addresses."""
        keys = [email_key(person.email)] if person.email else []
        keys += [number] if (number := _number(person)) else []
        return [
            self._hash(s, key, scope) for s in self._secrets for key in keys for scope in ("nurture", "all", "denied")
        ]

    async def remembered(self, person: Person) -> Person:
        """Return a new person with what its addresses refused before an erasure."""
        if not self._secrets or not (person.email or _number(person)):
            return person
        for found in await self._store.get(Kind.OPT_OUTS, *self.hashes(person)):
            if found is None:
                continue
            opt_out = OptOut.read(found.body)
            if opt_out.scope == "denied":
                consent = Consent(status="denied", basis=ERASED, at=opt_out.at)
                name = "email_consent" if opt_out.channel is Channel.EMAIL else "whatsapp_consent"
                person = person.but(**{name: consent})
            else:
                scope = "all" if opt_out.scope == "all" else "nurture"
                person = person.suppress(
                    Suppression(channel=opt_out.channel, reason=ERASED, at=opt_out.at, scope=scope)  # type: ignore[arg-type]
                )
        return person

    @staticmethod
    def _hash(secret: str, key: Key, scope: str) -> str:
        return hmac.new(secret.encode(), f"opt-out\n{key.id}\n{scope}".encode(), hashlib.sha256).hexdigest()


def _scopes(person: Person, channel: Channel, consent: Consent) -> list[str]:
    scopes: list[str] = [s.scope for s in person.suppressions if s.channel is channel]
    return list(dict.fromkeys([*scopes, *(["denied"] if consent.status == "denied" else [])]))


def _number(person: Person) -> Key | None:
    number = person.phone or person.whatsapp_id
    return phone_key("+" + number.removeprefix("+")) if number else None
