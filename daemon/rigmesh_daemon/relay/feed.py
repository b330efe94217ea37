"""Turns what lies in the rings of a stream into messages, in order."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from rigmesh.relay.compression import Compressor
from rigmesh.relay.wire import clock_to_wire, encode_data, encode_gaps
from rigmesh.streams import IDENTITY, Cause, Chunk, ClockModel, Gap, clock_id
from rigmesh.streams.wire import info_to_wire
from rigmesh.transports import (
    LOOK_EVERY,
    Bell,
    NoBell,
    RingReader,
    RingState,
    ShmTransport,
    StartAt,
)
from rigmesh.transports.layout import N_STAMPS, Header
from rigmesh_daemon.relay.lease import Lease
from rigmesh_daemon.relay.spool import Item
from rigmesh_proto.v1 import relay_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import Ring

__all__ = ["ASK_EVERY", "MESSAGE_BYTES", "Feed"]

_log = logging.getLogger(__name__)

MESSAGE_BYTES = 2**20 + 2**16
"""Samples in one message, at most; more only where one sample has more.

Longer ones leave the caches of processors, and take longer than they save."""
ASK_EVERY = 0.05
"""How often the daemon is asked whether a stream has begun anew, in seconds."""
_ANSWER_WITHIN = 0.3
"""A ring that the daemon has not named after so long is not there yet."""
_VIEWER_SECONDS = 0.25
_VIEWER_BYTES = 8 * 2**20
"""How far behind a viewer is let be."""

Make = Callable[[Callable[[], None]], Lease]


class Feed:
    """Reads one stream for one consumer; not safe for several threads at a time.

    Parameters
    ----------
    lease : callable
        Has the stream published; told what to call when there is a new ring.
    name : str
        The consumer's, for the ring's table of readers.
    start : "now" or "oldest"
        Where to begin.
    resume : Place or None
        Where to go on instead.
    compressor : Compressor or None
        Makes messages smaller.
    live : bool
        Wait for a stream that is over already to begin anew.
    skips : bool
        Leave out what is old already, and tell so: for viewers. One that begins with the oldest
        gets what there is at its beginning.
    """

    def __init__(
        self,
        lease: Make,
        *,
        name: str,
        start: StartAt = "now",
        resume: pb.Place | None = None,
        compressor: Compressor | None = None,
        live: bool = False,
        skips: bool = False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._start: StartAt = start
        self._resume = resume
        self._compressor = compressor
        self._skips = skips
        self._changed = changed
        self._transport: ShmTransport | None = None
        self._bell: Bell | None = None
        self._reader: RingReader | None = None
        self._segment = ""
        self._device_index: int | None = None
        self._clock: ClockModel = IDENTITY
        self._wants_past = start == "oldest" and resume is None
        self._past_end = 0
        self._ready: deque[Item] = deque()
        self._max_samples: int | None = None
        self._is_first = True
        self._is_resuming = False
        self._is_over = False
        self._told_end = False
        self._make = lease
        self._lease = lease(self._wake)
        self._asked = time.monotonic()
        self.is_waiting = live and resume is None
        self._has_waited = False

    # --- waiting -----------------------------------------------------------------------------

    @property
    def bell(self) -> Bell | None:
        """What rings when there is something new, once there is a ring."""
        return self._bell

    @property
    def is_blocking(self) -> bool:
        """Whether the writer waits for its readers."""
        reader = self._reader
        return reader is not None and bool(reader.ring.header.words[Header.BLOCKING])

    def wait_published(self, timeout: float) -> bool:
        """Wait until whatever the stream gives goes into a ring; return whether it does."""
        return self._lease.published.wait(timeout)

    @property
    def waiting(self) -> int:
        """Samples that lie in the ring."""
        reader = self._reader
        return reader.ring.written - reader.position if reader is not None else 0

    @property
    def writer_lost(self) -> bool:
        """Whether the process that made the stream died."""
        return self._reader is not None and self._reader.state is RingState.LOST

    def _wake(self) -> None:
        if self._bell is not None:
            self._bell.ring()
        self._changed()

    # --- reading -----------------------------------------------------------------------------

    def next(self) -> Item | None:
        """Return the next message, or None if there is none now.

        Raises
        ------
        RigmeshError
            If there is no such stream, or it cannot be relayed.
        """
        while True:
            if self._ready:
                return self._ready.popleft()
            reader = self._reader
            if reader is None:
                if not self._attach():
                    return self._end()
                continue
            if self._is_late(reader):
                self._skip(reader)
                continue
            chunk = reader.receive(self._max_samples)
            if chunk is not None:
                return self._take(reader, chunk)
            if not self._leave(reader):
                return None

    def close(self) -> None:
        """Stop reading."""
        self._lease.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    # --- inside ------------------------------------------------------------------------------

    def _take(self, reader: RingReader, chunk: Chunk) -> Item:
        reader.release()
        if self._device_index is None and reader.ring.header.device_index is not None:
            # A device says its count when its first sample is near.
            self._ready.append(self._announcement(reader, chunk.index))
        if chunk.clock is not self._clock and chunk.clock != self._clock:
            self._clock = chunk.clock
            message = pb.CarryResponse(clock=clock_to_wire(chunk.clock))
            self._ready.append(Item(message.SerializeToString(), chunk.epoch, chunk.index))
        if self._is_resuming:
            self._is_resuming = False
            chunk.gaps = _lost_on_the_way(chunk.gaps)
        received = published = 0
        if len(chunk):
            received, published = reader.stamps_of(chunk.index)
        item = Item(
            encode_data(chunk, received, published, self._compressor),
            chunk.epoch, chunk.index, len(chunk), chunk.gaps, is_data=True,
        )  # fmt: skip
        if not self._ready:
            return item
        self._ready.append(item)
        return self._ready.popleft()

    def _attach(self) -> bool:
        ring = self._next_ring()
        if ring is None:
            return False
        if self._transport is None or self._bell is None:
            self._transport = ShmTransport.like(self._lease.session, ring.segment)
            self._bell = NoBell(LOOK_EVERY) if self._skips else self._transport.bell()
        start, self._is_resuming = self._start_in(ring)
        try:
            reader = self._transport.reader(
                ring.segment, self._bell, name=self._name, start=start, lossless=not self._skips
            )
        except LookupError as error:  # its readers were too slow; the next epoch is there
            _log.warning("%s: epoch %d is gone: %s", ring.stream, ring.epoch, error)
            return True
        if self._passes_over(reader.state, start):
            reader.close()
            return True
        if start == "now" and self.is_waiting and self._has_just_begun(reader):
            reader.close()
            reader = self._transport.reader(
                ring.segment, self._bell, name=self._name, start="oldest", lossless=not self._skips
            )
        self.is_waiting = False
        reader.release()
        self._past_end = reader.ring.written if self._wants_past else 0
        # Epochs that are over come first.
        self._wants_past &= reader.state is not RingState.OPEN
        self._is_first, self._resume = False, None
        info = reader.info
        if info.sample_bytes:
            self._max_samples = max(1, MESSAGE_BYTES // (info.sample_bytes + 8))
        self._reader, self._segment = reader, ring.segment
        self._clock = reader.ring.header.clock
        self._ready.append(self._announcement(reader, reader.first_index))
        return True

    def _passes_over(self, state: RingState, start: StartAt) -> bool:
        """Whether a ring is none to begin with."""
        if self.is_waiting and state is not RingState.OPEN:
            self._has_waited = True
            return True
        return start == "now" and state is RingState.MOVED  # only the newest epoch has a now

    def _has_just_begun(self, reader: RingReader) -> bool:
        """Whether a ring's first samples are newer than our question."""
        header = reader.ring.header
        if header.words[Header.STAMPED] >= N_STAMPS:
            return False  # nobody knows any more
        return not header.words[Header.STAMPED] or (
            header.stamps_of(reader.ring.first)[1] > self._asked * 1e9
        )

    def _next_ring(self) -> Ring | None:
        while (ring := self._lease.pop()) is not None:
            place = self._resume
            if place is None or not self._is_first or not _is_before(ring, place):
                return ring
        return None

    def _start_in(self, ring: Ring) -> tuple[StartAt, bool]:
        place = self._resume
        if place is not None:
            return (place.index, True) if ring.segment == place.ring else ("oldest", False)
        # What begins while one waits for it begins with its first sample.
        if self._is_first and not self._has_waited:
            return self._start, False
        return "oldest", False

    def _announcement(self, reader: RingReader, index: int) -> Item:
        info = reader.info
        self._device_index = device = reader.ring.header.device_index
        message = pb.Announced(
            # Elsewhere an empty name would mean another clock.
            info=info_to_wire(replace(info, clock_id=info.clock_id or clock_id())),
            ring=self._segment,
            epoch=reader.epoch,
            index=index,
            device_index=device,
            clock=clock_to_wire(self._clock),
        )
        raw = pb.CarryResponse(announced=message).SerializeToString()
        return Item(raw, reader.epoch, index)

    def _leave(self, reader: RingReader) -> bool:
        """Go on to the next ring, if this one is over and there is one or will be none."""
        if not reader.is_finished:
            return False
        self._is_over = reader.state is RingState.ENDED
        if not (self._is_over or len(self._lease) or self._lease.ended):
            return False  # the daemon will say where it goes on, or that it does not
        reader.close()
        self._reader = None
        return True

    def _end(self) -> Item | None:
        lease = self._lease
        if lease.failure is not None:
            raise lease.failure
        if self.is_waiting:
            self._ask_again()
            return None
        if len(lease) or self._told_end or not (lease.ended or self._is_over):
            return None
        self._told_end = True
        return Item(pb.CarryResponse(ended=pb.Ended()).SerializeToString())

    def _ask_again(self) -> None:
        """Ask the daemon for the stream's next run, as it says no more of the last one."""
        now = time.monotonic()
        waited = now - self._asked
        if waited > _ANSWER_WITHIN or self._lease.ended:
            self._has_waited = True
        if self._lease.ended and waited > ASK_EVERY:
            self._asked = now
            self._lease.close()
            self._lease = self._make(self._wake)

    # --- viewers -----------------------------------------------------------------------------

    def _is_late(self, reader: RingReader) -> bool:
        return (
            self._skips
            and reader.position >= self._past_end
            and self.waiting > self._most_waiting(reader)
        )

    def _most_waiting(self, reader: RingReader) -> int:
        info = reader.info
        if not info.is_regular:
            return 2**63  # there, every sample may be the one that matters
        most = max(1, int(info.sampling_rate * _VIEWER_SECONDS))
        return max(1, min(most, _VIEWER_BYTES // max(1, info.sample_bytes)))

    def _skip(self, reader: RingReader) -> None:
        """Leave out all but the newest samples."""
        begin = reader.position
        target = reader.ring.written - self._most_waiting(reader)
        gaps = reader.move_on(target)
        # What was written over up to now is a part of what is left out.
        own = (g for g in gaps if not (g.cause is Cause.OVERRUN and g.index - g.count == begin))
        told = (Gap(Cause.OVERRUN, reader.epoch, target, target - begin), *own)
        raw = encode_gaps(reader.epoch, target, told)
        self._ready.append(Item(raw, reader.epoch, target, 0, told, is_data=True))


def _is_before(ring: Ring, place: pb.Place) -> bool:
    """Whether an epoch lies before a place; those of another daemon's count do not."""
    family, own = ring.segment.rpartition(".")[0], place.ring.rpartition(".")[0]
    return family == own and ring.epoch < place.epoch


def _lost_on_the_way(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """Say of samples that were overwritten while a consumer was away what they were lost by."""
    if not gaps or gaps[0].cause is not Cause.OVERRUN:
        return gaps
    return (replace(gaps[0], cause=Cause.TRANSPORT), *gaps[1:])
