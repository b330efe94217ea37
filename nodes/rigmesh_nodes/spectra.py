"""Power of signals by frequency, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rigmesh.errors import ParameterError, StateError
from rigmesh.node import Hz, Input, Node, Output, Percent, Seconds, command, param, state
from rigmesh.streams import Cause, Signal, StreamInfo
from rigmesh_nodes._arithmetic import result_type
from rigmesh_nodes._spectra_morlet import MorletTransform
from rigmesh_nodes._spectra_wavelets import (
    Normalisation,
    Spacing,
    columns_of,
    frequency_grid,
    labelled,
    wavelet,
)
from rigmesh_nodes._spectra_welch import Averaging, Detrend, Welch, Window
from rigmesh_nodes.channels import channel_indices
from rigmesh_nodes.filters import regular_rate

__all__ = [
    "Morlet",
    "MorletTransform",
    "Spectrum",
    "Welch",
    "columns_of",
    "frequency_grid",
    "labelled",
    "wavelet",
]

_MOST_COLUMNS = 32_768
"""Each has a label of its own: the description of so many takes 2 MB."""


class Morlet(Node):
    """Power of a signal in time and frequency, by complex Morlet wavelets: a scalogram.

    A row has one column for each channel and frequency, all frequencies of the first channel first,
    labelled ``Cz @ 12.5 Hz``, in ``float32``. It is that of one sample, whose stamp it has, and
    equals the squared convolution of the whole signal with wavelets that end at 5 standard
    deviations, as MNE-Python makes them. It comes out later by half the longest wavelet (and half
    the low-pass that a signal of a high rate goes through before) and up to one `block`; state
    `delay`. Rows are those of samples whose index is a multiple of state `decimation`. Nothing is
    aliased: decimated is what the wavelets gave; and power that can change faster than the rows
    show is averaged with a Hann window over two rows' distance.

    Rows that would take samples which are not there are not given: those within `delay` of the
    begin, and on both sides of missing samples, where it starts anew; the latter count as lost. A
    sample that is not finite counts as the last finite one of its channel; a row of its own comes
    out as NaN. An offset is of no effect.

    For users of Pyacq: ``n_cycles`` is 2 pi times its ``f0``; there the wavelets' sum is what is
    the same for all frequencies (``normalisation=0``), as here with ``power``.
    """

    signal = Input(Signal)
    power = Output(Signal)

    f_start: Hz = param(default=4.0, gt=0, doc="Lowest frequency.")
    f_stop: Hz = param(default=100.0, gt=0, doc="Highest frequency, below half the sampling rate.")
    n_frequencies: int = param(default=40, ge=1, le=1000, doc="How many frequencies.")
    delta: Hz = param(
        default=0.0, ge=0, doc="Distance of the frequencies instead of their number; 0: none."
    )
    spacing: Spacing = param(
        default="log", doc="log: the same ratio from each to the next; linear: the same distance."
    )
    n_cycles: float | list[float] = param(
        default=7.0,
        doc="Width of the wavelets: their standard deviation in time is n_cycles / (2 pi f), in "
        "frequency f / n_cycles. One for all, or one for each.",
        examples=[7.0, [3.0, 5.0, 7.0]],
    )
    rate: Hz = param(
        default=100.0,
        ge=0,
        doc="Least rate of the rows. It is that of the signal divided by the largest whole number "
        "without prime factors above 5 that allows it; 0: that of the signal.",
    )
    block: Seconds = param(
        default=0.1, gt=0, doc="How much is computed at a time; less takes more of the processor."
    )
    normalisation: Normalisation = param(
        default="power",
        doc="power: a sine gives its mean square, A^2 / 2. density: noise gives its power in one "
        "hertz (MNE-Python's power divided by the sampling rate).",
    )
    channels: list[int | str] = param(
        default=[],
        doc="Labels, indices and slices of the channels to use; none: all.",
        examples=[["Cz", "0:4"]],
    )
    decimation: int = state(default=0, doc="Samples of the signal from row to row.")
    delay: float = state(
        default=0.0,
        doc="Signal behind a row that it takes, in seconds; it comes out up to one block later.",
    )
    n_not_finite: int = state(default=0, doc="Samples so far that were NaN or infinite.")

    _transform: MorletTransform | None = None

    def prepare(self) -> None:
        """Make the wavelets."""
        info = self.signal.info
        sampling_rate = regular_rate(info, f"{self.name}.signal")
        self._indices = _chosen(info, self.channels)
        try:
            frequencies = frequency_grid(
                self.f_start,
                self.f_stop,
                self.n_frequencies,
                delta=self.delta,
                spacing=self.spacing,
            )
            n_cycles = _cycles(self.n_cycles, len(frequencies))
            transform = MorletTransform(
                frequencies,
                len(self._indices),
                sampling_rate,
                n_cycles=n_cycles,
                rate=self.rate,
                block=self.block,
                normalisation=self.normalisation,
            )
        except ParameterError as error:
            raise ParameterError(f"{self.name}: {error}") from error
        _check_size(self.name, len(self._indices), len(frequencies))
        self._is_all = self._indices == list(range(info.n_channels))
        self._n_before = self.n_not_finite
        self._cause = Cause.DEVICE
        self._transform = transform
        self.decimation = transform.factor
        self.delay = transform.delay / sampling_rate
        self.report["delay"] = self.delay
        self.power.announce(
            labelled(
                info,
                self._indices,
                frequencies.tolist(),
                self.normalisation,
                sampling_rate=sampling_rate / transform.factor,
                dtype="float32",
            )
        )

    def process(self, chunk: Signal) -> Signal | None:
        """Transform what is there, and give the rows that are done."""
        transform = self._transform
        if transform is None:
            raise StateError(f"{self.name} transforms before it is prepared")
        if chunk.gaps:
            transform.restart()
            self._cause = _said(chunk)
            self._tell(transform)
        data = chunk.data if self._is_all else chunk.data[:, self._indices]
        power, stamps = transform(data, chunk.raw_timestamps, chunk.index)
        self.n_not_finite = self._n_before + transform.n_not_finite
        if not len(power):
            return None
        self._tell(transform)
        return Signal(power, stamps, clock=chunk.clock)

    def close(self) -> None:
        """Forget the samples."""
        self._transform = None

    def _tell(self, transform: MorletTransform) -> None:
        if transform.n_missed:
            self.power.lose(transform.n_missed, cause=self._cause)
            transform.n_missed = 0


class Spectrum(Node):
    """Power spectra by Welch's method: the average over overlapping segments, one row a segment.

    A row has one column for each channel and frequency, all frequencies of the first channel first,
    labelled ``Cz @ 12.5 Hz``: it can be thresholded, chosen from and recorded like any signal, and
    says what it is, which a frame could not. It has the stamp of the newest segment's centre; half
    a segment later it is there (state `delay`). With ``averaging=last`` it equals
    `scipy.signal.welch` over the segments averaged. ``float32`` and integers of up to 16 bits come
    out as ``float32``, all else as ``float64``; computed is in ``float64``.

    Segments begin at samples whose index is a multiple of their distance. No segment reaches over
    missing samples; the average goes on behind them. A segment with a sample that is not finite is
    left out of its channel's average; the channel is NaN before its first segment.
    """

    signal = Input(Signal)
    power = Output(Signal)

    segment: Seconds = param(
        default=1.0,
        gt=0,
        doc="Length of a segment; frequencies are apart by 1 / segment. It is rounded to samples.",
    )
    overlap: Percent = param(default=50.0, ge=0, lt=100, doc="How much of it the next one shares.")
    window: Window = param(default="hann", doc="What each segment is weighted with.")
    detrend: Detrend = param(
        default="constant", doc="constant: the mean of each segment is taken away first."
    )
    normalisation: Normalisation = param(
        default="density",
        doc="density: power in one hertz. power: in each bin; a sine gives its mean square.",
    )
    f_start: Hz = param(default=0.0, ge=0, doc="Lowest frequency to give.")
    f_stop: Hz = param(
        default=100.0, ge=0, doc="Highest frequency to give; 0: half the sampling rate."
    )
    averaging: Averaging = param(
        default="exponential",
        live=True,
        doc="exponential: a new segment weighs 1 / n_segments, the first ones the same. last: the "
        "mean of the last n_segments. A change begins anew.",
    )
    n_segments: int = param(
        default=8, ge=1, le=10_000, live=True, doc="How many segments; 1: no average."
    )
    channels: list[int | str] = param(
        default=[],
        doc="Labels, indices and slices of the channels to use; none: all.",
        examples=[["Cz", "0:4"]],
    )
    delay: float = state(default=0.0, doc="How long after its stamp a row is there, in seconds.")
    n_not_finite: int = state(default=0, doc="Samples so far that were NaN or infinite.")

    _welch: Welch | None = None

    def prepare(self) -> None:
        """Begin with an empty average."""
        info = self.signal.info
        sampling_rate = regular_rate(info, f"{self.name}.signal")
        self._indices = _chosen(info, self.channels)
        segment = max(2, round(self.segment * sampling_rate))
        step = max(1, segment - round(segment * self.overlap / 100))
        try:
            welch = Welch(
                len(self._indices),
                sampling_rate,
                segment=segment,
                step=step,
                window=self.window,
                detrend=self.detrend,
                normalisation=self.normalisation,
                f_start=self.f_start,
                f_stop=self.f_stop,
            )
        except ParameterError as error:
            raise ParameterError(f"{self.name}: {error}") from error
        _check_size(self.name, len(self._indices), len(welch.frequencies))
        welch.average(self.averaging, self.n_segments)
        self._is_all = self._indices == list(range(info.n_channels))
        self._n_before = self.n_not_finite
        self._welch = welch
        self._result = np.dtype(result_type(info.dtype, "auto"))
        self.delay = (segment - 1 - segment // 2) / sampling_rate
        self.report["delay"] = self.delay
        self.power.announce(
            labelled(
                info,
                self._indices,
                welch.frequencies.tolist(),
                self.normalisation,
                sampling_rate=sampling_rate / step,
                dtype=self._result.name,
            )
        )

    def process(self, chunk: Signal) -> Signal | None:
        """Add the segments that are full to the average."""
        welch = self._welch
        if welch is None:
            raise StateError(f"{self.name} averages before it is prepared")
        if chunk.gaps:
            welch.restart()
            if welch.n_missed:
                self.power.lose(welch.n_missed, cause=_said(chunk))
                welch.n_missed = 0
        data = chunk.data if self._is_all else chunk.data[:, self._indices]
        power, stamps = welch(data, chunk.raw_timestamps, chunk.index)
        self.n_not_finite = self._n_before + welch.n_not_finite
        if not len(power):
            return None
        flat = power.reshape(len(power), -1).astype(self._result, copy=False)
        return Signal(flat, stamps, clock=chunk.clock)

    @command
    def reset(self) -> None:
        """Begin the average with the next segment."""
        if self._welch is not None:
            self._welch.reset()

    def close(self) -> None:
        """Forget the average."""
        self._welch = None

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks."""
        super().set_parameters(values)
        if self._welch is not None and values.keys() & {"averaging", "n_segments"}:
            self._welch.average(self.averaging, self.n_segments)


