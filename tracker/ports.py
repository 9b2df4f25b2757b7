"""What the tracker asks of other rooms. They write it, config plugs it in."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from tracker.events import Channel, Event
from tracker.lead import Lead, StageChange
from tracker.person import Person
from tracker.product import ProductConfig
from tracker.store.port import Change, Store
from tracker.times import Instant, later


class Settled(NamedTuple):
    """A message of a sequence reached its end: `outcome` is sent, skipped, failed or cancelled."""

    message_id: str
    outcome: str


class Failure(NamedTuple):
    """A message will not arrive. Attributes: attempt: which sending it was, from 1. tried: as often as we try."""

    message_id: str
    channel: Channel
    template_id: str | None
    error: str
    attempt: int
    tried: bool = False


class Facts(Struct, frozen=True):
    """What happens to one lead in a commit that is about to be made.

    Attributes: lead, person: as they will be. lead_before, person_before: as they were, None where there was none.
    created: the lead is new. stage_changes: in order. newest: when the newest of the events happened, None for now.
    wished: the handoff that a wish opens. wish: why a person is asked for, also where a handoff is open already. cause:
    id of what caused this where no event did. ended: why the lead is none any more.
    """

    lead_id: str
    lead: Lead
    person: Person
    config: ProductConfig
    now: datetime
    created: bool = False
    newest: Instant | None = None
    events: Sequence[Event] = ()
    stage_changes: Sequence[StageChange] = ()
    settled: Sequence[Settled] = ()
    wished: str | None = None
    ended: str = ""
    failures: Sequence[Failure] = ()
    lead_before: Lead | None = None
    person_before: Person | None = None
    wish: str | None = None
    cause: str = ""

    @property
    def handoff(self) -> str | None:
        """The handoff that the commit opens, by a wish or a qualification."""
        return self.wished or next((change.opens for change in self.stage_changes if change.opens), None)

    @property
    def enters_stage(self) -> bool:
        return self.created or bool(self.stage_changes)

    @property
    def fresh(self) -> bool:
        """Recent enough for nurture: a first import of old logins greets nobody."""
        return self.newest is None or self.newest >= later(self.now, hours=-self.config.nurture_after_hours)


class Reactor(Protocol):
    """What another room adds to the tracker's commit: a reading and a pure decision, as in every use case."""

    def concerns(self, facts: Facts) -> bool:
        """Whether this room may have something to add. Asked for every login, so it must cost next to nothing."""
        ...

    async def read(self, store: Store, facts: Facts) -> Any:
        """Fetch what `decide` needs."""
        ...

    def decide(self, facts: Facts, known: Any) -> Iterable[Change]:
        """Return the changes to add to the commit."""
        ...


class Spoken(NamedTuple):
    """One line of what was said to and by a lead.

    Attributes: author: the salesperson's name. status: of a message that somebody wrote; None where there is no doubt.
    """

    at: Instant
    by: Literal["visitor", "bot", "human"]
    text: str
    author: str | None = None
    status: str | None = None


class Teller(Protocol):
    """A room that knows a part of what was said."""

    async def spoken(self, store: Store, lead_id: str, *, limit: int) -> list[Spoken]:
        """Return the newest lines, in any order."""
        ...


class Way(NamedTuple):
    """How a person is answered.

    Attributes: obstacle: why nothing would arrive there; None when something would. window_open: whether WhatsApp takes
    free text; None for people who do not write there.
    """

    channel: Channel
    obstacle: str | None = None
    window_open: bool | None = None


class HumanReplies(Protocol):
    """How what a salesperson writes reaches a lead."""

    def way(self, lead: Lead, person: Person, *, now: datetime) -> Way:
        """Return the channel of a reply: where the person last wrote, else the first on which a reply would arrive."""
        ...

    def planned(
        self, id: str, *, lead_id: str, lead: Lead, channel: Channel, text: str, author: str, at: Instant
    ) -> Sequence[Change]:
        """Return the changes that put a reply into the outbox, due at once. The first document's id is `id`."""
        ...


class ToMend(NamedTuple):
    """An item of the review queue that somebody replays.

    Attributes: by: who. original: its input as it came. input: the same, or corrected. corrected: whether that was
    given.
    """

    id: str
    by: str
    original: Any
    input: Any
    corrected: bool = False
    lead_id: str | None = None
    message_id: str | None = None


class Mended(NamedTuple):
    """What a replay comes to. Attributes: did: for the history. changes: for the commit that closes the item."""

    did: str
    lead_id: str | None = None
    changes: Sequence[Change] = ()


class Mender(Protocol):
    """A room that can try again what ended in review."""

    @property
    def acts_itself(self) -> bool:
        """Whether `mend` has an effect of its own, before the item is closed; a repeat of it then changes nothing."""
        ...

    async def mend(self, wanted: ToMend) -> Mended:
        """Try again.

        Raises: Invalid: it is still no good. Refused: there is nothing left to try. Unavailable: the store is away.
        """
        ...


class Discarded(NamedTuple):
    """What the discarding of an item comes to. Attributes: did: for the history. changes: for the commit that closes
    the item. facts: what other rooms react to in it.
    """

    did: str
    changes: Sequence[Change]
    facts: Sequence[Facts] = ()


class Discarder(Protocol):
    """A room for which something follows when a person takes an item from the queue."""

    async def discarded(self, wanted: ToMend, reason: str) -> Discarded | None:
        """Decide what follows, None for nothing. Args: wanted: the item, and who discards it. reason: may be empty.

        Raises: Unavailable: the store is away.
        """
        ...


class Elsewhere(Protocol):
    """Where something of people lies besides the store's documents."""

    async def forget(self, message_id: str) -> None:
        """Remove what was written of a message. There may be nothing."""
        ...

    async def scrub(self) -> bool:
        """Remove what the database still holds of deleted documents; False: somebody is in the way, try again later."""
        ...


Wording = tuple[str, Channel | None]
"""A template's id, and the channel on which it has to speak; None: on any."""


class Templates(Protocol):
    async def missing(self, wanted: Iterable[Wording], product_id: str) -> set[Wording]:
        """Return those that a product cannot use."""
        ...
