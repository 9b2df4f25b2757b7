"""Handoffs at the desk: the queue, the page of one, what its buttons do, and what happens when somebody was faster."""

from urllib.parse import quote

import pytest

from tests.tracker.desk.conftest import PASSWORD, Rig, Window, hidden
from tracker.events import Channel, EventType

EVIL = '<img src=x onerror="alert(1)"><b>Mallory</b>'


async def colleague(rig: Rig, name: str = "Ben") -> Window:
    return await rig.signed_in(name)


async def mine(rig: Rig) -> tuple[Window, str]:
    """Ana's window and the page of a handoff that she holds."""
    window = await rig.signed_in()
    here = f"/desk/handoffs/{await rig.waiting()}"
    assert (await window.press(here, f"{here}/claim")).goal == f"{here}#reply"
    return window, here


async def test_an_empty_queue_says_so(rig: Rig) -> None:
    window = await rig.signed_in()
    page = await window.get("/desk/handoffs")
    assert "Nobody is waiting." in page.words
    for status, words in (
        ("open", "Nobody is waiting"),
        ("claimed", "Nobody is being answered"),
        ("resolved", "Nothing"),
    ):
        assert words in (await window.get(f"/desk/handoffs?status={status}")).words


async def test_who_waits_longest_comes_first(rig: Rig) -> None:
    """Then who is in hand, with whom, then what is resolved; each with name, product, reason and score."""
    ids = []
    for name in ("First", "Second", "Third", "Fourth"):
        ids.append(await rig.waiting(name))
        rig.clock.forward(hours=1, seconds=1)
    await rig.handoffs.claim(ids[2], "Ben")
    await rig.handoffs.resolve(ids[3], "Ben")
    await rig.happened((await rig.handoffs.get(ids[0]))["lead_id"], EventType.LOGIN, Channel.PRODUCT)
    window = await rig.signed_in()
    page = await window.get("/desk/handoffs")
    places = [page.words.index(name) for name in ("First", "Second", "Third", "Fourth")]
    assert places == sorted(places)
    for words in (
        "First Flowdesk · Web chat Qualified: ready for sales 5 points Waiting asked 4 hours ago",
        "With Ben",
    ):
        assert words in page.words
    for status, name in (("open", "Second"), ("claimed", "Third"), ("resolved", "Fourth")):
        rows = (await window.get(f"/desk/handoffs?status={status}")).words
        assert [n for n in ("Second", "Third", "Fourth") if n in rows] == [name]


async def test_a_long_queue_goes_on(rig: Rig) -> None:
    for n in range(5):
        await rig.waiting(f"Lead {n}")
        rig.clock.forward(seconds=1)
    window = await rig.signed_in()
    seen, path = [], "/desk/handoffs?status=open&limit=2"
    for _ in range(3):
        page = await window.get(path)
        seen += [n for n in range(5) if f"Lead {n}" in page.words]
        path = (
            page.html.partition('class="button plain" href="')[2].partition('"')[0].replace("&amp;", "&") + "&limit=2"
        )
    assert seen == [0, 1, 2, 3, 4]


async def test_a_handoff_tells_who_and_why(rig: Rig) -> None:
    id = await rig.waiting("Dana Fox", demographics={"job_title": "CTO"}, phone="+4915112345678")
    lead_id = (await rig.handoffs.get(id))["lead_id"]
    await rig.happened(lead_id, EventType.LOGIN, Channel.PRODUCT)
    await rig.happened(lead_id, EventType.QUALIFICATION_ANSWER, Channel.CHATBOT, slot="company_size", value="51-200")
    await rig.said(lead_id, "Do you have SSO?")
    page = await (await rig.signed_in()).get(f"/desk/handoffs/{id}")
    for words in (
        "Dana Fox", "+4915112345678", "Job title CTO", "Company size 51-200", "Do you have SSO?", "Next step",
        "5 points from 1 login.", "Dana Fox became a qualified lead", "Nobody holds it", "Claim", "Qualified lead",
    ):  # fmt: skip
        assert words in page.words
    assert "_Lead" not in page.words


async def test_markup_stays_text(rig: Rig) -> None:
    """In a name, in what was said, in an answer: nothing of it becomes an element."""
    id = await rig.waiting(EVIL, demographics={"company": EVIL, EVIL: EVIL})
    lead_id = (await rig.handoffs.get(id))["lead_id"]
    await rig.happened(lead_id, EventType.QUALIFICATION_ANSWER, Channel.CHATBOT, slot=EVIL, value={EVIL: [EVIL]})
    await rig.said(lead_id, f"<script>alert(1)</script>{EVIL}")
    window = await rig.signed_in()
    for path in (
        "/desk/handoffs", f"/desk/handoffs/{id}", f"/desk/handoffs/{id}/thread", "/desk/leads",
        f"/desk/leads/{lead_id}", f"/desk/handoffs/{quote(EVIL, safe='')}", f"/desk/leads?q={quote(EVIL)}",
    ):  # fmt: skip
        page = await window.get(path)
        assert "Mallory" in page.words
        assert "<img" not in page.html
        assert "<b>Mallory" not in page.html
        assert "<script>" not in page.html


