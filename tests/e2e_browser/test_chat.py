"""Web chat in a real browser: the page, and the widget on somebody else's site."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from channels.ports import Line
from tests.talking import Served, serve
from tracker.store.sqlite import SqliteStore
from tracker.times import instant, now

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESKTOP, PHONE = (1280, 800), (390, 844)
SITE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Somebody's site</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>* {{ font-size: 40px !important; }} button, textarea {{ background: hotpink !important; }}</style>
<script src="{url}/chat/widget.js" data-product="flowdesk" async></script></head>
<body><main><h1>Somebody's site</h1><p>With a style of its own.</p></main></body></html>"""


class Stage:
    """A server that can be stopped and started again on its port, and another site whose page has the widget."""

    def __init__(self, store: SqliteStore, folder: Path):
        self.store, self.folder = store, folder
        self.served: Served
        self.port = 0
        self.site = ""

    async def start(self) -> None:
        self.served = await serve(self.store, self.folder, port=self.port, clock=now)
        self.port = int(self.served.url.rsplit(":", 1)[1])

    async def start_site(self) -> web.AppRunner:
        async def page(_: web.Request) -> web.Response:
            return web.Response(text=SITE.format(url=self.served.url), content_type="text/html")

        app = web.Application()
        app.router.add_get("/", page)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.site = f"http://localhost:{runner.addresses[0][1]}/"  # another origin than 127.0.0.1
        return runner

    @property
    def page(self) -> str:
        return f"{self.served.url}/chat?product=flowdesk"

    async def say_as_human(self, page: Page, text: str) -> None:
        """Write to the visitor of a page as the desk does."""
        kept = await page.evaluate("Object.values(localStorage).map((value) => JSON.parse(value))[0]")
        chat = self.served.server.chat
        thread = (await chat.welcome(None, kept["visitor"], kept["token"])).thread
        chat.hub.publish(thread, Line(f"human {text}", instant(now()), "human", text))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(memory_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("chat")
    stage = Stage(await SqliteStore.open(folder / "leadline.db"), folder)
    await stage.start()
    site = await stage.start_site()
    yield stage
    await site.cleanup()
    await stage.served.stop()
    await stage.store.close()


class Visits:
    """Opens pages as visitors with nothing kept, and notes what a page should not do."""

    def __init__(self, browser: Browser):
        self._browser = browser
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    async def visitor(self, size: tuple[int, int] = DESKTOP, **options: Any) -> BrowserContext:
        phone = size is PHONE
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, is_mobile=phone, has_touch=phone, **options
        )
        context.set_default_timeout(10_000)
        context.on("console", self._spoke)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._asked)
        self.contexts.append(context)
        return context

    def _spoke(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "http://localhost:", "data:")):
            self.complaints.append(f"asked {request.url}")

    def forgive(self, *what: str) -> None:
        """Forget complaints that a test provokes."""
        self.complaints = [text for text in self.complaints if not any(part in text for part in what)]


@pytest_asyncio.fixture(loop_scope="module")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    visits = Visits(browser)
    yield visits
    for context in visits.contexts:
        await context.close()
    assert visits.complaints == []


async def opened(context: BrowserContext, address: str) -> Page:
    page = await context.new_page()
    await page.goto(address)
    return page


async def say(page: Page, text: str) -> None:
    await field(page).fill(text)
    await field(page).press("Enter")


def field(page: Page) -> Locator:
    return page.get_by_label("Your message")


def bubbles(page: Page) -> Locator:
    return page.get_by_role("log").get_by_role("listitem").locator(".bubble")


async def shows(page: Page, *texts: str) -> None:
    """Expect exactly these messages, in this order."""
    await expect(bubbles(page)).to_have_text(list(texts))


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_a_conversation(stage: Stage, visits: Visits, size: tuple[int, int]) -> None:
    """Words, buttons, links and markup; nothing of it is lost by a reload, nothing of it stands there twice."""
    page = await opened(await visits.visitor(size), stage.page)
    await expect(page.get_by_text("I’m the Flowdesk assistant")).to_be_visible()
    await page.get_by_role("button", name="Book a demo").click()
    await expect(page.get_by_role("link", name="https://flowdesk.example/demo")).to_have_attribute(
        "rel", "noopener noreferrer nofollow"
    )
    await page.get_by_role("button", name="Yes, please").click()
    await field(page).fill("<script>alert(1)</script>")
    await field(page).press("Shift+Enter")
    await field(page).press_sequentially("a" * 90)
    await field(page).press("Enter")
    markup = f"<script>alert(1)</script>\n{'a' * 90}"
    said = [
        "You: Book a demo",
        "Flowdesk assistant: See https://flowdesk.example/demo.",
        "Flowdesk assistant: Shall I book it?",
        "You: Yes, please",
        "Flowdesk assistant: You said: /affirm",
        f"You: {markup}",
        f"Flowdesk assistant: You said: {markup}",
    ]
    await shows(page, *said)
    await expect(page.get_by_role("button", name="Yes, please")).to_have_count(0)
    assert await page.locator("script").count() == 1
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.reload()
    await shows(page, *said)


