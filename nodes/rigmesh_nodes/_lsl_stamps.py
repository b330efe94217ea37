"""What the stamps of an LSL stream tell: samples that are missing, a clock that was reset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rigmesh.clocks.estimate import ClockEstimator
from rigmesh.clocks.probe import Probe
from rigmesh.streams import ClockModel, local_clock

__all__ = ["ClockKeeper", "Hole", "HoleFinder"]


@dataclass(frozen=True, slots=True)
class Hole:
    """Samples that are missing before sample `position` of a chunk."""

    position: int
    count: int
    duration: float


class HoleFinder:
    """Finds missing samples by their stamps: LSL numbers none, and drops the oldest silently.

    That is only possible where stamps are made from a count of samples, or as evenly: in the
    last 2 s (and 100 samples) no step was off by more than a fifth of a period. A step of more than
    1.5 periods then is a hole. Where the missing time comes back as steps that are too short, the
    stamps were late, not samples lost: such a stream is not looked at any more.

    Parameters
    ----------
    sampling_rate : float
        In Hz; 0, for irregular, finds nothing.
    """

    _TOLERANCE = 0.2
    _LEAST = 1.5

    def __init__(self, sampling_rate: float) -> None:
        self._rate = sampling_rate
        self._enough = max(100, math.ceil(2 * sampling_rate))
        self._even = 0
        self._has_found = False
        self._last = math.nan
        self.is_useless = not sampling_rate

    def find(self, stamps: npt.NDArray[np.float64]) -> list[Hole]:
        """Return the holes before and between samples.

        Parameters
        ----------
        stamps : ndarray, shape (n_samples,)
            Those of the next samples, in seconds.
        """
        if self.is_useless:
            return []
        steps = np.diff(stamps, prepend=self._last) * self._rate
        self._last = stamps[-1]
        uneven = np.abs(steps - 1.0) > self._TOLERANCE
        if not uneven.any():
            self._even += len(steps)
            return []
        return list(self._holes(steps, uneven))

    def _holes(
        self, steps: npt.NDArray[np.float64], uneven: npt.NDArray[np.bool_]
    ) -> Iterator[Hole]:
        before = 0
        for position in np.flatnonzero(uneven).tolist():
            self._even += position - before
            before = position + 1
            step = float(steps[position])
            if step > self._LEAST and self._even >= self._enough:
                self._has_found = True
                yield Hole(position, round(step) - 1, (step - 1.0) / self._rate)
            else:
                if self._has_found and step < 1.0:
                    self.is_useless = True
                    return
                self._even = 0
        self._even += len(steps) - before


class ClockKeeper:
    """Takes measurements of a clock's offset, one every few seconds.

    They go through the same fit as those between hosts (see :mod:`rigmesh.clocks.estimate`): offset
    and drift come from the last minute. A single one that jumps is not believed: anybody can answer
    a probe, and one that is late by accident looks the same. Three of them in a row are a clock
    that was reset.

    Parameters
    ----------
    first : ClockModel
        The first measurement; of infinite uncertainty if there was none.

    Attributes
    ----------
    model : ClockModel
        How stamps map onto our clock by now.
    """

    def __init__(self, first: ClockModel) -> None:
        self.model = first
        self._estimator = ClockEstimator()
        self._epoch = 0
        if not math.isinf(first.uncertainty):
            self.update(first)

    def update(self, measured: ClockModel) -> bool:
        """Take a measurement over; return whether the clock was reset."""
        reference = local_clock() if measured.is_identity else measured.reference
        half, remote = round(measured.uncertainty * 1e9), round(reference * 1e9)
        local = remote + round(measured.offset * 1e9)
        known = self._estimator.add([Probe(local - half, remote, remote, local + half)])
        self.model = measured if measured.is_identity else known.model()
        was_reset, self._epoch = known.epoch != self._epoch, known.epoch
        return was_reset
