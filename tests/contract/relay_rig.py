"""A host in one process for tests of the relay: a daemon's word, rings, a relay."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np

from rigmesh.errors import UnknownName
from rigmesh.relay.reader import Announcement, Ended, Event, RelayReader
from rigmesh.relay.target import RelayHost, SocketHost
from rigmesh.rpc import FAILURE_KEY, failure_of
from rigmesh.streams import Cause, Chunk, Gap, Markers, Signal, StreamInfo
from rigmesh.streams.wire import info_to_wire
from rigmesh.transports import RingState, RingWriter, ShmTransport, process_token
from rigmesh_daemon.relay.consumer import Limits
from rigmesh_daemon.relay.lease import DaemonLink
from rigmesh_daemon.relay.server import serve_socket
from rigmesh_daemon.relay.service import Relay
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import Ring

__all__ = ["Rig", "Seen", "Source", "until"]

WITHIN = 15.0
RATE = 1000.0


def until(condition: Callable[[], object], within: float = WITHIN) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.005)


class Source:
    """A stream whose channel 0 counts its samples over all epochs, as a device does."""

    def __init__(
        self, rig: Rig, name: str = "source.signal", *, blocking: bool = False, **info: Any
    ) -> None:
        settings: dict[str, Any] = {"channels": 2, "sampling_rate": RATE, **info}
        self.info = StreamInfo.signal(name, **settings)
        self.rings: list[Ring] = []
        self.is_over = False
        self.number = 0
        self.epoch = -1
        self.capacity = 20_000
        self._rig = rig
        self._blocking = blocking
        self._writers: list[RingWriter] = []
        rig.sources[name] = self

    @property
    def writer(self) -> RingWriter:
        """The writer of the present epoch."""
        return self._writers[-1]

    def begin(self, *, lost: int = 0) -> Self:
        """Begin an epoch, after so many samples that nobody took from the device."""
        self.number += lost
        self.is_over = False
        self.epoch += 1
        writer = self._rig.transport.writer(
            self.info, self.capacity, epoch=self.epoch, blocking=self._blocking
        )
        writer.ring.header.device_index = self.number
        if self._writers:
            state = RingState.LOST if lost else RingState.MOVED
            self._writers[-1].ring.header.state = state
        self._writers.append(writer)
        self.rings.append(
            Ring(
                stream=self.info.name,
                epoch=self.epoch,
                segment=writer.segment.name,
                info=info_to_wire(self.info),
            )
        )
        self._rig.changed()
        return self

    def send(self, n: int, *, at_once: int = 10) -> None:
        """Write so many samples."""
        for start in range(0, n, at_once):
            count = min(at_once, n - start)
            numbers = np.arange(self.number, self.number + count)
            data = np.zeros((count, self.info.n_channels), self.info.dtype)
            data[:, 0] = numbers % np.iinfo(data.dtype).max if data.dtype.kind in "iu" else numbers
            self.number += count
            self.writer.send(Signal(data, 100.0 + numbers / RATE))

    def lose(self, count: int) -> None:
        """Let the device lose samples."""
        self.number += count
        ring = self.writer.ring
        self.writer.lose(Gap(Cause.DEVICE, self.epoch, ring.written, count))

    def end(self) -> None:
        """Say that nothing follows."""
        self.writer.end()
        self.is_over = True
        self._rig.changed()

    def forget(self) -> None:
        """Let the daemon forget its rings, as it does when another run begins."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self.rings.clear()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class TextSource(Source):
    """A stream of texts."""

    def __init__(self, rig: Rig, name: str = "marks.out") -> None:
        super().__init__(rig, name)
        self.info = StreamInfo.markers(name)

    def say(self, *texts: str) -> None:
        """Write texts."""
        stamps = [100.0 + self.number + k for k in range(len(texts))]
        self.number += len(texts)
        self.writer.send(Markers.at(stamps, texts))


