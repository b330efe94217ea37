"""The reading end of a ring."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

import numpy.typing as npt

from rigmesh.errors import Overrun, StreamError
from rigmesh.streams import IDENTITY, Cause, Chunk, Gap, StreamInfo
from rigmesh.transports.base import ReaderCounters, StartAt
from rigmesh.transports.bell import Bell
from rigmesh.transports.layout import N_SLOTS, Header, RingState
from rigmesh.transports.ring import SampleRing, open_ring
from rigmesh.transports.segment import Segment
from rigmesh.transports.writer import WRITER_LOCK, slot_lock

__all__ = ["RingReader", "Window"]


_GAP_COUNT, _WRITTEN, _CLOCK_CHANGES = Header.GAP_COUNT, Header.WRITTEN, Header.CLOCK_CHANGES
_RESERVED = Header.RESERVED


class Window:
    """Samples looked at where they lie, for readers that can discard what turns out torn.

    Attributes
    ----------
    data : ndarray, shape (n_samples, ...)
        Read-only; a view into the ring unless the ring begins anew in between.
    timestamps : ndarray, shape (n_samples,)
        On the local clock, in seconds.
    """

    __slots__ = ("_ring", "_start", "data", "timestamps")

    def __init__(self, ring: SampleRing, start: int, stop: int) -> None:
        self._ring = ring
        self._start = start
        found = ring.view(start, stop)
        if found is None:
            copied = ring.read(start, stop)
            found = copied.data, copied.raw_timestamps
        self.data: npt.NDArray[Any] = found[0]
        self.timestamps = ring.header.clock.to_local(found[1])
        self.data.flags.writeable = self.timestamps.flags.writeable = False

    def valid(self) -> bool:
        """Whether nothing of it has been written over up to now."""
        return self._ring.is_intact(self._start)


class RingReader:
    """Takes one epoch of a stream from a ring in a segment.

    Parameters
    ----------
    segment : Segment
        Attached by the caller, closed by :meth:`close`.
    bell : Bell
        Rung by the writer when there is something new.
    name : str
        Who reads, for the counters.
    start : int, "now" or "oldest"
        Where to begin. An index that is overwritten already counts as an overrun.
    lossless : bool
        A writer that may wait waits for this reader.

    Raises
    ------
    StreamError
        If this is no ring, or all reader slots are taken.
    """

    def __init__(
        self,
        segment: Segment,
        bell: Bell,
        *,
        name: str = "",
        start: StartAt = "now",
        lossless: bool = False,
    ) -> None:
        self.segment = segment
        self.ring = open_ring(segment.buffer, segment.name)
        self._capacity = self.ring.capacity
        sampled = self.ring if isinstance(self.ring, SampleRing) else None
        self._arrays = (sampled.data, sampled.stamps) if sampled is not None else None
        header = self.ring.header
        self._words = header.words
        self._number = self._take_slot()
        self._slot = header.slot(self._number)
        self._slot_at = self._slot.at
        # Gaps before the first sample we read are not ours, nor is one that somebody who starts
        # now could have learnt of earlier.
        told = header.words[_GAP_COUNT] if start == "now" else 0
        if start == "now":
            first = self.ring.written
        elif start == "oldest":
            first = self.ring.oldest
        else:
            first = max(0, min(start, self.ring.written))
        self._gaps_seen, self._lost_before = header.gaps_before(first, told)
        self._lost_seen = self._lost_before
        self._pending: deque[Gap] = deque()
        self._clock, self._clock_changes = IDENTITY, 0
        self.first_index = self._position = first
        self._slot.claim(os.getpid(), name, bell.name, lossless=lossless, start=first)
        header.words[Header.READERS_CHANGED] = time.monotonic_ns()
        self._closed = False

    @property
    def info(self) -> StreamInfo:
        """The stream."""
        return self.ring.info

    @property
    def epoch(self) -> int:
        """The epoch."""
        return self.ring.epoch

    @property
    def position(self) -> int:
        """Index of the next sample."""
        return self._position

    @property
    def state(self) -> RingState:
        """What became of the writer."""
        return self.ring.header.state

    @property
    def is_finished(self) -> bool:
        """Whether nothing follows and all was received."""
        # The state first: what was written before it was set is then seen, too.
        words = self.ring.header.words
        return (
            words[Header.STATE] != RingState.OPEN
            and self._position >= words[_WRITTEN]
            and self._gaps_seen >= words[_GAP_COUNT]
            and not self._pending
        )

    def receive(self, max_samples: int | None = None) -> Chunk | None:
        """Copy out what is there, up to the writer's next gap.

        Returns
        -------
        Chunk or None
            None if there is nothing. A chunk of no samples tells of gaps with nothing behind them
            yet: at the end of the stream, or if all that was there got lost.
        """
        ring, words, start = self.ring, self._words, self._position
        written = words[_WRITTEN]
        if written == start:
            return self._gaps_at_the_end()
        n = written - start
        # Most of the time nothing was missed and nobody was in a hurry. Then all is done here, at
        # the price of a long function: after a sleep every other one has to be fetched from afar.
        place = start % self._capacity
        end = place + n
        if (
            words[_GAP_COUNT] == self._gaps_seen
            and not self._pending
            and end <= self._capacity
            and (max_samples is None or n <= max_samples)
            and self._arrays is not None
        ):
            data, stamps = self._arrays
            data, stamps = data[place:end].copy(), stamps[place:end].copy()
            if start >= words[_RESERVED] - self._capacity:
                data.setflags(write=False)
                stamps.setflags(write=False)
                at = self._slot_at
                words[at + 4] = self._position = written
                words[at + 5] += n
                if n > words[at + 7]:
                    words[at + 7] = n
                if words[_CLOCK_CHANGES] != self._clock_changes:
                    self._learn_clock()
                return ring.chunk_type(
                    data, stamps, index=start, epoch=ring.epoch, clock=self._clock, info=ring.info
                )
        return self._receive_piece(max_samples, written)

    def _receive_piece(self, max_samples: int | None, written: int) -> Chunk:
        """Copy out what is there up to a gap, or what the writer has left of it."""
        ring, words, start = self.ring, self._words, self._position
        most, eighths = max_samples or written - start, 0
        while True:
            # After `written`, so that all gaps before its samples are known.
            if words[_GAP_COUNT] != self._gaps_seen:
                self._learn_gaps()
            stop = min(written, start + most)
            if self._pending:
                stop = min([stop, *(gap.index for gap in self._pending if gap.index > start)])
            if stop - start <= ring.capacity:
                chunk = ring.read(start, stop)
                if start == stop or ring.is_intact(start):
                    break
            # The writer came round. Copy less before the next look, and if it still is faster keep
            # away from it, farther each time, in the end giving up all that is there.
            oldest, written = ring.oldest, words[_WRITTEN]
            there = max(0, written - oldest)
            start = min(written, max(start, oldest + there * eighths // 8))
            most = max(1, min(most, there // 8))
            eighths = min(8, 2 * eighths or 1)
        lost = start - self._position
        if lost or self._pending:
            chunk.gaps = self._gaps_before(start, lost)
        self._slot.advance(stop, stop - start, lost, written - self._position)
        self._position = stop
        return self._finished(chunk)

    def stamps_of(self, index: int) -> tuple[int, int]:
        """Return when the chunk with a sample came in and was published, in ns; 0: not known."""
        return self.ring.header.stamps_of(index)

    def release(self) -> None:
        """Say that what was received so far is not needed again."""
        self._words[self._slot_at + 3] = self._position

    def move_on(self, index: int) -> tuple[Gap, ...]:
        """Say that samples below an index, looked at through `window`, are not needed again.

        Returns
        -------
        tuple of Gap
            What is missing below `index`; also what was written over up to now, so that a window
            onto it cannot be trusted.

        Raises
        ------
        Overrun
            If the index lies behind what was passed already, or is not written yet.
        """
        ring, begin = self.ring, self._position
        written = ring.written
        if not begin <= index <= written:
            raise Overrun(
                f"{self.info.name}: asked to go on at sample {index}; "
                f"this reader is at {begin} of {written}"
            )
        if ring.header.words[_GAP_COUNT] != self._gaps_seen:
            self._learn_gaps()
        first = min(max(ring.oldest, begin), index)
        gaps = self._gaps_before(index, 0)
        if first > begin:
            gaps = (Gap(Cause.OVERRUN, self.epoch, first, first - begin), *gaps)
        self._slot.advance(index, index - first, first - begin, written - begin)
        self._position = self._slot.cursor = index
        return gaps

    def counters(self) -> ReaderCounters:
        """Return what was received in this epoch."""
        slot = self._slot
        lag = self.ring.written - self._position
        lost = slot.lost + self.writer_lost()
        return ReaderCounters(slot.delivered, lost, lag, slot.max_lag, lag / self.ring.capacity)

    def writer_lost(self) -> int:
        """Return how many samples the writer lost since this reader began."""
        return self.ring.header.lost - self._lost_before

    def window(self, start: int, stop: int) -> Window:
        """Look at samples of this epoch without copying them.

        Raises
        ------
        Overrun
            If they are overwritten already, or not there yet.
        """
        if not isinstance(self.ring, SampleRing):
            raise StreamError(f"{self.info.name}: texts have no window; read them")
        if not self.ring.oldest <= start <= stop <= self.ring.written:
            raise Overrun(
                f"{self.info.name}: samples {start} to {stop} asked for; "
                f"{self.ring.oldest} to {self.ring.written} are there"
            )
        return Window(self.ring, start, stop)

    def __getitem__(self, wanted: slice) -> Chunk:
        """Copy the samples ``[start:stop]`` of this epoch; negative numbers count from the end.

        Raises
        ------
        Overrun
            If they are overwritten already.
        """
        start, stop, step = wanted.indices(self.ring.written)
        if step != 1:
            raise StreamError(f"{self.info.name}: asked for every {step}. sample; read all of them")
        if start >= self.ring.oldest:
            chunk = self.ring.read(start, max(start, stop))
            if self.ring.is_intact(start):
                return self._finished(chunk)
        raise Overrun(
            f"{self.info.name}: sample {start} is overwritten; the oldest is {self.ring.oldest}"
        )

    @property
    def writer_is_alive(self) -> bool:
        """Whether the writing process still holds the ring."""
        return self.segment.is_locked(WRITER_LOCK)

    def declare_lost(self) -> None:
        """Say that the writer died, after having seen that it did."""
        if self.ring.header.state is RingState.OPEN:
            self.ring.header.state = RingState.LOST

    def close(self) -> None:
        """Give the slot up and let go of the memory."""
        if self._closed:
            return
        self._closed = True
        self._slot.free()
        self._arrays = None
        self.ring.header.words[Header.READERS_CHANGED] = time.monotonic_ns()
        self.ring.release()
        self.segment.close()

    def _take_slot(self) -> int:
        for number in range(N_SLOTS):
            if self.segment.try_lock(slot_lock(number)):
                return number
        raise StreamError(
            f"{self.ring.info.name} has {N_SLOTS} readers already, the most a ring has; read it "
            "once and link the others to a node behind"
        )

    def _learn_gaps(self) -> None:
        self._gaps_seen, found = self.ring.header.gaps_since(self._gaps_seen, self._lost_seen)
        self._lost_seen += sum(gap.count for gap in found)
        self._pending.extend(found)

    def _gaps_at_the_end(self) -> Chunk | None:
        """Tell of the gaps behind the last sample, once there will not be another."""
        words, start = self.ring.header.words, self._position
        if words[Header.STATE] == RingState.OPEN or words[_WRITTEN] != start:
            return None
        if words[_GAP_COUNT] != self._gaps_seen:
            self._learn_gaps()
        if not self._pending:
            return None
        chunk = self.ring.read(start, start)
        chunk.gaps = self._gaps_before(start, 0)
        return self._finished(chunk)

    def _gaps_before(self, start: int, lost: int) -> tuple[Gap, ...]:
        gaps = [Gap(Cause.OVERRUN, self.epoch, start, lost)] if lost else []
        while self._pending and self._pending[0].index <= start:
            gaps.append(self._pending.popleft())
        return tuple(gaps)

    def _learn_clock(self) -> None:
        changes = self._words[_CLOCK_CHANGES]
        self._clock, self._clock_changes = self.ring.header.clock, changes

    def _finished(self, chunk: Chunk) -> Chunk:
        """Complete a chunk that was copied out."""
        if self._words[_CLOCK_CHANGES] != self._clock_changes:
            self._learn_clock()
        chunk.clock = self._clock
        chunk.raw_timestamps.setflags(write=False)
        if self._arrays is not None:
            chunk.data.setflags(write=False)
        return chunk
