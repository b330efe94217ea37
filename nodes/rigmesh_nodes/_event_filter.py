"""Events that block others."""

from __future__ import annotations

import bisect
import math

__all__ = ["Veto"]

_MOST = 4096


class Veto:
    """Knows the blocking events of several inputs, and what they block.

    All times are of one clock, in seconds.

    Parameters
    ----------
    n_inputs : int
        How many inputs can block.
    need : int
        How many of them have to, for an event to be blocked.
    """

    def __init__(self, n_inputs: int, need: int) -> None:
        self._times: list[list[float]] = [[] for _ in range(n_inputs)]
        self._need = need

    def add(self, number: int, time: float) -> None:
        """Learn of a blocking event of an input; a time that is not finite blocks nothing."""
        if not math.isfinite(time):
            return
        times = self._times[number]
        if not times or time >= times[-1]:
            times.append(time)
        else:
            bisect.insort(times, time)
        if len(times) > _MOST:
            del times[: _MOST // 2]

    def blocks(self, time: float, before: float, after: float) -> bool:
        """Whether an event is blocked.

        Parameters
        ----------
        time : float
            Of the event.
        before, after : float
            How long a blocking event blocks before and after its own time.
        """
        n = 0
        for times in self._times:
            at = bisect.bisect_left(times, time - after)
            if at < len(times) and times[at] <= time + before:
                n += 1
                if n == self._need:
                    return True
        return False
