"""One recorded stream, read in pieces and given again."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.node import Output
from rigmesh.recording import RecordedStream
from rigmesh.recording.recorded import blocks
from rigmesh.streams import IDENTITY, Cause, Chunk, Frames, Gap, Markers, Signal

__all__ = ["Piece", "Track"]

_KINDS: Mapping[str, type[Chunk]] = {kind.kind: kind for kind in (Signal, Markers, Frames)}

Stamps = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive samples of a stream, all of one epoch, without a gap.

    Parameters
    ----------
    track : Track
        Whose.
    part, row : int
        Number of the part, and row in it, of the first sample.
    data : ndarray, shape (n_samples, ...), or list of str
        The samples.
    raw, times : ndarray, shape (n_samples,)
        Stamps on the clock of the stream and on that of the recording, in seconds.
    """

    track: Track
    part: int
    row: int
    data: Any
    raw: Stamps
    times: Stamps

    @property
    def due(self) -> float:
        """Time of the last sample, on the clock of the recording, in seconds."""
        return float(self.times[-1])


class Track:
    """Gives a recorded stream through an output.

    Parameters
    ----------
    parts : sequence of RecordedStream
        The stream; several where its format changed.
    output : Output
        Takes it.
    paced : bool
        Whether its stamps are local ones, and its samples counted over a restart; otherwise its
        stamps are raw and have the clock of the recording beside them.
    numbered : bool
        Whether epochs and indices are those that were recorded, too.
    """

    def __init__(
        self,
        parts: Sequence[RecordedStream],
        output: Output[Any],
        *,
        paced: bool,
        numbered: bool = False,
    ) -> None:
        self._parts = parts
        self._output = output
        self._paced = paced
        self._numbered = numbered
        self._epoch: tuple[int, int] | None = None
        self._gaps = [_gaps_by_row(part) for part in parts]
        self._totals = [_counted(part, len(part) + 1) - 1 for part in parts]
        self._announce((0, 1))

    def pieces(self, duration: float, start: float) -> Iterator[Piece]:
        """Read the stream.

        Parameters
        ----------
        duration : float
            Length of a piece, in seconds.
        start : float
            Pieces that end earlier are left out; on the clock of the recording, in seconds.
        """
        for number, part in enumerate(self._parts):
            rate = part.info.sampling_rate
            size = max(1, round(duration * rate))
            for rows in blocks(len(part), part.row_bytes, size):
                times = np.asarray(part.timestamps[rows], np.float64)
                if times[-1] < start:
                    continue
                raw, data = np.asarray(part.raw_timestamps[rows], np.float64), part.data[rows]
                cuts = [row - rows.start for row in _cuts(part) if rows.start < row < rows.stop]
                for begin, end in itertools.pairwise([0, *cuts, len(times)]):
                    while begin < end:
                        stop = begin + size
                        if not rate:
                            stop = begin + _soon(times[begin:end], duration)
                        stop = min(stop, end)
                        if times[stop - 1] >= start:
                            taken = slice(begin, stop)
                            yield Piece(
                                self, number, rows.start + begin,
                                data[taken], raw[taken], times[taken],
                            )  # fmt: skip
                        begin = stop

    def give(self, piece: Piece, stamps: Stamps, lap: int) -> None:
        """Push a piece, with what happened before it.

        Parameters
        ----------
        piece : Piece
            One of this track, the next in order.
        stamps : ndarray, shape (n_samples,)
            Its stamps, in seconds.
        lap : int
            How often the recording was over.
        """
        part, row = self._parts[piece.part], piece.row
        gaps = self._gaps[piece.part].get(row, [])
        epoch = (piece.part, bisect.bisect_right(part.epochs, row, key=_first_row))
        if epoch != self._epoch:
            if self._epoch is not None and self._epoch[0] == piece.part:
                gaps = self._lose_of_last_epoch(part, epoch[1], gaps)
            self._enter(epoch, lap * sum(self._totals) + self._count_before(piece))
        self._lose(gaps)
        if not self._paced:
            self._set_clock(part, row)
        self._output.push(_KINDS[part.info.kind](piece.data, stamps))
        end = row + len(stamps)
        if end == len(part):
            self._lose(self._gaps[piece.part].get(end, []))

    def _announce(self, epoch: tuple[int, int], device_index: int | None = None) -> None:
        part = self._parts[epoch[0]]
        info = replace(part.info, clock_id="") if self._paced else part.info
        if self._numbered and part.epochs:
            recorded = part.epochs[epoch[1] - 1]
            self._output.follow(info, epoch=recorded.epoch, index=recorded.first_index)
        else:
            self._output.announce(info, device_index=device_index)

    def _enter(self, epoch: tuple[int, int], count: int) -> None:
        is_first = self._epoch is None
        output, before = self._output, self._output.epoch
        output.force_new_epoch = not is_first
        self._epoch = epoch
        # The count tells how long a restart of ours was, not one that was recorded.
        self._announce(epoch, count if self._paced and is_first else None)
        if self._numbered and not is_first and output.epoch == before:
            # Recording paused, and the epoch went on.
            missed = self._parts[epoch[0]].epochs[epoch[1] - 1].first_index - output.index
            if missed > 0:
                output.index += missed
                output.lose(missed, cause=Cause.DISK)

    def _lose_of_last_epoch(
        self, part: RecordedStream, entered: int, gaps: Sequence[Gap]
    ) -> list[Gap]:
        """Tell the gaps at the end of an epoch; return those that belong to the one after it."""
        number = part.epochs[entered - 1].epoch
        self._lose([gap for gap in gaps if gap.epoch != number])
        return [gap for gap in gaps if gap.epoch == number]

    def _lose(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            if self._numbered:  # what a reader was too slow for has been counted, too
                self._output.index = max(self._output.index, gap.index)
            if gap.cause is not Cause.RESTART:  # who reads finds it between the two epochs
                self._output.lose(
                    gap.count, cause=gap.cause, duration=gap.duration, exact=gap.exact
                )

    def _set_clock(self, part: RecordedStream, row: int) -> None:
        before = bisect.bisect_right(part.clocks, row, key=_row)
        model = part.clocks[max(0, before - 1)].model if part.clocks else IDENTITY
        if self._output.clock != model:
            self._output.clock = model

    def _count_before(self, piece: Piece) -> int:
        return sum(self._totals[: piece.part]) + _counted(self._parts[piece.part], piece.row)


def _first_row(epoch: Any) -> int:
    return int(epoch.first_row)


def _row(found: Any) -> int:
    return int(found.row)


def _soon(times: Stamps, duration: float) -> int:
    """Return how many samples are at most `duration` seconds after the first."""
    return max(1, int(np.searchsorted(times, times[0] + duration)))


def _cuts(part: RecordedStream) -> list[int]:
    """Return the rows at which something happens."""
    rows = {epoch.first_row for epoch in part.epochs}
    rows |= {found.row for found in part.gaps} | {found.row for found in part.clocks}
    return sorted(rows)


def _gaps_by_row(part: RecordedStream) -> Mapping[int, list[Gap]]:
    by_row = defaultdict(list)
    for found in part.gaps:
        by_row[found.row].append(found.gap)
    return by_row


def _counted(part: RecordedStream, row: int) -> int:
    """Return how many samples there were before a row, those in earlier gaps included."""
    return row + sum(
        found.gap.count
        for found in part.gaps
        if found.row < row and found.gap.cause is not Cause.RESTART
    )
