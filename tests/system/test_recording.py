"""Recordings through the whole of rigmesh: every sample once, whatever is killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from rigmesh.client import Manager
from rigmesh.client.node import NodeHandle
from rigmesh.errors import NodeError
from rigmesh.recording import open_recording, read_info, recover
from rigmesh.streams import Cause

Until = Callable[[Callable[[], object]], None]
Array = npt.NDArray[Any]


@dataclass
class Recorded:
    """One stream of a recording, in memory."""

    data: Any
    stamps: Array
    gaps: list[Any] = field(default_factory=list)
    epochs: list[Any] = field(default_factory=list)


def load(path: Path) -> dict[str, Recorded]:
    with open_recording(path) as recording:
        return {
            stream.info.name: Recorded(
                list(stream.data[:]) if stream.info.dtype == "text" else np.array(stream.data[:]),
                np.array(stream.raw_timestamps[:]),
                [found.gap for found in stream.gaps],
                list(stream.epochs),
            )
            for stream in recording.streams.values()
        }


def kill(manager: Manager, process: str) -> None:
    pids = {p.name: p.pid for p in manager.status().processes if p.alive}
    os.kill(pids[process], signal.SIGKILL)


def produced(manager: Manager, stream: str) -> int:
    return next((c.produced for c in manager.status().stream_counters if c.stream == stream), 0)


def recording_of(manager: Manager, path: Path, **source: Any) -> tuple[NodeHandle, NodeHandle]:
    """Make a source in a group of its own and a recorder in another, both restarted."""
    amp = manager.create_nodegroup("amp", restart="on-failure")
    rec = manager.create_nodegroup("rec", restart="on-failure")
    made = manager.create_node(
        "sim.Oscillators", name="source", host=amp, sample_number=True, **source
    )
    recorder = manager.create_node("record.HDF5Recorder", name="recorder", host=rec, path=str(path))
    recorder.input.connect(made.output)
    return made, recorder


@pytest.mark.parametrize(
    ("n_channels", "rate", "dtype", "n_samples"),
    [(64, 1000, "float32", 3000), (384, 30_000, "int16", 90_000)],
)
def test_every_sample_is_in_the_file_once_in_order_with_its_stamp(
    manager: Manager,
    tmp_path: Path,
    until: Until,
    n_channels: int,
    rate: int,
    dtype: str,
    n_samples: int,
) -> None:
    path = tmp_path / "file.h5"
    _, recorder = recording_of(
        manager, path, n_channels=n_channels, sampling_rate=rate, dtype=dtype, n_samples=n_samples
    )

    manager.start_all()
    recorder.wait("stopped", timeout=60)

    found = load(path)["source.signal"]
    expected = np.arange(n_samples)
    wanted = expected.astype(np.int64).astype(dtype) if dtype == "float32" else expected
    if dtype == "int16":
        wanted = (expected % 2**16).astype(np.uint16).astype(np.int64)
        got = found.data[:, 0].astype(np.int64) % 2**16
    else:
        got = found.data[:, 0]
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_allclose(found.stamps - found.stamps[0], expected / rate, atol=1e-6)
    assert recorder.report["verdict"] == "OK"
    assert not found.gaps
    manager.stop_all()


def test_a_graph_records_the_same_wherever_its_nodes_run(tmp_path: Path) -> None:
    placements: dict[str, Callable[[str], str]] = {
        "fused": lambda node: "main",
        "apart": lambda node: f"group-{node}",
        "two": lambda node: "main" if node in ("source", "marks") else "other",
    }
    files = {}
    for name, place in placements.items():
        path = tmp_path / f"{name}.h5"
        graph = tmp_path / f"{name}.yaml"
        graph.write_text(
            f"""
rigmesh: 1
nodes:
  source:
    type: sim.Oscillators
    group: {place("source")}
    params: {{n_channels: 4, sampling_rate: 1000, paced: false, n_samples: 20000,
             dtype: float64, chunk_duration: 7}}
  pick: {{type: channels.Select, group: {place("pick")}, inputs: {{signal: source}},
         params: {{channels: [0, 2]}}}}
  low: {{type: filters.LowPass, group: {place("low")}, inputs: {{signal: pick}},
        params: {{cutoff: 40}}}}
  beats: {{type: events.Threshold, group: {place("beats")}, inputs: {{signal: low}},
          params: {{channel: 0, level: 0, refractory: 0.01}}}}
  recorder: {{type: record.HDF5Recorder, group: {place("recorder")},
             inputs: {{streams: [source, low, beats]}}, params: {{path: {path}}}}}
