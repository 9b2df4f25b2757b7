"""When to try again: bounded, random, and never before the provider says so."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import Clock
from tracker.retry import ATTEMPTS, LONGEST_SECONDS, retry_at
from tracker.times import instant, later, moment

NOW = Clock()()
attempts = st.integers(1, 100)
bases = st.floats(0.001, 3600)
seeds = st.integers(0, 2**32)


@given(attempts, bases, seeds)
def test_a_retry_lies_between_now_and_the_bound(attempt: int, base: float, seed: int):
    """However many attempts failed, the wait is at most base × 4**attempt and never over an hour."""
    at = retry_at(attempt, now=NOW, random=Random(seed), base=base)
    assert instant(NOW) <= at <= later(NOW, seconds=min(base * 4**attempt, LONGEST_SECONDS))
    assert at <= later(NOW, hours=1)


@given(attempts, bases, seeds, st.floats(0, 24 * 3600))
def test_the_provider_is_obeyed(attempt: int, base: float, seed: int, after: float):
    """A provider that asks for time gets it, even more than an hour."""
    at = retry_at(attempt, now=NOW, random=Random(seed), base=base, after=after)
    assert at >= later(NOW, seconds=after)
    assert at <= later(NOW, seconds=max(after, LONGEST_SECONDS))


@given(st.floats(24 * 3600, 1e300) | st.just(float("inf")))
def test_nobody_is_made_to_wait_for_ever(after: float):
    """A `Retry-After` of years is a mistake: a day is enough."""
    assert retry_at(1, now=NOW, random=Random(1), after=after) == later(NOW, hours=24)


def test_retries_are_spread_over_the_whole_time():
    """Full jitter: a thousand messages that failed together do not come again together."""
    random = Random(1)
    waits = [(moment(retry_at(4, now=NOW, random=random)) - NOW) / timedelta(seconds=3600) for _ in range(1000)]
    assert all(0 <= wait <= 1 for wait in waits)
    assert 0.45 < sum(waits) / 1000 < 0.55
    assert min(waits) < 0.02
    assert max(waits) > 0.98


def test_the_same_randomness_gives_the_same_time():
    """Randomness is an argument."""
    assert retry_at(3, now=NOW, random=Random(5)) == retry_at(3, now=NOW, random=Random(5))


def test_a_naive_time_is_refused():
    """A time without a zone is a mistake."""
    with pytest.raises(ValueError, match="zone"):
        retry_at(1, now=NOW.replace(tzinfo=None), random=Random(1))


def test_six_attempts_are_made():
    """The number is part of the promise."""
    assert ATTEMPTS == 6
