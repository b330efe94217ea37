"""What of a recording goes into a file for one signal: the signal, events, times and units."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording._export_grid import Grid
from rigmesh.recording.recorded import RecordedStream, Recording, blocks
from rigmesh.streams import StreamInfo

__all__ = ["Annotation", "Progress", "SignalExport", "choose", "volts_of"]

Progress = Callable[[int, int], None]
"""Told the bytes of samples done, and those in all."""

BAD_GAP = "BAD_gap"

_VOLTS = {
    "v": 1.0, "volt": 1.0, "volts": 1.0, "mv": 1e-3, "millivolt": 1e-3, "millivolts": 1e-3,
    "uv": 1e-6, "µv": 1e-6, "μv": 1e-6, "microvolt": 1e-6, "microvolts": 1e-6,
    "nv": 1e-9, "nanovolt": 1e-9, "nanovolts": 1e-9,
}  # fmt: skip


def volts_of(unit: str) -> float | None:
    """Return how many volts a unit is; None if it is no voltage.

    Examples
    --------
    >>> volts_of("uV"), volts_of("Microvolts"), volts_of("g")
    (1e-06, 1e-06, None)
    """
    return _VOLTS.get(unit.strip().casefold())


@dataclass(frozen=True, slots=True, order=True)
class Annotation:
    """A text at a time; both in seconds from the first sample."""

    onset: float
    duration: float
    text: str


@dataclass(slots=True)
class SignalExport:
    """One signal, and what is written beside it.

    Parameters
    ----------
    recording : Recording
        All of it.
    stream : RecordedStream
        The signal.
    unit : str
        Unit of channels that name none.

    Attributes
    ----------
    grid : Grid
        The signal at ticks of its rate.
    remarks : list of str
        What a reader of the file should know.
    """

    recording: Recording
    stream: RecordedStream
    unit: str = ""
    remarks: list[str] = field(default_factory=list)
    grid: Grid = field(init=False)

    def __post_init__(self) -> None:
        self.grid = Grid(self.stream)
        measured, rate = self.grid.measured_rate, self.grid.rate
        if abs(measured / rate - 1) * len(self.grid) > 2:
            self.remarks.append(
                f"{self.name}: {measured:.6g} Hz by its stamps, {rate:g} Hz in the file; events "
                "are beside the samples that they came with"
            )
        filled = self.grid.filled
        if filled:
            n = sum(gap.n for gap in filled)
            self.remarks.append(
                f"{self.name}: {len(filled)} gaps, {n} samples, are zero: {BAD_GAP}"
            )

    @property
    def name(self) -> str:
        """Name of the stream."""
        return self.stream.info.name

    @property
    def began(self) -> datetime:
        """When the first sample was, UTC."""
        created = self.recording.created
        after = self.grid.first_time - float(created["local_clock"])
        return datetime.fromisoformat(str(created["utc"])) + timedelta(seconds=after)

    def unit_of(self, channel: int) -> str:
        """Return the unit of a channel."""
        channels = self.stream.info.channels
        return (channels[channel].unit if channels else "") or self.unit

    def types(self) -> list[str]:
        """Return what each channel is, in lower case; empty where nothing says so."""
        info = self.stream.info
        named = [channel.type for channel in info.channels] or [""] * info.n_channels
        return [(name or info.stype).strip().casefold() for name in named]

    def annotations(self, events: Sequence[RecordedStream]) -> list[Annotation]:
        """Return gaps, markers and notes, in order; those not beside the signal are left out."""
        found = [*self._gaps()]
        for stream in events:
            prefix = f"{stream.info.name}/" if len(events) > 1 else ""
            found += self._at(_events(stream), prefix, stream.info.name)
        notes = [
            (float(note["time"]), str(note["text"]))
            for note in self.recording.notes
            if note.get("kind") == "note" and "text" in note
        ]
        found += self._at(notes, "note/" if events else "", "notes")
        return sorted(found)

    def _gaps(self) -> Iterator[Annotation]:
        for gap in self.grid.filled:
            yield Annotation(gap.start / self.grid.rate, gap.n / self.grid.rate, BAD_GAP)

    def _at(
        self, events: Iterator[tuple[float, str]] | list[tuple[float, str]], prefix: str, name: str
    ) -> list[Annotation]:
        ordered = sorted(events, key=lambda event: event[0])
        ticks = self.grid.ticks_of([time for time, _ in ordered])
        beside = [
            Annotation(float(tick) / self.grid.rate, 0.0, prefix + _line(text))
            for tick, (_, text) in zip(ticks, ordered, strict=True)
            if 0 <= tick < len(self.grid)
        ]
        if len(beside) < len(ordered):
            n = len(ordered) - len(beside)
            self.remarks.append(f"{n} of {name} are before or after {self.name}, and left out")
        return beside


def choose(
    recording: Recording, streams: Sequence[str]
) -> tuple[list[RecordedStream], list[RecordedStream], list[str]]:
    """Return signals with a rate, markers, and why others cannot be had.

    Parameters
    ----------
    recording : Recording
        What there is.
    streams : sequence of str
        Names or keys of those that are wanted; all that can be if none.

    Raises
    ------
    UnknownName
        If there is none of such a name.
    RecordingError
        If one that was named cannot be exported so, or there is no signal.
    """
    every = recording.streams
    for name in streams:
        if name not in every and name not in [one.info.name for one in every.values()]:
            raise UnknownName.among("stream", name, every)
    wanted = [
        one for key, one in every.items() if not streams or key in streams
        or one.info.name in streams
    ]  # fmt: skip
    signals, events, remarks = [], [], []
    for one in wanted:
        why = _why_not(one)
        if one.info.kind == "markers":
            events.append(one)
        elif not why:
            signals.append(one)
        elif streams:
            raise RecordingError(f"{one.key} {why}")
        else:
            remarks.append(f"{one.key} {why}; left out")
    if not any(one.info.kind == "markers" for one in wanted):
        # Who names a signal wants it with the events, unless some were named.
        events = [one for one in every.values() if one.info.kind == "markers"]
    if not signals:
        raise RecordingError(
            f"{recording.path} holds no signal with a sampling rate to export"
            + "".join(f"; {remark}" for remark in remarks)
        )
    return signals, events, remarks


def _why_not(stream: RecordedStream) -> str:
    info: StreamInfo = stream.info
    if info.kind == "frames":
        return "holds pictures, which this format has not (nwb and hdf5 have)"
    if info.kind == "signal" and not info.is_regular:
        return "is irregular, and this format knows a rate but no stamps (nwb, xdf, hdf5 do)"
    if info.kind == "signal" and not len(stream):
        return "holds no sample"
    return ""


def _events(stream: RecordedStream) -> Iterator[tuple[float, str]]:
    for block in blocks(len(stream), stream.row_bytes):
        stamps: npt.NDArray[np.float64] = np.asarray(stream.timestamps[block])
        yield from zip(stamps.tolist(), stream.data[block], strict=True)


def _line(text: str) -> str:
    """Return a text without what no format holds: control characters, lone surrogates."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return clean.encode("utf-8", "replace").decode() or json.dumps(text)
