"""Chunks of HDF5 datasets, encoded and decoded by threads: the library itself uses one.

What is written is shuffle and deflate, which every HDF5 library reads. The library's own filters
make 50 MB/s of it, as much as one probe gives.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording._hdf5_deflate import Shrinking, decode, encode, shrinking

__all__ = ["ChunkedRows", "ChunkedWriter", "chunk_shape", "compression_of", "threads"]

Array = npt.NDArray[Any]

COMPRESSIONS = ("auto", "none", "deflate")

_CHUNK_BYTES = 2**19
_CHUNK_CHANNELS = 64
_BAND_BYTES = 2**24
_WAITING_BYTES = 2**24
_LEAST_GAIN = 0.1
_TRIED_EVERY = 8


def compression_of(asked: object) -> str:
    """Return ``auto``, ``none`` or ``deflate``; earlier recorders said True or False.

    Raises
    ------
    UnknownName
        If it is something else.
    """
    if isinstance(asked, bool):
        return "deflate" if asked else "none"
    if asked not in COMPRESSIONS:
        raise UnknownName.among("compression", str(asked), COMPRESSIONS)
    return str(asked)


def threads() -> ThreadPoolExecutor:
    """Return the threads for encoding and decoding."""
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), "rigmesh-hdf5")


def chunk_shape(
    n: int, dtype: np.dtype[Any], sample_shape: tuple[int, ...], *, is_divided: bool
) -> tuple[int, ...]:
    """Return the shape of the chunks of `n` rows.

    Half a megabyte fits into the cache of every library. A chunk has a share of the channels, so
    that one channel is read without all others.

    Parameters
    ----------
    n : int
        Number of rows.
    dtype : dtype
        Of one value.
    sample_shape : tuple of int
        Of one row.
    is_divided : bool
        Whether the last axis is channels, not a part of a picture.
    """
    if not sample_shape:
        return (min(n, _CHUNK_BYTES // dtype.itemsize),)
    *outer, n_channels = sample_shape
    value_bytes = dtype.itemsize * math.prod(outer)
    n_columns = min(n_channels, _CHUNK_CHANNELS) if is_divided else n_channels
    n_rows = _power_of_two(_CHUNK_BYTES // (value_bytes * n_columns))
    # Of a row of chunks all are in memory at once.
    n_rows = min(n_rows, _power_of_two(_BAND_BYTES // (value_bytes * n_channels)))
    if is_divided:
        n_columns = max(n_columns, _CHUNK_BYTES // (value_bytes * n_rows))
        n_columns = math.ceil(n_channels / math.ceil(n_channels / n_columns))
    return (min(n, n_rows), *outer, n_columns)


class ChunkedWriter:
    """A new dataset, written in rows from first to last.

    Parameters
    ----------
    group, name : h5py.Group, str
        Where it is made, once there are enough rows to see whether compression pays.
    shape : tuple of int
        Of all of it; not empty.
    dtype : dtype
        Of one value.
    chunks : tuple of int
        From :func:`chunk_shape`.
    compression : str
        ``auto``: whether the first chunks get smaller by a tenth decides.
    pool : ThreadPoolExecutor
        Encodes.
    """

    def __init__(
        self,
        group: Any,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
        compression: str,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._where = group, name
        self._shape, self._dtype, self._chunks = shape, dtype, chunks
        self._compression = compression
        self._pool = pool
        self._dataset: Any = None
        self._rest: list[Array] = []
        self._n_rest = 0
        self._row = 0
        self._waiting: deque[tuple[tuple[int, ...], Future[Any]]] = deque()
        self._shrinking: dict[int, Shrinking] = {}
        self._n_bands = 0

    def append(self, rows: Array) -> None:
        """Write the rows that follow; they must not change any more."""
        n_rows = self._chunks[0]
        if self._rest:
            missing = n_rows - self._n_rest
            self._keep(rows[:missing])
            rows = rows[missing:]
            if self._n_rest < n_rows:
                return
            self._flush()
        for start in range(0, len(rows) - n_rows + 1, n_rows):
            self._write(rows[start : start + n_rows])
        whole = len(rows) // n_rows * n_rows
        if whole < len(rows):
            self._keep(rows[whole:])

    def finish(self) -> None:
        """Return once everything is written.

        Raises
        ------
        RecordingError
            If there were too few rows, or too many.
        """
        if self._rest:
            self._flush()
        self._drain(0)
        if self._row != self._shape[0]:
            raise RecordingError(
                f"{self._where[1]}: {self._row} rows were read where {self._shape[0]} should be"
            )

    def _keep(self, rows: Array) -> None:
        self._rest.append(rows)
        self._n_rest += len(rows)

    def _flush(self) -> None:
        rest, self._rest, self._n_rest = self._rest, [], 0
        self._write(rest[0] if len(rest) == 1 else np.concatenate(rest))

    def _write(self, band: Array) -> None:
        """Write rows that fill one row of chunks, or the last of them."""
        if self._dataset is None:
            self._create(band)
        middle = (0,) * len(self._shape[1:-1])
        for column in self._columns():
            part = self._part(band, column)
            if self._is_encoded and self._n_bands % _TRIED_EVERY == 0:
                self._shrinking[column] = shrinking(part)
            offset = (self._row, *middle, column)[: len(self._shape)]
            job = self._pool.submit(self._chunk, part, self._shrinking.get(column))
            self._waiting.append((offset, job))
        self._row += len(band)
        self._n_bands += 1
        self._drain(_WAITING_BYTES // (math.prod(self._chunks) * self._dtype.itemsize))

    def _create(self, band: Array) -> None:
        self._is_encoded = self._compression == "deflate" or (
            self._compression == "auto" and self._pays(band)
        )
        filters: dict[str, Any] = {}
        if self._is_encoded:
            filters = {
                "shuffle": self._dtype.itemsize > 1, "compression": "gzip", "compression_opts": 1
            }  # fmt: skip
        group, name = self._where
        self._dataset = group.create_dataset(
            name, self._shape, self._dtype, chunks=self._chunks, **filters
        )

    def _pays(self, band: Array) -> bool:
        columns = self._columns()
        parts = [self._part(band, column) for column in columns[:: len(columns) // 4 or 1]]
        tried = [self._chunk(part, shrinking(part)) for part in parts]
        size = math.prod((len(band), *self._chunks[1:])) * self._dtype.itemsize
        return sum(map(len, tried)) < (1 - _LEAST_GAIN) * size * len(tried)

    def _columns(self) -> range:
        """Return where chunks begin along the last axis."""
        if len(self._shape) == 1:
            return range(1)
        return range(0, self._shape[-1], self._chunks[-1])

    def _part(self, band: Array, column: int) -> Array:
        part = band[..., column : column + self._chunks[-1]] if band.ndim > 1 else band
        return part.astype(self._dtype, copy=False)

    def _chunk(self, part: Array, shrinks: Shrinking | None) -> Any:
        """Return a whole chunk as bytes; what lies behind the rows or the columns is zero."""
        if part.shape == self._chunks:
            whole = _gathered(part)
        else:
            whole = np.zeros(self._chunks, self._dtype)
            whole[tuple(map(slice, part.shape))] = part
        return whole if shrinks is None else encode(whole, shrinks)

    def _drain(self, n_waiting: int) -> None:
        while len(self._waiting) > n_waiting:
            offset, job = self._waiting.popleft()
            self._dataset.id.write_direct_chunk(offset, job.result())


class ChunkedRows:
    """Rows of a dataset as :class:`ChunkedWriter` makes them.

    Its first and its last chunks are read by the HDF5 library, so that a file which that would
    not read as we do is noticed.

    Parameters
    ----------
    dataset : h5py.Dataset
        In chunks, with no filters but shuffle and deflate.
    pool : ThreadPoolExecutor
        Decodes.
    """

    def __init__(self, dataset: Any, pool: ThreadPoolExecutor) -> None:
        self._dataset = dataset
        self._pool = pool
        self._chunks = dataset.chunks
        self._is_encoded, self._is_shuffled = dataset.compression is not None, dataset.shuffle
        self._n_bands = math.ceil(dataset.shape[0] / dataset.chunks[0])
        self._kept: dict[tuple[int, ...], Array] = {}
        self.dtype, self.shape = dataset.dtype, dataset.shape

    @staticmethod
    def can_read(dataset: Any) -> bool:
        """Whether a dataset has the filters that are known here."""
        if not dataset.chunks or (dataset.shuffle and dataset.compression is None):
            return False
        n_filters = (dataset.compression == "gzip") + bool(dataset.shuffle)
        return bool(dataset.id.get_create_plist().get_nfilters() == n_filters)

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.shape[0])

    def __getitem__(self, wanted: slice) -> Array:
        """Read rows.

        Raises
        ------
        RecordingError
            If they are damaged.
        """
        start, stop, step = wanted.indices(len(self))
        rows = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        if not len(rows):
            return rows
        n = self._chunks[0]
        if not self._is_encoded and len(rows) < n:
            rows[...] = self._dataset[start:stop]  # which reads no more than that
            return rows[::step]
        first, last = start // n, (stop - 1) // n
        inner = range(max(first, 1), min(last, self._n_bands - 2) + 1)
        chunks = [offset for band in inner for offset in self._offsets(band * n)]
        decoded = self._pool.map(lambda offset: self._fill(rows, start, offset), chunks)
        for band in {first, last} & {0, self._n_bands - 1}:
            at = slice(max(start, band * n), min(stop, (band + 1) * n))
            rows[at.start - start : at.stop - start] = self._dataset[at]
        # Who reads on begins in the middle of the last chunks.
        found = dict(zip(chunks, decoded, strict=True))
        self._kept = {offset: found[offset] for offset in chunks if offset[0] + n > stop}
        return rows[::step]

    def _offsets(self, row: int) -> Iterator[tuple[int, ...]]:
        inner = zip(self.shape[1:], self._chunks[1:], strict=True)
        return itertools.product((row,), *(range(0, size, step) for size, step in inner))

    def _fill(self, rows: Array, start: int, offset: tuple[int, ...]) -> Array:
        """Copy what is wanted of a chunk; return the chunk."""
        chunk = self._kept.get(offset)
        if chunk is None:
            chunk = self._decoded(offset)
        low = max(start, offset[0])
        high = min(start + len(rows), offset[0] + len(chunk))
        ends = zip(offset[1:], self._chunks[1:], self.shape[1:], strict=True)
        inner = tuple(slice(at, min(at + step, size)) for at, step, size in ends)
        into = rows[(slice(low - start, high - start), *inner)]
        into[...] = chunk[(slice(low - offset[0], high - offset[0]), *map(slice, into.shape[1:]))]
        return chunk

    def _decoded(self, offset: tuple[int, ...]) -> Array:
        try:
            skipped, raw = self._dataset.id.read_direct_chunk(offset)
        except (OSError, RuntimeError, MemoryError):  # nobody has written it
            return self._read(offset)
        if skipped:  # filters that the library left out because they gained nothing
            return self._read(offset)
        if not self._is_encoded:
            same: Array = np.frombuffer(raw, self.dtype).reshape(self._chunks)
            return same
        try:
            values = decode(raw, self.dtype, is_shuffled=self._is_shuffled)
        except ValueError as error:
            raise RecordingError(
                f"{self._dataset.name}: rows from {offset[0]} on are damaged: {error}"
            ) from error
        return values.reshape(self._chunks)

    def _read(self, offset: tuple[int, ...]) -> Array:
        """Read a chunk by the library's filters."""
        chunk = np.zeros(self._chunks, self.dtype)
        ends = zip(offset, self._chunks, self.shape, strict=True)
        part = self._dataset[tuple(slice(at, min(at + step, size)) for at, step, size in ends)]
        chunk[tuple(map(slice, part.shape))] = part
        return chunk


def _gathered(part: Array) -> Array:
    if part.flags.c_contiguous or part.strides[-1] != part.itemsize:
        return np.ascontiguousarray(part)
    # Whole runs of channels at once, which is twice as fast.
    runs = np.ascontiguousarray(part.view(f"V{part.shape[-1] * part.itemsize}"))
    whole: Array = runs.view(part.dtype)
    return whole


def _power_of_two(most: int) -> int:
    return 1 << max(0, most.bit_length() - 1)
