"""What a recording holds, whether it still grows, is being sealed, or was sealed in any format."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rigmesh.errors import StreamFormatError
from rigmesh.recording.pyramid import Envelope, Segment, envelope_of, has_pyramid
from rigmesh.streams import Cause, ClockModel, Gap, StreamInfo

__all__ = [
    "TEXT_BYTES",
    "EpochRows",
    "LocalStamps",
    "RecordedStream",
    "Recording",
    "RowClock",
    "RowGap",
    "Rows",
    "blocks",
    "judge",
]

_BLOCK_BYTES = 8 * 2**20

TEXT_BYTES = 2**17
"""What a text is taken to need at most when it is decided how many are handled at once."""


class Rows(Protocol):
    """Samples that are read when they are asked for."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, wanted: slice, /) -> Any:
        """Return an array, shape (n_samples, ...), or a list of str."""


@dataclass(frozen=True, slots=True)
class RowGap:
    """A gap, and the row of the first sample after it."""

    row: int
    gap: Gap


@dataclass(frozen=True, slots=True)
class RowClock:
    """A clock model, and the first row that it holds for."""

    row: int
    model: ClockModel


@dataclass(frozen=True, slots=True)
class EpochRows:
    """An epoch of a stream, and where its samples are.

    Parameters
    ----------
    epoch : int
        Its number.
    first_row : int
        Row of its first sample.
    n : int
        How many samples are recorded.
    first_index : int
        Index at which recording began.
    produced : int or None
        Samples that existed at its end, counted like the index; None if that is not known.
    missing : int
        Samples of it in gaps, those over a restart excluded.
    """

    epoch: int
    first_row: int
    n: int
    first_index: int
    produced: int | None
    missing: int

    @property
    def unaccounted(self) -> int:
        """Samples produced that are neither recorded nor known to be missing."""
        if self.produced is None:
            return 0
        return self.produced - self.first_index - self.n - self.missing


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """The samples of one stream in one format.

    Parameters
    ----------
    key : str
        Its name in the file; unique.
    info : StreamInfo
        Its description.
    part : int
        1, or more for what follows a change of format.
    data : Rows
        The samples, an array or list for each slice.
    timestamps, raw_timestamps : Rows
        Local clock and the stream's own clock, in seconds.
    epochs : tuple of EpochRows
        In order.
    gaps : tuple of RowGap
        In order.
    clocks : tuple of RowClock
        How raw stamps map onto the local clock; none if they are the same.
    pyramid : tuple of Segment
        What :meth:`envelope` need not look for in the samples.
    is_exact : bool
        Whether the samples are those that came, bit for bit; not so of a video that was made
        smaller with loss.
    """

    key: str
    info: StreamInfo
    part: int
    data: Rows
    timestamps: Rows
    raw_timestamps: Rows
    epochs: tuple[EpochRows, ...] = ()
    gaps: tuple[RowGap, ...] = ()
    clocks: tuple[RowClock, ...] = ()
    pyramid: tuple[Segment, ...] = ()
    is_exact: bool = True

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.raw_timestamps)

    @property
    def row_bytes(self) -> int:
        """Bytes that a sample takes; of a text, that it may take."""
        return self.info.sample_bytes or TEXT_BYTES

    @property
    def missing_seconds(self) -> float:
        """How long the gaps are together, in seconds."""
        rate = self.info.sampling_rate
        return sum(
            found.gap.duration or (found.gap.count / rate if rate else 0.0) for found in self.gaps
        )

    def envelope(self, start: int, stop: int, n_pixels: int) -> Envelope:
        """Return the least and greatest values of rows, to draw a signal of any length.

        Parameters
        ----------
        start, stop : int
            Rows, taken as those of a slice.
        n_pixels : int
            How many bins are wanted; fewer come if there are fewer rows.

        Raises
        ------
        StreamFormatError
            If it is no signal.

        Notes
        -----
        Of many rows the bins begin where bins of the recording's pyramid do, and differ in length
        by as much as those. It reads at most 16 of them for each pixel, however many rows it is.
        """
        if not has_pyramid(self.info):
            raise StreamFormatError(f"{self.info.name}: {self.info.kind} have no envelope")
        if n_pixels < 1:
            raise ValueError(f"an envelope of {n_pixels} pixels was asked for; it has at least 1")
        first, last, _ = slice(start, stop).indices(len(self))
        segments = self.pyramid or (Segment(0, len(self)),)
        wanted = slice(first, max(first, last))
        return envelope_of(self.data.__getitem__, self.info, segments, wanted, n_pixels)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is open for reading.

    Parameters
    ----------
    path : Path
        The file, or the folder in which it grows.
    state : str
        ``sealed``, ``recording`` while somebody writes it, else ``capture``.
    run_id : str
        The run that was recorded.
    created : mapping
        When: ``utc`` (ISO 8601), ``local_clock`` (seconds) and the clock's ``clock_id``.
    context : mapping
        The graph, parameters and versions of the run.
    notes : sequence of mapping
        Parameter changes and annotations, each with ``kind`` and ``time``.
    streams : mapping of str to RecordedStream
        By their keys.
    verdict : str
        ``OK``, ``OK with gaps (n, total ms)`` or ``FAILED (why)``.
    """

    path: Path
    state: str
    run_id: str
    created: Mapping[str, Any]
    context: Mapping[str, Any]
    notes: Sequence[Mapping[str, Any]]
    streams: Mapping[str, RecordedStream]
    verdict: str


class LocalStamps:
    """Raw stamps mapped onto the local clock, each by the model that held when it came."""

    def __init__(self, raw: Rows, clocks: Sequence[RowClock]) -> None:
        self._raw = raw
        self._clocks = clocks
        self._rows = [clock.row for clock in clocks]

    def __len__(self) -> int:
        """Return the number of stamps."""
        return len(self._raw)

    def __getitem__(self, wanted: slice) -> Any:
        """Return stamps in seconds, shape (n_samples,)."""
        start, stop, step = wanted.indices(len(self._raw))
        stamps = np.array(self._raw[start:stop])
        first = max(0, bisect.bisect_right(self._rows, start) - 1)
        last = bisect.bisect_left(self._rows, stop)
        ends = [*self._rows[first + 1 : last], stop]
        for clock, end in zip(self._clocks[first:last], ends, strict=False):
            rows = slice(max(clock.row - start, 0), end - start)
            stamps[rows] = clock.model.to_local(stamps[rows])
        return stamps[::step]


def judge(streams: Iterable[RecordedStream], flaws: Sequence[str] = ()) -> str:
    """Return the verdict on a recording.

    Parameters
    ----------
    streams : iterable of RecordedStream
        All of it.
    flaws : sequence of str
        What else is known to be wrong.
    """
    streams = list(streams)
    why = [*flaws, *(flaw for stream in streams for flaw in _contradictions(stream))]
    if why:
        return f"FAILED ({'; '.join(why)})"
    n_gaps = sum(len(stream.gaps) for stream in streams)
    if n_gaps:
        total = sum(stream.missing_seconds for stream in streams)
        return f"OK with gaps ({n_gaps}, {1e3 * total:.1f} ms)"
    return "OK"


def _contradictions(stream: RecordedStream) -> Iterator[str]:
    for epoch in stream.epochs:
        if epoch.unaccounted and epoch.produced is not None:
            yield (
                f"{stream.info.name}, epoch {epoch.epoch}: "
                f"{epoch.produced - epoch.first_index} samples were produced, {epoch.n} are "
                f"recorded and {epoch.missing} known to be missing"
            )


def missing_in(gaps: Sequence[RowGap]) -> int:
    """Return how many samples of an epoch its gaps hold, those over a restart excluded."""
    return sum(found.gap.count for found in gaps if found.gap.cause is not Cause.RESTART)


def blocks(n_rows: int, row_bytes: int, multiple: int = 1) -> Iterator[slice]:
    """Cut rows into slices of a few megabytes, each but the last a multiple of so many rows."""
    step = max(1, _BLOCK_BYTES // max(1, row_bytes * multiple)) * multiple
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
