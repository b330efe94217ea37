"""Ripples at known times in 1/f noise, as pure functions of the number of a sample."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from rigmesh_nodes._sim_blocks import Array, Fading, coloured, normed, random_of

__all__ = ["HALF_BAND", "RippleTrain", "Rippling", "TrueRipple"]

HALF_BAND = 50.0
"""The ripple band reaches so far to both sides of the frequency of the ripples, in Hz."""

_DRAWN_FOR_TIMES = 1


@dataclass(frozen=True, slots=True)
class TrueRipple:
    """One ripple of the ground truth.

    Parameters
    ----------
    number : int
        Counted from 0.
    onset, peak : int
        Number of the sample two standard deviations of the envelope before its peak, and of the
        peak itself.
    phase : float
        Phase of the oscillation at the peak, in radians.
    """

    number: int
    onset: int
    peak: int
    phase: float


class RippleTrain:
    """When ripples come and what they look like.

    Time is divided into stretches of one ripple each; its peak is anywhere from 20 to 80 % of it.
    The envelope is a Gaussian.

    Parameters
    ----------
    rate : float
        Ripples per second.
    duration : float
        Four standard deviations of the envelope, in seconds; at most 40 % of a stretch.
    frequency, sampling_rate : float
        In Hz.
    seed : int
        Makes the times and phases other ones.
    """

    LONGEST = 0.4
    """Longest duration, as a share of a stretch: ripples never overlap."""

    def __init__(
        self, *, rate: float, duration: float, frequency: float, sampling_rate: float, seed: int
    ) -> None:
        self._stretch = sampling_rate / rate
        self._deviation = duration / 4 * sampling_rate
        self._turns = frequency / sampling_rate
        self._seed = seed
        self.ripple = functools.lru_cache(maxsize=64)(self._make)

    def _make(self, number: int) -> TrueRipple:
        place, phase = random_of(self._seed, number, _DRAWN_FOR_TIMES).random(2)
        peak = round(self._stretch * (number + 0.2 + 0.6 * place))
        onset = peak - round(2 * self._deviation)
        return TrueRipple(number, max(onset, 0), peak, 2 * np.pi * phase)

    def near(self, first: int, stop: int) -> list[TrueRipple]:
        """Return the ripples of all stretches that samples ``first`` to ``stop - 1`` touch."""
        numbers = range(
            max(math.floor(first / self._stretch), 0), math.floor(stop / self._stretch) + 1
        )
        return [self.ripple(number) for number in numbers]

    def marks(self, first: int, stop: int) -> list[tuple[int, str]]:
        """Return what happens at the samples ``first`` to ``stop - 1``, in order.

        Returns
        -------
        list of (int, str)
            The sample's number; ``onset`` or ``peak`` with the ripple's number.
        """
        return [
            (at, f"{what} {ripple.number}")
            for ripple in self.near(first, stop)
            for at, what in ((ripple.onset, "onset"), (ripple.peak, "peak"))
            if first <= at < stop
        ]

    def waveform(self, first: int, stop: int) -> Array:
        """Return the samples ``first`` to ``stop - 1`` of ripples with a peak of 1."""
        wave = np.zeros(stop - first)
        reach = math.ceil(4 * self._deviation)
        for ripple in self.near(first - reach, stop + reach):
            begin, end = max(first, ripple.peak - reach), min(stop, ripple.peak + reach + 1)
            away = np.arange(begin, end) - ripple.peak
            envelope = np.exp(-0.5 * (away / self._deviation) ** 2)
            wave[begin - first : max(end, begin) - first] += envelope * np.cos(
                2 * np.pi * self._turns * away + ripple.phase
            )
        return wave


class Rippling:
    """The samples of a simulated hippocampus.

    Parameters
    ----------
    train : RippleTrain
        The ripples: the same on all channels.
    n_channels : int
        Number of channels.
    background : float
        RMS of the 1/f noise.
    amplitude : float
        Peak of the ripples, in standard deviations of the noise within the ripple band.
    frequency, sampling_rate : float
        In Hz; the ripple band is `HALF_BAND` to both sides of the frequency.
    seed : int
        Makes the noise another one.
    """

    SECONDS = 2.0
    """Length of a block; the slowest wave is twice as long."""
    COMMON = 0.5
    """Share of the background that all channels have in common."""

    def __init__(
        self,
        train: RippleTrain,
        *,
        n_channels: int,
        background: float,
        amplitude: float,
        frequency: float,
        sampling_rate: float,
        seed: int,
    ) -> None:
        self.size = max(8, round(self.SECONDS * sampling_rate))
        self._train = train
        self._n_channels = n_channels
        self._background = background
        self._seed = seed
        frequencies = np.fft.rfftfreq(2 * self.size, 1 / sampling_rate)
        in_band = np.abs(frequencies - frequency) <= HALF_BAND
        frequencies[0] = np.inf  # no offset
        self._pink = normed(frequencies**-0.5)
        self.deviation = background * float(np.linalg.norm(self._pink[in_band])) / self.size
        """Standard deviation of the noise within the ripple band."""
        self._peak = amplitude * self.deviation
        self._fading = Fading(self._make_piece, self.size)

    def block(self, number: int) -> Array:
        """Return a block, shape (size, n_channels)."""
        data = self._fading.block(number)
        begin = number * self.size
        data += self._peak * self._train.waveform(begin, begin + self.size)[:, None]
        return data.astype(np.float32)

    def _make_piece(self, number: int) -> Array:
        waves = coloured(random_of(self._seed, number), (self._pink, self._n_channels + 1))
        own, common = waves[:, :-1], waves[:, -1:]
        mixed: Array = math.sqrt(1 - self.COMMON**2) * own + self.COMMON * common
        return self._background * mixed
