"""Conditions: typed data in a product's configuration, and whether one holds for a lead. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from tracker.events import EventType
from tracker.lead import FREQUENCY_DAYS, Lead, login_frequency
from tracker.model import Input, Name, Points, Slug
from tracker.person import Person
from tracker.points import thousandths
from tracker.stages import Stage
from tracker.times import later

MOST = 20
"""Conditions in one list."""


class Seen(Input):
    """An event of the lead. Attributes: message: of this template only."""

    type: EventType
    within_hours: Annotated[float, Field(gt=0, le=24 * 3650)] | None = None
    message: Slug | None = None


class LoginsAtLeast(Input):
    days: Annotated[int, Field(ge=1, le=FREQUENCY_DAYS)]
    count: Annotated[int, Field(ge=1, le=1_000_000)]


class Condition(Input):
    """One condition: an object with exactly one of these fields."""

    all: Annotated[tuple["Condition", ...], Field(max_length=MOST)] | None = None
    any: Annotated[tuple["Condition", ...], Field(max_length=MOST)] | None = None
    not_: Annotated["Condition | None", Field(alias="not")] = None
    score_at_least: Points | None = None
    stage_is: Stage | None = None
    event_seen: Seen | None = None
    event_not_seen: Seen | None = None
    demographic_in: Annotated[dict[Name, tuple[Name, ...]], Field(min_length=1, max_length=MOST)] | None = None
    trial_status_is: Name | None = None
    logins_at_least: LoginsAtLeast | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or self.said[1] is None:
            raise ValueError(f"give exactly one of {', '.join(_NAMES)}")
        if self.said[1] == ():
            raise ValueError("name a condition")
        return self

    @property
    def said(self) -> tuple[str, Any]:
        """The field that is given, and its value."""
        (name,) = self.model_fields_set
        return name, getattr(self, name)


_NAMES = [field.alias or name for name, field in Condition.model_fields.items()]


_LIST: TypeAdapter[tuple[Condition, ...]] = TypeAdapter(Annotated[tuple[Condition, ...], Field(max_length=MOST)])


def _as_one(value: Any, one: ValidatorFunctionWrapHandler) -> Condition:
    """A list of conditions means all of them. Its faults keep the paths that they have in the list."""
    if isinstance(value, list):
        return Condition(all=_LIST.validate_python(value))
    condition: Condition = one(value)
    return condition


Conditions = Annotated[Condition, WrapValidator(_as_one, json_schema_input_type=Condition | list[Condition])]


def holds(condition: Condition, lead: Lead, person: Person, *, now: datetime) -> bool:
    """Whether a condition holds for a lead as it is now."""
    name, value = condition.said
    return _RULES[name](value, lead, person, now)


def _event_seen(seen: Seen, lead: Lead, person: Person, now: datetime) -> bool:
    last = lead.seen.get(seen_key(seen.type, seen.message))
    if last is None and seen.type is EventType.LOGIN:
        last = lead.last_login_at
    if last is None or seen.within_hours is None:
        return last is not None
    return last >= later(now, hours=-seen.within_hours)


def seen_key(event_type: EventType, template_id: str | None = None) -> str:
    """Under which name a lead remembers when an event last happened."""
    return f"{event_type}/{template_id}" if template_id else str(event_type)


def sightings(event_type: EventType, metadata: Mapping[str, Any]) -> list[str]:
    """Under which names a lead remembers an event."""
    template_id = metadata.get("template_id")
    return [seen_key(event_type), *([seen_key(event_type, template_id)] if isinstance(template_id, str) else [])]


def _demographic_in(wanted: Mapping[str, tuple[str, ...]], lead: Lead, person: Person, now: datetime) -> bool:
    return all(
        person.demographics.get(name, "").casefold() in {value.casefold() for value in values}
        for name, values in wanted.items()
    )


Rule = Callable[[Any, Lead, Person, datetime], bool]

_RULES: dict[str, Rule] = {
    "all": lambda parts, lead, person, now: all(holds(part, lead, person, now=now) for part in parts),
    "any": lambda parts, lead, person, now: any(holds(part, lead, person, now=now) for part in parts),
    "not_": lambda part, lead, person, now: not holds(part, lead, person, now=now),
    "score_at_least": lambda least, lead, person, now: lead.score >= thousandths(least),
    "stage_is": lambda stage, lead, person, now: lead.stage is stage,
    "event_seen": _event_seen,
    "event_not_seen": lambda seen, lead, person, now: not _event_seen(seen, lead, person, now),
    "demographic_in": _demographic_in,
    "trial_status_is": lambda status, lead, person, now: (lead.trial_status or "").casefold() == status.casefold(),
    "logins_at_least": lambda least, lead, person, now: (
        login_frequency(lead.login_days, now, days=least.days) >= least.count
    ),
}


def told(condition: Condition) -> str:
    """The condition in words, for decision records."""
    name, value = condition.said
    match name:
        case "all" | "any":
            return f" {'and' if name == 'all' else 'or'} ".join(f"({told(part)})" for part in value)
        case "not_":
            return f"not ({told(value)})"
        case "event_seen" | "event_not_seen":
            within = f" within {value.within_hours:g} h" if value.within_hours else ""
            of = f" of {value.message}" if value.message else ""
            return f"{name.replace('_', ' ')}: {value.type}{of}{within}"
        case "demographic_in":
            return " and ".join(f"{field} is {' or '.join(values)}" for field, values in value.items())
        case "logins_at_least":
            return f"at least {value.count} logins in {value.days} days"
        case _:
            return f"{name.replace('_', ' ')} {value}"
