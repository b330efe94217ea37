"""The nodes of the benchmark's own: where packets come in, and where time is taken.

They are put where nodes of installed packages are found (see :mod:`benchmarks.loop.ours`) and
run in ordinary groups, among the nodes that are measured.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from benchmarks.loop.payload import Payload, Tally, stamped

from rigmesh.node import Hz, Input, Node, Output, param, state
from rigmesh.streams import Markers, Signal, StreamInfo
from rigmesh_nodes import _serial_line

__all__ = ["Pacer", "Packets", "Stopwatch", "Summer"]

_SAMPLES = 6
RECEIVE_BUFFER = 2**22
_LOOK = 0.2


class Packets(Node):
    """Gives the samples of each UDP packet that comes in."""

    signal = Output(Signal)

    n_channels: int = param(ge=1, doc="Channels in a packet of 6 samples, float32.")
    rate: Hz = param(gt=0, doc="Packets per second.")

    udp_port: int = state(default=0, doc="Where packets are awaited.")
    n_packets: int = state(default=0, doc="Packets received.")

    received = 0
    """When the last packet came, in ns, for the `Stopwatch` of this process."""

    _socket: socket.socket | None = None

    def open(self) -> None:
        """Take a free port."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # As rigs do: half a second of packets and more, while the machine does something else.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_LOOK)
        self.udp_port = self._socket.getsockname()[1]

    def prepare(self) -> None:
        """Describe the packets."""
        self.signal.announce(
            StreamInfo.signal(
                "signal",
                channels=self.n_channels,
                sampling_rate=_SAMPLES * self.rate,
                dtype="float32",
            )
        )

    def acquire(self) -> Iterator[None]:
        """Receive until stopped; an empty packet is none."""
        buffer = bytearray(65536)
        view = memoryview(buffer)
        offsets = np.arange(_SAMPLES) / (_SAMPLES * self.rate)
        while self._socket is not None:
            yield None
            try:
                n_bytes = self._socket.recv_into(view)
            except TimeoutError:
                continue
            received = time.monotonic_ns()
            if not n_bytes:
                continue
            type(self).received = received
            data = np.frombuffer(buffer, np.float32, n_bytes // 4).reshape(-1, self.n_channels)
            self.n_packets += 1
            self.signal.push(Signal(data.copy(), received / 1e9 + offsets), received=received)

    def close(self) -> None:
        """Give the port back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Stopwatch(Node):
    """Notes how long each trigger took, from the packet that called for it.

    Time is taken where the bytes go out, around the system call: a node hears of them later.
    """

    fired = Input(Markers)

    path: str = param(doc="File for the latencies, as JSON, in µs.")

    def open(self) -> None:
        """Look at every write."""
        self._latencies: list[float] = []
        note, now = self._latencies.append, time.monotonic_ns

        def write_timed(fd: int, message: bytes) -> int:
            n_bytes = os.write(fd, message)
            note((now() - Packets.received) / 1e3)
            return n_bytes

        _serial_line.system_write = cast("Any", write_timed)

    def process(self, chunk: Markers) -> None:
        """Nothing more to do: the actuator has a listener, as it has in an experiment."""

    def close(self) -> None:
        """Write the latencies down."""
        _serial_line.system_write = os.write
        Path(self.path).write_text(json.dumps(self._latencies), encoding="ascii")


class Pacer(Node):
    """Gives stamped messages, at their times or without a pause."""

    messages = Output(Signal)
    can_wait = True

    payload: str = param(doc="Name of what to send.")
    seconds: float = param(gt=0, doc="How long.")
    path: str = param(doc="File for what was done, as JSON.")

    def prepare(self) -> None:
        """Describe the messages."""
        payload = Payload.named(self.payload)
        self.messages.announce(
            StreamInfo.signal(
                "messages",
                channels=payload.n_channels,
                sampling_rate=payload.sampling_rate,
                dtype=payload.dtype,
            )
        )

    def acquire(self) -> Iterator[Signal]:
        """Send."""
        payload = Payload.named(self.payload)
        stamps = np.arange(float(payload.n_samples)) / payload.sampling_rate
        source = stamped(payload, self.seconds)
        self.wait(0.3)  # what is at the other end is at rest by then
        number, cpu = 0, time.process_time()
        for array in source:
            if self.is_stopping:
                return
            yield Signal(array, stamps)
            number += 1
        cpu = time.process_time() - cpu
        Path(self.path).write_text(json.dumps({"sent": number, "cpu": cpu}), encoding="ascii")


class Summer(Node):
    """Takes messages as they come: their age, their number and their sum."""

    messages = Input(Signal)

    payload: str = param(doc="Name of what is sent.")
    path: str = param(doc="File for what was found, as JSON.")

    def open(self) -> None:
        """Know of none."""
        self._tally = Tally(Payload.named(self.payload))

    def process(self, chunk: Signal) -> None:
        """Count, and add up."""
        self._tally.take(chunk.data)

    def close(self) -> None:
        """Write it down."""
        Path(self.path).write_text(json.dumps(self._tally.to_dict()), encoding="ascii")
