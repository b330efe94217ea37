"""Writing the journal of a capture; while the disk is full its records wait in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rigmesh.recording.disk import AppendFile
from rigmesh.recording.framing import frame

__all__ = ["Journal"]

_MOST_WAITING = 10_000


class Journal:
    """An append-only file of records.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    size : int
        What is behind so many bytes is cut off.
    failed : callable
        Told of what the disk refuses.
    """

    def __init__(self, path: Path, size: int, failed: Callable[[OSError], None]) -> None:
        self._file = AppendFile(path, size)
        self._waiting: list[bytes] = []
        self._failed = failed

    @property
    def is_choked(self) -> bool:
        """Whether so much waits that what is not vital should not be added."""
        return len(self._waiting) >= _MOST_WAITING

    @property
    def size(self) -> int:
        """Bytes written; records that wait are not."""
        return self._file.size

    def write(self, kind: str, **fields: Any) -> None:
        """Append a record, or let it wait."""
        self._waiting.append(frame(json.dumps({"kind": kind, **fields}).encode()))
        if len(self._waiting) == 1:  # else the next commit tries
            self.flush()

    def flush(self) -> bool:
        """Write what waits; return whether the disk took it."""
        if self._waiting:
            try:
                self._file.append(b"".join(self._waiting))
            except OSError as error:
                self._failed(error)
                return False
            self._waiting.clear()
        return True

    def take_back(self, size: int) -> None:
        """Remove what was written behind `size` bytes, and what waits."""
        self._file.truncate(size)
        self._waiting.clear()

    def commit(self, payload: bytes) -> bool:
        """Bring everything and a last record, if it is not empty, to the disk."""
        if not self.flush():
            return False
        try:
            if payload:
                self._file.append(frame(payload))
            self._file.sync()
        except OSError as error:
            self._failed(error)
            return False
        return True

    def close(self) -> None:
        """Close the file; closing it again is harmless."""
        self._file.close()
