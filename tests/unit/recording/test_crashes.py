"""Recorders and sealers that are killed, and captures that are cut."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.recording import Capture, open_recording, read_info, recover, seal
from rigmesh.streams import Cause, Chunk, Gap, StreamInfo

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]

WRITER = """
import sys
from pathlib import Path
import numpy as np
from rigmesh.recording import Capture
from rigmesh.streams import Cause, Gap, Markers, Signal, StreamInfo

amp = StreamInfo.signal("amp.signal", channels=4, sampling_rate=10_000, dtype="int32")
events = StreamInfo.markers("box.events")
capture = Capture.create(Path(sys.argv[1]), "run-1", {})
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


@pytest.fixture
def kill_writer(target: Path) -> Callable[[int], int]:
    """Kills a recorder after some commits; returns how many events it had reported written."""

    def run(n_commits: int) -> int:
        command = [sys.executable, "-c", WRITER, str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(n_commits)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        return int(lines[-1])

    return run


@pytest.mark.parametrize("attempt", range(5))
def test_a_killed_recorder_loses_nothing_it_had_reported(
    target: Path, kill_writer: Callable[[int], int], attempt: int
) -> None:
    promised = kill_writer(random.Random(attempt).randint(1, 60))

    recover(target)

    assert read_info(target).verdict.startswith("FAILED (it was interrupted")
    with open_recording(target) as recording:
        amp, events = recording.streams["amp.signal"], recording.streams["box.events"]
        assert len(events) >= promised
        assert 200 * promised <= len(amp) <= 200 * (promised + 41)
        assert events.data[:] == [f"event {n}" for n in range(len(events))]
        rows = amp.data[:]
        expected = [n + 100 * (n // 200) for n in range(len(amp))]
        assert rows[:, 0].tolist() == rows[:, 3].tolist() == expected
        assert (amp.raw_timestamps[:] * 1e4).round().astype(int).tolist() == expected
        in_between = [found for found in amp.gaps if found.row < len(amp)]
        assert [found.row for found in in_between] == list(range(200, len(amp), 200))


def test_a_killed_recorder_is_gone_on_with(
    target: Path, kill_writer: Callable[[int], int], chunk: MakeChunk
) -> None:
    kill_writer(3)
    wide = StreamInfo.signal("amp.signal", channels=4, sampling_rate=10_000, dtype="int32")

    resumed = Capture.resume(target, "run-1")
    _, begin = resumed.positions["amp.signal"]
    resumed.append(chunk(begin, begin + 500, wide))
    resumed.finish({"amp.signal": {0: (begin, begin + 500)}})

    info = read_info(seal(resumed))
    assert info.verdict.startswith("OK with gaps")
    (epoch,) = info.streams[0].epochs
    assert epoch.produced == begin + 500
    assert epoch.delivered + epoch.missing == begin + 500


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45, 0.6, 0.99])
def test_a_killed_sealer_loses_nothing(
    capture: Capture, target: Path, chunk: MakeChunk, in_child: InChild, share: float
) -> None:
    for start in range(0, 3_000_000, 250_000):
        capture.append(chunk(start, start + 250_000))
    capture.finish({"amp.signal": {0: (0, 3_000_000)}})

    def die_on_the_way() -> None:
        def progress(done: int, total: int) -> None:
            if done > share * total:
                os.kill(os.getpid(), signal.SIGKILL)

        seal(capture.folder, progress)

    status = in_child(die_on_the_way)
    recover(target)

    assert status == -signal.SIGKILL
    assert read_info(target).verdict == "OK"
    with open_recording(target) as recording:
        numbers = recording.streams["amp.signal"].data[:][:, 0]
    assert (numbers == range(3_000_000)).all()
    assert list(target.parent.iterdir()) == [target]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, chunk: MakeChunk, events: StreamInfo
) -> Path:
    """A finished capture of 30 samples in two epochs, a gap, and 5 events."""
    capture = Capture.create(tmp_path_factory.mktemp("whole") / "session.h5", "run-1", {})
    capture.append(chunk(0, 10))
    capture.append(chunk(15, 20, gaps=(Gap(Cause.OVERRUN, 0, 15, 5),)))
    capture.append(chunk(0, 5, events))
    capture.commit()
    capture.append(chunk(0, 15, epoch=1))
    capture.finish({"amp.signal": {0: (0, 20), 1: (0, 15)}, "box.events": {0: (0, 5)}})
    return capture.folder


FILES = (
    "journal.bin",
    "streams/amp.signal/0.dat",
    "streams/amp.signal/0.stamps",
    "streams/amp.signal/1.dat",
    "streams/box.events/0.text",
)


WHOLE = {
    ("amp.signal", 0): [*range(10), *range(15, 20)],
    ("amp.signal", 1): [*range(15)],
    ("box.events", 0): [f"text {n}" for n in range(5)],
}


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_capture_cut_anywhere_keeps_what_is_whole(finished: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "session.h5.capture"
        shutil.copytree(finished, copy)
        size = (copy / name).stat().st_size
        os.truncate(copy / name, data.draw(st.integers(0, size - 1)))

        path = recover(copy)

        assert read_info(path).verdict.startswith("FAILED")
        found = _epochs(path)
        assert all(rows == WHOLE[key][: len(rows)] for key, rows in found.items())
        if name != "journal.bin":
            assert sum(found[key] != rows for key, rows in WHOLE.items()) == 1


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_journal_never_makes_up_samples(finished: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "session.h5.capture"
        shutil.copytree(finished, copy)
        content = bytearray((copy / "journal.bin").read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        (copy / "journal.bin").write_bytes(content)

        path = recover(copy)

        assert read_info(path).verdict.startswith("FAILED")
        assert all(rows == WHOLE[key] for key, rows in _epochs(path).items())


def _epochs(path: Path) -> dict[tuple[str, int], list[Any]]:
    """Return texts, or channel 0, of each epoch."""
    found = {}
    with open_recording(path) as recording:
        for stream in recording.streams.values():
            for epoch in stream.epochs:
                rows = stream.data[epoch.first_row : epoch.first_row + epoch.n]
                is_text = isinstance(rows, list)
                found[stream.info.name, epoch.epoch] = rows if is_text else rows[:, 0].tolist()
    return found
