"""A serial device made of a pseudo-terminal, and what drives a node that is linked to it."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import pty
import select
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rigmesh.node import InputLink, NodeRunner, Runtime
from rigmesh.node.testing import Collector, TestRuntime
from rigmesh.streams import Chunk, Markers, Signal, StreamInfo
from rigmesh_nodes.serial_ttl import SerialTTL

DEADLINE = 10.0


class Device:
    """The other end of a serial line."""

    def __init__(self) -> None:
        self._end, line = pty.openpty()
        tty.setraw(line)
        self.path = os.ttyname(line)
        self._line = line
        os.set_blocking(line, False)

    def receive(self, n: int) -> bytes:
        """Wait for so many bytes and return all that came."""
        received = b""
        end = time.monotonic() + DEADLINE
        while len(received) < n:
            assert select.select([self._end], [], [], end - time.monotonic())[0], received
            received += os.read(self._end, 2**16)
        return received

    def send(self, message: bytes) -> None:
        os.write(self._end, message)

    def clog(self) -> None:
        """Fill the line until it takes no more."""
        self._fill()
        # The kernel goes on moving bytes to our end, until that is full, too.
        end = time.monotonic() + DEADLINE
        while self._n_waiting() < 4095:
            assert time.monotonic() < end
        self._fill()

    def _fill(self) -> None:
        for size in (4096, 1):  # a rest may be too small for the one and hold the other
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self._line, b"." * size)

    def _n_waiting(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self._end, termios.FIONREAD, count)
        return count[0]

    def unplug(self) -> None:
        os.close(self._end)
        self._end = -1

    def close(self) -> None:
        for end in (self._end, self._line):
            if end >= 0:
                os.close(end)


class Loop:
    """A running SerialTTL; its clock stands where the test puts it, unless it has another runtime.

    Attributes
    ----------
    fired : Collector
        What the node says it sent.
    """

    def __init__(
        self, node: SerialTTL, *, heartbeat: bool = False, runtime: Runtime | None = None
    ) -> None:
        self.node = node
        self.clock = TestRuntime()
        node.runtime = runtime or self.clock
        self.runner = NodeRunner(node, "ttl")
        self.fired = Collector()
        node.fired.add_target(self.fired)
        self._links = {"events": InputLink("control.events")}
        if heartbeat:
            self._links["heartbeat"] = InputLink("amp.signal")
        for port, link in self._links.items():
            node.port(port).links.append(link)

    def start(self) -> None:
        self.runner.open()
        for port, link in self._links.items():
            signal = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000)
            info = StreamInfo.markers(link.stream) if port == "events" else signal
            self.runner.input_announced(link, info, new_epoch=False)
        self._raise()
        self.runner.start()

    def event(self, *texts: str, at: float | None = None, **more: Any) -> None:
        """Feed events of one time: now, if no other is given."""
        time = self.node.runtime.now if at is None else at
        self._feed("events", Markers(list(texts or ["go"]), np.full(len(texts or "1"), time),
                                     **more))  # fmt: skip

    def beat(self, at: float | None = None) -> None:
        """Feed a chunk of the heartbeat's signal."""
        time = self.node.runtime.now if at is None else at
        self._feed("heartbeat", Signal(np.zeros((1, 1)), np.array([time])))

    def advance(self, now: float) -> None:
        self.clock.advance(now)

    def told(self) -> list[tuple[str, float]]:
        return [
            (text, float(stamp))
            for chunk in self.fired.chunks
            for text, stamp in zip(chunk.data, chunk.raw_timestamps, strict=True)
        ]

    def _feed(self, port: str, chunk: Chunk) -> None:
        take = self.runner.handler(port)
        with self.runner.lane:
            take(chunk)
        self._raise()

    def _raise(self) -> None:
        if self.runner.failure is not None:
            raise self.runner.failure

    def finish(self) -> None:
        self.runner.finish(timeout=DEADLINE)


@contextlib.contextmanager
def starting(device: Device) -> Iterator[Callable[..., Loop]]:
    """Start SerialTTLs on a device; in the end they are closed."""
    with contextlib.ExitStack() as stack:

        def start(*, heartbeat: bool = False, **parameters: Any) -> Loop:
            parameters = {"message": "A", "safe_message": "s", **parameters}
            loop = Loop(SerialTTL(device=device.path, **parameters), heartbeat=heartbeat)
            stack.callback(loop.finish)
            loop.start()
            return loop

        yield start
