"""The web layer: one table of routes that the router, authentication, OpenAPI and the tests all read."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from tracker.errors import Fault, Invalid, LeadlineError, Malformed, NotFound, UnsupportedMedia
from tracker.idempotency import Once
from tracker.keys import Keys, Principal, Scope
from tracker.model import Input, faults
from tracker.store.port import Cursor, Duplicate, Page, Store
from tracker.store.schema import Kind
from tracker.unit import Record
from tracker.whole_response import WholeResponse

MAX_BODY = 2 * 1024 * 1024
MAX_DEPTH = 200
"""What is kept and shown again is nested a little deeper by its wrapping, and JSON is written 254 deep at most."""
PROBLEM_JSON = "application/problem+json"

Outcome = TypeVar("Outcome")
BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")


@dataclass(slots=True)
class Answer:
    """What a handler answers. `body`: JSON-able, or bytes of `content_type`, or None for none."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def response(self) -> web.Response:
        if self.body is None:
            return web.Response(status=self.status, headers=self.headers)
        body = self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)
        return WholeResponse(body=body, status=self.status, headers={"Content-Type": self.content_type, **self.headers})


class NoQuery(Input):
    """A route without query parameters."""


class Paging(Input):
    """How every list is paged."""

    limit: int = Field(100, ge=1, le=1000)
    cursor: str | None = Field(None, max_length=2000, pattern=r"^[A-Za-z0-9_-]*$")

    @property
    def after(self) -> Cursor | None:
        """Raises: Invalid."""
        if self.cursor is None:
            return None
        try:
            cursor = Cursor.decode(self.cursor)
            if isinstance(cursor.value, int) and not -(2**63) <= cursor.value < 2**63:
                raise ValueError("not a cursor of this server")
            return cursor
        except ValueError as error:
            raise Invalid("the cursor is not one that this server gave", Fault("cursor", str(error))) from error


@dataclass(slots=True)
class Call(Generic[BodyT, QueryT]):
    """A request as a handler sees it: authenticated and validated. `raw`: the bytes that `body` was read from."""

    request: web.Request
    principal: Principal
    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    raw: bytes = b""
    once: Once | None = None

    @property
    def if_match(self) -> int | None:
        """The version that If-Match names. Raises: Invalid."""
        value = self.request.headers.get("If-Match")
        if value is None or value == "*":
            return None
        try:
            return int(value.strip().removeprefix("W/").strip('"'))
        except ValueError as error:
            raise Invalid("If-Match wants the ETag of an earlier answer", Fault("If-Match", "not an ETag")) from error

    def remember(self, answer: Callable[[Outcome], Answer]) -> Record[Outcome] | None:
        """Return what keeps the answer for repeats in the use case's own commit, None without an Idempotency-Key."""
        once = self.once
        if once is None:
            return None
        once.recorded = True

        def record(outcome: Outcome, /) -> Any:
            given = answer(outcome)
            return once.change(given.status, given.body, given.headers)

        return record


Handler = Callable[[Any], Awaitable[Answer | web.StreamResponse]]


class Media(NamedTuple):
    """An answer that is not JSON."""

    type: str


Responses = Mapping[int, type[BaseModel] | Media | None]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    Attributes: scope: what a key needs; None for everybody. body: model of the JSON body; `Any` for free-form JSON,
    which the handler checks; None for none. answers: per status, the model of the body. creates: takes an
    Idempotency-Key. tag: the room.
    """

    method: str
    path: str
    scope: Scope | None
    handler: Handler
    summary: str
    answers: Responses
    body: Any = None
    query: type[Input] = NoQuery
    creates: bool = False
    tag: str = ""
    schema: Mapping[str, Any] | None = None
    """JSON schema of a free-form body."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every answer of this route, with errors too."""

    errors: tuple[int, ...] = ()
    """Statuses that this route may answer beyond those that follow from the other columns."""

    optional: bool = False
    """The body may be left out."""

    form: type[BaseModel] | None = None
    """Model of an HTML form, which the handler reads and checks by itself."""

    session: bool = False
    """The handler asks for somebody who is signed in at the desk."""

    also: Callable[[Mapping[str, str], Any], Awaitable[Sequence[Fault]]] | None = None
    """Asked with the path and the JSON body what else is wrong with it, to be told along with what its model finds."""


NOBODY = Principal("", frozenset())


Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
Edge = Callable[[str, Mapping[str, str], Endpoint], Endpoint]
"""Puts around the endpoint of a path what turns its errors into answers, and adds headers to each of them."""


def mount(app: web.Application, routes: Sequence[Route], keys: Keys, store: Store, edge: Edge) -> None:
    """Give the application its routes, and an answer for every other address."""
    for route in routes:
        app.router.add_route(route.method, route.path, edge(route.path, route.headers, _endpoint(route, keys, store)))
    app.router.add_route("*", "/{anything:.*}", edge("(none)", {}, _nowhere))


