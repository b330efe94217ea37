"""NWB files of ours, read and checked by the field's own tools."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pynwb
import pytest

from rigmesh.recording import Capture, open_recording, seal
from rigmesh.streams import (
    Cause,
    ChannelInfo,
    ClockModel,
    Frames,
    Gap,
    Markers,
    Signal,
    StreamInfo,
    local_clock,
)

N = 2000
CONTEXT = {
    "graph": {"name": "rest", "nodes": {"eeg": {"type": "lsl.Inlet", "params": {"stream": "X"}}}},
    "versions": {"rigmesh": "0.1.0"},
    "metadata": {
        "subject": {"id": "s01", "sex": "F", "age": "P30Y", "species": "Homo sapiens",
                    "description": "student"},
        "session": "rest", "experimenter": "Doe, Jane", "institution": "University",
        "experiment_description": "Rest with open eyes.", "keywords": ["rest"],
    },
}  # fmt: skip
EEG = StreamInfo.signal(
    "eeg.signal",
    channels=[ChannelInfo(name, "uV", "EEG") for name in ("Fz", "Cz", "Pz", "Oz")],
    sampling_rate=250,
    dtype="int16",
    stype="EEG",
)
LFP = StreamInfo.signal("probe.lfp", channels=3, sampling_rate=1000, unit="mV", stype="LFP")
GSR = StreamInfo.signal("gsr.signal", channels=["hand"], sampling_rate=20, unit="uS")
PLACE = StreamInfo.signal("maze.position", channels=["x", "y"], sampling_rate=30, unit="px")
CAMERA = StreamInfo.frames("camera.frames", shape=(12, 16, 3), sampling_rate=30)
MARKS = StreamInfo.markers("marks.markers")


class Sent:
    """What is in the file."""

    def __init__(self, path: Path) -> None:
        random = np.random.default_rng(7)
        self.path = path
        self.eeg = random.integers(-1000, 1000, (N, 4), np.int16)
        self.lfp = random.normal(size=(N, 3))
        self.gsr = random.normal(size=(N, 1))
        self.place = random.uniform(0, 640, (N, 2))
        self.pictures = random.integers(0, 256, (60, 12, 16, 3), np.uint8)
        self.texts = ["open", "close", "µ ✓", ""]
        self.now = now = local_clock()
        capture = Capture.create(path, "run-1", CONTEXT, "nwb")
        clock = ClockModel(offset=now - 5.0, drift=1e-6)
        half = N // 2
        gap = Gap(Cause.DEVICE, 0, half, 25, 0.1)
        stamps = 5 + np.arange(N) / 250
        stamps[half:] += 0.1
        self.stamps = np.array(clock.to_local(stamps))
        capture.append(Signal(self.eeg[:half], stamps[:half], info=EEG, clock=clock))
        capture.append(
            Signal(self.eeg[half:], stamps[half:], info=EEG, clock=clock, index=half, gaps=(gap,))
        )
        for info, data in ((LFP, self.lfp), (GSR, self.gsr), (PLACE, self.place)):
            capture.append(Signal(data, now + np.arange(N) / info.sampling_rate, info=info))
        capture.append(Frames(self.pictures, now + np.arange(60) / 30, info=CAMERA))
        capture.append(Markers(self.texts, now + 0.5 + np.arange(4.0), info=MARKS))
        capture.note({"kind": "note", "time": now + 1, "text": "blinks"})
        capture.note({"kind": "parameters", "time": now + 2, "values": {"low": 8.0}})
        capture.describe(StreamInfo.markers("silent.markers"))
        capture.finish()
        seal(capture)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return Sent(tmp_path_factory.mktemp("nwb") / "session.nwb")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    with pynwb.NWBHDF5IO(path, "r") as io:
        yield io.read()


@contextmanager
def strangers() -> Iterator[None]:
    """Their warnings about each other are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_pynwb_reads_values_stamps_names_and_units(sent: Sent) -> None:
    with opened(sent.path) as file:
        eeg, lfp = file.acquisition["eeg.signal"], file.acquisition["probe.lfp"]
        gsr, camera = file.acquisition["gsr.signal"], file.acquisition["camera.frames"]
        place = file.processing["behavior"]["Position"]["maze.position"]
        zero = sent.now - lfp.timestamps[0]

        np.testing.assert_array_equal(eeg.data[:], sent.eeg)
        np.testing.assert_allclose(eeg.get_data_in_units(), sent.eeg * 1e-6, rtol=1e-12)
        np.testing.assert_allclose(eeg.timestamps[:] + zero, sent.stamps, atol=1e-9)
        assert eeg.electrodes["channel_name"].data[:4].tolist() == ["Fz", "Cz", "Pz", "Oz"]
        assert (eeg.unit, lfp.unit, gsr.unit, place.unit) == ("volts", "volts", "uS", "pixels")
        np.testing.assert_allclose(lfp.get_data_in_units(), sent.lfp * 1e-3)
        np.testing.assert_array_equal(gsr.data[:], sent.gsr)
        assert "nominal sampling rate 20.0 Hz; channels: hand" in gsr.description
        np.testing.assert_array_equal(place.data[:], sent.place)
        np.testing.assert_array_equal(camera.data[:], sent.pictures)
        assert camera.device.name == "camera"
        marks = file.events["marks.markers"].to_dataframe()
        assert marks["annotation"].tolist() == sent.texts
        np.testing.assert_allclose(
            marks["timestamp"] + zero, sent.now + 0.5 + np.arange(4.0), atol=1e-9
        )


