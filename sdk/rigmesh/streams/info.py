"""The description of a stream."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rigmesh.errors import StreamFormatError

__all__ = ["DTYPES", "ChannelInfo", "StreamInfo"]

DTYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64",
    "text",
)  # fmt: skip

_KINDS = ("signal", "markers", "frames")


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """One channel of a stream: its label, physical unit and LSL type (``EEG``, ``ECG`` …)."""

    name: str
    unit: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the samples of a stream are.

    Parameters
    ----------
    name : str
        Name of the stream; in a graph ``node.port``.
    kind : str
        ``signal``, ``markers`` or ``frames``.
    dtype : str
        Type of one value: a NumPy name, or ``text`` for markers.
    sample_shape : tuple of int
        Shape of one sample: ``(n_channels,)`` of a signal, ``(height, width)`` or
        ``(height, width, 3)`` of a frame, ``(n_channels,)`` of markers.
    sampling_rate : float
        In Hz; 0 means irregular.
    channels : tuple of ChannelInfo
        One a channel of a signal or marker stream; empty for frames.
    stype : str
        LSL's content type, such as ``EEG``.
    source_id : str
        LSL's identifier of the source, stable over restarts.
    clock_id : str
        The clock that stamps the samples; empty for the local clock.
    description : str
        LSL's free description as XML, kept as it came.

    Raises
    ------
    StreamFormatError
        If the parts do not fit each other.

    Notes
    -----
    A marker stream with several channels (LSL allows it) carries each marker as a JSON list of
    its texts.
    """

    name: str
    kind: str = "signal"
    dtype: str = "float64"
    sample_shape: tuple[int, ...] = (1,)
    sampling_rate: float = 0.0
    channels: tuple[ChannelInfo, ...] = ()
    stype: str = ""
    source_id: str = ""
    clock_id: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise StreamFormatError(f"{self.name}: kind is one of {_KINDS}, not {self.kind!r}")
        if self.dtype not in DTYPES:
            raise StreamFormatError(f"{self.name}: dtype is one of {DTYPES}, not {self.dtype!r}")
        if (self.kind == "markers") != (self.dtype == "text"):
            raise StreamFormatError(f"{self.name}: markers, and only they, have the dtype text")
        if not math.isfinite(self.sampling_rate) or self.sampling_rate < 0:
            raise StreamFormatError(
                f"{self.name}: sampling_rate is ≥ 0 Hz (0: irregular), not {self.sampling_rate}"
            )
        if not self.sample_shape or any(n < 1 for n in self.sample_shape):
            raise StreamFormatError(f"{self.name}: a sample of shape {self.sample_shape} is empty")
        if self.kind != "frames":
            if len(self.sample_shape) != 1:
                raise StreamFormatError(
                    f"{self.name}: a sample of a {self.kind} stream has the shape (n_channels,), "
                    f"not {self.sample_shape}"
                )
            if self.channels and len(self.channels) != self.sample_shape[0]:
                raise StreamFormatError(
                    f"{self.name}: {self.sample_shape[0]} channels, {len(self.channels)} labels"
                )

    @classmethod
    def signal(
        cls,
        name: str,
        *,
        channels: int | Sequence[str] | Sequence[ChannelInfo],
        sampling_rate: float,
        dtype: str = "float64",
        unit: str = "",
        stype: str = "",
        source_id: str = "",
    ) -> StreamInfo:
        """Describe a numeric stream from a number of channels, their names or their descriptions.

        Examples
        --------
        >>> StreamInfo.signal("eeg", channels=["Cz", "Pz"], sampling_rate=250, unit="uV").n_channels
        2
        """
        if isinstance(channels, int):
            width = len(str(max(channels - 1, 0)))
            channels = [f"ch{i:0{width}d}" for i in range(channels)]
        described = tuple(
            c if isinstance(c, ChannelInfo) else ChannelInfo(c, unit, stype) for c in channels
        )
        return cls(
            name=name,
            dtype=dtype,
            sample_shape=(len(described),),
            sampling_rate=float(sampling_rate),
            channels=described,
            stype=stype,
            source_id=source_id,
        )

    @classmethod
    def markers(
        cls, name: str, *, n_channels: int = 1, stype: str = "Markers", source_id: str = ""
    ) -> StreamInfo:
        """Describe a stream of texts at irregular times."""
        return cls(
            name=name,
            kind="markers",
            dtype="text",
            sample_shape=(n_channels,),
            stype=stype,
            source_id=source_id,
        )

    @classmethod
    def frames(
        cls,
        name: str,
        *,
        shape: tuple[int, ...],
        sampling_rate: float,
        dtype: str = "uint8",
        stype: str = "Video",
    ) -> StreamInfo:
        """Describe a stream of pictures of the shape ``(height, width[, n_colours])``."""
        return cls(
            name=name,
            kind="frames",
            dtype=dtype,
            sample_shape=shape,
            sampling_rate=float(sampling_rate),
            stype=stype,
        )

    @property
    def n_channels(self) -> int:
        """Number of channels; of frames, values in one frame."""
        return int(np.prod(self.sample_shape))

    @property
    def sample_bytes(self) -> int:
        """Size of one sample; 0 for markers, whose size varies."""
        return 0 if self.dtype == "text" else self.n_channels * np.dtype(self.dtype).itemsize

    @property
    def is_regular(self) -> bool:
        """Whether there is a nominal sampling rate."""
        return self.sampling_rate > 0

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Labels of the channels, made up where there are none."""
        if self.channels:
            return tuple(c.name for c in self.channels)
        return tuple(f"ch{i}" for i in range(self.sample_shape[0]))

    def renamed(self, name: str) -> StreamInfo:
        """Return the same description under another name."""
        return replace(self, name=name)

    def same_format(self, other: StreamInfo) -> bool:
        """Whether samples of the two streams can follow each other in one ring."""
        return (
            self.kind == other.kind
            and self.dtype == other.dtype
            and self.sample_shape == other.sample_shape
            and self.sampling_rate == other.sampling_rate
            and self.channels == other.channels
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` takes; only JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StreamInfo:
        """Make a description of what :meth:`to_dict` gave."""
        known = dict(values)
        known["sample_shape"] = tuple(known.get("sample_shape", (1,)))
        known["channels"] = tuple(ChannelInfo(**c) for c in known.get("channels", ()))
        return cls(**known)

    def to_json(self) -> str:
        """Return the description as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> StreamInfo:
        """Read what :meth:`to_json` wrote."""
        return cls.from_dict(json.loads(text))
