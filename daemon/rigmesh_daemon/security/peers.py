"""Which users are connected to a Unix socket of this process."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

__all__ = ["connected_users"]

_CREDENTIALS = struct.Struct("3i")


def connected_users(path: Path) -> set[int]:
    """Return the user ids at the other ends of what was accepted on a socket.

    gRPC does not tell them for a call, so with several users connected it is one of these.
    """
    users = set()
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a Path each would cost more
        user = _user(int(entry), str(path))
        if user is not None:
            users.add(user)
    return users


def _user(handle: int, path: str) -> int | None:
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            return None
        with socket.socket(fileno=os.dup(handle)) as found:
            if found.family != socket.AF_UNIX or found.getsockname() != path:
                return None
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return None
            raw = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:  # closed meanwhile
        return None
    return int(_CREDENTIALS.unpack(raw)[1])
