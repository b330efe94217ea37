"""Whether two recordings hold the same results: values by index, events by time and text."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording.recorded import RecordedStream, Recording, RowGap, Rows, blocks
from rigmesh.streams import Cause, StreamInfo

__all__ = ["Event", "StreamComparison", "compare_streams", "parts_by_name"]

_MOST_EVENTS = 10
_RECORDERS_OWN = (Cause.OVERRUN, Cause.DISK, Cause.RESTART)
"""Gaps that tell of the recorder, not of what the graph computed."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event that only one of two recordings has; its time is local, in seconds."""

    time: float
    text: str
    is_recorded: bool


@dataclass(slots=True)
class StreamComparison:
    """What one stream has in common in two recordings.

    Parameters
    ----------
    name, kind : str
        Those of the stream.
    n_recorded, n_replayed : int
        Samples or events in the first and in the second.
    n_differing : int
        Samples or events in both that differ; an event that differs is one missing, one extra.
    missing, extra : int
        Only in the first; only in the second.
    largest : float
        Largest difference of two values; infinite where one of them is not a number.
    largest_stamp : float
        Largest difference of two stamps of the stream's own clock, in seconds.
    first : (int, int) or None
        Epoch and index of the first sample that differs; of an event that is missing or extra
        its row.
    first_time : float
        When that was, local clock, in seconds.
    events : list of Event
        The first of those that are missing or extra.
    remarks : list of str
        What else differs, in words.
    """

    name: str
    kind: str
    n_recorded: int = 0
    n_replayed: int = 0
    n_differing: int = 0
    missing: int = 0
    extra: int = 0
    largest: float = 0.0
    largest_stamp: float = 0.0
    first: tuple[int, int] | None = None
    first_time: float = 0.0
    events: list[Event] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.n_differing or self.missing or self.extra or self.remarks)

    def __str__(self) -> str:
        if self.kind == "markers":
            return f"{self.name} {self.n_recorded - self.missing}/{self.n_recorded} identical"
        return f"{self.name}: max |Δ| = {self.largest:g}"

    def found_at(self, epoch: int, index: int, time: float) -> None:
        """Note a difference, if it is the first."""
        if self.first is None:
            self.first, self.first_time = (epoch, index), time


def parts_by_name(recording: Recording) -> dict[str, list[RecordedStream]]:
    """Return the streams of a recording by their names, each with its parts in order."""
    found: dict[str, list[RecordedStream]] = {}
    for stream in recording.streams.values():
        found.setdefault(stream.info.name, []).append(stream)
    return {name: sorted(parts, key=lambda one: one.part) for name, parts in found.items()}


def compare_streams(
    recorded: Sequence[RecordedStream], replayed: Sequence[RecordedStream], *, atol: float = 0.0
) -> StreamComparison:
    """Compare the parts of one stream.

    Samples are compared by epoch and index; where these were counted from elsewhere, by their raw
    stamps. Stamps of the local clock are not compared: they follow from the raw ones.

    Parameters
    ----------
    recorded, replayed : sequence of RecordedStream
        Its parts, in order; of the first at least one.
    atol : float
        Values may differ by so much.
    """
    info = recorded[0].info
    result = StreamComparison(info.name, info.kind)
    result.n_recorded, result.n_replayed = sum(map(len, recorded)), sum(map(len, replayed))
    if len(recorded) != len(replayed):
        result.remarks.append(f"formats: {len(recorded)}, now {len(replayed)}")
    n_paired = 0
    for first, second in zip(recorded, replayed, strict=False):
        result.remarks += _of_infos(first.info, second.info)
        if info.kind == "markers":
            _compare_events(first, second, result)
        elif first.info.sample_shape == second.info.sample_shape:
            n_paired += _compare_samples(first, second, atol, result)
        _compare_gaps(first, second, result)
    if info.kind != "markers":
        result.missing = result.n_recorded - n_paired
        lost = sum(g.gap.count for one in recorded for g in one.gaps if _is_recorders(g))
        result.extra = max(0, result.n_replayed - n_paired - lost)
    return result


