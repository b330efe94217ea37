"""Simulated devices: they count samples since the start of the run, as real ones do.

What a device gives is a pure function of the sample's number and its parameters. Neither the size
of the chunks nor a restart changes it: after a restart the numbers go on where the device, which
never stopped counting, is by then.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh import streams
from rigmesh.errors import ParameterError, StreamFormatError
from rigmesh.node import Hz, Microvolts, Milliseconds, Node, Output, Seconds, param
from rigmesh.streams import Chunk, StreamInfo, local_clock

__all__ = ["EEG", "Blocks", "Camera", "Markers", "Oscillators", "frame_number"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_TEN_TWENTY = [
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "O2",
]  # fmt: skip
_ALPHA_AT = {"O": 1.0, "P": 0.7, "C": 0.4, "T": 0.4}


class _Device(Node):
    """Gives chunks of consecutive sample numbers when they are due."""

    can_wait = True

    paced: bool = param(
        default=True,
        doc="Give each sample at its time; otherwise all as fast as possible, stamped from 0 s.",
    )
    n_samples: int = param(default=0, ge=0, doc="End after so many samples; 0: never.")

    _rate = 1.0
    """Samples per second; set by `prepare`."""
    _chunk_size = 1

    def acquire(self) -> Iterator[Chunk]:
        """Emit all that is due, never less: who falls behind catches up chunk by chunk."""
        start, first = 0.0, 0
        if self.paced:
            # The run's start is known from here on, not in `prepare`.
            start = self.runtime.run_start
            if self.runtime.context.get("resumed"):  # it counted on while we were dead
                first = max(0, math.ceil((local_clock() - start) * self._rate))
            for output in self.bound_outputs():
                output.announce(output.info, device_index=first)
        end = first + self.n_samples if self.n_samples else sys.maxsize
        while first < end:
            numbers = np.arange(first, min(first + self._chunk_size, end))
            stamps = start + self._times(numbers)
            chunk = self._chunk(numbers, stamps)  # before it is due: making it delays nothing
            if self.paced and not self.wait_until(float(stamps[-1])):
                return
            yield chunk
            first += len(numbers)

    def _times(self, numbers: Numbers) -> Floats:
        """Return the times of samples since the start, in seconds."""
        return numbers / self._rate

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        """Make the chunk of consecutive sample numbers."""
        raise NotImplementedError


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


class _Amplifier(_Device):
    """Gives channels from blocks of samples."""

    signal = Output(streams.Signal)

    sampling_rate: Hz = param(default=1000.0, gt=0, doc="Samples per second.")
    chunk_duration: Milliseconds = param(default=10.0, gt=0, doc="Length of a chunk.")
    seed: int = param(default=0, ge=0, doc="Makes what is random another one.")

    def _set_up(
        self, samples: Blocks, channels: int | list[str], dtype: str, stype: str = ""
    ) -> None:
        self._samples = samples
        self._rate = rate = self.sampling_rate
        self._chunk_size = max(1, round(self.chunk_duration * 1e-3 * rate))
        self.signal.announce(
            StreamInfo.signal(
                "signal", channels=channels, sampling_rate=rate, dtype=dtype, unit="uV", stype=stype
            )
        )

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        return streams.Signal(self._samples(int(numbers[0]), int(numbers[-1]) + 1), stamps)


class Oscillators(_Amplifier):
    """Sines with white noise, as an amplifier of any size gives them.

    With ``sample_number`` channel 0 carries the number of each sample, so that loss, repetition and
    order show. It wraps with the range of integers, and at 2**24 in ``float32``, which cannot count
    further. Integers are whole microvolts and saturate at their ends, as a converter does.
    """

    n_channels: int = param(default=8, ge=1, doc="Number of channels.")
    frequencies: list[Hz] = param(
        default=[1.0, 2.0, 5.0, 10.0],
        min_length=1,
        doc="Frequencies of the sines, one a channel; over again when there are more channels.",
    )
    amplitude: Microvolts = param(default=100.0, doc="Peak of the sines.")
    noise: Microvolts = param(default=10.0, ge=0, doc="Standard deviation of the white noise.")
    dtype: Literal["float32", "float64", "int8", "int16", "int32"] = param(
        default="float32", doc="Type of the samples."
    )
    sample_number: bool = param(
        default=False, doc="Whether channel 0 carries the number of each sample."
    )

    def prepare(self) -> None:
        """Announce the channels."""
        self._set_up(Blocks(_Sines(self).block, _Sines.SIZE), self.n_channels, self.dtype)


class _Sines:
    """The samples of :class:`Oscillators`: 384 channels at 30 kHz take a third of a core."""

    SIZE = 256

    def __init__(self, node: Oscillators) -> None:
        self._node = node
        self._dtype = np.dtype(node.dtype)
        # float32 holds every int16, and its noise costs half.
        wide = node.dtype in ("float64", "int32")
        self._work: type[np.float32 | np.float64] = np.float64 if wide else np.float32
        frequencies = np.array(node.frequencies[: node.n_channels])
        turns = np.multiply.outer(np.arange(self.SIZE), frequencies) / node.sampling_rate
        self._sin = node.amplitude * np.sin(2 * np.pi * turns)
        self._cos = node.amplitude * np.cos(2 * np.pi * turns)
        self._frequencies = frequencies
        self._which = np.arange(node.n_channels) % len(frequencies)

    def block(self, number: int) -> Array:
        """Return a block, shape (SIZE, n_channels)."""
        node = self._node
        first = number * self.SIZE
        # The remainder is exact where a product of hours and kilohertz would lose the phase;
        # the sum of angles needs no sine a sample.
        angle = 2 * np.pi * ((first * self._frequencies) % node.sampling_rate) / node.sampling_rate
        waves = (self._sin * np.cos(angle) + self._cos * np.sin(angle)).astype(self._work)
        data = waves.take(self._which, axis=1)
        if node.noise:
            noise = _random(node.seed, number).standard_normal(data.shape, self._work)
            noise *= node.noise
            data += noise
        if self._dtype.kind == "i":
            limits = np.iinfo(self._dtype)
            np.rint(data, out=data)
            np.clip(data, limits.min, limits.max, out=data)
        result: Array = data.astype(self._dtype, copy=False)
        if node.sample_number:
            numbers = np.arange(first, first + self.SIZE)
            if node.dtype == "float32":
                numbers %= 2**24  # it cannot count further
            result[:, 0] = numbers.astype(self._dtype)
        return result


class EEG(_Amplifier):
    """Plausible EEG: correlated 1/f noise, an alpha rhythm that waxes and wanes, line noise.

    The rhythm is strongest at the back of the head, as labels of the 10-20 system name it.
    """

    channels: list[str] = param(
        default=_TEN_TWENTY, min_length=1, doc="Labels of the electrodes, of the 10-20 system."
    )
    sampling_rate: Hz = param(default=250.0, gt=0, doc="Samples per second.")
    background: Microvolts = param(default=10.0, ge=0, doc="RMS of the 1/f noise.")
    alpha: Microvolts = param(default=10.0, ge=0, doc="RMS of the alpha rhythm at O1 and O2.")
    alpha_frequency: Hz = param(default=10.0, gt=0, doc="Frequency of the alpha rhythm.")
    line_noise: Microvolts = param(default=2.0, ge=0, doc="Peak of the line noise.")
    line_frequency: Hz = param(
        default=50.0,
        gt=0,
        doc="Frequency of the line noise; none passes half the sampling rate and above.",
    )

    def prepare(self) -> None:
        """Announce the electrodes."""
        if self.alpha_frequency >= self.sampling_rate / 2:
            raise ParameterError(
                f"{self.name}.alpha_frequency is below half the sampling rate of "
                f"{self.sampling_rate:g} Hz; found {self.alpha_frequency:g} Hz"
            )
        head = _Head(self)
        self._set_up(Blocks(head.block, head.size), self.channels, "float32", stype="EEG")


class _Head:
    """The samples of :class:`EEG`."""

    SECONDS = 2.0
    """Length of a block; the slowest wave is twice as long."""
    COMMON = 0.8
    """Share of the background that all electrodes have in common: volume conduction."""

    def __init__(self, node: EEG) -> None:
        self.size = max(8, round(self.SECONDS * node.sampling_rate))
        self._node = node
        frequencies = np.fft.rfftfreq(2 * self.size, 1 / node.sampling_rate)
        frequencies[0] = np.inf  # no offset
        self._pink = self._normed(frequencies**-0.5)
        self._alpha = self._normed(np.exp(-0.5 * (frequencies - node.alpha_frequency) ** 2))
        self._alpha_at = np.array([_ALPHA_AT.get(name[:1], 0.2) for name in node.channels])
        fade = np.pi / 2 * (np.arange(self.size)[:, None] + 0.5) / self.size
        self._fade_in, self._fade_out = np.sin(fade), np.cos(fade)
        self._piece = functools.lru_cache(maxsize=1)(self._make_piece)  # each serves two blocks

    def block(self, number: int) -> Array:
        """Return a block, shape (size, n_channels): one piece of noise fades into the next."""
        node = self._node
        data = self._fade_out * self._piece(number)[self.size :]
        data += self._fade_in * self._piece(number + 1)[: self.size]
        if node.line_frequency < node.sampling_rate / 2:
            numbers = np.arange(number * self.size, (number + 1) * self.size)
            turns = (numbers * node.line_frequency) % node.sampling_rate / node.sampling_rate
            data += node.line_noise * np.sin(2 * np.pi * turns)[:, None]
        return data.astype(np.float32)

    def _make_piece(self, number: int) -> Array:
        """Return noise that is as long as two blocks and of the same strength all along."""
        node = self._node
        n_channels = len(node.channels)
        shape = len(self._pink), n_channels + 2, 2
        spectrum = _random(node.seed, number).standard_normal(shape, np.float32).view("c8")[..., 0]
        spectrum[:, :-1] *= self._pink
        spectrum[:, -1:] *= self._alpha
        waves = np.fft.irfft(spectrum, 2 * self.size, axis=0)
        own, common, alpha = waves[:, :n_channels], waves[:, -2:-1], waves[:, -1:]
        background = math.sqrt(1 - self.COMMON**2) * own + self.COMMON * common
        return node.background * background + node.alpha * self._alpha_at * alpha

    def _normed(self, shape: Array) -> Array:
        """Scale a spectrum so that random phases give a wave with an RMS of 1."""
        shape[-1] = 0.0
        shape *= self.size / np.linalg.norm(shape)
        return shape[:, None]


class Camera(_Device):
    """A bright spot that goes round, with the number of each frame in its top left corner.

    The number is written as 32 blocks of 8 × 8 pixels, four rows of eight, the most significant bit
    first: white is 1, black is 0. :func:`frame_number` reads it, also after lossy compression.
    """

    frames = Output(streams.Frames)

    width: int = param(default=640, ge=64, doc="Pixels in a row.")
    height: int = param(default=480, ge=32, doc="Rows in a frame.")
    rgb: bool = param(default=False, doc="Whether a pixel is three values, not one.")
    sampling_rate: Hz = param(default=30.0, gt=0, doc="Frames per second.")
    spot_period: Seconds = param(default=2.0, gt=0, doc="Time in which the spot goes round.")

    def prepare(self) -> None:
        """Announce the size of the frames."""
        self._rate = self.sampling_rate
        colours = (3,) if self.rgb else ()
        shape = (self.height, self.width, *colours)
        self.frames.announce(
            StreamInfo.frames("frames", shape=shape, sampling_rate=self.sampling_rate)
        )

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        return streams.Frames(self._picture(int(numbers[0]))[None], stamps)

    def _picture(self, number: int) -> npt.NDArray[np.uint8]:
        angle = 2 * np.pi * number / self.sampling_rate / self.spot_period
        columns = np.arange(self.width, dtype=np.float32) - self.width * (0.5 + 0.3 * np.cos(angle))
        rows = np.arange(self.height, dtype=np.float32) - self.height * (0.5 + 0.3 * np.sin(angle))
        radius = min(self.width, self.height) / 20
        spot = np.outer(np.exp(-((rows / radius) ** 2)), np.exp(-((columns / radius) ** 2)))
        picture = (16 + 239 * spot).astype(np.uint8)
        bits = np.unpackbits(np.array([number % 2**32], dtype=">u4").view(np.uint8))
        picture[:32, :64] = np.kron(255 * bits.reshape(4, 8), np.ones((8, 8), dtype=np.uint8))
        return np.repeat(picture[:, :, None], 3, axis=2) if self.rgb else picture


def frame_number(frame: Array) -> int:
    """Read the number that :class:`Camera` wrote into a frame.

    Parameters
    ----------
    frame : ndarray, shape (height, width) or (height, width, n_colours)
        One frame, values from 0 to 255.

    Returns
    -------
    int
        The number, modulo 2**32.

    Raises
    ------
    StreamFormatError
        If the frame is too small to have one.
    """
    if frame.ndim not in (2, 3) or frame.shape[0] < 32 or frame.shape[1] < 64:
        raise StreamFormatError(
            f"a frame number takes 32 rows of 64 pixels; this frame has the shape {frame.shape}"
        )
    blocks = frame[:32, :64].reshape(4, 8, 8, 8, -1)
    bits = blocks.mean(axis=(1, 3, 4)) > 127
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class Markers(_Device):
    """Texts at regular times, or nearly: the triggers of a stimulation program."""

    markers = Output(streams.Markers)

    period: Seconds = param(default=1.0, gt=0, doc="Time from one marker to the next.")
    texts: list[str] = param(
        default=["event {n}"],
        min_length=1,
        doc="Texts, one after the other and over again; {n} stands for the marker's number.",
        examples=[["left", "right"]],
    )
    jitter: Seconds = param(
        default=0.0, ge=0, doc="Longest delay of a marker, each by chance; at most one period."
    )
    seed: int = param(default=0, ge=0, doc="Makes the delays other ones.")

    def prepare(self) -> None:
        """Announce the texts."""
        if self.jitter > self.period:
            raise ParameterError(
                f"{self.name}.jitter is at most the period of {self.period:g} s, or markers would "
                f"overtake each other; found {self.jitter:g} s"
            )
        self._rate = 1 / self.period
        self.markers.announce(StreamInfo.markers("markers"))

    def _times(self, numbers: Numbers) -> Floats:
        delays = [_random(self.seed, int(n)).random() for n in numbers]
        return numbers * self.period + self.jitter * np.array(delays)

    def _chunk(self, numbers: Numbers, stamps: Floats) -> Chunk:
        texts = (self.texts[n % len(self.texts)].replace("{n}", str(n)) for n in numbers)
        return streams.Markers(list(texts), stamps)


def _random(seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of a block: those of a counter, whatever was drawn before."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, number, 0]))
