"""What the channels ask of other rooms. They write it, config plugs it in."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from tracker.times import Instant


class Choice(NamedTuple):
    """A button under a line; pressing it sends `payload`."""

    title: str
    payload: str


class Line(NamedTuple):
    """One message of a thread, as its reader sees it. Attributes: id: unique within the thread."""

    id: str
    at: Instant
    by: Literal["visitor", "bot", "human"]
    text: str
    choices: Sequence[Choice] = ()


class Remark(NamedTuple):
    """What a visitor says: words, or the payload of a pressed button. The same id is the same remark."""

    visitor: str
    product_id: str
    id: str
    text: str


class Assistant(Protocol):
    """Who answers on web chat."""

    def thread(self, visitor: str, product_id: str) -> str:
        """Return the id of a visitor's conversation about a product."""
        ...

    async def answer(self, remark: Remark) -> list[Line]:
        """Return the remark as it stands in the thread, and the answers to it; a repeat gets those of the first time.

        Raises: Invalid: no such product. Unavailable: the store is away.
        """
        ...

    async def history(self, visitor: str, product_id: str, since: Instant | None) -> list[Line]:
        """Return the newest lines of a thread, oldest first. Args: since: none from before."""
        ...
