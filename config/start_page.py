"""`/`: what Leadline is, where to go, and in a demo what is happening now. No script, one style."""

from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from typing import Any

from config.demo import Demo
from config.happenings import happenings
from config.here import asks_here
from tracker.catalog import Catalog
from tracker.desk.layout import filters
from tracker.pages import Pages, asset
from tracker.store.port import Store
from tracker.web import Answer, Call, Media, Route


class StartRoutes:
    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        clock: Callable[[], datetime],
        *,
        base_url: str,
        default_product: str | None,
        demo: Demo | None,
    ):
        """Args: demo: without one the page shows nothing of what is in the store."""
        self._store, self._catalog, self._clock, self._demo = store, catalog, clock, demo
        self._base, self._default_product = base_url.rstrip("/"), default_product
        self._pages = Pages("config", {**filters(clock), "pace": pace})
        self._icon = files("channels").joinpath("widget/icon.svg").read_bytes()
        self._style = files("config").joinpath("pages/start.css").read_bytes()

    def routes(self) -> list[Route]:
        icon, style = Media("image/svg+xml"), Media("text/css")
        return [
            Route("GET", "/", None, self.start, "What this is, and where to go", {200: Media("text/html")}),
            Route("GET", "/favicon.ico", None, self.icon, "The icon of every page", {200: icon, 304: None}),
            Route("GET", "/start.css", None, self.style, "How the start page looks", {200: style, 304: None}),
        ]

    async def start(self, call: Call[None, Any]) -> Answer:
        demo = self._demo
        if demo is None or not demo.is_here or not asks_here(call.request.host):
            return self._pages.show("start.html", demo=None, now=None, default_product=self._default_product)
        now = await happenings(self._store, self._catalog, now=self._clock())
        return self._pages.show("start.html", demo=demo, now=now, base=self._base)

    async def icon(self, call: Call[None, Any]) -> Answer:
        return asset(call.request, self._icon, "image/svg+xml")

    async def style(self, call: Call[None, Any]) -> Answer:
        return asset(call.request, self._style, "text/css")


def pace(speed: float) -> str:
    """Say how long a day of waiting takes, `24 seconds`."""
    seconds = 86_400 / speed
    for size, word in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= 2 * size or (word == "second" and seconds >= 1):
            return f"{seconds / size:.3g} {word}{'' if seconds == size else 's'}"
    return "less than a second"
