"""Streams that must not be silent, disks that must not be full, rings that fill up."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from tests.unit.nodes.recorder_rig import AMP, RecorderRig, notes_of, numbers_in

from rigmesh.errors import NodeError, RecordingError
from rigmesh.node import NodeRunner
from rigmesh.node.testing import TestRuntime
from rigmesh.recording import capture_folder, read_info
from rigmesh.streams import StreamInfo
from rigmesh_nodes._recorder_watches import DiskWatch, SilenceWatch, required_streams
from rigmesh_nodes.record import XDFRecorder

EMG = StreamInfo.signal("emg.signal", channels=1, sampling_rate=1000)
KEYS = StreamInfo.signal("keys.pressed", channels=1, sampling_rate=0)

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A disk with as much free, in MB, as its entry ``free`` says."""
    room = {"free": 1000.0}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: Usage(10**12, 0, round(1e6 * room["free"]))
    )
    return room


# --- expected streams ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("all", ["amp.signal", "cam1.frames", "cam2.frames"]),
        (["amp"], ["amp.signal"]),
        (["cam*"], ["cam1.frames", "cam2.frames"]),
        (["cam?.frames", "amp.signal"], ["amp.signal", "cam1.frames", "cam2.frames"]),
        ([], []),
    ],
)
def test_required_streams_are_named_in_several_ways(
    wanted: list[str] | str, found: list[str]
) -> None:
    assert required_streams(wanted, ["cam1.frames", "amp.signal", "cam2.frames"]) == found


def test_a_required_stream_that_is_not_linked_refuses_the_start(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, require=["amp", "eye.gaze"])

    with pytest.raises(NodeError, match=r"'eye\.gaze' is required, and is not linked.*amp\.signal"):
        rig.runner.open()

    rig.runner.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_required_stream_that_falls_silent_raises_an_alarm_within_its_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = RecorderRig(tmp_path, AMP, EMG, require="all").start()
    alarmed_at = None
    for step in range(40):
        rig.feed(100 * step, 100 * (step + 1))
        if step < 10:
            rig.feed(100 * step, 100 * (step + 1), "emg.signal")
        rig.after(0.1)
        if rig.node.alarms and alarmed_at is None:
            alarmed_at = rig.runtime.now

    assert rig.node.alarms == ["emg.signal"]
    assert rig.node.report["alarms"] == ["emg.signal"]
    assert alarmed_at is not None
    assert 1.0 < alarmed_at - 1.0 <= 2.0  # the last sample came before second 1
    assert [r.message for r in caplog.records if "is silent" in r.message][1:] == []

    rig.feed(1000, 1100, "emg.signal")
    rig.after(0.3)

    assert rig.node.alarms == []
    rig.finish()
    notes = notes_of(tmp_path / "session.h5", "alarm", "alarm over")
    assert [(n["kind"], n["about"]) for n in notes] == [
        ("alarm", "emg.signal"),
        ("alarm over", "emg.signal"),
    ]
    assert notes[0]["time"] == pytest.approx(alarmed_at, abs=0.1)


def test_a_required_stream_that_never_comes_raises_an_alarm(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, require=["amp"]).start()

    rig.after(2.0)

    assert rig.node.alarms == ["amp.signal"]
    rig.finish()


def test_streams_without_a_rate_may_be_silent(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, KEYS, require="all").start()

    rig.after(10.0)

    assert rig.node.alarms == []
    rig.finish()


def test_waiting_for_the_others_to_get_ready_is_no_silence(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, require="all")
    rig.runtime.now = 100.0  # after the start of an earlier run
    rig.start()

    rig.after(10.0)
    assert rig.node.alarms == []
    rig.runtime.run_start = rig.runtime.now
    rig.after(2.0)

    assert rig.node.alarms == ["amp.signal"]
    rig.finish()


def test_who_was_frozen_has_not_seen_silence() -> None:
    watch = SilenceWatch()

    def look(now: float) -> dict[str, float]:
        return watch.look(now, {"a": 5}, ["a"], after=2.0, every=0.25)[0]

    assert look(0.0) == look(0.25) == look(60.0) == {}
    later = [look(60.0 + 0.25 * step) for step in range(1, 8)]
    assert not any(later[:2])
    assert any(later)


