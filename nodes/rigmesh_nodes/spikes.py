"""Spikes of neurons: found, sorted, counted, and bursts of many at once.

All but :class:`BurstDetector` take a signal that is band-passed already (:class:`filters.BandPass`
from 300 to 6000 Hz, say, and of order 2: of order 4, a causal filter takes a fifth more of a
spike's trough, and adds a second one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from rigmesh.errors import ParameterError, PortMismatch, StateError
from rigmesh.node import Input, Milliseconds, Node, Output, Percent, Seconds, command, param, state
from rigmesh.streams import Markers, Signal, StreamInfo
from rigmesh_nodes._spike_bursts import BurstFinder
from rigmesh_nodes._spike_node import SpikeNode
from rigmesh_nodes._spike_rate import RateCounter
from rigmesh_nodes._spike_sorting import Sorting
from rigmesh_nodes.channels import channel_index

__all__ = ["BurstDetector", "MUARate", "SpikeDetector", "SpikeSorter"]


class SpikeDetector(SpikeNode):
    """A marker at the peak of each spike.

    A spike begins when a channel of a group gets beyond its threshold, `k` times the noise as the
    median of the samples' magnitudes tells it [1]_, and none was in the sample before. It is at the
    largest sample, of all channels of the group, that no larger one follows within the peak life.
    While the noise is learned there are no spikes, unless there is a `level`. A channel without
    noise then, one that is not connected, is silent until ``learn``.

    NaN and infinite samples are no spikes and no noise. Where samples are missing, a spike whose
    peak life is not over is told as it is. A new epoch of the input starts anew.

    References
    ----------
    .. [1] Quian Quiroga, R., Nadasdy, Z. & Ben-Shaul, Y. (2004). Unsupervised spike detection and
       sorting with wavelets and superparamagnetic clustering. Neural Computation 16, 1661-1687.
    """

    channel_wise: ClassVar[bool] = True

    events = Output(Markers)

    text: str = param(
        default="{channel}",
        live=True,
        doc="Text of the markers. {channel} stands for the label of the channel where the spike is "
        "largest, {group} for its group from 0, {value} for its peak, {time} for the peak's raw "
        "stamp in seconds, {index} for its index in the epoch.",
        examples=["spike", '{"channel": "{channel}", "peak": {value}}'],
    )

    def prepare(self) -> None:
        """Know nothing of the noise."""
        self.set_up()
        clock_id = self.signal.info.clock_id
        self.events.announce(replace(StreamInfo.markers("events"), clock_id=clock_id))

    def process(self, chunk: Signal) -> Markers | None:
        """Look for spikes."""
        detection = self.prepared()
        spikes = detection.finder.interrupt() if chunk.gaps else []
        spikes += detection.feed(chunk.data, chunk.raw_timestamps, chunk.index)
        self.tell(detection)
        if not spikes:
            return None
        self.n_spikes += len(spikes)
        texts = [self.text_of(self.text, spike) for spike in spikes]
        return Markers(texts, np.array([spike.time for spike in spikes]), clock=chunk.clock)

    @command
    def learn(self) -> None:
        """Learn the noise anew; the present thresholds hold until then."""
        self.prepared().noise.learn()


class SpikeSorter(SpikeNode):
    """A marker at the peak of each spike that tells its unit: rough, but while it happens.

    The first `noise_duration` tells the noise, the rest of `learn_duration` gives examples of
    spikes; meanwhile there are no markers. Then the waveforms of each group of channels, in
    multiples of the noise, are reduced to a few principal components and clustered; clusters that
    are not apart become one. From then on a spike is of the unit that it is nearest to, or of none
    (unit 0) if it is farther away than nearly all examples of that unit were.

    Units are numbered from 1, group after group: for many groups one sorter serves better than
    replicas. Each group is ready 20 ms after the one before.
    Spikes are found as by :class:`SpikeDetector`. A waveform in which samples are missing, NaN or
    infinite is of unit 0. A new epoch of the input starts anew.
    """

    spikes = Output(Markers)

    learn_duration: Seconds = param(
        default=30.0, gt=0, doc="Time at the start from which units are learned."
    )
    before: Milliseconds = param(default=0.4, ge=0, doc="Part of a waveform before its peak.")
    after: Milliseconds = param(
        default=0.8, gt=0, doc="Part of a waveform after its peak; a spike is told so much later."
    )
    n_components: int = param(
        default=5, ge=1, doc="Principal components in which the waveforms are compared."
    )
    max_units: int = param(default=8, ge=1, doc="Most units of a group: the largest ones.")
    min_spikes: int = param(default=20, ge=2, doc="Least examples of a unit.")
    separation: float = param(
        default=4.0, gt=0, doc="Units are at least so many of their standard deviations apart."
    )
    accepted: Percent = param(
        default=99.0,
        gt=0,
        le=100,
        doc="Part of the examples of a unit that are near enough to be of it.",
    )
    text: str = param(
        default="{unit}",
        live=True,
        doc="Text of the markers. {unit} stands for the number of the unit, {channel} for the "
        "label of the channel where the spike is largest, {group} for its group from 0, {value} "
        "for its peak, {time} for the peak's raw stamp in seconds, {index} for its index in the "
        "epoch.",
        examples=["unit {unit} at {channel}"],
    )

    is_learning: bool = state(default=True, doc="Whether the units of some group are not known.")
    n_units: int = state(default=0, doc="Units known, of all groups.")
    counts: list[int] = state(default=[], doc="Spikes of each unit; first those rejected.")

    _STAGGER = 0.02
    """Time between two groups' learning, in seconds: about as long as it takes."""

    def prepare(self) -> None:
        """Know nothing of noise and units."""
        if self.learn_duration <= self.noise_duration:
            raise ParameterError(
                f"{self.name}.learn_duration is longer than noise_duration, which is "
                f"{self.noise_duration:g} s; found {self.learn_duration:g} s"
            )
        info = self.signal.info
        rate = info.sampling_rate
        self._sorting = Sorting(
            self.set_up(),
            info.n_channels,
            self.channels_per_group,
            dtype=info.dtype,
            before=round(self.before * 1e-3 * rate),
            after=max(1, round(self.after * 1e-3 * rate)),
            n_learned=round(self.learn_duration * rate),
            stagger=round(self._STAGGER * rate),
            n_components=self.n_components,
            max_units=self.max_units,
            min_spikes=self.min_spikes,
            separation=self.separation,
            accepted=self.accepted / 100,
        )
        self._begin()
        self.spikes.announce(replace(StreamInfo.markers("spikes"), clock_id=info.clock_id))

    def _begin(self) -> None:
        self.is_learning, self.n_units, self.counts = True, 0, [0]

    def process(self, chunk: Signal) -> Markers | None:
        """Learn, or sort."""
        sorting = self._sorting
        found = sorting.interrupt() if chunk.gaps else []
        found += sorting.feed(chunk.data, chunk.raw_timestamps, chunk.index)
        self.tell(sorting.detection)
        if self.is_learning and sorting.n_units != self.n_units:
            self.n_units = sorting.n_units
            self.counts = self.counts + [0] * (self.n_units + 1 - len(self.counts))
        self.is_learning = sorting.is_learning
        if not found:
            return None
        self.n_spikes += len(found)
        texts, counts = [], list(self.counts)
        for spike, unit in found:
            counts[unit] += 1
            texts.append(self.text_of(self.text, spike).replace("{unit}", str(unit)))
        self.counts = counts
        return Markers(texts, np.array([spike.time for spike, _ in found]), clock=chunk.clock)

    @command
    def learn(self) -> None:
        """Forget the units; learn noise and units anew, for as long as at the start."""
        self.prepared()
        self._sorting.learn()
        self._begin()

    @command
    def reset(self) -> None:
        """Count from 0 again; what was learned stays."""
        self.n_spikes = self.n_not_finite = 0
        self.counts = [0] * len(self.counts)


