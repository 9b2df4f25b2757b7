"""The guarantee of the way in: a process may end at any commit and any call, and who wrote is answered once."""

import asyncio
from collections.abc import Sequence

import pytest

from bot.dialogue import Message, Parse, Reply, State, Turn
from bot.talks import Talks
from channels.answering import WhatsAppAnswers
from channels.inbox import Inbox
from channels.replies import ReplyOutbox
from config.whatsapp import TalkingCorrespondent
from tests.channels.rig import PRODUCT, Rig
from tests.channels.test_crash import LEASE_HOURS, Ended, FragileSender, FragileStore, Fuse, Provider, points
from tests.channels.twilio import inbound
from tests.fakes import Clock
from tracker.events import Channel, EventType
from tracker.store.port import Store, StoreError
from tracker.store.schema import INBOX_WAITING, TURNS_BY_LEAD, Kind


class Echo:
    """An engine that repeats the text."""

    async def handle(self, turn: Turn, state: State) -> Reply:
        return Reply((Message(f"You said: {turn.text}"),), State(turns=state.turns + 1), Parse(turn.text, "inform"))


class Process:
    """A server's parts for WhatsApp, until its fuse blows."""

    def __init__(self, store: Store, clock: Clock, provider: Provider, fuse: Fuse | None = None):
        self.fuse = fuse or Fuse(0, ends=True)
        fragile = FragileStore(store, self.fuse)
        self.rig = Rig(fragile, clock, {Channel.WHATSAPP: FragileSender(provider, self.fuse)})
        talks = Talks(self.rig.recorder, Echo(), ReplyOutbox())
        answers = WhatsAppAnswers(self.rig.recorder, TalkingCorrespondent(talks), default_product=None)
        self.inbox = Inbox(fragile, answers, clock)

    async def live(self, phone: str, texts: Sequence[str]) -> list[str]:
        """Take messages as Twilio tells them, answer them, and return those that were acknowledged."""
        taken = []
        for n, text in enumerate(texts):
            for _ in range(2):  # Twilio tells it again
                try:
                    await self.inbox.take(inbound(text, sid(phone, n), phone))
                    taken.append(text)
                    break
                except StoreError:
                    continue
        for _ in range(4):
            await self.inbox.work()
            await self.rig.live(LEASE_HOURS * 2, step=LEASE_HOURS)
        return taken


def sid(phone: str, n: int) -> str:
    return f"SM{phone[1:]}{n}"


async def lived(process: Process, phone: str, texts: Sequence[str]) -> None:
    """Live until the end, or until the fuse blows."""
    living = asyncio.create_task(process.live(phone, texts))
    ending = asyncio.create_task(process.fuse.ended.wait())
    await asyncio.wait({living, ending}, return_when=asyncio.FIRST_COMPLETED)
    for task in (living, ending):
        task.cancel()
    outcome, _ = await asyncio.gather(living, ending, return_exceptions=True)
    if not process.fuse.dead and isinstance(outcome, BaseException):
        raise outcome
    assert not isinstance(outcome, BaseException) or isinstance(outcome, Ended | asyncio.CancelledError)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("texts", [["Hi", "And you?"], ["STOP"], ["Help"]])
async def test_who_wrote_is_answered_once(store: Store, clock: Clock, texts: list[str], ends: bool):
    """A process ends, or its store goes away once, at any point: each message is one turn or one order, in order.

    Its answer is sent at most once; where it may have been sent, a person decides.
    """
    await Rig(store, clock, {}).furnish({})
    for n in points():
        provider, fuse, phone = Provider(), Fuse(n, ends=ends), f"+49151{n:08}"
        await lived(Process(store, clock, provider, fuse), phone, texts)
        clock.forward(hours=LEASE_HOURS * 4)
        again = Process(store, clock, provider)
        await again.live(phone, texts)  # Twilio tells them again, and time passes
        await check(store, provider, phone, texts, at=f"{n}: {fuse.where[-1] if fuse.blown else 'the end'}")
        if not fuse.blown:
            assert n > 10
            return
    raise AssertionError("the flow does not end")


async def check(store: Store, provider: Provider, phone: str, texts: Sequence[str], *, at: str) -> None:
    """All that has to hold of one person when all is at rest."""
    rig = Rig(store, Clock(), {})
    assert (await store.find(INBOX_WAITING)).items == [], at
    (key,) = await store.get(Kind.PERSON_KEYS, f"whatsapp:{phone[1:]}")
    assert key is not None, at
    (person,) = await store.get(Kind.PERSONS, key.body["person_id"])
    assert person is not None, at
    lead_id = person.body["leads"][PRODUCT]
    turns = (await store.find(TURNS_BY_LEAD, lead_id)).items
    if texts != ["STOP"] and texts != ["Help"]:
        said = [turn.body["text"] for turn in sorted(turns, key=lambda turn: turn.body["number"])]
        assert said == texts, at
        assert len(await rig.events(lead_id, EventType.WHATSAPP_REPLY)) == len(texts), at
    messages = await rig.messages(lead_id)
    assert len(messages) == len(texts), at
    assert max(provider.taken[id] for id in messages) <= 1, f"{at}: an answer was sent twice"
    for id, message in messages.items():
        assert message.status in {"sent", "uncertain"}, (at, message.status, message.decision)
        if message.status == "sent":
            assert provider.taken[id] == 1, at
