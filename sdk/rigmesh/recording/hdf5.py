"""Recordings in HDF5, readable with h5py alone.

::

    /                       rigmesh_recording, created, run_id, verdict, context, versions
    /journal                JSON texts: parameter changes, annotations
    /streams/<name>/        info, kind, sampling_rate, stype, channel_names, channel_units …
        data                (n, ...) samples, or texts
        timestamps          (n,) local clock, s
        raw_timestamps      (n,) the stream's own clock, s; the same dataset if that is the local
        epochs, gaps        tables; `row` is that of the first sample after a gap
        clock               table: from `row` on, local = raw + offset + drift * (raw - reference)
        bytes               only beside texts with NUL characters: the texts as they were
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording.recorded import (
    TEXT_BYTES,
    EpochRows,
    RecordedStream,
    Recording,
    RowClock,
    RowGap,
    Rows,
    blocks,
)
from rigmesh.streams import Cause, ClockModel, Gap, StreamInfo

__all__ = ["open_file", "recognises", "write"]

VERSION = 1
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES = 2**19
_UNKNOWN = -1

_EPOCHS = np.dtype(
    [("epoch", "<i8"), ("first_row", "<i8"), ("n", "<i8"), ("first_index", "<i8"),
     ("produced", "<i8"), ("missing", "<i8")]
)  # fmt: skip
_GAPS = np.dtype(
    [("epoch", "<i8"), ("row", "<i8"), ("index", "<i8"), ("cause", "S16"), ("count", "<i8"),
     ("duration", "<f8"), ("exact", "?")]
)  # fmt: skip
_CLOCK = np.dtype(
    [("row", "<i8"), ("offset", "<f8"), ("drift", "<f8"), ("reference", "<f8"),
     ("uncertainty", "<f8")]
)  # fmt: skip


def recognises(path: Path) -> bool:
    """Whether a file is a recording of this format."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return False
    import h5py

    with h5py.File(path, "r") as file:
        return "rigmesh_recording" in file.attrs


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
        ``compression``: whether to shuffle and gzip the samples.
    progress : callable
        Called with the bytes of samples written since the last call.
    """
    import h5py

    # The format of HDF5 1.8: any library reads it, and attributes may be longer than 64 kB.
    with h5py.File(path, "x", libver=("v108", "v110")) as file:
        context = recording.context
        file.attrs["rigmesh_recording"] = VERSION
        file.attrs["created"] = recording.created["utc"]
        file.attrs["created_local_clock"] = recording.created["local_clock"]
        file.attrs["clock_id"] = recording.created["clock_id"]
        file.attrs["run_id"] = recording.run_id
        file.attrs["verdict"] = _storable(recording.verdict)
        file.attrs["context"] = json.dumps(context)
        file.attrs["versions"] = json.dumps(context.get("versions", {}))
        notes = [json.dumps(note) for note in recording.notes]
        file.create_dataset("journal", data=notes, shape=(len(notes),), dtype=h5py.string_dtype())
        streams = file.create_group("streams", track_order=True)
        for key, stream in recording.streams.items():
            _write_stream(streams.create_group(key), stream, options, progress)


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Recording]:
    """Open a recording for reading.

    Raises
    ------
    RecordingError
        If its layout is of a later version.
    """
    import h5py

    with h5py.File(path, "r") as file:
        attributes = file.attrs
        if attributes["rigmesh_recording"] != VERSION:
            raise RecordingError(
                f"{path} has the layout version {attributes['rigmesh_recording']}; this rigmesh "
                f"reads {VERSION}. Use the version that recorded it"
            )
        yield Recording(
            path=path,
            state="sealed",
            run_id=attributes["run_id"],
            created={
                "utc": attributes["created"],
                "local_clock": float(attributes["created_local_clock"]),
                "clock_id": attributes["clock_id"],
            },
            context=json.loads(attributes["context"]),
            notes=[json.loads(note) for note in file["journal"][:]],
            streams={key: _read_stream(key, group) for key, group in file["streams"].items()},
            verdict=attributes["verdict"],
        )


class _Texts:
    """Texts in a dataset of variable-length strings, or of bytes."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, wanted: slice) -> list[str]:
        return [bytes(raw).decode("utf-8", "surrogateescape") for raw in self._dataset[wanted]]


