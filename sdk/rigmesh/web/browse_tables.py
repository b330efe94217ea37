"""Events as tables: markers with what their texts say, and the tables of NWB files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.display.timeline import Timeline
from rigmesh.errors import UnknownName

__all__ = ["TEXT", "TIME", "EventTable", "nwb_tables", "table_of"]

Stamps = npt.NDArray[np.float64]

Column = list[Any] | npt.NDArray[Any]

TIME, TEXT = "time", "text"
_MOST_ROWS = 1_000_000
_MOST_NUMBERS = 10_000_000
"""Rows of tables that have numbers only: as arrays they take a tenth of it."""
_BLOCK = 1_000_000
_MOST_LOOKED = 200_000
_MOST_VALUES = 2000
_MOST_COLUMNS = 40
_MOST_SHOWN = 60
_LONGEST = 200
_NUMBER = (int, float)
_EXACT = 2.0**63


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events, one a row.

    Parameters
    ----------
    key, title : str
        By which it is asked for, and what it is called.
    n : int
        Rows.
    columns : dict of str to list or ndarray
        Values of JSON types, None where a row has none; arrays if all are numbers. ``time`` is in
        seconds of what is shown.
    is_cut : bool
        Whether there are more rows, which are not here.
    time_names : tuple of str
        Columns of times in seconds.
    """

    key: str
    title: str
    n: int
    columns: Mapping[str, Column]
    is_cut: bool = False
    time_names: tuple[str, ...] = (TIME,)
    _described: list[dict[str, Any]] = field(default_factory=list, repr=False, compare=False)

    def column(self, name: str) -> Column:
        """Return a column.

        Raises
        ------
        UnknownName
            If there is none of that name.
        """
        if name not in self.columns:
            raise UnknownName.among("column", name, self.columns)
        return self.columns[name]

    def times(self, name: str) -> Stamps:
        """Return a column of times in seconds; NaN where there is no number."""
        column = self.column(name)
        if isinstance(column, np.ndarray):
            return column.astype(np.float64)
        return np.array(
            [v if isinstance(v, _NUMBER) and not isinstance(v, bool) else np.nan for v in column],
            np.float64,
        )

    def labels(self, name: str, rows: npt.NDArray[np.int64] | None = None) -> list[str]:
        """Return a column as texts, to group by; of some rows only, if these are given."""
        column = self.column(name)
        if isinstance(column, np.ndarray):
            found, places = np.unique(column if rows is None else column[rows], return_inverse=True)
            names = [label(value) for value in found.tolist()]
            return [names[place] for place in places.tolist()]
        chosen = column if rows is None else [column[row] for row in rows.tolist()]
        return [label(value) for value in chosen]

    def rows_with(self, name: str, value: str) -> npt.NDArray[np.bool_]:
        """Return which rows have a text in a column; all if the column is empty."""
        if not name:
            return np.ones(self.n, np.bool_)
        column = self.column(name)
        if isinstance(column, np.ndarray):
            wanted = _number_of(value, column.dtype.kind)
            if wanted is None:
                return np.zeros(self.n, np.bool_)
            return column == wanted if wanted == wanted else np.isnan(column)
        return np.array([label(own) == value for own in column], np.bool_)

    def describe(self) -> dict[str, Any]:
        """Return what a page needs to offer it."""
        if not self._described:
            # At once: another thread would take a part of it for all.
            self._described[:] = [self._describe(name) for name in self.columns]
        return {"key": self.key, "title": self.title, "n": self.n, "columns": self._described,
                "is_cut": self.is_cut}  # fmt: skip

    def _describe(self, name: str) -> dict[str, Any]:
        is_time = name in self.time_names
        found = Counter[str]() if is_time else _values(self.columns[name])
        values = found.most_common(_MOST_SHOWN) if len(found) <= _MOST_VALUES else []
        return {"name": name, "is_time": is_time, "n_values": len(found),
                "values": [[value, n] for value, n in values]}  # fmt: skip


def _values(column: Column) -> Counter[str]:
    """Count the values of a column; of a long one with many none."""
    if isinstance(column, np.ndarray):
        is_long = len(column) > _MOST_LOOKED
        if is_long and len(np.unique(column[:_MOST_LOOKED])) > _MOST_VALUES:
            return Counter()
        values, counts = np.unique(column, return_counts=True)
        if is_long and len(values) > _MOST_VALUES:
            return Counter()
        found = Counter[str]()
        for value, n in zip(values.tolist(), counts.tolist(), strict=True):
            found[label(value)] += n
        return found
    found = Counter()
    for at in range(0, len(column), _MOST_LOOKED):
        found.update(map(label, column[at : at + _MOST_LOOKED]))
        if len(column) > _MOST_LOOKED and len(found) > _MOST_VALUES:
            return Counter()
    return found


def _number_of(text: str, kind: str) -> Any:
    """Return the number of an array that is called so; None if there is none."""
    if kind == "b":
        return {"true": True, "false": False}.get(text)
    try:
        value = float(text) if kind == "f" else int(text)
    except ValueError:
        return None
    return value if label(value) == text else None


