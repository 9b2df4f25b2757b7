"""The domain of an assistant: intents, entities, slots and their mappings, forms, responses, session.

Reads the supported subset of Rasa's `domain.yml` and refuses the rest with file and line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bot.listed import listed
from bot.located import Rows, Table, plain, rows_at, table_at

MAPPINGS = ("from_entity", "from_intent", "from_text", "custom")
SLOT_TYPES = ("text", "bool", "float", "list", "any", "categorical")
DEFAULT_ACTIONS = frozenset(
    listed(
        "action_listen action_restart action_session_start action_default_fallback action_two_stage_fallback "
        "action_deactivate_loop action_extract_slots action_back action_default_ask_affirmation "
        "action_default_ask_rephrase action_validate_slot_mappings"
    )
)
DEFAULT_INTENTS = ("restart", "back", "session_start", "out_of_scope", "nlu_fallback")
REQUESTED_SLOT = "requested_slot"


@dataclass(frozen=True, slots=True)
class Condition:
    """A mapping applies while `loop` is active (none: while no form is) and, if given, `requested` is being asked."""

    loop: str | None
    requested: str | None = None


@dataclass(frozen=True, slots=True)
class SlotMapping:
    """One way to fill a slot from a message."""

    type: str
    entity: str | None = None
    role: str | None = None
    group: str | None = None
    value: Any = None
    intents: tuple[str, ...] = ()
    not_intents: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    type: str = "any"
    mappings: tuple[SlotMapping, ...] = ()
    influences: bool = True
    initial: Any = None
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0

    def feature(self, value: Any) -> Any:
        """Return what rules see of `value` (a JSON scalar), or none if they see nothing."""
        if value is None or not self.influences or self.type == "any":
            return None
        if self.type == "bool":
            return bool(value)
        if self.type == "categorical":
            word = str(value).lower()
            return word if word in self.values else "__other__"
        if self.type == "float":
            share = (min(max(float(value), self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
            return round(share, 6)
        return "set" if self.type == "text" or value else None


@dataclass(frozen=True, slots=True)
class Form:
    """`shared` are mappings that several of its slots have: only the slot that is asked for is filled by them."""

    name: str
    required: tuple[str, ...]
    ignored_intents: frozenset[str] = frozenset()
    shared: tuple[SlotMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Variation:
    """One wording of a response; `conditions` are slot values that must hold, `channel` the only channel it is for."""

    text: str
    buttons: tuple[tuple[str, str], ...] = ()
    conditions: tuple[tuple[str, Any], ...] = ()
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """Everything `domain.yml` says. `raw` is the same as plain data, for the actions."""

    intents: Mapping[str, frozenset[str]]
    entities: frozenset[str]
    slots: Mapping[str, Slot]
    forms: Mapping[str, Form]
    responses: Mapping[str, tuple[Variation, ...]]
    actions: frozenset[str]
    session_minutes: float = 60.0
    carry_over: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict)

    def has_action(self, name: str) -> bool:
        """Whether `name` can be run: declared, a response, a form or one of the default actions."""
        return name in self.actions or name in self.responses or name in self.forms or name in DEFAULT_ACTIONS


def read_domain(*files: Table) -> Domain:
    """Read one or more domain files as one.

    Raises: AssistantError: something outside the supported subset, or a name that nothing declares.
    """
    entities: list[str] = []
    intents: dict[str, frozenset[str]] = {}
    slots: dict[str, Slot] = {}
    forms: dict[str, Form] = {}
    responses: dict[str, tuple[Variation, ...]] = {}
    actions: set[str] = set()
    session = {"session_expiration_time": 60, "carry_over_slots_to_new_session": True}
    for file in files:
        file.only(
            ("version", "intents", "entities", "slots", "responses", "actions", "forms", "session_config"), "the domain"
        )
        entities += _entities(file)
    for file in files:
        intents |= _intents(file, entities)
        slots |= {name: _slot(name, table_at(table, name, name)) for table in [_part(file, "slots")] for name in table}
        responses |= {name: _response(name, part) for part in [_part(file, "responses")] for name in part}
        forms |= {name: _form(name, table_at(part, name, name)) for part in [_part(file, "forms")] for name in part}
        actions |= set(_names(file, "actions"))
        settings = _part(file, "session_config")
        settings.only(session, "session_config")
        session |= settings
    slots.setdefault(REQUESTED_SLOT, Slot(REQUESTED_SLOT, "text", influences=False))
    _check_forms(files, forms, slots)
    forms = {name: replace(form, shared=_shared(form, slots)) for name, form in forms.items()}
    return Domain(
        intents,
        frozenset(entities),
        slots,
        forms,
        responses,
        frozenset(actions),
        float(session["session_expiration_time"]),
        bool(session["carry_over_slots_to_new_session"]),
        _merged(files),
    )


def _part(file: Table, name: str) -> Table:
    return table_at(file, name, name)


def _names(file: Table, key: str) -> Iterable[str]:
    rows = rows_at(file, key, key)
    for index, name in enumerate(rows):
        if not isinstance(name, str):
            rows.refuse(f"unsupported: {key} are names, not {type(name).__name__}", index)
        yield name


def _entities(file: Table) -> Iterable[str]:
    rows = rows_at(file, "entities", "entities")
    for index, item in enumerate(rows):
        if isinstance(item, Table) and len(item) == 1:
            (name,) = item
            table_at(item, name, name).only(("roles", "groups", "influence_conversation"), f"entity {name!r}")
            yield str(name)
        elif isinstance(item, str):
            yield item
        else:
            rows.refuse("an entity is a name, or a name with its settings", index)


def _intents(file: Table, entities: list[str]) -> dict[str, frozenset[str]]:
    """Return each intent's entities that rules may look at."""
    rows, found = rows_at(file, "intents", "intents"), {}
    for index, item in enumerate(rows):
        if isinstance(item, str):
            found[item] = frozenset(entities)
            continue
        if not isinstance(item, Table) or len(item) != 1:
            rows.refuse("an intent is a name, or a name with its settings", index)
        (name,) = item
        settings = table_at(item, name, name)
        settings.only(("use_entities", "ignore_entities"), f"intent {name!r}")
        used = settings.get("use_entities", True)
        kept = set(entities) if used is True else set(used or ())
        found[str(name)] = frozenset(kept - set(settings.get("ignore_entities") or ()))
    return found


