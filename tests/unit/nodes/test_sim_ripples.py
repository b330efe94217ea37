from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt, welch

from rigmesh.errors import NodeError
from rigmesh.node.testing import TestRuntime, collect, run
from rigmesh.streams import Chunk, local_clock
from rigmesh_nodes._sim_ripples import RippleTrain, Rippling
from rigmesh_nodes.sim import Ripples

RATE = 1250


def simulated(seconds: float, **parameters: Any) -> dict[str, Any]:
    settings = {"chunk_duration": 500.0, "seed": 5} | parameters
    rate = settings.get("sampling_rate", RATE)
    result: dict[str, Any] = run(Ripples(paced=False, n_samples=round(seconds * rate), **settings))
    return result


def times_of(truth: Chunk, what: str) -> list[float]:
    return [
        float(time)
        for time, text in zip(truth.raw_timestamps, truth.data, strict=True)
        if text.startswith(what)
    ]


# --- determinism --------------------------------------------------------------------------------


@pytest.mark.parametrize("milliseconds", [1, 30, 1700])
def test_the_chunks_change_neither_signal_nor_truth(milliseconds: float) -> None:
    whole = simulated(5, chunk_duration=60_000)

    pieces = simulated(5, chunk_duration=milliseconds)

    np.testing.assert_array_equal(pieces["signal"].data, whole["signal"].data)
    np.testing.assert_array_equal(pieces["truth"].raw_timestamps, whole["truth"].raw_timestamps)
    assert pieces["truth"].data == whole["truth"].data


def test_another_seed_makes_other_noise_and_other_times() -> None:
    one, other = simulated(20, seed=1), simulated(20, seed=2)

    assert not np.array_equal(one["signal"].data, other["signal"].data)
    assert times_of(one["truth"], "peak") != times_of(other["truth"], "peak")


def test_a_paced_device_goes_on_where_its_count_is_by_now() -> None:
    runtime = TestRuntime(context={"resumed": True})
    runtime.run_start = local_clock() - 30.0
    node = Ripples(n_samples=25, seed=5, rate=20, duration=10)

    found = collect(node, runtime=runtime)

    first = node.signal.device_index
    assert first is not None
    assert first >= 30 * RATE
    whole = simulated((first + 25) / RATE, rate=20, duration=10)
    data = np.concatenate([chunk.data for chunk in found["signal"].chunks])
    np.testing.assert_array_equal(data, whole["signal"].data[-25:])
    begin = first / RATE - 1e-9
    expected = [
        text
        for time, text in zip(whole["truth"].raw_timestamps, whole["truth"].data, strict=True)
        if time >= begin
    ]
    assert [text for chunk in found["truth"].chunks for text in chunk.data] == expected


def test_an_endless_device_stops_when_it_is_told() -> None:
    found: dict[str, Any] = run(Ripples(paced=False), max_samples=40)

    assert len(found["signal"]) >= 40


# --- the truth ----------------------------------------------------------------------------------


def test_every_stretch_has_a_ripple_that_is_numbered_and_stamped_like_its_samples() -> None:
    made = simulated(60, rate=2)

    truth = made["truth"]
    assert truth.data == [f"{what} {n}" for n in range(120) for what in ("onset", "peak")]
    assert set(truth.raw_timestamps) <= set(made["signal"].raw_timestamps)
    peaks = np.array(times_of(truth, "peak"))
    onsets = np.array(times_of(truth, "onset"))
    places = peaks * 2 - np.arange(120)
    assert 0.2 <= places.min() < places.max() <= 0.8
    assert places.std() == pytest.approx(0.6 / np.sqrt(12), rel=0.2)
    np.testing.assert_allclose(peaks - onsets, 0.04, atol=1e-9)


