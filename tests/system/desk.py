"""What scripts on the machines of a rig do; a `Console` there is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rigmesh.client import Manager, NodeGroup
from rigmesh.client.node import NodeHandle
from rigmesh.credentials import load_credentials
from rigmesh.relay import RemoteStreamReader
from rigmesh.streams import Chunk

__all__ = ["Asking", "Desk", "Pushes", "Script", "Viewer", "until"]

_WITHIN = 60.0


def until(condition: Callable[[], object], within: float = _WITHIN) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s")
        time.sleep(0.02)


class Desk:
    """Drives daemons.

    Parameters
    ----------
    manager : Manager
        Which it closes.
    """

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self.device: NodeHandle
        self.inlet: NodeHandle
        self.recorder: NodeHandle

    def device_on(
        self, address: str, name: str = "device", *, buffer: float = 10.0, **device: Any
    ) -> NodeHandle:
        """Make a device that numbers its samples, in a group of its own."""
        rig = self.manager.add_host(address)
        group = self.manager.create_nodegroup(f"amplifier-{name}", host=rig, buffer_seconds=buffer)
        settings = {"n_channels": 4, "sampling_rate": 1000, "dtype": "float64", **device}
        self.device = self.manager.create_node(
            "Oscillators", name=name, host=group, sample_number=True, **settings
        )
        return self.device

    def relay(self, device: NodeHandle, source: str, into: str, *, buffer: float) -> None:
        """Bring a device from one host to another, into rings of so many seconds."""
        host = self.manager.add_host(into)
        group = self.manager.create_nodegroup("relays", host=host, buffer_seconds=buffer)
        self.manager.create_node(
            "relay.Inlet", name=f"{device.name}-signal", host=group, timeout=60.0,
            address=f"{source}:5678", stream=device.output.stream,
        )  # fmt: skip

    def record(self, address: str, path: str, *devices: NodeHandle, **relay: Any) -> None:
        """Record devices on another host, until some of it is in the file."""
        disk = self.manager.add_host(address)
        self.recorder = self.manager.create_node(
            "HDF5Recorder", name="recorder", host=disk, path=path
        )
        for device in devices:
            self.recorder.input.connect(device.output)
            self.inlet = self.manager[f"{device.name}-signal"]
            if relay:
                self.inlet.update(**relay)
        self.manager.start_all()
        self.go_on()

    def n_produced(self) -> int:
        """Return how many samples the devices have given."""
        counters = self.manager.status().stream_counters
        return sum(c.produced for c in counters if c.stream.endswith(".signal"))

    def n_recorded(self) -> int:
        """Return how many of them the recorder has got."""
        counters = self.manager.status().reader_counters
        return sum(c.delivered for c in counters if "recorder" in c.reader)

    def go_on(self) -> None:
        """Wait until what the device gives from now on is in the file."""
        goal = self.n_produced() + 500
        until(lambda: self.n_recorded() >= goal)

    def clear(self, address: str, *groups: str) -> None:
        """Take away what somebody else made."""
        for name in list(self.manager.nodes):
            self.manager.remove_node(name)
        host = self.manager.add_host(address)
        for group in groups:
            self.manager.remove_nodegroup(NodeGroup(host, group))

    def close(self) -> None:
        """Take away what was made."""
        self.manager.close()


class Script(threading.Thread):
    """Reads a stream to its end."""

    def __init__(self, device: NodeHandle) -> None:
        super().__init__()
        self._stream = device.output.open(start="oldest")
        self.numbers: list[int] = []
        self.gaps: list[str] = []
        self.start()

    def run(self) -> None:
        """Read."""
        with self._stream as stream:
            for chunk in stream.chunks():
                self.numbers += map(int, chunk.data[:, 0])
                self.gaps += map(str, chunk.gaps)


class Asking(threading.Thread):
    """Asks the daemons all the time, to see for how long they do not answer.

    Attributes
    ----------
    longest : float
        Time from one answer to the next, at most, in seconds.
    """

    def __init__(self, manager: Manager) -> None:
        super().__init__()
        self._manager = manager
        self._goes_on = True
        self.longest = 0.0
        self.start()

    def run(self) -> None:
        """Ask."""
        last = time.monotonic()
        while self._goes_on:
            self._manager.status()
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            time.sleep(0.02)

    def close(self) -> float:
        """Stop, and return the longest time."""
        self._goes_on = False
        self.join()
        return self.longest


class Viewer(threading.Thread):
    """Looks at the newest samples of another host.

    Attributes
    ----------
    came : list of (float, float, int)
        Of each chunk: when it came, here; the stamp of its last sample, there; samples missed.
    """

    def __init__(self, address: str, stream: str) -> None:
        super().__init__()
        self._stream = RemoteStreamReader(load_credentials(address), stream, lossless=False)
        self.came: list[tuple[float, float, int]] = []
        self.start()

    def run(self) -> None:
        """Look."""
        for chunk in self._stream.chunks():
            missed = sum(gap.count for gap in chunk.gaps)
            self.came.append((time.monotonic(), float(chunk.raw_timestamps[-1]), missed))

    def close(self) -> None:
        """Stop."""
        self._stream.close()
        self.join()


class Pushes(threading.Thread):
    """Reads a stream of this host, and sees how long its source took to publish each chunk.

    Attributes
    ----------
    times : list of float
        Seconds from when a chunk came in until it could be read.
    n_lost : int
        Samples missed.
    """

    def __init__(self, manager: Manager, stream: str) -> None:
        super().__init__()
        self._stream: Any = manager.open_stream(stream)
        self._goes_on = True
        self.times: list[float] = []
        self.n_lost = 0
        self._next: int | None = None
        self.start()

    def run(self) -> None:
        """Read."""
        for chunk in self._stream.chunks():
            received, published = self._stream.ring.stamps_of(chunk.index)
            self.times.append((published - received) / 1e9)
            self._count(chunk)
            if not self._goes_on:
                return

    def percentiles(self) -> list[float]:
        """Return p50 and p99.9 since this was asked last, in microseconds."""
        times, self.times = self.times, []
        return [float(p) for p in 1e6 * np.percentile(times, [50, 99.9])]

    def close(self) -> int:
        """Stop; return how many samples were missed."""
        self._goes_on = False
        self.join()
        self._stream.close()
        return self.n_lost

    def _count(self, chunk: Chunk) -> None:
        if self._next is not None:
            self.n_lost += chunk.index - self._next
        self._next = chunk.index + len(chunk)