def test_pynwb_reads_who_and_what_was_recorded(sent: Sent) -> None:
    with opened(sent.path) as file:
        assert (file.subject.subject_id, file.subject.species) == ("s01", "Homo sapiens")
        assert (file.identifier, file.session_id) == ("run-1", "rest")
        assert list(file.experimenter) == ["Doe, Jane"]
        assert file.keywords[:].tolist() == ["rest"]
        assert file.was_generated_by[:].tolist() == [["rigmesh", "0.1.0"]]
        group = file.electrodes["group"][0]
        assert group.device.description == "node lsl.Inlet stream: X"


def test_the_file_is_valid(sent: Sent) -> None:
    assert pynwb.validate(path=str(sent.path)) == []


def test_a_copy_that_pynwb_makes_is_a_recording(sent: Sent, tmp_path: Path) -> None:
    copy = tmp_path / "copy.nwb"

    with pynwb.NWBHDF5IO(sent.path, "r") as io, pynwb.NWBHDF5IO(copy, "w") as out:
        out.export(io)

    with open_recording(copy) as recording:
        stream = recording.streams["eeg.signal"]
        np.testing.assert_array_equal(stream.data[:], sent.eeg)
        assert stream.timestamps[:].tobytes() == sent.stamps.tobytes()


def inspected(path: Path) -> list[tuple[str, str]]:
    with strangers():
        inspector = import_module("nwbinspector")
        found = list(inspector.inspect_nwbfile(nwbfile_path=str(path)))
    return sorted({(each.importance.name, each.check_function_name) for each in found})


def test_nwbinspector_finds_nothing_of_importance(sent: Sent) -> None:
    assert inspected(sent.path) == [
        # That stamps are written out even where they are even is on purpose.
        ("BEST_PRACTICE_SUGGESTION", "check_single_row"),
        ("BEST_PRACTICE_VIOLATION", "check_regular_timestamps"),
    ]


def test_nwbinspector_misses_the_subject_that_nobody_named(tmp_path: Path) -> None:
    capture = Capture.create(tmp_path / "session.nwb", "run-1", {}, "nwb")
    capture.append(Signal(np.ones((50, 4)), local_clock() + np.arange(50) / 250, info=EEG))
    capture.finish()

    found = inspected(seal(capture))

    assert [check for level, check in found if level in ("CRITICAL", "ERROR")] == [
        "check_subject_exists"
    ]


