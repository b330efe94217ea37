"""An input that reads a stream of another process: ring after ring, gap after gap."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RigmeshError
from rigmesh.node import Input, InputLink, NodeRunner, NodeState
from rigmesh.node.histogram import Histogram, bin_of
from rigmesh.streams import IDENTITY, Cause, Chunk, Gap
from rigmesh.transports import Bell, ReaderCounters, RingReader, RingState, ShmTransport, StartAt

__all__ = ["RingAt", "Subscription"]

_log = logging.getLogger(__name__)

_MOST_BYTES = 8 * 2**20
"""Handed over at once, so that a reader that fell behind needs no memory for its whole backlog."""


@dataclass(frozen=True, slots=True)
class RingAt:
    """Where the ring of an epoch lies."""

    epoch: int
    segment: str


@dataclass(slots=True)
class _End:
    """How the epoch before ended, for the length of the gap to the next."""

    last_stamp: float | None
    next_device_index: int | None


class Subscription:
    """Reads the rings of one stream for one input, in the group's receiving thread.

    Parameters
    ----------
    stream : str
        ``node.port``.
    runner : NodeRunner
        The node that reads.
    port : Input
        Its input.
    transport : ShmTransport
        Attaches to rings.
    bell : Bell
        This process's doorbell.
    """

    def __init__(
        self,
        stream: str,
        runner: NodeRunner,
        port: Input[Chunk],
        transport: ShmTransport,
        bell: Bell,
    ) -> None:
        self.stream = stream
        self.link = InputLink(stream, release=self._release)
        self.lost: Counter[str] = Counter()
        self.delivered = 0
        self.latency = Histogram()
        self._latencies = self.latency.counts
        self._runner = runner
        self._port = port
        self._transport = transport
        self._bell = bell
        self._lossless = port.lossless
        self._queue: deque[RingAt] = deque()
        self._seen: set[int] = set()
        self._reader: RingReader | None = None
        self._held: list[RingReader] = []
        # A node releases what it has stored from a thread of its own.
        self._switching = threading.Lock()
        self._end: _End | None = None
        self._is_first = True
        self._resume: tuple[int, int] | None = None
        self._fresh = True
        self._over = False
        self._last_stamps: npt.NDArray[np.float64] | None = None
        self._last_clock = IDENTITY
        self._max_samples: int | None = None
        runner.order.attach(port.name, self.link, self._bind)

    @property
    def name(self) -> str:
        """The reading end, ``node.port``."""
        return f"{self._runner.name}.{self._port.name}"

    def counters(self) -> tuple[int, ReaderCounters | None]:
        """Return the epoch being read and what was received of it; from any thread."""
        with self._switching:
            reader = self._reader
            return (reader.epoch, reader.counters()) if reader is not None else (0, None)

    # --- said by the control thread ----------------------------------------------------------

    def begin_run(self, *, lossless: bool) -> None:
        """Forget the last run.

        Parameters
        ----------
        lossless : bool
            Whether the writer waits for this reader, whatever its input asks for.
        """
        self._lossless = lossless or self._port.lossless
        self._over = False
        self._last_stamps = None
        self.latency.clear()
        self._end = self._resume = None
        self._fresh = True
        self._queue.clear()
        self._seen.clear()
        self.lost.clear()
        self.delivered = 0
        self.link.produced.clear()
        self._close_readers()

    def add_rings(self, rings: list[RingAt], resume: tuple[int, int] | None) -> None:
        """Learn of rings; those known already are passed over.

        Parameters
        ----------
        rings : list of RingAt
            Oldest first.
        resume : (int, int) or None
            Epoch and index up to which the dead predecessor of this reader had read.
        """
        if resume is not None:
            self._resume = resume
        for ring in rings:
            if ring.epoch not in self._seen:
                self._seen.add(ring.epoch)
                self._queue.append(ring)
        self._bell.ring()

    def end(self) -> None:
        """Learn that no further ring follows."""
        self._over = True
        self._bell.ring()

    # --- in the receiving thread -------------------------------------------------------------

    def poll(self) -> bool:
        """Hand on what is there; return whether anything happened."""
        reader, state = self._reader, self._runner.state
        if state is not NodeState.RUNNING or reader is None:
            return self._poll_for_ring(state)
        chunk = reader.receive(self._max_samples)
        if chunk is None:
            return self._leave(reader) if reader.is_finished else False
        self._take(reader, chunk)
        return True

    def _poll_for_ring(self, state: NodeState) -> bool:
        if state in (NodeState.FAILED, NodeState.STOPPED):
            self._close_readers()
            return False
        return self._reader is None and self._attach_next()

    def look_for_dead_writer(self, *, alone: bool) -> None:
        """Notice a killed writer when nobody says so (the daemon is dead, too)."""
        reader = self._reader
        if reader is not None and alone and not reader.writer_is_alive:
            reader.declare_lost()
            self._over = True

    def close(self) -> None:
        """Stop reading."""
        self._close_readers()
        if self.link in self._port.links:
            self._runner.order.detach(self.link)

    # --- inside ------------------------------------------------------------------------------

    def _bind(self, take: Callable[[Chunk], None]) -> None:
        self._deliver = take

    def _attach_next(self) -> bool:
        if not self._queue:
            if self._over and not self.link.ended:
                self._runner.input_ended(self.link)
                return True
            return False
        if self._runner.state is NodeState.CREATED:
            return False
        ring = self._queue.popleft()
        if ring.epoch < self.link.start_epoch:
            return True  # its samples are safe already
        try:
            reader = self._transport.reader(
                ring.segment,
                self._bell,
                name=self.name,
                start=self._start_of(ring.epoch),
                lossless=self._lossless,
            )
        except RigmeshError as error:
            _log.warning(
                "%s: epoch %d of %s is gone: %s", self.name, ring.epoch, self.stream, error
            )
            return True
        reader.release()
        self._is_first = True
        if reader.epoch == self.link.start_epoch:
            self._resume = None  # the node knows by itself where it had come to
        info = reader.info
        size = info.sample_bytes
        self._max_samples = max(1, _MOST_BYTES // size) if size else None
        first = reader.first_index if self._fresh else 0
        self.link.produced[reader.epoch] = first, first
        new_epoch = not self._fresh
        self._fresh = False
        # Published only now: until here no sample can have been handed on from it.
        self._reader = reader
        self._runner.input_announced(self.link, info, new_epoch=new_epoch)
        return True

    def _start_of(self, epoch: int) -> StartAt:
        if epoch == self.link.start_epoch:
            return self.link.start
        if self._fresh and self._resume is not None:
            return "now"
        return "oldest"

    def _gap_to(self, reader: RingReader) -> Gap | None:
        """Return what lies between the epoch before, or our predecessor's end, and this ring."""
        epoch, first = reader.epoch, reader.first_index
        if self._resume is not None and epoch != self.link.start_epoch:
            resumed, index = self._resume
            missed = max(0, first - index) if resumed == epoch else first
            return Gap(Cause.RESTART, epoch, first, missed, exact=resumed == epoch)
        end = self._end
        if end is None or end.last_stamp is None:
            return None
        # A device says its count when its first sample is near, long after the ring was made.
        device = reader.ring.header.device_index
        begins = end.next_device_index
        # A device that was itself restarted counts from the beginning again.
        if device is not None and begins is not None and device >= begins:
            return Gap(Cause.RESTART, epoch, first, device - begins)
        return Gap(Cause.RESTART, epoch, first, 0, exact=False)

    def _take(self, reader: RingReader, chunk: Chunk) -> None:
        n = len(chunk.raw_timestamps)
        if self._is_first and n:
            self._is_first = False
            gap = self._gap_to(reader)
            self._resume = self._end = None
            if gap is not None:
                chunk.gaps = self._restart_gaps(chunk, gap)
        if chunk.gaps:
            self._count_gaps(chunk)
        received = published = 0
        if n:
            self._last_stamps, self._last_clock = chunk.raw_timestamps, chunk.clock
            self.delivered += n
            received, published = reader.stamps_of(chunk.index)
        lane, is_lossless = self._runner.lane, self._port.lossless
        if is_lossless:
            self._note_produced(reader)
        lane.enter()
        try:
            lane.begin(received)
            if published:
                self._latencies[bin_of(lane.mark - published)] += 1
            self._deliver(chunk)
        finally:
            lane.leave()
        if not is_lossless:
            reader.release()

    @property
    def _last_stamp(self) -> float | None:
        """Local time of the last sample, in seconds."""
        stamps = self._last_stamps
        return None if stamps is None else float(self._last_clock.to_local(stamps[-1:])[0])

    def _restart_gaps(self, chunk: Chunk, gap: Gap) -> tuple[Gap, ...]:
        """Complete the gap over a restart from the stamps on both sides."""
        # What the writer itself says of its restart is about the same hole.
        others = tuple(g for g in chunk.gaps if g.cause is not Cause.RESTART)
        rate = chunk.info.sampling_rate if chunk.info else 0.0
        duration = gap.count / rate if rate else 0.0
        count = gap.count
        if self._last_stamp is not None:
            duration = float(chunk.timestamps[0]) - self._last_stamp
            if not gap.exact and rate:
                count = max(0, round(duration * rate) - 1)
        if not count and gap.exact:
            return others
        return (Gap(Cause.RESTART, gap.epoch, gap.index, count, duration, gap.exact), *others)

    def _count_gaps(self, chunk: Chunk) -> None:
        for gap in chunk.gaps:
            first = not self.lost[gap.cause.value]
            self.lost[gap.cause.value] += gap.count
            if first:
                _log.warning(
                    "%s misses %d samples of %s (%s); further gaps are counted",
                    self.name, gap.count, self.stream, gap.cause.value,
                    extra={"node": self._runner.name},
                )  # fmt: skip

    def _note_produced(self, reader: RingReader) -> None:
        begin, _ = self.link.produced[reader.epoch]
        written, lost = reader.ring.written, reader.writer_lost()
        self.link.produced[reader.epoch] = begin, written + lost

    def _leave(self, reader: RingReader) -> bool:
        """Go on to the next epoch, or end."""
        state = reader.state
        if not self._queue and not self._over and state is not RingState.ENDED:
            return False  # moved or lost: the daemon will say where it goes on
        self._note_produced(reader)
        device = reader.ring.header.device_index
        produced = self.link.produced[reader.epoch][1]
        self._end = _End(self._last_stamp, None if device is None else device + produced)
        with self._switching:
            self._reader = None
            if self._port.lossless:
                self._held.append(reader)
            else:
                reader.close()
        if not self._queue and state is RingState.ENDED:
            self._over = True
        return True

    def _release(self) -> None:
        with self._switching:
            if self._reader is not None:
                self._reader.release()
            self._close_held()

    def _close_readers(self) -> None:
        with self._switching:
            self._close_held()
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _close_held(self) -> None:
        for reader in self._held:
            reader.close()
        self._held.clear()
