"""Weighted sums of the last samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._arithmetic import hold_finite
from rigmesh_nodes._kernels import aligned_zeros, has_compiler, kernel, like

__all__ = ["FirFilter", "convolve", "convolve_in_numpy", "scale"]

Array = npt.NDArray[Any]
Convolve = Callable[[Array, Array, Array, Array, int, int], int]
Scale = Callable[[Array, Array], int]

LANES = 64
"""Channels that are summed together."""
TILE = 32
"""Sums, and coefficients, that are worked on together: they stay in the first-level cache."""
AT_ONCE = 4
"""Coefficients a round of the innermost loop: fewer loads and stores of the sums."""
PIECE = 256
"""Samples a call: who waits for the interpreter's lock waits for that many."""


@kernel
def convolve(taps: Array, memory: Array, x: Array, y: Array, first: int, step: int) -> int:
    """Sum up weighted samples; return how many are not finite.

    Such a sample counts as the last finite one of its channel, and comes out as NaN. Sums go from
    the oldest sample to the latest, whatever the chunk.

    Parameters
    ----------
    taps : ndarray, shape (n_taps,)
        Coefficients, that of the oldest sample first; a multiple of 4.
    memory : ndarray, shape (n_blocks, n_taps - 1, 64)
        The samples before, of 64 channels each.
    x : ndarray, shape (n_samples, n_channels)
        Samples.
    y : ndarray, shape (n_sums, n_channels)
        Where to write the sums.
    first, step : int
        Sample of the first sum, and how many further the next one is.
    """
    n_samples, n_channels = x.shape
    n_taps, n_past = taps.shape[0], memory.shape[1]
    w = np.empty((n_past + n_samples, LANES), memory.dtype)
    sums = np.empty((TILE, LANES), memory.dtype)
    n_bad = 0
    for block in range(memory.shape[0]):
        past = memory[block]
        start = block * LANES
        width = min(LANES, n_channels - start)
        before = n_bad
        for t in range(n_past):
            for c in range(LANES):
                w[t, c] = past[t, c]
        for t in range(n_samples):
            for c in range(width):
                w[n_past + t, c] = x[t, start + c]
                n_bad += w[n_past + t, c] - w[n_past + t, c] != 0
            for c in range(width, LANES):
                w[n_past + t, c] = 0
        if n_bad > before:
            for t in range(n_past, n_past + n_samples):
                for c in range(width):
                    if w[t, c] - w[t, c] != 0:
                        w[t, c] = w[t - 1, c]
        for j0 in range(0, y.shape[0], TILE):
            n = min(TILE, y.shape[0] - j0)
            for j in range(n):
                for c in range(LANES):
                    sums[j, c] = 0
            for k0 in range(0, n_taps, TILE):
                for j in range(n):
                    begin = first + (j0 + j) * step
                    for k in range(k0, min(k0 + TILE, n_taps), AT_ONCE):
                        h0, h1, h2, h3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
                        for c in range(LANES):
                            total = sums[j, c] + h0 * w[begin + k, c]
                            total += h1 * w[begin + k + 1, c]
                            total += h2 * w[begin + k + 2, c]
                            sums[j, c] = total + h3 * w[begin + k + 3, c]
            for j in range(n):
                for c in range(width):
                    y[j0 + j, start + c] = sums[j, c]
        if n_bad > before:
            for j in range(y.shape[0]):
                for c in range(width):
                    sums[0, c] = x[first + j * step, start + c]
                    if sums[0, c] - sums[0, c] != 0:
                        y[j, start + c] = np.nan
        for t in range(n_past):
            for c in range(LANES):
                past[t, c] = w[n_samples + t, c]
    return n_bad


@kernel
def scale(taps: Array, x: Array, y: Array) -> int:
    """Do as `convolve` with a single coefficient."""
    gain, n_bad = taps[0], 0
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = x[t, c]
            v = y[t, c]
            is_bad = v - v != 0
            n_bad += is_bad
            y[t, c] = np.nan if is_bad else v * gain
    return n_bad


