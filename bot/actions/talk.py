"""The small change of a conversation: greetings, yes and no in context, repeats, and not having understood."""

from typing import Any

from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.interfaces import Tracker

from bot import answers
from bot.actions.base import (
    Event,
    Named,
    asked,
    before,
    first_name,
    in_form,
    intent,
    now,
    slot,
    text,
)
from bot.actions.forms import TRIES, correction
from bot.actions.products import switch_product
from bot.language import language

_PASSING = ("requested_slot", "offer", "failures", "misses", "welcomed")


class Greet(Named):
    """Greets, by name if there is one; a welcome back has greeted already."""

    known_as = "action_greet"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        if tracker.slots.get("welcomed") is not None:
            return []
        if in_form(tracker):
            dispatcher.utter_message(response="utter_greet_in_form")
        elif first_name(tracker):
            dispatcher.utter_message(response="utter_greet_by_name", first_name=first_name(tracker))
        else:
            dispatcher.utter_message(response="utter_greet")
        return []


class SessionStart(Named):
    """Opens a new session: keeps what is known, welcomes back, and offers to go on with what was not finished."""

    known_as = "action_session_start"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        kept = {name: value for name, value in tracker.slots.items() if value is not None and name not in _PASSING}
        if any(name in answers.SLOTS for name in kept) or in_form(tracker):
            name = first_name(tracker)
            dispatcher.utter_message(
                response="utter_welcome_back" if name else "utter_welcome_back_unnamed", first_name=name
            )
            kept["welcomed"] = True
        if in_form(tracker):
            dispatcher.utter_message(response="utter_offer_resume")
            kept["offer"] = "resume"
        opened: list[Event] = [{"event": "session_started"}]
        return [
            *opened,
            *(slot(name, value) for name, value in kept.items()),
            {"event": "action", "name": "action_listen"},
        ]


class Affirm(Named):
    """A yes that no rule knows the question of."""

    known_as = "action_affirm"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        dispatcher.utter_message(response="utter_carry_on" if in_form(tracker) else "utter_affirm_alone")
        return [slot("offer", None)]


class DeclineHuman(Named):
    """A no to the offer of a person."""

    known_as = "action_decline_human"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        dispatcher.utter_message(response="utter_no_human")
        return [slot("offer", None)]


class Deny(Named):
    """A no to a question that needs an answer, to another offer, or to nothing in particular."""

    known_as = "action_deny"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        question = asked(tracker)
        if question is None:
            dispatcher.utter_message(response="utter_deny_alone")
            return [slot("offer", None)]
        earlier = tracker.slots.get("failures") or {}
        count = earlier.get("count", 0) + 1 if earlier.get("slot") == question else 1
        if count >= TRIES:
            dispatcher.utter_message(response="utter_offer_human")
            return [slot("offer", "human"), slot("failures", None)]
        dispatcher.utter_message(response=f"utter_needed_{question}")
        return [slot("failures", {"slot": question, "count": count})]


class Inform(Named):
    """Something told while nothing was asked."""

    known_as = "action_inform"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        if switch_product(dispatcher, tracker) or in_form(tracker):
            return []
        if not _changed(tracker) or tracker.slots.get("qualified"):
            dispatcher.utter_message(response="utter_heard")
            return []
        dispatcher.utter_message(response="utter_noted")
        return [slot("offer", "demo")]


class Correct(Named):
    """A correction outside the form, or one that the form could not make sense of."""

    known_as = "action_correct"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        changed = _changed(tracker)
        if changed:
            name, value = next(iter(changed.items()))
            dispatcher.utter_message(response="utter_corrected", shown=_as_said(tracker, name, value))
            return []
        name, said = tracker.slots.get("last_answered"), correction(text(tracker))
        value = answers.read(name, said, now(tracker)) if name and said and not in_form(tracker) else None
        if value is None:
            dispatcher.utter_message(response="utter_what_to_correct")
            return []
        dispatcher.utter_message(response="utter_corrected", shown=said)
        return [slot(name, value)]


def _changed(tracker: Tracker) -> dict[str, Any]:
    """Return the answers that the latest message has changed."""
    known = before(tracker)
    values = {name: tracker.slots.get(name) for name in (*answers.SLOTS, "phone")}
    return {name: value for name, value in values.items() if value is not None and value != known.get(name)}


def _as_said(tracker: Tracker, name: str, value: Any) -> str:
    entity = {"full_name": "person_name"}.get(name, name)
    said = next(tracker.get_latest_entity_values(entity), None)
    return str(said if said is not None else value)


class Repeat(Named):
    """Says the last messages again; in the form the question comes again by itself."""

    known_as = "action_repeat"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        if in_form(tracker):
            dispatcher.utter_message(response="utter_repeat_in_form")
            return []
        said = _last_said(tracker)
        for event in said:
            dispatcher.utter_message(text=event.get("text"), buttons=(event.get("data") or {}).get("buttons"))
        if not said:
            dispatcher.utter_message(response="utter_repeat_first")
        return []


def _last_said(tracker: Tracker) -> list[Event]:
    """Return the bot's messages between the last two of the user's."""
    said: list[Event] = []
    users = 0
    for event in reversed(tracker.events):
        users += event.get("event") == "user"
        if users == 2:
            break
        if users == 1 and event.get("event") == "bot":
            said.append(event)
    return said[::-1]


class NotUnderstood(Named):
    """Says so; offers a person after the third miss in a row, and at once to those who write in another language."""

    known_as = "action_not_understood"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        if language(text(tracker)) != "en":
            dispatcher.utter_message(response="utter_other_language")
            return [slot("offer", "human"), slot("misses", None)]
        misses = (tracker.slots.get("misses") or 0) + 1
        if misses >= TRIES:
            dispatcher.utter_message(response="utter_offer_human")
            return [slot("offer", "human"), slot("misses", None)]
        if intent(tracker) == "out_of_scope":
            dispatcher.utter_message(response="utter_out_of_scope")
        else:
            dispatcher.utter_message(
                response="utter_not_understood_in_form" if in_form(tracker) else "utter_not_understood"
            )
        return [slot("misses", misses)]
