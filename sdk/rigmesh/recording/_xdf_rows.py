"""Reading the samples of one stream from the chunks of an XDF file."""

from __future__ import annotations

import array
import bisect
import itertools
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording._xdf_chunks import Found, Source, length_at
from rigmesh.recording._xdf_headers import Header, stored_dtype
from rigmesh.recording._xdf_write import STAMPED

__all__ = ["Index", "TextStamps", "Texts", "ValueStamps", "Values"]

_LONGEST_COUNT = 9


class Index:
    """Where the samples of a stream are.

    Parameters
    ----------
    source : Source
        The file.
    header : Header
        The stream's.

    Attributes
    ----------
    n_rows : int
        Samples.
    """

    def __init__(self, source: Source, header: Header) -> None:
        self.source = source
        self.header = header
        self.n_rows = 0
        info = header.info
        self.stored = np.dtype(stored_dtype(info.dtype) if info.dtype != "text" else "u1")
        self.row_bytes = STAMPED.size + self.stored.itemsize * header.n_channels
        self._firsts = array.array("q")
        self._begins = array.array("q")
        self._ends = array.array("q")

    def add(self, found: Found) -> None:
        """Take a chunk of samples in.

        Raises
        ------
        RecordingError
            If there cannot be as many as it says.
        """
        head = self.source.read(found.begin, min(_LONGEST_COUNT, found.end - found.begin))
        try:
            n, size = length_at(head, 0)
        except (ValueError, IndexError, struct.error) as error:
            raise self.source.damaged(f"at byte {found.begin} is no count of samples") from error
        begin = found.begin + size
        is_text = self.header.info.dtype == "text"
        least = STAMPED.size + 2 * self.header.n_channels if is_text else self.row_bytes
        room = found.end - begin
        if n * least > room or (n * least < room and not is_text):
            raise self.source.damaged(f"at byte {found.begin} are not {n} samples")
        if n:
            self._firsts.append(self.n_rows)
            self._begins.append(begin)
            self._ends.append(found.end)
            self.n_rows += n

    def chunks(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Give the chunks that hold some rows: number, and from where to where in the chunk."""
        number = bisect.bisect_right(self._firsts, start) - 1
        while start < stop:
            first, end = self.rows_of(number)
            yield number, start - first, min(stop, end) - first
            start, number = end, number + 1

    def rows_of(self, number: int) -> tuple[int, int]:
        """Return the first row of a chunk, and the one behind its last."""
        last = number + 1 == len(self._firsts)
        return self._firsts[number], self.n_rows if last else self._firsts[number + 1]

    def place(self, number: int) -> tuple[int, int]:
        """Return where in the file the samples of a chunk begin and end."""
        return self._begins[number], self._ends[number]


class _Packed:
    """Samples that all take as many bytes."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._index.n_rows

    def _read(self, start: int, stop: int, part: slice) -> npt.NDArray[np.uint8]:
        """Return some bytes of each row."""
        index = self._index
        width = len(range(*part.indices(index.row_bytes)))
        rows = np.empty((max(0, stop - start), width), np.uint8)
        at = 0
        for number, begin, end in index.chunks(start, stop):
            packed = np.empty((end - begin, index.row_bytes), np.uint8)
            place = index.place(number)[0] + begin * index.row_bytes
            index.source.read_into(place, packed)
            if (packed[:, 0] != STAMPED.size - 1).any():
                raise index.source.damaged(f"samples without stamps behind byte {place}")
            rows[at : at + len(packed)] = packed[:, part]
            at += len(packed)
        return rows


class Values(_Packed):
    """The numbers of a stream, in their own dtype."""

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        """Return an array, shape (n_samples, ...)."""
        start, stop, step = wanted.indices(len(self))
        info, stored = self._index.header.info, self._index.stored
        raw = self._read(start, stop, slice(STAMPED.size, None))
        values = raw.reshape(-1).view(stored.newbyteorder("<"))
        rows = values.reshape(len(raw), *info.sample_shape)
        return rows.astype(np.dtype(info.dtype).newbyteorder("<"), copy=False)[::step]


class ValueStamps(_Packed):
    """The raw stamps of a stream of numbers."""

    def __getitem__(self, wanted: slice) -> npt.NDArray[np.float64]:
        """Return seconds, shape (n_samples,)."""
        start, stop, step = wanted.indices(len(self))
        raw = self._read(start, stop, slice(1, STAMPED.size))
        return raw.reshape(-1).view("<f8")[::step]


class Texts:
    """The texts of a stream.

    Parameters
    ----------
    index : Index
        Where they are.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._last: tuple[int, list[float], list[str]] = (-1, [], [])

    def __len__(self) -> int:
        """Return the number of texts."""
        return self._index.n_rows

    def __getitem__(self, wanted: slice) -> list[str]:
        """Return texts; bytes that are no UTF-8 are lone surrogates in them."""
        start, stop, step = wanted.indices(len(self))
        found = self._index.chunks(start, stop)
        texts = (self._chunk(number)[1][begin:end] for number, begin, end in found)
        return list(itertools.chain.from_iterable(texts))[::step]

    def stamps(self, wanted: slice) -> npt.NDArray[np.float64]:
        """Return raw stamps in seconds, shape (n_samples,)."""
        start, stop, step = wanted.indices(len(self))
        found = self._index.chunks(start, stop)
        stamps = (self._chunk(number)[0][begin:end] for number, begin, end in found)
        return np.array(list(itertools.chain.from_iterable(stamps)), np.float64)[::step]

    def _chunk(self, number: int) -> tuple[list[float], list[str]]:
        """Return the stamps and texts of a chunk; the last one asked for is at hand."""
        if self._last[0] != number:
            self._last = (number, *self._parse(number))
        return self._last[1], self._last[2]

    def _parse(self, number: int) -> tuple[list[float], list[str]]:
        index = self._index
        begin, end = index.place(number)
        first, stop = index.rows_of(number)
        content = index.source.read(begin, end - begin)
        n_channels, is_split = index.header.n_channels, index.header.is_split
        stamps, texts, at = [], [], 0
        try:
            for _ in range(stop - first):
                size, stamp = STAMPED.unpack_from(content, at)
                at += STAMPED.size
                parts = []
                for _ in range(n_channels):
                    length, at = length_at(content, at)
                    raw, at = content[at : at + length], at + length
                    parts.append(raw.decode("utf-8", "surrogateescape"))
                if size != STAMPED.size - 1:
                    raise ValueError("a text without a stamp")
                stamps.append(stamp)
                texts.append(json.dumps(parts, ensure_ascii=False) if is_split else parts[0])
            if at != len(content):
                raise ValueError("its length is another")
        except (ValueError, IndexError, struct.error) as error:
            raise index.source.damaged(f"texts behind byte {begin}: {error}") from error
        return stamps, texts


class TextStamps:
    """The raw stamps of a stream of texts."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._texts)

    def __getitem__(self, wanted: slice) -> npt.NDArray[np.float64]:
        """Return seconds, shape (n_samples,)."""
        return self._texts.stamps(wanted)
