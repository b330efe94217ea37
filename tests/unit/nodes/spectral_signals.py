"""Signals for tests of spectra, and what their power is offline."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes.spectra import MorletTransform, wavelet

Array = npt.NDArray[Any]


def noise(
    duration: float = 8.0,
    sampling_rate: float = 250.0,
    n_channels: int = 2,
    dtype: str = "float64",
    index: int = 0,
) -> Signal:
    """Make noise of 10 uV on an offset that differs from channel to channel."""
    n_samples = round(duration * sampling_rate)
    data = 10 * np.random.default_rng(0).normal(size=(n_samples, n_channels))
    data += 300 * np.arange(n_channels)
    info = StreamInfo.signal(
        "amp.signal", channels=n_channels, sampling_rate=sampling_rate, dtype=dtype, unit="uV"
    )
    stamps = (index + np.arange(n_samples)) / sampling_rate
    return Signal(data.astype(dtype), stamps, index=index, info=info)


def scalogram(
    data: Array, transform: MorletTransform, sampling_rate: float, cycles: float
) -> Array:
    """Return the power at every sample, by convolution of the whole signal.

    It has the shape (n_samples, n_channels, n_frequencies); the edges are wrong.
    """
    data = data - data[0]
    found = []
    for frequency, step in zip(transform.frequencies, transform.steps, strict=True):
        kernel = wavelet(frequency, cycles, sampling_rate)[:, None]
        power = np.abs(fftconvolve(data, kernel, "same", axes=0)) ** 2
        n = transform.factor // int(step)
        if n > 1:
            weights = np.zeros((2 * (n - 1) * int(step) + 1, 1))
            weights[:: int(step), 0] = 0.5 * (1 + np.cos(np.pi * np.arange(1 - n, n) / n)) / n
            power = fftconvolve(power, weights, "same", axes=0)
        found.append(power)
    return np.stack(found, axis=-1)


def density_of_mne(data: Array, frequencies: Array, sampling_rate: float, cycles: float) -> Array:
    """Return MNE-Python's power at every sample, as a density."""
    wavelets = mne.time_frequency.morlet(sampling_rate, frequencies, cycles)
    data = data - data[0]
    powers = [np.abs(fftconvolve(data, w[:, None], "same", axes=0)) ** 2 for w in wavelets]
    return np.stack(powers, axis=-1) / sampling_rate