def label(value: Any) -> str:
    """Return a value as a group is called: no two numbers are called the same."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def table_of(line: Timeline, begin: float, span: tuple[float, float]) -> EventTable:
    """Make a table of a stream of markers; what is JSON in their texts becomes columns.

    Parameters
    ----------
    line : Timeline
        Of a stream of texts.
    begin : float
        Second 0, by the local clock.
    span : tuple of float
        First and last stamp of the recording, local clock: numbers between are times, too.
    """
    stream = line.stream
    n = min(len(stream), _MOST_ROWS)
    times = np.asarray(stream.timestamps[0:n], np.float64) - begin
    texts = [str(text) for text in stream.data[0:n]]
    columns: dict[str, list[Any]] = {TIME: times.tolist(), TEXT: texts}
    told = [_parsed(text) for text in texts]
    if any(isinstance(each, dict) for each in told):
        names: dict[str, None] = {}
        for each in told:
            if isinstance(each, dict):
                names.update(dict.fromkeys(each))
            if len(names) > _MOST_COLUMNS:
                break
        for name in list(names)[:_MOST_COLUMNS]:
            values = [each.get(name) if isinstance(each, dict) else None for each in told]
            columns[name if name not in (TIME, TEXT) else f"{name} (text)"] = values
    elif stream.info.n_channels > 1 and any(isinstance(each, list) for each in told):
        for number, name in enumerate(stream.info.channel_names[:_MOST_COLUMNS]):
            columns[f"{name}"] = [
                each[number] if isinstance(each, list) and number < len(each) else None
                for each in told
            ]
    time_names = [TIME]
    for name, values in columns.items():
        shifted = _as_times(values, begin, span) if name not in (TIME, TEXT) else None
        if shifted is not None:
            columns[name] = shifted
            time_names.append(name)
    return EventTable(
        stream.key, stream.info.name, n, columns, len(stream) > n, tuple(time_names)
    )  # fmt: skip


def nwb_tables(path: Path, zero: float) -> Iterator[EventTable]:
    """Yield the tables of an NWB file: trials and other intervals, events, spikes of units.

    Parameters
    ----------
    path : Path
        The file.
    zero : float
        What has to be added to its times to get seconds of what is shown.
    """
    import h5py

    with h5py.File(path, "r") as file:
        places = [f"intervals/{name}" for name in file.get("intervals", {})]
        for place in places:
            table = _dynamic(file[place], place, zero)
            if table is not None:
                yield table
        if "units" in file and "spike_times" in file["units"]:
            yield _units(file["units"], zero)


def _dynamic(group: Any, place: str, zero: float) -> EventTable | None:
    names = [_text(name) for name in group.attrs.get("colnames", ())]
    columns: dict[str, Column] = {}
    time_names = []
    n, is_cut = 0, False
    for name in names[:_MOST_COLUMNS]:
        data = group.get(name)
        if data is None or getattr(data, "ndim", 0) != 1 or f"{name}_index" in group:
            continue
        is_cut |= len(data) > _MOST_ROWS
        values: Column = data[:_MOST_ROWS]
        if data.dtype.kind not in "fiub":
            values = [_value(v) for v in values]
        elif name.endswith(("_time", "timestamp")) and data.dtype.kind == "f":
            values = np.asarray(values, np.float64) + zero
            time_names.append(name)
        columns[name] = values
        n = max(n, len(values))
    columns = {name: values for name, values in columns.items() if len(values) == n}
    time_names = [name for name in time_names if name in columns]
    if not time_names or not n:
        return None
    return EventTable(place, place, n, columns, is_cut, tuple(time_names))


def _units(group: Any, zero: float) -> EventTable:
    ends = np.asarray(group["spike_times_index"][:], np.int64)
    ids = np.asarray(group["id"][:]) if "id" in group else np.arange(len(ends))
    n = len(group["spike_times"])
    times, rows = _first_in_time(group["spike_times"], _MOST_NUMBERS)
    is_cut = n > len(times)
    order = np.argsort(times, kind="stable")
    times = times[order] + zero
    # The file has the spikes unit by unit: each of them ends where the next one begins.
    numbers = np.searchsorted(ends, rows[order], "right").astype(np.min_scalar_type(len(ends)))
    known = numbers < len(ids)
    columns = {TIME: times[known], "unit": ids.astype(_small(ids))[numbers[known]]}
    return EventTable("units", "units (spikes)", len(columns[TIME]), columns, is_cut)


def _first_in_time(data: Any, most: int) -> tuple[Stamps, npt.NDArray[np.int64]]:
    """Return the first stamps, at most so many, of data in any order, and their rows."""
    n = len(data)
    if n <= most:
        return np.asarray(data[:], np.float64), np.arange(n)
    blocks = range(0, n, _BLOCK)
    step = max(1, n // 100_000)
    some = np.concatenate([data[at : at + _BLOCK][::step] for at in blocks])
    # A little less than would just fit: the share is of a sample.
    until = np.nanquantile(some, 0.99 * most / n)
    times, rows = [], []
    for at in blocks:
        block = np.asarray(data[at : at + _BLOCK], np.float64)
        inside = np.flatnonzero(block <= until)
        times.append(block[inside])
        rows.append(at + inside)
    return np.concatenate(times)[:most], np.concatenate(rows)[:most]


def _small(ids: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the smallest type of integers that holds some; their own if they are none."""
    if ids.dtype.kind not in "iu" or not len(ids):
        return ids.dtype
    small = np.promote_types(np.min_scalar_type(ids.min()), np.min_scalar_type(ids.max()))
    return small if small.kind in "iu" else ids.dtype


def _parsed(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _as_times(values: Sequence[Any], begin: float, span: tuple[float, float]) -> list[Any] | None:
    """Return a column as seconds if it holds stamps of the recording's clock, else None."""
    numbers = [v for v in values if isinstance(v, float) and np.isfinite(v)]
    if len(numbers) < len(values) / 2 or not numbers:
        return None
    slack = span[1] - span[0] + 1
    middle = float(np.median(numbers))
    # Stamps of the local clock are large; a small number is more likely something else.
    if middle < 1000 or not span[0] - slack <= middle <= span[1] + slack:
        return None
    return [v - begin if isinstance(v, _NUMBER) else None for v in values]


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
