"""NWB files that refer to videos beside them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pynwb
import pytest

from rigmesh.errors import RecordingError
from rigmesh.node.testing import TestRuntime, run
from rigmesh.recording import Capture, open_recording, read_info, recover, seal
from rigmesh.streams import Cause, Frames, Gap, StreamInfo
from rigmesh_nodes.record import NWBRecorder

InChild = Callable[[Callable[[], None]], int]

CAMERA = StreamInfo.frames("camera.frames", shape=(24, 32, 3), sampling_rate=30)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.nwb"


@pytest.fixture
def film(target: Path) -> Path:
    """Where the pictures go."""
    return target.with_name("session_camera.frames.mkv")


def pictures(n: int, info: StreamInfo = CAMERA) -> npt.NDArray[Any]:
    """Return frames that are noise."""
    return np.random.default_rng(7).integers(0, 256, (n, *info.sample_shape), info.dtype)


def finished(target: Path, n: int = 20, run_id: str = "run-1") -> Path:
    """Make a finished capture with a gap in the middle."""
    half = n // 2
    gaps = (Gap(Cause.OVERRUN, 0, half + 3, 3, 0.1),)
    capture = Capture.create(target, run_id, {}, "nwb", {"external_video": True})
    stamps = 100 + np.arange(n + 3) / 30
    capture.append(Frames(pictures(n)[:half], stamps[:half], info=CAMERA))
    capture.append(
        Frames(pictures(n)[half:], stamps[half + 3 :], index=half + 3, gaps=gaps, info=CAMERA)
    )
    capture.finish({"camera.frames": {0: (0, n + 3)}})
    return capture.folder


def test_pictures_are_in_a_video_that_the_file_refers_to(target: Path, film: Path) -> None:
    seal(finished(target))

    assert sorted(target.parent.iterdir()) == [target, film]
    assert read_info(target).verdict == "OK with gaps (1, 100.0 ms)"
    with pynwb.NWBHDF5IO(target, "r") as io:
        assert pynwb.validate(io=io) == []
        series = io.read().acquisition["camera.frames"]
        assert list(series.external_file[:]) == [film.name]
        assert (series.format, series.starting_frame[:].tolist()) == ("external", [0])
        assert series.dimension[:].tolist() == [32, 24]
        stamps = series.timestamps[:]
    with av.open(str(film)) as container:
        frames = list(container.decode(video=0))
    shown = np.array([frame.to_ndarray(format="rgb24") for frame in frames])
    assert np.array_equal(shown, pictures(20))
    times = [frame.time or 0.0 for frame in frames]
    np.testing.assert_allclose(times, stamps - stamps[0], atol=0.001)


def test_the_inspector_finds_nothing_wrong(target: Path) -> None:
    seal(finished(target))

    inspector = import_module("nwbinspector")
    level = inspector.Importance.CRITICAL
    found = inspector.inspect_nwbfile(nwbfile_path=target, importance_threshold=level)
    assert [message.check_function_name for message in found] == ["check_subject_exists"]


def test_we_read_the_pictures_from_either(target: Path, film: Path) -> None:
    seal(finished(target))

    for path in (target, film):
        with open_recording(path) as recording:
            stream = recording.streams["camera.frames"]
            assert np.array_equal(stream.data[5:15], pictures(20)[5:15])
            assert stream.data[3:4].dtype == np.uint8
            assert len(stream.gaps) == 1


def test_a_missing_video_is_named_when_pictures_are_asked_for(target: Path, film: Path) -> None:
    seal(finished(target))
    film.unlink()

    assert read_info(target).streams[0].n_samples == 20
    with (
        open_recording(target) as recording,
        pytest.raises(RecordingError, match=r"session_camera\.frames\.mkv is missing"),
    ):
        recording.streams["camera.frames"].data[:]


def test_pictures_that_no_video_holds_stay_in_the_file(target: Path) -> None:
    odd = StreamInfo.frames("camera.frames", shape=(24, 32), sampling_rate=30, dtype="float32")
    capture = Capture.create(target, "run-1", {}, "nwb", {"external_video": True})
    capture.append(Frames(np.ones((3, 24, 32), np.float32), np.arange(3.0), info=odd))
    capture.finish()

    seal(capture)

    assert list(target.parent.iterdir()) == [target]
    with pynwb.NWBHDF5IO(target, "r") as io:
        assert io.read().acquisition["camera.frames"].data.shape == (3, 24, 32)


def test_a_sealer_killed_at_any_step_loses_nothing(
    target: Path, film: Path, in_child: InChild, die_at: Callable[[int, Path], None]
) -> None:
    step = 0
    statuses: list[int] = []
    while not statuses or statuses[-1] == -signal.SIGKILL:
        step += 4
        folder = finished(target)

        def seal_and_die(step: int = step, folder: Path = folder) -> None:
            die_at(step, target.parent)
            seal(folder)

        statuses.append(in_child(seal_and_die))
        recover(target)

        assert sorted(target.parent.iterdir()) == [target, film]
        with open_recording(target) as recording:
            assert np.array_equal(recording.streams["camera.frames"].data[:], pictures(20))
        target.unlink()
        film.unlink()

    assert statuses[-1] == 0
    assert step > 20


def test_a_video_of_another_run_is_not_overwritten(target: Path, film: Path) -> None:
    seal(finished(target, run_id="run-2"))
    target.unlink()
    before = film.read_bytes()
    folder = finished(target)

    with pytest.raises(RecordingError, match=r"frames\.mkv exists, and nothing is overwritten"):
        seal(folder)

    assert film.read_bytes() == before
    assert sorted(target.parent.iterdir()) == [folder, film]


def test_the_recorder_makes_it_if_asked(tmp_path: Path) -> None:
    runtime = TestRuntime(context={"run_id": "run-1"}, recording_root=str(tmp_path))
    frames = Frames(pictures(9), 5 + np.arange(9) / 30, info=CAMERA)

    run(NWBRecorder(path="session.nwb", external_video=True), frames, runtime=runtime)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["session.nwb", "session.nwb.json", "session_camera.frames.mkv"]
