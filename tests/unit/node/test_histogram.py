"""Durations counted in bins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rigmesh.node.histogram import BIN_OF, LINEAR, N_BINS, Histogram, bin_of

DURATIONS = st.lists(st.integers(0, 6 * 10**10), min_size=1, max_size=200)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(DURATIONS, st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_at_most_a_bin_above_the_true_one(values: list[int], percent: int) -> None:
    found = filled(values).percentile(percent) * 1e9

    true = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    assert true * (1 - 1e-9) <= found <= max(256 + true, 1.0626 * true) * (1 + 1e-9)


@given(DURATIONS)
def test_every_duration_is_in_one_bin(values: list[int]) -> None:
    histogram = filled(values)

    assert histogram.total == sum(count for _, _, count in histogram.bins()) == len(values)
    for low, high, _ in histogram.bins():
        assert any(low * 1e9 - 1 <= value <= high * 1e9 for value in values)
    assert max(values) <= histogram.largest


@given(st.integers(0, LINEAR - 1))
def test_the_table_of_bins_says_what_the_formula_says(value: int) -> None:
    assert BIN_OF[value >> 8] == bin_of(value)


@given(DURATIONS, DURATIONS)
def test_what_came_since_is_the_difference(before: list[int], after: list[int]) -> None:
    both, first = filled([*before, *after]), filled(before)

    assert both.since(first.counts).counts == filled(after).counts
    first.merge(filled(after).trimmed())
    assert first.counts == both.counts


def test_an_empty_histogram_says_zero() -> None:
    assert Histogram().percentile(99) == Histogram().largest == 0.0
    assert Histogram().bins() == []
    assert Histogram().trimmed() == []


def test_a_duration_beyond_all_bins_is_in_the_last_one() -> None:
    histogram = filled([10**18])

    assert histogram.counts[N_BINS - 1] == 1
