"""Filling slots from a message, and which question a form asks next. Pure; the engine runs the actions."""

from collections.abc import Iterator, Sequence
from typing import Any

from bot.conversation import Conversation, Event
from bot.domain import REQUESTED_SLOT, Condition, Domain, Form, Slot, SlotMapping


def slot_event(name: str, value: Any) -> Event:
    return {"event": "slot", "timestamp": None, "name": name, "value": value}


def candidates(conversation: Conversation) -> Iterator[Event]:
    """Yield a slot event for every slot that the latest message fills by one of its mappings."""
    for slot in conversation.domain.slots.values():
        for mapping in slot.mappings:
            values = _values(conversation, slot, mapping)
            if not values:
                continue
            value = values if slot.type == "list" else values[-1]
            if value is not None or conversation.slots.get(slot.name) is not None:
                yield slot_event(slot.name, value)
                break


def custom_actions(conversation: Conversation) -> list[str]:
    """Return the actions that custom mappings name, once each, as far as their conditions hold."""
    named = (
        mapping.action
        for slot in conversation.domain.slots.values()
        for mapping in slot.mappings
        if mapping.type == "custom" and mapping.action and _applies(conversation, slot, mapping)
    )
    return list(dict.fromkeys(name for name in named if name))


def _values(conversation: Conversation, slot: Slot, mapping: SlotMapping) -> list[Any]:
    if mapping.type == "custom" or not _applies(conversation, slot, mapping):
        return []
    if mapping.type == "from_intent":
        return [mapping.value]
    if mapping.type == "from_text":
        return [conversation.parse.text]
    if _ambiguous(conversation, slot, mapping):
        return []
    wanted = (mapping.entity, mapping.role, mapping.group)
    return [e.value for e in conversation.parse.entities if (e.entity, e.role, e.group) == wanted]


def _applies(conversation: Conversation, slot: Slot, mapping: SlotMapping) -> bool:
    intent, loop = conversation.parse.intent, conversation.loop
    excluded = set(mapping.not_intents)
    if loop and (not mapping.conditions or any(c.loop == loop for c in mapping.conditions)):
        form = conversation.domain.forms.get(loop)
        excluded |= form.ignored_intents if form else set()
    if intent not in mapping.intents and (mapping.intents or intent in excluded):
        return False
    if not mapping.conditions:
        return True
    requested = conversation.slots.get(REQUESTED_SLOT)
    if loop and conversation.rejected and requested == slot.name:
        return False
    return any(_holds(condition, loop, requested) for condition in mapping.conditions)


def _holds(condition: Condition, loop: str | None, requested: Any) -> bool:
    if condition.loop is None or loop is None:
        return condition.loop is None and loop is None
    return condition.loop == loop and condition.requested in (None, requested)


def _ambiguous(conversation: Conversation, slot: Slot, mapping: SlotMapping) -> bool:
    """Whether another slot of the active form takes the very same entity, so that only the asked one may have it."""
    form = conversation.domain.forms.get(conversation.loop or "")
    if form is None or slot.name not in form.required or conversation.slots.get(REQUESTED_SLOT) == slot.name:
        return False
    return mapping in form.shared


def next_slot(form: Form, slots: dict[str, Any]) -> str | None:
    """Return the first required slot that is empty."""
    return next((name for name in form.required if slots.get(name) is None), None)


def asking(domain: Domain, form: str, slot: str) -> str | None:
    """Return the action or response that asks for `slot`, the most particular one there is."""
    names = (f"action_ask_{form}_{slot}", f"utter_ask_{form}_{slot}", f"action_ask_{slot}", f"utter_ask_{slot}")
    return next((name for name in names if name in domain.actions or name in domain.responses), None)


def requested(events: Sequence[Event], *, last: bool) -> tuple[bool, Any]:
    """Return whether `events` set `requested_slot`, and to what: by the last such event, or the first."""
    ordered = reversed(events) if last else iter(events)
    for event in ordered:
        if event.get("event") == "slot" and event.get("name") == REQUESTED_SLOT:
            return True, event.get("value")
    return False, None
