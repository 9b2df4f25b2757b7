"""The desk in a real browser: a salesperson, a visitor of the chat, a phone, both colour schemes."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e_browser.test_chat import DESKTOP, PHONE, Visits, bubbles, judged, opened, say
from tests.talking import Served, serve
from tests.tracker.desk.conftest import CHEAP, PASSWORD
from tracker import review
from tracker.desk.users import Role, Users
from tracker.review import ReviewKind
from tracker.store.sqlite import SqliteStore
from tracker.times import instant, now

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server with a user of each role and something to review."""
    folder = tmp_path_factory.mktemp("desk")
    store = await SqliteStore.open(folder / "leadline.db")
    served = await serve(store, folder, clock=now)
    users = Users(store, cost=CHEAP)
    for name, role in (("Ana", Role.SALES), ("Ben", Role.ADMIN), ("Mia", Role.MARKETING)):
        await users.add(name, PASSWORD, role)
    given = {"name": SCRIPT, "numbers": list(range(200))}
    await store.commit(
        review.item(ReviewKind.DEAD_LETTER, reason="crm-poll", error="upstream said no", input=given, at=instant(now()))
    )
    yield served
    await served.stop()
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    visits = Visits(browser)
    yield visits
    for context in visits.contexts:
        await context.close()
    assert visits.complaints == []


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_label("Password").press("Enter")


async def at_desk(
    served: Served, visits: Visits, name: str = "Ana", size: tuple[int, int] = DESKTOP, scheme: str = "light"
) -> Page:
    """A window of somebody who is signed in."""
    context = await visits.visitor(size, color_scheme=scheme, reduced_motion="reduce")
    page = await opened(context, f"{served.url}/desk")
    await sign_in(page, name)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Handoffs")
    return page


async def wish(served: Served, visits: Visits, name: str) -> Page:
    """Ask for a person in the chat; the wish carries a name by which to find it. Returns: the visitor's page."""
    page = await opened(await visits.visitor(), f"{served.url}/chat?product=flowdesk")
    await say(page, SCRIPT)
    await say(page, f"{name} wants to talk to a person")
    await expect(bubbles(page)).to_have_count(4)
    return page


async def open_newest(page: Page) -> None:
    """Open the handoff that waits for the shortest time."""
    await page.get_by_role("region", name="Waiting").get_by_role("listitem").last.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="Conversation")).to_be_visible()


