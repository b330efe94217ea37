"""Averages of signals around events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeInt, PositiveInt

from rigmesh.errors import ParameterError, PortMismatch
from rigmesh.node import Input, Node, Output, Seconds, command, param, state
from rigmesh.streams import Frames, Markers, Signal, StreamInfo
from rigmesh_nodes._detect_levels import Columns
from rigmesh_nodes._sweeps import MovingAverage, RunningAverage, Sweep, SweepCutter
from rigmesh_nodes.channels import channel_indices

__all__ = ["TriggerAverage"]

Array = npt.NDArray[Any]

_ALL = "all"
_MOST_TEXTS = 1024
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Conditions:
    """Says which condition an event belongs to, by its text."""

    def __init__(self, select: Mapping[str, str]) -> None:
        self.names = list(select) or [_ALL]
        self._patterns = [(name, re.compile(pattern)) for name, pattern in select.items()]
        self._known: dict[str, str | None] = {}

    def __call__(self, text: str) -> str | None:
        """Return the name of the condition; None for none."""
        if not self._patterns:
            return _ALL
        known = self._known
        if text not in known:
            if len(known) >= _MOST_TEXTS:  # texts that tell values never end
                known.clear()
            known[text] = next((n for n, p in self._patterns if p.fullmatch(text)), None)
        return known[text]


class TriggerAverage(Node):
    """Cuts sweeps out of a signal around events, and gives their running mean and variance.

    A sweep has the samples from `before` its event to `after` it, both ends included, around the
    sample whose stamp is nearest to that of the event, both on the local clock: it is off by half a
    sample at most. Sweeps may overlap. Events may come before their samples or, by up to
    `patience`, after the end of their sweeps, in any order: the averages are the same. Sweeps with
    missing samples are left out, and so are those with values that are not finite.

    A sweep is one frame of the shape (n_samples, n_channels), with the stamp of its event: so it
    stays in one piece wherever it goes, and a reader that misses one knows. `condition` has a
    marker for each. `mean` and `variance` are frames, too, those of the conditions one below the
    other in the order of `select`: the newest frame says everything. All are ``float64``; what has
    no value yet is NaN. Channels and times are in the description of the streams. The variance is
    the unbiased one, computed after B. P. Welford (Technometrics 4, 419-420, 1962).

    The averages go on over a new epoch of an input; other channels, or another rate, begin anew.
    """

    signal = Input(Signal)
    events = Input(Markers)
    sweep = Output(Frames)
    condition = Output(Markers)
    mean = Output(Frames)
    variance = Output(Frames)

    before: Seconds = param(default=0.2, ge=0, doc="Where sweeps begin, before the event.")
    after: Seconds = param(default=0.8, ge=0, doc="Where sweeps end, after the event.")
    channels: list[int | str] = param(
        default=[],
        doc="Labels, indices from 0, and slices of the channels; none for all.",
        examples=[["Cz", 3, "8:16"]],
    )
    select: dict[str, str] = param(
        default={},
        doc="Conditions by name, each with a regular expression that the whole text of its events "
        "matches; an event belongs to the first that fits. None: all events are of one condition, "
        '"all".',
        examples=[{"standard": "S  1", "deviant": r"S +[23]"}],
    )
    baseline: list[Seconds] = param(
        default=[],
        doc="From when to when the mean of each channel is taken that is subtracted from a sweep; "
        "the event is at 0. None: nothing is subtracted.",
        examples=[[-0.2, 0.0]],
    )
    reject_above: float = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Distance from 0 (after the baseline), in the unit of the signal, beyond which a value "
        "of any channel rejects a sweep; 0: none does.",
    )
    reject_range: float = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Range of any channel within a sweep that rejects it if it is larger; 0: none does.",
    )
    last: NonNegativeInt = param(
        default=0,
        le=10_000,
        doc="How many sweeps of each condition are averaged: the last by the time of the event. 0: "
        "all of them. They are kept, and summed up anew for every average.",
    )
    every: PositiveInt = param(
        default=1, live=True, doc="Mean and variance are given after every so many sweeps."
    )
    patience: Seconds = param(
        default=2.0, ge=0, le=600, doc="How long after the end of its sweep an event can come."
    )

    n_sweeps: int = state(default=0, doc="Sweeps given.")
    n_averaged: list[int] = state(default=[], doc="Sweeps in each mean, in the order of `select`.")
    n_rejected: int = state(default=0, doc="Sweeps rejected because of their amplitude.")
    n_incomplete: int = state(default=0, doc="Sweeps left out because samples are missing.")
    n_not_finite: int = state(
        default=0, doc="Sweeps left out because of values, and events because of stamps, that are "
        "not finite.",
    )  # fmt: skip
    n_late: int = state(default=0, doc="Events that are older than what is kept of the signal.")
    n_dropped: int = state(default=0, doc="Events that were too many to wait.")
    n_waiting: int = state(default=0, doc="Events that wait for their samples.")

    _cutter: SweepCutter | None = None
    _epoch: int | None = None
    _for: tuple[Any, ...] = ()

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values; patterns that are none change nothing."""
        new = {**self.parameters, **values}
        try:
            conditions = _Conditions(new["select"])
        except re.error as error:
            raise ParameterError(f"{self.name}.select: {error}; found {new['select']!r}") from error
        baseline = new["baseline"]
        if baseline and not (
            len(baseline) == 2 and -new["before"] <= baseline[0] <= baseline[1] <= new["after"]
        ):
            raise ParameterError(
                f"{self.name}.baseline is [from, to] within {-new['before']:g} s and "
                f"{new['after']:g} s; found {baseline}"
            )
        self._conditions = conditions
        super().set_parameters(values)

    def prepare(self) -> None:
        """Begin, unless the signal and what is to be averaged are the same as before."""
        info = self.signal.info
        if not info.is_regular:
            raise PortMismatch(
                f"{self.name}.signal takes a regular signal; {info.name} is irregular"
            )
        live = type(self).declared().is_live
        fixed = {name: value for name, value in self.parameters.items() if not live(name)}
        format_ = info.dtype, info.channel_names, info.sampling_rate
        if self._cutter is None or self._for != (format_, fixed):
            self._for = (format_, fixed)
            self._cutter = self._begin(info)
        self._announce(info, self._cutter)

    def process_signal(self, chunk: Signal) -> None:
        """Cut out the sweeps that end here."""
        cutter = self._ready()
        if chunk.gaps or chunk.epoch != self._epoch:
            cutter.skip()
            self._epoch = chunk.epoch
        self._give(cutter.take(self._columns(chunk.data), chunk.timestamps))

    def process_events(self, chunk: Markers) -> None:
        """Take events; cut out the sweeps of those whose samples are there."""
        cutter = self._ready()
        for time, text in zip(chunk.timestamps.tolist(), chunk.data, strict=True):
            name = self._conditions(text)
            if name is None:
                continue
            if not np.isfinite(time):
                self.n_not_finite += 1
                continue
            self._give(cutter.add(time, name))

    @command
    def reset(self) -> None:
        """Forget the averages, the counts, and the events whose sweeps are not complete."""
        if self._cutter is not None:
            self._cutter.forget_events()
            self._cutter.n_late = self._cutter.n_incomplete = self._cutter.n_dropped = 0
            self._forget(self._shape)

    def close(self) -> None:
        """Forget what was seen."""
        self._cutter = None

    def _ready(self) -> SweepCutter:
        if self._cutter is None:
            raise PortMismatch(f"{self.name} has no signal yet")
        return self._cutter

    def _begin(self, info: StreamInfo) -> SweepCutter:
        columns = channel_indices(info, self.channels or ["0:"])
        self._columns = Columns(columns, info.n_channels)
        self._labels = [info.channel_names[column] for column in columns]
        cutter = SweepCutter(
            len(columns), info.dtype, info.sampling_rate,
            before=self.before, after=self.after, patience=self.patience,
        )  # fmt: skip
        self._baseline: slice | None = None
        if self.baseline:
            first, last = (
                min(cutter.n_before + round(time * info.sampling_rate), cutter.n_rows - 1)
                for time in self.baseline
            )
            self._baseline = slice(max(first, 0), last + 1)
        self._shape = cutter.n_rows, len(columns)
        self._epoch = None
        self._forget(self._shape)
        return cutter

    def _forget(self, shape: tuple[int, int]) -> None:
        type(self).states().reset(self, own_only=True)
        self.n_averaged = [0] * len(self._conditions.names)
        self._averages: dict[str, RunningAverage | MovingAverage] = {
            name: MovingAverage(shape, self.last) if self.last else RunningAverage(shape)
            for name in self._conditions.names
        }

    def _announce(self, info: StreamInfo, cutter: SweepCutter) -> None:
        n_rows, n_channels = self._shape
        names = self._conditions.names
        first = -cutter.n_before / info.sampling_rate
        description = _description(self._labels, names, first, info.sampling_rate)
        for output, n in ((self.sweep, 1), (self.mean, len(names)), (self.variance, len(names))):
            described = StreamInfo.frames(
                output.name, shape=(n * n_rows, n_channels), sampling_rate=0, dtype="float64",
                stype="Sweeps",
            )  # fmt: skip
            output.announce(replace(described, description=description))
        self.condition.announce(StreamInfo.markers("condition"))

    def _give(self, sweeps: list[Sweep]) -> None:
        for sweep in sweeps:
            data = self._accepted(sweep)
            if data is not None:
                self._average(sweep.time, sweep.label, data)
        cutter = self._ready()
        self.n_late, self.n_incomplete = cutter.n_late, cutter.n_incomplete
        self.n_dropped, self.n_waiting = cutter.n_dropped, cutter.n_waiting

    def _accepted(self, sweep: Sweep) -> Array | None:
        data = sweep.data.astype(np.float64)
        lows, highs = data.min(axis=0), data.max(axis=0)
        # Their difference is finite only if all values are: NaN and infinity stay in extremes.
        with np.errstate(invalid="ignore"):
            ranges = highs - lows
        if not np.isfinite(ranges).all():
            self.n_not_finite += 1
            return None
        if self._baseline is not None:
            levels = data[self._baseline].mean(axis=0)
            data -= levels
            lows, highs = lows - levels, highs - levels
        if (self.reject_range and (ranges > self.reject_range).any()) or (
            self.reject_above and (np.maximum(-lows, highs) > self.reject_above).any()
        ):
            self.n_rejected += 1
            return None
        return data

    def _average(self, time: float, name: str, data: Array) -> None:
        self.n_sweeps += 1
        average = self._averages[name]
        if isinstance(average, RunningAverage):
            average.add(data)
        else:
            average.add(time, data)
        self.n_averaged = [each.n for each in self._averages.values()]
        stamps = np.array([time])
        self.condition.send(Markers([name], stamps))
        self.sweep.send(Frames(data[None], stamps))
        if self.n_sweeps % self.every:
            return
        averages = [
            each if isinstance(each, RunningAverage) else each.average()
            for each in self._averages.values()
        ]
        self.mean.send(Frames(np.concatenate([each.mean for each in averages])[None], stamps))
        variances = np.concatenate([each.variance for each in averages])
        self.variance.send(Frames(variances[None], stamps))


def _description(labels: list[str], names: list[str], first: float, rate: float) -> str:
    """Say as LSL says it what the columns and rows of the frames are."""
    labels, names = ([_NO_XML.sub("\ufffd", text) for text in texts] for texts in (labels, names))
    desc = ET.Element("desc")
    channels = ET.SubElement(desc, "channels")
    for label in labels:
        ET.SubElement(ET.SubElement(channels, "channel"), "label").text = label
    sweeps = ET.SubElement(desc, "sweeps")
    ET.SubElement(sweeps, "first_sample").text = f"{first!r}"
    ET.SubElement(sweeps, "sampling_rate").text = f"{rate!r}"
    for name in names:
        ET.SubElement(sweeps, "condition").text = name
    return ET.tostring(desc, encoding="unicode")
