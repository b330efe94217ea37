"""The files inside of a video file: attachments of Matroska; of MP4 a ZIP archive in a box.

Players pass over both. ``ffmpeg -dump_attachment:t "" -i FILE.mkv`` or mkvextract take the files
out of Matroska. MP4 has no attachments, but boxes of kinds that an UUID names, which may stand at
the end of a file; as the archive is the last thing in ours, ``unzip FILE.mp4`` takes the files out.
"""

from __future__ import annotations

import io
import os
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from rigmesh.errors import RecordingError

__all__ = ["EMPTY_MP4", "Inside", "box"]

_BOX = uuid.UUID("3c8c7ef2-6a7e-4f0b-9d5c-7269676d6573").bytes

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
_ATTACHMENTS = 0x1941A469
_ATTACHED_FILE = 0x61A7
_FILE_NAME = 0x466E
_FILE_DATA = 0x465C
_CRC32 = 0xBF
_BLOCK = 2**20

EMPTY_MP4 = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 0x200, b"isom", b"iso2")
"""An MP4 file without anything in it, which no muxer makes."""


class _Found(Protocol):
    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


class Inside:
    """The files inside of a video file; of any other file there are none.

    Parameters
    ----------
    path : Path
        The video.

    Attributes
    ----------
    container : str
        ``matroska``, ``mp4`` or empty, by what the file begins with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        begin = self._file.read(8)
        self.container = ""
        self._found: _Found | None = None
        if begin.startswith(_EBML):
            self.container, self._found = "matroska", _Attachments(self._file)
        elif begin[4:] == b"ftyp":
            self.container, self._found = "mp4", _archive(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        """Whether a file is there."""
        return self._found is not None and name in self._found.names()

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        RecordingError
            If it is not there, or not whole.
        """
        try:
            if self._found is None:
                raise KeyError(name)
            return self._found.read(name)
        # An archive that is damaged may claim anything, such as to be encrypted.
        except (
            EOFError, LookupError, NotImplementedError, OSError, OverflowError, RuntimeError,
            ValueError, zipfile.BadZipFile,
        ) as error:  # fmt: skip
            raise self.damaged(f"{name} in it: {error}") from error

    def damaged(self, why: str) -> RecordingError:
        """Return the error for a file that cannot be what was written."""
        return RecordingError(f"{self.path} is damaged or cut off ({why})")

    def check_whole(self) -> None:
        """See that the file goes on to where it said that it would, and what is inside fits.

        Raises
        ------
        RecordingError
            If it was cut off, or the checksum of the files inside does not fit.
        """
        if isinstance(self._found, _Attachments):
            if not self._found.is_whole:
                raise self.damaged("it ends too early")
            if not self._found.is_undamaged():
                raise self.damaged("the checksum of its attachments does not fit")


def box(files: Mapping[str, bytes]) -> bytes:
    """Return what to append to an MP4 file to put files into it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as into:
        for name, content in files.items():
            into.writestr(zipfile.ZipInfo(name), content)
    content = archive.getvalue()
    # Of 32 bits is the short length, and 1 says that one of 64 follows.
    head = struct.pack(">I4sQ", 1, b"uuid", 8 + 8 + len(_BOX) + len(content))
    return head + _BOX + content


class _Attachments:
    """Those of a Matroska file: in front of the pictures, so that finding them reads little."""

    def __init__(self, file: BinaryIO) -> None:
        self._fd = file.fileno()
        self._places: dict[str, tuple[int, int]] = {}
        self._checked: tuple[int, int, int] | None = None
        size = os.fstat(self._fd).st_size
        self.is_whole = False
        for found, begin, end in self._elements(0, size):
            if found == _SEGMENT:
                self.is_whole = end <= size
                self._look_into(begin, min(end, size))

    def names(self) -> list[str]:
        return list(self._places)

    def read(self, name: str) -> bytes:
        begin, end = self._places[name]
        content = os.pread(self._fd, end - begin, begin)
        if len(content) < end - begin:
            raise EOFError(f"ends after {len(content)} of {end - begin} bytes")
        return content

    def is_undamaged(self) -> bool:
        """Whether the checksum fits, if there is one; all attachments are read."""
        if self._checked is None:
            return True
        crc, at, end = self._checked
        found = 0
        while at < end and (content := os.pread(self._fd, min(_BLOCK, end - at), at)):
            found, at = zlib.crc32(content, found), at + len(content)
        return at == end and found == crc

    def _look_into(self, begin: int, end: int) -> None:
        for found, begin_found, end_found in self._elements(begin, end):
            if found == _ATTACHMENTS:
                for each, begin_each, end_each in self._elements(begin_found, end_found):
                    if each == _ATTACHED_FILE:
                        self._add(begin_each, end_each)
                    elif each == _CRC32:
                        crc = os.pread(self._fd, end_each - begin_each, begin_each)
                        # Of all that follows it in the same element.
                        self._checked = int.from_bytes(crc, "little"), end_each, end_found
                return

    def _add(self, begin: int, end: int) -> None:
        places = {found: (first, last) for found, first, last in self._elements(begin, end)}
        if _FILE_NAME in places and _FILE_DATA in places:
            first, last = places[_FILE_NAME]
            name = os.pread(self._fd, min(last - first, 4096), first).decode("utf-8", "replace")
            self._places[name] = places[_FILE_DATA]

    def _elements(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Give id, begin and end of what is in the elements of EBML; nothing behind damage."""
        while at < end:
            head = os.pread(self._fd, 12, at)
            n_id = 9 - head[0].bit_length() if head else 9
            if n_id > 4 or len(head) <= n_id:
                return
            n_size = 9 - head[n_id].bit_length()
            if n_size > 8 or len(head) < n_id + n_size:
                return
            number = int.from_bytes(head[n_id : n_id + n_size])
            size = number & ~(1 << 7 * n_size)
            begin = at + n_id + n_size
            yield int.from_bytes(head[:n_id]), begin, begin + size
            at = begin + size


class _Archive:
    """That of an MP4 file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> list[str]:
        return self._archive.namelist()

    def read(self, name: str) -> bytes:
        return self._archive.read(name)


def _archive(file: BinaryIO) -> _Archive | None:
    fd = file.fileno()
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        head = os.pread(fd, 32, at)
        if len(head) < 8:
            return None
        size, kind = struct.unpack_from(">I4s", head)
        if size == 1 and len(head) >= 16:
            (size,) = struct.unpack_from(">Q", head, 8)
            if kind == b"uuid" and head[16:] == _BOX and at + size == end:
                try:
                    return _Archive(zipfile.ZipFile(file))
                except (NotImplementedError, ValueError, zipfile.BadZipFile):
                    return None
        if size < 8:
            return None
        at += size
    return None
