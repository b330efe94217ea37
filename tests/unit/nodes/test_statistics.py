from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, chunked, run
from rigmesh.streams import ClockModel, Signal, StreamInfo
from rigmesh_nodes.statistics import RunningMoments, RunningStats, _update

Values = npt.NDArray[np.float64]
RATE = 100


def signal(data: npt.NDArray[Any]) -> Signal:
    info = StreamInfo.signal(
        "amp.signal", channels=data.shape[1], sampling_rate=RATE, dtype=data.dtype.name, unit="uV"
    )
    return Signal(data, np.arange(len(data)) / RATE, info=info)


def noise(n_samples: int = 1000, n_channels: int = 3, *, seed: int = 0) -> Signal:
    random = np.random.default_rng(seed)
    offsets = 10.0 * np.arange(n_channels)
    data = random.normal(size=(n_samples, n_channels)) * (1 + offsets) + 5 * offsets
    data[random.random(data.shape) < 0.01] *= 30
    return signal(data)


class TestRunningStats(NodeTests):
    make = partial(RunningStats, time_constant=1)
    feed = noise()


class TestRunningStatsOfIntegersWithOutliers(NodeTests):
    make = partial(RunningStats, time_constant=0.5, outlier=4, burn_in=0.2)
    feed = signal(np.random.default_rng(1).integers(-300, 300, (500, 2)).astype(np.int16))


def statistics(node: RunningStats, *chunks: Any) -> tuple[Values, Values]:
    result = run(node, list(chunks))
    return result["mean"].data, result["deviation"].data


def offline(
    values: Values, tau: float, outlier: float = 0.0, half_life: float = 1.0, burn_in: int = 0
) -> tuple[Values, Values]:
    """Compute both as weighted sums over all values up to each one, not as a recursion."""
    shares: list[float] = []
    means = np.zeros(len(values))
    deviations = np.zeros(len(values))
    away = np.zeros(len(values))
    for i, value in enumerate(values):
        share = max(1 - np.exp(-1 / tau), 1 / (i + 1))
        if outlier and i >= burn_in:
            z = abs(value - means[i - 1]) / deviations[i - 1]
            if z > outlier:
                share *= max(0.5 ** ((z - outlier) / half_life), 0.01)
        shares.append(share)
        kept = np.cumprod(np.append(1.0, 1 - np.array(shares[:0:-1])))[::-1]
        weights = kept * shares
        means[i] = weights @ values[: i + 1]
        away[i] = abs(value - means[i])
        deviations[i] = weights @ away[: i + 1]
    return means, deviations


# --- against the offline reference --------------------------------------------------------------


@pytest.mark.parametrize("outlier", [0.0, 5.0])
def test_mean_and_deviation_are_those_of_an_offline_reference(outlier: float) -> None:
    feed = noise()
    node = RunningStats(time_constant=0.7, outlier=outlier, half_life=1.5, burn_in=0.3)

    mean, deviation = statistics(node, *chunked(feed, 17))

    for channel in range(3):
        expected = offline(feed.data[:, channel], 70, outlier, 1.5, 30)
        np.testing.assert_allclose(mean[:, channel], expected[0], rtol=1e-9)
        np.testing.assert_allclose(deviation[:, channel], expected[1], rtol=1e-9, atol=1e-12)
    assert (node.n_outliers > 10) == (outlier > 0)


def test_a_step_is_followed_with_the_time_constant() -> None:
    data = np.zeros((10_000, 1))
    data[5000:] = 1.0

    mean, _ = statistics(RunningStats(time_constant=2), signal(data))

    assert mean[5000 + 200 - 1, 0] == pytest.approx(1 - np.exp(-1), rel=1e-6)


def test_the_deviation_of_gaussian_noise_is_0_8_of_the_standard_deviation() -> None:
    data = np.random.default_rng(3).normal(7, 2, (50_000, 1))

    mean, deviation = statistics(RunningStats(time_constant=60), signal(data))

    assert mean[-1, 0] == pytest.approx(7, abs=0.2)
    assert deviation[-1, 0] == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.05)


