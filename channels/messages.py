"""Messages: the document, and the changes that lead from one state to the next. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from channels.machines import Hit
from channels.states import WAITING, State, may_follow
from tracker.events import Channel
from tracker.model import Document, Output
from tracker.store.port import Change, Insert, Replace
from tracker.store.port import Document as Stored
from tracker.store.schema import Kind
from tracker.times import Instant


class Category(StrEnum):
    REPLY = "reply"
    TRANSACTIONAL = "transactional"
    NURTURE = "nurture"


PRIORITY: dict[Category, int] = {Category.REPLY: 0, Category.TRANSACTIONAL: 1, Category.NURTURE: 2}
"""A backlog of drips never delays a reply."""


class Check(Document, frozen=True, kw_only=True):
    """One line of a decision record. `outcome`: ok, or what it led to."""

    check: str
    input: str
    outcome: str


class Attempt(Document, frozen=True, kw_only=True):
    at: Instant
    outcome: str
    error: str | None = None


REPLAYED = "replayed"
"""The outcome of what is no attempt: a person had the message sent again."""


class Callback(Document, frozen=True, kw_only=True):
    """What the provider told later. Attributes: provider_id: of the sending that it is about."""

    at: Instant
    status: str
    error_code: str | None = None
    provider_id: str | None = None


class Message(Document, frozen=True, kw_only=True):
    """Attributes: stage: of the sequence that the message belongs to. variables: JSON text. waiting: whether the due
    queue holds it. lease_until: in `sending`, when its outcome counts as unknown. author: the salesperson who wrote it.
    said: what a template came to, kept for web chat, whose reader may come back. recipient: the address to which it was
    last sent, which may no longer be the person's when it comes back. broken: it was put off, since a mistake of ours
    keeps it from being delivered.
    """

    lead_id: str
    person_id: str
    product_id: str
    channel: Channel
    category: Category
    priority: int
    status: State
    waiting: bool
    due_at: Instant
    created_at: Instant
    updated_at: Instant
    template_id: str | None = None
    text: str | None = None
    variables: str = "{}"
    stage: str | None = None
    step: int | None = None
    attempts: tuple[Attempt, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    decision: tuple[Check, ...] = ()
    provider_id: str | None = None
    lease_until: Instant | None = None
    failover_of: str | None = None
    failover_to: str | None = None
    links: tuple[str, ...] = ()
    """Where the tracked links of the message lead, by number."""
    hits: tuple[Hit, ...] = ()
    """The last links followed."""
    author: str | None = None
    said: str | None = None
    recipient: str | None = None
    broken: bool = False

    @property
    def replays(self) -> int:
        """How often a person had the message sent again."""
        return sum(attempt.outcome == REPLAYED for attempt in self.attempts)

    @property
    def tries(self) -> int:
        """How often it was tried since it was planned, or since a person had it sent again."""
        outcomes = [attempt.outcome for attempt in self.attempts]
        return outcomes[::-1].index(REPLAYED) if REPLAYED in outcomes else len(outcomes)

    def mark(self, id: str, what: str) -> str:
        """The id of an event that this sending of the message can give rise to once."""
        return f"{id}:{what}:{self.replays}" if self.replays else f"{id}:{what}"

    @property
    def words(self) -> str:
        """What stands in a web chat."""
        return self.said or self.text or ""

    def moved(self, to: State, *, at: Instant, **changes: Any) -> "Message":
        """Return the message in state `to`. Raises: ValueError: the table does not allow it."""
        if not may_follow(self.status, to):
            raise ValueError(f"a message that is {self.status} cannot become {to}")
        return self.but(status=to, waiting=to in WAITING, updated_at=at, broken=False, **changes)


def planned(
    *,
    lead_id: str,
    person_id: str,
    product_id: str,
    channel: Channel,
    category: Category,
    due_at: Instant,
    at: Instant,
    template_id: str | None = None,
    text: str | None = None,
    variables: str = "{}",
    stage: str | None = None,
    step: int | None = None,
) -> Message:
    """Return a new message: due when its time has come, planned before."""
    return Message(
        lead_id=lead_id,
        person_id=person_id,
        product_id=product_id,
        channel=channel,
        category=category,
        priority=PRIORITY[category],
        status=State.PLANNED if due_at > at else State.DUE,
        waiting=True,
        due_at=due_at,
        created_at=at,
        updated_at=at,
        template_id=template_id,
        text=text,
        variables=variables,
        stage=stage,
        step=step,
    )


SHOWN = frozenset({State.SENT, State.DELIVERED, State.READ})
"""States in which a message stands before its reader."""


UNDER_WAY = frozenset({State.SENDING, State.UNCERTAIN})
"""States from which an answer, or a person's word, still has to lead on."""


def write(found: Stored, message: Message) -> Change:
    return Replace(Kind.MESSAGES, found.id, found.version, message.body())


def ended(found: Stored) -> Instant | None:
    """When a message came to its end, None while it waits, is being sent or may have been sent."""
    message = Message.read(found.body)
    return None if message.waiting or message.status in UNDER_WAY else message.updated_at


class SequenceOutbox:
    """How nurture plans and cancels the messages of sequences."""

    def planned(
        self,
        id: str,
        *,
        lead_id: str,
        person_id: str,
        product_id: str,
        stage: str,
        step: int,
        channel: Channel,
        template_id: str,
        due_at: Instant,
        at: Instant,
    ) -> Change:
        message = planned(
            lead_id=lead_id,
            person_id=person_id,
            product_id=product_id,
            channel=channel,
            category=Category.NURTURE,
            due_at=due_at,
            at=at,
            template_id=template_id,
            stage=stage,
            step=step,
        )
        return Insert(Kind.MESSAGES, id, message.body())

    def cancelled(self, message: Stored, *, reason: str, at: Instant) -> Change | None:
        found = Message.read(message.body)
        if found.status not in WAITING:
            return None
        decision = (*found.decision, Check(check="condition", input=reason, outcome="cancelled"))
        return write(message, found.moved(State.CANCELLED, at=at, decision=decision))


class CheckView(Output):
    check: str
    input: str
    outcome: str


class AttemptView(Output):
    at: Instant
    outcome: str
    error: str | None = None


class CallbackView(Output):
    at: Instant
    status: str
    error_code: str | None = None
    provider_id: str | None = None


class MessageStatus(Output):
    message_id: str
    lead_id: str
    channel: Channel
    template_id: str | None
    category: Category
    status: State
    attempts: list[AttemptView]
    callbacks: list[CallbackView]
    decision: list[CheckView]
    provider_id: str | None
    failover_of: str | None
    failover_to: str | None


STATUS_FIELDS: Sequence[str] = tuple(name for name in MessageStatus.model_fields if name != "message_id")


def status(found: Stored) -> dict[str, Any]:
    """Return a message as the API shows it (`MessageStatus`), as JSON."""
    body = Message.read(found.body).body()
    return {"message_id": found.id, **{name: body[name] for name in STATUS_FIELDS}}


def told(found: Stored) -> dict[str, Any]:
    """A message as a lead's timeline tells it."""
    shown = status(found)
    return {name: value for name, value in shown.items() if name != "lead_id"} | {"due_at": found.body["due_at"]}
