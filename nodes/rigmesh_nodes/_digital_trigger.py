"""Edges of the bits of a digital port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["BitEdge", "BitEdges", "Debounce", "bits_of", "n_bits"]

Debounce = Literal["none", "after-stable", "before-stable"]

_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class BitEdge:
    """The first sample at which a bit is another one than before.

    Parameters
    ----------
    at : int
        Number of the sample, from 0 at the first one that was searched.
    bit : int
        The bit, from 0.
    is_rising : bool
        Whether it is set now.
    time : float
        Stamp of the sample.
    value : int
        The port's value, with only the bits that are looked at.
    """

    at: int
    bit: int
    is_rising: bool
    time: float
    value: int

    @property
    def direction(self) -> str:
        """``rising`` or ``falling``."""
        return "rising" if self.is_rising else "falling"


class BitEdges:
    """Finds the edges of bits, chunk after chunk.

    Parameters
    ----------
    bits : sequence of int
        Bits to look at, from 0.
    debounce : str
        ``none``: every edge counts. ``after-stable``: one after which the bit stays for
        `n_stable` samples. ``before-stable``: one before which the bit stayed for `n_stable`
        samples, and that leads to a level at which it stays from the sample `n_stable` after the
        edge on for as many samples; in between it may bounce.
    n_stable : int
        See there.

    Attributes
    ----------
    n_unknown : int
        Samples so far that were no whole number of 64 bits.
    """

    def __init__(self, bits: Sequence[int], debounce: Debounce = "none", n_stable: int = 0) -> None:
        self.n_unknown = 0
        self._bits = bits
        self._mask = np.uint64(sum(1 << bit for bit in bits))
        self._debounce = debounce if n_stable else "none"
        self._n_stable = n_stable
        self._n_decided = n_stable * (2 if debounce == "before-stable" else 1)
        self._value: np.uint64 | None = None
        self._n_seen = 0
        self._changed = [0] * _MOST_BITS
        self._open: dict[int, BitEdge] = {}

    def find(self, values: npt.NDArray[Any], times: npt.NDArray[np.float64]) -> list[BitEdge]:
        """Return the edges that the next values decide about, in order.

        Parameters
        ----------
        values : ndarray, shape (n_samples,)
            Integers, or floats that hold such; at what is not finite, every bit stays.
        times : ndarray, shape (n_samples,)
            Their stamps.
        """
        if not len(values):
            return []
        found: list[BitEdge] = []
        known: npt.NDArray[np.intp] | None = None
        if values.dtype.kind == "f":
            values, known = self._whole(values)
        masked = values.astype(np.uint64) & self._mask
        if len(masked):
            self._follow(masked, known, times, found)
        self._n_seen += len(times)
        if self._open:
            self._decide(found)
        if len(found) > 1:
            found.sort(key=lambda edge: (edge.at, edge.bit))
        return found

    def skip(self) -> None:
        """Learn that samples are missing here: no bit is known to have stayed."""
        self._open.clear()
        self._changed = [self._n_seen] * _MOST_BITS

    def _whole(
        self, values: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp] | None]:
        """Return the values that can be whole numbers, and which they are, unless all."""
        good = np.abs(values) < 2.0**63
        if good.all():
            return values.astype(np.int64), None
        known = np.flatnonzero(good)
        self.n_unknown += len(values) - len(known)
        return values[known].astype(np.int64), known

    def _follow(
        self,
        masked: npt.NDArray[np.uint64],
        known: npt.NDArray[np.intp] | None,
        times: npt.NDArray[np.float64],
        found: list[BitEdge],
    ) -> None:
        if self._value is None:
            self._value = masked[0]
        if not np.count_nonzero(masked != self._value):  # most chunks; any() takes a µs more
            return
        before = np.concatenate(((self._value,), masked[:-1]))
        for row in np.flatnonzero(masked != before).tolist():
            value = int(masked[row])
            at = row if known is None else int(known[row])
            changed = value ^ int(before[row])
            time = float(times[at])
            for bit in self._bits:
                if changed >> bit & 1:
                    is_rising = bool(value >> bit & 1)
                    self._take(BitEdge(self._n_seen + at, bit, is_rising, time, value), found)
        self._value = masked[-1]

    def _take(self, edge: BitEdge, found: list[BitEdge]) -> None:
        """Take the next edge of a bit: it may decide about the one before."""
        if self._debounce == "none":
            found.append(edge)
            return
        n, bit = self._n_stable, edge.bit
        since, self._changed[bit] = self._changed[bit], edge.at
        last = self._open.get(bit)
        if self._debounce == "after-stable":
            if last is not None and edge.at - last.at >= n:
                found.append(last)
            self._open[bit] = edge
            return
        if last is not None and edge.at - last.at > n:  # up to there, it bounces
            del self._open[bit]
            # The level before this edge is the opposite of the one after it.
            if edge.at - last.at >= 2 * n and edge.is_rising != last.is_rising:
                found.append(last)
        if edge.at - since >= n:
            self._open[bit] = edge

    def _decide(self, found: list[BitEdge]) -> None:
        """Decide about the edges after which enough samples have come."""
        value = int(self._value or 0)
        for bit, edge in list(self._open.items()):
            if self._n_seen - edge.at >= self._n_decided:
                del self._open[bit]
                if bool(value >> bit & 1) == edge.is_rising:
                    found.append(edge)


def n_bits(dtype: np.dtype[Any]) -> int:
    """Return how many bits of a whole number a type can hold."""
    if dtype.kind == "f":
        return int(np.finfo(dtype).nmant) + 1
    return 8 * dtype.itemsize


def bits_of(mask: int) -> list[int]:
    """Return the bits that are set in a mask, from 0."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
