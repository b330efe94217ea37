"""When the rows of a recorded stream were, and its extremes between two times."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rigmesh.recording import RecordedStream, Rows
from rigmesh.streams import Cause

__all__ = ["Hole", "Timeline", "Traces", "begin_of"]

Array = npt.NDArray[Any]
Stamps = npt.NDArray[np.float64]

_BLOCK = 2**16
"""Stamps that are read at once: as many as are in a chunk of a sealed recording."""
_KNOTS = 32
_IRREGULAR_KNOTS = 1024
_PAUSE_PERIODS = 1.5
_LONGEST_LEAD = 3600.0
_MOST_BREAKS = 64


@dataclass(frozen=True, slots=True)
class Hole:
    """A time without samples.

    Parameters
    ----------
    start, stop : float
        From when to when, local clock, in seconds.
    row : int
        The first row after it.
    cause : str
        Why, as of a gap; ``pause`` if nothing was to be recorded.
    count : int
        Samples that are missing.
    """

    start: float
    stop: float
    row: int
    cause: str
    count: int


class Traces(NamedTuple):
    """A signal between two times, made for drawing.

    Attributes
    ----------
    times : ndarray, shape (n_columns,)
        The middle of each column, local clock, in seconds.
    minimum, maximum : ndarray, shape (n_columns, n_channels)
        NaN in a column that stands for a hole. The same array if a column is one sample.
    """

    times: Stamps
    minimum: Array
    maximum: Array

    @property
    def is_exact(self) -> bool:
        """Whether each column is one sample."""
        return self.minimum is self.maximum


class Timeline:
    """Finds rows by time and times by row, and reads no more stamps than it needs.

    Between two rows that it knows, far from what is asked for exactly, stamps are taken to be
    evenly spread: an hour of 30 kHz has 864 MB of them. What it has read it remembers.

    Parameters
    ----------
    stream : RecordedStream
        Of any kind.
    """

    def __init__(self, stream: RecordedStream) -> None:
        self.stream = stream
        self._stamps: Rows = stream.timestamps
        self._n = n = len(stream)
        self._period = 1 / stream.info.sampling_rate if stream.info.is_regular else 0.0
        self._lock = threading.Lock()
        if n <= 2 * _BLOCK:
            self._stamps = np.asarray(stream.timestamps[0:n], np.float64)
            self._rows, self._times = np.arange(n), self._stamps
        else:
            evenly = _KNOTS if stream.info.is_regular else _IRREGULAR_KNOTS
            breaks = [found.row for found in stream.gaps]
            breaks += [epoch.first_row for epoch in stream.epochs]
            around = [*breaks, *(row - 1 for row in breaks), *np.linspace(0, n - 1, evenly)]
            rows = np.unique(np.clip(np.array(around, np.int64), 0, n - 1))
            self._rows, self._times = rows, self._read_all(rows)
        # Stamps of several epochs may step back; who looks for a time wants the first row there.
        self._rising = np.maximum.accumulate(self._times)

    @property
    def first(self) -> float:
        """The first stamp; NaN if there is none."""
        return float(self._times[0]) if self._n else float("nan")

    @property
    def last(self) -> float:
        """The last stamp; NaN if there is none."""
        return float(self._times[-1]) if self._n else float("nan")

    def times(self, rows: npt.NDArray[np.int64]) -> Stamps:
        """Return when rows were.

        Parameters
        ----------
        rows : ndarray, shape (n,)
            In rising order; the row behind the last is a period later.

        Returns
        -------
        ndarray, shape (n,)
            Exact if they lie close together, else between the nearest that are known.
        """
        if not len(rows) or not self._n:
            return np.zeros(len(rows))
        wanted = np.minimum(rows, self._n - 1)
        first, last = int(wanted[0]), int(wanted[-1])
        if last - first < 2 * _BLOCK:
            found = np.asarray(self._stamps[first : last + 1])[wanted - first]
        else:
            with self._lock:
                found = np.interp(wanted, self._rows, self._times)
        times: Stamps = found + (rows - wanted) * self._period
        return times

    def row_at(self, time: float) -> int:
        """Return the first row that was at a time (local clock, in seconds) or later."""
        while True:
            with self._lock:
                knot = int(np.searchsorted(self._rising, time))
                if knot == 0:
                    return 0
                if knot == len(self._rows):
                    return self._n
                low, high = int(self._rows[knot - 1]), int(self._rows[knot])
                start, stop = self._rising[knot - 1], self._rising[knot]
            if high - low < _BLOCK:
                return low + self._search(low, high + 1, time)
            guess = low + int((time - start) / (stop - start) * (high - low))
            first = min(max(low + 1, guess - _BLOCK // 2), high - _BLOCK + 1)
            block = np.maximum.accumulate(self._stamps[first : first + _BLOCK])
            if block[0] < time <= block[-1]:
                return first + int(np.searchsorted(block, time))
            self._learn((first, first + _BLOCK - 1), (block[0], block[-1]))

    def holes(self, start: float, stop: float) -> Iterator[Hole]:
        """Yield the times without samples that touch those from `start` to `stop`."""
        for hole in self._all_holes:
            if hole.start < stop and hole.stop > start:
                yield hole

    def traces(
        self, start: float, stop: float, n_columns: int, channels: Sequence[int] | None = None
    ) -> Traces:
        """Return the extremes of a signal between two times.

        One sample before and one after belong to it, so that lines reach the edges.

        Parameters
        ----------
        start, stop : float
            Local clock, in seconds.
        n_columns : int
            How many at most, those for holes aside; if there are fewer samples, these.
        channels : sequence of int
            Only these.

        Raises
        ------
        StreamFormatError
            If it is no signal.
        """
        first = max(0, self.row_at(start) - 1)
        last = min(self._n, self.row_at(stop) + 1)
        holes = sorted(self.holes(start, stop), key=lambda hole: hole.start - hole.stop)
        # The longest only: between the others there is less than a column.
        holes = sorted(holes[:_MOST_BREAKS], key=lambda hole: hole.row)
        cuts = [hole.row for hole in holes]
        is_exact = last - first <= n_columns
        parts = [
            self._run(*run, n_columns * (run[1] - run[0]) // max(1, last - first), channels)
            for run in pairwise([first, *(min(max(cut, first), last) for cut in cuts), last])
        ]
        nothing = np.full((1, parts[0].minimum.shape[1]), np.nan, np.float32)
        for hole, at in zip(reversed(holes), range(len(parts) - 1, 0, -1), strict=True):
            parts.insert(at, Traces(np.array([(hole.start + hole.stop) / 2]), nothing, nothing))
        times = np.concatenate([part.times for part in parts])
        lows = np.concatenate([part.minimum for part in parts])
        if is_exact:
            return Traces(times, lows, lows)
        return Traces(times, lows, np.concatenate([part.maximum for part in parts]))

    # --- inside ------------------------------------------------------------------------------

    def _run(self, first: int, last: int, n_columns: int, channels: Sequence[int] | None) -> Traces:
        """Return the extremes of rows without a hole between them."""
        found = self.stream.envelope(first, last, max(1, n_columns))
        lows, highs = found.minimum, found.maximum
        if channels is not None:
            lows, highs = lows[:, list(channels)], highs[:, list(channels)]
        edges = self.times(found.rows)
        if last - first <= n_columns:
            return Traces(edges[:-1], lows, highs)
        # The row behind the last may lie beyond a hole.
        ends = self.times(found.rows[1:] - 1)
        return Traces((edges[:-1] + ends) / 2, lows, highs)

    @functools.cached_property
    def _all_holes(self) -> list[Hole]:
        return list(self._find_holes())

    def _find_holes(self) -> Iterator[Hole]:
        stream, n = self.stream, self._n
        gaps: dict[int, list[Any]] = {}
        for found in stream.gaps:
            gaps.setdefault(found.row, []).append(found.gap)
        begins = {epoch.first_row for epoch in stream.epochs} - {0, n}
        rows = np.array(sorted({*gaps, *begins}), np.int64)
        if not len(rows) or not n:
            return
        before, after = self._exact(np.maximum(rows - 1, 0)), self._exact(np.minimum(rows, n - 1))
        for row, start, stop in zip(rows.tolist(), before, after, strict=True):
            here = gaps.get(row, [])
            count = sum(gap.count for gap in here)
            missing = max([sum(gap.duration for gap in here), count * self._period])
            if row == 0:
                start = stop - missing
            elif row == n:
                start, stop = start + self._period, stop + self._period + missing
            else:
                start += self._period
            if here:
                causes = {gap.cause.value for gap in here if gap.cause is not Cause.RESTART}
                cause = ", ".join(sorted(causes or {Cause.RESTART.value}))
                yield Hole(float(start), float(max(start, stop)), row, cause, count)
            elif stop - start > (_PAUSE_PERIODS - 1) * self._period:
                yield Hole(float(start), float(stop), row, "pause", 0)

    def _exact(self, rows: npt.NDArray[np.int64]) -> Stamps:
        """Return stamps of rows that were knots from the beginning."""
        with self._lock:
            return self._times[np.searchsorted(self._rows, rows)]

    def _read_all(self, rows: npt.NDArray[np.int64]) -> Stamps:
        """Read the stamps of rows, block by block."""
        found = np.empty(len(rows))
        numbers = rows // _BLOCK
        for number in np.unique(numbers).tolist():
            here = numbers == number
            inside = rows[here] - number * _BLOCK
            first = int(inside[0])
            block = self._stamps[number * _BLOCK + first : number * _BLOCK + int(inside[-1]) + 1]
            found[here] = np.asarray(block)[inside - first]
        return found

    def _search(self, first: int, stop: int, time: float) -> int:
        return int(np.searchsorted(np.maximum.accumulate(self._stamps[first:stop]), time))

    def _learn(self, rows: tuple[int, int], times: tuple[float, float]) -> None:
        with self._lock:
            all_rows = np.concatenate((self._rows, rows))
            all_rows, order = np.unique(all_rows, return_index=True)
            self._times = np.concatenate((self._times, times))[order]
            self._rows = all_rows
            self._rising = np.maximum.accumulate(self._times)


def begin_of(lines: Sequence[Timeline], created: float | None) -> float:
    """Return the time that a recording's seconds are counted from.

    Parameters
    ----------
    lines : sequence of Timeline
        Of all streams.
    created : float or None
        When the recording was made by the local clock, in seconds; None if that is not known.

    Returns
    -------
    float
        `created`, unless the samples are of another time, as those of a replay may be: then that
        of the first of them.
    """
    firsts = [line.first for line in lines if line.first == line.first]
    if not firsts:
        return created or 0.0
    first = min(firsts)
    if created is not None and -_LONGEST_LEAD < created - first < _LONGEST_LEAD:
        return created
    return first
