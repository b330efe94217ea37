"""Events and signals around other events: histograms, rasters and averages, without any page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import ParameterError

__all__ = ["Average", "EventAverage", "Group", "PeriEvents"]

Array = npt.NDArray[Any]
Stamps = npt.NDArray[np.float64]

_MOST_BINS = 20_000
_MOST_COUNTED = 10_000_000
_AT_ONCE = 1_000_000


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

        Raises
        ------
        ParameterError
            If more are around them than memory has room for.
        """
        events = np.asarray(events, np.float64)
        sorted_targets = np.sort(np.asarray(targets, np.float64))
        spans = {
            label: (numbers, *self._spans(events[numbers], sorted_targets))
            for label, numbers in grouped(events, labels).items()
        }
        total = sum(int((last - first).sum()) for _, first, last in spans.values())
        if total > _MOST_COUNTED:
            raise ParameterError(
                f"{total:,} times something is around these events; {_MOST_COUNTED:,} can be "
                "counted. Take a shorter window, or choose fewer events with 'only where'"
            )
        found = []
        for label, (numbers, first, last) in spans.items():
            raster: list[Stamps] = []
            counts = np.zeros(len(self.edges) - 1, np.int64)
            for part in _parts(last - first):
                around = self._around(
                    events[numbers[part]], sorted_targets, first[part], last[part]
                )
                counts += np.histogram(np.concatenate(around), self.edges)[0]
                raster += around
            found.append(Group(label, numbers, counts, tuple(raster)))
        return found

    def _spans(
        self, events: Stamps, targets: Stamps
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return from and up to where targets may be around each event: a few too many.

        Sums and differences round in their own ways: which ones are inside says the difference.
        """
        low, high = self.edges[[0, -1]]
        slack = 4 * np.spacing(np.abs(events) + max(abs(low), abs(high)))
        first = np.searchsorted(targets, events + low - slack, "left")
        return first, np.searchsorted(targets, events + high + slack, "right")

    def _around(
        self,
        events: Stamps,
        targets: Stamps,
        first: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
    ) -> list[Stamps]:
        """Return for each event the times of targets after it, those inside of the window."""
        sizes = last - first
        starts = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(first - starts, sizes)
        relative = targets[places] - np.repeat(events, sizes)
        inside = (relative >= self.edges[0]) & (relative <= self.edges[-1])
        before = np.concatenate([[0], np.cumsum(inside)])
        return np.split(relative[inside], before[starts[1:]])


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
        self._rate = rate

    @property
    def times(self) -> Stamps:
        """When the samples are, in seconds after the event, shape (n_samples,)."""
        return (self.first + np.arange(self.n)) / self._rate

    def average(
        self,
        events: Stamps,
        sweep: Callable[[float, int, int], Array | None],
        labels: Sequence[str] | None = None,
    ) -> Iterator[Average]:
        """Average over the events of each group, one after the other.

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
            yield Average(label, n, mean, error)


def _parts(sizes: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of events, around which there is not much more than is handled at once."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, "right")))
        yield slice(start, stop)
        start = stop


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
