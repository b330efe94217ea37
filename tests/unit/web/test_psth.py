"""Histograms, rasters and averages around events."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.errors import ParameterError
from rigmesh.web import psth
from rigmesh.web.psth import EventAverage, PeriEvents

TIMES = st.lists(
    st.floats(0, 100, allow_nan=False) | st.integers(0, 1000).map(lambda n: n / 10), max_size=60
)


def by_numpy(
    events: npt.NDArray[Any], targets: npt.NDArray[Any], edges: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    relative = (targets[None, :] - events[:, None]).ravel()
    return np.histogram(relative, edges)[0]


@settings(deadline=None)
@given(TIMES, TIMES, st.sampled_from([(-0.5, 1.0, 0.1), (0.0, 2.0, 0.25), (-3.0, -1.0, 0.3)]))
def test_counts_are_those_of_numpy(
    events: list[float], targets: list[float], window: tuple[float, float, float]
) -> None:
    around = PeriEvents(*window)

    (found,) = around.count(np.array(events), np.array(targets))

    expected = by_numpy(np.array(events), np.array(targets), around.edges)
    np.testing.assert_array_equal(found.counts, expected)
    assert sum(map(len, found.raster)) == expected.sum()


GRID = st.lists(st.integers(0, 8), max_size=20).map(lambda found: np.array(found) / 10)
REPEATED = st.tuples(GRID, st.integers(1, 5)).map(lambda found: np.repeat(*found))


@settings(deadline=None)
@given(GRID, REPEATED, st.sampled_from([0.0, 5000.0, 1.7e9]), st.integers(-8, 4), st.integers(1, 8))
def test_many_equal_stamps_at_the_edges_are_counted_as_by_numpy(
    events: npt.NDArray[Any], targets: npt.NDArray[Any], since: float, start: int, n_bins: int
) -> None:
    around = PeriEvents(start / 10, (start + n_bins) / 10, 0.1)

    (found,) = around.count(events + since, targets + since)

    expected = by_numpy(events + since, targets + since, around.edges)
    np.testing.assert_array_equal(found.counts, expected)
    assert sum(map(len, found.raster)) == expected.sum()
    assert len(found.raster) == len(events)


def test_five_targets_at_the_upper_edge_are_five() -> None:
    (found,) = PeriEvents(-1.0, 1.0, 1.0).count(np.zeros(1), np.ones(5))

    assert found.counts.tolist() == [0, 5]


def test_what_is_counted_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    events, targets = random.uniform(0, 50, 200), random.uniform(0, 50, 3000)
    (whole,) = PeriEvents(-1.0, 1.0, 0.1).count(events, targets)
    monkeypatch.setattr(psth, "_AT_ONCE", 500)

    (parts,) = PeriEvents(-1.0, 1.0, 0.1).count(events, targets)

    np.testing.assert_array_equal(parts.counts, whole.counts)
    for own, other in zip(parts.raster, whole.raster, strict=True):
        np.testing.assert_array_equal(own, other)


def test_more_than_memory_has_room_for_is_refused_before_it_is_made() -> None:
    events = np.arange(200_000) / 100

    with pytest.raises(ParameterError, match=r"40,000,000,000 times .* shorter window"):
        PeriEvents(-1e12, 1e12, 1e9).count(events, events)


def test_a_window_of_centuries_takes_no_memory_before_it_is_refused() -> None:
    assert EventAverage(-1e12, 1e12, 30_000.0).n == 60_000_000_000_000_000


def test_each_group_has_the_counts_of_its_own_events() -> None:
    random = np.random.default_rng(0)
    events, targets = np.sort(random.uniform(0, 300, 200)), random.uniform(0, 300, 5000)
    labels = random.choice(["left", "right", "none"], 200).tolist()
    around = PeriEvents(-0.5, 1.0, 0.02)

    found = around.count(events, targets, labels)

    assert [group.label for group in found] == list(dict.fromkeys(labels))
    for group in found:
        own = events[np.array(labels) == group.label]
        np.testing.assert_array_equal(group.counts, by_numpy(own, targets, around.edges))
        np.testing.assert_array_equal(events[group.events], own)


def test_edges_reach_over_the_window_and_one_is_zero() -> None:
    around = PeriEvents(-0.3, 0.6, 0.1)

    assert len(around.edges) == 10
    assert 0.0 in around.edges
    np.testing.assert_allclose(around.edges, np.arange(-3, 7) / 10, atol=1e-12)
    assert PeriEvents(0, 1, 0.3).edges[-1] == pytest.approx(1.2)


def test_a_target_at_an_edge_is_in_the_bin_above_and_at_the_last_in_the_last() -> None:
    around = PeriEvents(0.0, 1.0, 0.25)

    (found,) = around.count(np.array([10.0]), np.array([10.0, 10.25, 11.0, 11.0001]))

    assert found.counts.tolist() == [1, 1, 0, 1]


def test_the_raster_has_the_times_after_each_event() -> None:
    around = PeriEvents(-1.0, 1.0, 0.5)

    (found,) = around.count(np.array([5.0, 7.0]), np.array([7.5, 4.5, 5.25, 20.0]))

    assert [row.tolist() for row in found.raster] == [[-0.5, 0.25], [0.5]]


def test_rates_are_per_second_and_event() -> None:
    around = PeriEvents(0.0, 0.2, 0.1)

    (found,) = around.count(np.array([0.0, 10.0]), np.array([0.05, 0.06, 10.01]))

    np.testing.assert_allclose(found.rates(around.widths), [15.0, 0.0])


def test_events_without_a_time_are_left_out() -> None:
    around = PeriEvents(0.0, 1.0, 0.5)

    found = around.count(np.array([np.nan, 5.0]), np.array([5.1]), ["a", "b"])

    assert [(group.label, group.counts.sum()) for group in found] == [("b", 1)]


def test_no_events_are_no_counts() -> None:
    (found,) = PeriEvents(0.0, 1.0, 0.5).count(np.empty(0), np.array([1.0]))

    assert found.counts.tolist() == [0, 0]
    assert found.raster == ()


@pytest.mark.parametrize("window", [(1.0, 1.0, 0.1), (0.0, 1.0, 0.0), (0.0, np.inf, 0.1),
                                    (0.0, 1.0, 1e-9)])  # fmt: skip
def test_windows_that_are_none_are_refused(window: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"window|bin"):
        PeriEvents(*window)


def test_labels_must_be_as_many_as_events() -> None:
    with pytest.raises(ValueError, match="1 events have 2 labels"):
        PeriEvents(0.0, 1.0, 0.5).count(np.array([1.0]), np.array([1.0]), ["a", "b"])


def test_the_average_is_numpys_mean_and_standard_error() -> None:
    rate, random = 100.0, np.random.default_rng(1)
    signal = 1e6 + random.standard_normal((1000, 2))
    events = np.array([1.0, 3.0, 5.0, 9.99])

    def sweep(event: float, first: int, n: int) -> npt.NDArray[Any] | None:
        row = round(event * rate) + first
        return signal[row : row + n] if row >= 0 and row + n <= len(signal) else None

    average = EventAverage(-0.1, 0.2, rate)
    found = list(average.average(events, sweep, ["a", "b", "a", "a"]))

    sweeps = np.stack([signal[90:120], signal[490:520]])
    assert [(each.label, each.n) for each in found] == [("a", 2), ("b", 1)]
    np.testing.assert_allclose(average.times, np.arange(-10, 20) / rate)
    np.testing.assert_allclose(found[0].mean, sweeps.mean(0))
    np.testing.assert_allclose(found[0].error, sweeps.std(0, ddof=1) / np.sqrt(2), rtol=1e-6)
    assert np.isnan(found[1].error).all()
