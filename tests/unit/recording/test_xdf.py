"""Recordings in XDF, read by pyxdf and by us."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyxdf

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, open_recording, read_info, seal
from rigmesh.streams import (
    Cause,
    ChannelInfo,
    Chunk,
    ClockModel,
    Frames,
    Gap,
    Markers,
    Signal,
    StreamInfo,
)
from rigmesh.streams.info import DTYPES

MakeChunk = Callable[..., Chunk]

FORMATS = {
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "uint8": "int16",
    "uint16": "int32", "uint32": "int64", "uint64": "int64", "float32": "float32",
    "float64": "double64", "text": "string",
}  # fmt: skip


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.xdf"


def load(path: Path, *, synchronize: bool = False) -> dict[str, dict[str, Any]]:
    """Return what pyxdf makes of a file, by the names of streams."""
    streams, _ = pyxdf.load_xdf(path, synchronize_clocks=synchronize, dejitter_timestamps=False)
    return {one["info"]["name"][0]: one for one in streams}


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "text"])
def test_every_dtype_comes_back_bit_for_bit(capture: Capture, target: Path, dtype: str) -> None:
    random = np.random.default_rng(7)
    size = np.dtype(dtype).itemsize
    data = np.frombuffer(random.bytes(500 * 3 * size), dtype).reshape(500, 3)
    stamps = random.normal(size=500)
    info = StreamInfo.signal("amp.signal", channels=3, sampling_rate=0, dtype=dtype)
    capture.append(Signal(data[:123], stamps[:123], info=info))
    capture.append(Signal(data[123:], stamps[123:], index=123, info=info))
    capture.finish()

    seal(capture)

    stranger = load(target)["amp.signal"]
    assert stranger["info"]["channel_format"] == [FORMATS[dtype]]
    assert stranger["time_stamps"].tobytes() == stamps.tobytes()
    series = stranger["time_series"].astype(dtype)
    assert np.array_equal(series, data, equal_nan="f" in dtype)
    with open_recording(target) as recording:
        stream = recording.streams["amp.signal"]
        assert stream.info == info
        assert stream.data[:].dtype.name == dtype
        assert stream.data[:].tobytes() == data.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324, 0.0])
def test_odd_numbers_and_stamps_are_kept(capture: Capture, target: Path, value: float) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=0)
    data, stamps = np.full((4, 1), value), np.array([0.0, value, 1.0, 1.0])
    capture.append(Signal(data, stamps, info=info))
    capture.finish()

    seal(capture)

    stranger = load(target)["amp.signal"]
    assert stranger["time_series"].tobytes() == data.tobytes()
    assert stranger["time_stamps"].tobytes() == stamps.tobytes()


def test_texts_of_all_kinds_come_back(capture: Capture, target: Path, events: StreamInfo) -> None:
    texts = ["", "left", "µ ✓ 你好", "x" * 100_000, '["a", "b"]', "line\r\nline", "a\0b"]
    capture.append(Markers([*texts, "bad \udcff bytes"], np.arange(8.0), info=events))
    capture.finish()

    seal(capture)

    stranger = load(target)["box.events"]
    assert [row[0] for row in stranger["time_series"]] == [*texts, "bad \ufffd bytes"]
    assert stranger["time_stamps"].tolist() == list(range(8))
    with open_recording(target) as recording:
        assert recording.streams["box.events"].data[:] == [*texts, "bad \udcff bytes"]


def test_texts_of_several_channels_are_several_channels(capture: Capture, target: Path) -> None:
    info = StreamInfo.markers("box.events", n_channels=2)
    rows = [["left", "µ"], ["", '"'], ["bad \udcff", "\n"]]
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    capture.append(Markers(texts, np.arange(3.0), info=info))
    capture.finish()

    seal(capture)

    stranger = load(target)["box.events"]
    assert stranger["info"]["channel_count"] == ["2"]
    assert stranger["time_series"][:2] == rows[:2]
    with open_recording(target) as recording:
        assert recording.streams["box.events"].data[:] == texts


@pytest.mark.parametrize("odd", ['["a","b"]', "no list", '["a"]', '["a", 1]', "[" * 10_000])
def test_texts_that_are_not_what_we_write_stay_whole(
    capture: Capture, target: Path, odd: str
) -> None:
    info = StreamInfo.markers("box.events", n_channels=2)
    capture.append(Markers(['["a", "b"]', odd], np.arange(2.0), info=info))
    capture.finish()

    seal(capture)

    assert load(target)["box.events"]["time_series"] == [['["a", "b"]'], [odd]]
    with open_recording(target) as recording:
        assert recording.streams["box.events"].info == info


def test_frames_come_back_as_one_channel_a_value(capture: Capture, target: Path) -> None:
    info = StreamInfo.frames("camera.frames", shape=(12, 16, 3), sampling_rate=30)
    pictures = np.random.default_rng(7).integers(0, 256, (20, 12, 16, 3), np.uint8)
    capture.append(Frames(pictures, np.arange(20) / 30, info=info))
    capture.finish()

    seal(capture)

    stranger = load(target)["camera.frames"]
    assert np.array_equal(stranger["time_series"], pictures.reshape(20, -1))
    with open_recording(target) as recording:
        stream = recording.streams["camera.frames"]
        assert np.array_equal(stream.data[5:7], pictures[5:7])


def test_the_header_of_a_stream_is_that_of_lsl(target: Path) -> None:
    channels = (ChannelInfo("Cz", "µV", "EEG"), ChannelInfo("<&>", "", "misc"))
    info = StreamInfo(
        "amp.signal", dtype="float32", sample_shape=(2,), sampling_rate=250.5, channels=channels,
        stype="EEG", source_id="serial 7",
        description="<desc><manufacturer>A &amp; B</manufacturer><rigmesh>4</rigmesh></desc>",
    )  # fmt: skip
    capture = Capture.create(target, "run-1", {}, "xdf", {"names": {"amp.signal": "BrainAmp"}})
    capture.describe(info)
    capture.finish()

    seal(capture)

    found = load(target)["BrainAmp"]["info"]
    core = [found[key][0] for key in ("type", "channel_count", "channel_format", "source_id")]
    assert core == ["EEG", "2", "float32", "serial 7"]
    assert float(found["nominal_srate"][0]) == 250.5
    assert found["desc"][0]["manufacturer"] == ["A & B"]
    described = found["desc"][0]["channels"][0]["channel"]
    assert [one["label"][0] for one in described] == ["Cz", "<&>"]
    assert described[0]["unit"] == ["µV"]
    assert [one["type"][0] for one in described] == ["EEG", "misc"]
    with open_recording(target) as recording:
        assert recording.streams["amp.signal"].info == info


def test_long_and_odd_descriptions_are_kept(capture: Capture, target: Path) -> None:
    channels = tuple(ChannelInfo(f"a\0 channel \udcff {n}", "µV") for n in range(5000))
    info = StreamInfo(
        "a/b\0 \udcff", sample_shape=(5000,), channels=channels, description="x" * 2**20
    )
    capture.describe(info)
    capture.finish()

    seal(capture)

    assert list(load(target)) == ["a/b\ufffd \ufffd"]
    with open_recording(target) as recording:
        (stream,) = recording.streams.values()
    assert stream.info == info


def test_the_head_says_what_was_run(target: Path, amp: StreamInfo) -> None:
    context = {"graph": {"nodes": ["é", 1.5, None, "</rigmesh>]]>"]}, "limit": float("inf")}
    capture = Capture.create(target, "run-7", context, "xdf")
    capture.describe(amp)
    capture.note({"kind": "note", "time": 13.0, "text": "µ \udcff \x01"})
    capture.finish()

    seal(capture)

    _, head = pyxdf.load_xdf(target)
    kept = json.loads(head["info"]["rigmesh"][0])
    assert head["info"]["version"] == ["1.0"]
    assert head["info"]["datetime"][0].startswith("20")
    assert (kept["context"], kept["run_id"], kept["verdict"]) == (context, "run-7", "OK")
    assert kept["notes"] == [{"kind": "note", "time": 13.0, "text": "µ \udcff \x01"}]


def test_parts_epochs_and_gaps_are_in_the_footers(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(40, 100, epoch=3))
    capture.append(chunk(120, 150, epoch=3, gaps=(Gap(Cause.OVERRUN, 3, 120, 20),)))
    restart = Gap(Cause.RESTART, 4, 0, 900, 0.9, exact=False)
    wide = StreamInfo.signal("amp.signal", channels=3, sampling_rate=1000, dtype="uint8")
    capture.append(chunk(0, 50, wide, epoch=4, gaps=(restart,)))
    capture.finish({"amp.signal": {3: (40, 150), 4: (0, 50)}})

    seal(capture)

    streams, _ = pyxdf.load_xdf(target, dejitter_timestamps=False)
    feet = [one["footer"]["info"] for one in streams]
    kept = [json.loads(foot["rigmesh"][0]) for foot in feet]
    assert [one["info"]["name"] for one in streams] == [["amp.signal"]] * 2
    assert [foot["sample_count"] for foot in feet] == [["90"], ["50"]]
    assert [float(foot["first_timestamp"][0]) for foot in feet] == [100.04, 100.0]
    assert [float(foot["last_timestamp"][0]) for foot in feet] == [100.149, 100.049]
    assert kept[0]["epochs"] == [[3, 0, 90, 40, 150, 20]]
    assert kept[0]["gaps"] == [[60, "overrun", 3, 120, 20, 0.0, True]]
    assert kept[1]["gaps"] == [[0, "restart", 4, 0, 900, 0.9, False]]
    assert read_info(target).verdict == "OK with gaps (2, 920.0 ms)"


def test_the_two_pieces_of_an_epoch_with_a_pause_are_kept(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    clock = ClockModel(offset=2.0)
    capture.append(chunk(0, 50, clock=clock))
    capture.pause({"kind": "pause", "time": 1.0}, {"amp.signal": {0: (0, 50)}})
    capture.unpause({"kind": "resume", "time": 2.0})
    capture.append(chunk(900, 950, clock=clock))
    capture.finish({"amp.signal": {0: (900, 950)}})

    seal(capture)

    info = read_info(target)
    assert info.verdict == "OK"
    assert [(e.epoch, e.first_index, e.delivered) for e in info.streams[0].epochs] == [
        (0, 0, 50), (0, 900, 50)
    ]  # fmt: skip
    times = load(target)["amp.signal"]["clock_times"]
    assert times == [100.0, 100.049, 100.9, 100.949]


def test_streams_lie_side_by_side_as_they_came(capture: Capture, target: Path) -> None:
    fast = StreamInfo.signal("fast.signal", channels=64, sampling_rate=1000, dtype="int16")
    slow = StreamInfo.markers("slow.markers")
    times = np.arange(60_000) / 1e3
    # That of the texts runs 1000 s ahead, which its clock model takes back.
    capture.append(Signal(np.zeros((60_000, 64), np.int16), times, info=fast))
    clock = ClockModel(offset=-1000.0)
    capture.append(Markers(["x"] * 60, 1000 + np.arange(60.0), info=slow, clock=clock))
    capture.finish()

    seal(capture)

    tags = [(one["tag"], one.get("stream_id", 0)) for one in pyxdf.pyxdf.parse_xdf(target)]
    assert tags[:3] == [(1, 0), (2, 1), (2, 2)]
    assert tags[-3:] == [(5, 0), (6, 1), (6, 2)]
    # A chunk holds 2 s, three texts: the boundaries part both streams alike.
    boundaries = [at for at, one in enumerate(tags) if one == (5, 0)]
    per_stretch = [
        [tags[begin:end].count((3, stream)) for stream in (1, 2)]
        for begin, end in zip([0, *boundaries], boundaries, strict=False)
    ]
    assert len(boundaries) == 6
    assert all(3 <= n <= 6 for counts in per_stretch for n in counts)


def test_a_large_stream_is_sealed_and_read_in_little_memory(capture: Capture, target: Path) -> None:
    import tracemalloc

    info = StreamInfo.signal("amp.signal", channels=256, sampling_rate=30_000, dtype="int16")
    data = np.zeros((30_000, 256), np.int16)
    for number in range(10):
        stamps = number + np.arange(30_000) / 3e4
        capture.append(Signal(data, stamps, index=30_000 * number, info=info))
    capture.finish()

    tracemalloc.start()
    try:
        seal(capture)
        with open_recording(target) as recording:
            recording.streams["amp.signal"].data[150_000:150_100]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert target.stat().st_size > 150e6
    assert peak < 50e6


@pytest.mark.parametrize("wanted", [slice(0, 5), slice(8, 25), slice(-3, None), slice(0, 30, 7)])
def test_captured_and_sealed_rows_are_sliced_alike(
    capture: Capture, target: Path, chunk: MakeChunk, events: StreamInfo, wanted: slice
) -> None:
    for epoch in range(3):
        clock = ClockModel(offset=float(epoch))
        capture.append(chunk(0, 10, epoch=epoch, clock=clock))
        capture.append(chunk(0, 10, events, epoch=epoch, clock=clock))
    capture.finish()

    before = _sliced(target, wanted)
    seal(capture)

    assert before == _sliced(target, wanted)


def _sliced(path: Path, wanted: slice) -> list[Any]:
    with open_recording(path) as recording:
        return [
            list(map(str, rows[wanted]))
            for stream in recording.streams.values()
            for rows in (stream.data, stream.timestamps, stream.raw_timestamps)
        ]


@pytest.mark.parametrize("content", [b"XDF:", b"XDF:\x01\x02\x05\x00", b"XDF:" + bytes(100)])
def test_another_file_is_not_taken_for_a_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.xdf"
    path.write_bytes(content)

    with pytest.raises(RecordingError, match="no recording"), open_recording(path):
        pass


def test_a_recording_of_a_later_version_is_not_misread(capture: Capture, target: Path) -> None:
    capture.finish()
    content = seal(capture).read_bytes()
    target.write_bytes(content.replace(b'{"version": 1,', b'{"version": 9,', 1))

    with pytest.raises(RecordingError, match="layout version 9"), open_recording(target):
        pass


def test_headers_and_footers_are_well_formed(capture: Capture, target: Path) -> None:
    info = StreamInfo.signal("amp.signal", channels=["<a>", "\x01"], sampling_rate=0)
    capture.append(Signal(np.zeros((1, 2)), np.array([np.nan]), info=info))
    capture.note({"kind": "note", "text": "]]> <!-- &"})
    capture.finish()

    content = seal(capture).read_bytes()

    begins = [at for at in range(len(content)) if content.startswith(b"<?xml", at)]
    assert len(begins) == 3
    for begin in begins:
        end = content.index(b"</info>", begin) + len(b"</info>")
        assert ET.fromstring(content[begin:end]).find("rigmesh") is not None
