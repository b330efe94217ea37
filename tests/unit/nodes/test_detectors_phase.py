from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, chunked, run, sine
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes._detect_phase import PhaseFinder, _turn
from rigmesh_nodes.detectors import PhaseTrigger
from rigmesh_nodes.sim import EEG

Values = npt.NDArray[np.float64]
RATE = 500


def rhythm(frequency: float = 10.0, *, seconds: float = 60.0, noise: float = 0.0) -> Signal:
    """A cosine with a peak of 20 uV on an offset of 5 mV, and 1/f noise of so many uV RMS."""
    times = np.arange(round(seconds * RATE)) / RATE
    values = 20 * np.cos(2 * np.pi * frequency * times) + 5000
    if noise:
        spectrum = np.fft.rfft(np.random.default_rng(7).normal(size=len(times)))
        pink = np.fft.irfft(
            spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(len(times), 1 / RATE), 0.5)), len(times)
        )
        values += noise * pink / pink.std()
    info = StreamInfo.signal("amp.signal", channels=["Oz"], sampling_rate=RATE, unit="uV")
    return Signal(values[:, None], times, info=info)


class TestPhaseTrigger(NodeTests):
    make = partial(PhaseTrigger, phase=90, lead=12, text="{phase} {amplitude} {frequency} {index}")
    feed = rhythm(seconds=3, noise=10)


class TestPhaseTriggerOfOneChannelOfMany(NodeTests):
    make = partial(PhaseTrigger, channel="ch1", low=4, high=8, minimum_amplitude=0.4)
    feed = sine(6, sampling_rate=250, duration=4, n_channels=3, dtype=np.float32)


def times_of(node: PhaseTrigger, *chunks: Chunk) -> Values:
    markers = run(node, list(chunks))
    return np.empty(0) if markers is None else np.asarray(markers.raw_timestamps)


def errors(phases: Values, target: float) -> tuple[float, float]:
    """Circular mean and deviation from a phase, in degrees."""
    pointer = np.exp(1j * (phases - np.radians(target))).mean()
    return float(np.degrees(np.angle(pointer))), float(
        np.degrees(np.sqrt(-2 * np.log(abs(pointer))))
    )


# --- against the true phase ---------------------------------------------------------------------


@pytest.mark.parametrize("target", [0, 90, 180, -45])
@pytest.mark.parametrize("frequency", [8.5, 10.0, 11.5])
def test_a_clean_rhythm_is_met_at_its_phase(frequency: float, target: float) -> None:
    times = times_of(PhaseTrigger(phase=target), rhythm(frequency))

    mean, deviation = errors(2 * np.pi * frequency * times, target)
    assert len(times) == pytest.approx(60 * frequency, rel=0.03)
    assert abs(mean) < 5
    assert deviation < 5


@pytest.mark.parametrize("frequency", [9.0, 10.0, 11.0])
def test_a_rhythm_in_as_much_1_over_f_noise_is_met_within_20_degrees(frequency: float) -> None:
    feed = rhythm(frequency, noise=14, seconds=120)

    times = times_of(PhaseTrigger(phase=180), *chunked(feed, 10))

    mean, deviation = errors(2 * np.pi * frequency * times, 180)
    assert len(times) == pytest.approx(120 * frequency, rel=0.03)
    assert abs(mean) < 6
    assert deviation < 20


def test_a_theta_rhythm_is_met_too() -> None:
    times = times_of(PhaseTrigger(low=4, high=8, phase=90), rhythm(6.5, noise=14))

    mean, deviation = errors(2 * np.pi * 6.5 * times, 90)
    assert abs(mean) < 6
    assert deviation < 20


@pytest.mark.parametrize("lead", [8.0, 30.0])
def test_a_marker_comes_so_long_before_the_phase(lead: float) -> None:
    times = times_of(PhaseTrigger(phase=0, lead=lead), rhythm(noise=5))

    mean, deviation = errors(2 * np.pi * 10 * (times + lead / 1e3), 0)
    assert abs(mean) < 5
    assert deviation < 15


