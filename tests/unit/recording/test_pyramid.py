"""Envelopes are what a look at every sample gives, with a pyramid, with half of one, without."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rigmesh.errors import StreamFormatError
from rigmesh.recording import Capture, RecordedStream, open_recording, pyramid, recover, seal
from rigmesh.recording.pyramid import FACTORS, Envelope, PyramidBuilder
from rigmesh.streams import Chunk, Signal, StreamInfo

MakeChunk = Callable[..., Chunk]
Array = npt.NDArray[Any]

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "int64", "uint64", "float32", "float64"]
FIRST = FACTORS[0]


def brute(data: Array, rows: Array) -> tuple[Array, Array]:
    """Look at every sample."""
    bins = [data[a:b] for a, b in itertools.pairwise(rows)]
    least, most = (np.fmin, np.fmax) if data.dtype.kind == "f" else (np.minimum, np.maximum)
    return (
        np.array([least.reduce(found, axis=0) for found in bins]),
        np.array([most.reduce(found, axis=0) for found in bins]),
    )


def assert_true(found: Envelope, data: Array, start: int, stop: int, n_pixels: int) -> None:
    rows = found.rows
    assert (rows[0], rows[-1]) == (start, stop)
    assert (np.diff(rows) > 0).all()
    assert len(rows) - 1 <= n_pixels
    lows, highs = brute(data, rows)
    np.testing.assert_array_equal(found.minimum, lows)
    np.testing.assert_array_equal(found.maximum, highs)
    assert found.minimum.dtype == found.maximum.dtype == data.dtype


def noise(n: int, n_channels: int, dtype: str, seed: int = 7) -> Array:
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        data = (random.standard_normal((n, n_channels)) * 1e3).astype(dtype)
        data[random.random((n, n_channels)) < 0.3] = np.nan
        data[n // 3 : n // 2, 0] = np.nan
        data[::97, -1] = np.inf
        return data
    ends = np.iinfo(dtype)
    return random.integers(ends.min, ends.max, (n, n_channels), dtype, endpoint=True)


def record(capture: Capture, data: Array, per_chunk: int = 500, epoch: int = 0) -> None:
    info = StreamInfo.signal("amp.signal", channels=data.shape[1], sampling_rate=0,
                             dtype=data.dtype.name)  # fmt: skip
    for at in range(0, len(data), per_chunk):
        part = data[at : at + per_chunk]
        stamps = np.arange(at, at + len(part)) / 1000
        capture.append(Signal(part, stamps, index=at, epoch=epoch, info=info))


@contextmanager
def opened(path: Path) -> Iterator[RecordedStream]:
    with open_recording(path) as recording:
        yield recording.streams["amp.signal"]


def before_and_after_sealing(capture: Capture) -> Iterator[Path]:
    yield capture.folder
    yield seal(capture)


def bins_of(folder: Path, epoch: int = 0) -> dict[int, Path]:
    found = (folder / "streams" / "amp.signal").glob(f"{epoch}.minmax*")
    return {int(path.name.partition("minmax")[2]): path for path in found}


class Counting:
    """Rows that count how many are read."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.n_read = rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: slice) -> Any:
        found = self.rows[wanted]
        self.n_read += len(found)
        return found


@st.composite
def signals(draw: st.DrawFn) -> Array:
    dtype = draw(st.sampled_from(["int16", "uint8", "float32"]))
    shape = draw(st.tuples(st.integers(1, 3 * FIRST * 16), st.integers(1, 3)))
    values: Any = st.integers(0, 200)
    if dtype == "float32":
        values = st.sampled_from([np.nan, -np.inf, np.inf, -0.0, 0.0, 1.5, -7.25])
    return draw(arrays.arrays(dtype, shape, elements=values, fill=values))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(signals(), st.data())
