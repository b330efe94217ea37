"""Cascades of second-order sections that keep their state from chunk to chunk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import sosfilt

from rigmesh_nodes._arithmetic import hold_finite
from rigmesh_nodes._kernels import aligned_zeros, has_compiler, kernel, like

__all__ = ["SosFilter", "cascade", "cascade_of_scipy"]

Array = npt.NDArray[Any]
Cascade = Callable[[Array, Array, Array, Array, bool], int]

LANES = 64
"""Channels that pass together: their state and samples stay in the first-level cache."""
TILE = 32
"""Samples that pass a section together; 16 kB of float64."""
PERIOD = 256
"""Samples after which a state may begin anew; counted, so that chunks' sizes do not matter."""

TINY_SINGLE = float(np.finfo(np.float32).tiny)
TINY_DOUBLE = float(np.finfo(np.float64).tiny)


@kernel
def cascade(sections: Array, memory: Array, x: Array, y: Array, settles: bool) -> int:
    """Filter samples by sections in transposed direct form II; return how many are not finite.

    Such a sample counts as the last finite one of its channel, and comes out as NaN.

    Parameters
    ----------
    sections : ndarray, shape (n_sections, 5)
        b0, b1, b2, a1 and a2 of each.
    memory : ndarray, shape (n_blocks, 2 * n_sections + 1, 64)
        The states of each section for 64 channels, then the last samples.
    x, y : ndarray, shape (n_samples, n_channels)
        Samples, and where to write them filtered.
    settles : bool
        Whether states that are subnormal, which takes processors long, or not finite begin anew
        afterwards.
    """
    n_samples, n_channels = x.shape
    n_sections = sections.shape[0]
    w = np.empty((TILE, LANES), memory.dtype)
    kept0, kept1 = np.empty(LANES, memory.dtype), np.empty(LANES, memory.dtype)
    last = np.empty(LANES, memory.dtype)
    tiny = TINY_DOUBLE if memory.itemsize == 8 else TINY_SINGLE
    n_bad = 0
    for block in range(memory.shape[0]):
        state = memory[block]
        first = block * LANES
        width = min(LANES, n_channels - first)
        for begin in range(0, n_samples, TILE):
            n = min(TILE, n_samples - begin)
            before = n_bad
            for t in range(n):
                for c in range(width):
                    w[t, c] = x[begin + t, first + c]
                for c in range(width, LANES):
                    w[t, c] = 0
            for c in range(LANES):
                last[c] = w[n - 1, c]
                kept0[c] = state[0, c]
                kept1[c] = state[1, c]
            for k in range(n_sections):
                b0, b1, b2 = sections[k, 0], sections[k, 1], sections[k, 2]
                a1, a2 = sections[k, 3], sections[k, 4]
                z0, z1 = state[2 * k], state[2 * k + 1]
                for tried in range(2):
                    for t in range(n):
                        for c in range(LANES):
                            v = w[t, c]
                            o = b0 * v + z0[c]
                            z0[c] = b1 * v - a1 * o + z1[c]
                            z1[c] = b2 * v - a2 * o
                            w[t, c] = o
                    if k > 0:
                        break
                    # What is not finite never leaves a state: to look at the first section's once
                    # a tile costs next to nothing, to look at each sample 7 %.
                    n_doubts = 0
                    for c in range(LANES):
                        n_doubts += z0[c] - z0[c] != 0
                    if tried or n_doubts == 0:
                        break
                    for c in range(LANES):
                        z0[c], z1[c] = kept0[c], kept1[c]
                        held = state[2 * n_sections, c]
                        for t in range(n):
                            w[t, c] = x[begin + t, first + c] if c < width else 0
                            if w[t, c] - w[t, c] != 0:
                                n_bad += 1
                                w[t, c] = held
                            held = w[t, c]
                        last[c] = held
            for c in range(LANES):
                state[2 * n_sections, c] = last[c]
            for t in range(n):
                for c in range(width):
                    y[begin + t, first + c] = w[t, c]
            if n_bad > before:
                for t in range(n):
                    for c in range(width):
                        w[t, c] = x[begin + t, first + c]
                        if w[t, c] - w[t, c] != 0:
                            y[begin + t, first + c] = np.nan
        if settles:
            for k in range(2 * n_sections):
                for c in range(LANES):
                    if not tiny <= abs(state[k, c]) < np.inf:
                        state[k, c] = 0
    return n_bad