def test_the_alpha_rhythm_of_a_simulated_head_is_met_when_it_is_strong() -> None:
    def head(**parameters: Any) -> Any:
        return run(EEG(channels=["O1"], alpha=20, line_noise=0, seed=2, paced=False,
                       n_samples=120 * 250, chunk_duration=1000, **parameters))  # fmt: skip

    with_noise, alone = head(), head(background=0).data[:, 0].astype(np.float64)
    spectrum = np.fft.fft(alone)
    spectrum[len(alone) // 2 :] = 0
    true = np.angle(np.fft.ifft(spectrum))

    times = times_of(PhaseTrigger(phase=180, minimum_amplitude=25), with_noise)

    mean, deviation = errors(true[np.rint(times * 250).astype(int)], 180)
    assert len(times) > 100
    assert abs(mean) < 6
    assert deviation < 25


def test_frequency_and_amplitude_are_told() -> None:
    node = PhaseTrigger()

    times_of(node, rhythm(9.2))

    assert node.frequency == pytest.approx(9.2, abs=0.1)
    assert node.amplitude == pytest.approx(20, rel=0.05)
    assert node.n_triggers == pytest.approx(9.2 * 60, rel=0.03)


# --- gates --------------------------------------------------------------------------------------


def test_a_weak_rhythm_gives_no_marker() -> None:
    feed = rhythm()
    feed.data[15_000:] = 5000 + (feed.data[15_000:] - 5000) / 10

    times = times_of(PhaseTrigger(minimum_amplitude=10), feed)

    assert 29.9 < times[-1] < 30.3


def test_no_marker_follows_within_the_refractory_time() -> None:
    times = times_of(PhaseTrigger(refractory=0.25), rhythm())

    np.testing.assert_allclose(np.diff(times), 0.3, atol=0.01)


def test_no_marker_of_noise_comes_within_half_a_cycle_of_another() -> None:
    feed = rhythm(noise=500)

    times = times_of(PhaseTrigger(), feed)

    assert len(times) < 12.5 * 60
    assert np.diff(times).min() > 0.04


# --- what is missing or not finite --------------------------------------------------------------


def test_values_that_are_not_finite_neither_fire_nor_kill_and_are_counted() -> None:
    feed = rhythm()
    feed.data[5000:5020] = np.nan
    feed.data[6000] = np.inf
    feed.data[7000] = 1e200
    node = PhaseTrigger()

    times = times_of(node, feed)

    assert node.n_not_finite == 22
    assert not set(times) & set(feed.raw_timestamps[np.abs(feed.data[:, 0]) > 1e10])
    mean, deviation = errors(2 * np.pi * 10 * times[times > 15], 0)
    assert abs(mean) < 3
    assert deviation < 3


def test_missing_samples_make_it_settle_anew() -> None:
    feed = rhythm(seconds=10)
    gap = Gap(Cause.DEVICE, 0, 2530, 30)
    late = Signal(
        feed.data[2530:], feed.raw_timestamps[2530:], index=2530, gaps=(gap,), info=feed.info
    )

    times = times_of(
        PhaseTrigger(), Signal(feed.data[:2500], feed.raw_timestamps[:2500], info=feed.info), late
    )

    after = times[times > 5.0]
    assert after[0] > 5.06 + 0.3
    mean, deviation = errors(2 * np.pi * 10 * after, 0)
    assert abs(mean) < 3
    assert deviation < 3


# --- the rest -----------------------------------------------------------------------------------


def test_markers_keep_the_clock_of_the_signal() -> None:
    feed = rhythm(seconds=2)
    feed.clock = ClockModel(offset=100.0)

    markers = run(PhaseTrigger(text="{time} at {index}"), feed)

    first = markers.raw_timestamps[0]
    assert markers.timestamps[0] == pytest.approx(first + 100)
    assert markers.data[0] == f"{first:.6f} at {round(first * RATE)}"


def test_the_phase_changes_between_two_chunks() -> None:
    node = PhaseTrigger(phase=0)
    feed = rhythm(seconds=10)
    node.signal.links.append(InputLink("amp.signal", info=feed.info))
    node.prepare()
    first, second = chunked(feed, 2500)
    assert isinstance(first, Signal)
    assert isinstance(second, Signal)
    node.process(first)

    node.set_parameters({"phase": 180.0})
    markers = node.process(second)

    assert markers is not None
    mean, _ = errors(2 * np.pi * 10 * markers.raw_timestamps, 180)
    assert abs(mean) < 3


@pytest.mark.parametrize("band", [(12, 8), (8, 125)])
def test_a_band_that_makes_no_sense_is_refused(band: tuple[float, float]) -> None:
    with pytest.raises(NodeError, match=r"low is below high, and high below a quarter .* 500 Hz"):
        run(PhaseTrigger(low=band[0], high=band[1]), rhythm(seconds=1))


def test_the_finder_runs_without_a_compiler() -> None:
    values = rhythm(seconds=2, noise=10).data[:, 0]
    compiled, plain = PhaseFinder(RATE, 8, 12), PhaseFinder(RATE, 8, 12)
    plain._turn = _turn.function

    expected, by_python = compiled.find(values), plain.find(values)

    assert len(expected) > 10
    np.testing.assert_allclose(by_python, expected, rtol=1e-9)
