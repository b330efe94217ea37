"""Records of any length in an append-only file, each with its length and checksum.

A record is ``magic, length (u32), CRC-32 (u32), payload``, little-endian. A record that was cut
off ends the file; one that was damaged is passed over, because the magic finds the next.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["Records", "frame"]

MAGIC = b"rmr1"
_HEAD = struct.Struct("<4sII")
_LONGEST = 2**28
_BLOCK = 2**20


def frame(payload: bytes) -> bytes:
    """Return a record of a payload."""
    return _HEAD.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


class Records:
    """The payloads of the records in a file.

    Parameters
    ----------
    path : Path
        A file that is missing holds no records.
    limit : int or None
        Give no more than so many.

    Attributes
    ----------
    end : int
        Where the last whole record that was given ends, in bytes.
    damaged : int
        How many places were passed over that hold no record, with a record behind them.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.end = 0
        self.damaged = 0
        self._path = path
        self._limit = limit

    def __iter__(self) -> Iterator[bytes]:
        if not self._path.exists():
            return
        given = 0
        with self._path.open("rb") as file:
            while self._limit is None or given < self._limit:
                payload = _read(file)
                if payload is None:
                    following = _find(file, self.end + 1)
                    if following is None:
                        return
                    self.damaged += 1
                    file.seek(following)
                    continue
                self.end = file.tell()
                given += 1
                yield payload


def _read(file: BinaryIO) -> bytes | None:
    """Return the payload of the record that begins here; None if there is no whole one."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    magic, length, checksum = _HEAD.unpack(head)
    if magic != MAGIC or length > _LONGEST:
        return None
    payload = file.read(length)
    return payload if len(payload) == length and zlib.crc32(payload) == checksum else None


def _find(file: BinaryIO, start: int) -> int | None:
    """Return where the next whole record begins."""
    while True:
        file.seek(start)
        block = file.read(_BLOCK)
        at = block.find(MAGIC)
        while at >= 0:
            file.seek(start + at)
            if _read(file) is not None:
                return start + at
            at = block.find(MAGIC, at + 1)
        if len(block) < _BLOCK:
            return None
        start += _BLOCK - len(MAGIC) + 1
