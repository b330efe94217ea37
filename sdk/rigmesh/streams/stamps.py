"""Stamps that rise, out of those that there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["rising"]

_LONGEST_STEP_BACK = 0.1
"""In seconds; what goes further back is another time, not jitter."""


def rising(stamps: npt.NDArray[Any], before: float) -> tuple[npt.NDArray[np.float64], int]:
    """Return stamps up to one that goes back by more than 0.1 s, and how many these are.

    Those that go back by less, or are not finite, become the greatest before them.

    Parameters
    ----------
    stamps : ndarray, shape (n_samples,)
        In seconds.
    before : float
        The greatest stamp before them; minus infinity if there was none.

    Returns
    -------
    times : ndarray, shape (n,)
        They rise; minus infinity as long as none was finite.
    n : int
        Less than `n_samples` if another time begins there.

    Examples
    --------
    >>> rising(np.array([1.0, 0.95, np.nan, 3.0, 0.5]), -np.inf)
    (array([1., 1., 1., 3.]), 4)
    """
    times = np.where(np.isfinite(stamps), stamps, np.nan)
    highest = np.fmax.accumulate(np.concatenate(([before], times)))
    back = np.flatnonzero(times < highest[:-1] - _LONGEST_STEP_BACK)
    n = int(back[0]) if len(back) else len(times)
    return highest[1 : n + 1], n
