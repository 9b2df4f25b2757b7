"""The review queue as pages."""

import re
from html import unescape
from typing import Any

import pytest

from tests.tracker.desk.conftest import Page, Rig, hidden
from tracker import review
from tracker.desk.users import Role
from tracker.review import ReviewItem, ReviewKind
from tracker.store.schema import REVIEW_ALL
from tracker.times import instant


async def queued(rig: Rig, kind: ReviewKind = ReviewKind.DEAD_LETTER, **fields: Any) -> None:
    given: dict[str, Any] = {"reason": "crm-poll failed", "error": "upstream said no", "input": {"a": 1}, **fields}
    rig.clock.forward(seconds=1)
    await rig.store.commit(review.item(kind, at=instant(rig.clock()), **given))


async def test_nothing_to_review(rig: Rig) -> None:
    window = await rig.signed_in()
    assert "Nothing needs a human." in (await window.get("/desk/review")).words
    assert (
        "Nothing has been replayed of this kind."
        in (await window.get("/desk/review?status=replayed&kind=quarantine")).words
    )


async def test_an_item_tells_what_came_in_and_what_was_wrong(rig: Rig) -> None:
    """Newest first; the input is text, whatever it holds."""
    window = await rig.signed_in()
    await queued(rig, input={"name": "</pre><script>alert(1)</script>", "deep": [1, {"b": None}]})
    await queued(rig, ReviewKind.QUARANTINE, reason="not a login", error="<b>organization_id</b>: Field required")
    page = await window.get("/desk/review")
    assert page.words.index("not a login") < page.words.index("upstream said no")
    for words in ("Workflow failed", "Record that is no login", "<b>organization_id</b>", "</pre><script>", "just now"):
        assert words in page.words
    assert "<script>" not in page.html
    assert "<b>org" not in page.html


async def test_the_queue_is_narrowed_by_kind(rig: Rig) -> None:
    window = await rig.signed_in()
    await queued(rig)
    await queued(rig, ReviewKind.MESSAGE, reason="no such mailbox")
    page = await window.get("/desk/review?status=open&kind=message")
    assert "no such mailbox" in page.words
    assert "upstream said no" in page.words
    assert "crm-poll failed" not in page.words
    assert (await window.get("/desk/review?kind=")).words.count("upstream said no") == 2
    assert (await window.get("/desk/review?kind=odd")).status == 422
    assert (await window.get("/desk/review?status=")).status == 422


async def test_a_large_input_is_cut_and_says_where_the_rest_is(rig: Rig) -> None:
    window = await rig.signed_in()
    await queued(rig, input={"text": "x" * 1_000_000})
    page = await window.get("/desk/review")
    assert len(page.html) < 20_000
    assert re.search(r"GET /review/\w+ shows all of it", page.words)


async def test_a_long_queue_has_pages(rig: Rig) -> None:
    window = await rig.signed_in()
    for n in range(65):
        await queued(rig, error=f"error {n}.")
    seen, path = [], "/desk/review"
    for _ in range(3):
        page = await window.get(path)
        seen += [int(n) for n in re.findall(r"error (\d+)\.", page.words)]
        further = re.search(r'href="([^"]*)">Next page', page.html)
        path = further[1].replace("&amp;", "&") if further else ""
    assert seen == list(reversed(range(65)))
    assert path == ""


async def only(rig: Rig) -> tuple[str, ReviewItem]:
    """The one item there is."""
    (found,) = (await rig.store.find(REVIEW_ALL)).items
    return f"/desk/review/{found.id}", ReviewItem.read(found.body)


async def test_a_record_is_replayed_as_it_came(rig: Rig) -> None:
    """Its text area left alone is no correction; the page says what became of it and leads there."""
    window = await rig.signed_in()
    rig.mender.lead_id = await rig.lead("Dana Fox")
    await queued(rig, ReviewKind.QUARANTINE, input={"b": 1.0, "a": "<x>\n&"})
    here, _ = await only(rig)
    text = area(await window.get("/desk/review"))
    done = await window.press("/desk/review", f"{here}/replay", input=text.replace("\n", "\r\n"))
    assert done.status == 303
    assert done.goal.startswith("/desk/review?status=open&done=")
    page = await window.get(done.goal)
    assert "Replayed: counted as a login. Open the lead" in page.words
    assert f'href="/desk/leads/{rig.mender.lead_id}"' in page.html
    assert rig.mender.took == [{"b": 1.0, "a": "<x>\n&"}]
    _, item = await only(rig)
    assert (item.status, item.corrected, item.history[-1].by) == ("replayed", None, "Ana")
    page = await window.get(here)
    assert "Ana: counted as a login" in page.words
    assert "<form" not in page.html.partition('<main id="main"')[2]


async def test_a_record_is_corrected(rig: Rig) -> None:
    window = await rig.signed_in()
    await queued(rig, input={"a": 1})
    here, _ = await only(rig)
    await window.press(here, f"{here}/replay", input='{"a": true}')
    assert rig.mender.took == [{"a": True}]
    _, item = await only(rig)
    assert item.corrected == '{"a":true}'
    page = await window.get(here)
    assert "What was replayed instead" in page.words
    assert "with a corrected input" in page.words


