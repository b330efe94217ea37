"""Recordings into XDF that are interrupted: killed while they grow or are sealed, cut, damaged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyxdf
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recording.killed import (
    ATTEMPTS,
    check_gone_on_with,
    check_recovered,
    killed_recorder,
    sealing_dies_at_byte,
    sealing_dies_at_share,
)

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, open_recording, read_info, recover, seal
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, StreamInfo

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.xdf"


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_killed_recorder_loses_nothing_it_had_reported(target: Path, attempt: int) -> None:
    promised = killed_recorder(target, "xdf", n_commits=random.Random(attempt).randint(1, 60))

    check_recovered(target, promised)
    _check_that_pyxdf_agrees(target)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_recorder_killed_within_a_write_loses_nothing_it_had_reported(
    target: Path, attempt: int
) -> None:
    limit = random.Random(attempt).randint(5_000, 1_000_000)

    promised = killed_recorder(target, "xdf", limit=limit)

    check_recovered(target, promised)
    _check_that_pyxdf_agrees(target)


def test_a_killed_recorder_is_gone_on_with(target: Path, chunk: MakeChunk) -> None:
    check_gone_on_with(target, "xdf", chunk)


@pytest.fixture
def large(target: Path, chunk: MakeChunk) -> Path:
    """A finished capture of 600,000 samples, 21 MB."""
    capture = Capture.create(target, "run-1", {}, "xdf")
    for start in range(0, 600_000, 50_000):
        capture.append(chunk(start, start + 50_000))
    capture.finish({"amp.signal": {0: (0, 600_000)}})
    return capture.folder


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_within_a_write_loses_nothing(
    large: Path, target: Path, in_child: InChild, attempt: int
) -> None:
    limit = random.Random(attempt).randint(1, 10_000_000)

    status = in_child(sealing_dies_at_byte(large, limit))
    recover(target)

    assert status == -signal.SIGXFSZ
    _check_large(target)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_at_any_time_loses_nothing(
    large: Path, target: Path, in_child: InChild, attempt: int
) -> None:
    status = in_child(sealing_dies_at_share(large, random.Random(attempt).uniform(0, 0.95)))
    recover(target)

    assert status == -signal.SIGKILL
    _check_large(target)


def _check_large(target: Path) -> None:
    assert read_info(target).verdict == "OK"
    with open_recording(target) as recording:
        numbers = recording.streams["amp.signal"].data[:][:, 0]
    assert (numbers == range(600_000)).all()
    assert list(target.parent.iterdir()) == [target]


def _check_that_pyxdf_agrees(path: Path) -> None:
    loaded, _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    with open_recording(path) as recording:
        for one in loaded:
            stream = recording.streams[one["info"]["name"][0]]
            np.testing.assert_array_equal(one["time_stamps"], stream.timestamps[:])
            if stream.info.dtype == "text":
                assert [row[0] for row in one["time_series"]] == list(stream.data[:])
            else:
                np.testing.assert_array_equal(one["time_series"], stream.data[:])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, chunk: MakeChunk, events: StreamInfo) -> bytes:
    """A file of 40 s in two epochs, with gaps, clocks and 40 texts."""
    path = tmp_path_factory.mktemp("whole") / "session.xdf"
    capture = Capture.create(path, "run-1", {"graph": {"é": [1, None]}}, "xdf")
    clock = ClockModel(offset=7.0, drift=1e-5, reference=100.0, uncertainty=1e-4)
    capture.append(chunk(0, 20_000, clock=clock))
    for n in range(40):
        capture.append(chunk(n, n + 1, events))
    capture.append(chunk(0, 20_000, epoch=1, gaps=(Gap(Cause.RESTART, 1, 0, 7, 0.007, False),)))
    capture.note({"kind": "note", "time": 1.0, "text": "<&µ>"})
    capture.finish()
    return seal(capture).read_bytes()


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_a_file_that_was_cut_is_refused(whole: bytes, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.xdf"
        path.write_bytes(whole[: int(share * len(whole))])

        with pytest.raises(RecordingError, match=r"cut\.xdf"):
            read_info(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_pyxdf_reads_what_is_left_of_a_file_that_was_cut(
    whole: bytes, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "cut.xdf"
    path.write_bytes(whole[: int(share * len(whole))])

    loaded, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)

    numbers = next(one for one in loaded if one["info"]["name"] == ["amp.signal"])["time_series"]
    first = numbers[:20_000, 0].tolist()
    assert first == list(range(len(first)))
    # Of the chunk that was cut, pyxdf keeps nothing: at most 2 s of either stream.
    assert len(numbers) >= 40_000 * share - 3000


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused(whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole)
    # Half of the places in what is not samples, of which most of the file consists.
    ends = [*range(4000), *range(len(content) - 4000, len(content))]
    places = st.one_of(st.sampled_from(ends), st.integers(0, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(places)] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.xdf"
        path.write_bytes(content)

        with contextlib.suppress(RecordingError):
            _read_all(path)


def _read_all(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numbers may overflow, being others
        read_info(path)
        with open_recording(path) as recording:
            for stream in recording.streams.values():
                for rows in (stream.data, stream.timestamps, stream.raw_timestamps):
                    assert len(rows[:]) == len(stream)
                    assert len(rows[5:17:3]) <= 4


@pytest.mark.soak
@given(seed=st.integers(0, 2**32))
@settings(max_examples=2000, deadline=None)
def test_many_damaged_files_are_read_or_refused(whole: bytes, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(whole)
    for _ in range(chance.randint(1, 20)):
        at = chance.randrange(len(content))
        if chance.random() < 0.7:
            at = chance.choice([at % 4000, len(content) - 1 - at % 4000])
        content[at] = chance.randrange(256)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.xdf"
        path.write_bytes(content)
        if chance.random() < 0.2:
            os.truncate(path, chance.randrange(len(content)))

        with contextlib.suppress(RecordingError):
            _read_all(path)
