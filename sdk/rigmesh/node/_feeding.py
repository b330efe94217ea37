"""Chunks to feed nodes with in tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rigmesh.streams import Chunk, Markers, Signal, StreamInfo

__all__ = ["chunked", "markers", "sine", "split"]


def sine(
    frequency: float,
    *,
    sampling_rate: float = 1000.0,
    duration: float = 1.0,
    n_channels: int = 1,
    amplitude: float = 1.0,
    dtype: npt.DTypeLike = np.float64,
) -> Signal:
    """Make a sine that starts at time 0.

    Parameters
    ----------
    frequency, sampling_rate : float
        In Hz.
    duration : float
        In seconds.
    n_channels : int
        All the same.
    amplitude : float
        Peak.
    dtype : dtype
        Of the samples.

    Returns
    -------
    Signal
        With ``data`` of the shape (duration * sampling_rate, n_channels).
    """
    stamps = np.arange(round(duration * sampling_rate)) / sampling_rate
    wave = amplitude * np.sin(2 * np.pi * frequency * stamps)
    data = np.repeat(wave[:, None], n_channels, axis=1).astype(dtype)
    info = StreamInfo.signal(
        "test.signal", channels=n_channels, sampling_rate=sampling_rate, dtype=data.dtype.name
    )
    return Signal(data, stamps, info=info)


def markers(*events: tuple[float, str]) -> Markers:
    """Make markers of (time in seconds, text) pairs."""
    chunk = Markers.at([time for time, _ in events], [text for _, text in events])
    chunk.info = StreamInfo.markers("test.markers")
    return chunk


def split(chunk: Chunk, sizes: Iterable[int]) -> list[Chunk]:
    """Cut a chunk into pieces of the given sizes; the rest is the last piece."""
    pieces, start = [], 0
    for size in itertools.chain(sizes, [len(chunk)]):
        stop = min(start + size, len(chunk))
        if stop > start:
            pieces.append(
                type(chunk)(
                    chunk.data[start:stop],
                    chunk.raw_timestamps[start:stop],
                    index=chunk.index + start,
                    epoch=chunk.epoch,
                    clock=chunk.clock,
                    info=chunk.info,
                )
            )
        start = stop
    return pieces


def chunked(chunk: Chunk, size: int) -> list[Chunk]:
    """Cut a chunk into pieces of one size."""
    return split(chunk, itertools.repeat(size, -(-len(chunk) // size)))
