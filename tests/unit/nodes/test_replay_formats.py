"""Files of other programs give what their own readers read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pynwb
import pytest
import pyxdf
from tests.shared_data import shared_data
from tests.unit.nodes.replayed import (
    joined,
    replayed,
    stamps,
    texts,
    write_xdf,
)

from rigmesh.node.testing import TestRuntime, collect
from rigmesh.streams import (
    ChannelInfo,
    StreamInfo,
)
from rigmesh_nodes.replay import File


@pytest.mark.parametrize("name", ["test.vhdr", "test.edf", "test.bdf"])
def test_eeg_files_give_what_mne_reads_in_microvolts(name: str) -> None:
    path = shared_data() / "eeg" / name
    raw = mne.io.read_raw(path, verbose="ERROR")

    tape = replayed(path)["signal"]

    info = tape.infos[0]
    expected = raw.get_data().T
    volts = np.array([channel["unit"] == 107 for channel in raw.info["chs"]])
    assert np.array_equal(joined(tape)[:, volts], expected[:, volts] * 1e6)
    assert {c.unit for c, is_volt in zip(info.channels, volts, strict=True) if is_volt} == {"uV"}
    assert info.channel_names == tuple(raw.ch_names)
    assert info.sampling_rate == raw.info["sfreq"]
    assert info.channels[0].type == info.stype == "EEG"
    assert np.array_equal(stamps(tape), raw.times)


def test_other_channels_of_an_eeg_file_are_in_the_unit_of_the_file() -> None:
    path = shared_data() / "eeg" / "test.vhdr"
    raw = mne.io.read_raw(path, verbose="ERROR")

    tape = replayed(path)["signal"]

    units = {channel.name: channel.unit for channel in tape.infos[0].channels}
    siemens = [name for name, unit in raw._orig_units.items() if unit == "µS"]
    column = raw.ch_names.index(siemens[0])
    assert units[siemens[0]] == "uS"
    assert np.array_equal(joined(tape)[:, column], raw.get_data()[column] * 1e6)
    assert (units["ReRef"], units["HL"]) == ("C", "")


@pytest.mark.parametrize("name", ["test.vhdr", "test.edf"])
def test_annotations_of_an_eeg_file_become_markers(name: str) -> None:
    path = shared_data() / "eeg" / name
    raw = mne.io.read_raw(path, verbose="ERROR")

    tape = replayed(path)["markers"]

    assert texts(tape) == list(raw.annotations.description)
    assert stamps(tape).tolist() == raw.annotations.onset.tolist()


def test_a_cropped_fif_file_has_its_annotations_at_the_right_samples(tmp_path: Path) -> None:
    info = mne.create_info(["Fz", "MEG 1"], 100.0, ["eeg", "mag"])
    data = np.random.default_rng(0).normal(size=(2, 1000)) * 1e-6
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    raw.set_meas_date(datetime(2026, 1, 1, tzinfo=UTC))
    raw.set_annotations(mne.Annotations(5.0, 0.0, "cue", orig_time=raw.info["meas_date"]))
    path = tmp_path / "a_raw.fif"
    raw.crop(2.0, 8.0).save(path, verbose="ERROR")

    tapes = replayed(path)

    assert stamps(tapes["markers"]).tolist() == pytest.approx([3.0])
    assert [c.unit for c in tapes["signal"].infos[0].channels] == ["uV", "T"]
    assert joined(tapes["signal"])[:, 1] == pytest.approx(data[1, 200:801], rel=1e-6)


def test_real_xdf_files_give_what_pyxdf_reads() -> None:
    path = shared_data() / "xdf" / "minimal.xdf"
    loaded, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)
    numeric = next(one for one in loaded if one["info"]["channel_format"][0] == "int16")
    synchronised = np.arange(9) / 10 + 5.0

    tapes = replayed(path)

    tape = tapes["signal"]
    assert np.array_equal(joined(tape), numeric["time_series"])
    assert joined(tape).dtype == np.int16
    assert np.array_equal(stamps(tape), numeric["time_stamps"])
    mapped = np.concatenate([chunk.timestamps for chunk in tape.chunks])
    assert mapped == pytest.approx(synchronised)
    assert len(texts(tapes["markers"])) == 9


def test_an_xdf_file_chooses_the_streams_that_have_samples() -> None:
    path = shared_data() / "xdf" / "empty_streams.xdf"

    tapes = replayed(path)

    assert len(tapes["signal"].chunks) > 0
    assert len(tapes["markers"].chunks) > 0


def test_values_and_metadata_of_an_xdf_file_are_kept(tmp_path: Path) -> None:
    info = StreamInfo(
        "Amp",
        dtype="int64",
        sample_shape=(2,),
        sampling_rate=100.0,
        channels=(ChannelInfo("Cz", "microvolts", "EEG"), ChannelInfo("A<b", "", "EOG")),
        stype="EEG",
        source_id="amp-7",
        description="<desc><cap><size>54</size></cap></desc>",
    )
    numbers = np.array([[2**62 + 1, -1], [0, -(2**63)]])
    events = StreamInfo.markers("Events", n_channels=2)
    path = write_xdf(
        tmp_path / "a.xdf",
        (info, numbers, [10.0, 10.01], {}),
        (events, [["a", "ü"], ["", "b"]], [10.0, 10.5], {}),
    )

    tapes = replayed(path)

    found = tapes["signal"].infos[0]
    assert np.array_equal(joined(tapes["signal"]), numbers)
    assert (found.channels, found.stype, found.source_id, found.description) == (
        info.channels,
        "EEG",
        "amp-7",
        info.description,
    )
    assert texts(tapes["markers"]) == ['["a", "ü"]', '["", "b"]']


def test_a_clock_that_was_reset_in_an_xdf_file_begins_a_new_epoch(tmp_path: Path) -> None:
    before, after = 1000 + np.arange(3000) / 100, np.arange(3000) / 100
    offsets = {1000.0 + t: 50.0 for t in range(0, 30, 5)} | {
        float(t): 1090.0 for t in range(0, 30, 5)
    }
    path = write_xdf(
        tmp_path / "a.xdf",
        (
            StreamInfo.signal("Amp", channels=1, sampling_rate=100.0),
            np.arange(6000.0)[:, None],
            np.concatenate([before, after]).tolist(),
            offsets,
        ),
    )

    tape = replayed(path)["signal"]

    mapped = np.concatenate([chunk.timestamps for chunk in tape.chunks])
    assert np.array_equal(stamps(tape), np.concatenate([before, after]))
    assert mapped == pytest.approx(np.concatenate([before + 50, after + 1090]), abs=1e-3)
    assert sorted({chunk.epoch for chunk in tape.chunks}) == [0, 1]


@pytest.fixture
def nwb(tmp_path: Path) -> Path:
    file = pynwb.NWBFile(
        session_description="a",
        identifier="b",
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="g", description="d", location="l", device=device)
    file.add_electrode_column(name="label", description="name of the electrode")
    for label in ("A1", "A2"):
        file.add_electrode(group=group, location="CA1", label=label)
    region = file.create_electrode_table_region(region=[0, 1], description="both")
    counts = np.arange(400, dtype=np.int16).reshape(200, 2)
    file.add_acquisition(
        pynwb.ecephys.ElectricalSeries(
            name="LFP",
            data=counts,
            electrodes=region,
            rate=100.0,
            starting_time=3.0,
            conversion=2e-6,
        )
    )
    file.add_acquisition(
        pynwb.TimeSeries(
            name="wheel", data=np.arange(5.0), unit="cm", timestamps=[3.5, 3.6, 3.9, 4.0, 4.5]
        )
    )
    notes = pynwb.event.EventsTable(name="notes", description="what was said")
    notes.add_event(timestamp=3.25, annotation="go")
    notes.add_event(timestamp=4.25, annotation="stop")
    file.add_events_table(notes)
    file.add_acquisition(
        pynwb.image.ImageSeries(
            name="cam", data=np.zeros((3, 4, 6), np.uint8), unit="n/a", rate=30.0, starting_time=3.0
        )
    )
    path = tmp_path / "a.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def test_series_of_an_nwb_file_are_in_their_units(nwb: Path) -> None:
    tapes = replayed(nwb, stream="LFP")

    tape = tapes["signal"]
    assert joined(tape) == pytest.approx(np.arange(400).reshape(200, 2) * 2e-6)
    assert stamps(tape) == pytest.approx(3.0 + np.arange(200) / 100)
    assert tape.infos[0].channels == (ChannelInfo("A1", "volts"), ChannelInfo("A2", "volts"))
    assert texts(tapes["markers"]) == ["go", "stop"]


def test_an_irregular_series_of_an_nwb_file_keeps_its_stamps(nwb: Path) -> None:
    tape = replayed(nwb, stream="wheel")["signal"]

    assert joined(tape)[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert stamps(tape).tolist() == [3.5, 3.6, 3.9, 4.0, 4.5]
    assert tape.infos[0].sampling_rate == 0


def test_pictures_of_an_nwb_file_become_frames(nwb: Path) -> None:
    tape = replayed(nwb, stream="cam")["frames"]

    assert joined(tape).shape == (3, 4, 6)


# --- time --------------------------------------------------------------------------------------


def test_the_time_base_does_not_depend_on_the_streams_that_are_chosen(nwb: Path) -> None:
    runtime = TestRuntime()
    runtime.run_start = 1000.0

    tapes = collect(File(path=str(nwb), stream="wheel"), runtime=runtime)

    assert stamps(tapes["signal"])[0] == pytest.approx(1000.5)
