"""A recording comes again as it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.replayed import (
    EEG,
    eeg,
    joined,
    record,
    replayed,
    stamps,
    texts,
)

from rigmesh.errors import NodeError, RecordingError, UnknownName
from rigmesh.node import NodeRunner
from rigmesh.node.testing import TestRuntime, collect, markers, run, sine
from rigmesh.streams import (
    Cause,
    Chunk,
    ClockModel,
    Frames,
    Gap,
    Markers,
    Signal,
    StreamInfo,
    local_clock,
)
from rigmesh_nodes.replay import File


def test_a_recording_of_ours_comes_again_sample_by_sample(tmp_path: Path) -> None:
    path = record(
        tmp_path / "a.h5", eeg(0, 250), markers((50.5, "go"), (51.0, "stop")), eeg(250, 50)
    )

    tapes = replayed(path)

    assert np.array_equal(joined(tapes["signal"])[:, 0], np.arange(300))
    assert np.array_equal(stamps(tapes["signal"]), 50.0 + np.arange(300) / 100)
    assert tapes["signal"].infos[0].channels == EEG.channels
    assert texts(tapes["markers"]) == ["go", "stop"]
    assert stamps(tapes["markers"]).tolist() == [50.5, 51.0]


def test_frames_come_again(tmp_path: Path) -> None:
    pictures = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)
    info = StreamInfo.frames("cam.out", shape=(4, 6, 3), sampling_rate=30)
    path = record(tmp_path / "a.h5", Frames(pictures, np.arange(5) / 30, info=info))

    tapes = replayed(path)

    assert np.array_equal(joined(tapes["frames"]), pictures)
    assert tapes["frames"].infos[0].sample_shape == (4, 6, 3)


def test_gaps_come_again_with_their_causes(tmp_path: Path) -> None:
    gap = Gap(Cause.DEVICE, 0, 100, 7, 0.07, exact=True)
    path = record(tmp_path / "a.h5", eeg(0, 100), eeg(107, 50, gaps=[gap]))

    tape = replayed(path)["signal"]

    assert [(g.cause, g.index, g.count, g.duration, g.exact) for g in tape.gaps] == [
        (Cause.DEVICE, 100, 7, 0.07, True)
    ]
    after = next(chunk for chunk in tape.chunks if chunk.gaps)
    assert after.data[0, 0] == 107


def test_epochs_come_again(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 100), eeg(0, 30, epoch=1))

    tape = replayed(path, chunk_duration=100)["signal"]

    assert [chunk.epoch for chunk in tape.chunks] == [0] * 10 + [1] * 3
    assert [chunk.index for chunk in tape.chunks][-3:] == [0, 10, 20]


def test_a_change_of_format_comes_again(tmp_path: Path) -> None:
    wider = StreamInfo.signal("amp.eeg", channels=3, sampling_rate=200.0)
    path = record(
        tmp_path / "a.h5",
        eeg(0, 100),
        Signal(np.ones((40, 3)), 52.0 + np.arange(40) / 200, epoch=1, info=wider),
    )

    tape = replayed(path)["signal"]

    assert [(info.n_channels, info.sampling_rate) for info in tape.infos[-1:]] == [(3, 200.0)]
    assert sum(len(chunk) for chunk in tape.chunks if chunk.data.shape[1] == 2) == 100
    assert sum(len(chunk) for chunk in tape.chunks if chunk.data.shape[1] == 3) == 40


def test_recorded_clocks_lie_beside_the_raw_stamps(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 50, clock=1000.0), eeg(50, 50, clock=1000.5))

    tape = replayed(path, chunk_duration=100)["signal"]

    offsets = [float(chunk.timestamps[0] - chunk.raw_timestamps[0]) for chunk in tape.chunks]
    assert np.array_equal(stamps(tape), 50.0 + np.arange(100) / 100)
    assert offsets == pytest.approx([1000.0] * 5 + [1000.5] * 5)


def test_all_streams_of_a_file_share_one_time_that_begins_with_the_run(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", markers((49.5, "early")), eeg(0, 20))
    runtime = TestRuntime()
    runtime.run_start = 1000.0

    tapes = collect(File(path=str(path)), runtime=runtime)

    assert stamps(tapes["markers"]).tolist() == [1000.0]
    assert stamps(tapes["signal"]) == pytest.approx(1000.5 + np.arange(20) / 100)


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_samples_are_given_when_they_are_due(tmp_path: Path, speed: float) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 41))
    runtime = TestRuntime()
    runtime.run_start = local_clock()

    begin = time.monotonic()
    tapes = collect(File(path=str(path), speed=speed), runtime=runtime)
    took = time.monotonic() - begin

    assert took >= 0.4 / speed
    assert took < 0.4 / speed + 0.3
    assert stamps(tapes["signal"]) == pytest.approx(runtime.run_start + np.arange(41) / 100)


def test_signals_and_markers_are_given_in_the_order_of_their_times(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 200), markers((50.255, "first"), (51.505, "second")))
    order: list[tuple[float, str]] = []
    node = File(path=str(path), paced=False)

    class Log:
        def deliver(self, chunk: Chunk) -> None:
            order.append((float(chunk.raw_timestamps[-1]), type(chunk).__name__))

        def announced(self, output: Any) -> None: ...
        def lost(self, gap: Gap) -> None: ...
        def clock_changed(self, clock: ClockModel) -> None: ...
        def ended(self) -> None: ...

    for output in node.bound_outputs():
        output.add_target(Log())
    collect(node)

    assert order == sorted(order)
    assert len(order) == 202


def test_a_loop_goes_on_in_time_and_index(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 100))

    result = run(File(path=str(path), paced=False, loop=True), max_samples=250)["signal"]

    assert np.array_equal(result.data[:250, 0], np.arange(250) % 100)
    assert result.raw_timestamps == pytest.approx(50.0 + np.arange(len(result)) / 100)
    assert {result.epoch} == {0}


def test_a_replay_that_was_restarted_goes_on_where_the_time_is(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 100))
    runtime = TestRuntime(context={"resumed": True})
    runtime.run_start = local_clock() - 0.5
    node = File(path=str(path))

    tape = collect(node, runtime=runtime)["signal"]

    first = int(tape.chunks[0].data[0, 0])
    assert 50 <= first < 90
    assert node.signal.device_index == first
    assert stamps(tape)[0] == pytest.approx(runtime.run_start + first / 100)


def test_a_replay_stops_at_once(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 10), eeg(10, 2000))
    node, runtime = File(path=str(path)), TestRuntime()
    runtime.run_start = local_clock() + 60
    node.runtime = runtime
    runner = NodeRunner(node, "replay")
    runner.open()
    runner.start()

    begin = time.monotonic()
    runner.finish(timeout=10)
    took = time.monotonic() - begin

    assert took < 0.5


@pytest.mark.parametrize("duration", [1.0, 7.0, 10_000.0])
def test_the_length_of_the_chunks_does_not_change_what_comes(
    tmp_path: Path, duration: float
) -> None:
    gap = Gap(Cause.DEVICE, 0, 100, 7, 0.07, exact=True)
    path = record(tmp_path / "a.h5", eeg(0, 100), eeg(107, 50, gaps=[gap]))

    tape = replayed(path, chunk_duration=duration)["signal"]

    expected = [*range(100), *range(107, 157)]
    assert joined(tape)[:, 0].tolist() == expected
    assert [(g.index, g.count) for g in tape.gaps] == [(100, 7)]


# --- mistakes ----------------------------------------------------------------------------------


def test_a_file_that_is_missing_is_an_error_of_open(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"open: RecordingError: no file .*a\.h5") as caught:
        replayed(tmp_path / "a.h5")

    assert isinstance(caught.value.__cause__, RecordingError)


def test_a_file_of_another_kind_is_an_error_that_names_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello", encoding="utf-8")

    with pytest.raises(NodeError, match=r"cannot replay .*a\.txt.*\.xdf, .*\.edf"):
        replayed(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("stream", r"no stream of numbers or pictures in .* 'nothing'; known: amp.eeg"),
        ("marker_stream", r"no stream of texts in .* 'nothing'; known: test.markers"),
    ],
)
def test_a_stream_that_is_not_in_the_file_is_an_error_that_names_those_that_are(
    tmp_path: Path, parameter: str, message: str
) -> None:
    path = record(tmp_path / "a.h5", eeg(0, 10), markers((50.0, "go")))

    with pytest.raises(NodeError, match=message) as caught:
        replayed(path, **{parameter: "nothing"})

    assert isinstance(caught.value.__cause__, UnknownName)


def test_a_relative_path_is_taken_in_the_folder_of_the_recordings(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", eeg(0, 10))
    node = File(path="a.h5", paced=False)

    tapes = collect(node, runtime=TestRuntime(recording_root=str(tmp_path)))

    assert len(joined(tapes["signal"])) == 10


def test_a_file_of_texts_only_gives_markers_only(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5", markers((50.0, "go")))

    tapes = replayed(path)

    assert texts(tapes["markers"]) == ["go"]
    assert tapes["signal"].infos == []
    assert isinstance(tapes["markers"].chunks[0], Markers)


def test_a_sine_is_the_same_after_recording_and_replay(tmp_path: Path) -> None:
    wave = sine(10, duration=2, n_channels=3, dtype=np.float32)
    expected = wave.data.tobytes()
    path = record(tmp_path / "a.h5", wave)

    result = run(File(path=str(path), paced=False))["signal"]

    assert result.data.tobytes() == expected
