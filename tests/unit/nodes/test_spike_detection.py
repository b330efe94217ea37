from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.nodes.spike_signals import noise

from rigmesh_nodes._spike_detection import Detection, PeakFinder, Polarity, Spike
from rigmesh_nodes._spike_noise import NoiseEstimate, robust_deviation

Array = npt.NDArray[Any]


def finder(n_channels: int = 1, **more: Any) -> PeakFinder:
    """Threshold 3, peak life 2 samples, refractory 4 samples."""
    made = PeakFinder(n_channels, **{"peak_life": 2, "refractory": 4, **more})
    made.use(np.full(n_channels, 3.0))
    return made


def found_in(made: PeakFinder, data: Array) -> list[tuple[int, int, float]]:
    return [spike[:3] for spike in made.find(data, np.arange(len(data)) / 1000)]


def channel(*values: float) -> Array:
    return np.array(values, dtype=float)[:, None]


# --- peaks --------------------------------------------------------------------------------------


def test_a_spike_is_at_the_largest_sample() -> None:
    data = channel(0, -4, -6, -5, 0, 0, 0)

    assert found_in(finder(), data) == [(2, 0, -6.0)]


def test_a_larger_sample_within_the_peak_life_is_the_peak() -> None:
    data = channel(0, -4, 0, -6, 0, -8, 0, 0, 0)

    assert found_in(finder(), data) == [(5, 0, -8.0)]


def test_a_spike_is_told_when_its_peak_life_is_over() -> None:
    made = finder()

    assert found_in(made, channel(0, -5, 0)) == []
    assert found_in(made, channel(0)) == [(1, 0, -5.0)]


def test_no_spike_begins_within_the_refractory_time() -> None:
    data = channel(-5, 0, 0, -5, 0, -5, 0, 0)

    assert [at for at, _, _ in found_in(finder(), data)] == [0, 5]


def test_what_stays_beyond_the_threshold_is_one_spike() -> None:
    data = np.full((50, 1), -5.0)

    assert found_in(finder(), data) == [(0, 0, -5.0)]


@pytest.mark.parametrize(
    ("polarity", "expected"),
    [("negative", [(1, -4.0)]), ("positive", [(7, 6.0)]), ("both", [(1, -4.0), (7, 6.0)])],
)
def test_the_polarity_says_which_excursions_count(
    polarity: Polarity, expected: list[tuple[int, float]]
) -> None:
    data = channel(0, -4, 0, 0, 0, 0, 0, 6, 0, 0, 0)

    found = found_in(finder(polarity=polarity), data)

    assert [(at, value) for at, _, value in found] == expected


def test_a_group_has_one_spike_at_its_largest_channel() -> None:
    data = np.zeros((8, 4))
    data[2] = [-4, -5, 0, 0]
    data[3] = [0, -7, 0, -4]

    assert found_in(finder(4, channels_per_group=2), data) == [(3, 1, -7.0), (3, 3, -4.0)]
    assert found_in(finder(4, channels_per_group=4), data) == [(3, 1, -7.0)]


def test_integers_are_searched_as_they_are() -> None:
    data = np.array([[0], [-32768], [0], [0], [0]], dtype=np.int16)

    assert found_in(finder(dtype=np.int16, polarity="both"), data) == [(1, 0, -32768.0)]


def test_what_is_not_finite_is_no_spike() -> None:
    data = channel(0, -np.inf, 0, 0, np.nan, 0, 0, 0, -5, -np.inf, 0, 0)

    assert found_in(finder(), data) == [(8, 0, -5.0)]


def test_an_interruption_gives_the_peak_so_far() -> None:
    made = finder()
    made.find(channel(0, -4, -6), np.arange(3) / 1000)

    assert [spike.at for spike in made.interrupt()] == [2]
    assert made.interrupt() == []


def test_after_an_interruption_a_spike_begins_at_once() -> None:
    made = finder()
    made.find(channel(0, -4, -6), np.arange(3) / 1000)
    made.interrupt()

    assert found_in(made, channel(-5, 0, 0, 0)) == [(3, 0, -5.0)]


