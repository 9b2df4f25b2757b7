"""The inbox: what came in is kept, and answered once, in order, whatever breaks."""

import asyncio
from collections import defaultdict

import orjson
import pytest

from channels.heard import Heard, Unreadable
from channels.inbox import ATTEMPTS, KEPT_DAYS, Inbound, Inbox, Unanswerable
from tests.channels.twilio import inbound
from tests.fakes import Clock
from tracker.store.port import Replace, Store, Unavailable
from tracker.store.schema import INBOX_WAITING, REVIEW_ALL, Kind


class Listener:
    """Answers as it is told. Attributes: fails: per text, what to raise, and how often; None: always."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.by_contact: dict[str, list[str]] = defaultdict(list)
        self.fails: dict[str, tuple[Exception, int | None]] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, heard: Heard) -> str:
        error, left = self.fails.get(heard.text, (None, 0))
        if error is not None and left != 0:
            self.fails[heard.text] = (error, None if left is None else left - 1)
            raise error
        await self.gate.wait()
        self.heard.append(heard.text)
        self.by_contact[heard.contact].append(heard.text)
        return "talked"


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def inbox(store: Store, listener: Listener, clock: Clock) -> Inbox:
    return Inbox(store, listener, clock)


def sid(n: int) -> str:
    """Ids do not come in order of time."""
    return f"SM{n * 7919 % 1000:08x}{n:024x}"


async def take(inbox: Inbox, text: str, n: int, phone: str = "+4915112345678", **more: str) -> bool:
    return await inbox.take(inbound(text, sid(n), phone, **more))


async def stored(store: Store, n: int) -> Inbound:
    (found,) = await store.get(Kind.INBOX, sid(n))
    assert found is not None
    return Inbound.read(found.body)


async def test_all_that_was_told_is_kept(store: Store, inbox: Inbox):
    """The whole form, fields that nobody knows of too."""
    form = inbound("Hi", sid(1), Novel="ünd \u0000 mehr")
    assert await inbox.take(form)
    assert orjson.loads((await stored(store, 1)).form) == form


async def test_a_repeat_changes_nothing(store: Store, inbox: Inbox, listener: Listener):
    """Before the answer and after it."""
    assert await take(inbox, "Hi", 1)
    assert not await take(inbox, "something else", 1)
    assert await inbox.work() == 1
    assert not await take(inbox, "Hi", 1)
    assert await inbox.work() == 0
    assert listener.heard == ["Hi"]
    assert (await stored(store, 1)).outcome == "talked"


async def test_each_person_is_answered_in_order(inbox: Inbox, listener: Listener):
    """However quickly the messages came, and whatever their ids are."""
    for n in range(60):
        await take(inbox, str(n), n, f"+4915112345{n % 3:03}")
    assert await inbox.work() == 60
    for n, phone in enumerate(("4915112345000", "4915112345001", "4915112345002")):
        assert listener.by_contact[phone] == [str(m) for m in range(60) if m % 3 == n]


async def test_more_than_a_page_is_answered_in_order(inbox: Inbox, listener: Listener):
    for n in range(450):
        await take(inbox, str(n), n)
    assert await inbox.work() == 450
    assert listener.heard == [str(n) for n in range(450)]


async def test_another_process_goes_on_after_a_crash(store: Store, inbox: Inbox, listener: Listener, clock: Clock):
    """What was acknowledged and not answered is answered after a restart, once."""
    await take(inbox, "one", 1)
    await take(inbox, "two", 2)
    listener.gate.clear()
    cut_off = asyncio.create_task(inbox.work())
    await asyncio.sleep(0)
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    listener.gate.set()

    assert await Inbox(store, listener, clock).work() == 2
    assert listener.heard == ["one", "two"]


async def test_two_processes_settle_each_message_once(store: Store, inbox: Inbox, listener: Listener, clock: Clock):
    """Both may look at it (who answers knows what it has answered); neither breaks, and nothing is left."""
    for n in range(20):
        await take(inbox, str(n), n, f"+49151123450{n:02}")
    await asyncio.gather(inbox.work(), Inbox(store, listener, clock).work())
    assert (await store.find(INBOX_WAITING)).items == []
    assert set(listener.heard) == {str(n) for n in range(20)}


async def test_what_breaks_holds_up_its_own_person_only(inbox: Inbox, listener: Listener, clock: Clock):
    """Their next message waits for it: the order holds. Others are answered meanwhile."""
    listener.fails["first"] = (RuntimeError("bug"), 1)
    await take(inbox, "first", 1)
    await take(inbox, "second", 2)
    await take(inbox, "other", 3, "+4915112345679")
    assert await inbox.work() == 1
    assert listener.heard == ["other"]
    assert await inbox.work() == 0, "it waits a moment"
    clock.forward(seconds=1)
    assert await inbox.work() == 2
    assert listener.heard == ["other", "first", "second"]


async def test_what_breaks_again_and_again_goes_to_a_person(
    store: Store, inbox: Inbox, listener: Listener, clock: Clock
):
    """After a few tries, with all that was told; then the person's other messages go on."""
    listener.fails["first"] = (RuntimeError("bug"), None)
    await take(inbox, "first", 1)
    await take(inbox, "second", 2)
    for _ in range(ATTEMPTS):
        await inbox.work()
        clock.forward(seconds=16)
    await inbox.work()
    assert listener.heard == ["second"]
    (item,) = (await store.find(REVIEW_ALL)).items
    assert (item.id, item.body["kind"], item.body["error"]) == (f"inbound-{sid(1)}", "inbound", "RuntimeError: bug")
    assert orjson.loads(item.body["input"])["Body"] == "first"
    assert item.body["attempts"] == ATTEMPTS
    assert (await stored(store, 1)).outcome == "review"
    assert (await stored(store, 1)).attempts == ATTEMPTS


