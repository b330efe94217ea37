"""Replays recordings: to try a graph, to show it, to repeat a run."""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.node import Milliseconds, Node, Output, param
from rigmesh.recording import RecordedStream
from rigmesh.streams import Frames, Markers, Signal, StreamInfo, local_clock
from rigmesh_nodes._readers import open_streams
from rigmesh_nodes._replay_graph import Replayed, replay_graph
from rigmesh_nodes._replay_track import Piece, Track

__all__ = ["File", "Replayed", "list_streams", "replay_graph"]

Parts = Sequence[RecordedStream]


class File(Node):
    """Gives the streams of a recording: one of rigmesh, XDF, EDF, BDF, BrainVision, FIF or NWB.

    Names, units and types of channels are kept; annotations become markers; gaps and epochs of
    a recording of rigmesh come again. Nodes that replay the same file share its time: paced, the
    earliest sample of the file is stamped with the start of the run, every other by its distance
    from that. Not paced, the stamps are those that were recorded, with the clock beside them.
    """

    can_wait = True

    signal = Output(Signal)
    markers = Output(Markers)
    frames = Output(Frames)

    path: str = param(
        doc="The file; if it is relative and the daemon has a folder for recordings, there.",
        min_length=1,
        examples=["session.h5", "subject-7.vhdr"],
    )
    stream: str = param(
        default="", doc="Stream of numbers or pictures; the first with samples if empty."
    )
    marker_stream: str = param(default="", doc="Stream of texts; the first with samples if empty.")
    paced: bool = param(
        default=True, doc="Give each sample at its time; otherwise all as fast as possible."
    )
    speed: float = param(
        default=1.0,
        gt=0,
        doc="How many times faster to give them. Stamps and sampling rate stay as recorded.",
    )
    chunk_duration: Milliseconds = param(default=10.0, gt=0, doc="Length of a chunk.")
    loop: bool = param(default=False, doc="Begin again at the end, as if time went on.")

    _open_file: contextlib.ExitStack | None = None

    def open(self) -> None:
        """Open the file and look for the streams."""
        path = Path(self.runtime.recording_root, self.path)
        self._open_file = contextlib.ExitStack()
        streams = self._open_file.enter_context(open_streams(path))
        numbers, texts = _by_name(streams, texts=False), _by_name(streams, texts=True)
        chosen = (
            _choose(f"stream of numbers or pictures in {path}", self.stream, numbers),
            _choose(f"stream of texts in {path}", self.marker_stream, texts),
        )
        self._chosen = [parts for parts in chosen if parts]
        if not self._chosen:
            raise RecordingError(f"{path} holds no stream")
        self._first, self._duration = _extent(streams)

    def prepare(self) -> None:
        """Announce what the streams begin with."""
        outputs: Mapping[str, Output[Any]] = {
            "signal": self.signal,
            "markers": self.markers,
            "frames": self.frames,
        }
        self._tracks = [
            Track(parts, outputs[parts[0].info.kind], paced=self.paced) for parts in self._chosen
        ]

    def acquire(self) -> Iterator[None]:
        """Give the samples in the order of their times."""
        begin = self.runtime.run_start
        lap, start = 0, self._first
        if self.paced and self.runtime.context.get("resumed"):  # time went on while we were dead
            passed = max(0.0, local_clock() - begin) * self.speed
            if self.loop and self._duration:
                lap = int(passed // self._duration)
            start += passed - lap * self._duration
        while True:
            shift = lap * self._duration
            for piece in self._pieces(start):
                if self.paced:
                    due = piece.due - self._first + shift
                    if not self.wait_until(begin + due / self.speed):
                        return
                    stamps = piece.times - self._first + (begin + shift)
                else:
                    stamps = piece.raw + shift if shift else piece.raw
                piece.track.give(piece, stamps, lap)
                yield
            if not self.loop or not self._duration:
                return
            lap, start = lap + 1, self._first

    def close(self) -> None:
        """Close the file."""
        if self._open_file is not None:
            self._open_file.close()
            self._open_file = None

    def _pieces(self, start: float) -> Iterator[Piece]:
        duration = self.chunk_duration * 1e-3
        return heapq.merge(
            *(track.pieces(duration, start) for track in self._tracks),
            key=lambda piece: piece.due,
        )


def list_streams(path: Path | str) -> list[StreamInfo]:
    """Return the descriptions of a file's streams that have samples.

    Raises
    ------
    RecordingError
        If there is no such file, or none that can be read.
    """
    with open_streams(Path(path)) as streams:
        filled = {one.info.name: one.info for one in streams if len(one)}
    return list(filled.values())


def _by_name(streams: Parts, *, texts: bool) -> dict[str, list[RecordedStream]]:
    """Return the parts of each stream of texts, or of each other, in order."""
    found = [one for one in streams if (one.info.kind == "markers") is texts]
    names = dict.fromkeys(one.info.name for one in found)
    return {
        name: sorted((one for one in found if one.info.name == name), key=lambda one: one.part)
        for name in names
    }


def _choose(what: str, name: str, known: Mapping[str, Parts]) -> Parts:
    """Return the parts of a stream; of the first with samples, or none, if there is no name."""
    if name:
        if name not in known:
            raise UnknownName.among(what, name, known)
        return known[name]
    filled = (parts for parts in known.values() if any(map(len, parts)))
    return next(itertools.chain(filled, known.values()), [])


def _extent(streams: Parts) -> tuple[float, float]:
    """Return the earliest time of all streams, and how long they are, in seconds."""
    begins, ends = [], []
    for one in streams:
        if len(one):
            begins.append(float(one.timestamps[0:1][0]))
            rate = one.info.sampling_rate
            last = float(one.timestamps[len(one) - 1 : len(one)][0])
            ends.append(last + (1 / rate if rate else 0.0))
    return (min(begins), max(ends) - min(begins)) if begins else (0.0, 0.0)
