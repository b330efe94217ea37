from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rigmesh.errors import NodeError
from rigmesh.node.testing import TestRuntime, collect, run
from rigmesh.streams import local_clock
from rigmesh_nodes.sim import Spikes


def made(n_samples: int = 60_000, **parameters: Any) -> dict[str, Any]:
    found = run(Spikes(paced=False, n_samples=n_samples, **parameters))
    assert isinstance(found, dict)
    return found


def truth_of(found: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Unit, channel and sample of each spike."""
    texts = (json.loads(text) for text in found["truth"].data)
    return [(each["unit"], each["channel"], each["sample"]) for each in texts]


def test_neither_signal_nor_truth_depend_on_the_size_of_the_chunks() -> None:
    one, other = made(chunk_duration=10), made(chunk_duration=7.3)

    np.testing.assert_array_equal(one["signal"].data, other["signal"].data)
    np.testing.assert_array_equal(one["truth"].raw_timestamps, other["truth"].raw_timestamps)
    assert one["truth"].data == other["truth"].data


def test_a_seed_makes_another_signal_with_other_spikes() -> None:
    one, other = made(3000, seed=1), made(3000, seed=2)

    assert not np.array_equal(one["signal"].data, other["signal"].data)
    assert truth_of(one) != truth_of(other)


def test_a_device_that_is_resumed_goes_on_with_its_spikes() -> None:
    runtime = TestRuntime(context={"resumed": True})
    runtime.run_start = local_clock() - 1.0
    node = Spikes(n_samples=6000)

    found = run(node, runtime=runtime)

    first = node.signal.device_index
    assert first is not None
    assert node.truth.device_index is None
    whole = made(first + 6000)
    np.testing.assert_array_equal(found["signal"].data, whole["signal"].data[first:])
    assert truth_of(found) == [spike for spike in truth_of(whole) if spike[2] >= first]


def test_the_truth_is_stamped_like_the_sample_of_the_trough() -> None:
    found = made(noise=0.001, lfp=0.0, snr=[80_000], n_units=1, n_channels=3)

    stamps, data = found["signal"].raw_timestamps, found["signal"].data
    samples = [sample for _, _, sample in truth_of(found)]
    assert len(samples) >= 10
    np.testing.assert_array_equal(stamps[samples], found["truth"].raw_timestamps)
    assert {channel for _, channel, _ in truth_of(found)} == {1}
    np.testing.assert_allclose(data[samples, 1], -80.0, rtol=0.05)
    np.testing.assert_allclose(data[samples, 0], -80.0 / np.e, rtol=0.05)
    assert np.argmin(data[samples[0] - 20 : samples[0] + 20, 1]) == 20


def test_spikes_are_so_many_noise_deviations_deep() -> None:
    found = made(300_000, lfp=0.0, n_units=2, snr=[8.0, 12.0], rate=30, n_channels=2, spread=0.1)

    data = found["signal"].data
    for unit, snr in ((1, 8.0), (2, 12.0)):
        samples = [sample for each, _, sample in truth_of(found) if each == unit]
        assert np.mean(data[samples, unit - 1]) == pytest.approx(-10.0 * snr, abs=2.0)
    assert np.median(np.abs(data)) / 0.6745 == pytest.approx(10.0, rel=0.03)


def test_units_fire_at_their_rate_and_never_within_the_refractory_time() -> None:
    found = made(3_000_000, sampling_rate=30_000, n_channels=1, n_units=3, rate=40, refractory=5)

    for unit in (1, 2, 3):
        samples = np.array([sample for each, _, sample in truth_of(found) if each == unit])
        assert len(samples) / 100 == pytest.approx(40, rel=0.07)
        pauses = np.diff(samples) / 30_000
        assert pauses.min() >= 0.005 - 1 / 30_000
        # Beyond the dead time the pauses of a Poisson process deviate as much as they last.
        assert np.std(pauses) == pytest.approx(np.mean(pauses) - 0.005, rel=0.1)


def test_the_background_is_slow_and_the_same_on_all_channels() -> None:
    found = made(120_000, noise=0.01, lfp=50.0, n_units=1, snr=[0.0])

    data = found["signal"].data
    assert np.std(data, axis=0) == pytest.approx(50.0, rel=0.5)
    assert np.abs(np.diff(data[:, 0])).max() < 5.0
    assert np.abs(data[:, 0] - data[:, 3]).max() < 0.2


def test_the_truth_comes_with_its_samples() -> None:
    found = collect(Spikes(paced=False, n_samples=30_000))

    (info,) = found["truth"].infos
    assert info.kind == "markers"
    assert len(found["signal"].chunks) == 100
    assert sum(len(chunk) for chunk in found["truth"].chunks) >= 20


def test_more_than_the_refractory_time_allows_is_refused() -> None:
    with pytest.raises(NodeError, match=r"rate is at most 100 Hz at a refractory time of 5 ms"):
        made(10, rate=200, refractory=5)
