"""Files that others must not read, written as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rigmesh.errors import DaemonError

__all__ = ["check_secret", "locked", "make_folder", "write_secret"]


def make_folder(folder: Path, *, owner: tuple[int, int] | None = None) -> None:
    """Make a folder that only its owner enters.

    Parameters
    ----------
    folder : Path
        Its parents are made as needed.
    owner : tuple of int, optional
        User and group id; for root, who prepares the folder for the daemon's user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if owner is not None:
        os.chown(folder, *owner)
    folder.chmod(0o700)


def write_secret(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Put a file in its place at once, with the owner of its folder."""
    folder = path.parent
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            about = folder.stat()
            if os.geteuid() == 0:
                os.fchown(file.fileno(), about.st_uid, about.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_secret(path: Path) -> None:
    """Refuse a file that others may read or write.

    Raises
    ------
    DaemonError
        Saying how to close it.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise DaemonError(
            f"{path} is open to others (mode {mode:04o}); what it protects may be known to them: "
            f"chmod 600 {path}, or make everything anew: rigmeshd init --force"
        )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the files of a folder at the same time."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