def _by_hand(data: Array, width: int, life: int, refractory: int) -> list[tuple[int, int]]:
    """The same over the whole signal at once, group by group."""
    found = []
    for group in range(data.shape[1] // width):
        own = data[:, group * width : (group + 1) * width]
        heights = np.where(own < -3.0, -own, 0.0)
        height = heights.max(axis=1)
        beyond = np.concatenate(([False], height > 0))
        begins = np.flatnonzero(beyond[1:] & ~beyond[:-1])
        free = busy = 0
        for at in begins.tolist():
            if at < max(free, busy):
                continue
            peak = at
            while (later := height[peak + 1 : peak + life + 1]).size and later.max() > height[peak]:
                peak += 1 + int(later.argmax())
            free, busy = peak + refractory, peak + life + 1
            if peak + life < len(data):
                found.append((peak, group * width + int(heights[peak].argmax())))
    return sorted(found)


@given(
    seed=st.integers(0, 1000),
    width=st.sampled_from([1, 2, 3]),
    life=st.integers(0, 6),
    refractory=st.integers(0, 12),
    sizes=st.lists(st.integers(1, 60), max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_spikes_are_those_found_in_the_whole_signal_however_it_is_cut(
    seed: int, width: int, life: int, refractory: int, sizes: list[int]
) -> None:
    data = 1.8 * noise(300, 6, seed=seed)
    made = finder(6, channels_per_group=width, peak_life=life, refractory=refractory)

    found: list[Spike] = []
    cuts = [0, *np.minimum(np.cumsum(sizes), len(data)).astype(int), len(data)]
    for start, stop in itertools.pairwise(cuts):
        found += made.find(data[start:stop], np.arange(start, stop) / 1000, start)

    assert [spike[:2] for spike in found] == _by_hand(data, width, life, refractory)
    assert [spike.time for spike in found] == [spike.at / 1000 for spike in found]
    assert [spike.number for spike in found] == [spike.at for spike in found]


# --- noise --------------------------------------------------------------------------------------


def learned(data: Array, duration: float = 1.0, **more: Any) -> NoiseEstimate:
    made = NoiseEstimate(data.shape[1], 1000.0, duration, **more)
    start = 0
    while start < len(data):
        n = min(made.remaining, len(data) - start)
        made.feed(data[start : start + n])
        start += n
    return made


def test_the_noise_is_the_median_of_magnitudes_over_0_6745() -> None:
    data = noise(5000, 3) * [1, 10, 100]

    made = learned(data, 5.0)

    expected = np.median(np.abs(data), axis=0) / 0.6744897501960817
    np.testing.assert_allclose(made.deviation, expected, rtol=1e-6)


def test_spikes_hardly_change_the_noise() -> None:
    data = noise(20_000)
    with_spikes = data.copy()
    with_spikes[::100] = -50.0

    assert learned(with_spikes, 20.0).deviation == pytest.approx(
        learned(data, 20.0).deviation, rel=0.03
    )


def test_a_long_time_is_learned_from_a_part_of_its_samples() -> None:
    data = noise(100_000, 2)

    made = learned(data, 100.0)

    np.testing.assert_allclose(made.deviation, 1.0, rtol=0.05)
    assert made.is_known


def test_nothing_is_known_before_all_is_seen() -> None:
    made = learned(noise(999), 1.0)

    assert made.is_learning
    assert not made.is_known
    assert np.isnan(made.deviation).all()
    assert made.remaining == 1


def test_what_is_not_finite_is_not_noise() -> None:
    data = noise(4000, 3)
    clean = learned(data[::2].copy(), 2.0).deviation
    data[1::2, 0] = np.nan
    data[1::2, 1] = -np.inf
    data[:, 2] = np.nan

    deviation = learned(data, 4.0).deviation

    np.testing.assert_allclose(deviation[:2], clean[:2])
    assert np.isnan(deviation[2])


def test_a_median_of_few_is_that_of_numpy() -> None:
    values = np.array([[3.0, 1.0, 2.0, np.nan], [4.0, 1.0, np.inf, np.nan]])

    np.testing.assert_allclose(robust_deviation(values) * 0.6744897501960817, [2.0, 2.5])


def test_noise_that_grows_is_followed() -> None:
    data = noise(60_000)
    data[10_000:] *= 3.0

    still = learned(data)
    following = learned(data, adapt_duration=5.0)

    assert still.deviation == pytest.approx(1.0, rel=0.06)
    assert following.deviation == pytest.approx(3.0, rel=0.15)


def test_a_channel_that_breaks_keeps_its_noise() -> None:
    data = noise(20_000, 2)
    data[1000:, 0] = np.nan
    data[1000:, 1] = np.inf

    following = learned(data, adapt_duration=2.0)

    np.testing.assert_array_equal(following.deviation, learned(data[:1000]).deviation)


def test_noise_learned_anew_replaces_the_old_one_only_when_it_is_known() -> None:
    made = learned(noise(1000))
    before = made.deviation

    made.learn()
    made.feed(5 * noise(999, seed=1))
    meanwhile = made.deviation
    made.feed(np.zeros((1, 1)))

    assert meanwhile is before
    assert made.deviation == pytest.approx(5.0, rel=0.1)


# --- both ---------------------------------------------------------------------------------------


def detection(n_channels: int = 1, *, k: float = 5.0, level: float = 0.0) -> Detection:
    made = PeakFinder(n_channels, peak_life=2, refractory=4)
    return Detection(made, NoiseEstimate(n_channels, 1000.0, 1.0), k=k, level=level)


def test_thresholds_hold_from_the_sample_at_which_the_noise_is_known() -> None:
    data = noise(2000)
    data[[500, 999, 1002, 1500]] = -20.0
    made = detection()

    spikes = made.feed(data, np.arange(2000) / 1000)

    assert [spike.at for spike in spikes] == [1002, 1500]
    assert made.thresholds == pytest.approx(5 * made.noise.deviation)


def test_a_level_needs_no_learning() -> None:
    data = np.zeros((100, 1))
    data[10] = -20.0

    spikes = detection(level=15.0).feed(data, np.arange(100) / 1000)

    assert [spike.at for spike in spikes] == [10]


def test_a_channel_without_noise_is_silent() -> None:
    data = noise(2000, 2)
    data[:1000, 0] = 0.0
    data[1500] = -20.0
    made = detection(2)

    spikes = made.feed(data, np.arange(2000) / 1000)

    assert [(spike.at, spike.channel) for spike in spikes] == [(1500, 1)]
    assert made.thresholds[0] == np.inf


def test_what_is_not_finite_is_counted() -> None:
    data = noise(50, 3)
    data[3, 1] = np.nan
    data[4, :2] = -np.inf
    made = detection(3)

    made.feed(data, np.arange(50) / 1000)

    assert made.n_not_finite == 3
