"""Recordings of frames as videos, readable with whatever plays Matroska or MP4.

::

    session.mkv             a track for each stream (and each change of its format): every frame,
                            shown at its stamp
        rigmesh.json        attached: run, context, notes, verdict; of each stream its track,
                            description, epochs, gaps, clocks
        frames1.npy         attached, of each track: when each frame is shown, in ticks; its stamps;
                            a checksum of its values
    session.mkv.frames.csv  the same for people and programs: line n is frame n
    session.mkv.frames2.csv of the second track, if there is one

Everything is in the video; the tables beside it are derived. In MP4, which has no attachments, the
files inside are a ZIP archive in a box at the end, as :mod:`._video_containers` has it.

Where frames are missing none are made up: the one before is shown longer.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rigmesh.errors import RecordingError, StreamFormatError
from rigmesh.recording._tables import Tables
from rigmesh.recording._video_containers import Inside
from rigmesh.recording._video_frames import check_frames_file, frames_file, write_frames
from rigmesh.recording._video_pixels import CODECS, Pixels, refusal
from rigmesh.recording._video_rows import VideoRows
from rigmesh.recording._video_write import FRAME, HEAD, VERSION, frames_of, write_video
from rigmesh.recording.recorded import RecordedStream, Recording
from rigmesh.streams import StreamInfo

__all__ = [
    "CONTAINERS",
    "check_frames_file",
    "frames_file",
    "open_file",
    "recognises",
    "refusal",
    "write",
    "write_beside",
]

CONTAINERS: Mapping[str, str] = {".mkv": "matroska", ".mp4": "mp4"}
"""Endings of files, and what FFmpeg calls their formats."""

write_beside = write_frames


def recognises(path: Path) -> bool:
    """Whether a file is a recording of this format, not just any video."""
    with Inside(path) as inside:
        return HEAD in inside


def write(
    recording: Recording,
    path: Path,
    options: Mapping[str, Any],
    progress: Callable[[int], None],
) -> None:
    """Write a recording into a new file.

    Parameters
    ----------
    recording : Recording
        What to write: frames only.
    path : Path
        The file; it must not exist.
    options : mapping
        ``container``: ``matroska``, the default, or ``mp4``. ``codec``: ``ffv1``, the default,
        which loses nothing, or ``h264``. ``crf``: of that, how much it may lose: 0 to 51.
    progress : callable
        Called with the bytes of samples written since the last call.

    Raises
    ------
    RecordingError
        If PyAV is not installed, or a video cannot hold a stream.
    OSError
        If the disk does not take it.
    """
    codec = options.get("codec", "ffv1")
    try:
        for stream in recording.streams.values():
            if len(stream) and (why := refusal(stream.info, codec)):
                raise RecordingError(f"{stream.info.name} {why}; record it into another format")
        settings = {"crf": str(options["crf"])} if codec == "h264" and "crf" in options else {}
        container = options.get("container", "matroska")
        write_video(recording, path, container, codec, settings, progress)
    except ImportError as error:
        raise RecordingError(
            f"videos need PyAV 16 or later: pip install 'rigmesh[video]' ({error})"
        ) from error


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Recording]:
    """Open a recording for reading; that takes PyAV for the pictures only.

    Raises
    ------
    RecordingError
        If it is damaged or cut off, or its layout is of a later version.
    """
    with Inside(path) as inside, contextlib.ExitStack() as stack:
        inside.check_whole()
        try:
            recording = _read(inside, stack)
        # All that reading JSON of the wrong shape may raise.
        except (
            AttributeError, LookupError, OverflowError, RecursionError, StreamFormatError,
            TypeError, ValueError,
        ) as error:  # fmt: skip
            raise inside.damaged(f"{HEAD} in it: {error!r}") from error
        yield recording


def _read(inside: Inside, stack: contextlib.ExitStack) -> Recording:
    head = json.loads(inside.read(HEAD))
    if head["version"] != VERSION:
        raise RecordingError(
            f"{inside.path} has the layout version {head['version']}; this rigmesh reads "
            f"{VERSION}. Use the version that recorded it"
        )
    created = head["created"]
    return Recording(
        path=inside.path,
        state="sealed",
        run_id=head["run_id"],
        created={**created, "local_clock": float(created["local_clock"])},
        context=head["context"],
        notes=head["notes"],
        streams={
            key: _stream(inside, stack, key, told, head) for key, told in head["streams"].items()
        },
        verdict=head["verdict"],
    )


def _stream(
    inside: Inside,
    stack: contextlib.ExitStack,
    key: str,
    told: Mapping[str, Any],
    head: Mapping[str, Any],
) -> RecordedStream:
    info = StreamInfo.from_dict(told["info"])
    tables = Tables.from_dict(told)
    track = told["track"]
    is_exact = CODECS[head["codec"]].is_exact
    frames = np.empty(0, FRAME)
    if track is not None:
        content = io.BytesIO(inside.read(frames_of(track)))
        frames = np.load(content, allow_pickle=False).astype(FRAME, casting="equiv")
        pixels = Pixels.of(info)
        rows = VideoRows(
            inside.path, inside.container, track, frames, head["ticks"], pixels, is_exact=is_exact
        )
        stack.callback(rows.close)
    local = np.ascontiguousarray(frames["timestamp"])
    return RecordedStream(
        key=key,
        info=info,
        part=told["part"],
        data=rows if track is not None else _nothing(info),
        timestamps=local,
        raw_timestamps=np.ascontiguousarray(frames["raw_timestamp"]) if tables.clocks else local,
        epochs=tables.epochs,
        gaps=tables.gaps,
        clocks=tables.clocks,
        is_exact=is_exact,
    )


def _nothing(info: StreamInfo) -> Any:
    return [] if info.dtype == "text" else np.empty((0, *info.sample_shape), info.dtype)
