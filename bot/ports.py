"""What the bot asks of other rooms. They write it, config plugs it in."""

from collections.abc import Sequence
from typing import Protocol

from tracker.events import Channel
from tracker.store.port import Change
from tracker.times import Instant


class Replies(Protocol):
    """Brings answers to people on channels that are written to, not answered in the same call."""

    def planned(
        self,
        turn_id: str,
        *,
        lead_id: str,
        person_id: str,
        product_id: str,
        channel: Channel,
        said: Sequence[tuple[str, Sequence[str]]],
        at: Instant,
    ) -> Sequence[Change]:
        """Return the changes that put what a turn said into the outbox, due at once.

        Args: said: texts, each with the titles of its buttons, which are shown as a list numbered from 1.
        """
        ...
