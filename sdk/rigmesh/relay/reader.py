"""The reading end of a relay: connects, notices that the link is dead, and goes on where it was."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, replace

import numpy as np

from rigmesh.errors import RigmeshError, UnknownName, Unsupported
from rigmesh.relay.compression import codec_of
from rigmesh.relay.link import Link
from rigmesh.relay.target import RelayHost
from rigmesh.relay.wire import Decoder, clock_from_wire, is_data
from rigmesh.streams import IDENTITY, Cause, Chunk, Frames, Gap, Markers, Signal, StreamInfo
from rigmesh.streams.wire import info_from_wire
from rigmesh.transports import StartAt
from rigmesh_proto.v1 import relay_pb2 as pb

__all__ = ["Announcement", "Ended", "Event", "RelayReader"]
_SEEN_EVERY = 0.25
_SEEN_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Announcement:
    """What follows: an epoch, or the same one described anew.

    Parameters
    ----------
    info : StreamInfo
        The stream.
    ring : str
        Names the epoch for good, also where two epochs have one number.
    epoch, index : int
        Of the next sample.
    device_index : int or None
        The device's own count of the epoch's first sample.
    """

    info: StreamInfo
    ring: str
    epoch: int
    index: int
    device_index: int | None


class Ended:
    """Nothing follows."""


Event = Announcement | Chunk | Ended


class RelayReader:
    """Reads one stream of another host, in order, also over outages of the link.

    One thread reads; `stop` may be called from any one.

    Parameters
    ----------
    host : RelayHost
        Where it comes from.
    stream : str
        ``node.port``.
    start : "now" or "oldest"
        Where to begin.
    live : bool
        Wait for a stream that is over to begin anew.
    lossless : bool
        Let the other side keep what comes while the link is down or slow, and go on there. If not,
        what is old by then is left out, and told as an overrun.
    compression : str
        ``lz4``, ``zstd`` or nothing.
    spool_seconds : float
        How long the other side keeps samples, in seconds.
    spool_mib : int
        How much it keeps.
    credits : int
        Messages of samples under way to a reader that is not lossless.

    Attributes
    ----------
    is_connected : bool
        Whether the other side answers.
    n_outages : int
        How often it did not, after it had.
    lost : Counter
        Samples that this reader misses, by cause.
    waiting : int
        Samples that lay at the other side when it said so last.
    writer_lost : bool
        Whether the process that makes the stream had died then.
    stamps : (int, int)
        When the last chunk came in and was published there, in ns of that host's clock.
    clock : ClockModel
        Maps raw stamps onto that host's clock.
    clock_id : str
        Names that host's clock.

    Raises
    ------
    Unsupported
        If there is no such compression here, or the start is an index.
    """

    def __init__(
        self,
        host: RelayHost,
        stream: str,
        *,
        start: StartAt = "now",
        live: bool = False,
        lossless: bool = True,
        compression: str = "",
        spool_seconds: float = 60.0,
        spool_mib: int = 512,
        credits: int = 2,  # noqa: A002 - what such systems call it
    ) -> None:
        if isinstance(start, int):
            raise Unsupported(
                f"{stream} comes from another host; there one can begin 'now' or with the 'oldest' "
                "sample, not at an index"
            )
        self.stream = stream
        self.is_connected = False
        self.n_outages = 0
        self.lost: Counter[str] = Counter()
        self.waiting = 0
        self.writer_lost = False
        self.stamps = 0, 0
        self.clock = IDENTITY
        self.clock_id = ""
        self._lossless = lossless
        self._open = pb.OpenStream(
            stream=stream,
            reader=uuid.uuid4().hex,
            oldest=start == "oldest",
            live=live,
            lossless=lossless,
            credits=0 if lossless else credits,
            compression=codec_of(compression),
            spool_seconds=spool_seconds,
            spool_mib=spool_mib,
        )
        self._said: Announcement | None = None
        self._decoder: Decoder | None = None
        self._index = 0
        self._feed, self._number = "", 0
        self._ready: deque[Event] = deque()
        self._held: list[Gap] = []
        self._told: set[Gap] = set()
        self._is_resumed = False
        self._parts: list[bytes] = []
        self._bytes, self._acknowledged = 0, 0.0
        self._owes_credit = False
        self._link = Link(host)

    # --- reading -----------------------------------------------------------------------------

    def read(self) -> Event | None:
        """Return what comes next; None if nothing did for half a second, or after `stop`.

        What was returned before is dealt with by then, and the other side need not keep it.

        Raises
        ------
        NotPermitted
            If the token is not, or no more, good.
        Unsupported
            If the other side cannot do what was asked for.
        StreamFormatError
            If what it sends is no stream.
        """
        if self._ready:
            return self._ready.popleft()
        link = self._link
        if link.is_stopped:
            return None
        if link.is_open:
            self._acknowledge()
        elif not self._connect():
            return None
        raw = link.next()
        if raw is None:
            self._note_outage()
            return None
        if is_data(raw):
            return self._take_data(raw)
        self._take_other(raw)
        return self._ready.popleft() if self._ready else None

    @property
    def position(self) -> int:
        """Index of the next sample."""
        return self._index

    @property
    def failure(self) -> RigmeshError | None:
        """Why the other side does not answer, or has no such stream yet."""
        return self._link.failure

    def stop(self) -> None:
        """Let `read` return at once, from now on; the other side need keep nothing."""
        self._link.stop()

    def close(self) -> None:
        """Stop, and hang up; by the thread that reads, or after it has ended."""
        self._link.close()
        self.is_connected = False

    # --- the link ----------------------------------------------------------------------------

    def _connect(self) -> bool:
        wanted = pb.OpenStream()
        wanted.CopyFrom(self._open)
        place = self._here()
        if place is not None:
            wanted.resume.CopyFrom(place)
        elif isinstance(self.failure, UnknownName):
            wanted.oldest = True  # it was not there, so that all of it is new
        self._owes_credit = False
        self._parts.clear()
        return self._link.open(wanted)

    def _note_outage(self) -> None:
        if self.is_connected and not self._link.is_stopped:
            self.n_outages += 1
        self.is_connected = False

    def _here(self) -> pb.Place | None:
        said = self._said
        if said is None:
            return None
        return pb.Place(
            feed=self._feed,
            number=self._number,
            ring=said.ring,
            epoch=said.epoch,
            index=self._index,
        )

    def _acknowledge(self) -> None:
        """Say what the reader has dealt with, now and then."""
        if self._owes_credit:
            self._owes_credit = False
            self._link.tell(pb.Told(credits=1))
        now = time.monotonic()
        if not self._bytes or (
            self._bytes < _SEEN_BYTES and now - self._acknowledged < _SEEN_EVERY
        ):
            return
        self._bytes, self._acknowledged = 0, now
        place = self._here()
        if place is not None and self._lossless:
            self._link.tell(pb.Told(seen=place))

    # --- messages ----------------------------------------------------------------------------

    def _take_other(self, raw: bytes) -> None:
        response = pb.CarryResponse.FromString(raw)
        what = response.WhichOneof("what")
        if what == "begun":
            self._begin(response.begun)
            return
        if not self.is_connected:
            # Not before: a relay begins before it finds that there is no such stream.
            self._link.works()
            self.is_connected = True
        if what == "alive":
            self.waiting, self.writer_lost = response.alive.waiting, response.alive.writer_lost
            if self._link.has_failed():
                self._bytes = max(1, self._bytes)  # say again how far we are
        elif what == "part":
            self._parts.append(response.part.data)
            if response.part.last:
                whole = b"".join(self._parts)
                self._parts.clear()
                if (chunk := self._take_data(whole)) is not None:
                    self._ready.append(chunk)
        else:
            self._number += 1
            self._bytes += len(raw)
            if what == "announced":
                self._announce(response.announced)
            elif what == "clock":
                self.clock = clock_from_wire(response.clock)
            elif what == "ended":
                self._tell_held()
                self._ready.append(Ended())

    def _begin(self, begun: pb.Begun) -> None:
        self.clock_id = begun.clock_id or self.clock_id
        self._is_resumed = self._is_resumed or begun.feed != self._feed
        self._feed, self._number = begun.feed, begun.number
        self._link.name(begun.feed)

    def _announce(self, message: pb.Announced) -> None:
        self.clock = clock_from_wire(message.clock)
        device = message.device_index if message.HasField("device_index") else None
        said = Announcement(
            info_from_wire(message.info), message.ring, message.epoch, message.index, device
        )
        old = self._said
        if old is None or old.ring != said.ring:
            self._tell_held()
            self._told.clear()
            self._index = said.index
        self._said, self._decoder = said, Decoder(said.info)
        # After an outage nothing may have changed.
        if old is None or replace(old, index=said.index) != said:
            self._ready.append(said)

    def _take_data(self, raw: bytes) -> Chunk | None:
        self._number += 1
        self._bytes += len(raw)
        if not self.is_connected:
            self._link.works()
            self.is_connected = True
        decoder = self._decoder
        if decoder is None:
            return None  # a relay that sends samples of it does not know what
        data = decoder.decode(raw, self.clock)
        chunk = data.chunk
        n = len(chunk.raw_timestamps)
        self._owes_credit = not self._lossless
        if not n:
            self._hold(chunk)
            return None
        # Most of the time there is nothing to tell of.
        if chunk.gaps or self._told or chunk.index != self._index:
            self._complete(chunk)
        self._is_resumed = False
        self._index = chunk.index + n
        self.stamps = data.received, data.published
        return chunk

    def _hold(self, chunk: Chunk) -> None:
        """Keep gaps for the samples behind them."""
        new = [gap for gap in chunk.gaps if not (self._is_resumed and gap in self._told)]
        self._held += new
        self._told.update(new)
        self._index = max(self._index, chunk.index)

    def _complete(self, chunk: Chunk) -> None:
        """Add the gaps that were told before, and what nobody has told of."""
        if self._is_resumed:
            chunk.gaps = tuple(gap for gap in chunk.gaps if gap not in self._told)
        chunk.gaps = (*self._held, *chunk.gaps)
        self._held.clear()
        self._told.clear()
        jumped = chunk.index - self._index
        told = sum(g.count for g in chunk.gaps if g.cause in (Cause.OVERRUN, Cause.TRANSPORT))
        if jumped > told:
            gap = Gap(Cause.TRANSPORT, chunk.epoch, chunk.index, jumped - told)
            chunk.gaps = (*chunk.gaps, gap)
        chunk.gaps = _merged(chunk.gaps)
        self._count_lost(chunk)

    def _count_lost(self, chunk: Chunk) -> None:
        for gap in chunk.gaps:
            self.lost[gap.cause.value] += gap.count

    def _tell_held(self) -> None:
        """Hand out the gaps with no samples behind them."""
        said = self._said
        if not self._held or said is None:
            return
        empty = empty_chunk(said.info)
        empty.index, empty.epoch, empty.clock = self._index, said.epoch, self.clock
        empty.gaps = _merged(tuple(self._held))
        self._held.clear()
        self._count_lost(empty)
        self._ready.append(empty)


def _merged(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """Make one gap of what one outage has cost: of the spool, unsent and sent, and of the ring."""
    lost = [gap for gap in gaps if gap.cause is Cause.TRANSPORT]
    if len(lost) < 2:
        return gaps
    whole = replace(lost[-1], count=sum(gap.count for gap in lost))
    return (*(gap for gap in gaps if gap.cause is not Cause.TRANSPORT), whole)


def empty_chunk(info: StreamInfo) -> Chunk:
    """Return a chunk of no samples of a stream."""
    stamps = np.empty(0)
    if info.dtype == "text":
        return Markers([], stamps, info=info)
    kind = Frames if info.kind == "frames" else Signal
    return kind(np.empty((0, *info.sample_shape), info.dtype), stamps, info=info)
