"""The start page and the outbox in a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from channels.outbox import OutboxSender
from channels.rendering import Rendered
from channels.sending import Outgoing
from config.app import Server, build
from config.demo import Demo
from config.seeding import seed
from config.settings import Settings
from tracker.events import Channel
from tracker.logins import Login
from tracker.store.sqlite import SqliteStore
from tracker.times import instant, now

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESKTOP, PHONE = (1280, 800), (390, 844)
LONG = "Bartholomäus-Maximilian von Hohenstein-Oberhausen"


class Site:
    """A demo in this process. Attributes: complaints: what the browser's console said."""

    def __init__(self, server: Server, url: str, folder: Path):
        self.server, self.url, self.folder = server, url, folder
        self.complaints: list[str] = []

    async def page(self, browser: Browser, size: tuple[int, int] = DESKTOP, scheme: Any = "light") -> Page:
        phone = size is PHONE
        viewport: Any = {"width": size[0], "height": size[1]}
        context = await browser.new_context(viewport=viewport, is_mobile=phone, color_scheme=scheme)
        context.set_default_timeout(10_000)
        context.on("console", lambda message: self.complaints.append(message.text))
        context.on("requestfailed", lambda request: self.complaints.append(f"failed {request.url}"))
        return await context.new_page()

    def login(self, user: str, **more: Any) -> Login:
        at = instant(now())
        told = {"event_id": f"{user}-{at}", "crm_user_id": user, "organization_id": "o", "occurred_at": at, **more}
        return Login.model_validate({"product_id": "flowdesk", "email": f"{user}@example.com", **told})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("start")
    store = await SqliteStore.open(folder / "leadline.db")
    # The port is known only afterwards, so links of mails lead nowhere here; that they do is not this test's matter.
    demo = Demo(outbox=folder / "outbox", speed=3600, is_here=True)
    server = build(
        Settings(data=folder),
        store,
        secrets=["a secret of tests"],
        base_url="http://127.0.0.1",
        outbox=demo.outbox,
        demo=demo,
    )
    await seed(server.catalog, server.templates)
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site = Site(server, f"http://127.0.0.1:{runner.addresses[0][1]}", folder)
    logins = [site.login("ana", name="Ana Ruiz"), site.login("bo", name=LONG, organization_name="W" * 120)]
    await server.ingestion.record(logins)
    html = (
        '<html><head></head><body><p>Hello <a href="https://flowdesk.example">there</a><script>alert(1)</script></body>'
    )
    mail = Outgoing("m1", "ana@example.com", Rendered("Welcome", "Hello there", html))
    await OutboxSender(demo.outbox, Channel.EMAIL, sender="Mia <mia@example.com>").send(mail)
    yield site
    await runner.cleanup()
    await store.close()


@pytest.mark.parametrize("path", ["/", "/outbox", "/outbox/m1.eml", "/docs"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_everybody_can_read_it(
    site: Site, browser: Browser, axe: str, size: tuple[int, int], scheme: str, path: str
) -> None:
    """axe-core finds nothing serious, nothing sticks out on a phone, and the console is silent."""
    page = await site.page(browser, size, scheme)
    site.complaints.clear()
    answer = await page.goto(site.url + path)
    assert answer is not None
    assert answer.status == 200
    await page.wait_for_load_state("networkidle")
    # The frame of a mail runs no script, and says so when the test tries to run one there.
    assert [text for text in site.complaints if "Blocked script execution" not in text] == []
    if path != "/docs":
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    await page.evaluate(axe)
    result = await page.evaluate("axe.run({iframes: false})")
    found = [v["id"] for v in result["violations"] if v["impact"] in {"serious", "critical"}]
    assert found == []
    await page.context.close()


async def test_a_newcomer_finds_the_way(site: Site, browser: Browser) -> None:
    """From the start page to the chat, and to a mail as it looks, whose script does not run."""
    page = await site.page(browser)
    await page.goto(site.url)
    await expect(page.get_by_role("heading", name="What is happening now")).to_be_visible()
    await expect(page.get_by_text("Ana Ruiz").first).to_be_visible()
    await page.get_by_role("link", name="Read what was sent").click()
    await page.get_by_role("link", name="Welcome").click()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    frame = page.frame_locator("iframe")
    await expect(frame.get_by_text("Hello there")).to_be_visible()
    assert await frame.locator("base").get_attribute("target") == "_blank"
    assert dialogs == []
    await page.goto(site.url)
    await page.get_by_role("link", name="Chat with Gridwise").click()
    await expect(page.get_by_role("heading", name="Chat with Gridwise")).to_be_visible()
    await page.context.close()
