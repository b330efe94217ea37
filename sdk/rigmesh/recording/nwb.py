"""Recordings in NWB, the field's format for neurophysiology: written by pynwb, read by its tools.

What a stream becomes:

===============================  =================================================================
voltages picked up by electrodes ``ElectricalSeries`` in ``acquisition``, with rows of the
                                 electrodes' table, a group and a device for the node
positions                        ``SpatialSeries`` in ``processing/behavior/Position``
frames                           ``ImageSeries`` in ``acquisition``
other numbers                    ``TimeSeries`` in ``acquisition``
texts                            ``EventsTable`` in ``events``
===============================  =================================================================

Samples are stored as they came, with the factor that makes volts of them beside; all stamps are
written out, since a rate would be silent about gaps. They are relative to the start of the session.

Texts are events without a duration. NWB's type for those is ``EventsTable`` (since 2.11), whose
columns `timestamp` and `annotation` are the onset and description of MNE's annotations. Its older
``AnnotationSeries`` is deprecated, pynwb is about to refuse to make one; a ``TimeIntervals`` would
claim an end of what has none.

What NWB has no word for is in ``scratch``, which is part of the standard, so that the file stays
valid and pynwb copies it:

::

    scratch/rigmesh_recording      JSON: version, run_id, created, zero, verdict, context, streams
                                   (info, part, and the path and channels of each series)
            rigmesh_journal        JSON texts: parameter changes, annotations
            rigmesh_epochs         tables as those of the HDF5 format, with the key of the stream
            rigmesh_gaps
            rigmesh_clocks
            rigmesh_texts          table: exact texts, as JSON, where a NUL or no UTF-8 is in them
            KEY.raw_timestamps     (n,) the stream's own clock, s; absent if that is the local one
            KEY.timestamps         (n,) local clock, s; absent if that is `zero` + the series' times

With ``external_video`` frames that a video can hold are in one beside the file, without loss, and
their ``ImageSeries`` has it as ``external_file``; its timestamps are in the file all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording._hdf5_chunks import ChunkedRows, threads
from rigmesh.recording._nwb_layout import (
    CLOCKS,
    EPOCHS,
    GAPS,
    JOURNAL,
    LOCAL,
    RAW,
    RECORDING,
    TEXTS,
    VERSION,
    entries,
)
from rigmesh.recording._nwb_video import ExternalFrames, publish_videos
from rigmesh.recording.paths import part_file
from rigmesh.recording.recorded import RecordedStream, Recording, Rows
from rigmesh.streams import StreamInfo

__all__ = ["open_file", "recognises", "write", "write_beside"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

write_beside = publish_videos


def recognises(path: Path) -> bool:
    """Whether a file is a recording of this format."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return False
    import h5py

    with h5py.File(path, "r") as file:
        return f"scratch/{RECORDING}" in file


def write(
    recording: Recording,
    path: Path,
    options: Mapping[str, Any],
    progress: Callable[[int], None],
) -> None:
    """Write a recording into a new file.

    Parameters
    ----------
    recording : Recording
        What to write.
    path : Path
        The file; it must not exist.
    options : mapping
        ``compression``: as of the HDF5 format: ``none``, ``deflate`` or ``auto``, the default.
        ``external_video``: whether frames go into a video beside the file.
    progress : callable
        Called with the bytes of samples written since the last call.

    Raises
    ------
    RecordingError
        If pynwb is not installed.
    OSError
        If the disk does not take it.
    """
    try:
        from rigmesh.recording._nwb_write import write_nwb
    except ImportError as error:
        raise RecordingError(
            f"NWB files need pynwb 4.2 or later: pip install 'rigmesh[files]' ({error})"
        ) from error
    try:
        write_nwb(recording, path, options, progress)
    except (OSError, RuntimeError) as error:
        # HDF5 keeps a file open that it could not finish; it shall not hold the room meanwhile.
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
        # A RuntimeError it is if the disk refuses what was in the cache until the end.
        why = re.search("error message = '([^']*)'", str(error))
        if isinstance(error, OSError) or why is None:
            raise
        raise OSError(f"{why[1]} ({path})") from error


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Recording]:
    """Open a recording for reading; that takes h5py only, and PyAV for pictures in a video.

    Raises
    ------
    RecordingError
        If its layout is of a later version.
    """
    import h5py

    with contextlib.ExitStack() as stack:
        pool, file = stack.enter_context(threads()), stack.enter_context(h5py.File(path, "r"))
        scratch = file["scratch"]
        head = json.loads(scratch[RECORDING].asstr()[()])
        if head["version"] != VERSION:
            raise RecordingError(
                f"{path} has the layout version {head['version']}; this rigmesh reads {VERSION}. "
                "Use the version that recorded it"
            )
        tables = {name: entries(name, scratch.get(name, {})) for name in (EPOCHS, GAPS, CLOCKS)}
        odd = _odd_rows(scratch.get(TEXTS, {}))
        notes = scratch[JOURNAL].asstr()[:] if JOURNAL in scratch else ()
        streams = {
            key: _stream(file, pool, key, told, head["zero"], tables, odd.get(key, {}))
            for key, told in head["streams"].items()
        }
        for stream in streams.values():
            if isinstance(stream.data, ExternalFrames):
                stack.callback(stream.data.close)
        yield Recording(
            path=path,
            state="sealed",
            run_id=head["run_id"],
            created=head["created"],
            context=head["context"],
            notes=[json.loads(note) for note in notes],
            streams=streams,
            verdict=head["verdict"],
        )


