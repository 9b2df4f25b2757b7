"""The parts of a product's configuration that say when, where and with whom it speaks. Every fault has its path."""

from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from tracker.conditions import Condition, Conditions
from tracker.events import Channel
from tracker.identity import email_address
from tracker.model import Input, Line, Name, Slug
from tracker.stages import Stage

Speaking = Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT]
"""A channel on which messages go out."""

Hours = Annotated[float, Field(ge=0, le=24 * 365 * 5, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def zone(name: str) -> str:
    """Raises: ValueError: no such time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not a time zone such as Europe/Berlin") from error
    return name


def _web_address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("is not an address such as https://example.com/book")
    return url


def _mailbox(text: str) -> str:
    _, bracket, address = text.rpartition("<")
    if bracket and not address.endswith(">"):
        raise ValueError("is not an address such as Mia <mia@example.com>")
    email_address(address.removesuffix(">"))
    return text


Zone = Annotated[str, Field(max_length=60), AfterValidator(zone)]
WebAddress = Annotated[Line, AfterValidator(_web_address)]
Mailbox = Annotated[Line, AfterValidator(_mailbox)]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Step(Input):
    """One message of a sequence, `delay_hours` after the step before it was settled (the first: after stage entry)."""

    delay_hours: Hours
    channel: Speaking
    template_id: Slug
    conditions: Conditions | None = None
    """It is sent when these hold; else the step is skipped."""


class Sequence(Input):
    """Attributes: goal: what makes the rest of the sequence needless."""

    stage: Stage
    messages: Annotated[tuple[Step, ...], Field(max_length=100)]
    goal: Conditions | None = None


class Sender(Input):
    """Who a product's mail comes from: `Name <mail@host>`."""

    from_: Annotated[Mailbox, Field(alias="from")]
    reply_to: Mailbox | None = None


class Progression(Input):
    """Conditions that take the place of the score's thresholds."""

    engaged: Conditions | None = None
    qualified: Conditions | None = None

    def condition(self, stage: Stage) -> Condition | None:
        """What a lead enters a stage by; None where it is the score's threshold."""
        return {Stage.ENGAGED: self.engaged, Stage.QUALIFIED: self.qualified}.get(stage)


class QuietHours(Input):
    """From `start` to `end` of the person's day nothing is sent; over midnight where `end` is the earlier one."""

    start: ClockTime
    end: ClockTime
    time_zone: Zone | None = None


class FrequencyCap(Input):
    """At most so many nurture messages to a person within so many hours."""

    messages: Annotated[int, Field(ge=1, le=1000)]
    hours: Annotated[float, Field(gt=0, le=24 * 365)]


class ReEngagement(Input):
    """Messages for who has been silent for `after_days`, then every `every_days`."""

    after_days: Days
    every_days: Days | None = None
    messages: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)]


class Variant(Input):
    name: Name
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1
    template_id: Slug


class Experiment(Input):
    """One step of a sequence in several wordings. Attributes: step: from 0."""

    experiment_id: Slug
    stage: Stage
    step: Annotated[int, Field(ge=0, le=99)]
    variants: Annotated[tuple[Variant, ...], Field(min_length=2, max_length=10)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({variant.name for variant in self.variants}) < len(self.variants):
            raise ValueError("two variants have the same name")
        return self


class Guardrails(Input):
    """A rollout whose rates pass these limits, after `min_sends` messages, is halted."""

    max_unsubscribe_rate: Rate | None = None
    max_bounce_rate: Rate | None = None
    min_sends: Annotated[int, Field(ge=1)] = 50


Kept = Literal["turns", "messages", "handoffs", "review", "leads"]
"""What a product may keep for some days only; `leads` are people who have been idle for so long."""

USUAL: tuple[Kept, ...] = ("turns", "messages", "handoffs", "review")
"""What a plain number of days is about."""

_RETENTION_RANGE = range(1, 36_501)
_RETENTION_DAYS = Annotated[int, Field(ge=1, le=36_500)]


class Retention(Input):
    """How many days each kind is kept after its end; None: for good. A plain number means each of `USUAL`."""

    turns: _RETENTION_DAYS | None = None
    messages: _RETENTION_DAYS | None = None
    handoffs: _RETENTION_DAYS | None = None
    review: _RETENTION_DAYS | None = None
    leads: _RETENTION_DAYS | None = None

    def days(self) -> dict[Kept, int]:
        """Return the kinds that are not kept for good."""
        return {kind: days for kind in get_args(Kept) if (days := getattr(self, kind)) is not None}

    @model_validator(mode="before")
    @classmethod
    def _of_number(cls, given: Any) -> Any:
        if isinstance(given, dict | Retention):
            return given
        if isinstance(given, bool) or given not in _RETENTION_RANGE:
            raise ValueError("wants whole days, 1 to 36500, or an object with days for each kind")
        return dict.fromkeys(USUAL, given)

    @model_serializer(mode="wrap")
    def _as_given(self, serialized: SerializerFunctionWrapHandler) -> Any:
        days = self.days()
        same = set(days.values())
        return same.pop() if set(days) == set(USUAL) and len(same) == 1 else serialized(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        by_kind = handler.resolve_ref_schema(handler(schema))
        properties = {kind: {"type": "integer", "minimum": 1, "maximum": 36_500} for kind in get_args(Kept)}
        by_kind.clear()
        by_kind |= {
            "description": cls.__doc__,
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 36_500},
                {"type": "object", "properties": properties, "additionalProperties": False},
            ],
        }
        return by_kind


class Crm(Input):
    url: WebAddress
    credential: Name | None = None
    poll_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    mapping: dict[Name, Line] = {}


class Retry(Input):
    attempts: Annotated[int, Field(ge=1, le=20)] | None = None
    base_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None


class Notify(Input):
    url: WebAddress | None = None
    email: Mailbox | None = None
    escalate_after: Annotated[int, Field(ge=1, le=1000)] | None = None


class Workflow(Input):
    """What the product's n8n workflows are rendered with."""

    crm: Crm | None = None
    retry: Retry | None = None
    notify: Notify | None = None
