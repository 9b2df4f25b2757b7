"""Whether a message may go now. Pure, and every check leaves its line in the decision record."""

from datetime import datetime
from typing import Literal, NamedTuple

from channels.messages import Category, Check, Message
from tracker.events import Channel
from tracker.lead import Lead
from tracker.person import Person


class Verdict(NamedTuple):
    """send: go on. skip: never. hold: look again when the channel is on."""

    outcome: Literal["send", "skip", "hold"]
    checks: tuple[Check, ...]
    address: str = ""


def decide(
    message: Message, lead: Lead, person: Person, *, open_channels: frozenset[Channel], now: datetime
) -> Verdict:
    """Decide on one message. The first check that does not hold decides; those behind it are not made."""
    checks: list[Check] = []

    def failed(check: str, input: str, outcome: str | None) -> bool:
        checks.append(Check(check=check, input=input, outcome=outcome or "ok"))
        return outcome is not None

    address = _address(message.channel, person)
    if failed("suppression", _told(person), _suppressed(message, person)):
        return Verdict("skip", tuple(checks))
    if failed("consent", _consent(message.channel, person), _not_allowed(message.channel, person)):
        return Verdict("skip", tuple(checks))
    if message.stage and failed("condition", f"stage is {lead.stage}", _other_stage(message, lead)):
        return Verdict("skip", tuple(checks))
    if failed("channel", str(message.channel), None if address else "skipped: no address"):
        return Verdict("skip", tuple(checks))
    if message.channel not in open_channels:
        checks[-1] = checks[-1].but(outcome="held: the channel is not configured")
        return Verdict("hold", tuple(checks), address)
    return Verdict("send", tuple(checks), address)


def _suppressed(message: Message, person: Person) -> str | None:
    for suppression in person.suppressions:
        if suppression.channel is not message.channel:
            continue
        if suppression.scope == "all" or message.category is Category.NURTURE:
            return f"skipped: {suppression.reason}"
    return None


def _told(person: Person) -> str:
    return ", ".join(f"{s.channel} {s.reason} ({s.scope})" for s in person.suppressions) or "none"


def _consent(channel: Channel, person: Person) -> str:
    consent = {Channel.EMAIL: person.email_consent, Channel.WHATSAPP: person.whatsapp_consent}.get(channel)
    return consent.status if consent else "not needed"


def _not_allowed(channel: Channel, person: Person) -> str | None:
    """E-mail is allowed unless denied, WhatsApp only when granted, web chat always."""
    status = _consent(channel, person)
    if status == "denied" or (channel is Channel.WHATSAPP and status != "granted"):
        return f"skipped: consent is {status}"
    return None


def _other_stage(message: Message, lead: Lead) -> str | None:
    return None if message.stage == lead.stage else f"skipped: the sequence is for {message.stage}"


def _address(channel: Channel, person: Person) -> str:
    addresses = {Channel.EMAIL: person.email, Channel.WHATSAPP: person.whatsapp_id or person.phone}
    return addresses.get(channel, person.visitor) or ""
