"""A daemon that a panel looks at, which can be killed, frozen and started again; and a panel."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from PyQt5 import QtWidgets

from rigmesh.viewers.panel import Panel

__all__ = ["PanelDaemon", "open_panel", "until"]

_WITHIN = 40.0


def until(condition: Callable[[], object], within: float = _WITHIN) -> None:
    """Let Qt work until a condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        QtWidgets.QApplication.processEvents()
        time.sleep(0.01)


def open_panel(socket: Path | None, hosts: Sequence[str] = ()) -> Panel:
    """Open a panel, and wait until it knows of a daemon."""
    panel = Panel(hosts, lambda: socket)
    panel.show()
    until(lambda: all(view.is_live for key, view in panel.views.items() if key or socket))
    return panel


class PanelDaemon:
    """A daemon with its own run directory, started again where it was."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "run"
        self.socket = self.run_dir / "rigmeshd.sock"
        self._log = folder / "rigmeshd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[psutil.Process] = []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "rigmesh_daemon", "--grace", "30"]
            self._process = subprocess.Popen(
                [*command, "--run-dir", self.run_dir],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until(self._answers)

    def kill(self) -> None:
        """Kill it, and nothing else."""
        assert self._process is not None
        self._groups += psutil.Process(self._process.pid).children()
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(60) == 0, self._log.read_text()
            until(lambda: not any(group.is_running() for group in self._groups))

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0
