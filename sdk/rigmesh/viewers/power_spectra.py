"""Power spectra of a signal, computed in the thread of its feed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RigmeshError
from rigmesh.streams import Chunk, StreamInfo
from rigmesh_nodes.channels import channel_indices
from rigmesh_nodes.filters import regular_rate
from rigmesh_nodes.spectra import Welch, columns_of, labelled

__all__ = ["Curves", "SpectrumSink"]

Array = npt.NDArray[Any]

_ANEW = {"channels", "normalisation", "segment", "overlap", "window"}
"""Parameters whose change makes other spectra."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Spectra as they are now.

    Attributes
    ----------
    n_segments : int
        Segments so far; spectra with the same number are the same.
    channels : tuple of str
        Their labels.
    frequencies : ndarray, shape (n_frequencies,)
        In Hz.
    unit : str
        Of power.
    power : ndarray, shape (n_channels, n_frequencies)
        Averages; NaN where there is none yet.
    highest : ndarray, shape (n_channels, n_frequencies)
        Highest averages since the last `hold`; NaN where there is none.
    """

    n_segments: int
    channels: tuple[str, ...]
    frequencies: Array
    unit: str
    power: Array
    highest: Array


class SpectrumSink:
    """Averages spectra of a signal.

    Parameters
    ----------
    values : mapping
        Parameters of the window.

    Attributes
    ----------
    problem : str
        Why there are none.
    curves : Curves or None
        The newest spectra, once there are any.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.problem = ""
        self.curves: Curves | None = None
        self._values = dict(values)
        self._info: StreamInfo | None = None
        self._welch: Welch | None = None
        self._indices: list[int] = []
        self._channels: tuple[str, ...] = ()
        self._unit = ""
        self._n_segments = 0
        self._highest: Array | None = None
        self._lock = threading.Lock()

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows."""
        with self._lock:
            self._info = info
            self._build()

    def take(self, chunk: Chunk) -> None:
        """Add the segments that are full."""
        with self._lock:
            welch = self._welch
            if welch is None:
                return
            if chunk.gaps:
                welch.restart()
            power, _ = welch(chunk.data[:, self._indices], chunk.raw_timestamps, chunk.index)
            if not len(power):
                return
            self._n_segments += len(power)
            above = np.fmax.reduce(power, axis=0)
            self._highest = above if self._highest is None else np.fmax(self._highest, above)
            self.curves = Curves(
                self._n_segments,
                self._channels,
                welch.frequencies,
                self._unit,
                power[-1],
                self._highest,
            )

    def configure(self, values: Mapping[str, Any]) -> None:
        """Compute by other parameters of the window from now on."""
        with self._lock:
            before, self._values = self._values, dict(values)
            changed = {name for name in values if values[name] != before.get(name)}
            if changed & _ANEW or self.problem:
                self._build()
            elif changed & {"averaging", "n_segments"} and self._welch is not None:
                self._welch.average(values["averaging"], values["n_segments"])

    def reset(self) -> None:
        """Begin averages, and what is held, with the next segment."""
        with self._lock:
            self.curves = self._highest = None
            if self._welch is not None:
                self._welch.reset()

    def hold(self) -> None:
        """Hold the highest values from the next segment on."""
        with self._lock:
            self._highest = None

    def _build(self) -> None:
        info, values = self._info, self._values
        self._welch = self.curves = self._highest = None
        if info is None:
            return
        try:
            rate = regular_rate(info, "this window")
            self._indices = channel_indices(info, values["channels"] or ["0:16"])
            segment = max(2, round(values["segment"] * rate))
            welch = Welch(
                len(self._indices),
                rate,
                segment=segment,
                step=max(1, segment - round(segment * values["overlap"] / 100)),
                window=values["window"],
                normalisation=values["normalisation"],
            )
        except RigmeshError as error:
            self.problem = str(error)
            return
        welch.average(values["averaging"], values["n_segments"])
        columns = labelled(
            info,
            self._indices,
            welch.frequencies.tolist()[:1],
            values["normalisation"],
            sampling_rate=1.0,
            dtype="float64",
        )
        channels, _, self._unit = columns_of(columns)
        self._channels = tuple(channels)
        self._welch, self.problem = welch, ""
