"""Which numbers filters compute with, and which they do not let in."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Precision", "arithmetic_type", "condition", "hold_finite", "result_type"]

Array = npt.NDArray[Any]
Precision = Literal["auto", "float32", "float64"]

_SMALL = ("float32", "int16", "uint16", "int8", "uint8")
"""Types that float32 holds without loss."""

_WORST_CONDITION = 2000.0
"""Up to it recursions in float32 were off by 4e-5 of their input's RMS at most, in 600 designs by
chance, fed with noise, offsets, sines, squares and drifts; up to 4000 by 7e-5, to 1e5 by 2e-3."""

_LEAST_GAIN = 1e-12
"""Sections are designed with the whole gain in the first one; behind it even teslas shall be normal
numbers, which begin at 1e-38."""


def result_type(given: str, precision: Precision) -> str:
    """Return the type of filtered samples.

    Parameters
    ----------
    given : str
        Type of the samples.
    precision : str
        What the user asked for; ``auto`` means the smaller type that holds the samples.
    """
    if precision != "auto":
        return precision
    return "float32" if given in _SMALL else "float64"


def arithmetic_type(result: str, precision: Precision, sos: Array) -> str:
    """Return the type to run sections in: float32 only where they allow it, or if asked for.

    Parameters
    ----------
    result : str
        Type of the filtered samples.
    precision : str
        What the user asked for.
    sos : ndarray, shape (n_sections, 6)
        The sections.
    """
    if precision == "auto":
        gain = np.abs(sos[:, :3]).max(axis=1).min()
        if gain < _LEAST_GAIN or condition(sos) > _WORST_CONDITION:
            return "float64"
    return result


def condition(sos: Array) -> float:
    """Return how much the sections amplify the rounding of their coefficients.

    A share of error in the coefficients of a denominator changes the filter at some frequency by
    that share times the sum of their sizes over the size of the denominator there; the largest such
    factor is returned. It grows with the square of the sampling rate over a low cut-off frequency.

    Parameters
    ----------
    sos : ndarray, shape (n_sections, 6)
        The sections, with a0 = 1.

    Examples
    --------
    >>> from scipy.signal import butter
    >>> condition(butter(2, 300, "highpass", fs=30_000, output="sos")) < 2000
    True
    >>> condition(butter(2, 1, "highpass", fs=30_000, output="sos")) > 1e6
    True
    """
    a1, a2 = sos[:, 4], sos[:, 5]
    # |A|² is a quadratic in the cosine of the frequency: its minimum is at an end, or between.
    curved = np.where(a2 > 0, a2, 1.0)
    between = np.where(a2 > 0, np.clip(-a1 * (1 + a2) / (4 * curved), -1, 1), 1.0)
    cosines = np.stack([np.full_like(a1, -1.0), np.ones_like(a1), between])
    power = (4 * a2 * cosines + 2 * a1 * (1 + a2)) * cosines + (1 - a2) ** 2 + a1**2
    least = np.sqrt(np.maximum(power.min(axis=0), np.finfo(np.float64).tiny))
    return float(np.max((1 + np.abs(a1) + np.abs(a2)) / least))


def hold_finite(data: Array, held: Array) -> tuple[Array, Array, Array]:
    """Replace what is not finite by the last finite sample of its channel.

    Parameters
    ----------
    data : ndarray, shape (n_samples, n_channels)
        Samples.
    held : ndarray, shape (n_channels,)
        The last finite samples before.

    Returns
    -------
    finite : ndarray, shape (n_samples, n_channels)
        The samples, replaced where needed.
    is_bad : ndarray of bool, shape (n_samples, n_channels)
        Where that was.
    held : ndarray, shape (n_channels,)
        The last finite samples of these.
    """
    is_bad = ~np.isfinite(data)
    if not is_bad.any():
        return data, is_bad, data[-1].copy()
    rows = np.concatenate([held[None], data])
    known = np.zeros(rows.shape, np.intp)
    known[1:] = np.where(is_bad, 0, np.arange(1, len(rows))[:, None])
    np.maximum.accumulate(known, axis=0, out=known)
    rows = np.take_along_axis(rows, known, axis=0)
    return rows[1:], is_bad, rows[-1]
