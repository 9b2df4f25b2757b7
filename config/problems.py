"""The edge of the server, one middleware: whatever goes wrong becomes problem+json, and every answer is counted."""

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from config.operation import Traffic
from tracker.errors import LeadlineError
from tracker.web import problem

log = structlog.get_logger()

OWN_WORDS: dict[int, str] = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not take this method",
    413: "the body is larger than 2 MB",
}


def edge(traffic: Traffic) -> Middleware:
    """Return the middleware: every answer is counted, every error is told in the same shape."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - this is where the last ones end
            response = _answer(request, error)
        resource = request.match_info.route.resource
        traffic.count(request.method, resource.canonical if resource else "(none)", response.status)
        return response

    return middleware


def _answer(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, LeadlineError):
        return _told(request, error)
    if isinstance(error, web.HTTPException):
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        status = HTTPStatus(error.status)
        return problem(status, OWN_WORDS.get(error.status, status.phrase), headers=headers)
    log.error("unexpected error", method=request.method, path=request.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong on our side; it has been logged")


def _told(request: web.Request, error: LeadlineError) -> web.Response:
    headers = {}
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None or error.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(error.retry_after or 5)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", path=request.path, error=str(error), cause=repr(error.__cause__))
    return problem(error.status, error.detail, error.faults, headers or None)
