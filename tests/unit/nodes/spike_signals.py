"""Signals with spikes whose times are known."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.node.testing import chunked, collect
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes.filters import BandPass
from rigmesh_nodes.sim import Spikes

RATE = 30_000.0


def signal(
    data: npt.NDArray[Any], *, rate: float = 1000.0, index: int = 0, epoch: int = 0
) -> Signal:
    """Samples, shape (n_samples, n_channels), from time index / rate on."""
    names = [f"c{n}" for n in range(data.shape[1])]
    info = StreamInfo.signal(
        "amp.signal", channels=names, sampling_rate=rate, dtype=data.dtype.name
    )
    stamps = (index + np.arange(len(data))) / rate
    return Signal(data, stamps, index=index, epoch=epoch, info=info)


def noise(n_samples: int, n_channels: int = 1, *, seed: int = 0) -> npt.NDArray[np.float64]:
    """White noise with a standard deviation of 1."""
    return np.random.default_rng(seed).standard_normal((n_samples, n_channels))


@dataclass(frozen=True)
class Simulation:
    """Band-passed chunks, and what is in them.

    Attributes
    ----------
    chunks : list of Signal
        Of 0.1 s.
    times, units : ndarray, shape (n_spikes,)
        The ground truth.
    """

    chunks: list[Signal]
    times: npt.NDArray[np.float64]
    units: npt.NDArray[np.int64]
    duration: float

    @property
    def whole(self) -> Signal:
        """All chunks as one."""
        data = np.concatenate([chunk.data for chunk in self.chunks])
        stamps = np.concatenate([chunk.raw_timestamps for chunk in self.chunks])
        return Signal(data, stamps, info=self.chunks[0].info)

    def between(self, start: float, stop: float) -> Simulation:
        """The same with the truth of some time only."""
        inside = (self.times >= start) & (self.times < stop)
        return Simulation(self.chunks, self.times[inside], self.units[inside], self.duration)


@functools.cache
def simulated(*, duration: float = 30.0, order: int = 2, **parameters: Any) -> Simulation:
    """Run sim.Spikes through a band-pass from 300 to 6000 Hz."""
    n_samples = round(duration * RATE)
    source = Spikes(
        paced=False, n_samples=n_samples, sampling_rate=RATE, chunk_duration=100, **parameters
    )
    made = collect(source)
    filtered = collect(BandPass(low=300, high=6000, order=order), made["signal"].chunks)
    chunks = [chunk for chunk in filtered["filtered"].chunks if isinstance(chunk, Signal)]
    truth = made["truth"].chunks
    times = np.concatenate([chunk.raw_timestamps for chunk in truth])
    units = np.array([json.loads(text)["unit"] for chunk in truth for text in chunk.data])
    return Simulation(chunks, times, units, duration)


def matches(
    times: npt.NDArray[np.float64], found: npt.NDArray[np.float64], tolerance: float = 5e-4
) -> npt.NDArray[np.int64]:
    """For each time the number of the first found one nearby, or -1."""
    if not len(found):
        return np.full(len(times), -1)
    nth = np.searchsorted(found, times - tolerance)
    near = found[np.minimum(nth, len(found) - 1)]
    return np.where((nth < len(found)) & (near <= times + tolerance), nth, -1)


def signals(chunk: Signal, size: int) -> list[Signal]:
    """Cut a signal into pieces of one size."""
    return [piece for piece in chunked(chunk, size) if isinstance(piece, Signal)]
