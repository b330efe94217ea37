"""Stamps in NWB files: from the start of the session, and exact to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.recording import Capture, open_recording, seal
from rigmesh.recording._nwb_metadata import Clock
from rigmesh.streams import Chunk, ClockModel, Markers, Signal, StreamInfo, local_clock

MakeChunk = Callable[..., Chunk]

AMP = StreamInfo.signal("amp.signal", channels=1, sampling_rate=250)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.nwb"


def test_times_count_from_the_start_of_the_session(
    capture: Capture, target: Path, events: StreamInfo
) -> None:
    now = local_clock()
    capture.append(Signal(np.zeros((1000, 1)), now + np.arange(1000) / 250, info=AMP))
    capture.append(Markers(["a"], np.array([now + 1]), info=events))
    capture.note({"kind": "note", "time": now + 2, "text": "it sneezed"})
    capture.finish()

    with open_recording(target) as recording:
        created = recording.created
    seal(capture)

    with pynwb.NWBHDF5IO(target, "r") as io:
        file = io.read()
        start = file.session_start_time
        stamps = file.acquisition["amp.signal"].timestamps[:]
        happened = file.get_all_events()
    elapsed = now - created["local_clock"] + _seconds(created["utc"]) - start.timestamp()
    assert start.utcoffset() is not None
    assert 0 <= stamps[0] - elapsed + 1e-5 < 2e-5
    np.testing.assert_allclose(np.diff(stamps), 1 / 250, atol=1e-9)
    assert happened["annotation"].tolist() == ["a", "it sneezed"]
    np.testing.assert_allclose(happened.index, stamps[0] + [1, 2], atol=1e-9)


def _seconds(utc: str) -> float:
    return datetime.fromisoformat(utc).timestamp()


def test_stamps_that_came_while_it_was_recorded_need_no_second_column(
    capture: Capture, target: Path
) -> None:
    stamps = local_clock() + np.random.default_rng(7).uniform(-0.1, 1e5, 10_000)
    capture.append(Signal(np.zeros((10_000, 1)), stamps, info=AMP))
    capture.finish()

    seal(capture)

    with h5py.File(target) as file:
        assert "amp.signal.timestamps" not in file["scratch"]
        assert "amp.signal.raw_timestamps" not in file["scratch"]
    with open_recording(target) as recording:
        assert recording.streams["amp.signal"].timestamps[:].tobytes() == stamps.tobytes()


def test_stamps_of_another_age_are_kept_exactly_beside(capture: Capture, target: Path) -> None:
    stamps = np.random.default_rng(7).normal(size=100)
    capture.append(Signal(np.zeros((100, 1)), stamps, info=AMP))
    capture.finish()

    seal(capture)

    with pynwb.NWBHDF5IO(target, "r") as io:
        file = io.read()
        zero = json.loads(file.scratch["rigmesh_recording"].data)["zero"]
        assert file.scratch["amp.signal.timestamps"].data[:].tobytes() == stamps.tobytes()
        np.testing.assert_allclose(file.acquisition["amp.signal"].timestamps[:] + zero, stamps)


@given(zero=st.integers(0, 2**45), share=st.floats(0.5, 1e6))
def test_a_whole_second_can_be_taken_off_a_stamp_and_added_again(zero: int, share: float) -> None:
    clock = Clock(float(zero), datetime.now(UTC))
    stamp = np.array([share * clock.zero])

    again = clock.restored(clock.relative(stamp))

    assert again.tobytes() == stamp.tobytes() or stamp[0] >= 2**53


def test_stamps_of_another_clock_are_stored_raw_and_mapped(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    drifting = ClockModel(offset=-3.0, drift=1e-5, reference=100.0, uncertainty=1e-4)
    parts = chunk(0, 10), chunk(10, 20, clock=drifting), chunk(0, 5, epoch=1)
    for part in parts:
        capture.append(part)
    capture.finish()

    seal(capture)

    with pynwb.NWBHDF5IO(target, "r") as io:
        file = io.read()
        clocks = file.scratch["rigmesh_clocks"].to_dataframe()
        raw = file.scratch["amp.signal.raw_timestamps"].data[:]
    np.testing.assert_array_equal(raw, np.concatenate([p.raw_timestamps for p in parts]))
    assert clocks.iloc[0].tolist() == ["amp.signal", 10, -3.0, 1e-5, 100.0, 1e-4]
    assert clocks["row"].tolist() == [10, 20]
    with open_recording(target) as recording:
        found = recording.streams["amp.signal"].timestamps[:]
    np.testing.assert_array_equal(found, np.concatenate([p.timestamps for p in parts]))
