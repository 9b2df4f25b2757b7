"""The edge of the server, around every endpoint: whatever goes wrong becomes problem+json, every answer is counted."""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from config.operation import Traffic
from tracker.errors import LeadlineError
from tracker.web import Edge, problem

log = structlog.get_logger()

OWN_WORDS: dict[int, str] = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not take this method",
    413: "the body is larger than 2 MB",
}


Tell = Callable[..., web.Response]
"""Makes the answer that tells an error: of status, detail, faults and headers, as `tracker.web.problem`."""


def edge(traffic: Traffic, desk: Tell | None = None) -> Edge:
    """Return what is put around an endpoint. As a middleware of aiohttp it would cost a fifth of a bare request.

    Args: desk: tells errors to people, on pages under /desk; it also takes the request.
    """

    def around(path: str, headers: Mapping[str, str], endpoint: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                response = await endpoint(request)
            except Exception as error:  # noqa: BLE001 - this is where the last ones end
                tell = partial(desk, request) if desk and request.path.startswith("/desk") else problem
                response = _answer(request, error, tell)
            if headers and not response.prepared:
                response.headers.update(headers)
            traffic.count(request.method, path, response.status)
            return response

        return guarded

    return around


def _answer(request: web.Request, error: Exception, tell: Tell) -> web.Response:
    if isinstance(error, LeadlineError):
        return _told(request, error, tell)
    if isinstance(error, web.HTTPException):
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        status = HTTPStatus(error.status)
        return tell(status, OWN_WORDS.get(error.status, status.phrase), headers=headers)
    log.error("unexpected error", method=request.method, path=request.path, exc_info=error)
    return tell(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong on our side; it has been logged")


def _told(request: web.Request, error: LeadlineError, tell: Tell) -> web.Response:
    headers = {}
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None or error.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(error.retry_after or 5)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", path=request.path, error=str(error), cause=repr(error.__cause__))
    return tell(error.status, error.detail, error.faults, headers or None)
