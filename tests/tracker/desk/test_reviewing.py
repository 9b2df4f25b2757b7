"""The review queue as a page."""

import re
from typing import Any

from tests.tracker.desk.conftest import Rig
from tracker import review
from tracker.review import ReviewKind
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
