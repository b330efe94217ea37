"""Frames on the socket between a daemon and a group: a length, then one message."""

from __future__ import annotations

import socket
import struct

from rigmesh.errors import DaemonError

__all__ = ["LENGTH", "MAX_FRAME", "FrameReader", "frame"]

LENGTH = struct.Struct("<I")
MAX_FRAME = 16 * 2**20


def frame(payload: bytes) -> bytes:
    """Put the length before a message."""
    return LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Reads whole frames from a blocking socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self) -> bytes | None:
        """Return the next message, or None when the other side is gone.

        Raises
        ------
        DaemonError
            If a frame is longer than 16 MiB: this is not the protocol.
        """
        head = self._exactly(LENGTH.size)
        if head is None:
            return None
        (length,) = LENGTH.unpack(head)
        if length > MAX_FRAME:
            raise DaemonError(f"a frame of {length} bytes on a group's socket")
        return self._exactly(length)

    def _exactly(self, n: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < n:
            try:
                part = self._connection.recv(n - len(parts))
            except ConnectionError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)
