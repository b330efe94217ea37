"""Rings in POSIX shared memory: names, making, attaching, sweeping."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

import posix_ipc

from rigmesh.errors import StreamNotFound, Unsupported
from rigmesh.streams import StreamInfo
from rigmesh.transports.base import StartAt
from rigmesh.transports.bell import Bell, SharedBell
from rigmesh.transports.layout import N_SLOTS, Header, RingState
from rigmesh.transports.reader import RingReader
from rigmesh.transports.ring import BYTE_RING, capacity_for
from rigmesh.transports.segment import SHM, SharedSegment
from rigmesh.transports.writer import WRITER_LOCK, RingWriter

__all__ = [
    "ShmTransport",
    "check_platform",
    "declare_lost",
    "position_of",
    "process_token",
    "sweep",
    "token_is_alive",
    "unlink",
]

_PREFIX = "rigmesh"
_bell_numbers = itertools.count(1)
"""Of this process, never used again: a writer that knows a name keeps the doorbell open that had it
first, and would ring that one."""
_NAME = re.compile(rf"^(?:sem\.)?{_PREFIX}-(\d+\.\d+)-(?:(\d+\.\d+)-)?")


def check_platform() -> None:
    """Raise unless the rings' ordering argument holds here.

    Raises
    ------
    Unsupported
        Anywhere but on Linux on x86-64.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine != "x86_64":
        raise Unsupported(
            f"the daemon runs on Linux on x86-64, this is {sys.platform} on {machine}: its rings "
            "rely on x86-64 keeping stores in order; clients, viewers and LSL work from here"
        )


def process_token(pid: int | None = None) -> str:
    """Return a name of a process that is never used again: pid and start time."""
    pid = pid or os.getpid()
    return f"{pid}.{_stat(pid)[19]}"


def token_is_alive(token: str) -> bool:
    """Whether the process of a token still runs; one that nobody has waited for does not."""
    pid, _, start = token.partition(".")
    try:
        stat = _stat(int(pid))
    except OSError:
        return False
    return stat[19] == start and stat[0] not in "ZX"


def _stat(pid: int) -> list[str]:
    """Return what the kernel says of a process, from its state on."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()


def _slug(name: str) -> str:
    """Make a file name of a stream's, another one for each."""
    plain = re.sub(r"[^A-Za-z0-9_.]", "_", name)[:120]
    return plain if plain == name else f"{plain}.{zlib.crc32(name.encode()):08x}"


class ShmTransport:
    """The rings and doorbells of one session (one daemon) in /dev/shm.

    Parameters
    ----------
    session : str
        Token of the daemon.
    share : float
        The part of what is free in /dev/shm that one stream may take.
    mode, gid : int
        Permissions and group: 0600 and -1 (one's own), or 0660 and a system daemon's group.
    """

    def __init__(
        self, session: str, *, share: float = 0.5, mode: int = 0o600, gid: int = -1
    ) -> None:
        self._session = session
        self._share = share
        self._mode = mode
        self._gid = gid

    @classmethod
    def like(cls, session: str, segment: str) -> Self:
        """Return a transport whose doorbells are open to whoever may use a segment."""
        stat = (SHM / segment.removeprefix("/")).stat()
        return cls(session, mode=stat.st_mode & 0o777, gid=stat.st_gid)

    def segment_name(self, stream: str, epoch: int) -> str:
        """Return where the ring of an epoch lies."""
        return f"/{_PREFIX}-{self._session}-{_slug(stream)}.{epoch}"

    def writer(
        self,
        info: StreamInfo,
        capacity: int | None = None,
        *,
        epoch: int = 0,
        first_index: int = 0,
        blocking: bool = False,
        byte_capacity: int = BYTE_RING,
        seconds: float = 10.0,
        stopping: Callable[[], bool] = lambda: False,
    ) -> RingWriter:
        """Make the ring of an epoch.

        Raises
        ------
        OutOfMemory
            If it does not fit into /dev/shm.
        SecondWriter
            If the epoch has a writer.
        """
        name = self.segment_name(info.name, epoch)
        return RingWriter(
            lambda size: SharedSegment.create(
                name, size, share=self._share, mode=self._mode, gid=self._gid
            ),
            info,
            capacity or capacity_for(info, seconds),
            epoch=epoch,
            first_index=first_index,
            bell=SharedBell,
            blocking=blocking,
            byte_capacity=byte_capacity,
            stopping=stopping,
        )

    def reader(
        self,
        segment: str,
        bell: Bell,
        *,
        name: str = "",
        start: StartAt = "now",
        lossless: bool = False,
    ) -> RingReader:
        """Attach to a ring.

        Raises
        ------
        StreamNotFound
            If it is gone.
        """
        attached = SharedSegment.attach(segment)
        try:
            return RingReader(attached, bell, name=name, start=start, lossless=lossless)
        except BaseException:
            attached.close()
            raise

    def bell(self) -> SharedBell:
        """Make a doorbell of this process."""
        name = f"/{_PREFIX}-{self._session}-{process_token()}-{next(_bell_numbers)}"
        return SharedBell(name, create=True, mode=self._mode, gid=self._gid)


