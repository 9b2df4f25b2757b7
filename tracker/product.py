"""A product's configuration, as the API takes it. Every fault is told at once, each with its path."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, field_validator

from tracker.events import Channel
from tracker.identity import email_address
from tracker.model import Document, Input, Line, Name, Points, Slug
from tracker.stages import Stage
from tracker.times import Instant


class Step(Input):
    """One message of a sequence, `delay_hours` after the step before it was settled (the first: after stage entry)."""

    delay_hours: Annotated[float, Field(ge=0, le=24 * 365 * 5, allow_inf_nan=False)]
    channel: Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT]
    template_id: Slug


class Sequence(Input):
    stage: Stage
    messages: Annotated[tuple[Step, ...], Field(max_length=100)]


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


def _mailbox(text: str) -> str:
    _, bracket, address = text.rpartition("<")
    if bracket and not address.endswith(">"):
        raise ValueError("is not an address such as Mia <mia@example.com>")
    email_address(address.removesuffix(">"))
    return text


Mailbox = Annotated[Line, AfterValidator(_mailbox)]


class Sender(Input):
    """Who a product's mail comes from: `Name <mail@host>`."""

    from_: Annotated[Mailbox, Field(alias="from")]
    reply_to: Mailbox | None = None


class ProductConfig(Input):
    product_id: Slug
    name: Name
    nurturing_sequences: Annotated[tuple[Sequence, ...], Field(max_length=20)] = ()
    scoring_rules: ScoringRules = ScoringRules()
    conversion_goals: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    engaged_threshold: Points = 20
    stage_policy: Literal["automatic", "n8n"] = "automatic"
    nurture_after_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 72
    sender: Sender | None = None
    facts: dict[Name, Line] = {}

    @field_validator("nurturing_sequences")
    @classmethod
    def _one_sequence_a_stage(cls, sequences: tuple[Sequence, ...]) -> tuple[Sequence, ...]:
        stages = [sequence.stage for sequence in sequences]
        if len(set(stages)) < len(stages):
            raise ValueError("a stage has one sequence at most")
        return sequences

    def sequence(self, stage: Stage) -> Sequence | None:
        return next((s for s in self.nurturing_sequences if s.stage is stage and s.messages), None)


class Product(Document, frozen=True, kw_only=True):
    """Which version of a product is live."""

    live: int
    updated_at: Instant


class ProductVersion(Document, frozen=True, kw_only=True):
    """One immutable, numbered version. `config` is JSON text, as it was given."""

    product_id: str
    number: int
    config: str
    author: str
    created_at: Instant


class Versioned(NamedTuple):
    """A configuration in use."""

    config: ProductConfig
    number: int


def version_id(product_id: str, number: int) -> str:
    return f"{product_id}:{number}"


def parse(config: str) -> ProductConfig:
    return ProductConfig.model_validate_json(config)


def dump(config: ProductConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True, exclude_none=True)
