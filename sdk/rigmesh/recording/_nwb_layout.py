"""What an NWB file of ours holds beyond NWB's own objects: names in its ``scratch``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording.recorded import EpochRows, RecordedStream, RowClock, RowGap
from rigmesh.streams import Cause, ClockModel, Gap

__all__ = [
    "CLOCKS", "EPOCHS", "GAPS", "JOURNAL", "LOCAL", "RAW", "RECORDING", "TABLES", "TEXTS",
    "VERSION", "entries", "table_rows",
]  # fmt: skip

VERSION = 1
RECORDING = "rigmesh_recording"
JOURNAL = "rigmesh_journal"
TEXTS = "rigmesh_texts"
EPOCHS = "rigmesh_epochs"
GAPS = "rigmesh_gaps"
CLOCKS = "rigmesh_clocks"
TABLES = {
    EPOCHS: "Epochs of streams, and their rows; produced -1: not known",
    GAPS: "Missing samples; row and index are those of the first sample after them",
    CLOCKS: "From a row on, local = raw + offset + drift * (raw - reference)",
}
LOCAL = ".timestamps"
RAW = ".raw_timestamps"

_UNKNOWN = -1
_COLUMNS = {
    EPOCHS: {
        "epoch": "i8", "first_row": "i8", "n": "i8", "first_index": "i8", "produced": "i8",
        "missing": "i8",
    },
    GAPS: {
        "epoch": "i8", "row": "i8", "index": "i8", "cause": "O", "count": "i8", "duration": "f8",
        "exact": "?",
    },
    CLOCKS: {"row": "i8", "offset": "f8", "drift": "f8", "reference": "f8", "uncertainty": "f8"},
}  # fmt: skip


def table_rows(
    name: str, streams: Iterable[RecordedStream]
) -> dict[str, npt.NDArray[Any] | list[str]]:
    """Return the columns of a table over all streams."""
    rows = [(stream.key, *row) for stream in streams for row in _rows(name, stream)]
    columns: dict[str, npt.NDArray[Any] | list[str]] = {}
    for at, (column, kind) in enumerate({"stream": "O", **_COLUMNS[name]}.items()):
        values = [row[at] for row in rows]
        columns[column] = values if kind == "O" else np.array(values, kind)
    return columns


def entries(name: str, columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what the rows of a table stand for, by stream."""
    found: dict[str, list[Any]] = {}
    if columns:
        streams = columns["stream"].asstr()[:].tolist()
        values = [
            (columns[c].asstr() if kind == "O" else columns[c])[:].tolist()
            for c, kind in _COLUMNS[name].items()
        ]
        for stream, *row in zip(streams, *values, strict=True):
            found.setdefault(stream, []).append(_entry(name, row))
    return found


def _rows(name: str, stream: RecordedStream) -> list[tuple[Any, ...]]:
    if name == EPOCHS:
        return [
            (e.epoch, e.first_row, e.n, e.first_index,
             _UNKNOWN if e.produced is None else e.produced, e.missing)
            for e in stream.epochs
        ]  # fmt: skip
    if name == GAPS:
        return [
            (g.gap.epoch, g.row, g.gap.index, g.gap.cause.value, g.gap.count, g.gap.duration,
             g.gap.exact)
            for g in stream.gaps
        ]  # fmt: skip
    return [
        (c.row, c.model.offset, c.model.drift, c.model.reference, c.model.uncertainty)
        for c in stream.clocks
    ]


def _entry(name: str, row: list[Any]) -> EpochRows | RowGap | RowClock:
    if name == EPOCHS:
        epoch, first_row, n, index, produced, missing = row
        return EpochRows(
            epoch, first_row, n, index, None if produced == _UNKNOWN else produced, missing
        )
    if name == GAPS:
        epoch, at, index, cause, count, duration, exact = row
        return RowGap(at, Gap(Cause(cause), epoch, index, count, duration, bool(exact)))
    at, *model = row
    return RowClock(at, ClockModel(*model))