# --- the disk ------------------------------------------------------------------------------


def test_a_start_without_enough_room_is_refused(tmp_path: Path, disk: dict[str, float]) -> None:
    disk["free"] = 400
    rig = RecorderRig(tmp_path, min_free=500)

    with pytest.raises(NodeError, match="has 400 MB free, and min_free asks for 500 MB"):
        rig.runner.open()

    rig.runner.finish()
    assert list(tmp_path.iterdir()) == []


def test_the_time_until_the_disk_is_full_is_foreseen(
    tmp_path: Path, disk: dict[str, float]
) -> None:
    watch = DiskWatch(tmp_path)
    for second in range(30):
        disk["free"] = 1000 - 10 * second
        watch.look(float(second), 10_000_000 * second)

    assert watch.seconds_left(200e6) == pytest.approx((1000 - 290 - 200) / 10)


def test_what_others_write_is_foreseen_too(tmp_path: Path, disk: dict[str, float]) -> None:
    watch = DiskWatch(tmp_path)
    watch.look(0.0, 0)
    disk["free"] = 900
    watch.look(1.0, 10)

    assert watch.seconds_left(0) == pytest.approx(9.0)


def test_a_disk_on_which_nobody_writes_lasts(tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path)
    watch.look(0.0, 0)

    assert watch.seconds_left(0) == -1


def test_a_disk_that_gets_full_is_warned_of_once(
    tmp_path: Path, disk: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    rig = RecorderRig(tmp_path).start()
    for second in range(20):
        disk["free"] = 1000 - 10 * second
        rig.feed(1000 * second, 1000 * (second + 1))
        rig.after(1.0)

    assert rig.node.alarms == ["disk"]
    assert 0 < rig.node.free_seconds < 90
    assert len([r for r in caplog.records if "the disk is full in" in r.message]) == 1
    assert rig.node.phase == "recording"
    rig.finish()


def test_a_recording_ends_in_good_order_before_the_disk_is_full(
    tmp_path: Path, disk: dict[str, float]
) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 1000)
    rig.after(0.3)
    disk["free"] = 199
    rig.after(0.3)
    released = rig.released
    rig.feed(1000, 2000)
    rig.after(0.3)

    assert rig.node.phase == "stopped"
    assert rig.released > released  # a source that waits is not held up
    report = rig.finish()
    assert report["verdict"] == (
        "FAILED (it was stopped with 199 MB free on the disk, of which stop_before keeps 200 MB)"
    )
    assert read_info(tmp_path / "session.h5").state == "sealed"
    assert read_info(tmp_path / "session.h5").verdict == report["verdict"]
    assert numbers_in(tmp_path / "session.h5") == [*range(1000)]
    assert [note["kind"] for note in notes_of(tmp_path / "session.h5", "stopped")] == ["stopped"]


# --- rings ---------------------------------------------------------------------------------


def test_how_full_the_rings_were_is_counted(tmp_path: Path) -> None:
    graph = {
        "nodes": {"amp": {"type": "sim.EEG", "group": "fast"}},
        "groups": {"fast": {"buffer_seconds": 1.0}},
    }
    rig = RecorderRig(tmp_path, context={"graph": graph}).start()
    rig.feed(0, 40)  # of 1000 that there is room for
    rig.feed(40, 100, written=300)
    rig.feed(100, 300, written=1299)
    rig.after(0.3)

    node = rig.node
    assert (node.fill_5, node.fill_20, node.fill_40, node.fill_95) == (2, 2, 1, 1)
    assert (node.lag_samples, node.lag) == (999, 0.999)
    rig.feed(300, 1299)
    rig.after(0.3)
    assert (node.lag_samples, node.lag, node.fill_95) == (0, 0.0, 2)
    assert node.written_mb > 0
    rig.finish()
    (counted,) = notes_of(tmp_path / "session.h5", "counters")
    assert (counted["fill_95"], counted["samples"]) == (2, {"amp.signal": 1299})


# --- the record beside the file ------------------------------------------------------------


