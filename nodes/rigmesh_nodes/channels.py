"""Choosing, naming, scaling and referencing the channels of a signal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import ParameterError, UnknownName
from rigmesh.node import Input, Node, Output, param
from rigmesh.streams import ChannelInfo, Signal, StreamInfo

__all__ = ["Reference", "Rename", "Scale", "Select", "Share", "channel_index", "channel_indices"]

Array = npt.NDArray[Any]

_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?[1-9]\d*)?\s*)?")


def channel_index(info: StreamInfo, channel: int | str) -> int:
    """Find one channel of a signal.

    Parameters
    ----------
    info : StreamInfo
        The signal.
    channel : int or str
        A label, or an index from 0; negative ones count from the end.

    Raises
    ------
    UnknownName
        If there is none, or an index is out of range.
    """
    names = info.channel_names
    if channel in names:
        return names.index(str(channel))
    if isinstance(channel, str) and not re.fullmatch(r"-?\d+", channel):
        raise UnknownName.among(f"channel of {info.name}", channel, names)
    index = int(channel)
    if not -len(names) <= index < len(names):
        raise UnknownName(
            f"no channel {index} of {info.name}; it has {len(names)}: 0 to {len(names) - 1}"
        )
    return index % len(names)


def channel_indices(info: StreamInfo, channels: Sequence[int | str]) -> list[int]:
    """Find channels of a signal by labels, indices and slices.

    Parameters
    ----------
    info : StreamInfo
        The signal.
    channels : sequence of int or str
        Labels, indices from 0, and slices such as ``"0:16"`` or ``"::2"``.

    Raises
    ------
    UnknownName
        If there is no channel of a label or index.
    ParameterError
        If a slice has no channels.

    Examples
    --------
    >>> eeg = StreamInfo.signal("eeg", channels=["F3", "F4", "Cz", "Pz"], sampling_rate=250)
    >>> channel_indices(eeg, ["Pz", 0, "1:3"])
    [3, 0, 1, 2]
    """
    found: list[int] = []
    for channel in channels:
        match = _SLICE.fullmatch(str(channel))
        if match is None or channel in info.channel_names:
            found.append(channel_index(info, channel))
            continue
        chosen = range(info.n_channels)[
            slice(*(int(part) if part else None for part in match.groups()))
        ]
        if not chosen:
            raise ParameterError(
                f"{channel!r} holds none of the {info.n_channels} channels of {info.name}"
            )
        found += chosen
    return found


class Select(Node):
    """Some of the channels of a signal, in the order they are named."""

    signal = Input(Signal)
    selected = Output(Signal)

    channels: list[int | str] = param(
        min_length=1,
        doc="Labels, indices from 0 (negative: from the end), and slices as texts.",
        examples=[["Cz", "Pz"], [0, "8:16"]],
    )

    def prepare(self) -> None:
        """Find the channels."""
        info = self.signal.info
        self._indices = channel_indices(info, self.channels)
        described = _described(info)
        self.selected.announce(_with_channels(info, [described[i] for i in self._indices]))

    def process(self, chunk: Signal) -> Signal:
        """Take the channels."""
        return chunk.with_data(chunk.data.take(self._indices, axis=1))


class Share(Node):
    """One of several equal shares of the channels of a signal: neighbours, in their order.

    A graph file's ``replicate`` puts it before each of the parallel pipelines. Channels that
    cannot be divided evenly are refused.
    """

    signal = Input(Signal)
    share = Output(Signal)

    k: int = param(ge=1, doc="Which share, from 1.")
    of: int = param(ge=1, doc="How many there are.")

    def prepare(self) -> None:
        """Find the channels."""
        info = self.signal.info
        if self.k > self.of:
            raise ParameterError(f"{self.name}.k: there is no share {self.k} of {self.of}")
        width, rest = divmod(info.n_channels, self.of)
        if rest or not width:
            raise ParameterError(
                f"{self.name}: the {info.n_channels} channels of {info.name} cannot be divided "
                f"evenly into {self.of}; choose some by channels.Select"
            )
        self._chosen = slice((self.k - 1) * width, self.k * width)
        self.share.announce(_with_channels(info, _described(info)[self._chosen]))

    def process(self, chunk: Signal) -> Signal:
        """Take the channels."""
        # Contiguous, as compiled kernels want it.
        return chunk.with_data(np.ascontiguousarray(chunk.data[:, self._chosen]))


class Rename(Node):
    """The same signal with other labels or units; the numbers stay."""

    signal = Input(Signal)
    renamed = Output(Signal)

    names: dict[str, str] = param(
        default={}, doc="New labels by old ones.", examples=[{"ch0": "Cz"}]
    )
    units: dict[str, str] = param(
        default={}, doc="New units by old labels.", examples=[{"ch0": "uV"}]
    )

    def prepare(self) -> None:
        """Find the channels."""
        info = self.signal.info
        described = _described(info)
        for old, unit in self.units.items():
            index = channel_index(info, old)
            described[index] = replace(described[index], unit=unit)
        for old, name in self.names.items():
            index = channel_index(info, old)
            described[index] = replace(described[index], name=name)
        taken = [name for name, n in Counter(c.name for c in described).items() if n > 1]
        if taken and self.names:
            raise ParameterError(
                f"{self.name}.names gives several channels of {info.name} the label {taken[0]!r}"
            )
        self.renamed.announce(_with_channels(info, described))

    def process(self, chunk: Signal) -> Signal:
        """Hand on."""
        return chunk


class Scale(Node):
    """Each channel times a gain, plus an offset: from steps of a converter to volts, say.

    Integers come out as ``float64``; ``float32`` stays.
    """

    signal = Input(Signal)
    scaled = Output(Signal)

    gain: float | list[float] = param(
        default=1.0, doc="Factor: one for all channels, or one a channel."
    )
    offset: float | list[float] = param(
        default=0.0, doc="What is added then, in the new unit: one for all, or one a channel."
    )
    unit: str = param(default="", doc="Unit of the result; empty keeps that of each channel.")

    def prepare(self) -> None:
        """Match gains and offsets to the channels."""
        info = self.signal.info
        self._dtype = _float_of(info)
        self._gain = self._row("gain", self.gain, info)
        self._offset = self._row("offset", self.offset, info)
        described = [replace(c, unit=self.unit or c.unit) for c in _described(info)]
        self.scaled.announce(_with_channels(info, described, dtype=self._dtype))

    def process(self, chunk: Signal) -> Signal:
        """Scale."""
        data = np.multiply(chunk.data, self._gain, dtype=self._dtype)
        data += self._offset
        return chunk.with_data(data)

    def _row(self, name: str, value: float | list[float], info: StreamInfo) -> Array:
        if isinstance(value, list) and len(value) != info.n_channels:
            raise ParameterError(
                f"{self.name}.{name} is one number, or one for each of the {info.n_channels} "
                f"channels of {info.name}; found {len(value)}"
            )
        return np.asarray(value, dtype=self._dtype)


class Reference(Node):
    """Another reference: the average of all channels, the mean of some, or bipolar pairs.

    Without parameters the mean of all channels is subtracted from each (average reference). With
    ``references``, the mean of those (one electrode, linked ears). With ``pairs``, the output has
    the differences instead, one a channel. Integers come out as ``float64``; ``float32`` stays.
    """

    signal = Input(Signal)
    referenced = Output(Signal)

    references: list[str] = param(
        default=[], doc="Channels whose mean is subtracted; none: all.", examples=[["A1", "A2"]]
    )
    pairs: list[str] = param(
        default=[], doc="Differences of two channels, instead.", examples=[["F3-C3", "C3-P3"]]
    )

    def prepare(self) -> None:
        """Find the channels."""
        if self.pairs and self.references:
            raise ParameterError(f"{self.name} takes references or pairs; found both")
        info = self.signal.info
        self._dtype = _float_of(info)
        self._references = [channel_index(info, name) for name in self.references]
        described = _described(info)
        pairs = [self._pair(text, info) for text in self.pairs]
        self._plus = [plus for plus, _ in pairs]
        self._minus = [minus for _, minus in pairs]
        used = {*self._plus, *self._minus} or range(info.n_channels)
        units = sorted({described[i].unit for i in used})
        if len(units) > 1:
            raise ParameterError(
                f"{self.name} subtracts channels of {info.name} from each other, but their units "
                f"differ: {', '.join(unit or 'none' for unit in units)}; leave some out by "
                "channels.Select, or set units by channels.Rename"
            )
        if pairs:
            described = [
                replace(described[plus], name=text)
                for plus, text in zip(self._plus, self.pairs, strict=True)
            ]
        self.referenced.announce(_with_channels(info, described, dtype=self._dtype))

    def process(self, chunk: Signal) -> Signal:
        """Subtract."""
        data = chunk.data.astype(self._dtype, copy=False)
        if self._plus:
            return chunk.with_data(data.take(self._plus, axis=1) - data.take(self._minus, axis=1))
        chosen = data.take(self._references, axis=1) if self._references else data
        return chunk.with_data(data - chosen.mean(axis=1, keepdims=True))

    def _pair(self, text: str, info: StreamInfo) -> tuple[int, int]:
        """Find the two channels of a difference; labels may have hyphens themselves."""
        parts = text.split("-")
        splits = [("-".join(parts[:i]), "-".join(parts[i:])) for i in range(1, len(parts))]
        names = info.channel_names
        known = [split for split in splits if split[0] in names and split[1] in names]
        if not splits or len(known) > 1:
            raise ParameterError(
                f"{self.name}.pairs takes two labels with a hyphen, such as "
                f"'{names[0]}-{names[-1]}'; found {text!r}"
                + (", which can be read in several ways" if known else "")
            )
        plus, minus = known[0] if known else splits[0]
        return channel_index(info, plus), channel_index(info, minus)


def _described(info: StreamInfo) -> list[ChannelInfo]:
    """Return the descriptions of the channels, made up where there are none."""
    return list(info.channels) or [ChannelInfo(name) for name in info.channel_names]


def _with_channels(info: StreamInfo, channels: list[ChannelInfo], dtype: str = "") -> StreamInfo:
    return replace(
        info, sample_shape=(len(channels),), channels=tuple(channels), dtype=dtype or info.dtype
    )


def _float_of(info: StreamInfo) -> str:
    return "float32" if info.dtype == "float32" else "float64"