def _said(chunk: Signal) -> Cause:
    """Return why samples are missing before a chunk; a restart is not said twice."""
    cause = chunk.gaps[0].cause
    return Cause.DEVICE if cause is Cause.RESTART else cause


def _chosen(info: StreamInfo, channels: list[int | str]) -> list[int]:
    return channel_indices(info, channels) if channels else list(range(info.n_channels))


def _cycles(n_cycles: float | list[float], n_frequencies: int) -> float | list[float]:
    given = n_cycles if isinstance(n_cycles, list) else [n_cycles]
    if isinstance(n_cycles, list) and len(n_cycles) != n_frequencies:
        raise ParameterError(
            f"n_cycles is one number, or one for each of the {n_frequencies} frequencies; found "
            f"{len(n_cycles)}"
        )
    if not all(1 <= n <= 1000 for n in given):
        raise ParameterError(f"n_cycles lies from 1 to 1000; found {n_cycles}")
    return n_cycles


def _check_size(name: str, n_channels: int, n_frequencies: int) -> None:
    if n_channels * n_frequencies > _MOST_COLUMNS:
        raise ParameterError(
            f"{name} gives {n_channels} channels × {n_frequencies} frequencies; more than "
            f"{_MOST_COLUMNS} columns are refused: choose channels, or fewer frequencies"
        )
