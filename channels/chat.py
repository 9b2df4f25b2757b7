"""Web chat, whatever the wire: who a visitor is, what it may read, what becomes of what it says."""

from typing import NamedTuple

from channels.chat_frames import Saying
from channels.chat_hub import Hub, Listener
from channels.ports import Assistant, Line, Remark
from channels.throttle import Throttle
from channels.tokens import Purpose, Tokens
from tracker.catalog import Catalog
from tracker.errors import Fault, Invalid
from tracker.model import new_id
from tracker.product import ProductConfig
from tracker.times import Instant


class Guest(NamedTuple):
    """A visitor in its conversation about a product. `token` is what it shows next time."""

    visitor: str
    token: str
    product: ProductConfig
    thread: str


class Chat:
    def __init__(
        self,
        assistant: Assistant,
        catalog: Catalog,
        tokens: Tokens,
        *,
        default_product: str | None = None,
        throttle: Throttle | None = None,
    ):
        self._assistant, self._catalog, self._tokens, self._default = assistant, catalog, tokens, default_product
        self.throttle, self.hub = throttle or Throttle(), Hub()

    async def welcome(self, product_id: str | None, visitor: str | None, token: str | None) -> Guest:
        """Return who is there: the visitor that the token proves, else a new one.

        Args: product_id: None for the one that the token was made for, else the default.
        Raises: Invalid: no product is named, or there is none of that name.
        """
        known = self._read(visitor, token)
        product = await self.product(product_id or (known[1] if known else None))
        id = known[0] if known else new_id()
        made = self._tokens.make(Purpose.VISITOR, id, product.product_id)
        return Guest(id, made, product, self._assistant.thread(id, product.product_id))

    def _read(self, visitor: str | None, token: str | None) -> tuple[str, str] | None:
        parts = self._tokens.read(Purpose.VISITOR, token) if token and token.isascii() else None
        if parts is None or visitor not in {None, parts[0]}:
            return None
        return str(parts[0]), str(parts[1])

    async def product(self, product_id: str | None) -> ProductConfig:
        """Raises: Invalid."""
        product_id = product_id or self._default
        if product_id is None:
            raise Invalid("say which product the chat is about", Fault("product_id", "is needed: there is no default"))
        live = await self._catalog.live(product_id)
        if live is None:
            raise Invalid("the product does not exist", Fault("product_id", f"there is no product {product_id}"))
        return live.config

    async def history(self, guest: Guest, since: Instant | None = None) -> list[Line]:
        return await self._assistant.history(guest.visitor, guest.product.product_id, since)

    async def say(self, guest: Guest, saying: Saying, speaker: Listener | None = None) -> list[Line]:
        """Take a message and show it, and the answers, wherever the conversation is open.

        Args: speaker: who said it, and need not be shown it.
        Returns: the answers.
        Raises: TooMany. Invalid: the product is gone. Unavailable: the store is away.
        """
        self.throttle.visitor(guest.visitor)
        id = saying.id or new_id()
        self.hub.typing(guest.thread)
        remark, *answers = await self._assistant.answer(
            Remark(guest.visitor, guest.product.product_id, id, saying.words)
        )
        self.hub.publish(guest.thread, remark, but=speaker)
        if speaker is not None:
            speaker.push({"type": "ack", "id": id, "at": remark.at})
        for line in answers:
            self.hub.publish(guest.thread, line)
        return answers
