"""Recordings in other formats, read back by those who read them: the whole, and FIF."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.unit.recording.exported import (
    RATE,
    N,
    Record,
    eeg,
    eeg_info,
    in_volts,
    listed,
    marks,
    read_fif,
    recorded,
)

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording import Capture, open_recording
from rigmesh.recording.export import export_recording
from rigmesh.streams import Cause, Frames, Gap, Signal, StreamInfo


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return functools.partial(recorded, tmp_path / "session.h5")


# --- everything: hdf5, nwb, xdf ------------------------------------------------------------------


def test_a_copy_holds_everything(record: Record, tmp_path: Path) -> None:
    path = record(eeg(), marks((101.0, "go")), metadata={"subject": "s1"})

    done = export_recording(path, "hdf5", tmp_path / "copy.h5")

    assert done.paths == [tmp_path / "copy.h5"]
    with open_recording(path) as one, open_recording(done.paths[0]) as other:
        assert (one.run_id, one.context, one.created) == (
            other.run_id,
            other.context,
            other.created,
        )
        assert sorted(other.streams) == ["amp.signal", "box.events"]
        data = one.streams["amp.signal"].data[:]
        assert data.tobytes() == other.streams["amp.signal"].data[:].tobytes()


@pytest.mark.parametrize("to", ["hdf5", "nwb", "xdf"])
def test_only_the_streams_that_are_named_are_in_the_copy(
    record: Record, tmp_path: Path, to: str
) -> None:
    path = record(eeg(), marks((101.0, "go")))

    done = export_recording(path, to, tmp_path / f"copy.{to}", streams=["box.events"])

    with open_recording(done.paths[0]) as copy:
        assert list(copy.streams) == ["box.events"]


def test_a_capture_that_is_not_sealed_is_exported(record: Record, tmp_path: Path) -> None:
    path = record(eeg(), sealed=False)

    done = export_recording(path, "hdf5")

    with open_recording(done.paths[0]) as copy:
        assert (copy.state, len(copy.streams["amp.signal"])) == ("sealed", N)


@pytest.mark.parametrize("to", ["hdf5", "fif", "edf"])
def test_nothing_is_overwritten(record: Record, tmp_path: Path, to: str) -> None:
    path, target = record(eeg()), tmp_path / "there"
    target.write_text("precious")
    before = sorted(tmp_path.iterdir())

    with pytest.raises(RecordingError, match=r"there exists, and is not overwritten.* -o"):
        export_recording(path, to, target)

    assert target.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_being_recorded_is_refused(tmp_path: Path) -> None:
    capture = Capture.create(tmp_path / "session.h5", "run-1", {})
    capture.append(eeg())
    capture.commit()

    with pytest.raises(RecordingError, match="is being recorded"):
        export_recording(tmp_path / "session.h5", "fif")

    capture.close()


@pytest.mark.parametrize(
    ("to", "streams", "message"),
    [("mat", [], "known: bids, edf"), ("fif", ["amp"], "amp.signal"), ("nwb", ["x"], "amp.signal")],
)
def test_wrong_names_are_refused(record: Record, to: str, streams: list[str], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        export_recording(record(eeg()), to, streams=streams)


def test_progress_ends_at_the_whole(record: Record) -> None:
    path, seen = record(eeg()), []

    for to in ("fif", "edf"):
        export_recording(path, to, progress=lambda done, total: seen.append((done, total)))

    assert seen[-1][0] == seen[-1][1] > 0


# --- fif -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32"])
def test_fif_has_the_values_in_volts(record: Record, dtype: str) -> None:
    chunk = eeg(info=eeg_info(dtype))
    path = record(chunk)

    done = export_recording(path, "fif")

    raw = read_fif(done.paths[0])
    assert done.paths == [path.with_name("session_raw.fif")]
    assert raw.ch_names == ["Cz", "ECG1", "acc"]
    assert raw.get_channel_types() == ["eeg", "ecg", "misc"]
    assert raw.info["sfreq"] == RATE
    rtol = 1e-12 if dtype in ("float64", "int32") else 1e-7  # FIF's single precision
    np.testing.assert_allclose(raw.get_data().T, in_volts(chunk.data.astype(float)), rtol=rtol)


def test_fif_begins_when_the_first_sample_was(record: Record) -> None:
    path = record(eeg(offset=3.0))

    raw = read_fif(export_recording(path, "fif").paths[0])

    with open_recording(path) as recording:
        created, clock = recording.created["utc"], recording.created["local_clock"]
    began = datetime.fromisoformat(created) + timedelta(seconds=103.0 - clock)
    assert abs((raw.info["meas_date"] - began).total_seconds()) < 1e-5
    assert raw.info["meas_date"].tzinfo == UTC


def test_markers_and_notes_are_annotations(record: Record) -> None:
    notes = [{"kind": "note", "time": 102.002, "text": "it sneezed"}]
    path = record(eeg(), marks((101.0, "go: now"), (103.002, "stop")), notes=notes)

    raw = read_fif(export_recording(path, "fif").paths[0])

    assert listed(raw) == [
        (1.0, 0.0, "go: now"), (2.002, 0.0, "note/it sneezed"), (3.002, 0.0, "stop"),
    ]  # fmt: skip


def test_several_marker_streams_are_told_apart(record: Record) -> None:
    other = StreamInfo.markers("key.events")
    path = record(eeg(), marks((101.0, "go")), marks((102.0, "a"), info=other))

    raw = read_fif(export_recording(path, "fif").paths[0])

    assert [text for _, _, text in listed(raw)] == ["box.events/go", "key.events/a"]


def test_markers_beside_the_signal_only_are_kept(record: Record) -> None:
    path = record(eeg(), marks((99.9, "early"), (101.0, "go"), (104.5, "late")))

    done = export_recording(path, "fif")

    assert [text for _, _, text in listed(read_fif(done.paths[0]))] == ["go"]
    assert any("2 of box.events are before or after" in remark for remark in done.remarks)


def test_gaps_are_zeros_of_their_exact_length(record: Record) -> None:
    gap = Gap(Cause.DEVICE, 0, 1000, 37, 0.0)
    path = record(
        eeg(), eeg(500, index=1000, gaps=[gap], at=100 + 1037 / RATE),
        marks((100 + 1037 / RATE, "first after"), (100 + 1010.5 / RATE, "within")),
    )  # fmt: skip

    done = export_recording(path, "fif")

    raw = read_fif(done.paths[0])
    data = raw.get_data()
    assert data.shape[1] == 1537
    assert not data[:, 1000:1037].any()
    assert data[0, 1037] != 0.0
    assert listed(raw) == [
        (4.0, 0.148, "BAD_gap"), (4.042, 0.0, "within"), (4.148, 0.0, "first after"),
    ]  # fmt: skip
    assert any("1 gaps, 37 samples" in remark for remark in done.remarks)


@pytest.mark.parametrize("gaps", [[], [Gap(Cause.RESTART, 1, 0, 0, 2.0, exact=False)]])
def test_an_epoch_lies_where_its_stamps_say(record: Record, gaps: list[Gap]) -> None:
    last = 100 + (N - 1) / RATE
    path = record(eeg(), eeg(500, epoch=1, at=last + 2.0, gaps=gaps))

    raw = read_fif(export_recording(path, "fif").paths[0])

    assert len(raw.times) == N + 499 + 500
    assert listed(raw) == [(4.0, 499 / RATE, "BAD_gap")]


def test_a_restart_that_was_counted_is_as_long_as_its_count(record: Record) -> None:
    gap = Gap(Cause.RESTART, 1, 0, 12, 0.5)
    path = record(eeg(), eeg(500, epoch=1, at=104.5, gaps=[gap]))

    raw = read_fif(export_recording(path, "fif").paths[0])

    assert len(raw.times) == N + 12 + 500


def test_events_stay_beside_their_samples_when_the_clock_drifts(record: Record) -> None:
    chunk = eeg()
    chunk.raw_timestamps = 100 + np.arange(N) / (RATE * 1.01)
    path = record(chunk, marks((float(chunk.raw_timestamps[900]), "at sample 900")))

    done = export_recording(path, "fif")

    assert listed(read_fif(done.paths[0]))[0][0] == pytest.approx(900 / RATE, abs=1e-5)
    assert any("252.5 Hz by its stamps" in remark for remark in done.remarks)


def test_each_of_several_signals_has_its_file(record: Record, tmp_path: Path) -> None:
    slow = StreamInfo.signal("belt.signal", channels=["resp"], sampling_rate=25, unit="V",
                             stype="RESP")  # fmt: skip
    path = record(eeg(), Signal(np.ones((100, 1)), 100 + np.arange(100) / 25, info=slow))

    done = export_recording(path, "fif", tmp_path / "out_raw.fif")

    assert [each.name for each in done.paths] == [
        "out_amp.signal_raw.fif", "out_belt.signal_raw.fif",
    ]  # fmt: skip
    assert [read_fif(each).info["sfreq"] for each in done.paths] == [250.0, 25.0]


def test_a_signal_that_is_named_is_written_with_the_events(record: Record, tmp_path: Path) -> None:
    slow = StreamInfo.signal("belt.signal", channels=["resp"], sampling_rate=25, unit="V")
    path = record(
        eeg(), Signal(np.ones((100, 1)), 100 + np.arange(100) / 25, info=slow), marks((101.0, "go"))
    )

    done = export_recording(path, "fif", streams=["belt.signal"])

    raw = read_fif(done.paths[0])
    assert raw.ch_names == ["resp"]
    assert listed(raw) == [(1.0, 0.0, "go")]


def test_an_electrode_without_a_unit_is_asked_for_it(record: Record) -> None:
    path = record(eeg(info=eeg_info(unit="")))

    with pytest.raises(RecordingError, match=r"Cz is EEG and names no unit.*--unit"):
        export_recording(path, "fif")

    raw = read_fif(export_recording(path, "fif", unit="mV").paths[0])
    np.testing.assert_allclose(raw.get_data()[0], eeg().data[:, 0] * 1e-3, rtol=1e-6)


@pytest.mark.parametrize("to", ["fif", "edf"])
def test_what_has_no_rate_is_left_out_or_refused(record: Record, tmp_path: Path, to: str) -> None:
    odd = StreamInfo.signal("odd.signal", channels=1, sampling_rate=0)
    film = StreamInfo.frames("cam.frames", shape=(2, 2), sampling_rate=10)
    path = record(
        eeg(), Signal(np.ones((3, 1)), np.arange(3.0), info=odd),
        Frames(np.ones((3, 2, 2), np.uint8), np.arange(3.0), info=film),
    )  # fmt: skip

    done = export_recording(path, to)

    assert len(done.paths) == 1
    assert sum("left out" in remark for remark in done.remarks) == 2
    with pytest.raises(RecordingError, match=r"odd.signal is irregular.*nwb"):
        export_recording(path, to, tmp_path / "other", streams=["odd.signal"])


def test_a_recording_without_signals_is_refused(record: Record) -> None:
    with pytest.raises(RecordingError, match="no signal with a sampling rate"):
        export_recording(record(marks((1.0, "a"))), "edf")
