"""A lead's timeline, told in sentences. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tracker.corrections import OF_DEMOGRAPHICS
from tracker.desk import words
from tracker.scoring import CUT
from tracker.times import Instant

EVENTS: dict[str, str] = {
    "login": "Logged in",
    "email_sent": "A mail was sent",
    "email_delivered": "A mail arrived",
    "email_open": "Opened a mail",
    "email_click": "Followed a link in a mail",
    "email_bounce": "A mail came back",
    "email_reply": "Replied to a mail",
    "unsubscribe": "Unsubscribed",
    "complaint": "Marked a mail as spam",
    "whatsapp_sent": "A WhatsApp message was sent",
    "whatsapp_delivered": "A WhatsApp message arrived",
    "whatsapp_read": "Read a WhatsApp message",
    "whatsapp_reply": "Wrote on WhatsApp",
    "chatbot_interaction": "Wrote in the web chat",
    "qualification_answer": "Answered a question",
    "conversion": "Reached a goal",
}
MESSAGES: dict[str, str] = {
    "planned": "is planned",
    "due": "is about to be sent",
    "held": "is held back",
    "sending": "is being sent",
    "sent": "was sent",
    "delivered": "was delivered",
    "read": "was read",
    "uncertain": "may or may not have been sent",
    "failed": "could not be sent",
    "dead": "was given up",
    "skipped": "was skipped",
    "cancelled": "was cancelled",
}
BECAME: dict[tuple[str, str], str] = {
    ("User", "Engaged_Lead"): "Became an engaged lead",
    ("Engaged_Lead", "Qualified_Lead"): "Became a qualified lead",
    ("Qualified_Lead", "Customer"): "Became a customer",
}
CHANNELS: dict[str, str] = {"email": "Mail", "whatsapp": "WhatsApp message", "chatbot": "Chat message"}
CONSENTS: dict[str, str] = {
    "granted": "{}: may be written to",
    "denied": "{}: does not want to be written to",
    "unknown": "{}: not known whether they want to be written to",
}
Item = Mapping[str, Any]


class Entry(NamedTuple):
    """One thing that happened. `look`: how it is marked. `points`: what it added to the score, 0 for nothing."""

    at: Instant
    look: str
    title: str
    text: str = ""
    said: Sequence[tuple[str, str]] = ()
    points: float = 0


def told(items: Iterable[Item]) -> list[Entry]:
    """Return the entries of a page of the timeline, in its order.

    A chat message is in the ledger and in the conversation: it is told once, with its points.
    """
    items = list(items)
    turns = {item["id"] for item in items if item["kind"] == "turn"}
    counted = {item["event_id"]: item for item in items if _is_wrote(item) and item["event_id"] in turns}
    return [
        _entry(item, counted.get(item["id"])) for item in items if not (_is_wrote(item) and item["event_id"] in counted)
    ]


def _is_wrote(item: Item) -> bool:
    return item["kind"] == "event" and item["event_type"] in {"chatbot_interaction", "whatsapp_reply"}


def _entry(item: Item, counted: Item | None) -> Entry:
    """Args: counted: the event that this is in the ledger, where it is told once."""
    teller = TELLERS.get(item["kind"], _anything)
    entry = teller(item)
    return entry._replace(points=counted["score_impact"], text=_why_less(counted)) if counted else entry


def _event(item: Item) -> Entry:
    kind, about = str(item["event_type"]), item["metadata"]
    title = EVENTS.get(kind) or words.plain(kind)
    if kind == "qualification_answer" and "slot" in about:
        title = f"Answered “{words.plain(about['slot'])}”"
        text = words.value(about.get("value"))
    else:
        text = "; ".join(filter(None, (_about(about), _lost(about) if kind == "login" else "")))
    text = "; ".join(filter(None, (text, _why_less(item))))
    return Entry(item["at"], f"event {kind}", title, text, points=item["score_impact"])


def _why_less(event: Item) -> str:
    """Why an event gave fewer points than its kind does."""
    if event["machine"]:
        return "a machine did it, so it counts for nothing"
    return "the day's cap cut its points" if event.get("rule", "").endswith(CUT) else ""


def _about(metadata: Mapping[str, Any]) -> str:
    """The parts of an event's metadata that say something to a reader."""
    named = (("template_id", "“{}”"), ("url", "{}"), ("goal", "{}"), ("feature", "{}"), ("error", "{}"))
    return ", ".join(form.format(words.value(metadata[name])) for name, form in named if metadata.get(name))


