"""Lines as pixels, without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.viewers.sweep_pixels import column_spans, counted, shades

Array = npt.NDArray[Any]


def ramp(n_points: int, width: int) -> tuple[Array, Array]:
    x = np.linspace(0, width, n_points)
    return x, 10 + 3 * x[None]


def test_a_line_of_few_points_is_drawn_between_them() -> None:
    x, y = ramp(3, 40)

    top, bottom = column_spans(x, y, 40)

    np.testing.assert_allclose(top[0], 10 + 3 * np.arange(40))
    np.testing.assert_allclose(bottom[0], 13 + 3 * np.arange(40))


def test_a_line_of_many_points_has_their_extremes_and_no_holes() -> None:
    x = np.linspace(0, 40, 4001)
    y = np.random.default_rng(0).normal(size=(2, 4001)).cumsum(axis=1)

    top, bottom = column_spans(x, y, 40)

    for column in range(40):
        inside = y[:, (x >= column) & (x < column + 1)]
        assert (top[:, column] <= inside.min(axis=1)).all()
        assert (bottom[:, column] >= inside.max(axis=1)).all()
    assert (top[:, 1:] <= bottom[:, :-1]).all()
    assert (bottom[:, 1:] >= top[:, :-1]).all()


@given(n=st.integers(2, 200), missing=st.lists(st.integers(0, 199), max_size=20))
def test_what_is_missing_is_not_drawn_and_the_rest_is(n: int, missing: list[int]) -> None:
    x, y = ramp(n, 50)
    y[0, [at for at in missing if at < n]] = np.nan

    top, bottom = column_spans(x, y, 50)

    known = np.isfinite(top)
    assert (known == np.isfinite(bottom)).all()
    assert (top[known] >= 10 - 1e-9).all()
    assert (bottom[known] <= 160 + 1e-9).all()


def test_a_single_point_is_no_line() -> None:
    top, bottom = column_spans(np.zeros(1), np.zeros((3, 1)), 5)

    assert np.isnan(top).all()
    assert bottom.shape == (3, 5)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-20, 40), st.floats(0, 30)), min_size=1, max_size=12))
def test_pixels_count_the_spans_that_cover_them(spans: list[tuple[float, float]]) -> None:
    top = np.array([[first] for first, _ in spans])
    bottom = np.array([[first + length] for first, length in spans])

    counts = counted(top, bottom, 20)

    for row in range(20):
        expected = sum(
            np.floor(a) <= row <= np.floor(b)
            for a, b in zip(top[:, 0], bottom[:, 0], strict=True)
        )  # fmt: skip
        assert counts[row, 0] == expected


def test_more_layers_are_more_opaque() -> None:
    pixels = shades(np.array([[0, 1, 2, 50]]), 0xFF8000, 128)

    alphas = (pixels >> 24)[0].tolist()
    assert alphas == [0, 128, 192, 255]
    assert pixels[0, 3] == 0xFFFF8000
    assert pixels[0, 0] == 0
