"""A scalogram of a signal that goes on, by blocks of FFTs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import firwin, kaiser_beta

from rigmesh.errors import ParameterError
from rigmesh_nodes._arithmetic import hold_finite
from rigmesh_nodes._fir import FirFilter
from rigmesh_nodes._spectra_stretches import Line, stretches
from rigmesh_nodes._spectra_wavelets import Normalisation, wavelet

__all__ = ["MorletTransform"]

Array = npt.NDArray[Any]

_BAND = 5.3
"""Standard deviations of a wavelet's spectrum up to where it is negligible, a millionth."""
_SAMPLED = 8.0
"""Samples of power a second, in standard deviations of the wavelet's spectrum, that show all of
its course: power has a deviation of sqrt(2) of these, and is 2 % at half the rate."""
_REJECTION = 120.0
"""Of the filter before the transform, in dB."""


class MorletTransform:
    """Power of a signal in time and frequency, chunk after chunk.

    Power is that of the convolution with complex Morlet wavelets. It is given for the samples whose
    index is a multiple of `factor`. Where it can change faster than that shows, it is averaged with
    a Hann window that reaches from the sample before to the sample after, so that no burst falls
    between two.

    Wavelets occupy few bins of a spectrum. Of the FFT of each stretch of signal (overlap-save), a
    product with a small matrix gives at once the convolution at the samples that are wanted;
    shorter wavelets take shorter stretches. Stretches begin at multiples of their distance: the
    result does not depend on chunks. A signal that is sampled much faster than the frequencies need
    is low-passed (FIR, 120 dB) and decimated before.

    Parameters
    ----------
    frequencies : ndarray, shape (n_frequencies,)
        In Hz.
    n_channels : int
        Channels.
    sampling_rate : float
        Of the signal, in Hz.
    n_cycles : float or sequence of float
        Width of the wavelets: one for all, or one each.
    rate : float
        Least rate of the result, in Hz; 0: that of the signal.
    block : float
        How much is computed at a time, in seconds.
    normalisation : str
        As of `wavelet`.

    Attributes
    ----------
    factor : int
        Every how many samples there is a result.
    delay : int
        Samples behind the one of a result that it takes.
    block : int
        Samples whose results are given at a time.
    steps : ndarray of int, shape (n_frequencies,)
        Every how many samples power was computed before it was averaged.
    n_not_finite : int
        Samples so far that were not finite.
    n_missed : int
        Results that are missing before the next one, since samples do not continue those before.
    """

    def __init__(
        self,
        frequencies: Array,
        n_channels: int,
        sampling_rate: float,
        *,
        n_cycles: float | Sequence[float] = 7.0,
        rate: float = 100.0,
        block: float = 0.1,
        normalisation: Normalisation = "power",
    ) -> None:
        frequencies = np.asarray(frequencies, float)
        cycles = np.broadcast_to(np.asarray(n_cycles, float), frequencies.shape)
        if frequencies.max() >= sampling_rate / 2:
            raise ParameterError(
                f"frequencies lie below half the sampling rate, {sampling_rate / 2:g} Hz; found "
                f"{frequencies.max():g} Hz"
            )
        self.n_not_finite = self.n_missed = 0
        self.frequencies = frequencies
        self.n_channels = n_channels
        self.factor = _smooth(sampling_rate / rate) if rate else 1
        deviations = frequencies / cycles
        highest = float((frequencies + _BAND * deviations).max())
        self._before = _largest_divisor(self.factor, sampling_rate / (4 * highest))
        self._low_pass = _design(self._before, highest, sampling_rate)
        lower = sampling_rate / self._before
        self._step = self.factor // self._before
        steps = [_largest_divisor(self._step, lower / (_SAMPLED * d)) for d in deviations]
        self.steps = np.array(steps) * self._before
        n_rows = max(1, round(block * sampling_rate / self.factor))
        self.block = n_rows * self.factor
        self._hop = n_rows * self._step
        lines = [
            Line.of(wavelet(f, c, lower, normalisation), step, self._step)
            for f, c, step in zip(frequencies, cycles, steps, strict=True)
        ]
        self._reach = max(line.reach for line in lines)
        self.delay = self._reach * self._before + len(self._low_pass) // 2
        self._stretches = stretches(lines, self._hop, self._step)
        self._room = 2 * self._reach + 4 * self._hop
        self._buffer = np.zeros((n_channels, self._room), np.float32)
        self._next = -1
        self._n_edge = 0
        self._forget()

    def restart(self) -> None:
        """Forget the samples: those that follow do not continue them."""
        if self._next >= 0:
            missed_from = self._row - self._n_edge * self.factor
            self.n_missed += max(0, -(-(self._next - missed_from) // self.factor))
            self._n_edge = -1  # known once the next run begins
            self._next = -1
        self._forget()

    def _forget(self) -> None:
        self._base = np.full(self.n_channels, np.nan)
        self._held = np.zeros(self.n_channels)
        self._filter: FirFilter | None = None
        self._row = 0  # index of the first of the rows whose stamps are kept
        self._stamps = np.empty(0)
        self._bad = np.zeros((0, self.n_channels), bool)

    def __call__(self, data: Array, stamps: Array, index: int) -> tuple[Array, Array]:
        """Transform the next samples; those of another index than the next one begin anew.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        stamps : ndarray, shape (n_samples,)
            Their stamps.
        index : int
            Index of the first of them.

        Returns
        -------
        power : ndarray of float32, shape (n_rows, n_channels * n_frequencies)
            All frequencies of the first channel, then those of the next. NaN where the sample of a
            row was not finite.
        stamps : ndarray, shape (n_rows,)
            Those of the samples that the results are of.
        """
        if not len(data):
            return self._nothing()
        if index != self._next:
            self.restart()
            self._begin(index)
        is_bad = self._keep_rows(data, stamps, index)
        given = self._decimated(self._level(data, is_bad), index)
        self._next = index + len(data)
        blocks, start = [], 0
        while start < len(given):
            stop = min(len(given), start + self._room - self._n_kept)
            self._buffer[:, self._n_kept : self._n_kept + stop - start] = given[start:stop].T
            self._n_kept += stop - start
            start = stop
            blocks.extend(self._full_blocks())
        if not blocks:
            return self._nothing()
        return self._given_out(blocks[0] if len(blocks) == 1 else np.concatenate(blocks))

    # --- before the transform ------------------------------------------------------------

    def _begin(self, index: int) -> None:
        """Lay out the buffer for a run of samples from `index`."""
        q, n_taps = self._before, len(self._low_pass)
        if q > 1:
            self._filter = FirFilter(self._low_pass, self.n_channels, step=q)
        # The first of the decimated samples that is made of nothing but samples of this run.
        self._n_early = -(-(index + n_taps - 1) // q) - -(-index // q) if q > 1 else 0
        first = -(-(index + n_taps - 1) // q) - (n_taps // 2) // q
        self._row = -(-(index + self.delay) // self.factor) * self.factor
        if self._n_edge:
            self._n_edge = (self._row - index) // self.factor
        row = self._row // q
        self._block = row // self._hop
        begin = self._block * self._hop - self._reach
        self._n_kept, self._n_surplus = max(0, first - begin), max(0, begin - first)
        self._buffer[:, : self._n_kept] = 0

    def _keep_rows(self, data: Array, stamps: Array, index: int) -> Array | None:
        """Keep the stamps of the rows to come; return which samples are not finite, if any."""
        is_bad = None
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            is_bad = ~np.isfinite(data)
            self.n_not_finite += int(np.count_nonzero(is_bad))
        first = self._row + len(self._stamps) * self.factor
        place = slice(first - index, None, self.factor)
        new = stamps[place]
        if len(new):
            bad = np.zeros((len(new), self.n_channels), bool) if is_bad is None else is_bad[place]
            self._stamps = np.concatenate([self._stamps, new])
            self._bad = np.concatenate([self._bad, bad])
        return is_bad

    def _level(self, data: Array, is_bad: Array | None) -> Array:
        """Take each channel's first sample from all: float32 holds little beside a large offset."""
        unknown = np.isnan(self._base)
        if unknown.any():
            for channel in np.flatnonzero(unknown):
                column = data[:, channel]
                finite = column[np.isfinite(column)]
                if len(finite):
                    self._base[channel] = self._held[channel] = finite[0]
        if is_bad is not None:
            data, _, self._held = hold_finite(data.astype(np.float64), self._held)
        else:
            self._held = data[-1].astype(np.float64)
        return np.asarray(data - np.nan_to_num(self._base))

    def _decimated(self, data: Array, index: int) -> Array:
        if self._filter is not None:
            data = self._filter(data, -index % self._before)
        skip = min(self._n_early, len(data))
        self._n_early -= skip
        more = min(self._n_surplus, len(data) - skip)
        self._n_surplus -= more
        return data[skip + more :]

    # --- the transform -------------------------------------------------------------------

    def _full_blocks(self) -> list[Array]:
        """Compute the blocks whose samples are all there, and make room."""
        needed = self._hop - self._step + 2 * self._reach + 1
        blocks, begin = [], 0
        while self._n_kept - begin >= needed:
            blocks.append(self._transform(self._buffer[:, begin : begin + needed]))
            begin += self._hop
            self._block += 1
        if begin:
            rest = self._buffer[:, begin : self._n_kept].copy()
            self._n_kept -= begin
            self._buffer[:, : self._n_kept] = rest
        return blocks

    def _transform(self, samples: Array) -> Array:
        n_rows = self._hop // self._step
        power = np.empty((len(self.frequencies), n_rows, self.n_channels), np.float32)
        for stretch in self._stretches:
            stretch.transform(samples[:, self._reach - stretch.reach :], power)
        return np.ascontiguousarray(power.transpose(1, 2, 0)).reshape(n_rows, -1)

    def _given_out(self, power: Array) -> tuple[Array, Array]:
        """Return the rows that the run has samples for on both sides, with their stamps."""
        last = self._block * self._hop * self._before  # the first row that is not there yet
        n_rows = (last - self._row) // self.factor
        power = power[len(power) - n_rows :]
        stamps, bad = self._stamps[:n_rows], self._bad[:n_rows]
        if bad.any():
            power.reshape(n_rows, self.n_channels, -1)[bad] = np.nan
        self._stamps, self._bad = self._stamps[n_rows:], self._bad[n_rows:]
        self._row = last
        self.n_missed += self._n_edge
        self._n_edge = 0
        return power, stamps

    def _nothing(self) -> tuple[Array, Array]:
        n_columns = self.n_channels * len(self.frequencies)
        return np.empty((0, n_columns), np.float32), np.empty(0)


def _smooth(limit: float) -> int:
    """Return the largest whole number up to `limit` without prime factors above 5; 1 at least."""
    for number in range(max(1, int(limit + 1e-9)), 1, -1):
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
    return 1


def _largest_divisor(number: int, limit: float) -> int:
    divisors = [d for d in range(1, number + 1) if number % d == 0 and d <= limit]
    return divisors[-1] if divisors else 1


def _design(factor: int, highest: float, sampling_rate: float) -> Array:
    """Return a low-pass that keeps what is below `highest` and what would be aliased onto it away.

    Its delay is a multiple of the factor.
    """
    if factor == 1:
        return np.ones(1)
    lower = sampling_rate / factor
    transition = 2 * np.pi * (lower - 2 * highest) / sampling_rate
    n_taps = (_REJECTION - 7.95) / (2.285 * transition) + 1
    half = math.ceil(n_taps / 2 / factor) * factor
    window = ("kaiser", kaiser_beta(_REJECTION))
    return np.asarray(firwin(2 * half + 1, lower / 2, window=window, fs=sampling_rate))
