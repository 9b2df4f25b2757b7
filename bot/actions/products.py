"""Answers about the product, from its configuration, and the way to a demo."""

import re
from collections.abc import Mapping
from typing import Any

from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.interfaces import Tracker

from bot import answers
from bot.actions.base import Event, Named, in_form, intent, metadata, now, product, slot, text, want
from bot.actions.forms import announce_demo

# What each intent is about: the response's name and the facts that may answer, the first one present wins.
_TOPICS = {
    "ask_pricing": ("pricing", ("pricing", "price", "plans")),
    "ask_integration": ("integrations", ("integrations", "integration")),
    "ask_security": ("security", ("security", "privacy", "compliance")),
    "ask_trial": ("trial", ("trial", "free_trial")),
    "ask_product": ("product", ("product", "summary", "overview", "description", "features")),
}
# Entities that say the same wherever they stand, so a question may fill the slot in passing.
_IN_PASSING = {"company_size": "company_size", "email": "email", "budget": "budget"}


class ProductAnswer(Named):
    """Answers a question about the product with its own fact; without one, says who can answer."""

    known_as = "action_product_answer"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        if switch_product(dispatcher, tracker):
            return []
        topic, names = _TOPICS.get(intent(tracker), _TOPICS["ask_product"])
        facts = product(tracker).get("facts") or {}
        answer = next((shown(facts[name]) for name in names if facts.get(name)), "")
        if answer:
            answer = answer if answer[-1] in ".!?…" else f"{answer}."
            dispatcher.utter_message(response=f"utter_{topic}", answer=answer)
        else:
            dispatcher.utter_message(response=f"utter_{topic}_unknown")
        if in_form(tracker):
            return _told_in_passing(tracker)
        return _next_step(dispatcher, tracker, known=bool(answer))


def _next_step(dispatcher: CollectingDispatcher, tracker: Tracker, *, known: bool) -> list[Event]:
    """Offer a demo, or a person where we had no answer; not twice, and not to those who have had theirs."""
    if not known:
        dispatcher.utter_message(response="utter_offer_human")
        return [slot("offer", "human")]
    if tracker.slots.get("qualified") or tracker.slots.get("demo_requested") or _offered_before(tracker):
        return []
    dispatcher.utter_message(response="utter_offer_demo")
    return [slot("offer", "demo")]


def _offered_before(tracker: Tracker) -> bool:
    payloads = {
        button.get("payload")
        for event in tracker.events
        if event.get("event") == "bot"
        for button in (event.get("data") or {}).get("buttons") or ()
    }
    return "/affirm" in payloads


def _told_in_passing(tracker: Tracker) -> list[Event]:
    """Return slots for facts that stand beside a question, since the form leaves such a message alone."""
    events = []
    for entity in tracker.latest_message.get("entities") or ():
        name = _IN_PASSING.get(entity["entity"])
        value = answers.read(name, entity["value"], now(tracker)) if name else None
        if name and value is not None and tracker.slots.get(name) is None:
            events.append(slot(name, value))
    return events


def shown(fact: Any) -> str:
    """Return a fact as a sentence: text as it is, lists and tables written out."""
    if isinstance(fact, Mapping):
        return "; ".join(f"{key}: {shown(value)}" for key, value in fact.items())
    if isinstance(fact, list | tuple):
        words = [shown(item) for item in fact]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
    return str(fact).strip()


def switch_product(dispatcher: CollectingDispatcher, tracker: Tracker) -> bool:
    """Ask the caller to switch if the message names another of its products; whether it does."""
    said, current = text(tracker), product(tracker).get("product_id")
    for product_id, name in (metadata(tracker).get("products") or {}).items():
        if product_id != current and name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said, re.IGNORECASE):
            dispatcher.utter_message(response="utter_switch_product", other_product=name)
            want(dispatcher, "switch_product", product_id=product_id)
            return True
    return False


class RequestDemo(Named):
    """Starts the way to a demo, or says where it stands."""

    known_as = "action_request_demo"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        switch_product(dispatcher, tracker)
        if in_form(tracker):
            dispatcher.utter_message(response="utter_demo_going")
        elif tracker.slots.get("qualified"):
            dispatcher.utter_message(response="utter_demo_noted")
        else:
            dispatcher.utter_message(response="utter_demo_start")
        new: dict[str, Any] = {"demo_requested": True, "offer": None}
        announce_demo(dispatcher, tracker, new)
        return [slot(name, value) for name, value in new.items()]
