"""From the spectrum of a stretch of signal to power at some frequencies, by small matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len, rfft

__all__ = ["Line", "Stretch", "stretches"]

Array = npt.NDArray[Any]

_NEGLIGIBLE = 1e-6
"""Part of a wavelet's spectrum, relative to its peak, that is left out: float32 holds no more."""


@dataclass(frozen=True)
class Line:
    """One frequency: its wavelet, and how power is averaged."""

    wavelet: Array
    step: int
    weights: Array

    @classmethod
    def of(cls, found: Array, step: int, row_step: int) -> Line:
        """Average over `row_step` samples, of each of which `step` there is one."""
        n = row_step // step
        weights = 0.5 * (1 + np.cos(np.pi * np.arange(1 - n, n) / n)) / n
        return cls(found, step, weights)

    @property
    def reach(self) -> int:
        """Samples on either side that a result takes."""
        return len(self.wavelet) // 2 + len(self.weights) // 2 * self.step

    def matrix(self, n_fft: int, reach: int, hop: int, row_step: int) -> tuple[int, Array]:
        """Return the first bin, and what takes bins from there to results.

        Parameters
        ----------
        n_fft : int
            Samples of the FFT.
        reach : int
            Place of the first row in its samples.
        hop, row_step : int
            Samples of a block, and from row to row.
        """
        half = len(self.wavelet) // 2
        spectrum = np.fft.fft(np.roll(np.pad(self.wavelet, (0, n_fft - 2 * half - 1)), -half))
        # Around the wavelet's frequency the bins are in a row, also if it lies near an end.
        centre = int(np.abs(spectrum).argmax())
        bins = np.arange(centre - n_fft // 2, centre - n_fft // 2 + n_fft)
        large = np.flatnonzero(np.abs(spectrum[bins % n_fft]) > _NEGLIGIBLE * abs(spectrum[centre]))
        bins = bins[large[0] : large[-1] + 1]
        average = len(self.weights) // 2 * self.step
        places = np.arange(reach - average, reach + hop - row_step + average + 1, self.step)
        turns = np.exp(2j * np.pi * np.outer(bins, places) / n_fft)
        return int(bins[0]), spectrum[bins % n_fft, None] * turns / n_fft


class Stretch:
    """What is made from one FFT: frequencies with wavelets of about a length."""

    def __init__(self, lines: dict[int, Line], hop: int, row_step: int) -> None:
        self.reach = max(line.reach for line in lines.values())
        self._n_samples = hop - row_step + 2 * self.reach + 1
        self._n_fft = next_fast_len(self._n_samples, real=True)
        self._lines = []
        for number, line in lines.items():
            first, matrix = line.matrix(self._n_fft, self.reach, hop, row_step)
            average = _averaging(line, hop, row_step, matrix.shape[1])
            self._lines.append((number, first, matrix.astype(np.complex64), average))
        low = min(first for _, first, _, _ in self._lines)
        high = max(first + len(matrix) for _, first, matrix, _ in self._lines)
        self._offset = low
        bins = np.arange(low, high) % self._n_fft
        self._is_mirrored = bins > self._n_fft // 2
        self._bins = np.where(self._is_mirrored, self._n_fft - bins, bins)

    def transform(self, samples: Array, power: Array) -> None:
        """Write the powers of its frequencies.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_channels, at least n_samples)
            The samples.
        power : ndarray of float32, shape (n_frequencies, n_rows, n_channels)
            Where to write.
        """
        spectrum = rfft(samples[:, : self._n_samples], self._n_fft, axis=1)
        low = self._offset
        if self._is_mirrored.any():
            spectrum = spectrum[:, self._bins]
            np.conjugate(spectrum, out=spectrum, where=self._is_mirrored)
        else:
            spectrum = spectrum[:, low : low + len(self._bins)]
        for number, first, matrix, average in self._lines:
            found = spectrum[:, first - low : first - low + len(matrix)] @ matrix
            squared = np.square(found.real)
            squared += np.square(found.imag)
            power[number] = squared.T if average is None else (squared @ average).T


def _averaging(line: Line, hop: int, row_step: int, n_places: int) -> Array | None:
    """Return the matrix that averages power at its places into rows; None if they are the same."""
    n = len(line.weights)
    if n == 1:
        return None
    n_rows, apart = hop // row_step, row_step // line.step
    matrix = np.zeros((n_places, n_rows), np.float32)
    for row in range(n_rows):
        matrix[row * apart : row * apart + n, row] = line.weights
    return matrix


def stretches(lines: list[Line], hop: int, row_step: int) -> list[Stretch]:
    """Divide frequencies so that no FFT is more than about twice as long as they need."""
    rest = sorted(range(len(lines)), key=lambda number: lines[number].reach, reverse=True)
    found = []
    while rest:
        least = (hop + 2 * lines[rest[0]].reach) / 2
        group = [number for number in rest if hop + 2 * lines[number].reach >= least]
        found.append(Stretch({number: lines[number] for number in group}, hop, row_step))
        rest = rest[len(group) :]
    return found
