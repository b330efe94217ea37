"""Streams of other hosts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from rigmesh.clocks.estimate import ClockEstimate, ClockState
from rigmesh.clocks.prober import ClockWave
from rigmesh.errors import ParameterError, StreamNotFound
from rigmesh.node import Node, Output, Seconds, param, state
from rigmesh.relay.clock import HostClock, Waves, borrow_clock, composed, return_clock
from rigmesh.relay.memory import keep_memory
from rigmesh.relay.reader import Announcement, Ended, Event, RelayReader
from rigmesh.relay.target import relay_host
from rigmesh.streams import (
    IDENTITY,
    Cause,
    Chunk,
    Frames,
    Markers,
    Signal,
    StreamInfo,
    clock_id,
    local_clock,
)

__all__ = ["Clock", "Inlet"]

_CLOCK_WITHIN = 3.0
_LOOK_EVERY = 0.5
_LATE = 1.0
"""What comes so long after it was published was held up on the way, in seconds."""
_PROBE_COLUMNS = ("t0", "t1", "t2", "t3", "offset", "uncertainty")


class Inlet(Node):
    """Publishes a stream of another host here, as it is there.

    Samples keep their raw stamps, their index and their epoch; so do gaps. While the link is down
    the other host keeps what comes, and it follows once the link is back: nothing is lost unless
    that takes longer than `spool_seconds` or needs more than `spool_mib`. What is lost then is a
    gap with the cause `transport` and its exact count; after it, as after any gap, the index
    counts on without the samples that are missing.

    Epochs have the numbers that they have there, as long as those only grow. If this graph is
    started again in the middle of an epoch, or the other host counts anew, they are higher here,
    by `epochs_ahead`.

    Stamps are mapped onto the clock of this host by the clock model of the stream on the other
    host, followed by the estimate of that host's clock, which is made new every 2 s. Before there
    is an estimate its `clock_state` is ``unsynced``, and stamps are taken as they are.
    """

    detached = "relay"

    relayed = Output(Signal, Markers, Frames)

    address: str = param(
        default="",
        doc="Host and port of the daemon that the stream comes from; `rigmesh login` has stored "
        "its credentials.",
        examples=["rig-2:5678"],
    )
    stream: str = param(default="", doc="Name of the stream there.", examples=["amplifier.signal"])
    compression: Literal["", "lz4", "zstd"] = param(
        default="", doc="Compress samples on the way, without loss; for slow networks."
    )
    spool_seconds: Seconds = param(
        default=60.0,
        ge=1,
        le=600,
        doc="How long the other host keeps samples for this one while the link is down.",
    )
    spool_mib: int = param(
        default=512, ge=1, le=4096, doc="How much it keeps, in MiB; no more than its daemon allows."
    )
    timeout: Seconds = param(
        default=10.0, ge=0, doc="How long to wait for a stream that is not there yet."
    )

    is_connected: bool = state(default=False, doc="Whether the other host answers.")
    n_outages: int = state(default=0, doc="How often it did not, after it had.")
    n_lost: int = state(default=0, doc="Samples lost between the hosts.")
    seconds_behind: float = state(
        default=0.0, doc="Age of the newest sample when it came, or how long none could come."
    )
    epochs_ahead: int = state(default=0, doc="Epochs here less epochs there.")
    clock_state: str = state(
        default="unsynced",
        doc="How well the clock of the other host is known: unsynced, coarse, locked, holdover; "
        "same if it is this machine's.",
    )
    clock_offset: float = state(default=0.0, doc="Seconds to add to a stamp of the other host.")
    clock_uncertainty: float = state(
        default=-1.0, doc="Half-width of the interval with the true offset, in s; -1: not known."
    )

    _reader: RelayReader | None = None
    _clock: HostClock | None = None

    def open(self) -> None:
        """Connect: from then on whatever the stream gives is kept for us, from its beginning."""
        if not self.address or not self.stream:
            raise ParameterError(
                f"{self.name}: give the address of a host and the name of one of its streams; "
                f"found address={self.address!r} and stream={self.stream!r}"
            )
        host = relay_host(self.address)
        keep_memory()  # the process that inlets are detached into has no other nodes
        reader = self._reader = RelayReader(
            host,
            self.stream,
            live=True,
            compression=self.compression,
            spool_seconds=self.spool_seconds,
            spool_mib=self.spool_mib,
        )
        self._clock = borrow_clock(host)
        self._source_clock, self._host_clock, self._clock_epoch = IDENTITY, IDENTITY, 0
        self._clock_time, self._is_mapped = 0.0, False
        self._said: Announcement | None = None
        self._was_connected = self._is_told = False
        self._last_contact = self._came = local_clock()
        self._look_due = 0.0
        self._early: deque[Event] = deque()
        self._deadline = local_clock() + self.timeout
        while not (reader.is_connected or self.is_stopping or local_clock() > self._deadline):
            event = reader.read()
            if event is not None:
                self._early.append(event)

    def prepare(self) -> None:
        """Announce what comes, once that is known."""
        reader, clock = self._parts()
        if self._said is not None:
            return  # the links have changed, or a parameter; the stream has not
        event = None
        while not isinstance(event, Announcement):
            event = self._early.popleft() if self._early else reader.read()
            if self.is_stopping:
                return
            if isinstance(event, Ended) or local_clock() > self._deadline:
                why = f": {reader.failure}" if reader.failure is not None else ""
                raise StreamNotFound(
                    f"no stream {self.stream!r} from {self.address} within {self.timeout} s{why}"
                )
        # Samples before the first estimate would be stamped by another machine's clock.
        clock.wait(_CLOCK_WITHIN)
        self._follow(event)
        self._look_around()

    def acquire(self) -> Iterator[None]:
        """Hand on what comes, until stopped or the stream is over."""
        reader, _ = self._parts()
        while not self.is_stopping:
            event = reader.read()
            if isinstance(event, Chunk):
                self._push(event)
            elif isinstance(event, Announcement):
                self._follow(event)
            elif isinstance(event, Ended):
                return
            if event is None or local_clock() > self._look_due:
                self._look_around()
            yield

    def request_stop(self) -> None:
        """Let `acquire` return, also from the midst of waiting."""
        super().request_stop()
        if self._reader is not None:
            self._reader.stop()

    def close(self) -> None:
        """Hang up."""
        reader, self._reader = self._reader, None
        clock, self._clock = self._clock, None
        if reader is not None:
            reader.close()
        if clock is not None:
            return_clock(clock)

    # --- inside ------------------------------------------------------------------------------

    def _parts(self) -> tuple[RelayReader, HostClock]:
        if self._reader is None or self._clock is None:
            raise StreamNotFound(f"{self.name} is not open")
        return self._reader, self._clock

    def _follow(self, said: Announcement) -> None:
        output = self.relayed
        old = self._said
        if old is None or said.ring != old.ring:
            least = output.epoch if old is None else output.epoch + 1
            self.epochs_ahead = max(self.epochs_ahead, least - said.epoch)
        reader, clock = self._parts()
        info, self._source_clock = said.info, reader.clock
        if clock.is_same and info.clock_id == clock_id():
            info = replace(info, clock_id="")
        self._said = said
        output.follow(
            info,
            epoch=said.epoch + self.epochs_ahead,
            index=said.index,
            device_index=said.device_index,
        )
        self._use_clock()

    def _push(self, chunk: Chunk) -> None:
        reader, _ = self._parts()
        if chunk.clock != self._source_clock:
            self._source_clock = chunk.clock
            self._use_clock()
        output: Output[Any] = self.relayed
        for gap in chunk.gaps:
            if gap.cause is not Cause.RESTART:
                output.lose(gap.count, cause=gap.cause, duration=gap.duration, exact=gap.exact)
        if len(chunk):
            self._came = local_clock()
            came = reader.stamps[0]
            received = int(1e9 * self._host_clock.to_local(came / 1e9)) if came else 0
            received = received if self._is_mapped else 0
            output.is_late = received > 0 and self._came - received / 1e9 > _LATE
            output.push(
                type(chunk)(chunk.data, chunk.raw_timestamps, clock=output.clock),
                received=received,
            )

    def _use_clock(self) -> None:
        _, clock = self._parts()
        self._host_clock = model = clock.model()
        self._is_mapped = math.isfinite(model.uncertainty)
        self.relayed.clock = composed(self._source_clock, model)

    def _begin_epoch(self, index: int) -> None:
        """Begin an epoch that there is only here: the other host's clock has jumped."""
        self.log.warning("the clock of %s was reset", self.address)
        if self._said is not None:
            self.epochs_ahead += 1
            self._follow(replace(self._said, index=index))

    def _look_around(self) -> None:
        """Bring clock and states up to date, a few times a second."""
        now = local_clock()
        self._look_due = now + _LOOK_EVERY
        reader, clock = self._parts()
        self._look_at_link(reader, clock, now)
        if clock.is_same:
            self.clock_state, self.clock_offset, self.clock_uncertainty = "same", 0.0, 0.0
            return
        estimate = clock.estimate
        if estimate.epoch != self._clock_epoch:
            self._clock_epoch = estimate.epoch
            self._begin_epoch(reader.position)
        self.clock_state = estimate.state.value
        self.clock_offset = estimate.offset
        self.clock_uncertainty = _told(estimate)
        if self._said is not None and estimate.time != self._clock_time:
            self._clock_time = estimate.time
            self._use_clock()

    def _look_at_link(self, reader: RelayReader, clock: HostClock, now: float) -> None:
        self.is_connected, self.n_outages = reader.is_connected, reader.n_outages
        self.n_lost = reader.lost[Cause.TRANSPORT.value]
        if reader.is_connected:
            if not self._was_connected:
                clock.refresh()
                if self._is_told:
                    self.log.warning("the link to %s is back", self.address)
            self._last_contact = now
            published = reader.stamps[1]
            if published and self._is_mapped:
                age = self._came - self._host_clock.to_local(published / 1e9)
                self.seconds_behind = max(0.0, age)
        else:
            if self._was_connected:
                self._is_told = True
                self.log.warning("the link to %s is down; trying again", self.address)
            self.seconds_behind = now - self._last_contact
        self._was_connected = reader.is_connected


