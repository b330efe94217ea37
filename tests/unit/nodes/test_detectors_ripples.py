from __future__ import annotations

from functools import cache, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, chunked, run
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes._detect_ripples import RippleFinder, _burst
from rigmesh_nodes.detectors import RippleDetector
from rigmesh_nodes.filters import BandPass
from rigmesh_nodes.sim import Ripples

RATE = 1000


def noise(
    n_samples: int,
    *,
    n_channels: int = 1,
    bursts: tuple[float, ...] = (),
    height: float = 10.0,
    length: float = 0.05,
    seed: int = 0,
) -> Signal:
    """White noise with a deviation of 1; bursts begin at the given times."""
    data = np.random.default_rng(seed).normal(size=(n_samples, n_channels))
    for time in bursts:
        data[round(time * RATE) : round((time + length) * RATE)] *= height
    info = StreamInfo.signal("band.filtered", channels=n_channels, sampling_rate=RATE, unit="uV")
    return Signal(data, np.arange(n_samples) / RATE, info=info)


class TestRippleDetector(NodeTests):
    make = partial(RippleDetector, k=3, burn_in=0.2, text="{group} {value} {threshold} {index}")
    feed = noise(1500, n_channels=3, bursts=(0.5, 0.9))


class TestRippleDetectorWithEverything(NodeTests):
    make = partial(
        RippleDetector, k=2, burn_in=0.1, groups=2, measure="power", minimum_duration=4, lock_out=30
    )
    feed = noise(1500, n_channels=4, bursts=(0.5, 0.9))


def detect(node: RippleDetector, *chunks: Chunk) -> tuple[list[tuple[float, str]], Signal]:
    result: dict[str, Any] = run(node, list(chunks))
    markers, envelope = result["events"], result["envelope"]
    if markers is None:
        return [], envelope
    return list(zip(markers.raw_timestamps.tolist(), markers.data, strict=True)), envelope


def times_of(node: RippleDetector, *chunks: Chunk) -> list[float]:
    return [time for time, _ in detect(node, *chunks)[0]]


# --- against the ground truth -------------------------------------------------------------------


@cache
def simulated(n_channels: int) -> dict[str, Any]:
    """1100 ripples, band-passed as they would be in a graph, in chunks of 30 ms."""
    source = Ripples(
        n_channels=n_channels, amplitude=5, seed=11, paced=False, n_samples=1100 * 1250,
        chunk_duration=2000,
    )  # fmt: skip
    found: dict[str, Any] = run(source)
    band = run(BandPass(low=150, high=250), chunked(found["signal"], 1000))
    return {"band": band, "truth": found["truth"]}


def truth_of(truth: Chunk, after: float) -> npt.NDArray[np.float64]:
    """Onsets and peaks, shape (n_ripples, 2)."""
    stamps = truth.raw_timestamps.reshape(-1, 2)
    return stamps[stamps[:, 0] > after]


@pytest.mark.parametrize(("n_channels", "k"), [(1, 6.5), (4, 7.0)])
def test_99_percent_of_a_thousand_ripples_are_found_and_1_percent_is_false(
    n_channels: int, k: float
) -> None:
    node = RippleDetector(k=k)
    made = simulated(n_channels)

    found = np.array(times_of(node, *chunked(made["band"], 37)))

    truth = truth_of(made["truth"], after=node.burn_in)
    assert len(truth) > 1000
    begins, ends = truth[:, 0, None], truth[:, 1, None] + 0.05
    hits = (begins <= found) & (found <= ends)
    assert hits.any(axis=1).mean() >= 0.99
    assert hits.any(axis=0).mean() >= 0.99
    assert node.n_ripples == len(found)


def test_most_ripples_are_found_before_their_peak() -> None:
    made = simulated(4)

    found = np.array(times_of(RippleDetector(), made["band"]))

    peaks = truth_of(made["truth"], after=2.5)[:, 1]
    delays = [found[np.abs(found - peak).argmin()] - peak for peak in peaks]
    assert np.median(delays) < 0


# --- the algorithm against an offline reference -------------------------------------------------


