"""Spikes of known units in noise, as pure functions of the number of a sample."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._sim_blocks import Array, Fading, coloured, normed, random_of

__all__ = ["Spiking", "TrueSpike", "Unit", "Units"]

_DRAWN_FOR_LFP = 1
_DRAWN_FOR_TIMES = 2  # and the numbers from there on, one a unit

_TROUGHS = (0.07, 0.12, 0.09, 0.14)
"""Widths of the troughs in ms, one a unit, then over again."""
_HUMPS = (0.30, 0.15, 0.45)
"""Heights of the humps that follow, as parts of the trough; likewise."""


@dataclass(frozen=True, slots=True)
class TrueSpike:
    """One spike of the ground truth.

    Parameters
    ----------
    at : int
        Number of the sample with the trough.
    unit : int
        Counted from 1.
    """

    at: int
    unit: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What the spikes of one unit look like.

    Parameters
    ----------
    channel : int
        Where they are largest.
    before : int
        Samples before the trough.
    waveform : ndarray, shape (n_samples, n_channels)
        Of one spike.
    """

    channel: int
    before: int
    waveform: Array


class Units:
    """Units beside a row of channels, and when they fire.

    Parameters
    ----------
    n_units, n_channels : int
        They sit at equal distances along the channels.
    peaks : sequence of float
        Depth of the trough at a unit's own channel; one a unit, then over again.
    spread : float
        Distance, in channels, over which a spike fades to 1/e.
    firing_rate : float
        Spikes per second of each unit: a Poisson process with a dead time.
    refractory : float
        The dead time, in seconds.
    sampling_rate : float
        In Hz.
    seed : int
        Makes the times other ones.

    Notes
    -----
    Time is divided into stretches of a second, so that it can be told for each by itself when the
    units fire; no unit does so within the refractory time before the end of one.
    """

    REACH = 2.5
    """Length of a spike to both sides of the trough, in ms."""

    def __init__(
        self,
        *,
        n_units: int,
        n_channels: int,
        peaks: Sequence[float],
        spread: float,
        firing_rate: float,
        refractory: float,
        sampling_rate: float,
        seed: int,
    ) -> None:
        self._stretch = max(1, round(sampling_rate))
        self._rate = sampling_rate
        self._refractory = refractory
        # The dead time at the end of a stretch is made up for.
        self._mean_pause = (1 - refractory) / firing_rate - refractory
        self._seed = seed
        reach = max(1, round(self.REACH * 1e-3 * sampling_rate))
        self.reach = reach
        times = np.arange(-reach, reach + 1) / sampling_rate * 1e3
        self.units = []
        for n in range(n_units):
            channel = min(int((n + 0.5) * n_channels / n_units), n_channels - 1)
            width, hump = _TROUGHS[n % len(_TROUGHS)], _HUMPS[n % len(_HUMPS)]
            shape = hump * np.exp(-0.5 * ((times - 3.2 * width) / (2.0 * width)) ** 2)
            shape -= np.exp(-0.5 * (times / width) ** 2)
            shape /= -shape[reach]
            away = np.abs(np.arange(n_channels) - channel)
            waveform = peaks[n % len(peaks)] * np.multiply.outer(shape, np.exp(-away / spread))
            self.units.append(Unit(channel, reach, waveform.astype(np.float32)))
        self._fired = functools.lru_cache(maxsize=4)(self._fire)

    def near(self, first: int, stop: int) -> list[TrueSpike]:
        """Return the spikes with a trough at the samples ``first`` to ``stop - 1``, in order."""
        numbers = range(max(first, 0) // self._stretch, max(stop - 1, 0) // self._stretch + 1)
        return [
            spike for number in numbers for spike in self._fired(number) if first <= spike.at < stop
        ]

    def marks(self, first: int, stop: int) -> list[tuple[int, str]]:
        """Return the spikes at the samples ``first`` to ``stop - 1`` as JSON texts, in order."""
        return [
            (
                spike.at,
                json.dumps(
                    {
                        "unit": spike.unit,
                        "channel": self.units[spike.unit - 1].channel,
                        "sample": spike.at,
                    }
                ),
            )
            for spike in self.near(first, stop)
        ]

    def add_to(self, data: Array, first: int) -> None:
        """Add the spikes to the samples from ``first`` on."""
        stop = first + len(data)
        for spike in self.near(first - self.reach, stop + self.reach):
            unit = self.units[spike.unit - 1]
            begin = spike.at - unit.before
            wave = unit.waveform[max(first - begin, 0) : stop - begin]
            place = max(begin - first, 0)
            data[place : place + len(wave)] += wave

    def _fire(self, number: int) -> list[TrueSpike]:
        found = []
        latest = self._stretch / self._rate - self._refractory
        for n in range(len(self.units)):
            random = random_of(self._seed, number, _DRAWN_FOR_TIMES + n)
            time = random.exponential(self._mean_pause)
            while time < latest:
                found.append(TrueSpike(number * self._stretch + int(time * self._rate), n + 1))
                time += self._refractory + random.exponential(self._mean_pause)
        return sorted(found, key=lambda spike: (spike.at, spike.unit))


class Spiking:
    """The samples of a simulated probe: white noise, a slow background, and spikes.

    Parameters
    ----------
    units : Units
        What fires.
    n_channels : int
        Number of channels.
    noise : float
        Standard deviation of the white noise.
    lfp : float
        RMS of the background whose power falls with the square of the frequency; the same on all
        channels.
    sampling_rate : float
        In Hz.
    seed : int
        Makes the noise another one.
    """

    SIZE = 512
    SECONDS = 2.0
    """Length of a piece of background; its slowest wave is twice as long."""

    def __init__(
        self,
        units: Units,
        *,
        n_channels: int,
        noise: float,
        lfp: float,
        sampling_rate: float,
        seed: int,
    ) -> None:
        self._units = units
        self._n_channels = n_channels
        self._noise, self._lfp = noise, lfp
        self._seed = seed
        blocks = max(1, round(self.SECONDS * sampling_rate / self.SIZE))
        frequencies = np.fft.rfftfreq(2 * blocks * self.SIZE, 1 / sampling_rate)
        frequencies[0] = np.inf  # no offset
        self._weights = normed(1 / frequencies)
        self._blocks = blocks
        self._fading = Fading(self._make_piece, blocks * self.SIZE)
        self._background = functools.lru_cache(maxsize=1)(self._fading.block)

    def block(self, number: int) -> npt.NDArray[np.float32]:
        """Return a block, shape (SIZE, n_channels)."""
        shape = self.SIZE, self._n_channels
        data = random_of(self._seed, number).standard_normal(shape, np.float32)
        data *= self._noise
        if self._lfp:
            piece, place = divmod(number, self._blocks)
            begin = place * self.SIZE
            data += self._background(piece)[begin : begin + self.SIZE]
        self._units.add_to(data, number * self.SIZE)
        return data

    def _make_piece(self, number: int) -> Array:
        random = random_of(self._seed, number, _DRAWN_FOR_LFP)
        return self._lfp * coloured(random, (self._weights, 1)).astype(np.float32)