class _Control:
    """The part of a daemon that says where rings lie."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        subscribe = grpc.unary_stream_rpc_method_handler(
            self.subscribe, pb.SubscribeRequest.FromString, pb.SubscribeResponse.SerializeToString
        )
        self.handler = grpc.method_handlers_generic_handler(
            "rigmesh_proto.v1.ControlService", {"Subscribe": subscribe}
        )

    def subscribe(
        self, request: pb.SubscribeRequest, context: Any
    ) -> Iterator[pb.SubscribeResponse]:
        """Name the rings of a stream."""
        rig = self._rig
        source = rig.sources.get(request.stream)
        if source is None:
            failure = failure_of(UnknownName.among("stream", request.stream, rig.sources))
            context.set_trailing_metadata(((FAILURE_KEY, failure.SerializeToString()),))
            context.abort(grpc.StatusCode.NOT_FOUND, "no such stream")
            return
        sent: set[str] = set()
        changes = rig.watch()
        context.add_callback(lambda: changes.put(None))
        while context.is_active() and not rig.is_closing:
            for ring in list(source.rings):
                if ring.segment not in sent:
                    sent.add(ring.segment)
                    yield pb.SubscribeResponse(ring=ring, session=rig.token)
            if source.is_over:
                yield pb.SubscribeResponse(ended=True, session=rig.token)
                return
            changes.get()


class Rig:
    """A host."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.token = process_token()
        self.transport = ShmTransport(self.token)
        self.sources: dict[str, Source] = {}
        self.is_closing = False
        self.socket = folder / "relay.sock"
        self._limits = Limits(**limits)
        self._watchers: list[queue.SimpleQueue[None]] = []
        self._daemon_socket = folder / "daemon.sock"
        self._daemon = grpc.server(ThreadPoolExecutor(32))
        self._daemon.add_generic_rpc_handlers((_Control(self).handler,))
        self._daemon.add_insecure_port(f"unix:{self._daemon_socket}")
        self._daemon.start()
        self._link: DaemonLink | None = None
        self.relay: Relay
        self._server: grpc.Server
        self.start_relay()

    @property
    def host(self) -> SocketHost:
        """How it is reached."""
        return SocketHost(self.socket)

    def watch(self) -> queue.SimpleQueue[None]:
        """Return what is put something into at each change."""
        changes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._watchers.append(changes)
        return changes

    def changed(self) -> None:
        """Wake who watches."""
        for changes in list(self._watchers):
            changes.put(None)

    def start_relay(self) -> None:
        """Start a relay that knows of no consumer."""
        self._link = DaemonLink(self._daemon_socket)
        self.relay = Relay(self._link, limits=self._limits)
        self._server = self.serve(self.relay)

    def serve(self, relay: Relay) -> grpc.Server:
        """Let a relay be reached."""
        return serve_socket(relay, self.socket)

    def stop_relay(self) -> None:
        """Stop the relay, with all that it keeps."""
        self.relay.stop()
        self._server.stop(0.2).wait()
        self.relay.close()
        if self._link is not None:
            self._link.close()

    def reader(self, stream: str = "source.signal", **settings: Any) -> Seen:
        """Read a stream in a thread."""
        host = settings.pop("host", self.host)
        return Seen(host, stream, **settings)

    def close(self) -> None:
        self.stop_relay()
        self.is_closing = True
        self.changed()
        self._daemon.stop(0.2).wait()
        for source in self.sources.values():
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Seen:
    """What a reader sees; reads in a thread of its own until it is closed or the stream is over."""

    def __init__(self, host: RelayHost, stream: str, **settings: Any) -> None:
        self.reader = RelayReader(host, stream, **{"start": "oldest", **settings})
        self.chunks: list[Chunk] = []
        self.announced: list[Announcement] = []
        self.ended = False
        self.error: Exception | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.on_event: Callable[[Event], None] = lambda event: None
        self._closing = False
        self._thread = threading.Thread(target=self._read, name="source of a test", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while not (self.ended or self._closing):
                self.goes_on.wait()
                event = self.reader.read()
                if event is not None:
                    self.on_event(event)
                if isinstance(event, Chunk):
                    self.chunks.append(event)
                elif isinstance(event, Announcement):
                    self.announced.append(event)
                elif isinstance(event, Ended):
                    self.ended = True
        except Exception as error:
            self.error = error

    @property
    def n(self) -> int:
        """Samples seen."""
        return sum(len(chunk) for chunk in list(self.chunks))

    @property
    def numbers(self) -> list[int]:
        """What channel 0 says of each sample."""
        return [int(v) for chunk in list(self.chunks) for v in chunk.data[:, 0]]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Epoch and index of each sample."""
        return [(c.epoch, i) for c in list(self.chunks) for i in range(c.index, c.stop)]

    @property
    def gaps(self) -> list[Gap]:
        """All gaps."""
        return [gap for chunk in list(self.chunks) for gap in chunk.gaps]

    def wait(self, n: int) -> None:
        """Wait for so many samples in all."""
        until(lambda: self.n >= n or self.error is not None)
        assert self.error is None, self.error

    def wait_for_end(self) -> None:
        """Wait until the stream is over."""
        until(lambda: self.ended or self.error is not None)
        assert self.error is None, self.error

    def close(self) -> None:
        self._closing = True
        self.goes_on.set()
        self.reader.stop()
        self._thread.join(WITHIN)
        assert not self._thread.is_alive()
        self.reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
