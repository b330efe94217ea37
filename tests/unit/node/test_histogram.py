"""Durations counted in bins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rigmesh.node.histogram import Histogram

DURATIONS = st.lists(st.integers(0, 10**11), min_size=1, max_size=200)


@given(DURATIONS, st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_at_most_a_bin_above_the_true_one(values: list[int], percent: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    found = histogram.percentile(percent) * 1e9

    true = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    assert true * (1 - 1e-9) <= found <= max(4, 1.25 * true) * (1 + 1e-9)


@given(DURATIONS)
def test_the_largest_duration_is_exact(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    assert histogram.largest == max(values)
    assert histogram.percentile(100) == max(values) / 1e9
    assert histogram.total == sum(histogram.counts) == len(values)


def test_an_empty_histogram_says_zero() -> None:
    assert Histogram().percentile(99) == 0.0


def test_a_duration_beyond_all_bins_is_counted() -> None:
    histogram = Histogram()

    histogram.add(10**18)

    assert histogram.percentile(50) == 1e9 or histogram.counts[-1] == 1
