"""A product's configuration, as the API takes it. Every fault is told at once, each with its path."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, field_validator

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

    def step(self, stage: str | None, number: int | None) -> Step | None:
        """Return a step of a stage's sequence, None where there is none."""
        sequence = self.sequence(Stage(stage)) if stage is not None else None
        messages = sequence.messages if sequence else ()
        return messages[number] if number is not None and number < len(messages) else None

    def sequence(self, stage: Stage) -> Sequence | None:
        return next((s for s in self.nurturing_sequences if s.stage is stage and s.messages), None)


MOST_BEFORE = 1000
"""How many versions back a product can return."""


class Product(Document, frozen=True, kw_only=True):
    """Which version of a product is live, and which one is a candidate for a share of the new leads.

    Attributes: live: 0 while there are only drafts. before: the way to it, versions that were live one after the other,
    the latest last. follows: by the version that leads entered with, the one that has taken them over.
    """

    live: int
    candidate: int | None = None
    percent: float = 0
    before: tuple[int, ...] = ()
    follows: dict[str, int] = {}
    updated_at: Instant

    def now_live(self, version: "ProductVersion", *, at: Instant) -> "Product":
        """Return the product with a new version live. Every rollout ends with that."""
        before = (*self.before, self.live)[-MOST_BEFORE:] if self.live else ()
        return Product(live=version.number, before=before, follows=_followed(self.follows, version), updated_at=at)

    def returned(self, number: int, versions: Iterable["ProductVersion"], *, at: Instant) -> "Product":
        """Return the product with an older version live: what came after it, rollouts and takeovers too, is no more.

        Args: versions: all there are.
        """
        before = tuple(n for n in self.before if n < number)
        follows: dict[str, int] = {}
        for version in sorted(versions, key=lambda version: version.number):
            if version.number in {*before, number}:
                follows = _followed(follows, version)
        return Product(live=number, before=before, follows=follows, updated_at=at)

    @property
    def earlier(self) -> int | None:
        """The version that was live before this one."""
        return max((n for n in self.before if n < self.live), default=None)

    def followed(self, number: int) -> int:
        """Return which version leads that entered with `number` go by."""
        return self.follows.get(str(number), number)

    def entering(self, person_id: str, product_id: str) -> int:
        """Return the version that a new lead enters with: the same person always falls on the same side."""
        if self.candidate is None or share(product_id, person_id) >= self.percent:
            return self.live
        return self.candidate


class ProductVersion(Document, frozen=True, kw_only=True):
    """One immutable, numbered version.

    Attributes: config: JSON text. draft: it was kept without going live. takes_over: versions whose leads go by this
    one for as long as no rollback goes behind it.
    """

    product_id: str
    number: int
    config: str
    author: str
    note: str = ""
    created_at: Instant
    draft: bool = False
    takes_over: tuple[int, ...] = ()


def _followed(before: Mapping[str, int], version: ProductVersion) -> dict[str, int]:
    """Return who follows whom once a version goes live: it takes over also those who follow what it takes over."""
    by, taken = version.number, version.takes_over
    return {entered: by if now in taken else now for entered, now in before.items()} | {str(n): by for n in taken}


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
