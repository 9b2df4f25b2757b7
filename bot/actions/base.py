"""What every action shares: a name, a look at the turn, and ways to set slots and to ask the caller for something."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.interfaces import Action, Tracker

FORM = "qualification_form"

Event = dict[str, Any]


class Named(Action):  # type: ignore[misc]  # rasa-sdk has no types
    """An action whose name is a class attribute, and which has no use for the domain."""

    known_as = ""

    def name(self) -> str:
        return self.known_as

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any) -> list[Event]:
        return await self.act(dispatcher, tracker)

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        """Say what there is to say and return the events that follow."""
        raise NotImplementedError


def slot(name: str, value: Any) -> Event:
    return {"event": "slot", "timestamp": None, "name": name, "value": value}


def want(dispatcher: CollectingDispatcher, kind: str, reason: str = "", **detail: Any) -> None:
    """Ask the caller for something that is not a message: a handoff, an opt-out, …"""
    dispatcher.utter_message(json_message={"wants": {"kind": kind, "reason": reason, "detail": detail}})


def metadata(tracker: Tracker) -> Mapping[str, Any]:
    """Return what the caller said about the turn: `product`, `products`, `known`, `now`, `channel`."""
    return tracker.latest_message.get("metadata") or {}


def now(tracker: Tracker) -> datetime:
    """Return when the turn happened, as the caller says; the present, on a Rasa server that says nothing."""
    given = metadata(tracker).get("now")
    return datetime.fromisoformat(given) if given else datetime.now(UTC)


def product(tracker: Tracker) -> Mapping[str, Any]:
    """Return the product that is talked about: `{product_id?, name?, facts?, required?}`."""
    return metadata(tracker).get("product") or {}


def intent(tracker: Tracker) -> str:
    return str((tracker.latest_message.get("intent") or {}).get("name") or "")


def text(tracker: Tracker) -> str:
    return str(tracker.latest_message.get("text") or "")


def in_form(tracker: Tracker) -> bool:
    return bool(tracker.active_loop_name == FORM)


def asked(tracker: Tracker) -> str | None:
    """Return the slot that the form is asking for, none outside the form."""
    return tracker.slots.get("requested_slot") if in_form(tracker) else None


def before(tracker: Tracker) -> dict[str, Any]:
    """Return the slots as they were when the latest message came."""
    found: dict[str, Any] = {}
    turn = max((i for i, event in enumerate(tracker.events) if event.get("event") == "user"), default=0)
    for event in tracker.events[:turn]:
        if event.get("event") == "slot":
            found[event["name"]] = event.get("value")
        elif event.get("event") == "restart":
            found.clear()
    return found


def first_name(tracker: Tracker) -> str:
    """Return the first name as it is known by now, or an empty text."""
    words = str(tracker.slots.get("full_name") or "").split()
    return words[0] if words else ""
