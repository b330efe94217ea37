"""Statistics of signals that go on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rigmesh.errors import PortMismatch
from rigmesh.node import Input, Node, Output, Seconds, command, param, state
from rigmesh.streams import Signal
from rigmesh_nodes._detect_compile import compiled, samples_of
from rigmesh_nodes._kernels import kernel

__all__ = ["RunningMoments", "RunningStats"]

Array = npt.NDArray[Any]

_LARGEST = 1e100
_LEAST = 0.01
"""Least part of its weight that an outlier keeps: else nothing would lead over a step."""


class RunningMoments:
    """Mean and mean absolute deviation of each channel, which forget exponentially.

    A sample moves both by a weight; it is ``1 / n`` for the n-th sample until that is less than
    what the time constant asks for, so that the first samples are averaged plainly.

    Parameters
    ----------
    n_channels : int
        Channels, each by itself.
    sampling_rate : float
        In Hz.
    dtype : dtype
        Of the samples. The statistics are computed in float64.

    Attributes
    ----------
    n_outliers, n_not_finite : int
        Samples that weighed less, and those that were NaN, infinite or beyond 1e100, which are left
        out.
    """

    def __init__(
        self, n_channels: int, sampling_rate: float, dtype: npt.DTypeLike = np.float64
    ) -> None:
        self.n_outliers = self.n_not_finite = 0
        self._rate = sampling_rate
        self._state = np.zeros((3, n_channels))
        self.set(time_constant=1.0, burn_in=0.0, outlier=0.0, half_life=1.0)
        self._update = compiled(
            _update, samples_of(dtype), np.empty((1, 1)), np.empty((1, 1)), *self._arguments
        )

    def set(
        self, *, time_constant: float, burn_in: float, outlier: float, half_life: float
    ) -> None:
        """Weigh otherwise from now on.

        Parameters
        ----------
        time_constant, burn_in : float
            Of forgetting, and how long there are no outliers at first; in seconds.
        outlier, half_life : float
            Deviations from the mean beyond which a sample is an outlier (0: none is), and further
            deviations that halve its weight, down to a hundredth.
        """
        forget = -math.expm1(-1 / (time_constant * self._rate))
        self._arguments = (
            forget, float(burn_in * self._rate), float(outlier), float(half_life), self._state,
        )  # fmt: skip

    def reset(self) -> None:
        """Forget all that was seen."""
        self._state.fill(0.0)

    def __call__(self, data: Array) -> tuple[Array, Array]:
        """Return mean and deviation after each of the next samples.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.

        Returns
        -------
        mean, deviation : ndarray, shape (n_samples, n_channels)
        """
        if not data.flags.c_contiguous:
            data = np.ascontiguousarray(data)
        mean, deviation = np.empty(data.shape), np.empty(data.shape)
        n_outliers, n_bad = self._update(data, mean, deviation, *self._arguments)
        self.n_outliers += n_outliers
        self.n_not_finite += n_bad
        return mean, deviation


@kernel
def _update(
    data: Array,
    means: Array,
    deviations: Array,
    forget: float,
    burn_in: float,
    outlier: float,
    half_life: float,
    memory: Array,
) -> tuple[int, int]:
    n_outliers = n_bad = 0
    for row in range(data.shape[0]):
        for channel in range(data.shape[1]):
            value = float(data[row, channel])
            mean, deviation = memory[0, channel], memory[1, channel]
            if abs(value) <= _LARGEST:
                memory[2, channel] += 1
                n_seen = memory[2, channel]
                weight = max(forget, 1.0 / n_seen)
                away = abs(value - mean)
                if outlier > 0 and n_seen > burn_in and away > outlier * deviation > 0:
                    n_outliers += 1
                    beyond = away / deviation - outlier
                    weight *= max(2.0 ** (-beyond / half_life), _LEAST)
                mean += weight * (value - mean)
                deviation += weight * (abs(value - mean) - deviation)
                memory[0, channel], memory[1, channel] = mean, deviation
            else:
                n_bad += 1
            means[row, channel] = mean
            deviations[row, channel] = deviation
    return n_outliers, n_bad


class RunningStats(Node):
    """Mean and mean absolute deviation of each channel, which follow the signal.

    Both are averages that forget exponentially; the deviation is that from the mean (of Gaussian
    noise it is 0.8 times the standard deviation). Outliers may weigh less, as in Falcon (Ciliberti
    and Kloosterman, J. Neural Eng. 14, 045004, 2017), but never nothing: after a lasting step both
    get over it. Values that are not finite are counted and change nothing, missing samples neither.
    The outputs have the channels of the input in ``float64``.
    """

    channel_wise: ClassVar[bool] = True

    signal = Input(Signal)
    mean = Output(Signal)
    deviation = Output(Signal)

    time_constant: Seconds = param(
        default=10.0, gt=0, live=True, doc="Time constant of forgetting."
    )
    outlier: float = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Deviations from the mean beyond which a sample weighs less, such as 6; 0: all weigh "
        "the same.",
    )
    half_life: float = param(
        default=2.0,
        gt=0,
        live=True,
        doc="Further deviations that halve the weight of an outlier, down to a hundredth.",
    )
    burn_in: Seconds = param(
        default=1.0, ge=0, live=True, doc="Time in which every sample weighs the same at first."
    )

    n_outliers: int = state(default=0, doc="Values that weighed less.")
    n_not_finite: int = state(default=0, doc="Values that were NaN or infinite.")

    _moments: RunningMoments | None = None

    def prepare(self) -> None:
        """Know nothing of the past."""
        info = self.signal.info
        if not info.is_regular:
            raise PortMismatch(
                f"{self.name}.signal takes a regular signal; {info.name} is irregular"
            )
        self._moments = RunningMoments(info.n_channels, info.sampling_rate, info.dtype)
        self._moments.n_outliers = self.n_outliers  # they go on over a change of the input
        self._moments.n_not_finite = self.n_not_finite
        self._tune(self._moments)
        self.mean.announce(replace(info, dtype="float64"))
        self.deviation.announce(replace(info, dtype="float64"))

    def process(self, chunk: Signal) -> None:
        """Follow the signal."""
        if self._moments is None:
            raise PortMismatch(f"{self.name} has no signal yet")
        mean, deviation = self._moments(chunk.data)
        self.n_outliers = self._moments.n_outliers
        self.n_not_finite = self._moments.n_not_finite
        self.mean.send(chunk.with_data(mean))
        self.deviation.send(chunk.with_data(deviation))

    @command
    def reset(self) -> None:
        """Forget mean and deviation; they are learnt anew."""
        if self._moments is not None:
            self._moments.reset()

    def close(self) -> None:
        """Forget what was seen."""
        self._moments = None

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks."""
        super().set_parameters(values)
        if self._moments is not None:
            self._tune(self._moments)

    def _tune(self, moments: RunningMoments) -> None:
        moments.set(
            time_constant=self.time_constant,
            burn_in=self.burn_in,
            outlier=self.outlier,
            half_life=self.half_life,
        )
