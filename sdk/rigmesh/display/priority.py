"""Who shows samples lets those go first who take them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["give_way"]

_NICENESS = 10
_AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Have the scheduler prefer other processes, this one's acquisition among them.

    Where each session is scheduled as a group (``sched(7)``, the autogroup feature), niceness
    counts only among the processes of one session. If this process leads one it is set for that,
    too; of somebody else's, such as a terminal's, nothing is changed.
    """
    if not hasattr(os, "nice"):  # windows open on other systems, too
        return
    os.nice(_NICENESS)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # not built into this kernel, or told too often
            _AUTOGROUP.write_text(str(_NICENESS), encoding="ascii")
