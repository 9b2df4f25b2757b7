"""Quiet hours: when a person's day is not to be disturbed. Pure."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tracker.product_parts import QuietHours
from tracker.times import Instant, instant


def quiet_until(quiet: QuietHours, time_zone: str | None, now: datetime) -> Instant | None:
    """Return when the quiet hours end in which `now` lies, None outside of them.

    Args: time_zone: the person's; else the product's own, else UTC.
    """
    zone = ZoneInfo(time_zone or quiet.time_zone or "UTC")
    start, end = time.fromisoformat(quiet.start), time.fromisoformat(quiet.end)
    local = now.astimezone(zone)
    for day in (local.date() - timedelta(days=1), local.date()):
        begins, ends = _at(day, start, zone), _at(day + timedelta(days=start >= end), end, zone)
        if begins <= now < ends:
            return instant(ends)
    return None


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """A wall clock's time as a moment. One that a change of clocks leaves out is the moment of the change or after."""
    return datetime.combine(day, clock, zone).astimezone(UTC)
