"""The newest frame of a camera."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from rigmesh.streams import Chunk, StreamInfo

__all__ = ["FrameBuffer", "NewestFrame"]


class NewestFrame(NamedTuple):
    """A frame, its stamp (local clock, in seconds) and its number since the feed began."""

    frame: npt.NDArray[Any]
    time: float
    number: int


class FrameBuffer:
    """Keeps the newest frame only: who looks late sees what is."""

    def __init__(self) -> None:
        self.info: StreamInfo | None = None
        self._newest: NewestFrame | None = None
        self._n = 0

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows; frames of another format are forgotten."""
        self.info, self._newest = info, None

    def take(self, chunk: Chunk) -> None:
        """Keep the last frame."""
        if len(chunk):
            self._n += len(chunk)
            frame = chunk.data[-1].copy()
            self._newest = NewestFrame(frame, float(chunk.timestamps[-1]), self._n)

    @property
    def newest(self) -> NewestFrame | None:
        """The newest frame; None before the first."""
        return self._newest
