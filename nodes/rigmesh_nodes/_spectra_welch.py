"""Welch's estimate of power spectra, of a signal that goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft, rfftfreq
from scipy.signal import get_window

from rigmesh.errors import ParameterError
from rigmesh_nodes._spectra_wavelets import Normalisation

__all__ = ["Averaging", "Detrend", "Welch", "Window"]

Array = npt.NDArray[Any]
Averaging = Literal["exponential", "last"]
Detrend = Literal["constant", "none"]
Window = Literal["hann", "hamming", "blackman", "blackmanharris", "flattop", "boxcar"]


class Welch:
    """Power spectra of overlapping segments and their average, chunk after chunk.

    Segments begin where the index is a multiple of their distance, so that they do not depend on
    chunks. A segment with a sample that is not finite is left out of its channel's average.

    Parameters
    ----------
    n_channels : int
        Channels.
    sampling_rate : float
        In Hz.
    segment : int
        Samples of a segment.
    step : int
        Samples from the begin of a segment to that of the next.
    window : str
        A window of `scipy.signal.get_window`.
    detrend : str
        ``constant``: the mean of each segment is taken away first.
    normalisation : str
        ``density``: power in one hertz; ``power``: in each bin, of a sine its mean square.
    f_start, f_stop : float
        Which frequencies to give, in Hz; 0 as `f_stop`: all.

    Attributes
    ----------
    frequencies : ndarray, shape (n_frequencies,)
        In Hz.
    n_not_finite : int
        Samples so far that were not finite.
    n_missed : int
        Segments that are missing before the next one, since samples do not continue those before.
    """

    def __init__(
        self,
        n_channels: int,
        sampling_rate: float,
        *,
        segment: int,
        step: int,
        window: Window = "hann",
        detrend: Detrend = "constant",
        normalisation: Normalisation = "density",
        f_start: float = 0.0,
        f_stop: float = 0.0,
    ) -> None:
        all_frequencies = rfftfreq(segment, 1 / sampling_rate)
        stop = f_stop or sampling_rate
        chosen = np.flatnonzero((all_frequencies >= f_start) & (all_frequencies <= stop))
        if not len(chosen):
            raise ParameterError(
                f"no frequency of a segment of {segment / sampling_rate:g} s, which are "
                f"{sampling_rate / segment:g} Hz apart up to {sampling_rate / 2:g} Hz, lies from "
                f"{f_start:g} to {stop:g} Hz"
            )
        self.n_not_finite = self.n_missed = 0
        self.frequencies = all_frequencies[chosen]
        self._bins = slice(int(chosen[0]), int(chosen[-1]) + 1)
        self._segment, self._step = segment, step
        self._detrends = detrend == "constant"
        self._window = get_window(window, segment)
        self._scale = np.full(len(all_frequencies), 2.0)
        self._scale[0] = 1.0
        if segment % 2 == 0:
            self._scale[-1] = 1.0
        if normalisation == "density":
            self._scale /= sampling_rate * np.sum(self._window**2)
        else:
            self._scale /= np.sum(self._window) ** 2
        self._data = np.empty((n_channels, segment))
        self._stamps = np.empty(segment)
        self._n_kept = self._n_skipped = 0
        self._next = -1
        self._mean = np.full((n_channels, len(self.frequencies)), np.nan)
        self._n_seen = np.zeros(n_channels)
        self._last: deque[Array] = deque()
        self.average("exponential", 1)

    def average(self, averaging: Averaging, n_segments: int) -> None:
        """Average otherwise from now on, beginning with the next segment.

        Parameters
        ----------
        averaging : str
            ``last``: the mean of the last segments. ``exponential``: a new segment weighs
            ``1 / n_segments``; the first ones are averaged plainly.
        n_segments : int
            1: no average.
        """
        self._averaging = averaging
        self._n_averaged = n_segments
        self.reset()

    def reset(self) -> None:
        """Begin the average with the next segment."""
        self._last = deque(maxlen=self._n_averaged)
        self._mean.fill(np.nan)
        self._n_seen.fill(0)

    def restart(self) -> None:
        """Forget the samples: those that follow do not continue them. The average goes on."""
        if self._next >= 0:
            first = self._next - self._n_kept + self._n_skipped
            self.n_missed += max(0, -(-(self._next - first) // self._step))
        self._next = -1
        self._n_kept = 0

    def __call__(self, data: Array, stamps: Array, index: int) -> tuple[Array, Array]:
        """Analyse the next samples; those of another index than the next one begin anew.

        Parameters
        ----------
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        stamps : ndarray, shape (n_samples,)
            Their stamps.
        index : int
            Index of the first of them.

        Returns
        -------
        power : ndarray, shape (n_segments, n_channels, n_frequencies)
            The average up to and with each segment that is full. NaN before the first one of a
            channel with finite samples only.
        stamps : ndarray, shape (n_segments,)
            Those of the segments' centres.
        """
        if data.dtype.kind == "f":
            self.n_not_finite += data.size - int(np.count_nonzero(np.isfinite(data)))
        if index != self._next:
            self.restart()
            self._n_skipped = -index % self._step
        self._next = index + len(data)
        found = [
            (self._averaged(samples), stamp) for samples, stamp in self._segments(data, stamps)
        ]
        if not found:
            return np.empty((0, *self._mean.shape)), np.empty(0)
        return np.stack([power for power, _ in found]), np.array([stamp for _, stamp in found])

    def _segments(self, data: Array, stamps: Array) -> Iterator[tuple[Array, float]]:
        """Yield each full segment, of the shape (n_channels, n_samples), and its centre's stamp."""
        start = 0
        while start < len(data):
            skipped = min(self._n_skipped, len(data) - start)
            self._n_skipped -= skipped
            start += skipped
            n = min(self._segment - self._n_kept, len(data) - start)
            place = slice(self._n_kept, self._n_kept + n)
            self._data[:, place] = data[start : start + n].T
            self._stamps[place] = stamps[start : start + n]
            self._n_kept += n
            start += n
            if self._n_kept == self._segment:
                yield self._data, float(self._stamps[self._segment // 2])
                self._n_kept = max(0, self._segment - self._step)
                self._n_skipped = max(0, self._step - self._segment)
                self._data[:, : self._n_kept] = self._data[:, self._segment - self._n_kept :].copy()
                self._stamps[: self._n_kept] = self._stamps[self._segment - self._n_kept :].copy()

    def _averaged(self, samples: Array) -> Array:
        is_good = np.asarray(np.isfinite(samples).all(axis=1))
        if not is_good.all():
            samples = np.where(is_good[:, None], samples, 0.0)
        if self._detrends:
            samples = samples - samples.mean(axis=1, keepdims=True)
        spectrum = rfft(samples * self._window, axis=1)[:, self._bins]
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) * self._scale[self._bins]
        if self._averaging == "last":
            power[~is_good] = np.nan
            self._last.append(power)
            return _mean_of_finite(self._last)
        self._n_seen += is_good
        weight = is_good / np.clip(self._n_seen, 1, self._n_averaged)
        self._mean[is_good & (self._n_seen == 1)] = 0.0
        self._mean[is_good] += (weight[:, None] * (power - self._mean))[is_good]
        return self._mean.copy()


def _mean_of_finite(powers: deque[Array]) -> Array:
    """Return the mean of each channel's powers that are not NaN; NaN if all are."""
    total, count = np.zeros_like(powers[0]), np.zeros((len(powers[0]), 1))
    for power in powers:
        is_good = ~np.isnan(power[:, :1])
        total += np.where(is_good, power, 0.0)
        count += is_good
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)
