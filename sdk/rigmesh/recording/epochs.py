"""Writing the samples of one epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording.captured import EpochState
from rigmesh.recording.disk import AppendFile, sync_folder, write_new
from rigmesh.recording.framing import Records, frame
from rigmesh.recording.journal import Journal
from rigmesh.recording.pyramid import PyramidFiles, has_pyramid
from rigmesh.recording.rows import STAMP
from rigmesh.recording.sidecars import description, vhdr
from rigmesh.streams import IDENTITY, Cause, Chunk, ClockModel, Gap

__all__ = ["EpochWriter"]


class EpochWriter:
    """Appends the samples of an epoch to its files, which appear with the first of them.

    Parameters
    ----------
    state : EpochState
        The epoch; what its files hold behind its rows is cut off.
    journal : Journal
        Told of its gaps and clocks.

    Attributes
    ----------
    number, epoch, piece : int
        Its number in the capture, in its stream, and after how many pauses, plus 1.
    is_over : bool
        Whether what follows in the epoch goes into another piece.
    rows, committed : int
        Samples written; samples known to be on the disk.
    next_index : int
        Index of the sample that is expected.
    unstored : int
        Samples that could not be stored, for which no gap is noted yet.
    clock : ClockModel
        The model noted last.
    """

    def __init__(self, state: EpochState, journal: Journal) -> None:
        self.number = state.number
        self.epoch = state.epoch
        self.piece = state.piece
        self.is_over = state.is_over
        self.info = state.info
        self.rows = state.rows
        self.committed = min(state.rows, state.committed)
        self.next_index = state.next_index
        self.unstored = 0
        self.clock: ClockModel = state.clocks[-1].model if state.clocks else IDENTITY
        self._state = state
        self._journal = journal
        self._files: list[AppendFile] = []
        self._committed_sizes: list[int] = []
        self._bins: PyramidFiles | None = None
        if has_pyramid(state.info):
            self._bins = PyramidFiles(state.file, state.info, state.rows)
            if not state.has_bins:
                self._bins.remove()
        if state.rows:
            self._open()

    @property
    def size(self) -> int:
        """Bytes in its files."""
        return sum(file.size for file in self._files)

    def append(self, chunk: Chunk) -> None:
        """Store all samples of a chunk, or none.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        if not self._files:
            self._open()
        if self.info.dtype == "text":
            self._files[0].append(_records(chunk))
        else:
            samples, stamps = self._files
            before = samples.size
            samples.append(_bytes_of(chunk.data, self.info.dtype))
            try:
                stamps.append(_bytes_of(chunk.raw_timestamps, "float64"))
            except OSError:
                samples.truncate(before)
                raise
        self.rows += len(chunk)

    def note_gaps(self, chunk: Chunk) -> None:
        """Note what a chunk says of gaps before it and of its clock."""
        for gap in chunk.gaps:
            self.note_gap(gap)
        if chunk.clock is self.clock or chunk.clock == self.clock or self._journal.is_choked:
            return
        self.clock = model = chunk.clock
        values = (model.offset, model.drift, model.reference, model.uncertainty)
        self._journal.write("clock", number=self.number, row=self.rows, model=values)

    def note_gap(self, gap: Gap) -> None:
        """Note a gap before the next row."""
        if self._journal.is_choked and gap.cause is not Cause.RESTART:
            self.unstored += gap.count  # keep the count at least
            return
        self._journal.write(
            "gap", number=self.number, row=self.rows, cause=gap.cause.value, index=gap.index,
            count=gap.count, duration=gap.duration, exact=gap.exact,
        )  # fmt: skip

    def note_unstored(self, index: int) -> None:
        """Note what the disk did not take as one gap before a sample."""
        count, self.unstored = self.unstored, 0
        if count:
            rate = self.info.sampling_rate
            duration = count / rate if rate else 0.0
            self.note_gap(Gap(Cause.DISK, self.epoch, index, count, duration))

    def sync(self) -> None:
        """Return once everything appended is on the disk."""
        for file in self._files:
            file.sync()

    def mark_committed(self) -> None:
        """Take note that all rows are on the disk."""
        self.committed = self.rows
        self._committed_sizes = [file.size for file in self._files]
        if self._bins is not None:
            self._bins.extend(self.rows)

    def roll_back(self) -> int:
        """Take back what is not committed; return how many samples that are."""
        for file, size in zip(self._files, self._committed_sizes, strict=True):
            file.truncate(size)
        lost = self.rows - self.committed
        self.rows = self.committed
        return lost

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _open(self) -> None:
        state, files = self._state, self._files
        try:
            state.folder.mkdir(parents=True, exist_ok=True)
            if self.info.dtype == "text":
                records = Records(state.file("text"), state.rows)
                for _ in records:
                    pass
                files.append(AppendFile(state.file("text"), records.end))
            else:
                files.append(AppendFile(state.file("dat"), state.rows * self.info.sample_bytes))
                files.append(AppendFile(state.file("stamps"), state.rows * 8))
            self._write_sidecars()
            for folder in (state.folder, state.folder.parent, state.folder.parent.parent):
                sync_folder(folder)
        except OSError:
            self.close()
            files.clear()
            raise
        self._committed_sizes = [file.size for file in files]

    def _write_sidecars(self) -> None:
        state = self._state
        write_new(state.file("json"), description(state.info, state.epoch, state.first_index))
        header = vhdr(state.info, state.file("dat").name)
        if header is not None:
            write_new(state.file("vhdr"), header)


def _bytes_of(values: npt.NDArray[Any], dtype: str) -> memoryview:
    flat = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).data


def _records(chunk: Chunk) -> bytes:
    return b"".join(
        frame(STAMP.pack(stamp) + text.encode("utf-8", "surrogateescape"))
        for stamp, text in zip(chunk.raw_timestamps.tolist(), chunk.data, strict=True)
    )
