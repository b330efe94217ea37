"""Signals as EDF+ files, by edfio: 16 bits a sample, in the units of the channels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import numpy.typing as npt
import psutil

from rigmesh.errors import RecordingError
from rigmesh.recording._export_what import Annotation, SignalExport
from rigmesh.recording.recorded import RecordedStream

__all__ = ["write_edf"]

_BITS = 16
_LABEL, _UNIT = 16, 8
_RECORD_BYTES = 61_440
"""Most that a data record should hold, says the specification."""
_LONGEST_TEXT = 200
_INTEGERS = {"int8": 0, "uint8": 0, "int16": 0, "uint16": 2**15}
"""Types that are kept to the bit, and what is subtracted to have a signed number."""

Array = npt.NDArray[Any]


def write_edf(
    export: SignalExport,
    events: Sequence[RecordedStream],
    path: Path,
    progress: Callable[[int], None],
) -> None:
    """Write an EDF+ file.

    Raises
    ------
    RecordingError
        If the signal cannot be held, or its file not be put together in the memory there is.
    """
    rate, info = export.grid.rate, export.stream.info
    if not float(rate).is_integer():
        raise RecordingError(
            f"{export.name} has {rate:g} Hz; EDF readers agree on whole numbers only. Export it "
            "to fif, nwb or xdf"
        )
    per_record = _samples_per_record(round(rate), info.n_channels, len(export.grid))
    n = len(export.grid) + -len(export.grid) % per_record
    _check_memory(export, n)
    ranges, gaps = _ranges(export, progress)
    digital = _digitised(export, ranges, n, progress)
    signals = [
        edfio.EdfSignal.from_digital(
            digital[channel], rate, label=label, physical_dimension=_ascii(unit)[:_UNIT],
            physical_range=ranges[channel], digital_range=(-(2**15), 2**15 - 1),
        )
        for channel, (label, unit) in enumerate(_labels(export))
    ]  # fmt: skip
    notes = [*export.annotations(events), *gaps]
    if n > len(export.grid):
        begin = len(export.grid) / rate
        notes.append(Annotation(begin, (n - len(export.grid)) / rate, "BAD_padding"))
    began = export.began
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a start within a second makes it EDF+
        edfio.Edf(
            signals,
            patient=edfio.Patient(code=_subject(export)),
            recording=edfio.Recording(
                startdate=date(began.year, began.month, began.day), equipment_code="rigmesh"
            ),
            starttime=began.time(),
            data_record_duration=per_record / rate,
            annotations=[_edf_annotation(note) for note in sorted(notes)],
        ).write(path)


def _samples_per_record(rate: int, n_channels: int, n: int) -> int:
    """Return how many samples of a channel one record holds.

    As many as the specification allows, of a second at most, and so that little is left over at
    the end, which would have to be filled.
    """
    parts = [part for part in range(1, rate + 1) if rate % part == 0]
    allowed = [rate // part for part in parts if rate // part * n_channels * 2 <= _RECORD_BYTES]
    # Short ones would be half annotations, which every record has.
    long = [size for size in allowed if size * 10 >= rate] or allowed[:1] or [1]
    return min(long, key=lambda size: -n % size)


def _check_memory(export: SignalExport, n: int) -> None:
    needed = 5 * n * export.stream.info.n_channels  # the numbers twice, and annotations
    free = psutil.virtual_memory().available
    if needed > free / 2:
        raise RecordingError(
            f"an EDF file of {export.name} is put together in memory and needs "
            f"{needed / 1e9:.1f} GB; half of what is free are {free / 2e9:.1f} GB. Export to fif, "
            "nwb, xdf or hdf5, which are written in pieces"
        )


def _ranges(
    export: SignalExport, progress: Callable[[int], None]
) -> tuple[list[tuple[float, float]], list[Annotation]]:
    """Return the physical range of each channel, and where samples are no numbers."""
    info = export.stream.info
    if info.dtype in _INTEGERS:
        low = -(2**15) + _INTEGERS[info.dtype]
        progress(len(export.stream) * info.sample_bytes)
        return [(low, low + 2**16 - 1)] * info.n_channels, []
    lowest, highest = np.full(info.n_channels, np.inf), np.full(info.n_channels, -np.inf)
    bad: list[tuple[int, int]] = []
    for block in export.grid.blocks():
        values = export.grid.read(block.start, block.stop).astype(np.float64)
        finite = np.isfinite(values)
        lowest = np.minimum(lowest, np.min(values, axis=0, initial=np.inf, where=finite))
        highest = np.maximum(highest, np.max(values, axis=0, initial=-np.inf, where=finite))
        bad += _stretches(np.logical_not(finite.all(axis=1)), block.start)
        progress(values.shape[0] * info.sample_bytes)
    ranges = [_rounded(low, high, export) for low, high in zip(lowest, highest, strict=True)]
    step = max((high - low) / (2**_BITS - 1) for low, high in ranges)
    export.remarks.append(f"{export.name}: EDF has 16 bits; values are rounded to ±{step / 2:.2g}")
    rate = export.grid.rate
    joined = list(_joined(bad))
    if joined:
        export.remarks.append(f"{export.name}: what is no number is 0: BAD_not_a_number")
    return ranges, [Annotation(a / rate, (b - a) / rate, "BAD_not_a_number") for a, b in joined]


def _rounded(low: float, high: float, export: SignalExport) -> tuple[float, float]:
    """Return a range that EDF's 8 characters can hold, and that holds all values, and zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = low + 1.0
    try:
        found = edfio.EdfSignal.from_digital(np.zeros(1, np.int16), 1.0, physical_range=(low, high))
    except ValueError as error:
        raise RecordingError(
            f"{export.name} has values from {low:g} to {high:g}, which EDF's headers cannot hold "
            f"({error}). Export it to fif, nwb or xdf"
        ) from error
    return found.physical_range.min, found.physical_range.max


