"""Reading the folder in which a recording grows.

::

    session.h5.capture/
        recording.json            manifest: run, context, target format
        journal.bin               records: epochs, gaps, clocks, notes, commits
        reserve                   room for the journal once the disk is full
        streams/amp.signal/
            0.dat  0.stamps       epoch 0: samples; raw stamps, float64 s; both little-endian
            0.json  0.vhdr        what is in them, for people, NumPy and MNE
            0.minmax64 …          extremes of so many samples each, made of them for browsing
        streams/paradigm.events/
            0.text                records: raw stamp (float64 s) and text (UTF-8)
        streams/amp.signal/piece2/
            0.dat  0.stamps       epoch 0 again, after a pause

A row counts once it is whole in all its files. While somebody writes only what is committed
counts, and so it does after a reboot: the rest of a file may then be zeros that nobody wrote.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rigmesh.errors import RecordingError
from rigmesh.recording.disk import Lock, as_recording_error, sync_folder, write_new
from rigmesh.recording.framing import Records
from rigmesh.recording.paths import stream_key
from rigmesh.recording.pyramid import Segment, captured_levels
from rigmesh.recording.recorded import (
    EpochRows,
    LocalStamps,
    RecordedStream,
    Recording,
    RowClock,
    RowGap,
    Rows,
    judge,
    missing_in,
)
from rigmesh.recording.rows import FlatRows, TextRows
from rigmesh.streams import IDENTITY, Cause, ClockModel, Gap, StreamInfo, clock_id, local_clock

__all__ = [
    "COMMIT",
    "COMMITTED",
    "JOURNAL",
    "MANIFEST",
    "RESERVE",
    "VERSION",
    "CaptureState",
    "EpochState",
    "make_folder",
    "piece_folder",
    "read_manifest",
]

VERSION = 2
_READABLE = (1, VERSION)
"""Version 1 had no pieces; nothing else is different."""
MANIFEST = "recording.json"
JOURNAL = "journal.bin"
RESERVE = "reserve"
_RESERVE_BYTES = 256 * 2**10
COMMIT = b"c"
COMMITTED = struct.Struct("<IQ")
"""In a commit record, for each epoch that grew: its number in this capture, its rows."""


@dataclass(slots=True)
class EpochState:
    """One epoch of one stream, as the journal and the files tell; a piece of it after a pause.

    Attributes
    ----------
    piece : int
        1, or more after a pause.
    is_over : bool
        Whether it ends here even if the epoch goes on: recording paused.
    has_bins : bool
        Whether its files of bins hold what was written: nobody synced them.
    """

    number: int
    stream: str
    epoch: int
    first_index: int
    info: StreamInfo
    folder: Path
    rows: int = 0
    committed: int = 0
    accounted: int = 0
    produced: int | None = None
    gaps: list[RowGap] = field(default_factory=list)
    clocks: list[RowClock] = field(default_factory=list)
    piece: int = 1
    is_over: bool = False
    has_bins: bool = True

    def file(self, suffix: str) -> Path:
        """Return one of its files."""
        return self.folder / f"{self.epoch}.{suffix}"

    @property
    def next_index(self) -> int:
        """Index of the sample that follows what is recorded."""
        before = [found for found in self.gaps if found.row < self.rows]
        if not before:
            return self.first_index + self.rows
        return before[-1].gap.index + self.rows - before[-1].row

    @property
    def missing(self) -> int:
        """Samples in gaps, those over a restart excluded."""
        return missing_in(self.gaps)

    def trim(self, rows: int) -> None:
        """Forget what came behind so many rows: who reads on from there is told of it again."""
        self.rows = rows
        self.gaps = [found for found in self.gaps if found.row < rows]
        self.clocks = [found for found in self.clocks if found.row < rows]
        self.accounted = rows + self.missing

    def take_back(self, rows: int) -> None:
        """Move what was noted behind so many rows there: the disk lost them."""
        self.gaps = [RowGap(min(found.row, rows), found.gap) for found in self.gaps]
        self.clocks = [RowClock(min(found.row, rows), found.model) for found in self.clocks]

    def count_rows(self, *, only_committed: bool) -> int:
        """Set the rows to what is whole in the files; return how many committed ones are not."""
        if self.info.dtype == "text":
            whole = sum(1 for _ in Records(self.file("text")))
        else:
            whole = min(
                _size(self.file("dat")) // self.info.sample_bytes, _size(self.file("stamps")) // 8
            )
        self.rows = min(whole, self.committed) if only_committed else whole
        self.gaps = [found for found in self.gaps if found.row <= self.rows]
        return max(0, self.committed - whole)


class CaptureState:
    """What a capture holds.

    Parameters
    ----------
    folder : Path
        The capture.
    owned : bool
        Whether the caller holds its lock.

    Raises
    ------
    RecordingError
        If there is no capture, or one of a later version.
    """

    def __init__(self, folder: Path, *, owned: bool = False) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.epochs: dict[int, EpochState] = {}
        self.described: dict[str, StreamInfo] = {}
        self.notes: list[dict[str, Any]] = []
        self.is_closed = False
        self.reason = ""
        records = Records(folder / JOURNAL)
        with as_recording_error(f"cannot read {folder}"):
            for payload in records:
                self._take(payload)
            self.is_live = not owned and Lock.is_held(folder / MANIFEST)
            rebooted = self.manifest["created"]["clock_id"] != clock_id()
            self.lost_rows = sum(
                epoch.count_rows(only_committed=self.is_live or rebooted)
                for epoch in self.epochs.values()
            )
        for epoch in self.epochs.values():
            epoch.has_bins = not rebooted
        self.journal_end = records.end
        self.damaged = records.damaged + (0 if (folder / JOURNAL).exists() else 1)

    @property
    def is_damaged(self) -> bool:
        """Whether something is not as it was written."""
        return bool(self.damaged or self.lost_rows)

    @property
    def is_paused(self) -> bool:
        """Whether nothing was to be recorded when it ended."""
        kinds = [note["kind"] for note in self.notes if note.get("kind") in ("pause", "resume")]
        return kinds[-1:] == ["pause"]

    def streams(self) -> dict[str, list[EpochState]]:
        """Return each stream's epochs, in order; also those of streams without samples."""
        found: dict[str, list[EpochState]] = {name: [] for name in self.described}
        for state in sorted(self.epochs.values(), key=lambda state: state.epoch):
            found.setdefault(state.stream, []).append(state)
        return found

    def recording(self) -> Recording:
        """Return the capture as it is now, for reading."""
        manifest = self.manifest
        streams = {
            stream.key: stream
            for name, epochs in sorted(self.streams().items())
            for stream in self._parts(name, epochs)
        }
        return Recording(
            path=self.folder,
            state="recording" if self.is_live and not self.is_closed else "capture",
            run_id=manifest["run_id"],
            created=manifest["created"],
            context=manifest["context"],
            notes=self.notes,
            streams=streams,
            verdict=judge(streams.values(), tuple(self._flaws())),
        )

    def _flaws(self) -> Iterator[str]:
        if not self.is_closed and not self.is_live:
            yield "it was interrupted; all that was written until then is here"
        if self.reason:
            yield self.reason
        if self.lost_rows:
            yield f"{self.lost_rows} samples are gone that had been written"
        if self.damaged:
            yield f"its journal is damaged ({self.damaged} times)"

    def _parts(self, name: str, epochs: list[EpochState]) -> Iterator[RecordedStream]:
        """Cut a stream where its format changes."""
        parts: list[list[EpochState]] = []
        for state in epochs:
            if not parts or not parts[-1][-1].info.same_format(state.info):
                parts.append([])
            parts[-1].append(state)
        if not parts:
            yield _part(stream_key(name), self.described[name], 1, [])
        for number, states in enumerate(parts, start=1):
            key = stream_key(name) + (f"@{number}" if number > 1 else "")
            yield _part(key, states[0].info, number, states)

    def _take(self, payload: bytes) -> None:
        if payload[:1] == COMMIT:
            for number, rows in COMMITTED.iter_unpack(payload[1:]):
                if number in self.epochs:
                    self.epochs[number].committed = rows
            return
        record = json.loads(payload)
        kind = record.pop("kind")
        if kind == "stream":
            info = StreamInfo.from_dict(record["info"])
            self.described[info.name] = info
        elif kind == "epoch":
            info = StreamInfo.from_dict(record["info"])
            self.described[info.name] = info
            piece = record.get("piece", 1)
            self.epochs[record["number"]] = EpochState(
                record["number"], info.name, record["epoch"], record["first_index"], info,
                piece_folder(self.folder, info.name, piece), piece=piece,
            )  # fmt: skip
        elif kind == "note":
            self.notes.append(record["entry"])
        elif kind == "closed":
            self.is_closed, self.reason = True, record.get("reason", "")
        elif kind == "resumed":
            self.is_closed, self.reason = False, ""
            for number, rows in record["rows"]:
                if number in self.epochs:
                    self.epochs[number].trim(rows)
        elif record.get("number") in self.epochs:
            self._take_of(self.epochs[record["number"]], kind, record)

    def _take_of(self, state: EpochState, kind: str, record: dict[str, Any]) -> None:
        if kind == "gap":
            gap = Gap(
                Cause(record["cause"]), state.epoch, record["index"], record["count"],
                record["duration"], record["exact"],
            )  # fmt: skip
            state.gaps.append(RowGap(record["row"], gap))
            if record["cause"] == Cause.DISK.value:
                state.take_back(record["row"])
        elif kind == "clock":
            state.clocks.append(RowClock(record["row"], ClockModel(*record["model"])))
        elif kind == "over":
            state.is_over = True
        elif kind == "produced":
            # Who reads on after a restart begins to count anew; what was before is accounted for.
            counted = record["produced"] - record["begin"]
            state.produced = state.first_index + state.accounted + counted