async def test_a_person_answers(served: Served, visits: Visits) -> None:
    """Sign in, see who waits, claim, reply; the visitor reads it, and its next words come by themselves."""
    visitor = await wish(served, visits, "Dana")
    context = await visits.visitor()
    page = await opened(context, f"{served.url}/desk/leads")
    await sign_in(page, "Ana", "a wrong password")
    await expect(page.get_by_role("alert")).to_contain_text("do not match")
    await sign_in(page, "Ana")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Leads")
    await page.get_by_role("link", name="Handoffs").click()
    await open_newest(page)
    log = page.get_by_role("log")
    await expect(log.get_by_text("Dana wants to talk to a person", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Claim").click()
    await expect(page.get_by_text("You hold it.")).to_be_visible()
    await page.get_by_label("Your reply").fill("Ana here, how can I help?")
    await page.get_by_role("button", name="Send").click()
    await expect(log.get_by_text("Ana here, how can I help?", exact=True)).to_be_visible()
    await served.server.delivery.work()
    await expect(bubbles(visitor).last).to_contain_text("Ana here, how can I help?")
    await page.get_by_label("Your reply").fill("half a sentence")
    await say(visitor, "finally a person!")
    await expect(log.get_by_text("finally a person!", exact=True)).to_be_visible()
    await expect(page.get_by_label("Your reply")).to_have_value("half a sentence")
    await page.get_by_label("Your reply").press("Control+Enter")
    await expect(log.get_by_text("half a sentence", exact=True)).to_be_visible()
    await served.server.delivery.work()
    await expect(bubbles(visitor).last).to_contain_text("half a sentence")
    assert await page.evaluate("window.ran") is None
    await page.get_by_role("button", name="Resolve").click()
    await expect(page.get_by_text("The assistant answers again.")).to_be_visible()
    visits.forgive("401")


async def test_two_people_see_who_was_faster(served: Served, visits: Visits) -> None:
    """The page of the other one says by itself that something changed, and a late claim is told in words."""
    await wish(served, visits, "Quinn")
    ana, ben = await at_desk(served, visits, "Ana"), await at_desk(served, visits, "Ben")
    for page in (ana, ben):
        await open_newest(page)
    await ben.get_by_role("button", name="Claim").click()
    await expect(ben.get_by_text("You hold it.")).to_be_visible()
    await expect(ana.get_by_text("This handoff has just changed.")).to_be_visible()
    await ana.get_by_role("button", name="Claim").click()
    await expect(ana.get_by_role("alert")).to_have_text("That was not done: the handoff is held by Ben.")
    await expect(ana.get_by_text("Ben holds it and answers.")).to_be_visible()
    visits.forgive("409")


async def test_a_reader_is_not_moved_by_news(served: Served, visits: Visits) -> None:
    """Whoever scrolled back reads on; whoever is at the end stays at the end."""
    visitor = await wish(served, visits, "Long talk")
    page = await at_desk(served, visits)
    await open_newest(page)
    for n in range(4):
        await say(visitor, f"line {n}\n\n\n\n\n\n\n\n")
    log = page.get_by_role("log")
    await expect(log.get_by_text("line 3")).to_have_count(2)
    assert await log.evaluate("(log) => log.scrollHeight - log.scrollTop - log.clientHeight") < 2
    await log.evaluate("(log) => { log.scrollTop = 0; }")
    await say(visitor, "the newest")
    await expect(log.get_by_text("the newest", exact=True)).to_have_count(1)
    assert await log.evaluate("(log) => log.scrollTop") == 0


async def test_a_session_that_ended_is_told(served: Served, visits: Visits) -> None:
    await wish(served, visits, "Rae")
    page = await at_desk(served, visits)
    await open_newest(page)
    await page.context.clear_cookies()
    await expect(page.get_by_text("This handoff has just changed.")).to_be_visible()
    await page.get_by_role("link", name="Show how it stands now").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_without_scripts_everything_works(served: Served, visits: Visits) -> None:
    await wish(served, visits, "Sam")
    context = await visits.visitor(java_script_enabled=False)
    page = await opened(context, f"{served.url}/desk")
    await sign_in(page, "Ana")
    await open_newest(page)
    await page.get_by_role("button", name="Claim").click()
    await page.get_by_label("Your reply").fill("No script needed")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("log").get_by_text("No script needed")).to_be_visible()
    await page.get_by_role("button", name="Release").click()
    await expect(page.get_by_text("Nobody holds it")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_leads_are_downloaded(served: Served, visits: Visits) -> None:
    await wish(served, visits, "Uma")
    page = await at_desk(served, visits, "Mia")
    await page.get_by_role("link", name="Leads").click()
    async with page.expect_download() as coming:
        await page.get_by_role("link", name="Export CSV").click()
    download = await coming.value
    assert download.suggested_filename == "leads.csv"
    assert (await download.path()).read_text().startswith("lead_id,product_id,stage,")


async def test_a_record_is_corrected_and_replayed(served: Served, visits: Visits) -> None:
    """Text that is no JSON is kept with what is wrong; the right one makes the lead, to which the page leads."""
    given = {"event_id": "r1", "crm_user_id": "u1", "product_id": "flowdesk", "occurred_at": "2026-11-01T10:00:00Z"}
    item = review.item(
        ReviewKind.QUARANTINE, reason="no login", error="organization_id", input=given, at=instant(now())
    )
    await served.server.store.commit(item)
    page = await at_desk(served, visits)
    await page.get_by_role("link", name="Review").click()
    row = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="no login"))
    await row.get_by_text("Correct what came in").click()
    await row.get_by_label("What came in, to correct").fill('{"event_id": "r1"')
    await row.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("alert")).to_contain_text("the text is not JSON")
    text = page.get_by_label("What came in, to correct")
    await expect(text).to_have_value('{"event_id": "r1"')
    await text.fill(json.dumps({**given, "organization_id": "o1", "name": "Rita Rowe"}))
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("status")).to_contain_text("Replayed: counted as a login, with a corrected input.")
    await page.get_by_role("status").get_by_role("link", name="Open the lead").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Rita Rowe")
    visits.forgive("400")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_charts_are_large_enough_to_read(served: Served, visits: Visits, size: tuple[int, int]) -> None:
    """Their words keep their size on a phone."""
    page = await at_desk(served, visits, "Mia", size)
    await page.get_by_role("link", name="Dashboard").click()
    for name in ("Logins per day", "Engagement per day", "Leads that came to each stage"):
        chart = page.get_by_role("img", name=name)
        box = await chart.bounding_box()
        assert box is not None
        assert box["width"] > (300 if size is DESKTOP else 240), name
        assert box["height"] > 120, name
        sizes = await chart.locator("text").evaluate_all("(all) => all.map((text) => getComputedStyle(text).fontSize)")
        assert {float(each.removesuffix("px")) >= 12 for each in sizes} == {True}
    await page.get_by_role("link", name="7 days").click()
    await page.get_by_label("Product").select_option("Gridwise")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "page")
    await expect(page.get_by_label("Product")).to_have_value("gridwise")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_can_be_read_by_everybody(
    served: Served, visits: Visits, axe: str, size: tuple[int, int], scheme: str
) -> None:
    """axe-core finds nothing serious, nothing is wider than the window, and the keyboard gets past the frame."""
    await wish(served, visits, f"Val {scheme}")
    context = await visits.visitor(size, color_scheme=scheme, reduced_motion="reduce")
    page = await opened(context, f"{served.url}/desk")
    found = await looked_at(page, axe, "sign-in")
    await sign_in(page, "Ana")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Handoffs")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    found += await looked_at(page, axe, "handoffs")
    await open_newest(page)
    found += await looked_at(page, axe, "open handoff")
    await page.get_by_role("button", name="Claim").click()
    await expect(page.get_by_label("Your reply")).to_be_visible()
    found += await looked_at(page, axe, "own handoff")
    await page.get_by_role("link", name="Everything about this lead").click()
    await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    found += await looked_at(page, axe, "lead")
    await page.get_by_role("link", name="Leads").first.click()
    found += await looked_at(page, axe, "leads")
    await page.get_by_role("link", name="Dashboard").click()
    await expect(page.get_by_role("img", name="Logins per day")).to_be_visible()
    for numbers in await page.get_by_text("The numbers").all():
        await numbers.click()
    found += await looked_at(page, axe, "dashboard")
    await page.get_by_role("link", name="Review").click()
    await page.get_by_text("Correct what came in").first.click()
    found += await looked_at(page, axe, "review")
    await page.get_by_role("link", name="crm-poll").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("crm-poll")
    found += await looked_at(page, axe, "review item")
    await page.goto(f"{served.url}/desk/nowhere")
    found += await looked_at(page, axe, "nothing here")
    visits.forgive("404", "Applying inline style violates")  # the second is axe-core's own
    assert found == []


async def looked_at(page: Page, axe: str, state: str) -> list[str]:
    """Return what is wrong with a page, once its style is there: its words may be earlier."""
    await page.wait_for_load_state()
    wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [*(await judged(page, axe, state)), *([f"{state}: wider than the window"] if wide else [])]
