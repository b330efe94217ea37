"""An output that something outside its process reads: a ring an epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rigmesh.node import Output
from rigmesh.streams import Chunk, ClockModel, Gap
from rigmesh.transports import RingWriter, ShmTransport

__all__ = ["Publication"]

_KEPT = 4
"""Rings of past epochs that are kept for readers which have not come to them yet."""


class Publication:
    """Hands the chunks of an output to a ring; made when somebody outside wants to read.

    Parameters
    ----------
    output : Output
        What to publish.
    transport : ShmTransport
        Makes the rings.
    seconds : float
        How much a ring holds.
    stopping : callable
        Whether a blocking writer should stop waiting.
    made : callable
        Called with each new ring's writer.
    """

    def __init__(
        self,
        output: Output[Chunk],
        transport: ShmTransport,
        *,
        seconds: float,
        stopping: Callable[[], bool],
        made: Callable[[RingWriter], None],
    ) -> None:
        self._output = output
        self._transport = transport
        self._seconds = seconds
        self._stopping = stopping
        self._made = made
        self._writer: RingWriter | None = None
        self._past: deque[RingWriter] = deque()

    @property
    def rings(self) -> list[RingWriter]:
        """The rings there are, oldest first."""
        return [*self._past, *([self._writer] if self._writer else [])]

    def announced(self, output: Output[Chunk]) -> None:
        """Make the ring of the epoch."""
        old = self._writer
        if old is not None and old.epoch == output.epoch and old.info == output.info:
            old.ring.header.device_index = output.device_index
            return
        if old is not None:
            self._retire(old, moved=old.epoch != output.epoch)
        writer = self._transport.writer(
            output.info,
            epoch=output.epoch,
            first_index=output.index,
            seconds=self._seconds,
            blocking=output.overflow_blocks,
            stopping=self._stopping,
        )
        writer.ring.header.device_index = output.device_index
        if not output.clock.is_identity:
            writer.set_clock(output.clock)
        self._writer = writer
        self._made(writer)

    def _retire(self, writer: RingWriter, *, moved: bool) -> None:
        self._writer = None
        if not moved:  # described anew before the first sample
            writer.close()
            return
        writer.end(moved=True)
        self._past.append(writer)
        if len(self._past) > _KEPT:
            self._past.popleft().close()

    def deliver(self, chunk: Chunk) -> None:
        """Write a chunk."""
        if self._writer is not None:
            output = self._output
            send = self._writer.send_late if output.is_late else self._writer.send
            send(chunk, output.lane.received)

    def lost(self, gap: Gap) -> None:
        """Note missing samples."""
        if self._writer is not None:
            self._writer.lose(gap)

    def clock_changed(self, clock: ClockModel) -> None:
        """Note how stamps map onto the local clock."""
        if self._writer is not None:
            self._writer.set_clock(clock)

    def ended(self) -> None:
        """Say that nothing follows."""
        if self._writer is not None:
            self._writer.end()

    def close(self) -> None:
        """Remove all rings."""
        for writer in self.rings:
            writer.close()
        self._past.clear()
        self._writer = None