def cascade_of_scipy(sections: Array, memory: Array, x: Array, y: Array, settles: bool) -> int:
    """Do as `cascade`, with a memory of one block as wide as the signal."""
    if not len(x):
        return 0
    n_sections, n_channels = len(sections), x.shape[1]
    states, held = memory[0, :-1], memory[0, -1]
    finite, is_bad, held[:] = hold_finite(x.astype(memory.dtype), held)
    sos = np.insert(sections, 3, 1.0, axis=1)
    y[:], after = sosfilt(sos, finite, axis=0, zi=states.reshape(n_sections, 2, n_channels))
    y[is_bad] = np.nan
    states[:] = after.reshape(states.shape)
    if settles:
        size = np.abs(states)
        states[~((size >= TINY_DOUBLE) & (size < np.inf))] = 0
    return int(np.count_nonzero(is_bad))


class SosFilter:
    """A filter of second-order sections that keeps its state from chunk to chunk.

    Runs in blocks of 64 channels, compiled; without numba as `scipy.signal.sosfilt`. A sample that
    is not finite comes out as NaN and counts as the last finite one of its channel, so that it does
    not spoil what follows. A filter that overflows begins anew within 256 samples.

    Parameters
    ----------
    sos : ndarray, shape (n_sections, 6)
        The sections, as `scipy.signal` designs them.
    n_channels : int
        Channels to filter, each by itself.
    given, result : str
        Types of the samples, before and after.
    arithmetic : str
        Type to compute in, ``float32`` or ``float64``; without numba always the latter.
    is_compiled : bool
        Whether to use numba, if it is there.

    Attributes
    ----------
    n_not_finite : int
        Samples so far that were not finite.
    arithmetic : str
        Type it computes in.
    is_compiled : bool
        Whether it uses numba.
    """

    def __init__(
        self,
        sos: Array,
        n_channels: int,
        *,
        given: str = "float64",
        result: str = "float64",
        arithmetic: str = "float64",
        is_compiled: bool = True,
    ) -> None:
        self.n_not_finite = 0
        self.is_compiled = is_compiled and has_compiler()
        self.arithmetic = arithmetic if self.is_compiled else "float64"
        self._n_channels = n_channels
        self._width = (n_channels,)
        self._given: np.dtype[Any] = np.dtype(given)
        self._result: np.dtype[Any] = np.dtype(result)
        self._cascades: dict[str, Cascade] = {}
        self._left = PERIOD
        self.allow(self.arithmetic)
        self._begin(sos)

    def allow(self, arithmetic: str) -> None:
        """Compile what a later `change` to another type to compute in needs."""
        compiled = None
        if self.is_compiled:
            compiled = cascade.trusted(
                like(arithmetic, 2),
                like(arithmetic, 3),
                like(self._given, 2, is_read_only=True),
                like(self._result.name, 2),
                False,
            )
        self._cascades[arithmetic] = compiled or cascade_of_scipy

    def change(self, sos: Array, arithmetic: str = "") -> None:
        """Go on with other sections; the state is kept if there are as many.

        Parameters
        ----------
        sos : ndarray, shape (n_sections, 6)
            The sections.
        arithmetic : str
            Type to compute in from now on, if that was allowed.
        """
        before = self._memory
        if arithmetic in self._cascades:
            self.arithmetic = arithmetic
        self._begin(sos)
        if self._memory.shape == before.shape:
            self._memory[:] = before

    def __call__(self, data: Array) -> Array:
        """Filter the next samples, shape (n_samples, n_channels)."""
        # The kernels take this for granted; see `Kernel.trusted`.
        data = np.ascontiguousarray(data, self._given)
        if data.shape[1:] != self._width:
            raise ValueError(f"asked to filter {data.shape}, made for {self._n_channels} channels")
        filtered = np.empty(data.shape, self._result)
        n = len(data)
        if n < self._left:
            self._left -= n
            n_bad = self._run(data, filtered, False)
        else:
            n_bad = self._run_in_pieces(data, filtered)
        if n_bad:
            self.n_not_finite += n_bad
        return filtered

    def _run_in_pieces(self, data: Array, filtered: Array) -> int:
        n_bad = start = 0
        while start < len(data):
            stop = min(start + self._left, len(data))
            self._left -= stop - start
            n_bad += self._run(data[start:stop], filtered[start:stop], not self._left)
            self._left = self._left or PERIOD
            start = stop
        return n_bad

    def _begin(self, sos: Array) -> None:
        n_rows = 2 * len(sos) + 1
        shape = (1, n_rows, self._n_channels)
        if self.is_compiled:
            shape = (-(-self._n_channels // LANES), n_rows, LANES)
        self._memory = aligned_zeros(shape, self.arithmetic)
        sections = np.ascontiguousarray(sos[:, [0, 1, 2, 4, 5]], dtype=self.arithmetic)
        self._run = partial(self._cascades[self.arithmetic], sections, self._memory)
