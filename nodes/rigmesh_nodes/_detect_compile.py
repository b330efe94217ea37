"""Kernels of finders, compiled for samples as nodes are handed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from rigmesh_nodes._kernels import Kernel

__all__ = ["column_of", "compiled", "samples_of", "trusted"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(kernel: Kernel[P, R], *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
    """Return a kernel for such arguments; without a compiler the slow function itself."""
    return kernel.compiled(*args, **kwargs) or kernel.function


def trusted(kernel: Kernel[P, R], *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
    """Do as `compiled`, for who vouches for the arguments; see :meth:`Kernel.trusted`."""
    return kernel.trusted(*args, **kwargs) or kernel.function


def samples_of(dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an example of samples: read-only, of two dimensions."""
    data = np.zeros((2, 2), dtype)
    data.flags.writeable = False
    return data


def column_of(dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an example of the samples of one channel among several."""
    return samples_of(dtype)[:, 0]
