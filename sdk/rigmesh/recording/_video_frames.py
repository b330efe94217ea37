"""The table beside a video that says which frame is which sample, and when it was taken."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording._video_rows import VideoRows
from rigmesh.recording.disk import publish
from rigmesh.recording.paths import part_file
from rigmesh.recording.recorded import RecordedStream, Recording

__all__ = ["COLUMNS", "check_frames_file", "frames_file", "write_frames"]

COLUMNS = (
    "frame", "video_time", "epoch", "index", "timestamp", "raw_timestamp", "missing_before",
    "cause",
)  # fmt: skip

_LINES = 10_000


def frames_file(path: Path, track: int = 1) -> Path:
    """Return the table beside a video.

    Examples
    --------
    >>> frames_file(Path("session.mkv")).name, frames_file(Path("session.mkv"), 2).name
    ('session.mkv.frames.csv', 'session.mkv.frames2.csv')
    """
    return path.with_name(f"{path.name}.frames{track if track > 1 else ''}.csv")


def check_frames_file(path: Path) -> None:
    """See that the name of the table of a video is free.

    Raises
    ------
    RecordingError
        If it is not.
    """
    table = frames_file(path)
    if table.exists() or table.is_symlink():
        raise _taken(table)


def write_frames(recording: Recording, target: Path) -> None:
    """Write the tables of a video that is about to get its name.

    Those that are there already and say the same are from an attempt that was interrupted.

    Parameters
    ----------
    recording : Recording
        What is in the video.
    target : Path
        The name that it will have.

    Raises
    ------
    RecordingError
        If the name of a table is taken.
    """
    for stream in recording.streams.values():
        if isinstance(stream.data, VideoRows) and stream.data.track is not None:
            _write(stream, stream.data, frames_file(target, stream.data.track))


def _write(stream: RecordedStream, rows: VideoRows, table: Path) -> None:
    part = part_file(table)
    try:
        with part.open("w", encoding="ascii", newline="") as file:
            file.writelines(_lines(stream, rows))
            file.flush()
            os.fsync(file.fileno())
        if table.is_symlink() or table.exists():
            if not (table.is_file() and filecmp.cmp(table, part, shallow=False)):
                raise _taken(table)
            return
        publish(part, table)
    finally:
        part.unlink(missing_ok=True)


def _lines(stream: RecordedStream, rows: VideoRows) -> Iterator[str]:
    yield ",".join(COLUMNS) + "\n"
    epochs, indices = _numbers(stream)
    missing: dict[int, tuple[int, list[str]]] = {}
    for found in stream.gaps:
        count, causes = missing.get(found.row, (0, []))
        missing[found.row] = count + found.gap.count, [*causes, found.gap.cause.value]
    for start in range(0, len(stream), _LINES):
        block = slice(start, start + _LINES)
        columns = (
            rows.shown[block] / rows.ticks, epochs[block], indices[block],
            stream.timestamps[block], stream.raw_timestamps[block],
        )  # fmt: skip
        for row, (time, epoch, index, stamp, raw) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), start=start
        ):
            count, causes = missing.get(row, (0, []))
            gaps = f"{count},{'+'.join(causes)}"
            yield f"{row},{time:.6f},{epoch},{index},{stamp!r},{raw!r},{gaps}\n"


def _numbers(stream: RecordedStream) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return epoch and index of each row."""
    epochs, indices = np.zeros((2, len(stream)), np.int64)
    for epoch in stream.epochs:
        end = epoch.first_row + epoch.n
        rows = slice(epoch.first_row, end)
        epochs[rows] = epoch.epoch
        indices[rows] = epoch.first_index + np.arange(epoch.n)
        for found in stream.gaps:
            if found.gap.epoch == epoch.epoch and epoch.first_row <= found.row < end:
                indices[found.row : end] = found.gap.index + np.arange(end - found.row)
    return epochs, indices


def _taken(table: Path) -> RecordingError:
    return RecordingError(
        f"{table} exists, and nothing is overwritten; it would be the table beside "
        f"the video. Move it away, or choose another path"
    )
