"""The frame of the desk: who is there, what stands around each page, and errors in words."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from aiohttp import web

from tracker.desk import forms, words
from tracker.desk.forms import Form
from tracker.desk.sessions import Sessions, Visitor
from tracker.desk.users import Users
from tracker.errors import Fault, Forbidden
from tracker.model import Input
from tracker.pages import CSP, HEADERS, Pages, asset
from tracker.store.port import Store
from tracker.web import Answer, Call, Media, NoQuery, Responses, Route

ROOT = "/desk"
COOKIE = "leadline_desk_session"
FIRST_PAGE = "/desk/handoffs"
SIGN_IN = "/desk/sign-in"
HTML = Media("text/html")
PAGE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": f"{CSP}; script-src 'self'; connect-src 'self'",
    "Referrer-Policy": "same-origin",  # without any, browsers send `Origin: null` with our own forms
}
VISITOR = web.RequestKey("visitor", Visitor)
HEADINGS: dict[int, str] = {
    403: "This is not for you to do",
    404: "There is nothing here",
    409: "Somebody was faster",
    422: "That did not make sense",
    500: "Something went wrong",
    503: "The desk is away for a moment",
}
ASSETS: dict[str, str] = {"desk.css": "text/css", "desk.js": "text/javascript", "icon.svg": "image/svg+xml"}

QueryT = TypeVar("QueryT")


@dataclass(frozen=True, slots=True)
class Visit(Generic[QueryT]):
    """A request of somebody who is signed in. `fields`: of the form, its token checked."""

    visitor: Visitor
    request: web.Request
    path: Mapping[str, str]
    query: QueryT
    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.visitor.user.name


Handler = Callable[[Any], Awaitable[Answer | web.StreamResponse]]


class Desk:
    """Makes the pages of the desk, the tracker's own and those that other rooms list."""

    def __init__(self, store: Store, clock: Callable[[], datetime], *, base_url: str, links: Sequence[tuple[str, str]]):
        """Args: base_url: how the world reaches this server. links: the navigation, words and path."""
        self.store, self.clock = store, clock
        self.users, self.sessions = Users(store, clock), Sessions(store, clock)
        self.own_host, self.is_secure = urlsplit(base_url).netloc, base_url.startswith("https:")
        self._links = links
        self._pages = Pages("tracker.desk", filters(clock))

    def routes(self) -> list[Route]:
        """What every page needs."""
        return [
            Route("GET", ROOT, None, self._root, "The first page of the desk", {303: None}),
            *(self._asset(name, kind) for name, kind in ASSETS.items()),
        ]

    def page(
        self,
        path: str,
        handler: Handler,
        summary: str,
        *,
        query: type[Input] = NoQuery,
        answers: Responses | None = None,
        noted: bool = True,
    ) -> Route:
        """Return the row of a page that needs somebody who is signed in.

        Args: handler: takes a `Visit`. noted: reading the page keeps the session from ending.
        """

        async def shown(call: Call[None, Any]) -> Answer | web.StreamResponse:
            visitor = await self.visitor(call.request, noted=noted)
            if visitor is None:
                return to_sign_in(call.request)
            return await handler(Visit(visitor, call.request, call.path, call.query, {}))

        more = {404: HTML} if "{" in path else {}
        pages = answers or {200: HTML}
        statuses = {**pages, 303: None, 422: HTML, 503: HTML, **more}
        return Route("GET", path, None, shown, summary, statuses, query=query, session=True)

    def action(self, path: str, handler: Handler, summary: str, *, form: type[Form] = Form) -> Route:
        """Return the row of a form that somebody who may act may send: sales and admins.

        Args: handler: takes a `Visit`; a form of more than a token it reads by itself, to tell what is wrong in it.
        """

        async def acted(call: Call[None, Any]) -> Answer | web.StreamResponse:
            visitor = await self.visitor(call.request)
            if visitor is None:
                return redirect(SIGN_IN)
            given = await self.sent(call.request, visitor)
            if not visitor.user.role.may_act:
                raise Forbidden("your role reads; people of sales and admins act")
            if form is Form:
                forms.read(Form, given)
            return await handler(Visit(visitor, call.request, call.path, call.query, given))

        statuses = {303: None, **dict.fromkeys((400, 403, 404, 409, 413, 415, 422, 503), HTML)}
        return Route("POST", path, None, acted, summary, statuses, form=form, session=True)

    async def visitor(self, request: web.Request, *, noted: bool = True) -> Visitor | None:
        """Return who is signed in."""
        visitor = await self.sessions.visitor(request.cookies.get(COOKIE), noted=noted)
        if visitor is not None:
            request[VISITOR] = visitor
        return visitor

    async def sent(self, request: web.Request, visitor: Visitor) -> dict[str, str]:
        """Return the fields of a form that this session was given.

        Raises: Forbidden. UnsupportedMedia, Malformed: it cannot be read.
        """
        forms.demand_own_site(request, self.own_host)
        given = await forms.fields(request)
        forms.demand_token(given, visitor.csrf)
        return given

    def show(self, request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> Answer:
        """Return a page with the frame around it."""
        visitor = request.get(VISITOR)
        frame = {
            "user": visitor.user if visitor else None,
            "csrf": visitor.csrf if visitor else "",
            "links": self._links,
            "here": request.path,
        }
        text = self._pages.text(template, **frame, **values)
        return Answer(status, text.encode(), PAGE_HEADERS, "text/html; charset=utf-8")

    def tell(
        self,
        request: web.Request,
        status: HTTPStatus,
        detail: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Return an error as a page in words."""
        heading = HEADINGS.get(status.value, status.phrase)
        page = self.show(request, "error.html", status=status.value, heading=heading, detail=detail, faults=faults)
        page.headers = {**page.headers, **(headers or {})}
        return page.response()

    async def _root(self, call: Call[None, Any]) -> Answer:
        return redirect(FIRST_PAGE)

    def _asset(self, name: str, kind: str) -> Route:
        content = files("tracker.desk").joinpath("pages", name).read_bytes()

        async def given(call: Call[None, Any]) -> Answer:
            return asset(call.request, content, kind)

        return Route("GET", f"{ROOT}/{name}", None, given, "A part of every page", {200: Media(kind), 304: None})


def filters(clock: Callable[[], datetime]) -> dict[str, Callable[..., Any]]:
    """What templates say in words."""
    return {
        "ago": lambda at: words.ago(at, clock()),
        "exact": words.exact,
        "clock": words.clock,
        "number": words.number,
        "plain": words.plain,
        "stages": words.stages,
        "how_far": words.how_far,
        "say": words.value,
        "initials": words.initials,
        "reason": words.of(words.REASONS),
        "status": words.of(words.STATUSES),
        "channel": words.of(words.CHANNELS),
        "stage": words.of(words.STAGES),
        "arrived": words.of(words.ARRIVED),
        "scored": words.of(words.SCORED),
        "review_kind": words.of(words.REVIEW_KINDS),
    }


def to_sign_in(request: web.Request) -> Answer:
    """Send somebody to the sign-in, and back here afterwards."""
    path = forms.own_path(request.path_qs)
    return redirect(SIGN_IN if path in {None, FIRST_PAGE} else f"{SIGN_IN}?next={quote(path or '', safe='')}")


def redirect(path: str) -> Answer:
    return Answer(303, headers={"Location": path, "Cache-Control": "no-store"})
