"""What a mistake in our own code does to windows: it is told, and they go on."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

__all__ = ["survive_mistakes"]

_told: set[tuple[type[BaseException], str, int]] = set()


def survive_mistakes() -> None:
    """Print errors in slots from now on; with Python's hook PyQt ends the process on one.

    What goes wrong again at the same place, such as in each frame, is printed once.
    """
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    frames = traceback.extract_tb(trace)
    place = (kind, frames[-1].filename, frames[-1].lineno or 0) if frames else (kind, "", 0)
    if place not in _told:
        _told.add(place)
        sys.stderr.write("rigmesh: a window made a mistake and goes on:\n")
        traceback.print_exception(error)
