"""Detectors: from signals of many channels, or of a rhythm, to events as they happen."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np

from rigmesh.errors import ParameterError
from rigmesh.node import Hz, Milliseconds, Output, Seconds, Unit, param, state
from rigmesh.streams import Markers, Signal
from rigmesh_nodes._detect_levels import Columns, Direction, LevelCrossings, grouped_columns
from rigmesh_nodes._detect_node import Detector
from rigmesh_nodes._detect_peaks import PeakFinder
from rigmesh_nodes._detect_phase import PhaseFinder
from rigmesh_nodes._detect_ripples import Measure, RippleFinder, envelope_of
from rigmesh_nodes._detect_texts import CrossingTexts, fill
from rigmesh_nodes.channels import channel_index

__all__ = ["LevelCrossing", "PeakDetector", "PhaseTrigger", "RippleDetector"]

Degrees = Annotated[float, Unit("deg")]


class LevelCrossing(Detector):
    """A marker whenever any of many channels crosses a level; made for a thousand of them.

    A channel has crossed once it has been across the level for `n_across` samples in a row; the
    last of them stamps the marker. A rising crossing leads from below the level to it or above, a
    falling one from there to below. What begins across the level is no crossing, nor is what
    follows a change of the level or missing samples: the first sample then only says on which side
    a channel is. Values that are not finite are counted and passed over.

    Its sibling ``events.Threshold`` looks at one channel, has a hysteresis, and tells a crossing
    that missing samples hide late.
    """

    channels: list[int | str] = param(
        default=[],
        doc="Labels, indices from 0 (negative: from the end), and slices as texts; none: all. Of "
        "several groups, those of each group.",
        examples=[["Cz"], [0, "8:16"]],
    )
    level: float = param(default=0.0, live=True, doc="Level, in the unit of the channels.")
    direction: Direction = param(
        default="rising", live=True, doc="Crossings that count: rising, falling or both."
    )
    n_across: int = param(
        default=1,
        ge=1,
        live=True,
        doc="Samples in a row across the level that make a crossing; as many lead back.",
    )
    refractory: Seconds = param(
        default=0.0, ge=0, live=True, doc="Least time between two markers of a channel."
    )
    groups: int = param(default=1, ge=1, doc="The channels are divided evenly into so many groups.")
    text: str = param(
        default="{channel}",
        live=True,
        doc="Text of the markers. {channel} stands for the label, {group} for the group's number "
        "from 1, {direction} for the direction, {value} for the sample that makes the crossing, "
        "{time} for its raw stamp in seconds, {index} for its index in the epoch.",
        examples=["spike on {channel}", "{group}"],
    )

    n_crossings: int = state(default=0, doc="Markers given.")

    def prepare(self) -> None:
        """Find the channels; know nothing of the past."""
        info = self.signal.info
        self._group_width(self.groups)
        columns, self._names = grouped_columns(info, self.channels, self.groups)
        self._select = select = Columns(columns, info.n_channels)
        finder = LevelCrossings(len(columns), info.dtype, is_contiguous=select.is_contiguous)
        self._begin(finder)

    def process(self, chunk: Signal) -> Markers | None:
        """Look for crossings."""
        finder: LevelCrossings = self._finder
        if chunk.gaps:
            finder.reset()
        data = self._select(chunk.data)
        stamps = chunk.raw_timestamps
        crossings = finder.find(data, stamps)
        self.n_not_finite = finder.n_not_finite
        if not len(crossings):
            return None
        found = crossings.tolist()
        self.n_crossings += len(found)
        texts = self._texts(found, data, stamps, chunk.index)
        row = found[0][0]
        times = stamps[row : row + 1] if len(found) == 1 else stamps[crossings[:, 0]]
        return Markers(texts, times, clock=chunk.clock)

    def _tune(self) -> None:
        self._finder.set(
            self.level, self.direction, n_across=self.n_across, refractory=self.refractory
        )
        self._texts = CrossingTexts(self.text, self._names)


class RippleDetector(Detector):
    """A marker as soon as a band-passed signal bursts out of its background.

    Put a ``filters.BandPass`` from 150 to 250 Hz before it for the ripples of the hippocampus. The
    envelope is the smoothed mean over the channels; its mean and mean absolute deviation (MAD) are
    averages that forget exponentially, and a marker comes when it crosses mean + k × MAD. As in
    Falcon (Ciliberti and Kloosterman, J. Neural Eng. 14, 045004, 2017), both stand still during the
    lock-out, so that ripples do not raise the threshold; what stays above it after the lock-out is
    taken for background by and by.

    With groups, each group of channels is looked at by itself. Values that are not finite are
    counted and left out of the mean over channels; where all are, the detector waits. Missing
    samples are followed by a lock-out, since filters ring on them; the averages stay.
    """

    envelope = Output(Signal)

    k: float = param(
        default=7.0,
        gt=0,
        live=True,
        doc="Mean absolute deviations above the mean at which the threshold is; of one channel "
        "6.5 finds more.",
    )
    lock_out: Milliseconds = param(
        default=100.0,
        ge=0,
        live=True,
        doc="Time after a marker in which there is no other and the threshold stands still.",
    )
    minimum_duration: Milliseconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Time above the threshold that makes a ripple; the marker comes at its end.",
    )
    adapt: bool = param(
        default=True, live=True, doc="Whether the threshold follows the signal, or is frozen."
    )
    measure: Measure = param(
        default="rms",
        doc="The envelope: rms (root of the mean square), power (mean square) or amplitude (mean "
        "of the absolute values).",
    )
    smoothing: Milliseconds = param(
        default=12.0, ge=0, doc="Time constant of the envelope; 0: not smoothed."
    )
    time_constant: Seconds = param(
        default=10.0, gt=0, doc="Time constant with which mean and deviation forget."
    )
    burn_in: Seconds = param(
        default=2.0, ge=0, doc="Time in which nothing is found at first and after a reset."
    )
    groups: int = param(
        default=1,
        ge=1,
        doc="The channels are divided evenly into so many groups, each looked at by itself.",
    )
    text: str = param(
        default="ripple {group}",
        live=True,
        doc="Text of the markers. {group} stands for the group's number from 1, {value} for the "
        "envelope, {threshold} for the threshold, {time} for the raw stamp in seconds, {index} for "
        "the index in the epoch.",
    )

    n_ripples: int = state(default=0, doc="Ripples found.")
    mean: list[float] = state(default=[], doc="Mean of the envelope, one a group.")
    deviation: list[float] = state(
        default=[], doc="Mean absolute deviation of the envelope, one a group."
    )
    threshold: list[float] = state(default=[], doc="Present threshold, one a group.")

    def prepare(self) -> None:
        """Know nothing of the past; announce the envelope."""
        info = self._regular()
        self._group_width(self.groups)
        finder = RippleFinder(
            info.sampling_rate, info.dtype, n_groups=self.groups, measure=self.measure,
            smoothing=self.smoothing / 1e3, time_constant=self.time_constant, burn_in=self.burn_in,
        )  # fmt: skip
        self._begin(finder)
        self.envelope.announce(envelope_of(info, self.groups, self.measure))

    def process(self, chunk: Signal) -> None:
        """Look for ripples."""
        finder: RippleFinder = self._finder
        if chunk.gaps:
            finder.pause()
        found, envelope = finder.find(chunk.data)
        self._publish()
        self.envelope.send(Signal(envelope, chunk.raw_timestamps, clock=chunk.clock))
        if not len(found):
            return
        self.n_ripples += len(found)
        stamps = chunk.raw_timestamps[found[:, 0]]
        texts = [
            fill(
                self.text,
                group=str(group + 1),
                value=f"{envelope[row, 2 * group]:.9g}",
                threshold=f"{envelope[row, 2 * group + 1]:.9g}",
                time=f"{chunk.raw_timestamps[row]:.6f}",
                index=str(chunk.index + row),
            )
            for row, group in found.tolist()
        ]
        self.events.send(Markers(texts, stamps, clock=chunk.clock))

    def _publish(self) -> None:
        self.mean, self.deviation, self.threshold = self._finder.statistics()
        super()._publish()

    def _tune(self) -> None:
        finder: RippleFinder = self._finder
        finder.k, finder.adapts = self.k, self.adapt
        finder.set(lock_out=self.lock_out / 1e3, minimum_duration=self.minimum_duration / 1e3)


class PhaseTrigger(Detector):
    """A marker whenever a rhythm, such as alpha or theta, is about to reach a phase.

    The phase is estimated causally by complex demodulation (P. Bloomfield, Fourier Analysis of Time
    Series, Wiley 2000): the filters' delay is taken off at the frequency that the rhythm has at
    present, which also predicts the phase for the time `lead` ahead. C. Zrenner et al. (Brain
    Stimul. 11, 374-389, 2018) predict by an autoregressive model instead; this takes some 0.4 µs a
    sample. The marker is stamped with the sample nearest to `lead` before the phase. It takes the
    signal as it is: neither an offset nor slow drifts disturb it, and a filter before it would
    shift the phase.

    No marker comes within half a cycle of another, nor until the estimate has settled: at first,
    after missing samples, after a reset. The last value stands in for values that are not finite;
    these are counted and never give a marker.
    """

    channel: int | str = param(default=0, doc="Label of the channel, or its index from 0.")
    low: Hz = param(default=8.0, gt=0, doc="Lower edge of the rhythm's band.")
    high: Hz = param(
        default=12.0, gt=0, doc="Upper edge of the band; below a quarter of the sampling rate."
    )
    phase: Degrees = param(
        default=0.0, live=True, doc="Phase of the marker: 0 deg is the peak, 180 deg the trough."
    )
    lead: Milliseconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="How long before the phase the marker comes: as long as the output takes.",
    )
    minimum_amplitude: float = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Peak of the rhythm, in the unit of the channel, below which there is no marker.",
    )
    refractory: Seconds = param(
        default=0.0, ge=0, live=True, doc="Time after a marker in which there is no other."
    )
    text: str = param(
        default="phase",
        live=True,
        doc="Text of the markers. {phase} stands for the present phase in degrees, {amplitude} and "
        "{frequency} for those of the rhythm, {time} for the raw stamp in seconds, {index} for the "
        "index in the epoch.",
    )

    n_triggers: int = state(default=0, doc="Markers given.")
    amplitude: float = state(default=0.0, doc="Peak of the rhythm, in the unit of the channel.")
    frequency: float = state(default=0.0, doc="Frequency of the rhythm, in Hz.")

    def prepare(self) -> None:
        """Find the channel; know nothing of the past."""
        info = self._regular()
        self._column = channel_index(info, self.channel)
        if not self.low < self.high < info.sampling_rate / 4:
            raise ParameterError(
                f"{self.name}.low is below high, and high below a quarter of the sampling rate of "
                f"{info.name}, which is {info.sampling_rate:g} Hz; found {self.low:g} Hz and "
                f"{self.high:g} Hz"
            )
        self._begin(PhaseFinder(info.sampling_rate, self.low, self.high, info.dtype))

    def process(self, chunk: Signal) -> Markers | None:
        """Follow the rhythm."""
        finder: PhaseFinder = self._finder
        if chunk.gaps:
            finder.reset()
        found = finder.find(chunk.data[:, self._column])
        self._publish()
        if not len(found):
            return None
        self.n_triggers += len(found)
        stamps = chunk.raw_timestamps[found[:, 0].astype(np.intp)]
        texts = [
            fill(
                self.text,
                phase=f"{math.degrees(phase):.1f}",
                amplitude=f"{amplitude:.9g}",
                frequency=f"{frequency:.3f}",
                time=f"{time:.6f}",
                index=str(chunk.index + int(at)),
            )
            for (at, phase, amplitude, frequency), time in zip(found, stamps, strict=True)
        ]
        return Markers(texts, stamps, clock=chunk.clock)

    def _publish(self) -> None:
        self.amplitude, self.frequency = self._finder.amplitude, self._finder.frequency
        super()._publish()

    def _tune(self) -> None:
        self._finder.set(
            target=math.radians(self.phase),
            lead=self.lead / 1e3,
            minimum_amplitude=self.minimum_amplitude,
            refractory=self.refractory,
        )


class PeakDetector(Detector):
    """A marker for each peak that stands out from the others, such as the R waves of an ECG.

    Put a ``filters.BandPass`` of low order before it, from 5 to 20 Hz for an ECG. The threshold
    follows the heights of peaks and of noise as that of J. Pan and W. J. Tompkins does (IEEE Trans.
    Biomed. Eng. 32, 230-236, 1985), but nothing is searched back for. A marker comes once the
    signal has fallen to half of a peak, and is stamped with the peak itself.

    A peak next to missing samples is let go; the threshold stays. Values that are not finite are
    counted and passed over.
    """

    channel: int | str = param(default=0, doc="Label of the channel, or its index from 0.")
    polarity: Literal["maxima", "minima"] = param(
        default="maxima", live=True, doc="Whether peaks point upwards or downwards."
    )
    share: float = param(
        default=0.25,
        gt=0,
        lt=1,
        live=True,
        doc="Where the threshold lies between the level of noise, 0, and that of peaks, 1.",
    )
    refractory: Seconds = param(
        default=0.4,
        ge=0,
        live=True,
        doc="Time from a peak to the earliest next one; of an ECG, longer than to the T wave.",
    )
    learning: Seconds = param(
        default=2.0, gt=0, doc="Time in which nothing is found at first; has a peak or two in it."
    )
    text: str = param(
        default="peak",
        live=True,
        doc="Text of the markers. {value} stands for the height of the peak, {interval} for the "
        "mean interval in seconds, {time} for the raw stamp in seconds, {index} for the index in "
        "the epoch.",
    )

    n_peaks: int = state(default=0, doc="Peaks found.")
    threshold: float = state(default=0.0, doc="Height that a peak must have.")
    interval: float = state(default=0.0, doc="Mean time between peaks in s; 0: not known.")

    def prepare(self) -> None:
        """Find the channel; know nothing of the past."""
        info = self._regular()
        self._column = channel_index(info, self.channel)
        self._begin(PeakFinder(info.sampling_rate, self.learning, info.dtype))

    def process(self, chunk: Signal) -> Markers | None:
        """Look for peaks."""
        if chunk.gaps:
            self._finder.skip()
        found = self._finder.find(chunk.data[:, self._column], chunk.raw_timestamps)
        self._publish()
        if not len(found):
            return None
        self.n_peaks += len(found)
        texts = [
            fill(
                self.text,
                value=f"{height:.9g}",
                interval=f"{interval:.6f}",
                time=f"{time:.6f}",
                index=str(chunk.index - int(before)),
            )
            for before, time, height, interval in found
        ]
        return Markers(texts, found[:, 1].copy(), clock=chunk.clock)

    def _publish(self) -> None:
        self.threshold, self.interval = self._finder.threshold, self._finder.interval
        super()._publish()

    def _tune(self) -> None:
        sign = 1.0 if self.polarity == "maxima" else -1.0
        self._finder.set(sign=sign, share=self.share, refractory=self.refractory)
