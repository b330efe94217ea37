from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import linear_sum_assignment
from tests.unit.nodes.spike_signals import RATE, matches, noise, signal, signals, simulated

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, run
from rigmesh.streams import Cause, ClockModel, Gap, Markers, Signal, StreamInfo
from rigmesh_nodes._spike_sorting import History, aligned
from rigmesh_nodes._spike_templates import REJECTED, learn_templates
from rigmesh_nodes.spikes import SpikeSorter

Array = npt.NDArray[Any]

SHAPES = {
    "narrow": np.array([0.0, -3, -12, -3, 0, 0, 0, 0]),
    "wide": np.array([0.0, -8, -14, -13, -11, -8, -4, 0]),
    "odd": np.array([9.0, 9, -12, 9, 9, 9, 9, 9]),
}


def spikes(*shapes: tuple[str, int], n_samples: int = 10_000, n_channels: int = 1) -> Signal:
    """Noise at 1000 Hz, with spikes on channel 0 whose third sample, the peak, is at a sample."""
    data = noise(n_samples, n_channels)
    for shape, at in shapes:
        data[at - 2 : at + 6, 0] += SHAPES[shape]
    return signal(data)


TRAINING = [("narrow", at) for at in range(1020, 5000, 80)] + [
    ("wide", at) for at in range(1060, 5000, 80)
]


def quick(**more: Any) -> SpikeSorter:
    """Learn noise for 1 s and units until 5 s; waveforms of 8 samples."""
    given: dict[str, Any] = {
        "k": 6, "noise_duration": 1.0, "learn_duration": 5.0, "peak_life": 3, "refractory": 6,
        "before": 2, "after": 6,
    }  # fmt: skip
    return SpikeSorter(**{**given, **more})


class TestSpikeSorter(NodeTests):
    make = partial(quick, text="{unit} {channel} {group} {value} {time} {index}")
    feed = spikes(*TRAINING, *[("wide", at) for at in range(5500, 9000, 70)], n_channels=2)


class TestSpikeSorterOfGroups(NodeTests):
    make = partial(
        quick, k=2.5, channels_per_group=2, learn_duration=1.5, polarity="both", adapt_duration=1
    )
    feed = signal(1.5 * noise(4000, 6))


def sorted_in(node: SpikeSorter, *chunks: Signal) -> list[tuple[float, str]]:
    markers = run(node, list(chunks))
    if markers is None:
        return []
    return list(zip(markers.raw_timestamps.tolist(), markers.data, strict=True))


def started(node: SpikeSorter, info: StreamInfo | None) -> SpikeSorter:
    node.signal.links.append(InputLink("amp.signal", info=info))
    node.prepare()
    return node


# --- against the ground truth -------------------------------------------------------------------


