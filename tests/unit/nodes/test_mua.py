from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.spike_signals import noise, signal, signals, simulated

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, collect, run
from rigmesh.streams import Cause, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes.channels import Share
from rigmesh_nodes.spikes import BurstDetector, MUARate


class TestMUARate(NodeTests):
    make = partial(MUARate, k=2.5, noise_duration=0.5, bin_duration=20, peak_life=3, refractory=4)
    feed = signal(2.0 * noise(3000, 6))


class TestMUARateOfShares(NodeTests):
    make = partial(MUARate, level=3.0, groups=2, channels_per_group=3, bin_duration=7, peak_life=10)
    feed = signal(2.0 * noise(1500, 6))


def rate_signal(*values: float, rate: float = 50.0, index: int = 0) -> Signal:
    return signal(np.array(values, dtype=float)[:, None], rate=rate, index=index)


def background(seed: int = 0, n_samples: int = 1000) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A rate of about 100 Hz in bins of 20 ms, with 10 samples of 1000 Hz each four seconds."""
    rate = np.random.default_rng(seed).poisson(2.0, (n_samples, 1)) / 0.02
    for begin in range(200, n_samples - 10, 200):
        rate[begin : begin + 10] = 1000.0
    return rate


class TestBurstDetector(NodeTests):
    make = BurstDetector
    feed = signal(background(), rate=50)


class TestBurstDetectorThatWaits(NodeTests):
    make = partial(
        BurstDetector,
        channel="c0",
        k=1,
        min_duration=0.04,
        lock_out=0.5,
        time_constant=2,
        burn_in=1,
    )
    feed = signal(background(1).astype(np.float32), rate=50)


# --- MUARate ------------------------------------------------------------------------------------


def pulses(*at: int, n_samples: int = 1000, n_channels: int = 1) -> Signal:
    """Silence at 1000 Hz with pulses on channel 0."""
    data = np.zeros((n_samples, n_channels))
    data[list(at), 0] = -10.0
    return signal(data)


def counting(**more: Any) -> MUARate:
    """Bins of 100 samples, told 3 samples later."""
    given = {"level": 5.0, "bin_duration": 100, "peak_life": 3, "refractory": 4}
    return MUARate(**{**given, **more})


def test_a_bin_has_the_number_of_its_spikes_over_its_length() -> None:
    rate = run(counting(), *signals(pulses(50, 199, 210, 220, 240), 30))

    assert rate.data[:, 0].tolist() == [10, 10, 30, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(rate.raw_timestamps, 0.099 + 0.1 * np.arange(9))


def test_the_rate_is_a_regular_signal() -> None:
    node = counting(groups=2)

    (info,) = collect(node, pulses(50, n_channels=4))["rate"].infos

    assert info.sampling_rate == pytest.approx(10.0)
    assert info.channel_names == ("rate0", "rate1")
    assert {channel.unit for channel in info.channels} == {"Hz"}


def test_shares_are_counted_each_by_itself() -> None:
    data = np.zeros((310, 4))
    data[20, 0] = data[20, 1] = data[120, 2] = data[140, 3] = -10.0

    rate = run(counting(groups=2), signal(data))

    assert rate.data.tolist() == [[20, 0], [0, 20], [0, 0]]


@pytest.mark.parametrize("size", [1, 7])
def test_small_chunks_do_not_change_the_rate(size: int) -> None:
    feed = signal(2.0 * noise(3000, 6))
    make = partial(MUARate, k=2.5, noise_duration=0.5, bin_duration=3, peak_life=10)

    whole, pieces = run(make(), feed), run(make(), signals(feed, size))

    np.testing.assert_array_equal(whole.data, pieces.data)
    np.testing.assert_array_equal(whole.raw_timestamps, pieces.raw_timestamps)


def test_shares_give_what_a_node_for_each_would() -> None:
    feed = signal(2.0 * noise(3000, 6))
    make = partial(MUARate, k=2.5, channels_per_group=3, noise_duration=0.5)

    both = run(make(groups=2), feed)
    each = [run(make(), run(Share(k=k, of=2), feed)) for k in (1, 2)]

    np.testing.assert_array_equal(both.data, np.hstack([rate.data for rate in each]))


def test_what_several_channels_of_a_group_see_counts_once() -> None:
    data = np.zeros((110, 4))
    data[20] = -10.0

    assert run(counting(), signal(data)).data.tolist() == [[40.0]]
    assert run(counting(channels_per_group=4), signal(data)).data.tolist() == [[10.0]]


def test_the_first_bin_begins_when_the_noise_is_known() -> None:
    node = MUARate(noise_duration=0.25, bin_duration=100)

    rate = run(node, signal(noise(1000)))

    np.testing.assert_allclose(rate.raw_timestamps, 0.349 + 0.1 * np.arange(7))
    assert node.noise == [pytest.approx(1.0, rel=0.2)]


def test_bins_with_missing_samples_are_left_out() -> None:
    whole = pulses(50, 140, 160, 250, 350)
    before, after = signal(whole.data[:150]), signal(whole.data[150:], index=170)
    after.gaps = (Gap(Cause.OVERRUN, 0, 170, 20),)

    found = collect(counting(), before, after)["rate"]

    data = np.concatenate([chunk.data for chunk in found.chunks])[:, 0]
    stamps = np.concatenate([chunk.raw_timestamps for chunk in found.chunks])
    assert data.tolist()[:4] == [10, 10, 10, 10]
    np.testing.assert_allclose(stamps[:3], [0.099, 0.269, 0.369])
    assert [gap.count for gap in found.gaps] == [0]


def test_what_is_not_finite_is_no_spike() -> None:
    data = np.array(pulses(50, n_samples=210).data)
    data[60] = -np.inf
    data[70] = np.nan
    node = counting()

    rate = run(node, signal(data))

    assert rate.data[:, 0].tolist() == [10, 0]
    assert (node.n_spikes, node.n_not_finite) == (1, 2)


def test_rates_keep_the_clock_of_the_signal() -> None:
    feed = pulses(50)
    feed.clock = ClockModel(offset=100.0)

    rate = run(counting(), feed)

    assert rate.timestamps[0] == pytest.approx(100.099)


def test_the_rate_of_simulated_units_is_that_of_their_spikes() -> None:
    what = simulated(seed=0, snr=(8.0,))
    node = MUARate(channels_per_group=4, bin_duration=1000)

    rate = run(node, what.chunks)

    edges = np.append(rate.raw_timestamps[0] - 1.0, rate.raw_timestamps)
    true_rate = np.histogram(what.times, edges)[0]
    assert len(rate) == 27
    assert np.mean(np.abs(rate.data[:, 0] - true_rate)) < 0.03 * np.mean(true_rate)


def test_shares_that_cut_groups_are_refused() -> None:
    with pytest.raises(NodeError, match=r"groups divides the 6 channels of amp\.signal into equal"):
        run(MUARate(groups=2, channels_per_group=2), signal(noise(10, 6)))


# --- BurstDetector ------------------------------------------------------------------------------


def bursts_in(node: BurstDetector, *chunks: Signal) -> list[tuple[float, str]]:
    markers = run(node, list(chunks))
    if markers is None:
        return []
    return list(zip(markers.raw_timestamps.tolist(), markers.data, strict=True))


def test_a_burst_is_told_where_it_begins_and_where_it_is_over() -> None:
    node = BurstDetector()

    found = bursts_in(node, *signals(signal(background(), rate=50), 7))

    assert found == [(4.0, "on"), (4.2, "off"), (8.0, "on"), (8.2, "off"),
                     (12.0, "on"), (12.2, "off"), (16.0, "on"), (16.2, "off")]  # fmt: skip
    assert node.n_bursts == 4
    assert not node.is_on
    assert 200.0 < node.threshold < 1000.0


def test_a_burst_is_told_when_it_has_lasted_the_minimum() -> None:
    feed = signal(background(n_samples=300), rate=50)

    assert bursts_in(BurstDetector(min_duration=0.2), feed) == [(4.18, "on"), (4.2, "off")]
    assert bursts_in(BurstDetector(min_duration=0.22), feed) == []


def test_no_burst_begins_within_the_lock_out() -> None:
    rate = background(n_samples=300)
    rate[215:220] = 1000.0

    times = [time for time, _ in bursts_in(BurstDetector(lock_out=0.5), signal(rate, rate=50))]

    assert times == [4.0, 4.2]


def test_nothing_is_found_before_the_mean_is_known() -> None:
    rate = background(n_samples=300)
    rate[20:30] = 1000.0

    times = [time for time, _ in bursts_in(BurstDetector(burn_in=1.0), signal(rate, rate=50))]

    assert min(times) >= 4.0


def test_the_threshold_follows_the_rate() -> None:
    rate = background(n_samples=4000)[:2010] * 1.0
    rate[1000:] *= 20.0  # what was a burst is the mean by now

    found = bursts_in(BurstDetector(time_constant=1.0), signal(rate, rate=50))

    late = [time for time, text in found if text == "on" and time > 24.5]
    assert late == [28.0, 32.0, 36.0, 40.0]


def test_a_burst_ends_where_samples_are_missing() -> None:
    rate = background(n_samples=400)
    before, after = signal(rate[:205], rate=50), signal(rate[205:], rate=50, index=305)
    after.gaps = (Gap(Cause.TRANSPORT, 0, 305, 100),)

    found = bursts_in(BurstDetector(), before, after)

    assert found == [(4.0, "on"), (4.08, "off")]


def test_what_is_not_finite_neither_begins_nor_ends_a_burst() -> None:
    rate = background(n_samples=300)
    rate[150] = np.inf
    rate[205] = np.nan
    node = BurstDetector()

    found = bursts_in(node, signal(rate, rate=50))

    assert found == [(4.0, "on"), (4.2, "off")]
    assert node.n_not_finite == 2


def test_texts_and_k_can_change_while_it_runs() -> None:
    first, second = signals(signal(background(n_samples=300), rate=50), 199)[:2]
    node = BurstDetector(k=1e6)
    node.signal.links.append(InputLink("amp.signal", info=first.info))
    node.prepare()
    node.process(first)

    node.set_parameters({"k": 6.0, "on": "begin", "off": "end"})
    markers = node.process(second)

    assert markers is not None
    assert markers.data == ["begin", "end"]


def test_an_irregular_rate_is_refused() -> None:
    feed = rate_signal(1, 2, 3)
    feed.info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=0)

    with pytest.raises(NodeError, match=r"takes a regular signal; amp\.signal is irregular"):
        run(BurstDetector(), feed)
