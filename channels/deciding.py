"""Whether a message may go now. Pure, and every check leaves its line in the decision record."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from channels.messages import Category, Check, Message
from channels.quiet import quiet_until
from tracker.conditions import Condition, holds, told
from tracker.consent import UNSUBSCRIBED
from tracker.events import Channel
from tracker.lead import Lead
from tracker.person import Person
from tracker.product import ProductConfig
from tracker.stages import Stage
from tracker.times import Instant, instant, later, moment

WINDOW = timedelta(hours=24)
"""How long after a person's last message WhatsApp takes free text."""


class Verdict(NamedTuple):
    """send: go on. skip: never. hold: look again, in a while or at `until`."""

    outcome: Literal["send", "skip", "hold"]
    checks: tuple[Check, ...]
    address: str = ""
    until: Instant | None = None


def decide(
    message: Message,
    lead: Lead,
    person: Person,
    *,
    open_channels: frozenset[Channel],
    now: datetime,
    approved: bool = False,
    config: ProductConfig | None = None,
) -> Verdict:
    """Decide on one message. The first check that does not hold decides; those behind it are not made.

    Args: approved: its template is one that WhatsApp has approved, so that it may go at any time. config: what the
        product asks, where it is known.
    """
    checks: list[Check] = []

    def failed(check: str, input: str, outcome: str | None) -> bool:
        checks.append(Check(check=check, input=input, outcome=outcome or "ok"))
        return outcome is not None

    address = person.address_on(message.channel)
    if failed("suppression", _told(person), _suppressed(message, person, address)):
        return Verdict("skip", tuple(checks))
    if failed("consent", _consent(message.channel, person), _not_allowed(message, person, config)):
        return Verdict("skip", tuple(checks))
    if message.category is Category.NURTURE and lead.held_by is not None:
        held = "held: until it is given back"
        checks.append(Check(check="condition", input="a person holds the thread", outcome=held))
        return Verdict("hold", tuple(checks), address)
    if message.stage and failed("condition", f"stage is {lead.stage}", _other_stage(message, lead)):
        return Verdict("skip", tuple(checks))
    if (gone := _no_such_step(message, config)) and failed("condition", f"step {message.step}", gone):
        return Verdict("skip", tuple(checks))
    for name, condition, wanted in _asked(message, config):
        if failed(name, told(condition), _not_as(wanted, met=holds(condition, lead, person, now=now))):
            return Verdict("skip", tuple(checks))
    until = _capped(message, person, config, now)
    if until is not None and config is not None and (cap := config.frequency_cap):
        allowed = f"{cap.messages} within {cap.hours:g} h"
        checks.append(Check(check="frequency_cap", input=allowed, outcome=f"held: until {until}"))
        return Verdict("hold", tuple(checks), address, until)
    quiet = config.quiet_hours if config and message.category is Category.NURTURE else None
    if quiet is not None and (until := quiet_until(quiet, person.time_zone, now)):
        window = f"{quiet.start} to {quiet.end} {person.time_zone or quiet.time_zone or 'UTC'}"
        checks.append(Check(check="quiet_hours", input=window, outcome=f"held: until {until}"))
        return Verdict("hold", tuple(checks), address, until)
    if failed("channel", str(message.channel), None if address else "skipped: no address"):
        return Verdict("skip", tuple(checks))
    if message.channel not in open_channels:
        checks[-1] = checks[-1].but(outcome="held: the channel is not configured")
        return Verdict("hold", tuple(checks), address)
    on_whatsapp = message.channel is Channel.WHATSAPP
    if on_whatsapp and failed("window", _window(person, now), _outside(message, person, now, approved=approved)):
        return Verdict("skip", tuple(checks))
    return Verdict("send", tuple(checks), address)


def _asked(message: Message, config: ProductConfig | None) -> Iterator[tuple[str, Condition, bool]]:
    """The conditions of the step and of its sequence: as what they are recorded, and what they have to be."""
    step = config.step(message.stage, message.step) if config else None
    if config is None or step is None:
        return
    if step.conditions is not None:
        yield "condition", step.conditions, True
    sequence = config.sequence(Stage(message.stage or ""))
    if sequence is not None and sequence.goal is not None:
        yield "goal", sequence.goal, False


def _capped(message: Message, person: Person, config: ProductConfig | None, now: datetime) -> Instant | None:
    """Return until when the person has had enough; None when another message may go, or this one was counted before."""
    cap = config.frequency_cap if config else None
    if cap is None or message.category is not Category.NURTURE or message.attempts:
        return None
    recent = [at for at in person.nurtured if at > later(now, hours=-cap.hours)]
    return later(moment(recent[-cap.messages]), hours=cap.hours) if len(recent) >= cap.messages else None


def _not_as(wanted: bool, *, met: bool) -> str | None:
    return None if met is wanted else f"skipped: it {'holds' if met else 'does not hold'}"


def _suppressed(message: Message, person: Person, address: str) -> str | None:
    for suppression in person.suppressions:
        if suppression.channel is not message.channel or not suppression.holds_for(address):
            continue
        if suppression.scope == "all" or message.category is Category.NURTURE:
            return f"skipped: {suppression.reason}"
    return None


def _told(person: Person) -> str:
    return ", ".join(f"{s.channel} {s.reason} ({s.address or s.scope})" for s in person.suppressions) or "none"


def _consent(channel: Channel, person: Person) -> str:
    consent = {Channel.EMAIL: person.email_consent, Channel.WHATSAPP: person.whatsapp_consent}.get(channel)
    return consent.status if consent else "not needed"


def _not_allowed(message: Message, person: Person, config: ProductConfig | None) -> str | None:
    """E-mail is allowed unless denied, or where the product says so only when granted, as WhatsApp; web chat always."""
    channel = message.channel
    status = _consent(channel, person)
    if status == "denied" and _confirms(message, person):
        return None
    asks_first = channel is Channel.EMAIL and config is not None and config.email_consent == "opt_in"
    only_granted = channel is Channel.WHATSAPP or (asks_first and message.category is not Category.REPLY)
    if status == "denied" or (only_granted and status != "granted"):
        return f"skipped: consent is {status}"
    return None


def _confirms(message: Message, person: Person) -> bool:
    """Whether the message is the answer to the opt-out itself, made in the same commit: the last word they get."""
    denied = person.whatsapp_consent
    of_it = message.channel is Channel.WHATSAPP and message.category is Category.REPLY
    return of_it and denied.basis == UNSUBSCRIBED and denied.at == message.created_at


def _window(person: Person, now: datetime) -> str:
    seen = person.whatsapp_seen_at
    if seen is None:
        return "the person has not written yet"
    return f"the person wrote at {seen}, which is {'less' if _open(person, now) else 'more'} than 24 h ago"


def _outside(message: Message, person: Person, now: datetime, *, approved: bool) -> str | None:
    if approved or _open(person, now):
        return None
    told = "the template has no content_sid" if message.template_id else "only an approved template may go"
    return f"skipped: the window is closed, and {told}"


def _open(person: Person, now: datetime) -> bool:
    return person.whatsapp_seen_at is not None and person.whatsapp_seen_at > instant(now - WINDOW)


def _other_stage(message: Message, lead: Lead) -> str | None:
    return None if message.stage == lead.stage else f"skipped: the sequence is for {message.stage}"


def _no_such_step(message: Message, config: ProductConfig | None) -> str | None:
    """A version that has taken the lead over may have no such step any more."""
    is_step = message.stage is not None and message.step is not None
    if config is None or not is_step or config.step(message.stage, message.step) is not None:
        return None
    return f"skipped: the sequence of {message.stage} has no such step by now"
