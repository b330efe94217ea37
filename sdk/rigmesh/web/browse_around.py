"""What is around events, for the page: counts, rasters and averages as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.display.timeline import Timeline
from rigmesh.errors import ParameterError, UnknownName
from rigmesh.web.browse_open import OpenRecording
from rigmesh.web.browse_tables import EventTable
from rigmesh.web.psth import EventAverage, Group, PeriEvents

__all__ = ["around_events"]

_MOST_GROUPS = 24
_MOST_EVENTS = 1_000_000
_MOST_DOTS, _MOST_RASTER_ROWS = 60_000, 4000
_MOST_SWEEPS = 20_000
_MOST_POINTS = 1500
_MOST_BYTES = 256 * 2**20
_LEAST_SAMPLE_BYTES = 128
"""What a sample takes while it is averaged, if it has few channels."""
_WORST_CLOCK = 2e-4
"""How far a device's clock may be from its nominal rate; quartz is off by less."""
_REST = "(others)"


def around_events(
    found: OpenRecording,
    tables: Mapping[str, EventTable],
    events: EventTable,
    asked: Mapping[str, str],
    start: float,
    stop: float,
    bin_width: float,
) -> dict[str, Any]:
    """Return what is around events, by group.

    Parameters
    ----------
    found : OpenRecording
        The recording.
    tables : mapping of str to EventTable
        Its events.
    events : EventTable
        Those that something is around of.
    asked : mapping of str to str
        ``at``: the column with their times; ``by``: that of their groups, if any;
        ``only`` and ``is``: a column, and the value that it must have; ``target``: a table or a
        signal; of a table ``target_at``, ``target_only`` and ``target_is`` likewise; of a signal
        ``channel``, its number.
    start, stop, bin_width : float
        In seconds.

    Raises
    ------
    ParameterError, UnknownName
        If there is no such thing, or it would take more memory than one page may have.
    ValueError
        If the window is none.
    """
    times = events.times(asked.get("at") or events.time_names[0])
    chosen = events.rows_with(asked.get("only", ""), asked.get("is", ""))
    rows = np.flatnonzero(chosen & np.isfinite(times))
    if len(rows) > _MOST_EVENTS:
        raise ParameterError(
            f"{events.title} has {len(rows):,} events; something is shown around {_MOST_EVENTS:,} "
            "at most. Choose some with 'only where', or show these around others"
        )
    times = times[rows]
    labels = _labels(events, asked.get("by", ""), rows)
    target = asked.get("target", "")
    if target in tables:
        return _counted(tables[target], asked, times, labels, PeriEvents(start, stop, bin_width))
    if target in found.lines and found.lines[target].stream.info.kind == "signal":
        return _averaged(found, target, asked, times, labels, start, stop)
    raise UnknownName.among("target", target, [*tables, *found.lines])


def _labels(events: EventTable, column: str, rows: npt.NDArray[np.int64]) -> list[str] | None:
    """Return the group of each event; rare ones together, as no page has room for all."""
    if not column:
        return None
    labels = events.labels(column, rows)
    counts = Counter(labels)
    if len(counts) <= _MOST_GROUPS:
        return labels
    kept = {text for text, _ in counts.most_common(_MOST_GROUPS - 1)}
    return [text if text in kept else _REST for text in labels]


def _counted(
    target: EventTable,
    asked: Mapping[str, str],
    times: npt.NDArray[np.float64],
    labels: list[str] | None,
    around: PeriEvents,
) -> dict[str, Any]:
    targets = target.times(asked.get("target_at") or target.time_names[0])
    chosen = target.rows_with(asked.get("target_only", ""), asked.get("target_is", ""))
    targets = targets[chosen & np.isfinite(targets)]
    found = around.count(times, targets, labels)
    shown = _shown(found)
    groups = [
        {
            "label": group.label,
            "n": len(group.events),
            "counts": group.counts.tolist(),
            "rates": group.rates(around.widths).tolist(),
            "events": times[group.events[:n]].tolist(),
            "raster": [np.round(row, 6).tolist() for row in group.raster[:n]],
        }
        for group, n in zip(found, shown, strict=True)
    ]
    return {"kind": "counts", "edges": around.edges.tolist(), "groups": groups,
            "n_targets": len(targets), "n_shown": sum(shown)}  # fmt: skip


def _shown(groups: Sequence[Group]) -> list[int]:
    """Return of how many events of each group, the first ones, the raster has room for."""
    n_rows = _shares([len(group.raster) for group in groups], _MOST_RASTER_ROWS)
    ends = [
        np.cumsum([len(row) for row in group.raster[:n]], dtype=np.int64)
        for group, n in zip(groups, n_rows, strict=True)
    ]
    n_dots = _shares([int(each[-1]) if len(each) else 0 for each in ends], _MOST_DOTS)
    return [int(np.searchsorted(each, n, "right")) for each, n in zip(ends, n_dots, strict=True)]


