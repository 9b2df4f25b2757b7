"""Web chat as a channel of messages: what is sent appears in the open tabs, and is there when the visitor is back."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from channels.chat_hub import Hub
from channels.messages import Message
from channels.ports import Line, Threads
from channels.sending import Later, Outgoing, SendOutcome, Sent
from tracker.store.port import Store, StoreError
from tracker.store.schema import MESSAGES_BY_THREAD
from tracker.times import Instant, instant


class WebChatSender:
    """The provider is this very server: a message is sent when it stands in the visitor's thread.

    Its provider id is that thread.
    """

    def __init__(self, hub: Hub, threads: Threads, clock: Callable[[], datetime]):
        self._hub, self._threads, self._clock = hub, threads, clock

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        try:
            thread = await self._threads.thread_of(outgoing.lead_id, outgoing.to, outgoing.product_id)
        except StoreError as error:
            return Later(f"the thread cannot be looked up: {error}")
        at, text = instant(self._clock()), outgoing.content.text
        self._hub.publish(thread, Line(outgoing.message_id, at, _by(outgoing.author), text))
        return Sent(thread)

    async def close(self) -> None:
        return None


async def sent_to(store: Store, thread: str, *, since: Instant | None = None, limit: int = 100) -> list[Line]:
    """Return the newest messages of a thread, oldest first. Args: since: none from before."""
    page = await store.find(MESSAGES_BY_THREAD, thread, low=since, reverse=True, limit=limit)
    messages = [(document.id, Message.read(document.body)) for document in page.items]
    messages.sort(key=lambda item: (item[1].updated_at, item[1].created_at))  # two may be sent in one millisecond
    return [_line(id, message) for id, message in messages]


def _line(id: str, message: Message) -> Line:
    return Line(id, message.updated_at, _by(message.author), message.words)


def _by(author: str | None) -> Literal["bot", "human"]:
    return "bot" if author is None else "human"
