"""What is to be drawn of streams, before anybody thinks of ink."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.display.timeline import Hole, Timeline
from rigmesh.errors import GraphError, UnknownName
from rigmesh.recording import RecordedStream

__all__ = ["Channels", "Events", "Picture", "Pictures", "Signals", "picture_of"]

Array = npt.NDArray[Any]

_MOST_CHANNELS = 64
_MOST_EVENTS = 20_000
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Signals:
    """Channels of a signal; times in seconds of the picture.

    Parameters
    ----------
    name : str
        Of the stream.
    rate : float
        In Hz; 0 means irregular.
    channels, units : sequence of str
        Of what is drawn.
    n_channels : int
        How many the stream has.
    times : ndarray, shape (n_columns,)
    minimum, maximum : ndarray, shape (n_columns, n_channels)
        NaN in holes; the same array if every column is a sample.
    holes : sequence of Hole
        Times without samples.
    """

    name: str
    rate: float
    channels: Sequence[str]
    units: Sequence[str]
    n_channels: int
    times: Array
    minimum: Array
    maximum: Array
    holes: Sequence[Hole]


@dataclass(frozen=True, slots=True)
class Events:
    """Texts and their times; `n` is how many there are, of which the first are here."""

    name: str
    times: Array
    texts: Sequence[str]
    n: int


@dataclass(frozen=True, slots=True)
class Pictures:
    """When pictures were taken; `n` of them, if not each is here."""

    name: str
    times: Array
    n: int


@dataclass(frozen=True, slots=True)
class Picture:
    """All panels, from `start` to `stop` in seconds."""

    start: float
    stop: float
    panels: Sequence[Signals | Events | Pictures]
    notes: Sequence[str] = ()


class Channels:
    """Channels that were asked for, by names or numbers: ``Cz,Pz`` or ``0-7,12``.

    A name wins where a text could be both.
    """

    def __init__(self, text: str) -> None:
        self._parts = [part.strip() for part in text.split(",") if part.strip()]
        self._found: set[str] = set()
        self._known: list[str] = []

    def of(self, stream: RecordedStream) -> list[int]:
        """Return the numbers of the channels in a stream; all if none was asked for."""
        names = list(stream.info.channel_names)
        if not self._parts:
            return list(range(len(names)))
        self._known += names
        numbers: dict[int, None] = {}
        for part in self._parts:
            found = [number for number, name in enumerate(names) if name == part]
            match = _RANGE.fullmatch(part)
            if not found and match:
                last = int(match[2] or match[1])
                found = list(range(int(match[1]), min(last + 1, len(names))))
            if found:
                self._found.add(part)
            numbers.update(dict.fromkeys(found))
        return list(numbers)

    def check(self) -> None:
        """See that each was in some stream.

        Raises
        ------
        UnknownName
            If one was not.
        """
        for part in self._parts:
            if part not in self._found:
                raise UnknownName.among("channel", part, set(self._known))


def picture_of(
    streams: Sequence[RecordedStream],
    begin: float,
    window: tuple[float | None, float | None],
    channels: Channels,
    n_columns: int,
) -> Picture:
    """Gather what is to be drawn.

    Parameters
    ----------
    streams : sequence of RecordedStream
        In the order of their panels; those without samples are left out.
    begin : float
        Second 0 of the picture, by the local clock.
    window : tuple of float or None
        From and to, in seconds of the picture; None for as far as there is anything.
    channels : Channels
        Which.
    n_columns : int
        How many columns a signal is drawn in at most.

    Raises
    ------
    GraphError
        If there is nothing to draw.
    UnknownName
        If a channel is in no stream.
    """
    lines = [Timeline(stream) for stream in streams if len(stream)]
    if not lines:
        raise GraphError("there are no samples to draw")
    start = window[0] if window[0] is not None else min(line.first for line in lines) - begin
    stop = window[1] if window[1] is not None else max(line.last for line in lines) - begin
    if window != (None, None) and start >= stop:
        raise GraphError(f"nothing is between {start:g} and {stop:g} s")
    stop = max(stop, start + 1e-3)
    panels: list[Signals | Events | Pictures] = []
    notes: list[str] = []
    for line in lines:
        info = line.stream.info
        name = info.name + (f" (part {line.stream.part})" if line.stream.part > 1 else "")
        if info.kind == "markers":
            events = _events(name, line, begin, start, stop)
            panels.append(events)
            if events.n > _MOST_EVENTS:
                notes.append(f"{name}: the first {_MOST_EVENTS:,} of {events.n:,} events")
        elif info.kind == "frames":
            panels.append(_pictures(name, line, begin, start, stop, n_columns))
        elif numbers := channels.of(line.stream):
            if len(numbers) > _MOST_CHANNELS:
                notes.append(
                    f"{name}: the first {_MOST_CHANNELS} of {len(numbers)} channels; "
                    "--channels chooses others"
                )
            numbers = numbers[:_MOST_CHANNELS]
            panels.append(_signals(name, line, begin, (start, stop), numbers, n_columns))
    channels.check()
    if not panels:
        raise GraphError("there are no samples to draw")
    return Picture(start, stop, panels, notes)


def _signals(
    name: str,
    line: Timeline,
    begin: float,
    window: tuple[float, float],
    numbers: list[int],
    n_columns: int,
) -> Signals:
    info = line.stream.info
    start, stop = begin + window[0], begin + window[1]
    found = line.traces(start, stop, n_columns, numbers)
    lows = found.minimum.astype(np.float64)
    return Signals(
        name,
        info.sampling_rate,
        [info.channel_names[number] for number in numbers],
        [info.channels[number].unit if info.channels else "" for number in numbers],
        info.n_channels,
        found.times - begin,
        lows,
        lows if found.is_exact else found.maximum.astype(np.float64),
        [
            Hole(hole.start - begin, hole.stop - begin, hole.row, hole.cause, hole.count)
            for hole in line.holes(start, stop)
        ],
    )


def _events(name: str, line: Timeline, begin: float, start: float, stop: float) -> Events:
    first, last = line.row_at(begin + start), line.row_at(np.nextafter(begin + stop, np.inf))
    end = min(last, first + _MOST_EVENTS)
    times = line.times(np.arange(first, end)) - begin
    return Events(name, times, line.stream.data[first:end], last - first)


def _pictures(
    name: str, line: Timeline, begin: float, start: float, stop: float, n_columns: int
) -> Pictures:
    first, last = line.row_at(begin + start), line.row_at(np.nextafter(begin + stop, np.inf))
    rows = np.unique(np.linspace(first, max(first, last - 1), n_columns).astype(np.int64))
    times = line.times(rows) - begin if last > first else np.empty(0)
    return Pictures(name, times, last - first)
