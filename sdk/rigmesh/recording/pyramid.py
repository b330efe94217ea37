"""Least and greatest values of signals over bins of rows, so that hours are drawn at once.

A bin of one level holds 16 of the level below. Every bin is whole: what is left over at an end is
looked up in the level below, and at last in the samples. NaN counts only where nothing else is.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rigmesh.recording.rows import FlatRows
from rigmesh.streams import StreamInfo

__all__ = [
    "FACTORS",
    "Envelope",
    "Level",
    "PyramidBuilder",
    "PyramidFiles",
    "Segment",
    "captured_levels",
    "envelope_of",
    "has_pyramid",
    "reduce_bins",
]

Array = npt.NDArray[Any]
Read = Callable[[slice], Array]

_RATIO = 16
FACTORS = (64, 64 * _RATIO, 64 * _RATIO**2, 64 * _RATIO**3)
"""Rows in a bin, level by level."""

_BLOCK_BYTES = 2**20  # stays in a core's cache
_CATCH_UP_BYTES = 64 * 2**20
_WIDE = 64
_FEW = 8


class Envelope(NamedTuple):
    """Least and greatest values of each channel over bins of rows that follow each other.

    Attributes
    ----------
    rows : ndarray, shape (n_bins + 1,)
        First row of each bin, and the row behind the last.
    minimum, maximum : ndarray, shape (n_bins, n_channels)
        NaN only where a bin holds nothing else.
    """

    rows: npt.NDArray[np.int64]
    minimum: Array
    maximum: Array


@dataclass(frozen=True, slots=True)
class Level:
    """`n` bins of `factor` rows; `read` gives them as (n_bins, 2, n_channels)."""

    factor: int
    n: int
    read: Read


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows and their bins, which begin at the first of them; levels from fine to coarse."""

    first_row: int
    n: int
    levels: tuple[Level, ...] = ()


class _Block(NamedTuple):
    """Extremes of rows: each element is about `step` of them."""

    first_row: int
    step: int
    lows: Array
    highs: Array


def has_pyramid(info: StreamInfo) -> bool:
    """Whether bins are kept of such a stream."""
    return info.kind == "signal"


def envelope_of(
    samples: Read, info: StreamInfo, segments: Sequence[Segment], wanted: slice, n_bins: int
) -> Envelope:
    """Return the extremes of rows in at most so many bins.

    Parameters
    ----------
    samples : callable
        Reads samples, by a slice of rows.
    info : StreamInfo
        Of a signal.
    segments : sequence of Segment
        All rows, in order.
    wanted : slice
        Rows that exist.
    n_bins : int
        How many bins are wanted. They are cut where the pyramid has a cut, so that their lengths
        differ by as much as the bins that they are made of.
    """
    start, stop = wanted.start, wanted.stop
    cuts = start + (stop - start) * np.arange(1, n_bins, dtype=np.int64) // n_bins
    edges = [np.array([start, stop], np.int64)]
    parts = []
    for segment in segments:
        first, last = max(start, segment.first_row), min(stop, segment.first_row + segment.n)
        if first >= last:
            continue
        levels = [level for level in segment.levels if level.factor * n_bins <= stop - start]
        own = cuts[(cuts > first) & (cuts < last)]
        if levels:
            own -= (own - segment.first_row) % levels[-1].factor
        edges.append(own[own > first])
        parts.append((Segment(segment.first_row, segment.n, tuple(levels)), first, last))
    rows = np.unique(np.concatenate(edges))
    found = np.empty((2, len(rows) - 1, *info.sample_shape), info.dtype)
    for part, first, last in parts:
        for block in _cover(samples, info, part, first, last):
            _reduce_into(found, rows, block)
    return Envelope(rows, found[0], found[1])