async def test_claiming_replying_resolving(rig: Rig) -> None:
    window, here = await mine(rig)
    id = here.rpartition("/")[2]
    page = await window.get(here)
    assert "You hold it" in page.words
    assert (await window.press(here, f"{here}/reply", text="Hello,\r\nAna here")).goal == f"{here}#reply"
    view = await rig.handoffs.get(id)
    assert [(line["by"], line["author"], line["text"]) for line in view["transcript"]] == [
        ("human", "Ana", "Hello,\nAna here")
    ]
    assert (await window.press(here, f"{here}/resolve")).goal == here
    page = await window.get(here)
    assert "Resolved" in page.words
    assert 'action="/desk/handoffs' not in page.html
    assert (await rig.handoffs.get(id))["status"] == "resolved"


async def test_a_reply_sent_twice_arrives_once(rig: Rig) -> None:
    """A double click, or a page sent again after a reload."""
    window, here = await mine(rig)
    fields = hidden(await window.get(here), f"{here}/reply")
    for _ in range(2):
        assert (await window.post(f"{here}/reply", {**fields, "text": "Hello"})).status == 303
    assert len((await rig.handoffs.get(here.rpartition("/")[2]))["transcript"]) == 1


async def test_releasing_gives_it_back(rig: Rig) -> None:
    window, here = await mine(rig)
    await window.press(here, f"{here}/release")
    assert "Nobody holds it" in (await window.get(here)).words
    other = await colleague(rig)
    await other.press(here, f"{here}/claim")
    assert "Ben holds it and answers." in (await window.get(here)).words


async def test_somebody_who_was_faster_is_named_on_the_page(rig: Rig) -> None:
    """The page is the handoff's own, as it stands now."""
    window, other = await rig.signed_in(), await colleague(rig)
    here = f"/desk/handoffs/{await rig.waiting()}"
    fields = hidden(await window.get(here), f"{here}/claim")
    await other.press(here, f"{here}/claim")
    page = await window.post(f"{here}/claim", fields)
    assert page.status == 409
    assert "That was not done: the handoff is held by Ben." in page.words
    assert "Dana Fox" in page.words
    assert f'action="{here}/claim"' not in page.html


async def test_a_reply_that_came_too_late_is_not_lost(rig: Rig) -> None:
    window, here = await mine(rig)
    fields = hidden(await window.get(here), f"{here}/reply")
    await rig.handoffs.resolve(here.rpartition("/")[2], "Ben")
    page = await window.post(f"{here}/reply", {**fields, "text": "Half an hour of <b>typing</b>"})
    assert page.status == 409
    assert "What you wrote was not sent: Half an hour of <b>typing</b>" in page.words
    assert "<b>typing" not in page.html


@pytest.mark.parametrize("text", [" ", "\x00", "x" * 20_001], ids=["blank", "nothing", "long"])
async def test_a_reply_that_cannot_be_is_kept_in_its_box(rig: Rig, text: str) -> None:
    window, here = await mine(rig)
    page = await window.press(here, f"{here}/reply", text=text)
    assert page.status == 422
    assert "That was not done" in page.words
    assert text in page.html
    assert (await rig.handoffs.get(here.rpartition("/")[2]))["transcript"] == []


async def test_a_reply_that_would_not_arrive_is_told(rig: Rig) -> None:
    window, here = await mine(rig)
    rig.replies.obstacle = "they unsubscribed"
    page = await window.press(here, f"{here}/reply", text="Hello")
    assert page.status == 409
    assert "they unsubscribed" in page.words
    assert "Hello</textarea>" in page.html


async def test_the_thread_alone_is_what_is_new(rig: Rig) -> None:
    """A piece of the page, to be asked for again and again: the messages, and how the handoff stands."""
    window, here = await mine(rig)
    lead_id = (await rig.handoffs.get(here.rpartition("/")[2]))["lead_id"]
    await rig.said(lead_id, "finally a person!")
    piece = await window.get(f"{here}/thread")
    assert piece.html.strip().startswith('<ol class="thread" id="thread" data-state="claimed Ana">')
    assert "finally a person!" in piece.words
    assert "<html" not in piece.html
    whole = (await window.get(here)).html
    assert [line.strip() for line in piece.html.strip().splitlines()] == [
        line.strip() for line in whole[whole.index('<ol class="thread"') :].partition("</ol>")[0].splitlines()
    ] + ["</ol>"]


async def test_what_is_not_there_is_told_in_words(rig: Rig) -> None:
    window = await rig.signed_in()
    token = hidden(await window.get("/desk/leads"), "/desk/sign-out")
    for page in (
        await window.get("/desk/handoffs/nope"),
        await window.get("/desk/handoffs/nope/thread"),
        await window.post("/desk/handoffs/nope/claim", token),
        await window.post("/desk/handoffs/nope/reply", {**token, "text": "x", "reply_id": "y"}),
        await window.get("/desk/nowhere"),
    ):
        assert page.status == 404
        assert "There is nothing here" in page.words
    assert (await window.get("/desk/handoffs?status=odd")).status == 422
    assert (await window.get("/desk/handoffs?cursor=odd")).status == 422
    assert (await rig.window().sign_in("Ana", PASSWORD)).status == 303
