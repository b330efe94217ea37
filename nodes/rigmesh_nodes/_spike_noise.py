"""How strong the noise of each channel is, whatever spikes there are."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MEDIAN_OF_NOISE", "NoiseEstimate", "robust_deviation"]

Array = npt.NDArray[Any]

MEDIAN_OF_NOISE = 0.6744897501960817
"""Median of |x| of Gaussian noise with a standard deviation of 1."""


class NoiseEstimate:
    """Standard deviation of the noise: median(|x|) / 0.6745, learned once, and followed if wanted.

    Spikes, being rare, hardly move a median [1]_. Following needs no samples to be kept: after
    each 0.1 s the median moves a step up or down, by how many samples were above it and how many
    below.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    sampling_rate : float
        In Hz.
    duration : float
        Time from which it is learned, in seconds.
    adapt_duration : float
        Time constant of following, in seconds; 0: it stays as learned.

    Attributes
    ----------
    deviation : ndarray, shape (n_channels,)
        NaN before it is known, and of a channel without a finite sample while learning.
    is_known : bool
        Whether it has been learned, once at least.
    is_learning : bool
        Whether it is being learned, for the first time or anew.
    remaining : int
        Samples until it may be another one: no more than those are fed at once.

    References
    ----------
    .. [1] Quian Quiroga, R., Nadasdy, Z. & Ben-Shaul, Y. (2004). Unsupervised spike detection and
       sorting with wavelets and superparamagnetic clustering. Neural Computation 16, 1661-1687.
    """

    MOST = 8192
    """Samples a channel that the median is taken of: a standard error of 1.3 %; and with 1024
    channels a pause of 50 ms."""
    BLOCK = 0.1
    """Time between two steps of following, in seconds."""
    EVERY = 1e-3
    """One sample in so many seconds is looked at for following: they should be independent."""
    STEEPNESS = 0.4287
    """Density of |x| at its median, times the median: how fast the share of samples above the
    median changes with the logarithm of a wrong one."""

    def __init__(
        self, n_channels: int, sampling_rate: float, duration: float, adapt_duration: float = 0.0
    ) -> None:
        self._n_channels = n_channels
        self._n_learned = max(1, round(duration * sampling_rate))
        self._n_block = max(1, round(self.BLOCK * sampling_rate))
        self._every = max(1, round(self.EVERY * sampling_rate))
        self._gain = self.BLOCK / (adapt_duration * self.STEEPNESS) if adapt_duration else 0.0
        self.deviation: Array = np.full(n_channels, np.nan)
        self.is_known = False
        self._balance = np.zeros(n_channels, dtype=np.int64)
        self.learn()

    def learn(self) -> None:
        """Learn anew from the samples that follow; what is known holds until then."""
        stride = -(-self._n_learned // self.MOST)
        self._stride = stride
        self._kept = np.empty((self._n_channels, -(-self._n_learned // stride)), dtype=np.float32)
        self.is_learning = True
        self.remaining = self._n_learned
        self._fed = 0

    def feed(self, data: Array) -> bool:
        """Take the next samples; return whether the estimate is another one now.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            At most `remaining` samples.
        """
        if self.is_learning:
            return self._learn_from(data)
        return bool(self._gain) and self._follow(data)

    def _learn_from(self, data: Array) -> bool:
        rows = data[-self._fed % self._stride :: self._stride]
        done = -(-self._fed // self._stride)
        kept = self._kept[:, done : done + len(rows)]
        kept[:] = rows.T
        np.abs(kept, out=kept)
        self._count(data)
        if self.remaining:
            return False
        self.deviation = robust_deviation(self._kept)
        self._kept = np.empty((0, 0), dtype=np.float32)
        self.is_learning, self.is_known = False, True
        self._begin_block()
        return True

    def _follow(self, data: Array) -> bool:
        rows = np.abs(data[-self._fed % self._every :: self._every])
        # NaN is neither above nor below, and with inf made NaN a broken channel stays where it was.
        rows = np.where(np.isfinite(rows), rows, np.nan)
        median = self.deviation * MEDIAN_OF_NOISE
        self._balance += (rows > median).sum(axis=0) - (rows < median).sum(axis=0)
        self._count(data)
        if self.remaining:
            return False
        n_looked_at = -(-self._fed // self._every)
        self.deviation = self.deviation * np.exp(self._gain * 0.5 * self._balance / n_looked_at)
        self._begin_block()
        return True

    def _count(self, data: Array) -> None:
        self._fed += len(data)
        self.remaining -= len(data)

    def _begin_block(self) -> None:
        self._balance[:] = 0
        self._fed = 0
        self.remaining = self._n_block if self._gain else sys.maxsize


def robust_deviation(magnitudes: Array) -> Array:
    """Return the deviation of Gaussian noise by the median of its magnitudes.

    Parameters
    ----------
    magnitudes : ndarray, shape (n_channels, n_samples)
        Absolute values; sorted in place. Those that are not finite do not count.

    Returns
    -------
    ndarray, shape (n_channels,)
        NaN where no value is finite.
    """
    magnitudes[~np.isfinite(magnitudes)] = np.nan
    magnitudes.sort(axis=1)  # NaN goes to the end; for many channels faster than a partition
    n_finite = magnitudes.shape[1] - np.isnan(magnitudes).sum(axis=1)
    rows = np.arange(len(magnitudes))
    middle = magnitudes[rows, np.maximum(n_finite - 1, 0) // 2].astype(float)
    middle += magnitudes[rows, np.minimum(n_finite // 2, magnitudes.shape[1] - 1)]
    return np.asarray(middle / 2 / MEDIAN_OF_NOISE)