def test_neo_reads_signals(sent: Sent) -> None:
    # One by one: NWBIO of Neo 0.14 stumbles over electrodes, whoever wrote the file.
    with opened(sent.path) as file, strangers():
        neo = import_module("neo.io.nwbio")
        found = {}
        for series in file.acquisition.values():
            proxy = neo.AnalogSignalProxy(series, "acquisition")
            proxy.annotations = {}
            found[proxy.name] = proxy.load()
    eeg, gsr, frames = (found[name] for name in ("eeg.signal", "gsr.signal", "camera.frames"))
    elapsed = (eeg.times - eeg.times[0]).rescale("s").magnitude

    np.testing.assert_allclose(eeg.rescale("uV").magnitude, sent.eeg)
    assert [x.dimensionality.string for x in (eeg, gsr, frames)] == ["uV", "uS", "dimensionless"]
    np.testing.assert_allclose(elapsed, sent.stamps - sent.stamps[0], atol=1e-9)
    np.testing.assert_array_equal(np.asarray(gsr.magnitude), sent.gsr)
    np.testing.assert_array_equal(np.asarray(frames.magnitude), sent.pictures)


def test_neo_reads_a_whole_file_of_other_signals(tmp_path: Path) -> None:
    capture = Capture.create(tmp_path / "session.nwb", "run-1", {}, "nwb")
    data = np.random.default_rng(7).normal(size=(50, 1))
    capture.append(Signal(data, local_clock() + np.arange(50) / 20, info=GSR))
    capture.append(Markers(["a"], np.array([local_clock()]), info=MARKS))
    capture.finish()
    path = seal(capture)

    with strangers():
        io = import_module("neo.io").NWBIO(str(path), "r")
        (gsr,) = io.read_block().segments[0].irregularlysampledsignals
        values = np.array(gsr.magnitude)
        io.close()

    assert (gsr.name, gsr.dimensionality.string) == ("gsr.signal", "uS")
    np.testing.assert_array_equal(values, data)


@pytest.mark.parametrize("reading", ["h5py", "pynwb"])
def test_spikeinterface_reads_electrodes(sent: Sent, reading: str) -> None:
    with strangers():
        eeg = import_module("spikeinterface.extractors").read_nwb_recording(
            sent.path,
            electrical_series_path="acquisition/eeg.signal",
            load_time_vector=True,
            use_pynwb=reading == "pynwb",
        )
        microvolts = eeg.get_traces(return_in_uV=True)

        np.testing.assert_array_equal(eeg.get_traces(), sent.eeg)
        np.testing.assert_allclose(microvolts, sent.eeg, rtol=1e-6)
        assert eeg.get_channel_ids().tolist() == ["Fz", "Cz", "Pz", "Oz"]
        assert eeg.sampling_frequency == pytest.approx(250, rel=1e-4)
        times: npt.NDArray[np.float64] = np.array(eeg.get_times())
        np.testing.assert_allclose(times - times[0], sent.stamps - sent.stamps[0], atol=1e-9)


def test_mne_takes_what_pynwb_reads(sent: Sent) -> None:
    with opened(sent.path) as file:
        eeg, marks = file.acquisition["eeg.signal"], file.events["marks.markers"]
        names = [str(name) for name in eeg.electrodes["channel_name"].data[:4]]
        info = mne.create_info(names, 250.0, "eeg")
        raw = mne.io.RawArray(eeg.get_data_in_units().T, info, verbose=False)
        onsets = marks["timestamp"][:] - eeg.timestamps[0]
        raw.set_annotations(mne.Annotations(onsets, 0.0, marks["annotation"][:]))

    np.testing.assert_allclose(raw.get_data(units="uV").T, sent.eeg, rtol=1e-9)
    assert raw.annotations.description.tolist() == sent.texts
    np.testing.assert_allclose(raw.annotations.onset, 0.5 + np.arange(4), atol=1e-5)
