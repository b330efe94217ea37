import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.streams import IDENTITY, ClockModel
from rigmesh_nodes._lsl_stamps import ClockKeeper, HoleFinder

RATE = 100.0
EVEN = 50.0 + np.arange(1000) / RATE


def without(*lost: range) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.delete(EVEN, [number for numbers in lost for number in numbers])


def test_a_jump_of_even_stamps_is_a_hole() -> None:
    finder = HoleFinder(RATE)

    holes = finder.find(without(range(300, 307)))

    assert [(hole.position, hole.count) for hole in holes] == [(300, 7)]
    assert holes[0].duration == pytest.approx(0.07)


def test_several_holes_in_one_chunk_are_found() -> None:
    finder = HoleFinder(RATE)

    holes = finder.find(without(range(300, 301), range(500, 520)))

    assert [(hole.position, hole.count) for hole in holes] == [(300, 1), (499, 20)]


def test_a_hole_between_two_chunks_belongs_to_the_second() -> None:
    finder = HoleFinder(RATE)
    finder.find(EVEN[:400])

    holes = finder.find(EVEN[410:])

    assert [(hole.position, hole.count) for hole in holes] == [(0, 10)]


@given(st.lists(st.integers(1, 400), max_size=8))
def test_the_size_of_the_chunks_does_not_matter(sizes: list[int]) -> None:
    stamps = without(range(300, 301), range(500, 520))
    finder = HoleFinder(RATE)
    found, start = [], 0

    for size in [*sizes, len(stamps)]:
        piece = stamps[start : start + size]
        if len(piece):
            found += [(start + hole.position, hole.count) for hole in finder.find(piece)]
        start += size

    assert found == [(300, 1), (499, 20)]


def test_a_jump_before_the_stamps_were_even_for_two_seconds_is_no_hole() -> None:
    finder = HoleFinder(RATE)

    holes = finder.find(without(range(150, 160)))

    assert holes == []


def test_stamps_taken_on_arrival_have_no_holes() -> None:
    late = np.random.default_rng(0).exponential(0.01, len(EVEN))
    finder = HoleFinder(RATE)

    holes = finder.find(np.sort(EVEN + late))

    assert holes == []


def test_stamps_that_catch_up_show_that_the_hole_was_none() -> None:
    stamps = EVEN.copy()
    stamps[300:304] = stamps[304] - 1e-4
    finder = HoleFinder(RATE)

    finder.find(stamps)

    assert finder.is_useless
    assert finder.find(EVEN + 100) == []


def test_an_irregular_stream_has_no_holes() -> None:
    finder = HoleFinder(0.0)

    holes = finder.find(without(range(300, 307)))

    assert holes == []


def test_stamps_that_are_no_numbers_are_survived() -> None:
    stamps = EVEN.copy()
    stamps[400] = math.nan
    finder = HoleFinder(RATE)

    holes = finder.find(stamps)

    assert holes == []


def measured(offset: float, number: int) -> ClockModel:
    """Return the measurement of a wave; there is one every 2 s."""
    return ClockModel(offset, 0.0, 1000.0 + 2.0 * number, 1e-4)


def test_a_clock_follows_what_is_measured() -> None:
    keeper = ClockKeeper(measured(10.0, 0))

    resets = [keeper.update(measured(10.0 + 4e-4 * k, k)) for k in range(1, 31)]

    assert not any(resets)
    assert keeper.model.to_local(1060.0) == pytest.approx(1070.012, abs=1e-5)
    assert keeper.model.to_local(1061.0) == pytest.approx(1071.0122, abs=1e-5)


def test_one_measurement_that_jumps_is_not_believed() -> None:
    keeper = ClockKeeper(measured(10.0, 0))
    offsets = (10.0, 10.0, 20.0, 10.0, 20.0, 20.0)

    resets = [keeper.update(measured(offset, k)) for k, offset in enumerate(offsets, 1)]

    assert resets == [False] * 6
    assert keeper.model.to_local(1012.0) == pytest.approx(1022.0, abs=0.01)


def test_three_measurements_that_jump_are_a_reset() -> None:
    keeper = ClockKeeper(measured(10.0, 0))

    resets = [keeper.update(measured(20.0, k)) for k in range(1, 4)]

    assert resets == [False, False, True]
    assert keeper.model.to_local(1006.0) == pytest.approx(1026.0, abs=1e-4)


def test_our_own_clock_stays_our_own() -> None:
    keeper = ClockKeeper(IDENTITY)

    assert not keeper.update(IDENTITY)
    assert keeper.model == IDENTITY


def test_the_first_answer_of_a_clock_that_was_not_known_is_taken() -> None:
    keeper = ClockKeeper(ClockModel(uncertainty=math.inf))

    was_reset = keeper.update(measured(20.0, 0))

    assert not was_reset
    assert keeper.model.to_local(1000.0) == pytest.approx(1020.0, abs=1e-6)
