"""The embedded engine: the same files and actions as a Rasa server, run in this process.

A turn is: understand the message, fill slots from it, then let the policy name one action after another until it
listens. The order of things is Rasa 3's, so that transcripts agree turn by turn.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from rasa_sdk.interfaces import Action

from bot import forms, running
from bot.assistant_files import Assistant
from bot.conversation import Conversation, Event
from bot.dialogue import Answered, Button, Json, Message, Parse, Reply, State, Step, Turn, Want
from bot.domain import REQUESTED_SLOT
from bot.payloads import is_payload, read_payload
from bot.rules import DEFAULT_INTENTS, LISTEN, predict
from bot.running import Outcome

VALIDATE_MAPPINGS = "action_validate_slot_mappings"
TWO_STAGE = "action_two_stage_fallback"
FALLBACK_INTENTS = ("nlu_fallback", "out_of_scope")
_LIMIT = 10


class Understanding(Protocol):
    """Turns words into an intent and entities. `asked`: the slot that was just asked for."""

    def parse(self, text: str, asked: str | None = None) -> Parse: ...


class EmbeddedEngine:
    """A dialogue engine over an assistant's files and rasa-sdk actions. Holds no conversation."""

    def __init__(self, assistant: Assistant, actions: Iterable[Action]):
        self.assistant = assistant
        self.executor = running.make_executor(actions)

    async def handle(self, turn: Turn, state: State, parse: Parse | None = None) -> Reply:
        """Answer `turn`. A given `parse` is used instead of understanding the text.

        Raises: rasa_sdk.interfaces.ActionNotFoundException: a rule or form names an action that is not registered.
        """
        assistant = self.assistant
        talk = Conversation(assistant.domain, assistant.rules, turn, state)
        parse = parse or self.parse(turn, state)
        talk.parse = parse
        await self._open(talk, state)
        fill_known(talk)
        talk.slots_before = dict(talk.slots)
        before = talk.core()
        start = State.from_json(before)
        talk.turns += 1
        talk.hear(parse)
        await self._fill_slots(talk)
        await self._act(talk, start)
        fill_known(talk)
        answered = tuple(_answered(talk, start))
        return Reply(
            tuple(talk.messages), talk.state(before), talk.parse, tuple(talk.steps), answered, tuple(talk.wants)
        )

    def parse(self, turn: Turn, state: State) -> Parse:
        """Understand a turn's text: a payload if it may be one, else words, in the light of what was just asked."""
        text = turn.text.strip()
        payloads = {button.payload for button in state.offered} | set(turn.offered)
        if is_payload(text) and (turn.trusted or text in payloads):
            return read_payload(text)
        pressed = _pressed(text, state.offered)
        if pressed:
            return read_payload(pressed)
        return self.assistant.understanding.parse(turn.text, state.requested_slot if state.loop else None)

    async def _open(self, talk: Conversation, state: State) -> None:
        """Begin the conversation, or a new session of it when the last one has expired."""
        if _expired(state, talk.turn.now, talk.domain.session_minutes):
            talk.steps.append(Step("action_session_start", "session"))
            if "action_session_start" in talk.domain.actions:
                await self._custom(talk, "action_session_start")
            else:
                talk.begin(keep_slots=talk.domain.carry_over)
            talk.events.clear()
        if talk.action is None:
            talk.executed(LISTEN)
        talk.followup = None

    async def _fill_slots(self, talk: Conversation) -> None:
        """Set slots from the message, as the domain's mappings say, and let the actions check them."""
        found: list[Event] = list(forms.candidates(talk))
        outcome: Outcome = []
        for name in forms.custom_actions(talk):
            outcome += await running.run_action(self.executor, talk, name, talk.slots, [])
        found += running.slots_of(outcome)
        talk.raw = {event["name"]: event["value"] for event in found}
        if VALIDATE_MAPPINGS in talk.domain.actions:
            checked = await running.run_action(
                self.executor, talk, VALIDATE_MAPPINGS, talk.slots | _values(found), found
            )
            named = _values(running.slots_of(checked))
            outcome = [item for item in outcome if isinstance(item, Message)] + checked
            outcome += [event for event in found if event["name"] not in named]
        else:
            outcome += [event for event in found if event not in outcome]
        _take(talk, outcome, only_slots=True)

    async def _act(self, talk: Conversation, start: State) -> None:
        for _ in range(_LIMIT):
            name, step = self._next(talk)
            talk.steps.append(step)
            await self._run(talk, name, start)
            if talk.finished:
                return
        talk.executed(LISTEN)

    def _next(self, talk: Conversation) -> tuple[str, Step]:
        """Return the next action and what chose it."""
        if talk.followup:
            name, talk.followup = talk.followup, None
            return name, Step(name, "followup")
        default = DEFAULT_INTENTS.get(talk.intent or "") if talk.action == LISTEN else None
        if default:
            return default, Step(default, "default")
        if talk.loop and not talk.rejected:
            name = LISTEN if talk.action == talk.loop else talk.loop
            return name, Step(name, "loop")
        told = predict(self.assistant.rules, [*talk.history, talk.moment()])
        talk.interrupted = told.interrupted
        if told.action and not (talk.just_rejected and told.action == talk.loop):
            return told.action, Step(told.action, told.by or "rule", told.rule)
        return self.assistant.fallback_action, Step(self.assistant.fallback_action, "fallback")

    async def _run(self, talk: Conversation, name: str, start: State) -> None:
        if name == LISTEN:
            talk.executed(LISTEN)
            talk.finished = True
        elif name in talk.domain.forms:
            await self._run_form(talk, name)
        elif name == TWO_STAGE:
            await self._run_two_stage(talk, start)
        elif name in talk.domain.actions and name not in talk.domain.responses:
            await self._custom(talk, name)
        elif name in _BUILT_IN:
            _BUILT_IN[name](talk, start)
        else:
            talk.executed(name)
            _take(talk, [*running.utter(talk, name, talk.slots)])

    async def _custom(self, talk: Conversation, name: str) -> None:
        outcome = await running.run_action(self.executor, talk, name, talk.slots, [])
        if not _is_rejected(outcome):
            talk.executed(name)
        _take(talk, outcome)

    async def _run_form(self, talk: Conversation, name: str) -> None:
        """Run a form once: check what was said, then ask the next question, or end."""
        form = talk.domain.forms[name]
        outcome: Outcome = []
        active = talk.loop == name
        if not active:
            outcome.append({"event": "active_loop", "name": name})
            filled = [forms.slot_event(slot, talk.slots[slot]) for slot in form.required if slot in talk.slots]
            if filled:
                outcome += await self._validate(talk, name, filled, outcome)
        if not _is_done(outcome):
            listens = talk.action == LISTEN and not talk.interrupted
            heard = [
                event
                for event in (running.slots_of([*talk.events]) if active and listens else [])
                if event["name"] in {*form.required, talk.slots.get(REQUESTED_SLOT)}
            ]
            latest = list({event["name"]: event for event in heard}.values())
            checked = await self._validate(talk, name, latest, outcome)
            unanswered = active and listens and talk.slots.get(REQUESTED_SLOT) is not None
            if unanswered and not running.answers_something(checked) and not _is_rejected(checked):
                talk.rejected = talk.just_rejected = True
                return
            outcome += checked
            if not _is_rejected(checked):
                outcome += await self._ask(talk, name, outcome)
        if _is_done(outcome):
            outcome.append({"event": "active_loop", "name": None})
        if not _is_rejected(outcome):
            talk.executed(name)
        _take(talk, outcome)

    async def _validate(self, talk: Conversation, form: str, found: list[Event], so_far: Outcome) -> Outcome:
        name = f"validate_{form}"
        if name not in talk.domain.actions:
            return list(found)
        slots = talk.slots | _values(running.slots_of(so_far)) | _values(found)
        slots[REQUESTED_SLOT] = talk.slots.get(REQUESTED_SLOT) if talk.loop == form else None
        ran: list[Event] = [{"event": "action", "name": form}, *found]
        outcome = await running.run_action(self.executor, talk, name, slots, ran)
        named = _values(running.slots_of(outcome))
        return outcome + [event for event in found if event["name"] not in named]

    async def _ask(self, talk: Conversation, form: str, so_far: Outcome) -> Outcome:
        """Return the next question, or the end of the form."""
        if _is_done(so_far):
            return [forms.slot_event(REQUESTED_SLOT, None)]
        events = running.slots_of(so_far)
        slots = talk.slots | _values(events)
        was_set, slot = forms.requested(events, last=False)
        outcome: Outcome = []
        if not was_set or not slot:
            slot = forms.next_slot(talk.domain.forms[form], slots)
            outcome.append(forms.slot_event(REQUESTED_SLOT, slot))
        name = forms.asking(talk.domain, form, slot) if slot else None
        if name is None:
            return outcome
        slots[REQUESTED_SLOT] = slot
        if name in talk.domain.responses:
            return [*outcome, *running.utter(talk, name, slots)]
        return outcome + await running.run_action(self.executor, talk, name, slots, [])

    async def _run_two_stage(self, talk: Conversation, start: State) -> None:
        """Ask whether the best guess was meant, then to rephrase, then give up, as Rasa's two-stage fallback does."""
        fresh = talk.loop != TWO_STAGE
        if fresh:
            talk.resume, talk.asks = start.to_json(), []
        talk.asks.append(talk.intent or "")
        if talk.asks[-2:] == ["nlu_fallback"] * 2 or talk.asks[-3:] == ["out_of_scope", "nlu_fallback", "out_of_scope"]:
            given_up = State.from_json(talk.resume)
            _take(talk, [*running.utter(talk, "utter_default", talk.slots)])
            talk.return_to(given_up)
        elif talk.intent not in FALLBACK_INTENTS:
            parse, said = talk.parse, State.from_json(talk.resume)
            talk.return_to(said)
            talk.finished = False
            talk.hear(parse)
            await self._fill_slots(talk)
        else:
            asked = fresh or talk.intent == "nlu_fallback"
            outcome = await self._affirmation(talk) if asked else running.utter(talk, "utter_ask_rephrase", talk.slots)
            talk.executed(TWO_STAGE)
            _take(talk, [{"event": "active_loop", "name": TWO_STAGE}, *outcome])

    async def _affirmation(self, talk: Conversation) -> Outcome:
        name = "action_default_ask_affirmation"
        if name in talk.domain.actions:
            return await running.run_action(self.executor, talk, name, talk.slots, [])
        ranking = [intent for intent, _ in talk.parse.ranking if intent != "nlu_fallback"]
        guess = ranking[0] if ranking else talk.intent
        return [
            Message(f"Did you mean '{guess}'?", (Button("Yes", f"/{guess}"), Button("No", "/out_of_scope"))),
        ]