def make_folder(
    folder: Path, run_id: str, context: Mapping[str, Any], target: Mapping[str, Any]
) -> None:
    """Make the folder of a capture; it appears with all it needs, or not at all."""
    manifest = {
        "rigmesh_capture": VERSION,
        "run_id": run_id,
        "created": {
            "utc": datetime.now(UTC).isoformat(),
            "local_clock": local_clock(),
            "clock_id": clock_id(),
        },
        "target": dict(target),
        "context": dict(context),
    }
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    write_new(new / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    (new / JOURNAL).touch()
    with (new / RESERVE).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
    (new / "streams").mkdir()
    sync_folder(new)
    new.rename(folder)  # fails if somebody was faster, for then the folder is not empty
    sync_folder(folder.parent)


def piece_folder(folder: Path, stream: str, piece: int) -> Path:
    """Return where the files of a stream lie in a capture."""
    found = folder / "streams" / stream_key(stream)
    return found / f"piece{piece}" if piece > 1 else found


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what the manifest of a capture says.

    Raises
    ------
    RecordingError
        If there is none that can be read.
    """
    path = folder / MANIFEST
    with as_recording_error(f"{folder} is no recording"):
        text = path.read_text(encoding="utf-8")
    try:
        manifest: dict[str, Any] = json.loads(text)
        version = manifest["rigmesh_capture"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} is not the manifest of a recording: {error!r}") from error
    if version not in _READABLE:
        raise RecordingError(
            f"{folder} has the layout version {version}; this rigmesh reads up to {VERSION}. "
            "Use the version that recorded it"
        )
    return manifest


def _part(key: str, info: StreamInfo, number: int, states: list[EpochState]) -> RecordedStream:
    epochs, gaps, clocks, segments = [], [], [], []
    first_row = 0
    model = IDENTITY
    for state in states:
        n = state.rows
        epochs.append(
            EpochRows(state.epoch, first_row, n, state.first_index, state.produced, state.missing)
        )
        gaps += [RowGap(first_row + min(g.row, n), g.gap) for g in state.gaps]
        own = [RowClock(0, IDENTITY), *(c for c in state.clocks if c.row < n)]
        for row, clock in {clock.row: clock.model for clock in own}.items():
            if clock != model:
                clocks.append(RowClock(first_row + row, clock))
                model = clock
        levels = captured_levels(state.file, info, n) if state.has_bins else ()
        segments.append(Segment(first_row, n, levels))
        first_row += n
    raw, data = _rows(info, states)
    stamps: Rows = LocalStamps(raw, clocks) if clocks else raw
    return RecordedStream(
        key, info, number, data, stamps, raw, tuple(epochs), tuple(gaps), tuple(clocks),
        tuple(segments),
    )  # fmt: skip


def _rows(info: StreamInfo, states: list[EpochState]) -> tuple[Rows, Rows]:
    if info.dtype == "text":
        texts = TextRows([(state.file("text"), state.rows) for state in states])
        return texts.stamps, texts
    stamps = FlatRows([(s.file("stamps"), s.rows) for s in states], "float64", ())
    samples = [(s.file("dat"), s.rows) for s in states]
    return stamps, FlatRows(samples, info.dtype, info.sample_shape)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
