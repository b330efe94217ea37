"""A running graph, recorded into NWB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pynwb
import pytest

from rigmesh.client import Manager
from rigmesh.errors import NodeError
from rigmesh.recording import open_recording, read_info
from rigmesh_nodes._sim_picture import frame_number

Until = Callable[[Callable[[], object]], None]

GRAPH = """
rigmesh: 1
name: rest
metadata:
  subject: {{subject_id: s01, sex: F, age: P30Y, species: Homo sapiens}}
  session: first
  experimenter: [Doe, Jane]
  keywords: [rest]
nodes:
  eeg: {{type: sim.EEG, params: {{sampling_rate: 250, n_samples: 500}}}}
  marks: {{type: sim.Markers, group: other, params: {{n_samples: 4, period: 0.5}}}}
  camera: {{type: sim.Camera, params: {{width: 64, height: 48, n_samples: 60}}}}
  slow: {{type: filters.LowPass, inputs: {{signal: eeg}}, params: {{cutoff: 40}}}}
  recorder:
    type: record.NWBRecorder
    inputs: {{streams: [eeg, slow, marks, camera]}}
    params: {{path: {path}}}
"""


@pytest.fixture
def recorded(manager: Manager, tmp_path: Path) -> Path:
    """The file of a graph that has run to its end."""
    graph, path = tmp_path / "rest.yaml", tmp_path / "rest.nwb"
    graph.write_text(GRAPH.format(path=path), encoding="utf-8")
    manager.load(graph)
    manager.start_all()
    manager["recorder"].wait("stopped", timeout=60)
    assert manager["recorder"].report["verdict"] == "OK"
    manager.stop_all()
    return path


def test_a_graph_of_all_kinds_is_read_by_pynwb_and_mne(recorded: Path) -> None:
    assert read_info(recorded).verdict == "OK"
    with open_recording(recorded) as recording:
        sent = {stream.info.name: stream.data[:] for stream in recording.streams.values()}
        info = recording.streams["eeg.signal"].info
    with pynwb.NWBHDF5IO(recorded, "r") as io:
        assert pynwb.validate(io=io) == []
        file = io.read()
        eeg, slow = file.acquisition["eeg.signal"], file.acquisition["slow.filtered"]
        names = [str(name) for name in eeg.electrodes["channel_name"].data[: info.n_channels]]
        raw = mne.io.RawArray(
            eeg.get_data_in_units().T, mne.create_info(names, 250.0, "eeg"), verbose=False
        )
        marks = file.events["marks.markers"].to_dataframe()
        pictures = file.acquisition["camera.frames"]

        assert (file.subject.subject_id, file.session_id) == ("s01", "first")
        assert eeg.neurodata_type == slow.neurodata_type == "ElectricalSeries"
        assert file.electrodes["group"][0].device.description.startswith("node sim.EEG")
        assert len(marks) == 4
        assert [frame_number(picture) for picture in pictures.data[:]] == list(range(60))
        assert 0 < eeg.timestamps[-1] < 60
        np.testing.assert_allclose(np.diff(eeg.timestamps), 1 / 250, atol=1e-6)

    assert tuple(raw.ch_names) == info.channel_names
    np.testing.assert_allclose(raw.get_data(units="uV").T, sent["eeg.signal"], rtol=1e-6)


def test_a_wrong_ending_is_refused_before_anything_starts(manager: Manager, tmp_path: Path) -> None:
    source = manager.create_node("sim.EEG", name="eeg")
    recorder = manager.create_node("record.NWBRecorder", path=str(tmp_path / "session.h5"))
    recorder.input.connect(source.output)

    with pytest.raises(NodeError, match=r"end it so"):
        manager.start_all()

    assert list(tmp_path.iterdir()) == []
