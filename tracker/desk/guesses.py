"""How often somebody may try a password: a moving window per address and name, and a wider one per address."""

import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from tracker.errors import TooMany

MINUTES = 15
MANY = 100_000


class Guesses:
    def __init__(self, *, per_name: int = 10, per_address: int = 100):
        """Args: both in tries within 15 minutes."""
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._name = RateLimitItemPerMinute(per_name, MINUTES)
        self._address = RateLimitItemPerMinute(per_address, MINUTES)

    def count(self, address: str, name: str) -> None:
        """Count a try. Raises: TooMany."""
        if len(self._storage.events) > MANY:
            self._forget()
        self._hit(self._address, "address", address)
        self._hit(self._name, "name", address, name)

    def forgive(self, address: str, name: str) -> None:
        """The password was right: earlier slips do not count any more."""
        self._limiter.clear(self._name, "name", address, name)

    def _hit(self, limit: RateLimitItem, *who: str) -> None:
        if not self._limiter.hit(limit, *who):
            seconds = max(1, int(self._limiter.get_window_stats(limit, *who).reset_time - time.time()) + 1)
            minutes = -(-seconds // 60)
            wait = "a minute" if minutes == 1 else f"{minutes} minutes"
            raise TooMany(f"Too many tries. Try again in {wait}.", retry_after=seconds)

    def _forget(self) -> None:
        """The storage empties windows that are over, and keeps their names."""
        for key in [key for key, entries in list(self._storage.events.items()) if not entries]:
            del self._storage.events[key]
