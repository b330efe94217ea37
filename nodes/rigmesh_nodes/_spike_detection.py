"""Where spikes are: peaks beyond a threshold, the same ones however samples are cut."""

from __future__ import annotations

import sys
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._spike_noise import NoiseEstimate

__all__ = ["Detection", "PeakFinder", "Polarity", "Spike"]

Array = npt.NDArray[Any]
Polarity = Literal["negative", "positive", "both"]


class Spike(NamedTuple):
    """A peak beyond the threshold.

    Parameters
    ----------
    at : int
        Number of its sample, counted from the first one that was searched.
    channel : int
        Where it is largest.
    value : float
        The signal there.
    time : float
        Raw stamp of its sample, in seconds.
    number : int
        Index of its sample in the stream's epoch.
    """

    at: int
    channel: int
    value: float
    time: float
    number: int


class PeakFinder:
    """Finds the peaks of excursions beyond a threshold, group of channels by group.

    An excursion begins when any channel of a group gets beyond its threshold and none was in the
    sample before. Its peak is the largest sample beyond a threshold, of all channels of the group,
    that no larger one follows within the peak life. In the refractory time after a peak no
    excursion counts.

    Parameters
    ----------
    n_channels, channels_per_group : int
        Groups of neighbours; the first divides by the second.
    dtype : dtype
        Of the samples.
    polarity : str
        Excursions that count: ``negative``, ``positive`` or ``both``.
    peak_life, refractory : int
        In samples.
    """

    def __init__(
        self,
        n_channels: int,
        channels_per_group: int = 1,
        *,
        dtype: npt.DTypeLike = np.float64,
        polarity: Polarity = "negative",
        peak_life: int,
        refractory: int,
    ) -> None:
        self.peak_life = peak_life
        self._width = channels_per_group
        self._polarity = polarity
        self._refractory = refractory
        self._dtype = np.float32 if np.dtype(dtype) == np.float32 else np.float64
        self._base = 0
        self._pending: dict[int, tuple[int, int, float, float, int]] = {}
        self._n_groups = n_channels // channels_per_group
        self._begin()
        self.use(np.full(n_channels, np.inf))

    @property
    def n_seen(self) -> int:
        """Samples searched so far."""
        return self._base

    def use(self, thresholds: Array) -> None:
        """Take thresholds, shape (n_channels,), for the samples that follow; inf: never."""
        self._upper = thresholds.astype(self._dtype)
        self._lower = np.negative(self._upper)

    def find(self, data: Array, stamps: Array, index: int = 0) -> list[Spike]:
        """Return the spikes whose peak is known by now, in the order of their peaks.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The next samples. What is not finite is not beyond a threshold.
        stamps : ndarray, shape (n_samples,)
            Their stamps.
        index : int
            Index of the first one.
        """
        if self._polarity == "negative":
            beyond = data < self._lower
        else:
            beyond = data > self._upper
            if self._polarity == "both":
                beyond |= data < self._lower
        found: list[Spike] = []
        if beyond.any():
            self._follow(beyond, data, stamps, index, found)
        self._base += len(data)
        if self._pending:
            self._let_go(self._base - 1 - self.peak_life, found)
        if len(found) > 1:
            found.sort()
        return found

    def interrupt(self) -> list[Spike]:
        """Return the spikes whose peak may not be known: samples are missing here.

        What follows is looked at as if nothing had been before.
        """
        found: list[Spike] = []
        self._let_go(sys.maxsize, found)
        self._begin()
        return sorted(found)

    def _begin(self) -> None:
        self._last_beyond = [self._base - 2] * self._n_groups
        self._free_from = [self._base] * self._n_groups

    def _follow(
        self, beyond: Array, data: Array, stamps: Array, index: int, found: list[Spike]
    ) -> None:
        where = np.flatnonzero(beyond)
        values = data.take(where).astype(float)
        if not np.isfinite(values).all():
            known = np.isfinite(values)
            where, values = where[known], values[known]
        rows, channels = np.divmod(where, data.shape[1])
        samples = zip(
            (rows + self._base).tolist(),
            channels.tolist(),
            values.tolist(),
            stamps[rows].tolist(),
            (rows + index).tolist(),
            strict=True,
        )
        # Samples beyond a threshold are few: Python's loop costs less than to sort them out by
        # arrays, and plain tuples a tenth of named ones.
        life, width, pending = self.peak_life, self._width, self._pending
        last_beyond, free_from = self._last_beyond, self._free_from
        for sample in samples:
            at, channel, value, _, _ = sample
            group = channel // width
            if group in pending:
                peak = pending[group]
                if at <= peak[0] + life:
                    if abs(value) > abs(peak[2]):
                        pending[group] = sample
                    last_beyond[group] = at
                    continue
                self._end(group, found)
            if at > last_beyond[group] + 1 and at >= free_from[group]:
                pending[group] = sample
            last_beyond[group] = at

    def _let_go(self, latest: int, found: list[Spike]) -> None:
        """End the life of peaks up to a sample."""
        for group in [g for g, peak in self._pending.items() if peak[0] <= latest]:
            self._end(group, found)

    def _end(self, group: int, found: list[Spike]) -> None:
        spike = Spike(*self._pending.pop(group))
        self._free_from[group] = spike.at + self._refractory
        found.append(spike)


class Detection:
    """Finds spikes beyond a multiple of the noise, which it learns by itself.

    Parameters
    ----------
    finder : PeakFinder
        What looks for peaks.
    noise : NoiseEstimate
        What knows the noise.
    k : float
        Threshold in standard deviations of the noise.
    level : float
        Threshold in the unit of the signal instead; 0: by the noise.

    Attributes
    ----------
    thresholds : ndarray, shape (n_channels,)
        Magnitude of the signal at which a spike begins. Infinite where the noise is not known, or
        is none: a channel that is not connected.
    n_not_finite : int
        Samples, of all channels, that were NaN or infinite.
    n_changes : int
        How often the noise or the thresholds changed.
    """

    def __init__(
        self, finder: PeakFinder, noise: NoiseEstimate, *, k: float, level: float = 0.0
    ) -> None:
        self.finder = finder
        self.noise = noise
        self.n_not_finite = 0
        self.n_changes = 0
        self.use(k, level)

    def use(self, k: float, level: float) -> None:
        """Take another threshold for the samples that follow."""
        self._k, self._level = k, level
        self._renew()

    def feed(self, data: Array, stamps: Array, index: int = 0) -> list[Spike]:
        """Return the spikes whose peak is known by now, as `PeakFinder.find` does."""
        if data.dtype.kind == "f":
            finite = np.isfinite(data)
            if not finite.all():
                self.n_not_finite += finite.size - int(np.count_nonzero(finite))
        noise, n = self.noise, len(data)
        found: list[Spike] = []
        start = 0
        while start < n:
            # A new estimate holds from its sample on, in the middle of a chunk or not.
            stop = min(n, start + noise.remaining)
            piece = data[start:stop]
            found += self.finder.find(piece, stamps[start:stop], index + start)
            if noise.feed(piece):
                self._renew()
            start = stop
        return found

    def _renew(self) -> None:
        deviation = self.noise.deviation
        if self._level:
            self.thresholds = np.full(len(deviation), self._level)
        else:
            self.thresholds = np.where(deviation > 0, self._k * deviation, np.inf)
        self.finder.use(self.thresholds)
        self.n_changes += 1
