"""Pages for people: one layout, one style, no script, nothing from outside."""

from importlib.resources import files
from typing import Any

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

    def __init__(self, room: str):
        loader = ChoiceLoader([PackageLoader(room, "pages"), PackageLoader("tracker", "pages")])
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

    def text(self, name: str, **values: Any) -> str:
        return self._environment.get_template(name).render(values)

    def show(self, name: str, *, status: int = 200, **values: Any) -> Answer:
        return Answer(status, self.text(name, **values).encode(), HEADERS, "text/html; charset=utf-8")


def style() -> bytes:
    """The style of every page."""
    return files("tracker").joinpath("pages/style.css").read_bytes()
