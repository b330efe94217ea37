"""Runs a command at raised priority: ``raised.py COMMAND ...``.

With ``kernel.sched_autogroup_enabled`` the nice value acts within a session only, and that of the
session's autogroup counts between sessions; so both are set, where the user may. The command is
killed if the program that started it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

LEVEL = -15
"""Nice value of what is measured; above the 0 of everything else, below what a kernel needs."""

_PR_SET_PDEATHSIG = 1


def raise_task(task: int, process: int | str) -> bool:
    """Give a thread, and its process's session, the raised priority; return whether that worked.

    A thread made later has the priority of the one that made it.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, task, LEVEL)
    except OSError:
        return False
    # The file is missing in kernels without autogroups, where nice is enough.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(LEVEL), encoding="ascii")
    return True


def die_with_parent() -> None:
    """Have the kernel kill this process if the one that started it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    die_with_parent()
    raise_task(0, "self")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
