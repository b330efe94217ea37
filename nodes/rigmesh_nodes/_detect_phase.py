"""The phase of a rhythm, estimated as it goes on and predicted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._detect_compile import column_of, compiled
from rigmesh_nodes._kernels import kernel

__all__ = ["PhaseFinder"]

Array = npt.NDArray[Any]

_FORGETS = 8.0
"""Time constant of the frequency's average, as a multiple of that of one filter."""
_SETTLES = 8.0
"""Time until the estimate is good to a percent, as a multiple of the same."""
_LARGEST = 1e100
_ROWS = 1024

_N, _LAST, _HAS_LAST, _OFF, _IS_ARMED, _SINCE, _PHASE, _AMPLITUDE, _FREQUENCY, _N_STATE = range(10)


class PhaseFinder:
    """Tells when a rhythm reaches a phase, chunk after chunk.

    Complex demodulation: the differences of the samples are multiplied by a turning pointer at the
    middle of the band and smoothed twice, by filters of first order that let the band pass (-3 dB
    at its edges together). The pointer's average turn from sample to sample gives the frequency;
    at that frequency the delay of the filters and of the difference is known exactly and taken
    off. The differences free the estimate from any offset.

    Parameters
    ----------
    sampling_rate, low, high : float
        The signal's, and the edges of the rhythm's band; in Hz.
    dtype : dtype
        Of the samples.

    Attributes
    ----------
    n_not_finite : int
        Samples that were NaN, infinite or beyond 1e100: the one before stands in for them.
    """

    def __init__(
        self, sampling_rate: float, low: float, high: float, dtype: npt.DTypeLike = np.float64
    ) -> None:
        self.n_not_finite = 0
        self._rate = sampling_rate
        half = (high - low) / 2
        self._least = 0.5 / high
        # Two filters in a row have -3 dB together where each has -1.5 dB.
        time_constant = math.sqrt(math.sqrt(2) - 1) / (2 * math.pi * half)
        self._tuning = (
            (low + high) / 2 / sampling_rate,
            2 * math.pi * half / sampling_rate,
            -math.expm1(-1 / (time_constant * sampling_rate)),
            -math.expm1(-1 / (_FORGETS * time_constant * sampling_rate)),
            math.ceil(_SETTLES * time_constant * sampling_rate),
        )
        self._pointers = np.zeros(3, np.complex128)
        self._state = np.zeros(_N_STATE)
        self._found = np.empty((_ROWS, 4))
        self.set(target=0.0, lead=0.0, minimum_amplitude=0.0, refractory=0.0)
        self.reset()
        self._turn = compiled(_turn, column_of(dtype), *self._arguments)

    def set(
        self, *, target: float, lead: float, minimum_amplitude: float, refractory: float
    ) -> None:
        """Tell of another phase from now on.

        Parameters
        ----------
        target : float
            Phase, in radians; 0 is the peak of the rhythm.
        lead : float
            How long before the phase is reached, in seconds.
        minimum_amplitude : float
            Peak of the rhythm below which nothing is told, in the unit of the signal.
        refractory : float
            Time after which the next may be told, in seconds; half a cycle at least.
        """
        self._arguments = (
            *self._tuning, float(target), float(lead * self._rate), float(minimum_amplitude),
            float(max(refractory, self._least) * self._rate), self._pointers, self._state,
            self._found,
        )  # fmt: skip

    def reset(self) -> None:
        """Forget all that was seen."""
        self._pointers.fill(0.0)
        self._state.fill(0.0)
        self._state[_SINCE] = np.inf

    @property
    def phase(self) -> float:
        """Phase at the last sample, in radians."""
        return float(self._state[_PHASE])

    @property
    def amplitude(self) -> float:
        """Peak of the rhythm at the last sample."""
        return float(self._state[_AMPLITUDE])

    @property
    def frequency(self) -> float:
        """Frequency at the last sample, in Hz."""
        return float(self._state[_FREQUENCY]) * self._rate

    def find(self, values: Array) -> Array:
        """Return where the phase is reached, after the lead, in the next samples.

        Parameters
        ----------
        values : ndarray, shape (n_samples,)
            The next samples.

        Returns
        -------
        ndarray, shape (n_found, 4)
            Index of the sample, phase (radians, without the lead), amplitude, frequency (Hz).
        """
        parts = [
            self._find(values[first : first + _ROWS], first)
            for first in range(0, len(values), _ROWS)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _find(self, values: Array, first: int) -> Array:
        n_found, n_bad = self._turn(values, *self._arguments)
        if n_bad:
            self.n_not_finite += n_bad
        found = self._found[:n_found].copy()
        found[:, 0] += first
        found[:, 3] *= self._rate
        return found


@kernel
def _turn(
    values: Array,
    centre: float,
    reach: float,
    smooth: float,
    forget: float,
    settled: int,
    target: float,
    lead: float,
    minimum: float,
    refractory: float,
    pointers: Array,
    state: Array,
    found: Array,
) -> tuple[int, int]:
    n_found = n_bad = 0
    turn = 2 * math.pi
    once, twice, advance = pointers[0], pointers[1], pointers[2]
    for i in range(len(values)):
        value = float(values[i])
        is_good = abs(value) <= _LARGEST
        step = 0.0
        if is_good:
            if state[_HAS_LAST]:
                step = value - state[_LAST]
            state[_LAST] = value
            state[_HAS_LAST] = 1.0
        else:
            n_bad += 1
        # The remainder keeps the pointer exact after days.
        angle = turn * ((state[_N] * centre) % 1.0)
        state[_N] += 1
        before = twice
        once += smooth * (step * complex(math.cos(angle), -math.sin(angle)) - once)
        twice += smooth * (once - twice)
        advance += forget * (twice * before.conjugate() - advance)
        off = min(max(math.atan2(advance.imag, advance.real), -reach), reach)
        speed = turn * centre + off
        real = 1 - (1 - smooth) * math.cos(off)
        imaginary = (1 - smooth) * math.sin(off)
        gain = smooth * smooth / (real * real + imaginary * imaginary) * 2 * math.sin(speed / 2)
        phase = angle + math.atan2(twice.imag, twice.real)
        phase += 2 * math.atan2(imaginary, real) - (math.pi - speed) / 2
        amplitude = 2 * abs(twice) / gain
        # Half a sample more: the nearest sample is told, not the first one past.
        away = (phase + speed * (lead + 0.5) - target + math.pi) % turn - math.pi
        state[_PHASE], state[_AMPLITUDE], state[_FREQUENCY] = phase, amplitude, speed / turn
        state[_SINCE] += 1
        if abs(away) > math.pi / 2:
            state[_IS_ARMED] = 1.0
        elif away >= 0 and state[_IS_ARMED]:
            state[_IS_ARMED] = 0.0
            is_settled = state[_N] > settled and amplitude >= minimum
            if is_good and is_settled and state[_SINCE] >= refractory:
                state[_SINCE] = 0.0
                found[n_found, 0] = i
                found[n_found, 1] = phase % turn
                found[n_found, 2] = amplitude
                found[n_found, 3] = speed / turn
                n_found += 1
    pointers[0], pointers[1], pointers[2] = once, twice, advance
    return n_found, n_bad
