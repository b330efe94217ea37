"""The recorder of XDF files as a node, and its files as replay reads those of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyxdf

from rigmesh.cli.run import record
from rigmesh.errors import GraphError, NodeError, PortMismatch
from rigmesh.graph import check_graph
from rigmesh.graph.loader import parse_graph
from rigmesh.node.registry import describe
from rigmesh.node.testing import TestRuntime, chunked, collect, markers, run, sine
from rigmesh.recording import read_info
from rigmesh_nodes._readers_xdf import open_xdf
from rigmesh_nodes.record import XDFRecorder
from rigmesh_nodes.replay import File
from rigmesh_nodes.sim import Camera


@pytest.fixture
def runtime(tmp_path: Path) -> TestRuntime:
    return TestRuntime(context={"run_id": "run-1"}, recording_root=str(tmp_path))


@pytest.fixture
def recorded(tmp_path: Path, runtime: TestRuntime) -> Path:
    """A recording of 10 s of a sine and two texts."""
    recorder = XDFRecorder(path="a.xdf", names={"test.signal": "BrainAmp"})
    events = markers((0.2, "left µ"), (0.7, "right"))
    run(recorder, [*chunked(sine(10, n_channels=3), 128), events], runtime=runtime)
    return tmp_path / "a.xdf"


def test_streams_are_in_the_file_by_the_names_that_were_wished(recorded: Path) -> None:
    assert read_info(recorded).verdict == "OK"
    streams, _ = pyxdf.load_xdf(recorded)
    assert sorted(one["info"]["name"][0] for one in streams) == ["BrainAmp", "test.markers"]


@pytest.mark.parametrize("path", ["a.h5", "a", "a.xdfz", "xdf"])
def test_a_path_that_readers_would_not_know_is_refused(path: str, runtime: TestRuntime) -> None:
    with pytest.raises(NodeError, match=r"ending \.xdf"):
        run(XDFRecorder(path=path), sine(1), runtime=runtime)


def test_pictures_are_refused_before_anything_starts() -> None:
    graph = parse_graph(
        "rigmesh: 1\nnodes:\n  camera: {type: sim.Camera}\n"
        "  rec: {type: record.XDFRecorder, params: {path: a.xdf}, inputs: {streams: [camera]}}\n"
    )
    types = {
        name: describe(cls, name)
        for name, cls in {"sim.Camera": Camera, "record.XDFRecorder": XDFRecorder}.items()
    }

    with pytest.raises(PortMismatch, match="takes Signal or Markers"):
        check_graph(graph, types)


def test_a_recording_is_replayed_as_it_was_recorded(recorded: Path) -> None:
    wave = sine(10, n_channels=3)

    tape = collect(File(path=str(recorded), stream="test.signal", paced=False))["signal"]

    assert np.array_equal(np.concatenate([chunk.data for chunk in tape.chunks]), wave.data)


def test_the_reader_of_foreign_files_opens_ours(recorded: Path) -> None:
    wave = sine(10, n_channels=3)

    with open_xdf(recorded) as streams:
        by_name = {stream.info.name: stream for stream in streams}

    signal, texts = by_name["BrainAmp"], by_name["test.markers"]
    assert signal.info.channels == wave.info.channels if wave.info else False
    assert np.array_equal(signal.data[:], wave.data)
    assert np.array_equal(signal.timestamps[:], wave.timestamps)
    assert texts.data[:] == ["left µ", "right"]
    assert texts.timestamps[:].tolist() == [0.2, 0.7]


@pytest.mark.parametrize("name", ["session", "session.edf"])
def test_the_command_names_the_endings_that_it_knows(tmp_path: Path, name: str) -> None:
    with pytest.raises(GraphError, match=r"\.h5, \.hdf5, \.nwb, \.xdf"):
        record(tmp_path / name, lsl=["type='EEG'"])
