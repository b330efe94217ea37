"""Signals as BIDS datasets, read back by mne-bids."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any

import mne_bids
import numpy as np
import pytest
from tests.unit.recording.exported import N, Record, eeg, listed, marks, recorded

from rigmesh.errors import RecordingError
from rigmesh.recording.export import Labels, export_recording
from rigmesh.streams import Cause, Gap, Signal, StreamInfo


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return functools.partial(recorded, tmp_path / "session.h5")


def test_bids_is_read_by_mne_bids(record: Record, tmp_path: Path) -> None:
    gap = Gap(Cause.DEVICE, 0, 1000, 250, 1.0)
    path = record(
        eeg(), eeg(250, index=1000, gaps=[gap], at=105.0), marks((101.0, "go"), (102.0, "stop")),
        metadata={"subject": "01", "task": "rest", "line_frequency": 50},
    )  # fmt: skip

    done = export_recording(path, "bids", tmp_path / "data", labels=Labels(session="a"))

    where = mne_bids.BIDSPath(
        root=tmp_path / "data", subject="01", session="a", task="rest", datatype="eeg"
    )
    assert done.paths == [where.fpath]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne_bids.read_raw_bids(where, verbose="ERROR")
    assert raw.get_channel_types() == ["eeg", "ecg", "misc"]
    assert raw.info["line_freq"] == 50
    assert listed(raw) == [(1.0, 0.0, "go"), (2.0, 0.0, "stop"), (4.0, 1.0, "BAD_gap")]
    step = np.ptp(eeg().data[:, 0]) * 1e-6 / 65535
    np.testing.assert_allclose(raw.get_data()[0, :N], eeg().data[:, 0] * 1e-6, atol=step)
    sidecar = json.loads(where.fpath.with_suffix(".json").read_text(encoding="utf-8"))
    assert (sidecar["RecordingType"], sidecar["TaskName"]) == ("discontinuous", "rest")


def test_a_second_session_is_added_to_the_dataset(record: Record, tmp_path: Path) -> None:
    path, root = record(eeg(), metadata={"subject": "01", "task": "rest"}), tmp_path / "data"
    for session in ("a", "b"):
        export_recording(path, "bids", root, labels=Labels(session=session))

    with pytest.raises(RecordingError, match=r"exists, and is not overwritten.*--session"):
        export_recording(path, "bids", root, labels=Labels(session="b"))

    assert len(list(root.rglob("*_eeg.edf"))) == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "session.h5"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "asks for a subject.*--subject"),
        ({"subject": "01"}, "asks for a task.*--task"),
        ({"subject": "s-01", "task": "rest"}, "letters and digits only: --subject s01"),
    ],
)
def test_bids_asks_for_its_labels(
    record: Record, tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    path = record(eeg(), metadata=metadata)

    with pytest.raises(RecordingError, match=message):
        export_recording(path, "bids")

    assert [each.name for each in tmp_path.iterdir()] == ["session.h5"]


def test_a_folder_of_something_else_is_no_dataset(record: Record, tmp_path: Path) -> None:
    path = record(eeg(), metadata={"subject": "01", "task": "rest"})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("…")

    with pytest.raises(RecordingError, match="is no BIDS dataset"):
        export_recording(path, "bids", tmp_path / "thesis")


def test_bids_has_no_place_for_other_signals(record: Record) -> None:
    info = StreamInfo.signal("belt.signal", channels=1, sampling_rate=25, stype="RESP", unit="V")
    path = record(Signal(np.ones((100, 1)), np.arange(100) / 25, info=info))

    with pytest.raises(RecordingError, match=r"no channel of the type EEG.*\(resp\)"):
        export_recording(path, "bids", labels=Labels("01", "", "rest"))
