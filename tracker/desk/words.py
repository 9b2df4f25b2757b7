"""Plain words for what the store calls by its own names. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tracker.times import Instant, moment

REASONS: dict[str, str] = {
    "qualified": "Qualified: ready for sales",
    "asked": "Asked to talk to a person",
    "demo": "Wants a demo",
    "accepted_offer": "Accepted the offer to talk to a person",
}
STATUSES: dict[str, str] = {"open": "Waiting", "claimed": "In hand", "resolved": "Resolved"}
CHANNELS: dict[str, str] = {"email": "E-mail", "whatsapp": "WhatsApp", "chatbot": "Web chat", "product": "Product"}
STAGES: dict[str, str] = {
    "User": "User",
    "Engaged_Lead": "Engaged lead",
    "Qualified_Lead": "Qualified lead",
    "Customer": "Customer",
}
REVIEW_KINDS: dict[str, str] = {
    "quarantine": "Record that is no login",
    "dropped_field": "Field left out",
    "dead_letter": "Workflow failed",
    "message": "Message not sent",
    "uncertain": "Message perhaps sent",
    "identity": "Perhaps one person",
    "scoring": "Scoring rule failed",
    "inbound": "Message not answered",
    "outbound": "Event not delivered",
    "threshold": "Stage not decided",
    "template": "Template trouble",
}
REPLAYED: dict[str, str] = {
    "uncertain": "It may have arrived already. Replay sends it once more; Discard takes it for sent.",
    "message": "Replay sends it once more.",
    "outbound": "Replay sends it once more, with the same id.",
    "threshold": "Replay announces it once more, and closes the item where somebody has decided by now.",
    "dropped_field": "The login was kept without the field. Correct it, and Replay brings it to the lead.",
}
"""What a replay does, where it is not plain."""

ENGAGED: dict[str, str] = {"email": "E-mail", "whatsapp": "WhatsApp", "conversation": "Chat and answers"}
ARRIVED: dict[str, str] = {
    "User": "New leads",
    "Engaged_Lead": "Engaged leads",
    "Qualified_Lead": "Qualified leads",
    "Customer": "Customers",
}
SCORED: dict[str, str] = {
    "login": "Logins",
    "email_open": "Mails opened",
    "email_click": "Links followed",
    "email_reply": "Mail replies",
    "whatsapp_reply": "WhatsApp replies",
    "chatbot_interaction": "Chat messages",
    "qualification_answer": "Answers given",
}
MINUTE, HOUR, DAY = 60, 3600, 86_400
STEPS = ((HOUR, MINUTE, "minute"), (DAY, HOUR, "hour"), (30 * DAY, DAY, "day"))


def plain(name: Any) -> str:
    """`company_size` as `Company size`."""
    text = str(name).replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def stages(text: str) -> str:
    """Return a sentence with the stages as people call them."""
    for name in ("Engaged_Lead", "Qualified_Lead"):
        text = text.replace(name, STAGES[name].lower())
    return text


def how_far(score: Mapping[str, Any]) -> str:
    """Say what a score, as the API explains it, means."""
    total, engaged, qualified = score["total"], score["thresholds"]["engaged"], score["thresholds"]["qualified"]
    if total >= qualified:
        return f"{number(qualified)} points qualify a lead, and this one has them."
    told = f"{number(total)} of the {number(qualified)} points that qualify a lead"
    return f"{told}; {number(engaged)} show that it is engaged."


def of(table: dict[str, str]) -> Callable[[Any], str]:
    """Return what looks a name up in a table, and reads out what is not there."""
    return lambda name: table.get(str(name)) or plain(name)


def ago(at: Instant, now: datetime) -> str:
    """`5 minutes ago`, `in 2 days`; the date beyond a month."""
    then = moment(at)
    seconds = (now - then).total_seconds()
    distance = abs(seconds)
    if distance < MINUTE:
        return "just now" if seconds >= 0 else "in a moment"
    for limit, unit, word in STEPS:
        if distance < limit:
            count = int(distance // unit)
            text = f"{count} {word}{'' if count == 1 else 's'}"
            return f"{text} ago" if seconds >= 0 else f"in {text}"
    return f"{then.day} {then:%b %Y}"


def exact(at: Instant) -> str:
    """`2 March 2026, 09:00:12 UTC`"""
    then = moment(at)
    return f"{then.day} {then:%B %Y, %H:%M:%S} UTC"


def clock(at: Instant) -> str:
    """`2 Mar, 09:00`"""
    then = moment(at)
    return f"{then.day} {then:%b, %H:%M}"


def number(value: float) -> str:
    """`7.5`, `1,200`"""
    return f"{value:,.10g}" if abs(value) < 1e9 else f"{value:g}"


def value(given: Any) -> str:
    """An answer or a piece of metadata as one line of text."""
    if given is None or given == "":
        return "–"
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, list | tuple):
        return ", ".join(value(one) for one in given)
    if isinstance(given, dict):
        return ", ".join(f"{plain(name)}: {value(one)}" for name, one in given.items())
    return number(given) if isinstance(given, int | float) else str(given)


def initials(name: str) -> str:
    """One or two letters for a picture that is not there."""
    letters = [word[0] for word in name.split() if word[0].isalnum()]
    return ("".join(letters[:1] + letters[1:][-1:]) or "?").upper()