async def test_two_visitors_do_not_see_each_other(stage: Stage, visits: Visits) -> None:
    one, other = await visits.visitor(), await visits.visitor()
    mine, yours = await opened(one, stage.page), await opened(other, stage.page)
    await say(mine, "mine")
    await say(yours, "yours")
    for page, word in ((mine, "mine"), (yours, "yours")):
        await shows(page, f"You: {word}", f"Flowdesk assistant: You said: {word}")
        await page.reload()
        await shows(page, f"You: {word}", f"Flowdesk assistant: You said: {word}")


async def test_two_tabs_of_a_visitor_show_the_same(stage: Stage, visits: Visits) -> None:
    visitor = await visits.visitor()
    first = await opened(visitor, stage.page)
    await say(first, "one")
    await shows(first, "You: one", "Flowdesk assistant: You said: one")
    second = await opened(visitor, stage.page)
    await say(second, "two")
    for page in (first, second):
        await shows(
            page, "You: one", "Flowdesk assistant: You said: one", "You: two", "Flowdesk assistant: You said: two"
        )


async def test_a_restart_in_the_middle_loses_nothing(stage: Stage, visits: Visits) -> None:
    """What is written while the server is away waits, survives a reload, and is taken once."""
    visitor = await visits.visitor()
    page = await opened(visitor, stage.page)
    await say(page, "before")
    said = ["You: before", "Flowdesk assistant: You said: before"]
    await shows(page, *said)
    await stage.served.stop()
    try:
        await say(page, "meanwhile")
        await expect(page.get_by_text("Sending…").filter(visible=True)).to_be_visible()
        await expect(page.get_by_text("Your messages are kept")).to_be_visible()
    finally:
        await stage.start()
    said += ["You: meanwhile", "Flowdesk assistant: You said: meanwhile"]
    await shows(page, *said)
    await expect(page.get_by_text("Your messages are kept")).to_have_count(0)
    assert stage.served.engine.heard == ["meanwhile"]
    await page.reload()
    await shows(page, *said)
    assert stage.served.engine.heard == ["meanwhile"]
    visits.forgive("ERR_CONNECTION_REFUSED", "WebSocket connection to")


async def test_without_web_sockets_there_is_http(stage: Stage, visits: Visits) -> None:
    visitor = await visits.visitor()
    await visitor.add_init_script("window.WebSocket = class { constructor() { throw new Error('blocked'); } };")
    page = await opened(visitor, stage.page)
    await say(page, "a demo")
    await page.get_by_role("button", name="Not now").click()
    said = [
        "You: a demo",
        "Flowdesk assistant: See https://flowdesk.example/demo.",
        "Flowdesk assistant: Shall I book it?",
        "You: Not now",
        "Flowdesk assistant: You said: /deny",
    ]
    await shows(page, *said)
    await page.reload()
    await shows(page, *said)


async def test_the_widget_on_another_site(stage: Stage, visits: Visits) -> None:
    """A button, a panel, a keyboard; the site's style stays outside."""
    page = await opened(await visits.visitor(), stage.site)
    launcher = page.get_by_role("button", name="Open chat")
    await launcher.press("Enter")
    await expect(page.get_by_role("dialog", name="Chat with Flowdesk")).to_be_visible()
    await expect(field(page)).to_be_focused()
    assert await field(page).evaluate("(field) => getComputedStyle(field).fontSize") == "16px"
    await say(page, "hi")
    await shows(page, "You: hi", "Flowdesk assistant: You said: hi")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(launcher).to_be_focused()
    await stage.say_as_human(page, "Dana here, how can I help?")
    await page.get_by_role("button", name="Open chat, 1 new message").click()
    await expect(bubbles(page).last).to_have_text("Flowdesk team: Dana here, how can I help?")
    await page.get_by_role("button", name="Close chat").first.click()
    await page.reload()
    await page.get_by_role("button", name="Open chat").click()
    await expect(bubbles(page).first).to_have_text("You: hi")