class MUARate(SpikeNode):
    """Rate of all spikes together, in bins of time: multi-unit activity.

    Spikes are found as by :class:`SpikeDetector`, so the sampled signal is the clock: each bin has
    as many samples as the others, and gives one sample of the rate, stamped like the last sample of
    the bin and told one peak life later. The first bin begins when the noise is known. Bins in
    which samples are missing are left out. A new epoch of the input starts anew.
    """

    rate = Output(Signal)

    bin_duration: Milliseconds = param(
        default=20.0, gt=0, doc="Length of a bin; rounded to whole samples."
    )
    groups: int = param(
        default=1,
        ge=1,
        doc="Equal shares of the channels, each with a rate of its own; 1: one rate for all.",
    )

    def prepare(self) -> None:
        """Know nothing of the noise; announce one channel a share."""
        detection = self.set_up()
        info = self.signal.info
        width, rest = divmod(info.n_channels, self.groups)
        if rest or width % self.channels_per_group:
            raise ParameterError(
                f"{self.name}.groups divides the {info.n_channels} channels of {info.name} into "
                f"equal shares of whole groups of {self.channels_per_group}; found {self.groups}"
            )
        n_bin = max(1, round(self.bin_duration * 1e-3 * info.sampling_rate))
        self._bin_seconds = n_bin / info.sampling_rate
        self._counter = RateCounter(
            self.groups,
            width,
            n_bin=n_bin,
            delay=detection.finder.peak_life,
            first=0 if self.level else detection.noise.remaining,
        )
        names = [f"rate{n}" for n in range(self.groups)] if self.groups > 1 else ["rate"]
        described = StreamInfo.signal(
            "rate", channels=names, sampling_rate=1 / self._bin_seconds, unit="Hz"
        )
        self.rate.announce(replace(described, clock_id=info.clock_id))

    def process(self, chunk: Signal) -> Signal | None:
        """Count spikes."""
        detection, counter = self.prepared(), self._counter
        if chunk.gaps:
            detection.finder.interrupt()
            counter.interrupt()
        spikes = detection.feed(chunk.data, chunk.raw_timestamps, chunk.index)
        self.n_spikes += len(spikes)
        self.tell(detection)
        bins = counter.feed(chunk.raw_timestamps, spikes)
        if not bins:
            return None
        rates = np.array([counts for _, counts in bins]) / self._bin_seconds
        return Signal(rates, np.array([stamp for stamp, _ in bins]), clock=chunk.clock)

    @command
    def learn(self) -> None:
        """Learn the noise anew; the present thresholds hold until then."""
        self.prepared().noise.learn()


