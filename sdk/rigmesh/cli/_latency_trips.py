"""Round trips: from writing to an output until an input that it is looped back to has read it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from rigmesh.client import Manager
from rigmesh.client.stream import StreamReader
from rigmesh.errors import WaitTimeout
from rigmesh.node.histogram import Histogram
from rigmesh.relay import RemoteStreamReader

__all__ = ["RoundTrip", "match"]

LATEST = 1.0
"""What has not come back after so many seconds does not count any more."""

_EARLY = 1e-3
"""A message is stamped when it has been written, and the reader may be faster, in seconds."""


def match(
    sent: Sequence[float], received: Sequence[float], *, latest: float = LATEST
) -> list[float | None]:
    """Return for each message how long it took, None if it never came.

    Messages arrive in the order they were sent. From the end on, each arrival belongs to the latest
    message before it that has none yet: what is lost shifts nothing, and what is late is as late as
    it was. Only if each message is underway when the next is sent, always, are trips told too
    short; then the first messages seem to be missing.

    Parameters
    ----------
    sent, received : sequence of float
        Times, in order, in seconds.
    latest : float
        How long a trip may take, in seconds.

    Examples
    --------
    >>> match([1.0, 5.0, 9.0], [1.25, 9.5])
    [0.25, None, 0.5]
    """
    took: list[float | None] = [None] * len(sent)
    free = len(sent) - 1
    for arrival in reversed(received):
        while free >= 0 and sent[free] > arrival + _EARLY:
            free -= 1
        if free >= 0 and arrival - sent[free] <= latest:
            took[free] = max(0.0, arrival - sent[free])
            free -= 1
    return took


@dataclass
class RoundTrip:
    """Collects when messages were sent and when they were received.

    Parameters
    ----------
    output, into : str
        Streams of markers: one for each message sent, one for each received.
    """

    output: str
    into: str
    sent: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    _readers: list[tuple[StreamReader | RemoteStreamReader, list[float]]] = field(
        default_factory=list
    )

    def open(self, manager: Manager) -> None:
        """Begin to collect; when this returns, nothing is missed any more."""
        for stream, stamps in ((self.into, self.received), (self.output, self.sent)):
            reader = manager.open_stream(stream, start="oldest")
            self._readers.append((reader, stamps))
            _ = reader.ring

    def collect(self) -> None:
        """Take what has come since the last call."""
        for reader, stamps in self._readers:
            while True:
                try:
                    chunk = reader.read(0)
                except WaitTimeout:
                    break
                if chunk is None:
                    break
                stamps.extend(chunk.timestamps.tolist())

    def is_complete(self, end: float) -> bool:
        """Whether all that was sent before a time has been received."""
        n_sent = bisect_left(self.sent, end)
        return None not in match(self.sent, self.received)[:n_sent]

    def histogram(self, begin: float, end: float) -> tuple[Histogram, int]:
        """Return how long messages took that were sent between two times; how many never came."""
        found, n_missing = Histogram(), 0
        first, last = bisect_left(self.sent, begin), bisect_left(self.sent, end)
        for took in match(self.sent, self.received)[first:last]:
            if took is None:
                n_missing += 1
            else:
                found.add(round(took * 1e9))
        return found, n_missing
