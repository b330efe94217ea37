"""Seconds of a stream that runs, kept as if they had been recorded."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording import EpochRows, RecordedStream, RowGap, Rows
from rigmesh.streams import Chunk, StreamInfo

__all__ = ["Collector"]


class Collector:
    """Keeps all chunks of a stream; those of its last format."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._info: StreamInfo | None = None
        self._epoch, self._n = -1, 0
        self._forget()

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        with self._lock:
            if self._info is None or not self._info.same_format(info):
                self._forget()
            self._info = info

    def take(self, chunk: Chunk) -> None:
        """Keep a copy of a chunk."""
        own = chunk.copy()
        with self._lock:
            if not self._chunks or own.epoch != self._epoch:
                self._begins.append((own.epoch, self._n))
                self._epoch = own.epoch
            self._gaps += [RowGap(self._n, gap) for gap in own.gaps]
            self._chunks.append(own)
            self._n += len(own)

    def stream(self) -> RecordedStream | None:
        """Return what was kept, or None if nothing is known of the stream."""
        with self._lock:
            info = self._info
            if info is None:
                return None
            stamps = np.concatenate([np.empty(0), *(chunk.timestamps for chunk in self._chunks)])
            ends = [first for _, first in self._begins[1:]] + [self._n]
            epochs = tuple(
                EpochRows(epoch, first, end - first, 0, None, 0)
                for (epoch, first), end in zip(self._begins, ends, strict=True)
            )
            gaps = tuple(self._gaps)
            return RecordedStream(
                info.name, info, 1, self._data(info), stamps, stamps, epochs, gaps
            )

    def _data(self, info: StreamInfo) -> Rows:
        if info.dtype == "text":
            return [text for chunk in self._chunks for text in chunk.data]
        empty: npt.NDArray[Any] = np.empty((0, *info.sample_shape), info.dtype)
        return np.concatenate([empty, *(chunk.data for chunk in self._chunks)])

    def _forget(self) -> None:
        self._chunks: list[Chunk] = []
        self._begins: list[tuple[int, int]] = []
        self._gaps: list[RowGap] = []
        self._epoch, self._n = -1, 0