@pytest.mark.parametrize(
    ("text", "told", "status"),
    [
        ('{"a": 1,\n "<b>": }', "That was not done: the text is not JSON", 400),
        ("", "That was not done: the text is not JSON", 400),
        ("13", "That was not done: organization_id: Field required", 422),
        ("[" * 400 + "]" * 400, "That was not done: the text is", 400),
        ("x" * 500_000, "That was not done: input: String should have at most", 422),
    ],
    ids=["broken", "empty", "still bad", "deep", "long"],
)
async def test_a_correction_that_does_not_help_is_kept(rig: Rig, text: str, told: str, status: int) -> None:
    """What is wrong is told on the page, above the text as it was typed; the item stays open."""
    window = await rig.signed_in()
    await queued(rig, ReviewKind.QUARANTINE, input={"a": 1})
    here, _ = await only(rig)
    page = await window.press(here, f"{here}/replay", input=text)
    assert page.status == status
    assert told in page.words
    assert area(page) == text
    assert "<b>" not in page.html
    _, item = await only(rig)
    assert (item.status, rig.mender.took) == ("open", [])


async def test_an_item_is_discarded_with_a_reason(rig: Rig) -> None:
    window = await rig.signed_in()
    await queued(rig)
    here, _ = await only(rig)
    done = await window.press(here, f"{here}/discard", reason="a <test> record")
    page = await window.get(done.goal)
    assert "Discarded: a <test> record." in page.words
    assert "<test>" not in page.html
    _, item = await only(rig)
    assert item.status == "discarded"
    assert "Nothing needs a human" in page.words
    assert "upstream said no" in (await window.get("/desk/review?status=discarded")).words


async def test_somebody_was_faster(rig: Rig) -> None:
    """A correction of an item that is closed by now is shown, so that it can be kept."""
    window = await rig.signed_in()
    await queued(rig, input={"a": 1})
    here, _ = await only(rig)
    fields = hidden(await window.get(here), f"{here}/replay")
    await rig.review.discard(here.rpartition("/")[2], "Ben")
    page = await window.post(f"{here}/replay", {**fields, "input": '{"a": "half an hour"}'})
    assert page.status == 409
    assert "That was not done: the item was discarded." in page.words
    assert 'Your correction {"a": "half an hour"}' in page.words


@pytest.mark.parametrize(
    ("kind", "replay", "correct"),
    [
        (ReviewKind.QUARANTINE, True, True),
        (ReviewKind.DEAD_LETTER, True, True),
        (ReviewKind.UNCERTAIN, True, False),
        (ReviewKind.OUTBOUND, True, False),
        (ReviewKind.SCORING, False, False),
    ],
)
async def test_each_kind_has_its_own_buttons(rig: Rig, kind: ReviewKind, replay: bool, correct: bool) -> None:
    window = await rig.signed_in()
    await queued(rig, kind)
    here, _ = await only(rig)
    for page in (await window.get("/desk/review"), await window.get(here)):
        assert (f'action="{here}/replay"' in page.html) == replay
        assert ("<textarea" in page.html) == correct
        assert f'action="{here}/discard"' in page.html
        assert ("may have arrived already" in page.words) == (kind is ReviewKind.UNCERTAIN)
    if not replay:
        fields = hidden(page, f"{here}/discard")
        assert (await window.post(f"{here}/replay", fields)).status == 409


async def test_marketing_reads_and_does_not_act(rig: Rig) -> None:
    window, sales = await rig.signed_in("Mia", Role.MARKETING), await rig.signed_in("Ana")
    await queued(rig)
    here, _ = await only(rig)
    for path in ("/desk/review", here, "/desk/review?kind=dead_letter"):
        page = await window.get(path)
        assert '{ "a": 1 }' in page.words
        assert 'action="/desk/review/' not in page.html
    token = hidden(await window.get(here), "/desk/sign-out")
    for act in (f"{here}/replay", f"{here}/discard", "/desk/review/replay"):
        assert (await window.post(act, {**token, "kind": "dead_letter"})).status == 403
        assert (await sales.post(act, {"csrf_token": "forged", "kind": "dead_letter"})).status == 403
    _, item = await only(rig)
    assert item.status == "open"


async def test_a_whole_kind_is_replayed(rig: Rig) -> None:
    """Those that are still no good stay; messages that may have arrived are never sent again in a heap."""
    window = await rig.signed_in()
    for given in (1, 13, 2):
        await queued(rig, input=given)
    await queued(rig, ReviewKind.UNCERTAIN)
    here = "/desk/review?kind=dead_letter"
    done = await window.press(here, "/desk/review/replay")
    page = await window.get(done.goal)
    assert "2 replayed; 1 still needs a person" in page.words
    assert rig.mender.took == [1, 2]
    assert "organization_id: Field required" in page.words
    for other in ("/desk/review", "/desk/review?kind=uncertain", "/desk/review?status=replayed&kind=dead_letter"):
        assert 'action="/desk/review/replay"' not in (await window.get(other)).html
    token = hidden(page, "/desk/sign-out")
    assert (await window.post("/desk/review/replay", token)).status == 422


async def test_what_is_not_there_is_told(rig: Rig) -> None:
    window = await rig.signed_in()
    token = hidden(await window.get("/desk/review"), "/desk/sign-out")
    assert (await window.get("/desk/review/nothing")).status == 404
    for act in ("replay", "discard"):
        assert (await window.post(f"/desk/review/nothing/{act}", token)).status == 404
    assert "Replayed" not in (await window.get("/desk/review?done=nothing")).words.partition("Discarded")[2]


async def test_a_large_record_is_corrected_on_its_own_page(rig: Rig) -> None:
    window = await rig.signed_in()
    await queued(rig, input={"text": "x" * 10_000})
    here, _ = await only(rig)
    assert "<textarea" not in (await window.get("/desk/review")).html
    assert len(area(await window.get(here))) > 10_000


def area(page: Page) -> str:
    """What the text area holds, without the line break behind its tag, as browsers read it."""
    found = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", page.html, re.DOTALL)
    assert found is not None
    return unescape(found[1])