async def test_what_cannot_be_answered_goes_to_a_person_at_once(store: Store, inbox: Inbox, listener: Listener):
    """Trying again would change nothing."""
    listener.fails["Hi"] = (Unanswerable("there is no product"), None)
    await take(inbox, "Hi", 1)
    assert await inbox.work() == 1
    (item,) = (await store.find(REVIEW_ALL)).items
    assert (item.body["error"], item.body["attempts"]) == ("there is no product", 1)


async def test_a_store_that_is_away_costs_nothing(store: Store, inbox: Inbox, listener: Listener):
    """It is no fault of the message: it is tried at the next look, as often as need be."""
    listener.fails["Hi"] = (Unavailable("away"), 20)
    await take(inbox, "Hi", 1)
    for _ in range(20):
        assert await inbox.work() == 0
    assert await inbox.work() == 1
    assert (await stored(store, 1)).attempts == 0


async def test_a_form_of_nobody_is_refused(store: Store, inbox: Inbox):
    """Nothing of it is kept."""
    with pytest.raises(Unreadable):
        await inbox.take({"Body": "Hi"})
    assert (await store.find(INBOX_WAITING)).items == []


async def test_what_was_answered_long_ago_is_forgotten(inbox: Inbox, store: Store, clock: Clock) -> None:
    """After its days, and with it that its id has come. What waits, or is open in review, stays until it is settled."""
    inbox._answers.fails["no"] = (Unanswerable("nobody"), None)  # type: ignore[attr-defined]
    for n, text in enumerate(["hi", "no", "no"]):
        await take(inbox, text, n, phone=f"+49151123456{n:02d}")
    await inbox.work()
    (item,) = await store.get(Kind.REVIEW, f"inbound-{sid(2)}")
    assert item is not None
    await store.commit(Replace(item.kind, item.id, item.version, {**item.body, "status": "discarded"}))
    clock.forward(hours=24 * KEPT_DAYS - 1)
    assert await inbox.forget() == 0
    clock.forward(hours=1, seconds=1)
    await take(inbox, "later", 9)
    assert await inbox.forget() == 2
    left = await store.get(Kind.INBOX, *map(sid, (0, 1, 2, 9)))
    assert [found and found.body["outcome"] for found in left] == [None, "review", None, None]
    assert left[3] is not None
    assert await take(inbox, "hi", 0)
