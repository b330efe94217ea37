"""What is in a recording, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from rigmesh.recording.disk import as_recording_error, publish, write_new
from rigmesh.recording.formats import open_recording
from rigmesh.recording.paths import part_file
from rigmesh.recording.recorded import RecordedStream, missing_in

__all__ = [
    "EpochInfo",
    "RecordingInfo",
    "StreamSummary",
    "read_info",
    "record_file",
    "write_record",
]


@dataclass(frozen=True, slots=True)
class EpochInfo:
    """An epoch: samples that existed (None: not known), that are here, that are in gaps."""

    epoch: int
    first_index: int
    produced: int | None
    delivered: int
    missing: int


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What there is of a stream.

    Parameters
    ----------
    name : str
        Of the stream.
    part : int
        1, or more for what follows a change of format.
    kind, dtype : str
        As in its description.
    shape : tuple of int
        Of one sample.
    sampling_rate : float
        In Hz; 0 means irregular.
    n_samples, n_gaps, missing : int
        Samples here; gaps, and the samples in them, those over a restart excluded.
    duration : float
        From the first stamp to the last, in seconds.
    epochs : tuple of EpochInfo
        In order; an epoch once more after each pause.
    clock : tuple of float
        The last clock model (offset, drift, reference, uncertainty); empty if the stamps are those
        of the local clock.
    is_exact : bool
        Whether the samples are those that came, bit for bit; not so in a video with loss.
    """

    name: str
    part: int
    kind: str
    dtype: str
    shape: tuple[int, ...]
    sampling_rate: float
    n_samples: int
    n_gaps: int
    missing: int
    duration: float
    epochs: tuple[EpochInfo, ...]
    clock: tuple[float, ...] = ()
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What there is of a recording.

    Parameters
    ----------
    path : Path
        The file or, while it grows, the folder.
    state : str
        ``sealed``, ``recording`` while somebody writes it, else ``capture``.
    verdict : str
        ``OK``, ``OK with gaps (n, total ms)`` or ``FAILED (why)``.
    run_id : str
        The run that was recorded.
    created : mapping
        When, by the world's and by the local clock.
    n_notes : int
        Parameter changes and annotations.
    streams : tuple of StreamSummary
        By name.
    context : mapping
        The graph, parameters and versions of the run.
    notes : tuple of mapping
        Each with its ``kind`` and ``time``.
    """

    path: Path
    state: str
    verdict: str
    run_id: str
    created: Mapping[str, Any]
    n_notes: int
    streams: tuple[StreamSummary, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Mapping[str, Any], ...] = ()

    @property
    def counters(self) -> Mapping[str, Any]:
        """What the recorder counted, as it said at the end."""
        told = [note for note in self.notes if note.get("kind") == "counters"]
        return told[-1] if told else {}

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong; gaps that are accounted for are not."""
        return self.verdict.startswith("OK")

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON types."""
        return {**asdict(self), "path": str(self.path), "created": dict(self.created)}


def read_info(path: Path | str) -> RecordingInfo:
    """Look into a recording, sealed or not.

    Raises
    ------
    RecordingError
        If there is none that can be read.
    """
    with open_recording(path) as recording:
        return RecordingInfo(
            path=recording.path,
            state=recording.state,
            verdict=recording.verdict,
            run_id=recording.run_id,
            created=recording.created,
            n_notes=len(recording.notes),
            streams=tuple(_summary(stream) for stream in recording.streams.values()),
            context=recording.context,
            notes=tuple(recording.notes),
        )


def record_file(path: Path) -> Path:
    """Return the record beside a recording's file."""
    return path.with_name(path.name + ".json")


def write_record(path: Path) -> Path | None:
    """Write what is known of a sealed recording beside its file, as JSON, for people and programs.

    Everything in it is also in the file. What has its name already is never overwritten.

    Returns
    -------
    Path or None
        The record; None if there was a file of its name.

    Raises
    ------
    RecordingError
        If the recording cannot be read, or the disk refuses.
    """
    target = record_file(path)
    told = {"rigmesh_record": 1, **read_info(path).to_dict(), "bytes": path.stat().st_size}
    told["path"] = path.name
    part = part_file(target)
    with as_recording_error(f"cannot write {target}"):
        try:
            write_new(part, json.dumps(told, indent=1) + "\n")
            publish(part, target)
        except FileExistsError:
            part.unlink(missing_ok=True)
            return None
    return target


def _summary(stream: RecordedStream) -> StreamSummary:
    info, stamps, n = stream.info, stream.timestamps, len(stream)
    return StreamSummary(
        name=info.name,
        part=stream.part,
        kind=info.kind,
        dtype=info.dtype,
        shape=info.sample_shape,
        sampling_rate=info.sampling_rate,
        n_samples=n,
        n_gaps=len(stream.gaps),
        missing=missing_in(stream.gaps),
        duration=float(stamps[n - 1 : n][0] - stamps[0:1][0]) if n else 0.0,
        epochs=tuple(
            EpochInfo(e.epoch, e.first_index, e.produced, e.n, e.missing) for e in stream.epochs
        ),
        clock=astuple(stream.clocks[-1].model) if stream.clocks else (),
        is_exact=stream.is_exact,
    )
