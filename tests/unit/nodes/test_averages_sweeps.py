"""The sweeps around events, and their averages, without a node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh_nodes._sweeps import MovingAverage, RunningAverage, Sweep, SweepCutter

Array = npt.NDArray[Any]
RATE = 100.0


def cutter(before: float = 0.05, after: float = 0.1, patience: float = 100.0) -> SweepCutter:
    return SweepCutter(2, np.float64, RATE, before=before, after=after, patience=patience)


def numbered(n: int, first: int = 0) -> Array:
    """Samples that carry their number, in both channels."""
    return np.repeat(np.arange(first, first + n, dtype=float)[:, None], 2, axis=1)


def times(n: int, first: int = 0) -> Array:
    return np.arange(first, first + n) / RATE


def rows(sweeps: list[Sweep]) -> list[tuple[int, int]]:
    """The first and last number of each sweep."""
    return [(int(sweep.data[0, 0]), int(sweep.data[-1, 0])) for sweep in sweeps]


# --- where sweeps lie ---------------------------------------------------------------------------


def test_a_sweep_has_the_samples_of_both_its_ends() -> None:
    cut = cutter(before=0.05, after=0.1)
    cut.add(1.0, "a")

    (sweep,) = cut.take(numbered(200), times(200))

    assert (sweep.time, sweep.label) == (1.0, "a")
    np.testing.assert_array_equal(sweep.data, numbered(16, 95))


@pytest.mark.parametrize(("away", "nearest"), [(-0.0049, 100), (0.0049, 100), (0.0051, 101)])
def test_an_event_belongs_to_the_nearest_sample(away: float, nearest: int) -> None:
    cut = cutter(before=0, after=0)
    cut.take(numbered(200), times(200))

    found = cut.add(1.0 + away, "")

    assert rows(found) == [(nearest, nearest)]


def test_jittering_stamps_are_taken_as_they_are() -> None:
    stamps = times(200) + np.random.default_rng(0).uniform(-0.004, 0.004, 200)
    cut = cutter(before=0, after=0)
    cut.take(numbered(200), stamps)

    found = [rows(cut.add(time, ""))[0][0] for time in np.arange(0.5, 1.5, 0.0137)]

    expected = [int(np.abs(stamps - time).argmin()) for time in np.arange(0.5, 1.5, 0.0137)]
    assert found == expected


def test_sweeps_overlap() -> None:
    cut = cutter()
    for time in (1.0, 1.01, 1.01, 1.05):
        cut.add(time, "")

    found = cut.take(numbered(200), times(200))

    assert rows(found) == [(95, 110), (96, 111), (96, 111), (100, 115)]


def test_a_sweep_is_given_with_its_last_sample() -> None:
    cut = cutter(after=0.1)
    cut.add(1.0, "")

    early = cut.take(numbered(110), times(110))
    now = cut.take(numbered(1, 110), times(1, 110))

    assert early == []
    assert rows(now) == [(95, 110)]


# --- what has no sweep --------------------------------------------------------------------------


def test_events_without_all_their_samples_at_the_beginning_are_told_apart() -> None:
    cut = cutter()
    cut.add(-5.0, "before the signal")
    cut.add(0.02, "too close to its begin")

    found = cut.take(numbered(200), times(200))

    assert found == []
    assert (cut.n_late, cut.n_incomplete, cut.n_waiting) == (1, 1, 0)


def test_events_near_the_end_wait() -> None:
    cut = cutter()
    cut.take(numbered(200), times(200))

    found = cut.add(1.95, "")

    assert found == []
    assert cut.n_waiting == 1


def test_an_event_within_the_patience_is_not_too_late_and_a_later_one_is() -> None:
    cut = cutter(before=0.1, after=0.1, patience=3.0)
    cut.take(numbered(10_000), times(10_000))

    in_time = cut.add(100.0 - 0.1 - 3.0, "")
    late = cut.add(60.0, "")

    assert len(in_time) == 1
    assert late == []
    assert cut.n_late == 1


@pytest.mark.parametrize("time", [0.95, 1.04])
def test_missing_samples_leave_a_sweep_out(time: float) -> None:
    cut = cutter()
    cut.take(numbered(100), times(100))
    cut.skip()
    cut.take(numbered(100, 100), times(100, 100))

    found = cut.add(time, "")

    assert found == []
    assert cut.n_incomplete == 1


def test_an_event_within_a_gap_has_no_sweep_even_if_its_samples_are_all_after_it() -> None:
    cut = cutter(before=0, after=0.1)
    cut.take(numbered(100), times(100))
    cut.skip()
    cut.take(numbered(100, 300), times(100, 300))

    found = cut.add(2.0, "")

    assert found == []
    assert cut.n_incomplete == 1


@pytest.mark.parametrize(
    ("before", "after", "event", "expected"),
    [
        (0.0, 0.05, 2.996, [(300, 305)]),
        (0.0, 0.05, 2.97, []),
        (0.05, 0.0, 0.994, [(94, 99)]),
        (0.05, 0.0, 1.02, []),
    ],
)
def test_an_event_beside_a_gap_has_a_sweep_and_one_within_it_has_none(
    before: float, after: float, event: float, expected: list[tuple[int, int]]
) -> None:
    cut = cutter(before=before, after=after)
    cut.take(numbered(100), times(100))
    cut.skip()
    cut.take(numbered(100, 300), times(100, 300))

    found = cut.add(event, "")

    assert rows(found) == expected
    assert cut.n_incomplete == (not expected)


def test_an_event_before_the_first_sample_is_late() -> None:
    cut = cutter(before=0, after=0.05)
    cut.take(numbered(100, 10), times(100, 10))

    found = cut.add(0.07, "")

    assert (found, cut.n_late) == ([], 1)


def test_sweeps_on_both_sides_of_a_gap_are_whole() -> None:
    cut = cutter()
    cut.take(numbered(100), times(100))
    cut.skip()
    cut.take(numbered(100, 300), times(100, 300))

    found = cut.add(0.89, "") + cut.add(3.05, "")

    assert rows(found) == [(84, 99), (300, 315)]


def test_a_hole_that_nobody_told_of_gives_no_shifted_sweep() -> None:
    cut = cutter(before=0, after=0)
    cut.take(numbered(100), times(100))
    cut.take(numbered(100, 300), times(100, 300))

    found = cut.add(2.0, "")

    assert found == []
    assert cut.n_incomplete == 1


def test_stamps_that_go_back_begin_anew() -> None:
    cut = cutter()
    cut.take(numbered(200), times(200))
    cut.add(1.95, "waits for samples that never come")
    cut.take(numbered(200, 1000), times(200))

    found = cut.add(1.0, "")

    assert rows(found) == [(1095, 1110)]
    assert (cut.n_incomplete, cut.n_waiting) == (1, 0)


def test_stamps_that_are_no_times_are_those_before() -> None:
    stamps = times(200)
    stamps[[0, 50, 51, 120]] = np.nan, np.inf, -np.inf, np.nan
    cut = cutter(before=0.01, after=0.01)
    cut.take(numbered(200), stamps)

    found = cut.add(1.0, "") + cut.add(0.52, "")

    assert rows(found) == [(99, 101), (51, 53)]


def test_events_cannot_fill_the_memory() -> None:
    cut = cutter()
    for number in range(100_002):
        cut.add(float(number), "")

    assert (cut.n_waiting, cut.n_dropped) == (100_000, 2)


# --- what may not matter ------------------------------------------------------------------------


def outcome(
    plan: list[int], sizes: list[int], events: list[float], gap: int
) -> tuple[list[Any], ...]:
    """Feed 300 samples with a gap and the events; the plan says which comes when."""
    cut, found = cutter(), []
    at, sizes, waiting = 0, list(sizes), list(events)
    for kind in [*plan, *[1] * len(events), *[0] * 300]:
        if kind and waiting:
            found += cut.add(waiting.pop(0), "")
        elif not kind and at < 300:
            stop = min(at + (sizes.pop() if sizes else 37), 300)
            if at < gap < stop:
                stop = gap
            if at == gap:
                cut.skip()
            first = at + 50 * (at >= gap)
            found += cut.take(numbered(stop - at, first), times(stop - at, first))
            at = stop
    whole = sorted((sweep.time, sweep.data[:, 0].tolist()) for sweep in found)
    return whole, [cut.n_late, cut.n_incomplete, cut.n_waiting]


@settings(max_examples=150, deadline=None)
@given(
    plan=st.lists(st.sampled_from([0, 1]), max_size=60),
    sizes=st.lists(st.integers(1, 120), max_size=60),
    events=st.lists(st.floats(-1.0, 4.5), max_size=12),
    gap=st.integers(1, 299),
)
def test_neither_chunks_nor_what_comes_first_matter(
    plan: list[int], sizes: list[int], events: list[float], gap: int
) -> None:
    expected = outcome([1] * len(events), [300], events, gap)

    found = outcome(plan, sizes, events, gap)

    assert found == expected


@settings(max_examples=50, deadline=None)
@given(plan=st.lists(st.sampled_from([0, 1]), max_size=60), sizes=st.lists(st.integers(1, 120)))
def test_events_in_the_order_of_time_give_sweeps_in_it(plan: list[int], sizes: list[int]) -> None:
    events = [0.1, 0.2, 0.2, 0.9, 1.4, 1.45, 2.0]
    cut, given_ = cutter(), list[float]()

    at, left = 0, list(events)
    for kind in [*plan, *[0] * 300, *[1] * 7]:
        if kind and left:
            given_ += [sweep.time for sweep in cut.add(left.pop(0), "")]
        elif not kind and at < 300:
            n = min(sizes.pop() if sizes else 37, 300 - at)
            given_ += [sweep.time for sweep in cut.take(numbered(n, at), times(n, at))]
            at += n

    assert given_ == events


@pytest.mark.parametrize("size", [1, 7, 1000, 20_000])
def test_a_long_signal_goes_round_the_memory(size: int) -> None:
    cut = cutter(patience=1.0)
    events = np.arange(1.0, 199.0, 0.7131)
    for time in events:
        cut.add(float(time), "")

    found = []
    for first in range(0, 20_000, size):
        n = min(size, 20_000 - first)
        found += cut.take(numbered(n, first), times(n, first))

    nearest = np.round(events * RATE).astype(int)
    assert rows(found) == [(at - 5, at + 10) for at in nearest.tolist()]


# --- averages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("n", [2, 7, 2000])
def test_mean_and_variance_are_those_of_all_sweeps_at_once(n: int, offset: float) -> None:
    random = np.random.default_rng(n)
    sweeps = offset + random.normal(size=(n, 30, 3)).astype(np.float32).astype(np.float64)
    average = RunningAverage((30, 3))

    for sweep in sweeps:
        average.add(sweep)

    centred = sweeps - sweeps.mean(axis=0)
    assert average.n == n
    np.testing.assert_array_equal(average.mean, sweeps.mean(axis=0))
    np.testing.assert_allclose(
        average.variance, (centred**2).sum(axis=0) / (n - 1), rtol=1e-12 if not offset else 1e-11
    )


def test_without_sweeps_there_is_no_mean_and_with_one_no_variance() -> None:
    average = RunningAverage((2, 1))

    before = average.mean
    average.add(np.ones((2, 1)))

    assert np.isnan(before).all()
    np.testing.assert_array_equal(average.mean, 1)
    assert np.isnan(average.variance).all()


@given(order=st.permutations(range(8)))
def test_the_last_sweeps_are_those_of_the_last_events(order: list[int]) -> None:
    sweeps = np.random.default_rng(0).normal(size=(8, 4, 2))
    moving = MovingAverage((4, 2), 3)

    for number in order:
        moving.add(float(number), sweeps[number])

    average = moving.average()
    assert moving.times == [5, 6, 7]
    assert average.n == moving.n == 3
    np.testing.assert_allclose(average.mean, sweeps[5:].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(average.variance, sweeps[5:].var(axis=0, ddof=1), rtol=1e-12)


def test_an_artefact_leaves_the_moving_average_without_a_trace() -> None:
    sweeps = np.random.default_rng(0).normal(size=(5, 4, 2))
    moving = MovingAverage((4, 2), 4)
    moving.add(-1.0, np.full((4, 2), 1e15))

    for number, sweep in enumerate(sweeps):
        moving.add(float(number), sweep)

    found = moving.average().variance
    np.testing.assert_allclose(found, sweeps[1:].var(axis=0, ddof=1), rtol=1e-12)
