"""Sorts spikes while the signal comes in: first it learns the units, then it tells them apart."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._spike_detection import Detection, Spike
from rigmesh_nodes._spike_templates import REJECTED, Templates, learn_templates

__all__ = ["History", "SortedSpike", "Sorting"]

Array = npt.NDArray[Any]


_MARGIN = 2
"""Samples to both sides of a waveform that interpolation needs."""


_CLEAR = 1.0
"""How far the typical spike of a unit is beyond the threshold, in standard deviations of the noise:
peaks of noise, which get there by chance, are so far beyond it about once in a hundred times."""


class SortedSpike(NamedTuple):
    """A spike and the number of its unit, from 1; 0: rejected."""

    spike: Spike
    unit: int


class History:
    """The last samples of a signal.

    Parameters
    ----------
    n_samples : int
        Samples that are kept, at least.
    n_channels : int
        Number of channels.
    dtype : dtype
        Of the samples.
    """

    def __init__(self, n_samples: int, n_channels: int, dtype: npt.DTypeLike) -> None:
        self._n_samples = n_samples
        self._buffer: Array = np.zeros((4 * n_samples, n_channels), dtype=dtype)
        self._fill = 0
        self._first = 0

    def append(self, data: Array) -> None:
        """Add the next samples, shape (n_samples, n_channels)."""
        if self._fill + len(data) > len(self._buffer):
            keep = min(self._n_samples, self._fill)
            last = self._buffer[self._fill - keep : self._fill]
            if keep + len(data) > len(self._buffer):
                last = last.copy()
                shape = (2 * (keep + len(data)), self._buffer.shape[1])
                self._buffer = np.zeros(shape, dtype=self._buffer.dtype)
            self._buffer[:keep] = last
            self._first += self._fill - keep
            self._fill = keep
        self._buffer[self._fill : self._fill + len(data)] = data
        self._fill += len(data)

    def window(self, start: int, stop: int) -> Array | None:
        """Return the samples ``start`` to ``stop - 1``, counted from the first one ever added.

        None if some of them are not here: they came before the first one, or are too old.
        """
        if start < self._first:
            return None
        return self._buffer[start - self._first : stop - self._first]


def aligned(samples: Array, peak: int, channel: int) -> Array:
    """Move a waveform by a part of a sample, so that its peak is at a sample.

    Where noise decides which of two samples is the peak, a unit would come apart into two.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        The waveform and two samples more at both ends.
    peak : int
        Its largest sample,
    channel : int
        and where that is. The peak is that of a parabola through it and its neighbours.

    Returns
    -------
    ndarray, shape (n_samples - 4, n_channels)
        Interpolated by cubic splines of Catmull and Rom.
    """
    left, middle, right = samples[peak - 1 : peak + 2, channel].tolist()
    bend = left - 2 * middle + right
    shift = min(max((left - right) / (2 * bend), -0.5), 0.5) if bend else 0.0
    first = _MARGIN if shift >= 0 else _MARGIN - 1
    t = shift - (first - _MARGIN)
    n = len(samples) - 2 * _MARGIN
    before, here, next_, after = (samples[first + i : first + i + n] for i in range(-1, 3))
    return np.asarray(
        here
        + 0.5 * t * (next_ - before)
        + t * t * (before - 2.5 * here + 2 * next_ - 0.5 * after)
        + t * t * t * (1.5 * (here - next_) + 0.5 * (after - before))
    )


class Sorting:
    """Learns the units of each group of channels, then sorts their spikes.

    Parameters
    ----------
    detection : Detection
        Finds the spikes.
    n_channels, channels_per_group : int
        Groups of neighbours; each has its own units.
    dtype : dtype
        Of the samples.
    before, after : int
        Samples of a waveform before its peak, and from there on.
    n_learned : int
        Samples from which the units are learned, those included from which the noise is.
    stagger : int
        Samples by which each group is ready later than the one before: learning takes a while.
    **how : float
        Handed to `learn_templates`.
    """

    MOST = 2000
    """Spikes of a group that it learns from: the first ones."""

    def __init__(
        self,
        detection: Detection,
        n_channels: int,
        channels_per_group: int = 1,
        *,
        dtype: npt.DTypeLike,
        before: int,
        after: int,
        n_learned: int,
        stagger: int = 0,
        **how: Any,
    ) -> None:
        self.detection = detection
        self._width = channels_per_group
        self._n_groups = n_channels // channels_per_group
        self._before, self._after = before, after
        self._n_learned = n_learned
        self._stagger = stagger
        self._how = how
        # A spike is known as late as the end of its peak's life, or complete still later.
        self._delay = max(detection.finder.peak_life + 1, after + _MARGIN)
        self._history = History(before + _MARGIN + self._delay, n_channels, dtype)
        self._waiting: deque[Spike] = deque()
        self._whole_from = 0
        self._begin()

    @property
    def is_learning(self) -> bool:
        """Whether some groups' units are not known yet."""
        return len(self._templates) < self._n_groups

    @property
    def n_units(self) -> int:
        """Units known so far, of all groups."""
        return self._first_unit[-1] - 1

    def learn(self) -> None:
        """Forget the units; learn the noise and the units anew from the samples that follow."""
        self.detection.noise.learn()
        self._begin()

    def _begin(self) -> None:
        self._learn_from = self.detection.finder.n_seen
        self._learn_to = self._learn_from + self._n_learned
        self._examples: list[list[Array]] = [[] for _ in range(self._n_groups)]
        self._templates: list[tuple[Templates, Array]] = []
        self._first_unit = [1]

    def feed(self, data: Array, stamps: Array, index: int = 0) -> list[SortedSpike]:
        """Return the spikes that are complete by now and of groups that are known.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The next samples.
        stamps : ndarray, shape (n_samples,)
            Their stamps.
        index : int
            Index of the first one.
        """
        self._history.append(data)
        waiting = self._waiting
        waiting.extend(self.detection.feed(data, stamps, index))
        found: list[SortedSpike] = []
        n_seen = self.detection.finder.n_seen
        while waiting and waiting[0].at + self._after + _MARGIN <= n_seen:
            self._sort(waiting.popleft(), found)
        while self.is_learning and n_seen >= self._ready_at(len(self._templates)):
            self._learn_next()
        return found

    def interrupt(self) -> list[SortedSpike]:
        """Return, rejected, the spikes that are not complete: samples are missing here."""
        self._waiting.extend(self.detection.finder.interrupt())
        self._whole_from = self.detection.finder.n_seen
        spikes = [
            SortedSpike(spike, 0)
            for spike in self._waiting
            if spike.at >= self._ready_at(spike.channel // self._width)
        ]
        self._waiting.clear()
        return spikes

    def _ready_at(self, group: int) -> int:
        return self._learn_to + self._delay + group * self._stagger

    def _sort(self, spike: Spike, found: list[SortedSpike]) -> None:
        group = spike.channel // self._width
        if self._learn_from <= spike.at < self._learn_to:
            self._collect(spike, group)
        elif spike.at >= self._ready_at(group):
            while len(self._templates) <= group:
                self._learn_next()
            found.append(SortedSpike(spike, self._unit_of(spike, group)))

    def _collect(self, spike: Spike, group: int) -> None:
        examples = self._examples[group]
        waveform = self._waveform(spike, group)
        if waveform is not None and len(examples) < self.MOST:
            examples.append(waveform)

    def _unit_of(self, spike: Spike, group: int) -> int:
        waveform = self._waveform(spike, group)
        templates, noise = self._templates[group]
        if waveform is None:
            return 0
        unit = templates.nearest((waveform / noise).ravel())
        return 0 if unit == REJECTED else self._first_unit[group] + unit

    def _waveform(self, spike: Spike, group: int) -> Array | None:
        """Return a waveform, shape (n_samples, width); None if it is not whole and finite."""
        start = spike.at - self._before - _MARGIN
        if start < self._whole_from:
            return None
        window = self._history.window(start, spike.at + self._after + _MARGIN)
        if window is None:
            return None
        first = group * self._width
        waveform = window[:, first : first + self._width]
        if not np.isfinite(waveform).all():
            return None
        return aligned(waveform.astype(float), self._before + _MARGIN, spike.channel - first)

    def _learn_next(self) -> None:
        """Learn the units of the first group that is not known."""
        group = len(self._templates)
        own = slice(group * self._width, (group + 1) * self._width)
        deviation = self.detection.noise.deviation[own]
        # A channel without noise is not connected; what is in it does not count.
        connected = deviation > 0
        noise = np.where(connected, deviation, np.inf)
        heights = self.detection.thresholds[own][connected] / deviation[connected]
        lowest = float(np.min(heights, initial=np.inf))
        examples, self._examples[group] = self._examples[group], []
        n_values = (self._before + self._after) * self._width
        stack = np.reshape([w / noise for w in examples], (-1, n_values))
        templates = learn_templates(stack, min_height=lowest + _CLEAR, **self._how)
        self._templates.append((templates, noise))
        self._first_unit.append(self._first_unit[-1] + len(templates))
