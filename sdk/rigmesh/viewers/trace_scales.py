"""Where traces lie and how high they are: pure functions from samples and settings to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.viewers.traces import Rows

__all__ = ["Scale", "nice", "overlaid", "robust", "shown_unit", "stacked", "ticks"]

Array = npt.NDArray[Any]

_SIGMAS = 9.0
"""Robust standard deviations in the height of a row: noise fills two thirds of it."""
_TO_SIGMA = 1.4826
_UNITS = {"uV": "µV", "microvolts": "µV", "microvolt": "µV", "millivolts": "mV", "volts": "V"}


@dataclass(frozen=True, slots=True)
class Scale:
    """How samples are scaled, as an automatic scale finds it.

    Parameters
    ----------
    medians, spans : ndarray, shape (n_channels,)
        Middle of each channel and what fits in its row, in its unit. NaN for what is not known.
    """

    medians: Array
    spans: Array

    @property
    def common_span(self) -> float:
        """The round span that fits most channels."""
        known = self.spans[np.isfinite(self.spans) & (self.spans > 0)]
        return nice(float(np.median(known))) if len(known) else 1.0

    @property
    def extent(self) -> tuple[float, float]:
        """The least and the greatest value that all channels lie between, roughly."""
        with np.errstate(invalid="ignore"):
            lows, highs = self.medians - self.spans / 2, self.medians + self.spans / 2
        if not np.isfinite(lows).any():
            return -0.5, 0.5
        return float(np.nanmin(lows)), float(np.nanmax(highs))


def robust(samples: Array) -> Scale:
    """Find medians, and spans by the median absolute deviation; what is not finite is left out.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        Of any numeric type.
    """
    values = np.array(samples, np.float64)
    values[~np.isfinite(values)] = np.nan
    n_channels = values.shape[1]
    medians, spans = np.full(n_channels, np.nan), np.full(n_channels, np.nan)
    known = np.isfinite(values).any(axis=0)
    if known.any():
        values = values[:, known]
        medians[known] = middle = np.nanmedian(values, axis=0)
        found = _SIGMAS * _TO_SIGMA * np.nanmedian(np.abs(values - middle), axis=0)
        # A trigger that is nearly always 0 has no deviation by its median.
        found = np.where(found > 0, found, 2.5 * np.nanmax(np.abs(values - middle), axis=0))
        spans[known] = np.where(found > 0, found, 1.0)
    return Scale(medians, spans)


def nice(value: float) -> float:
    """Return the nearest of 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> nice(37.0), nice(0.0011), nice(100)
    (50.0, 0.001, 100.0)
    """
    if not (math.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    factor = min((1, 2, 5, 10), key=lambda candidate: abs(math.log(candidate * power / value)))
    return float(f"{factor * power:.6g}")


def ticks(low: float, high: float, most: int) -> Array:
    """Return round values from `low` to `high`, not more than about `most`."""
    step = nice((high - low) / max(1, most))
    found: Array = np.arange(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)
    return found * step


def stacked(channels: Array, height: float, *, span: Array, offset: Array, colours: Array) -> Rows:
    """Return rows one below another.

    Parameters
    ----------
    channels : ndarray, shape (n_rows,)
        The channels that are shown, from the top.
    height : float
        Of all of them, in pixels.
    span, offset : ndarray, shape (n_channels,)
        What is as high as a row, and what is added to samples, in their unit.
    colours : ndarray, shape (n_channels,)
        As 0xRRGGBB.
    """
    row = height / max(1, len(channels))
    middles = (np.arange(len(channels)) + 0.5) * row
    scale = row / span[channels]
    zero = middles - offset[channels] * scale
    lines = middles if row >= 12 else np.zeros(0)
    return Rows(channels, scale, zero, colours[channels], lines)


def overlaid(channels: Array, height: float, *, low: float, high: float, colours: Array) -> Rows:
    """Return rows on top of each other, with values from `low` to `high` in all the height."""
    scale = np.full(len(channels), height / (high - low))
    zero = np.full(len(channels), high / (high - low) * height)
    lines = height * (high - ticks(low, high, max(2, int(height / 45)))) / (high - low)
    return Rows(channels, scale, zero, colours[channels], lines)


def shown_unit(unit: str) -> str:
    """Return a unit as people write it.

    Examples
    --------
    >>> shown_unit("uV"), shown_unit("microvolts"), shown_unit("°C")
    ('µV', 'µV', '°C')
    """
    return _UNITS.get(unit, unit)
