from __future__ import annotations

from functools import cache, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import butter, find_peaks, freqz_sos, sosfiltfilt
from tests.shared_data import shared_data

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, chunked, run
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes._detect_peaks import PeakFinder, _peak
from rigmesh_nodes.detectors import PeakDetector
from rigmesh_nodes.filters import BandPass

Values = npt.NDArray[np.float64]
RATE = 200


def signal(values: Values, *, rate: float = RATE, dtype: str = "float64") -> Signal:
    info = StreamInfo.signal(
        "band.filtered", channels=["ECG"], sampling_rate=rate, unit="mV", dtype=dtype
    )
    return Signal(values.astype(dtype)[:, None], np.arange(len(values)) / rate, info=info)


def beats(*times: float, seconds: float = 30.0, height: float = 1.0, ripple: float = 0.1) -> Signal:
    """Peaks 50 ms wide upon a sine of 7 Hz; one a second unless times are given."""
    stamps = np.arange(round(seconds * RATE)) / RATE
    values = ripple * np.sin(2 * np.pi * 7 * stamps)
    for time in times or np.arange(0.5, seconds):
        values += height * np.exp(-0.5 * ((stamps - time) / 0.02) ** 2)
    return signal(values)


class TestPeakDetector(NodeTests):
    make = partial(PeakDetector, learning=1, text="{value} {interval} {time} {index}")
    feed = beats(seconds=8)


class TestPeakDetectorOfMinima(NodeTests):
    make = partial(PeakDetector, polarity="minima", learning=0.5, refractory=0.1, share=0.5)
    feed = signal(np.random.default_rng(1).normal(size=1500), dtype="float32")


def times_of(node: PeakDetector, *chunks: Chunk) -> Values:
    markers = run(node, list(chunks))
    return np.empty(0) if markers is None else np.asarray(markers.raw_timestamps)


# --- a real heart -------------------------------------------------------------------------------


@cache
def heart() -> tuple[Signal, Values]:
    """An ECG, and its R peaks as an offline detector without a phase shift finds them."""
    with np.load(shared_data() / "physio" / "physio.npz") as recorded:
        ecg, rate = recorded["ecg"].astype(np.float64), float(recorded["ecg_rate"])
    filtered = sosfiltfilt(butter(2, (5, 20), "bandpass", fs=rate, output="sos"), ecg)
    peaks, _ = find_peaks(filtered, height=0.04, distance=round(0.5 * rate))
    return signal(ecg, rate=rate), peaks / rate


def delay_of(low: float, high: float, order: int, *, rate: float, at: float) -> float:
    """Group delay of a band-pass at a frequency, in seconds."""
    sos = butter(order, (low, high), "bandpass", fs=rate, output="sos")
    _, response = freqz_sos(sos, worN=[at - 0.01, at + 0.01], fs=rate)
    turned = np.diff(np.unwrap(np.angle(response)))[0]
    return float(-turned / (2 * np.pi * 0.02))


def test_the_offline_detector_is_sure_of_the_heart() -> None:
    _, peaks = heart()

    intervals = np.diff(peaks)
    assert len(peaks) == 69
    assert intervals.min() > 0.6
    assert intervals.max() < 1.1


@pytest.mark.parametrize("order", [1, 2])
def test_r_peaks_are_those_that_a_zero_phase_offline_detector_finds(order: int) -> None:
    ecg, peaks = heart()
    node = PeakDetector()

    filtered = run(BandPass(low=5, high=20, order=order), chunked(ecg, 20))
    found = times_of(node, *chunked(filtered, 20))

    found = found - delay_of(5, 20, order, rate=1000, at=10)
    expected = peaks[peaks > node.learning]
    is_near = np.abs(found[:, None] - peaks) <= 0.05
    assert is_near[:, peaks > node.learning].any(axis=0).mean() >= 0.99
    assert is_near.any(axis=1).mean() >= 0.99
    assert len(expected) >= 66


# --- thresholds ---------------------------------------------------------------------------------


def test_peaks_are_stamped_with_their_highest_sample() -> None:
    times = times_of(PeakDetector(), beats())

    np.testing.assert_allclose(times, np.arange(2.5, 30), atol=0.011)


def test_minima_are_found_in_a_signal_that_is_turned_over() -> None:
    feed = beats()
    upside_down = Signal(-feed.data, feed.raw_timestamps, info=feed.info)

    np.testing.assert_array_equal(
        times_of(PeakDetector(polarity="minima"), upside_down), times_of(PeakDetector(), feed)
    )


