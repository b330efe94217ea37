"""How many spikes there are in each bin of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._spike_detection import Spike

__all__ = ["RateCounter"]

Array = npt.NDArray[Any]


class RateCounter:
    """Counts spikes in bins of samples, one after the other.

    Parameters
    ----------
    n_groups, channels_per_group : int
        Groups of neighbours; each is counted by itself.
    n_bin : int
        Samples in a bin.
    delay : int
        Samples after the end of a bin, until which spikes of it may become known.
    first : int
        Number of the sample at which the first bin begins.
    """

    def __init__(
        self, n_groups: int, channels_per_group: int, *, n_bin: int, delay: int, first: int = 0
    ) -> None:
        self._n_groups, self._width = n_groups, channels_per_group
        self._n_bin, self._delay = n_bin, delay
        self._n_seen = 0
        self._begin(first)

    def _begin(self, first: int) -> None:
        self._first = first
        self._next_end = first + self._n_bin
        self._number = 0
        self._ended: deque[float] = deque()
        self._counts: dict[int, Array] = {}

    def interrupt(self) -> None:
        """Drop the bin that has begun, and begin another one: samples are missing here."""
        self._begin(max(self._first, self._n_seen))

    def feed(self, stamps: Array, spikes: Iterable[Spike]) -> list[tuple[float, Array]]:
        """Return the bins whose spikes are all known by now.

        Parameters
        ----------
        stamps : ndarray, shape (n_samples,)
            Of the next samples.
        spikes : iterable of Spike
            Those that became known by them.

        Returns
        -------
        list of (float, ndarray of shape (n_groups,))
            Stamp of a bin's last sample, and the number of its spikes.
        """
        begin = self._n_seen
        self._n_seen += len(stamps)
        while self._next_end <= self._n_seen:
            self._ended.append(float(stamps[self._next_end - 1 - begin]))
            self._next_end += self._n_bin
        for spike in spikes:
            number = (spike.at - self._first) // self._n_bin
            if number >= 0:
                counts = self._counts.setdefault(number, np.zeros(self._n_groups))
                counts[spike.channel // self._width] += 1
        found = []
        while self._first + (self._number + 1) * self._n_bin + self._delay <= self._n_seen:
            counts = self._counts.pop(self._number, np.zeros(self._n_groups))
            found.append((self._ended.popleft(), counts))
            self._number += 1
        return found
