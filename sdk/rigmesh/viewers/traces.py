"""Draws pixel columns of many traces into a picture: only columns that changed cost anything.

Qt's paths cost 0.25 µs a point: 384 traces of 1000 columns would take 170 ms a frame. Here a
column of a trace takes some 20 ns, and what a scrolling picture shows again is not drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.viewers.trace_columns import Columns
from rigmesh_nodes._kernels import kernel, like

__all__ = ["Raster", "Rows", "paint", "paint_without_compiler"]

Array = npt.NDArray[Any]

_OPAQUE = 0xFF000000


@dataclass(frozen=True, slots=True)
class Rows:
    """How channels are drawn: a value ``v`` is at the height ``zero - v * scale``, in pixels.

    Parameters
    ----------
    channels : ndarray, shape (n_rows,)
        Their indices, in the order in which they are drawn.
    scale, zero : ndarray, shape (n_rows,)
        Pixels for 1, and the height of 0 counted from the top.
    colours : ndarray, shape (n_rows,)
        As 0xRRGGBB.
    baselines : ndarray
        Heights of lines behind the traces, in pixels.
    """

    channels: Array
    scale: Array
    zero: Array
    colours: Array
    baselines: Array

    @classmethod
    def none(cls) -> Rows:
        """Return no rows."""
        return cls(*(np.zeros(0) for _ in range(5)))


class Raster:
    """A picture of traces; column ``c`` is drawn at ``c % width``.

    Parameters
    ----------
    width, height : int
        In pixels.

    Attributes
    ----------
    pixels : ndarray, shape (height, width)
        uint32 as 0xFFRRGGBB.
    background, faint : int
        Colours, as 0xRRGGBB: of nothing, and of baselines.
    thickness : float
        Of lines, in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.zeros((height, width), np.uint32)
        self.background, self.faint = 0xFFFFFF, 0xEEEEEE
        self.thickness = 1.0
        self._paint: Callable[..., None] | None = paint.compiled(*_EXAMPLES)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pixels.shape
        return width, height

    def draw(self, columns: Columns, rows: Rows, first: int, stop: int) -> None:
        """Draw columns anew.

        Parameters
        ----------
        columns : Columns
            As wide as the picture.
        rows : Rows
            What is drawn of them, and where.
        first, stop : int
            Which columns.
        """
        first = max(first, columns.right + 1 - columns.width)
        places = columns.places(first, stop)
        if not places:
            return
        if len(rows.channels) and rows.channels.max() >= len(columns.low):
            self.wipe()  # rows of another format than the columns
            return
        lines = np.unique(np.rint(rows.baselines).astype(np.int64))
        lines = lines[(lines >= 0) & (lines < len(self.pixels))]
        for begin, end in places:
            self.pixels[:, begin:end] = _OPAQUE | self.background
            self.pixels[lines, begin:end] = _OPAQUE | self.faint
        is_joined = first > columns.right + 1 - columns.width
        draw = self._paint or paint_without_compiler
        draw(
            self.pixels,
            columns.low,
            columns.high,
            rows.channels.astype(np.int64),
            rows.scale.astype(np.float64),
            rows.zero.astype(np.float64),
            rows.colours.astype(np.int64),
            first % columns.width,
            stop - first,
            is_joined,
            self.thickness / 2,
        )

    def wipe(self) -> None:
        """Draw nothing anywhere."""
        self.pixels[:] = _OPAQUE | self.background