@pytest.mark.parametrize("k", [4.0, 5.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_of_three_different_units_at_a_tetrode_94_percent_are_sorted_right(
    seed: int, k: float
) -> None:
    what = simulated(seed=seed, duration=60.0, snr=(8.0,))
    node = SpikeSorter(k=k, channels_per_group=4)

    markers = run(node, what.chunks)

    truth = what.between(30.05, 59.99)
    nth = matches(truth.times, markers.raw_timestamps)
    found = np.where(nth >= 0, np.array(markers.data, dtype=int)[nth], 0)
    table = np.zeros((3, node.n_units), dtype=int)
    np.add.at(table, (truth.units[found > 0] - 1, found[found > 0] - 1), 1)
    right = table[linear_sum_assignment(-table)].sum() / len(truth.times)
    assert node.n_units == 3
    assert right >= 0.94


def test_noise_is_rejected() -> None:
    what = simulated(seed=1, duration=60.0, snr=(8.0,))
    node = SpikeSorter(k=3.75, channels_per_group=4)

    markers = run(node, what.chunks)

    is_noise = matches(markers.raw_timestamps, what.times, tolerance=1e-3) < 0
    units = np.array(markers.data, dtype=int)[is_noise]
    assert len(units) > 100
    assert np.mean(units == 0) >= 0.97
    assert node.counts[0] >= len(units) * 0.97
    assert sum(node.counts) == len(markers.data) == node.n_spikes


def test_without_spikes_there_are_no_units() -> None:
    node = SpikeSorter(k=4.0, learn_duration=4.0, min_spikes=5)

    markers = run(node, signal(noise(round(8 * RATE), 2), rate=RATE))

    assert node.n_units == 0
    assert set(markers.data) == {"0"}


# --- learning -----------------------------------------------------------------------------------


def test_nothing_is_told_while_it_learns() -> None:
    node = quick()
    feed = spikes(*TRAINING, ("narrow", 5500), ("wide", 5600))

    found = sorted_in(node, *signals(feed, 30))

    assert [time for time, _ in found] == [5.5, 5.6]
    assert {unit for _, unit in found} == {"1", "2"}
    assert not node.is_learning
    assert node.n_units == 2


@pytest.mark.parametrize("size", [1, 5, 13])
def test_small_chunks_do_not_change_the_result(size: int) -> None:
    feed = spikes(*TRAINING, *[("wide", at) for at in range(5500, 9000, 33)])

    whole = sorted_in(quick(text="{unit} {value}"), feed)

    assert sorted_in(quick(text="{unit} {value}"), *signals(feed, size)) == whole
    assert len(whole) > 100


def test_what_is_like_no_unit_is_rejected() -> None:
    node = quick()

    found = sorted_in(node, spikes(*TRAINING, ("odd", 5500), ("wide", 5600)))

    assert [unit == "0" for _, unit in found] == [True, False]
    assert node.counts[0] == 1
    assert sum(node.counts) == 2


def test_each_group_has_units_of_its_own() -> None:
    left, right = spikes(*TRAINING, ("wide", 5600)), spikes(*TRAINING, ("wide", 5800))
    node = quick(text="{group}")

    found = sorted_in(node, signal(np.hstack((left.data, right.data))))

    assert found == [(5.6, "0"), (5.8, "1")]
    assert node.n_units == 4


def test_few_examples_make_no_unit() -> None:
    training = [(shape, at) for shape, at in TRAINING if shape == "narrow" or at < 2000]
    node = quick(min_spikes=20)

    found = sorted_in(node, spikes(*training, ("narrow", 5500), ("wide", 5600)))

    assert [unit for _, unit in found] == ["1", "0"]


def test_units_can_be_learned_anew() -> None:
    first = spikes(*TRAINING)
    node = started(quick(), first.info)
    node.process(first)
    before = node.n_units

    node.learn()
    second = [(shape, at) for shape, at in TRAINING if shape == "wide"]
    markers = node.process(signal(spikes(*second, ("wide", 6000)).data, index=len(first)))

    assert before == 2
    assert node.n_units == 1
    assert isinstance(markers, Markers)
    assert markers.raw_timestamps.tolist() == [16.0]
    assert node.counts == [0, 1]


def test_counts_can_be_reset() -> None:
    feed = spikes(*TRAINING, ("wide", 5600))
    node = started(quick(), feed.info)
    node.process(feed)

    node.reset()

    assert (node.n_spikes, node.counts, node.n_units) == (0, [0, 0, 0], 2)


def test_noise_must_be_known_before_units_are_learned() -> None:
    with pytest.raises(NodeError, match=r"learn_duration is longer than noise_duration, which is"):
        run(quick(noise_duration=5.0), spikes())


# --- holes --------------------------------------------------------------------------------------


def test_a_waveform_with_a_hole_is_rejected() -> None:
    data = np.array(spikes(*TRAINING, ("wide", 5600), ("wide", 5700)).data)
    data[5604] = np.nan
    node = quick()

    found = sorted_in(node, signal(data))

    assert [(time, unit == "0") for time, unit in found] == [(5.6, True), (5.7, False)]
    assert node.n_not_finite == 1


def test_holes_while_it_learns_do_no_harm() -> None:
    data = np.array(spikes(*TRAINING, ("wide", 5600)).data)
    data[1004:4000:100] = np.inf
    data[1005:4000:100] = np.nan
    node = quick()

    found = sorted_in(node, signal(data))

    assert [time for time, _ in found] == [5.6]
    assert node.n_units == 2


def test_a_spike_beside_missing_samples_is_rejected() -> None:
    data = spikes(*TRAINING, *[("narrow", at) for at in (5600, 5650, 5700)]).data
    before, after = signal(data[:5602]), signal(data[5648:], index=5648)
    after.gaps = (Gap(Cause.OVERRUN, 0, 5648, 46),)

    found = sorted_in(quick(), before, after)

    assert [(time, unit == "0") for time, unit in found] == [
        (5.6, True), (5.65, True), (5.7, False)
    ]  # fmt: skip


def test_markers_keep_the_clock_of_the_signal() -> None:
    feed = spikes(*TRAINING, ("wide", 5600))
    feed.clock = ClockModel(offset=100.0)

    markers = run(quick(), feed)

    assert markers.timestamps.tolist() == [105.6]


# --- parts --------------------------------------------------------------------------------------


def test_history_gives_back_what_is_not_too_old() -> None:
    data = np.arange(200.0)[:, None]
    history = History(10, 1, np.float64)

    for start in range(0, 200, 7):
        history.append(data[start : start + 7])
        stop = min(start + 7, 200)
        window = history.window(max(stop - 10, 0), stop)
        assert window is not None
        np.testing.assert_array_equal(window, data[max(stop - 10, 0) : stop])

    assert history.window(-1, 3) is None
    assert history.window(0, 5) is None


def test_history_takes_chunks_of_any_size() -> None:
    data = np.arange(500.0)[:, None]
    history = History(10, 1, np.float64)

    history.append(data[:7])
    history.append(data[7:450])
    history.append(data[450:])

    window = history.window(490, 500)
    assert window is not None
    np.testing.assert_array_equal(window, data[490:])


@pytest.mark.parametrize("shift", [-0.5, -0.3, 0.0, 0.2, 0.5])
def test_a_waveform_is_moved_so_that_its_peak_is_at_a_sample(shift: float) -> None:
    at = np.arange(-10, 11)
    wave = -np.exp(-0.5 * ((at - shift) / 3.0) ** 2)[:, None]

    moved = aligned(np.hstack((wave, 2 * wave)), 10, 0)

    expected = -np.exp(-0.5 * (at[2:-2] / 3.0) ** 2)
    np.testing.assert_allclose(moved[:, 0], expected, atol=0.01)
    np.testing.assert_allclose(moved[:, 1], 2 * moved[:, 0])


def clouds(*centres: list[float], n: int = 300, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return np.vstack([random.standard_normal((n, len(c))) + np.array(c) for c in centres])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_units", [1, 2, 4])
def test_there_are_as_many_units_as_clouds(n_units: int, seed: int) -> None:
    centres = [[8.0 * n, 8.0 * (n % 2), *[0.0] * 8] for n in range(n_units)]

    templates = learn_templates(clouds(*centres, seed=seed))

    assert len(templates) == n_units
    assert len({templates.nearest(np.array(c)) for c in centres} - {REJECTED}) == n_units


def test_clouds_that_touch_are_one_unit() -> None:
    assert len(learn_templates(clouds([0.0, 0, 0], [2.0, 0, 0]))) == 1


def test_what_is_far_from_all_units_is_rejected() -> None:
    templates = learn_templates(clouds([0.0, 0, 0], [9.0, 0, 0]))

    assert templates.nearest(np.array([4.5, 0.0, 0.0])) == REJECTED
    assert templates.nearest(np.array([np.nan, 0.0, 0.0])) == REJECTED


def test_a_unit_accepts_the_part_of_its_examples_that_is_asked_for() -> None:
    examples = clouds([0.0, 0, 0])

    templates = learn_templates(examples, accepted=0.9)

    accepted = [templates.nearest(example) != REJECTED for example in examples]
    assert np.mean(accepted) == pytest.approx(0.9, abs=0.01)


def test_the_largest_units_are_kept() -> None:
    examples = np.vstack((clouds([0.0, 0, 0], n=50), clouds([9.0, 0, 0], [0.0, 9, 0], n=200)))

    templates = learn_templates(examples, max_units=2)

    assert templates.nearest(np.array([0.0, 0, 0])) == REJECTED
    assert len(templates) == 2


def test_equal_examples_are_one_unit() -> None:
    examples = np.ones((100, 4))

    templates = learn_templates(examples)

    assert templates.nearest(examples[0]) == 0
    assert templates.nearest(examples[0] + 1) == REJECTED
