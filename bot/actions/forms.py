"""Filling in the qualification form: reading answers, asking again, corrections, refusals, and the end of it."""

from dataclasses import dataclass, field
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
    product,
    slot,
    text,
    want,
)

TRIES = 3
# Names are found by how they are used, so outside their own question they count only when nothing else is known.
_BY_USE = frozenset(("full_name", "company", "job_title", "industry"))
_KEEPS_OFFER = frozenset(("affirm", "deny"))


def candidates(tracker: Tracker) -> dict[str, Any]:
    """Return the answers in the latest message, as said, by slot."""
    return {name: value for name, value in tracker.slots_to_validate().items() if name in answers.SLOTS}


def may_skip(tracker: Tracker, name: str) -> bool:
    """Whether the answer may be declined: optional ones that the product does not require."""
    return name in answers.OPTIONAL and name not in (product(tracker).get("required") or ())


class ValidateSlotMappings(Named):
    """Normalises what a message says in passing, and lets go of what only the last message was about."""

    known_as = "action_validate_slot_mappings"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        meant = intent(tracker)
        events = [] if _form_will_check(tracker) else list(_in_passing(tracker))
        if tracker.slots.get("welcomed") is not None:
            # The welcome's own offer was made in this very turn, so it is not let go of yet.
            events.append(slot("welcomed", False if tracker.slots["welcomed"] else None))
        elif tracker.slots.get("offer") and meant not in _KEEPS_OFFER and not _resumes(tracker, meant):
            events.append(slot("offer", None))
        if tracker.slots.get("misses") and meant not in ("nlu_fallback", "out_of_scope"):
            events.append(slot("misses", None))
        name = product(tracker).get("name") or tracker.slots.get("product_name") or "our product"
        if name != tracker.slots.get("product_name"):
            events.append(slot("product_name", name))
        return events


def _form_will_check(tracker: Tracker) -> bool:
    return in_form(tracker) and not tracker.active_loop.get("rejected")


def _resumes(tracker: Tracker, meant: str) -> bool:
    return bool(tracker.slots.get("offer") == "resume" and meant == "inform")


def _in_passing(tracker: Tracker) -> list[Event]:
    """Return slots for answers that no question asked for; what cannot be read leaves the slot as it was."""
    known, corrects = before(tracker), intent(tracker) == "correct_answer"
    events = []
    for name, said in candidates(tracker).items():
        value = answers.read(name, said, now(tracker))
        keeps = name in _BY_USE and known.get(name) is not None and not corrects
        events.append(slot(name, known.get(name) if value is None or keeps else value))
    return events


@dataclass(slots=True)
class _Check:
    """One look at what was said to the form."""

    tracker: Tracker
    dispatcher: CollectingDispatcher
    asked: str | None
    known: dict[str, Any]
    slots: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, value: Any, said: Any) -> None:
        """Take a good answer, and say so if it corrects an earlier one."""
        old = self.known.get(name)
        self.slots[name] = value
        if name != self.asked and old is not None and old != value:
            self.dispatcher.utter_message(response="utter_corrected", shown=_shown(said, value))
        if name == self.asked or "last_answered" not in self.slots:
            self.slots["last_answered"] = name

    def fail(self, response: str) -> None:
        """Ask again with a hint; the third time for the same question, offer a human instead."""
        earlier = self.tracker.slots.get("failures") or {}
        count = earlier.get("count", 0) + 1 if earlier.get("slot") == self.asked else 1
        if count >= TRIES:
            self.slots |= {"failures": None, "offer": "human"}
            self.dispatcher.utter_message(response="utter_offer_human")
        else:
            self.slots["failures"] = {"slot": self.asked, "count": count}
            self.dispatcher.utter_message(response=response)


class ValidateQualificationForm(Named):
    """Checks what was said to the form. Without a question asked (the form just began) it only tidies what is known."""

    known_as = "validate_qualification_form"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        question, found = asked(tracker), candidates(tracker)
        check = _Check(tracker, dispatcher, question, before(tracker))
        if question is None:
            check.slots |= {name: answers.read(name, said, now(tracker)) for name, said in found.items()}
        elif not found and intent(tracker) == "correct_answer":
            _correct_last(check)
        else:
            # The question's own answer first: what stands beside a failed one is not believed.
            for name in sorted(found, key=lambda name: name != question):
                _answer(check, name, found[name])
        if question and check.slots.get(question) is not None and tracker.slots.get("failures"):
            check.slots["failures"] = None
        announce_demo(dispatcher, tracker, check.slots)
        return [slot(name, value) for name, value in check.slots.items()]


