"""A person: one human, whatever the product. Contact, demographics, consent and suppressions live here."""

from typing import Any, Literal

from tracker.events import Channel
from tracker.model import Document
from tracker.times import Instant

SuppressionScope = Literal["nurture", "all"]
ConsentStatus = Literal["granted", "denied", "unknown"]


MOST_REMEMBERED = 1000
"""Sends that a person remembers: as many as a frequency cap may allow."""


class Consent(Document, frozen=True, kw_only=True):
    """What a person allows on one channel, and where that is known from."""

    status: ConsentStatus = "unknown"
    basis: str | None = None
    source: str | None = None
    at: Instant | None = None


CONSENTS = ("email_consent", "whatsapp_consent")


class Suppression(Document, frozen=True, kw_only=True):
    """Nothing of `scope` is sent on `channel` any more: `nurture` after an unsubscribe, `all` after a hard bounce.

    Attributes: address: the only one that it is about, since it is bad. None for what the person said, which holds for
    every address they have, and for a bounce that an earlier version kept.
    """

    channel: Channel
    reason: str
    at: Instant
    scope: SuppressionScope = "nurture"
    address: str | None = None

    @property
    def what(self) -> str:
        """What is refused and why, whenever that was."""
        of_address = f" {self.address}" if self.address else ""
        return f"{self.channel} {self.scope} {self.reason}{of_address}"

    def holds_for(self, address: str) -> bool:
        """Whether nothing goes to `address`. A number is the same with its plus and, as WhatsApp's id, without."""
        return self.address is None or self.address.removeprefix("+") == address.removeprefix("+")


class CrmIdentity(Document, frozen=True, kw_only=True):
    """Who the person is in one CRM."""

    source: str
    user_id: str


class Person(Document, frozen=True, kw_only=True):
    crm: tuple[CrmIdentity, ...] = ()
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    whatsapp_id: str | None = None
    visitor: str | None = None
    preferred_channel: Channel | None = None
    time_zone: str | None = None
    demographics: dict[str, str] = {}
    told: dict[str, Instant] = {}
    """When the API told a field. What logins tell stands on the leads."""
    email_consent: Consent = Consent()
    whatsapp_consent: Consent = Consent()
    suppressions: tuple[Suppression, ...] = ()
    refused_again: tuple[str, ...] = ()
    """What was refused before a merge and once more after it: suppressions by `what`, consents by field. Whose word the
    first was tells nothing of whose the second is."""
    whatsapp_seen_at: Instant | None = None
    """When the person last wrote on WhatsApp: free text may be sent for 24 h from then."""
    whatsapp_lead: str | None = None
    """The lead that a message on WhatsApp was last about; what the person writes there is an answer to it."""
    leads: dict[str, str] = {}
    """Product id → lead id. A person has one lead in a product because this document has one version at a time."""
    nurtured: tuple[Instant, ...] = ()
    """When the last messages of sequences went out, whatever the product: what frequency caps count."""
    absorbed: tuple[str, ...] = ()
    """Persons that turned out to be this one."""
    merged_into: str | None = None
    """The person that this one turned out to be."""
    created_at: Instant
    updated_at: Instant

    def sent_nurture(self, at: Instant) -> "Person":
        return self.but(nurtured=(*self.nurtured, at)[-MOST_REMEMBERED:])

    def with_lead(self, product_id: str, lead_id: str) -> "Person":
        return self.but(leads={**self.leads, product_id: lead_id})

    def address_on(self, channel: Channel) -> str:
        """Return where the person is written to on a channel; empty for nowhere."""
        addresses = {Channel.EMAIL: self.email, Channel.WHATSAPP: self.whatsapp_id or self.phone}
        return addresses.get(channel, self.visitor) or ""

    def suppress(self, suppression: Suppression) -> "Person":
        """Return the person with this suppression, kept once."""
        if any(s.what == suppression.what for s in self.suppressions):
            return self.refuse_again(suppression.what)
        return self.but(suppressions=(*self.suppressions, suppression))

    def refuse_again(self, what: str) -> "Person":
        """Return the person who refuses what is refused already; the same one, but for two persons in one."""
        if not self.absorbed or what in self.refused_again:
            return self
        return self.but(refused_again=(*self.refused_again, what))

    @property
    def first_name(self) -> str:
        return (self.name or "").split(" ")[0]

    def updated(self, values: dict[str, Any], *, at: Instant) -> "Person":
        """Return the person with the given fields changed; the very same object when none differs."""
        changes = {name: value for name, value in values.items() if getattr(self, name) != value}
        return self.but(**changes, updated_at=at) if changes else self
