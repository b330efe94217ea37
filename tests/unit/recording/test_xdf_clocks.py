"""Raw stamps in an XDF file, mapped onto the local clock by pyxdf as by us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyxdf

from rigmesh.clocks.estimate import ClockEstimator
from rigmesh.clocks.probe import Probe
from rigmesh.recording import Capture, open_recording, seal
from rigmesh.streams import ClockModel, Signal, StreamInfo

INFO = StreamInfo.signal("amp.signal", channels=1, sampling_rate=100)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.xdf"


def mapped(path: Path) -> tuple[dict[str, Any], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what pyxdf loads, its local stamps, and ours."""
    (loaded,), _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    with open_recording(path) as recording:
        return loaded, loaded["time_stamps"], recording.streams["amp.signal"].timestamps[:]


def record(
    path: Path, begin: float, seconds: int, clock_at: Callable[[float], ClockModel]
) -> list[ClockModel]:
    """Record some seconds of a clock whose model changes every 2 s; return the models."""
    capture = Capture.create(path, "run-1", {}, "xdf")
    models = []
    for second in range(0, seconds, 2):
        stamps = begin + second + np.arange(200) / 100
        models.append(clock_at(stamps[0]))
        capture.append(
            Signal(np.zeros((200, 1)), stamps, index=100 * second, info=INFO, clock=models[-1])
        )
    capture.finish()
    seal(capture)
    return models


def test_stamps_of_the_local_clock_stay_as_they_are(target: Path) -> None:
    record(target, 1e5, 30, lambda _: ClockModel())

    loaded, theirs, ours = mapped(target)

    assert theirs.tobytes() == ours.tobytes()
    assert set(loaded["clock_values"]) == {0.0}
    times = loaded["clock_times"]
    assert (times[0], times[-1]) == (1e5, 1e5 + 29.99)
    assert np.diff(times).max() < 7.1


@pytest.mark.parametrize(("begin", "offset"), [(100.0, 0.003), (1e5, -7e4), (50.0, 2e6)])
@pytest.mark.parametrize(
    ("drift", "settled"),
    # In the first 10 s our models do not know the drift yet; pyxdf knows the whole recording.
    [(0.0, 0), (20e-6, 0), (-50e-6, 1000), (-200e-6, 1000)],
)
def test_pyxdf_maps_stamps_as_we_do_within_the_uncertainty(
    target: Path, begin: float, offset: float, drift: float, settled: int
) -> None:
    random = np.random.default_rng(3)
    estimator = ClockEstimator()

    def clock_at(raw: float) -> ClockModel:
        """Measure as an inlet does: with round trips of 0.1 to 1 ms, not the same both ways."""
        local = raw + offset + drift * (raw - begin)
        there, back = random.uniform(50e-6, 500e-6, 2)
        times = (local - there, raw, raw, local + back)
        return estimator.add([Probe(*(round(time * 1e9) for time in times))]).model()

    models = record(target, begin, 120, clock_at)

    _, theirs, ours = mapped(target)
    uncertainty = np.repeat([model.uncertainty for model in models], 200)
    assert (np.abs(theirs - ours) <= uncertainty)[settled:].all()
    raw = begin + np.arange(12_000) / 100
    truth = raw + offset + drift * (raw - begin)
    assert (np.abs(theirs - truth) <= 500e-6).all()


def test_pyxdf_sees_that_the_clock_was_reset(target: Path) -> None:
    capture = Capture.create(target, "run-1", {}, "xdf")
    for epoch, (begin, offset) in enumerate([(5000.0, 3.0), (20.0, 5083.0)]):
        clock = ClockModel(offset, 1e-5, begin, 1e-4)
        stamps = begin + np.arange(6000) / 100
        capture.append(Signal(np.zeros((6000, 1)), stamps, epoch=epoch, info=INFO, clock=clock))
    capture.finish()
    seal(capture)

    loaded, theirs, ours = mapped(target)

    assert loaded["info"]["clock_segments"] == [(0, 5999), (6000, 11_999)]
    assert np.abs(theirs - ours).max() < 1e-5


def test_a_single_sample_has_its_offset(target: Path) -> None:
    capture = Capture.create(target, "run-1", {}, "xdf")
    clock = ClockModel(offset=2.0)
    capture.append(Signal(np.zeros((1, 1)), np.array([7.0]), info=INFO, clock=clock))
    capture.finish()
    seal(capture)

    loaded, theirs, ours = mapped(target)

    assert theirs.tolist() == ours.tolist() == [9.0]
    assert loaded["footer"]["info"]["clock_offsets"][0]["offset"] == [
        {"time": ["7.0"], "value": ["2.0"]}
    ]


def test_stamps_that_are_none_have_no_offset(target: Path) -> None:
    capture = Capture.create(target, "run-1", {}, "xdf")
    stamps = np.array([np.nan, np.inf, 3.0, np.nan])
    capture.append(Signal(np.zeros((4, 1)), stamps, info=INFO, clock=ClockModel(offset=2.0)))
    capture.finish()
    seal(capture)

    loaded, _, ours = mapped(target)

    assert np.isfinite(loaded["clock_times"]).all()
    assert ours[2] == 5.0
