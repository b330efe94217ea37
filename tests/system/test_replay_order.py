"""A node with several inputs, in processes of their own, and the same over its recording."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rigmesh.client import Manager
from rigmesh.recording import open_recording, read_info

RIGMESH = Path(sys.executable).with_name("rigmesh")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events that would be blocked by ones at the same times, if these did not come 50 ms late."""
    path = tmp_path_factory.mktemp("recorded") / "session.h5"
    with Manager(private=True) as manager:
        amp, near, far = (manager.create_nodegroup(name) for name in ("amp", "near", "far"))
        eeg = manager.create_node("sim.EEG", name="eeg", host=amp, sampling_rate=500)
        finders = [
            manager.create_node("events.Threshold", name=name, host=where, level=1.0)
            for name, where in (("go", near), ("art", far))
        ]
        hold = manager.create_node("event_logic.EventFilter", name="hold", host=far, hold=0.05)
        veto = manager.create_node("event_logic.EventFilter", name="veto", after=0.0005)
        recorder = manager.create_node("record.HDF5Recorder", name="recorder", path=str(path))
        for finder in finders:
            finder.input.connect(eeg.output)
        hold.inputs["events"].connect(finders[1].output)
        veto.inputs["events"].connect(finders[0].output)
        veto.inputs["block"].connect(hold.output)
        recorder.input.connect(
            eeg.output, *(finder.output for finder in finders), hold.output, veto.output
        )
        manager.start_all()
        for _ in eeg.output.chunks(seconds=2):
            pass
        for finder in finders:
            finder.update(level=1e9)
        for _ in eeg.output.chunks(seconds=1):  # the order of the last samples is not recorded
            pass
        manager.stop_all()
    assert read_info(path).verdict.startswith("OK")
    return path


def test_what_came_late_comes_late_again(recording: Path) -> None:
    n = {stream.name: stream.n_samples for stream in read_info(recording).streams}
    assert n["veto.passed"] > 5  # in the order of their times all would be blocked

    done = subprocess.run(
        [RIGMESH, "replay", recording, "--compare", "--without", "hold",
         "--stream", "veto.passed"],
        capture_output=True, text=True, timeout=100, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"veto.passed {n['veto.passed']}/{n['veto.passed']} identical" in done.stdout
    assert "in which order" not in done.stdout + done.stderr


def test_only_nodes_with_several_inputs_that_give_something_are_told_of(recording: Path) -> None:
    with open_recording(recording) as found:
        orders = [note for note in found.notes if note["kind"] == "order"]

    assert {note["node"] for note in orders} == {"veto"}
    assert orders[0]["inputs"] == [["events", "go.events"], ["block", "hold.passed"]]
    told = sum(n for note in orders for n in note["runs"][1::2])
    assert told == sum(
        stream.n_samples for stream in read_info(recording).streams
        if stream.name in ("go.events", "hold.passed")
    )  # fmt: skip
