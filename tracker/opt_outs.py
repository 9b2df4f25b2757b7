"""Opt-outs of addresses of which we have no person: of one who was erased, or of whom no lead could be made.

They are kept as keyed hashes of the addresses, which tell nobody whose they are.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from tracker.events import Channel
from tracker.identity import Key, phone_key
from tracker.model import Document
from tracker.person import Consent, Person, Suppression, SuppressionScope
from tracker.store.port import Change, Insert, Store
from tracker.store.schema import Kind
from tracker.times import Instant
from tracker.unit import Decision, run

ADDRESS = "address"
"""The scope of what is about an address alone: everything to it, since it is bad."""

SCOPES = ("nurture", "all", "denied", ADDRESS)

EARLIER = "opted out earlier"


class OptOut(Document, frozen=True, kw_only=True):
    """What an address must not be sent. Its document id is the hash.

    Attributes: address: whose it is, where it is about that alone. Never kept: who comes back with it tells it.
    """

    channel: Channel
    scope: str
    at: Instant
    address: str | None = None


class OptOuts:
    def __init__(self, store: Store, secrets: Sequence[str]):
        """Args: secrets: the first makes hashes, all recognise them."""
        self._store, self._secrets = store, secrets

    def kept(self, person: Person, names: Iterable[Key], known: Iterable[str] = (), *, at: Instant) -> list[Change]:
        """Return the changes that remember what a person refused.

        Args: names: every key of the person, former addresses too: it comes back under any of them. known: hashes that
            are kept already.
        """
        if not self._secrets:
            return []
        changes: dict[str, Change] = {}
        for key in filter(None, map(_address, names)):
            channel = Channel.EMAIL if key.kind == "email" else Channel.WHATSAPP
            consent = person.email_consent if channel is Channel.EMAIL else person.whatsapp_consent
            for scope in _scopes(person, channel, consent, key.value):
                id = self._hash(self._secrets[0], key, scope)
                changes[id] = Insert(Kind.OPT_OUTS, id, OptOut(channel=channel, scope=scope, at=at).body())
        return [change for id, change in changes.items() if id not in set(known)]

    async def remember(self, keys: Sequence[Key], channel: Channel, *, at: Instant) -> None:
        """Keep that addresses of which we have no person want nothing on a channel, for whoever has them later."""
        name = "email_consent" if channel is Channel.EMAIL else "whatsapp_consent"
        refuses = Person(created_at=at, updated_at=at).but(**{name: Consent(status="denied", at=at)})

        async def read() -> list[str]:
            return [found.id for found in await self._store.get(Kind.OPT_OUTS, *self.hashes(keys)) if found]

        def decide(known: list[str]) -> Decision[None]:
            return Decision(None, self.kept(refuses, keys, known, at=at))

        await run(self._store, read, decide)

    def hashes(self, keys: Iterable[Key]) -> dict[str, Key]:
        """Every hash under which something could be remembered of these addresses, and of which."""
        addresses = [(key, address) for key in keys if (address := _address(key))]
        return {
            self._hash(secret, address, scope): key
            for secret in self._secrets
            for key, address in addresses
            for scope in SCOPES
        }

    async def of(self, keys: Iterable[Key]) -> list[OptOut]:
        """Return what addresses refused before they were somebody's."""
        return [opt_out for refused in (await self.by_key(keys)).values() for opt_out in refused]

    async def by_key(self, keys: Iterable[Key]) -> dict[Key, list[OptOut]]:
        """Return what each address refused before it was somebody's, of those that refused something."""
        hashes = self.hashes(keys)
        refused: dict[Key, list[OptOut]] = {}
        for found in await self._store.get(Kind.OPT_OUTS, *hashes):
            if found is not None:
                key, opt_out = hashes[found.id], OptOut.read(found.body)
                told = opt_out.but(address=key.value) if opt_out.scope == ADDRESS else opt_out
                refused.setdefault(key, []).append(told)
        return refused

    @staticmethod
    def _hash(secret: str, key: Key, scope: str) -> str:
        return hmac.new(secret.encode(), f"opt-out\n{key.id}\n{scope}".encode(), hashlib.sha256).hexdigest()


def _scopes(person: Person, channel: Channel, consent: Consent, address: str) -> list[str]:
    stops = [s for s in person.suppressions if s.channel is channel and s.holds_for(address)]
    scopes: list[str] = [ADDRESS if s.address else s.scope for s in stops]
    return list(dict.fromkeys([*scopes, *(["denied"] if consent.status == "denied" else [])]))


def refusing(person: Person, opt_outs: Iterable[OptOut]) -> Person:
    """Return a person with what its new addresses refused before; the very same object for nothing."""
    for opt_out in opt_outs:
        person = _refused(person, opt_out)
    return person


def _refused(person: Person, opt_out: OptOut) -> Person:
    if opt_out.scope == "denied":
        name = "email_consent" if opt_out.channel is Channel.EMAIL else "whatsapp_consent"
        return person.but(**{name: Consent(status="denied", basis=EARLIER, at=opt_out.at)}).refuse_again(name)
    scope: SuppressionScope = "all" if opt_out.scope in {"all", ADDRESS} else "nurture"
    stop = Suppression(channel=opt_out.channel, reason=EARLIER, at=opt_out.at, scope=scope, address=opt_out.address)
    return person.suppress(stop)


def _address(key: Key) -> Key | None:
    """A key as an address: the WhatsApp id is a number without its plus."""
    if key.kind in {"phone", "whatsapp"}:
        return phone_key("+" + key.value.removeprefix("+"))
    return key if key.kind in {"email", "whatsapp_user"} else None
