"""Moments as they are stored and shown: UTC, milliseconds, fixed width, so that text order is time order."""

from datetime import UTC, datetime, timedelta
from typing import NewType

Instant = NewType("Instant", str)
"""`2026-11-22T14:27:00.123Z`"""


def now() -> datetime:
    return datetime.now(UTC)


def instant(moment: datetime) -> Instant:
    """Truncate to milliseconds. Raises: ValueError: `moment` is naive."""
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        moment = moment.astimezone(UTC)
    return Instant(moment.isoformat(timespec="milliseconds")[:23] + "Z")


def moment(at: Instant) -> datetime:
    return datetime.fromisoformat(at)


def just_after(at: Instant) -> Instant:
    """The next instant: what is below it has happened by `at`."""
    return later(moment(at), seconds=0.001)


def later(at: datetime, *, seconds: float = 0, hours: float = 0) -> Instant:
    """Return the instant so much after `at`; the far end of the calendar where it would lie beyond."""
    try:
        return instant(at + timedelta(seconds=seconds, hours=hours))
    except OverflowError:
        return instant(datetime.max.replace(tzinfo=UTC))
