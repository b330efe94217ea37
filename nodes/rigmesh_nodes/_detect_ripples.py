"""Bursts of a band-passed signal against a threshold that adapts to the background."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.streams import StreamInfo
from rigmesh_nodes._detect_compile import compiled, samples_of
from rigmesh_nodes._kernels import kernel

__all__ = ["Measure", "RippleFinder", "envelope_of"]

Array = npt.NDArray[Any]
Measure = Literal["rms", "power", "amplitude"]

_MEASURES = {"amplitude": 0, "power": 1, "rms": 2}
_ROWS = 1024
_LARGEST = 1e100
"""What is larger counts as not finite: its square must stay finite."""

_POWER, _MEAN, _DEVIATION, _SEEN, _LOCKED, _ABOVE, _IS_ARMED, _HAS_POWER, _N_STATE = range(9)


class RippleFinder:
    """Finds bursts in groups of channels, chunk after chunk.

    The envelope of a group is the smoothed mean over its channels of what `measure` says. A burst
    is found when it has been above ``mean + k * deviation`` for as long as asked; mean and mean
    absolute deviation of the envelope are averages that forget exponentially, and stand still in
    the lock-out after a burst.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    dtype : dtype
        Of the samples.
    n_groups : int
        The channels are divided evenly into so many, each looked at by itself.
    measure : str
        ``rms`` (root of the mean square), ``power`` (mean square) or ``amplitude`` (mean of the
        absolute values).
    smoothing, time_constant, burn_in : float
        Time constants of the envelope and of the averages, and how long nothing is found at first;
        in seconds.

    Attributes
    ----------
    k : float
        Mean absolute deviations above the mean at which the threshold is.
    adapts : bool
        Whether the averages follow the signal.
    n_not_finite : int
        Values that were NaN, infinite or beyond 1e100: they are left out.
    """

    def __init__(
        self,
        sampling_rate: float,
        dtype: npt.DTypeLike = np.float64,
        *,
        n_groups: int = 1,
        measure: Measure = "rms",
        smoothing: float = 0.012,
        time_constant: float = 10.0,
        burn_in: float = 1.0,
    ) -> None:
        self.k = 7.0
        self.adapts = True
        self.n_not_finite = 0
        self._rate = sampling_rate
        self._measure = _MEASURES[measure]
        self._smooth = _weight(smoothing, sampling_rate)
        self._forget = _weight(time_constant, sampling_rate)
        self._burn_in = burn_in * sampling_rate
        self._lock_out, self._at_least = 0, 1
        self._state = np.zeros((n_groups, _N_STATE))
        self._found = np.empty((_ROWS * n_groups, 2), np.int64)
        self._burst = compiled(_burst, samples_of(dtype), np.empty((1, 2)), *self._arguments())

    def set(self, *, lock_out: float, minimum_duration: float) -> None:
        """Wait otherwise from now on.

        Parameters
        ----------
        lock_out : float
            Time after a burst in which there is no other and the averages stand still, in seconds.
        minimum_duration : float
            Time above the threshold that makes a burst, in seconds.
        """
        self._lock_out = round(lock_out * self._rate)
        self._at_least = max(1, round(minimum_duration * self._rate))

    def statistics(self) -> tuple[list[float], list[float], list[float]]:
        """Return mean, mean absolute deviation and threshold of the envelope, one a group each."""
        mean, deviation = self._state[:, _MEAN].tolist(), self._state[:, _DEVIATION].tolist()
        return mean, deviation, [m + self.k * d for m, d in zip(mean, deviation, strict=True)]

    def reset(self) -> None:
        """Forget all that was seen."""
        self._state.fill(0.0)

    def pause(self) -> None:
        """Be locked out as after a burst, and measure the envelope anew: samples are missing."""
        self._state[:, _LOCKED] = self._lock_out
        self._state[:, _ABOVE] = self._state[:, _IS_ARMED] = self._state[:, _HAS_POWER] = 0.0

    def find(self, data: Array) -> tuple[Array, Array]:
        """Look at the next samples.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples, band-passed.

        Returns
        -------
        found : ndarray, shape (n_bursts, 2)
            Row of the sample at which a burst was found, and its group. Valid until the next call.
        envelope : ndarray, shape (n_samples, 2 * n_groups)
            Envelope and threshold of each group. The threshold is infinite at first.
        """
        if not data.flags.c_contiguous:
            data = np.ascontiguousarray(data)
        envelope = np.empty((len(data), 2 * len(self._state)))
        if len(data) <= _ROWS:
            return self._find(data, envelope), envelope
        parts = []
        for first in range(0, len(data), _ROWS):
            rows = slice(first, first + _ROWS)
            part = self._find(data[rows], envelope[rows]).copy()
            part[:, 0] += first
            parts.append(part)
        return np.concatenate(parts), envelope

    def _arguments(self) -> tuple[Any, ...]:
        return (
            self._measure, self._smooth, self._forget if self.adapts else 0.0, self.k,
            self._burn_in, self._at_least, self._lock_out, self._state, self._found,
        )  # fmt: skip

    def _find(self, data: Array, envelope: Array) -> Array:
        n_found, n_bad = self._burst(data, envelope, *self._arguments())
        if n_bad:
            self.n_not_finite += n_bad
        return self._found[:n_found]


def envelope_of(info: StreamInfo, n_groups: int, measure: Measure) -> StreamInfo:
    """Describe the envelopes and thresholds of the groups of a signal."""
    units = {channel.unit for channel in info.channels}
    unit = units.pop() if len(units) == 1 else ""
    if unit and measure == "power":
        unit += "^2"
    names = [
        f"{what} {group + 1}" if n_groups > 1 else what
        for group in range(n_groups)
        for what in ("envelope", "threshold")
    ]
    described = StreamInfo.signal(
        "envelope", channels=names, sampling_rate=info.sampling_rate, unit=unit
    )
    return replace(described, clock_id=info.clock_id)


def _weight(time_constant: float, rate: float) -> float:
    """Return the weight of a new sample in an average that forgets with a time constant."""
    return 1.0 if time_constant <= 0 else -math.expm1(-1 / (time_constant * rate))


@kernel
def _burst(
    data: Array,
    envelope: Array,
    measure: int,
    smooth: float,
    forget: float,
    k: float,
    burn_in: float,
    at_least: int,
    lock_out: int,
    state: Array,
    found: Array,
) -> tuple[int, int]:
    n_found = n_bad = 0
    n_groups = state.shape[0]
    width = data.shape[1] // n_groups
    for row in range(data.shape[0]):
        for group in range(n_groups):
            own = state[group]
            total = 0.0
            n_good = 0
            for channel in range(group * width, (group + 1) * width):
                value = float(data[row, channel])
                if abs(value) <= _LARGEST:
                    total += abs(value) if measure == 0 else value * value
                    n_good += 1
            n_bad += width - n_good
            if n_good:
                total /= n_good
                own[_POWER] += (smooth if own[_HAS_POWER] else 1.0) * (total - own[_POWER])
                own[_HAS_POWER] = 1.0
            height = math.sqrt(own[_POWER]) if measure == 2 else own[_POWER]
            threshold = np.inf
            if own[_SEEN] >= max(burn_in, 1.0):
                threshold = own[_MEAN] + k * own[_DEVIATION]
            envelope[row, 2 * group] = height
            envelope[row, 2 * group + 1] = threshold
            is_above = height > threshold
            if own[_LOCKED] > 0:
                own[_LOCKED] -= 1
                if not is_above:
                    own[_IS_ARMED] = 1.0
                continue
            if not n_good:
                continue
            if is_above and own[_IS_ARMED]:
                own[_ABOVE] += 1
                if own[_ABOVE] >= at_least:
                    found[n_found, 0] = row
                    found[n_found, 1] = group
                    n_found += 1
                    own[_ABOVE] = own[_IS_ARMED] = 0.0
                    own[_LOCKED] = lock_out
                continue
            if not is_above:
                own[_IS_ARMED] = 1.0
                own[_ABOVE] = 0.0
            if forget > 0.0:
                own[_SEEN] += 1
                weight = max(forget, 1.0 / own[_SEEN])
                own[_MEAN] += weight * (height - own[_MEAN])
                own[_DEVIATION] += weight * (abs(height - own[_MEAN]) - own[_DEVIATION])
    return n_found, n_bad
