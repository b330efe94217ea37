"""Recordings as videos, read by PyAV alone and by us."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, open_recording, read_info, seal, video
from rigmesh.streams import Cause, Chunk, ClockModel, Frames, Gap, StreamInfo

MakeChunk = Callable[..., Chunk]
Pictures = npt.NDArray[Any]

CAMERA = StreamInfo.frames("camera.frames", shape=(24, 32), sampling_rate=30)
OPTIONS = {".mkv": {"container": "matroska"}, ".mp4": {"container": "mp4"}}


@pytest.fixture(params=[".mkv", ".mp4"])
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / f"session{request.param}"


@pytest.fixture
def mkv(tmp_path: Path) -> Path:
    return tmp_path / "session.mkv"


def begin(target: Path, **options: Any) -> Capture:
    """Begin a recording that becomes a video."""
    return Capture.create(target, "run-1", {}, "video", {**OPTIONS[target.suffix], **options})


def noise(info: StreamInfo, n: int, seed: int = 7) -> Pictures:
    """Return pictures that no codec can foretell."""
    most = np.iinfo(info.dtype).max
    return np.random.default_rng(seed).integers(0, most + 1, (n, *info.sample_shape), info.dtype)


def played(path: Path, track: int = 0, pixels: str = "") -> tuple[list[float], Pictures]:
    """Return when each frame is shown, and the frames, as PyAV alone has them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[track]
        frames = list(container.decode(stream))
        times = [frame.time or 0.0 for frame in frames]
        arrays = [f.to_ndarray(format=pixels) if pixels else f.to_ndarray() for f in frames]
        return times, np.array(arrays)


def table(path: Path, track: int = 1) -> list[dict[str, str]]:
    """Return the table beside a video."""
    with video.frames_file(path, track).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("shape", "dtype", "pixels"),
    [
        ((24, 32), "uint8", "gray"),
        ((24, 32, 1), "uint8", "gray"),
        ((24, 32, 3), "uint8", "rgb24"),
        ((24, 32, 4), "uint8", "rgba"),
        ((24, 32), "uint16", "gray16le"),
        ((24, 32, 3), "uint16", "rgb48le"),
        ((24, 32, 4), "uint16", "rgba64le"),
        ((5, 7, 3), "uint8", "rgb24"),
        ((1, 2), "uint8", "gray"),
        ((480, 640), "uint8", "gray"),
    ],
)
def test_every_pixel_comes_back_bit_for_bit(
    target: Path, shape: tuple[int, ...], dtype: str, pixels: str
) -> None:
    info = StreamInfo.frames("camera.frames", shape=shape, sampling_rate=30, dtype=dtype)
    pictures = noise(info, 7)
    capture = begin(target)
    capture.append(Frames(pictures, np.arange(7) / 30, info=info))
    capture.finish()

    seal(capture)

    _, strangers = played(target, pixels=pixels)
    assert np.array_equal(strangers.reshape(pictures.shape), pictures)
    with open_recording(target) as recording:
        stream = recording.streams["camera.frames"]
        assert stream.info == info
        assert stream.is_exact
        assert stream.data[:].dtype == np.dtype(dtype)
        assert np.array_equal(stream.data[:], pictures)


def test_frames_are_shown_at_their_stamps_and_gaps_are_stills(target: Path) -> None:
    stamps = 1000 + np.array([0.0, 0.04, 0.071, 0.5, 0.54])
    capture = begin(target)
    capture.append(Frames(noise(CAMERA, 3), stamps[:3], info=CAMERA))
    gaps = (Gap(Cause.OVERRUN, 0, 15, 12, 0.4),)
    capture.append(Frames(noise(CAMERA, 2), stamps[3:], index=15, gaps=gaps, info=CAMERA))
    capture.finish({"camera.frames": {0: (0, 17)}})

    seal(capture)

    times, _ = played(target)
    np.testing.assert_allclose(times, stamps - 1000, atol=0.0006)
    assert read_info(target).verdict == "OK with gaps (1, 400.0 ms)"


