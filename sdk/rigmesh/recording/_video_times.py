"""When the frames of a video are shown."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["TICKS", "shown_at", "zero_of"]

TICKS = {"matroska": 1000, "mp4": 90_000}
"""Ticks of a second, by container. FFmpeg's Matroska knows milliseconds only."""

_LONGEST_STILL = 6 * 3600.0
"""In seconds. MP4 can hold 13 h at most between two frames."""
_LATEST_BEGIN = 1e7
_BACK = 1.0
_USUAL_RATE = 30.0

Stamps = npt.NDArray[np.float64]
Ticks = npt.NDArray[np.int64]


def zero_of(stamps: Iterable[Stamps]) -> float:
    """Return the stamp at which a video begins: the least of those that its streams begin with.

    Examples
    --------
    >>> zero_of([np.array([np.nan, 7.5]), np.array([7.0]), np.array([])])
    7.0
    """
    firsts = (each[np.isfinite(each)][:1] for each in stamps)
    return min((float(first[0]) for first in firsts if len(first)), default=0.0)


@dataclass(slots=True)
class _Clock:
    ticks: int
    period: int
    shift: float = 0.0
    last: int = -1

    def show(self, seconds: float, *, is_new: bool) -> int:
        """Return the tick of the next frame."""
        wanted = (seconds + self.shift) * self.ticks
        if not math.isfinite(wanted):
            return self.last + self.period if self.last >= 0 else 0
        tick = round(wanted)
        furthest = _LONGEST_STILL if self.last >= 0 else _LATEST_BEGIN
        if self.last < tick <= self.last + furthest * self.ticks:
            return tick
        if self.last < 0:
            tick = 0
        elif tick > self.last or is_new or tick < self.last - _BACK * self.ticks:
            tick = self.last + self.period
        else:
            return self.last + 1
        self.shift = tick / self.ticks - seconds
        return tick


def shown_at(
    stamps: Stamps, begins: Collection[int], rate: float, *, zero: float, ticks: int
) -> Ticks:
    """Return when each frame is shown, in ticks: a video's frames have growing times.

    A frame is shown at its stamp, counted from `zero`. Where stamps go back (another clock after a
    restart) or six hours ahead, it comes one period after the one before, and time goes on from
    there; of stamps that go back a little within an epoch only that one frame is moved.

    Parameters
    ----------
    stamps : ndarray, shape (n_frames,)
        Local clock, in seconds.
    begins : collection of int
        Rows at which an epoch begins.
    rate : float
        In Hz; 0 means irregular.
    zero : float
        The stamp at which the video begins.
    ticks : int
        How many there are in a second.

    Examples
    --------
    >>> shown_at(np.array([5, 5.1, 5.05, 0.2, 0.3]), {0, 3}, 10, zero=5, ticks=1000).tolist()
    [0, 100, 101, 201, 301]
    """
    clock = _Clock(ticks, max(1, round(ticks / (rate or _USUAL_RATE))))
    shown = np.empty(len(stamps), np.int64)
    for row, seconds in enumerate((stamps - zero).tolist()):
        clock.last = shown[row] = clock.show(seconds, is_new=row in begins)
    return shown
