"""Streams that carry their sample numbers, and processes that die."""

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

from rigmesh.recording import Capture
from rigmesh.streams import Chunk, Frames, Markers, Signal, StreamInfo

AMP = StreamInfo.signal(
    "amp.signal", channels=["n", "Cz"], sampling_rate=1000, dtype="int32", unit="uV"
)
EVENTS = StreamInfo.markers("box.events")


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
    made = Capture.create(target, "run-1", {"versions": {"rigmesh": "0.1.0"}})
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
