"""Recorders that are paused, split, frozen, starved and left alone while a graph runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from rigmesh.cli.annotate import annotate
from rigmesh.client import Manager
from rigmesh.client.node import NodeHandle
from rigmesh.errors import NodeError, StateError
from rigmesh.recording import capture_folder, open_recording, read_info, recover

Until = Callable[..., None]


def produced(manager: Manager, stream: str = "source.signal") -> int:
    return next((c.produced for c in manager.status().stream_counters if c.stream == stream), 0)


def process_of(manager: Manager, name: str) -> psutil.Process:
    return psutil.Process(next(p.pid for p in manager.status().processes if p.name == name))


def source_of(manager: Manager, **source: Any) -> NodeHandle:
    amp = manager.create_nodegroup("amp", restart="on-failure")
    source = {"n_channels": 1, "sampling_rate": 1000, "dtype": "float64", **source}
    return manager.create_node(
        "sim.Oscillators", name="source", host=amp, sample_number=True, **source
    )


def recorder_of(manager: Manager, path: Path, source: NodeHandle, **more: Any) -> NodeHandle:
    rec = manager.create_nodegroup("rec", restart="on-failure")
    recorder = manager.create_node(
        "record.HDF5Recorder", name="recorder", host=rec, path=str(path), **more
    )
    recorder.input.connect(source.output)
    return recorder


def numbers_in(path: Path) -> list[int]:
    with open_recording(path) as recording:
        values = recording.streams["source.signal"].data[:][:, 0]
        return [int(value) for value in values]


def notes_of(path: Path, *kinds: str) -> list[dict[str, Any]]:
    with open_recording(path) as recording:
        return [dict(note) for note in recording.notes if note["kind"] in kinds]


def go_on(manager: Manager, until: Until, samples: int = 200) -> None:
    goal = produced(manager) + samples
    until(lambda: produced(manager) > goal)


def test_a_graph_is_recorded_in_parts_and_with_a_pause(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    recorder = recorder_of(manager, tmp_path / "a_{part}.h5", source_of(manager))
    parts = ["a_1.h5", "a_2.h5", "a_3.h5"]
    manager.start_all()
    go_on(manager, until)
    assert recorder.call("split") == str(tmp_path / "a_2.h5")
    until(lambda: [Path(path).name for path in recorder.states["files"]] == parts[:2])
    go_on(manager, until)
    recorder.call("pause")
    go_on(manager, until)
    recorder.call("resume")
    go_on(manager, until)
    recorder.call("split")
    go_on(manager, until)
    manager.stop_all()

    assert recorder.report["verdict"] == "OK"
    paths = [Path(path) for path in recorder.report["paths"]]
    assert [path.name for path in paths] == parts
    assert [read_info(path).state for path in paths] == ["sealed"] * 3
    numbers = [n for path in paths for n in numbers_in(path)]
    steps = np.diff(numbers)
    assert sorted(steps.tolist())[:-1] == [1] * (len(numbers) - 2)
    assert steps.max() > 100  # the pause, and nothing else
    assert numbers_in(paths[0])[-1] + 1 == numbers_in(paths[1])[0]
    assert numbers_in(paths[1])[-1] + 1 == numbers_in(paths[2])[0]


def test_a_killed_recorder_goes_on_in_its_last_part(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    recorder = recorder_of(manager, tmp_path / "a.h5", source_of(manager))
    manager.start_all()
    go_on(manager, until)
    recorder.call("split")
    go_on(manager, until)

    process_of(manager, "rec.record").kill()
    until(lambda: any(p.restarts for p in manager.status().processes))
    until(lambda: recorder.state == "running")
    go_on(manager, until)
    manager.stop_all()

    paths = [tmp_path / "a.h5", tmp_path / "a_part2.h5"]
    numbers = [n for path in paths for n in numbers_in(path)]
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    assert [read_info(path).verdict for path in paths] == ["OK", "OK"]


def test_a_required_stream_whose_source_is_killed_raises_an_alarm(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    recorder = recorder_of(
        manager, tmp_path / "a.h5", source_of(manager), require="all", silent_after=1
    )
    manager.start_all()
    go_on(manager, until)
    process = process_of(manager, "amp")

    process.suspend()
    until(lambda: recorder.states["alarms"] == ["source.signal"])
    process.resume()
    until(lambda: recorder.states["alarms"] == [])
    manager.stop_all()

    alarm, over = notes_of(tmp_path / "a.h5", "alarm", "alarm over")
    with open_recording(tmp_path / "a.h5") as recording:
        stamps = np.asarray(recording.streams["source.signal"].timestamps[:])
    before = stamps[stamps < alarm["time"]][-1]
    assert alarm["time"] - before <= 1.25  # a tick more, on a machine that is busy
    assert over["time"] > alarm["time"]


def test_a_required_stream_that_is_not_there_refuses_the_start(
    manager: Manager, tmp_path: Path
) -> None:
    recorder_of(manager, tmp_path / "a.h5", source_of(manager), require=["source", "eye.gaze"])

    with pytest.raises(NodeError, match=r"'eye\.gaze' is required, and is not linked"):
        manager.start_all()

    assert list(tmp_path.iterdir()) == []


def test_a_frozen_recorder_holds_nobody_up_and_loses_nothing_its_ring_can_hold(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    recorder = recorder_of(manager, tmp_path / "a.h5", source_of(manager))
    manager.start_all()
    go_on(manager, until)
    process = process_of(manager, "rec.record")

    process.suspend()
    begin, before = time.monotonic(), produced(manager)
    go_on(manager, until, 3000)
    took, made = time.monotonic() - begin, produced(manager) - before
    process.resume()
    until(lambda: recorder.states["fill_20"] > 0)
    go_on(manager, until)
    manager.stop_all()

    assert made / took == pytest.approx(1000, rel=0.2)  # the source was at its rate
    numbers = numbers_in(tmp_path / "a.h5")
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    assert recorder.report["verdict"] == "OK"
    (counted,) = notes_of(tmp_path / "a.h5", "counters")
    assert counted["fill_95"] == 0


def test_a_stop_need_not_wait_for_the_file(manager: Manager, tmp_path: Path, until: Until) -> None:
    source = source_of(manager, n_channels=64, paced=False, n_samples=100_000)
    recorder = recorder_of(manager, tmp_path / "a.h5", source)
    manager.start_all()
    until(lambda: recorder.states["written_mb"] > 1)

    manager.stop_all(wait_sealed=False)
    report = recorder.report

    assert report["verdict"] == "OK"
    until(lambda: recorder.states["sealing"] == 1)
    assert (tmp_path / "a.h5.json").exists()
    numbers = numbers_in(tmp_path / "a.h5")
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))


def test_a_killed_sealing_can_be_done_again(manager: Manager, tmp_path: Path, until: Until) -> None:
    source = source_of(manager, n_channels=64, paced=False, n_samples=100_000)
    recorder = recorder_of(manager, tmp_path / "a.h5", source)
    manager.start_all()
    recorder_process = process_of(manager, "rec.record")
    until(lambda: recorder.state in ("ended", "running") and recorder_process.children())

    for child in recorder_process.children():
        child.kill()
    recorder.wait("failed")

    assert capture_folder(tmp_path / "a.h5").exists()
    assert read_info(recover(tmp_path / "a.h5")).verdict == "OK"
    assert len(numbers_in(tmp_path / "a.h5")) == 100_000


def test_a_script_records_in_one_block(
    manager: Manager, tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIGMESH_SOCKET", str(manager._connection.socket))
    source = source_of(manager)
    for number, ending in enumerate(("h5", "nwb", "xdf")):
        template = tmp_path / f"{{subject}}_{{date}}.{ending}"
        metadata = {"subject": f"s{number}"}
        with manager.record(template, ["source"], metadata=metadata, min_free=1) as recording:
            go_on(manager, until)
            recording.annotate("eyes closed")
            annotate("by hand")
            with pytest.raises(StateError, match="running already"), manager.record(template):
                pass
            assert recording.verdict == ""
            assert recording.node.states["phase"] == "recording"

        assert recording.verdict == "OK"
        assert recording.path.name.startswith(f"s{number}_20")
        texts = [note["text"] for note in notes_of(recording.path, "note")]
        assert texts == ["eyes closed", "by hand"]
        numbers = numbers_in(recording.path)
        np.testing.assert_array_equal(np.diff(numbers), 1)
    assert list(manager.nodes) == [source.name]


def test_what_cannot_be_recorded_leaves_no_recorder(manager: Manager, tmp_path: Path) -> None:
    source_of(manager)
    (tmp_path / "a.h5").write_text("precious")

    with pytest.raises(NodeError, match="exists"), manager.record(tmp_path / "a.h5"):
        pass

    assert list(manager.nodes) == ["source"]
    assert manager.status().state == "idle"
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
