"""Traces as pixel columns: the least and greatest value of each channel in each of them."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Columns", "Style"]

Array = npt.NDArray[Any]
Style = Literal["bins", "line", "steps"]

_MOST_REPEATED = 2
"""Columns that jitter of the stamps leaves empty between two bins; more of them are a hole."""


class Columns:
    """What traces cover in each column of pixels, kept for the last `width` columns.

    Columns are numbered on and on from time zero, so a scanning and a scrolling picture have the
    same ones at the same places; number ``c`` is kept at ``c % width``.

    Parameters
    ----------
    n_channels, width : int
        Number of channels, and of columns that are kept.

    Attributes
    ----------
    low, high : ndarray, shape (n_channels, width)
        float32; NaN where there is nothing.
    right : int
        The newest column of the picture, whether this signal reaches it or not.
    """

    def __init__(self, n_channels: int, width: int) -> None:
        self.width = width
        self.low = np.full((n_channels, width), np.nan, np.float32)
        self.high = self.low.copy()
        self.right = -1
        self._last_at = -np.inf
        self._last: Array = np.full(n_channels, np.nan, np.float32)

    @property
    def reached(self) -> float:
        """How far the signal reaches, in columns; minus infinity if there was nothing."""
        return self._last_at

    def clear(self, right: int) -> None:
        """Forget everything; `right` is the newest column from now on."""
        self.low.fill(np.nan)
        self.high.fill(np.nan)
        self.right = right
        self._last_at = -np.inf
        self._last.fill(np.nan)

    def move_to(self, right: int) -> int:
        """Let `right` be the newest column, and return how many are new, and empty."""
        n = right - self.right
        if n <= 0:
            return 0
        for begin, stop in self.places(max(self.right + 1, right + 1 - self.width), right + 1):
            self.low[:, begin:stop] = np.nan
            self.high[:, begin:stop] = np.nan
        self.right = right
        return min(n, self.width)

    def places(self, first: int, stop: int) -> list[tuple[int, int]]:
        """Return where columns are kept: one range, or two if they wrap around."""
        n = min(stop - first, self.width)
        if n <= 0:
            return []
        begin = (stop - n) % self.width
        if begin + n <= self.width:
            return [(begin, begin + n)]
        return [(begin, self.width), (0, begin + n - self.width)]

    def extend(self, at: Array, low: Array, high: Array, style: Style) -> tuple[int, int]:
        """Add samples, or bins of them, that follow those before.

        Parameters
        ----------
        at : ndarray, shape (n,)
            When they are, in columns. One that steps back counts as simultaneous.
        low, high : ndarray, shape (n, n_channels)
            Least and greatest values; the same array for samples. NaN breaks the trace.
        style : str
            What lies between two: nothing (``bins``; columns without one repeat the one before), a
            straight ``line``, or the first's value until the second (``steps``).

        Returns
        -------
        first, stop : int
            The columns that changed; none if they are equal.
        """
        if not len(at):
            return 0, 0
        before = self._last_at
        at = np.maximum.accumulate(np.maximum(at, before))
        if style != "bins" and np.isfinite(before):
            at = np.concatenate(([before], at))
            low = high = np.concatenate((self._last[None], low))
        self._last_at = float(at[-1])
        self._last = np.array(low[-1], np.float32)
        oldest = self.right + 1 - self.width
        if at[-1] < oldest:
            return 0, 0
        at, low, high = _cut(at, low, high, oldest, style)
        number = np.floor(at).astype(np.int64)
        first, stop = int(number[0]), int(number[-1]) + 1
        if style == "bins" and np.isfinite(before):
            last = math.floor(before)
            is_near = oldest <= last <= first <= last + _MOST_REPEATED + 1
            first = last if is_near else first
        lows, highs = _gathered(number - first, stop - first, low, high)
        if style == "bins":
            # What the first of them has already is repeated, too.
            np.fmin(lows[0], self.low[:, first % self.width], out=lows[0])
            np.fmax(highs[0], self.high[:, first % self.width], out=highs[0])
            _repeat(number - first, lows, highs)
        elif stop - first > 1:
            between = _between(at, low, np.arange(first + 1, stop), style)
            for part in (slice(1, None), slice(None, -1)):
                np.fmin(lows[part], between, out=lows[part])
                np.fmax(highs[part], between, out=highs[part])
        return self._merge(first, stop, lows, highs)

    def _merge(self, first: int, stop: int, lows: Array, highs: Array) -> tuple[int, int]:
        stop = min(stop, self.right + 1)
        if first >= stop:
            return 0, 0
        at = 0
        for begin, end in self.places(first, stop):
            n = end - begin
            np.fmin(self.low[:, begin:end], lows[at : at + n].T, out=self.low[:, begin:end])
            np.fmax(self.high[:, begin:end], highs[at : at + n].T, out=self.high[:, begin:end])
            at += n
        return first, stop


def _cut(at: Array, low: Array, high: Array, oldest: int, style: Style) -> tuple[Array, ...]:
    """Return what lies in column `oldest` or later, a line from its left edge on."""
    skipped = int(np.searchsorted(at, oldest))
    if not skipped:
        return at, low, high
    if style == "bins":
        return at[skipped:], low[skipped:], high[skipped:]
    skipped -= 1
    at, low = at[skipped:].copy(), np.array(low[skipped:], np.float32)
    low[0] = _between(at, low, np.array([oldest]), style)[0]
    at[0] = oldest
    return at, low, low


def _gathered(number: Array, n: int, low: Array, high: Array) -> tuple[Array, Array]:
    """Return the extremes of what lies in each of `n` columns; `number` rises."""
    shape = (n, low.shape[1])
    lows, highs = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    where = number[starts]
    if len(starts) == len(number):
        lows[where], highs[where] = low, high
    else:
        lows[where] = np.fmin.reduceat(low, starts, axis=0)
        highs[where] = np.fmax.reduceat(high, starts, axis=0)
    return lows, highs


def _repeat(number: Array, lows: Array, highs: Array) -> None:
    """Let columns that jitter left empty be like the one before, unless there are many."""
    there = np.concatenate(([0], number))
    sizes = np.diff(there)
    for empty in range(1, _MOST_REPEATED + 1):
        before = there[:-1][(sizes > empty) & (sizes <= _MOST_REPEATED + 1)]
        lows[before + empty], highs[before + empty] = lows[before], highs[before]


def _between(at: Array, values: Array, edges: Array, style: Style) -> Array:
    """Return the values of a line through samples at the edges of columns."""
    before = np.searchsorted(at, edges, side="right") - 1
    if style == "steps":
        found: Array = values[before]
        return found
    after = np.minimum(before + 1, len(at) - 1)
    span = at[after] - at[before]
    weight = np.divide(edges - at[before], span, out=np.zeros(len(edges)), where=span > 0)
    weight = weight.astype(np.float32)[:, None]
    mixed: Array = values[before] * (1 - weight) + values[after] * weight
    return mixed
