"""Recordings in HDF5, readable with h5py alone.

::

    /                       rigmesh_recording, created, run_id, verdict, context, versions
    /journal                JSON texts: parameter changes, annotations
    /streams/<name>/        info, kind, sampling_rate, stype, channel_names, channel_units …
        data                (n, ...) samples, or texts
        pyramid/<factor>    (n // factor, 2, n_channels) min and max of so many samples of a signal
        timestamps          (n,) local clock, s
        raw_timestamps      (n,) the stream's own clock, s; the same dataset if that is the local
        epochs, gaps        tables; `row` is that of the first sample after a gap
        clock               table: from `row` on, local = raw + offset + drift * (raw - reference)
        bytes               only beside texts with NUL characters: the texts as they were

``linked_folder`` is there if samples and stamps lie in flat files of that folder, not in the file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording._hdf5_chunks import (
    ChunkedRows,
    ChunkedWriter,
    chunk_shape,
    compression_of,
    threads,
)
from rigmesh.recording._hdf5_linked import FOLDER, Outside, flat_rows
from rigmesh.recording.pyramid import FACTORS, Level, PyramidBuilder, Segment, has_pyramid
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
from rigmesh.recording.rows import FlatRows
from rigmesh.streams import Cause, ClockModel, Gap, StreamInfo

__all__ = ["open_file", "recognises", "write", "write_linked"]

VERSION = 1
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
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
    outside: Outside | None = None,
) -> None:
    """Write a recording into a new file.

    Parameters
    ----------
    recording : Recording
        What to write.
    path : Path
        The file; it must not exist.
    options : mapping
        ``compression``: ``none``; ``deflate``, with shuffle; ``auto``, the default: deflate where
        it makes the first samples of a stream smaller by a tenth.
    progress : callable
        Called with the bytes of samples written since the last call.
    outside : Outside
        Where samples and stamps stay that the file only refers to: as external storage of its
        datasets, which any HDF5 library reads.
    """
    import h5py

    compression = compression_of(options.get("compression", "auto"))
    # The format of HDF5 1.8: any library reads it, and attributes may be longer than 64 kB.
    with threads() as pool, h5py.File(path, "x", libver=("v108", "v110")) as file:
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
        if outside is not None:
            file.attrs[FOLDER] = str(outside.folder)
        streams = file.create_group("streams", track_order=True)
        for key, stream in recording.streams.items():
            target = _Target(streams.create_group(key), compression, pool, outside)
            _write_stream(target, stream, progress)


def write_linked(
    recording: Recording,
    path: Path,
    options: Mapping[str, Any],
    progress: Callable[[int], None],
    folder: Path,
) -> None:
    """Write a file that refers to captured samples by the name their folder will have."""
    write(recording, path, options, progress, Outside(recording.path, folder))


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Recording]:
    """Open a recording for reading.

    Raises
    ------
    RecordingError
        If its layout is of a later version.
    """
    import h5py

    with threads() as pool, h5py.File(path, "r") as file:
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
            streams={
                key: _read_stream(key, group, path, pool) for key, group in file["streams"].items()
            },
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


@dataclass(frozen=True, slots=True)
class _Target:
    """Where datasets are made, and how."""

    group: Any
    compression: str
    pool: ThreadPoolExecutor
    outside: Outside | None = None

    def write(
        self, name: str, rows: Rows, dtype: str, sample_shape: tuple[int, ...] = ()
    ) -> Iterator[npt.NDArray[Any]]:
        """Write rows block by block, yielding each."""
        kind = np.dtype(dtype).newbyteorder("<")
        n = len(rows)
        if self.outside is not None and isinstance(rows, FlatRows):
            self.outside.link(self.group, name, rows)
            yield from (rows[block] for block in blocks(n, rows.row_bytes))
            return
        if not n:
            self.group.create_dataset(name, (0, *sample_shape), kind)
            return
        chunks = chunk_shape(n, kind, sample_shape, is_divided=len(sample_shape) == 1)
        writer = self._writer(name, (n, *sample_shape), kind, chunks)
        row_bytes = kind.itemsize * int(np.prod(sample_shape, dtype=int))
        for block in blocks(n, row_bytes, chunks[0]):
            values = rows[block]
            writer.append(values)
            yield values
        writer.finish()

    @contextlib.contextmanager
    def pyramid(self, stream: RecordedStream) -> Iterator[PyramidBuilder]:
        """Return what makes the bins of a stream, which are written by the end."""
        writers = []
        kind = np.dtype(stream.info.dtype).newbyteorder("<")
        for factor in FACTORS:
            n = len(stream) // factor
            if n:
                shape = (2, *stream.info.sample_shape)
                chunks = chunk_shape(n, kind, shape, is_divided=True)
                writers.append(self._writer(f"pyramid/{factor}", (n, *shape), kind, chunks))
        yield PyramidBuilder([writer.append for writer in writers])
        for writer in writers:
            writer.finish()

    def _writer(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...]
    ) -> ChunkedWriter:
        return ChunkedWriter(self.group, name, shape, dtype, chunks, self.compression, self.pool)


def _write_stream(target: _Target, stream: RecordedStream, progress: Callable[[int], None]) -> None:
    group, info = target.group, stream.info
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
    if info.dtype == "text":
        _write_texts(group, stream.data)
    else:
        _write_samples(target, stream, progress)
    _write_stamps(target, "timestamps", stream.timestamps)
    if stream.clocks:
        _write_stamps(target, "raw_timestamps", stream.raw_timestamps)
    else:
        group["raw_timestamps"] = group["timestamps"]
    for name, table in _tables(stream):
        group.create_dataset(name, data=table)


def _write_samples(
    target: _Target, stream: RecordedStream, progress: Callable[[int], None]
) -> None:
    info, rows = stream.info, stream.data
    if target.outside is not None and isinstance(rows, FlatRows) and not has_pyramid(info):
        target.outside.link(target.group, "data", rows)
        progress(len(rows) * rows.row_bytes)
        return
    with contextlib.ExitStack() as stack:
        builder = stack.enter_context(target.pyramid(stream)) if has_pyramid(info) else None
        beside = stack.enter_context(ThreadPoolExecutor(1, "rigmesh-pyramid"))
        added: Future[None] | None = None
        for values in target.write("data", stream.data, info.dtype, info.sample_shape):
            if added is not None:
                added.result()
            if builder is not None:
                added = beside.submit(builder.add, values)
            progress(values.nbytes)
        if added is not None:
            added.result()


def _write_stamps(target: _Target, name: str, stamps: Rows) -> None:
    if target.outside is not None and isinstance(stamps, FlatRows):
        target.outside.link(target.group, name, stamps)
        return
    for _ in target.write(name, stamps, "float64"):
        pass


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


def _read_stream(key: str, group: Any, path: Path, pool: ThreadPoolExecutor) -> RecordedStream:
    info = StreamInfo.from_json(group.attrs["info"])

    def rows(name: str) -> Rows:
        elsewhere = flat_rows(group[name], path)
        return elsewhere if elsewhere is not None else _rows(group[name], pool)

    if info.dtype == "text":
        data: Rows = _Texts(group["bytes"] if "bytes" in group else group["data"])
    else:
        data = rows("data")
    return RecordedStream(
        key=key,
        info=info,
        part=int(group.attrs["part"]),
        data=data,
        timestamps=rows("timestamps"),
        raw_timestamps=rows("raw_timestamps"),
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
        pyramid=(Segment(0, len(data), _levels(group, pool)),),
    )


def _rows(dataset: Any, pool: ThreadPoolExecutor) -> Rows:
    return ChunkedRows(dataset, pool) if ChunkedRows.can_read(dataset) else dataset


def _levels(group: Any, pool: ThreadPoolExecutor) -> tuple[Level, ...]:
    found = []
    for name, dataset in group.get("pyramid", {}).items():
        rows = _rows(dataset, pool)
        found.append(Level(int(name), len(rows), rows.__getitem__))
    return tuple(sorted(found, key=lambda level: level.factor))


def _storable(text: str) -> str:
    """Return a text that an attribute can hold; the exact one is in the JSON of `info`."""
    return text.replace("\0", " ").encode("utf-8", "backslashreplace").decode()
