"""Frames of a video, decoded when they are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording._video_pixels import Pixels, checksum

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["VideoRows"]


class VideoRows:
    """The pictures of a track. Reading on from where the last reading ended costs no seeking.

    Parameters
    ----------
    path : Path
        The video.
    container : str
        Its format, as FFmpeg names it.
    track : int or None
        Which of its tracks, from 1; None if there are no frames.
    frames : ndarray, shape (n_frames,)
        Of each frame: when it is shown, in ticks, and the checksum of its values.
    ticks : int
        How many there are in a second.
    pixels : Pixels
        How they lie in an array.
    is_exact : bool
        Whether the checksums are to fit.
    """

    def __init__(
        self,
        path: Path,
        container: str,
        track: int | None,
        frames: npt.NDArray[Any],
        ticks: int,
        pixels: Pixels,
        *,
        is_exact: bool,
    ) -> None:
        self.shape = (len(frames), *pixels.shape)
        self.dtype = np.dtype(pixels.dtype).newbyteorder("<")
        self.track = track
        self.shown = np.ascontiguousarray(frames["shown"])
        self.ticks = ticks
        self._path = path
        self._container = container
        self._pixels = pixels
        # FFV1's own checksums only make FFmpeg log what does not fit them.
        self._checksums = frames["crc32"] if is_exact else None
        self._input: Any = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._next = -1

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        """Decode frames."""
        start, stop, step = wanted.indices(len(self))
        rows = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        if len(rows):
            import av

            try:
                self._go_to(start)
                for row in range(start, stop):
                    rows[row - start] = self._picture(row)
            except RecordingError:
                self.close()
                raise
            # A damaged header makes PyAV raise any of these.
            except (
                av.FFmpegError, AttributeError, LookupError, NotImplementedError, OSError,
                OverflowError, RuntimeError, TypeError, ValueError,
            ) as error:  # fmt: skip
                self.close()
                raise RecordingError(
                    f"cannot decode frames {start} to {stop} of {self._path}: {error}"
                ) from error
        return rows[::step]

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._input is not None:
            with contextlib.suppress(ValueError):
                self._frames = iter(())
            self._input.close()
        self._input, self._next = None, -1

    def _open(self) -> None:
        import av

        if self._input is None:
            self._input = av.open(str(self._path), format=self._container)
            self._stream.thread_type = "AUTO"

    @property
    def _stream(self) -> Any:
        return self._input.streams.video[(self.track or 1) - 1]

    def _go_to(self, row: int) -> None:
        """See that the next frame decoded is that of a row, or one a little before."""
        if row == self._next:
            return
        self._open()
        stream = self._stream
        self._input.seek(int(self.shown[row]), stream=stream, backward=True)
        self._frames = self._input.decode(stream)
        self._next = row

    def _picture(self, row: int) -> npt.NDArray[Any]:
        picture = self._pixels.picture(self._decoded(row))
        if self._checksums is not None and checksum(picture) != self._checksums[row]:
            raise RecordingError(f"{self._path} is damaged: frame {row} is not what was recorded")
        return picture

    def _decoded(self, row: int) -> VideoFrame:
        wanted = int(self.shown[row])
        for frame in self._frames:
            shown = frame.pts
            if shown == wanted:
                self._next = row + 1
                return frame
            if shown is None or shown > wanted:
                break
        raise RecordingError(f"{self._path} is damaged: there is no frame {row} in it")
