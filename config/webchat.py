"""Plugs the bot's conversations into web chat."""

from bot.talks import Inbound, StoredTurn, Talks, conversation_id
from channels.ports import Choice, Line, Remark
from tracker.identity import Key
from tracker.times import Instant


class TalkingAssistant:
    """Answers web chat with `talks`. A visitor has one conversation per product, and is one person."""

    def __init__(self, talks: Talks):
        self._talks = talks

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
        turns = await self._talks.turns(_sender(visitor, product_id), since=since)
        return [line for turn in turns for line in lines(turn)]


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
