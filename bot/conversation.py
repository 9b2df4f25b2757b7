"""One conversation while a turn is worked on: slots, active form, what was said, and its latest prediction states."""

from collections.abc import Mapping
from typing import Any

from bot.dialogue import Json, Message, Parse, State, Step, Turn, Want
from bot.domain import REQUESTED_SLOT, Domain
from bot.rules import LISTEN, Moment, RuleTable

Event = dict[str, Any]
"""An event as the actions protocol writes it: `{"event": "slot", "name": …, "value": …}`."""

_PAST = 3


class Conversation:
    """The mutable side of a turn. Made from a state, turned back into one by `state()`."""

    def __init__(self, domain: Domain, rules: RuleTable, turn: Turn, state: State):
        self.domain, self.rules, self.turn = domain, rules, turn
        self.parse = Parse(turn.text, "")
        self.messages: list[Message] = []
        self.steps: list[Step] = []
        self.wants: list[Want] = []
        self.events: list[Event] = []
        self.raw: dict[str, Json] = {}
        self.followup: str | None = None
        self.interrupted = False
        self.just_rejected = False
        self.finished = False
        self.turns = state.turns
        self.past = state.past
        self.slots_before: dict[str, Json] = {}
        self.said_before = state.messages
        self._take(state)

    def _take(self, state: State) -> None:
        self.slots: dict[str, Json] = {
            name: slot.initial for name, slot in self.domain.slots.items() if slot.initial is not None
        } | dict(state.slots)
        self.loop, self.rejected = state.loop, state.rejected
        self.resume, self.asks = state.resume, list(state.asks)
        self.history: list[Moment] = list(state.history[:-1])
        now: Mapping[str, Any] = state.history[-1] if state.history else {}
        self.action: str | None = now.get("action")
        self.intent: str | None = now.get("intent")
        self.entities: tuple[str, ...] = tuple(now.get("entities", ()))

    def moment(self) -> Moment:
        """Return the present prediction state."""
        if self.action is None:
            return {}
        found: dict[str, Any] = {"action": self.action}
        if self.intent:
            found["intent"] = self.intent
        if self.entities:
            found["entities"] = self.entities
        if self.loop:
            found["loop"] = self.loop
        features = {name: self.domain.slots[name].feature(self.slots.get(name)) for name in self.rules.watched}
        slots = {name: value for name, value in features.items() if value is not None}
        return found | ({"slots": slots} if slots else {})

    def executed(self, action: str) -> None:
        """Note that `action` ran. A form that simply goes on is one long step: what lies between is forgotten."""
        goes_on = action == self.loop and self.action == LISTEN and not self.rejected
        if goes_on and self.history and self.history[-1].get("action") == action:
            before = self.history.pop()
            self.intent, self.entities = before.get("intent"), tuple(before.get("entities", ()))
        else:
            self.history.append(self.moment())
            del self.history[: -self.rules.depth]
        self.action = action
        self.interrupted = self.just_rejected = False
        if action == self.loop:
            self.rejected = False

    def hear(self, parse: Parse) -> None:
        """Take the user's message in."""
        self.parse = parse
        self.intent = parse.intent
        used = self.domain.intents.get(parse.intent, frozenset())
        self.entities = tuple(sorted({entity.entity for entity in parse.entities} & used))

    def apply(self, event: Event) -> None:
        """Let an event take effect. Unknown kinds have none."""
        self.events.append(event)
        kind = event.get("event")
        if kind == "slot":
            self.set_slot(event["name"], event.get("value"))
        elif kind in ("active_loop", "form"):
            self.loop, self.rejected = event.get("name"), False
        elif kind == "action_execution_rejected":
            self.rejected = self.just_rejected = True
        elif kind == "followup":
            self.followup = event.get("name")
        elif kind == "reset_slots":
            self.slots = {}
        elif kind in ("restart", "session_started"):
            self.begin(keep_slots=False)
        elif kind == "action":
            self.executed(event["name"])

    def begin(self, keep_slots: bool) -> None:
        """Start afresh: no form, no history, slots as at first unless they are kept."""
        kept = dict(self.slots) if keep_slots else {}
        kept.pop(REQUESTED_SLOT, None)
        self._take(State(slots=kept))
        self.followup = LISTEN

    def set_slot(self, name: str, value: Json) -> None:
        if value is None:
            self.slots.pop(name, None)
        else:
            self.slots[name] = value

    def return_to(self, state: State) -> None:
        """Take back what happened since `state`, but not what was said."""
        self._take(state)
        self.raw, self.followup, self.finished = {}, None, True

    def say(self, message: Message) -> None:
        self.messages.append(message)
        buttons = [{"title": button.title, "payload": button.payload} for button in message.buttons]
        self.events.append({"event": "bot", "text": message.text, "data": {"buttons": buttons or None}})

    def core(self) -> dict[str, Json]:
        """Return what `action_back` restores."""
        history = [*self.history, self.moment()] if self.action is not None or self.history else []
        kept = {
            "slots": dict(self.slots),
            "loop": self.loop,
            "rejected": self.rejected,
            "history": history,
            "resume": self.resume,
            "asks": list(self.asks),
        }
        return {key: value for key, value in kept.items() if value}

    def state(self, before: Mapping[str, Json] | None) -> State:
        """Return the state after this turn; `before` is the core before it, for `action_back`."""
        data = self.core() | {
            "turns": self.turns,
            "seen_at": self.turn.now.isoformat(),
            "messages": [message.to_json() for message in self.messages or self.said_before],
            "past": [*self.past, before][-_PAST:] if before is not None else list(self.past),
        }
        return State.from_json(data)
