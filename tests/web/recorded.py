"""Recordings to look at, of which everything is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording import Capture, seal
from rigmesh.streams import Cause, Gap, Markers, Signal, StreamInfo, local_clock

__all__ = ["GAP", "RATE", "N", "Recorded", "begin", "record"]

RATE, N, GAP = 1000, 40_000, (20_000, 22_000)
SIGNAL = StreamInfo.signal(
    "amp.signal", channels=["n", "Cz", "Pz"], sampling_rate=RATE, dtype="int16", unit="uV"
)
TRIALS = StreamInfo.markers("paradigm.events")
SPIKES = StreamInfo.markers("sorter.spikes")


@dataclass(frozen=True)
class Recorded:
    """What was recorded; times in seconds since the first sample, which is the first of all."""

    path: Path
    first: float
    data: npt.NDArray[np.int16]
    trials: npt.NDArray[np.float64]
    kinds: list[str]
    spikes: npt.NDArray[np.float64]
    units: list[int]


def begin(path: Path, *more: StreamInfo) -> Capture:
    """Begin a recording."""
    fmt = {".h5": "hdf5", ".nwb": "nwb", ".xdf": "xdf"}[path.suffix]
    return Capture.create(path, "run-1", {"metadata": {"subject": "s01"}}, fmt)


def record(path: Path, *, kinds: tuple[str, ...] = ("left", "right", "rest")) -> Recorded:
    """Record 40 s of three channels with a gap of 2 s, trials of some kinds, and spikes."""
    random = np.random.default_rng(5)
    first = local_clock()
    capture = begin(path)
    numbers = np.arange(N)
    data = np.stack(
        [numbers % 30_000, 1000 * np.sin(numbers / 90), random.normal(0, 80, N)], axis=1
    ).astype(np.int16)
    stamps = first + numbers / RATE
    before, after = slice(0, GAP[0]), slice(GAP[1], N)
    gap = (Gap(Cause.OVERRUN, 0, GAP[1], GAP[1] - GAP[0]),)
    capture.append(Signal(data[before], stamps[before], info=SIGNAL))
    capture.append(Signal(data[after], stamps[after], index=GAP[1], info=SIGNAL, gaps=gap))
    trials = np.arange(1.0, 39.0, 0.95)
    told = [kinds[k] for k in random.integers(0, len(kinds), len(trials))]
    capture.append(Markers(told, first + trials, info=TRIALS))
    evoked = [trial + 0.1 + random.exponential(0.05, 5) for trial in trials]
    spikes = np.sort(np.concatenate([*evoked, random.uniform(0, 40, 300)]))
    units = random.integers(1, 4, len(spikes)).tolist()
    texts = [json.dumps({"unit": unit, "channel": 2 * unit}) for unit in units]
    capture.append(Markers(texts, first + spikes, info=SPIKES))
    ends: dict[str, Any] = {"amp.signal": N, "paradigm.events": len(told)}
    ends["sorter.spikes"] = len(texts)
    capture.finish({name: {0: (0, n)} for name, n in ends.items()})
    seal(capture)
    return Recorded(path, first, data, trials, told, spikes, units)
