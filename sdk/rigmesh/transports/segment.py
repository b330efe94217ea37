"""Pieces of memory with locks: what a ring lies in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Protocol, Self

import posix_ipc

from rigmesh.errors import NotPermitted, OutOfMemory, SecondWriter, StreamNotFound

__all__ = ["LocalSegment", "Segment", "SharedSegment", "shm_free"]

SHM = Path("/dev/shm")

_FLOCK = "hhqqi4x"  # struct flock of x86-64 Linux: type, whence, start, length, pid


class Segment(Protocol):
    """Memory that outlives nobody, with byte locks that die with their holder."""

    @property
    def name(self) -> str:
        """Where others find it."""

    @property
    def buffer(self) -> memoryview:
        """The memory."""

    def try_lock(self, number: int) -> bool:
        """Take a lock for as long as this segment stays open here; False if somebody has it."""

    def unlock(self, number: int) -> None:
        """Give a lock up."""

    def is_locked(self, number: int) -> bool:
        """Whether somebody else holds a lock."""

    def unlink(self) -> None:
        """Remove the name; who has it open keeps it."""

    def close(self) -> None:
        """Let go of the memory and of all locks."""


class LocalSegment:
    """Memory of this process, for rings that never leave it; `attach` makes the other ends."""

    def __init__(
        self, name: str, memory: bytearray, holders: dict[int, LocalSegment] | None = None
    ) -> None:
        self.name = name
        self.buffer = memoryview(memory)
        self._memory = memory
        self._holders = {} if holders is None else holders

    def attach(self) -> LocalSegment:
        """Open the same memory once more."""
        return LocalSegment(self.name, self._memory, self._holders)

    def try_lock(self, number: int) -> bool:
        """Take a lock."""
        return self._holders.setdefault(number, self) is self

    def unlock(self, number: int) -> None:
        """Give a lock up."""
        if self._holders.get(number) is self:
            del self._holders[number]

    def is_locked(self, number: int) -> bool:
        """Whether another end holds a lock."""
        return self._holders.get(number, self) is not self

    def unlink(self) -> None:
        """Nothing to remove."""

    def close(self) -> None:
        """Give up the locks."""
        for number in [n for n, holder in self._holders.items() if holder is self]:
            del self._holders[number]


def shm_free() -> int:
    """Return the bytes that are free in /dev/shm."""
    stat = os.statvfs(SHM)
    return stat.f_bavail * stat.f_frsize


class SharedSegment:
    """A POSIX shared-memory segment.

    Locks are open-file-description locks on single bytes: the kernel takes them back when their
    holder dies, however it dies, and they tell apart two ends within one process. A semaphore
    would stay locked (and `flock` has one lock a file, a ring needs one a reader).
    """

    def __init__(self, name: str, fd: int, size: int) -> None:
        self.name = name
        self._fd = fd
        self._map = mmap.mmap(fd, size)
        self.buffer = memoryview(self._map)

    @classmethod
    def create(
        cls, name: str, size: int, *, share: float = 0.5, mode: int = 0o600, gid: int = -1
    ) -> Self:
        """Make a new segment of zeros.

        Parameters
        ----------
        name : str
            Must begin with a slash.
        size : int
            In bytes.
        share : float
            The part of what is free in /dev/shm that it may take at most.
        mode, gid : int
            Permissions and group, whatever the umask; -1 leaves one's own group.

        Raises
        ------
        OutOfMemory
            If it does not fit; checked first, because touching memory past the free space of
            /dev/shm kills the process.
        SecondWriter
            If the name exists.
        """
        free = shm_free()
        if size > share * free:
            raise OutOfMemory(
                f"{name} needs {size / 2**20:.0f} MiB of /dev/shm, which has "
                f"{free / 2**20:.0f} MiB free and may be used up to {share:.0%} by one stream; "
                "ask for fewer seconds of buffer, or enlarge it: mount -o remount,size=… /dev/shm"
            )
        try:
            fd = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=mode).fd
        except posix_ipc.ExistentialError as error:
            raise SecondWriter(f"{name} exists: a stream has one writer") from error
        try:
            if gid not in (-1, os.fstat(fd).st_gid):
                os.fchown(fd, -1, gid)
            os.fchmod(fd, mode)
            os.posix_fallocate(fd, 0, size)
            return cls(name, fd, size)
        except OSError as error:
            os.close(fd)
            posix_ipc.unlink_shared_memory(name)
            if error.errno == errno.ENOSPC:
                raise OutOfMemory(f"/dev/shm has no room for {name} ({size} bytes)") from error
            raise

    @classmethod
    def attach(cls, name: str) -> Self:
        """Open a segment that somebody made.

        Raises
        ------
        StreamNotFound
            If there is none of that name, or its maker has not given it a size yet.
        NotPermitted
            If it is another user's.
        """
        try:
            fd = posix_ipc.SharedMemory(name).fd
        except posix_ipc.ExistentialError as error:
            raise StreamNotFound(f"no shared memory {name}: its stream is over") from error
        except posix_ipc.PermissionsError as error:
            raise NotPermitted(
                f"shared memory {name} is not this user's; reading it takes the same user, or "
                "membership in the Unix group of a system daemon"
            ) from error
        try:
            size = os.fstat(fd).st_size
            if not size:
                raise StreamNotFound(f"shared memory {name} is only just being made; try again")
            return cls(name, fd, size)
        except BaseException:
            os.close(fd)
            raise

    def try_lock(self, number: int) -> bool:
        """Take a lock for as long as this end is open."""
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(self, number: int) -> None:
        """Give a lock up."""
        wanted = struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, number, 1, 0)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted)

    def is_locked(self, number: int) -> bool:
        """Whether another end holds a lock."""
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, asked))
        return bool(kind != fcntl.F_UNLCK)

    def unlink(self) -> None:
        """Remove the name, if it is there and ours to remove."""
        with contextlib.suppress(posix_ipc.ExistentialError, posix_ipc.PermissionsError):
            posix_ipc.unlink_shared_memory(self.name)

    def close(self) -> None:
        """Unmap it and give up the locks."""
        # An array that somebody kept keeps the mapping, which holds a copy of the descriptor and
        # so the locks; they must go all the same. A length of 0 means all of them.
        wanted = struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted)
        with contextlib.suppress(BufferError):
            self.buffer.release()
            self._map.close()
        os.close(self._fd)
