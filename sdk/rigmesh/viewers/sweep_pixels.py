"""Many lines on top of each other as pixels: the more of them go through one, the darker it is.

A path of Qt costs some 2.5 µs a point where lines are steep: 20 sweeps of 32 noisy channels would
take 0.7 s. Here a line costs what its columns cost, however steep it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["column_spans", "counted", "shades"]

Array = npt.NDArray[Any]


def column_spans(x: Array, y: Array, width: int) -> tuple[Array, Array]:
    """Return from where to where lines reach in each column of pixels.

    Parameters
    ----------
    x : ndarray, shape (n_points,)
        Places of the points, ascending, in pixels from the left.
    y : ndarray, shape (n_lines, n_points)
        Heights of the points, in pixels from the top; NaN where there is none.
    width : int
        Number of columns.

    Returns
    -------
    top, bottom : ndarray, shape (n_lines, width)
        NaN where a line is not in a column.
    """
    if len(x) < 2:
        nothing = np.full((len(y), width), np.nan)
        return nothing, nothing
    if len(x) <= width:
        places = np.arange(width + 1.0)
        after = np.clip(np.searchsorted(x, places), 1, len(x) - 1)
        share = (places - x[after - 1]) / np.maximum(x[after] - x[after - 1], 1e-9)
        share = np.clip(share, 0.0, 1.0)
        at = y[:, after - 1] * (1 - share) + y[:, after] * share
        return np.minimum(at[:, :-1], at[:, 1:]), np.maximum(at[:, :-1], at[:, 1:])
    edges = np.minimum(np.searchsorted(x, np.arange(width)), len(x) - 1)
    top, bottom = np.fmin.reduceat(y, edges, axis=1), np.fmax.reduceat(y, edges, axis=1)
    # A line goes on from one column to the next one.
    joined_top, joined_bottom = top.copy(), bottom.copy()
    joined_top[:, 1:] = np.fmin(top[:, 1:], np.where(np.isnan(top[:, 1:]), np.nan, bottom[:, :-1]))
    joined_bottom[:, 1:] = np.fmax(
        bottom[:, 1:], np.where(np.isnan(bottom[:, 1:]), np.nan, top[:, :-1])
    )
    return joined_top, joined_bottom


def counted(top: Array, bottom: Array, height: int) -> Array:
    """Return how many spans cover each pixel.

    Parameters
    ----------
    top, bottom : ndarray, shape (n_lines, width)
        Pixels from the top; NaN for no span.
    height : int
        Number of rows of pixels.

    Returns
    -------
    ndarray, shape (height, width)
    """
    width = top.shape[1]
    known = np.isfinite(top) & np.isfinite(bottom)
    column = np.broadcast_to(np.arange(width), top.shape)[known]
    first = np.clip(np.floor(top[known]), 0, height).astype(np.intp)
    last = np.clip(np.floor(bottom[known]) + 1, 0, height).astype(np.intp)
    size = (height + 1) * width
    steps = np.bincount(first * width + column, minlength=size)
    steps -= np.bincount(last * width + column, minlength=size)
    counts: Array = steps.reshape(height + 1, width)[:height].cumsum(axis=0)
    return counts


def shades(counts: Array, colour: int, alpha: int) -> Array:
    """Return pixels of a colour that is laid on as often as counted.

    Parameters
    ----------
    counts : ndarray, shape (height, width)
        How often.
    colour : int
        As 0xRRGGBB.
    alpha : int
        How opaque one layer is, from 0 to 255.

    Returns
    -------
    ndarray, shape (height, width)
        0xAARRGGBB, premultiplied.
    """
    opaque = 1 - (1 - alpha / 255) ** np.arange(int(counts.max(initial=0)) + 1)
    table = np.round(opaque * 255).astype(np.uint32) << 24
    for shift in (16, 8, 0):
        part = np.round(opaque * ((colour >> shift) & 255)).astype(np.uint32)
        table |= part << np.uint32(shift)
    return table[counts]
