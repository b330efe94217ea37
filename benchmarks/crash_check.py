"""What is recorded by those that die, and how it is seen that what is left of it is whole."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pynwb
import pyxdf

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, open_recording, read_info, recover
from rigmesh.streams import Markers, Signal, StreamInfo

__all__ = ["FORMATS", "SEALED", "Board", "Format", "Tally", "finished", "look", "record"]

RATE, CHUNK, COMMIT = 10_000, 100, 2500
SEALED = 20 * RATE
"""Samples of a second, of a chunk, between two commits, and of a recording that is sealed."""
_MOST = 60 * RATE

AMP = StreamInfo.signal("amp.signal", channels=4, sampling_rate=RATE, dtype="int32", unit="uV")
EVENTS = StreamInfo.markers("box.events")

Read = Callable[[Path], tuple[npt.NDArray[Any], npt.NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Format:
    """A way to record."""

    ending: str
    name: str
    read: Read
    """Reads numbers and stamps as others do."""
    options: dict[str, Any] = field(default_factory=dict)


def by_h5py(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    with h5py.File(path) as file:
        group = file["streams"].get("amp.signal")
        if group is None:
            return np.empty((0, 4), "int32"), np.empty(0)
        return group["data"][:], group["timestamps"][:]


def by_pynwb(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    with pynwb.NWBHDF5IO(path, "r") as io:
        series = io.read().acquisition.get("amp.signal")
        if series is None:
            return np.empty((0, 4), "int32"), np.empty(0)
        if series.timestamps is not None:
            return series.data[:], series.timestamps[:]
        return series.data[:], series.starting_time + np.arange(len(series.data)) / series.rate


def by_pyxdf(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False, verbose=False)
    for one in streams:
        if one["info"]["name"] == ["amp.signal"]:
            return np.asarray(one["time_series"]).reshape(-1, 4), one["time_stamps"]
    return np.empty((0, 4), "int32"), np.empty(0)


FORMATS = {
    "HDF5": Format(".h5", "hdf5", by_h5py),
    "HDF5, `seal: link`": Format(".h5", "hdf5", by_h5py, {"link": True}),
    "NWB": Format(".nwb", "nwb", by_pynwb),
    "XDF": Format(".xdf", "xdf", by_pyxdf),
}


@dataclass
class Tally:
    """What came of one fault, `n` times."""

    n: int = 0
    whole: int = 0
    most_lost: float = 0.0
    """Seconds between the last sample that was recorded and the last that is there."""
    unsaid: int = 0
    """Samples reported written that are gone, and the verdict does not say so."""
    flaws: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return bool(self.n) and self.whole == self.n and self.most_lost <= 1 and not self.unsaid


class Board:
    """What a process that dies has said: samples appended, samples on the disk."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 16)).cast("q")

    def say(self, place: int, number: int) -> None:
        self._numbers[place] = number

    @property
    def appended(self) -> int:
        return int(self._numbers[0])

    @property
    def promised(self) -> int:
        return int(self._numbers[1])


def record(path: Path, form: Format, board: Board, until: int = _MOST) -> Capture:
    """Record so many samples."""
    capture = Capture.create(path, "run-1", {}, form.name, form.options)
    for index in range(0, until, CHUNK):
        numbers = np.arange(index, index + CHUNK)
        data = np.repeat(numbers[:, None], 4, axis=1).astype("int32")
        capture.append(Signal(data, numbers / RATE, index=index, info=AMP))
        board.say(0, index + CHUNK)
        if (index + CHUNK) % COMMIT == 0:
            number = index // COMMIT
            stamp = np.array([index / RATE])
            capture.append(Markers([f"event {number}"], stamp, index=number, info=EVENTS))
            capture.commit()
            board.say(1, index + CHUNK)
    return capture


def finished(path: Path, form: Format) -> Capture:
    """Return a capture that is complete."""
    capture = record(path, form, Board(), SEALED)
    capture.finish({"amp.signal": {0: (0, SEALED)}, "box.events": {0: (0, SEALED // COMMIT)}})
    return capture


def look(
    tally: Tally, path: Path, form: Format, *, verdict: str, appended: int, promised: int
) -> None:
    """Recover a recording, and count what is left of it."""
    tally.n += 1
    try:
        recover(path)
        found = read_info(path).verdict
        n = checked(path, form)
    except (RecordingError, AssertionError, OSError, KeyError) as error:
        tally.flaws.append(f"{type(error).__name__}: {error}")
        return
    if not found.startswith(verdict):
        tally.flaws.append(f"its verdict is {found}")
        return
    tally.whole += 1
    if verdict != "FAILED (":
        tally.most_lost = max(tally.most_lost, (appended - n) / RATE)
        tally.unsaid += max(0, promised - n)


def checked(path: Path, form: Format) -> int:
    """Return how many samples there are, after seeing that they are those sent."""
    data, stamps = form.read(path)
    numbers = np.arange(len(data))
    assert np.array_equal(data, np.repeat(numbers[:, None], 4, axis=1)), "other samples"
    assert np.allclose(np.diff(stamps), 1 / RATE, rtol=0, atol=1e-9), "other stamps"
    with open_recording(path) as recording:
        ours = recording.streams.get("amp.signal")
        assert len(data) == (len(ours) if ours is not None else 0), "other than ours"
        texts = recording.streams.get("box.events")
        if texts is not None:
            assert texts.data[:] == [f"event {n}" for n in range(len(texts))], "other texts"
    return len(data)
