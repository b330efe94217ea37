"""Writing the samples of one epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording.captured import EpochState
from rigmesh.recording.disk import AppendFile, sync_folder, write_new
from rigmesh.recording.framing import Records, frame
from rigmesh.recording.rows import STAMP
from rigmesh.recording.sidecars import description, vhdr
from rigmesh.streams import IDENTITY, Chunk, ClockModel

__all__ = ["EpochWriter"]


class EpochWriter:
    """Appends the samples of an epoch to its files, which appear with the first of them.

    Parameters
    ----------
    state : EpochState
        The epoch; what its files hold behind its rows is cut off.

    Attributes
    ----------
    number, epoch : int
        Its number in the capture, and in its stream.
    rows, committed : int
        Samples written; samples known to be on the disk.
    next_index : int
        Index of the sample that is expected.
    unstored : int
        Samples that could not be stored, for which no gap is noted yet.
    clock : ClockModel
        The model noted last.
    """

    def __init__(self, state: EpochState) -> None:
        self.number = state.number
        self.epoch = state.epoch
        self.info = state.info
        self.rows = state.rows
        self.committed = min(state.rows, state.committed)
        self.next_index = state.next_index
        self.unstored = 0
        self.clock: ClockModel = state.clocks[-1].model if state.clocks else IDENTITY
        self._state = state
        self._files: list[AppendFile] = []
        self._committed_sizes: list[int] = []
        if state.rows:
            self._open()

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

    def sync(self) -> None:
        """Return once everything appended is on the disk."""
        for file in self._files:
            file.sync()

    def mark_committed(self) -> None:
        """Take note that all rows are on the disk."""
        self.committed = self.rows
        self._committed_sizes = [file.size for file in self._files]

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
            sync_folder(state.folder)
            sync_folder(state.folder.parent)
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
