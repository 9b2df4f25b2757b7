"""What a sender takes and what it says of the outcome. Every channel's sender follows this protocol."""

from typing import NamedTuple, Protocol, TypeAlias

from channels.rendering import Rendered


class Outgoing(NamedTuple):
    """A message ready to go.

    Attributes: sender: who it is from, None for the server's own. unsubscribe_url: where one POST unsubscribes; empty
    for none. author: the salesperson who wrote it.
    """

    message_id: str
    to: str
    content: Rendered
    sender: str | None = None
    reply_to: str | None = None
    unsubscribe_url: str = ""
    lead_id: str = ""
    product_id: str = ""
    author: str | None = None


class Sent(NamedTuple):
    """The provider has it."""

    provider_id: str


class Later(NamedTuple):
    """Nothing was sent; trying again is safe. `after`: seconds that the provider asks to wait."""

    error: str
    after: float | None = None


class Refused(NamedTuple):
    """The provider said no for good.

    Attributes: bounced: the address itself is bad. opted_out: the person told the provider that they want no more.
    """

    error: str
    bounced: bool = False
    opted_out: bool = False


class Uncertain(NamedTuple):
    """It may have been sent: never tried again by itself."""

    error: str


SendOutcome: TypeAlias = Sent | Later | Refused | Uncertain


class Sender(Protocol):
    async def send(self, outgoing: Outgoing) -> SendOutcome:
        """Hand one message to the provider. Never raises for what a provider or the network does."""
        ...

    async def close(self) -> None: ...
