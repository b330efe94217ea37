"""Frames as pixels that a screen shows."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Levels", "colour_table", "levels_of", "pixels"]

Array = npt.NDArray[Any]
Levels = Literal["auto", "full", "fixed"]

_MAPS = {"viridis": "viridis", "inferno": "inferno", "diverging": "CET-D1"}


@functools.cache
def colour_table(name: str) -> Array | None:
    """Return a table of colours, shape (256, 3), uint8; None for gray.

    Parameters
    ----------
    name : str
        ``gray``, ``viridis``, ``inferno`` or ``diverging``.
    """
    if name == "gray":
        return None
    from pyqtgraph import colormap

    table: Array = colormap.get(_MAPS[name]).getLookupTable(nPts=256, alpha=False)
    return np.ascontiguousarray(table[:, :3], dtype=np.uint8)


def levels_of(
    frame: Array, levels: Levels, low: float = 0.0, high: float = 255.0
) -> tuple[float, float]:
    """Return which values are black and white.

    Parameters
    ----------
    frame : ndarray
        8-bit frames are shown as they are unless the levels are fixed.
    levels : str
        ``auto``: the least and the greatest finite value; ``full``: all of the type, from 0 to 1
        for floating point; ``fixed``: `low` and `high`.
    low, high : float
        Fixed levels.
    """
    if levels == "fixed":
        return low, high
    if frame.dtype == np.uint8:
        return 0.0, 255.0
    if levels == "full":
        if frame.dtype.kind == "f":
            return 0.0, 1.0
        info = np.iinfo(frame.dtype)
        return float(info.min), float(info.max)
    if frame.dtype.kind == "f":
        frame = frame[np.isfinite(frame)]
    if not frame.size:
        return 0.0, 1.0
    return float(frame.min()), float(frame.max())


def pixels(frame: Array, black: float, white: float, table: Array | None = None) -> Array | None:
    """Return what is drawn; None if a frame has no such shape.

    Parameters
    ----------
    frame : ndarray, shape (height, width) or (height, width, n)
        With one value (gray), three (colours) or four (and how opaque, which is left out).
    black, white : float
        Levels; `white` may be the lower one, which turns gray round.
    table : ndarray, shape (256, 3)
        Colours of gray values.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, 3)
        uint8, contiguous. Values that are no number are black.
    """
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    if frame.ndim == 3 and frame.shape[2] == 4:
        frame = frame[:, :, :3]
    if frame.ndim != 2 and not (frame.ndim == 3 and frame.shape[2] == 3):
        return None
    if frame.dtype != np.uint8 or (black, white) != (0.0, 255.0):
        scale = 255.0 / (white - black) if white != black else 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            values = (frame.astype(np.float32) - np.float32(black)) * np.float32(scale)
        frame = np.clip(np.nan_to_num(values, nan=0.0), 0, 255)
        frame = (frame + 0.5).astype(np.uint8)
    if table is not None and frame.ndim == 2:
        frame = table[frame]
    return np.ascontiguousarray(frame)
