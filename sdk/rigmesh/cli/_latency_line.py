"""A line between two virtual serial ports: what is written to the one is read from the other.

The line is carried by a process of its own, which runs this file and imports next to nothing: in
the process of the command, every redraw of the terminal would delay what goes over it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tty
from pathlib import Path
from types import TracebackType

__all__ = ["VirtualLine"]

_MOST = 4096
_END_WITHIN = 5.0


class VirtualLine:
    """Two serial ports and the line between them, as long as the ``with`` block lasts.

    The line adds waking one process to the way of each byte, some 20 to 50 µs.

    Attributes
    ----------
    output, into : str
        Paths of the ports.
    """

    def __init__(self) -> None:
        # It ends when this pipe closes, which the kernel sees to even after kill -9; Ctrl-C goes
        # to the foreground's process group only, and the line is needed until all has stopped.
        self._process = subprocess.Popen(
            [sys.executable, "-I", Path(__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        said = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not said:
            self.close()
            raise OSError("the virtual serial line did not start")
        self.output, self.into = said.split()

    def close(self) -> None:
        """Take the ports away."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> VirtualLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _carry() -> None:
    """Open the ports, say where they are, and carry bytes until standard input ends."""
    ends, ports = zip(*(os.openpty() for _ in range(2)), strict=True)
    for descriptor in ports:  # these stay open: the line is not cut when a node closes its port
        tty.setraw(descriptor)
    for descriptor in ends:
        os.set_blocking(descriptor, False)
    sys.stdout.write(" ".join(map(os.ttyname, ports)) + "\n")
    sys.stdout.flush()
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    poll = select.poll()
    for descriptor in (0, *ends):
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor not in other:
                return
            with contextlib.suppress(BlockingIOError):  # nobody reads: as on a line, it is lost
                os.write(other[descriptor], os.read(descriptor, _MOST))


if __name__ == "__main__":
    _carry()
