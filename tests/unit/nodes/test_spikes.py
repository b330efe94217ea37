from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.spike_signals import (
    RATE,
    Simulation,
    matches,
    noise,
    signal,
    signals,
    simulated,
)

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, run
from rigmesh.streams import Cause, ClockModel, Gap, Markers, Signal, StreamInfo
from rigmesh_nodes.channels import Share
from rigmesh_nodes.spikes import SpikeDetector


def spiky(seed: int = 3) -> Signal:
    return signal(2.0 * noise(3000, 6, seed=seed))


class TestSpikeDetector(NodeTests):
    make = partial(
        SpikeDetector, k=2.5, noise_duration=0.5, peak_life=2, refractory=5,
        text="{channel} {group} {value} {time} {index}",
    )  # fmt: skip
    feed = spiky()


class TestSpikeDetectorThatAdapts(NodeTests):
    make = partial(
        SpikeDetector, k=2.5, channels_per_group=3, polarity="both", noise_duration=0.3,
        adapt_duration=0.5, peak_life=1, refractory=3,
    )  # fmt: skip
    feed = spiky(4)


class TestSpikeDetectorWithHoles(NodeTests):
    make = partial(SpikeDetector, k=2.5, noise_duration=0.5, adapt_duration=1)
    data = np.array(spiky(5).data)
    data[::7, 2] = np.nan
    data[100::11, 3] = -np.inf
    feed = signal(data)


def started(node: SpikeDetector, info: StreamInfo | None) -> SpikeDetector:
    node.signal.links.append(InputLink("amp.signal", info=info))
    node.prepare()
    return node


def times_of(node: SpikeDetector, *chunks: Signal) -> list[float]:
    markers = run(node, list(chunks))
    return [] if markers is None else markers.raw_timestamps.tolist()


# --- against the ground truth -------------------------------------------------------------------


def share_and_false(node: SpikeDetector, what: Simulation) -> tuple[float, float]:
    """Share of the true spikes that were found, and false ones per second."""
    markers = run(node, what.chunks)
    begin = node.noise_duration + 0.01
    truth = what.between(begin, what.duration - 0.01).times
    found = markers.raw_timestamps
    share = float(np.mean(matches(truth, found) >= 0))
    n_false = int(np.sum(matches(found[found > begin], what.times, tolerance=1e-3) < 0))
    return share, n_false / (what.duration - begin)