def convolve_in_numpy(taps: Array, memory: Array, x: Array, y: Array, first: int, step: int) -> int:
    """Do as `convolve`, with a memory of one block as wide as the signal."""
    if not len(x):
        return 0
    past = memory[0]
    held = past[-1] if len(past) else np.zeros(x.shape[1], memory.dtype)
    finite, is_bad, _ = hold_finite(x.astype(memory.dtype), held)
    rows = np.concatenate([past, finite])
    y[:] = 0
    for k, tap in enumerate(taps):
        y += tap * rows[first + k : len(x) + k : step]
    y[is_bad[first::step]] = np.nan
    past[:] = rows[len(x) :]
    return int(np.count_nonzero(is_bad))


class FirFilter:
    """A filter of finite impulse response that keeps the last samples from chunk to chunk.

    Runs in blocks of 64 channels, compiled; without numba in NumPy. A sample that is not finite
    comes out as NaN and counts as the last finite one of its channel.

    Parameters
    ----------
    coefficients : ndarray, shape (n_taps,)
        What the samples are multiplied with, that of the latest one first.
    n_channels : int
        Channels to filter, each by itself.
    given, result : str
        Types of the samples, before and after; the latter is computed in.
    step : int
        Every how many samples to compute a result for.
    is_compiled : bool
        Whether to use numba, if it is there.

    Attributes
    ----------
    n_not_finite : int
        Samples so far that were not finite.
    is_compiled : bool
        Whether it uses numba.
    """

    def __init__(
        self,
        coefficients: Array,
        n_channels: int,
        *,
        given: str = "float64",
        result: str = "float64",
        step: int = 1,
        is_compiled: bool = True,
    ) -> None:
        self.n_not_finite = 0
        self.is_compiled = is_compiled and has_compiler()
        self._n_channels = n_channels
        self._width = (n_channels,)
        self._given: np.dtype[Any] = np.dtype(given)
        self._result: np.dtype[Any] = np.dtype(result)
        self._step = step
        self._begin(coefficients)

    def change(self, coefficients: Array) -> None:
        """Go on with other coefficients; the last samples are kept as far as there are any."""
        before = self._memory
        self._begin(coefficients)
        n = min(before.shape[1], self._memory.shape[1])
        self._memory[:, len(self._memory[0]) - n :] = before[:, len(before[0]) - n :]

    def __call__(self, data: Array, first: int = 0) -> Array:
        """Filter the next samples.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        first : int
            The first of them to compute a result for.

        Returns
        -------
        ndarray, shape (n_results, n_channels)
            The results.
        """
        # The kernels take this for granted; see `Kernel.trusted`.
        data = np.ascontiguousarray(data, self._given)
        if data.shape[1:] != self._width:
            raise ValueError(f"asked to filter {data.shape}, made for {self._n_channels} channels")
        if self._scale is not None:
            filtered = np.empty(data.shape, self._result)
            n_bad = self._scale(data, filtered)
        else:
            n_results = len(range(first, len(data), self._step))
            filtered = np.empty((n_results, self._n_channels), self._result)
            n_bad = self._run_in_pieces(data, filtered, first)
        if n_bad:
            self.n_not_finite += n_bad
        return filtered

    def _run_in_pieces(self, data: Array, filtered: Array, first: int) -> int:
        step = self._step
        if len(data) <= PIECE:
            return self._convolve(data, filtered, first, step)
        n_bad = done = 0
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            count = len(range(first, len(piece), step))
            n_bad += self._convolve(piece, filtered[done : done + count], first, step)
            done += count
            first += count * step - len(piece)
        return n_bad

    def _begin(self, coefficients: Array) -> None:
        is_gain = len(coefficients) == self._step == 1
        n_taps = 1 if is_gain else -(-len(coefficients) // AT_ONCE) * AT_ONCE
        taps = np.zeros(n_taps, self._result)
        taps[n_taps - len(coefficients) :] = coefficients[::-1]
        shape = (1, n_taps - 1, self._n_channels)
        if self.is_compiled and not is_gain:
            shape = (-(-self._n_channels // LANES), n_taps - 1, LANES)
        self._memory = aligned_zeros(shape, self._result)
        self._scale: Scale | None = None
        run: Convolve = convolve_in_numpy
        if self.is_compiled:
            x, y = like(self._given, 2, is_read_only=True), like(self._result, 2)
            if not is_gain:
                run = convolve.trusted(taps, self._memory, x, y, 0, 1) or run
            elif compiled := scale.trusted(taps, x, y):
                self._scale = partial(compiled, taps)
        self._convolve = partial(run, taps, self._memory)