def _restart(talk: Conversation, _: State) -> None:
    said = running.utter(talk, "utter_restart", talk.slots)
    talk.apply({"event": "restart"})
    talk.wants.append(Want("restart"))
    _take(talk, [*said])


def _give_up(talk: Conversation, start: State) -> None:
    _take(talk, [*running.utter(talk, "utter_default", talk.slots)])
    talk.return_to(start)


def _back(talk: Conversation, _: State) -> None:
    _take(talk, [*running.utter(talk, "utter_back", talk.slots)])
    talk.return_to(State.from_json(talk.past[-1]) if talk.past else State())
    talk.past = talk.past[:-1]
    if talk.action is None:
        talk.executed(LISTEN)


def _leave_form(talk: Conversation, _: State) -> None:
    talk.executed("action_deactivate_loop")
    _take(talk, [{"event": "active_loop", "name": None}, forms.slot_event(REQUESTED_SLOT, None)])


def _new_session(talk: Conversation, _: State) -> None:
    talk.begin(keep_slots=talk.domain.carry_over)


_BUILT_IN = {
    "action_restart": _restart,
    "action_default_fallback": _give_up,
    "action_back": _back,
    "action_deactivate_loop": _leave_form,
    "action_session_start": _new_session,
}


def fill_known(talk: Conversation) -> None:
    """Put what the CRM knows into empty slots."""
    for name, value in talk.turn.known.items():
        if name in talk.domain.slots and talk.slots.get(name) is None:
            talk.set_slot(name, value)


