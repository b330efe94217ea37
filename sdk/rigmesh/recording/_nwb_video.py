"""Videos beside an NWB file: pictures that it refers to, instead of holding them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording import video
from rigmesh.recording._nwb_mapping import Series
from rigmesh.recording.disk import publish
from rigmesh.recording.paths import part_file
from rigmesh.recording.recorded import Recording
from rigmesh.streams import StreamInfo

__all__ = ["ExternalFrames", "publish_videos", "video_name", "write_videos"]

_LONGEST = 200
_PART = ".part"


class ExternalFrames:
    """The pictures of a video beside a file, which is opened when the first is asked for.

    Parameters
    ----------
    path : Path
        The video.
    info : StreamInfo
        Of the stream.
    n : int
        How many frames there are.
    """

    def __init__(self, path: Path, info: StreamInfo, n: int) -> None:
        self.path = path
        self.dtype = np.dtype(info.dtype).newbyteorder("<")
        self.shape = (n, *info.sample_shape)
        self._open = contextlib.ExitStack()
        self._rows: Any = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        """Decode frames.

        Raises
        ------
        RecordingError
            If the video is not there, or is another one.
        """
        if self._rows is None:
            if not self.path.exists():
                raise RecordingError(f"{self.path} is missing, which holds the pictures")
            found = self._open.enter_context(video.open_file(self.path))
            streams = [one.data for one in found.streams.values() if len(one)]
            if len(streams) != 1 or len(streams[0]) != len(self):
                raise RecordingError(f"{self.path} is not the video that was recorded")
            (self._rows,) = streams
        rows: npt.NDArray[Any] = self._rows[wanted]
        return rows

    def close(self) -> None:
        """Close the video."""
        self._rows = None
        self._open.close()


def video_name(path: Path, key: str) -> str:
    """Return the name of the video of a stream, beside an NWB file or the part of one.

    Examples
    --------
    >>> video_name(Path("session.nwb"), "camera.frames")
    'session_camera.frames.mkv'
    """
    name = f"{Path(path.name.removesuffix(_PART)).stem}_{key}"
    if len(name.encode()) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        name = name.encode()[: _LONGEST - 20].decode("utf-8", "ignore") + "~" + digest
    return name + ".mkv"


def write_videos(
    recording: Recording,
    path: Path,
    plan: Mapping[str, Sequence[Series]],
    progress: Callable[[int], None],
) -> Mapping[str, str]:
    """Write the pictures that a video can hold; these get their names by :func:`publish_videos`.

    Parameters
    ----------
    recording : Recording
        What to write.
    path : Path
        The NWB file, or the part of one.
    plan : mapping of str to sequence of Series
        What each stream becomes in it.
    progress : callable
        Called with the bytes of samples written since the last call.

    Returns
    -------
    mapping of str to str
        For the streams that have a video its name.
    """
    written: list[Path] = []
    names = {}
    try:
        for key, parts in plan.items():
            stream = recording.streams[key]
            if not _is_pictures(parts) or video.refusal(stream.info, "ffv1"):
                continue
            names[key] = video_name(path, key)
            part = part_file(path.with_name(names[key]))
            written.append(part)
            part.unlink(missing_ok=True)
            video.write(dataclasses.replace(recording, streams={key: stream}), part, {}, progress)
            with part.open("rb") as file:
                os.fsync(file.fileno())
    except BaseException:
        for part in written:
            part.unlink(missing_ok=True)
        raise
    return names


def publish_videos(recording: Recording, target: Path) -> None:
    """Give the videos their names: the file that refers to them is about to get its own.

    Parameters
    ----------
    recording : Recording
        What is in the file.
    target : Path
        The file.

    Raises
    ------
    RecordingError
        If the name of a video is taken, other than by an attempt that was interrupted.
    """
    beside = [one.data for one in recording.streams.values()]
    videos = [frames for frames in beside if isinstance(frames, ExternalFrames)]
    try:
        for frames in videos:
            frames.close()
            final = target.with_name(frames.path.name.removesuffix(_PART))
            if final.is_symlink() or final.exists():
                if not _is_of(final, recording):
                    raise RecordingError(
                        f"{final} exists, and nothing is overwritten; it would hold pictures of "
                        f"{target}. Move it away, then run `rigmesh recover` again"
                    )
                frames.path.replace(final)
            else:
                publish(frames.path, final)
    finally:
        for frames in videos:
            frames.path.unlink(missing_ok=True)


def _is_pictures(parts: Sequence[Series]) -> bool:
    return any(series.kind == "ImageSeries" for series in parts)


def _is_of(path: Path, recording: Recording) -> bool:
    """Whether a file is a video of the same recording."""
    if path.is_symlink() or not path.is_file() or not video.recognises(path):
        return False
    with contextlib.suppress(RecordingError), video.open_file(path) as found:
        return (found.run_id, found.created) == (recording.run_id, recording.created)
    return False
