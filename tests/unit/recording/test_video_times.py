"""When frames of a video are shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.recording._video_times import TICKS, shown_at, zero_of


@pytest.mark.parametrize("ticks", TICKS.values())
def test_frames_are_shown_at_their_stamps(ticks: int) -> None:
    stamps = 1e5 + np.cumsum(np.random.default_rng(7).uniform(0.005, 0.2, 1000))

    shown = shown_at(stamps, {0}, 30, zero=stamps[0], ticks=ticks)

    np.testing.assert_allclose(shown / ticks, stamps - stamps[0], atol=0.5001 / ticks)


def test_a_long_gap_stays_as_long() -> None:
    shown = shown_at(np.array([0.0, 0.1, 3600.0]), {0}, 10, zero=0.0, ticks=1000)

    assert shown.tolist() == [0, 100, 3_600_000]


@pytest.mark.parametrize("far", [1e5, 1e300, np.inf, np.nan, -np.inf])
def test_a_stamp_that_cannot_be_is_a_period_after_the_one_before(far: float) -> None:
    shown = shown_at(np.array([5.0, 5.1, far]), {0}, 10, zero=5.0, ticks=1000)

    assert shown.tolist() == [0, 100, 200]


def test_a_clock_that_starts_anew_goes_on_where_the_last_one_was() -> None:
    stamps = np.array([500.0, 500.1, 500.2, 2.0, 2.1, 2.2])

    shown = shown_at(stamps, {0, 3}, 10, zero=500.0, ticks=1000)

    assert shown.tolist() == [0, 100, 200, 300, 400, 500]


def test_a_frame_that_comes_a_little_early_moves_no_other() -> None:
    stamps = np.array([0.0, 0.1, 0.099, 0.3])

    shown = shown_at(stamps, {0}, 10, zero=0.0, ticks=1000)

    assert shown.tolist() == [0, 100, 101, 300]


@given(
    stamps=st.lists(st.floats(width=64), max_size=50),
    begins=st.sets(st.integers(0, 50)),
    rate=st.sampled_from([0.0, 0.001, 30.0, 1e6]),
    zero=st.floats(-1e9, 1e9),
    ticks=st.sampled_from(list(TICKS.values())),
)
def test_whatever_the_stamps_times_grow_from_zero_on(
    stamps: list[float], begins: set[int], rate: float, zero: float, ticks: int
) -> None:
    shown = shown_at(np.array(stamps, np.float64), begins, rate, zero=zero, ticks=ticks)

    assert (shown >= 0).all()
    assert (np.diff(shown) > 0).all()


def test_a_video_begins_with_the_first_of_its_streams() -> None:
    assert zero_of([np.array([7.0, 8.0]), np.array([np.nan, 3.0, 1.0])]) == 3.0
    assert zero_of([]) == 0.0
