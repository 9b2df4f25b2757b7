"""What the tracker asks of other rooms. They write it, config plugs it in."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

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


class Facts(NamedTuple):
    """What happens to one lead in a commit that is about to be made.

    Attributes: lead, person: as they will be. created: the lead is new. stage_changes: in order. newest: when the
    newest of the events happened, None for now.
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

    @property
    def enters_stage(self) -> bool:
        return self.created or bool(self.stage_changes)

    @property
    def fresh(self) -> bool:
        """Recent enough for nurture: a first import of old logins greets nobody."""
        return self.newest is None or self.newest >= later(self.now, hours=-self.config.nurture_after_hours)


class Reactor(Protocol):
    """What another room adds to the tracker's commit: a reading and a pure decision, as in every use case."""

    async def read(self, store: Store, facts: Facts) -> Any:
        """Fetch what `decide` needs; nothing at all when the facts do not concern this room."""
        ...

    def decide(self, facts: Facts, known: Any) -> Iterable[Change]:
        """Return the changes to add to the commit."""
        ...


class Templates(Protocol):
    async def missing(self, wanted: Iterable[tuple[str, Channel]], product_id: str) -> set[tuple[str, Channel]]:
        """Return those (template id, channel) that a product cannot use."""
        ...
