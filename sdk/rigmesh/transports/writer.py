"""The writing end of a ring."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable

from rigmesh.errors import SecondWriter
from rigmesh.streams import Chunk, ClockModel, Gap, StreamInfo
from rigmesh.transports.base import WriterCounters
from rigmesh.transports.bell import Bell
from rigmesh.transports.layout import (
    N_SLOTS,
    N_STAMPS,
    STAMP_WORDS,
    STAMPS_AT,
    Header,
    RingState,
)
from rigmesh.transports.ring import BYTE_RING, SampleRing, make_ring, plan_ring
from rigmesh.transports.segment import Segment

__all__ = ["WRITER_LOCK", "RingWriter", "slot_lock"]

WRITER_LOCK = 0

_READERS_CHANGED, _RESERVED, _WRITTEN = Header.READERS_CHANGED, Header.RESERVED, Header.WRITTEN
_now = time.monotonic_ns

_LOOK_AROUND = 0.1
"""A waiting writer looks for dead readers this often, in seconds."""
_SHORTEST, _LONGEST = 50e-6, 1e-3
"""Between two looks at the readers' cursors, in seconds."""
_PATIENCE = 2.0
"""A reader that takes nothing for so long is not waited for with what is late, in seconds."""


def slot_lock(number: int) -> int:
    """Return the lock that the reader in a slot holds."""
    return WRITER_LOCK + 1 + number


