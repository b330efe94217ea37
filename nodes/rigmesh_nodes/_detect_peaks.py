"""Peaks of a signal that stand out from the others, such as the R waves of an ECG."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._detect_compile import column_of, compiled
from rigmesh_nodes._kernels import kernel

__all__ = ["PeakFinder"]

Array = npt.NDArray[Any]

_LARGEST = 1e100
_ROWS = 1024
_EIGHTH = 0.125
_MISSED = 1.66
"""As a multiple of the mean interval: what Pan and Tompkins take for a missed beat."""

(
    _N, _TOP, _TOP_AT, _TOP_TIME, _LOW, _SIGNAL, _NOISE, _INTERVAL, _LAST_AT, _WAITED_FROM,
    _IS_WHOLE, _N_STATE,
) = range(12)  # fmt: skip


class PeakFinder:
    """Finds peaks above a threshold that adapts to peaks and to noise, chunk after chunk.

    The thresholds are those of Pan and Tompkins, without their search back in time. A maximum may
    be a peak once the signal has fallen to half of it, and the next begins where the signal has
    risen to twice what it fell to. Two levels follow the heights of the peaks that
    were found and of those that were not, by an eighth of the difference each; the threshold lies
    between them. When there is none for 1.66 times the mean interval, the upper level is halved.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    learning : float
        How long nothing is found at first, in seconds: the largest maximum of this time is the
        first level of peaks.
    dtype : dtype
        Of the samples.

    Attributes
    ----------
    n_not_finite : int
        Samples that were NaN, infinite or beyond 1e100: they are passed over.

    References
    ----------
    J. Pan, W. J. Tompkins, "A real-time QRS detection algorithm", IEEE Trans. Biomed. Eng. 32,
    230-236 (1985).
    """

    def __init__(
        self, sampling_rate: float, learning: float, dtype: npt.DTypeLike = np.float64
    ) -> None:
        self.n_not_finite = 0
        self._rate = sampling_rate
        self._learning = learning * sampling_rate
        self._state = np.zeros(_N_STATE)
        self._found = np.empty((_ROWS, 4))
        self.set(sign=1.0, share=0.25, refractory=0.0)
        self.reset()
        self._peak = compiled(_peak, column_of(dtype), column_of(np.float64), *self._arguments)

    def set(self, *, sign: float, share: float, refractory: float) -> None:
        """Look for other peaks from now on.

        Parameters
        ----------
        sign : float
            1 for maxima, -1 for minima.
        share : float
            Where the threshold lies between the level of noise, 0, and that of peaks, 1.
        refractory : float
            Time from a peak in which maxima are neither peaks nor noise, in seconds.
        """
        self._share = float(share)
        self._arguments = (
            float(sign), self._share, float(refractory * self._rate), self._learning, self._state,
            self._found,
        )  # fmt: skip

    def reset(self) -> None:
        """Forget all that was seen."""
        self._state.fill(0.0)
        self._state[_LAST_AT] = -np.inf
        self._state[_LOW] = np.inf

    def skip(self) -> None:
        """Let the maximum go that was being followed: samples are missing."""
        self._state[_TOP] = self._state[_IS_WHOLE] = 0.0
        self._state[_LOW] = np.inf

    @property
    def threshold(self) -> float:
        """Height that a peak must have."""
        noise, signal = self._state[_NOISE], self._state[_SIGNAL]
        return float(noise + self._share * (signal - noise))

    @property
    def interval(self) -> float:
        """Mean time from peak to peak, in seconds; 0 before it is known."""
        return float(self._state[_INTERVAL]) / self._rate

    def find(self, values: Array, stamps: Array) -> Array:
        """Return the peaks that the next samples make certain.

        Parameters
        ----------
        values : ndarray, shape (n_samples,)
            The next samples.
        stamps : ndarray, shape (n_samples,)
            Their times, in seconds.

        Returns
        -------
        ndarray, shape (n_peaks, 4)
            How many samples the peak is before the first of these (negative: after it), its time,
            its height, and the mean interval in seconds.
        """
        before = self._state[_N]
        parts = []
        for first in range(0, len(values), _ROWS):
            rows = slice(first, first + _ROWS)
            n_found, n_bad = self._peak(values[rows], stamps[rows], *self._arguments)
            self.n_not_finite += n_bad
            parts.append(self._found[:n_found].copy())
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        found[:, 0] = before - found[:, 0]
        found[:, 3] /= self._rate
        return found


@kernel
def _peak(
    values: Array,
    stamps: Array,
    sign: float,
    share: float,
    refractory: float,
    learning: float,
    state: Array,
    found: Array,
) -> tuple[int, int]:
    n_found = n_bad = 0
    for i in range(len(values)):
        at = state[_N]
        state[_N] += 1
        value = sign * float(values[i])
        is_learning = at < learning
        longest = _MISSED * state[_INTERVAL] if state[_INTERVAL] else max(learning, 1.0)
        if not is_learning and at - max(state[_WAITED_FROM], learning) > longest:
            state[_SIGNAL] /= 2
            state[_WAITED_FROM] = at
        if not abs(value) <= _LARGEST:
            n_bad += 1
            continue
        if state[_TOP] == 0.0 and value <= max(2 * state[_LOW], 0.0):
            state[_LOW] = min(state[_LOW], value)
            continue
        if value > state[_TOP]:
            state[_TOP], state[_TOP_AT], state[_TOP_TIME] = value, at, stamps[i]
            continue
        if value > state[_TOP] / 2:
            continue
        top = state[_TOP]
        state[_TOP], state[_LOW] = 0.0, value
        if state[_TOP_AT] - state[_LAST_AT] < refractory:
            continue
        if is_learning:
            state[_SIGNAL] = max(state[_SIGNAL], top)
            if top > share * state[_SIGNAL]:
                state[_LAST_AT] = state[_TOP_AT]  # what follows may be its T wave
            continue
        if top <= state[_NOISE] + share * (state[_SIGNAL] - state[_NOISE]):
            state[_NOISE] += _EIGHTH * (top - state[_NOISE])
            continue
        state[_SIGNAL] += _EIGHTH * (top - state[_SIGNAL])
        interval = state[_TOP_AT] - state[_LAST_AT]
        if state[_IS_WHOLE] and state[_INTERVAL] == 0.0:
            state[_INTERVAL] = interval
        elif state[_IS_WHOLE] and interval < 2 * state[_INTERVAL]:
            state[_INTERVAL] += _EIGHTH * (interval - state[_INTERVAL])
        state[_IS_WHOLE] = 1.0
        state[_LAST_AT] = state[_WAITED_FROM] = state[_TOP_AT]
        found[n_found, 0] = state[_TOP_AT]
        found[n_found, 1] = state[_TOP_TIME]
        found[n_found, 2] = sign * top
        found[n_found, 3] = state[_INTERVAL]
        n_found += 1
    return n_found, n_bad
