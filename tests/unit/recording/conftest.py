"""Streams that carry their sample numbers, processes that die, and what must be left then."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from rigmesh.recording import Capture, open_recording
from rigmesh.streams import Cause, Chunk, Frames, Gap, Markers, Signal, StreamInfo

AMP = StreamInfo.signal(
    "amp.signal", channels=["n", "Cz"], sampling_rate=1000, dtype="int32", unit="uV"
)
EVENTS = StreamInfo.markers("box.events")
FORMATS = {".h5": "hdf5", ".nwb": "nwb", ".xdf": "xdf", ".mkv": "video", ".mp4": "video"}


class MakeChunk(Protocol):
    def __call__(self, start: int, stop: int, info: StreamInfo = ..., **more: Any) -> Chunk: ...


@pytest.fixture(scope="session")
def amp() -> StreamInfo:
    return AMP


@pytest.fixture(scope="session")
def events() -> StreamInfo:
    return EVENTS


@pytest.fixture(scope="session")
def chunk() -> MakeChunk:
    """Makes samples ``start`` to ``stop`` of a stream, each of which is its own number."""

    def make(start: int, stop: int, info: StreamInfo = AMP, **more: Any) -> Chunk:
        numbers = np.arange(start, stop)
        stamps = 100 + numbers / (info.sampling_rate or 10)
        more = {"index": start, "info": info, **more}
        if info.dtype == "text":
            return Markers([f"text {n}" for n in numbers], stamps, **more)
        shaped = numbers.reshape(-1, *(1 for _ in info.sample_shape)).astype(info.dtype)
        data = np.broadcast_to(shaped, (len(numbers), *info.sample_shape))
        kind = Frames if info.kind == "frames" else Signal
        return kind(data, stamps, **more)

    return make


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.h5"


@pytest.fixture
def capture(target: Path) -> Iterator[Capture]:
    context = {"versions": {"rigmesh": "0.1.0"}}
    made = Capture.create(target, "run-1", context, FORMATS[target.suffix])
    yield made
    made.close()


@pytest.fixture
def in_child() -> Callable[[Callable[[], None]], int]:
    """Runs a function in a forked process; returns its exit status, minus the signal if killed."""

    def run(function: Callable[[], None]) -> int:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                function()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    return run


@pytest.fixture
def die_at() -> Callable[[int, Path], None]:
    """Kills this process at the nth change of names or opening of a file in a folder."""

    def arm(step: int, folder: Path) -> None:
        steps = iter(range(1, step + 1))
        watched = {"open", "os.link", "os.remove", "os.rename", "os.rmdir", "os.mkdir"}

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            concerns = event in watched and str(folder) in str(arguments[0])
            if concerns and next(steps, step) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return arm


@pytest.fixture(scope="session")
def make_finished(chunk: MakeChunk) -> Callable[[Path], Path]:
    """Makes a finished capture of 30 samples in two epochs, a gap, and 5 events."""

    def make(target: Path) -> Path:
        capture = Capture.create(target, "run-1", {}, FORMATS[target.suffix])
        capture.append(chunk(0, 10))
        capture.append(chunk(15, 20, gaps=(Gap(Cause.OVERRUN, 0, 15, 5),)))
        capture.append(chunk(0, 5, EVENTS))
        capture.commit()
        capture.append(chunk(0, 15, epoch=1))
        capture.finish({"amp.signal": {0: (0, 20), 1: (0, 15)}, "box.events": {0: (0, 5)}})
        return capture.folder

    return make


@pytest.fixture(scope="session")
def read_epochs() -> Callable[[Path], dict[tuple[str, int], list[Any]]]:
    """Reads texts, or channel 0, of each epoch of a recording."""

    def read(path: Path) -> dict[tuple[str, int], list[Any]]:
        found = {}
        with open_recording(path) as recording:
            for stream in recording.streams.values():
                for epoch in stream.epochs:
                    rows = stream.data[epoch.first_row : epoch.first_row + epoch.n]
                    is_text = isinstance(rows, list)
                    found[stream.info.name, epoch.epoch] = rows if is_text else rows[:, 0].tolist()
        return found

    return read
