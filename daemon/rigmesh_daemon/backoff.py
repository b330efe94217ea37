"""When something that fails is tried again."""

from __future__ import annotations

from collections import deque

__all__ = ["Backoff"]


class Backoff:
    """Says when to restart something that fails: soon, later, and at last not any more."""

    def __init__(self, *, most: int = 5, within: float = 60.0, longest: float = 30.0) -> None:
        self._most = most
        self._within = within
        self._longest = longest
        self._failures: deque[float] = deque()

    def delay(self, now: float) -> float | None:
        """Return how long to wait after a failure at `now`, in seconds; None to give up."""
        while self._failures and now - self._failures[0] > self._within:
            self._failures.popleft()
        self._failures.append(now)
        n = len(self._failures)
        if n > self._most:
            return None
        return 0.0 if n == 1 else min(self._longest, 0.5 * 2.0 ** (n - 1))
