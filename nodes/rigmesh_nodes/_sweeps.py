"""Sweeps: what a signal is around events."""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, insort
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rigmesh.streams import rising

__all__ = ["MovingAverage", "RunningAverage", "Sweep", "SweepCutter"]

Array = npt.NDArray[Any]

_BLOCK = 1024
_MOST = 100_000
_FARTHEST = 0.05


class Sweep(NamedTuple):
    """The samples around an event.

    Attributes
    ----------
    time : float
        Of the event, in seconds.
    label : str
        What was said of the event.
    data : ndarray, shape (n_samples, n_channels)
        A copy, in the type of the signal.
    """

    time: float
    label: str
    data: Array


class SweepCutter:
    """Cuts sweeps out of a signal, around events that come before their samples or after them.

    The sample of an event is the one whose stamp is nearest: a sweep is off by half a sample at
    most, at random, which smears an average like a filter whose first zero is the sampling rate.
    What comes out depends neither on how the samples are cut into chunks nor, for events that are
    not more than `patience` late, on what came first.

    Stamps that go back a little are taken for the greatest before; those that go back by more than
    0.1 s, or over missing samples, begin anew. All times are of one clock, in seconds.

    Parameters
    ----------
    n_channels : int
        Of the signal.
    dtype : dtype
        Of its samples.
    sampling_rate : float
        In Hz.
    before, after : float
        From how long before an event a sweep reaches to how long after it; the samples at both
        ends are part of it.
    patience : float
        How long after the end of its sweep an event can come.

    Attributes
    ----------
    n_before, n_rows : int
        Samples of a sweep before that of the event, and all of them.
    n_late : int
        Events that are older than what is kept of the signal.
    n_incomplete : int
        Events with missing samples in their sweeps.
    n_dropped : int
        Events that were too many to wait.
    """

    def __init__(
        self,
        n_channels: int,
        dtype: npt.DTypeLike,
        sampling_rate: float,
        *,
        before: float,
        after: float,
        patience: float,
    ) -> None:
        self.n_late = self.n_incomplete = self.n_dropped = 0
        self.n_before = round(before * sampling_rate)
        self._n_after = round(after * sampling_rate)
        self.n_rows = self.n_before + self._n_after + 1
        self._period = 1 / sampling_rate
        self._capacity = self.n_rows + round(patience * sampling_rate) + _BLOCK
        self._data = np.empty((self._capacity, n_channels), dtype)
        self._stamps = np.empty(self._capacity)
        self._waiting: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()
        self._next = self._oldest = 0
        self._newest = -np.inf
        self._begins: deque[int] = deque([0])
        self._has_skipped = False

    @property
    def n_waiting(self) -> int:
        """How many events wait for samples."""
        return len(self._waiting)

    def add(self, time: float, label: str) -> list[Sweep]:
        """Take an event; return its sweep if the samples are there."""
        if len(self._waiting) >= _MOST:
            self.n_dropped += 1
            return []
        heapq.heappush(self._waiting, (time, next(self._numbers), label))
        return self._cut([])

    def take(self, data: Array, stamps: Array) -> list[Sweep]:
        """Take the next samples; return the sweeps that they complete, in the order of time.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        stamps : ndarray, shape (n_samples,)
            Their times, in seconds.
        """
        found: list[Sweep] = []
        for first in range(0, len(stamps), _BLOCK):
            block = slice(first, first + _BLOCK)
            self._take(data[block], stamps[block], found)
        return found

    def skip(self) -> None:
        """Learn that samples are missing before the next ones."""
        self._has_skipped = True

    def forget_events(self) -> None:
        """Wait for no sweep."""
        self._waiting.clear()

    def _take(self, data: Array, stamps: Array, found: list[Sweep]) -> None:
        if self._has_skipped:
            self._has_skipped = False
            if np.isfinite(stamps[0]) and stamps[0] < self._newest:
                self._begin_anew()
            elif self._next > self._begins[-1]:
                self._begins.append(self._next)
        times, n = rising(stamps, self._newest)
        if n:
            self._keep(data[:n], times)
            self._cut(found)
        if n < len(stamps):
            self._begin_anew()
            self._take(data[n:], stamps[n:], found)

    def _begin_anew(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._newest:
            heapq.heappop(self._waiting)
            self.n_incomplete += 1
        self._oldest = self._next
        self._newest = -np.inf
        self._begins = deque([self._next])

    def _keep(self, data: Array, stamps: Array) -> None:
        at = self._next % self._capacity
        head = min(len(stamps), self._capacity - at)
        for kept, new in ((self._data, data), (self._stamps, stamps)):
            kept[at : at + head] = new[:head]
            kept[: len(stamps) - head] = new[head:]
        self._next += len(stamps)
        self._newest = float(stamps[-1])
        self._oldest = max(self._oldest, self._next - self._capacity)
        while len(self._begins) > 1 and self._begins[1] <= self._oldest:
            self._begins.popleft()

    def _cut(self, found: list[Sweep]) -> list[Sweep]:
        # In the order of time: where the first one still waits, so do the others.
        waiting = self._waiting
        while waiting and waiting[0][0] <= self._newest:
            time, _, label = waiting[0]
            row = self._row_of(time)
            if row is not None:
                start, stop = row - self.n_before, row + self._n_after + 1
                begin, end = self._run_of(row)
                if start < begin or stop > end:
                    self.n_incomplete += 1
                elif start < self._oldest:
                    self.n_late += 1
                elif stop > self._next:
                    break
                else:
                    found.append(Sweep(time, label, self._rows(start, stop)))
            heapq.heappop(waiting)
        return found

    def _row_of(self, time: float) -> int | None:
        """Return the row nearest to a time; None, and counted, if the signal was not there."""
        after = self._first_row_from(time)
        row, away = after, self._stamp(after) - time
        if after > self._oldest and (earlier := time - self._stamp(after - 1)) <= away:
            row, away = after - 1, earlier
        # Nothing is known of what lies beyond the edge of missing samples.
        if away <= self._period + (0.0 if self._is_beyond(row, time) else _FARTHEST):
            return row
        if after == self._oldest:
            self.n_late += 1
        else:
            self.n_incomplete += 1
        return None

    def _is_beyond(self, row: int, time: float) -> bool:
        """Whether a time is before the first of the samples around a row, or behind the last."""
        begin, end = self._run_of(row)
        if time < self._stamp(row):
            return row == max(begin, self._oldest)
        return row + 1 == end

    def _first_row_from(self, time: float) -> int:
        at = self._oldest % self._capacity
        head = self._stamps[at : at + self._next - self._oldest]
        if time <= head[-1]:
            return self._oldest + int(np.searchsorted(head, time))
        tail = self._stamps[: self._next % self._capacity]
        return self._oldest + len(head) + int(np.searchsorted(tail, time))

    def _stamp(self, row: int) -> float:
        return float(self._stamps[row % self._capacity])

    def _run_of(self, row: int) -> tuple[int, float]:
        """Return where the samples around a row begin that none is missing of, and where they end.

        The end is infinite as long as it is not known.
        """
        begin, end = self._begins[0], np.inf
        for at in self._begins:
            if at > row:
                end = at
                break
            begin = at
        return begin, end

    def _rows(self, start: int, stop: int) -> Array:
        at, n = start % self._capacity, stop - start
        if at + n <= self._capacity:
            return self._data[at : at + n].copy()
        return np.concatenate((self._data[at:], self._data[: at + n - self._capacity]))


class RunningAverage:
    """Mean and variance of sweeps, without keeping them.

    The variance is computed after Welford (Technometrics 4, 419-420, 1962), of the distances from
    the first sweep: a large offset of a channel costs it no digits. The mean is the sum by the
    number, to the last bit that of `numpy.mean`: of Welford's only the digits of the largest value
    on the way would be right, which are too few next to a zero crossing.

    Parameters
    ----------
    shape : tuple of int
        Of a sweep.

    Attributes
    ----------
    n : int
        Sweeps averaged.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.n = 0
        self._first, self._sum = np.empty(shape), np.zeros(shape)
        self._mean, self._squares = np.zeros(shape), np.zeros(shape)
        self._away, self._part = np.empty(shape), np.empty(shape)

    def add(self, sweep: Array) -> None:
        """Average one more sweep, all of it finite."""
        if not self.n:
            self._first[:] = sweep
        self.n += 1
        self._sum += sweep
        away, part = self._away, self._part
        np.subtract(sweep, self._first, out=away)
        away -= self._mean
        np.divide(away, self.n, out=part)
        self._mean += part
        np.subtract(away, part, out=part)
        part *= away
        self._squares += part

    @property
    def mean(self) -> Array:
        """The mean, a copy; NaN before the first sweep."""
        return self._sum / self.n if self.n else np.full_like(self._sum, np.nan)

    @property
    def variance(self) -> Array:
        """The unbiased variance, a copy; NaN before the second sweep."""
        if self.n < 2:
            return np.full_like(self._squares, np.nan)
        return self._squares / (self.n - 1)


class MovingAverage:
    """The last sweeps by the time of their events, in whatever order they come, and their average.

    Nothing is ever subtracted: an artefact that has left leaves no trace. So the average is
    computed from all the sweeps, each time that it is asked for.

    Parameters
    ----------
    shape : tuple of int
        Of a sweep.
    n_last : int
        How many are kept.

    Attributes
    ----------
    shape : tuple of int
        Of a sweep.
    """

    def __init__(self, shape: tuple[int, ...], n_last: int) -> None:
        self.shape = shape
        self._n_last = n_last
        self._order: list[tuple[float, int]] = []
        self._kept: dict[int, Array] = {}
        self._numbers = itertools.count()

    @property
    def n(self) -> int:
        """How many sweeps are kept."""
        return len(self._order)

    @property
    def sweeps(self) -> list[Array]:
        """The sweeps that are kept, in the order of time."""
        return [self._kept[number] for _, number in self._order]

    @property
    def times(self) -> list[float]:
        """When their events were, in seconds."""
        return [time for time, _ in self._order]

    def add(self, time: float, sweep: Array) -> bool:
        """Keep a sweep, which belongs to this object then; return whether it is among the last."""
        number = next(self._numbers)
        if self.n == self._n_last:
            if bisect_left(self._order, (time, number)) == 0:
                return False
            del self._kept[self._order.pop(0)[1]]
        insort(self._order, (time, number))
        self._kept[number] = sweep
        return True

    def average(self) -> RunningAverage:
        """Return mean and variance of what is kept."""
        average = RunningAverage(self.shape)
        for sweep in self.sweeps:
            average.add(sweep)
        return average