class RingWriter:
    """Sends one epoch of a stream into a ring in a segment.

    Parameters
    ----------
    make_segment : callable
        Makes the segment, given its size in bytes.
    info : StreamInfo
        The stream.
    capacity : int
        Samples the ring holds.
    epoch : int
        Epoch of the stream.
    first_index : int
        Index of the first sample, if the ring is made in the middle of an epoch.
    bell : callable
        Opens a reader's doorbell by its name.
    blocking : bool
        Wait for the slowest lossless reader instead of writing over what it has not taken.
    stopping : callable
        Asked while waiting; when it says True the writer stops waiting, and may write over.

    Raises
    ------
    OutOfMemory, SecondWriter
        From `make_segment`.
    """

    def __init__(
        self,
        make_segment: Callable[[int], Segment],
        info: StreamInfo,
        capacity: int,
        *,
        epoch: int,
        first_index: int = 0,
        bell: Callable[[str], Bell],
        blocking: bool = False,
        byte_capacity: int = BYTE_RING,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        geometry, size = plan_ring(info, capacity, byte_capacity)
        self.segment = make_segment(size)
        if not self.segment.try_lock(WRITER_LOCK):
            raise SecondWriter(f"{info.name} has a writer already")
        self.ring = make_ring(
            self.segment.buffer,
            info,
            geometry,
            epoch=epoch,
            pid=os.getpid(),
            first=first_index,
            blocking=blocking,
        )
        self._open_bell = bell
        self._blocking = blocking
        self._stopping = stopping
        self._bells: dict[str, Bell] = {}
        self._ring_bells: list[Callable[[], None]] = []
        self._readers_seen = 0
        self._slowest = first_index
        self._given_up = -1
        self._closed = False
        self._words = self.ring.header.words
        sampled = self.ring if isinstance(self.ring, SampleRing) else None
        self._arrays = (sampled.data, sampled.stamps) if sampled is not None else None
        self._capacity = self.ring.capacity
        # A writer that may wait stores no more at once than its readers can follow.
        self._at_once = self.ring.patient_step if blocking else self._capacity

    @property
    def info(self) -> StreamInfo:
        """The stream."""
        return self.ring.info

    @property
    def epoch(self) -> int:
        """The epoch."""
        return self.ring.epoch

    def send(self, chunk: Chunk, received: int = 0) -> None:
        """Publish a chunk and wake who reads.

        Parameters
        ----------
        chunk : Chunk
            Of the stream.
        received : int
            When it came in, in ns of the local clock; 0: now.
        """
        words, stamps, now = self._words, chunk.raw_timestamps, _now()
        n, start = len(stamps), words[_WRITTEN]
        stop = start + n
        place = start % self._capacity
        end = place + n
        # Most of the time samples fit in one piece, and readers are the same as before. Then all is
        # done here: a long function, but one; see `RingReader.receive`.
        if (
            self._arrays is not None
            and end <= self._capacity
            and n <= self._at_once
            and words[_READERS_CHANGED] == self._readers_seen
            and (not self._blocking or stop - self._slowest <= self._capacity)
        ):
            count = words[21]
            at = STAMPS_AT + count % N_STAMPS * STAMP_WORDS
            words[at], words[at + 1], words[at + 2] = stop, received or now, now
            words[21] = count + 1
            words[_RESERVED] = stop
            kept, kept_stamps = self._arrays
            kept[place:end] = chunk.data
            kept_stamps[place:end] = stamps
            words[_WRITTEN] = stop
        elif self._blocking and not self._has_room(chunk):
            self._send_with_patience(chunk, received)
            return
        else:
            self.ring.header.stamp(stop, received or now, now)
            self.ring.write(chunk)
            if words[_READERS_CHANGED] != self._readers_seen:
                self._look_at_readers()
        for ring_bell in self._ring_bells:
            ring_bell()

    def send_late(self, chunk: Chunk, received: int = 0) -> None:
        """Publish a chunk that is old already, as fast as lossless readers take it.

        What an outage has held up comes in at once, and may be more than the ring holds. Half of it
        is kept free, so that readers have time when what follows is not late any more. A reader
        that hangs is not waited for, until it goes on.

        Parameters
        ----------
        chunk, received
            As for `send`.
        """
        # How many bytes texts take is not known before.
        spare = self._capacity // 2 if self._arrays is not None else 0
        self._send_with_patience(chunk, received, _PATIENCE, spare)

    def lose(self, gap: Gap) -> None:
        """Note samples that are missing before the next one sent."""
        self.ring.header.add_gap(gap)
        self._wake()

    def set_clock(self, clock: ClockModel) -> None:
        """Say how raw stamps map onto the local clock."""
        self.ring.header.clock = clock

    def counters(self) -> WriterCounters:
        """Return what was sent in this epoch."""
        written, lost = self.ring.written, self.ring.header.lost
        return WriterCounters(written + lost, written, lost)

    def end(self, *, moved: bool = False) -> None:
        """Say that nothing follows, or that the next epoch does."""
        self.ring.header.state = RingState.MOVED if moved else RingState.ENDED
        self._wake()

    def close(self) -> None:
        """Give the ring up and remove its name; readers that have it open can finish."""
        if self._closed:
            return
        self._closed = True
        if self.ring.header.state is RingState.OPEN:
            self.end()
        for bell in self._bells.values():
            bell.close()
        self._bells.clear()
        self._ring_bells.clear()
        self._arrays = None
        self.ring.release()
        self.segment.unlink()
        self.segment.close()

    def _wake(self) -> None:
        self._look_at_readers()
        for ring_bell in self._ring_bells:
            ring_bell()

    def _look_at_readers(self) -> None:
        changed = self.ring.header.words[Header.READERS_CHANGED]
        if changed == self._readers_seen:
            return
        self._readers_seen = changed
        slots = (self.ring.header.slot(n) for n in range(N_SLOTS))
        wanted = {slot.bell for slot in slots if slot.is_taken and slot.bell}
        for name in self._bells.keys() - wanted:
            self._bells.pop(name).close()
        for name in wanted - self._bells.keys():
            # The reader may have died between claiming the slot and now.
            with contextlib.suppress(OSError, ValueError):
                self._bells[name] = self._open_bell(name)
        self._ring_bells = [bell.ring for bell in self._bells.values()]
        self._slowest = self._find_slowest()

    def _has_room(self, chunk: Chunk) -> bool:
        """Whether a chunk fits at once, by what is known of the slowest reader."""
        self._look_at_readers()
        ring = self.ring
        return len(chunk.raw_timestamps) <= ring.patient_step and ring.has_room(
            chunk, self._slowest
        )

    def _send_with_patience(
        self, chunk: Chunk, received: int, patience: float = math.inf, spare: int = 0
    ) -> None:
        ring, step = self.ring, self.ring.patient_step
        for start in range(0, len(chunk), step):
            stamps = chunk.raw_timestamps[start : start + step]
            piece = type(chunk)(chunk.data[start : start + step], stamps)
            self._wait_for_room(piece, patience, spare)
            now = _now()
            ring.header.stamp(ring.written + len(piece), received or now, now)
            ring.write(piece)
            self._wake()

    def _wait_for_room(self, piece: Chunk, patience: float, spare: int) -> None:
        # Cursors only grow, so a look at them is good until a reader comes.
        self._look_at_readers()
        pause = _SHORTEST
        bury_at = time.monotonic() + _LOOK_AROUND
        give_up_at = time.monotonic() + patience
        while not self.ring.has_room(piece, self._slowest - spare):
            before, self._slowest = self._slowest, self._find_slowest()
            if self.ring.has_room(piece, self._slowest - spare) or self._stopping():
                return
            if self._slowest != before:
                give_up_at = time.monotonic() + patience
            elif self._slowest == self._given_up or time.monotonic() > give_up_at:
                self._given_up = self._slowest
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
            if time.monotonic() > bury_at:
                self._bury_the_dead()
                bury_at = time.monotonic() + _LOOK_AROUND

    def _find_slowest(self) -> int:
        written, header = self.ring.written, self.ring.header
        slots = (header.slot(n) for n in range(N_SLOTS))
        cursors = [slot.cursor for slot in slots if slot.is_taken and slot.is_lossless]
        return min(cursors, default=written)

    def _bury_the_dead(self) -> None:
        for number in range(N_SLOTS):
            slot = self.ring.header.slot(number)
            if slot.is_taken and not self.segment.is_locked(slot_lock(number)):
                slot.free()
                self.ring.header.words[Header.READERS_CHANGED] = time.monotonic_ns()
