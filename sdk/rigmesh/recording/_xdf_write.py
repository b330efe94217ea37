"""Writing the samples of one stream as chunks of an XDF file."""

from __future__ import annotations

import bisect
import itertools
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording._xdf_chunks import Tag, chunk, chunk_head, varlen
from rigmesh.recording._xdf_headers import Header, stored_dtype, stream_footer, stream_header
from rigmesh.recording.recorded import TEXT_BYTES, RecordedStream, blocks
from rigmesh.streams import IDENTITY

__all__ = ["STAMPED", "StreamWriter"]

STAMPED = struct.Struct("<Bd")
"""In front of each sample: the size of its stamp, 8 bytes, and the raw stamp, in seconds."""

_CHUNK_BYTES = 2**19
_CHUNK_SECONDS = 2.0
_CHUNK_TEXTS = 64
_STAMPS = 2**16
"""How many stamps are read at once; one chunk after another is cut from them."""
_OFFSET_SECONDS = 5.0
"""How often LabRecorder, too, tells the offset between the clocks."""

Stamps = npt.NDArray[np.float64]
Buffers = list[bytes | memoryview]


class StreamWriter:
    """Gives a stream chunk by chunk, so that several can be written side by side.

    Parameters
    ----------
    number : int
        Of the stream in the file.
    stream : RecordedStream
        The stream.
    name : str
        What others shall find it by.

    Attributes
    ----------
    due : float
        Local time of the next chunk, in seconds; that of the one before if its stamp is none.
    is_done : bool
        Whether there is no further chunk.
    """

    def __init__(self, number: int, stream: RecordedStream, name: str) -> None:
        info = stream.info
        self.stream = stream
        self.due = -math.inf
        self.is_done = False
        self._number = number
        self._header = Header(stream.key, stream.part, info, _is_splittable(stream))
        self._name = name
        self._stored = np.dtype(stored_dtype(info.dtype) if info.dtype != "text" else "u1")
        self._offsets: list[tuple[float, float]] = []
        self._last_offset = -math.inf
        self._clock_rows = [clock.row for clock in stream.clocks]
        self._turns = {*self._clock_rows, *(epoch.first_row for epoch in stream.epochs)}
        self._ends = {len(stream), *(epoch.first_row + epoch.n for epoch in stream.epochs)}
        self._cuts = self._cut()
        self._advance()

    def header(self) -> bytes:
        """Return the chunk that describes the stream."""
        content = stream_header(self._header, self._name)
        return chunk(Tag.STREAM_HEADER, content, self._number)

    def footer(self) -> bytes:
        """Return the chunk that ends the stream."""
        stamps, n = self.stream.raw_timestamps, len(self.stream)
        ends = [float(stamps[row : row + 1][0]) for row in (0, n - 1)] if n else []
        content = stream_footer(self.stream, ends, self._offsets)
        return chunk(Tag.STREAM_FOOTER, content, self._number)

    def take(self) -> tuple[int, Buffers]:
        """Return the next chunk: how many samples, and what to write."""
        first, raw = self._next
        rows = slice(first, first + len(raw))
        if self.stream.info.dtype == "text":
            samples = self._texts(rows, raw)
        else:
            samples = self._values(rows, raw)
        size = sum(map(len, samples)) + 5
        count = b"\x04" + len(raw).to_bytes(4, "little")
        head = chunk_head(Tag.SAMPLES, size, self._number) + count
        buffers = [*self._offset_before(rows, raw), head, *samples, *self._offset_after(rows, raw)]
        self._advance()
        return len(raw), buffers

    # --- cutting ---------------------------------------------------------------------------

    def _cut(self) -> Iterator[tuple[int, Stamps]]:
        """Give the first row of each chunk, and its raw stamps: never of two epochs or clocks."""
        stream = self.stream
        n = len(stream)
        rows = {0, n, *self._turns}
        is_text = stream.info.dtype == "text"
        row_bytes = STAMPED.size + self._stored.itemsize * stream.info.n_channels
        most = _CHUNK_TEXTS if is_text else max(1, _CHUNK_BYTES // row_bytes)
        for begin, end in itertools.pairwise(sorted(row for row in rows if 0 <= row <= n)):
            for first in range(begin, end, _STAMPS):
                raw = np.asarray(stream.raw_timestamps[first : min(first + _STAMPS, end)])
                at = 0
                while at < len(raw):
                    near = raw[at : at + most]
                    with np.errstate(invalid="ignore"):
                        far = np.abs(near - near[0]) > _CHUNK_SECONDS
                    if far.any():
                        near = near[: far.argmax()]
                    yield first + at, near
                    at += len(near)

    def _advance(self) -> None:
        found = next(self._cuts, None)
        if found is None:
            self.is_done = True
            return
        self._next = found
        due = float(self.stream.timestamps[found[0] : found[0] + 1][0])
        if math.isfinite(due):
            self.due = due

    # --- samples ---------------------------------------------------------------------------

    def _values(self, rows: slice, raw: Stamps) -> Buffers:
        values = np.asarray(self.stream.data[rows])
        if values.dtype.name == "uint64":
            values = values.view(values.dtype.str.replace("u", "i"))
        values = np.ascontiguousarray(values, self._stored.newbyteorder("<"))
        # As bytes: copying them row by row is many times as fast as fields that are not aligned.
        flat = values.reshape(len(raw), -1).view(np.uint8)
        packed = np.empty((len(raw), STAMPED.size + flat.shape[1]), np.uint8)
        packed[:, 0] = 8
        packed[:, 1 : STAMPED.size] = _bytes_of(raw)
        packed[:, STAMPED.size :] = flat
        return [packed.reshape(-1).data]

    def _texts(self, rows: slice, raw: Stamps) -> Buffers:
        samples: Buffers = []
        for stamp, text in zip(raw.tolist(), self.stream.data[rows], strict=True):
            samples.append(STAMPED.pack(8, stamp))
            for part in json.loads(text) if self._header.is_split else [text]:
                content = part.encode("utf-8", "surrogateescape")
                samples += [varlen(len(content)), content]
        return samples

    # --- clocks ----------------------------------------------------------------------------

    def _offset_before(self, rows: slice, raw: Stamps) -> Buffers:
        is_new = rows.start in self._turns
        if not is_new and abs(float(raw[0]) - self._last_offset) < _OFFSET_SECONDS:
            return []
        return self._offset(rows.start, float(raw[0]))

    def _offset_after(self, rows: slice, raw: Stamps) -> Buffers:
        """Tell the offset at the end of an epoch, too: pyxdf maps by the nearest in time."""
        if rows.stop not in self._ends or float(raw[-1]) == self._last_offset:
            return []
        return self._offset(rows.stop - 1, float(raw[-1]))

    def _offset(self, row: int, raw: float) -> Buffers:
        number = bisect.bisect_right(self._clock_rows, row)
        model = self.stream.clocks[number - 1].model if number else IDENTITY
        value = model.offset + model.drift * (raw - model.reference)
        if not (math.isfinite(raw) and math.isfinite(value)):
            return []
        self._last_offset = raw
        self._offsets.append((raw, value))
        return [chunk(Tag.CLOCK_OFFSET, struct.pack("<dd", raw, value), self._number)]


def _bytes_of(stamps: Stamps) -> npt.NDArray[Any]:
    return np.ascontiguousarray(stamps, "<f8").view(np.uint8).reshape(-1, 8)


def _is_splittable(stream: RecordedStream) -> bool:
    """Whether all markers are JSON lists of as many texts as channels, written as we write them."""
    n_channels, texts = stream.info.n_channels, stream.data
    if stream.info.dtype != "text" or n_channels == 1:
        return False
    return all(
        _is_list(text, n_channels)
        for block in blocks(len(stream), TEXT_BYTES)
        for text in texts[block]
    )


def _is_list(text: str, n: int) -> bool:
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(parts, list)
        and len(parts) == n
        and all(isinstance(part, str) for part in parts)
        and json.dumps(parts, ensure_ascii=False) == text
    )
