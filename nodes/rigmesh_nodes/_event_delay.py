"""Events that are given later than they come."""

from __future__ import annotations

import random

from rigmesh_nodes._event_times import LockOut, Waiting

__all__ = ["DelayLine"]


class DelayLine:
    """Delays events, by one duration or by random ones, with a lock-out at either end.

    All times are of one clock, in seconds.

    Attributes
    ----------
    n_dropped : int
        Events for which there was no room, or that waited when everything began anew.
    """

    def __init__(self) -> None:
        self.n_dropped = 0
        self._detection = LockOut()
        self._stimulation = LockOut()
        self._waiting: Waiting[str] = Waiting()
        self._random = random.Random(0)

    @property
    def n_waiting(self) -> int:
        """How many events wait."""
        return len(self._waiting)

    @property
    def next_due(self) -> float:
        """When the next event is due; infinite if none waits."""
        return self._waiting.next_due

    def begin(self, seed: int) -> None:
        """Begin anew: nothing waits or is locked out, and the random delays are those of a seed."""
        self.n_dropped += self._waiting.clear()
        self._detection.forget()
        self._stimulation.forget()
        self._random.seed(seed)

    def accepts(self, time: float, lock_out: float) -> bool:
        """Whether an event counts; then further ones do not for the time of the lock-out."""
        return self._detection.passes(time, lock_out)

    def fires(self, due: float, lock_out: float) -> bool:
        """Whether an event may be given; then no other may for the time of the lock-out."""
        return self._stimulation.passes(due, lock_out)

    def hold(self, time: float, text: str, delay: float, jitter: float) -> float:
        """Let an event wait for its delay and a random part of `jitter`; return when it is due."""
        due = time + delay
        if jitter:
            due += jitter * self._random.random()
        if not self._waiting.put(due, text):
            self.n_dropped += 1
        return due

    def take(self, until: float) -> list[tuple[float, str]]:
        """Take out what is due by a time: when each event is, and its text, in this order."""
        return self._waiting.take(until)
