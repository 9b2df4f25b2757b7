"""The dashboard: the numbers of a period, as charts and as tables."""

import re

from tests.tracker.desk.conftest import Page, Rig
from tracker.desk.dashboard import in_words
from tracker.desk.users import Role
from tracker.events import Channel, EventType
from tracker.product import ProductConfig


def rows(page: Page, about: str) -> list[list[str]]:
    """The cells of a table."""
    found = re.search(rf'aria-label="Numbers of {about}">(.*?)</table>', page.html, re.DOTALL)
    assert found is not None
    body = found[1].partition("<tbody>")[2]
    return [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in body.split("</tr>")[:-1]]


async def busy(rig: Rig) -> None:
    """Two days: a lead that logs in three times and chats, one that qualifies."""
    lead = await rig.lead("Dana")
    await rig.happened(lead, EventType.LOGIN, Channel.PRODUCT)
    rig.clock.forward(hours=24)
    for _ in range(2):
        await rig.happened(lead, EventType.LOGIN, Channel.PRODUCT)
    await rig.happened(lead, EventType.CHATBOT_INTERACTION, Channel.CHATBOT)
    await rig.happened(lead, EventType.EMAIL_CLICK, Channel.EMAIL)
    await rig.happened(lead, EventType.EMAIL_SENT, Channel.EMAIL)
    await rig.waiting("Quinn")


async def test_charts_and_tables_tell_the_same(rig: Rig) -> None:
    await busy(rig)
    window = await rig.signed_in("Mia", Role.MARKETING)
    page = await window.get("/desk/dashboard?days=7")
    assert rows(page, "logins per day")[-3:] == [["1 Mar", "0"], ["2 Mar", "1"], ["3 Mar", "2"]]
    assert rows(page, "engagement per day")[-2:] == [["2 Mar", "0", "0", "0"], ["3 Mar", "1", "0", "1"]]
    assert rows(page, "the funnel") == [
        ["New leads", "2", "100%"], ["Engaged leads", "2", "100%"], ["Qualified leads", "1", "50%"],
        ["Customers", "0", "0%"],
    ]  # fmt: skip
    for words in ("New leads 2", "Logins 3", "Engagement events 2", "Qualified leads 1"):
        name, _, number = words.rpartition(" ")
        assert f"<dt>{name}</dt><dd>{number}</dd>" in page.html
    for words in ("From 25 Feb to 3 Mar: 3 logins, at most 2 on 3 Mar.", "3 Mar: 2 logins", "1 · 50%"):
        assert words in page.words
    assert page.html.count('<svg class="chart') == 3
    assert "style=" not in page.html


async def test_a_period_and_a_product_are_chosen(rig: Rig) -> None:
    await rig.catalog.put(ProductConfig(product_id="gridwise", name="Gridwise"), author="tests")
    await busy(rig)
    await rig.lead("Grid", product_id="gridwise")
    window = await rig.signed_in()
    for query, days, leads in (("", 30, 3), ("?days=90&product_id=", 90, 3), ("?days=7&product_id=gridwise", 7, 1)):
        page = await window.get(f"/desk/dashboard{query}")
        assert len(rows(page, "logins per day")) == days
        assert f"<dt>New leads</dt><dd>{leads}</dd>" in page.html
    assert 'href="/desk/dashboard?days=30&amp;product_id=gridwise"' in page.html
    for wrong in ("days=8", "days=x", "days=", "product_id=nothing", "product_id=%20", "odd=1"):
        assert (await window.get(f"/desk/dashboard?{wrong}")).status == 422, wrong


async def test_nothing_yet(rig: Rig) -> None:
    window = await rig.signed_in()
    page = await window.get("/desk/dashboard")
    assert page.status == 200
    assert "0 logins." in page.words
    assert rows(page, "the funnel")[1] == ["Engaged leads", "0", "–"]


async def test_only_those_who_are_signed_in_see_it(rig: Rig) -> None:
    assert (await rig.window().get("/desk/dashboard")).status == 303


def test_a_chart_in_words() -> None:
    assert in_words(["2026-03-01", "2026-03-02"], [0, 1200], "logins") == (
        "From 1 Mar to 2 Mar: 1,200 logins, at most 1,200 on 2 Mar."
    )
    assert in_words(["2026-03-01"], [0], "logins") == "From 1 Mar to 1 Mar: 0 logins."