def sweep(*, session: str = "", owner: str = "") -> list[str]:
    """Remove the rings and doorbells that dead processes left.

    Parameters
    ----------
    session : str
        Also remove what belongs to this session (its daemon is ending).
    owner : str
        Also remove the doorbells of this process of the session, which has ended.

    Returns
    -------
    list of str
        What was removed.
    """
    removed = []
    for path in SHM.iterdir():
        match = _NAME.match(path.name)
        if match is None or not _is_ours(path):
            continue
        daemon, process = match.groups()
        is_bell = path.name.startswith("sem.")
        if is_bell:
            dead = process is None or process == owner or not token_is_alive(process)
            dead = dead and (process == owner or daemon == session or not token_is_alive(daemon))
        else:
            dead = (daemon == session or not token_is_alive(daemon)) and not _has_writer(path)
        if dead:
            name = "/" + path.name.removeprefix("sem.")
            unlink = posix_ipc.unlink_semaphore if is_bell else posix_ipc.unlink_shared_memory
            with contextlib.suppress(posix_ipc.ExistentialError):
                unlink(name)
                removed.append(path.name)
    return removed


def declare_lost(segment: str) -> None:
    """Tell the readers of a ring that its writer died; harmless if it is alive or done.

    Parameters
    ----------
    segment : str
        Name of the ring's segment.
    """
    try:
        attached = SharedSegment.attach(segment)
    except StreamNotFound:
        return
    header = Header(attached.buffer)
    try:
        if header.state is RingState.OPEN and not attached.is_locked(WRITER_LOCK):
            header.state = RingState.LOST
            for slot in map(header.slot, range(N_SLOTS)):
                if slot.is_taken and slot.bell:
                    with contextlib.suppress(OSError):
                        bell = SharedBell(slot.bell)
                        bell.ring()
                        bell.close()
    finally:
        header.release()
        attached.close()


def position_of(segment: str, reader: str) -> int | None:
    """Return up to where a reader, which may be dead by now, has dealt with a ring.

    Parameters
    ----------
    segment, reader : str
        Names of the ring's segment and of the reader.
    """
    try:
        attached = SharedSegment.attach(segment)
    except StreamNotFound:
        return None
    header = Header(attached.buffer)
    try:
        slots = map(header.slot, range(N_SLOTS))
        return next((s.cursor for s in slots if s.is_taken and s.is_named(reader)), None)
    finally:
        header.release()
        attached.close()


def unlink(segment: str) -> None:
    """Remove a segment's name, if it is still there and ours to remove."""
    with contextlib.suppress(posix_ipc.ExistentialError, posix_ipc.PermissionsError):
        posix_ipc.unlink_shared_memory(segment)


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _has_writer(path: Path) -> bool:
    try:
        segment = SharedSegment.attach("/" + path.name)
    except (OSError, ValueError, LookupError):
        return False
    try:
        return segment.is_locked(WRITER_LOCK)
    finally:
        segment.close()
