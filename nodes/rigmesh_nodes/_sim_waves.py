"""The samples of simulated amplifiers, as pure functions of the number of a block."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rigmesh_nodes._sim_blocks import Array, Fading, coloured, normed, random_of

__all__ = ["Head", "Sines"]

_ALPHA_AT = {"O": 1.0, "P": 0.7, "C": 0.4, "T": 0.4}


class Sines:
    """Sines with white noise: 384 channels at 30 kHz take a third of a core.

    Parameters
    ----------
    frequencies : sequence of float
        In Hz, one a channel; over again when there are more channels.
    sampling_rate : float
        In Hz.
    n_channels, seed : int
        Number of channels; makes the noise another one.
    amplitude, noise : float
        Peak of the sines, and the noise's standard deviation.
    dtype : str
        Type of the samples. Integers saturate at their ends.
    sample_number : bool
        Whether channel 0 carries the number of each sample.
    """

    SIZE = 256

    def __init__(
        self,
        frequencies: Sequence[float],
        sampling_rate: float,
        *,
        n_channels: int,
        amplitude: float,
        noise: float,
        dtype: str,
        sample_number: bool,
        seed: int,
    ) -> None:
        self._rate = sampling_rate
        self._noise = noise
        self._seed = seed
        self._sample_number = sample_number
        self._dtype = np.dtype(dtype)
        # float32 holds every int16, and its noise costs half.
        wide = dtype in ("float64", "int32")
        self._work: type[np.float32 | np.float64] = np.float64 if wide else np.float32
        self._frequencies = np.array(frequencies[:n_channels])
        turns = np.multiply.outer(np.arange(self.SIZE), self._frequencies) / sampling_rate
        self._sin = amplitude * np.sin(2 * np.pi * turns)
        self._cos = amplitude * np.cos(2 * np.pi * turns)
        self._which = np.arange(n_channels) % len(self._frequencies)

    def block(self, number: int) -> Array:
        """Return a block, shape (SIZE, n_channels)."""
        first = number * self.SIZE
        # The remainder is exact where a product of hours and kilohertz would lose the phase;
        # the sum of angles needs no sine a sample.
        angle = 2 * np.pi * ((first * self._frequencies) % self._rate) / self._rate
        waves = (self._sin * np.cos(angle) + self._cos * np.sin(angle)).astype(self._work)
        data = waves.take(self._which, axis=1)
        if self._noise:
            noise = random_of(self._seed, number).standard_normal(data.shape, self._work)
            noise *= self._noise
            data += noise
        if self._dtype.kind == "i":
            limits = np.iinfo(self._dtype)
            np.rint(data, out=data)
            np.clip(data, limits.min, limits.max, out=data)
        result: Array = data.astype(self._dtype, copy=False)
        if self._sample_number:
            numbers = np.arange(first, first + self.SIZE)
            if self._dtype == np.float32:
                numbers %= 2**24  # it cannot count further
            result[:, 0] = numbers.astype(self._dtype)
        return result


class Head:
    """Correlated 1/f noise, an alpha rhythm that waxes and wanes, line noise.

    Parameters
    ----------
    channels : sequence of str
        Labels of the 10-20 system.
    sampling_rate : float
        In Hz.
    background, alpha, line_noise : float
        RMS of the noise, RMS of the rhythm at O1 and O2, and peak of the line noise.
    alpha_frequency, line_frequency : float
        In Hz.
    seed : int
        Makes what is random another one.
    """

    SECONDS = 2.0
    """Length of a block; the slowest wave is twice as long."""
    COMMON = 0.8
    """Share of the background that all electrodes have in common: volume conduction."""

    def __init__(
        self,
        channels: Sequence[str],
        sampling_rate: float,
        *,
        background: float,
        alpha: float,
        alpha_frequency: float,
        line_noise: float,
        line_frequency: float,
        seed: int,
    ) -> None:
        self.size = max(8, round(self.SECONDS * sampling_rate))
        self._rate = sampling_rate
        self._background, self._alpha = background, alpha
        self._line_noise, self._line_frequency = line_noise, line_frequency
        self._seed = seed
        frequencies = np.fft.rfftfreq(2 * self.size, 1 / sampling_rate)
        frequencies[0] = np.inf  # no offset
        self._pink = normed(frequencies**-0.5)
        self._rhythm = normed(np.exp(-0.5 * (frequencies - alpha_frequency) ** 2))
        self._alpha_at = np.array([_ALPHA_AT.get(name[:1], 0.2) for name in channels])
        self._fading = Fading(self._make_piece, self.size)

    def block(self, number: int) -> Array:
        """Return a block, shape (size, n_channels)."""
        data = self._fading.block(number)
        if self._line_frequency < self._rate / 2:
            numbers = np.arange(number * self.size, (number + 1) * self.size)
            turns = (numbers * self._line_frequency) % self._rate / self._rate
            data += self._line_noise * np.sin(2 * np.pi * turns)[:, None]
        return data.astype(np.float32)

    def _make_piece(self, number: int) -> Array:
        """Return noise that is as long as two blocks and of the same strength all along."""
        n_channels = len(self._alpha_at)
        random = random_of(self._seed, number)
        waves = coloured(random, (self._pink, n_channels + 1), (self._rhythm, 1))
        own, common, alpha = waves[:, :n_channels], waves[:, -2:-1], waves[:, -1:]
        background = math.sqrt(1 - self.COMMON**2) * own + self.COMMON * common
        return self._background * background + self._alpha * self._alpha_at * alpha
