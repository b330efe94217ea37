"""Morlet wavelets, the frequencies they are made for, and the names of a map's columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.errors import ParameterError, PortMismatch
from rigmesh.streams import ChannelInfo, StreamInfo

__all__ = [
    "HALF_LENGTH",
    "Normalisation",
    "Spacing",
    "columns_of",
    "frequency_grid",
    "labelled",
    "wavelet",
]

Array = npt.NDArray[Any]
Normalisation = Literal["power", "density"]
Spacing = Literal["log", "linear"]

HALF_LENGTH = 5.0
"""Standard deviations from a wavelet's centre to its ends, as MNE-Python has it."""

_LABEL = re.compile(r"(.*) @ ([-+.0-9e]+) Hz")


def frequency_grid(
    f_start: float, f_stop: float, n: int, *, delta: float = 0.0, spacing: Spacing = "log"
) -> Array:
    """Return frequencies from `f_start` up to `f_stop`, in Hz.

    Parameters
    ----------
    f_start, f_stop : float
        The first and the last one, in Hz.
    n : int
        How many.
    delta : float
        Their distance instead, in Hz; the last one is then `f_stop` or less.
    spacing : str
        ``log``: the same ratio from each to the next; ``linear``: the same distance.

    Examples
    --------
    >>> frequency_grid(4, 64, 5).round(6).tolist()
    [4.0, 8.0, 16.0, 32.0, 64.0]
    >>> frequency_grid(3, 10, 0, delta=3).tolist()
    [3.0, 6.0, 9.0]
    """
    if not 0 < f_start <= f_stop:
        raise ParameterError(
            f"frequencies run from f_start, above 0 Hz, up to f_stop; found {f_start:g} to "
            f"{f_stop:g} Hz"
        )
    if delta:
        n = int((f_stop - f_start) / delta + 1e-9) + 1
        return float(f_start) + delta * np.arange(n)
    if spacing == "linear":
        return np.linspace(f_start, f_stop, n)
    return np.geomspace(f_start, f_stop, n)


def wavelet(
    frequency: float,
    n_cycles: float,
    sampling_rate: float,
    normalisation: Normalisation = "power",
) -> Array:
    """Return a complex Morlet wavelet whose squared response is power.

    It is that of MNE-Python (Tallon-Baudry et al., J. Neurosci. 17, 722, 1997): a Gaussian with a
    standard deviation of ``n_cycles / (2 pi frequency)`` seconds times a complex exponential, of
    which a constant is taken so that an offset gives nothing.

    Parameters
    ----------
    frequency, sampling_rate : float
        In Hz.
    n_cycles : float
        Width.
    normalisation : str
        ``power``: a sine of the frequency gives its mean square. ``density``: noise gives its
        power in one hertz, one-sided.

    Returns
    -------
    ndarray of complex, shape (2 * half + 1,)
        Of the centre and `half` samples on either side.
    """
    deviation = n_cycles / (2 * np.pi * frequency)
    half = int(HALF_LENGTH * deviation * sampling_rate)
    times = np.arange(-half, half + 1) / sampling_rate
    carrier = np.exp(2j * np.pi * frequency * times)
    gaussian = np.exp(-0.5 * (times / deviation) ** 2)
    found = (carrier - np.exp(-0.5 * n_cycles**2)) * gaussian
    if normalisation == "power":
        # The sine's other half, at the negative frequency, does not come through.
        return np.asarray(found * (np.sqrt(2) / np.abs(np.vdot(carrier, found))))
    return np.asarray(found * np.sqrt(2 / sampling_rate) / np.linalg.norm(found))


def labelled(
    info: StreamInfo,
    channels: Sequence[int],
    frequencies: Sequence[float],
    normalisation: Normalisation,
    *,
    sampling_rate: float,
    dtype: str,
) -> StreamInfo:
    """Describe powers of channels at frequencies: one column each, all of one channel in a row.

    Parameters
    ----------
    info : StreamInfo
        The signal.
    channels : sequence of int
        Those of its channels that were used.
    frequencies : sequence of float
        In Hz.
    normalisation : str
        Whether it is ``power`` or its ``density``, for the unit.
    sampling_rate : float
        Of the powers, in Hz.
    dtype : str
        Their type.
    """
    texts = _texts(frequencies)
    names = info.channel_names
    described = tuple(
        ChannelInfo(
            f"{names[channel]} @ {text} Hz",
            _unit(info.channels[channel].unit if info.channels else "", normalisation),
            info.channels[channel].type if info.channels else "",
        )
        for channel in channels
        for text in texts
    )
    return replace(
        info,
        sample_shape=(len(described),),
        channels=described,
        sampling_rate=sampling_rate,
        dtype=dtype,
    )


def columns_of(info: StreamInfo) -> tuple[list[str], Array, str]:
    """Read the names of a map's columns.

    Parameters
    ----------
    info : StreamInfo
        What `Morlet` or `Spectrum` gives.

    Returns
    -------
    channels : list of str
        The labels of the channels.
    frequencies : ndarray, shape (n_frequencies,)
        In Hz; the same ones for each channel.
    unit : str
        That of the first column.

    Raises
    ------
    PortMismatch
        If the columns are not those of a map.

    Examples
    --------
    >>> info = StreamInfo.signal("tf.power", channels=["Cz @ 8 Hz", "Cz @ 12.5 Hz"],
    ...                          sampling_rate=100, unit="uV^2")
    >>> columns_of(info)
    (['Cz'], array([ 8. , 12.5]), 'uV^2')
    """
    matches = [_LABEL.fullmatch(name) for name in info.channel_names]
    found = [(match[1], float(match[2])) for match in matches if match]
    n = next((i for i, (_, f) in enumerate(found) if i and f == found[0][1]), len(found))
    channels = [name for name, _ in found[::n]] if n else []
    frequencies = np.array([frequency for _, frequency in found[:n]])
    if len(found) != info.n_channels or [f for _, f in found] != [*frequencies] * len(channels):
        raise PortMismatch(
            f"{info.name} is no map of channels × frequencies: its columns are named like "
            f"{info.channel_names[0]!r}, not like 'Cz @ 12.5 Hz'"
        )
    return channels, frequencies, info.channels[0].unit if info.channels else ""


def _texts(frequencies: Sequence[float]) -> list[str]:
    """Return the frequencies with as few digits as tell them apart, four at least."""
    for digits in range(4, 17):
        texts = [f"{float(frequency):.{digits}g}" for frequency in frequencies]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(float(frequency)) for frequency in frequencies]


def _unit(unit: str, normalisation: Normalisation) -> str:
    if not unit:
        return ""
    return f"{unit}^2/Hz" if normalisation == "density" else f"{unit}^2"
