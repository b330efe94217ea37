"""What is sent from process to process, and how both ends look at it; numpy only.

A message begins with the time at which it was sent and its number, in the bytes of its samples.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PAYLOADS", "Payload", "Tally", "stamped"]

Array = npt.NDArray[Any]

WARM_UP = 100
_HEAD = struct.Struct("=qq")
_sum = np.add.reduce


@dataclass(frozen=True, slots=True)
class Payload:
    """A kind of message.

    Parameters
    ----------
    name : str
        What it is called.
    n_samples, n_channels : int
        Its shape.
    dtype : str
        Of the samples.
    period : float
        Time from one to the next, in seconds; 0: as fast as they are taken.
    n_slots : int
        How many a ring holds.
    """

    name: str
    n_samples: int
    n_channels: int
    dtype: str
    period: float
    n_slots: int

    @classmethod
    def named(cls, name: str) -> Payload:
        """Return one of `PAYLOADS`."""
        return PAYLOADS[name]

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and channels."""
        return self.n_samples, self.n_channels

    @property
    def n_bytes(self) -> int:
        """Of one message."""
        return self.n_samples * self.n_channels * np.dtype(self.dtype).itemsize

    @property
    def is_paced(self) -> bool:
        """Whether messages have their times."""
        return self.period > 0

    @property
    def sampling_rate(self) -> float:
        """Nominal, in Hz, as if there was one every millisecond."""
        return self.n_samples * 1000.0


PAYLOADS = {
    each.name: each
    for each in (
        Payload("eeg", 30, 32, "float32", 1e-3, 64),
        Payload("probe", 30, 1024, "int16", 1e-3, 64),
        Payload("big", 256, 1024, "float32", 0.0, 32),
        Payload("tiny", 1, 32, "float32", 0.0, 4096),
    )
}


def stamped(payload: Payload, seconds: float) -> Iterator[Array]:
    """Yield messages at their times, or without a pause; always the same array."""
    array = np.ones(payload.shape, payload.dtype)
    head = array.reshape(-1).view(np.uint8)[: _HEAD.size].view(np.int64)
    period, now = round(payload.period * 1e9), time.monotonic_ns
    begin = now()
    end = begin + int(seconds * 1e9)
    number = 0
    while True:
        if period:
            while (rest := begin + number * period - now()) > 0:
                time.sleep(rest / 1e9)
        sent = now()
        if sent >= end:
            return
        head[0], head[1] = sent, number
        number += 1
        yield array


class Tally:
    """Counts what a reader gets: ages of paced messages, and the sum of all samples.

    Time and CPU are taken from the first message to the last.
    """

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._latencies: list[float] = []
        self._first = self._last = 0
        self._cpu = 0.0
        self._sum = 0.0
        self.n = 0
        """Messages received."""

    def take(self, data: Array) -> None:
        """Take one message, or several that came together."""
        now = time.monotonic_ns()
        if not self.n:
            self._first, self._cpu = now, time.process_time()
            np.seterr(all="ignore")  # the stamps are no numbers that can be added
        size = self._payload.n_samples
        n_messages = len(data) // size
        if self._payload.is_paced:
            for k in range(n_messages):
                sent, _ = _HEAD.unpack_from(data[k * size])
                self._latencies.append((now - sent) / 1e3)
        self._sum += float(_sum(data, axis=None))
        self.n += n_messages
        self._last = now

    def to_dict(self) -> dict[str, Any]:
        """Return what was found; only JSON types."""
        return {
            "received": self.n,
            "latencies": self._latencies[WARM_UP:],
            "seconds": (self._last - self._first) / 1e9,
            "cpu": time.process_time() - self._cpu,
            "sum": repr(self._sum),
        }
