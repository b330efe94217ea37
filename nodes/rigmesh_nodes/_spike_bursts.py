"""When a rate rises far above its mean, and when it is back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._detect_ripples import RippleFinder

__all__ = ["BurstFinder"]

Array = npt.NDArray[Any]


class BurstFinder:
    """Finds begins and ends of bursts of one channel, chunk after chunk.

    The threshold, and what begins a burst, are those of `RippleFinder`. A burst ends at the first
    sample that is not above the threshold.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    time_constant, burn_in : float
        How slowly mean and deviation forget, and how long nothing is found at first; in seconds.

    Attributes
    ----------
    is_on : bool
        Whether there is a burst just now.
    threshold : float
        The present one; 0 before there is one.
    """

    def __init__(self, sampling_rate: float, *, time_constant: float, burn_in: float) -> None:
        self._finder = RippleFinder(
            sampling_rate,
            np.float64,
            measure="amplitude",
            smoothing=0.0,
            time_constant=time_constant,
            burn_in=burn_in,
        )
        self.is_on = False
        self.threshold = 0.0
        self._last_time = 0.0

    def set(self, k: float, *, lock_out: float, min_duration: float) -> None:
        """Find other bursts from now on.

        Parameters
        ----------
        k : float
            Threshold above the mean, in mean absolute deviations.
        lock_out, min_duration : float
            Time from one burst's begin to the next, and above the threshold, in seconds.
        """
        self._finder.k = k
        self._finder.set(lock_out=lock_out, minimum_duration=min_duration)

    def take_not_finite(self) -> int:
        """Return how many values were NaN or infinite since this was asked last."""
        count, self._finder.n_not_finite = self._finder.n_not_finite, 0
        return count

    def interrupt(self) -> list[tuple[float, bool]]:
        """End a burst at the last sample there was: some are missing here."""
        self._finder.pause()
        if not self.is_on:
            return []
        self.is_on = False
        return [(self._last_time, False)]

    def find(self, values: Array, stamps: Array) -> list[tuple[float, bool]]:
        """Return the stamps at which bursts begin (True) and end (False), in order.

        Parameters
        ----------
        values : ndarray, shape (n_samples,)
            The next samples, none below 0; at least one.
        stamps : ndarray, shape (n_samples,)
            Their stamps, in seconds.
        """
        found, envelope = self._finder.find(values.astype(np.float64)[:, None])
        begins = found[:, 0].copy()
        ends = np.flatnonzero(envelope[:, 0] <= envelope[:, 1])
        marks = []
        row = -1
        while True:
            rows = ends if self.is_on else begins
            nth = int(np.searchsorted(rows, row, side="right"))
            if nth == len(rows):
                break
            row = int(rows[nth])
            self.is_on = not self.is_on
            marks.append((float(stamps[row]), self.is_on))
        self._last_time = float(stamps[-1])
        threshold = float(envelope[-1, 1])
        self.threshold = threshold if np.isfinite(threshold) else 0.0
        return marks