class BurstDetector(Node):
    """Markers where a rate rises far above its mean, and where it is back: population bursts.

    The threshold is the mean of the rate plus `k` times its mean absolute deviation; both forget
    exponentially, and stand still in the lock-out. A burst is told when the rate has been above for
    the minimum duration, and is over at the first sample that is not above.

    What is not finite is left out. Where samples are missing a burst ends, at the last sample
    before, and none begins within the lock-out. A new epoch of the input starts anew.
    """

    signal = Input(Signal)
    events = Output(Markers)

    channel: int | str = param(default=0, doc="Label of the channel, or its index from 0.")
    k: float = param(
        default=6.0, gt=0, live=True, doc="Threshold above the mean, in mean absolute deviations."
    )
    time_constant: Seconds = param(default=30.0, gt=0, doc="How slowly mean and deviation forget.")
    burn_in: Seconds = param(
        default=2.0, ge=0, doc="Time at the start in which nothing is found, but learned."
    )
    min_duration: Seconds = param(
        default=0.0, ge=0, live=True, doc="Time that the rate is above the threshold, at least."
    )
    lock_out: Seconds = param(
        default=0.1, ge=0, live=True, doc="Time after a burst was found without another one."
    )
    on: str = param(default="on", live=True, doc="Text of the marker when a burst is found.")
    off: str = param(default="off", live=True, doc="Text of the marker when it is over.")

    n_bursts: int = state(default=0, doc="Bursts found.")
    is_on: bool = state(default=False, doc="Whether there is a burst just now.")
    threshold: float = state(default=0.0, doc="Rate above which a burst begins; 0: not yet.")
    n_not_finite: int = state(default=0, doc="Samples that were NaN or infinite.")

    _finder: BurstFinder | None = None

    def prepare(self) -> None:
        """Find the channel; know nothing of the past."""
        info = self.signal.info
        if not info.is_regular:
            raise PortMismatch(
                f"{self.name}.signal takes a regular signal; {info.name} is irregular"
            )
        self._column = channel_index(info, self.channel)
        self._finder = BurstFinder(
            info.sampling_rate, time_constant=self.time_constant, burn_in=self.burn_in
        )
        self._use_parameters(self._finder)
        self.is_on = False
        self.events.announce(replace(StreamInfo.markers("events"), clock_id=info.clock_id))

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks."""
        super().set_parameters(values)
        if self._finder is not None:
            self._use_parameters(self._finder)

    def close(self) -> None:
        """Forget mean and deviation."""
        self._finder = None

    def _use_parameters(self, finder: BurstFinder) -> None:
        finder.set(self.k, lock_out=self.lock_out, min_duration=self.min_duration)

    def process(self, chunk: Signal) -> Markers | None:
        """Look for bursts."""
        finder = self._finder
        if finder is None:
            raise StateError(f"{self.name} looks for bursts before it is prepared")
        marks = finder.interrupt() if chunk.gaps else []
        marks += finder.find(chunk.data[:, self._column], chunk.raw_timestamps)
        self.is_on, self.threshold = finder.is_on, finder.threshold
        self.n_not_finite += finder.take_not_finite()
        if not marks:
            return None
        self.n_bursts += sum(is_on for _, is_on in marks)
        texts = [self.on if is_on else self.off for _, is_on in marks]
        return Markers(texts, np.array([time for time, _ in marks]), clock=chunk.clock)
