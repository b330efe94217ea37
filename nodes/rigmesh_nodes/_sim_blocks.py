"""Samples that are a pure function of their number, made a block at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Blocks", "Fading", "coloured", "normed", "random_of"]

Array = npt.NDArray[Any]


class Blocks:
    """Samples that are a pure function of their number, made one block at a time.

    Parameters
    ----------
    make : callable
        Makes the samples of a block, an array of the shape (size, ...), from its number.
    size : int
        Samples in a block.

    Notes
    -----
    A block is always made whole: vector instructions may give other last bits to an array of
    another length, and random numbers can be had for a block but not for a sample.
    """

    def __init__(self, make: Callable[[int], Array], size: int) -> None:
        self._make = make
        self._size = size
        self._number = -1
        self._block: Array = np.empty(0)

    def __call__(self, first: int, stop: int) -> Array:
        """Return the samples ``first`` to ``stop - 1``, read-only."""
        size = self._size
        parts = []
        for number in range(first // size, (stop - 1) // size + 1):
            if number != self._number:
                self._block = self._make(number)
                self._block.flags.writeable = False
                self._number = number
            begin = number * size
            parts.append(self._block[max(first - begin, 0) : stop - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Fading:
    """Noise without an end: each piece of it fades into the next.

    Parameters
    ----------
    make_piece : callable
        Makes a piece, shape (2 * size, n_channels), from its number; as strong all along.
    size : int
        Samples in a block.
    """

    def __init__(self, make_piece: Callable[[int], Array], size: int) -> None:
        self.size = size
        fade = np.pi / 2 * (np.arange(size)[:, None] + 0.5) / size
        self._fade_in, self._fade_out = np.sin(fade), np.cos(fade)
        self._piece = functools.lru_cache(maxsize=1)(make_piece)  # each serves two blocks

    def block(self, number: int) -> Array:
        """Return a block, shape (size, n_channels)."""
        data: Array = self._fade_out * self._piece(number)[self.size :]
        data += self._fade_in * self._piece(number + 1)[: self.size]
        return data


def normed(weights: Array) -> Array:
    """Scale a spectrum of amplitudes so that :func:`coloured` makes waves with an RMS of 1.

    Parameters
    ----------
    weights : ndarray, shape (size + 1,)
        From 0 to half the sampling rate; the last one is set to 0.

    Returns
    -------
    ndarray, shape (size + 1, 1)
    """
    weights[-1] = 0.0
    weights *= (len(weights) - 1) / np.linalg.norm(weights)
    return weights[:, None]


def coloured(random: np.random.Generator, *parts: tuple[Array, int]) -> Array:
    """Return waves of random phases, each as strong from its begin to its end.

    Parameters
    ----------
    random : Generator
        What is drawn from.
    *parts : (ndarray of shape (size + 1, 1), int)
        Weights of the frequencies, and how many waves have them.

    Returns
    -------
    ndarray, shape (2 * size, n_waves)
    """
    size = len(parts[0][0]) - 1
    n_waves = sum(count for _, count in parts)
    spectrum = random.standard_normal((size + 1, n_waves, 2), np.float32).view("c8")[..., 0]
    first = 0
    for weights, count in parts:
        spectrum[:, first : first + count] *= weights
        first += count
    return np.fft.irfft(spectrum, 2 * size, axis=0)


def random_of(seed: int, number: int, purpose: int = 0) -> np.random.Generator:
    """Return the random numbers of a block: those of a counter, whatever was drawn before."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, number, purpose]))
