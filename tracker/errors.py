"""Errors know their status; the edge (`config.problems`) renders all of them as problem+json."""

from http import HTTPStatus
from typing import ClassVar, NamedTuple


class Fault(NamedTuple):
    """One thing wrong with an input. `path` names fields and indexes in order: `nurturing_sequences/0/stage`."""

    path: str
    message: str


class LeadlineError(Exception):
    """An error that a caller can understand. The message is shown to them: no secrets, no internals."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, detail: str, *faults: Fault, retry_after: int | None = None):
        super().__init__(detail)
        self.detail, self.faults, self.retry_after = detail, faults, retry_after


class Malformed(LeadlineError):
    """The body is not JSON at all."""

    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(LeadlineError):
    status = HTTPStatus.UNAUTHORIZED


class Forbidden(LeadlineError):
    status = HTTPStatus.FORBIDDEN


class NotFound(LeadlineError):
    status = HTTPStatus.NOT_FOUND


class Refused(LeadlineError):
    """The state does not allow it."""

    status = HTTPStatus.CONFLICT


class Outdated(LeadlineError):
    """`If-Match` names an old version."""

    status = HTTPStatus.PRECONDITION_FAILED


class UnsupportedMedia(LeadlineError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Invalid(LeadlineError):
    """The body is JSON but not what was asked for; `faults` says where."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooMany(LeadlineError):
    status = HTTPStatus.TOO_MANY_REQUESTS