def test_line_n_of_the_table_is_frame_n(target: Path) -> None:
    clock = ClockModel(offset=0.5, drift=1e-5, reference=0.0, uncertainty=1e-4)
    raw = np.array([1 / 3, 0.4, 0.7, 0.8])
    capture = begin(target)
    capture.append(Frames(noise(CAMERA, 2), raw[:2], info=CAMERA, clock=clock))
    gaps = (Gap(Cause.DEVICE, 0, 2, 3), Gap(Cause.OVERRUN, 0, 7, 2))
    later = Frames(noise(CAMERA, 1), raw[2:3], index=7, gaps=gaps, info=CAMERA, clock=clock)
    capture.append(later)
    restart = (Gap(Cause.RESTART, 1, 0, 4),)
    capture.append(Frames(noise(CAMERA, 1), raw[3:], epoch=1, gaps=restart, info=CAMERA))
    capture.finish()

    seal(capture)

    lines = table(target)
    times, _ = played(target)
    assert [int(line["frame"]) for line in lines] == [0, 1, 2, 3]
    assert [float(line["video_time"]) for line in lines] == pytest.approx(times, abs=1e-6)
    assert [(line["epoch"], line["index"]) for line in lines] == [
        ("0", "0"), ("0", "1"), ("0", "7"), ("1", "0")
    ]  # fmt: skip
    assert [(line["missing_before"], line["cause"]) for line in lines] == [
        ("0", ""), ("0", ""), ("5", "device+overrun"), ("4", "restart")
    ]  # fmt: skip
    with open_recording(target) as recording:
        stream = recording.streams["camera.frames"]
        assert [float(line["raw_timestamp"]) for line in lines] == raw.tolist()
        assert [float(line["timestamp"]) for line in lines] == stream.timestamps[:].tolist()
        assert stream.raw_timestamps[:].tolist() == raw.tolist()
        assert stream.timestamps[:1][0] == pytest.approx(1 / 3 + 0.5, abs=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e300, 5e-324])
def test_odd_stamps_are_kept(target: Path, value: float) -> None:
    stamps = np.array([value, 1.0, value, 1.0, 2.0])
    capture = begin(target)
    capture.append(Frames(noise(CAMERA, 5), stamps, info=CAMERA))
    capture.finish()

    seal(capture)

    times, strangers = played(target)
    assert len(strangers) == 5
    assert times == sorted(set(times))
    assert np.array_equal(
        [float(row["timestamp"]) for row in table(target)], stamps, equal_nan=True
    )
    with open_recording(target) as recording:
        assert recording.streams["camera.frames"].timestamps[:].tobytes() == stamps.tobytes()


def test_a_change_of_format_goes_on_in_another_track(target: Path) -> None:
    wide = StreamInfo.frames("camera.frames", shape=(10, 40, 3), sampling_rate=25)
    first, second = noise(CAMERA, 5), noise(wide, 4)
    capture = begin(target)
    capture.append(Frames(first, 7 + np.arange(5) / 30, info=CAMERA))
    capture.append(Frames(second, 9.1234 + np.arange(4) / 25, epoch=1, info=wide))
    capture.finish()

    seal(capture)

    assert np.array_equal(played(target, 0, "gray")[1], first)
    times, pictures = played(target, 1, "rgb24")
    assert np.array_equal(pictures, second)
    np.testing.assert_allclose(times, 2.1234 + np.arange(4) / 25, atol=0.0006)
    assert [len(table(target)), len(table(target, 2))] == [5, 4]
    with open_recording(target) as recording:
        assert np.array_equal(recording.streams["camera.frames@2"].data[:], second)


def test_frames_are_found_in_any_order(target: Path) -> None:
    pictures = noise(CAMERA, 60)
    capture = begin(target)
    capture.append(Frames(pictures, np.arange(60) / 30, info=CAMERA))
    capture.finish()
    seal(capture)

    with open_recording(target) as recording:
        rows = recording.streams["camera.frames"].data
        for start, stop in [(40, 42), (42, 50), (3, 4), (59, 60), (0, 60), (10, 10), (7, 30)]:
            assert np.array_equal(rows[start:stop], pictures[start:stop])
        assert np.array_equal(rows[5:50:7], pictures[5:50:7])


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_recording_without_frames_is_readable(target: Path, is_linked: bool) -> None:
    capture = begin(target)
    if is_linked:
        capture.describe(CAMERA)
    capture.finish()

    info = read_info(seal(capture))

    assert (info.state, info.verdict) == ("sealed", "OK")
    assert [stream.n_samples for stream in info.streams] == [0] * is_linked
    assert list(target.parent.iterdir()) == [target]


