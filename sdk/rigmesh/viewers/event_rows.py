"""The events that a raster shows, sorted into rows, in the feeds' threads."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.streams import Chunk, StreamInfo

__all__ = ["EventRows", "RasterView", "Row", "RowSink"]

Array = npt.NDArray[Any]

_MOST_EVENTS = 200_000
_MOST_TEXTS = 4096
_MOST_ROWS = 200
_LONGEST = 80
_OTHERS = "other texts"
_NUMBERS = re.compile(r"(\d+)")

_Key = tuple[str, str, str | None]
"""A stream and a text; or the name of a row, and the expression that found it in a text."""


@dataclass(slots=True)
class Row:
    """Events that belong together.

    Attributes
    ----------
    stream, name : str
        Where they come from, and what they have in common; `stream` is empty if there is one only.
    n : int
        How many came.
    rate : float
        How many come, in 1/s.
    """

    stream: str
    name: str
    n: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class RasterView:
    """What is drawn.

    Attributes
    ----------
    rows : list of Row
        From top to bottom.
    times : ndarray, shape (n_events,)
        Local clock, in seconds.
    at : ndarray, shape (n_events,)
        The row of each event.
    newest : float
        The time of the event that came last; minus infinity before the first.
    """

    rows: list[Row]
    times: Array
    at: Array
    newest: float


class EventRows:
    """Keeps the last 200,000 events of marker streams.

    Attributes
    ----------
    version : int
        Grows with each change.
    """

    def __init__(self) -> None:
        self.version = 0
        self._lock = threading.Lock()
        self._times = np.empty(_MOST_EVENTS)
        self._texts = np.empty(_MOST_EVENTS, np.int32)
        self._next = 0
        self._newest = -np.inf
        self._known: dict[_Key, int] = {}
        self._group = ""
        self._counts: Counter[int] = Counter()
        self._numbers = itertools.count()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self.version += 1
            self._next = 0
            self._newest = -np.inf
            self._known.clear()
            self._counts.clear()

    def forget(self, stream: str) -> None:
        """Forget the events of a stream."""
        with self._lock:
            self.version += 1
            gone = [number for key, number in self._known.items() if key[0] == stream]
            self._known = {key: n for key, n in self._known.items() if key[0] != stream}
            texts, n = self._texts, min(self._next, _MOST_EVENTS)
            texts[:n][np.isin(texts[:n], gone)] = -1

    def take(self, stream: str, times: Iterable[float], texts: Iterable[str]) -> None:
        """Keep events."""
        with self._lock:
            self.version += 1
            for time, text in zip(times, texts, strict=True):
                if not np.isfinite(time):
                    continue
                number = self._number(stream, text)
                at = self._next % _MOST_EVENTS
                self._times[at], self._texts[at] = time, number
                self._counts[number] += 1
                self._next += 1
                self._newest = time

    def view(
        self, start: float, stop: float, *, group: str, order: str, rate_seconds: float
    ) -> RasterView:
        """Return the events between two times, in rows.

        Parameters
        ----------
        start, stop : float
            Local clock, in seconds; `stop` is now.
        group : str
            Regular expression that finds the name of a row in texts; empty: the text is the name.
        order : str
            ``name``, ``first`` or ``rate``.
        rate_seconds : float
            Time before `stop` over which the rates are taken.
        """
        with self._lock:
            n = min(self._next, _MOST_EVENTS)
            times, texts = self._times[:n].copy(), self._texts[:n].copy()
            known, counts = dict(self._known), self._counts.copy()
            newest = self._newest
        rows, row_of = _rows(known, counts, group, order)
        self._group = group
        at = row_of[texts]
        near = (at >= 0) & (times <= stop)
        counted = at[near & (times > stop - rate_seconds)]
        for row, rate in zip(rows, np.bincount(counted, minlength=len(rows)), strict=False):
            row.rate = float(rate) / rate_seconds
        seen = near & (times >= start)
        return RasterView(rows, times[seen], at[seen], newest)

    def _number(self, stream: str, text: str) -> int:
        key: _Key = stream, text[:_LONGEST], None
        if key not in self._known and len(self._known) >= _MOST_TEXTS:
            # Texts that tell values never end; of these only the row is kept.
            # Without a name: those without a row, if texts are grouped.
            name = (_name(self._group, text) or "") if self._group else _OTHERS
            key = stream, name[:_LONGEST], self._group
            if key not in self._known and len(self._known) >= 2 * _MOST_TEXTS:
                key = stream, _OTHERS, self._group
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = next(self._numbers)
        return number


class RowSink:
    """Hands the events of a stream to the rows."""

    def __init__(self, rows: EventRows, stream: str) -> None:
        self._rows, self._stream = rows, stream

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows: all events are alike."""

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk's events."""
        self._rows.take(self._stream, chunk.timestamps.tolist(), map(str, chunk.data))


def _rows(
    known: dict[_Key, int], counts: Mapping[int, int], group: str, order: str
) -> tuple[list[Row], Array]:
    """Return the rows, and the number of the row for each number of a text; -1 for none.

    The last one is that of the text number -1: of texts that were forgotten.
    """
    rows: dict[tuple[str, str], Row] = {}
    row_of_text: dict[int, Row] = {}
    several = len({key[0] for key in known}) > 1
    for (stream, text, found_by), number in known.items():
        name: str | None = (text or None) if found_by == group else _OTHERS
        if found_by is None:
            name = _name(group, text)
        if name is not None:
            row = rows.setdefault((stream, name), Row(stream if several else "", name))
            row.n += counts[number]
            row_of_text[number] = row
    ordered = list(rows.values())
    if order == "name":
        ordered.sort(key=lambda row: (row.stream, _natural(row.name)))
    elif order == "rate":
        ordered.sort(key=lambda row: -row.n)
    at = {id(row): min(number, _MOST_ROWS - 1) for number, row in enumerate(ordered)}
    if len(ordered) > _MOST_ROWS:
        n = sum(row.n for row in ordered[_MOST_ROWS - 1 :])
        ordered = [*ordered[: _MOST_ROWS - 1], Row("", "further rows", n)]
    row_of = np.full(max(known.values(), default=-1) + 2, -1)
    for number, row in row_of_text.items():
        row_of[number] = at[id(row)]
    return ordered, row_of


def _name(group: str, text: str) -> str | None:
    if not group:
        return text
    found = re.search(group, text)
    if found is None:
        return None
    return found[1] if found.re.groups and found[1] is not None else found[0]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts ``unit 2`` before ``unit 10``."""
    parts = _NUMBERS.split(name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
