"""Plugs the bot's conversations into web chat."""

from bot.talks import Inbound, Talks
from bot.turns import StoredTurn, conversation_id, places
from channels.chat_sender import sent_to
from channels.ports import Choice, Line, Remark
from tracker.identity import Key
from tracker.lead import Lead
from tracker.people import owners
from tracker.store.port import Store
from tracker.store.schema import Kind
from tracker.times import Instant

SENDER = "web-"
WEB = conversation_id(SENDER)
"""What the id of a conversation on web chat begins with. A visitor's id, which has no dash, and a product's follow."""


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
    """Where a lead is in web chat: in the conversation that it went on with last.

    A prospect who switched products is still in the one that it began. Two people in one have a visitor each, of which
    the person keeps one, and what the absorbed lead said stays with that lead.
    """

    def __init__(self, store: Store):
        self._store = store

    async def thread_of(self, lead_id: str, visitor: str, product_id: str) -> str:
        (found,) = await self._store.get(Kind.LEADS, lead_id)
        absorbed = Lead.read(found.body).absorbed if found else ()
        said_in = {
            thread: thread.removeprefix(WEB).partition("-")[0]
            for thread in await places(self._store, (lead_id, *absorbed))
            if thread.startswith(WEB)
        }
        keys = {its: Key("visitor", its) for its in (visitor, *said_in.values())}
        owned = (await owners(self._store, list(keys.values()))).by_key
        whose = owned.get(keys[visitor])
        for thread, its in said_in.items():  # after an undone merge a visitor may be somebody else again
            if its == visitor or (whose is not None and owned.get(keys[its]) == whose):
                return thread
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
    return f"{SENDER}{visitor}-{product_id}"
