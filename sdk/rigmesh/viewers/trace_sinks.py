"""What takes the chunks of signals for oscilloscopes, in the threads of their feeds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.display import SignalBuffer
from rigmesh.streams import ChannelInfo, Chunk, Signal, StreamInfo

__all__ = ["BitSink", "Hole", "TraceSink", "bits_of", "names_of"]

Array = npt.NDArray[Any]
Reading = Literal["auto", "bits", "level"]

_MOST_HOLES = 1000
_MOST_BYTES = 128 * 2**20
"""For samples of a stream: some seconds of 384 channels at 30 kHz. Longer pictures need none."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A time without samples: from the last one before it to the first one after it.

    Parameters
    ----------
    start, stop : float
        Local clock, in seconds.
    count : int
        How many are missing.
    cause : str
        Why.
    """

    start: float
    stop: float
    count: int
    cause: str


class TraceSink:
    """Keeps a signal's last seconds, and when samples were missing.

    Parameters
    ----------
    seconds : float
        How much is kept.

    Attributes
    ----------
    buffer : SignalBuffer
        The signal; another one after `keep`.
    """

    def __init__(self, seconds: float) -> None:
        self.buffer = _buffer_of(seconds)
        self._seconds = seconds
        self._holes: deque[Hole] = deque(maxlen=_MOST_HOLES)
        self._lock = threading.RLock()

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        with self._lock:
            generation = self.buffer.generation
            self.buffer.describe(info)
            if self.buffer.generation != generation:
                self._holes.clear()

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk."""
        with self._lock:
            generation, last = self.buffer.generation, self.buffer.newest
            self.buffer.take(chunk)
            if self.buffer.generation != generation:  # time went back
                self._holes.clear()
            elif chunk.gaps and len(chunk) and np.isfinite(last):
                # As the buffer takes stamps that are none, or step back a little.
                first = min(max(last, float(chunk.timestamps[0])), self.buffer.newest)
                count = sum(gap.count for gap in chunk.gaps)
                cause = ", ".join(sorted({gap.cause.value for gap in chunk.gaps}))
                self._holes.append(Hole(last, first, count, cause))

    def holes(self, start: float, stop: float) -> list[Hole]:
        """Return the holes that touch a time, in seconds of the local clock."""
        with self._lock:
            return [hole for hole in self._holes if hole.stop >= start and hole.start <= stop]

    def keep(self, seconds: float) -> None:
        """Keep more than before; what there is is taken over as far as its samples are kept."""
        with self._lock:
            if seconds <= self._seconds:
                return
            old, self._seconds = self.buffer, seconds
            self.buffer = _buffer_of(seconds)
            self.buffer.take_over(old)


class BitSink(TraceSink):
    """Keeps the bits of a digital signal as channels of 0 and 1.

    Parameters
    ----------
    seconds : float
        How much is kept.
    read_as : str
        ``bits`` of integers; ``level``, one bit a channel that is set above a level; ``auto``:
        bits of integers, the level of other numbers.
    level : float
        In the unit of the signal.

    Attributes
    ----------
    active : ndarray, shape (n_bits,)
        Whether each bit has ever changed.
    """

    def __init__(self, seconds: float, *, read_as: Reading = "auto", level: float = 0.5) -> None:
        super().__init__(seconds)
        self.active = np.zeros(0, np.bool_)
        self._read_as, self._level = read_as, level
        self._are_bits = False
        self._first: Array | None = None
        self._described: StreamInfo | None = None

    def read_as(self, reading: Reading, level: float) -> None:
        """Read in another way what comes from now on; what was kept is dropped."""
        with self._lock:
            self._read_as, self._level = reading, level
            old, self.buffer = self.buffer, _buffer_of(self._seconds)
            self.buffer.generation = old.generation
            self._first = None
            self._holes.clear()
            described = self._described
            self._described = None
        if described is not None:
            self.describe(described)

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        with self._lock:
            self._are_bits = self._read_as != "level" and np.dtype(info.dtype).kind in "iu"
            known = self._described
            if known is None or not known.same_format(info):
                self._first = None
            self._described = info
            width = 8 * np.dtype(info.dtype).itemsize if self._are_bits else 1
            names = info.channel_names
            if self._are_bits:
                labels = [f"{name}.{bit}" for name in names for bit in range(width)]
            else:
                labels = list(names)
            if self._first is None:
                self.active = np.zeros(len(labels), np.bool_)
            channels = tuple(ChannelInfo(label) for label in labels)
            super().describe(
                replace(info, dtype="uint8", sample_shape=(len(labels),), channels=channels)
            )

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk's bits."""
        with self._lock:
            data: Array = chunk.data
            if self._are_bits:
                bits = bits_of(data)
            else:
                with np.errstate(invalid="ignore"):
                    bits = (data > self._level).astype(np.uint8)
            if len(bits):
                if self._first is None:
                    self._first = bits[0].copy()
                self.active = self.active | (bits != self._first).any(axis=0)
            super().take(
                Signal(
                    bits,
                    chunk.raw_timestamps,
                    gaps=chunk.gaps,
                    clock=chunk.clock,
                    index=chunk.index,
                )
            )


def _buffer_of(seconds: float) -> SignalBuffer:
    return SignalBuffer(seconds, max_bytes=_MOST_BYTES)


def bits_of(data: Array) -> Array:
    """Return the bits of integers, the lowest first, those of each channel beside each other.

    Parameters
    ----------
    data : ndarray, shape (n_samples, n_channels)
        Integers of any width; negative ones as two's complement.

    Returns
    -------
    ndarray, shape (n_samples, n_channels * width)
        uint8, 0 or 1.
    """
    size = data.dtype.itemsize
    little = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    as_bytes = little.view(np.uint8).reshape(len(data), data.shape[1] * size)
    return np.unpackbits(as_bytes, axis=1, bitorder="little")


def names_of(channels: Sequence[str], stream: str) -> list[str]:
    """Return the names under which parameters know the channels of a stream.

    Examples
    --------
    >>> names_of(["Cz", "Cz"], "eeg.signal")
    ['eeg.signal/Cz', 'eeg.signal/Cz#1']
    """
    seen: dict[str, int] = {}
    found = []
    for channel in channels:
        n = seen.get(channel, 0)
        seen[channel] = n + 1
        found.append(f"{stream}/{channel}" + (f"#{n}" if n else ""))
    return found