async def _nowhere(request: web.Request) -> web.StreamResponse:
    """Raises: HTTPMethodNotAllowed, HTTPNotFound."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        _, methods = await resource.resolve(request)
        allowed |= methods
    if allowed := allowed - {"*"}:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound


def _endpoint(route: Route, keys: Keys, store: Store) -> Endpoint:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        principal = NOBODY
        if route.scope is not None:
            principal = await keys.principal(request.headers.get("Authorization"))
            principal.demand(route.scope)
        found = request.match_info
        path = {name: _segment(value) for name, value in found.items()} if found else _NO_PATH
        query = _query(route.query, request)
        raw, body = await _body(route, request, path)
        call = Call(request, principal, path, query, body, raw)
        if not route.creates or "Idempotency-Key" not in request.headers:
            return _response(await route.handler(call))
        return await _once(route, call, store)

    return endpoint


def _response(answer: Answer | web.StreamResponse) -> web.StreamResponse:
    return answer.response() if isinstance(answer, Answer) else answer


async def _once(route: Route, call: Call[Any, Any], store: Store) -> web.StreamResponse:
    """Answer a request with an Idempotency-Key: the same key and body get the same answer for a day."""
    key = call.request.headers["Idempotency-Key"]
    where = f"{call.principal.name} {route.method} {call.request.path}"
    digest = hashlib.sha256(call.raw).hexdigest()
    once = call.once = Once(where, key, digest)
    if known := await _known(once, store):
        return known
    try:
        answer = await route.handler(call)
        if isinstance(answer, Answer) and not once.recorded:
            await store.commit(once.change(answer.status, answer.body, answer.headers))
        return _response(answer)
    except LeadlineError as error:
        # What stands in the way may be what another request with this key did in the meantime.
        if known := await _known(once, store):
            return known
        if isinstance(error, Duplicate) and error.kind is Kind.IDEMPOTENCY:
            raise Invalid("another request with this Idempotency-Key is under way") from error
        raise


async def _known(once: Once, store: Store) -> web.Response | None:
    """Return the answer that the key was given before. Raises: Invalid: for another body."""
    (found,) = await store.get(Kind.IDEMPOTENCY, once.id)
    known = once.known(found)
    return None if known is None else Answer(known.status, orjson.loads(known.answer), known.headers).response()


def _segment(value: str) -> str:
    """Return a part of the path, which aiohttp has decoded, as an id. Raises: NotFound: no id can look like this."""
    if len(value) > 500 or not value.isprintable():
        raise NotFound("there is no such thing")
    return value


def _query(model: type[Input], request: web.Request) -> Any:
    if not request.query_string:
        return model() if model is not NoQuery else _NO_QUERY
    given = request.query
    if twice := sorted(name for name in set(given) if len(given.getall(name)) > 1):
        raise Invalid("the query is not as documented", *(Fault(name, "is given more than once") for name in twice))
    return validated(model, dict(given), "the query is not as documented")


_NO_QUERY = NoQuery()
_NO_PATH: Mapping[str, str] = {}


async def _body(route: Route, request: web.Request, path: Mapping[str, str]) -> tuple[bytes, Any]:
    if route.body is None:
        return b"", None
    if route.optional and not request.body_exists:
        return b"", route.body()
    if request.headers.get("Content-Type") != "application/json" and not _is_json(request.content_type):
        raise UnsupportedMedia("send JSON with Content-Type: application/json")
    try:
        raw = await _read(request)
    except web.RequestPayloadError as error:
        raise Malformed("the body cannot be read as its Content-Encoding says") from error
    value = parse_json(raw)
    if route.body is Any:
        return raw, value
    also = await route.also(path, value) if route.also else ()
    return raw, validated(route.body, value, "the body is not as documented", also)


async def _read(request: web.Request) -> bytes:
    """Return the body. A small one came with the head, and is taken without a wait.

    Raises: HTTPRequestEntityTooLarge, RequestPayloadError.
    """
    if not request.content.is_eof():
        return await request.read()
    raw = request.content.read_nowait()
    if len(raw) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, len(raw))
    return raw


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def parse_json(raw: bytes) -> Any:
    """Raises: Malformed: not JSON (NaN, lone surrogates and endless numbers are none), or nested too deeply."""
    try:
        value = orjson.loads(raw)
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
            orjson.dumps(reduce(lambda inner, _: [inner], range(254 - MAX_DEPTH), value))  # refuses more than 254
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    except orjson.JSONEncodeError as error:
        raise Malformed("the body is nested too deeply") from error
    return value


ModelT = TypeVar("ModelT", bound=BaseModel)


def validated(model: type[ModelT], value: Any, detail: str, also: Sequence[Fault] = ()) -> ModelT:
    """Return a value as its model.

    Args: also: what is wrong with it that the model cannot know; of each place the model's word goes first.
    Raises: Invalid, with every fault and its path.
    """
    try:
        valid = model.model_validate(value)
    except ValidationError as error:
        told = faults(error)
        places = {fault.path for fault in told}
        raise Invalid(detail, *told, *(fault for fault in also if fault.path not in places)) from error
    if also:
        raise Invalid("the body names what does not fit or does not exist", *also)
    return valid


def listed(page: Page, items: Sequence[Any]) -> Answer:
    """The shape of every list."""
    return Answer(body={"items": items, "next_cursor": page.next.encode() if page.next else None})


def etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def problem(
    status: HTTPStatus, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """An RFC 9457 answer."""
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if faults:
        body["errors"] = [{"path": fault.path, "message": fault.message} for fault in faults]
    all_headers = {"Content-Type": PROBLEM_JSON, **(headers or {})}
    return web.Response(body=orjson.dumps(body), status=status.value, headers=all_headers)
