"""Simulated devices: they count samples since the start of the run, as real ones do.

What a device gives is a pure function of the sample's number and its parameters. Neither the size
of the chunks nor a restart changes it: after a restart the numbers go on where the device, which
never stopped counting, is by then.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh import streams
from rigmesh.errors import ParameterError
from rigmesh.node import Hz, Microvolts, Milliseconds, Node, Output, Seconds, param
from rigmesh.streams import Chunk, StreamInfo, local_clock
from rigmesh_nodes._sim_blocks import Blocks, random_of
from rigmesh_nodes._sim_picture import frame_number, picture
from rigmesh_nodes._sim_ripples import HALF_BAND, RippleTrain, Rippling
from rigmesh_nodes._sim_spikes import Spiking, Units
from rigmesh_nodes._sim_waves import Head, Sines

__all__ = [
    "EEG", "Blocks", "Camera", "Markers", "Oscillators", "Ripples", "Spikes", "frame_number",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_TEN_TWENTY = [
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "O2",
]  # fmt: skip


class _Device(Node, ABC):
    """Gives chunks of consecutive sample numbers when they are due."""

    can_wait = True

    paced: bool = param(
        default=True,
        doc="Give each sample at its time; otherwise all as fast as possible, stamped from 0 s.",
    )
    n_samples: int = param(default=0, ge=0, doc="End after so many samples; 0: never.")

    _rate = 1.0
    """Samples per second; set by `prepare`."""
    _chunk_size = 1

    def acquire(self) -> Iterator[Chunk | None]:
        """Emit all that is due, never less: who falls behind catches up chunk by chunk."""
        start, first = 0.0, 0
        if self.paced:
            # The run's start is known from here on, not in `prepare`.
            start = self.runtime.run_start
            if self.runtime.context.get("resumed"):  # it counted on while we were dead
                first = max(0, math.ceil((local_clock() - start) * self._rate))
            for output in self._counted():
                output.announce(output.info, device_index=first)
        end = first + self.n_samples if self.n_samples else sys.maxsize
        while first < end:
            numbers = np.arange(first, min(first + self._chunk_size, end))
            stamps = start + self._times(numbers)
            chunk = self._chunk(numbers, stamps)  # before it is due: making it delays nothing
            if self.paced and not self.wait_until(float(stamps[-1])):
                return
            yield self._emit(chunk, numbers)
            first += len(numbers)

    def _counted(self) -> Iterable[Output[Chunk]]:
        """Return the outputs that give what is counted; any other emits in `_emit`."""
        return self.bound_outputs()

    def _times(self, numbers: Numbers) -> Floats:
        """Return the times of samples since the start, in seconds."""
        return numbers / self._rate

    def _emit(self, chunk: Chunk, numbers: Numbers) -> Chunk | None:
        """Return a chunk that is due, or push it, and what goes with it."""
        return chunk

    @abstractmethod
    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        """Make the chunk of consecutive sample numbers."""


class _Amplifier(_Device):
    """Gives channels from blocks of samples."""

    signal = Output(streams.Signal)

    sampling_rate: Hz = param(default=1000.0, gt=0, doc="Samples per second.")
    chunk_duration: Milliseconds = param(default=10.0, gt=0, doc="Length of a chunk.")
    seed: int = param(default=0, ge=0, doc="Makes what is random another one.")

    def _set_up(
        self, samples: Blocks, channels: int | list[str], dtype: str, stype: str = ""
    ) -> None:
        self._samples = samples
        self._rate = rate = self.sampling_rate
        self._chunk_size = max(1, round(self.chunk_duration * 1e-3 * rate))
        self.signal.announce(
            StreamInfo.signal(
                "signal", channels=channels, sampling_rate=rate, dtype=dtype, unit="uV", stype=stype
            )
        )

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        return streams.Signal(self._samples(int(numbers[0]), int(numbers[-1]) + 1), stamps)


class _Truthful(_Amplifier):
    """Tells by markers what is in its channels."""

    truth = Output(streams.Markers)

    def _set_up_truth(self, marks: Callable[[int, int], list[tuple[int, str]]]) -> None:
        self._marks = marks
        self.truth.announce(StreamInfo.markers("truth"))

    def _counted(self) -> Iterable[Output[Any]]:
        return [self.signal]

    def _emit(self, chunk: Chunk, numbers: Numbers) -> None:
        stamps, first = chunk.raw_timestamps, int(numbers[0])
        self.signal.push(streams.Signal(chunk.data, stamps))
        marks = self._marks(first, int(numbers[-1]) + 1)
        if marks:
            times = stamps[[at - first for at, _ in marks]]
            self.truth.push(streams.Markers([text for _, text in marks], times))


class Oscillators(_Amplifier):
    """Sines with white noise, as an amplifier of any size gives them.

    With ``sample_number`` channel 0 carries the number of each sample, so that loss, repetition and
    order show. It wraps with the range of integers, and at 2**24 in ``float32``, which cannot count
    further. Integers are whole microvolts and saturate at their ends, as a converter does.
    """

    n_channels: int = param(default=8, ge=1, doc="Number of channels.")
    frequencies: list[Hz] = param(
        default=[1.0, 2.0, 5.0, 10.0],
        min_length=1,
        doc="Frequencies of the sines, one a channel; over again when there are more channels.",
    )
    amplitude: Microvolts = param(default=100.0, doc="Peak of the sines.")
    noise: Microvolts = param(default=10.0, ge=0, doc="Standard deviation of the white noise.")
    dtype: Literal["float32", "float64", "int8", "int16", "int32"] = param(
        default="float32", doc="Type of the samples."
    )
    sample_number: bool = param(
        default=False, doc="Whether channel 0 carries the number of each sample."
    )

    def prepare(self) -> None:
        """Announce the channels."""
        sines = Sines(
            self.frequencies, self.sampling_rate, n_channels=self.n_channels,
            amplitude=self.amplitude, noise=self.noise, dtype=self.dtype,
            sample_number=self.sample_number, seed=self.seed,
        )  # fmt: skip
        self._set_up(Blocks(sines.block, Sines.SIZE), self.n_channels, self.dtype)


class EEG(_Amplifier):
    """Plausible EEG: correlated 1/f noise, an alpha rhythm that waxes and wanes, line noise.

    The rhythm is strongest at the back of the head, as labels of the 10-20 system name it.
    """

    channels: list[str] = param(
        default=_TEN_TWENTY, min_length=1, doc="Labels of the electrodes, of the 10-20 system."
    )
    sampling_rate: Hz = param(default=250.0, gt=0, doc="Samples per second.")
    background: Microvolts = param(default=10.0, ge=0, doc="RMS of the 1/f noise.")
    alpha: Microvolts = param(default=10.0, ge=0, doc="RMS of the alpha rhythm at O1 and O2.")
    alpha_frequency: Hz = param(default=10.0, gt=0, doc="Frequency of the alpha rhythm.")
    line_noise: Microvolts = param(default=2.0, ge=0, doc="Peak of the line noise.")
    line_frequency: Hz = param(
        default=50.0,
        gt=0,
        doc="Frequency of the line noise; none passes half the sampling rate and above.",
    )

    def prepare(self) -> None:
        """Announce the electrodes."""
        if self.alpha_frequency >= self.sampling_rate / 2:
            raise ParameterError(
                f"{self.name}.alpha_frequency is below half the sampling rate of "
                f"{self.sampling_rate:g} Hz; found {self.alpha_frequency:g} Hz"
            )
        head = Head(
            self.channels, self.sampling_rate, background=self.background, alpha=self.alpha,
            alpha_frequency=self.alpha_frequency, line_noise=self.line_noise,
            line_frequency=self.line_frequency, seed=self.seed,
        )  # fmt: skip
        self._set_up(Blocks(head.block, head.size), self.channels, "float32", stype="EEG")


class Camera(_Device):
    """A bright spot that goes round, with the number of each frame in its top left corner.

    The number is written as 32 blocks of 8 × 8 pixels, four rows of eight, the most significant bit
    first: white is 1, black is 0. :func:`frame_number` reads it, also after lossy compression.
    """

    frames = Output(streams.Frames)

    width: int = param(default=640, ge=64, doc="Pixels in a row.")
    height: int = param(default=480, ge=32, doc="Rows in a frame.")
    rgb: bool = param(default=False, doc="Whether a pixel is three values, not one.")
    sampling_rate: Hz = param(default=30.0, gt=0, doc="Frames per second.")
    spot_period: Seconds = param(default=2.0, gt=0, doc="Time in which the spot goes round.")

    def prepare(self) -> None:
        """Announce the size of the frames."""
        self._rate = self.sampling_rate
        colours = (3,) if self.rgb else ()
        shape = (self.height, self.width, *colours)
        self.frames.announce(
            StreamInfo.frames("frames", shape=shape, sampling_rate=self.sampling_rate)
        )

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        number = int(numbers[0])
        angle = 2 * np.pi * number / self.sampling_rate / self.spot_period
        frame = picture(number, angle=angle, width=self.width, height=self.height, rgb=self.rgb)
        return streams.Frames(frame[None], stamps)


class Markers(_Device):
    """Texts at regular times, or nearly: the triggers of a stimulation program."""

    markers = Output(streams.Markers)

    period: Seconds = param(default=1.0, gt=0, doc="Time from one marker to the next.")
    texts: list[str] = param(
        default=["event {n}"],
        min_length=1,
        doc="Texts, one after the other and over again; {n} stands for the marker's number.",
        examples=[["left", "right"]],
    )
    jitter: Seconds = param(
        default=0.0, ge=0, doc="Longest delay of a marker, each by chance; at most one period."
    )
    seed: int = param(default=0, ge=0, doc="Makes the delays other ones.")

    def prepare(self) -> None:
        """Announce the texts."""
        if self.jitter > self.period:
            raise ParameterError(
                f"{self.name}.jitter is at most the period of {self.period:g} s, or markers would "
                f"overtake each other; found {self.jitter:g} s"
            )
        self._rate = 1 / self.period
        self.markers.announce(StreamInfo.markers("markers"))

    def _times(self, numbers: Numbers) -> Floats:
        delays = [random_of(self.seed, int(n)).random() for n in numbers]
        return numbers * self.period + self.jitter * np.array(delays)

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        texts = (self.texts[n % len(self.texts)].replace("{n}", str(n)) for n in numbers)
        return streams.Markers(list(texts), stamps)


class Ripples(_Truthful):
    """Hippocampal field potential: 1/f noise with ripples at known times.

    The output ``truth`` tells when each ripple begins and when it is at its peak, by the texts
    ``onset 12`` and ``peak 12``: they are stamped like the samples of that moment. Every stretch of
    1 / `rate` seconds has one ripple, somewhere from 20 to 80 % of it. The envelope is a Gaussian,
    the ripple is the same on all channels; a quarter of the noise's power is common to them.
    """

    n_channels: int = param(default=4, ge=1, doc="Number of channels.")
    sampling_rate: Hz = param(default=1250.0, gt=0, doc="Samples per second.")
    background: Microvolts = param(default=100.0, gt=0, doc="RMS of the 1/f noise.")
    rate: Hz = param(default=1.0, gt=0, doc="Ripples per second.")
    amplitude: float = param(
        default=5.0,
        ge=0,
        doc="Peak of the ripples, in standard deviations of the noise within 50 Hz of their "
        "frequency.",
    )
    frequency: Hz = param(default=200.0, gt=0, doc="Frequency of the ripples.")
    duration: Milliseconds = param(
        default=80.0,
        gt=0,
        doc="Four standard deviations of a ripple's envelope, from two before its peak on; at most "
        "40 % of a stretch.",
    )

    def prepare(self) -> None:
        """Announce the channels and the truth."""
        if self.frequency + HALF_BAND >= self.sampling_rate / 2:
            raise ParameterError(
                f"{self.name}.frequency is {HALF_BAND:g} Hz or more below half the sampling rate "
                f"of {self.sampling_rate:g} Hz; found {self.frequency:g} Hz"
            )
        longest = 1e3 * RippleTrain.LONGEST / self.rate
        if self.duration > longest:
            raise ParameterError(
                f"{self.name}.duration is at most {longest:g} ms at a rate of {self.rate:g} Hz, or "
                f"ripples would overlap; found {self.duration:g} ms"
            )
        train = RippleTrain(
            rate=self.rate, duration=self.duration / 1e3, frequency=self.frequency,
            sampling_rate=self.sampling_rate, seed=self.seed,
        )  # fmt: skip
        samples = Rippling(
            train, n_channels=self.n_channels, background=self.background,
            amplitude=self.amplitude, frequency=self.frequency, sampling_rate=self.sampling_rate,
            seed=self.seed,
        )  # fmt: skip
        self._set_up(Blocks(samples.block, samples.size), self.n_channels, "float32", stype="LFP")
        self._set_up_truth(train.marks)


class Spikes(_Truthful):
    """Extracellular signal: spikes of known units, in white noise on a slow background.

    The output ``truth`` has a marker for each spike, stamped like the sample with its trough. Its
    text is JSON: ``{"unit": 2, "channel": 3, "sample": 48213}``, where units count from 1, channels
    from 0, and samples as the device counts them. Units sit at equal distances along the channels
    and differ in shape; each fires as a Poisson process with a dead time.
    """

    n_channels: int = param(default=4, ge=1, doc="Number of channels, in a row.")
    sampling_rate: Hz = param(default=30_000.0, ge=5000, doc="Samples per second.")
    noise: Microvolts = param(default=10.0, gt=0, doc="Standard deviation of the white noise.")
    lfp: Microvolts = param(
        default=50.0,
        ge=0,
        doc="RMS of the slow background, whose power falls with the square of the frequency.",
    )
    n_units: int = param(default=3, ge=1, doc="Number of units.")
    snr: list[float] = param(
        default=[8.0],
        min_length=1,
        doc="Trough of the spikes at the unit's own channel, in standard deviations of the white "
        "noise; one a unit, then over again.",
    )
    spread: float = param(
        default=1.0, gt=0, doc="Distance, in channels, over which a spike fades to 1/e."
    )
    rate: Hz = param(default=10.0, gt=0, doc="Spikes per second of each unit.")
    refractory: Milliseconds = param(default=2.0, ge=0, doc="Dead time of a unit after a spike.")

    def prepare(self) -> None:
        """Announce the channels and the truth."""
        if self.rate * self.refractory > 500:
            raise ParameterError(
                f"{self.name}.rate is at most {500 / self.refractory:g} Hz at a refractory time of "
                f"{self.refractory:g} ms; found {self.rate:g} Hz"
            )
        units = Units(
            n_units=self.n_units, n_channels=self.n_channels, spread=self.spread,
            peaks=[self.noise * snr for snr in self.snr], firing_rate=self.rate,
            refractory=self.refractory / 1e3, sampling_rate=self.sampling_rate, seed=self.seed,
        )  # fmt: skip
        samples = Spiking(
            units, n_channels=self.n_channels, noise=self.noise, lfp=self.lfp,
            sampling_rate=self.sampling_rate, seed=self.seed,
        )  # fmt: skip
        self._set_up(Blocks(samples.block, Spiking.SIZE), self.n_channels, "float32")
        self._set_up_truth(units.marks)
