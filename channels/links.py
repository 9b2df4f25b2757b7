"""Tracked links: addresses in a mail are replaced by signed ones, and a pixel is added. Pure."""

import re
from collections.abc import Callable, Sequence
from html import escape, unescape
from typing import NamedTuple
from urllib.parse import urlsplit

from channels.rendering import Rendered, Unrenderable
from tracker.errors import Fault

_HREF = re.compile(r"""(<(?:a|area|v:roundrect)\b[^>]*?\shref\s*=\s*)(["'])(.*?)\2""", re.IGNORECASE | re.DOTALL)
_URL = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_TRAILING = ".,;:!?)]}'"
SCHEMES = frozenset({"http", "https", "mailto", "tel", ""})


class Tracked(NamedTuple):
    """A message with its links replaced. `links`: the addresses, by the number that their token names."""

    content: Rendered
    links: tuple[str, ...]


def check_schemes(html: str) -> None:
    """Raises: Unrenderable: a link that is no web address, mail or phone number, such as javascript."""
    for found in _HREF.finditer(html):
        url = unescape(found[3]).strip()
        if _scheme(url) not in SCHEMES:
            raise Unrenderable(Fault("html", f"the link {url[:60]!r} is not http, https, mailto or tel"))


def track(
    content: Rendered,
    *,
    link: Callable[[int], str],
    pixel: str,
    keep: frozenset[str] = frozenset(),
    known: Sequence[str] = (),
) -> Tracked:
    """Return the message with tracked links and a pixel.

    Args: link: number → the address to use instead. pixel: address of the picture. keep: addresses left as they are.
        known: addresses that have a number already, in a mail that may be out: they keep it.
    """
    numbers = {url: number for number, url in enumerate(known)}

    def replaced(url: str) -> str:
        if url in keep or _scheme(url) not in {"http", "https"}:
            return url
        return link(numbers.setdefault(url, len(numbers)))

    def in_html(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}{escape(replaced(unescape(found[3]).strip()))}{found[2]}"

    def in_text(found: re.Match[str]) -> str:
        url = found[0].rstrip(_TRAILING)
        return replaced(url) + found[0][len(url) :]

    html = _with_pixel(_HREF.sub(in_html, content.html), pixel) if content.html else None
    text = _URL.sub(in_text, content.text)
    return Tracked(Rendered(content.subject, text, html), tuple(numbers))


def _with_pixel(html: str, url: str) -> str:
    image = f'<img src="{escape(url)}" width="1" height="1" alt="" style="border:0">'
    end = html.lower().rfind("</body>")
    return html[:end] + image + html[end:] if end >= 0 else html + image


def _scheme(url: str) -> str:
    try:
        return urlsplit(re.sub(r"[\x00-\x20]", "", url)).scheme.lower()
    except ValueError:
        return "invalid"
