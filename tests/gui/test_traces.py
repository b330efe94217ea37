"""From samples to pixel columns, and from these to pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.viewers.trace_columns import Columns
from rigmesh.viewers.traces import Raster, Rows, paint_without_compiler
from rigmesh_nodes._kernels import has_compiler

Array = npt.NDArray[Any]

INK = 0x204080


def columns_of(values: list[float], width: int = 10) -> Columns:
    columns = Columns(1, width)
    columns.move_to(width - 1)
    data = np.array(values, np.float32)[:, None]
    columns.extend(np.arange(len(values)) + 0.5, data, data, "bins")
    return columns


def rows(scale: float = 1.0, zero: float = 0.0, **changes: Any) -> Rows:
    found = {
        "channels": np.array([0]), "scale": np.array([scale]), "zero": np.array([zero]),
        "colours": np.array([INK]), "baselines": np.zeros(0), **changes,
    }  # fmt: skip
    return Rows(**found)


def drawn(columns: Columns, how: Rows, height: int = 20) -> Array:
    raster = Raster(columns.width, height)
    raster.background = 0xFFFFFF
    raster.wipe()
    raster.draw(columns, how, 0, columns.width)
    found: Array = raster.pixels & 0xFFFFFF
    return found


# --- columns -----------------------------------------------------------------------------------


def test_a_column_has_the_least_and_greatest_sample_in_it() -> None:
    data = np.random.default_rng(1).normal(size=(1000, 3)).astype(np.float32)
    columns = Columns(3, 50)
    columns.move_to(49)

    columns.extend(np.arange(1000) / 20, data, data, "bins")

    np.testing.assert_array_equal(columns.low, data.reshape(50, 20, 3).min(axis=1).T)
    np.testing.assert_array_equal(columns.high, data.reshape(50, 20, 3).max(axis=1).T)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), style=st.sampled_from(["bins", "line", "steps"]),
    spacing=st.sampled_from([0.03, 0.4, 1.0, 3.7]),
)  # fmt: skip
def test_columns_do_not_depend_on_how_samples_are_cut(
    seed: int, style: Any, spacing: float
) -> None:
    random = np.random.default_rng(seed)
    data = random.normal(size=(60, 2)).astype(np.float32)
    data[20:23] = np.nan
    at = np.cumsum(random.uniform(0.5, 1.5, 60)) * spacing
    cuts = np.sort(random.integers(0, 60, 4))
    whole, pieces = Columns(2, 300), Columns(2, 300)
    whole.move_to(299)
    pieces.move_to(299)

    whole.extend(at, data, data, style)
    for part in np.split(np.arange(60), cuts):
        pieces.extend(at[part], data[part], data[part], style)

    np.testing.assert_array_equal(whole.low, pieces.low)
    np.testing.assert_array_equal(whole.high, pieces.high)


def test_a_line_between_distant_samples_covers_the_columns_between_them() -> None:
    columns = Columns(1, 10)
    columns.move_to(9)
    data = np.array([[0.0], [8.0]], np.float32)

    columns.extend(np.array([0.0, 8.0]), data, data, "line")

    np.testing.assert_allclose(columns.low[0, :8], np.arange(8))
    np.testing.assert_allclose(columns.high[0, :8], np.arange(1, 9))
    assert np.isnan(columns.low[0, 9])


def test_steps_hold_a_value_until_the_next() -> None:
    columns = Columns(1, 10)
    columns.move_to(9)
    data = np.array([[0.0], [1.0]], np.float32)

    columns.extend(np.array([0.5, 6.5]), data, data, "steps")

    assert columns.high[0, :6].tolist() == [0] * 6
    assert (columns.low[0, 6], columns.high[0, 6]) == (0, 1)


def test_nothing_is_drawn_across_samples_that_are_not_numbers() -> None:
    columns = Columns(1, 10)
    columns.move_to(9)
    data = np.array([[1.0], [1.0], [np.nan], [1.0], [1.0]], np.float32)

    columns.extend(np.array([0.5, 2.5, 4.5, 6.5, 8.5]), data, data, "line")

    there = np.isfinite(columns.low[0])
    assert there.tolist() == [True, True, True, False, False, False, True, True, True, False]


def test_a_column_that_jitter_left_empty_is_like_the_one_before() -> None:
    columns = Columns(1, 10)
    columns.move_to(9)
    first, second = np.array([[3.0]], np.float32), np.array([[4.0]], np.float32)

    columns.extend(np.array([1.9]), first, first, "bins")
    columns.extend(np.array([3.1]), second, second, "bins")

    assert columns.low[0, 1:4].tolist() == [3, 3, 4]


def test_a_long_time_without_bins_stays_empty() -> None:
    columns = Columns(1, 20)
    columns.move_to(19)
    data = np.array([[3.0], [4.0]], np.float32)

    columns.extend(np.array([1.0, 12.0]), data, data, "bins")

    assert np.isnan(columns.low[0, 5:12]).all()
    assert columns.low[0, 12] == 4


def test_stamps_that_step_back_draw_nothing_behind_them() -> None:
    columns = Columns(1, 10)
    columns.move_to(9)
    data = np.array([[1.0], [2.0], [3.0]], np.float32)

    columns.extend(np.array([4.0, 5.0, 2.0]), data, data, "line")

    assert np.isnan(columns.low[0, 2])
    assert columns.high[0, 5] == 3


def test_new_columns_are_empty_and_old_ones_stay() -> None:
    columns = columns_of([0.0] * 10)

    n = columns.move_to(12)

    assert n == 3
    assert np.isnan(columns.low[0, :3]).all()
    assert np.isfinite(columns.low[0, 3:]).all()


def test_a_line_from_long_before_is_drawn_from_the_left_edge_on() -> None:
    columns = Columns(1, 10)
    columns.move_to(1009)
    data = np.array([[0.0], [1010.0]], np.float32)

    changed = columns.extend(np.array([0.0, 1010.0]), data, data, "line")

    assert changed == (1000, 1010)
    np.testing.assert_allclose(columns.low[0], np.arange(1000, 1010))


def test_no_samples_change_nothing() -> None:
    columns = Columns(2, 10)
    columns.move_to(9)
    empty = np.zeros((0, 2), np.float32)

    assert columns.extend(np.zeros(0), empty, empty, "line") == (0, 0)
    assert np.isnan(columns.low).all()


# --- pixels ------------------------------------------------------------------------------------


def test_a_flat_trace_is_a_line_of_one_pixel() -> None:
    pixels = drawn(columns_of([5.0] * 10), rows(zero=15.5))

    assert (pixels[10] == INK).all()
    assert (np.delete(pixels, 10, axis=0) == 0xFFFFFF).all()


@pytest.mark.skipif(not has_compiler(), reason="needs numba to compare")
def test_a_line_between_two_pixels_is_half_as_dark_in_both() -> None:
    pixels = drawn(columns_of([5.0] * 10), rows(zero=15.0))

    assert pixels[9, 4] == pixels[10, 4]
    assert INK < pixels[9, 4] < 0xFFFFFF


def test_columns_that_do_not_overlap_are_joined() -> None:
    pixels = drawn(columns_of([0.0, 10.0]), rows(zero=15.5))

    assert np.flatnonzero(pixels[:, 0] == INK).tolist() == [15]
    assert np.flatnonzero(pixels[:, 1] == INK).tolist() == list(range(5, 16))


def test_a_hole_is_not_joined() -> None:
    pixels = drawn(columns_of([0.0, np.nan, 10.0]), rows(zero=15.5))

    assert (pixels[:, 1] == 0xFFFFFF).all()
    assert np.flatnonzero(pixels[:, 2] == INK).tolist() == [5]


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e30, -1e30])
def test_values_far_outside_are_cut_off_at_the_edge(value: float) -> None:
    pixels = drawn(columns_of([0.0, value, 0.0]), rows(zero=10.5))

    edge = 0 if value > 0 else 19
    assert pixels[edge, 1] == INK
    assert pixels[edge, 0] == 0xFFFFFF


def test_lines_behind_traces_are_drawn() -> None:
    pixels = drawn(columns_of([]), rows(baselines=np.array([3.0, 99.0])))

    assert (pixels[3] == 0xEEEEEE).all()


def test_columns_drawn_one_by_one_are_as_those_drawn_at_once() -> None:
    values = np.random.default_rng(3).normal(size=40) * 5
    columns, raster = Columns(1, 30), Raster(30, 20)
    columns.move_to(29)
    how = rows(zero=10)
    for at, value in enumerate(values):
        data = np.array([[value]], np.float32)
        columns.move_to(at)
        first, stop = columns.extend(np.array([at + 0.5]), data, data, "bins")
        raster.draw(columns, how, first, stop)
    columns.move_to(39)
    again = Raster(30, 20)

    again.draw(columns, how, 10, 40)

    # The oldest column was joined to one that is gone by now.
    np.testing.assert_array_equal(raster.pixels[:, 11:], again.pixels[:, 11:])
    np.testing.assert_array_equal(raster.pixels[:, :10], again.pixels[:, :10])


@pytest.mark.skipif(not has_compiler(), reason="needs numba to compare")
def test_whole_pixels_are_the_same_without_a_compiler() -> None:
    random = np.random.default_rng(5)
    columns = Columns(3, 40)
    columns.move_to(39)
    low = random.integers(-5, 5, (40, 3)).astype(np.float32)
    low[10, 1] = np.nan
    columns.extend(np.arange(40) + 0.5, low, low + 3, "bins")
    how = Rows(
        np.array([0, 1, 2]), np.ones(3), np.array([10.5, 20.5, 30.5]),
        np.array([0xFF0000, 0x00FF00, 0x0000FF]), np.zeros(0),
    )  # fmt: skip
    compiled, plain = Raster(40, 40), Raster(40, 40)
    plain._paint = paint_without_compiler

    compiled.draw(columns, how, 0, 40)
    plain.draw(columns, how, 0, 40)

    np.testing.assert_array_equal(compiled.pixels, plain.pixels)


@pytest.mark.parametrize("make", [lambda: Rows.none(), lambda: rows(channels=np.zeros(0, int))])
def test_no_rows_are_an_empty_picture(make: Callable[[], Rows]) -> None:
    how = make()
    how = Rows(how.channels, how.scale[:0], how.zero[:0], how.colours[:0], how.baselines)

    assert (drawn(columns_of([1.0]), how) == 0xFFFFFF).all()