def test_all_that_is_no_picture_is_in_the_video_itself(target: Path) -> None:
    context = {"graph": {"é\0": [1, None]}, "versions": {"rigmesh": "0.1.0"}}
    capture = Capture.create(target, "run-1", context, "video", OPTIONS[target.suffix])
    odd = StreamInfo.frames("camera µ/\udcff", shape=(24, 32), sampling_rate=0)
    capture.append(Frames(noise(odd, 2), np.arange(2.0), info=odd))
    capture.note({"kind": "note", "time": 1.0, "text": "<&µ>\0"})
    capture.finish()
    seal(capture)
    video.frames_file(target).unlink()

    with open_recording(target) as recording:
        assert recording.context == context
        assert [note["text"] for note in recording.notes] == ["<&µ>\0"]
        (stream,) = recording.streams.values()
        assert stream.info == odd


def test_others_find_the_files_inside(target: Path) -> None:
    capture = begin(target)
    capture.append(Frames(noise(CAMERA, 3), 5 + np.arange(3) / 30, info=CAMERA))
    capture.finish()
    seal(capture)

    if target.suffix == ".mkv":
        with av.open(str(target)) as container:
            inside = {one.name: one.data for one in container.streams.attachments}
    else:
        with zipfile.ZipFile(target) as archive:
            inside = {name: archive.read(name) for name in archive.namelist()}

    assert json.loads(inside["rigmesh.json"])["run_id"] == "run-1"
    frames = np.load(io.BytesIO(inside["frames1.npy"]))
    assert frames["timestamp"].tolist() == (5 + np.arange(3) / 30).tolist()


@pytest.mark.skipif("libx264" not in av.codecs_available, reason="FFmpeg without libx264")
@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_a_lossy_codec_keeps_number_stamps_and_nearly_the_values(
    target: Path, shape: tuple[int, ...]
) -> None:
    info = StreamInfo.frames("camera.frames", shape=shape, sampling_rate=30)
    row, column = np.mgrid[:48, :64]
    plain = 120 + 60 * np.sin(row / 9 + column / 7 + np.arange(90)[:, None, None] / 10)
    pictures = np.broadcast_to(plain.reshape(90, 48, 64, *(1,) * (len(shape) - 2)), (90, *shape))
    capture = begin(target, codec="h264", crf=10)
    capture.append(Frames(pictures.astype("uint8"), np.arange(90) / 30, info=info))
    capture.finish()

    seal(capture)

    assert target.stat().st_size < pictures.size / 5
    with open_recording(target) as recording:
        stream = recording.streams["camera.frames"]
        assert not stream.is_exact
        assert stream.timestamps[:].tolist() == (np.arange(90) / 30).tolist()
        for start in (0, 70, 33):
            found = stream.data[start : start + 5]
            assert np.abs(found - pictures[start : start + 5]).mean() < 3


def test_what_is_no_picture_is_refused_and_not_lost(mkv: Path, chunk: MakeChunk) -> None:
    capture = begin(mkv)
    capture.append(chunk(0, 10))
    capture.finish()

    with pytest.raises(RecordingError, match=r"amp\.signal is a stream of signal; a video holds"):
        seal(capture)

    assert read_info(capture.folder).verdict == "OK"
    assert list(mkv.parent.iterdir()) == [capture.folder]


@pytest.mark.parametrize(
    ("shape", "dtype", "codec", "why"),
    [
        ((24, 32), "float32", "ffv1", "pictures of float32; videos take uint8 and uint16"),
        ((24, 32), "int16", "ffv1", "pictures of int16"),
        ((24, 32, 2), "uint8", "ffv1", r"24 × 32 × 2 values; videos take \(height, width\), and"),
        ((2, 24, 32, 3), "uint8", "ffv1", "2 × 24 × 32 × 3"),
        ((24, 20_000), "uint8", "ffv1", "at most 16384"),
        ((24, 32), "uint16", "h264", "h264 cannot hold; ffv1 can"),
        ((23, 32), "uint8", "h264", "even numbers"),
        ((37, 1), "uint8", "ffv1", "37 × 1 values, which ffv1 refuses"),
    ],
)
def test_pictures_that_a_codec_cannot_hold_are_named(
    shape: tuple[int, ...], dtype: str, codec: str, why: str
) -> None:
    info = StreamInfo.frames("camera.frames", shape=shape, sampling_rate=30, dtype=dtype)

    assert re.search(why, video.refusal(info, codec))
