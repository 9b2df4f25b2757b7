"""How often strangers may call: a moving window per visitor and per address, in this process."""

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from tracker.errors import TooMany

MANY = 100_000


class Throttle:
    """Counts calls. `address` is the caller's IP address, behind trusted proxies the one that they tell."""

    def __init__(self, *, per_visitor: int = 60, per_address: int = 600):
        """Args: both in calls a minute."""
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._visitor, self._address = RateLimitItemPerMinute(per_visitor), RateLimitItemPerMinute(per_address)

    def visitor(self, id: str) -> None:
        """Count a message of a visitor. Raises: TooMany."""
        self._hit(self._visitor, "visitor", id)

    def address(self, address: str | None) -> None:
        """Count a call from an address. Raises: TooMany."""
        self._hit(self._address, "address", address or "")

    def _hit(self, limit: RateLimitItemPerMinute, *who: str) -> None:
        if len(self._storage.events) > MANY:
            self._forget()
        if not self._limiter.hit(limit, *who):
            wait = self._limiter.get_window_stats(limit, *who).reset_time - time.time()
            raise TooMany("too many messages; wait a moment", retry_after=max(1, int(wait) + 1))

    def _forget(self) -> None:
        """The storage empties windows that are over, and keeps their names."""
        for key in [key for key, entries in list(self._storage.events.items()) if not entries]:
            del self._storage.events[key]