def _of_infos(first: StreamInfo, second: StreamInfo) -> Iterator[str]:
    for what in ("dtype", "sample_shape", "sampling_rate", "stype"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            yield f"{what}: {one}, now {other}"
    if first.sample_shape == second.sample_shape and first.channels != second.channels:
        pairs = zip(first.channels, second.channels, strict=False)
        changed = [f"{a.name} ({a.unit}), now {b.name} ({b.unit})" for a, b in pairs if a != b]
        yield f"channels: {'; '.join(changed[:3]) or 'described in one of them only'}"


def _compare_gaps(first: RecordedStream, second: RecordedStream, result: StreamComparison) -> None:
    of_both = [
        [(g.gap.epoch, g.gap.cause.value, g.gap.count) for g in one.gaps if not _is_recorders(g)]
        for one in (first, second)
    ]
    if of_both[0] != of_both[1]:
        counts = [f"{len(gaps)} of {sum(gap[2] for gap in gaps)} samples" for gaps in of_both]
        result.remarks.append(f"gaps: {counts[0]}, now {counts[1]}")


def _is_recorders(found: RowGap) -> bool:
    return found.gap.cause in _RECORDERS_OWN


# --- samples -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows that follow each other in the file and in their epoch."""

    epoch: int
    index: int
    row: int
    n: int


class _Numbers:
    """Rows of which one at a time is asked for, for `bisect`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> float:
        return float(self._rows[row : row + 1][0])


def _runs(stream: RecordedStream) -> Iterator[_Run]:
    for epoch in stream.epochs:
        end = epoch.first_row + epoch.n
        begins = {epoch.first_row: epoch.first_index}
        for found in stream.gaps:
            if found.gap.epoch == epoch.epoch and epoch.first_row <= found.row < end:
                begins[found.row] = found.gap.index
        rows = [*sorted(begins), end]
        for row, stop in itertools.pairwise(rows):
            if stop > row:
                yield _Run(epoch.epoch, begins[row], row, stop - row)


def _pairs(first: RecordedStream, second: RecordedStream) -> Iterator[tuple[_Run, int]]:
    """Yield what both have: rows and indices of the first, and the row of the second."""
    recorded: dict[int, list[_Run]] = {}
    for run in _runs(first):
        recorded.setdefault(run.epoch, []).append(run)
    for run in _runs(second):
        theirs = recorded.get(run.epoch, [])
        index = run.index + _shift(run, theirs, first, second)
        for other in theirs:
            begin, end = max(index, other.index), min(index + run.n, other.index + other.n)
            if end > begin:
                common = _Run(run.epoch, begin, other.row + begin - other.index, end - begin)
                yield common, run.row + begin - index


def _shift(run: _Run, theirs: Sequence[_Run], first: RecordedStream, second: RecordedStream) -> int:
    """Return what is to be added to the indices of a run to count as the recording did."""
    stamps, known = _Numbers(second.raw_timestamps), _Numbers(first.raw_timestamps)
    for other in theirs:
        begin = max(run.index, other.index)
        if begin < min(run.index + run.n, other.index + other.n):
            at, row = run.row + begin - run.index, other.row + begin - other.index
            if stamps[at] == known[row]:
                return 0
    for other in theirs:
        row = bisect.bisect_left(known, stamps[run.row], other.row, other.row + other.n)
        if row < other.row + other.n and known[row] == stamps[run.row]:
            return other.index + row - other.row - run.index
        at = bisect.bisect_left(stamps, known[other.row], run.row, run.row + run.n)
        if at < run.row + run.n and stamps[at] == known[other.row]:
            return other.index - (run.index + at - run.row)
    return 0


def _compare_samples(
    first: RecordedStream, second: RecordedStream, atol: float, result: StreamComparison
) -> int:
    """Compare what both have; return how many samples that are."""
    n_paired = 0
    row_bytes = max(first.row_bytes, second.row_bytes)
    for run, at in _pairs(first, second):
        n_paired += run.n
        for block in blocks(run.n, row_bytes):
            mine = slice(run.row + block.start, run.row + block.stop)
            theirs = slice(at + block.start, at + block.stop)
            apart = _apart(np.asarray(first.data[mine]), np.asarray(second.data[theirs]))
            stamps = np.abs(
                np.asarray(first.raw_timestamps[mine]) - np.asarray(second.raw_timestamps[theirs])
            )
            result.largest = max(result.largest, float(apart.max()))
            result.largest_stamp = max(result.largest_stamp, float(stamps.max()))
            differing = np.flatnonzero((apart > atol) | (stamps > 0))
            result.n_differing += len(differing)
            if len(differing):
                row = int(differing[0])
                time = first.timestamps[mine.start + row : mine.start + row + 1][0]
                result.found_at(run.epoch, run.index + block.start + row, float(time))
    if result.largest_stamp:
        result.remarks.append(f"stamps: max |Δ| = {result.largest_stamp:g} s")
    return n_paired


def _apart(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return how far samples are apart, shape (n_samples,); two NaN are the same."""
    with np.errstate(all="ignore"):
        if one.dtype == other.dtype and one.dtype.kind in "iu":
            # In the unsigned type, where no difference is too large.
            unsigned = np.dtype(f"u{one.dtype.itemsize}")
            large, small = np.maximum(one, other), np.minimum(one, other)
            apart = (large.astype(unsigned) - small.astype(unsigned)).astype(np.float64)
        else:
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
            apart[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
            apart[np.isnan(apart)] = math.inf
    largest: npt.NDArray[np.float64] = apart.reshape(len(apart), -1).max(axis=1)
    return largest


# --- events --------------------------------------------------------------------------------------


def _compare_events(
    first: RecordedStream, second: RecordedStream, result: StreamComparison
) -> None:
    known, found = Counter(_events(first)), Counter(_events(second))
    only: Mapping[bool, Counter[tuple[float, str]]] = {True: known - found, False: found - known}
    result.missing += only[True].total()
    result.extra += only[False].total()
    differing = [*_named(first, only[True], True), *_named(second, only[False], False)]
    for event, row in sorted(differing, key=lambda each: each[0].time):
        result.found_at(_epoch_of(first if event.is_recorded else second, row), row, event.time)
        if len(result.events) < _MOST_EVENTS:
            result.events.append(event)
    if not differing and any(a != b for a, b in zip(_events(first), _events(second), strict=True)):
        result.remarks.append("the same events in another order")


def _events(stream: RecordedStream) -> Iterator[tuple[float, str]]:
    for block in blocks(len(stream), stream.row_bytes):
        stamps = np.asarray(stream.raw_timestamps[block]).tolist()
        yield from zip(stamps, stream.data[block], strict=True)


def _named(
    stream: RecordedStream, left: Counter[tuple[float, str]], is_recorded: bool
) -> Iterator[tuple[Event, int]]:
    left = left.copy()
    for row, event in enumerate(_events(stream)):
        if left[event] > 0:
            left[event] -= 1
            time = float(stream.timestamps[row : row + 1][0])
            yield Event(time, event[1], is_recorded), row


def _epoch_of(stream: RecordedStream, row: int) -> int:
    before = [epoch.epoch for epoch in stream.epochs if epoch.first_row <= row]
    return before[-1] if before else 0