def test_without_noise_a_ripple_is_an_oscillation_under_a_gaussian() -> None:
    train = RippleTrain(rate=1, duration=0.08, frequency=200, sampling_rate=RATE, seed=5)

    wave = train.waveform(0, 20 * RATE)

    envelope = np.abs(hilbert(wave))
    for ripple in train.near(0, 19 * RATE):
        assert envelope[ripple.peak] == pytest.approx(1.0, abs=0.01)
        assert envelope[ripple.onset] == pytest.approx(np.exp(-2), abs=0.01)
    frequencies, power = welch(wave, fs=RATE, nperseg=RATE)
    assert frequencies[power.argmax()] == pytest.approx(200, abs=5)


def test_a_waveform_is_the_same_from_wherever_it_is_begun() -> None:
    train = RippleTrain(rate=4, duration=0.1, frequency=180, sampling_rate=RATE, seed=1)

    whole = train.waveform(0, 5000)

    parts = [train.waveform(first, first + 250) for first in range(0, 5000, 250)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-15)


# --- the background -----------------------------------------------------------------------------


def test_the_background_is_1_over_f_and_as_strong_as_asked() -> None:
    data = simulated(120, amplitude=0, background=50)["signal"].data

    frequencies, power = welch(data, fs=RATE, nperseg=4 * RATE, axis=0)
    band = (frequencies >= 1) & (frequencies <= 500)
    slope, _ = np.polyfit(np.log(frequencies[band]), np.log(power[band].mean(axis=1)), 1)
    assert slope == pytest.approx(-1, abs=0.05)
    assert data.std(axis=0) == pytest.approx(np.full(4, 50), rel=0.1)


def test_a_quarter_of_the_power_is_common_to_all_channels() -> None:
    data = simulated(120, amplitude=0)["signal"].data

    between = np.corrcoef(data.T)[np.triu_indices(4, 1)]
    assert between.mean() == pytest.approx(0.25, abs=0.1)


def test_the_amplitude_is_that_in_deviations_of_the_noise_in_the_band() -> None:
    settings: dict[str, Any] = {"n_channels": 1, "background": 80, "frequency": 180}
    noise = simulated(100, amplitude=0, **settings)["signal"].data[:, 0].astype(float)
    rippling = simulated(100, amplitude=5, **settings)
    band = butter(8, (130, 230), "bandpass", fs=RATE, output="sos")

    deviation = sosfiltfilt(band, noise).std()
    added = rippling["signal"].data[:, 0] - noise

    peaks = np.rint(np.array(times_of(rippling["truth"], "peak")) * RATE).astype(int)
    heights = np.abs(hilbert(added))[peaks]
    assert heights / deviation == pytest.approx(np.full(100, 5), rel=0.05)


def test_no_seam_shows_between_blocks() -> None:
    train = RippleTrain(rate=1, duration=0.08, frequency=200, sampling_rate=RATE, seed=5)
    made = Rippling(
        train, n_channels=3, background=100, amplitude=0, frequency=200, sampling_rate=RATE, seed=5
    )

    steps = [np.abs(made.block(n + 1)[0] - made.block(n)[-1]).mean() for n in range(100)]

    within = np.abs(np.diff(made.block(50), axis=0)).mean()
    assert np.mean(steps) == pytest.approx(within, rel=0.15)


def test_channels_are_described() -> None:
    node = Ripples(paced=False, n_samples=1, n_channels=2)

    run(node)

    assert {(c.unit, c.type) for c in node.signal.info.channels} == {("uV", "LFP")}
    assert node.truth.info.kind == "markers"


# --- what does not fit --------------------------------------------------------------------------


def test_ripples_that_would_overlap_are_refused() -> None:
    with pytest.raises(NodeError, match=r"duration is at most 40 ms at a rate of 10 Hz.*80 ms"):
        run(Ripples(rate=10, paced=False, n_samples=1))


def test_a_frequency_that_the_rate_cannot_carry_is_refused() -> None:
    with pytest.raises(NodeError, match=r"frequency is 50 Hz or more below half .* 450 Hz"):
        run(Ripples(sampling_rate=1000, frequency=450, paced=False, n_samples=1))
