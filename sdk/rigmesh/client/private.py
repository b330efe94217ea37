"""A daemon of one's own, for scripts on a machine where none runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rigmesh.errors import DaemonUnavailable

__all__ = ["PrivateDaemon", "find_running", "find_socket"]

_SYSTEM_SOCKET = Path("/run/rigmesh/rigmeshd.sock")
_PREFIX, _SOCKET = "rigmesh-", "rigmeshd.sock"
_START_WITHIN = 60.0
_END_WITHIN = 60.0


def find_socket() -> Path | None:
    """Return the socket of the daemon to use, or None to start one.

    ``$RIGMESH_SOCKET`` wins, then the system daemon.

    Raises
    ------
    DaemonUnavailable
        If a daemon is there but may not be used: nothing is fallen back to in silence.
    """
    named = os.environ.get("RIGMESH_SOCKET")
    if named:
        if not Path(named).exists():
            raise DaemonUnavailable(f"$RIGMESH_SOCKET names {named}, which does not exist")
        return Path(named)
    try:
        exists = _SYSTEM_SOCKET.exists()
    except PermissionError:
        exists = True
    if not exists:
        return None
    if not os.access(_SYSTEM_SOCKET, os.R_OK | os.W_OK):
        raise DaemonUnavailable(
            f"the system daemon's socket {_SYSTEM_SOCKET} is not open to you: join its group "
            "(sudo usermod -aG rigmesh $USER, then log in anew), or set RIGMESH_SOCKET"
        )
    return _SYSTEM_SOCKET


def find_running() -> Path | None:
    """Return the socket of a daemon that runs: as `find_socket`, else one that a script started.

    Raises
    ------
    DaemonUnavailable
        As `find_socket`; or if several scripts have started one.
    """
    found = find_socket()
    if found is not None:
        return found
    folders = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_SOCKET}")
    mine = [path for path in folders if path.stat().st_uid == os.getuid() and _answers(path)]
    if len(mine) > 1:
        raise DaemonUnavailable(
            f"{len(mine)} scripts have daemons of their own; say which: RIGMESH_SOCKET="
            + " or ".join(map(str, sorted(mine)))
        )
    return mine[0] if mine else None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:  # left by a daemon that was killed
            return False
    return True


class PrivateDaemon:
    """A daemon that is our child and ends with us, however we end."""

    def __init__(self) -> None:
        self.run_dir = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.socket = self.run_dir / _SOCKET
        self._log = self.run_dir / "rigmeshd.log"
        with self._log.open("wb") as log:
            # It ends when this pipe closes, which the kernel sees to even after kill -9.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rigmesh_daemon", "--private", "--run-dir", self.run_dir],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._await_socket()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def close(self) -> None:
        """End it, and with it everything it runs."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode:
            # It was killed, and with it maybe groups that could not tidy up.
            from rigmesh.transports import sweep

            sweep()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _await_socket(self) -> None:
        deadline = time.monotonic() + _START_WITHIN
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(encoding="utf-8", errors="replace").strip()
                hint = ""
                if "No module named" in said:
                    hint = " (is it installed? pip install 'rigmesh[daemon]')"
                raise DaemonUnavailable(f"a private daemon did not start{hint}:\n{said}")
            time.sleep(0.01)