# --- outliers -----------------------------------------------------------------------------------


def test_outliers_hardly_move_what_is_protected() -> None:
    data = np.random.default_rng(4).normal(size=(20_000, 1))
    data[10_000::100] = 50

    plain, _ = statistics(RunningStats(time_constant=5), signal(data))
    protected, _ = statistics(RunningStats(time_constant=5, outlier=6), signal(data))

    assert plain[-1, 0] > 0.4
    assert abs(protected[-1, 0]) < 0.15


def test_a_lasting_step_is_got_over_in_spite_of_the_protection() -> None:
    data = np.random.default_rng(5).normal(size=(20_000, 1))
    data[3000:] += 1000

    mean, deviation = statistics(RunningStats(time_constant=2, outlier=6), signal(data))

    assert mean[-1, 0] == pytest.approx(1000, abs=1)
    assert deviation[-1, 0] == pytest.approx(0.8, abs=0.3)


def test_a_constant_signal_has_no_outliers() -> None:
    node = RunningStats(outlier=3, burn_in=0)
    data = np.ones((200, 1))

    mean, deviation = statistics(node, signal(data))

    assert (mean == 1).all()
    assert not deviation.any()
    assert node.n_outliers == 0


# --- what is not finite, commands, live changes -------------------------------------------------


def test_what_is_not_finite_changes_nothing_and_is_counted() -> None:
    feed = noise()
    holed = feed.data.copy()
    for row, bad in ((0, np.nan), (300, np.inf), (301, -np.inf), (302, 1e200)):
        holed[row] = bad
    node = RunningStats(time_constant=1)

    mean, deviation = statistics(node, signal(holed))

    expected, _ = statistics(RunningStats(time_constant=1), signal(np.delete(holed, 0, 0)))
    assert node.n_not_finite == 4 * 3
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()
    np.testing.assert_array_equal(mean[1:], expected)
    np.testing.assert_array_equal(mean[302], mean[299])


def started(**parameters: Any) -> RunningStats:
    node = RunningStats(**parameters)
    feed = noise()
    node.signal.links.append(InputLink("amp.signal", info=feed.info))
    node.prepare()
    node.process(feed)
    return node


def last_mean(node: RunningStats, value: float) -> float:
    assert node._moments is not None
    return float(node._moments(np.full((1, 3), value))[0][0, 0])


def test_a_reset_forgets_all() -> None:
    node = started()

    node.reset()

    assert last_mean(node, 123.0) == 123.0
    assert "reset" in RunningStats.commands().docs


def test_the_time_constant_changes_between_two_chunks() -> None:
    node = started(time_constant=1000)

    node.set_parameters({"time_constant": 0.001})

    assert last_mean(node, 123.0) == pytest.approx(123.0, abs=0.02)


# --- streams ------------------------------------------------------------------------------------


def test_the_outputs_have_the_channels_and_the_clock_of_the_signal() -> None:
    feed = signal(np.ones((10, 2), np.float32))
    feed.clock = ClockModel(offset=3.0)
    node = RunningStats()

    result = run(node, feed)

    assert feed.info is not None
    assert node.mean.info.channels == node.deviation.info.channels == feed.info.channels
    assert node.mean.info.dtype == "float64"
    np.testing.assert_array_equal(result["deviation"].timestamps, feed.timestamps)


def test_an_irregular_signal_is_refused() -> None:
    feed = noise(10)
    feed.info = StreamInfo.signal("slow.values", channels=3, sampling_rate=0)

    with pytest.raises(NodeError, match=r"takes a regular signal; slow\.values is irregular"):
        run(RunningStats(), feed)


def test_the_moments_are_computed_without_a_compiler_too() -> None:
    feed = noise(200)
    compiled, plain = RunningMoments(3, RATE), RunningMoments(3, RATE)
    plain._update = _update.function

    np.testing.assert_allclose(plain(feed.data), compiled(feed.data), rtol=1e-12)