@kernel
def paint(
    pixels: Array,
    low: Array,
    high: Array,
    channels: Array,
    scale: Array,
    zero: Array,
    colours: Array,
    first: int,
    n: int,
    is_joined: bool,
    half: float,
) -> None:
    """Fill the span of each trace in each column; its ends cover pixels in part.

    Parameters
    ----------
    pixels : ndarray, shape (height, width)
        Where to draw.
    low, high : ndarray, shape (n_channels, width)
        What the traces cover.
    channels, scale, zero, colours : ndarray, shape (n_rows,)
        As of `Rows`.
    first, n : int
        Where the columns are, and how many.
    is_joined : bool
        Whether the first goes on from the one before it.
    half : float
        Half the thickness of lines, in pixels.
    """
    height, width = pixels.shape
    bottom = float(height)
    for row in range(len(channels)):
        channel = channels[row]
        factor, origin, colour = scale[row], zero[row], colours[row]
        red, green, blue = (colour >> 16) & 255, (colour >> 8) & 255, colour & 255
        solid = 0xFF000000 | colour
        x = first - 1
        has_before = is_joined
        was_low = was_high = 0.0
        if is_joined:
            before = (first - 1) % width
            was_low, was_high = float(low[channel, before]), float(high[channel, before])
            has_before = was_low == was_low
        for _ in range(n):
            x += 1
            if x == width:
                x = 0
            least, most = float(low[channel, x]), float(high[channel, x])
            if least != least:
                has_before = False
                continue
            begin, end = least, most
            if has_before:
                begin, end = min(least, was_high), max(most, was_low)
            was_low, was_high, has_before = least, most, True
            top, under = origin - end * factor, origin - begin * factor
            if top > under:
                top, under = under, top
            # Written so that what is not a number, as infinity times zero, is left out.
            if not (top < bottom + half and under > -half):
                continue
            top, under = max(top - half, 0.0), min(under + half, bottom)
            y = int(top)
            last = math.ceil(under)
            while y < last:
                share = min(under, y + 1.0) - max(top, float(y))
                if share > 0.99:
                    pixels[y, x] = solid
                else:
                    weight = int(share * 256)
                    there = np.int64(pixels[y, x])
                    r, g, b = (there >> 16) & 255, (there >> 8) & 255, there & 255
                    r += ((red - r) * weight) >> 8
                    g += ((green - g) * weight) >> 8
                    b += ((blue - b) * weight) >> 8
                    pixels[y, x] = 0xFF000000 | (r << 16) | (g << 8) | b
                y += 1


_EXAMPLES = (
    like("u4", 2), like("f4", 2), like("f4", 2), like("i8", 1), like("f8", 1), like("f8", 1),
    like("i8", 1), 0, 0, True, 0.5,
)  # fmt: skip


def paint_without_compiler(
    pixels: Array,
    low: Array,
    high: Array,
    channels: Array,
    scale: Array,
    zero: Array,
    colours: Array,
    first: int,
    n: int,
    is_joined: bool,
    half: float,
) -> None:
    """Do as `paint` does where there is no numba, with whole pixels only."""
    height, width = pixels.shape
    x = np.arange(first, first + n) % width
    least, most = low[np.ix_(channels, x)], high[np.ix_(channels, x)]
    before = (x - 1) % width
    was_low, was_high = low[np.ix_(channels, before)], high[np.ix_(channels, before)]
    if not is_joined:
        was_low[:, :1] = was_high[:, :1] = np.nan
    begin, end = np.fmin(least, was_high), np.fmax(most, was_low)
    begin[np.isnan(least)] = np.nan
    with np.errstate(invalid="ignore", over="ignore"):
        one = zero[:, None] - end * scale[:, None]
        other = zero[:, None] - begin * scale[:, None]
        top, under = np.minimum(one, other), np.maximum(one, other)
        row, column = np.nonzero((top < height + half) & (under > -half))
    top = np.clip(np.rint(top[row, column] - half), 0, height).astype(np.int64)
    under = np.clip(np.rint(under[row, column] + half), 0, height).astype(np.int64)
    under = np.minimum(np.maximum(under, top + 1), height)
    sizes = np.maximum(under - top, 0)
    total = np.cumsum(sizes)
    y = np.arange(total[-1] if len(total) else 0) + np.repeat(top - (total - sizes), sizes)
    pixels[y, np.repeat(x[column], sizes)] = np.repeat(_OPAQUE | colours[row], sizes)