def _digitised(
    export: SignalExport,
    ranges: Sequence[tuple[float, float]],
    n: int,
    progress: Callable[[int], None],
) -> npt.NDArray[np.int16]:
    """Return the numbers of the file, shape (n_channels, n); those behind the signal are zero."""
    info = export.stream.info
    low = np.array([each[0] for each in ranges])
    width = np.array([each[1] - each[0] for each in ranges])
    scale = (2**_BITS - 1) / width
    digital = np.empty((info.n_channels, n), np.int16)
    digital[:, len(export.grid) :] = (np.rint(-low * scale) - 2**15)[:, None]
    for block in export.grid.blocks():
        values: Array = export.grid.read(block.start, block.stop)
        if info.dtype in _INTEGERS:
            found = values.astype(np.int32) - _INTEGERS[info.dtype]
        else:
            wide = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
            found = np.rint((wide - low) * scale) - 2**15
        digital[:, block] = found.T
        progress(len(values) * info.sample_bytes)
    return digital


def _labels(export: SignalExport) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    shortened = []
    for channel, name in enumerate(export.stream.info.channel_names):
        label, number = _ascii(name)[:_LABEL].strip() or f"ch{channel}", 1
        while label in seen:
            number += 1
            end = f"~{number}"
            label = _ascii(name)[: _LABEL - len(end)].strip() + end
        seen.add(label)
        if label != name:
            shortened.append(f"{name} is {label}")
        yield label, export.unit_of(channel).replace("µ", "u").replace("μ", "u")
    if shortened:
        export.remarks.append(
            f"{export.name}: EDF's labels have {_LABEL} plain characters: {', '.join(shortened)}"
        )


def _subject(export: SignalExport) -> str:
    metadata = export.recording.context.get("metadata") or {}
    subject = metadata.get("subject", "X") if isinstance(metadata, dict) else "X"
    if isinstance(subject, dict):
        subject = subject.get("subject_id", "X")
    return _ascii(str(subject)).replace(" ", "_")[:20] or "X"


def _edf_annotation(note: Annotation) -> edfio.EdfAnnotation:
    text = note.text
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 1] + "…"
    return edfio.EdfAnnotation(note.onset, note.duration or None, text or "n/a")


def _ascii(text: str) -> str:
    plain = "".join(c if c.isprintable() else "_" for c in text)
    return plain.encode("ascii", "replace").decode()


def _stretches(flags: Array, start: int) -> list[tuple[int, int]]:
    """Return where flags are set, as (begin, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False]))))
    return [(start + int(a), start + int(b)) for a, b in edges.reshape(-1, 2)]


def _joined(stretches: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join those that a border between blocks cuts."""
    last: tuple[int, int] | None = None
    for begin, end in stretches:
        if last is not None and last[1] == begin:
            last = (last[0], end)
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last
