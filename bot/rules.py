"""Rules as a table of prediction states, and the one function that looks an action up in it.

A rule is unrolled into the states a conversation goes through while it follows the rule; each state says which action
came before, what the user meant, and which slots and form matter. A conversation's latest states are compared with the
table; the longest match says what to do next. The order of precedence (default intents, then the active form, then
rules, then the fallback) and the matching are those of Rasa 3's RulePolicy.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bot.domain import Domain
from bot.located import Rows, Table, rows_at

LISTEN = "action_listen"
UNSET = "should_not_be_set"
DEFAULT_INTENTS = {
    "restart": "action_restart",
    "back": "action_back",
    "session_start": "action_session_start",
}

Moment = Mapping[str, Any]
"""A prediction state: `action` (the one before; absent at the start), `intent`, `entities`, `slots`, `loop`."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """After `moments` comes `action`. `weight` decides between several matches: longer and more particular wins."""

    moments: tuple[Moment, ...]
    action: str
    rule: str
    weight: int


@dataclass(frozen=True, slots=True)
class RuleTable:
    """All rules, unrolled. `snippets` is keyed by what the last moment needs: (action before, intent or none).

    Args:
        stays: moments after which the form does not take the floor back although a rule ended.
        returns: moments in which a rule itself calls the form, so that it does not take the message as an answer.
        depth: how many moments the longest rule looks back on. `watched`: slots that some rule looks at.
    """

    snippets: Mapping[tuple[str | None, str | None], tuple[Snippet, ...]]
    stays: tuple[tuple[Moment, ...], ...] = ()
    returns: tuple[tuple[Moment, ...], ...] = ()
    depth: int = 1
    watched: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()


class Prediction(NamedTuple):
    """`by` is `rule`, `loop` or none; `interrupted`: the form comes back from a digression."""

    action: str | None
    by: str | None = None
    rule: str | None = None
    interrupted: bool = False


@dataclass(slots=True)
class _Unrolling:
    """A rule on its way into the table."""

    name: str
    moments: list[dict[str, Any]] = field(default_factory=list)
    labels: list[tuple[tuple[Moment, ...], str]] = field(default_factory=list)
    action: str | None = None
    intent: str | None = None
    entities: tuple[str, ...] | None = None
    slots: dict[str, Any] = field(default_factory=dict)
    loop: str | None = None
    blind: bool = True

    def moment(self) -> dict[str, Any]:
        parts = {"action": self.action, "intent": self.intent, "entities": self.entities, "loop": self.loop}
        found = {key: value for key, value in parts.items() if value is not None}
        return found | ({"slots": dict(self.slots)} if self.slots else {})

    def run(self, action: str) -> None:
        """Note that `action` follows; the first action of a snippet is given, not predicted."""
        if self.blind:
            self.blind = False
            # A conversation's start is a moment of its own, before the first listen.
            self.moments = [{}] if action == LISTEN and self.action is None and not self.moments else []
        else:
            now = (*self.moments, self.moment())
            self.labels.append((now, action))
            self.moments.append(self.moment())
        self.action = action


def read_rules(domain: Domain, *files: Table) -> RuleTable:
    """Unroll the rules of `files`.

    Raises: AssistantError: stories, checkpoints, `or`, end-to-end steps, unknown names, or rules that contradict.
    """
    labels: list[tuple[tuple[Moment, ...], str, str]] = []
    stays: list[tuple[Moment, ...]] = []
    returns: list[tuple[Moment, ...]] = []
    seen: dict[str, tuple[str, str]] = {}
    names: list[str] = []
    for file in files:
        rows = rows_at(file, "rules", "rules")
        for index, table in enumerate(rows):
            rule = _unroll(domain, rows, index)
            names.append(rule.name)
            for moments, action in rule.labels:
                key = json.dumps(moments, sort_keys=True)
                other = seen.setdefault(key, (action, rule.name))
                if other[0] != action:
                    table.refuse(f"rule {rule.name!r} says {action}, rule {other[1]!r} says {other[0]} here", "rule")
                labels.append((moments, action, rule.name))
                _note_loop(moments, action, stays, returns)
    return _table(labels, stays, returns, names)


def _table(
    labels: Iterable[tuple[tuple[Moment, ...], str, str]],
    stays: list[tuple[Moment, ...]],
    returns: list[tuple[Moment, ...]],
    names: list[str],
) -> RuleTable:
    found: dict[tuple[str | None, str | None], list[Snippet]] = {}
    depth, watched = 2, set()
    for moments, action, name in labels:
        last = moments[-1]
        snippet = Snippet(moments, action, name, _weight(moments))
        known = found.setdefault((last.get("action"), last.get("intent")), [])
        if all(other.moments != moments for other in known):
            known.append(snippet)
        depth = max(depth, len(moments))
        watched |= {slot for moment in moments for slot in moment.get("slots", ())}
    table = {key: tuple(sorted(value, key=lambda item: -item.weight)) for key, value in found.items()}
    return RuleTable(table, tuple(stays), tuple(returns), depth, frozenset(watched), tuple(names))


def _weight(moments: tuple[Moment, ...]) -> int:
    """Return the length of the moments in Rasa's notation, which is how it decides between several matching rules."""
    states = []
    for moment in moments:
        state: dict[str, Any] = {}
        if "action" in moment:
            state["prev_action"] = {"action_name": moment["action"]}
        user = {key: moment[key] for key in ("intent", "entities") if key in moment}
        if user:
            state["user"] = user
        if "slots" in moment:
            state["slots"] = {name: [1.0, float(bool(value))] for name, value in moment["slots"].items()}
        if "loop" in moment:
            state["active_loop"] = {"name": moment["loop"]}
        states.append(state)
    return len(json.dumps(states, sort_keys=True))


