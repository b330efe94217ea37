"""The two ends of a transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from rigmesh.streams import Chunk, ClockModel, Gap, StreamInfo

__all__ = ["ReaderCounters", "Receiver", "Sender", "StartAt", "WriterCounters"]

StartAt = int | Literal["now", "oldest"]
"""Where a reader starts: with the next sample, the oldest there is, or an index."""


@dataclass(frozen=True, slots=True)
class WriterCounters:
    """What a sender has sent in this epoch.

    Parameters
    ----------
    produced : int
        Samples that exist: those written and those the writer knows to be lost.
    written : int
        Samples published.
    lost : int
        Samples the writer knows to be lost.
    """

    produced: int
    written: int
    lost: int


@dataclass(frozen=True, slots=True)
class ReaderCounters:
    """What a receiver has taken in this epoch, in samples.

    Always ``produced since it began = delivered + lost + lag``, where the writer's own losses
    count as produced and lost.
    """

    delivered: int
    lost: int
    lag: int
    max_lag: int
    fill: float


class Sender(Protocol):
    """The end that one writer sends one epoch of a stream into."""

    @property
    def info(self) -> StreamInfo:
        """The stream."""

    @property
    def epoch(self) -> int:
        """The epoch."""

    def send(self, chunk: Chunk) -> None:
        """Publish a chunk. Never waits for a reader, unless made with ``blocking=True``."""

    def lose(self, gap: Gap) -> None:
        """Note samples that are missing before the next one sent."""

    def set_clock(self, clock: ClockModel) -> None:
        """Say how raw stamps map onto the local clock from now on."""

    def counters(self) -> WriterCounters:
        """Return what was sent."""

    def end(self, *, moved: bool = False) -> None:
        """Say that nothing follows, or that the next epoch does."""

    def close(self) -> None:
        """Give the transport up."""


class Receiver(Protocol):
    """The end that one reader takes one epoch of a stream from."""

    @property
    def info(self) -> StreamInfo:
        """The stream."""

    @property
    def epoch(self) -> int:
        """The epoch."""

    def receive(self, max_samples: int | None = None) -> Chunk | None:
        """Return what is there, or None. ``chunk.gaps`` names what this reader missed before."""

    def release(self) -> None:
        """Say that what was received so far is not needed again."""

    def counters(self) -> ReaderCounters:
        """Return what was received."""

    @property
    def is_finished(self) -> bool:
        """Whether the writer has ended and everything was received."""

    def close(self) -> None:
        """Stop reading."""
