"""The streams that somebody looks at: one reader each, shared by all who look."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from rigmesh.display import Feed, FrameBuffer, MarkerBuffer, SignalBuffer, graph_reader
from rigmesh.streams import StreamInfo

__all__ = ["Feeds", "Looked"]

_SHORTEST = 20.0
_MAX_BYTES = 128 * 2**20
_MOST_MARKERS = 20_000
_HISTORY_VALUES = 2e6
"""Values per second up to which the ring's past is read, too."""

Buffer = SignalBuffer | MarkerBuffer | FrameBuffer


@dataclass(slots=True)
class Looked:
    """A stream that is read.

    Parameters
    ----------
    where, name, kind : str
        The daemon's socket or address, the stream, and ``signal``, ``markers`` or ``frames``.
    buffer : SignalBuffer, MarkerBuffer or FrameBuffer
        What is kept of it.
    feed : Feed
        What reads it.
    """

    where: str
    name: str
    kind: str
    buffer: Buffer
    feed: Feed
    n_lookers: int = 0


class Feeds:
    """Opens a stream for the first who looks at it, and closes it behind the last.

    Parameters
    ----------
    seconds : float
        How much of a signal is kept, unless its values do not fit into the memory.
    """

    def __init__(self, seconds: float = 600.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Looked] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take(self, where: str, info: StreamInfo) -> Looked:
        """Begin to look; give it back at the end.

        Parameters
        ----------
        where : str
            Socket or address of its daemon.
        info : StreamInfo
            The stream.
        """
        with self._lock:
            looked = self._open.get((where, info.name))
            if looked is None:
                looked = self._open[where, info.name] = _opened(where, info, self._seconds)
            looked.n_lookers += 1
            return looked

    def give_back(self, looked: Looked) -> None:
        """Look no more."""
        with self._lock:
            looked.n_lookers -= 1
            if looked.n_lookers:
                return
            self._open.pop((looked.where, looked.name), None)
        looked.feed.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            everything, self._open = list(self._open.values()), {}
        for looked in everything:
            looked.feed.close()


def _opened(where: str, info: StreamInfo, seconds: float) -> Looked:
    buffer: Buffer
    if info.kind == "markers":
        buffer = MarkerBuffer(_MOST_MARKERS)
    elif info.kind == "frames":
        buffer = FrameBuffer()
    else:
        buffer = SignalBuffer(min(seconds, _fitting(info)), max_bytes=_MAX_BYTES)
    has_past = info.kind == "markers" or (
        info.kind == "signal" and info.sampling_rate * info.n_channels < _HISTORY_VALUES
    )
    reader = graph_reader(where, info.name, start="oldest" if has_past else "now")
    return Looked(where, info.name, info.kind, buffer, Feed(info.name, reader, buffer))


def _fitting(info: StreamInfo) -> float:
    """Return how much of a signal fits into the memory, with its extremes and stamps."""
    # Two extremes for each 16 samples, with those of coarser bins; stamps and flags for each.
    per_sample = 2 * info.n_channels * np.dtype(info.dtype).itemsize / 15 + 9
    rate = max(info.sampling_rate, 1.0)
    return max(_MAX_BYTES / (per_sample * rate), _SHORTEST)
