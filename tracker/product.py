"""A product's configuration, as the API takes it. Every fault is told at once, each with its path."""

import hashlib
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from pydantic import Field, field_validator, model_validator

from tracker.events import EventType
from tracker.model import Document, Input, Line, Name, Points, Slug
from tracker.product_parts import (
    Days,
    Experiment,
    FrequencyCap,
    Guardrails,
    Percent,
    Progression,
    QuietHours,
    ReEngagement,
    Retention,
    Sender,
    Sequence,
    Speaking,
    Step,
    WebAddress,
    Workflow,
)
from tracker.stages import Stage
from tracker.times import Instant


class ScoringRules(Input):
    login_points: Points = 5
    email_open_points: Points = 1
    email_click_points: Points = 3
    email_engagement_multiplier: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 1
    whatsapp_reply_points: Points = 5
    chatbot_points: Points = 2
    answer_points: dict[Name, Points] = {}
    default_points: Points = 0
    qualification_threshold: Points = 100
    half_life_days: Days | None = None
    """After so many days an event is worth half."""

    daily_caps: dict[EventType, Annotated[Points, Field(ge=0)]] = {}
    """The most points that events of one type give in a day (UTC)."""


Slot = Literal[
    "full_name", "email", "company", "company_size", "job_title", "industry", "use_case", "timeline", "budget"
]
SLOTS: tuple[str, ...] = get_args(Slot)
"""The questions that the assistant can ask, in its order."""


class Qualification(Input):
    """The answers that a lead must have given before its score can qualify it."""

    required: Annotated[tuple[Slot, ...], Field(max_length=len(SLOTS))] = ()


class ProductConfig(Input):
    product_id: Slug
    name: Name
    nurturing_sequences: Annotated[tuple[Sequence, ...], Field(max_length=20)] = ()
    scoring_rules: ScoringRules = ScoringRules()
    conversion_goals: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    engaged_threshold: Points = 20
    progression: Progression | None = None
    stage_policy: Literal["automatic", "n8n"] = "automatic"
    sequence_policy: Literal["automatic", "n8n"] = "automatic"
    nurture_after_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 72
    re_engagement: ReEngagement | None = None
    holdout: Percent = 0
    channels: Annotated[tuple[Speaking, ...], Field(max_length=3)] = ()
    email_consent: Literal["opt_out", "opt_in"] = "opt_out"
    quiet_hours: QuietHours | None = None
    frequency_cap: FrequencyCap | None = None
    sender: Sender | None = None
    utm: Annotated[dict[Slug, Name], Field(max_length=20)] = {}
    booking_url: WebAddress | None = None
    facts: dict[Name, Line] = {}
    qualification: Qualification = Qualification()
    experiments: Annotated[tuple[Experiment, ...], Field(max_length=20)] = ()
    guardrails: Guardrails | None = None
    retention_days: Retention | None = None
    workflow: Workflow | None = None

    @field_validator("nurturing_sequences")
    @classmethod
    def _one_sequence_a_stage(cls, sequences: tuple[Sequence, ...]) -> tuple[Sequence, ...]:
        stages = [sequence.stage for sequence in sequences]
        if len(set(stages)) < len(stages):
            raise ValueError("a stage has one sequence at most")
        return sequences

    @model_validator(mode="after")
    def _experiments_name_steps(self) -> Self:
        for number, experiment in enumerate(self.experiments):
            sequence = self.sequence(experiment.stage)
            if sequence is None or experiment.step >= len(sequence.messages):
                raise ValueError(f"experiments/{number}: the sequence of {experiment.stage} has no such step")
        return self

    def step(self, stage: str | None, number: int | None) -> Step | None:
        """Return a step of a stage's sequence, None where there is none."""
        sequence = self.sequence(Stage(stage)) if stage is not None else None
        messages = sequence.messages if sequence else ()
        return messages[number] if number is not None and number < len(messages) else None

    def sequence(self, stage: Stage) -> Sequence | None:
        return next((s for s in self.nurturing_sequences if s.stage is stage and s.messages), None)


class Product(Document, frozen=True, kw_only=True):
    """Which version of a product is live, and which one is a candidate for a share of the new leads.

    Attributes: live: 0 while there are only drafts. before: versions that were live earlier, the latest last.
    """

    live: int
    candidate: int | None = None
    percent: float = 0
    before: tuple[int, ...] = ()
    updated_at: Instant

    def now_live(self, number: int, *, at: Instant) -> "Product":
        """Return the product with another live version. Every rollout ends with that."""
        before = (*(n for n in self.before if n != number), self.live) if self.live else ()
        return Product(live=number, before=before[-100:], updated_at=at)

    def entering(self, person_id: str, product_id: str) -> int:
        """Return the version that a new lead enters with: the same person always falls on the same side."""
        if self.candidate is None or share(product_id, person_id) >= self.percent:
            return self.live
        return self.candidate


class ProductVersion(Document, frozen=True, kw_only=True):
    """One immutable, numbered version. `config` is JSON text, as it was given."""

    product_id: str
    number: int
    config: str
    author: str
    note: str = ""
    created_at: Instant


class Versioned(NamedTuple):
    """A configuration in use."""

    config: ProductConfig
    number: int


def share(*parts: str) -> float:
    """Return where these ids fall between 0 and 100, evenly spread and the same every time."""
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 * 100


def version_id(product_id: str, number: int) -> str:
    return f"{product_id}:{number}"


def parse(config: str) -> ProductConfig:
    return ProductConfig.model_validate_json(config)


def dump(config: ProductConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True, exclude_none=True)
