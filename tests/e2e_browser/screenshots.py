"""`make screenshots`: starts a demo, waits until it lives, and takes the pictures of the README."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.bench.servers import free_port, process
from tests.e2e_browser.conftest import ARGUMENTS, CHROMIUM

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
DESKTOP, PHONE = (1280, 800), (390, 760)
LARGEST = 150 * 1024
LIVELY_SECONDS = 90


class Demo:
    """A running demo. Attributes: url, folder: where it listens, and where its data is."""

    def __init__(self, url: str, folder: Path):
        self.url, self.folder = url, folder

    def ask(self, path: str) -> Any:
        key = (self.folder / "api_key").read_text().strip()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def handoffs(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ask("/handoffs?status=open")["items"]
        return items

    @property
    def password(self) -> str:
        return (self.folder / "desk_password").read_text().strip()


def wait_for(what: str, true: Callable[[], Any]) -> None:
    end = time.monotonic() + LIVELY_SECONDS
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"the demo has no {what} after {LIVELY_SECONDS} seconds")
        time.sleep(0.5)


async def save(page: Page, name: str) -> None:
    """Keep a picture of what is in view. Raises: SystemExit: it is too large for a README."""
    raw = await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled", caret="hide")
    if len(raw) > LARGEST:
        raise SystemExit(f"{name}.png has {len(raw) // 1024} KB, which is more than {LARGEST // 1024}")
    print(f"docs/images/{name}.png  {len(raw) // 1024} KB")


async def opened(browser: Browser, size: tuple[int, int]) -> Page:
    phone = size is PHONE
    viewport = {"width": size[0], "height": size[1]}
    context = await browser.new_context(viewport=viewport, is_mobile=phone, has_touch=phone, color_scheme="light")  # type: ignore[arg-type]
    return await context.new_page()


async def take(demo: Demo, browser: Browser) -> None:
    page = await opened(browser, DESKTOP)
    await page.goto(f"{demo.url}/")
    await save(page, "start")
    await page.goto(f"{demo.url}/outbox")
    await page.get_by_role("link", name="Welcome to Flowdesk").first.click()
    await expect(page.frame_locator("iframe").get_by_text("Your inbox is ready")).to_be_visible()
    await save(page, "outbox")
    await take_desk(demo, page)
    await take_chat(demo, await opened(browser, PHONE))


async def take_desk(demo: Demo, page: Page) -> None:
    await page.goto(f"{demo.url}/desk")
    await page.get_by_label("User name").fill("demo")
    await page.get_by_label("Password").fill(demo.password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await page.goto(f"{demo.url}/desk/handoffs")
    await save(page, "handoffs")
    talked = next(handoff for handoff in demo.handoffs() if handoff["reason"] == "demo")
    await page.goto(f"{demo.url}/desk/handoffs/{talked['id']}")
    claim = page.get_by_role("button", name="Claim")
    await claim.click()
    await page.goto(f"{demo.url}/desk/handoffs/{talked['id']}")
    await save(page, "handoff")


async def take_chat(demo: Demo, page: Page) -> None:
    await page.goto(f"{demo.url}/chat?product=flowdesk")
    field = page.get_by_label("Your message")
    await expect(page.get_by_text("Replies at once")).to_be_visible()
    await field.fill("Hello")
    await field.press("Enter")
    await page.get_by_role("button", name="See pricing").click()
    await expect(page.get_by_role("log").get_by_text("29 USD").first).to_be_visible()
    await save(page, "chat")


async def main() -> None:
    if not CHROMIUM.exists():
        raise SystemExit(f"needs Chromium at {CHROMIUM}: apt-get install chromium")
    IMAGES.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="leadline-screenshots-") as folder:
        demo = Demo(f"http://127.0.0.1:{port}", Path(folder) / "data")
        options = ["--demo", "--demo-speed", "3600", "--port", str(port), "--data", str(demo.folder)]
        with process([sys.executable, "-m", "config", "serve", *options], port):
            wait_for("handoffs", lambda: {"asked", "demo", "qualified"} <= {each["reason"] for each in demo.handoffs()})
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                await take(demo, browser)
                await browser.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except subprocess.SubprocessError as error:
        raise SystemExit(str(error)) from error
