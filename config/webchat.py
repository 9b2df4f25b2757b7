"""Plugs the bot's conversations into web chat."""

from bot.talks import Inbound, Talks
from bot.turns import StoredTurn, conversation_id, place
from channels.chat_sender import sent_to
from channels.ports import Choice, Line, Remark
from tracker.identity import Key
from tracker.store.port import Store
from tracker.times import Instant


class TalkingAssistant:
    """Answers web chat with `talks`. A visitor has one conversation per product, and is one person."""

    def __init__(self, talks: Talks, store: Store):
        self._talks, self._store = talks, store

    def thread(self, visitor: str, product_id: str) -> str:
        return conversation_id(_sender(visitor, product_id))

    async def answer(self, remark: Remark) -> list[Line]:
        inbound = Inbound(
            sender=_sender(remark.visitor, remark.product_id),
            text=remark.text,
            product_id=remark.product_id,
            keys=[Key("visitor", remark.visitor)],
            id=remark.id,
        )
        return lines(await self._talks.take(inbound))

    async def history(self, visitor: str, product_id: str, since: Instant | None) -> list[Line]:
        """Return what was said in turns, and in messages that came by themselves, as it was said."""
        turns = await self._talks.turns(_sender(visitor, product_id), since=since)
        sent = await sent_to(self._store, self.thread(visitor, product_id), since=since)
        said = [line for turn in turns for line in lines(turn)]
        return sorted([*said, *sent], key=lambda line: line.at)


class WebChatThreads:
    """Where a lead is in web chat: a prospect who switched products is still in the conversation that it began."""

    def __init__(self, store: Store):
        self._store = store

    async def thread_of(self, lead_id: str, visitor: str, product_id: str) -> str:
        last = await place(self._store, lead_id)
        if last is not None and last.startswith(conversation_id(_sender(visitor, ""))):
            return last
        return conversation_id(_sender(visitor, product_id))


def lines(turn: StoredTurn) -> list[Line]:
    """A turn as its reader sees it: what was said, and the answers."""
    said = Line(turn.inbound_id or f"{turn.number}.in", turn.at, "visitor", turn.pressed or turn.text)
    answers = [
        Line(f"{turn.number}.{n}", turn.at, "bot", message.text, [Choice(b.title, b.payload) for b in message.buttons])
        for n, message in enumerate(turn.said, start=1)
    ]
    return [said, *answers]


def _sender(visitor: str, product_id: str) -> str:
    return f"web-{visitor}-{product_id}"
