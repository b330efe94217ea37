"""Events as tables: markers with what their texts say, and the tables of NWB files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.display.timeline import Timeline
from rigmesh.errors import UnknownName

__all__ = ["TEXT", "TIME", "EventTable", "nwb_tables", "table_of"]

Stamps = npt.NDArray[np.float64]

TIME, TEXT = "time", "text"
_MOST_ROWS = 1_000_000
_MOST_COLUMNS = 40
_MOST_SHOWN = 60
_LONGEST = 200
_NUMBER = (int, float)


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events, one a row.

    Parameters
    ----------
    key, title : str
        By which it is asked for, and what it is called.
    n : int
        Rows.
    columns : dict of str to list
        Values of JSON types; None where a row has none. ``time`` is in seconds of what is shown.
    is_cut : bool
        Whether there are more rows, which are not here.
    """

    key: str
    title: str
    n: int
    columns: dict[str, list[Any]]
    is_cut: bool = False
    time_names: tuple[str, ...] = (TIME,)
    cache: dict[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
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
        return np.array(
            [v if isinstance(v, _NUMBER) and not isinstance(v, bool) else np.nan
             for v in self.column(name)],
            np.float64,
        )  # fmt: skip

    def labels(self, name: str) -> list[str]:
        """Return a column as texts, to group by."""
        return [label(value) for value in self.column(name)]

    def rows_with(self, name: str, value: str) -> npt.NDArray[np.bool_]:
        """Return which rows have a text in a column; all if the column is empty."""
        if not name:
            return np.ones(self.n, np.bool_)
        return np.array([label(own) == value for own in self.column(name)], np.bool_)

    def describe(self) -> dict[str, Any]:
        """Return what a page needs to offer it."""
        columns = []
        for name, values in self.columns.items():
            found = Counter(label(v) for v in values) if len(values) <= 200_000 else Counter()
            columns.append(
                {
                    "name": name,
                    "is_time": name in self.time_names,
                    "n_values": len(found),
                    "values": [[value, n] for value, n in found.most_common(_MOST_SHOWN)]
                    if len(found) <= 2000
                    else [],
                }
            )
        return {"key": self.key, "title": self.title, "n": self.n, "columns": columns,
                "is_cut": self.is_cut}  # fmt: skip


def label(value: Any) -> str:
    """Return a value as a group is called."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
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
    columns: dict[str, list[Any]] = {}
    time_names = []
    n = 0
    for name in names[:_MOST_COLUMNS]:
        data = group.get(name)
        if data is None or getattr(data, "ndim", 0) != 1 or f"{name}_index" in group:
            continue
        values = [_value(v) for v in data[:_MOST_ROWS]]
        is_time = name.endswith(("_time", "timestamp")) and data.dtype.kind == "f"
        if is_time:
            values = [v + zero for v in values]
            time_names.append(name)
        columns[name] = values
        n = max(n, len(values))
    columns = {name: values for name, values in columns.items() if len(values) == n}
    if not time_names or not n:
        return None
    return EventTable(place, place, n, columns, False, tuple(time_names))


def _units(group: Any, zero: float) -> EventTable:
    times = np.asarray(group["spike_times"][:_MOST_ROWS], np.float64) + zero
    ends = np.asarray(group["spike_times_index"][:], np.int64)
    ids = np.asarray(group["id"][:]) if "id" in group else np.arange(len(ends))
    counts = np.diff(ends, prepend=0)
    units = np.repeat(ids, counts)[: len(times)]
    order = np.argsort(times, kind="stable")
    columns = {TIME: times[order].tolist(), "unit": units[order].tolist()}
    is_cut = len(group["spike_times"]) > len(times)
    return EventTable("units", "units (spikes)", len(times), columns, is_cut)


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
