"""How a handoff is told: who it is, why, and what to do next, in sentences. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from tracker.events import Channel, Event, EventType
from tracker.handoff import LEAD, PAST, Handoff, HandoffStatus, Reason
from tracker.lead import Lead
from tracker.model import Note
from tracker.person import Person
from tracker.ports import Spoken, Way


class Facts(NamedTuple):
    """What a handoff is told from, besides its document and the lead.

    Attributes: lead, score: as the API shows them. events: the lead's ledger, oldest first. transcript: as shown.
    moves: changes of the lead's stage since. unanswered: what the product requires and nobody has said.
    """

    way: Way
    lead: dict[str, Any]
    score: dict[str, Any]
    events: Sequence[Event]
    transcript: Sequence[dict[str, Any]]
    moves: Sequence[Note]
    unanswered: Sequence[str] = ()


def head(id: str, handoff: Handoff, lead: Lead, person: Person, way: Way) -> dict[str, Any]:
    """Return a handoff as lists show it (`HandoffLine`)."""
    return {
        "id": id,
        "lead_id": handoff.lead_id,
        "person_id": lead.person_id,
        "product_id": lead.product_id,
        "name": name(lead, person),
        "reason": handoff.reason,
        "status": handoff.status,
        "channel": way.channel,
        "claimed_by": handoff.claimed_by,
        "created_at": handoff.created_at,
        "updated_at": handoff.updated_at,
    }


def full(id: str, handoff: Handoff, lead: Lead, person: Person, facts: Facts) -> dict[str, Any]:
    """Return a handoff with all that it holds (`HandoffView`)."""
    notes = sorted((*handoff.history, *facts.moves), key=lambda note: note.at)
    return {
        **head(id, handoff, lead, person, facts.way),
        "lead": facts.lead,
        "answers": answers(facts.events),
        "score": facts.score,
        "why": why(handoff, facts),
        "transcript": list(facts.transcript),
        "next_step": next_step(handoff, facts.way),
        "window_open": facts.way.window_open,
        "history": [note.body() for note in notes],
    }


def name(lead: Lead, person: Person) -> str:
    """What to call a person: the name, else an address, else the end of an id."""
    return person.name or person.email or person.phone or f"Visitor {(person.visitor or lead.person_id)[-4:]}"


def line(spoken: Spoken) -> dict[str, Any]:
    """A line of the transcript."""
    return {
        "at": spoken.at,
        "by": spoken.by,
        "author": spoken.author,
        "text": spoken.text,
        "status": spoken.status,
    }


def answers(events: Sequence[Event]) -> dict[str, Any]:
    """Return the last answer to each question."""
    given: dict[str, Any] = {}
    for event in events:
        if event.event_type is EventType.QUALIFICATION_ANSWER:
            metadata = orjson.loads(event.metadata)
            slot, value = metadata.get("slot"), metadata.get("value")
            if isinstance(slot, str) and value is not None:
                given[slot] = value
    return given


COUNTED: dict[EventType, tuple[str, str]] = {
    EventType.LOGIN: ("login", "logins"),
    EventType.EMAIL_OPEN: ("opened e-mail", "opened e-mails"),
    EventType.EMAIL_CLICK: ("click in an e-mail", "clicks in e-mails"),
    EventType.EMAIL_REPLY: ("answer by e-mail", "answers by e-mail"),
    EventType.WHATSAPP_REPLY: ("message on WhatsApp", "messages on WhatsApp"),
    EventType.CHATBOT_INTERACTION: ("message in the chat", "messages in the chat"),
    EventType.QUALIFICATION_ANSWER: ("answered question", "answered questions"),
    EventType.CONVERSION: ("conversion", "conversions"),
}


def why(handoff: Handoff, facts: Facts) -> list[str]:
    """Say what happened, what gave the score, and how far that is."""
    told = [f"The lead {note.did}." for note in handoff.history if note.by == LEAD and note.did not in PAST.values()]
    counts = Counter(event.event_type for event in facts.events if not event.machine)
    by_type: dict[str, float] = facts.score["by_type"]
    for event_type, points in sorted(by_type.items(), key=lambda item: -item[1]):
        if points:
            count = counts[EventType(event_type)]
            one, many = COUNTED.get(EventType(event_type), (event_type, event_type))
            told.append(f"{points:g} points from {count} {one if count == 1 else many}.")
    told.append(_how_far(facts.score))
    if facts.unanswered:
        told.append(f"Not known yet: {', '.join(slot.replace('_', ' ') for slot in facts.unanswered)}.")
    return told


def _how_far(score: dict[str, Any]) -> str:
    total, threshold = score["total"], score["thresholds"]["qualified"]
    if total >= threshold:
        return f"The score is {total:g}; {threshold:g} qualifies a lead."
    return f"The score is {total:g}; {threshold - total:g} more would qualify the lead."


STEPS: dict[Reason, str] = {
    Reason.QUALIFIED: "Introduce yourself, with reference to what they use and said, and propose a call.",
    Reason.ACCEPTED_OFFER: "Read what the assistant could not answer, and answer it.",
    Reason.ASKED: "Say hello and ask how you can help: they wait for a person.",
    Reason.DEMO: "Propose two times for the demo.",
}

PLACES: dict[Channel, str] = {
    Channel.EMAIL: "Your reply goes out by e-mail.",
    Channel.WHATSAPP: "Your reply goes out on WhatsApp.",
    Channel.CHATBOT: "Your reply appears in their web chat, also when they come back later.",
}


def next_step(handoff: Handoff, way: Way) -> str:
    """Suggest what to do."""
    if handoff.status is HandoffStatus.RESOLVED:
        return "Nothing: the handoff is resolved."
    parts = [STEPS[handoff.reason]]
    if way.window_open is False:
        parts.append("They wrote on WhatsApp more than 24 hours ago, so free text no longer reaches them there.")
    if way.obstacle is not None:
        parts.append(f"A reply would not arrive ({way.obstacle}): look for another way, such as the phone.")
    else:
        parts.append(PLACES.get(way.channel, ""))
    return " ".join(parts)
