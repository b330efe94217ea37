"""Other chunk sizes and other sampling rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import cheby1, firwin

from rigmesh.errors import ParameterError
from rigmesh.node import Input, Node, Output, Seconds, param, state
from rigmesh.streams import Signal
from rigmesh_nodes._arithmetic import Precision, arithmetic_type, result_type
from rigmesh_nodes._fir import FirFilter
from rigmesh_nodes._sos import SosFilter
from rigmesh_nodes.filters import regular_rate

__all__ = ["BlockBuffer", "Decimate", "Decimator", "Rebuffer"]

Array = npt.NDArray[Any]
Method = Literal["fir", "iir"]


class BlockBuffer:
    """Cuts samples into blocks of one size.

    Parameters
    ----------
    size : int
        Samples in a block.
    n_channels : int
        Channels of a sample.
    dtype : str
        Type of the samples.

    Attributes
    ----------
    n_waiting : int
        Samples that wait for the rest of their block.
    """

    def __init__(self, size: int, n_channels: int, dtype: str) -> None:
        self.n_waiting = 0
        self._size = size
        self._data = np.empty((size, n_channels), dtype)
        self._stamps = np.empty(size)

    def blocks(self, data: Array, stamps: Array) -> Iterator[tuple[Array, Array]]:
        """Add samples; yield the blocks that are full, each valid until the next.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        stamps : ndarray, shape (n_samples,)
            Their stamps.
        """
        start, size = 0, self._size
        if self.n_waiting:
            start = min(size - self.n_waiting, len(data))
            self._keep(data[:start], stamps[:start])
            if self.n_waiting < size:
                return
            self.n_waiting = 0
            yield self._data, self._stamps
        while len(data) - start >= size:
            yield data[start : start + size], stamps[start : start + size]
            start += size
        self._keep(data[start:], stamps[start:])

    def clear(self) -> int:
        """Forget the samples that wait; return how many."""
        n, self.n_waiting = self.n_waiting, 0
        return n

    def _keep(self, data: Array, stamps: Array) -> None:
        place = slice(self.n_waiting, self.n_waiting + len(data))
        self._data[place], self._stamps[place] = data, stamps
        self.n_waiting += len(data)


class Rebuffer(Node):
    """The same signal in chunks of one size, whatever the size of those that come in.

    No chunk reaches over missing samples: what then waits for the rest of its chunk is left out and
    counts as lost with them. What waits at the end of an epoch is left out, too.
    """

    signal = Input(Signal)
    rebuffered = Output(Signal)

    size: int = param(default=0, ge=0, doc="Samples in a chunk; 0: as `duration` says.")
    duration: Seconds = param(
        default=0.0, ge=0, doc="Length of a chunk instead, rounded to whole samples."
    )
    n_left_out: int = state(
        default=0, doc="Samples so far that were left out because others behind them were missing."
    )

    channel_wise = True

    def prepare(self) -> None:
        """Begin with an empty chunk."""
        info = self.signal.info
        if bool(self.size) == bool(self.duration):
            raise ParameterError(
                f"{self.name} takes either a size or a duration; found {self.size} samples and "
                f"{self.duration:g} s"
            )
        size = self.size
        if self.duration:
            size = round(self.duration * regular_rate(info, f"{self.name}.signal, by duration,"))
        if not size:
            raise ParameterError(
                f"{self.name}.duration is at least one sample of {info.name}, which is "
                f"{1 / info.sampling_rate:g} s; found {self.duration:g} s"
            )
        self._buffer = BlockBuffer(size, info.n_channels, info.dtype)
        self.rebuffered.announce(info)

    def process(self, chunk: Signal) -> None:
        """Give what is full."""
        if chunk.gaps and (n := self._buffer.clear()):
            # The runner has said by now that the output misses what the input does; a shorter chunk
            # would come behind that, though it was before.
            self.n_left_out += n
            self.rebuffered.lose(n, cause=chunk.gaps[0].cause)
        for data, stamps in self._buffer.blocks(chunk.data, chunk.raw_timestamps):
            self.rebuffered.push(Signal(data, stamps, clock=chunk.clock))


class Decimator:
    """Takes every so many-th sample of a signal that it has freed of what would be aliased.

    The filters are those of `scipy.signal.decimate`, run forwards only.

    Parameters
    ----------
    factor : int
        Every how many samples one is taken.
    n_channels : int
        Channels, each by itself.
    method : str
        ``fir``: 20 · factor + 1 coefficients with a Hamming window. ``iir``: Chebyshev of the first
        kind, of order 8, with a ripple of 0.05 dB up to 0.8 of the new Nyquist frequency.
    given : str
        Type of the samples.
    precision : str
        Type to compute in and to give.

    Attributes
    ----------
    group_delay : float
        How much later a slow signal comes out, in samples of the input.
    """

    def __init__(
        self,
        factor: int,
        n_channels: int,
        *,
        method: Method = "fir",
        given: str = "float64",
        precision: Precision = "auto",
    ) -> None:
        self._factor = factor
        self.result = result_type(given, precision)
        self._filter: FirFilter | SosFilter
        if method == "fir":
            taps = firwin(20 * factor + 1, 1 / factor, window="hamming")
            self.group_delay = 10.0 * factor
            self._filter = FirFilter(taps, n_channels, given=given, result=self.result, step=factor)
            return
        sos = np.asarray(cheby1(8, 0.05, 0.8 / factor, output="sos"))
        self.group_delay = _delay_of_slow(sos)
        self._filter = SosFilter(
            sos,
            n_channels,
            given=given,
            result=self.result,
            arithmetic=arithmetic_type(self.result, precision, sos),
        )

    @property
    def n_not_finite(self) -> int:
        """Samples so far that were not finite."""
        return self._filter.n_not_finite

    def __call__(self, data: Array, first: int) -> Array:
        """Return every so many-th of the next samples, filtered.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        first : int
            The first one to take.
        """
        if isinstance(self._filter, FirFilter):
            return self._filter(data, first)
        return np.ascontiguousarray(self._filter(data)[first :: self._factor])


class Decimate(Node):
    """Every so many-th sample of a signal, after a causal filter against aliasing.

    Taken are the samples whose index in the epoch is a multiple of the factor, with their own
    stamps. The filter delays: ``fir``, which keeps the shape of what it passes, by 10 samples of
    the output, ``iir`` by about 2 at low frequencies and more towards 0.8 of the new Nyquist
    frequency. `report` has the delay in seconds as ``group_delay``; the stamps do not allow for it.

    ``float32`` and integers of up to 16 bits come out as ``float32``, all else as ``float64``. The
    state is kept over missing samples. A sample that is not finite counts as the last finite one of
    its channel, and comes out as NaN where it is taken.
    """

    signal = Input(Signal)
    decimated = Output(Signal)

    factor: int = param(
        ge=2, le=100, doc="Every how many samples one is taken; for more, put two in a row."
    )
    method: Method = param(
        default="fir",
        doc="fir: linear phase, cut off (-6 dB) at the new Nyquist frequency, 20 coefficients a "
        "taken sample and one more. iir: Chebyshev of order 8 with a ripple of 0.05 dB; it delays "
        "less.",
    )
    precision: Precision = param(
        default="auto",
        doc="Type to compute in and to give. auto gives float32 for float32 and for integers of up "
        "to 16 bits, and computes in it where the filter can be.",
    )
    n_not_finite: int = state(default=0, doc="Samples so far that were NaN or infinite.")

    channel_wise = True

    def prepare(self) -> None:
        """Design the filter, with a state of zero."""
        info = self.signal.info
        rate = regular_rate(info, f"{self.name}.signal")
        self._n_before = self.n_not_finite
        self._decimator = Decimator(
            self.factor,
            info.n_channels,
            method=self.method,
            given=info.dtype,
            precision=self.precision,
        )
        self.report["group_delay"] = self._decimator.group_delay / rate
        self.decimated.announce(
            replace(info, sampling_rate=rate / self.factor, dtype=self._decimator.result)
        )

    def process(self, chunk: Signal) -> Signal | None:
        """Filter, and take samples."""
        first = -chunk.index % self.factor
        data = self._decimator(chunk.data, first)
        self.n_not_finite = self._n_before + self._decimator.n_not_finite
        if not len(data):
            return None
        return Signal(data, chunk.raw_timestamps[first :: self.factor], clock=chunk.clock)


def _delay_of_slow(sos: Array) -> float:
    """Return the group delay of sections at frequency zero, in samples."""
    k = np.arange(3)
    above, below = sos[:, :3], sos[:, 3:]
    return float(np.sum(above @ k / above.sum(axis=1) - below @ k / below.sum(axis=1)))
