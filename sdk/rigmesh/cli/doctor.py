"""``rigmesh doctor``: whether this machine can do what a rig needs."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from rich.markup import escape

from rigmesh.cli.console import FAILED, OUT
from rigmesh.client.private import find_socket
from rigmesh.errors import RigmeshError
from rigmesh.streams import clock_id, local_clock
from rigmesh.transports import check_platform

__all__ = ["doctor"]

Finding = tuple[str, str]
"""``ok``, ``note`` or ``bad``, and what was found with the way out."""

_MIB = 2**20
_RIGHTS = (
    "write '@rigmesh - rtprio 95' and '@rigmesh - memlock unlimited' into "
    "/etc/security/limits.d/rigmesh.conf, join the group rigmesh, log in anew (the system daemon "
    "has both rights already)"
)


def doctor() -> None:
    """Check shared memory, limits, real-time rights, LSL, the clock and the daemon."""
    worst = "ok"
    for name, check in _CHECKS.items():
        for level, text in check():
            mark = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "bad": "[bold red]✗[/]"}[level]
            OUT.print(f"{mark} [bold]{name}[/]  {escape(text)}", highlight=False)
            worst = "bad" if "bad" in (level, worst) else worst
    raise typer.Exit(FAILED if worst == "bad" else 0)


def _platform() -> Iterator[Finding]:
    try:
        check_platform()
        yield "ok", f"Linux {os.uname().release} on x86-64, {os.cpu_count()} cores"
    except RigmeshError as error:
        yield "bad", str(error)


def _shared_memory() -> Iterator[Finding]:
    stat = os.statvfs("/dev/shm")
    total, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
    text = f"/dev/shm: {free / _MIB:.0f} of {total / _MIB:.0f} MiB free"
    if free < 64 * _MIB:
        yield "bad", text + "; a ring of 384 channels at 30 kHz needs 232: mount -o remount,size=1g"
    elif free < 512 * _MIB:
        yield (
            "note",
            text + "; enough for EEG, little for probes: mount -o remount,size=1g /dev/shm",
        )
    else:
        yield "ok", text


def _limits() -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{files} open files"
    yield ("ok", text) if files >= 1024 else ("bad", text + "; raise it: ulimit -n 4096")


def _real_time() -> Iterator[Finding]:
    _, most = resource.getrlimit(resource.RLIMIT_RTPRIO)
    old = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield (
            "note",
            f"no right to real-time priority (rtprio limit {most}), which `priority` of a group "
            f"needs; {_RIGHTS}",
        )
    else:
        os.sched_setscheduler(0, old, os.sched_param(0))
        yield "ok", "real-time priority is allowed"
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if locked == resource.RLIM_INFINITY or os.geteuid() == 0:
        yield "ok", "memory may be locked without limit"
    else:
        yield (
            "note",
            f"only {locked / _MIB:.0f} MiB of memory may be locked, and `lock_memory` of a group "
            f"needs more than a process has; {_RIGHTS}",
        )


def _lsl() -> Iterator[Finding]:
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:
        yield "bad", f"liblsl cannot be loaded: {error}; pip install 'rigmesh[lsl]'"
        return
    yield "ok", f"pylsl {pylsl.__version__}, liblsl {pylsl.library_version() / 100:.2f}"
    difference = pylsl.local_clock() - local_clock()
    if abs(difference) > 0.001:
        yield "bad", f"LSL's clock differs from the system's monotonic clock by {difference} s"
    else:
        yield "ok", "LSL's clock is the system's monotonic clock"
    local = Path("lsl_api.cfg")
    if local.exists():
        yield "note", "LSL silently takes its settings from lsl_api.cfg in this folder"


def _clock() -> Iterator[Finding]:
    late = []
    for _ in range(50):
        due = time.monotonic() + 0.001
        time.sleep(0.001)
        late.append(time.monotonic() - due)
    worst = max(late) * 1e6
    text = f"a sleep of 1 ms is {statistics.median(late) * 1e6:.0f} µs late, {worst:.0f} at worst"
    yield ("ok" if worst < 5000 else "note"), text
    yield "ok", f"clock {clock_id()}"


def _daemon() -> Iterator[Finding]:
    try:
        socket = find_socket()
    except RigmeshError as error:
        yield "bad", str(error)
        return
    if socket is None:
        yield "note", "no system daemon; scripts start one of their own (systemd/README.md)"
    else:
        yield "ok", f"a daemon listens on {socket}"


_CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "platform": _platform,
    "shared memory": _shared_memory,
    "limits": _limits,
    "real time": _real_time,
    "LSL": _lsl,
    "clock": _clock,
    "daemon": _daemon,
}
