"""Tests in several processes at once: each has a /dev/shm, folder for sockets and ports of its own.

What a test leaves behind is looked for in /dev/shm, daemons sweep what dead processes have left
there, commands find a user's daemons by their sockets, and all LSL programs of a machine share a
few ports: workers would get in each other's way.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import tempfile
from pathlib import Path

__all__ = ["part_worker"]

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 2, 4, 0x4000, 1 << 18
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def part_worker() -> None:
    """Part this process from other workers, if it is one; its children are with it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET))
    _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    options = _MS_NOSUID | _MS_NODEV
    _check(libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", options, b"mode=1777"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    folder = Path(tempfile.gettempdir(), f"rigmesh-tests-{os.getpid()}")
    folder.mkdir(mode=0o700)
    # Removed by no one who might still use it: it holds nothing once the tests are over.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: several workers need root; use -n 0")
