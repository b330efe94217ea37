"""Caps: how often something is logged, and how much one token may have going on."""

from __future__ import annotations

import threading
import time
from collections import Counter

__all__ = ["RateLimit", "Slots"]


class RateLimit:
    """Lets some through a period, and counts the rest.

    Parameters
    ----------
    most : int
        So many in each period.
    period : float
        Seconds.
    """

    def __init__(self, most: int, period: float) -> None:
        self._most = most
        self._period = period
        self._lock = threading.Lock()
        self._began = -float("inf")
        self._passed = 0
        self._held = 0

    def passes(self) -> int | None:
        """Return how many were held back since the last one, or None to hold this one back."""
        now = time.monotonic()
        with self._lock:
            if now - self._began >= self._period:
                self._began, self._passed = now, 0
            if self._passed >= self._most:
                self._held += 1
                return None
            self._passed += 1
            held, self._held = self._held, 0
            return held


class Slots:
    """Counts what each name has going on, up to a cap."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, name: str) -> bool:
        """Take one, unless the name has all of its own."""
        with self._lock:
            if self._taken[name] >= self.most:
                return False
            self._taken[name] += 1
            return True

    def give_back(self, name: str) -> None:
        """Return one."""
        with self._lock:
            self._taken[name] -= 1
            if self._taken[name] <= 0:
                del self._taken[name]