def _note_loop(
    moments: tuple[Moment, ...], action: str, stays: list[tuple[Moment, ...]], returns: list[tuple[Moment, ...]]
) -> None:
    last = moments[-1]
    loop = last.get("loop")
    if not loop or loop == UNSET:
        return
    before = [{"action": moments[-2]["action"]}] if len(moments) > 1 and moments[-2].get("action") else []
    key = (*before, last)
    if last.get("action") == LISTEN and action == loop:
        returns.append(key)
    elif last.get("action") != LISTEN and action != loop:
        stays.append(key)


def _unroll(domain: Domain, rows: Rows, index: int) -> _Unrolling:
    table = rows[index]
    if not isinstance(table, Table) or not isinstance(table.get("rule"), str):
        rows.refuse("a rule needs a name under 'rule'", index)
    table.only(("rule", "condition", "steps", "conversation_start", "wait_for_user_input"), f"rule {table['rule']!r}")
    state = _Unrolling(table["rule"])
    for item in rows_at(table, "condition", "condition"):
        item.only(("active_loop", "slot_was_set"), "a rule's condition")
        _apply(domain, state, item)
    if not table.get("conversation_start", False):
        state.action = "…"
    for item in rows_at(table, "steps", "steps"):
        _step(domain, state, item)
    if table.get("wait_for_user_input", True) and state.action != LISTEN:
        state.run(LISTEN)
    return state


def _step(domain: Domain, state: _Unrolling, item: Any) -> None:
    item.only(("intent", "entities", "action", "active_loop", "slot_was_set"), "a rule's step")
    if "intent" in item:
        if item["intent"] not in domain.intents and item["intent"] not in ("restart", "back", "session_start"):
            item.refuse(f"unknown intent {item['intent']!r}", "intent")
        if state.action != LISTEN:
            state.run(LISTEN)
        used = domain.intents.get(item["intent"], frozenset())
        names = {name if isinstance(name, str) else next(iter(name)) for name in rows_at(item, "entities", "entities")}
        state.intent, state.entities = item["intent"], tuple(sorted(names & used)) or None
    elif "action" in item:
        if not domain.has_action(item["action"]) and not item["action"].startswith("utter_"):
            item.refuse(f"unknown action {item['action']!r}", "action")
        state.run(item["action"])
    else:
        _apply(domain, state, item)


def _apply(domain: Domain, state: _Unrolling, item: Table) -> None:
    if "active_loop" in item:
        name = item["active_loop"]
        if name is not None and name not in domain.forms and name != "action_two_stage_fallback":
            item.refuse(f"unknown form {name!r}", "active_loop")
        state.loop = name or UNSET
    for part in rows_at(item, "slot_was_set", "slot_was_set"):
        pairs = part.items() if isinstance(part, Table) else [(part, "set")]
        for name, value in pairs:
            if name not in domain.slots:
                item.refuse(f"unknown slot {name!r}", "slot_was_set")
            slot = domain.slots[name]
            if value == "set" and slot.type in ("categorical", "float"):
                item.refuse(f"unsupported: slot {name!r} is {slot.type}, so a rule must name its value", "slot_was_set")
            feature = UNSET if value is None else slot.feature(value)
            if slot.influences and feature is not None:
                state.slots[name] = feature


def matches(wanted: Moment, found: Moment) -> bool:
    """Whether a conversation's moment has everything that a rule's moment asks for."""
    if ("action" in wanted) != ("action" in found):
        return False
    if "action" not in wanted:
        return True
    for key in ("action", "intent", "entities"):
        if key in wanted and wanted[key] != found.get(key):
            return False
    loop = wanted.get("loop")
    if loop is not None and (found.get("loop") or UNSET) != loop:
        return False
    slots = found.get("slots", {})
    return all(slots.get(name, UNSET) == value for name, value in wanted.get("slots", {}).items())


def follows(wanted: Sequence[Moment], history: Sequence[Moment]) -> bool:
    """Whether the latest moments of `history` (oldest first) match those of `wanted`, as far as both go back."""
    shared = min(len(wanted), len(history))
    return all(map(matches, wanted[-shared:], history[-shared:]))


def predict(table: RuleTable, history: Sequence[Moment]) -> Prediction:
    """Return what the rules say after `history`, whose last moment is now; an active form is named in it."""
    last = history[-1]
    best = next((s for s in _candidates(table, last) if follows(s.moments, history)), None)
    action = best.action if best else None
    loop = last.get("loop")
    if not loop:
        return Prediction(action, "rule" if best else None, best.rule if best else None)
    interrupted = any(follows(key, history) for key in table.returns)
    if best and action == LISTEN and best.moments[-1].get("loop") in (None, UNSET):
        # A rule that knows nothing of the form has ended inside it: the form takes the floor back, unless one forbids.
        if not any(follows(key, history) for key in table.stays):
            return Prediction(loop, "loop", best.rule)
        return Prediction(None, interrupted=interrupted)
    return Prediction(action, "rule" if best else None, best.rule if best else None, interrupted)


def _candidates(table: RuleTable, last: Moment) -> Iterable[Snippet]:
    action, intent = last.get("action"), last.get("intent")
    exact = table.snippets.get((action, intent), ())
    general = table.snippets.get((action, None), ())
    if exact and general:
        return sorted((*exact, *general), key=lambda item: -item.weight)
    return exact or general
