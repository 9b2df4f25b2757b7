"""Actions of Rasa's example assistants, written from the description in words that came with their transcripts."""

from typing import Any

from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.forms import FormValidationAction
from rasa_sdk.interfaces import Action, Tracker

CUISINES = {"caribbean", "chinese", "french", "greek", "indian", "italian", "mexican", "spanish", "thai"}


class ValidateRestaurantForm(FormValidationAction):  # type: ignore[misc]
    def name(self) -> str:
        return "validate_restaurant_form"

    async def validate_cuisine(
        self, value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any
    ) -> dict[str, Any]:
        if str(value).lower() in CUISINES:
            return {"cuisine": value}
        dispatcher.utter_message(response="utter_wrong_cuisine")
        return {"cuisine": None}

    async def validate_num_people(
        self, value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any
    ) -> dict[str, Any]:
        if float(value).is_integer() and float(value) > 0:
            return {"num_people": value}
        dispatcher.utter_message(response="utter_wrong_num_people")
        return {"num_people": None}

    async def validate_outdoor_seating(
        self, value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any
    ) -> dict[str, Any]:
        if isinstance(value, bool):
            return {"outdoor_seating": value}
        for word, meaning in (("out", True), ("in", False)):
            if word in value:
                return {"outdoor_seating": meaning}
        dispatcher.utter_message(response="utter_wrong_outdoor_seating")
        return {"outdoor_seating": None}

    async def validate_preferences(
        self, value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any
    ) -> dict[str, Any]:
        return {"preferences": value}

    async def validate_feedback(
        self, value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any
    ) -> dict[str, Any]:
        return {"feedback": value}


class Says(Action):  # type: ignore[misc]
    """An action that says one thing, and may set slots."""

    def __init__(self, name: str, text: str = "", **slots: Any):
        self.known_as, self.text, self.slots = name, text, slots

    def name(self) -> str:
        return self.known_as

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any) -> list[dict[str, Any]]:
        plant = next(tracker.get_latest_entity_values("plant"), None) or "plant"
        person = tracker.get_slot("PERSON") or "someone"
        if self.text:
            sender = tracker.sender_id.split("-")[0]
            dispatcher.utter_message(text=self.text.format(plant=plant, person=person, sender=sender))
        return [{"event": "slot", "name": name, "value": value} for name, value in self.slots.items()]


class SwitchFaq(Action):  # type: ignore[misc]
    def name(self) -> str:
        return "action_switch_faq"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any) -> list[dict[str, Any]]:
        return [{"event": "slot", "name": "detailed_faq", "value": not tracker.get_slot("detailed_faq")}]


ACTIONS: dict[str, list[Action]] = {
    "formbot": [ValidateRestaurantForm()],
    "rules": [SwitchFaq(), Says("action_stop_q_form", "Stopped.", some_slot=None)],
    "reminderbot": [
        Says("action_set_reminder", "I will remind you."),
        Says("action_forget_reminders", "Okay, no reminders."),
        Says("action_tell_id", "Your id is {sender}."),
        Says("action_warn_dry", "Your {plant} needs water."),
        Says("action_react_to_reminder", "Remember to call {person}!"),
    ],
}
