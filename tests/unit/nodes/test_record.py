"""Recorders as nodes."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmesh.errors import NodeError, RecordingError
from rigmesh.node import InputLink, NodeRunner
from rigmesh.node.testing import TestRuntime, chunked, markers, run, sine
from rigmesh.recording import Capture, capture_folder, open_recording, read_info
from rigmesh.recording.summary import record_file
from rigmesh.streams import Cause, Frames, Gap, Signal, StreamInfo
from rigmesh_nodes.record import HDF5Recorder

CONTEXT = {"run_id": "run-1", "started": time.time(), "metadata": {"subject": "s01"}}


@pytest.fixture
def runtime(tmp_path: Path) -> TestRuntime:
    return TestRuntime(context=CONTEXT, recording_root=str(tmp_path))


class Rig:
    """A running recorder with one link, fed chunk by chunk."""

    def __init__(self, node: HDF5Recorder, runtime: TestRuntime, info: StreamInfo) -> None:
        self.released = 0
        self.info = info
        self.runtime = node.runtime = runtime
        self.runner = NodeRunner(node, "recorder")
        self.link = InputLink(info.name, release=self._release)
        node.streams.links.append(self.link)

    def start(self) -> None:
        self.runner.open()
        self.runner.input_announced(self.link, self.info, new_epoch=False)
        self.runner.start()

    def feed(self, start: int, stop: int, **more: Any) -> None:
        numbers = np.arange(float(start), stop).reshape(-1, 1)
        chunk = Signal(numbers, numbers[:, 0] / 1000, index=start, info=self.info, **more)
        begin, _ = self.link.produced.get(chunk.epoch, (start, start))
        self.link.produced[chunk.epoch] = begin, stop
        self.runner.handler("streams")(chunk)

    def _release(self) -> None:
        self.released += 1


@pytest.fixture
def rig(runtime: TestRuntime) -> Rig:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000)
    return Rig(HDF5Recorder(path="session.h5"), runtime, info)


def _numbers(path: Path) -> list[float]:
    with open_recording(path) as recording:
        numbers: list[float] = recording.streams["amp.signal"].data[:][:, 0].tolist()
        return numbers


def test_streams_of_all_kinds_are_in_the_file(tmp_path: Path, runtime: TestRuntime) -> None:
    wave = sine(10, n_channels=3)
    events = markers((0.2, "left"), (0.7, "right"))
    info = StreamInfo.frames("camera.frames", shape=(4, 6), sampling_rate=10)
    pictures = np.arange(240, dtype=np.uint8).reshape(10, 4, 6)
    frames = Frames(pictures, np.arange(10) / 10, info=info)

    run(HDF5Recorder(path="{subject}/a.h5"), [*chunked(wave, 128), events, frames], runtime=runtime)

    path = tmp_path / "s01" / "a.h5"
    assert read_info(path).verdict == "OK"
    assert sorted(path.parent.iterdir()) == [path, record_file(path)]
    with open_recording(path) as recording:
        streams = recording.streams
        np.testing.assert_array_equal(streams["test.signal"].data[:], wave.data)
        np.testing.assert_array_equal(streams["test.signal"].timestamps[:], wave.timestamps)
        np.testing.assert_array_equal(streams["camera.frames"].data[:], pictures)
        assert streams["test.markers"].data[:] == ["left", "right"]
        assert recording.context["metadata"] == {"subject": "s01"}


def test_a_recorder_of_nothing_makes_a_readable_file(tmp_path: Path, runtime: TestRuntime) -> None:
    run(HDF5Recorder(path="a.h5"), runtime=runtime)

    assert read_info(tmp_path / "a.h5").verdict == "OK"


def test_a_stream_that_stays_silent_is_in_the_file(tmp_path: Path, rig: Rig) -> None:
    rig.start()

    rig.runner.finish()

    assert [(s.name, s.n_samples) for s in read_info(tmp_path / "session.h5").streams] == [
        ("amp.signal", 0)
    ]


def test_samples_are_given_up_once_they_are_on_the_disk(tmp_path: Path, rig: Rig) -> None:
    rig.start()
    rig.feed(0, 100)
    assert read_info(tmp_path / "session.h5").streams[0].n_samples == 0
    assert rig.released == 0

    rig.runtime.advance(0.3)

    assert read_info(tmp_path / "session.h5").streams[0].n_samples == 100
    assert rig.released == 1
    rig.runner.finish()


def test_gaps_and_notes_are_recorded(tmp_path: Path, rig: Rig) -> None:
    rig.start()
    rig.feed(0, 100)
    rig.runner.node.on_journal({"kind": "note", "time": 0.05, "text": "blink"})
    rig.feed(130, 200, gaps=(Gap(Cause.OVERRUN, 0, 130, 30),))
    rig.runner.input_ended(rig.link)
    rig.runner.finish()

    assert read_info(tmp_path / "session.h5").verdict == "OK with gaps (1, 30.0 ms)"
    with open_recording(tmp_path / "session.h5") as recording:
        notes = [note["text"] for note in recording.notes if note["kind"] == "note"]
        assert notes == ["blink"]


def test_a_full_disk_is_told_once_and_does_not_end_the_recording(
    tmp_path: Path,
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig.start()
    rig.feed(0, 100)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", _refuse)
        rig.runtime.advance(rig.runtime.now + 0.6)
    rig.feed(100, 150)
    rig.runner.input_ended(rig.link)
    rig.runner.finish()

    assert [r.message for r in caplog.records if "No space left" in r.message] == [
        f"{tmp_path / 'session.h5.capture'} takes no more samples: No space left on device. "
        "Those are noted as a gap; make room, and recording goes on"
    ]
    assert read_info(tmp_path / "session.h5").verdict == "OK with gaps (1, 100.0 ms)"
    assert _numbers(tmp_path / "session.h5") == list(range(100, 150))


def _refuse(fd: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_samples_that_never_came_make_the_verdict(tmp_path: Path, rig: Rig) -> None:
    rig.start()
    rig.feed(0, 100)
    rig.link.produced[0] = 0, 105
    rig.runner.input_ended(rig.link)
    rig.runner.finish()

    assert read_info(tmp_path / "session.h5").verdict.startswith(
        "FAILED (amp.signal, epoch 0: 105 samples were produced, 100 are recorded"
    )


def test_a_recorder_that_leaves_a_running_stream_is_not_blamed(tmp_path: Path, rig: Rig) -> None:
    rig.start()
    rig.feed(0, 100)
    rig.link.produced[0] = 0, 105
    rig.runner.finish()

    assert read_info(tmp_path / "session.h5").verdict == "OK"


def test_an_epoch_that_is_over_is_accounted_for_at_once(tmp_path: Path, rig: Rig) -> None:
    rig.start()
    rig.feed(0, 100)
    rig.link.produced[1] = 0, 0
    rig.runner.input_announced(rig.link, rig.info, new_epoch=True)
    rig.feed(0, 50, epoch=1)
    rig.runtime.advance(0.3)

    epochs = read_info(tmp_path / "session.h5").streams[0].epochs

    assert [(e.epoch, e.produced, e.delivered) for e in epochs] == [(0, 100, 100), (1, None, 50)]
    rig.runner.finish()


def test_a_restarted_recorder_reads_on_where_the_killed_one_ended(tmp_path: Path, rig: Rig) -> None:
    left = Capture.create(tmp_path / "session.h5", "run-1", CONTEXT)
    numbers = np.arange(60.0).reshape(-1, 1)
    left.append(Signal(numbers, numbers[:, 0] / 1000, epoch=3, info=rig.info))
    left.commit()
    left.close()

    rig.runner.open()

    assert (rig.link.start_epoch, rig.link.start) == (3, 60)
    rig.runner.input_announced(rig.link, rig.info, new_epoch=False)
    rig.runner.start()
    rig.feed(60, 100, epoch=3)
    rig.runner.input_ended(rig.link)
    rig.runner.finish()
    assert read_info(tmp_path / "session.h5").verdict == "OK"
    assert _numbers(tmp_path / "session.h5") == list(range(100))


def test_a_fresh_run_does_not_begin_where_an_old_one_ended(rig: Rig) -> None:
    rig.link.start_epoch, rig.link.start = 3, 60

    rig.runner.open()

    assert rig.link.start_epoch == -1
    assert str(rig.link.start) == "now"
    rig.runner.finish()


def test_the_file_may_be_made_later(tmp_path: Path, runtime: TestRuntime) -> None:
    run(HDF5Recorder(path="a.h5", seal="later"), sine(10), runtime=runtime)

    assert list(tmp_path.iterdir()) == [capture_folder(tmp_path / "a.h5")]
    assert read_info(tmp_path / "a.h5").verdict == "OK"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("taken.h5", "never overwritten"),
        ("left.h5", "rigmesh recover"),
        ("../a.h5", "leads outside"),
        ("{subjekt}.h5", "nothing is known as 'subjekt'"),
        ("taken.h5/a.h5", "cannot record into"),
    ],
)
def test_a_path_that_cannot_be_recorded_to_is_told_at_the_opening(
    tmp_path: Path, rig: Rig, path: str, message: str
) -> None:
    (tmp_path / "taken.h5").touch()
    Capture.create(tmp_path / "left.h5", "an earlier run", {}).close()
    rig.runner.node.set_parameters({"path": path})

    with pytest.raises(NodeError, match=message) as failure:
        rig.runner.open()

    assert isinstance(failure.value.__cause__, RecordingError)
    rig.runner.finish()
    assert read_info(tmp_path / "left.h5").run_id == "an earlier run"


def test_every_parameter_is_documented() -> None:
    assert all(field.description for field in HDF5Recorder.declared().fields.values())
