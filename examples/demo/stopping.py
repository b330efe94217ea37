"""Ending a program by a signal."""

from __future__ import annotations

import time


class Stop:
    """Set by a signal, and waited for; threading.Event may lock itself up when it is both."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Ask to stop."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Sleep so long, less if told to stop."""
        end = time.monotonic() + seconds
        while not self._is_set and (rest := end - time.monotonic()) > 0:
            time.sleep(min(rest, 0.05))
        return self._is_set
