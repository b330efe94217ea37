"""Processes of groups as the operating system has them: children of ours, and of dead daemons."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rigmesh.errors import DaemonError
from rigmesh.transports import token_is_alive
from rigmesh.transports.segment import SHM

__all__ = ["Adopted", "Printed", "check_socket", "remove_bells", "spawn"]

_LONGEST_SOCKET = 107
"""Bytes that Linux takes for the path of a socket."""


class Printed:
    """What a process prints, through a named pipe.

    The process holds both ends of it: a pipe of its parent's would break with the parent, and the
    next `print` would fail a node. The next daemon opens the same pipe and reads on.

    Parameters
    ----------
    path : Path
        The pipe.
    said : callable
        Told each line.
    """

    def __init__(self, path: Path, said: Callable[[str], None]) -> None:
        self._path = path
        self._said = said
        self._fd = -1

    def make(self) -> int:
        """Make the pipe anew and listen; return the descriptor for the process, to be closed."""
        self._path.unlink(missing_ok=True)
        os.mkfifo(self._path, 0o600)
        self.listen()
        return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def listen(self) -> None:
        """Open the pipe of a process that runs, if it is still there."""
        with contextlib.suppress(FileNotFoundError):
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    async def follow(self) -> None:
        """Tell each line, until the process is gone."""
        if self._fd < 0:
            return
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        pipe, self._fd = os.fdopen(self._fd, "rb", buffering=0), -1
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # longer than the buffer; what follows is readable again
                    continue
                if not line:
                    return
                self._said(line.decode(errors="replace").rstrip())
        finally:
            transport.close()

    def remove(self) -> None:
        """Remove the pipe; what is still in it can be read."""
        self._path.unlink(missing_ok=True)


def check_socket(path: Path) -> None:
    """Refuse a path that no socket can have, and say what to do.

    Raises
    ------
    DaemonError
        If it is too long.
    """
    length = len(os.fsencode(path))
    if length > _LONGEST_SOCKET:
        raise DaemonError(
            f"the socket {path} would have a path of {length} bytes, where the system takes "
            f"{_LONGEST_SOCKET}; give the group a shorter name, or the daemon a shorter --run-dir"
        )


async def spawn(name: str, socket: Path, output: int) -> asyncio.subprocess.Process:
    """Start the process of a group, which will listen on `socket` and print into `output`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rigmesh_daemon.group",
        name,
        str(socket),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        # Its own process group: Ctrl-C in a terminal is not for it.
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


class Adopted:
    """A process that is not our child: a daemon that is dead had started it.

    Its end is noticed by its descriptor; how it ended the kernel tells to nobody but a parent.

    Parameters
    ----------
    token : str
        Pid and start time, so that it is no other process by now.

    Raises
    ------
    ProcessLookupError
        If it is gone.
    """

    returncode: int | None = None

    def __init__(self, token: str) -> None:
        self.pid = int(token.partition(".")[0])
        self._fd = os.pidfd_open(self.pid)
        if not token_is_alive(token):
            os.close(self._fd)
            raise ProcessLookupError(f"process {token} is gone")
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._on_end)

    async def wait(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self._ended.is_set():
            signal.pidfd_send_signal(self._fd, number)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._ended.set()


def remove_bells(session: str, token: str) -> None:
    """Remove the doorbells of a process that is dead, and nothing else.

    A sweep would also take the rings of every dead writer whose session began with a daemon that is
    dead, although this one has taken the session over and others still read them.
    """
    for path in SHM.glob(f"sem.rigmesh-{session}-{token}-*"):
        # A session group of another user has made its own.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()
