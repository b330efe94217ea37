"""What is around events, for the page: counts, rasters and averages as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.display.timeline import Timeline
from rigmesh.errors import ParameterError, UnknownName
from rigmesh.web.browse_open import OpenRecording
from rigmesh.web.browse_tables import EventTable
from rigmesh.web.psth import EventAverage, PeriEvents

__all__ = ["around_events"]

_MOST_GROUPS = 24
_MOST_DOTS = 60_000
_MOST_POINTS = 1500
_MOST_BYTES = 256 * 2**20
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
        If there is no such thing.
    ValueError
        If the window is none.
    """
    chosen = events.rows_with(asked.get("only", ""), asked.get("is", ""))
    times = events.times(asked.get("at") or events.time_names[0])
    times = np.where(chosen, times, np.nan)
    labels = _labels(events, asked.get("by", ""), np.isfinite(times))
    target = asked.get("target", "")
    if target in tables:
        return _counted(tables[target], asked, times, labels, PeriEvents(start, stop, bin_width))
    if target in found.lines and found.lines[target].stream.info.kind == "signal":
        return _averaged(found, target, asked, times, labels, start, stop)
    raise UnknownName.among("target", target, [*tables, *found.lines])


def _labels(events: EventTable, column: str, valid: npt.NDArray[np.bool_]) -> list[str] | None:
    """Return the group of each event; rare ones together, as no page has room for all."""
    if not column:
        return None
    labels = events.labels(column)
    counts: dict[str, int] = {}
    for text, is_valid in zip(labels, valid.tolist(), strict=True):
        if is_valid:
            counts[text] = counts.get(text, 0) + 1
    if len(counts) <= _MOST_GROUPS:
        return labels
    kept = set(sorted(counts, key=lambda text: -counts[text])[: _MOST_GROUPS - 1])
    return [text if text in kept else _REST for text in labels]


def _counted(
    target: EventTable,
    asked: Mapping[str, str],
    times: npt.NDArray[np.float64],
    labels: list[str] | None,
    around: PeriEvents,
) -> dict[str, Any]:
    chosen = target.rows_with(asked.get("target_only", ""), asked.get("target_is", ""))
    targets = target.times(asked.get("target_at") or target.time_names[0])
    targets = targets[chosen & np.isfinite(targets)]
    groups, n_dots = [], 0
    for group in around.count(times, targets, labels):
        raster: list[list[float]] = []
        for row in group.raster:
            if n_dots + len(row) > _MOST_DOTS:
                break
            n_dots += len(row)
            raster.append(np.round(row, 6).tolist())
        groups.append(
            {
                "label": group.label,
                "n": len(group.events),
                "counts": group.counts.tolist(),
                "rates": group.rates(around.widths).tolist(),
                "events": times[group.events].tolist(),
                "raster": raster,
            }
        )
    return {"kind": "counts", "edges": around.edges.tolist(), "groups": groups,
            "n_targets": len(targets)}  # fmt: skip


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
    most = max(1, _MOST_BYTES // (average.n * info.sample_bytes))
    valid = np.flatnonzero(np.isfinite(times))
    if len(valid) > most:
        # Evenly over the recording, not the first ones only.
        kept = valid[np.linspace(0, len(valid) - 1, most).astype(int)]
        thinned = np.full(len(times), np.nan)
        thinned[kept] = times[kept]
        times = thinned
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
        "n_events": len(valid),
        "n_used": n_used,
    }


class _Sweeps:
    """Reads samples around events; none where some are missing."""

    def __init__(self, line: Timeline, begin: float, channel: int) -> None:
        self._line = line
        self._begin = begin
        self._channel = channel
        self._period = 1 / line.stream.info.sampling_rate

    def __call__(self, event: float, first: int, n: int) -> npt.NDArray[Any] | None:
        line, time = self._line, self._begin + event
        row = line.row_at(time)
        start = row + first
        if start < 0 or start + n > len(line.stream):
            return None
        first_stamp, last_stamp = line.times(np.array([start, start + n - 1]))
        (stamp,) = line.times(np.array([min(row, len(line.stream) - 1)]))
        # Of jitter a period may be left out; more is a hole.
        is_whole = last_stamp - first_stamp < (n + 0.5) * self._period
        if not is_whole or stamp - time > 1.5 * self._period:
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
