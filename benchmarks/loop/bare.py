"""The same work with no framework around it: ``bare.py PIPELINES STAGES PTY [--biquads]``.

One process and one thread: a UDP packet is received, its samples go through the stages (one numpy
product each, that makes a new chunk), a threshold looks at the first channel, and a byte is written
to the pty. Every stage counts its chunks and samples. With ``--biquads`` the stages are one
compiled function of three second-order sections a stage.

Prints ``{"port": ...}``, and when an empty packet comes ``{"latencies": [...], "received": ...}``:
from the return of the receiving call to that of the writing one, in µs.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CHANNELS = 4
SECTIONS = 3
QUIET = 10.0


class Chunk:
    __slots__ = ("data", "index", "info", "stamps")

    def __init__(self, data: Array, stamps: Array, index: int) -> None:
        self.data = data
        self.stamps = stamps
        self.index = index
        self.info = None


class Gain:
    """A one-tap filter."""

    def __init__(self) -> None:
        self._gain = np.float32(0.99)

    def process(self, chunk: Chunk) -> Chunk:
        return Chunk(chunk.data * self._gain, chunk.stamps, chunk.index)


class Chain:
    """All stages of biquads in one compiled call."""

    def __init__(self, stages: int, channels: int) -> None:
        from scipy.signal import butter

        sections = butter(2 * SECTIONS, 0.8, output="sos")
        self._sos = np.tile(sections, (stages, 1)).astype(np.float32)
        self._state = np.zeros((len(self._sos), 2, channels), np.float32)
        self._cascade = compiled_cascade()
        self.process(Chunk(np.zeros((6, channels), np.float32), np.zeros(6), 0))

    def process(self, chunk: Chunk) -> Chunk:
        data = chunk.data.copy()
        self._cascade(data, self._sos, self._state)
        return Chunk(data, chunk.stamps, chunk.index)


def compiled_cascade() -> Callable[[Array, Array, Array], None]:
    import numba

    def cascade(data: Array, sos: Array, state: Array) -> None:
        for k in range(sos.shape[0]):
            b0, b1, b2, a1, a2 = sos[k, 0], sos[k, 1], sos[k, 2], sos[k, 4], sos[k, 5]
            for row in range(data.shape[0]):
                for channel in range(data.shape[1]):
                    value = data[row, channel]
                    out = b0 * value + state[k, 0, channel]
                    state[k, 0, channel] = b1 * value - a1 * out + state[k, 1, channel]
                    state[k, 1, channel] = b2 * value - a2 * out
                    data[row, channel] = out

    compiled: Any = numba.njit(cascade)
    return cast("Callable[[Array, Array, Array], None]", compiled)


class Threshold:
    """Passes on a chunk when the first channel has risen above a half."""

    def __init__(self) -> None:
        self._was_high = False

    def process(self, chunk: Chunk) -> Chunk | None:
        is_high = bool(chunk.data[-1, 0] > 0.5)
        has_risen, self._was_high = is_high and not self._was_high, is_high
        return Chunk(np.array([1]), chunk.stamps[-1:], chunk.index) if has_risen else None


class Trigger:
    """Writes a byte, and notes how long that took since the packet came."""

    def __init__(self, path: str) -> None:
        self._pty = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.received = 0
        self.latencies: list[float] = []

    def process(self, chunk: Chunk) -> None:
        os.write(self._pty, b"\x01")
        self.latencies.append((time.monotonic_ns() - self.received) / 1e3)


class Counted:
    """A node, what it hands its chunks to, and what it has had."""

    __slots__ = ("chunks", "followers", "node", "samples")

    def __init__(self, node: Any) -> None:
        self.node = node
        self.followers: list[Counted] = []
        self.chunks = self.samples = 0

    def __call__(self, chunk: Chunk) -> None:
        made = self.node.process(chunk)
        self.chunks += 1
        self.samples += len(chunk.data)
        if made is not None:
            for follower in self.followers:
                follower(made)


def chained(nodes: list[Any]) -> Counted:
    counted = [Counted(node) for node in nodes]
    for before, after in itertools.pairwise(counted):
        before.followers.append(after)
    return counted[0]


def receive(first: Counted, trigger: Trigger, channels: int) -> int:
    """Take packets until an empty one comes, or none for long; return how many came."""
    buffer = bytearray(65536)
    view = memoryview(buffer)
    stamps = np.zeros(6)
    index = number = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as into:
        into.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        into.bind(("127.0.0.1", 0))
        into.settimeout(QUIET)
        print(json.dumps({"port": into.getsockname()[1]}), flush=True)
        with contextlib.suppress(TimeoutError):
            while n_bytes := into.recv_into(view):
                trigger.received = time.monotonic_ns()
                data = np.frombuffer(buffer, np.float32, n_bytes // 4).reshape(-1, channels)
                first(Chunk(data.copy(), stamps, index))
                index += len(data)
                number += 1
    return number


def main() -> None:
    pipelines, stages, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    channels = CHANNELS * pipelines
    trigger = Trigger(path)
    if "--biquads" in sys.argv:
        work: list[Any] = [Chain(stages, channels)]
    else:
        work = [Gain() for _ in range(stages)]
    first = chained([*work, Threshold(), trigger])
    gc.collect()
    gc.freeze()
    gc.disable()
    received = receive(first, trigger, channels)
    print(json.dumps({"latencies": trigger.latencies, "received": received}), flush=True)


if __name__ == "__main__":
    main()
