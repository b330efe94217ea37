"""Rings: one writer, many readers, samples rather than messages; over any buffer.

A ring of numeric samples holds ``stamps[capacity]`` (float64) and ``data[capacity, ...]``. A ring
of texts holds, instead of data, ``items[capacity]`` (offset, length) and a byte ring. A read
copies out and only then checks that the writer has not come round (`is_intact`), so that nobody
ever processes torn data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import StreamFormatError
from rigmesh.streams import Chunk, Frames, Markers, Signal, StreamInfo
from rigmesh.transports.layout import (
    HEADER_BYTES,
    Geometry,
    Header,
    pages,
    read_info,
    write_info,
)

__all__ = ["BYTE_RING", "Ring", "SampleRing", "TextRing", "capacity_for", "make_ring", "open_ring"]

BYTE_RING = 4 * 2**20
"""Size of a text ring's byte ring; an item over a quarter of it is refused."""

_IRREGULAR_CAPACITY = 16384
_IRREGULAR_BYTES = 16 * 2**20
_FEWEST = 64

Stamps = npt.NDArray[np.float64]

_RESERVED, _WRITTEN = Header.RESERVED, Header.WRITTEN


def capacity_for(info: StreamInfo, seconds: float) -> int:
    """Return how many samples a ring for `seconds` of the stream holds.

    An irregular stream gets 16384 samples, or as many as fit into 16 MiB.
    """
    if info.is_regular:
        return max(_FEWEST, int(np.ceil(info.sampling_rate * seconds)))
    if not info.sample_bytes:
        return _IRREGULAR_CAPACITY
    return max(_FEWEST, min(_IRREGULAR_CAPACITY, _IRREGULAR_BYTES // info.sample_bytes))


class Ring(ABC):
    """What rings of samples and of texts have in common."""

    def __init__(self, buffer: memoryview, header: Header, info: StreamInfo, geometry: Geometry):
        self.header = header
        self.info = info
        self.capacity = geometry.capacity
        self.epoch = header.words[Header.EPOCH]
        self.first = header.words[Header.FIRST]
        self._words = header.words
        at = geometry.data_at
        self.stamps: Stamps = np.frombuffer(buffer, np.float64, self.capacity, at)

    chunk_type: type[Chunk] = Markers

    @property
    def written(self) -> int:
        """Index just past the last sample published."""
        return self._words[_WRITTEN]

    @property
    def oldest(self) -> int:
        """Index of the oldest sample that is still there."""
        return max(self.first, self._words[_RESERVED] - self.capacity)

    @property
    @abstractmethod
    def patient_step(self) -> int:
        """How many samples a writer that waits for its readers stores at once."""

    @abstractmethod
    def write(self, chunk: Chunk) -> None:
        """Store and publish the samples of a chunk."""

    def has_room(self, chunk: Chunk, keep: int) -> bool:
        """Whether a chunk fits without writing over anything from the sample `keep` on."""
        return self._words[_WRITTEN] + len(chunk) - keep <= self.capacity

    @abstractmethod
    def read(self, start: int, stop: int) -> Chunk:
        """Copy samples out, at most a ring full; valid only if :meth:`is_intact` says so after."""

    def is_intact(self, start: int) -> bool:
        """Whether nothing from `start` on has been written over."""
        return start >= self._words[_RESERVED] - self.capacity and start >= self.first

    def release(self) -> None:
        """Let go of the buffer."""
        self.header.release()
        del self.stamps

    def _spans(self, start: int, stop: int) -> tuple[slice, slice]:
        """Split a run of indices where the ring begins anew."""
        first, n = start % self.capacity, stop - start
        end = min(first + n, self.capacity)
        return slice(first, end), slice(0, n - (end - first))


class SampleRing(Ring):
    """A ring of numeric samples: signals and frames."""

    def __init__(self, buffer: memoryview, header: Header, info: StreamInfo, geometry: Geometry):
        super().__init__(buffer, header, info, geometry)
        at = geometry.data_at + pages(8 * self.capacity)
        count = self.capacity * info.n_channels
        flat: npt.NDArray[Any] = np.frombuffer(buffer, np.dtype(info.dtype), count, at)
        self.data = flat.reshape(self.capacity, *info.sample_shape)
        self.chunk_type = Frames if info.kind == "frames" else Signal

    @property
    def patient_step(self) -> int:
        """Half a ring: the readers can empty one half while the other is filled."""
        return max(1, self.capacity // 2)

    @staticmethod
    def size(info: StreamInfo, capacity: int) -> int:
        """Bytes behind the description."""
        return pages(8 * capacity) + pages(info.sample_bytes * capacity)

    def write(self, chunk: Chunk) -> None:
        """Store and publish the samples; a chunk longer than the ring leaves its end."""
        words, capacity = self._words, self.capacity
        data, stamps = chunk.data, chunk.raw_timestamps
        start, n = words[_WRITTEN], len(stamps)
        stop = start + n
        words[_RESERVED] = stop
        if n > capacity:
            data, stamps, start, n = data[-capacity:], stamps[-capacity:], stop - capacity, capacity
            words[_WRITTEN] = start  # those are written over already
        at = start % capacity
        end = at + n
        if end <= capacity:
            self.data[at:end] = data
            self.stamps[at:end] = stamps
        else:
            first, second = self._spans(start, stop)
            split = first.stop - first.start
            self.data[first], self.data[second] = data[:split], data[split:]
            self.stamps[first], self.stamps[second] = stamps[:split], stamps[split:]
        words[_WRITTEN] = stop

    def read(self, start: int, stop: int) -> Chunk:
        """Copy samples out, at most a ring full."""
        at = start % self.capacity
        end = at + stop - start
        if end <= self.capacity:
            data, stamps = self.data[at:end].copy(), self.stamps[at:end].copy()
        else:
            first, second = self._spans(start, stop)
            data = np.concatenate((self.data[first], self.data[second]))
            stamps = np.concatenate((self.stamps[first], self.stamps[second]))
        return self.chunk_type(data, stamps, index=start, epoch=self.epoch, info=self.info)

    def view(self, start: int, stop: int) -> tuple[npt.NDArray[Any], Stamps] | None:
        """Return data and stamps without copying, or None where the ring begins anew between."""
        first, second = self._spans(start, stop)
        if second.stop:
            return None
        data, stamps = self.data[first], self.stamps[first]
        data.flags.writeable = stamps.flags.writeable = False
        return data, stamps

    def release(self) -> None:
        """Let go of the buffer."""
        del self.data
        super().release()


class TextRing(Ring):
    """A ring of texts of any length beside their stamps."""

    def __init__(self, buffer: memoryview, header: Header, info: StreamInfo, geometry: Geometry):
        super().__init__(buffer, header, info, geometry)
        self.byte_capacity = geometry.byte_capacity
        items_at = geometry.data_at + pages(8 * self.capacity)
        flat = np.frombuffer(buffer, np.uint64, 2 * self.capacity, items_at)
        self._items = flat.reshape(self.capacity, 2)
        bytes_at = items_at + pages(16 * self.capacity)
        self._bytes = buffer[bytes_at : bytes_at + self.byte_capacity]

    @property
    def patient_step(self) -> int:
        """One text: the byte ring may hold no more than four."""
        return 1

    @staticmethod
    def size(capacity: int, byte_capacity: int) -> int:
        """Bytes behind the description."""
        return pages(8 * capacity) + pages(16 * capacity) + pages(byte_capacity)

    def write(self, chunk: Chunk) -> None:
        """Store and publish the texts one by one.

        Raises
        ------
        StreamFormatError
            If one is no text, or longer than a quarter of the byte ring; then none is published.
        """
        words = self._words
        encoded = [self._encode(text) for text in chunk.data]
        for raw, stamp in zip(encoded, chunk.raw_timestamps, strict=True):
            index, offset = words[_WRITTEN], words[Header.BYTES_WRITTEN]
            words[_RESERVED] = index + 1
            words[Header.BYTES_RESERVED] = offset + len(raw)
            self._store(offset, raw)
            self._items[index % self.capacity] = offset, len(raw)
            self.stamps[index % self.capacity] = stamp
            words[Header.BYTES_WRITTEN] = offset + len(raw)
            words[_WRITTEN] = index + 1

    def has_room(self, chunk: Chunk, keep: int) -> bool:
        """Whether both the texts and their bytes fit."""
        if not super().has_room(chunk, keep):
            return False
        end = self._words[Header.BYTES_WRITTEN]
        begin = self._offset(keep) if keep < self.written else end
        n_bytes = sum(len(self._encode(text)) for text in chunk.data)
        return end + n_bytes - begin <= self.byte_capacity

    def read(self, start: int, stop: int) -> Chunk:
        """Copy texts out."""
        rows = [index % self.capacity for index in range(start, stop)]
        texts = []
        for offset, length in self._items[rows].tolist():
            texts.append(self._load(offset, min(length, self.byte_capacity)))
        return Markers(
            texts, self.stamps[rows].copy(), index=start, epoch=self.epoch, info=self.info
        )

    def is_intact(self, start: int) -> bool:
        """Whether neither the items nor their bytes have been written over."""
        words = self._words
        if start < words[_WRITTEN]:
            begin = self._offset(start)
            if begin < words[Header.BYTES_RESERVED] - self.byte_capacity:
                return False
        # The item last: only if it is intact now was `begin` its own.
        return super().is_intact(start)

    @property
    def oldest(self) -> int:
        """Index of the oldest text whose bytes are still there."""
        # Offsets grow with the index, so a search by halves finds the first intact one.
        low, high = super().oldest, self.written
        while low < high:
            middle = (low + high) // 2
            if self.is_intact(middle):
                high = middle
            else:
                low = middle + 1
        return low

    def release(self) -> None:
        """Let go of the buffer."""
        del self._items
        self._bytes.release()
        super().release()

    def _encode(self, text: str) -> bytes:
        try:
            # Surrogates stand for bytes that were no UTF-8 when the text came in; keep them.
            raw = text.encode("utf-8", "surrogateescape")
        except (AttributeError, UnicodeEncodeError) as error:
            raise StreamFormatError(f"{self.info.name} takes texts; found {text!r:.80}") from error
        longest = self.byte_capacity // 4
        if len(raw) > longest:
            raise StreamFormatError(
                f"{self.info.name}: a text of {len(raw)} bytes; the longest allowed has {longest}"
            )
        return raw

    def _offset(self, index: int) -> int:
        return int(self._items[index % self.capacity, 0])

    def _store(self, offset: int, raw: bytes) -> None:
        at = offset % self.byte_capacity
        end = min(at + len(raw), self.byte_capacity)
        self._bytes[at:end] = raw[: end - at]
        self._bytes[: len(raw) - (end - at)] = raw[end - at :]

    def _load(self, offset: int, length: int) -> str:
        at = offset % self.byte_capacity
        end = min(at + length, self.byte_capacity)
        raw = bytes(self._bytes[at:end]) + bytes(self._bytes[: length - (end - at)])
        return raw.decode("utf-8", "surrogateescape")


def plan_ring(
    info: StreamInfo, capacity: int, byte_capacity: int = BYTE_RING
) -> tuple[Geometry, int]:
    """Return the geometry of a ring and the bytes it needs in all."""
    is_text = info.dtype == "text"
    geometry = Geometry(capacity, byte_capacity if is_text else 0, len(info.to_json().encode()))
    behind = TextRing.size(capacity, byte_capacity) if is_text else SampleRing.size(info, capacity)
    return geometry, geometry.data_at + behind


def make_ring(
    buffer: memoryview,
    info: StreamInfo,
    geometry: Geometry,
    *,
    epoch: int,
    pid: int,
    first: int = 0,
    blocking: bool = False,
) -> Ring:
    """Lay a new ring out in `buffer`, which holds zeros."""
    write_info(buffer, info)
    Header(buffer).initialise(geometry, epoch, pid, first=first, blocking=blocking)
    return open_ring(buffer, info.name)


def open_ring(buffer: memoryview, name: str) -> Ring:
    """Use the ring that lies in `buffer`.

    Raises
    ------
    StreamError
        If there is none, or one of another version.
    """
    if len(buffer) < HEADER_BYTES:
        raise StreamFormatError(f"{name} is too small for a ring")
    header = Header(buffer)
    geometry = header.geometry(name)
    info = read_info(buffer, geometry)
    kind = TextRing if info.dtype == "text" else SampleRing
    return kind(buffer, header, info, geometry)