def test_an_envelope_is_what_a_look_at_every_sample_gives(
    tmp_path_factory: pytest.TempPathFactory, data: Array, draws: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("any") / "session.h5"
    capture = Capture.create(path, "run-1", {})
    committed = draws.draw(st.integers(0, len(data)), "committed")
    epochs = draws.draw(st.sampled_from([[len(data)], [len(data) // 3, len(data)]]), "epochs")
    start = draws.draw(st.integers(0, len(data)), "start")
    stop = draws.draw(st.integers(start, len(data)), "stop")
    n_pixels = draws.draw(st.integers(1, 40), "pixels")
    begin = 0
    for epoch, end in enumerate(epochs):
        record(capture, data[begin : min(end, max(begin, committed))], epoch=epoch)
        capture.commit()
        begin = max(begin, min(end, committed))
    # What is behind the last commit has no bins yet.
    data = data[:begin]
    start, stop = min(start, begin), min(stop, begin)
    capture.finish()
    if not len(data):
        return

    with opened(path) as stream:
        before = stream.envelope(start, stop, n_pixels)
    seal(capture)
    with opened(path) as stream:
        after = stream.envelope(start, stop, n_pixels)

    if start == stop:
        assert len(before.minimum) == len(after.maximum) == 0
        return
    assert_true(before, data, start, stop, n_pixels)
    assert_true(after, data, start, stop, n_pixels)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_channels", [1, 3, 70])
def test_every_type_has_an_envelope(
    capture: Capture, target: Path, dtype: str, n_channels: int
) -> None:
    n = 1024 * 16 + 1234
    data = noise(n, n_channels, dtype)
    record(capture, data, 3000)
    capture.finish()
    assert sorted(bins_of(capture.folder)) == [64, 1024, 16384]

    for where in before_and_after_sealing(capture):
        with opened(where) as stream:
            for start, stop, n_pixels in [
                (0, n, 1),
                (5, n - 5, 11),
                (100, 9000, 90),
                (7, 8000, 2000),
                (9, 999, 5000),
            ]:
                assert_true(stream.envelope(start, stop, n_pixels), data, start, stop, n_pixels)


@pytest.mark.parametrize("per_chunk", [1, 63, 64, 65, 5000])
def test_the_pyramid_does_not_depend_on_the_chunks(
    target: Path, tmp_path: Path, per_chunk: int
) -> None:
    data = noise(5000, 2, "int16")
    capture = Capture.create(target, "run-1", {})
    record(capture, data, per_chunk)
    capture.finish()

    bins = np.fromfile(bins_of(capture.folder)[64], "<i2").reshape(-1, 2, 2)

    whole = data[: 5000 // 64 * 64].reshape(-1, 64, 2)
    np.testing.assert_array_equal(bins, np.stack((whole.min(1), whole.max(1)), 1))


def test_a_builder_takes_samples_in_any_pieces() -> None:
    data = noise(64 * 16 * 3 + 10, 2, "float32")
    found: list[list[Array]] = [[], []]
    builder = PyramidBuilder([found[0].append, found[1].append])

    cuts = [0, 1, 2, 70, 64 * 16, 64 * 16 + 63, 64 * 16 * 2 + 5, len(data)]
    for a, b in itertools.pairwise(cuts):
        builder.add(data[a:b])

    for factor, level in zip(FACTORS, found, strict=False):
        bins = np.concatenate(level)
        lows, highs = brute(data, np.arange(len(bins) + 1) * factor)
        np.testing.assert_array_equal(bins, np.stack((lows, highs), axis=1))


def test_an_envelope_reads_bins_and_not_the_samples(capture: Capture, target: Path) -> None:
    data = noise(64 * 16 * 40, 2, "int16")
    record(capture, data)
    capture.finish()

    for where in before_and_after_sealing(capture):
        with opened(where) as stream:
            assert_true(stream.envelope(100, len(data) - 100, 10), data, 100, len(data) - 100, 10)
            rows = Counting(stream.data)
            dataclasses.replace(stream, data=rows).envelope(100, len(data) - 100, 10)
            assert 0 < rows.n_read < 2 * FIRST


def test_a_recording_is_browsed_while_it_grows(capture: Capture, target: Path) -> None:
    data = noise(64 * 16 * 5, 2, "int16")
    for begin in range(0, len(data), 1000):
        part = data[begin : begin + 1000]
        info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=0, dtype="int16")
        capture.append(Signal(part, np.zeros(len(part)), index=begin, info=info))
        capture.commit()

        with opened(target) as stream:
            n = len(stream)
            assert n == begin + len(part)
            assert len(stream.pyramid[0].levels) > 0
            assert_true(stream.envelope(0, n, 7), data, 0, n, 7)


def test_what_is_committed_and_lost_again_is_not_in_the_bins(
    capture: Capture, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise(3000, 2, "int16")
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=0, dtype="int16")
    capture.append(Signal(data[:1000], np.zeros(1000), info=info))
    capture.commit()
    capture.append(Signal(data[1000:2000], np.zeros(1000), index=1000, info=info))

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            capture.commit()
    capture.append(Signal(data[2000:], np.zeros(1000), index=2000, info=info))
    capture.finish()

    kept = np.concatenate((data[:1000], data[2000:]))
    for where in before_and_after_sealing(capture):
        with opened(where) as stream:
            assert_true(stream.envelope(0, 2000, 5), kept, 0, 2000, 5)


@pytest.mark.parametrize("damage", ["missing", "short", "half a bin", "one level", "too long"])
def test_bins_that_a_crash_left_are_made_whole(capture: Capture, target: Path, damage: str) -> None:
    data = noise(64 * 16 * 16 * 2, 2, "int16")
    record(capture, data[:30_000])
    capture.commit()
    capture.close()
    bins = bins_of(capture.folder)
    for factor, path in bins.items():
        content = path.read_bytes()
        if damage == "missing" or (damage == "one level" and factor == 1024):
            path.unlink()
        elif damage == "short":
            path.write_bytes(content[: len(content) // 16 * 8])
        elif damage == "half a bin":
            path.write_bytes(content[:-3])
        elif damage == "too long":
            path.write_bytes(content + bytes(800))

    resumed = Capture.resume(target, "run-1")
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=0, dtype="int16")
    rest = data[30_000:]
    resumed.append(Signal(rest, np.zeros(len(rest)), index=30_000, info=info))
    resumed.finish()

    with opened(resumed.folder) as stream:
        assert [level.n for level in stream.pyramid[0].levels] == [512, 32, 2]
        for n_pixels in (1, 3, 100, 2000):
            assert_true(stream.envelope(1, 32_000, n_pixels), data, 1, 32_000, n_pixels)


def test_bins_are_caught_up_with_bit_by_bit(
    capture: Capture, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise(64 * 16 * 4, 2, "int16")
    record(capture, data)
    capture.close()
    for path in bins_of(capture.folder).values():
        path.unlink()
    monkeypatch.setattr(pyramid, "_CATCH_UP_BYTES", 64 * 10 * 4)
    found = []

    resumed = Capture.resume(target, "run-1")
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=0, dtype="int16")
    for at in range(10):
        with opened(resumed.folder) as stream:
            assert_true(stream.envelope(0, 4096, 8), data, 0, 4096, 8)
            found.append([level.n for level in stream.pyramid[0].levels])
        chunk = Signal(data[at : at + 1], np.zeros(1), index=4096 + at, info=info)
        resumed.append(chunk)
        resumed.commit()
    resumed.finish()

    assert found[:3] == [[10], [20, 1], [30, 1]]
    assert found[-1] == [64, 4]


def test_bins_from_before_a_reboot_are_not_believed(capture: Capture, target: Path) -> None:
    data = noise(5000, 2, "int16")
    record(capture, data)
    capture.commit()
    capture.close()
    for path in bins_of(capture.folder).values():
        path.write_bytes(bytes(path.stat().st_size))  # as a power cut leaves them
    manifest = capture.folder / "recording.json"
    told = json.loads(manifest.read_text())
    told["created"]["clock_id"] = "another boot"
    manifest.write_text(json.dumps(told))

    with opened(capture.folder) as stream:
        assert_true(stream.envelope(0, 5000, 9), data, 0, 5000, 9)
    recover(target)

    with opened(target) as stream:
        assert len(stream.pyramid[0].levels) == 2
        assert_true(stream.envelope(0, 5000, 9), data, 0, 5000, 9)


def test_a_disk_that_refuses_bins_costs_nothing_else(capture: Capture, target: Path) -> None:
    data = noise(5000, 2, "int16")
    record(capture, data[:1000])
    folder = capture.folder / "streams" / "amp.signal"
    (folder / "0.minmax1024").mkdir()

    record_more = data[1000:]
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=0, dtype="int16")
    capture.append(Signal(record_more, np.zeros(4000), index=1000, info=info))
    capture.commit()
    capture.finish({"amp.signal": {0: (0, 5000)}})

    assert not (folder / "0.minmax64").exists()
    with opened(seal(capture)) as stream:
        assert_true(stream.envelope(0, 5000, 9), data, 0, 5000, 9)


def test_the_sealed_pyramid_is_read_with_h5py(capture: Capture, target: Path) -> None:
    data = noise(64 * 20 + 5, 3, "float64")
    record(capture, data[:500])
    record(capture, data[500:], epoch=1)
    capture.finish()

    with h5py.File(seal(capture)) as file:
        group = file["streams/amp.signal/pyramid"]
        levels = {name: group[name][:] for name in group}

    assert sorted(levels) == ["1024", "64"]
    for name, bins in levels.items():
        lows, highs = brute(data, np.arange(len(bins) + 1) * int(name))
        np.testing.assert_array_equal(bins[:, 0], lows)
        np.testing.assert_array_equal(bins[:, 1], highs)


def test_few_samples_and_texts_have_no_pyramid(
    capture: Capture, target: Path, chunk: MakeChunk, events: StreamInfo
) -> None:
    capture.append(chunk(0, 63))
    capture.append(chunk(0, 3, events))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        assert "pyramid" not in file["streams/amp.signal"]
        assert "pyramid" not in file["streams/box.events"]
    with open_recording(target) as recording:
        found = recording.streams["amp.signal"].envelope(0, 99, 2)
        assert found.rows.tolist() == [0, 31, 63]
        assert found.maximum[:, 0].tolist() == [30, 62]
        with pytest.raises(StreamFormatError, match="markers have no envelope"):
            recording.streams["box.events"].envelope(0, 3, 1)
        with pytest.raises(ValueError, match="0 pixels"):
            recording.streams["amp.signal"].envelope(0, 3, 0)
