"""Files that survive a crash: appended to whole or not at all, published without replacing."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from rigmesh.errors import RecordingError

__all__ = ["AppendFile", "Lock", "as_recording_error", "publish", "sync_folder", "write_new"]

_FLOCK = "hhqqi4x"  # struct flock of x86-64 Linux: type, whence, start, length, pid
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class AppendFile:
    """A file that grows; an append that fails leaves it as it was.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    size : int
        What is behind so many bytes is cut off.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.size = size
        self._is_dirty = True  # what is there already may not be on the disk either
        os.ftruncate(self._fd, size)

    def append(self, content: bytes | memoryview) -> None:
        """Write at the end."""
        at = self.size
        try:
            while content:
                written = os.pwrite(self._fd, content, at)
                at += written
                content = content[written:]
        except OSError:
            self.truncate(self.size)
            raise
        self.size = at
        self._is_dirty = True

    def truncate(self, size: int) -> None:
        """Take back what is behind `size` bytes."""
        os.ftruncate(self._fd, size)
        self.size = size

    def sync(self) -> None:
        """Return once everything appended is on the disk."""
        if self._is_dirty:
            os.fdatasync(self._fd)
            self._is_dirty = False

    def close(self) -> None:
        """Close the file; closing it again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Lock:
    """A lock on a file, held until :meth:`release` or the death of this process.

    Raises
    ------
    BlockingIOError
        If somebody holds it.
    """

    def __init__(self, path: Path) -> None:
        # Of the open file, not of the process: two ends within one process must not share it,
        # and `flock` could not be asked about without taking it.
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
        except OSError as error:
            self.release()
            raise BlockingIOError(error.errno, "in use by another process") from error

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether anybody holds the lock."""
        with path.open("rb") as file:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
            found: bytes = fcntl.fcntl(file.fileno(), fcntl.F_OFD_GETLK, asked)
        return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)

    def release(self) -> None:
        """Give the lock up; again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_folder(path: Path) -> None:
    """Return once the names in a folder are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: Path, text: str) -> None:
    """Write a small file and return once its content is on the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def publish(part: Path, final: Path) -> None:
    """Give a finished file its name, which nobody may have.

    Raises
    ------
    FileExistsError
        If somebody has it.
    """
    try:
        os.link(part, final, follow_symlinks=False)
    except OSError as error:
        # FAT has no hard links; a link to a foreign file's inode may be forbidden.
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        _rename_without_replacing(part, final)
    sync_folder(final.parent)
    part.unlink(missing_ok=True)


def _rename_without_replacing(part: Path, final: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(part), os.fsencode(final)
    if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(final))


@contextlib.contextmanager
def as_recording_error(what: str) -> Iterator[None]:
    """Turn the system's refusal into a RecordingError that says what was tried."""
    try:
        yield
    except RecordingError:
        raise
    except OSError as error:
        raise RecordingError(f"{what}: {error.strerror or error}") from error