def test_the_threshold_follows_peaks_that_become_small() -> None:
    feed = beats(seconds=60)
    feed.data[:] *= np.exp(-feed.raw_timestamps / 15)[:, None]

    times = times_of(PeakDetector(), feed)

    assert len(times) == 58


def test_a_threshold_that_is_far_too_high_comes_down() -> None:
    feed = beats(seconds=30)
    feed.data[100:105] = 1000.0

    times = times_of(PeakDetector(), feed)

    assert len(times) > 5
    np.testing.assert_allclose(times % 1, 0.5, atol=0.011)


def test_no_peak_follows_within_the_refractory_time() -> None:
    feed = beats(*np.arange(0.5, 30), *(np.arange(0.5, 30) + 0.3))

    wide, narrow = times_of(PeakDetector(), feed), times_of(PeakDetector(refractory=0.2), feed)

    assert len(wide) == 28
    assert len(narrow) == 56


def test_a_silent_signal_has_no_peaks() -> None:
    assert len(times_of(PeakDetector(), signal(np.zeros(2000)))) == 0


# --- what is missing or not finite --------------------------------------------------------------


def test_values_that_are_not_finite_neither_fire_nor_kill_and_are_counted() -> None:
    feed = beats()
    feed.data[2000:2010] = np.nan
    feed.data[3010] = np.inf
    feed.data[3020] = -1e200
    node = PeakDetector()

    times = times_of(node, feed)

    assert node.n_not_finite == 12
    np.testing.assert_allclose(times, np.arange(2.5, 30), atol=0.011)


def test_a_peak_next_to_missing_samples_is_let_go() -> None:
    feed = beats(seconds=20)
    edge = 2101  # just past the peak at 10.5 s
    gap = Gap(Cause.DEVICE, 0, edge + 60, 60)
    before = Signal(feed.data[:edge], feed.raw_timestamps[:edge], info=feed.info)
    after = Signal(
        feed.data[edge + 60 :], feed.raw_timestamps[edge + 60 :], index=edge + 60, gaps=(gap,),
        info=feed.info,
    )  # fmt: skip

    times = times_of(PeakDetector(text="{index}"), before, after)

    expected = np.delete(np.arange(2.5, 20), 8)
    np.testing.assert_allclose(times, expected, atol=0.011)


# --- the rest -----------------------------------------------------------------------------------


def test_a_text_tells_height_interval_and_index() -> None:
    feed = beats(ripple=0.0, height=2.0)
    feed.index = 1000

    markers = run(PeakDetector(text="{value} {interval} {index}"), chunked(feed, 9))

    value, interval, index = markers.data[-1].split()
    assert float(value) == pytest.approx(2.0, rel=0.01)
    assert float(interval) == pytest.approx(1.0, rel=0.01)
    assert int(index) == 1000 + round(markers.raw_timestamps[-1] * RATE)


def test_markers_keep_the_clock_of_the_signal() -> None:
    feed = beats()
    feed.clock = ClockModel(offset=100.0)

    markers = run(PeakDetector(), feed)

    np.testing.assert_allclose(markers.timestamps, markers.raw_timestamps + 100)


def started(polarity: Literal["maxima", "minima"] = "maxima") -> PeakDetector:
    node = PeakDetector(polarity=polarity)
    feed = beats()
    node.signal.links.append(InputLink("band.filtered", info=feed.info))
    node.prepare()
    node.process(feed)
    return node


def test_states_tell_threshold_interval_and_count() -> None:
    node = started()

    assert 0.1 < node.threshold < 0.5
    assert node.interval == pytest.approx(1.0, rel=0.01)
    assert node.n_peaks == 28


def test_a_reset_learns_anew() -> None:
    node = started()

    node.reset()

    assert (node.threshold, node.interval) == (0.0, 0.0)
    markers = node.process(beats())
    assert markers is not None
    assert markers.raw_timestamps[0] > 2.0


def test_an_irregular_signal_is_refused() -> None:
    feed: Any = beats(seconds=1)
    feed.info = StreamInfo.signal("slow.values", channels=1, sampling_rate=0)

    with pytest.raises(NodeError, match=r"takes a regular signal; slow\.values is irregular"):
        run(PeakDetector(), feed)


def test_the_finder_runs_without_a_compiler() -> None:
    feed = beats(seconds=6)
    compiled, plain = PeakFinder(RATE, 1.0), PeakFinder(RATE, 1.0)
    plain._peak = _peak.function

    expected = compiled.find(feed.data[:, 0], feed.raw_timestamps)
    by_python = plain.find(feed.data[:, 0], feed.raw_timestamps)

    assert len(expected) == 5
    np.testing.assert_array_equal(by_python, expected)
