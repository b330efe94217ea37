"""What the operating system and the interpreter are told about a group's process."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

from rigmesh.errors import NotPermitted, ParameterError

__all__ = ["Quiet", "keep_to_cpus", "lock_memory", "set_priority"]

_MCL_CURRENT, _MCL_FUTURE = 1, 2

_SWITCH_INTERVAL = 0.5e-3
"""A thread that wants to run waits so long for one that computes, in seconds; 5 ms by default.

The loop is the one that waits, for a thread that counts or answers the daemon.
"""

_MOST_YOUNG = 50_000
"""New objects after which garbage is collected although nodes run."""


def keep_to_cpus(group: str, cpus: Iterable[int]) -> None:
    """Run every thread of this process, and those to come, on some CPUs only.

    Raises
    ------
    ParameterError
        If one is not there, or not for this process.
    """
    wanted, allowed = set(cpus), os.sched_getaffinity(0)
    if not wanted <= allowed:
        raise ParameterError(
            f"groups.{group}.cpus: asked for {_listed(wanted)}; this process may use "
            f"{_listed(allowed)}"
        )
    for thread in _threads():
        os.sched_setaffinity(thread, wanted)


def set_priority(group: str, percent: int) -> None:
    """Give every thread of this process, and those to come, a real-time priority.

    All have the same, so that none of them keeps the interpreter's lock from another for as long as
    somebody else's process computes.

    Parameters
    ----------
    group : str
        For the message.
    percent : int
        Of the range of SCHED_FIFO.

    Raises
    ------
    NotPermitted
        If the user may not.
    """
    low, high = os.sched_get_priority_min(os.SCHED_FIFO), os.sched_get_priority_max(os.SCHED_FIFO)
    priority = low + round((high - low) * percent / 100)
    try:
        for thread in _threads():
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError as error:
        limit, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
        raise NotPermitted(
            f"groups.{group}.priority: {percent} % asks for real-time priority {priority}; this "
            f"user may use up to {limit}. `rigmesh doctor` says how to get the right; or leave "
            "priority out"
        ) from error


def lock_memory(group: str) -> None:
    """Keep this process's memory from being swapped out.

    Raises
    ------
    NotPermitted
        If the user may not lock so much.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        reason = os.strerror(ctypes.get_errno())
        limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        raise NotPermitted(
            f"groups.{group}.lock_memory: {reason}; this user may lock {limit / 2**20:.0f} MiB. "
            "`rigmesh doctor` says how to get the right; or leave lock_memory out"
        )


class Quiet:
    """Keeps the interpreter from stopping a running loop for its own business.

    Everything that is there when nodes start is taken out of the garbage collector's sight, and it
    is run by `tend` only, on the few objects made since, when they have become many: those that
    refer to each other, such as the traceback of an exception.

    Attributes
    ----------
    collections : int
        How often that happened.
    """

    def __init__(self) -> None:
        self.collections = 0
        self._is_on = False
        sys.setswitchinterval(_SWITCH_INTERVAL)

    def begin(self) -> None:
        """Be quiet, as nodes start."""
        if not self._is_on:
            self._is_on = True
            gc.collect()
            gc.freeze()
            gc.disable()

    def tend(self, *, running: bool) -> None:
        """Collect if there is much, or if nothing runs."""
        if not self._is_on:
            return
        if not running:
            self._is_on = False
            gc.unfreeze()
            gc.enable()
            gc.collect()
        elif gc.get_count()[0] > _MOST_YOUNG:
            gc.collect(1)
            self.collections += 1


def _threads() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/task").iterdir()]


def _listed(cpus: set[int]) -> str:
    return ", ".join(map(str, sorted(cpus))) or "none"
