"""Maps of power over time and frequency, received or computed in the feeds' threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RigmeshError
from rigmesh.streams import Chunk, Signal, StreamInfo, rising
from rigmesh_nodes.channels import channel_indices
from rigmesh_nodes.filters import regular_rate
from rigmesh_nodes.spectra import MorletTransform, columns_of, frequency_grid, labelled
from rigmesh_nodes.viewers import TimeFreq

__all__ = ["ComputedMap", "MapColumns", "MapLook", "MapSink"]

Array = npt.NDArray[Any]

_MOST_BYTES = 256 * 2**20
_MOST_COLUMNS = 1000
_ROWS_A_COLUMN = 2
"""At least, so that stamps that are not quite even leave no column empty."""


@dataclass(frozen=True, slots=True, eq=False)
class MapLook:
    """What the columns of a map are.

    Attributes
    ----------
    generation : int
        Grows when what came before cannot be shown beside what follows.
    channels : tuple of str
        Their labels.
    frequencies : ndarray, shape (n_frequencies,)
        In Hz.
    unit : str
        Of power.
    period : float
        From row to row, in seconds; 0 if irregular.
    """

    generation: int
    channels: tuple[str, ...]
    frequencies: Array
    unit: str
    period: float


class MapSink:
    """Keeps the last rows of a map that somebody else computes.

    Parameters
    ----------
    seconds : float
        How much is kept.

    Attributes
    ----------
    look : MapLook or None
        What is kept, once known.
    problem : str
        Why nothing can be shown.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.look: MapLook | None = None
        self.problem = ""
        self._generation = 0
        self._rows: deque[tuple[Array, Array]] = deque()
        self._n_dropped = 0
        self._n_bytes = 0
        self._lock = threading.Lock()

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        try:
            channels, frequencies, unit = columns_of(info)
        except RigmeshError as error:
            self.problem = str(error)
            return
        period = 1 / info.sampling_rate if info.sampling_rate else 0.0
        with self._lock:
            self.look = MapLook(0, tuple(channels), frequencies, unit, period)
            self._begin_anew()
            self.problem = ""

    def take(self, chunk: Chunk) -> None:
        """Keep rows."""
        if len(chunk) and not self.problem:
            self._keep(chunk.timestamps.copy(), chunk.data.astype(np.float32))

    def since(self, n: int) -> tuple[int, list[tuple[Array, Array]]]:
        """Return how many blocks of rows came so far, and those after the first `n`.

        Each is stamps (local clock, in seconds) and power, of the shapes ``(n_rows,)`` and
        ``(n_rows, n_channels * n_frequencies)``.
        """
        with self._lock:
            blocks = list(self._rows)
            total = self._n_dropped + len(blocks)
            return total, blocks[max(0, n - self._n_dropped) :]

    def _begin_anew(self) -> None:
        self._generation += 1
        if self.look is not None:
            self.look = replace(self.look, generation=self._generation)
        self._n_dropped += len(self._rows)
        self._rows.clear()
        self._n_bytes = 0

    def _keep(self, times: Array, power: Array) -> None:
        with self._lock:
            known, n = rising(times, self._rows[-1][0][-1] if self._rows else -np.inf)
            while n < len(times):  # time went back
                self._begin_anew()
                times, power = times[n:], power[n:]
                known, n = rising(times, -np.inf)
            there = np.isfinite(known)
            if not there.any():
                return
            self._rows.append((known[there], power[there]))
            self._n_bytes += self._rows[-1][1].nbytes
            oldest = known[-1] - self.seconds
            while self._rows[0][0][-1] < oldest or self._n_bytes > _MOST_BYTES:
                self._n_bytes -= self._rows.popleft()[1].nbytes
                self._n_dropped += 1
                if not self._rows:
                    break


