"""Leads at the desk: search, pages, one lead's story, the list as a file."""

import csv
import re

import pytest

from tests.tracker.desk.conftest import Rig, Window
from tracker import reading
from tracker.events import Channel, EventType
from tracker.product import ProductConfig
from tracker.reading import LEAD_COLUMNS, Filter


@pytest.fixture
async def window(rig: Rig) -> Window:
    return await rig.signed_in()


def names(html: str) -> list[str]:
    return re.findall(r'<a class="title" href="/desk/leads/[^"]*">([^<]*)</a>', html)


async def test_no_leads_yet(window: Window) -> None:
    assert "There are no leads yet" in (await window.get("/desk/leads")).words
    assert "No lead fits" in (await window.get("/desk/leads?q=nobody")).words


async def test_the_newest_come_first_page_by_page(rig: Rig, window: Window) -> None:
    """Nobody is shown twice, nobody is left out; a next page is offered while there is one."""
    for n in range(65):
        await rig.lead(f"Lead {n}")
    seen, path = [], "/desk/leads"
    for _ in range(3):
        page = await window.get(path)
        seen += names(page.html)
        further = re.search(r'href="([^"]*)">Next page', page.html)
        path = further[1].replace("&amp;", "&") if further else ""
    assert seen == [f"Lead {n}" for n in reversed(range(65))]
    assert path == ""


async def test_searching_and_narrowing(rig: Rig, window: Window) -> None:
    """Empty fields of the form narrow nothing; the search stays in its field, as text."""
    await rig.catalog.put(ProductConfig(product_id="gridwise", name="Gridwise"), author="tests")
    await rig.lead("Dana Fox")
    await rig.lead("Danny Grid", product_id="gridwise")
    await rig.waiting("Quinn")
    for query, found in (
        ("q=&product_id=&stage=", ["Quinn", "Danny Grid", "Dana Fox"]),
        ("q=dan&product_id=&stage=", ["Dana Fox", "Danny Grid"]),
        ("q=dan&product_id=gridwise", ["Danny Grid"]),
        ("stage=Qualified_Lead", ["Quinn"]),
        ("product_id=flowdesk&stage=User", ["Dana Fox"]),
    ):
        assert names((await window.get(f"/desk/leads?{query}")).html) == found, query
    assert 'value="&#34;&gt;x"' in (await window.get('/desk/leads?q="%3Ex')).html
    for wrong in ("stage=Odd", "product_id=%20", "cursor=x", "limit=0", "odd=1", "q=" + "x" * 300):
        page = await window.get(f"/desk/leads?{wrong}")
        assert page.status == 422, wrong
        assert "That did not make sense" in page.words


async def test_a_lead_is_told_as_a_story(rig: Rig, window: Window) -> None:
    """Newest first: logins, clicks, answers, stages with their reasons; points beside what gave them."""
    lead_id = await rig.lead(
        "Dana Fox", demographics={"company": "Northwind"}, product_context={"trial_status": "active"}
    )
    await rig.happened(lead_id, EventType.LOGIN, Channel.PRODUCT)
    rig.clock.forward(hours=1)
    await rig.happened(lead_id, EventType.EMAIL_CLICK, Channel.EMAIL, url="https://flowdesk.example/x")
    rig.clock.forward(hours=1)
    await rig.happened(lead_id, EventType.QUALIFICATION_ANSWER, Channel.CHATBOT, slot="company_size", value="51-200")
    rig.clock.forward(hours=1)
    await rig.happened(lead_id, EventType.CHATBOT_INTERACTION, Channel.CHATBOT)
    page = await window.get(f"/desk/leads/{lead_id}")
    story = page.words[page.words.index("Timeline") :]
    told = [
        "Became an engaged lead", "First answer on chatbot (by leadline)", "Wrote in the web chat +2",
        "Answered “Company size”", "51-200", "Followed a link in a mail +3", "https://flowdesk.example/x",
        "Logged in +5",
    ]  # fmt: skip
    assert all(words in story for words in told), story
    assert story.index("Wrote in") < story.index("Answered") < story.index("Followed") < story.index("Logged in")
    for words in (
        "10 points",
        "Logins 5",
        "Company Northwind",
        "Trial Active",
        "Logins in 30 days 1",
        "E-mail consent",
    ):
        assert words in page.words


async def test_a_long_story_has_pages(rig: Rig, window: Window) -> None:
    lead_id = await rig.lead()
    for n in range(90):
        rig.clock.forward(seconds=1)
        await rig.happened(lead_id, EventType.CONVERSION, Channel.PRODUCT, goal=f"goal {n}.")
    seen, path = [], f"/desk/leads/{lead_id}"
    for _ in range(3):
        page = await window.get(path)
        seen += [int(n) for n in re.findall(r"goal (\d+)\.", page.words)]
        older = re.search(r'href="([^"#]*)#timeline">Older', page.html)
        path = older[1] if older else ""
    assert seen == list(reversed(range(90)))
    assert path == ""


async def test_the_file_holds_what_the_list_shows(rig: Rig, window: Window) -> None:
    """The same filter, every lead of it, and no cell that a spreadsheet would run."""
    await rig.lead("=HYPERLINK(1)", phone="+4915112345678", demographics={"company": "@cmd", "job_title": "CTO"})
    for n in range(40):
        await rig.lead(f"Lead {n}")
    page = await window.get("/desk/leads.csv?q=&stage=User")
    assert page.status == 200
    assert page.headers["Content-Disposition"] == 'attachment; filename="leads.csv"'
    rows = list(csv.DictReader(page.html.splitlines()))
    assert len(rows) == 41
    assert tuple(rows[0]) == LEAD_COLUMNS
    evil = rows[0]
    assert (evil["name"], evil["company"], evil["phone"]) == ("'=HYPERLINK(1)", "'@cmd", "'+4915112345678")
    assert (evil["job_title"], evil["stage"], evil["engagement_score"]) == ("CTO", "User", "0")
    assert len((await window.get("/desk/leads.csv?q=hyperlink")).html.splitlines()) == 2
    link = re.search(r'href="([^"]*)" download', (await window.get("/desk/leads?q=dan&stage=User")).html)
    assert link is not None
    assert link[1] == "/desk/leads.csv?stage=User&amp;q=dan"


async def test_rows_come_from_every_page(rig: Rig) -> None:
    for n in range(1203):
        if n % 400 == 0:
            await rig.lead(f"Lead {n}")
    rows = [row async for row in reading.lead_rows(rig.store, Filter(), now=rig.clock())]
    assert [row[LEAD_COLUMNS.index("name")] for row in rows] == ["Lead 0", "Lead 400", "Lead 800", "Lead 1200"]
