"""Events and signals around other events: histograms, rasters and averages, without any page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Average", "EventAverage", "Group", "PeriEvents"]

Array = npt.NDArray[Any]
Stamps = npt.NDArray[np.float64]

_MOST_BINS = 20_000


@dataclass(frozen=True, slots=True)
class Group:
    """What is around the events of one group.

    Parameters
    ----------
    label : str
        Of the group.
    events : ndarray of int, shape (n_events,)
        Which of the events it has.
    counts : ndarray of int, shape (n_bins,)
        Of all its events together.
    raster : tuple of ndarray
        For each of its events the times of what is around it, in seconds after it.
    """

    label: str
    events: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    raster: tuple[Stamps, ...]

    def rates(self, widths: Stamps) -> Stamps:
        """Return counts as so many a second, per event.

        Parameters
        ----------
        widths : ndarray, shape (n_bins,)
            Of the bins, in seconds.
        """
        return self.counts / (widths * max(1, len(self.events)))


class PeriEvents:
    """Counts what is around events, in bins of one width.

    The counts are those of :func:`numpy.histogram`: a bin has its lower edge, the last one both.

    Parameters
    ----------
    start, stop : float
        The window, in seconds after each event.
    bin_width : float
        In seconds. If the window is no multiple of it, the last bin reaches beyond the window.

    Raises
    ------
    ValueError
        If there is no such window.
    """

    def __init__(self, start: float, stop: float, bin_width: float) -> None:
        if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
            raise ValueError(f"a window from {start:g} to {stop:g} s is empty")
        if not (math.isfinite(bin_width) and bin_width > 0):
            raise ValueError(f"a bin is longer than 0 s, not {bin_width:g}")
        n_bins = max(1, math.ceil((stop - start) / bin_width - 1e-9))
        if n_bins > _MOST_BINS:
            raise ValueError(f"{n_bins:,} bins are too many; {_MOST_BINS:,} are possible")
        # By numbers, not by adding up: an edge that should be 0 is 0.
        self.edges: Stamps = start + np.arange(n_bins + 1, dtype=np.float64) * bin_width
        nearest = round(-start / bin_width)
        if 0 <= nearest <= n_bins and abs(self.edges[nearest]) < 1e-9 * bin_width:
            self.edges[nearest] = 0.0

    @property
    def widths(self) -> Stamps:
        """Widths of the bins, in seconds."""
        return np.diff(self.edges)

    def count(
        self, events: Stamps, targets: Stamps, labels: Sequence[str] | None = None
    ) -> list[Group]:
        """Count the targets around events.

        Parameters
        ----------
        events : ndarray, shape (n_events,)
            In seconds, of any clock; those that are no number are left out.
        targets : ndarray, shape (n_targets,)
            In seconds of the same clock, in any order.
        labels : sequence of str
            The group of each event; all are one group if not given.

        Returns
        -------
        list of Group
            In the order in which their labels come first.
        """
        events = np.asarray(events, np.float64)
        sorted_targets = np.sort(np.asarray(targets, np.float64))
        found = []
        for label, numbers in grouped(events, labels).items():
            raster = tuple(self._around(event, sorted_targets) for event in events[numbers])
            relative = np.concatenate(raster) if raster else np.empty(0)
            counts = np.histogram(relative, self.edges)[0]
            found.append(Group(label, numbers, counts, raster))
        return found

    def _around(self, event: float, targets: Stamps) -> Stamps:
        first, last = np.searchsorted(targets, event + self.edges[[0, -1]])
        # Sums and differences round in their own ways: one more on each side, then by difference.
        relative = targets[max(0, first - 1) : last + 2] - event
        inside = (relative >= self.edges[0]) & (relative <= self.edges[-1])
        around: Stamps = relative[inside]
        return around


@dataclass(frozen=True, slots=True)
class Average:
    """The mean signal around the events of one group.

    Parameters
    ----------
    label : str
        Of the group.
    n : int
        Events in it.
    mean, error : ndarray, shape (n_samples, n_channels)
        Mean, and its standard error (NaN of a single event).
    """

    label: str
    n: int
    mean: Stamps
    error: Stamps


class EventAverage:
    """Averages a signal around events.

    Parameters
    ----------
    start, stop : float
        The window, in seconds after each event.
    rate : float
        Of the signal, in Hz.

    Raises
    ------
    ValueError
        If there is no such window.
    """

    def __init__(self, start: float, stop: float, rate: float) -> None:
        if not (math.isfinite(start) and math.isfinite(stop) and start < stop and rate > 0):
            raise ValueError(f"a window from {start:g} to {stop:g} s at {rate:g} Hz is empty")
        self.n = max(1, round((stop - start) * rate))
        self.first = round(start * rate)
        self.times: Stamps = (self.first + np.arange(self.n)) / rate

    def average(
        self,
        events: Stamps,
        sweep: Callable[[float, int, int], Array | None],
        labels: Sequence[str] | None = None,
    ) -> list[Average]:
        """Average over the events of each group.

        Parameters
        ----------
        events : ndarray, shape (n_events,)
            In seconds.
        sweep : callable
            Given an event's time, the number of the first sample after it (less than 0: before)
            and how many: returns these, of shape (n_samples, n_channels), or None where some are
            missing; the event is then left out.
        labels : sequence of str
            The group of each event.
        """
        found = []
        for label, numbers in grouped(np.asarray(events, np.float64), labels).items():
            n, mean, squares = 0, np.zeros((self.n, 1)), np.zeros((self.n, 1))
            for number in numbers.tolist():
                samples = sweep(float(events[number]), self.first, self.n)
                if samples is None:
                    continue
                n += 1
                values = samples.astype(np.float64)
                # Welford: sums of squares of raw values would lose what is small beside an offset.
                step = values - mean
                mean = mean + step / n
                squares = squares + step * (values - mean)
            error = np.sqrt(squares / (n - 1) / n) if n > 1 else np.full_like(mean, np.nan)
            found.append(Average(label, n, mean, error))
        return found


def grouped(events: Stamps, labels: Sequence[str] | None) -> dict[str, npt.NDArray[np.int64]]:
    """Return the numbers of the events of each group; those without a time are in none."""
    valid = np.flatnonzero(np.isfinite(events))
    if labels is None:
        return {"": valid}
    if len(labels) != len(events):
        raise ValueError(f"{len(events)} events have {len(labels)} labels")
    groups: dict[str, list[int]] = {}
    for number in valid.tolist():
        groups.setdefault(labels[number], []).append(number)
    return {label: np.array(numbers, np.int64) for label, numbers in groups.items()}