def test_a_record_is_beside_the_file(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, metadata={"subject": "s07"}, path="{subject}.h5").start()
    rig.feed(0, 100)
    change = {"kind": "parameters", "time": 0.1, "node": "low", "values": {"cutoff": 30},
              "effective": {"low.filtered": {"epoch": 0, "index": 50}}}  # fmt: skip
    rig.node.on_journal(change)
    rig.finish()

    told = json.loads((tmp_path / "s07.h5.json").read_text())

    assert (told["path"], told["verdict"], told["run_id"]) == ("s07.h5", "OK", "run-1")
    assert told["context"]["metadata"] == {"subject": "s07"}
    assert "rigmesh" in told["context"]["code"]
    assert change in told["notes"]
    assert told["bytes"] == (tmp_path / "s07.h5").stat().st_size
    assert told["streams"][0]["epochs"][0]["produced"] == 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s07.h5", "s07.h5.json"]


def test_a_file_that_has_the_name_of_the_record_is_kept(tmp_path: Path) -> None:
    (tmp_path / "session.h5.json").write_text("mine")
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)

    assert rig.finish()["verdict"] == "OK"
    assert (tmp_path / "session.h5.json").read_text() == "mine"


# --- sealing -------------------------------------------------------------------------------


def test_a_recorder_that_does_not_wait_leaves_the_sealing_to_a_process(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, wait_sealed=False).start()
    rig.feed(0, 100)

    report = rig.finish()

    assert report["verdict"] == "OK"  # told before the file is made
    rig.node._sealer.wait()
    assert rig.node.sealing == 1.0
    assert read_info(tmp_path / "session.h5").state == "sealed"
    assert (tmp_path / "session.h5.json").exists()


def test_a_capture_that_cannot_be_sealed_is_kept_and_said(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path).start()
    rig.feed(0, 100)
    (tmp_path / "session.h5").write_text("came meanwhile")

    with pytest.raises(NodeError, match="exists and is not what") as failure:
        rig.finish()

    assert isinstance(failure.value.__cause__, RecordingError)
    assert read_info(capture_folder(tmp_path / "session.h5")).verdict == "OK"


@pytest.mark.parametrize("wait_sealed", [True, False])
def test_what_is_wrong_in_the_sealing_process_is_said(tmp_path: Path, wait_sealed: bool) -> None:
    rig = RecorderRig(tmp_path, wait_sealed=wait_sealed).start()
    rig.feed(0, 100)
    rig.call("split")
    rig.feed(100, 200)
    rig.node._sealer.wait()
    other = capture_folder(tmp_path / "session_part2.h5")
    (tmp_path / "session_part2.h5").write_text("came meanwhile")
    rig.node._running.end()
    rig.node._running.make_file(apart=True)
    rig.node._sealer.wait()

    (why,) = rig.node._sealer.failures.values()

    assert "exists and is not what" in why
    (tmp_path / "session_part2.h5").unlink()
    rig.finish()
    rig.node._sealer.wait()
    assert not other.exists()
    assert numbers_in(tmp_path / "session_part2.h5") == [*range(100, 200)]


def test_linking_is_refused_where_the_format_cannot(tmp_path: Path) -> None:
    node = XDFRecorder(path=str(tmp_path / "a.xdf"), seal="link", min_free=0)
    node.runtime = TestRuntime()
    runner = NodeRunner(node, "recorder")

    with pytest.raises(NodeError, match=r"seal: link .* which xdf cannot; use now or later"):
        runner.open()

    runner.finish()


def test_a_linked_file_refers_to_the_samples_beside_it(tmp_path: Path) -> None:
    rig = RecorderRig(tmp_path, seal="link").start()
    rig.feed(0, 100)
    rig.finish()

    assert numbers_in(tmp_path / "session.h5") == [*range(100)]
    samples = tmp_path / "session.h5.data" / "streams" / "amp.signal" / "0.dat"
    assert samples.stat().st_size == 800
    assert read_info(tmp_path / "session.h5").verdict == "OK"


def test_linking_is_refused_where_samples_of_another_file_lie(tmp_path: Path) -> None:
    (tmp_path / "session.h5.data").mkdir()
    rig = RecorderRig(tmp_path, seal="link")

    with pytest.raises(NodeError, match=r"session\.h5\.data exists"):
        rig.runner.open()

    rig.runner.finish()