""",
            encoding="utf-8",
        )
        with Manager() as manager:
            manager.load(graph)
            manager.start_all()
            manager["recorder"].wait("stopped", timeout=60)
            assert manager["recorder"].report["verdict"] == "OK"
            manager.stop_all()
        files[name] = load(path)

    reference = files.pop("fused")
    assert len(reference["source.signal"].stamps) == 20_000
    assert len(reference["beats.events"].stamps) > 10
    for other in files.values():
        assert other.keys() == reference.keys()
        for stream, wanted in reference.items():
            np.testing.assert_array_equal(other[stream].stamps, wanted.stamps)
            if stream == "beats.events":
                assert other[stream].data == wanted.data
            else:
                np.testing.assert_array_equal(other[stream].data, wanted.data)


def test_no_node_keeps_a_borrowed_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {}
    for scribble in ("0", "1"):
        monkeypatch.setenv("RIGMESH_SCRIBBLE", scribble)
        path = tmp_path / f"{scribble}.h5"
        with Manager() as manager:
            source = manager.create_node(
                "sim.Oscillators", n_channels=2, paced=False, n_samples=5000, dtype="float64"
            )
            alpha = manager.create_node("filters.BandPass", low=8, high=12)
            recorder = manager.create_node("record.HDF5Recorder", path=str(path))
            alpha.input.connect(source.output)
            recorder.input.connect(source.output, alpha.output)
            manager.start_all()
            recorder.wait("stopped", timeout=60)
        files[scribble] = load(path)

    for stream, wanted in files["0"].items():
        np.testing.assert_array_equal(files["1"][stream].data, wanted.data)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_recorder_loses_nothing(
    manager: Manager, tmp_path: Path, until: Until, seed: int
) -> None:
    path = tmp_path / "file.h5"
    recording_of(manager, path, n_channels=2, sampling_rate=1000, dtype="float64")
    manager.start_all()
    until(lambda: produced(manager, "source.signal") > 200 + random.Random(seed).randrange(500))

    kill(manager, "rec.record")
    until(lambda: any(p.restarts for p in manager.status().processes))
    goal = produced(manager, "source.signal") + 500
    until(lambda: produced(manager, "source.signal") > goal)
    manager.stop_all()

    found = load(path)["source.signal"]
    np.testing.assert_array_equal(found.data[:, 0], np.arange(len(found.data)))
    assert len(found.data) > goal
    assert read_info(path).verdict == "OK"


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_source_leaves_one_gap_of_the_right_length(
    manager: Manager, tmp_path: Path, until: Until, seed: int
) -> None:
    path = tmp_path / "file.h5"
    source, _ = recording_of(manager, path, n_channels=2, sampling_rate=1000, dtype="float64")
    manager.start_all()
    until(lambda: produced(manager, "source.signal") > 200 + random.Random(seed).randrange(500))

    kill(manager, "amp")
    until(lambda: any(p.restarts for p in manager.status().processes))
    until(lambda: source.state == "running" and produced(manager, "source.signal") > 300)
    manager.stop_all()

    found = load(path)["source.signal"]
    holes = np.diff(found.data[:, 0]) - 1
    restarts = [gap for gap in found.gaps if gap.cause is Cause.RESTART]
    assert (holes >= 0).all()
    assert [gap.count for gap in restarts] == [holes.sum()]
    assert restarts[0].exact
    assert len(found.epochs) == 2
    assert read_info(path).verdict.startswith("OK with gaps (1, ")


def test_after_recorder_and_daemon_are_killed_the_capture_is_whole(
    tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    manager = Manager()
    try:
        recording_of(manager, path, n_channels=2, sampling_rate=1000, dtype="float64")
        manager.start_all()
        until(lambda: produced(manager, "source.signal") > 1500)
        seen = produced(manager, "source.signal")
        status = manager.status()
        groups = {p.name: psutil.Process(p.pid) for p in status.processes if p.alive}
        # The daemon first: it would start the recorder anew.
        os.kill(status.pid, signal.SIGKILL)
        groups["rec.record"].kill()
        until(lambda: not any(group.is_running() for group in groups.values()))
    finally:
        manager.close()
    assert not path.exists()

    assert recover(path) == path

    found = load(path)["source.signal"]
    np.testing.assert_array_equal(found.data[:, 0], np.arange(len(found.data)))
    assert len(found.data) > seen - 1000  # at most a second is lost
    assert recover(path) == path  # once more changes nothing


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_daemon_leaves_a_sealed_recording(tmp_path: Path, until: Until, seed: int) -> None:
    path = tmp_path / "file.h5"
    manager = Manager(private=True)
    try:
        recording_of(manager, path, n_channels=2, sampling_rate=1000, dtype="float64")
        manager.start_all()
        until(lambda: produced(manager, "source.signal") > random.Random(seed).randrange(800))
        status = manager.status()
        groups = [psutil.Process(p.pid) for p in status.processes if p.alive]

        os.kill(status.pid, signal.SIGKILL)
        until(lambda: not any(group.is_running() for group in groups))
    finally:
        manager.close()

    found = load(path)["source.signal"]
    np.testing.assert_array_equal(found.data[:, 0], np.arange(len(found.data)))
    assert read_info(path).verdict == "OK"


def test_gaps_of_a_slow_recorder_are_counted_and_said(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    amp = manager.create_nodegroup("amp", buffer_seconds=0.5)
    source = manager.create_node(
        "sim.Oscillators", name="source", host=amp, n_channels=1, sampling_rate=1000,
        sample_number=True, dtype="float64",
    )  # fmt: skip
    recorder = manager.create_node("record.HDF5Recorder", path=str(path))
    recorder.input.connect(source.output)
    manager.start_all()
    until(lambda: produced(manager, "source.signal") > 200)
    pid = next(p.pid for p in manager.status().processes if p.name == "main.record")

    os.kill(pid, signal.SIGSTOP)
    goal = produced(manager, "source.signal") + 1500
    until(lambda: produced(manager, "source.signal") > goal)
    os.kill(pid, signal.SIGCONT)
    until(lambda: any(r.lost["overrun"] for r in manager.status().reader_counters))
    manager.stop_all()

    found = load(path)["source.signal"]
    holes = np.diff(found.data[:, 0]) - 1
    gaps = [gap for gap in found.gaps if gap.cause is Cause.OVERRUN]
    assert sum(gap.count for gap in gaps) == holes.sum() > 0
    assert read_info(path).verdict.startswith("OK with gaps")


def test_parameter_changes_are_recorded_with_their_sample(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    source = manager.create_node("sim.Oscillators", n_channels=1, dtype="float64")
    scale = manager.create_node("channels.Scale", name="scale", gain=1.0)
    recorder = manager.create_node("record.HDF5Recorder", path=str(path))
    scale.input.connect(source.output)
    recorder.input.connect(scale.output)
    manager.start_all()
    until(lambda: produced(manager, scale.output.stream) > 100)

    effective = scale.update(gain=2.0)
    manager.annotate("the animal sneezed")
    goal = produced(manager, scale.output.stream) + 200
    until(lambda: produced(manager, scale.output.stream) > goal)
    manager.stop_all()

    with open_recording(path) as recording:
        notes = list(recording.notes)
    changes = [note for note in notes if note["kind"] == "parameters"]
    epoch, index = effective[scale.output.stream]
    assert changes[0]["values"] == {"gain": 2.0}
    assert changes[0]["effective"][scale.output.stream] == {"epoch": epoch, "index": index}
    assert [n["text"] for n in notes if n["kind"] == "note"] == ["the animal sneezed"]


def test_a_file_that_exists_is_refused_before_anything_starts(
    manager: Manager, tmp_path: Path
) -> None:
    path = tmp_path / "file.h5"
    path.write_text("somebody's night's work")
    recording_of(manager, path, n_channels=1)

    with pytest.raises(NodeError, match="exists"):
        manager.start_all()

    assert path.read_text() == "somebody's night's work"
    assert manager.status().state == "idle"


def test_signals_markers_and_frames_are_in_one_file(manager: Manager, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    camera = manager.create_node("sim.Camera", paced=False, n_samples=20)
    marks = manager.create_node("sim.Markers", paced=False, n_samples=5)
    signal_ = manager.create_node("sim.EEG", paced=False, n_samples=1000)
    recorder = manager.create_node("record.HDF5Recorder", path=str(path))
    recorder.input.connect(camera.output, marks.output, signal_.output)

    manager.start_all()
    recorder.wait("stopped", timeout=60)

    lengths = {name: len(stream.stamps) for name, stream in load(path).items()}
    assert sorted(lengths.values()) == [5, 20, 1000]


def test_memory_that_does_not_fit_is_refused_in_words(manager: Manager, tmp_path: Path) -> None:
    amp = manager.create_nodegroup("amp", buffer_seconds=3600)
    source = manager.create_node(
        "sim.Oscillators", host=amp, n_channels=1024, sampling_rate=30_000, dtype="int16"
    )
    recorder = manager.create_node("record.HDF5Recorder", path=str(tmp_path / "file.h5"))
    recorder.input.connect(source.output)

    begin = time.monotonic()
    with pytest.raises(NodeError, match="/dev/shm"):
        manager.start_all()

    assert time.monotonic() - begin < 30
