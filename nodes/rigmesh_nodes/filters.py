"""Causal filters that run sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, iirnotch, sosfilt, tf2sos

from rigmesh.errors import ParameterError, PortMismatch, StateError
from rigmesh.node import Hz, Input, Node, Output, param
from rigmesh.streams import Signal, StreamInfo

__all__ = ["BandPass", "HighPass", "LowPass", "Notch", "SosFilter"]

Array = npt.NDArray[Any]


class SosFilter:
    """A filter of second-order sections that keeps its state from chunk to chunk.

    Parameters
    ----------
    sos : ndarray, shape (n_sections, 6)
        The sections, as `scipy.signal` designs them.
    n_channels : int
        Channels to filter, each by itself.
    """

    def __init__(self, sos: Array, n_channels: int) -> None:
        self._sos = sos
        self._state = np.zeros((len(sos), 2, n_channels))

    def change(self, sos: Array) -> None:
        """Go on with other sections; the state is kept if there are as many."""
        if sos.shape != self._sos.shape:
            self._state = np.zeros((len(sos), *self._state.shape[1:]))
        self._sos = sos

    def __call__(self, data: Array) -> Array:
        """Filter the next samples, shape (n_samples, n_channels); computes in float64."""
        filtered, self._state = sosfilt(self._sos, data, axis=0, zi=self._state)
        return np.asarray(filtered)


class _Filter(Node):
    """Filters each channel of a signal with the sections that `_design` gives."""

    signal = Input(Signal)
    filtered = Output(Signal)

    _cutoffs: ClassVar[tuple[str, ...]] = ("cutoff",)
    _filter: SosFilter | None = None

    def prepare(self) -> None:
        """Design the filter for the sampling rate, with a state of zero."""
        info = self.signal.info
        self._filter = SosFilter(self._checked_design(info), info.n_channels)
        self._dtype = "float32" if info.dtype == "float32" else "float64"
        self.filtered.announce(replace(info, dtype=self._dtype))

    def process(self, chunk: Signal) -> Signal:
        """Filter."""
        if self._filter is None:
            raise StateError(f"{self.name} filters before it is prepared")
        return chunk.with_data(self._filter(chunk.data).astype(self._dtype, copy=False))

    def close(self) -> None:
        """Forget the state."""
        self._filter = None

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks; those that do not fit change nothing."""
        before = dict(self.parameters)
        super().set_parameters(values)
        if self._filter is None:
            return
        try:
            self._filter.change(self._checked_design(self.signal.info))
        except ParameterError:
            super().set_parameters(before)
            raise

    def _checked_design(self, info: StreamInfo) -> Array:
        if not info.is_regular:
            raise PortMismatch(
                f"{self.name}.signal takes a regular signal; {info.name} is irregular"
            )
        for name in self._cutoffs:
            cutoff = getattr(self, name)
            if cutoff >= info.sampling_rate / 2:
                raise ParameterError(
                    f"{self.name}.{name} is below half the sampling rate of {info.name}, which is "
                    f"{info.sampling_rate:g} Hz; found {cutoff:g} Hz"
                )
        return np.asarray(self._design(info.sampling_rate))

    def _design(self, rate: float) -> Any:
        """Return the second-order sections for a sampling rate in Hz."""
        raise NotImplementedError


class LowPass(_Filter):
    """Causal Butterworth low-pass, the same for every channel.

    Integers come out as ``float64``; ``float32`` stays. The filter begins with a state of zero, and
    again with each epoch of its input; a live change of the cut-off keeps the state.
    """

    cutoff: Hz = param(default=40.0, gt=0, live=True, doc="Cut-off frequency (-3 dB).")
    order: int = param(default=4, ge=1, le=12, doc="Order of the filter.")

    def _design(self, rate: float) -> Any:
        return butter(self.order, self.cutoff, "lowpass", fs=rate, output="sos")


class HighPass(_Filter):
    """Causal Butterworth high-pass, the same for every channel.

    Integers come out as ``float64``; ``float32`` stays. The filter begins with a state of zero, and
    again with each epoch of its input; a live change of the cut-off keeps the state.
    """

    cutoff: Hz = param(default=1.0, gt=0, live=True, doc="Cut-off frequency (-3 dB).")
    order: int = param(default=4, ge=1, le=12, doc="Order of the filter.")

    def _design(self, rate: float) -> Any:
        return butter(self.order, self.cutoff, "highpass", fs=rate, output="sos")


class BandPass(_Filter):
    """Causal Butterworth band-pass, the same for every channel.

    Integers come out as ``float64``; ``float32`` stays. The filter begins with a state of zero, and
    again with each epoch of its input; a live change of a cut-off keeps the state.
    """

    low: Hz = param(default=8.0, gt=0, live=True, doc="Lower cut-off frequency (-3 dB).")
    high: Hz = param(default=12.0, gt=0, live=True, doc="Upper cut-off frequency (-3 dB).")
    order: int = param(
        default=4, ge=1, le=12, doc="Order of each of the two slopes; the whole has twice as much."
    )

    _cutoffs = ("low", "high")

    def _design(self, rate: float) -> Any:
        if self.low >= self.high:
            raise ParameterError(
                f"{self.name}.low is below high; found {self.low:g} Hz and {self.high:g} Hz"
            )
        return butter(self.order, (self.low, self.high), "bandpass", fs=rate, output="sos")


class Notch(_Filter):
    """Causal notch of second order against line noise, the same for every channel.

    Integers come out as ``float64``; ``float32`` stays. The filter begins with a state of zero, and
    again with each epoch of its input; a live change keeps the state.
    """

    frequency: Hz = param(default=50.0, gt=0, live=True, doc="Frequency to take out.")
    quality: float = param(
        default=30.0, gt=0, live=True, doc="Frequency divided by the width of the notch at -3 dB."
    )

    _cutoffs = ("frequency",)

    def _design(self, rate: float) -> Any:
        return tf2sos(*iirnotch(self.frequency, self.quality, fs=rate))
