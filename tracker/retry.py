"""When to try again. Pure."""

from datetime import datetime
from random import Random

from tracker.times import Instant, later

ATTEMPTS = 6
LONGEST_SECONDS = 3600


def retry_at(attempt: int, *, now: datetime, random: Random, base: float = 30, after: float | None = None) -> Instant:
    """Return when to try again.

    Args: attempt: failed sends so far, from 1. base: seconds. after: seconds that the provider asked to wait.
    Returns: now + full-jitter backoff, base × 4**attempt at most, never over 1 h: six attempts take about an hour and a
        half; not before `after`.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    most = min(base * 4**attempt, LONGEST_SECONDS)
    return later(now, seconds=max(random.uniform(0, most), min(after or 0, 24 * 3600)))
