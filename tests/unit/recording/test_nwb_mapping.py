"""What becomes of streams, and of the graph's metadata, in NWB."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest

from rigmesh.recording import Capture, RecordedStream, Recording, seal
from rigmesh.recording._nwb_mapping import series_of, storable, volts
from rigmesh.recording._nwb_metadata import Clock, devices, session, subject
from rigmesh.streams import ChannelInfo, Chunk, Signal, StreamInfo, local_clock

MakeChunk = Callable[..., Chunk]


def stream_of(info: StreamInfo, n: int = 1) -> RecordedStream:
    return RecordedStream(info.name, info, 1, [0] * n, [0] * n, [0] * n)


def signal(*channels: tuple[str, str], stype: str = "") -> RecordedStream:
    described = [ChannelInfo(f"c{n}", unit, type_) for n, (unit, type_) in enumerate(channels)]
    info = StreamInfo.signal("amp.signal", channels=described, sampling_rate=250, stype=stype)
    return stream_of(info)


def recording_of(context: Mapping[str, Any], *streams: RecordedStream) -> Recording:
    created = {"utc": "2026-03-01T12:00:10.75+00:00", "local_clock": 100.5, "clock_id": "x"}
    by_key = {stream.key: stream for stream in streams}
    return Recording(Path("x"), "capture", "run-1", created, context, (), by_key, "OK")


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("V", 1.0), ("volt", 1.0), ("volts", 1.0), ("mV", 1e-3), ("MilliVolts", 1e-3),
        ("uV", 1e-6), ("µV", 1e-6), ("μV", 1e-6), ("microvolts", 1e-6), ("nV", 1e-9),
        ("0.195 uV", 0.195e-6), ("2.5e-2 mV/bit", 2.5e-5), (" 10µV / counts", 1e-5),
        ("", None), ("m", None), ("microsiemens", None), ("V/s", None), ("0 V", None),
    ],
)  # fmt: skip
def test_units_of_voltage_are_told_from_others(unit: str, factor: float | None) -> None:
    assert volts(unit) == (factor if factor is None else pytest.approx(factor, rel=1e-12))


@pytest.mark.parametrize(
    ("stype", "type_", "unit", "kind"),
    [
        ("EEG", "", "uV", "ElectricalSeries"),
        ("", "ECoG", "mV", "ElectricalSeries"),
        ("LFP", "", "V", "ElectricalSeries"),
        ("", "", "uV", "ElectricalSeries"),
        ("EEG", "", "0.1 uV/count", "ElectricalSeries"),
        ("EEG", "", "", "TimeSeries"),  # nobody says how many volts a count is
        ("EEG", "TRIG", "uV", "TimeSeries"),
        ("", "", "V", "TimeSeries"),  # a photodiode, a microphone
        ("Audio", "", "mV", "TimeSeries"),
        ("Position", "", "cm", "SpatialSeries"),
        ("MoCap", "PositionX", "m", "SpatialSeries"),
        ("", "", "px", "SpatialSeries"),
        ("Distance", "", "m", "TimeSeries"),
        ("GSR", "", "uS", "TimeSeries"),
    ],
)
def test_type_and_unit_say_what_a_signal_is(stype: str, type_: str, unit: str, kind: str) -> None:
    (series,) = series_of(signal((unit, type_), (unit, type_), stype=stype))

    assert series.kind == kind
    assert series.columns == ()


def test_places_have_three_coordinates_at_most() -> None:
    (four,) = series_of(signal(*[("m", "")] * 4, stype="MoCap"))

    assert (four.kind, four.unit) == ("TimeSeries", "meters")


def test_the_most_common_factor_is_that_of_all() -> None:
    (series,) = series_of(signal(("uV", ""), ("mV", ""), ("uV", ""), stype="EEG"))

    assert series.conversion == 1e-6
    np.testing.assert_allclose(series.channel_conversion, [1, 1e3, 1])


def test_each_unit_has_a_series_and_the_most_channels_have_the_name() -> None:
    units = [("V", "AUX"), ("uV", "EEG"), ("mV", "AUX"), ("uV", "EEG"), ("", "TRIG")]

    found = [(s.name, s.unit, s.columns, s.conversion) for s in series_of(signal(*units))]

    assert found == [
        ("amp.signal", "volts", (1, 3), 1e-6),
        ("amp.signal&2", "volts", (0,), 1.0),
        ("amp.signal&3", "volts", (2,), 1e-3),
        ("amp.signal&4", "n.a.", (4,), 1.0),
    ]


def test_a_stream_without_samples_has_no_series() -> None:
    assert series_of(stream_of(StreamInfo.markers("box.events"), 0)) == ()


def test_what_no_reader_takes_is_replaced() -> None:
    assert storable("µ\0\udcff") == "µ \\udcff"


def test_the_session_starts_with_a_whole_second_of_the_local_clock() -> None:
    clock = Clock.of(recording_of({}))

    assert clock.zero == 100.0
    assert clock.utc == datetime(2026, 3, 1, 12, 0, 10, 250_000, UTC)


def test_metadata_find_their_fields_and_the_rest_becomes_notes() -> None:
    context = {
        "graph": {"name": "ripples"},
        "versions": {"rigmesh": "0.1.0"},
        "metadata": {
            "session": 12, "experimenter": "Doe, Jane", "keywords": ["sleep", "CA1"], "lab": "L",
            "subject": "m7", "devices": {"probe": "x"}, "room": "B12", "notes": "quiet",
            "doses": {"a": 1}, "virus": None, "surgery": "",
        },
    }  # fmt: skip
    recording = recording_of(context)

    found = session(recording, Clock.of(recording))

    del found["session_start_time"]
    assert found == {
        "session_description": "Recording of the graph ripples",
        "identifier": "run-1",
        "session_id": "12",
        "experimenter": ["Doe, Jane"],
        "keywords": ["sleep", "CA1"],
        "lab": "L",
        "notes": "room: B12\nquiet\ndoses: a: 1",
        "was_generated_by": [["rigmesh", "0.1.0"]],
    }


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, {}),
        ("", {}),
        ("m7", {"subject_id": "m7"}),
        (7, {"subject_id": "7"}),
        (
            {"id": 7, "sex": "F", "weight": 0.025, "colour": "black", "age": None},
            {"subject_id": "7", "sex": "F", "weight": "0.025 kg", "description": "colour: black"},
        ),
        (
            {"date_of_birth": "2026-01-01", "weight": "25 g", "description": "shy"},
            {"date_of_birth": datetime(2026, 1, 1, tzinfo=UTC), "weight": "25 g",
             "description": "shy"},
        ),
        (
            {"date_of_birth": "last spring", "age__reference": "moon"},
            {"description": "date_of_birth: last spring\nage__reference: moon"},
        ),
    ],
)  # fmt: skip
def test_a_subject_is_an_id_or_a_mapping(given: Any, found: Mapping[str, Any]) -> None:
    assert subject(recording_of({"metadata": {"subject": given}})) == found


def test_nodes_are_devices() -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1, source_id="serial 5")
    context = {
        "graph": {"nodes": {"amp": {"type": "lsl.Inlet", "params": {"stream": "X"}}}},
        "metadata": {"devices": {"amp": "BrainAmp", "laser": {"power": "5 mW"}}},
    }

    found = devices(recording_of(context, stream_of(info)))

    assert found == {
        "amp": "BrainAmp; node lsl.Inlet stream: X; source serial 5",
        "laser": "power: 5 mW",
    }


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"graph": None, "metadata": None, "versions": None},
        {"graph": {"nodes": []}, "metadata": ["a"], "versions": []},
        {"metadata": {"subject": ["a"], "keywords": {"a": 1}, "devices": "b", "é\0": {"x": [1]}}},
        {"metadata": {"subject": {"sex": 1, "weight": [2], "date_of_birth": {}}, "lab": [1, None]}},
    ],
)
def test_odd_metadata_are_no_reason_not_to_seal(
    tmp_path: Path, chunk: MakeChunk, context: Mapping[str, Any]
) -> None:
    capture = Capture.create(tmp_path / "session.nwb", "run\0-1", context, "nwb")
    capture.append(chunk(0, 10))
    for entry in ({"kind": "note"}, {"kind": "note", "text": 5, "time": "x"}, {"time": None}):
        capture.note(entry)
    capture.finish()

    path = seal(capture)

    assert pynwb.validate(path=str(path)) == []


@pytest.mark.parametrize("name", ["electrodes.signal", "models.signal", "a/b:c.signal", "x"])
def test_any_name_of_a_node_is_possible(tmp_path: Path, name: str) -> None:
    capture = Capture.create(tmp_path / "session.nwb", "run-1", {}, "nwb")
    info = StreamInfo.signal(name, channels=2, sampling_rate=10, unit="uV")
    capture.append(Signal(np.zeros((5, 2)), local_clock() + np.arange(5.0), info=info))
    capture.finish()

    path = seal(capture)

    with pynwb.NWBHDF5IO(path, "r") as io:
        (series,) = io.read().acquisition.values()
        assert series.electrodes.table["group"][0].device is not None
    assert pynwb.validate(path=str(path)) == []
