"""The streams that somebody looks at: one reader each, shared by all who look."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from rigmesh.display import Feed, FrameBuffer, MarkerBuffer, SignalBuffer, graph_reader
from rigmesh.errors import OutOfMemory
from rigmesh.streams import StreamInfo

__all__ = ["Feeds", "Limits", "Looked"]

_MAX_BYTES = 128 * 2**20
"""The most for the samples of a signal, and again for their extremes and stamps."""
_MOST_TOGETHER = 2**30
"""Half of what the service may have."""
_SHORTEST = 20.0
_LEAST_SECONDS = 10.0
_LEAST_PART = 1 / 64
_MOST_MARKERS = 20_000
_BYTES_OF_MARKER = 200
_HISTORY_VALUES = 2e6
"""Values per second up to which the ring's past is read, too."""

Buffer = SignalBuffer | MarkerBuffer | FrameBuffer


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a stream is kept.

    Parameters
    ----------
    info : StreamInfo
        The stream as it was when somebody began to look.
    seconds : float
        So long, of a signal with a rate.
    max_bytes : int
        The most for samples.
    """

    info: StreamInfo
    seconds: float = 0.0
    max_bytes: int = 0

    def n_bytes(self, info: StreamInfo | None = None) -> int:
        """Return how much memory that takes; of `info`, if the stream has changed since."""
        info = info or self.info
        if info.kind == "markers":
            return _MOST_MARKERS * _BYTES_OF_MARKER
        if info.kind == "frames":
            return 2 * info.sample_bytes  # one comes while one is shown
        return SignalBuffer.n_bytes_for(info, self.seconds, self.max_bytes)


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
    limits : Limits, optional
        How much of it is kept.
    """

    where: str
    name: str
    kind: str
    buffer: Buffer
    feed: Feed
    limits: Limits | None = None
    n_lookers: int = 0

    @property
    def is_here(self) -> bool:
        """Whether it is a stream of this machine: those are read by a socket."""
        return Path(self.where).is_absolute()


class Feeds:
    """Opens a stream for the first who looks at it, and closes it behind the last.

    Parameters
    ----------
    seconds : float
        How much of a signal is kept, unless its values do not fit into the memory.
    max_bytes : int
        The most memory for all streams together; who comes late gets less of the past.
    """

    def __init__(self, seconds: float = 600.0, *, max_bytes: int = _MOST_TOGETHER) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
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

        Raises
        ------
        OutOfMemory
            If there is not even room for a little of it.
        """
        with self._lock:
            looked = self._open.get((where, info.name))
            if looked is None:
                limits = self._fitting(info)
                looked = self._open[where, info.name] = _opened(where, limits)
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

    def _fitting(self, info: StreamInfo) -> Limits:
        """Return how much of a stream there is room for."""
        used = sum(
            each.limits.n_bytes(each.buffer.info)
            for each in self._open.values()
            if each.limits is not None
        )
        room = self._max_bytes - used
        limits, part = _wanted(info, self._seconds), 1.0
        least = min(limits.seconds, _LEAST_SECONDS)
        while (needed := limits.n_bytes()) > room:
            if part <= _LEAST_PART or info.kind != "signal":
                raise OutOfMemory(
                    f"{info.name} needs {_mib(needed)} for what is shown of it at the least; "
                    f"{_mib(max(room, 0))} of {_mib(self._max_bytes)} are left for all who look: "
                    "look at fewer streams"
                )
            part /= 2
            seconds = max(least, limits.seconds / 2)
            limits = Limits(info, seconds, int(_MAX_BYTES * part))
        return limits

    def close(self) -> None:
        """Close all."""
        with self._lock:
            everything, self._open = list(self._open.values()), {}
        for looked in everything:
            looked.feed.close()


def _opened(where: str, limits: Limits) -> Looked:
    info = limits.info
    buffer: Buffer
    if info.kind == "markers":
        buffer = MarkerBuffer(_MOST_MARKERS)
    elif info.kind == "frames":
        buffer = FrameBuffer()
    else:
        buffer = SignalBuffer(limits.seconds, max_bytes=limits.max_bytes)
    has_past = info.kind == "markers" or (
        info.kind == "signal" and info.sampling_rate * info.n_channels < _HISTORY_VALUES
    )
    reader = graph_reader(where, info.name, start="oldest" if has_past else "now")
    feed = Feed(info.name, reader, buffer)
    return Looked(where, info.name, info.kind, buffer, feed, limits)


def _wanted(info: StreamInfo, seconds: float) -> Limits:
    """Return what a stream gets that has all the memory that one may have."""
    if info.kind != "signal":
        return Limits(info)
    # Two extremes for each 16 samples, with those of coarser bins; stamps and flags for each.
    per_sample = 2 * info.sample_bytes / 15 + 9
    fitting = _MAX_BYTES / (per_sample * max(info.sampling_rate, 1.0))
    return Limits(info, min(seconds, max(fitting, _SHORTEST)), _MAX_BYTES)


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.0f} MiB"
