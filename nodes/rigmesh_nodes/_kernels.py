"""Loops that numba compiles: when a node is prepared, once a machine, never while it processes.

A kernel is a plain function on arrays. It holds the interpreter's lock while it runs: a thread that
gives the lock up gets it back after 5 ms if another one computes in Python, which a kernel of 50 µs
never gains back. Who has much to do hands it over in pieces.

There is no ``fastmath``. Loops over channels are vectorised without it; in the cascade of sections
it was slower by a fifth, ``contract`` by a tenth (AMD EPYC 7003, numba 0.68). Without it NaN and
infinity are what IEEE 754 says, float64 is scipy's to the last bit, and a channel's numbers do not
depend on its neighbours.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Kernel", "aligned_zeros", "cache_folder", "has_compiler", "kernel", "like"]

Array = npt.NDArray[Any]

P = ParamSpec("P")
R = TypeVar("R")

_LINE = 64

_log = logging.getLogger(__name__)


class Kernel(Generic[P, R]):
    """A function that can be compiled for the types of its arguments.

    Parameters
    ----------
    function : callable
        What numba can compile. The values of its module's constants are part of the result; it
        calls no other kernel, since numba's cache would not notice a change of that one.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self._compiled: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def compiled(self, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R] | None:
        """Return the compiled function; None if there is no numba.

        It takes a second the first time on a machine, some 10 ms afterwards: call it in `prepare`.

        Parameters
        ----------
        *args
            Examples of the arguments; of arrays the type, number of dimensions, order and whether
            they are read-only matter. What is compiled for read-only arrays takes others, too;
            anything else is a `TypeError` at the call, never a compilation.
        """
        found: Callable[P, R] | None = self._dispatcher(args, kwargs)
        return found

    def trusted(self, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R] | None:
        """Return the compiled function without the look at its arguments; None without numba.

        That look takes 0.6 µs, and five times as long after a sleep. Who calls it vouches for the
        types and the order of what is handed over: anything else is read as if it were that.

        Parameters
        ----------
        *args
            Examples of the arguments, as for `compiled`.
        """
        dispatcher = self._dispatcher(args, kwargs)
        if dispatcher is None:
            return None
        (only,) = dispatcher.overloads.values()
        found: Callable[P, R] = only.entry_point
        return found

    def _dispatcher(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if kwargs:
            raise TypeError(f"{self.function.__name__} is compiled for positional arguments only")
        if not has_compiler():
            return None
        numba = import_module("numba")
        signature = tuple(numba.typeof(argument) for argument in args)
        with self._lock:
            if signature not in self._compiled:
                self._compiled[signature] = _compile(self.function, signature)
            return self._compiled[signature]


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Make a function a :class:`Kernel`; for use as a decorator."""
    return Kernel(function)


def like(dtype: npt.DTypeLike, n_dimensions: int, *, is_read_only: bool = False) -> Array:
    """Return an array to compile a kernel for: C-contiguous, of a type and number of dimensions."""
    example = np.zeros((1,) * n_dimensions, dtype)
    example.flags.writeable = not is_read_only
    return example


def aligned_zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return zeros that begin with a cache line.

    NumPy aligns to 16 bytes; a kernel that goes through an array again and again takes up to half
    as long again if each of its vectors lies in two lines.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + _LINE, np.uint8)
    begin = -memory.ctypes.data % _LINE
    return memory[begin : begin + n_bytes].view(dtype).reshape(shape)


def has_compiler() -> bool:
    """Whether numba is installed and not switched off by ``NUMBA_DISABLE_JIT``."""
    try:
        return not import_module("numba").config.DISABLE_JIT
    except ImportError:
        return False


def cache_folder() -> Path:
    """Return where compiled kernels are kept.

    That is ``NUMBA_CACHE_DIR``, else ``rigmesh/numba`` in the service's ``CACHE_DIRECTORY``, in
    ``XDG_CACHE_HOME`` or in ``~/.cache``.
    """
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    root = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "rigmesh" / "numba"


def _compile(function: Callable[P, R], signature: tuple[Any, ...]) -> Any:
    numba = import_module("numba")
    with _caching_in(numba.config, cache_folder()):
        try:
            dispatcher = numba.njit(cache=True)(function)
        except RuntimeError as error:  # no folder that it can write to
            _log.info("kernels are compiled at each start: %s", error)
            dispatcher = numba.njit(function)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


_configuring = threading.Lock()


@contextlib.contextmanager
def _caching_in(config: Any, folder: Path) -> Iterator[None]:
    """Let numba choose a folder, here only: what others compile in this process is theirs.

    Several processes may compile the same at once: numba replaces files whole.
    """
    with _configuring:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            yield
        finally:
            config.CACHE_DIR = before