class _Texts:
    """Texts in a dataset, but for some that it cannot hold: those are in another, as JSON."""

    def __init__(self, dataset: Any, exact: Any, odd: Mapping[int, int]) -> None:
        self._dataset = dataset.asstr()
        self._exact = exact
        self._odd = odd

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, wanted: slice) -> list[str]:
        texts: list[str] = self._dataset[wanted].tolist()
        for at, row in enumerate(range(*wanted.indices(len(self))) if self._odd else ()):
            if row in self._odd:
                texts[at] = json.loads(self._exact.asstr()[self._odd[row]])
        return texts


class _Samples:
    """The channels of a stream, from the series that hold some of them each."""

    def __init__(self, parts: list[tuple[Any, list[int]]], info: StreamInfo) -> None:
        self.dtype = np.dtype(info.dtype).newbyteorder("<")
        self.shape = (len(parts[0][0]), *info.sample_shape)
        self._parts = parts

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        n = len(range(*wanted.indices(len(self))))
        rows = np.empty((n, *self.shape[1:]), self.dtype)
        for dataset, columns in self._parts:
            if columns:
                rows[:, columns] = dataset[wanted]
            else:
                rows[:] = dataset[wanted].reshape(rows.shape)
        return rows


class _LocalStamps:
    """Stamps of the local clock, from those that count from the start of the session."""

    def __init__(self, relative: Any, zero: float) -> None:
        self._relative = relative
        self._zero = zero

    def __len__(self) -> int:
        return len(self._relative)

    def __getitem__(self, wanted: slice) -> npt.NDArray[np.float64]:
        stamps: npt.NDArray[np.float64] = self._relative[wanted] + self._zero
        return stamps


def _stream(
    file: Any,
    pool: ThreadPoolExecutor,
    key: str,
    told: Mapping[str, Any],
    zero: float,
    tables: Mapping[str, Mapping[str, list[Any]]],
    odd: Mapping[int, int],
) -> RecordedStream:
    info = StreamInfo.from_dict(told["info"])
    data: Rows
    stamps: Rows
    if not told["series"]:
        stamps = np.empty(0)
        data = [] if info.dtype == "text" else np.empty((0, *info.sample_shape), info.dtype)
    else:
        parts = [(file[path], columns) for path, columns in told["series"]]
        group = parts[0][0]
        if info.dtype == "text":
            odd_texts = file[f"scratch/{TEXTS}/text"] if odd else None
            data, relative = _Texts(group["annotation"], odd_texts, odd), group["timestamp"]
        elif "video" in told:
            relative = group["timestamps"]
            data = ExternalFrames(_beside(file, told["video"]), info, len(relative))
        else:
            data = _Samples([(_rows(p["data"], pool), columns) for p, columns in parts], info)
            relative = group["timestamps"]
        exact = file["scratch"].get(key + LOCAL)
        stamps = _LocalStamps(_rows(relative, pool), zero) if exact is None else _rows(exact, pool)
    raw = file["scratch"].get(key + RAW)
    return RecordedStream(
        key=key,
        info=info,
        part=told["part"],
        data=data,
        timestamps=stamps,
        raw_timestamps=stamps if raw is None else _rows(raw, pool),
        epochs=tuple(tables[EPOCHS].get(key, ())),
        gaps=tuple(tables[GAPS].get(key, ())),
        clocks=tuple(tables[CLOCKS].get(key, ())),
    )


def _beside(file: Any, name: str) -> Path:
    """Return a video beside a file; beside one that has no name yet, neither has it one."""
    path = Path(file.filename)
    found = path.with_name(name)
    return part_file(found) if path.name.endswith(".part") else found


def _rows(dataset: Any, pool: ThreadPoolExecutor) -> Rows:
    return ChunkedRows(dataset, pool) if ChunkedRows.can_read(dataset) else dataset


def _odd_rows(table: Mapping[str, Any]) -> dict[str, dict[int, int]]:
    """Return where exact texts are, by stream and row."""
    found: dict[str, dict[int, int]] = {}
    if table:
        rows = zip(table["stream"].asstr()[:], table["row"][:].tolist(), strict=True)
        for at, (stream, row) in enumerate(rows):
            found.setdefault(stream, {})[row] = at
    return found