def _shares(wanted: Sequence[int], most: int) -> list[int]:
    """Divide room: who wants little gets all of it, the others get the same each."""
    shares = [0] * len(wanted)
    left = most
    for n_before, number in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[number] = min(wanted[number], left // (len(wanted) - n_before))
        left -= shares[number]
    return shares


def _averaged(
    found: OpenRecording,
    key: str,
    asked: Mapping[str, str],
    times: npt.NDArray[np.float64],
    labels: list[str] | None,
    start: float,
    stop: float,
) -> dict[str, Any]:
    line = found.line(key)
    info = line.stream.info
    if not info.is_regular:
        raise ParameterError(f"{info.name} has no sampling rate; there is no average of it")
    channel = asked.get("channel", "0")
    if not channel.isdecimal() or int(channel) >= info.n_channels:
        raise ParameterError(f"{info.name} has {info.n_channels} channels, and none {channel!r}")
    average = EventAverage(start, stop, info.sampling_rate)
    sample_bytes = max(info.sample_bytes, _LEAST_SAMPLE_BYTES)
    if average.n * sample_bytes > _MOST_BYTES:
        longest = _MOST_BYTES / sample_bytes / info.sampling_rate
        raise ParameterError(
            f"{stop - start:g} s around each event are too much of {info.name}, which can be "
            f"averaged over {longest:.3g} s at most; take a shorter window"
        )
    n_events, most = len(times), min(_MOST_SWEEPS, _MOST_BYTES // (average.n * sample_bytes))
    if n_events > most:
        # Evenly over the recording, not the first ones only.
        kept = np.linspace(0, n_events - 1, most).astype(int)
        times = times[kept]
        labels = None if labels is None else [labels[number] for number in kept.tolist()]
    sweeps = _Sweeps(line, found.begin, int(channel))
    groups, n_used = [], 0
    step = max(1, -(-average.n // _MOST_POINTS))
    for group in average.average(times, sweeps, labels):
        n_used += group.n
        if group.n:
            mean, error = _thin(group.mean[:, 0], step), _thin(group.error[:, 0], step)
            groups.append(
                {
                    "label": group.label,
                    "n": group.n,
                    "mean": _listed(mean),
                    "error": error.tolist() if np.isfinite(error).all() else None,
                }
            )
    return {
        "kind": "average",
        "times": _thin(average.times, step).tolist(),
        "unit": info.channels[int(channel)].unit if info.channels else "",
        "groups": groups,
        "step": step,
        "n_events": n_events,
        "n_used": n_used,
    }


class _Sweeps:
    """Reads samples around events; none where some are missing."""

    def __init__(self, line: Timeline, begin: float, channel: int) -> None:
        self._line = line
        self._begin = begin
        self._channel = channel
        self._period = 1 / line.stream.info.sampling_rate
        holes = list(line.holes(-np.inf, np.inf))
        self._holes = np.array([(hole.start, hole.stop) for hole in holes]).reshape(-1, 2)

    def __call__(self, event: float, first: int, n: int) -> npt.NDArray[Any] | None:
        line, time = self._line, self._begin + event
        row = line.row_at(time)
        start = row + first
        if start < 0 or start + n > len(line.stream):
            return None
        first_stamp, last_stamp = line.times(np.array([start, start + n - 1]))
        (stamp,) = line.times(np.array([min(row, len(line.stream) - 1)]))
        begin = time + first * self._period
        end = begin + (n - 1) * self._period
        # What is left out is known, or seen where stamps are not when they should be: by more than
        # jitter, and what a device's clock is wrong.
        slack = 1.5 * self._period + _WORST_CLOCK * (abs(first) + n) * self._period
        late = max(abs(first_stamp - begin), abs(last_stamp - end))
        low, high = min(time, begin) + self._period / 2, max(time, end) - self._period / 2
        is_open = ((self._holes[:, 0] < high) & (self._holes[:, 1] > low)).any()
        if is_open or late > slack or stamp - time > 1.5 * self._period:
            return None
        samples: npt.NDArray[Any] = line.stream.data[start : start + n][:, [self._channel]]
        return samples


def _listed(values: npt.NDArray[np.float64]) -> list[float | None]:
    """Return numbers as JSON has them: a signal may be NaN."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _thin(values: npt.NDArray[np.float64], step: int) -> npt.NDArray[np.float64]:
    """Return means of each `step` values."""
    if step == 1:
        return values
    whole = len(values) // step * step
    thinned: npt.NDArray[np.float64] = values[:whole].reshape(-1, step).mean(1)
    return thinned
