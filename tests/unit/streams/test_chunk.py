"""Chunks: what they hold, and what they can be part of."""

from __future__ import annotations

import numpy as np
import pytest

from rigmesh.errors import StreamFormatError
from rigmesh.streams import Cause, Chunk, ClockModel, Frames, Gap, Markers, Signal, StreamInfo

INFO = StreamInfo.signal("node.out", channels=2, sampling_rate=100.0, dtype="float32")


def signal(n: int = 3) -> Signal:
    return Signal(np.zeros((n, 2), np.float32), np.arange(n, dtype=np.float64))


def test_a_chunk_counts_its_samples() -> None:
    chunk = signal(3)
    chunk.index = 10

    assert (len(chunk), chunk.stop) == (3, 13)


def test_stamps_of_the_local_clock_are_handed_out_as_they_are() -> None:
    chunk = signal()

    assert chunk.timestamps is chunk.raw_timestamps


def test_stamps_of_another_clock_are_mapped() -> None:
    chunk = signal()
    chunk.clock = ClockModel(offset=5.0)

    np.testing.assert_array_equal(chunk.timestamps, [5.0, 6.0, 7.0])
    np.testing.assert_array_equal(chunk.raw_timestamps, [0.0, 1.0, 2.0])


def test_other_data_keep_the_times_and_the_clock_but_no_number() -> None:
    chunk = signal()
    chunk.index, chunk.epoch, chunk.clock = 10, 2, ClockModel(offset=5.0)
    chunk.gaps, chunk.info = (Gap(Cause.DEVICE, 2, 10, 1),), INFO

    other = chunk.with_data(np.ones((3, 1)))

    assert other.raw_timestamps is chunk.raw_timestamps
    assert other.clock == chunk.clock
    assert (other.index, other.epoch, other.gaps, other.info) == (0, 0, (), None)


@pytest.mark.parametrize(
    "chunk",
    [
        signal(),
        Markers.at([1, 2], ["go", "stop"]),
        Frames(np.zeros((1, 4, 5), np.uint8), np.zeros(1)),
    ],
)
def test_a_copy_owns_its_memory_and_keeps_everything(chunk: Chunk) -> None:
    chunk.index, chunk.epoch, chunk.clock = 10, 2, ClockModel(offset=5.0)
    chunk.gaps, chunk.info = (Gap(Cause.DEVICE, 2, 10, 1),), INFO

    copied = chunk.copy()

    assert type(copied) is type(chunk)
    assert copied.data is not chunk.data
    assert not np.shares_memory(copied.raw_timestamps, chunk.raw_timestamps)
    for name in ("index", "epoch", "clock", "gaps", "info"):
        assert getattr(copied, name) == getattr(chunk, name)


def test_a_chunk_takes_no_attribute_by_mistake() -> None:
    with pytest.raises(AttributeError):
        signal().timestamp = 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (Markers.at([1], ["go"]), "node.out gives signal, but was handed a Markers chunk"),
        (Signal(np.zeros((3, 2), np.float32), np.zeros(2)), "3 samples, 2 timestamps"),
        (Signal(np.zeros((3, 4), np.float32), np.zeros(3)), r"samples of shape \(4,\)"),
        (Signal(np.zeros((3, 2)), np.zeros(3)), "the chunk has float64 samples"),
        (Signal(np.zeros(3, np.float32), np.zeros(3)), r"samples of shape \(\)"),
    ],
)
def test_a_chunk_that_does_not_fit_its_stream_is_refused(chunk: Chunk, message: str) -> None:
    with pytest.raises(StreamFormatError, match=message):
        chunk.check(INFO)


def test_a_chunk_that_fits_is_accepted() -> None:
    signal().check(INFO)


def test_a_chunk_says_what_it_is() -> None:
    chunk = signal(3)
    chunk.index, chunk.epoch, chunk.info = 10, 2, INFO

    assert repr(chunk) == "<Signal node.out [2:10:13]>"
    assert repr(signal(1)) == "<Signal ? [0:0:1]>"