class ComputedMap(MapSink):
    """Computes a map of a signal, in the thread of its feed.

    Parameters
    ----------
    seconds : float
        How much is kept.
    values : mapping
        Parameters of the window.

    Attributes
    ----------
    is_on : bool
        Whether it computes.
    """

    def __init__(self, seconds: float, values: Mapping[str, Any]) -> None:
        super().__init__(seconds)
        self.is_on = True
        self._values = dict(values)
        self._info: StreamInfo | None = None
        self._transform: MorletTransform | None = None
        self._indices: list[int] = []
        self._building = threading.Lock()

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        with self._building:
            self._info = info
            self._build()

    def configure(self, values: Mapping[str, Any]) -> None:
        """Compute by other parameters of the window from now on."""
        with self._building:
            before = TimeFreq.map_parameters(self._values)
            self._values = dict(values)
            if TimeFreq.map_parameters(values) != before or self.problem:
                self._build()

    def take(self, chunk: Chunk) -> None:
        """Transform samples, and keep the rows that are done."""
        with self._building:
            transform = self._transform
            if transform is None or not self.is_on:
                return
            if chunk.gaps:
                transform.restart()
            power, stamps = transform(
                chunk.data[:, self._indices], chunk.raw_timestamps, chunk.index
            )
            if len(power):
                rows = Signal(power, stamps, clock=chunk.clock)
                self._keep(rows.timestamps.copy(), power)

    def _build(self) -> None:
        info, self._transform = self._info, None
        if info is None:
            return
        wanted = TimeFreq.map_parameters(self._values)
        try:
            sampling_rate = regular_rate(info, "this window")
            self._indices = channel_indices(info, wanted["channels"])
            frequencies = frequency_grid(
                wanted["f_start"],
                wanted["f_stop"],
                wanted["n_frequencies"],
                spacing=wanted["spacing"],
            )
            transform = MorletTransform(
                frequencies,
                len(self._indices),
                sampling_rate,
                n_cycles=wanted["n_cycles"],
                rate=wanted["rate"],
                normalisation=wanted["normalisation"],
            )
        except RigmeshError as error:
            self.problem = str(error)
            return
        super().describe(
            labelled(
                info,
                self._indices,
                frequencies.tolist(),
                wanted["normalisation"],
                sampling_rate=sampling_rate / transform.factor,
                dtype="float32",
            )
        )
        self._transform = transform


class MapColumns:
    """The mean power over equal times, as many as there are columns in a picture.

    Parameters
    ----------
    n_values : int
        Values in a row.
    seconds : float
        Time of all columns.
    period : float
        From row to row, in seconds; 0 if irregular.

    Attributes
    ----------
    step : float
        Time of a column, in seconds.
    mean : ndarray of float32, shape (n_columns, n_values)
        NaN where there is none; the newest column is the last.
    newest : int
        Number of the newest column: it begins at ``newest * step`` of the local clock; -1 if there
        is none.
    """

    def __init__(self, n_values: int, seconds: float, period: float) -> None:
        self.step = max(seconds / _MOST_COLUMNS, _ROWS_A_COLUMN * period)
        n = max(2, round(seconds / self.step))
        self.mean = np.full((n, n_values), np.nan, np.float32)
        self._counts = np.zeros(n, np.int64)
        self.newest = -1

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self._counts)

    def add(self, times: Array, power: Array) -> None:
        """Add rows.

        Parameters
        ----------
        times : ndarray, shape (n_rows,)
            Local clock, in seconds.
        power : ndarray, shape (n_rows, n_values)
            Their values.
        """
        numbers = np.floor(times / self.step).astype(np.int64)
        self._move_to(int(numbers.max()))
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        sums = np.add.reduceat(power, starts, axis=0)
        counts = np.diff(starts, append=len(numbers))
        for number, total, count in zip(numbers[starts], sums, counts, strict=True):
            at = len(self) - 1 - (self.newest - int(number))
            if at < 0:
                continue
            before = int(self._counts[at])
            if before:
                total = total + self.mean[at] * before
            self._counts[at] = before + count
            self.mean[at] = total / (before + count)

    def _move_to(self, number: int) -> None:
        by = number - self.newest
        if self.newest < 0 or by >= len(self):
            self.mean.fill(np.nan)
            self._counts.fill(0)
        elif by > 0:
            self.mean[:-by] = self.mean[by:].copy()
            self.mean[-by:] = np.nan
            self._counts[:-by] = self._counts[by:].copy()
            self._counts[-by:] = 0
        self.newest = max(number, self.newest)
