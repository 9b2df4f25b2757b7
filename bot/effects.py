"""What a turn does to the lead and the person, beyond what is said. Pure."""

from collections.abc import Iterable
from typing import Any

from bot.dialogue import Answered, Reply
from tracker.events import Channel, EventType, Happening
from tracker.handoff import STRENGTH, Reason
from tracker.person import Consent, Person, Suppression
from tracker.product import SLOTS
from tracker.qualification import DECLINED, OF_DEMOGRAPHICS, OF_PERSON, known
from tracker.times import Instant

WROTE = {Channel.WHATSAPP: EventType.WHATSAPP_REPLY}
"""What the ledger says of somebody who wrote; a chatbot interaction elsewhere."""

ASKED = {Channel.WHATSAPP: "asked on WhatsApp"}
"""Where somebody said that they want no more messages; in a chat elsewhere."""


def wrote(turn_id: str, channel: Channel, at: Instant, **metadata: Any) -> Happening:
    return Happening("bot", turn_id, WROTE.get(channel, EventType.CHATBOT_INTERACTION), channel, at, metadata)


def answered(turn_id: str, channel: Channel, at: Instant, given: Iterable[Answered]) -> list[Happening]:
    """The answers to questions, as the ledger keeps them."""
    return [
        Happening(
            "bot",
            f"{turn_id}:{answer.slot}",
            EventType.QUALIFICATION_ANSWER,
            channel,
            at,
            {"slot": answer.slot, "raw": answer.raw, "value": answer.value},
        )
        for answer in given
    ]


def carried(reply: Reply, person: Person) -> list[Answered]:
    """What the prospect has answered in the conversation so far: it counts for the product that it switches to, too."""
    slots, of_crm, new = reply.state.slots, known_slots(person), {answer.slot for answer in reply.answered}
    return [
        Answered(slot, slots[slot], slots[slot])
        for slot in SLOTS
        if slots.get(slot) is not None and slot not in new and slots[slot] != of_crm.get(slot)
    ]


def known_slots(person: Person) -> dict[str, Any]:
    """What the CRM knows of a person before a question is asked. What was said here is in the conversation itself."""
    return known(person) if person.crm else {}


def with_answers(person: Person, given: Iterable[Answered], *, at: Instant) -> Person:
    """Return the person with what it said of itself. What the CRM supplied stays."""
    answers = {a.slot: a.value for a in given if isinstance(a.value, str) and a.value != DECLINED}
    values: dict[str, Any] = {
        name: answers[slot] for slot, name in OF_PERSON.items() if slot in answers and not _of_crm(person, name)
    }
    told = {
        name: answers[slot]
        for slot, name in OF_DEMOGRAPHICS.items()
        if slot in answers and not (person.crm and name in person.demographics)
    }
    return person.updated({**values, "demographics": person.demographics | told}, at=at)


def _of_crm(person: Person, name: str) -> bool:
    return bool(person.crm) and getattr(person, name) is not None


def wish(reply: Reply) -> Reason | None:
    """Return the strongest reason for which the turn wants a person."""
    reasons = [Reason(want.reason) for want in reply.wants if want.kind == "handoff" and want.reason in STRENGTH]
    return max(reasons, key=STRENGTH.index, default=None)


def opts_out(reply: Reply) -> bool:
    return any(want.kind == "opt_out" for want in reply.wants)


def unsubscribed(turn_id: str, channel: Channel, at: Instant) -> list[Happening]:
    """What the ledger says of an opt-out by WhatsApp: from then on nothing goes there at all."""
    if channel is not Channel.WHATSAPP:
        return []
    metadata = {"reason": ASKED[channel]}
    return [Happening("bot", f"{turn_id}:unsubscribe", EventType.UNSUBSCRIBE, channel, at, metadata)]


def without_nurture(person: Person, channel: Channel, *, at: Instant) -> Person:
    """Return the person as one who wants no messages but answers: on no channel, wherever it was said."""
    reason = ASKED.get(channel, "asked in chat")
    for quiet in (Channel.EMAIL, Channel.CHATBOT):
        person = person.suppress(Suppression(channel=quiet, reason=reason, at=at))
    if channel is Channel.WHATSAPP:  # there the ledger says so
        return person
    if person.whatsapp_consent.status == "denied":
        return person.refuse_again("whatsapp_consent")
    return person.but(whatsapp_consent=Consent(status="denied", basis=reason, source="bot", at=at), updated_at=at)


def switched(reply: Reply) -> str | None:
    """Return the product that the prospect has named instead of the present one."""
    wanted = (want.detail.get("product_id") for want in reply.wants if want.kind == "switch_product")
    return next((id for id in wanted if isinstance(id, str)), None)
