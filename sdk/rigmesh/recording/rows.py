"""Rows of samples in files, read when they are asked for."""

from __future__ import annotations

import array
import bisect
import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording.framing import Records

__all__ = ["STAMP", "FlatRows", "TextRows"]

STAMP = struct.Struct("<d")
"""In front of each text: its raw stamp, in seconds."""


class FlatRows:
    """Samples of one shape that follow each other in flat little-endian files.

    Parameters
    ----------
    files : sequence of (Path, int)
        Each with the number of its rows.
    dtype : str
        Of one value.
    sample_shape : tuple of int
        Of one row.

    Attributes
    ----------
    files : list of (Path, int)
        As given.
    row_bytes : int
        Of one row.
    """

    def __init__(
        self, files: Sequence[tuple[Path, int]], dtype: str, sample_shape: tuple[int, ...]
    ) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.shape = (sum(n for _, n in files), *sample_shape)
        self.files = list(files)
        self._starts = [0, *itertools.accumulate(n for _, n in files)]
        self.row_bytes = self.dtype.itemsize * int(np.prod(sample_shape, dtype=int))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        """Read rows."""
        start, stop, step = wanted.indices(len(self))
        rows = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        number = bisect.bisect_right(self._starts, start) - 1
        at = start
        while at < stop:
            end = min(stop, self._starts[number + 1])
            if end > at:
                self._read(number, at - self._starts[number], rows[at - start : end - start])
            at, number = end, number + 1
        return rows[::step]

    def _read(self, number: int, first: int, into: npt.NDArray[Any]) -> None:
        path, _ = self.files[number]
        with path.open("rb", buffering=0) as file:
            file.seek(first * self.row_bytes)
            room = into.reshape(-1).view(np.uint8).data
            while room:
                n = file.readinto(room)
                if not n:
                    raise RecordingError(f"{path} ends before its row {first + len(into)}")
                room = room[n:]


class TextRows:
    """Texts and their stamps in files of records.

    Parameters
    ----------
    files : sequence of (Path, int)
        Each with the number of its rows.

    Attributes
    ----------
    stamps : ndarray, shape (n_samples,)
        Raw stamps, in seconds.
    """

    def __init__(self, files: Sequence[tuple[Path, int]]) -> None:
        self._files = [path for path, _ in files]
        self._places: list[tuple[int, int, int]] = []
        stamps = array.array("d")
        for number, (path, n) in enumerate(files):
            records = Records(path, n)
            for payload in records:
                stamps.append(STAMP.unpack_from(payload)[0])
                length = len(payload) - STAMP.size
                self._places.append((number, records.end - length, length))
        self.stamps = np.array(stamps, np.float64)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._places)

    def __getitem__(self, wanted: slice) -> list[str]:
        """Return texts; bytes that are no UTF-8 are lone surrogates in them."""
        texts = []
        for number, places in itertools.groupby(self._places[wanted], lambda place: place[0]):
            with self._files[number].open("rb") as file:
                for _, at, length in places:
                    file.seek(at)
                    texts.append(file.read(length).decode("utf-8", "surrogateescape"))
        return texts
