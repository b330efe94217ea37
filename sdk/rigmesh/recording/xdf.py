"""Recordings in XDF 1.0, readable with pyxdf and whatever else reads LabRecorder's files.

::

    XDF:
    FileHeader              version, datetime; <rigmesh>: run, context, notes, verdict
    StreamHeader            of each stream: LSL's description; <rigmesh>: its exact description
    ClockOffset, Samples    of all streams, side by side as they came
    Boundary                every 10 s or 10 MB, for readers that look for the end of damage
    StreamFooter            of each stream: first and last stamp, number of samples, offsets;
                            <rigmesh>: epochs, gaps, clocks

Each sample has its own raw stamp: that of an LSL inlet, of the sender's clock. The offsets map it
onto the local clock.
"""

from __future__ import annotations

import contextlib
import heapq
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from rigmesh.errors import RecordingError, StreamFormatError
from rigmesh.recording._tables import Tables
from rigmesh.recording._xdf_chunks import BOUNDARY, MAGIC, Source, Tag, chunk
from rigmesh.recording._xdf_headers import VERSION, Header, file_header, footer_tables, kept
from rigmesh.recording._xdf_rows import Index, Texts, TextStamps, Values, ValueStamps
from rigmesh.recording._xdf_write import Buffers, StreamWriter
from rigmesh.recording.recorded import LocalStamps, RecordedStream, Recording, Rows

__all__ = ["open_file", "recognises", "write"]

_BOUNDARY_SECONDS = 10.0
_BOUNDARY_BYTES = 10 * 2**20
_BUFFER = 2**20


def recognises(path: Path) -> bool:
    """Whether a file is a recording of this format, not just any XDF file."""
    with path.open("rb") as file:
        begin = file.read(1024)
    return begin.startswith(MAGIC) and b"</datetime><rigmesh>" in begin


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
        ``names``: what others shall find streams by, for the names of streams.
    progress : callable
        Called with the bytes of samples written since the last call.
    """
    names = options.get("names") or {}
    with path.open("xb", buffering=_BUFFER) as file:
        file.write(MAGIC)
        file.write(chunk(Tag.FILE_HEADER, file_header(recording)))
        streams = [
            StreamWriter(number, stream, str(names.get(stream.info.name, stream.info.name)))
            for number, stream in enumerate(recording.streams.values(), start=1)
        ]
        for stream in streams:
            file.write(stream.header())
        _write_samples(file, streams, progress)
        for stream in streams:
            file.write(stream.footer())


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Recording]:
    """Open a recording for reading.

    Raises
    ------
    RecordingError
        If it is damaged or cut off, or its layout is of a later version.
    """
    with Source(path) as source:
        try:
            recording = _read(source)
        # All that reading JSON of the wrong shape may raise.
        except (
            AttributeError, LookupError, OverflowError, RecursionError, StreamFormatError,
            TypeError, ValueError, struct.error,
        ) as error:  # fmt: skip
            raise source.damaged(f"a header or footer: {error!r}") from error
        yield recording


def _write_samples(
    file: BinaryIO, streams: list[StreamWriter], progress: Callable[[int], None]
) -> None:
    """Write the samples of all streams in the order of their local stamps."""
    waiting = [(one.due, at) for at, one in enumerate(streams) if not one.is_done]
    heapq.heapify(waiting)
    boundary, since = (waiting[0][0] if waiting else 0.0), 0
    while waiting:
        due, at = waiting[0]
        stream = streams[at]
        if due - boundary >= _BOUNDARY_SECONDS or since >= _BOUNDARY_BYTES:
            file.write(chunk(Tag.BOUNDARY, BOUNDARY))
            boundary, since = due, 0
        n, buffers = stream.take()
        since += _write_all(file, buffers)
        progress(n * stream.stream.info.sample_bytes)
        if stream.is_done:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (stream.due, at))
    file.write(chunk(Tag.BOUNDARY, BOUNDARY))


def _write_all(file: BinaryIO, buffers: Buffers) -> int:
    return sum(file.write(buffer) for buffer in buffers)


def _read(source: Source) -> Recording:
    if source.read(0, len(MAGIC)) != MAGIC:
        raise source.damaged("it does not begin like XDF")
    found = source.chunks()
    first = next(found, None)
    if first is None or first.tag != Tag.FILE_HEADER:
        raise source.damaged("it has no header")
    head = kept(source.read(first.begin, first.end - first.begin))
    if head["version"] != VERSION:
        raise RecordingError(
            f"{source.path} has the layout version {head['version']}; this rigmesh reads "
            f"{VERSION}. Use the version that recorded it"
        )
    indices: dict[int, Index] = {}
    tables: dict[int, Tables] = {}
    for one in found:
        if one.tag == Tag.SAMPLES:
            indices[one.stream].add(one)
        elif one.tag in (Tag.STREAM_HEADER, Tag.STREAM_FOOTER):
            content = source.read(one.begin, one.end - one.begin)
            if one.tag == Tag.STREAM_HEADER:
                indices[one.stream] = Index(source, Header.from_content(content))
                continue
            n, tables[one.stream] = footer_tables(content)
            if n != indices[one.stream].n_rows:
                raise source.damaged(
                    f"stream {one.stream} had {n} samples, {indices[one.stream].n_rows} are here"
                )
    if indices.keys() != tables.keys():
        raise source.damaged("streams without an end")
    created = head["created"]
    return Recording(
        path=source.path,
        state="sealed",
        run_id=head["run_id"],
        created={**created, "local_clock": float(created["local_clock"])},
        context=head["context"],
        notes=head["notes"],
        streams={
            index.header.key: _stream(index, tables[number]) for number, index in indices.items()
        },
        verdict=head["verdict"],
    )


def _stream(index: Index, tables: Tables) -> RecordedStream:
    header = index.header
    data: Rows
    raw: Rows
    if header.info.dtype == "text":
        data = texts = Texts(index)
        raw = TextStamps(texts)
    else:
        data, raw = Values(index), ValueStamps(index)
    stamps: Rows = LocalStamps(raw, tables.clocks) if tables.clocks else raw
    return RecordedStream(
        header.key, header.info, header.part, data, stamps, raw,
        tables.epochs, tables.gaps, tables.clocks,
    )  # fmt: skip