def _slot(name: str, table: Table) -> Slot:
    table.only(
        ("type", "mappings", "influence_conversation", "initial_value", "values", "min_value", "max_value"),
        f"slot {name!r}",
    )
    kind = table.get("type")
    if kind not in SLOT_TYPES:
        table.refuse(f"unsupported: slot type {kind!r} (supported: {', '.join(SLOT_TYPES)})", "type")
    rows = rows_at(table, "mappings", "mappings")
    return Slot(
        name,
        kind,
        tuple(_mapping(name, rows, index) for index in range(len(rows))),
        bool(table.get("influence_conversation", kind != "any")),
        plain(table.get("initial_value")),
        tuple(str(value).lower() for value in table.get("values") or ()),
        float(table.get("min_value", 0.0)),
        float(table.get("max_value", 1.0)),
    )


def _mapping(slot: str, rows: Rows, index: int) -> SlotMapping:
    table = rows[index]
    if not isinstance(table, Table):
        rows.refuse(f"a mapping of slot {slot!r} must be a mapping", index)
    keys = ("type", "entity", "role", "group", "value", "intent", "not_intent", "conditions", "action")
    table.only(keys, f"a mapping of slot {slot!r}")
    kind = table.get("type")
    if kind not in MAPPINGS:
        table.refuse(f"unsupported: slot mapping {kind!r} (supported: {', '.join(MAPPINGS)})", "type")
    needed = {"from_entity": "entity", "from_intent": "value"}.get(kind)
    if needed and table.get(needed) is None:
        table.refuse(f"a {kind} mapping needs {needed!r}", "type")
    return SlotMapping(
        kind,
        table.get("entity"),
        table.get("role"),
        table.get("group"),
        plain(table.get("value")),
        _several(table.get("intent")),
        _several(table.get("not_intent")),
        tuple(_condition(item) for item in rows_at(table, "conditions", "conditions")),
        table.get("action"),
    )


def _condition(table: Table) -> Condition:
    table.only(("active_loop", REQUESTED_SLOT), "a mapping's condition")
    return Condition(table.get("active_loop"), table.get(REQUESTED_SLOT))


def _several(value: Any) -> tuple[str, ...]:
    return () if value is None else tuple(value) if isinstance(value, list) else (str(value),)


def _form(name: str, table: Table) -> Form:
    table.only(("required_slots", "ignored_intents"), f"form {name!r}")
    required = rows_at(table, "required_slots", "required_slots (a mapping was the format of Rasa 2)")
    return Form(name, tuple(map(str, required)), frozenset(_several(table.get("ignored_intents"))))


def _response(name: str, parent: Table) -> tuple[Variation, ...]:
    rows = rows_at(parent, name, name)
    if not name.startswith("utter_") or "/" in name:
        parent.refuse(f"unsupported: response {name!r} (names begin with utter_; no retrieval intents)", name)
    found = []
    for index, table in enumerate(rows):
        if not isinstance(table, Table) or not isinstance(table.get("text"), str):
            rows.refuse(f"a variation of {name} needs a text", index)
        table.only(("text", "buttons", "condition", "channel", "id"), f"response {name!r}")
        found.append(_variation(name, table))
    return tuple(found)


def _variation(name: str, table: Table) -> Variation:
    buttons = []
    for button in rows_at(table, "buttons", "buttons"):
        button.only(("title", "payload"), f"a button of {name}")
        buttons.append((str(button["title"]), str(button["payload"])))
    conditions = []
    for item in rows_at(table, "condition", "condition"):
        item.only(("type", "name", "value"), f"a condition of {name}")
        if item.get("type") != "slot":
            item.refuse("unsupported: a response's condition has type slot", "type")
        conditions.append((str(item["name"]), plain(item.get("value"))))
    return Variation(table["text"], tuple(buttons), tuple(conditions), table.get("channel"))


def _shared(form: Form, slots: Mapping[str, Slot]) -> tuple[SlotMapping, ...]:
    mappings = [mapping for name in form.required for mapping in slots[name].mappings]
    return tuple(mapping for place, mapping in enumerate(mappings) if mapping in mappings[:place])


def _check_forms(files: tuple[Table, ...], forms: Mapping[str, Form], slots: Mapping[str, Slot]) -> None:
    for file in files:
        for name in table_at(file, "forms", "forms"):
            for slot in forms[name].required:
                if slot not in slots:
                    table_at(file, "forms", "forms").refuse(f"form {name!r} requires an unknown slot {slot!r}", name)


def _merged(files: tuple[Table, ...]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for file in files:
        for key, value in plain(file).items():
            if isinstance(value, dict):
                whole[key] = {**whole.get(key, {}), **value}
            elif isinstance(value, list):
                whole[key] = whole.get(key, []) + value
            else:
                whole[key] = value
    return whole
