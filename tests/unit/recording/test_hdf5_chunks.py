"""How samples lie in the file: in which chunks, compressed or not, always for any reader."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording import Capture, open_recording, seal
from rigmesh.recording._hdf5_chunks import ChunkedRows, ChunkedWriter, chunk_shape
from rigmesh.recording._hdf5_deflate import encode, shrinking
from rigmesh.streams import Chunk, Frames, Signal, StreamInfo

MakeChunk = Callable[..., Chunk]
Array = npt.NDArray[Any]


def sealed(path: Path, data: Array, options: dict[str, Any]) -> Path:
    capture = Capture.create(path, "run-1", {}, "hdf5", options)
    info = StreamInfo.signal(
        "amp.signal", channels=data.shape[1], sampling_rate=1000, dtype=data.dtype.name
    )
    capture.append(Signal(data, np.arange(len(data)) / 1000, info=info))
    capture.finish()
    return seal(capture)


def smooth(n: int, n_channels: int = 2) -> Array:
    return np.broadcast_to((np.arange(n) // 100 % 200)[:, None], (n, n_channels)).astype("int16")


def noisy(n: int, n_channels: int = 2, dtype: str = "int16") -> Array:
    size = n * n_channels * np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(7).bytes(size), dtype).reshape(n, n_channels)


@pytest.mark.parametrize(
    ("asked", "content", "found"),
    [
        ("auto", smooth, "gzip"),
        ("auto", noisy, None),
        ("none", smooth, None),
        ("deflate", smooth, "gzip"),
        ("deflate", noisy, "gzip"),
        (True, noisy, "gzip"),
        (False, smooth, None),
    ],
)
def test_samples_are_compressed_where_it_pays_or_as_asked(
    target: Path, asked: object, content: Callable[[int], Array], found: str | None
) -> None:
    data = content(100_000)

    sealed(target, data, {"compression": asked})

    with h5py.File(target) as file:
        stored = file["streams/amp.signal/data"]
        assert stored.compression == found
        assert stored.shuffle is (found == "gzip")
        np.testing.assert_array_equal(stored[:], data)


def test_what_pays_is_compressed_if_nothing_is_asked(target: Path) -> None:
    sealed(target, smooth(100_000), {})

    with h5py.File(target) as file:
        data = file["streams/amp.signal/data"]
        assert data.id.get_storage_size() < data.nbytes / 4


def test_an_unknown_compression_is_refused_and_nothing_lost(target: Path) -> None:
    with pytest.raises(UnknownName, match="deflate"):
        sealed(target, smooth(10), {"compression": "deflated"})

    assert target.with_name("session.h5.capture").is_dir()


def test_low_bytes_that_are_noise_are_stored_and_the_high_ones_compressed() -> None:
    values = noisy(100_000, 1, "uint8").astype("int16")  # the high byte is always 0

    encoded = encode(values, shrinking(values))

    assert 100_000 < len(encoded) < 101_000
    assert zlib.decompress(encoded) == values.view(np.uint8).reshape(-1, 2).T.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "int16", "int32", "float64"]),
    n=st.integers(1, 90),
    width=st.integers(1, 9),
    chunk=st.tuples(st.integers(1, 40), st.integers(1, 9)),
    compression=st.sampled_from(["none", "deflate"]),
    pieces=st.lists(st.integers(1, 50)),
    reads=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), max_size=5),
)
def test_rows_come_back_however_they_are_cut_written_and_read(
    dtype: str,
    n: int,
    width: int,
    chunk: tuple[int, int],
    compression: str,
    pieces: list[int],
    reads: list[tuple[int, int]],
) -> None:
    data = noisy(n, width, dtype)
    shape = (min(n, chunk[0]), min(width, chunk[1]))
    memory = h5py.File.in_memory()
    with memory as file, ThreadPoolExecutor(2) as pool:
        writer = ChunkedWriter(file, "x", data.shape, data.dtype, shape, compression, pool)
        at = 0
        for piece in [*pieces, n]:
            writer.append(data[at : at + piece])
            at += piece
        writer.finish()
        stored = file["x"]
        rows = ChunkedRows(stored, pool)

        assert stored.chunks == shape
        assert stored[:].tobytes() == data.tobytes()
        assert ChunkedRows.can_read(stored)
        for start, stop in [*reads, (0, n)]:
            assert rows[start:stop].tobytes() == data[start:stop].tobytes()
            assert rows[start:stop:3].tobytes() == data[start:stop:3].tobytes()


def test_fewer_rows_than_there_should_be_are_noticed() -> None:
    with h5py.File.in_memory() as file, ThreadPoolExecutor(1) as pool:
        writer = ChunkedWriter(file, "x", (10, 2), np.dtype("<i2"), (4, 2), "none", pool)
        writer.append(noisy(9))
        with pytest.raises(RecordingError, match="9 rows were read where 10 should be"):
            writer.finish()


@pytest.mark.parametrize(
    ("dtype", "shape", "divided", "expected"),
    [
        ("int16", (384,), True, (4096, 64)),
        ("int16", (1024,), True, (4096, 64)),
        ("int16", (32,), True, (8192, 32)),
        ("int16", (100,), True, (4096, 50)),
        ("int16", (1,), True, (262144, 1)),
        ("float64", (), True, (65536,)),
        ("float32", (64,), True, (2048, 64)),
        ("int16", (20_000,), True, (256, 1000)),
        ("int16", (2, 384), True, (2048, 2, 64)),
        ("uint8", (48, 64, 3), False, (32, 48, 64, 3)),
        ("uint8", (1080, 1920, 3), False, (1, 1080, 1920, 3)),
    ],
)
def test_a_chunk_has_half_a_megabyte_and_a_share_of_the_channels(
    dtype: str, shape: tuple[int, ...], divided: bool, expected: tuple[int, ...]
) -> None:
    assert chunk_shape(10**9, np.dtype(dtype), shape, is_divided=divided) == expected


@pytest.mark.parametrize("n_channels", [1, 63, 65, 200, 3000])
@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_any_number_of_channels_comes_back(target: Path, n_channels: int, compression: str) -> None:
    data = noisy(3000, n_channels)

    sealed(target, data, {"compression": compression})

    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["streams/amp.signal/data"][:], data)
    with open_recording(target) as recording:
        rows = recording.streams["amp.signal"].data
        np.testing.assert_array_equal(rows[11:2999], data[11:2999])


def test_frames_are_compressed_and_come_back(target: Path) -> None:
    info = StreamInfo.frames("camera.frames", shape=(48, 64, 3), sampling_rate=30)
    pictures = np.zeros((200, 48, 64, 3), np.uint8)
    pictures[:, 5] = np.arange(200, dtype=np.uint8)[:, None, None]
    capture = Capture.create(target, "run-1", {})
    capture.append(Frames(pictures, np.arange(200) / 30, info=info))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        stored = file["streams/camera.frames/data"]
        assert (stored.compression, stored.shuffle) == ("gzip", False)
        np.testing.assert_array_equal(stored[:], pictures)
    with open_recording(target) as recording:
        found = recording.streams["camera.frames"].data[70:150]
        np.testing.assert_array_equal(found, pictures[70:150])


def test_chunks_for_which_the_library_skipped_a_filter_are_read(tmp_path: Path) -> None:
    data = noisy(400, 4)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        stored = file.create_dataset(
            "x", data.shape, data.dtype, chunks=(100, 3), shuffle=True, compression="gzip"
        )
        stored[:] = data
        part = np.ascontiguousarray(data[100:200, :3])
        stored.id.write_direct_chunk((100, 0), part, filter_mask=0b11)

    with h5py.File(tmp_path / "other.h5") as file, ThreadPoolExecutor(1) as pool:
        rows = ChunkedRows(file["x"], pool)
        np.testing.assert_array_equal(rows[150:250], data[150:250])


def test_datasets_with_other_filters_are_left_to_the_library(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        plain = file.create_dataset("plain", data=np.arange(10))
        summed = file.create_dataset("sum", data=np.arange(9), compression="gzip", fletcher32=True)
        other = file.create_dataset("lzf", data=np.arange(9), compression="lzf", shuffle=True)

        assert not any(map(ChunkedRows.can_read, (plain, summed, other)))


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip", "shuffle": True}])
def test_chunks_that_nobody_wrote_are_the_fill_value(
    tmp_path: Path, filters: dict[str, Any]
) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file, ThreadPoolExecutor(1) as pool:
        stored = file.create_dataset("x", (50, 4), "<i2", chunks=(10, 2), fillvalue=7, **filters)
        stored[15:17] = 3

        np.testing.assert_array_equal(ChunkedRows(stored, pool)[:], stored[:])


def test_a_damaged_chunk_is_not_read_as_samples(target: Path) -> None:
    data = smooth(200_000, 64)
    sealed(target, data, {"compression": "deflate"})
    with h5py.File(target) as file:
        found = file["streams/amp.signal/data"].id.get_chunk_info(3)
    content = bytearray(target.read_bytes())
    content[found.byte_offset + found.size // 2] ^= 0xFF
    target.write_bytes(content)

    with (
        open_recording(target) as recording,
        pytest.raises(RecordingError, match="rows from 12288 on are damaged"),
    ):
        recording.streams["amp.signal"].data[:]


@pytest.mark.skipif(not importlib.util.find_spec("isal"), reason="there is only one encoder")
def test_both_encoders_read_each_other(tmp_path: Path) -> None:
    data = np.vstack((smooth(30_000, 64), noisy(30_000, 64)))
    np.save(tmp_path / "data.npy", data)
    code = f"""
import sys
sys.modules["isal"] = None
import numpy as np
from rigmesh.recording import _hdf5_deflate
assert _hdf5_deflate.fast.__name__ == "zlib"
data = np.load("{tmp_path / "data.npy"}")
sys.stdout.buffer.write(_hdf5_deflate.encode(data, _hdf5_deflate.shrinking(data)))
"""
    slow = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    from isal import isal_zlib

    shuffled = data.reshape(-1).view(np.uint8).reshape(-1, 2).T.tobytes()
    assert isal_zlib.decompress(slow) == zlib.decompress(encode(data, shrinking(data))) == shuffled
