"""When events are let through, held back and let go."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from rigmesh.node import Node
from rigmesh.streams import ClockModel

__all__ = ["Alarm", "LockOut", "RateLimit", "Waiting", "to_raw"]

T = TypeVar("T")

_MOST = 100_000
_LONGEST = 3600.0
"""The longest a timer is set for, in seconds: what is due at no sensible time breaks no clock."""


class LockOut:
    """Lets an event through unless it is too close to the last one that was."""

    def __init__(self) -> None:
        self._last = -math.inf

    def passes(self, time: float, duration: float) -> bool:
        """Whether an event is let through; then the next `duration` is closed, in seconds."""
        # Both ways, so that a stamp from before the last event gets no second one through either,
        # but one from long before (a clock that was set back) does not close it for ever.
        if abs(time - self._last) < duration:
            return False
        self._last = time
        return True

    def forget(self) -> None:
        """Let the next event through."""
        self._last = -math.inf


class RateLimit:
    """Lets at most so many events through in any second.

    Parameters
    ----------
    per_second : int
        How many.
    """

    def __init__(self, per_second: int) -> None:
        self._times: deque[float] = deque(maxlen=per_second)

    def passes(self, now: float) -> bool:
        """Whether an event is let through at a time, in seconds."""
        times = self._times
        if len(times) == times.maxlen and now - times[0] < 1:
            return False
        times.append(now)
        return True


class Waiting(Generic[T]):
    """What waits for its time.

    Parameters
    ----------
    most : int
        How many can wait.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = itertools.count()
        self._most = most

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._heap)

    @property
    def next_due(self) -> float:
        """When the next one is due; infinite if none waits."""
        return self._heap[0][0] if self._heap else math.inf

    def put(self, due: float, item: T) -> bool:
        """Let something wait; return whether there was room for it."""
        if len(self._heap) >= self._most:
            return False
        heapq.heappush(self._heap, (due, next(self._numbers), item))
        return True

    def take(self, until: float) -> list[tuple[float, T]]:
        """Return what is due by a time, with the time it was due at, in that order."""
        heap, due = self._heap, []
        while heap and heap[0][0] <= until:
            when, _, item = heapq.heappop(heap)
            due.append((when, item))
        return due

    def clear(self) -> int:
        """Forget what waits; return how many that were."""
        n = len(self._heap)
        self._heap.clear()
        return n


class Alarm:
    """Runs a function in a node's lane at the earliest of the times it was set to.

    Parameters
    ----------
    node : Node
        The node.
    ring : callable
        May run too early, and then sets the alarm again.
    """

    def __init__(self, node: Node, ring: Callable[[], None]) -> None:
        self._node = node
        self._ring = ring
        self._when = math.inf

    def set(self, when: float) -> None:
        """Ring at a local time, in seconds, too."""
        if when < self._when:
            self._when = when = min(when, self._node.runtime.now + _LONGEST)
            self._node.call_at(when, lambda: self._ring_of(when))

    def _ring_of(self, when: float) -> None:
        # Timers cannot be taken back: one that was overtaken by an earlier one is not its own.
        if when == self._when:
            self._when = math.inf
            self._ring()


def to_raw(clock: ClockModel, local: float) -> float:
    """Map a local time onto the clock of a stream, both in seconds."""
    if clock.drift == 0.0:
        return local - clock.offset
    return (local - clock.offset + clock.drift * clock.reference) / (1 + clock.drift)
