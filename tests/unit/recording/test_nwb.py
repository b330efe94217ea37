"""Recordings sealed into NWB, read by pynwb and by us."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pynwb
import pytest

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, open_recording, read_info, recover, seal
from rigmesh.streams import (
    Cause,
    ChannelInfo,
    Chunk,
    Frames,
    Gap,
    Markers,
    Signal,
    StreamInfo,
    local_clock,
)
from rigmesh.streams.info import DTYPES

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]
Array = npt.NDArray[Any]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.nwb"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    with pynwb.NWBHDF5IO(path, "r") as io:
        yield io.read()


def append_rows(
    capture: Capture, info: StreamInfo, data: Array, stamps: Array | None = None
) -> None:
    stamps = local_clock() + np.arange(len(data)) / 250 if stamps is None else stamps
    kind = Frames if info.kind == "frames" else Signal
    capture.append(kind(data, stamps, info=info))


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "text"])
def test_every_dtype_comes_back_bit_for_bit(capture: Capture, dtype: str) -> None:
    random = np.random.default_rng(7)
    data = np.frombuffer(random.bytes(500 * 3 * np.dtype(dtype).itemsize), dtype).reshape(500, 3)
    info = StreamInfo.signal("amp.signal", channels=3, sampling_rate=0, dtype=dtype, unit="uV")
    append_rows(capture, info, data, random.normal(size=500))
    capture.finish()

    path = seal(capture)  # which compares

    with opened(path) as file:
        found = file.acquisition["amp.signal"].data[:]
    assert found.dtype.name == dtype
    assert found.tobytes() == data.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324])
def test_odd_numbers_are_kept(capture: Capture, value: float) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=0)
    data = np.full((4, 1), value)
    append_rows(capture, info, data, np.array([0.0, value, 1.0, 1.0]))
    capture.finish()

    path = seal(capture)

    with opened(path) as file:
        assert file.acquisition["amp.signal"].data[:].tobytes() == data.tobytes()


@pytest.mark.parametrize("payload", [0x7FF0000000000001, 0xFFF8000000000BAD])
def test_payloads_of_nan_are_kept(capture: Capture, target: Path, payload: int) -> None:
    odd = np.full(3, payload, np.uint64).view(np.float64)
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=0)
    append_rows(capture, info, odd[:, None], odd)
    capture.finish()

    seal(capture)

    with open_recording(target) as recording:
        stream = recording.streams["amp.signal"]
        assert stream.timestamps[:].tobytes() == stream.data[:].tobytes() == odd.tobytes()


@pytest.mark.parametrize("shape", [(12, 16), (12, 16, 3), (2, 3, 4, 5), (7,)])
def test_frames_come_back(capture: Capture, target: Path, shape: tuple[int, ...]) -> None:
    info = StreamInfo.frames("camera.frames", shape=shape, sampling_rate=30)
    pictures = np.random.default_rng(7).integers(0, 256, (20, *shape), np.uint8)
    append_rows(capture, info, pictures)
    capture.finish()

    seal(capture)

    with opened(target) as file:
        series = file.acquisition["camera.frames"]
        is_picture = len(shape) in (2, 3)
        assert series.neurodata_type == ("ImageSeries" if is_picture else "TimeSeries")
        np.testing.assert_array_equal(series.data[5:7].reshape(2, *shape), pictures[5:7])
        assert pynwb.validate(io=file.get_read_io()) == []
    with open_recording(target) as recording:
        np.testing.assert_array_equal(
            recording.streams["camera.frames"].data[3:9:2], pictures[3:9:2]
        )


def test_texts_of_all_kinds_come_back(capture: Capture, target: Path, events: StreamInfo) -> None:
    texts = ["", "left", "µ ✓ 你好", "x" * 100_000, '["a"]', "a\0b", "bad \udcff bytes", "\\udcff"]
    capture.append(Markers(texts, local_clock() + np.arange(8.0), info=events))
    capture.finish()

    seal(capture)

    with opened(target) as file:
        plain = file.events["box.events"]["annotation"][:].tolist()
        exact = file.scratch["rigmesh_texts"].to_dataframe()
    assert plain == [*texts[:5], "a b", "bad \\udcff bytes", "\\udcff"]
    assert exact["row"].tolist() == [5, 6]
    assert [json.loads(text) for text in exact["text"]] == texts[5:7]
    with open_recording(target) as recording:
        data = recording.streams["box.events"].data
        assert data[:] == texts
        assert data[4:7:2] == texts[4:7:2]


def test_epochs_and_gaps_are_tables(capture: Capture, target: Path, chunk: MakeChunk) -> None:
    capture.append(chunk(40, 100, epoch=3))
    capture.append(chunk(120, 150, epoch=3, gaps=(Gap(Cause.OVERRUN, 3, 120, 20),)))
    restart = Gap(Cause.RESTART, 4, 0, 900, 0.9, exact=False)
    capture.append(chunk(0, 50, epoch=4, gaps=(restart,)))
    capture.finish({"amp.signal": {3: (40, 150), 4: (0, 50)}})

    seal(capture)

    with opened(target) as file:
        epochs = file.scratch["rigmesh_epochs"].to_dataframe()
        gaps = file.scratch["rigmesh_gaps"].to_dataframe()
    assert epochs.to_numpy().tolist() == [
        ["amp.signal", 3, 0, 90, 40, 150, 20], ["amp.signal", 4, 90, 50, 0, 50, 0]
    ]  # fmt: skip
    assert gaps.to_numpy().tolist() == [
        ["amp.signal", 3, 60, 120, "overrun", 20, 0.0, True],
        ["amp.signal", 4, 90, 0, "restart", 900, 0.9, False],
    ]
    assert read_info(target).verdict.startswith("OK with gaps (2")


def test_a_change_of_format_makes_another_series(capture: Capture, target: Path) -> None:
    for epoch, n_channels in enumerate([2, 3]):
        info = StreamInfo.signal("amp.signal", channels=n_channels, sampling_rate=10, unit="uV")
        capture.append(Signal(np.ones((5, n_channels)), np.arange(5.0), epoch=epoch, info=info))
    capture.finish()

    seal(capture)

    with opened(target) as file:
        found = {name: s.electrodes.data[:].tolist() for name, s in file.acquisition.items()}
    assert found == {"amp.signal": [0, 1], "amp.signal@2": [0, 1, 2]}


def test_channels_of_several_units_are_put_together_again(capture: Capture, target: Path) -> None:
    channels = [("Cz", "uV", "EEG"), ("trigger", "", "TRIG"), ("EOG", "mV", "EOG"), ("T", "°C", "")]
    info = StreamInfo.signal(
        "amp.signal", channels=[ChannelInfo(*c) for c in channels], sampling_rate=250, stype="EEG"
    )
    data = np.random.default_rng(7).normal(size=(100, 4))
    append_rows(capture, info, data)
    capture.finish()

    seal(capture)

    with opened(target) as file:
        series = file.acquisition
        assert series["amp.signal"].electrodes.table["channel_name"][:].tolist() == ["Cz", "EOG"]
        np.testing.assert_allclose(
            series["amp.signal"].get_data_in_units(), data[:, [0, 2]] * [1e-6, 1e-3]
        )
        assert [s.unit for s in series.values()] == ["volts", "n.a.", "°C"]
        np.testing.assert_array_equal(series["amp.signal&3"].data[:], data[:, 3:])
        np.testing.assert_array_equal(
            series["amp.signal&3"].timestamps[:], series["amp.signal"].timestamps[:]
        )
    with open_recording(target) as recording:
        found = recording.streams["amp.signal"].data[10:50:3]
    assert found.tobytes() == data[10:50:3].tobytes()


def test_long_and_odd_descriptions_are_kept(capture: Capture, target: Path) -> None:
    channels = tuple(ChannelInfo(f"a\0 channel \udcff {n}", "µV\0") for n in range(5000))
    info = StreamInfo(
        "a/b\0 \udcff", sample_shape=(5000,), channels=channels, description="x" * 2**20
    )
    append_rows(capture, info, np.zeros((2, 5000)))
    capture.describe(StreamInfo.signal("silent", channels=1, sampling_rate=1, dtype="int8"))
    capture.describe(StreamInfo.markers("electrodes.models"))
    capture.finish()

    seal(capture)

    with open_recording(target) as recording:
        odd, mute, none = (recording.streams[k] for k in sorted(recording.streams))
    assert odd.info == info
    assert (len(mute), len(none)) == (0, 0)
    with opened(target) as file:
        assert list(file.acquisition) == [odd.key]


@pytest.mark.parametrize(
    ("compression", "filters"), [("deflate", "gzip"), ("auto", "gzip"), ("none", None)]
)
def test_samples_are_compressed_as_asked(
    target: Path, chunk: MakeChunk, compression: str, filters: str | None
) -> None:
    capture = Capture.create(target, "run-1", {}, "nwb", {"compression": compression})
    capture.append(chunk(0, 50_000))
    capture.finish()

    with opened(seal(capture)) as file:
        data = file.acquisition["amp.signal"].data
        assert data.compression == filters
        assert (data.id.get_storage_size() < data.nbytes / 4) == (filters is not None)
        assert data[:, 0].tolist() == list(range(50_000))


def test_one_channel_is_read_without_all_others(capture: Capture) -> None:
    info = StreamInfo.signal("amp.signal", channels=256, sampling_rate=0, dtype="int16", unit="uV")
    append_rows(capture, info, np.zeros((20_000, 256), np.int16))
    capture.finish()

    with opened(seal(capture)) as file:
        assert file.acquisition["amp.signal"].data.chunks[1] <= 64


def test_another_nwb_file_is_not_taken_for_a_recording(tmp_path: Path) -> None:
    file = pynwb.NWBFile(
        session_description="x", identifier="x", session_start_time=datetime.now(UTC)
    )
    with pynwb.NWBHDF5IO(tmp_path / "other.nwb", "w") as io:
        io.write(file)

    with (
        pytest.raises(RecordingError, match="no recording"),
        open_recording(tmp_path / "other.nwb"),
    ):
        pass


def test_a_recording_of_a_later_version_is_not_misread(capture: Capture, target: Path) -> None:
    capture.finish()
    with h5py.File(seal(capture), "r+") as file:
        head = json.loads(file["scratch/rigmesh_recording"].asstr()[()])
        file["scratch/rigmesh_recording"][()] = json.dumps({**head, "version": 99})

    with pytest.raises(RecordingError, match="layout version 99"), open_recording(target):
        pass


def test_without_pynwb_the_capture_stays_whole(
    capture: Capture, target: Path, chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture.append(chunk(0, 10))
    capture.finish()

    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "rigmesh.recording._nwb_write", raising=False)
        patch.setitem(sys.modules, "pynwb", None)
        with pytest.raises(RecordingError, match=r"pip install 'rigmesh\[files\]'"):
            seal(capture)

    assert list(target.parent.iterdir()) == [capture.folder]
    assert recover(target) == target


@pytest.mark.parametrize("room", [20_000, 200_000, 800_000])
def test_a_full_disk_leaves_the_capture_whole(
    target: Path, chunk: MakeChunk, in_child: InChild, room: int
) -> None:
    capture = Capture.create(target, "run-1", {}, "nwb", {"compression": "none"})
    capture.append(chunk(0, 100_000))
    capture.finish()

    def seal_without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        with pytest.raises(RecordingError, match="cannot seal"):
            seal(capture.folder)

    assert in_child(seal_without_room) == 0
    assert list(target.parent.iterdir()) == [capture.folder]
    assert recover(target) == target