LOST = (("replaced", "{} was {} until then"), ("outdated", "{} {}: something newer is known"))
"""How a login tells of values that lost against a newer word."""


def _lost(metadata: Mapping[str, Any]) -> str:
    told = [(form, metadata[kind]) for kind, form in LOST if isinstance(metadata.get(kind), Mapping)]
    return "; ".join(
        form.format(words.plain(name), words.value(value)) for form, lost in told for name, value in lost.items()
    )


def _stage(item: Item) -> Entry:
    title = (
        BECAME.get((str(item["from"]), str(item["to"]))) or f"Went back to {words.of(words.STAGES)(item['to']).lower()}"
    )
    return Entry(item["at"], "stage", title, f"{words.plain(item['reason'])} (by {item['actor']})")


def _message(item: Item) -> Entry:
    what = CHANNELS.get(str(item["channel"]), "Message")
    named = f"{what} “{item['template_id']}”" if item.get("template_id") else what
    title = f"{named} {MESSAGES.get(str(item['status']), words.plain(item['status']))}"
    refused = next((check for check in reversed(item["decision"]) if check["outcome"] != "ok"), None)
    text = f"{words.plain(refused['check'])}: {refused['input']} → {refused['outcome']}" if refused else ""
    failed = [attempt["error"] for attempt in item["attempts"] if attempt["error"]]
    return Entry(item["at"], "message", title, text or (failed[-1] if failed else ""))


def _turn(item: Item) -> Entry:
    answers = [("Assistant", message["text"]) for message in item["messages"] if message.get("text")]
    pressed = item["text"].startswith("/")  # a button's payload
    said = words.plain(item["text"].lstrip("/").partition("{")[0]) if pressed else item["text"]
    return Entry(item["at"], "turn", "Talked with the assistant", said=[("Visitor", said), *answers])


def _handoff(item: Item) -> Entry:
    reason, status = words.of(words.REASONS)(item["reason"]), words.of(words.STATUSES)(item["status"])
    held = f", with {item['claimed_by']}" if item.get("claimed_by") else ""
    return Entry(item["at"], "stage", "Handed to a person", f"{reason}. {status}{held}")


def _consent(item: Item) -> Entry:
    channel = words.of(words.CHANNELS)(item["channel"])
    title = CONSENTS.get(str(item["status"]), "{}: " + words.plain(item["status"])).format(channel)
    told = "; ".join(words.plain(item[name]) for name in ("basis", "source") if item.get(name))
    return Entry(item["at"], "other", title, told)


def _correction(item: Item) -> Entry:
    told = (
        f"{words.plain(name.removeprefix(OF_DEMOGRAPHICS))}: {_or_none(its['before'])} → {_or_none(its['after'])}"
        for name, its in item["fields"].items()
    )
    return Entry(item["at"], "other", "Was corrected", f"{'; '.join(told)} (by {item['actor']})")


def _or_none(value: Any) -> str:
    return words.value(value or None)


def _anything(item: Item) -> Entry:
    """What a room tells that this page does not know by name."""
    title = str(item.get("title") or words.plain(item["kind"]))
    return Entry(item["at"], "other", title, str(item.get("text") or ""))


TELLERS = {
    "event": _event,
    "stage": _stage,
    "consent": _consent,
    "correction": _correction,
    "message": _message,
    "turn": _turn,
    "handoff": _handoff,
}
