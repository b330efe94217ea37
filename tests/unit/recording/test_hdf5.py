"""Sealed recordings, read by strangers and by us."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, open_recording, seal
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

    with h5py.File(seal(capture)) as file:
        stored = file["streams/amp.signal/data"]
        found, found_stamps = stored[:], file["streams/amp.signal/timestamps"][:]

    assert found.dtype.name == dtype
    assert found.tobytes() == data.tobytes()
    assert found_stamps.tobytes() == stamps.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324])
def test_odd_numbers_are_kept(capture: Capture, target: Path, value: float) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=0)
    data = np.full((4, 1), value)
    capture.append(Signal(data, np.array([0.0, value, 1.0, 1.0]), info=info))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        found = file["streams/amp.signal/data"][:]

    assert found.tobytes() == data.tobytes()


def test_frames_come_back(capture: Capture, target: Path) -> None:
    info = StreamInfo.frames("camera.frames", shape=(48, 64, 3), sampling_rate=30)
    pictures = np.random.default_rng(7).integers(0, 256, (20, 48, 64, 3), np.uint8)
    capture.append(Frames(pictures, np.arange(20) / 30, info=info))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        np.testing.assert_array_equal(file["streams/camera.frames/data"][5:7], pictures[5:7])


def test_texts_of_all_kinds_come_back(capture: Capture, target: Path, events: StreamInfo) -> None:
    texts = ["", "left", "µ ✓ 你好", "x" * 100_000, '["a", "b"]', "line\nline", "bad \udcff bytes"]
    capture.append(Markers(texts, np.arange(7.0), info=events))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        raw = file["streams/box.events/data"][:]
        plain = file["streams/box.events/data"].asstr(errors="replace")[1]
        extra = "bytes" in file["streams/box.events"]

    assert [text.decode("utf-8", "surrogateescape") for text in raw] == texts
    assert raw[6] == b"bad \xff bytes"
    assert (plain, extra) == ("left", False)
    with open_recording(target) as recording:
        assert recording.streams["box.events"].data[:] == texts


def test_texts_with_nul_characters_are_kept_beside(
    capture: Capture, target: Path, events: StreamInfo
) -> None:
    texts = [*(f"text {n}" for n in range(100)), "a\0b", "after"]
    capture.append(Markers(texts, np.arange(102.0), info=events))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        assert file["streams/box.events/data"][100] == b"a b"
        assert bytes(file["streams/box.events/bytes"][100]) == b"a\0b"
    with open_recording(target) as recording:
        assert recording.streams["box.events"].data[:] == texts


def test_stamps_of_the_local_clock_are_stored_once(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 10))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        stream = file["streams/amp.signal"]
        assert stream["timestamps"] == stream["raw_timestamps"]


def test_stamps_of_another_clock_are_stored_raw_and_mapped(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    drifting = ClockModel(offset=-3.0, drift=1e-5, reference=100.0, uncertainty=1e-4)
    first, second, third = chunk(0, 10), chunk(10, 20, clock=drifting), chunk(0, 5, epoch=1)
    for part in (first, second, third):
        capture.append(part)
    capture.finish()

    with h5py.File(seal(capture)) as file:
        stream = file["streams/amp.signal"]
        stamps, raw, clock = (stream[name][:] for name in ("timestamps", "raw_timestamps", "clock"))

    parts = (first, second, third)
    np.testing.assert_array_equal(raw, np.concatenate([p.raw_timestamps for p in parts]))
    np.testing.assert_array_equal(stamps, np.concatenate([p.timestamps for p in parts]))
    assert clock["row"].tolist() == [10, 20]
    assert clock[0].item()[1:] == (-3.0, 1e-5, 100.0, 1e-4)


def test_epochs_and_gaps_are_tables(capture: Capture, target: Path, chunk: MakeChunk) -> None:
    capture.append(chunk(40, 100, epoch=3))
    capture.append(chunk(120, 150, epoch=3, gaps=(Gap(Cause.OVERRUN, 3, 120, 20),)))
    restart = Gap(Cause.RESTART, 4, 0, 900, 0.9, exact=False)
    capture.append(chunk(0, 50, epoch=4, gaps=(restart, Gap(Cause.DEVICE, 4, 0, 2, 0.002))))
    capture.finish({"amp.signal": {3: (40, 150), 4: (0, 52)}})

    with h5py.File(seal(capture)) as file:
        stream = file["streams/amp.signal"]
        epochs, gaps = stream["epochs"][:], stream["gaps"][:]
        verdict = file.attrs["verdict"]

    assert epochs.dtype.names == ("epoch", "first_row", "n", "first_index", "produced", "missing")
    assert epochs.tolist() == [(3, 0, 90, 40, 150, 20), (4, 90, 50, 0, 52, 2)]
    assert gaps.tolist() == [
        (3, 60, 120, b"overrun", 20, 0.0, True),
        (4, 90, 0, b"restart", 900, 0.9, False),
        (4, 90, 0, b"device", 2, 0.002, True),
    ]
    assert verdict == "OK with gaps (3, 922.0 ms)"


def test_the_head_says_what_was_run(target: Path, amp: StreamInfo) -> None:
    context = {"graph": {"nodes": ["é", 1.5, None]}, "versions": {"rigmesh": "0.1.0"}}
    capture = Capture.create(target, "run-7", context)
    capture.describe(amp)
    capture.note({"kind": "parameters", "time": 12.5, "values": {"low": 8.0}})
    capture.note({"kind": "note", "time": 13.0, "text": "µ \udcff"})
    capture.finish()

    with h5py.File(seal(capture)) as file:
        head = dict(file.attrs)
        notes = [json.loads(line) for line in file["journal"].asstr()[:]]
        stream = dict(file["streams/amp.signal"].attrs)

    assert json.loads(head["context"]) == context
    assert json.loads(head["versions"]) == {"rigmesh": "0.1.0"}
    assert (head["run_id"], head["rigmesh_recording"], head["verdict"]) == ("run-7", 1, "OK")
    assert head["created"].startswith("20")
    assert [note["time"] for note in notes] == [12.5, 13.0]
    assert notes[1]["text"] == "µ \udcff"
    assert StreamInfo.from_json(stream["info"]) == amp
    assert (stream["kind"], stream["sampling_rate"], stream["stype"]) == ("signal", 1000.0, "")
    assert stream["channel_names"].tolist() == ["n", "Cz"]
    assert stream["channel_units"].tolist() == ["uV", "uV"]


def test_long_and_odd_descriptions_are_kept(capture: Capture, target: Path) -> None:
    channels = tuple(ChannelInfo(f"a\0 channel \udcff {n}", "µV") for n in range(5000))
    info = StreamInfo(
        "a/b\0 \udcff", sample_shape=(5000,), channels=channels, description="x" * 2**20
    )
    capture.describe(info)
    capture.finish()

    seal(capture)

    with open_recording(target) as recording:
        (stream,) = recording.streams.values()
    assert stream.info == info


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


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_another_file_is_not_taken_for_a_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(content)

    with pytest.raises(RecordingError, match=r"other\.h5"), open_recording(path):
        pass


def test_another_hdf5_file_is_not_taken_for_a_recording(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2]

    with pytest.raises(RecordingError, match="no recording"), open_recording(tmp_path / "other.h5"):
        pass


def test_a_recording_of_a_later_version_is_not_misread(capture: Capture, target: Path) -> None:
    capture.finish()
    with h5py.File(seal(capture), "r+") as file:
        file.attrs["rigmesh_recording"] = 99

    with pytest.raises(RecordingError, match="layout version 99"), open_recording(target):
        pass
