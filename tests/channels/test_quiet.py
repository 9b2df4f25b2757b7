"""Quiet hours, over midnight and over changes of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.quiet import quiet_until
from tracker.product_parts import QuietHours
from tracker.times import moment

NIGHT = QuietHours(start="22:00", end="07:00", time_zone="Europe/Berlin")
NOON = QuietHours(start="12:00", end="13:30")


@pytest.mark.parametrize(
    ("quiet", "zone", "now", "until"),
    [
        (NIGHT, None, "2026-03-02T20:59:59Z", None),
        (NIGHT, None, "2026-03-02T21:00:00Z", "2026-03-03T06:00:00.000Z"),
        (NIGHT, None, "2026-03-03T05:59:59Z", "2026-03-03T06:00:00.000Z"),
        (NIGHT, None, "2026-03-03T06:00:00Z", None),
        (NIGHT, "America/New_York", "2026-03-03T02:59:00Z", None),
        (NIGHT, "America/New_York", "2026-03-03T03:00:00Z", "2026-03-03T12:00:00.000Z"),
        (NIGHT, None, "2026-03-28T23:30:00Z", "2026-03-29T05:00:00.000Z"),  # that night the clocks go forward
        (NOON, None, "2026-03-02T12:30:00Z", "2026-03-02T13:30:00.000Z"),
        (NOON, None, "2026-03-02T13:30:00Z", None),
    ],
)
def test_when_it_is_quiet(quiet: QuietHours, zone: str | None, now: str, until: str | None) -> None:
    """In the person's own zone, else the product's, else UTC; the first moment is quiet, the last is not."""
    assert quiet_until(quiet, zone, datetime.fromisoformat(now)) == until


clocks = st.times().map(lambda time: time.strftime("%H:%M"))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])


@given(clocks, clocks, zones, st.integers(0, 366 * 24 * 60))
def test_what_is_held_goes_when_it_ends(start: str, end: str, zone: str, minutes: int) -> None:
    """The end lies ahead, within a day and an hour, and is not quiet itself."""
    quiet = QuietHours(start=start, end=end)
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    until = quiet_until(quiet, zone, now)
    if until is None:
        return
    ends = moment(until)
    assert timedelta(0) < ends - now <= timedelta(hours=25)
    if start != end:
        assert quiet_until(quiet, zone, ends) is None