async def test_the_widget_fills_a_phone(stage: Stage, visits: Visits) -> None:
    page = await opened(await visits.visitor(PHONE, reduced_motion="reduce"), stage.site)
    await page.get_by_role("button", name="Open chat").tap()
    box = await page.get_by_role("dialog").bounding_box()
    assert box == {"x": 0, "y": 0, "width": PHONE[0], "height": PHONE[1]}
    await page.get_by_role("button", name="Close chat").tap()
    await expect(page.get_by_role("button", name="Open chat")).to_be_visible()


async def test_on_our_own_page_words_are_words_of_the_page(stage: Stage, visits: Visits) -> None:
    """Whoever reads the page's text reads the talk; on another site the widget keeps to its shadow root."""
    own, site = [await opened(await visits.visitor(), address) for address in (stage.page, stage.site)]
    await site.get_by_role("button", name="Open chat").click()
    for page in (own, site):
        await say(page, "hi")
        await shows(page, "You: hi", "Flowdesk assistant: You said: hi")
    assert "You said: hi" in await own.evaluate("document.body.innerText")
    assert "You said: hi" not in await site.evaluate("document.body.innerText")
    assert await own.evaluate("[...document.querySelectorAll('*')].every((element) => !element.shadowRoot)")
    assert await own.locator("[style]:not(textarea)").count() == 0
    looks = (
        "(element) => { const { color, font, padding } = getComputedStyle(element); return { color, font, padding }; }"
    )
    for part in (bubbles(own), bubbles(site)):
        await expect(part).to_have_count(2)
    assert await bubbles(own).first.evaluate(looks) == await bubbles(site).first.evaluate(looks)


async def test_nobody_is_connected_before_asking(stage: Stage, visits: Visits) -> None:
    """A site's visitor who never opens the chat leaves no trace, here or there."""
    page = await opened(await visits.visitor(), stage.site)
    await expect(page.get_by_role("button", name="Open chat")).to_be_visible()
    assert await page.evaluate("localStorage.length") == 0
    assert not stage.served.server.chat.hub.present


async def test_a_newer_message_does_not_move_a_reader(stage: Stage, visits: Visits) -> None:
    page = await opened(await visits.visitor(), stage.page)
    for n in range(8):
        await say(page, f"line {n}\n\n\n\n")
    await expect(bubbles(page)).to_have_count(16)
    log = page.get_by_role("log")
    await log.evaluate("(log) => { log.scrollTop = 0; }")
    await log.dispatch_event("scroll")
    await stage.say_as_human(page, "news")
    await page.get_by_role("button", name="New messages").click()
    await expect(bubbles(page).last).to_be_in_viewport()


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop light", "phone dark"])
async def test_axe_finds_nothing_serious(
    stage: Stage, visits: Visits, axe: str, size: tuple[int, int], scheme: str
) -> None:
    visitor = await visits.visitor(size, color_scheme=scheme, reduced_motion="reduce")
    page = await opened(visitor, stage.page)
    await expect(page.get_by_text("Replies at once")).to_be_visible()
    found = await judged(page, axe, "empty")
    await say(page, "a demo")
    await expect(page.get_by_role("button", name="Not now")).to_be_visible()
    await stage.say_as_human(page, "Read https://flowdesk.example")
    await expect(bubbles(page)).to_have_count(4)
    found += await judged(page, axe, "talk")
    site = await opened(visitor, stage.site)
    found += await judged(site, axe, "launcher")
    await site.get_by_role("button", name="Open chat").click()
    await expect(site.get_by_text("Replies at once")).to_be_visible()
    found += await judged(site, axe, "panel")
    visits.forgive("Applying inline style violates")  # axe-core's own
    assert found == []


async def judged(page: Page, axe: str, state: str) -> list[str]:
    """Return what axe-core finds serious or critical."""
    await page.evaluate(axe)
    result = await page.evaluate("axe.run()")
    return [
        f"{state}: {found['id']} at {[node['target'] for node in found['nodes']]}"
        for found in result["violations"]
        if found["impact"] in {"serious", "critical"}
    ]