@pytest.mark.parametrize("channels_per_group", [1, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_98_percent_of_the_spikes_are_found_at_a_signal_to_noise_ratio_of_8(
    seed: int, channels_per_group: int
) -> None:
    what = simulated(seed=seed, snr=(8.0,))

    share, false = share_and_false(SpikeDetector(channels_per_group=channels_per_group), what)

    assert share >= 0.98
    assert false <= 0.1


def test_98_percent_are_found_when_8_is_what_is_left_behind_the_filter() -> None:
    # The band-pass takes 38 % of the white noise, and up to 32 % of a trough: 8 before are 8.7 to
    # 9.8 behind it.
    what = simulated(seed=3, snr=(64 / 9.8, 64 / 8.7, 64 / 9.5))

    share, false = share_and_false(SpikeDetector(), what)

    assert share >= 0.98
    assert false <= 0.1


def test_noise_alone_has_hardly_a_spike() -> None:
    data = noise(300_000, 4).astype(np.float32)

    assert len(times_of(SpikeDetector(), signal(data, rate=RATE))) <= 3


def test_thresholds_are_those_of_the_whole_signal_at_once() -> None:
    what = simulated(seed=0)
    node = SpikeDetector(k=4.0)

    run(node, what.chunks)

    whole = what.whole.data[: round(2.0 * RATE)]
    expected = np.median(np.abs(whole), axis=0) / 0.6745
    # Every eighth sample is enough for 1 %.
    np.testing.assert_allclose(node.noise, expected, rtol=0.02)
    np.testing.assert_allclose(node.thresholds, 4.0 * np.array(node.noise))


# --- markers ------------------------------------------------------------------------------------


def pulses(*at: int, n_channels: int = 1, height: float = -20.0) -> Signal:
    """Noise at 1000 Hz with pulses of one sample; the noise is known after 1 s."""
    data = noise(4000, n_channels)
    data[list(at), 0] = height
    return signal(data)


def quick(**more: Any) -> SpikeDetector:
    given: dict[str, Any] = {"k": 8, "noise_duration": 1.0, "peak_life": 2.0, "refractory": 5.0}
    return SpikeDetector(**{**given, **more})


def test_a_marker_has_the_stamp_of_the_peak() -> None:
    feed = pulses(500, 1200, 2500)

    assert times_of(quick(), *signals(feed, 7)) == [1.2, 2.5]


def test_a_text_tells_channel_group_value_time_and_index() -> None:
    feed = pulses(1200, n_channels=4)
    node = quick(text="{channel} {group} {value} {time} {index}", channels_per_group=2)

    markers = run(node, signals(feed, 50))

    assert markers.data == ["c0 0 -20 1.200000 1200"]


def test_markers_keep_the_clock_of_the_signal() -> None:
    feed = pulses(1200)
    feed.clock = ClockModel(offset=100.0)

    markers = run(quick(), feed)

    assert markers.timestamps.tolist() == [101.2]


def test_states_tell_thresholds_noise_and_counts() -> None:
    feed = pulses(1200, 1300, n_channels=2)
    data = np.array(feed.data)
    data[:, 1] = 0.0
    data[2000, 1] = np.nan
    node = quick()

    run(node, signals(signal(data), 100))

    assert node.n_spikes == 2
    assert node.n_not_finite == 1
    assert node.noise == [pytest.approx(1.0, rel=0.1), 0.0]
    assert node.thresholds == [pytest.approx(8.0, rel=0.1), 0.0]


def test_integers_can_be_searched() -> None:
    data = (100 * pulses(1200, 2500).data).astype(np.int16)

    assert times_of(quick(), signal(data)) == [1.2, 2.5]


@pytest.mark.parametrize("size", [1, 7])
def test_small_chunks_do_not_change_the_result(size: int) -> None:
    feed = spiky()
    make = partial(SpikeDetector, k=2.5, noise_duration=0.5, adapt_duration=0.5, peak_life=5)

    whole = times_of(make(), feed)

    assert times_of(make(), *signals(feed, size)) == whole
    assert len(whole) > 50


def test_shares_of_the_channels_give_what_all_channels_give() -> None:
    feed = spiky()
    make = partial(SpikeDetector, k=2.5, channels_per_group=3, noise_duration=0.5)

    whole = run(make(), feed)
    parts = [run(make(), run(Share(k=k, of=2), feed)) for k in (1, 2)]

    def events(*found: Markers) -> list[tuple[float, str]]:
        return sorted((t, x) for m in found for t, x in zip(m.timestamps, m.data, strict=True))

    assert events(whole) == events(*parts)


# --- gaps and epochs ----------------------------------------------------------------------------


def test_a_spike_before_missing_samples_is_told_as_it_is() -> None:
    whole = pulses(1200)
    before = signal(whole.data[:1201])
    after = signal(whole.data[1201:], index=1300)
    after.gaps = (Gap(Cause.OVERRUN, 0, 1300, 99),)

    assert times_of(quick(peak_life=20), before, after) == [1.2]


def test_a_new_epoch_learns_the_noise_anew() -> None:
    first = pulses(1200)
    second = pulses(500, 1200)
    second.epoch = 1

    assert times_of(quick(), first, second) == [1.2, 1.2]


# --- live ---------------------------------------------------------------------------------------


def test_k_can_change_while_it_runs() -> None:
    first, second = signals(pulses(1200, 2500, height=-10.0), 2000)
    node = started(quick(k=20.0), first.info)
    assert node.process(first) is None

    node.set_parameters({"k": 8.0})
    markers = node.process(second)

    assert markers is not None
    assert markers.raw_timestamps.tolist() == [2.5]
    assert node.thresholds == [pytest.approx(8.0, rel=0.1)]


def test_the_noise_can_be_learned_anew() -> None:
    first = pulses()
    node = started(quick(), first.info)
    node.process(first)

    node.learn()
    markers = node.process(signal(5.0 * pulses(500, 1500).data, index=4000))

    assert node.noise == [pytest.approx(5.0, rel=0.1)]
    assert markers is not None
    times = markers.raw_timestamps
    assert len(times[times < 5.0]) > 20  # the threshold is still the old one
    assert times[times >= 5.0].tolist() == [5.5]


# --- refused ------------------------------------------------------------------------------------


def test_channels_that_are_no_whole_groups_are_refused() -> None:
    with pytest.raises(NodeError, match=r"channels_per_group divides the 6 channels of amp\.sig"):
        run(SpikeDetector(channels_per_group=4), spiky())


def test_an_irregular_signal_is_refused() -> None:
    feed = spiky()
    feed.info = StreamInfo.signal("amp.signal", channels=6, sampling_rate=0)

    with pytest.raises(NodeError, match=r"takes a regular signal; amp\.signal is irregular"):
        run(SpikeDetector(), feed)