def _answer(check: _Check, name: str, said: Any) -> None:
    tracker, own = check.tracker, name == check.asked
    value = answers.read(name, said, now(tracker))
    if own and (value is None or said == answers.DECLINED) and answers.declines(said):
        _decline(check, name)
    elif value is None and own:
        check.slots[name] = None
        check.fail(f"utter_wrong_{name}")
    elif value is None or (not own and _is_doubtful(check, name)):
        check.slots[name] = check.known.get(name)
    else:
        check.take(name, value, said)


def _decline(check: _Check, name: str) -> None:
    if may_skip(check.tracker, name):
        check.slots |= {name: answers.DECLINED, "failures": None}
        check.dispatcher.utter_message(response="utter_skipped")
    else:
        check.slots[name] = None
        check.fail(f"utter_needed_{name}")


def _is_doubtful(check: _Check, name: str) -> bool:
    """Whether a name found beside the answer is left alone: it would replace one, or may be part of the answer."""
    if name not in _BY_USE or intent(check.tracker) == "correct_answer":
        return False
    if check.asked in check.slots and check.slots[check.asked] is None:
        return True
    short = len(text(check.tracker).split()) <= 4
    return check.known.get(name) is not None or check.asked == "use_case" or (short and check.asked in _BY_USE)


def _correct_last(check: _Check) -> None:
    """Read a correction that names nothing ("sorry, I meant Globex") as one of the latest answer."""
    name = check.tracker.slots.get("last_answered")
    said = correction(text(check.tracker))
    value = answers.read(name, said, now(check.tracker)) if name and said else None
    if value is not None and name:
        check.take(name, value, said)


_MARKERS = (
    "i meant to say", "i meant", "i mean", "make that", "make it", "should be", "should say", "correction",
    "change it to", "change that to", "actually", "it's", "it is", "sorry", "no", "oops", "wait",
)  # fmt: skip


def correction(said: str) -> str:
    """Return the words of a correction that carry the new answer."""
    rest = said
    for marker in _MARKERS:
        place = rest.lower().rfind(f"{marker} ") if marker not in ("no", "wait") else rest.lower().find(f"{marker}, ")
        if place >= 0 and (place == 0 or not rest[place - 1].isalnum()):
            rest = rest[place + len(marker) :].lstrip(" ,:")
    for ending in (" not ", ", not ", " instead"):
        rest = rest.split(ending)[0]
    return rest.strip(" ,.:!")


def announce_demo(dispatcher: CollectingDispatcher, tracker: Tracker, new: dict[str, Any]) -> None:
    """Tell sales of a wanted demo, once, as soon as name and e-mail are known; `new` are slots about to be set."""
    slots = {**tracker.slots, **new}
    if (
        slots.get("demo_requested")
        and not slots.get("demo_announced")
        and slots.get("full_name")
        and slots.get("email")
    ):
        new["demo_announced"] = True
        want(dispatcher, "handoff", "demo")


def _shown(said: Any, value: Any) -> str:
    return said if isinstance(said, str) else str(value)


class SubmitQualification(Named):
    """Ends the form, after making sure that every answer is one."""

    known_as = "action_submit_qualification"

    async def act(self, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Event]:
        wrong = [name for name in answers.SLOTS if not _is_valid(tracker, name)]
        if wrong:
            dispatcher.utter_message(response="utter_almost")
            return [*(slot(name, None) for name in wrong), {"event": "followup", "name": "qualification_form"}]
        dispatcher.utter_message(response="utter_qualified", first_name=first_name(tracker))
        want(dispatcher, "qualified")
        return [slot("qualified", True), slot("offer", None), slot("failures", None)]


def _is_valid(tracker: Tracker, name: str) -> bool:
    value = tracker.slots.get(name)
    if value == answers.DECLINED:
        return may_skip(tracker, name)
    return value is not None and answers.read(name, value, now(tracker)) == value