def offline(
    envelope: npt.NDArray[np.float64], *, k: float, tau: float, burn_in: int, lock_out: int
) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Find bursts with averages written as sums of weights over all that was seen."""
    seen: list[float] = []
    weights: list[float] = []
    forget = 1 - np.exp(-1 / tau)
    mean = deviation = 0.0
    thresholds, found = [], []
    locked, was_above = 0, True
    for at, value in enumerate(envelope):
        threshold = mean + k * deviation if len(seen) >= burn_in else np.inf
        thresholds.append(threshold)
        above = value > threshold
        if locked:
            locked -= 1
            was_above = was_above and above
            continue
        if above and not was_above:
            found.append(at)
            locked, was_above = lock_out, True
            continue
        was_above = above
        weight = max(forget, 1 / (len(seen) + 1))
        weights = [w * (1 - weight) for w in weights] + [weight]
        seen.append(value)
        mean = float(np.dot(weights, seen))
        deviation += weight * (abs(value - mean) - deviation)
    return found, np.array(thresholds)


@pytest.mark.parametrize("measure", ["rms", "power", "amplitude"])
def test_envelope_threshold_and_bursts_are_those_of_an_offline_reference(
    measure: Literal["rms", "power", "amplitude"],
) -> None:
    feed = noise(2000, n_channels=3, bursts=(0.6, 0.75, 1.4), seed=5)
    k = {"rms": 4.0, "power": 8.0, "amplitude": 4.0}[measure]
    node = RippleDetector(
        measure=measure, k=k, time_constant=0.3, burn_in=0.2, smoothing=5, lock_out=80
    )

    events, envelope = detect(node, *chunked(feed, 11))

    raw = np.abs(feed.data) if measure == "amplitude" else feed.data**2
    smooth = 1 - np.exp(-1 / 5)
    expected = [raw[0].mean()]
    for value in raw[1:].mean(axis=1):
        expected.append((1 - smooth) * expected[-1] + smooth * value)
    heights = np.sqrt(expected) if measure == "rms" else np.array(expected)
    bursts, thresholds = offline(heights, k=k, tau=300, burn_in=200, lock_out=80)
    np.testing.assert_allclose(envelope.data[:, 0], heights, rtol=1e-9)
    np.testing.assert_allclose(envelope.data[:, 1], thresholds, rtol=1e-9)
    assert [round(time * RATE) for time, _ in events] == bursts
    assert len(bursts) >= 3


def test_the_finder_runs_without_a_compiler() -> None:
    feed = noise(800, n_channels=4, bursts=(0.5,))
    compiled, plain = (RippleFinder(RATE, n_groups=2, burn_in=0.2) for _ in range(2))
    plain._burst = _burst.function

    expected, heights = compiled.find(feed.data)
    by_python, python_heights = plain.find(feed.data)

    np.testing.assert_array_equal(by_python, expected)
    np.testing.assert_allclose(python_heights, heights, rtol=1e-12)
    assert len(expected) == 2


# --- lock-out, duration, burn-in ----------------------------------------------------------------


def test_a_burst_gives_one_marker_and_none_follows_in_the_lock_out() -> None:
    feed = noise(3000, bursts=(1.0, 1.08, 2.0), length=0.03)

    quick = times_of(RippleDetector(burn_in=0.5, lock_out=10, smoothing=3), feed)
    slow = times_of(RippleDetector(burn_in=0.5, lock_out=300, smoothing=3), feed)

    assert len(quick) > len(slow)
    np.testing.assert_allclose(slow, [1.0, 2.0], atol=0.01)


def test_a_ripple_lasts_for_the_minimum_duration() -> None:
    feed = noise(4000, bursts=(1.0,), length=0.01)
    feed.data[2000:2100] *= 10

    found = times_of(RippleDetector(burn_in=0.5, smoothing=2, minimum_duration=40), feed)

    assert found == [pytest.approx(2.04, abs=0.01)]


def test_nothing_is_found_while_the_detector_burns_in() -> None:
    feed = noise(3000, bursts=(1.0, 2.5))

    assert times_of(RippleDetector(burn_in=2.0), feed) == [pytest.approx(2.5, abs=0.01)]


def test_ripples_do_not_raise_the_threshold() -> None:
    quiet, rippling = RippleDetector(burn_in=0.5), RippleDetector(burn_in=0.5)
    bursts = tuple(np.arange(1.0, 19.0, 0.5))

    detect(quiet, noise(20_000))
    found, _ = detect(rippling, noise(20_000, bursts=bursts))

    assert len(found) == len(bursts)
    assert rippling.threshold[0] == pytest.approx(quiet.threshold[0], rel=0.15)


def test_a_lasting_step_of_the_background_is_learnt() -> None:
    feed = noise(40_000, bursts=(30.0,), height=10)
    feed.data[5000:] *= 20

    found = times_of(RippleDetector(time_constant=2), feed)

    assert found[-1] == pytest.approx(30.0, abs=0.01)
    assert len([time for time in found if 15 < time < 29]) == 0


# --- groups -------------------------------------------------------------------------------------


def test_each_group_is_detected_by_itself() -> None:
    parts = [
        noise(2000, n_channels=2, bursts=(at,), seed=i) for i, at in enumerate((1.0, 1.5, 1.2))
    ]
    together = Signal(np.hstack([part.data for part in parts]), parts[0].raw_timestamps)

    events, envelope = detect(RippleDetector(groups=3, burn_in=0.5), together)

    alone = [detect(RippleDetector(burn_in=0.5), part) for part in parts]
    expected = sorted(
        (time, f"ripple {group}")
        for group, (single, _) in enumerate(alone, start=1)
        for time, _ in single
    )
    assert events == expected
    np.testing.assert_array_equal(envelope.data, np.hstack([single.data for _, single in alone]))


def test_the_envelope_says_what_it_is() -> None:
    node = RippleDetector(groups=2, measure="power")

    detect(node, noise(100, n_channels=2))

    info = node.envelope.info
    assert info.channel_names == ("envelope 1", "threshold 1", "envelope 2", "threshold 2")
    assert {channel.unit for channel in info.channels} == {"uV^2"}
    assert info.sampling_rate == RATE


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(NodeError, match=r"found 2 groups for the 3 channels of band\.filtered"):
        run(RippleDetector(groups=2), noise(10, n_channels=3))


# --- what is missing or not finite --------------------------------------------------------------


def test_values_that_are_not_finite_neither_fire_nor_kill_and_are_counted() -> None:
    feed = noise(3000, n_channels=2, bursts=(2.5,))
    feed.data[1000:1100, 0] = np.nan
    feed.data[1200] = [np.inf, -np.inf]
    feed.data[1300:1400] = 1e200
    node = RippleDetector(burn_in=0.5)

    found, envelope = detect(node, feed)

    assert [time for time, _ in found] == [pytest.approx(2.5, abs=0.01)]
    assert node.n_not_finite == 302
    assert np.isfinite(envelope.data[:, 0]).all()


def test_a_dead_channel_does_not_silence_its_group() -> None:
    feed = noise(3000, n_channels=2, bursts=(1.0, 2.5))
    feed.data[:, 1] = np.nan

    assert len(times_of(RippleDetector(burn_in=0.5), feed)) == 2


def test_missing_samples_are_followed_by_a_lock_out() -> None:
    feed = noise(4000, bursts=(2.01, 3.0), length=0.03)
    info = feed.info
    gap = Gap(Cause.TRANSPORT, 0, 2100, 100)
    before = Signal(feed.data[:2000], feed.raw_timestamps[:2000], info=info)
    after = Signal(
        feed.data[2000:], feed.raw_timestamps[2000:] + 0.1, index=2100, gaps=(gap,), info=info
    )

    found = times_of(RippleDetector(burn_in=0.5), before, after)

    assert found == [pytest.approx(3.1, abs=0.01)]


def test_an_irregular_signal_is_refused() -> None:
    feed = noise(10)
    feed.info = StreamInfo.signal("slow.values", channels=1, sampling_rate=0)

    with pytest.raises(NodeError, match=r"takes a regular signal; slow\.values is irregular"):
        run(RippleDetector(), feed)


# --- markers, states, live changes --------------------------------------------------------------


def test_markers_and_envelope_keep_the_clock_of_the_signal() -> None:
    feed = noise(2000, bursts=(1.0,))
    feed.clock = ClockModel(offset=50.0)

    result: dict[str, Any] = run(RippleDetector(burn_in=0.5), feed)

    assert result["events"].timestamps[0] == pytest.approx(51.0, abs=0.01)
    assert result["envelope"].timestamps[0] == 50.0


def test_a_text_tells_envelope_threshold_and_index() -> None:
    node = RippleDetector(burn_in=0.5, text="{group};{value};{threshold};{time};{index}")

    events, envelope = detect(node, *chunked(noise(2000, bursts=(1.0,)), 13))

    ((time, text),) = events
    group, value, threshold, told, index = text.split(";")
    row = round(time * RATE)
    assert (group, int(index)) == ("1", row)
    assert float(told) == pytest.approx(time)
    assert [float(value), float(threshold)] == pytest.approx(envelope.data[row].tolist())
    assert float(value) > float(threshold)


def started(**parameters: Any) -> RippleDetector:
    node = RippleDetector(**parameters)
    feed = noise(1000)
    node.signal.links.append(InputLink("band.filtered", info=feed.info))
    node.prepare()
    node.process(feed)
    return node


def test_states_tell_mean_deviation_and_threshold() -> None:
    node = started(k=5.0)

    (mean,), (deviation,), (threshold,) = node.mean, node.deviation, node.threshold

    assert mean == pytest.approx(1.0, rel=0.1)
    assert 0 < deviation < mean
    assert threshold == pytest.approx(mean + 5 * deviation)


def test_a_frozen_threshold_stays() -> None:
    node = started(time_constant=0.1)
    before = node.mean

    node.set_parameters({"adapt": False})
    node.process(noise(1000, height=3, bursts=(0.0,), length=1.0))

    assert node.mean == before


def test_a_reset_forgets_mean_and_deviation() -> None:
    node = started()

    node.reset()

    assert (node.mean, node.deviation) == ([0.0], [0.0])
    assert "reset" in RippleDetector.commands().docs


def test_k_changes_between_two_chunks() -> None:
    node = started(k=5.0)
    (mean,), (deviation,) = node.mean, node.deviation

    node.set_parameters({"k": 8.0})
    node.process(noise(1))

    assert node.threshold[0] == pytest.approx(mean + 8 * deviation, rel=0.01)
