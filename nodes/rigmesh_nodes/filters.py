"""Causal filters that run sample by sample.

What all have in common: each channel is filtered by itself, in single precision where that is
enough (``precision``), by kernels that numba compiles when the node is prepared; without numba by
scipy, slower. Before the first sample, and before each epoch, there were zeros.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, iirnotch, tf2sos

from rigmesh.errors import ParameterError, PortMismatch, StateError
from rigmesh.node import Hz, Input, Node, Output, param, state
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes._arithmetic import Precision, arithmetic_type, result_type
from rigmesh_nodes._fir import FirFilter
from rigmesh_nodes._sos import SosFilter

__all__ = [
    "FIR",
    "BandPass",
    "Biquads",
    "FirFilter",
    "HighPass",
    "LowPass",
    "Notch",
    "SosFilter",
    "regular_rate",
]

Array = npt.NDArray[Any]


def regular_rate(info: StreamInfo, port: str) -> float:
    """Return the sampling rate of a signal, in Hz.

    Parameters
    ----------
    info : StreamInfo
        The signal.
    port : str
        Who takes it, for the message.

    Raises
    ------
    PortMismatch
        If the signal is irregular.
    """
    if not info.is_regular:
        raise PortMismatch(f"{port} takes a regular signal; {info.name} is irregular")
    return info.sampling_rate


class _Filter(Node, ABC):
    """Filters each channel of a signal by itself."""

    signal = Input(Signal)
    filtered = Output(Signal)

    precision: Precision = param(
        default="auto",
        doc="Type to compute in and to give. auto gives float32 for float32 and for integers of up "
        "to 16 bits, and computes in it where the filter can be: not where a cut-off is far below "
        "the sampling rate (about 1/200 and less). Anything else is float64.",
    )
    n_not_finite: int = state(default=0, doc="Samples so far that were NaN or infinite.")

    channel_wise = True
    _filter: SosFilter | FirFilter | None = None
    _run: Callable[[Array], Array] | None = None

    def prepare(self) -> None:
        """Make the filter for the sampling rate, with a state of zero."""
        info = self.signal.info
        regular_rate(info, f"{self.name}.signal")
        result = result_type(info.dtype, self.precision)
        running = self._make(info, result)
        running.n_not_finite = self.n_not_finite
        self._filter, self._run = running, running.__call__
        self.report["kernel"] = "numba" if running.is_compiled else "scipy"
        self.filtered.announce(replace(info, dtype=result))

    def process(self, chunk: Signal) -> Signal:
        """Filter."""
        if self._run is None or self._filter is None:
            raise StateError(f"{self.name} filters before it is prepared")
        filtered = chunk.with_data(self._run(chunk.data))
        self.n_not_finite = self._filter.n_not_finite
        return filtered

    def close(self) -> None:
        """Forget the state."""
        self._filter = self._run = None

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks; those that do not fit change nothing."""
        before = dict(self.parameters)
        super().set_parameters(values)
        if self._filter is None:
            return
        try:
            self._change(self.signal.info)
        except ParameterError:
            super().set_parameters(before)
            raise

    @abstractmethod
    def _make(self, info: StreamInfo, result: str) -> SosFilter | FirFilter:
        """Return the filter for a signal."""

    @abstractmethod
    def _change(self, info: StreamInfo) -> None:
        """Change the filter to the parameters there are now."""


class _Sections(_Filter):
    """Filters with the second-order sections that `_design` gives."""

    _cutoffs: ClassVar[tuple[str, ...]] = ("cutoff",)
    _filter: SosFilter | None = None

    def _make(self, info: StreamInfo, result: str) -> SosFilter:
        sos = self._checked_design(info)
        arithmetic = arithmetic_type(result, self.precision, sos)
        made = SosFilter(
            sos, info.n_channels, given=info.dtype, result=result, arithmetic=arithmetic
        )
        if self.precision == "auto":  # a live change may need the other one, at once
            made.allow("float64")
            made.allow(result)
        self.report["arithmetic"] = made.arithmetic
        return made

    def _change(self, info: StreamInfo) -> None:
        if self._filter is not None:
            sos = self._checked_design(info)
            result = result_type(info.dtype, self.precision)
            self._filter.change(sos, arithmetic_type(result, self.precision, sos))
            self.report["arithmetic"] = self._filter.arithmetic

    def _checked_design(self, info: StreamInfo) -> Array:
        for name in self._cutoffs:
            cutoff = getattr(self, name)
            if cutoff >= info.sampling_rate / 2:
                raise ParameterError(
                    f"{self.name}.{name} is below half the sampling rate of {info.name}, which is "
                    f"{info.sampling_rate:g} Hz; found {cutoff:g} Hz"
                )
        return np.asarray(self._design(info.sampling_rate))

    @abstractmethod
    def _design(self, rate: float) -> Any:
        """Return the second-order sections for a sampling rate in Hz."""