class Clock(Node):
    """Publishes the probes by which the clock of another host is measured here.

    Recorded beside the streams of that host, they allow to map its stamps anew later, over the
    whole recording at once. Each sample is a probe that was answered: ``t0`` it left, on the clock
    of this host, ``t1`` it came and ``t2`` its answer left, on the clock of the other one, ``t3``
    the answer came; then the estimate after its wave: ``offset`` is to be added to a stamp of the
    other host, and is wrong by no more than ``uncertainty``. All are in seconds. If that host has
    the same clock, there is nothing to measure.
    """

    detached = "relay"

    probes = Output(Signal)

    address: str = param(
        default="", doc="Host and port of the other daemon.", examples=["rig-2:5678"]
    )

    clock_state: str = state(
        default="unsynced",
        doc="How well the clock is known: unsynced, coarse, locked, holdover; same if it is this "
        "machine's.",
    )
    clock_offset: float = state(default=0.0, doc="Seconds to add to a stamp of the other host.")
    clock_uncertainty: float = state(
        default=-1.0, doc="Half-width of the interval with the true offset, in s; -1: not known."
    )

    _clock: HostClock | None = None

    def open(self) -> None:
        """Begin to measure."""
        if not self.address:
            raise ParameterError(f"{self.name}: give the address of a host; found none")
        self._waves: Waves = deque(maxlen=1000)
        self._clock = borrow_clock(relay_host(self.address), self._waves)

    def prepare(self) -> None:
        """Announce the columns."""
        columns = StreamInfo.signal(
            self.probes.stream, channels=_PROBE_COLUMNS, sampling_rate=0.0, unit="s"
        )
        self.probes.announce(columns)

    def acquire(self) -> Iterator[Signal | None]:
        """Hand on the probes, wave by wave."""
        while self.wait(_LOOK_EVERY):
            if self._clock is not None:
                estimate = self._clock.estimate
                self.clock_state, self.clock_offset = self._clock.state, estimate.offset
                self.clock_uncertainty = 0.0 if self._clock.is_same else _told(estimate)
            while self._waves:
                wave = self._waves.popleft()
                yield _rows(wave) if wave.probes else None

    def close(self) -> None:
        """Stop measuring."""
        clock, self._clock = self._clock, None
        if clock is not None:
            return_clock(clock, self._waves)


def _rows(wave: ClockWave) -> Signal:
    times = np.array(wave.probes, np.float64) / 1e9
    known = wave.estimate.offset, wave.estimate.uncertainty
    rows = np.hstack([times, np.broadcast_to(known, (len(times), 2))])
    return Signal(rows, times[:, 3].copy())


def _told(estimate: ClockEstimate) -> float:
    """Return an uncertainty as JSON takes it."""
    return -1.0 if estimate.state is ClockState.UNSYNCED else estimate.uncertainty
