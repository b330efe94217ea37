"""Recorders and sealers that die, for any format."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.recording.conftest import MakeChunk

from rigmesh.recording import Capture, open_recording, read_info, recover, seal
from rigmesh.streams import StreamInfo

ATTEMPTS: list[Any] = [
    *range(5),
    *(pytest.param(number, marks=pytest.mark.soak) for number in range(5, 50)),
]
"""Five are enough for every day."""

_WRITER = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from rigmesh.recording import Capture
from rigmesh.streams import Cause, Gap, Markers, Signal, StreamInfo

path, fmt, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
amp = StreamInfo.signal("amp.signal", channels=4, sampling_rate=10_000, dtype="int32")
events = StreamInfo.markers("box.events")
capture = Capture.create(path, "run-1", {}, fmt)
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
index = n_events = 0
while True:
    for _ in range(20):
        numbers = np.arange(index, index + 200)
        data = np.repeat(numbers[:, None], 4, axis=1).astype("int32")
        gaps = (Gap(Cause.OVERRUN, 0, index, 100),) if index else ()
        capture.append(Signal(data, numbers / 1e4, index=index, gaps=gaps, info=amp))
        text = Markers([f"event {n_events}"], np.array([index / 1e4]), index=n_events, info=events)
        capture.append(text)
        index, n_events = index + 300, n_events + 1
    capture.commit()
    print(n_events, flush=True)
"""


def killed_recorder(path: Path, fmt: str, *, n_commits: int = 10**9, limit: int = 0) -> int:
    """Kill a recorder after some commits, or within a write: that to byte `limit` of any file.

    Returns
    -------
    int
        How many events it had reported written.
    """
    return killed_writer([_WRITER, str(path), fmt, str(limit)], n_commits)


def killed_writer(script: list[str], n_commits: int) -> int:
    """Kill a script that prints a line for each commit after some of them, unless it dies before.

    Returns
    -------
    int
        What stood in its last line.
    """
    command = [sys.executable, "-c", *script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) >= n_commits:
                process.send_signal(signal.SIGKILL)
    assert process.returncode in (-signal.SIGKILL, -signal.SIGXFSZ)
    return int(lines[-1]) if lines else 0


def check_recovered(path: Path, promised: int) -> None:
    """See that a file holds all that :func:`killed_recorder` reported, in order, and the gaps."""
    recover(path)

    assert read_info(path).verdict.startswith("FAILED (it was interrupted")
    with open_recording(path) as recording:
        amp, events = recording.streams["amp.signal"], recording.streams["box.events"]
        assert len(events) >= promised
        assert 200 * promised <= len(amp) <= 200 * (promised + 41)
        assert list(events.data[:]) == [f"event {n}" for n in range(len(events))]
        rows = amp.data[:]
        expected = [n + 100 * (n // 200) for n in range(len(amp))]
        assert rows[:, 0].tolist() == rows[:, 3].tolist() == expected
        assert (amp.raw_timestamps[:] * 1e4).round().astype(int).tolist() == expected
        in_between = [found for found in amp.gaps if found.row < len(amp)]
        assert [found.row for found in in_between] == list(range(200, len(amp), 200))


def sealing_dies_at_byte(folder: Path, limit: int) -> Callable[[], None]:
    """Return what seals a capture, and is killed within the write to byte `limit` of a file."""

    def seal_and_die() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        seal(folder)

    return seal_and_die


def sealing_dies_at_share(folder: Path, share: float) -> Callable[[], None]:
    """Return what seals a capture, and is killed when so much of writing and comparing is done."""

    def progress(done: int, total: int) -> None:
        if done > share * total:
            os.kill(os.getpid(), signal.SIGKILL)

    def seal_and_die() -> None:
        seal(folder, progress)

    return seal_and_die


def check_gone_on_with(path: Path, fmt: str, chunk: MakeChunk) -> None:
    """See that a recording goes on where a killed recorder had come to, with all accounted for."""
    killed_recorder(path, fmt, n_commits=3)
    wide = StreamInfo.signal("amp.signal", channels=4, sampling_rate=10_000, dtype="int32")

    resumed = Capture.resume(path, "run-1")
    _, begin = resumed.positions["amp.signal"]
    resumed.append(chunk(begin, begin + 500, wide))
    resumed.finish({"amp.signal": {0: (begin, begin + 500)}})

    info = read_info(seal(resumed))
    assert info.verdict.startswith("OK with gaps")
    (epoch,) = info.streams[0].epochs
    assert epoch.produced == begin + 500
    assert epoch.delivered + epoch.missing == begin + 500