class LowPass(_Sections):
    """Causal Butterworth low-pass, the same for every channel.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    state is kept over missing samples and over a live change. A sample that is not finite comes out
    as NaN and counts as the last finite one.
    """

    cutoff: Hz = param(default=40.0, gt=0, live=True, doc="Cut-off frequency (-3 dB).")
    order: int = param(default=4, ge=1, le=12, doc="Order of the filter.")

    def _design(self, rate: float) -> Any:
        return butter(self.order, self.cutoff, "lowpass", fs=rate, output="sos")


class HighPass(_Sections):
    """Causal Butterworth high-pass, the same for every channel.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    state is kept over missing samples and over a live change. A sample that is not finite comes out
    as NaN and counts as the last finite one.
    """

    cutoff: Hz = param(default=1.0, gt=0, live=True, doc="Cut-off frequency (-3 dB).")
    order: int = param(default=4, ge=1, le=12, doc="Order of the filter.")

    def _design(self, rate: float) -> Any:
        return butter(self.order, self.cutoff, "highpass", fs=rate, output="sos")


class BandPass(_Sections):
    """Causal Butterworth band-pass, the same for every channel.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    state is kept over missing samples and over a live change. A sample that is not finite comes out
    as NaN and counts as the last finite one.
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


class Notch(_Sections):
    """Causal notch of second order against line noise, the same for every channel.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    state is kept over missing samples and over a live change. A sample that is not finite comes out
    as NaN and counts as the last finite one.
    """

    frequency: Hz = param(default=50.0, gt=0, live=True, doc="Frequency to take out.")
    quality: float = param(
        default=30.0, gt=0, live=True, doc="Frequency divided by the width of the notch at -3 dB."
    )

    _cutoffs = ("frequency",)

    def _design(self, rate: float) -> Any:
        return tf2sos(*iirnotch(self.frequency, self.quality, fs=rate))


class Biquads(_Sections):
    """Second-order sections, one after the other, the same for every channel.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    state is kept over missing samples, and over a live change to as many sections. A sample that is
    not finite comes out as NaN and counts as the last finite one.
    """

    sos: list[list[float]] = param(
        min_length=1,
        live=True,
        doc="b0, b1, b2, a0, a1 and a2 of each section, as scipy.signal gives them.",
        examples=[[[0.2, 0.4, 0.2, 1.0, -0.4, 0.2]]],
    )

    _cutoffs = ()

    def _design(self, rate: float) -> Any:
        for number, section in enumerate(self.sos):
            where = f"{self.name}.sos.{number}"
            if len(section) != 6 or not np.isfinite(section).all() or section[3] == 0:
                raise ParameterError(
                    f"{where} is six numbers, of which the fourth is not 0; found {section}"
                )
            a1, a2 = section[4] / section[3], section[5] / section[3]
            if not (abs(a2) < 1 and abs(a1) < 1 + a2):
                raise ParameterError(
                    f"{where} is stable, with poles inside the unit circle; found a1 {a1:g} and "
                    f"a2 {a2:g}"
                )
        sos = np.array(self.sos)
        return sos / sos[:, 3:4]


class FIR(_Filter):
    """Weighted sum of the last samples of each channel; with one coefficient, a gain.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    last samples are kept over gaps and over a live change. A sample that is not finite comes out as
    NaN and counts as the last finite one.
    """

    coefficients: list[float] = param(
        min_length=1,
        live=True,
        doc="What the samples are multiplied with, the latest first, as scipy.signal designs them.",
        examples=[[0.25, 0.25, 0.25, 0.25]],
    )

    _filter: FirFilter | None = None

    def _make(self, info: StreamInfo, result: str) -> FirFilter:
        self.report["arithmetic"] = result
        return FirFilter(self._checked(), info.n_channels, given=info.dtype, result=result)

    def _change(self, info: StreamInfo) -> None:
        if self._filter is not None:
            self._filter.change(self._checked())

    def _checked(self) -> Array:
        if not np.isfinite(self.coefficients).all():
            raise ParameterError(
                f"{self.name}.coefficients are finite numbers; found {self.coefficients}"
            )
        return np.array(self.coefficients)
