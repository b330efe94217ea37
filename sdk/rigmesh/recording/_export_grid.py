"""A recorded signal as formats without stamps hold it: a sample at each tick of its rate."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rigmesh.recording.recorded import RecordedStream, RowGap, blocks
from rigmesh.streams import Cause

__all__ = ["Filled", "Grid"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Filled:
    """Ticks that no sample was recorded for."""

    start: int
    n: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows that follow each other, and the tick of the first."""

    tick: int
    row: int
    n: int


class Grid:
    """The ticks of a regular signal; those in gaps are zero.

    A gap is as long as the count that was recorded; where that is not known, and between two
    epochs, as long as the stamps on both sides say.

    Parameters
    ----------
    stream : RecordedStream
        A signal with a sampling rate, and at least one sample.

    Attributes
    ----------
    filled : list of Filled
        The gaps, in order.
    first_time : float
        Local time of the first sample, in seconds.
    """

    def __init__(self, stream: RecordedStream) -> None:
        self.stream = stream
        self.rate = stream.info.sampling_rate
        self.first_time = self._stamp(0)
        self.filled: list[Filled] = []
        self._pieces: list[_Piece] = []
        cuts = {epoch.first_row for epoch in stream.epochs} | {g.row for g in stream.gaps}
        rows = [0, *sorted(row for row in cuts if 0 < row < len(stream)), len(stream)]
        tick = 0
        for row, stop in itertools.pairwise(rows):
            missing = self._missing_before(row) if row else 0
            if missing:
                self.filled.append(Filled(tick, missing))
            self._pieces.append(_Piece(tick + missing, row, stop - row))
            tick += missing + stop - row
        self._n = tick

    def __len__(self) -> int:
        """Return the number of ticks."""
        return self._n

    @property
    def measured_rate(self) -> float:
        """What the rate was by the stamps, in Hz."""
        last = self._stamp(len(self.stream) - 1)
        return (len(self) - 1) / (last - self.first_time) if last > self.first_time else self.rate

    def read(self, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Return the samples of ticks, in their type, shape (stop - start, n_channels)."""
        info = self.stream.info
        found = np.zeros((stop - start, *info.sample_shape), info.dtype)
        for piece in self._pieces:
            begin, end = max(start, piece.tick), min(stop, piece.tick + piece.n)
            if begin < end:
                rows = slice(piece.row + begin - piece.tick, piece.row + end - piece.tick)
                found[begin - start : end - start] = self.stream.data[rows]
        return found

    def blocks(self) -> Iterator[slice]:
        """Cut the ticks into slices of a few megabytes."""
        return blocks(self._n, self.stream.row_bytes)

    def ticks_of(self, times: Sequence[float]) -> Array:
        """Return when something was, in ticks from the first; between samples by the rate.

        Parameters
        ----------
        times : sequence of float
            Local times, in order, in seconds.
        """
        wanted = np.asarray(times, np.float64)
        found = (wanted - self.first_time) * self.rate
        begins = [self._stamp(piece.row) for piece in self._pieces]
        for piece, begin, end in zip(self._pieces, begins, [*begins[1:], np.inf], strict=True):
            mine = np.flatnonzero((wanted >= begin) & (wanted < end))
            if len(mine):
                last = piece.tick + piece.n
                limit = next((p.tick for p in self._pieces if p.tick >= last), np.inf)
                found[mine] = np.minimum(self._within(piece, wanted[mine]), limit)
        return found

    def _within(self, piece: _Piece, times: Array) -> Array:
        """Return the ticks of times that are not before the first sample of a piece."""
        found = np.empty(len(times))
        latest = -np.inf
        for block in blocks(piece.n, 8):
            rows = slice(piece.row + block.start, piece.row + block.stop)
            # Stamps that jitter are taken as if they had waited for those before them.
            stamps = np.maximum.accumulate(np.asarray(self.stream.timestamps[rows], np.float64))
            stamps = np.maximum(stamps, latest)
            latest = stamps[-1]
            here = times >= stamps[0]
            at = np.searchsorted(stamps, times[here], side="right") - 1
            after = (times[here] - stamps[at]) * self.rate
            is_inside = at < len(stamps) - 1
            after[is_inside] = np.minimum(after[is_inside], 1.0)
            found[here] = piece.tick + block.start + at + after
        return found

    def _missing_before(self, row: int) -> int:
        """Return how many samples are missing before a row at which something happens."""
        gaps = [found for found in self.stream.gaps if found.row == row]
        counted = sum(self._length(found) for found in gaps)
        restarts = [g for g in gaps if g.gap.cause is Cause.RESTART]
        is_known = bool(restarts) and all(g.gap.exact or g.gap.count for g in restarts)
        if is_known or all(epoch.first_row != row for epoch in self.stream.epochs):
            return counted
        apart = self._stamp(row) - self._stamp(row - 1)
        return max(0, counted, round(apart * self.rate) - 1)

    def _length(self, found: RowGap) -> int:
        if found.gap.count or found.gap.cause is Cause.RESTART:
            return found.gap.count
        return max(0, round(found.gap.duration * self.rate))

    def _stamp(self, row: int) -> float:
        return float(self.stream.timestamps[row : row + 1][0])
