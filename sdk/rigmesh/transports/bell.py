"""The doorbell: what a reading process sleeps on."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Protocol, Self

import posix_ipc

from rigmesh.errors import NameTaken, NotPermitted, StreamLost

__all__ = ["LOOK_EVERY", "Bell", "LocalBell", "NoBell", "SharedBell"]

LOOK_EVERY = 0.015
"""In seconds, for who shows samples to people: more often than screens are drawn."""


class Bell(Protocol):
    """Something to ring and to wait for."""

    @property
    def name(self) -> str:
        """What writers find it by; empty if no other process is to ring it."""

    def ring(self) -> None:
        """Wake the one who waits, or let the next wait return at once."""

    def wait(self, timeout: float) -> bool:
        """Sleep until it rings, `timeout` seconds at most; swallow all rings so far."""

    def close(self) -> None:
        """Give it up."""


class LocalBell:
    """A doorbell inside one process."""

    name = "local"

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Wake the one who waits."""
        self._event.set()

    def wait(self, timeout: float) -> bool:
        """Sleep until it rings."""
        rang = self._event.wait(timeout)
        self._event.clear()
        return rang

    def close(self) -> None:
        """Nothing to give up."""


class NoBell:
    """For a reader that looks by itself every so often: no writer rings for it.

    Ringing wakes a process, which costs who rings more than writing a small chunk, for each chunk
    and each reader. Who shows samples to people needs them as often as a screen is drawn.

    Parameters
    ----------
    look_every : float
        In seconds.
    """

    name = ""

    def __init__(self, look_every: float) -> None:
        self._look_every = look_every

    def ring(self) -> None:
        """Do nothing: who waits looks soon."""

    def wait(self, timeout: float) -> bool:
        """Sleep until it is time to look."""
        time.sleep(min(timeout, self._look_every))
        return timeout >= self._look_every

    def close(self) -> None:
        """Nothing to give up."""


class SharedBell:
    """A doorbell between processes: a POSIX semaphore used as a signal only, never as a lock.

    A lock would stay locked when its holder is killed. Writers ring after they publish, always:
    asking first whether somebody sleeps would need a fence that Python does not have.

    Parameters
    ----------
    name : str
        Begins with a slash.
    create : bool
        Make it, and remove its name when it is closed.
    mode, gid : int
        Permissions and group of a new one, whatever the umask; -1 leaves one's own group.

    Raises
    ------
    StreamLost
        If it is gone, and so is the reader that slept on it.
    NotPermitted
        If it is somebody else's.
    NameTaken
        If it is there already.
    """

    def __init__(
        self, name: str, *, create: bool = False, mode: int = 0o600, gid: int = -1
    ) -> None:
        flags = posix_ipc.O_CREX if create else 0
        self.name = name
        self._owned = create
        try:
            self._semaphore = posix_ipc.Semaphore(name, flags, mode=mode, initial_value=0)
        except posix_ipc.ExistentialError as error:
            if create:
                raise NameTaken(f"there is a doorbell {name} already") from error
            raise StreamLost(f"no doorbell {name}: its reader is gone") from error
        except posix_ipc.PermissionsError as error:
            raise NotPermitted(f"the doorbell {name} is not open to this user") from error
        if create:
            path = Path(f"/dev/shm/sem.{name[1:]}")
            # A hardened service may not call chown, nor need it.
            if gid not in (-1, path.stat().st_gid):
                os.chown(path, -1, gid)
            path.chmod(mode)

    def ring(self) -> None:
        """Wake the one who waits."""
        try:
            self._semaphore.release()
        except (OSError, posix_ipc.Error):
            return  # closed, or full: its reader has been stopped for weeks

    def wait(self, timeout: float) -> bool:
        """Sleep until it rings; swallow all rings so far."""
        semaphore = self._semaphore
        # Rings that came while one was busy are swallowed now, before sleeping, rather than after
        # waking, when somebody waits for the answer. Counting first: asking until there is none
        # costs an exception each time.
        rung = semaphore.value
        try:
            for _ in range(rung or 1):
                semaphore.acquire(0 if rung else timeout)
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            return bool(rung)
        return True

    def close(self) -> None:
        """Close it; its maker also removes the name."""
        self._semaphore.close()
        if self._owned:
            with contextlib.suppress(posix_ipc.ExistentialError):
                posix_ipc.unlink_semaphore(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
