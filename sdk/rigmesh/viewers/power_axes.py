"""Ticks and words of the axes of power and frequency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["frequency_ticks", "unit_text", "value_text"]

Array = npt.NDArray[Any]

_LEAST_TICKS, _MOST_TICKS = 3, 9


def frequency_ticks(low: float, high: float) -> list[float]:
    """Return round frequencies from `low` to `high` for an axis whose octaves are equal.

    Examples
    --------
    >>> frequency_ticks(4, 100)
    [5.0, 10.0, 20.0, 50.0, 100.0]
    >>> frequency_ticks(8, 13)
    [8.0, 9.0, 10.0, 11.0, 12.0, 13.0]
    """
    if not 0 < low < high:
        return [low]
    for steps in ((1, 2, 5), (1, 3), (1,)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [round(step * 10.0**d, 9) for d in decades for step in steps]
        found = [f for f in found if low * (1 - 1e-9) <= f <= high * (1 + 1e-9)]
        if len(found) < _LEAST_TICKS:
            break
        if len(found) <= _MOST_TICKS or steps == (1,):
            return found
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next((m for m in (1, 2, 5) if (high - low) / (m * step) <= _MOST_TICKS), 10)
    return [round(k * step, 9) for k in range(math.ceil(low / step), int(high / step) + 1)]


def unit_text(unit: str, *, is_db: bool, is_relative: bool = False) -> str:
    """Return what an axis of power is in.

    Examples
    --------
    >>> unit_text("uV^2/Hz", is_db=True)
    'dB re 1 µV²/Hz'
    >>> unit_text("uV^2", is_db=False)
    'µV²'
    """
    shown = unit.replace("^2", "²")
    if shown.startswith("u"):
        shown = "µ" + shown[1:]
    if is_relative:
        return "dB over the median" if is_db else "of the median"
    if is_db:
        return f"dB re 1 {shown}" if shown else "dB"
    return shown or "power"


def value_text(value: float, unit: str) -> str:
    """Return a value of power with as many digits as one reads."""
    if not np.isfinite(value):
        return "no value"
    return f"{value:.1f} {unit}" if unit.startswith("dB") else f"{value:.3g} {unit}"
