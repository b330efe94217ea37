"""Lab Streaming Layer: streams of other programs in, streams of ours out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.errors import (
    ParameterError,
    StateError,
    StreamFormatError,
    StreamLost,
)
from rigmesh.node import Input, Node, Output, Seconds, param, state
from rigmesh.streams import Cause, Markers, Signal, StreamInfo, local_clock
from rigmesh_nodes._lsl_connection import Connection, find
from rigmesh_nodes._lsl_outlet import Publisher, as_bytes, made_source_id
from rigmesh_nodes._lsl_search import (
    POLL,
    Search,
    Silence,
    describe,
    quoted,
    same_source,
)
from rigmesh_nodes._lsl_stamps import ClockKeeper, HoleFinder
from rigmesh_nodes._lsl_texts import LONGEST, fields_of, runs, text_of
from rigmesh_nodes._lsl_visible import LSLStream, visible_streams

__all__ = ["Inlet", "LSLStream", "MarkerOutlet", "Outlet", "visible_streams"]

_PULL = 0.2
"""The longest wait for a sample, and so for a stop, in seconds."""
_CLOCK_PERIOD = 2.0


class Inlet(Node):
    """Receives a stream of another program, and goes on when that program was restarted.

    Numbers come out of `signal`, texts out of `markers`; of several text channels each sample is
    a JSON list. Stamps are the sender's; the offset of its clock is measured every 2 s and lies
    beside them. A sender that comes back, in the same format or another, begins a new epoch.

    LSL drops samples without a word when a buffer is full. That shows only where stamps are as
    even as a counter's: there, a step of more than 1.5 periods is a `transport` gap with an
    estimated count. In other streams (stamped on arrival, or irregular) it cannot be found.
    """

    detached = "lsl"

    signal = Output(Signal)
    markers = Output(Markers)

    stream: str = param(
        default="", doc="Name of the LSL stream; or use `predicate`.", examples=["EEG"]
    )
    predicate: str = param(
        default="",
        doc="XPath predicate over LSL's description of the stream, instead of its name.",
        examples=["type='EEG' and hostname='rig-2'", "source_id='amp-1'"],
    )
    timeout: Seconds = param(default=10.0, ge=0, doc="How long to wait for a stream not there yet.")
    buffer: Seconds = param(
        default=60.0,
        gt=0,
        le=3600,
        doc="How much liblsl keeps for us (of irregular streams, in hundreds of samples).",
    )
    interval: Seconds = param(
        default=0.0,
        ge=0,
        le=1,
        live=True,
        doc="Take samples only so often: they come later, and cost less. 0: at once, as texts do.",
        examples=["100 ms"],
    )
    recover: bool = param(
        default=True, doc="Wait for a lost stream to come back; otherwise the node fails."
    )

    _connection: Connection | None = None

    def open(self) -> None:
        """Find the stream."""
        if bool(self.stream) == bool(self.predicate):
            raise ParameterError(
                f"{self.name}: give either `stream` or `predicate`; found stream={self.stream!r} "
                f"and predicate={self.predicate!r}"
            )
        self._wanted = wanted = self.predicate or f"name={quoted(self.stream)}"
        self._output: Output[Any] = self.signal
        self._use(find(wanted, self.timeout, self._connect, self.wait))

    def prepare(self) -> None:
        """Announce what the stream gives."""
        self._announce()

    def acquire(self) -> Iterator[None]:
        """Receive until stopped."""
        while not self.is_stopping:
            try:
                self._receive()
                if self._silence.successor():
                    raise StreamLost(f"LSL stream {self._info.name!r} fell silent")
            except StreamLost as lost:
                unread = self._connected.unread
                if unread:
                    self._output.lose(unread, cause=Cause.TRANSPORT, exact=False)
                if not self.recover:
                    raise
                self.log.warning("%s; waiting for it to come back", lost)
                self._come_back()
            yield

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._silence.close()
            self._connection.close()
            self._connection = None

    def _connect(self, found: Any) -> Connection:
        return Connection(found, self.buffer, lambda: self.is_stopping)

    def _come_back(self) -> None:
        """Wait for the same source; announce what it gives now."""
        source, is_told = self._info.source_id, False
        with Search(self._wanted) as search:
            while self.wait(POLL):
                found = search.found()
                same = [one for one in found if one.source_id() == source]
                if len(same) == 1:
                    try:
                        connection = self._connect(same[0])
                    except StreamLost:  # gone again, or the one before was still listed
                        continue
                    self._use(connection)
                    self._announce(new_epoch=True)
                    self.log.warning("%r is back", self._info.name)
                    return
                if found and not is_told:
                    is_told = True
                    self.log.warning("not taken for source_id %r: %s", source, describe(found))

    def _use(self, connection: Connection) -> None:
        self.close()
        self._connection = connection
        self._info = connection.info
        self._silence = Silence(same_source(self._wanted, self._info.source_id), connection.uid)
        self._holes = HoleFinder(self._info.sampling_rate)
        self._clock = ClockKeeper(connection.clock)
        self._clock_due = local_clock() + _CLOCK_PERIOD
        if "<bad_metadata>" in self._info.description:
            self.log.warning("bad metadata of %r; its description says why", self._info.name)
        if math.isinf(self._clock.model.uncertainty):
            self.log.warning(
                "the clock of %s does not answer (is UDP blocked?); stamps are taken as local",
                connection.hostname,
            )

    def _announce(self, *, new_epoch: bool = False) -> None:
        is_text = self._info.kind == "markers"
        output: Output[Any] = self.markers if is_text else self.signal
        if new_epoch and output is not self._output:
            raise StreamFormatError(
                f"LSL stream {self._info.name!r} came back as {self._info.kind}; start it anew"
            )
        info, clock = self._info, self._clock.model
        if not clock.is_identity or clock.uncertainty:
            info = replace(info, clock_id=f"lsl:{self._connected.hostname}")
        self._output = output
        output.force_new_epoch = new_epoch
        output.announce(info)
        output.clock = clock

    # --- receiving ---------------------------------------------------------------------------

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise StateError(f"{self.name} is not open")
        return self._connection

    def _receive(self) -> None:
        connection, interval = self._connected, self.interval
        data, stamps = connection.gather(interval) if interval else connection.pull(_PULL)
        self._look_at_clock()
        if not len(stamps):
            return
        self._silence.broken()
        was_useless = self._holes.is_useless
        begin = 0
        for hole in self._holes.find(stamps):
            self._push(data[begin : hole.position], stamps[begin : hole.position])
            self._output.lose(
                hole.count, cause=Cause.TRANSPORT, duration=hole.duration, exact=False
            )
            begin = hole.position
        self._push(data[begin:], stamps[begin:])
        if self._holes.is_useless and not was_useless:
            self.log.warning(
                "stamps of %r come late at times: the gap told last may be none, and no more "
                "are looked for",
                self._info.name,
            )

    def _push(self, data: npt.NDArray[Any], stamps: npt.NDArray[np.float64]) -> None:
        if self._info.kind == "signal":
            if len(stamps):
                self.signal.push(Signal(data, stamps))
            return
        texts = [text_of(row) for row in data]
        passed = 0
        for run in runs(texts):
            self._refuse_texts(run.start - passed)
            self.markers.push(Markers(texts[run], stamps[run]))
            passed = run.stop
        self._refuse_texts(len(texts) - passed)

    def _refuse_texts(self, n: int) -> None:
        if n:
            self.log.warning("%d texts of more than %d bytes are not taken", n, LONGEST)
            self.markers.lose(n, cause=Cause.TRANSPORT)

    def _look_at_clock(self) -> None:
        if local_clock() < self._clock_due:
            return
        self._clock_due = local_clock() + _CLOCK_PERIOD
        measured = self._connected.measured_clock()
        if measured is None:
            return
        if self._clock.update(measured):
            self.log.warning("the clock of %s was reset", self._connected.hostname)
            self._announce(new_epoch=True)
        elif self._output.clock != self._clock.model:
            self._output.clock = self._clock.model


class Outlet(Node):
    """Publishes a stream to every program that speaks LSL, with labels, units and description.

    Stamps are those of the samples, on the local clock. LSL has no word for a gap: it shows in
    the stamps only. Unsigned samples travel as the next wider signed format.
    """

    detached = "lsl"

    stream = Input(Signal, Markers)

    stream_name: str = param(
        default="", doc="Name of the LSL stream; the name of the linked stream if empty."
    )
    stype: str = param(default="", doc="LSL's content type; the linked stream's if empty.")
    source_id: str = param(
        default="",
        doc="What receivers find the stream by after a restart; made of the host and the linked "
        "stream if empty.",
    )
    buffer: Seconds = param(
        default=60.0,
        gt=0,
        le=3600,
        doc="How much is kept for a slow receiver (of irregular streams, in hundreds of samples).",
    )
    chunk_size: int = param(
        default=0, ge=0, doc="Samples sent at a time; 0 sends each chunk as it comes."
    )
    linger: Seconds = param(
        default=0.5,
        ge=0,
        le=10,
        doc="How long receivers get to take the last samples before the outlet is gone.",
    )

    def open(self) -> None:
        """Have nothing published."""
        self._publisher = Publisher()

    def prepare(self) -> None:
        """Make the outlet, unless there is one that says the same."""
        info = self.stream.info
        wanted = replace(
            info,
            name=self.stream_name or info.name,
            stype=self.stype or info.stype,
            # A derived stream carries its origin's identifier on: taken over, a receiver of
            # the origin might recover with this one.
            source_id=self.source_id or made_source_id(info.name),
        )
        self._publisher.announce(
            wanted, buffer=self.buffer, linger=self.linger, chunk_size=self.chunk_size
        )

    def process(self, chunk: Signal | Markers) -> None:
        """Publish a chunk."""
        data = self._texts(chunk) if isinstance(chunk, Markers) else chunk.data
        self._publisher.push(data, chunk.timestamps.tolist())

    def close(self) -> None:
        """Give receivers time for the last samples; remove the outlet."""
        self._publisher.close()

    def _texts(self, chunk: Markers) -> list[bytes]:
        n_channels = self.stream.info.n_channels
        if n_channels == 1:
            return as_bytes(chunk.data)
        name = self.stream.info.name
        return as_bytes([one for text in chunk.data for one in fields_of(text, n_channels, name)])


class MarkerOutlet(Node):
    """Publishes events as LSL markers, for a stimulator or presentation program that acts on them.

    :class:`Outlet` publishes any stream as it is; this is the end of a loop. It chooses events and
    says what each is called, always in one irregular channel of text, so that a receiver finds the
    same stream whatever the loop gives. Markers are sent at once; liblsl runs in a process of its
    own, so the loop never waits for a receiver.
    """

    detached = "lsl"

    events = Input(Markers)

    stream_name: str = param(default="rigmesh-events", min_length=1, doc="Name of the LSL stream.")
    stype: str = param(default="Markers", doc="LSL's content type.")
    source_id: str = param(
        default="",
        doc="What receivers find the stream by after a restart; made of the host and the stream's "
        "name if empty.",
    )
    messages: dict[str, str] = param(
        default={},
        live=True,
        doc="Texts of events and what is sent for each. If there are any, other events are not "
        "sent; otherwise each is sent as it is.",
        examples=[{"ripple": "S  1", "spindle": "S  2"}],
    )
    prefix: str = param(
        default="", live=True, doc="Put before each text.", examples=["closed-loop/"]
    )
    stamps: Literal["event", "sent"] = param(
        default="event",
        live=True,
        doc="Stamp markers with the time of the event, or with that of sending them.",
    )
    linger: Seconds = param(
        default=0.5,
        ge=0,
        le=10,
        doc="How long receivers get to take the last markers before the outlet is gone.",
    )

    n_sent: int = state(default=0, doc="Markers sent.")
    n_left_out: int = state(default=0, doc="Events that `messages` does not name.")

    def open(self) -> None:
        """Have nothing published."""
        self._publisher = Publisher()

    def prepare(self) -> None:
        """Make the outlet, unless there is one that says the same."""
        info = StreamInfo.markers(
            self.stream_name,
            stype=self.stype,
            source_id=self.source_id or made_source_id(self.stream_name),
        )
        self._publisher.announce(info, buffer=60.0, linger=self.linger)

    def process(self, chunk: Markers) -> None:
        """Publish the events that are to be."""
        times, texts = chunk.timestamps.tolist(), chunk.data
        if self.messages:
            known = [at for at, text in enumerate(texts) if text in self.messages]
            self.n_left_out += len(texts) - len(known)
            times = [times[at] for at in known]
            texts = [self.messages[texts[at]] for at in known]
        if self.stamps == "sent":
            times = [self.runtime.now] * len(times)
        if texts:
            self._publisher.push(as_bytes([self.prefix + text for text in texts]), times)
            self.n_sent += len(texts)

    def close(self) -> None:
        """Give receivers time for the last markers; remove the outlet."""
        self._publisher.close()
