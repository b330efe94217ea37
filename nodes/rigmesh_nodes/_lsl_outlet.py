"""The LSL outlet that nodes publish by."""

from __future__ import annotations

import math
import socket
import time
from typing import Any

from rigmesh.streams import StreamInfo
from rigmesh_nodes._lsl_connection import declared
from rigmesh_nodes._lsl_search import library

__all__ = ["Publisher", "as_bytes", "made_source_id"]


def made_source_id(stream: str) -> str:
    """Make the identifier by which receivers find a stream again, of the host and its name."""
    return f"rigmesh:{socket.gethostname()}:{stream}"


def as_bytes(texts: list[str]) -> list[bytes]:
    """Return texts as LSL takes them: bytes that came as surrogates are the same bytes again."""
    return [text.encode("utf-8", "surrogateescape") for text in texts]


class Publisher:
    """Publishes one stream at a time."""

    def __init__(self) -> None:
        self._outlet: Any = None
        self._published: StreamInfo | None = None
        self._linger = 0.0
        self._last_push = 0.0

    def announce(
        self, info: StreamInfo, *, buffer: float, linger: float, chunk_size: int = 0
    ) -> None:
        """Make the outlet, unless there is one that says the same.

        Parameters
        ----------
        info : StreamInfo
            What receivers see.
        buffer : float
            How much is kept for a slow receiver, in seconds.
        linger : float
            How long receivers get to take the last samples, in seconds.
        chunk_size : int
            Samples sent at a time; 0 sends each chunk as it comes.
        """
        if self._outlet is not None and info == self._published:
            return
        self.close()
        self._linger = linger
        self._outlet = library().StreamOutlet(declared(info), chunk_size, max(1, math.ceil(buffer)))
        self._published = info

    def push(self, data: Any, stamps: list[float]) -> None:
        """Publish samples at local times, in seconds."""
        # To LSL, 0 means now and -1 means one period after the last.
        self._outlet.push_chunk(data, [t if t > 0 else t + 1e-9 for t in stamps])
        self._last_push = time.monotonic()

    def close(self) -> None:
        """Give receivers time for the last samples; remove the outlet."""
        if self._outlet is None:
            return
        if self._last_push and self._outlet.have_consumers():
            # liblsl drops what is not sent yet with the outlet, and cannot tell when it is sent.
            time.sleep(max(0.0, self._last_push + self._linger - time.monotonic()))
        self._outlet = None
