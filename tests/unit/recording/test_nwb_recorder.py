"""The recorder of NWB files as a node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pynwb
import pytest

from rigmesh.errors import NodeError
from rigmesh.node.testing import TestRuntime, chunked, markers, run, sine
from rigmesh.recording import read_info
from rigmesh_nodes.record import NWBRecorder
from rigmesh_nodes.replay import File

CONTEXT = {"run_id": "run-1", "metadata": {"subject": "s01"}}


@pytest.fixture
def runtime(tmp_path: Path) -> TestRuntime:
    return TestRuntime(context=CONTEXT, recording_root=str(tmp_path))


def test_streams_and_metadata_are_in_the_file(tmp_path: Path, runtime: TestRuntime) -> None:
    wave = sine(10, n_channels=3)
    events = markers((0.2, "left µ"), (0.7, "right"))

    run(NWBRecorder(path="{subject}.nwb"), [*chunked(wave, 128), events], runtime=runtime)

    path = tmp_path / "s01.nwb"
    assert read_info(path).verdict == "OK"
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        (series,) = file.acquisition.values()
        np.testing.assert_array_equal(series.data[:], wave.data)
        assert file.get_all_events()["annotation"].tolist() == ["left µ", "right"]
        assert file.subject.subject_id == "s01"


@pytest.mark.parametrize("path", ["a.h5", "a", "a.nwbx", "nwb"])
def test_a_path_that_readers_would_not_know_is_refused(path: str, runtime: TestRuntime) -> None:
    with pytest.raises(NodeError, match=r"ending \.nwb"):
        run(NWBRecorder(path=path), sine(1), runtime=runtime)


def test_a_missing_library_is_said_before_anything_starts(
    runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rigmesh_nodes.record.find_spec", lambda name: None)

    with pytest.raises(NodeError, match=r"pip install 'rigmesh\[files\]'"):
        run(NWBRecorder(path="a.nwb"), sine(1), runtime=runtime)


def test_samples_are_compressed_where_that_is_asked(tmp_path: Path, runtime: TestRuntime) -> None:
    run(NWBRecorder(path="a.nwb", compression="deflate"), sine(10), runtime=runtime)

    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        (series,) = io.read().acquisition.values()
        assert series.data.compression == "gzip"


def test_the_file_can_be_replayed(tmp_path: Path, runtime: TestRuntime) -> None:
    wave = sine(10, n_channels=2)
    run(NWBRecorder(path="a.nwb"), wave, runtime=runtime)

    found = run(File(path=str(tmp_path / "a.nwb"), paced=False))["signal"]

    np.testing.assert_array_equal(found.data, wave.data)
    np.testing.assert_array_equal(found.timestamps, wave.timestamps)
