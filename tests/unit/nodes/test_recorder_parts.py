"""Recorders that pause, and that go on in another file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.nodes.recorder_rig import AMP, RecorderRig, notes_of, numbers_in

from rigmesh.errors import RecordingError, StateError
from rigmesh.recording import Capture, capture_folder, open_recording, read_info, recover
from rigmesh.streams import Cause, Gap, StreamInfo

EMG = StreamInfo.signal("emg.signal", channels=1, sampling_rate=1000)


# --- pauses --------------------------------------------------------------------------------


def test_what_comes_in_a_pause_is_not_recorded_and_nobodys_loss(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.call("pause")
    rig.feed(100, 250)
    rig.call("resume")
    rig.feed(250, 300)

    report = rig.finish()

    assert report["verdict"] == "OK"
    assert numbers_in(tmp_path / "session.h5") == [*range(100), *range(250, 300)]
    with open_recording(tmp_path / "session.h5") as recording:
        stream = recording.streams["amp.signal"]
    assert [(e.epoch, e.first_row, e.n, e.first_index, e.produced) for e in stream.epochs] == [
        (0, 0, 100, 0, 100),
        (0, 100, 50, 250, 300),
    ]
    assert not stream.gaps
    assert [note["kind"] for note in notes_of(tmp_path / "session.h5", "pause", "resume")] == [
        "pause",
        "resume",
    ]


def test_losses_before_within_and_after_a_pause_are_told_apart(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.feed(100, 110, gaps=(Gap(Cause.DEVICE, 0, 100, 7),))
    rig.call("pause")
    rig.feed(110, 150, gaps=(Gap(Cause.DEVICE, 0, 110, 1000),), written=1157)
    rig.call("resume")
    rig.feed(180, 200, gaps=(Gap(Cause.OVERRUN, 0, 180, 30),), written=1207)

    report = rig.finish()

    assert report["verdict"] == "OK with gaps (2, 37.0 ms)"
    first, second = read_info(tmp_path / "session.h5").streams[0].epochs
    assert (first.first_index, first.produced, first.delivered, first.missing) == (0, 117, 110, 7)
    assert (second.first_index, second.produced, second.delivered) == (150, 200, 20)
    assert second.missing == 30


def test_samples_that_never_come_after_a_pause_are_missed(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.call("pause")
    rig.feed(100, 150)
    rig.call("resume")
    rig.feed(150, 160, written=165)

    report = rig.finish()

    assert report["verdict"].startswith("FAILED (amp.signal, epoch 0: 15 samples were produced, 10")


def test_an_epoch_that_ends_within_a_pause_is_accounted_for_without_it(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.call("pause")
    rig.feed(100, 120)
    rig.links["amp.signal"].produced[1] = 0, 0
    rig.runner.input_announced(rig.links["amp.signal"], AMP, new_epoch=True)
    rig.feed(0, 40, epoch=1)
    rig.call("resume")
    rig.feed(40, 60, epoch=1)

    report = rig.finish()

    assert report["verdict"] == "OK"
    epochs = read_info(tmp_path / "session.h5").streams[0].epochs
    assert [(e.epoch, e.first_index, e.produced, e.delivered) for e in epochs] == [
        (0, 0, 100, 100),
        (1, 40, 60, 20),
    ]


def test_a_recording_that_ends_in_a_pause_is_whole(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.call("pause")
    rig.feed(100, 250)

    report = rig.finish()

    assert report["verdict"] == "OK"
    assert numbers_in(tmp_path / "session.h5") == [*range(100)]


def test_a_recorder_killed_in_a_pause_comes_back_paused(tmp_path: Path) -> None:
    first = RecorderRig(tmp_path).start()
    first.feed(0, 100)
    first.call("pause")
    _die(first)

    rig = RecorderRig(tmp_path, context={"resumed": True})
    rig.runner.open()
    assert (rig.links["amp.signal"].start_epoch, rig.links["amp.signal"].start) == (0, 100)
    rig.runner.input_announced(rig.links["amp.signal"], AMP, new_epoch=False)
    rig.runner.start()
    assert rig.node.phase == "paused"
    rig.feed(100, 150)
    rig.call("resume")
    rig.feed(150, 200)

    assert rig.finish()["verdict"] == "OK"
    assert numbers_in(tmp_path / "session.h5") == [*range(100), *range(150, 200)]


def test_pausing_twice_is_refused(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.call("pause")

    with pytest.raises(StateError, match="is paused, not recording"):
        rig.call("pause")
    with pytest.raises(StateError, match="is paused, not recording"):
        rig.call("split")
    rig.call("resume")
    with pytest.raises(StateError, match="is recording, not paused"):
        rig.call("resume")

    rig.finish()


# --- several files -------------------------------------------------------------------------


def test_no_sample_is_lost_or_doubled_at_a_seam(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, AMP, EMG).start()
    rig.feed(0, 100)
    rig.feed(0, 30, "emg.signal")
    second = rig.call("split")
    rig.feed(100, 180)
    rig.feed(30, 60, "emg.signal")

    report = rig.finish()

    paths = [tmp_path / "session.h5", tmp_path / "session_part2.h5"]
    assert second == str(paths[1])
    assert report["paths"] == [str(path) for path in paths]
    assert report["verdict"] == "OK"
    assert [read_info(path).state for path in paths] == ["sealed", "sealed"]
    assert [numbers_in(path) for path in paths] == [[*range(100)], [*range(100, 180)]]
    assert [numbers_in(path, "emg.signal") for path in paths] == [[*range(30)], [*range(30, 60)]]
    epochs = [read_info(path).streams[0].epochs[0] for path in paths]
    assert [(e.first_index, e.produced, e.missing) for e in epochs] == [(0, 100, 0), (100, 180, 0)]


def test_each_part_knows_its_neighbour(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.call("split")
    rig.feed(100, 180)
    rig.finish()

    with open_recording(tmp_path / "session.h5") as first:
        assert first.context["recording"] == {"part": 1}
    with open_recording(tmp_path / "session_part2.h5") as second:
        assert second.context["recording"] == {"part": 2, "previous": "session.h5"}
    (end,) = notes_of(tmp_path / "session.h5", "split")
    (begin,) = notes_of(tmp_path / "session_part2.h5", "split")
    assert (end["next"], begin["previous"]) == ("session_part2.h5", "session.h5")
    assert end["at"] == begin["at"] == {"amp.signal": [0, 100]}


def test_losses_are_accounted_for_in_the_part_they_happened_in(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.feed(100, 110, gaps=(Gap(Cause.DEVICE, 0, 100, 7),))
    rig.call("split")
    rig.feed(130, 150, gaps=(Gap(Cause.OVERRUN, 0, 130, 20),), written=157)
    rig.finish()

    first = read_info(tmp_path / "session.h5")
    second = read_info(tmp_path / "session_part2.h5")
    assert first.verdict == "OK with gaps (1, 7.0 ms)"
    assert second.verdict == "OK with gaps (1, 20.0 ms)"
    assert second.streams[0].epochs[0].first_index == 110


def test_an_epoch_that_was_over_before_the_seam_is_not_in_the_next_part(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    rig.links["amp.signal"].produced[1] = 0, 0
    rig.runner.input_announced(rig.links["amp.signal"], AMP, new_epoch=True)
    rig.feed(0, 50, epoch=1)
    rig.call("split")
    rig.feed(50, 60, epoch=1)

    report = rig.finish()

    assert report["verdict"] == "OK"
    epochs = read_info(tmp_path / "session_part2.h5").streams[0].epochs
    assert [(e.epoch, e.first_index, e.delivered) for e in epochs] == [(1, 50, 10)]


def test_files_are_split_by_size_and_by_time(tmp_path: Path) -> None:
    by_size = RecorderRig(tmp_path, path="size_{part}.h5", split_size=0.016).start()
    by_time = RecorderRig(tmp_path, path="time.h5", split_duration=1).start()
    for second in range(4):
        for rig in (by_size, by_time):
            rig.feed(1000 * second, 1000 * (second + 1))
            rig.after(1.0)
    for rig in (by_size, by_time):
        assert rig.finish()["verdict"] == "OK"

    sizes = sorted(tmp_path.glob("size_*.h5"))
    times = sorted(tmp_path.glob("time*.h5"), key=lambda path: (len(path.name), path))
    assert [path.name for path in sizes][:2] == ["size_1.h5", "size_2.h5"]
    assert len(sizes) >= 4
    assert [path.name for path in times][:2] == ["time.h5", "time_part2.h5"]
    for paths in (sizes, times):
        assert [n for path in paths for n in numbers_in(path)] == [*range(4000)]


def test_a_part_whose_name_is_taken_is_not_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "session_part2.h5").write_text("somebody's")
    rig = RecorderRig(tmp_path, split_duration=1).start()
    rig.feed(0, 100)

    with pytest.raises(RecordingError, match="never overwritten"):
        rig.call("split")
    rig.after(3.0)
    rig.feed(100, 200)

    assert rig.finish()["verdict"] == "OK"
    assert numbers_in(tmp_path / "session.h5") == [*range(200)]
    assert (tmp_path / "session_part2.h5").read_text() == "somebody's"
    assert [r.message for r in caplog.records if "goes on in the same file" in r.message][1:] == []


def test_a_recorder_killed_after_a_split_goes_on_in_the_last_part(tmp_path: Path) -> None:
    first = RecorderRig(tmp_path, seal="later").start()
    first.feed(0, 100)
    first.call("split")
    _die(first)

    rig = RecorderRig(tmp_path, context={"resumed": True}, seal="later")
    rig.runner.open()

    assert (rig.links["amp.signal"].start_epoch, rig.links["amp.signal"].start) == (0, 100)
    rig.runner.input_announced(rig.links["amp.signal"], AMP, new_epoch=False)
    rig.runner.start()
    rig.feed(100, 150)
    rig.finish()
    assert [read_info(recover(tmp_path / name)).verdict for name in (
        "session.h5", "session_part2.h5")] == ["OK", "OK"]  # fmt: skip
    assert numbers_in(tmp_path / "session_part2.h5") == [*range(100, 150)]


def test_a_recorder_killed_between_two_parts_leaves_both_whole(tmp_path: Path) -> None:
    first = RecorderRig(tmp_path).start()
    first.feed(0, 100)
    old = first.node._running._capture
    assert old is not None
    new = Capture.create(tmp_path / "session_part2.h5", "run-1", {})
    new.go_on_from(old)
    old.close()
    new.close()

    rig = RecorderRig(tmp_path, context={"resumed": True}).start()
    rig.feed(100, 150)

    assert rig.finish()["verdict"] == "OK"
    assert numbers_in(tmp_path / "session.h5") == [*range(100)]
    assert numbers_in(tmp_path / "session_part2.h5") == [*range(100, 150)]
    assert not capture_folder(tmp_path / "session.h5").exists()


def _die(rig: RecorderRig) -> None:
    """Let go of the files without a word, as a kill does."""
    capture = rig.node._running._capture
    assert capture is not None
    capture.close()
