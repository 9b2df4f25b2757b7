"""The one error middleware: whatever goes wrong becomes problem+json."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web

from tracker.errors import LeadlineError
from tracker.web import problem

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OWN_WORDS: dict[int, str] = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not take this method",
    413: "the body is larger than 2 MB",
}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except LeadlineError as error:
        headers = {}
        if error.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if error.retry_after is not None or error.status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(error.retry_after or 5)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed", path=request.path, error=str(error), cause=repr(error.__cause__))
        return problem(error.status, error.detail, error.faults, headers or None)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        status = HTTPStatus(error.status)
        return problem(status, OWN_WORDS.get(error.status, status.description or status.phrase), headers=headers)
    except Exception:
        log.exception("unexpected error", method=request.method, path=request.path)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong on our side; it has been logged")
