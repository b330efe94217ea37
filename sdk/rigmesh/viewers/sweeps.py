"""The sweeps that a triggered oscilloscope shows, taken in the feeds' threads."""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RigmeshError
from rigmesh.streams import Chunk, StreamInfo
from rigmesh_nodes._sweeps import MovingAverage, RunningAverage, Sweep, SweepCutter
from rigmesh_nodes.channels import channel_index, channel_indices
from rigmesh_nodes.events import Crossings

__all__ = ["EventSink", "Shown", "SignalSink", "TriggeredSweeps", "extremes", "spread"]

Array = npt.NDArray[Any]

_MOST_CHANNELS = 32
_MOST_BYTES = 256 * 2**20
_MOST_POINTS = 4096
_PATIENCE = 2.0
_REBUILD = {"before", "after", "channels", "trigger", "select", "channel"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is drawn; of long sweeps least and greatest values, in turn.

    Attributes
    ----------
    version : int
        Of the sweeps; grows with each change.
    names : list of str
        Of the channels.
    unit : str
        Of the first channel.
    times : ndarray, shape (n_samples,)
        From the trigger on, in seconds.
    sweeps : ndarray, shape (n_sweeps, n_samples, n_channels)
        In the order of time; without their baselines.
    mean, upper, lower : ndarray, shape (n_samples, n_channels)
        Over the sweeps, and one standard deviation from it; NaN where there are too few.
    n_total : int
        Sweeps taken since the last reset.
    """

    version: int
    names: list[str]
    unit: str
    times: Array
    sweeps: Array
    mean: Array
    upper: Array
    lower: Array
    n_total: int


class TriggeredSweeps:
    """Keeps the last sweeps of a signal around its triggers.

    Parameters
    ----------
    settings : viewers.TriggeredOscilloscope
        Its parameters.

    Attributes
    ----------
    version : int
        Grows with each change of what is kept.
    n_total : int
        Sweeps taken since the last reset.
    is_taking : bool
        Whether triggers count.
    info : StreamInfo or None
        The signal, once known.
    problem : str
        Why there can be no sweeps; empty if there can.
    """

    def __init__(self, settings: Any) -> None:
        self.version = self.n_total = 0
        self.is_taking = True
        self.info: StreamInfo | None = None
        self.problem = ""
        self._settings = settings
        self._lock = threading.RLock()
        self._cutter: SweepCutter | None = None
        self._kept: MovingAverage | None = None
        self._columns: list[int] = []
        self._pattern: re.Pattern[str] | None = None
        self._crossings: Crossings | None = None
        self._column = 0
        self._epoch: int | None = None
        self._last_crossing = -math.inf

    # --- the window's side -------------------------------------------------------------------

    def apply(self, names: set[str]) -> None:
        """Take over parameters; those that make other sweeps begin anew."""
        with self._lock:
            if names & _REBUILD:
                self._build()
            elif "n_sweeps" in names and self._kept is not None:
                old, self._kept = self._kept, self._empty(self._kept.shape, self.info)
                for time, sweep in zip(old.times, old.sweeps, strict=True):
                    self._kept.add(time, sweep)
            if self._crossings is not None:
                self._tune(self._crossings)
            self.version += 1

    def reset(self) -> None:
        """Forget the sweeps and the count."""
        with self._lock:
            self.n_total = 0
            if self._kept is not None:
                self._kept = self._empty(self._kept.shape, self.info)
            if self._cutter is not None:
                self._cutter.forget_events()
                self._cutter.n_late = self._cutter.n_incomplete = self._cutter.n_dropped = 0
            self.version += 1

    def take_triggers(self, is_taking: bool) -> None:
        """Let triggers count from now on, or not."""
        with self._lock:
            self.is_taking = is_taking
            if self._cutter is not None and not is_taking:
                self._cutter.forget_events()

    def forget_signal(self) -> None:
        """Learn that no signal is linked."""
        with self._lock:
            self.info = None
            self._build()

    @property
    def n_missed(self) -> int:
        """Triggers whose samples are missing, or were not kept long enough."""
        cutter = self._cutter
        return 0 if cutter is None else cutter.n_late + cutter.n_incomplete + cutter.n_dropped

    def shown(self) -> Shown | None:
        """Return what is to be drawn; None before the signal is known."""
        with self._lock:
            info, cutter, kept = self.info, self._cutter, self._kept
            if info is None or cutter is None or kept is None:
                return None
            version, n_total, columns = self.version, self.n_total, list(self._columns)
            sweeps = kept.sweeps  # arrays that nobody changes
            n_before, n_rows = cutter.n_before, cutter.n_rows
        average = RunningAverage((n_rows, len(columns)))
        n_bins = _MOST_POINTS // 2
        drawn = []
        with np.errstate(over="ignore", invalid="ignore"):
            for sweep in sweeps:
                values = sweep.astype(np.float64)
                if self._settings.baseline:
                    values -= values[: n_before or n_rows].mean(axis=0)
                average.add(values)
                drawn.append(extremes(values, n_bins).astype(np.float32))
            mean, deviation = average.mean, np.sqrt(average.variance)
        return Shown(
            version=version,
            names=[info.channel_names[column] for column in columns],
            unit=info.channels[columns[0]].unit if info.channels else "",
            times=spread((np.arange(n_rows) - n_before) / info.sampling_rate, n_bins),
            sweeps=np.stack(drawn) if drawn else np.empty((0, 1, len(columns)), np.float32),
            mean=extremes(mean, n_bins),
            upper=extremes(mean + deviation, n_bins),
            lower=extremes(mean - deviation, n_bins),
            n_total=n_total,
        )

    # --- the feeds' side ---------------------------------------------------------------------

    def describe_signal(self, info: StreamInfo) -> None:
        """Learn of the signal; another format begins anew."""
        with self._lock:
            is_same = self.info is not None and self.info.same_format(info)
            self.info = info
            if not is_same:
                self._build()

    def take_signal(self, chunk: Chunk) -> None:
        """Take samples; a channel that triggers is looked at."""
        with self._lock:
            cutter = self._cutter
            if cutter is None or not len(chunk):
                return
            if chunk.gaps or chunk.epoch != self._epoch:
                cutter.skip()
                self._epoch = chunk.epoch
            times = chunk.timestamps
            self._keep(cutter.take(chunk.data[:, self._columns], times))
            if self._crossings is None:
                return
            for crossing in self._crossings.find(chunk.data[:, self._column]):
                time = float(times[crossing.at])
                if abs(time - self._last_crossing) >= self._settings.refractory:
                    self._last_crossing = time
                    self._add(cutter, time)

    def take_events(self, chunk: Chunk) -> None:
        """Take events."""
        with self._lock:
            cutter, pattern = self._cutter, self._pattern
            if cutter is None or self._settings.trigger != "events":
                return
            for time, text in zip(chunk.timestamps.tolist(), chunk.data, strict=True):
                if pattern is None or pattern.fullmatch(text):
                    self._add(cutter, time)

    def _add(self, cutter: SweepCutter, time: float) -> None:
        if self.is_taking and math.isfinite(time):
            self._keep(cutter.add(time, ""))

    def _keep(self, sweeps: list[Sweep]) -> None:
        if self._kept is None:
            return
        for sweep in sweeps:
            self._kept.add(sweep.time, sweep.data)
            self.n_total += 1
            self.version += 1

    def _build(self) -> None:
        """Begin anew."""
        info, settings = self.info, self._settings
        self._cutter = self._kept = self._crossings = self._epoch = None
        self._last_crossing = -math.inf
        self.n_total = 0
        self.problem = ""
        self.version += 1
        if info is None:
            return
        if not info.is_regular:
            self.problem = f"{info.name} has no regular rate, so there are no sweeps of it"
            return
        try:
            self._columns = channel_indices(info, settings.channels or [f"0:{_MOST_CHANNELS}"])
            self._column = channel_index(info, settings.channel)
        except RigmeshError as error:
            self.problem = str(error)
            return
        self._pattern = re.compile(settings.select) if settings.select else None
        self._cutter = SweepCutter(
            len(self._columns), info.dtype, info.sampling_rate,
            before=settings.before, after=settings.after, patience=_PATIENCE,
        )  # fmt: skip
        self._kept = self._empty((self._cutter.n_rows, len(self._columns)), info)
        if settings.trigger == "channel":
            self._crossings = Crossings(settings.level, settings.direction)
            self._tune(self._crossings)

    def _empty(self, shape: tuple[int, ...], info: StreamInfo | None) -> MovingAverage:
        size = np.dtype(info.dtype if info is not None else float).itemsize * math.prod(shape)
        return MovingAverage(shape, max(1, min(self._settings.n_sweeps, _MOST_BYTES // size)))

    def _tune(self, crossings: Crossings) -> None:
        settings = self._settings
        crossings.level, crossings.direction = settings.level, settings.direction
        crossings.hysteresis = settings.hysteresis


class SignalSink:
    """Hands a signal to the sweeps."""

    def __init__(self, sweeps: TriggeredSweeps) -> None:
        self.describe = sweeps.describe_signal
        self.take = sweeps.take_signal


class EventSink:
    """Hands events to the sweeps."""

    def __init__(self, sweeps: TriggeredSweeps) -> None:
        self.take = sweeps.take_events

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows: all events are alike."""


def extremes(values: Array, n_bins: int) -> Array:
    """Return least and greatest values over bins of the first axis, in turn.

    Where that would not be fewer values, they are returned as they are.
    """
    if len(values) <= 2 * n_bins:
        return values
    edges = _edges(len(values), n_bins)
    both = np.empty((2 * n_bins, *values.shape[1:]), values.dtype)
    both[::2] = np.minimum.reduceat(values, edges, axis=0)
    both[1::2] = np.maximum.reduceat(values, edges, axis=0)
    return both


def spread(places: Array, n_bins: int) -> Array:
    """Return where the values are that `extremes` gives."""
    n = len(places)
    return places if n <= 2 * n_bins else np.repeat(places[_edges(n, n_bins)], 2)


def _edges(n: int, n_bins: int) -> Array:
    return (np.arange(n_bins) * n) // n_bins
