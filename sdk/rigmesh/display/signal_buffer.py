"""The last seconds of a signal, and its least and greatest values over pixel columns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording.pyramid import Envelope, reduce_bins
from rigmesh.streams import Cause, Chunk, StreamInfo, rising

__all__ = ["ColumnCache", "SignalBuffer"]

Array = npt.NDArray[Any]

FACTORS = (16, 256, 4096)
"""Rows in a bin, level by level."""

_IRREGULAR_ROWS = 100_000
_ROW_BYTES = np.dtype(np.float64).itemsize + np.dtype(np.bool_).itemsize
"""Of a stamp, and whether the row is missing."""
_MOST_BYTES_OF_BINS = 2**30
"""With the stamps: five minutes of 384 channels at 30 kHz, seven hours of 64 at 1 kHz."""
_LEAST_ROWS = 2 * FACTORS[-1]


class _Ring:
    """Rows by their number, of which the last `capacity` are kept."""

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.capacity = capacity
        self._rows = np.empty((capacity, *shape), dtype)

    def write(self, first: int, rows: Array) -> None:
        """Write rows from number `first` on; there are at most `capacity` of them."""
        at = first % self.capacity
        head = min(len(rows), self.capacity - at)
        self._rows[at : at + head] = rows[:head]
        self._rows[: len(rows) - head] = rows[head:]

    def read(self, first: int, stop: int) -> Array:
        """Return rows that are kept: a view of them, or a copy where they wrap around."""
        at, n = first % self.capacity, stop - first
        if at + n <= self.capacity:
            return self._rows[at : at + n]
        return np.concatenate((self._rows[at:], self._rows[: at + n - self.capacity]))


class _Level:
    """The extremes of whole bins of rows; what a bin has none of has a minimum over its maximum."""

    def __init__(self, factor: int, below: int, rows: int, n_channels: int, dtype: Any) -> None:
        self.factor = factor
        self.below = below
        capacity = _n_bins(rows, factor)
        self.minima = _Ring(capacity, (n_channels,), dtype)
        self.maxima = _Ring(capacity, (n_channels,), dtype)
        self.n = 0


class SignalBuffer:
    """Keeps the last seconds of a signal for drawing: a `Sink` that any thread may read.

    Rows are numbered from 0 on; those that are missing are counted, too. The samples themselves
    are kept as far as `max_bytes` reaches, their least and greatest values for all the seconds, or
    as far as 1 GiB reaches.

    A stamp that is not finite, or steps back a little, is taken for the greatest before it; one
    that goes back by more than 0.1 s begins anew.

    Parameters
    ----------
    seconds : float
        How much to keep; of an irregular signal the last 100,000 samples.
    max_bytes : int
        The most memory for samples.

    Attributes
    ----------
    info : StreamInfo or None
        The stream's description, once known.
    generation : int
        Grows when everything was dropped: the format changed, or time went back.
    n_lost : int
        Samples that are missing.
    n_gaps : int
        Gaps.
    lock : RLock
        To be held over reads that belong together: rows come and go meanwhile.
    """

    def __init__(self, seconds: float, *, max_bytes: int = 256 * 2**20) -> None:
        self.info: StreamInfo | None = None
        self.generation = 0
        self.n_lost = self.n_gaps = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._capacity = 0
        self.lock = threading.RLock()
        self._next = 0
        self._newest = -np.inf
        self._levels: list[_Level] = []
        self._is_float = True

    @staticmethod
    def n_bytes_for(info: StreamInfo, seconds: float, max_bytes: int) -> int:
        """Return how much memory a buffer of that size takes for a stream."""
        rows, kept = _sizes(info, seconds, max_bytes)
        bins = 2 * sum(_n_bins(rows, factor) for factor in FACTORS)
        return (kept + bins) * info.sample_bytes + _ROW_BYTES * rows

    # --- the feed's side ---------------------------------------------------------------------

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows; a change of format drops what is kept."""
        with self.lock:
            if self.info is not None and self.info.same_format(info):
                self.info = info
                return
            dtype, n_channels = np.dtype(info.dtype), info.sample_shape[0]
            self._capacity, kept = _sizes(info, self._seconds, self._max_bytes)
            self._samples = _Ring(kept, (n_channels,), dtype)
            self._times = _Ring(self._capacity, (), np.float64)
            self._missing = _Ring(self._capacity, (), np.bool_)
            below = (1, *FACTORS)
            self._levels = [
                _Level(factor, size, self._capacity, n_channels, dtype)
                for factor, size in zip(FACTORS, below, strict=False)
            ]
            self._is_float = dtype.kind == "f"
            self.info = info
            self._begin_anew()

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk's samples."""
        with self.lock:
            for gap in chunk.gaps:
                self.n_gaps += 1
                self.n_lost += gap.count
            data, times = chunk.data, chunk.timestamps
            is_missing = bool(chunk.gaps)
            while len(times):
                known, n = rising(times, self._newest)
                if n and is_missing and self._next:
                    self._leave_out(self._rows_of(chunk), float(known[0]))
                unknown = int(np.searchsorted(known, -np.inf, side="right"))
                self._append(data[unknown:n], known[unknown:], np.zeros(n - unknown, np.bool_))
                data, times, is_missing = data[n:], times[n:], False
                if len(times):
                    self._begin_anew()

    def _begin_anew(self) -> None:
        self._next = 0
        self._newest = -np.inf
        for level in self._levels:
            level.n = 0
        self.generation += 1

    def take_over(self, other: SignalBuffer) -> None:
        """Go on where another buffer is, with the samples that it keeps."""
        with other.lock, self.lock:
            if other.info is None:
                return
            self.describe(other.info)
            self.generation += other.generation
            self.n_lost, self.n_gaps = other.n_lost, other.n_gaps
            stop = other.rows[1]
            data, missing = other.samples(0, stop)
            self._append(data, other.times(stop - len(data), stop), missing)

    def _append(self, data: Array, times: Array, missing: Array) -> None:
        step = _LEAST_ROWS // 2
        for first in range(0, len(times), step):
            piece = slice(first, first + step)
            self._write(data[piece], times[piece], missing[piece])
        if len(times):
            self._newest = float(times[-1])

    def _rows_of(self, chunk: Chunk) -> int:
        """Return how many rows the gaps before a chunk take."""
        rate = self.info.sampling_rate if self.info is not None else 0.0
        if not rate:
            return 1
        rows = 0
        for gap in chunk.gaps:
            if gap.cause is Cause.RESTART and gap.duration:
                rows += round(gap.duration * rate)
            else:
                rows += gap.count
        return min(max(rows, 1), self._capacity)

    def _leave_out(self, n: int, until: float) -> None:
        last = float(self._times.read(self._next - 1, self._next)[0])
        times = np.linspace(last, until, n + 2)[1:-1]
        nothing = np.full_like(self._samples.read(0, 1), np.nan if self._is_float else 0)
        step = _LEAST_ROWS // 2
        for first in range(0, n, step):
            piece = times[first : first + step]
            self._write(np.repeat(nothing, len(piece), axis=0), piece, True)

    def _write(self, data: Array, times: Array, missing: Array | bool) -> None:
        self._samples.write(self._next, data)
        self._times.write(self._next, times)
        self._missing.write(self._next, np.broadcast_to(missing, len(times)))
        self._next += len(times)
        for level in self._levels:
            self._extend(level)

    def _extend(self, level: _Level) -> None:
        bins = self._next // level.factor
        if bins == level.n:
            return
        lows, highs = self._extremes(level.below, level.n * level.factor, bins * level.factor)
        size = level.factor // level.below
        level.minima.write(level.n, reduce_bins(lows, size, greatest=False))
        level.maxima.write(level.n, reduce_bins(highs, size, greatest=True))
        level.n = bins

    def _extremes(self, size: int, first: int, stop: int) -> tuple[Array, Array]:
        """Return least and greatest values over each `size` rows; both are multiples of it."""
        for level in self._levels:
            if level.factor == size:
                bins = first // size, stop // size
                return level.minima.read(*bins), level.maxima.read(*bins)
        samples = self._samples.read(first, stop)
        if self._is_float:
            return samples, samples
        missing = self._missing.read(first, stop)
        if not missing.any():
            return samples, samples
        range_ = np.iinfo(samples.dtype)
        lows, highs = samples.copy(), samples.copy()
        lows[missing], highs[missing] = range_.max, range_.min
        return lows, highs

    # --- the looker's side -------------------------------------------------------------------

    @property
    def rows(self) -> tuple[int, int]:
        """The first row that is kept, and the row behind the newest."""
        with self.lock:
            return max(0, self._next - self._capacity) if self._next else 0, self._next

    @property
    def newest(self) -> float:
        """When the newest sample was (local clock, in seconds); minus infinity before the first."""
        return self._newest

    def times(self, start: int, stop: int) -> Array:
        """Return when rows were.

        Returns
        -------
        ndarray, shape (n_rows,)
            Local clock, in seconds; evenly spread over a gap.
        """
        with self.lock:
            first, last = self.rows
            wanted = _within(start, stop, first, last)
            return self._times.read(*wanted).copy() if last else np.empty(0)

    def row_at(self, time: float) -> int:
        """Return the first kept row that was at `time` (local clock, in seconds) or later."""
        with self.lock:
            first, last = self.rows
            if first == last:
                return last
            kept = self._times.read(first, last) if last else ()
            return first + int(np.searchsorted(kept, time))

    def samples(self, start: int, stop: int) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return samples as far as they are kept.

        Returns
        -------
        data : ndarray, shape (n_rows, n_channels)
            Those of the last rows asked for, if the first are not kept any more.
        missing : ndarray, shape (n_rows,)
            Which rows are in a gap.
        """
        with self.lock:
            if self.info is None:
                return np.empty((0, 0)), np.empty(0, np.bool_)
            first = max(0, self._next - self._samples.capacity)
            wanted = _within(start, stop, first, self._next)
            return self._samples.read(*wanted).copy(), self._missing.read(*wanted).copy()

    def columns(self, factor: int, first: int, n: int) -> Envelope:
        """Return the least and greatest values over columns of rows.

        Column ``k`` is that of the rows from ``k * factor`` on.

        Parameters
        ----------
        factor : int
            Rows in a column. It is read from the coarsest bins (16, 256, 4096 rows) that it is a
            multiple of.
        first, n : int
            The first column, and how many.

        Returns
        -------
        Envelope
            float32; NaN where all is missing, not kept any more, or not whole yet.
        """
        edges = np.arange(first, first + n + 1, dtype=np.int64) * factor
        with self.lock:
            n_channels = self.info.sample_shape[0] if self.info is not None else 0
            lows = np.full((n, n_channels), np.nan, np.float32)
            highs = lows.copy()
            size = max((f for f in FACTORS if factor % f == 0), default=1)
            kept = self._samples.capacity if size == 1 and n_channels else self._capacity
            start = max(first, -(-max(0, self._next - kept) // factor))
            stop = min(first + n, self._next // factor)
            if start < stop:
                found = self._extremes(size, start * factor, stop * factor)
                where = slice(start - first, stop - first)
                least = reduce_bins(found[0], factor // size, greatest=False)
                most = reduce_bins(found[1], factor // size, greatest=True)
                with np.errstate(over="ignore"):  # what float32 cannot hold is off any screen
                    lows[where], highs[where] = least, most
                if not self._is_float:
                    nothing = least > most
                    lows[where][nothing] = highs[where][nothing] = np.nan
        return Envelope(edges, lows, highs)


class ColumnCache:
    """Keeps the newest columns of a buffer; only new rows cost anything.

    Parameters
    ----------
    buffer : SignalBuffer
        Where the rows are.
    factor : int
        Rows in a column; multiples of 16, 256 or 4096 are quick.
    n : int
        How many columns.
    """

    def __init__(self, buffer: SignalBuffer, factor: int, n: int) -> None:
        self._buffer = buffer
        self.factor = factor
        self.n = n
        self._generation = -1
        self._stop = 0
        self._minima = self._maxima = np.empty((0, 0), np.float32)

    def update(self) -> Envelope:
        """Return the last `n` columns up to the newest whole one; NaN where there is none."""
        stop = self._buffer.rows[1] // self.factor
        if self._buffer.generation != self._generation or stop - self._stop >= self.n:
            self._generation = self._buffer.generation
            new = self._buffer.columns(self.factor, stop - self.n, self.n)
            self._minima, self._maxima = new.minimum, new.maximum
        elif stop > self._stop:
            new = self._buffer.columns(self.factor, self._stop, stop - self._stop)
            k = len(new.minimum)
            for kept, fresh in ((self._minima, new.minimum), (self._maxima, new.maximum)):
                kept[:-k] = kept[k:].copy()
                kept[-k:] = fresh
        self._stop = stop
        edges = np.arange(stop - self.n, stop + 1, dtype=np.int64) * self.factor
        return Envelope(edges, self._minima, self._maxima)


def _sizes(info: StreamInfo, seconds: float, max_bytes: int) -> tuple[int, int]:
    """Return how many rows are numbered, with their bins and stamps, and how many are kept."""
    bytes_of_bins = 2 * info.sample_bytes * sum(1 / factor for factor in FACTORS)
    fitting = int(_MOST_BYTES_OF_BINS / (bytes_of_bins + _ROW_BYTES))
    rate = info.sampling_rate
    rows = max(_LEAST_ROWS, min(int(seconds * rate) if rate else _IRREGULAR_ROWS, fitting))
    return rows, max(_LEAST_ROWS, min(rows, max_bytes // max(1, info.sample_bytes)))


def _n_bins(rows: int, factor: int) -> int:
    return rows // factor + 2


def _within(start: int, stop: int, first: int, last: int) -> tuple[int, int]:
    begin = min(max(start, first), last)
    return begin, max(begin, min(stop, last))