class PyramidBuilder:
    """Makes bins of all levels out of samples that come in any pieces.

    Parameters
    ----------
    takers : sequence of callable
        For each level, what takes its new bins, of shape (n_bins, 2, n_channels).
    """

    def __init__(self, takers: Sequence[Callable[[Array], None]]) -> None:
        self._takers = takers
        self._rest: dict[int, tuple[Array, Array]] = {}

    def add(self, samples: Array) -> None:
        """Take the samples that follow, of shape (n_samples, n_channels)."""
        lows, highs = samples, samples
        for number, take in enumerate(self._takers):
            size = _RATIO if number else FACTORS[0]
            if number in self._rest:
                low_rest, high_rest = self._rest.pop(number)
                lows, highs = np.concatenate((low_rest, lows)), np.concatenate((high_rest, highs))
            whole = len(lows) // size * size
            if whole < len(lows):
                self._rest[number] = lows[whole:].copy(), highs[whole:].copy()
            if not whole:
                return
            lows, highs = _extremes(lows[:whole], highs[:whole], size)
            take(np.stack((lows, highs), axis=1))


class PyramidFiles:
    """The bins of an epoch that is being recorded, made of its file of samples.

    They are derived, and nothing depends on them: they are not synced, after a crash they are
    cut to what there are samples for and caught up with bit by bit, and if the disk refuses them
    they are removed.

    Parameters
    ----------
    file : callable
        Returns the epoch's file of an ending.
    info : StreamInfo
        Of a signal.
    rows : int
        Samples there are.
    """

    def __init__(self, file: Callable[[str], Path], info: StreamInfo, rows: int) -> None:
        self._info = info
        self._samples = file("dat")
        self._paths = [file(_ending(factor)) for factor in FACTORS]
        self._bin_bytes = 2 * info.sample_bytes
        self._counts: list[int] | None = []
        with self._giving_up():
            for path, factor in zip(self._paths, FACTORS, strict=True):
                n = min(_size(path) // self._bin_bytes, rows // factor)
                if path.exists():
                    os.truncate(path, n * self._bin_bytes)
                self._counts.append(n)

    def extend(self, rows: int) -> None:
        """Add the bins of the first `rows` samples, or as many as may be made at once."""
        counts, info = self._counts, self._info
        if counts is None or rows - counts[0] * FACTORS[0] < FACTORS[0]:
            return
        with self._giving_up():
            most = max(1, _CATCH_UP_BYTES // (FACTORS[0] * info.sample_bytes))
            stop = min(rows // FACTORS[0], counts[0] + most)
            samples = FlatRows([(self._samples, rows)], info.dtype, info.sample_shape)
            per_block = max(1, _BLOCK_BYTES // (FACTORS[0] * info.sample_bytes))
            for first in range(counts[0], stop, per_block):
                wanted = slice(first * FACTORS[0], min(first + per_block, stop) * FACTORS[0])
                block = samples[wanted]
                self._append(counts, 0, _extremes(block, block, FACTORS[0]))
            for number in range(1, len(FACTORS)):
                first, stop = counts[number] * _RATIO, counts[number - 1] // _RATIO * _RATIO
                files = [(self._paths[number - 1], counts[number - 1])]
                below = FlatRows(files, info.dtype, (2, *info.sample_shape))
                per_block = max(1, _BLOCK_BYTES // (_RATIO * self._bin_bytes)) * _RATIO
                for row in range(first, stop, per_block):
                    bins = below[row : min(row + per_block, stop)]
                    self._append(counts, number, _extremes(bins[:, 0], bins[:, 1], _RATIO))

    def remove(self) -> None:
        """Remove the files, and make no more."""
        self._counts = None
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _append(self, counts: list[int], number: int, found: tuple[Array, Array]) -> None:
        bins = np.stack(found, axis=1)
        with self._paths[number].open("ab") as file:
            file.write(bins.reshape(-1).view(np.uint8).data)
        counts[number] += len(bins)

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Give up what the disk refuses."""
        try:
            yield
        except OSError:
            self.remove()


def captured_levels(file: Callable[[str], Path], info: StreamInfo, rows: int) -> tuple[Level, ...]:
    """Return the levels that a capture has of an epoch with so many rows."""
    levels = []
    for factor in FACTORS if has_pyramid(info) else ():
        path = file(_ending(factor))
        n = min(_size(path) // (2 * info.sample_bytes), rows // factor)
        if n:
            bins = FlatRows([(path, n)], info.dtype, (2, *info.sample_shape))
            levels.append(Level(factor, n, bins.__getitem__))
    return tuple(levels)


def _cover(
    samples: Read, info: StreamInfo, segment: Segment, first: int, last: int
) -> Iterator[_Block]:
    """Cover rows by bins as coarse as possible, and the ends by finer ones."""
    if not segment.levels:
        step = max(1, _BLOCK_BYTES // info.sample_bytes)
        for row in range(first, last, step):
            block = samples(slice(row, min(row + step, last)))
            yield _Block(row, 1, block, block)
        return
    level, origin = segment.levels[-1], segment.first_row
    finer = Segment(origin, segment.n, segment.levels[:-1])
    begin = math.ceil((first - origin) / level.factor)
    end = min((last - origin) // level.factor, level.n)
    if begin >= end:
        yield from _cover(samples, info, finer, first, last)
        return
    yield from _cover(samples, info, finer, first, origin + begin * level.factor)
    step = max(1, _BLOCK_BYTES // (2 * info.sample_bytes))
    for at in range(begin, end, step):
        bins = level.read(slice(at, min(at + step, end)))
        yield _Block(origin + at * level.factor, level.factor, bins[:, 0], bins[:, 1])
    yield from _cover(samples, info, finer, origin + end * level.factor, last)


def _reduce_into(found: Array, rows: npt.NDArray[np.int64], block: _Block) -> None:
    first, n = block.first_row, len(block.lows)
    number = int(np.searchsorted(rows, first, "right")) - 1
    last = int(np.searchsorted(rows, first + n * block.step, "left"))
    # A cut is where an element begins, unless it is behind the last.
    starts = np.maximum(0, -(-(rows[number:last] - first) // block.step))
    for into, values, function in zip(
        found, (block.lows, block.highs), _functions(found.dtype), strict=True
    ):
        before = into[number].copy()
        if len(starts) * _FEW > n:
            function.reduceat(values, starts, axis=0, out=into[number:last])
        else:
            for at, (begin, end) in enumerate(pairwise([*starts.tolist(), n]), start=number):
                function.reduce(values[begin:end], axis=0, out=into[at])
        if rows[number] < first:
            function(before, into[number], out=into[number])


def _extremes(lows: Array, highs: Array, size: int) -> tuple[Array, Array]:
    """Return the extremes of each `size` rows; there are no more."""
    least, greatest = _functions(lows.dtype)
    return _reduce(least, lows, size), _reduce(greatest, highs, size)


def reduce_bins(values: Array, size: int, *, greatest: bool) -> Array:
    """Return the least or greatest values of each `size` rows; there are no more."""
    return _reduce(_functions(values.dtype)[greatest], values, size)


def _reduce(function: np.ufunc, values: Array, size: int) -> Array:
    bins, width = values.reshape(len(values) // size, size, *values.shape[1:]), values.shape[1]
    # Along short rows NumPy calls its loop for each of them: halve the bins by long ones first.
    while 1 < width < _WIDE < width * size and size % 2 == 0:
        size //= 2
        bins = function(bins[:, :size], bins[:, size:])
    reduced: Array = function.reduce(bins, axis=1)
    return reduced


def _functions(dtype: np.dtype[Any]) -> tuple[np.ufunc, np.ufunc]:
    return (np.fmin, np.fmax) if dtype.kind == "f" else (np.minimum, np.maximum)


def _ending(factor: int) -> str:
    return f"minmax{factor}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
