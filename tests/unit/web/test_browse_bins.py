"""Bins of signals in files that have none."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmesh.recording import RecordedStream
from rigmesh.streams import StreamInfo
from rigmesh.web import browse_bins
from rigmesh.web.browse_bins import BinCache, Bins, needs_bins


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> RecordedStream:
    monkeypatch.setattr(browse_bins, "AT_ONCE", 1000)
    info = StreamInfo.signal("amp", channels=2, sampling_rate=1000, dtype="int16")
    data = np.random.default_rng(0).integers(-500, 500, (70_001, 2)).astype(np.int16)
    stamps = np.arange(len(data)) / 1000
    return RecordedStream("amp", info, 1, data, stamps, stamps)


@contextmanager
def opened(stream: RecordedStream) -> Iterator[dict[str, RecordedStream]]:
    yield {"amp": stream}


def made(cache: BinCache, stream: RecordedStream, signature: Any = ("a", 1)) -> Bins:
    path = Path("session.nwb")
    bins = cache.get(path, signature, "amp", len(stream), lambda: opened(stream))
    deadline = time.monotonic() + 20
    while not bins.is_done:
        assert time.monotonic() < deadline, bins.error
        time.sleep(0.005)
    return bins


def test_bins_give_the_same_extremes_as_the_samples(stream: RecordedStream, tmp_path: Path) -> None:
    assert needs_bins(stream)
    cache = BinCache(tmp_path)
    binned = made(cache, stream).apply(stream)
    cache.close()

    unread = replace(binned, data=np.zeros((0, 2), np.int16), raw_timestamps=stream.timestamps)
    coarse = unread.envelope(0, 69_632, 17)
    fine, expected = binned.envelope(123, 69_990, 400), stream.envelope(123, 69_990, 400)
    assert coarse.minimum.min() == stream.data[:69_632].min()
    assert coarse.maximum.max() == stream.data[:69_632].max()
    assert fine.minimum.min() == expected.minimum.min()
    assert not needs_bins(binned)


def test_bins_are_made_once(stream: RecordedStream, tmp_path: Path) -> None:
    first = BinCache(tmp_path)
    made(first, stream)
    first.close()
    second = BinCache(tmp_path)

    found = second.get(Path("session.nwb"), ("a", 1), "amp", len(stream), lambda: opened(stream))
    other = second.get(Path("session.nwb"), ("a", 2), "amp", len(stream), lambda: opened(stream))

    assert found.is_done
    assert other.folder != found.folder
    second.close()


def test_a_cache_that_cannot_be_written_is_a_temporary_one(
    stream: RecordedStream, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    cache = BinCache(tmp_path / "file")
    bins = made(cache, stream)

    assert bins.file(0).exists()
    cache.close()
    assert not bins.folder.exists()


def test_what_was_looked_at_longest_ago_makes_room(
    stream: RecordedStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = BinCache(tmp_path)
    old = made(cache, stream)
    monkeypatch.setattr(browse_bins, "_MOST_BYTES", 10)
    new = made(cache, stream, ("a", 2))
    cache.close()

    assert not old.folder.exists()
    assert new.file(0).exists()


class Odd(Exception):
    """What no reader is known to raise."""


@contextmanager
def broken(error: Exception) -> Iterator[dict[str, RecordedStream]]:
    raise error
    yield {}


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [struct.error("unpack requires 4 bytes"), OSError("gone"), Odd()])
def test_a_file_that_cannot_be_read_is_told_and_the_next_one_gets_its_bins(
    stream: RecordedStream, tmp_path: Path, error: Exception
) -> None:
    cache = BinCache(tmp_path)
    bins = cache.get(Path("b.nwb"), ("b", 1), "amp", len(stream), lambda: broken(error))
    wait(lambda: bins.error)

    assert not bins.is_done
    if not isinstance(error, Odd):
        assert str(error) in bins.error
    assert made(cache, stream).error == ""
    cache.close()


def test_what_failed_is_tried_again(stream: RecordedStream, tmp_path: Path) -> None:
    cache = BinCache(tmp_path)
    full = OSError("no space left on device")
    bins = cache.get(Path("session.nwb"), ("a", 1), "amp", len(stream), lambda: broken(full))
    wait(lambda: bins.error)

    again = made(cache, stream, ("a", 1))

    assert again.is_done
    cache.close()
