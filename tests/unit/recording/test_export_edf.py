"""Signals as EDF files, read back by edfio and MNE."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import edfio
import mne
import numpy as np
import psutil
import pytest
from tests.unit.recording.exported import RATE, Record, eeg, eeg_info, listed, marks, recorded

from rigmesh.errors import RecordingError
from rigmesh.recording import open_recording
from rigmesh.recording.export import export_recording
from rigmesh.streams import Cause, Gap, Signal, StreamInfo


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return functools.partial(recorded, tmp_path / "session.h5")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_edf_has_small_integers_to_the_bit(record: Record, dtype: str) -> None:
    limits = np.iinfo(dtype)
    data = np.random.default_rng(1).integers(limits.min, limits.max, (500, 3), dtype, True)
    path = record(Signal(data, 100 + np.arange(500) / RATE, info=eeg_info(dtype)))

    edf = edfio.read_edf(export_recording(path, "edf").paths[0])

    assert np.array_equal(np.stack([s.data for s in edf.signals], axis=1), data)
    assert [(s.label, s.physical_dimension) for s in edf.signals] == [
        ("Cz", "uV"), ("ECG1", "mV"), ("acc", "g"),
    ]  # fmt: skip


def test_edf_has_other_numbers_to_its_16_bits(record: Record) -> None:
    chunk = eeg(info=eeg_info("float64"))
    chunk.data[:, 1] *= 1e-3
    path = record(chunk)

    done = export_recording(path, "edf")

    edf = edfio.read_edf(done.paths[0])
    for channel, found in enumerate(edf.signals):
        wanted = chunk.data[:, channel]
        step = (found.physical_max - found.physical_min) / 65535
        assert step < 1.01 * np.ptp(wanted) / 65535
        assert np.abs(found.data - wanted).max() <= 0.51 * step
    assert any("16 bits" in remark for remark in done.remarks)


def test_edf_has_times_and_events(record: Record) -> None:
    gap = Gap(Cause.DEVICE, 0, 1000, 37, 0.0)
    path = record(
        eeg(), eeg(463, index=1000, gaps=[gap], at=100 + 1037 / RATE), marks((101.0, "go → now"))
    )

    done = export_recording(path, "edf")

    edf = edfio.read_edf(done.paths[0])
    raw = mne.io.read_raw_edf(done.paths[0], verbose="ERROR")
    with open_recording(path) as recording:
        created, clock = recording.created["utc"], recording.created["local_clock"]
    began = datetime.fromisoformat(created) + timedelta(seconds=100.0 - clock)
    start = datetime.combine(edf.startdate, edf.starttime, UTC)
    assert abs((start - began).total_seconds()) < 1e-4
    assert listed(raw) == [(1.0, 0.0, "go → now"), (4.0, 0.148, "BAD_gap")]
    assert len(raw.times) == 1500
    assert np.abs(edf.signals[0].data[1000:1037]).max() < 0.01  # as near as 16 bits come


def test_what_fills_the_last_record_of_edf_is_annotated(record: Record) -> None:
    path = record(eeg(997))

    raw = mne.io.read_raw_edf(export_recording(path, "edf").paths[0], verbose="ERROR")

    assert len(raw.times) == 1000
    assert listed(raw) == [(997 / RATE, 3 / RATE, "BAD_padding")]


@pytest.mark.parametrize("rate", [250.5, 1000 / 3])
def test_edf_refuses_rates_that_are_no_whole_numbers(record: Record, rate: float) -> None:
    path = record(eeg(info=eeg_info(rate=rate)))

    with pytest.raises(RecordingError, match=r"whole numbers only.*fif"):
        export_recording(path, "edf")

    assert len(list(path.parent.iterdir())) == 1


def test_what_is_no_number_is_zero_in_edf_and_annotated(record: Record) -> None:
    chunk = eeg()
    chunk.data[100:110, 1] = np.nan
    chunk.data[500, 0] = math.inf
    path = record(chunk)

    raw = mne.io.read_raw_edf(export_recording(path, "edf").paths[0], verbose="ERROR")

    assert listed(raw) == [(0.4, 0.04, "BAD_not_a_number"), (2.0, 0.004, "BAD_not_a_number")]
    assert np.abs(raw.get_data()[1, 100:110]).max() < 1e-5


def test_long_labels_and_texts_are_shortened_for_edf(record: Record) -> None:
    info = StreamInfo.signal(
        "amp.signal", channels=["a very long name 1", "a very long name 2", "µ"],
        sampling_rate=RATE, unit="µV",
    )  # fmt: skip
    path = record(eeg(info=info), marks((101.0, "x" * 100_000), (102.0, "a\0b")))

    done = export_recording(path, "edf")

    edf = edfio.read_edf(done.paths[0])
    assert edf.labels == ("a very long name", "a very long na~2", "?")
    assert {signal.physical_dimension for signal in edf.signals} == {"uV"}
    assert [len(note.text) for note in edf.annotations] == [200, 3]
    assert any("a very long name 2 is a very long na~2" in remark for remark in done.remarks)


def test_many_channels_make_short_records(record: Record) -> None:
    info = StreamInfo.signal("amp.signal", channels=300, sampling_rate=1000, unit="uV")
    path = record(Signal(np.zeros((1000, 300)), np.arange(1000) / 1000, info=info))

    edf = edfio.read_edf(export_recording(path, "edf").paths[0])

    assert edf.data_record_duration * 1000 * 300 * 2 <= 61_440
    assert len(edf.signals[0].data) == 1000


def test_what_would_not_fit_into_memory_is_refused(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(eeg())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000})())

    with pytest.raises(RecordingError, match=r"needs 0\.0 GB.*fif, nwb, xdf or hdf5"):
        export_recording(path, "edf")
