"""Follows a buffered signal: turns new rows into pixel columns and draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.display import SignalBuffer
from rigmesh.viewers.trace_columns import Columns, Style
from rigmesh.viewers.trace_sinks import TraceSink
from rigmesh.viewers.traces import Raster, Rows

__all__ = ["Follower", "TimeBase", "bin_size"]

Array = npt.NDArray[Any]

_LEVELS = (4096, 256, 16)
_SPARE = 4096
"""Rows that may be written over between two looks at a buffer."""
_PIECES, _MEASURED = 20, 200_000
"""Pieces, and values in all of them, that an automatic scale is found from."""
_ROWS_A_COLUMN = 32
"""From so many rows in a column on, bins of them are read, at least four a column if they can."""


@dataclass(slots=True)
class TimeBase:
    """The time axis that all signals of a window share.

    Parameters
    ----------
    seconds : float
        Width of the picture.
    width : int
        The same, in pixels.
    mode : str
        ``scan`` or ``scroll``.
    right : int
        Number of the newest column, counted from the local clock's zero.
    """

    seconds: float = 10.0
    width: int = 1
    mode: Literal["scan", "scroll"] = "scan"
    right: int = 0

    @property
    def step(self) -> float:
        """Width of a column, in seconds."""
        return self.seconds / self.width

    @property
    def left(self) -> int:
        """Number of the oldest column."""
        return self.right + 1 - self.width

    @property
    def start(self) -> float:
        """When the oldest column begins, in seconds of the local clock."""
        return self.left * self.step

    @property
    def stop(self) -> float:
        """When the newest column ends, in seconds of the local clock."""
        return (self.right + 1) * self.step

    def x_of(self, time: float) -> float:
        """Return where a time of the local clock lies, in pixels from the left."""
        column = time / self.step
        return column % self.width if self.mode == "scan" else column - self.left

    def time_at(self, x: float) -> float:
        """Return the time that is shown at a place, in pixels from the left."""
        if self.mode == "scroll":
            return (self.left + x) * self.step
        behind = (self.right - math.floor(x)) % self.width
        return (self.right - behind + x - math.floor(x)) * self.step

    def show(self, time: float) -> None:
        """Let the newest column be that of a time."""
        self.right = math.floor(time / self.step)


class Follower:
    """Keeps a picture of a signal up to date.

    Parameters
    ----------
    sink : TraceSink
        The signal.
    style : str
        ``line`` or ``steps``: what lies between two samples that are more than a column apart.

    Attributes
    ----------
    columns : Columns
        What is drawn, as values.
    raster : Raster
        What is drawn, as pixels.
    rows : Rows
        How it is drawn.
    """

    def __init__(self, sink: TraceSink, style: Style = "line") -> None:
        self.sink = sink
        self.columns = Columns(0, 1)
        self.raster = Raster(1, 1)
        self.rows = Rows.none()
        self.is_stale = True
        self._style = style
        self._buffer: SignalBuffer | None = None
        self._generation = -1
        self._bin = 0
        self._next = 0

    @property
    def newest(self) -> float:
        """When the newest sample was, in seconds of the local clock; NaN before the first."""
        buffer = self.sink.buffer
        _, stop = buffer.rows
        times = buffer.times(stop - 1, stop)
        return float(times[-1]) if len(times) else math.nan

    @property
    def duration(self) -> float:
        """How long the signal is that is kept, in seconds; NaN if there is none."""
        buffer = self.sink.buffer
        first, stop = buffer.rows
        # More than one: rows may be written over, or dropped, between two calls.
        times = buffer.times(first, min(stop, first + _SPARE))
        return self.newest - float(times[0]) if len(times) else math.nan

    @property
    def n_channels(self) -> int:
        """Number of channels; 0 before they are known."""
        info = self.sink.buffer.info
        return info.n_channels if info is not None else 0

    def resize(self, width: int, height: int) -> bool:
        """Make the picture of a size, and return whether it was of another one."""
        if self.raster.size == (width, height):
            return False
        old = self.raster
        self.raster = Raster(width, height)
        self.raster.background, self.raster.faint = old.background, old.faint
        self.raster.thickness = old.thickness
        self.is_stale = True
        return True

    def follow(self, base: TimeBase) -> None:
        """Draw what is new since the last time; everything where something else changed."""
        buffer = self.sink.buffer
        if (
            self.is_stale
            or buffer is not self._buffer
            or buffer.generation != self._generation
            or not -1 < base.right - self.columns.right < self.columns.width
        ):
            self.load(base)
            return
        before = self.columns.right
        self.columns.move_to(base.right)
        first, stop = self._read_on(base)
        if first < stop:
            self.raster.draw(self.columns, self.rows, first, stop)
        # Behind the end of this signal there is nothing yet, where its last sweep still is.
        empty = max(before + 1, stop)
        if empty <= base.right:
            self.raster.draw(self.columns, self.rows, empty, base.right + 1)

    def load(self, base: TimeBase) -> None:
        """Read and draw all columns of a time."""
        buffer = self.sink.buffer
        info = buffer.info
        width, _ = self.raster.size
        self._buffer, self._generation = buffer, buffer.generation
        self.is_stale = False
        n_channels = self.n_channels
        if self.columns.low.shape != (n_channels, width):
            self.columns = Columns(n_channels, width)
        self.columns.clear(base.right)
        if info is not None:
            self._bin = bin_size(info.sampling_rate * base.step)
            first = max(buffer.rows[0], buffer.row_at(base.start) - 1)
            self._next = -(-first // self._bin) if self._bin else first
            self._read_on(base)
        self.redraw()

    def redraw(self) -> None:
        """Draw all columns that are known."""
        right = self.columns.right
        self.raster.draw(self.columns, self.rows, right + 1 - self.columns.width, right + 1)

    def recent(self, seconds: float) -> Array:
        """Return samples spread over the last seconds, some hundreds or thousands of them.

        Returns
        -------
        ndarray, shape (n_samples, n_channels)
            Without those that are missing.
        """
        buffer = self.sink.buffer
        first, stop = buffer.rows
        if stop:
            first = max(first, buffer.row_at(self.newest - seconds))
        pieces = []
        step = max(1, (stop - first) // _PIECES)
        size = min(step, max(25, min(150, _MEASURED // (_PIECES * max(1, self.n_channels)))))
        for begin in range(first, stop, step):
            data, missing = buffer.samples(begin, min(stop, begin + size))
            if data.shape[1] == self.n_channels:  # else the format has just changed
                pieces.append(data[~missing])
        return np.concatenate(pieces) if pieces else np.zeros((0, self.n_channels))

    def _read_on(self, base: TimeBase) -> tuple[int, int]:
        """Take over rows that were not read yet; return the columns that changed."""
        buffer, size = self.sink.buffer, self._bin
        first_row, stop_row = buffer.rows
        if not size:
            first = max(self._next, first_row)
            data, missing = buffer.samples(first, stop_row)
            times = buffer.times(stop_row - len(data), stop_row)
            if not len(data) or data.shape[1] != len(self.columns.low):
                return 0, 0
            self._next = stop_row
            if missing.any():
                data = data.astype(np.float32)
                data[missing] = np.nan
            return self.columns.extend(times / base.step, data, data, self._style)
        first, stop = max(self._next, -(-first_row // size)), stop_row // size
        if first >= stop:
            return 0, 0
        found = buffer.columns(size, first, stop - first)
        times = buffer.times(first * size, stop * size)[::size]
        if found.minimum.shape[1] != len(self.columns.low) or len(times) != stop - first:
            return 0, 0
        self._next = stop
        return self.columns.extend(times / base.step, found.minimum, found.maximum, "bins")


def bin_size(rows: float) -> int:
    """Return how many rows are read as one bin if `rows` are in a pixel column; 0 for samples.

    Examples
    --------
    >>> bin_size(8.3), bin_size(60), bin_size(250), bin_size(20_000)
    (0, 16, 48, 4096)
    """
    if rows < _ROWS_A_COLUMN:
        return 0
    for level in _LEVELS:
        if rows / 4 >= level:
            return level * int(rows / 4 / level)
    return _LEVELS[-1]
