"""Rings inside one process: the transport that tests use."""

from __future__ import annotations

from collections.abc import Callable

from rigmesh.errors import StreamNotFound
from rigmesh.streams import StreamInfo
from rigmesh.transports.base import StartAt
from rigmesh.transports.bell import LocalBell
from rigmesh.transports.reader import RingReader
from rigmesh.transports.ring import BYTE_RING
from rigmesh.transports.segment import LocalSegment
from rigmesh.transports.writer import RingWriter

__all__ = ["MemoryTransport"]


class MemoryTransport:
    """One stream within this process."""

    def __init__(self) -> None:
        self._bell = LocalBell()
        self._segment: LocalSegment | None = None

    def writer(
        self,
        info: StreamInfo,
        capacity: int,
        *,
        epoch: int = 0,
        first_index: int = 0,
        blocking: bool = False,
        byte_capacity: int = BYTE_RING,
        stopping: Callable[[], bool] = lambda: False,
    ) -> RingWriter:
        """Make the sender of an epoch."""

        def make(size: int) -> LocalSegment:
            self._segment = LocalSegment(f"{info.name}.{epoch}", bytearray(size))
            return self._segment

        return RingWriter(
            make,
            info,
            capacity,
            epoch=epoch,
            first_index=first_index,
            bell=lambda _name: self._bell,
            blocking=blocking,
            byte_capacity=byte_capacity,
            stopping=stopping,
        )

    def reader(
        self, *, name: str = "", start: StartAt = "now", lossless: bool = False
    ) -> RingReader:
        """Make a receiver of the epoch written last.

        Raises
        ------
        StreamNotFound
            If there is no writer yet.
        """
        if self._segment is None:
            raise StreamNotFound("nobody writes here yet; make the writer first")
        return RingReader(
            self._segment.attach(), self._bell, name=name, start=start, lossless=lossless
        )

    def close(self) -> None:
        """Forget the memory."""
        self._segment = None
