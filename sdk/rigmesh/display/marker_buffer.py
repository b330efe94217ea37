"""The markers of the last seconds."""

from __future__ import annotations

import threading
from collections import deque

from rigmesh.streams import Chunk, StreamInfo

__all__ = ["MarkerBuffer"]


class MarkerBuffer:
    """Keeps the newest markers of a stream, and when they were.

    Parameters
    ----------
    n : int
        How many at most.

    Attributes
    ----------
    n_total : int
        How many came.
    n_lost : int
        How many are missing.
    """

    def __init__(self, n: int = 10_000) -> None:
        self.info: StreamInfo | None = None
        self.n_total = self.n_lost = 0
        self._kept: deque[tuple[float, str]] = deque(maxlen=n)
        self._lock = threading.Lock()

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        self.info = info

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk's markers; numbers become texts."""
        pairs = zip(chunk.timestamps.tolist(), map(str, chunk.data), strict=True)
        with self._lock:
            self._kept.extend(pairs)
            self.n_total += len(chunk)
            self.n_lost += sum(gap.count for gap in chunk.gaps)

    def since(self, time: float) -> list[tuple[float, str]]:
        """Return the markers from a time (local clock, in seconds) on, in the order they came."""
        with self._lock:
            return [pair for pair in self._kept if pair[0] >= time]
