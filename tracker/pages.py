"""Pages for people: one layout, one style, no script, nothing from outside."""

import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from aiohttp import web
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from tracker.web import Answer

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
STYLE_PATH = "/style.css"


class Pages:
    """The templates of one room, in its folder `pages`; each extends `layout.html`."""

    def __init__(self, room: str, filters: Mapping[str, Callable[..., Any]] = MappingProxyType({})):
        loader = ChoiceLoader([PackageLoader(room, "pages"), PackageLoader("tracker", "pages")])
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters.update(filters)

    def text(self, name: str, /, **values: Any) -> str:
        return self._environment.get_template(name).render(values)

    def show(self, name: str, /, *, status: int = 200, **values: Any) -> Answer:
        return Answer(status, self.text(name, **values).encode(), HEADERS, "text/html; charset=utf-8")


def style() -> bytes:
    """The style of every page."""
    return files("tracker").joinpath("pages/style.css").read_bytes()


def asset(request: web.Request, content: bytes, kind: str) -> Answer:
    """A file of a page, which browsers keep and ask about each time."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if tag in request.headers.get("If-None-Match", ""):
        return Answer(304, headers=headers)
    return Answer(body=content, content_type=f"{kind}; charset=utf-8", headers=headers)
