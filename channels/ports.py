"""What the channels ask of other rooms. They write it, config plugs it in."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from tracker.identity import Key
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


class Threads(Protocol):
    """Where web chat's conversations are."""

    async def thread_of(self, lead_id: str, visitor: str, product_id: str) -> str:
        """Return the conversation in which a lead is talked with: the last one, else the visitor's about the product.

        Args: visitor: one of the person's; it may have several.

        Raises: Unavailable: the store is away.
        """
        ...


class Letter(NamedTuple):
    """What somebody writes by WhatsApp. The same id is the same letter.

    Attributes: contact: who wrote, the same each time. keys: how they are recognised, strongest first. pressed: `text`
    is the payload of a button that we made. enclosed: what came besides the words.
    """

    contact: str
    text: str
    product_id: str
    id: str
    keys: Sequence[Key]
    pressed: bool = False
    enclosed: Mapping[str, Any] = {}


class Correspondent(Protocol):
    """Who answers letters. The answers go out as messages of their own."""

    async def answer(self, letter: Letter) -> None:
        """Answer a letter, once.

        Raises: Invalid: no such product. Unavailable: the store is away.
        """
        ...
