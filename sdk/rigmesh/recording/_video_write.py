"""Writing streams of frames into a video file."""

from __future__ import annotations

import heapq
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording._nwb_mapping import storable
from rigmesh.recording._tables import Tables
from rigmesh.recording._video_containers import EMPTY_MP4, box
from rigmesh.recording._video_pixels import Codec, Pixels, checksum, codec_named, configure
from rigmesh.recording._video_times import TICKS, shown_at, zero_of
from rigmesh.recording.recorded import RecordedStream, Recording, blocks

if TYPE_CHECKING:
    from av.container import OutputContainer

__all__ = ["FRAME", "HEAD", "VERSION", "frames_of", "write_video"]

VERSION = 1
HEAD = "rigmesh.json"
"""The file inside that holds what is not a picture."""
FRAME = np.dtype(
    [("shown", "<i8"), ("raw_timestamp", "<f8"), ("timestamp", "<f8"), ("crc32", "<u4")]
)
"""Of each frame, in the table of its track: when it is shown, in ticks; its stamps, in seconds; a
checksum of its values as they lie in an array."""

_BUFFER = 2**20

Picture = npt.NDArray[Any]


def frames_of(track: int) -> str:
    """Return the file inside that is the table of a track."""
    return f"frames{track}.npy"


def write_video(
    recording: Recording,
    path: Path,
    container: str,
    codec_name: str,
    options: Mapping[str, str],
    progress: Callable[[int], None],
) -> None:
    """Write a recording of frames into a new file.

    Parameters
    ----------
    recording : Recording
        What to write: frames only.
    path : Path
        The file; it must not exist.
    container : str
        ``matroska`` or ``mp4``.
    codec_name : str
        ``ffv1`` or ``h264``.
    options : mapping of str to str
        Of the encoder, in addition to those that are always used.
    progress : callable
        Called with the bytes of samples written since the last call.

    Raises
    ------
    RecordingError
        If it cannot be encoded.
    OSError
        If the disk does not take it.
    """
    import av

    codec = codec_named(codec_name)
    ticks = TICKS[container]
    filled = [stream for stream in recording.streams.values() if len(stream)]
    stamps = [np.asarray(stream.timestamps[:], np.float64) for stream in filled]
    zero = zero_of(stamps)
    tracks = [
        _Track(stream, stream_stamps, zero, ticks, progress)
        for stream, stream_stamps in zip(filled, stamps, strict=True)
    ]
    inside = {HEAD: json.dumps(_head(recording, codec_name, ticks, zero)).encode("ascii")}
    for number, track in enumerate(tracks, start=1):
        inside[frames_of(number)] = track.table()
    with path.open("xb", buffering=_BUFFER) as file:
        try:
            if tracks or container == "matroska":
                _write(file, container, recording, tracks, codec, options, inside)
            else:
                file.write(EMPTY_MP4)
        except av.FFmpegError as error:
            if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
                raise
            raise RecordingError(f"cannot encode {path} as {codec_name}: {error}") from error
        if container == "mp4":
            file.seek(0, io.SEEK_END)
            file.write(box(inside))


class _Track:
    """The frames of one stream, in their order."""

    def __init__(
        self,
        stream: RecordedStream,
        stamps: npt.NDArray[np.float64],
        zero: float,
        ticks: int,
        progress: Callable[[int], None],
    ) -> None:
        begins = {epoch.first_row for epoch in stream.epochs}
        rate = stream.info.sampling_rate
        self.stream = stream
        self.pixels = Pixels.of(stream.info)
        self._stamps = stamps
        self._shown = shown_at(stamps, begins, rate, zero=zero, ticks=ticks)
        self._progress = progress

    @property
    def rate(self) -> Fraction:
        """The nominal rate, in Hz, which players show; frames have times of their own."""
        rate = Fraction(self.stream.info.sampling_rate or 30.0).limit_denominator(1001)
        return max(rate, Fraction(1, 1001))

    def table(self) -> bytes:
        """Return what :data:`FRAME` tells of each frame, as a .npy file."""
        # The table stands before the pictures, so those are read once more; encoding them takes
        # twenty times as long.
        table = np.empty(len(self._stamps), FRAME)
        table["shown"] = self._shown
        table["raw_timestamp"] = self.stream.raw_timestamps[:]
        table["timestamp"] = self._stamps
        for block in blocks(len(table), self.stream.row_bytes):
            pictures = np.ascontiguousarray(self.stream.data[block], self.pixels.dtype)
            table["crc32"][block] = [checksum(picture) for picture in pictures]
        content = io.BytesIO()
        np.save(content, table, allow_pickle=False)
        return content.getvalue()

    def pictures(self) -> Iterator[tuple[int, _Track, Picture]]:
        """Give each picture with the tick at which it is shown."""
        shown = self._shown.tolist()
        for block in blocks(len(shown), self.stream.row_bytes):
            pictures = np.asarray(self.stream.data[block])
            for tick, picture in zip(shown[block], pictures, strict=True):
                yield tick, self, picture
            self._progress(pictures.nbytes)


def _write(
    file: BinaryIO,
    container: str,
    recording: Recording,
    tracks: Sequence[_Track],
    codec: Codec,
    options: Mapping[str, str],
    inside: Mapping[str, bytes],
) -> None:
    import av

    # Else FFmpeg holds back ten seconds of one track until it has seen some of the others.
    muxing = {"max_interleave_delta": "1"}
    if container == "mp4":
        # Else the begin of a track is rounded to milliseconds, and all its frames with it.
        muxing["movie_timescale"] = str(TICKS[container])
    with av.open(file, "w", format=container, options=muxing, buffer_size=_BUFFER) as output:
        output.metadata["creation_time"] = str(recording.created["utc"])
        encoders = {
            id(track): _add_stream(output, track, codec, options, TICKS[container])
            for track in tracks
        }
        if container == "matroska":
            for name, content in inside.items():
                kind = "application/json" if name == HEAD else "application/octet-stream"
                output.add_attachment(name, kind, content)
        output.start_encoding()
        merged = heapq.merge(*(each.pictures() for each in tracks), key=lambda found: found[0])
        for tick, track, picture in merged:
            frame = track.pixels.frame(picture)
            frame.pts, frame.time_base = tick, Fraction(1, TICKS[container])
            output.mux(encoders[id(track)].encode(frame))
        for encoder in encoders.values():
            output.mux(encoder.encode(None))


def _add_stream(
    output: OutputContainer, track: _Track, codec: Codec, options: Mapping[str, str], ticks: int
) -> Any:
    added: Any = output.add_stream(
        codec.encoder, rate=track.rate, options={**codec.options, **options}
    )
    added.metadata["title"] = storable(track.stream.info.name)
    configure(added.codec_context, codec, track.pixels, ticks)
    added.time_base = Fraction(1, ticks)
    return added


def _head(recording: Recording, codec_name: str, ticks: int, zero: float) -> dict[str, Any]:
    streams: dict[str, Any] = {}
    n_tracks = 0
    for key, stream in recording.streams.items():
        n_tracks += bool(len(stream))
        streams[key] = {
            # A track without frames is left out, or moved, by some muxers.
            "track": n_tracks if len(stream) else None,
            "part": stream.part,
            "info": stream.info.to_dict(),
            **Tables.of(stream).to_dict(),
        }
    return {
        "version": VERSION,
        "run_id": recording.run_id,
        "created": dict(recording.created),
        "verdict": recording.verdict,
        "codec": codec_name,
        "ticks": ticks,
        "zero": zero if math.isfinite(zero) else 0.0,
        "streams": streams,
        "context": recording.context,
        "notes": list(recording.notes),
    }
