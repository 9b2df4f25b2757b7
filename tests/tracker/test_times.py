"""Instants: text whose order is time's order."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import moments
from tracker.times import instant, later, moment

utc = st.datetimes(timezones=st.just(UTC))


@given(utc, utc)
def test_instants_keep_the_order_of_time(one: datetime, other: datetime) -> None:
    """Comparing the text compares the moments, down to the millisecond, in any year."""
    if one <= other:
        assert instant(one) <= instant(other)
    if other - one >= timedelta(milliseconds=1):
        assert instant(one) < instant(other)


@given(moments)
def test_an_instant_is_the_moment_cut_to_milliseconds(at: datetime) -> None:
    """Whatever the zone, reading the text gives the same moment, less than a millisecond earlier."""
    try:
        at.astimezone(UTC)
    except OverflowError:
        assume(False)
    assert timedelta() <= at.astimezone(UTC) - moment(instant(at)) < timedelta(milliseconds=1)
    assert len(instant(at)) == 24


def test_a_naive_moment_is_no_moment() -> None:
    """A time that could be anywhere is never stored."""
    with pytest.raises(ValueError, match="time zone"):
        instant(datetime(2026, 11, 22))  # noqa: DTZ001


def test_zones_are_converted() -> None:
    """Midnight in Tokyo is the afternoon before in UTC."""
    tokyo = timezone(timedelta(hours=9))
    assert instant(datetime(2026, 11, 22, 0, 30, 1, 999_999, tzinfo=tokyo)) == "2026-11-21T15:30:01.999Z"


def test_later_stops_at_the_end_of_the_calendar() -> None:
    """A delay of a million years is never, not an error."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    assert later(at, hours=1, seconds=1) == "2026-11-22T01:00:01.000Z"
    assert later(at, hours=1e8) == "9999-12-31T23:59:59.999Z"
