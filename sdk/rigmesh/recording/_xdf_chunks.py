"""The chunks that an XDF file is made of, as XDF 1.0 defines them.

After the magic there are only chunks: ``length, tag (u16), content``, little-endian. A length is a
byte that says how many bytes it has (1, 4 or 8) and as many bytes; it counts tag and content. The
content of most begins with the number of its stream (u32).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError

__all__ = [
    "BOUNDARY",
    "MAGIC",
    "Found",
    "Source",
    "Tag",
    "chunk",
    "chunk_head",
    "length_at",
    "varlen",
]

MAGIC = b"XDF:"
BOUNDARY = bytes.fromhex("43A546DCCBF5410FB30ED5467383CBE4")
"""What a reader looks for behind damage."""

_LENGTHS = {1: struct.Struct("<B"), 4: struct.Struct("<I"), 8: struct.Struct("<Q")}
_TAG = struct.Struct("<H")
_STREAM = struct.Struct("<I")
_LONGEST_HEAD = 1 + 8 + 2 + 4 + 1 + 8


class Tag(IntEnum):
    """What a chunk holds."""

    FILE_HEADER = 1
    STREAM_HEADER = 2
    SAMPLES = 3
    CLOCK_OFFSET = 4
    BOUNDARY = 5
    STREAM_FOOTER = 6


_WITHOUT_STREAM = (Tag.FILE_HEADER, Tag.BOUNDARY)


def varlen(value: int) -> bytes:
    """Return a number as XDF writes it: its size in bytes, then itself."""
    size = 1 if value < 2**8 else 4 if value < 2**32 else 8
    return bytes([size]) + _LENGTHS[size].pack(value)


def chunk_head(tag: Tag, n_bytes: int, stream: int | None = None) -> bytes:
    """Return what stands before the content of a chunk; the stream's number counts as head."""
    number = b"" if stream is None else _STREAM.pack(stream)
    return varlen(_TAG.size + len(number) + n_bytes) + _TAG.pack(tag) + number


def chunk(tag: Tag, content: bytes, stream: int | None = None) -> bytes:
    """Return a chunk."""
    return chunk_head(tag, len(content), stream) + content


def length_at(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return the number that :func:`varlen` wrote, and where it ends.

    Raises
    ------
    ValueError, IndexError, struct.error
        If there is none.
    """
    size = content[at]
    if size not in _LENGTHS:
        raise ValueError(f"a length of {size} bytes")
    return _LENGTHS[size].unpack_from(content, at + 1)[0], at + 1 + size


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk in a file: its tag, its stream if it has one, and where its content is."""

    tag: int
    stream: int
    begin: int
    end: int


class Source:
    """An XDF file that is read at places.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        self._fd = self._file.fileno()
        self._size = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def damaged(self, why: str) -> RecordingError:
        """Return the error for a file that cannot be what was written."""
        return RecordingError(
            f"{self.path} is damaged or cut off ({why}); pyxdf.load_xdf reads what can still be "
            "read"
        )

    def read(self, at: int, n_bytes: int) -> bytes:
        """Return bytes of the file."""
        content = os.pread(self._fd, n_bytes, at)
        if len(content) < n_bytes:
            raise self.damaged(f"it ends at byte {at + len(content)}")
        return content

    def read_into(self, at: int, into: npt.NDArray[np.uint8]) -> None:
        """Fill an array with bytes of the file."""
        room = into.reshape(-1).data
        while room:
            n = os.preadv(self._fd, [room], at)
            if not n:
                raise self.damaged(f"it ends at byte {at}")
            room, at = room[n:], at + n

    def chunks(self) -> Iterator[Found]:
        """Give the chunks of the file, of which only the heads are read.

        Raises
        ------
        RecordingError
            Where none begins, or one is not whole.
        """
        at = len(MAGIC)
        while at < self._size:
            head = os.pread(self._fd, _LONGEST_HEAD, at)
            try:
                length, begin = length_at(head, 0)
                tag = _TAG.unpack_from(head, begin)[0]
                end = at + begin + length
                begin += _TAG.size
                stream = 0
                if tag not in _WITHOUT_STREAM:
                    stream = _STREAM.unpack_from(head, begin)[0]
                    begin += _STREAM.size
            except (ValueError, IndexError, struct.error) as error:
                raise self.damaged(f"at byte {at} there is no chunk") from error
            if not at + begin <= end <= self._size:
                raise self.damaged(f"the chunk at byte {at} is not whole")
            yield Found(tag, stream, at + begin, end)
            at = end