def _write_stream(
    group: Any, stream: RecordedStream, options: Mapping[str, Any], progress: Callable[[int], None]
) -> None:
    info = stream.info
    group.attrs["info"] = json.dumps(info.to_dict())
    group.attrs["name"] = _storable(info.name)
    group.attrs["part"] = stream.part
    group.attrs["kind"] = info.kind
    group.attrs["sampling_rate"] = info.sampling_rate
    group.attrs["stype"] = _storable(info.stype)
    group.attrs["source_id"] = _storable(info.source_id)
    group.attrs["clock_id"] = _storable(info.clock_id)
    if info.channels:
        group.attrs["channel_names"] = [_storable(c.name) for c in info.channels]
        group.attrs["channel_units"] = [_storable(c.unit) for c in info.channels]
        group.attrs["channel_types"] = [_storable(c.type) for c in info.channels]
    extra = {"shuffle": True, "compression": "gzip", "compression_opts": 1}
    if not options.get("compression"):
        extra = {}
    if info.dtype == "text":
        _write_texts(group, stream.data)
    else:
        dtype = np.dtype(info.dtype).newbyteorder("<")
        _write_rows(group, "data", stream.data, dtype, info.sample_shape, extra, progress)
    _write_rows(group, "timestamps", stream.timestamps, np.dtype("<f8"), (), extra)
    if stream.clocks:
        raw = stream.raw_timestamps
        _write_rows(group, "raw_timestamps", raw, np.dtype("<f8"), (), extra)
    else:
        group["raw_timestamps"] = group["timestamps"]
    for name, table in _tables(stream):
        group.create_dataset(name, data=table)


def _write_rows(
    group: Any,
    name: str,
    rows: Rows,
    dtype: np.dtype[Any],
    sample_shape: tuple[int, ...],
    extra: Mapping[str, Any],
    progress: Callable[[int], None] | None = None,
) -> None:
    n = len(rows)
    row_bytes = dtype.itemsize * int(np.prod(sample_shape, dtype=int))
    if not n:
        group.create_dataset(name, (0, *sample_shape), dtype)
        return
    chunk_rows = min(n, max(1, _CHUNK_BYTES // row_bytes))
    dataset = group.create_dataset(
        name, (n, *sample_shape), dtype, chunks=(chunk_rows, *sample_shape), **extra
    )
    for block in blocks(n, row_bytes, chunk_rows):
        values = rows[block]
        dataset[block] = values
        if progress is not None:
            progress(values.nbytes)


def _write_texts(group: Any, texts: Rows) -> None:
    import h5py

    n = len(texts)
    chunks = (min(n, 1024),) if n else None
    data = group.create_dataset("data", (n,), h5py.string_dtype("utf-8"), chunks=chunks)
    exact = None
    if any("\0" in text for block in blocks(n, TEXT_BYTES) for text in texts[block]):
        exact = group.create_dataset("bytes", (n,), h5py.vlen_dtype(np.uint8), chunks=chunks)
    for block in blocks(n, TEXT_BYTES):
        raw = [text.encode("utf-8", "surrogateescape") for text in texts[block]]
        data[block] = np.array([text.replace(b"\0", b" ") for text in raw], dtype=object)
        if exact is not None:
            # One by one: h5py would take texts of equal lengths for a matrix.
            for row, text in enumerate(raw, start=block.start):
                exact[row] = np.frombuffer(text, np.uint8)


def _tables(stream: RecordedStream) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    epochs = [
        (e.epoch, e.first_row, e.n, e.first_index,
         _UNKNOWN if e.produced is None else e.produced, e.missing)
        for e in stream.epochs
    ]  # fmt: skip
    yield "epochs", np.array(epochs, _EPOCHS)
    gaps = [
        (g.gap.epoch, g.row, g.gap.index, g.gap.cause.value.encode(), g.gap.count, g.gap.duration,
         g.gap.exact)
        for g in stream.gaps
    ]  # fmt: skip
    yield "gaps", np.array(gaps, _GAPS)
    clocks = [
        (c.row, c.model.offset, c.model.drift, c.model.reference, c.model.uncertainty)
        for c in stream.clocks
    ]
    yield "clock", np.array(clocks, _CLOCK)


def _read_stream(key: str, group: Any) -> RecordedStream:
    info = StreamInfo.from_json(group.attrs["info"])
    data: Rows = group["data"]
    if info.dtype == "text":
        data = _Texts(group["bytes"] if "bytes" in group else group["data"])
    return RecordedStream(
        key=key,
        info=info,
        part=int(group.attrs["part"]),
        data=data,
        timestamps=group["timestamps"],
        raw_timestamps=group["raw_timestamps"],
        epochs=tuple(
            EpochRows(
                epoch, first_row, n, index, None if produced == _UNKNOWN else produced, missing
            )
            for epoch, first_row, n, index, produced, missing in group["epochs"][:].tolist()
        ),
        gaps=tuple(
            RowGap(row, Gap(Cause(cause.decode()), epoch, index, count, duration, exact))
            for epoch, row, index, cause, count, duration, exact in group["gaps"][:].tolist()
        ),
        clocks=tuple(
            RowClock(row, ClockModel(*model)) for row, *model in group["clock"][:].tolist()
        ),
    )


def _storable(text: str) -> str:
    """Return a text that an attribute can hold; the exact one is in the JSON of `info`."""
    return text.replace("\0", " ").encode("utf-8", "backslashreplace").decode()
