"""Datasets that pynwb makes without content, and that get it block by block afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from pynwb import H5DataIO

from rigmesh.recording._hdf5_chunks import ChunkedWriter, chunk_shape
from rigmesh.recording.recorded import Rows, blocks

__all__ = ["Columns"]

Stamps = npt.NDArray[np.float64]

_STAMP = np.dtype("<f8")
_TEXTS_IN_CHUNK = 1024


class Columns:
    """Makes such datasets; :meth:`fill` has them written, once pynwb has written the file.

    Parameters
    ----------
    compression : str
        Of numbers; for :class:`ChunkedWriter`.
    pool : ThreadPoolExecutor
        Encodes.
    """

    def __init__(self, compression: str, pool: ThreadPoolExecutor) -> None:
        self._compression = compression
        self._pool = pool
        self._fills: list[Callable[[], None]] = []

    def later(self, fill: Callable[[], None]) -> None:
        """Call a function from :meth:`fill`."""
        self._fills.append(fill)

    def fill(self) -> None:
        """Write the content."""
        for fill in self._fills:
            fill()

    def numbers(self, n: int, dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> Any:
        """Return a dataset of numbers; what is filled by :meth:`writing`."""
        chunks = chunk_shape(n, dtype, shape, is_divided=len(shape) == 1)
        return H5DataIO(shape=(n, *shape), dtype=dtype, chunks=chunks)

    def texts(self, n: int) -> Any:
        """Return a dataset of texts; filled by its ``dataset``."""
        chunks = (min(n, _TEXTS_IN_CHUNK),)
        return H5DataIO(shape=(n,), dtype=h5py.string_dtype("utf-8"), chunks=chunks)

    def stamps(self, rows: Rows, convert: Callable[[Stamps], Stamps] | None = None) -> Any:
        """Return a dataset of stamps, which is filled with `rows`."""
        n = len(rows)
        column = self.numbers(n, _STAMP)

        def fill() -> None:
            with self.writing(column) as writer:
                for block in blocks(n, 8):
                    stamps = rows[block]
                    writer.append(stamps if convert is None else convert(stamps))

        self.later(fill)
        return column

    @contextlib.contextmanager
    def writing(self, column: Any) -> Iterator[ChunkedWriter]:
        """Return what writes a dataset of numbers, in the place of the empty one of pynwb."""
        empty = column.dataset
        group, name = empty.parent, empty.name.rpartition("/")[2]
        attributes = dict(empty.attrs)
        shape, dtype, chunks = empty.shape, empty.dtype, empty.chunks
        del group[name]
        writer = ChunkedWriter(group, name, shape, dtype, chunks, self._compression, self._pool)
        yield writer
        writer.finish()
        group[name].attrs.update(attributes)
