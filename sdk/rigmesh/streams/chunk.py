"""Chunks: blocks of consecutive samples of one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from rigmesh.errors import StreamFormatError
from rigmesh.streams.clock import IDENTITY, ClockModel
from rigmesh.streams.gaps import Gap
from rigmesh.streams.info import StreamInfo

__all__ = ["Chunk", "Frames", "Markers", "Signal"]

Stamps = npt.NDArray[np.float64]

_NO_GAPS: tuple[Gap, ...] = ()

_new = object.__new__


class Chunk:
    """A block of consecutive samples: a :class:`Signal`, :class:`Markers` or :class:`Frames`.

    A node makes a chunk of data and timestamps; the output that emits it fills in the rest.

    Attributes
    ----------
    data : ndarray, shape (n_samples, ...), or list of str
        The samples. Read-only and valid until the next chunk: who keeps it copies it.
    raw_timestamps : ndarray, shape (n_samples,)
        One stamp a sample, of the stream's own clock, in seconds.
    index : int
        Index of the first sample in its epoch.
    epoch : int
        The stream's epoch: it grows when the writer restarts, a device reopens, the format
        changes or the clock is reset.
    gaps : tuple of Gap
        What this reader misses just before this chunk.
    clock : ClockModel
        Maps raw stamps onto the local clock.
    info : StreamInfo or None
        The stream; None until a node has emitted the chunk.
    """

    kind: ClassVar[str] = ""

    __slots__ = ("clock", "data", "epoch", "gaps", "index", "info", "raw_timestamps")

    def __init__(
        self,
        data: Any,
        timestamps: Stamps,
        *,
        index: int = 0,
        epoch: int = 0,
        gaps: tuple[Gap, ...] = _NO_GAPS,
        clock: ClockModel = IDENTITY,
        info: StreamInfo | None = None,
    ) -> None:
        self.data = data
        self.raw_timestamps = timestamps
        self.index = index
        self.epoch = epoch
        self.gaps = gaps
        self.clock = clock
        self.info = info

    @property
    def timestamps(self) -> Stamps:
        """One stamp a sample on the local (LSL) clock, in seconds."""
        clock = self.clock
        return self.raw_timestamps if clock.is_identity else clock.to_local(self.raw_timestamps)

    @property
    def stop(self) -> int:
        """Index just past the last sample."""
        return self.index + len(self.raw_timestamps)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.raw_timestamps)

    def with_data(self, data: Any) -> Self:
        """Return a chunk of other data at the same times.

        Parameters
        ----------
        data : ndarray, shape (n_samples, ...), or list of str
            As many samples as this chunk has.
        """
        # Every stage of every chain comes here: three times as fast as calling the class.
        chunk = _new(self.__class__)
        chunk.data = data
        chunk.raw_timestamps = self.raw_timestamps
        chunk.clock = self.clock
        chunk.gaps = _NO_GAPS
        chunk.info = None
        chunk.index = chunk.epoch = 0
        return chunk

    def copy(self) -> Self:
        """Return a chunk that owns its memory."""
        data = list(self.data) if isinstance(self.data, list) else self.data.copy()
        return type(self)(
            data,
            self.raw_timestamps.copy(),
            index=self.index,
            epoch=self.epoch,
            gaps=self.gaps,
            clock=self.clock,
            info=self.info,
        )

    def check(self, info: StreamInfo) -> None:
        """Raise unless this chunk can be part of the stream that `info` describes.

        Raises
        ------
        StreamFormatError
            If shape, type or kind differ.
        """
        if self.kind != info.kind:
            raise StreamFormatError(
                f"{info.name} gives {info.kind}, but was handed a {type(self).__name__} chunk"
            )
        if len(self.data) != len(self.raw_timestamps):
            raise StreamFormatError(
                f"{info.name}: {len(self.data)} samples, {len(self.raw_timestamps)} timestamps"
            )

    def __repr__(self) -> str:
        name = self.info.name if self.info else "?"
        return f"<{type(self).__name__} {name} [{self.epoch}:{self.index}:{self.stop}]>"


class _ArrayChunk(Chunk):
    """A chunk whose data is one array."""

    __slots__ = ()
    data: npt.NDArray[Any]

    def check(self, info: StreamInfo) -> None:
        """Raise unless shape and type are those that `info` names."""
        super().check(info)
        if self.data.shape[1:] != info.sample_shape or self.data.dtype.name != info.dtype:
            raise StreamFormatError(
                f"{info.name} is described as {info.dtype} samples of shape {info.sample_shape}; "
                f"the chunk has {self.data.dtype.name} samples of shape {self.data.shape[1:]}"
            )


class Signal(_ArrayChunk):
    """Numeric samples of several channels: ``data`` has the shape (n_samples, n_channels)."""

    kind = "signal"
    __slots__ = ()


class Frames(_ArrayChunk):
    """Pictures: ``data`` has the shape (n_frames, height, width[, n_colours])."""

    kind = "frames"
    __slots__ = ()


class Markers(Chunk):
    """Texts, each at its own time: ``data`` is a list of str."""

    kind = "markers"
    __slots__ = ()
    data: list[str]

    @classmethod
    def at(cls, timestamps: Sequence[float], texts: Sequence[str]) -> Markers:
        """Make markers of local times, in seconds, and their texts."""
        return cls(list(texts), np.asarray(timestamps, dtype=np.float64))
