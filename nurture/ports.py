"""What nurture asks of the Communication Engine."""

from typing import Protocol

from tracker.events import Channel
from tracker.store.port import Change, Document
from tracker.times import Instant


class Outbox(Protocol):
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
        """Return the change that plans a message of a sequence."""
        ...

    def cancelled(self, message: Document, *, reason: str, at: Instant) -> Change | None:
        """Return the change that cancels a message, None when it is too late for that."""
        ...
