"""The assistant's rasa-sdk actions: the embedded engine and a Rasa server run the same ones."""

from rasa_sdk.interfaces import Action

from bot.actions.forms import SubmitQualification, ValidateQualificationForm, ValidateSlotMappings
from bot.actions.people import Handoff, OptOut
from bot.actions.products import ProductAnswer, RequestDemo
from bot.actions.talk import Affirm, Correct, DeclineHuman, Deny, Greet, Inform, NotUnderstood, Repeat, SessionStart


def all_actions() -> list[Action]:
    """Return one of each, ready to be registered."""
    kinds = (
        Affirm, Correct, DeclineHuman, Deny, Greet, Handoff, Inform, NotUnderstood, OptOut, ProductAnswer, Repeat,
        RequestDemo, SessionStart, SubmitQualification, ValidateQualificationForm, ValidateSlotMappings,
    )  # fmt: skip
    return [kind() for kind in kinds]