def _take(talk: Conversation, outcome: Outcome, *, only_slots: bool = False) -> None:
    for item in outcome:
        if isinstance(item, Message):
            talk.say(item)
        elif isinstance(item, Want):
            talk.wants.append(item)
        elif not only_slots or item.get("event") == "slot":
            talk.apply(item)


def _values(events: Iterable[Event]) -> dict[str, Json]:
    return {event["name"]: event.get("value") for event in events}


def _is_rejected(outcome: Outcome) -> bool:
    return any(isinstance(item, dict) and item.get("event") == "action_execution_rejected" for item in outcome)


def _is_done(outcome: Outcome) -> bool:
    """Whether the latest word on the question or on the form is that there is none any more."""
    if _is_rejected(outcome):
        return False
    events: list[Mapping[str, Any]] = [item for item in outcome if isinstance(item, dict)]
    loops = [event.get("name") for event in events if event.get("event") == "active_loop"]
    was_set, slot = forms.requested(running.slots_of(outcome), last=True)
    return (was_set and slot is None) or (bool(loops) and loops[-1] is None)


def _expired(state: State, now: datetime, minutes: float) -> bool:
    if not minutes or not state.seen_at:
        return False
    return now - datetime.fromisoformat(state.seen_at) > timedelta(minutes=minutes)


def _pressed(text: str, offered: Iterable[Button]) -> str | None:
    """Return the payload of the offered button whose title was typed (or sent by WhatsApp) as text."""
    words = text.casefold().strip(" .!?")
    return next((button.payload for button in offered if button.title.casefold().strip(" .!?") == words), None)


def _answered(talk: Conversation, start: State) -> Iterable[Answered]:
    questions = dict.fromkeys(slot for form in talk.domain.forms.values() for slot in form.required)
    for slot in questions:
        value = talk.slots.get(slot)
        if value is not None and value != start.slots.get(slot) and value != talk.turn.known.get(slot):
            yield Answered(slot, talk.raw.get(slot, _words_for(talk, slot)), value)


def _words_for(talk: Conversation, slot: str) -> Json:
    """Return what was said about a slot that no mapping filled: an entity that could have, else the whole text."""
    entities = {mapping.entity for mapping in talk.domain.slots[slot].mappings}
    return next((entity.value for entity in talk.parse.entities if entity.entity in entities), talk.turn.text)
