"""Forms of the desk: read as text, refused when another site sent them."""

import re
import secrets
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from tracker.errors import Forbidden, Malformed, UnsupportedMedia
from tracker.model import Input
from tracker.web import validated

MEDIA = "application/x-www-form-urlencoded"
MOST_FIELDS = 50
TOKEN = "csrf_token"  # noqa: S105 - the name of a field
OWN_SITES = frozenset({"same-origin", "none"})
OWN_PATH = re.compile(r"/desk(/[\w.~%/-]*)?(\?[\w.~%=&+-]*)?", re.ASCII)


class Form(Input):
    """What every form of a signed-in user carries."""

    csrf_token: str


FormT = TypeVar("FormT", bound=Input)


async def fields(request: web.Request) -> dict[str, str]:
    """Return the fields of a form; of two with one name the last.

    Raises: UnsupportedMedia: not a form. Malformed: it cannot be read.
    """
    if request.content_type != MEDIA:
        raise UnsupportedMedia(f"send a form with Content-Type: {MEDIA}")
    try:
        raw = await request.read()
        pairs = parse_qsl(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except web.RequestPayloadError as error:
        raise Malformed("the form cannot be read as its Content-Encoding says") from error
    except ValueError as error:
        raise Malformed(f"the form has more than {MOST_FIELDS} fields") from error
    return dict(pairs)


def read(model: type[FormT], given: dict[str, str]) -> FormT:
    """Raises: Invalid."""
    return validated(model, given, "the form is not filled in as it should be")


def demand_own_site(request: web.Request, own_host: str) -> None:
    """Refuse what a browser says that another site made it send. Raises: Forbidden.

    Args: own_host: host and port by which the world reaches us; a proxy may change the Host header.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    foreign = site is not None and site not in OWN_SITES
    if foreign or (origin is not None and _host(origin) not in {request.host, own_host}):
        raise Forbidden("this form came from another site, so nothing was done")


def demand_token(given: dict[str, str], expected: str) -> None:
    """Raises: Forbidden: the form is not one that we gave to this session."""
    if not secrets.compare_digest(given.get(TOKEN, "").encode(), expected.encode()):
        raise Forbidden("this form is out of date, so nothing was done; open the page again and repeat it")


def own_path(path: str | None) -> str | None:
    """Return a path of the desk, None for anything else: nobody is sent away by a link to our sign-in."""
    return path if path and OWN_PATH.fullmatch(path) and ".." not in path else None


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
