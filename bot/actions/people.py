"""Bringing a person in, and leaving people alone."""

from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.interfaces import Tracker

from bot.actions.base import Event, Named, slot, want


class Handoff(Named):
    """Asks for a person: on request, or because the offer of one was accepted."""

    known_as = "action_handoff"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        accepted = tracker.slots.get("offer") == "human"
        dispatcher.utter_message(response="utter_handoff")
        want(dispatcher, "handoff", "accepted_offer" if accepted else "asked")
        return [slot("offer", None), slot("failures", None), slot("misses", None)]


class OptOut(Named):
    """Takes note that no more messages are wanted."""

    known_as = "action_opt_out"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        dispatcher.utter_message(response="utter_opt_out")
        want(dispatcher, "opt_out")
        return [slot("offer", None)]
