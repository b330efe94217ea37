"""Where many channels cross a level, looked for at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.streams import ChannelInfo, StreamInfo
from rigmesh_nodes._detect_compile import column_of, samples_of, trusted
from rigmesh_nodes._kernels import kernel
from rigmesh_nodes.channels import channel_indices

__all__ = ["Columns", "Direction", "LevelCrossings", "grouped_columns"]

Array = npt.NDArray[Any]
Direction = Literal["rising", "falling", "both"]

_BLOCK = 64
_ROWS = 256
_STAMPS = np.dtype(np.float64)
_WANTED = {"falling": -1, "both": 0, "rising": 1}


def grouped_columns(
    info: StreamInfo, channels: Sequence[int | str], n_groups: int
) -> tuple[list[int], list[tuple[str, str]]]:
    """Find channels in each of the groups that a signal is divided into.

    Parameters
    ----------
    info : StreamInfo
        The signal.
    channels : sequence of int or str
        Labels, indices and slices within a group; none for all.
    n_groups : int
        Divides the number of channels.

    Returns
    -------
    columns : list of int
        Their indices in the signal.
    names : list of (str, str)
        The label of each, and the number of its group from 1.
    """
    width = info.n_channels // n_groups
    labels = info.channel_names
    columns: list[int] = []
    names: list[tuple[str, str]] = []
    for group in range(n_groups):
        first = group * width
        described = tuple(ChannelInfo(label) for label in labels[first : first + width])
        part = replace(info, sample_shape=(width,), channels=described)
        chosen = channel_indices(part, channels) if channels else range(width)
        columns += [first + column for column in chosen]
        names += [(described[column].name, str(group + 1)) for column in chosen]
    return columns, names


class Columns:
    """Some columns of a chunk; a view where they lie at even distances, which is quicker.

    Parameters
    ----------
    columns : sequence of int
        Which.
    n_channels : int
        Of the chunk.

    Attributes
    ----------
    is_contiguous : bool
        Whether what it gives lies side by side.
    """

    def __init__(self, columns: Sequence[int], n_channels: int) -> None:
        self._columns = list(columns)
        self._takes_all = self._columns == list(range(n_channels))
        step = columns[1] - columns[0] if len(columns) > 1 else 1
        # A slice of a chunk costs a fifth of a copy.
        evenly = list(range(columns[0], columns[-1] + 1, step)) if step > 0 else []
        self._slice = slice(columns[0], columns[-1] + 1, step) if evenly == list(columns) else None
        self.is_contiguous = self._takes_all or self._slice is None

    def __call__(self, data: Array) -> Array:
        """Return those of the data."""
        if self._takes_all:
            return data
        part = self._slice
        return data.take(self._columns, axis=1) if part is None else data[:, part]


class LevelCrossings:
    """Finds where each of many channels crosses a level, chunk after chunk.

    A channel is on a side, at the level and above or below it, once `n_across` samples in a row
    lie there; the last of them is the crossing. The first sample of all only says on which side the
    channel is. What is not finite is on neither side: it is counted, and all else goes on as if the
    sample were not there.

    Parameters
    ----------
    n_channels : int
        Channels, each looked at by itself.
    dtype : dtype
        Of the samples.
    is_contiguous : bool
        Whether the samples of all channels lie side by side, which is quicker for many of them.
        Otherwise they may be a view into a larger array.

    Attributes
    ----------
    n_not_finite : int
        Samples that were NaN or infinite.
    """

    def __init__(
        self, n_channels: int, dtype: npt.DTypeLike, *, is_contiguous: bool = True
    ) -> None:
        self.n_not_finite = 0
        self._is_contiguous = is_contiguous
        self._level = np.nan
        self._n_across = 1
        # Integers are compared as float64, which holds each of 32 bits.
        kind: np.dtype[Any] = np.dtype(dtype)
        self._given, self._width = kind, (n_channels,)
        self._kind: np.dtype[Any] = kind if kind.kind == "f" else np.dtype(np.float64)
        self._limits = np.finfo(self._kind)
        # A sample within these bounds is where its channel is known to be: the one test that most
        # samples need, and that fails for NaN and infinity, too.
        self._bounds = np.empty((2, n_channels), self._kind)
        self._runs = np.zeros(n_channels, np.int32)
        self._sides = np.zeros(n_channels, np.int8)
        self._is_pending = np.zeros(-(-n_channels // _BLOCK), np.bool_)
        self._last = np.full(n_channels, -np.inf)
        self._found = np.empty((_ROWS * n_channels, 3), np.int32)
        self.set(0.0, "rising", n_across=1, refractory=0.0)
        samples = samples_of(dtype) if is_contiguous else samples_of(dtype)[:, ::2]
        self._cross = trusted(_cross, samples, column_of(np.float64), *self._arguments)

    def set(self, level: float, direction: Direction, *, n_across: int, refractory: float) -> None:
        """Look for other crossings from now on.

        Parameters
        ----------
        level : float
            In the unit of the signal. After a change nobody knows on which side the channels are.
        direction : str
            ``rising``, ``falling`` or ``both``.
        n_across : int
            Samples in a row across the level that make a crossing.
        refractory : float
            Time after a crossing in which there is no other of the channel, in seconds.
        """
        if level != self._level or n_across != self._n_across:
            self._level, self._n_across = level, n_across
            self.reset()
        with np.errstate(over="ignore"):
            at = self._kind.type(max(level, float(self._limits.min)))
            below = np.nextafter(at, self._kind.type(-np.inf))
        self._arguments = (
            at, below, self._limits.max, _WANTED[direction], n_across, float(refractory),
            self._bounds, self._sides, self._runs, self._is_pending, self._last, self._found,
        )  # fmt: skip

    def reset(self) -> None:
        """Let the next sample of each channel say on which side it is: some are missing."""
        self._sides.fill(0)
        self._runs.fill(0)
        self._bounds[0], self._bounds[1] = np.inf, -np.inf

    def find(self, data: Array, stamps: Array) -> Array:
        """Return the crossings in the next samples, in order of time, then of channels.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        stamps : ndarray, shape (n_samples,)
            Their times, in seconds.

        Returns
        -------
        ndarray, shape (n_crossings, 3)
            Row of the sample, channel, and 1 for rising or -1 for falling. Valid until the next
            call.
        """
        # The kernel takes all this for granted; see `Kernel.trusted`.
        if self._is_contiguous and not data.flags.c_contiguous:
            data = np.ascontiguousarray(data)
        if data.dtype != self._given or data.shape[1:] != self._width or stamps.dtype != _STAMPS:
            raise ValueError(
                f"made for {self._width[0]} channels of {self._given} and stamps of float64, found "
                f"{data.shape} of {data.dtype} and {stamps.dtype}"
            )
        if len(stamps) <= _ROWS:
            return self._find(data, stamps)
        parts = []
        for first in range(0, len(stamps), _ROWS):
            part = self._find(data[first : first + _ROWS], stamps[first : first + _ROWS]).copy()
            part[:, 0] += first
            parts.append(part)
        return np.concatenate(parts)

    def _find(self, data: Array, stamps: Array) -> Array:
        n_found, n_bad = self._cross(data, stamps, *self._arguments)
        if n_bad:
            self.n_not_finite += n_bad
        return self._found[:n_found]


@kernel
def _cross(
    data: Array,
    stamps: Array,
    at: float,
    below: float,
    largest: float,
    wanted: int,
    n_across: int,
    refractory: float,
    bounds: Array,
    sides: Array,
    runs: Array,
    is_pending: Array,
    last: Array,
    found: Array,
) -> tuple[int, int]:
    n_found = n_bad = 0
    n_channels = data.shape[1]
    for row in range(data.shape[0]):
        for first in range(0, n_channels, _BLOCK):
            stop = min(first + _BLOCK, n_channels)
            is_quiet = True
            for channel in range(first, stop):
                value = data[row, channel]
                is_quiet &= (value >= bounds[0, channel]) & (value <= bounds[1, channel])
            if is_quiet and not is_pending[first // _BLOCK]:
                continue
            is_pending[first // _BLOCK] = False
            for channel in range(first, stop):
                value = data[row, channel]
                if bounds[0, channel] <= value <= bounds[1, channel]:
                    runs[channel] = 0
                    continue
                if not -np.inf < value < np.inf:
                    n_bad += 1
                    is_pending[first // _BLOCK] |= runs[channel] > 0
                    continue
                was = sides[channel]
                if was != 0:
                    runs[channel] += 1
                    if runs[channel] < n_across:
                        is_pending[first // _BLOCK] = True
                        continue
                runs[channel] = 0
                side = 1 if value >= at else -1
                sides[channel] = side
                bounds[0, channel] = at if side > 0 else -largest
                bounds[1, channel] = largest if side > 0 else below
                if was == 0 or wanted == -side or stamps[row] - last[channel] < refractory:
                    continue
                last[channel] = stamps[row]
                found[n_found, 0] = row
                found[n_found, 1] = channel
                found[n_found, 2] = side
                n_found += 1
    return n_found, n_bad
