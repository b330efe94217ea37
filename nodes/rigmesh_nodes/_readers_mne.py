"""EDF, BDF, BrainVision and FIF files, read by MNE."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mne
import numpy as np
import numpy.typing as npt

from rigmesh.recording import RecordedStream
from rigmesh.streams import ChannelInfo, StreamInfo
from rigmesh_nodes._readers import EvenStamps, stream_of

__all__ = ["open_raw"]

_READERS = {
    ".edf": mne.io.read_raw_edf,
    ".bdf": mne.io.read_raw_bdf,
    ".vhdr": mne.io.read_raw_brainvision,
    ".fif": mne.io.read_raw_fif,
}
_VOLT, _TESLA, _TESLA_PER_METRE = 107, 112, 201
_VOLTS = {"V": 1.0, "mV": 1e3, "uV": 1e6, "nV": 1e9}


@contextlib.contextmanager
def open_raw(path: Path) -> Iterator[list[RecordedStream]]:
    """Open a file as one signal and, if it has annotations, their descriptions."""
    raw = _READERS[path.suffix.lower()](path, preload=False, verbose="ERROR")
    try:
        yield list(_streams(raw, path))
    finally:
        raw.close()


def _streams(raw: Any, path: Path) -> Iterator[RecordedStream]:
    rate, n = float(raw.info["sfreq"]), len(raw.times)
    types = [kind.upper() for kind in raw.get_channel_types()]
    units = [_unit(raw, number, path) for number in range(len(types))]
    info = StreamInfo.signal(
        path.stem,
        channels=[
            ChannelInfo(name, unit.symbol, kind)
            for name, unit, kind in zip(raw.ch_names, units, types, strict=True)
        ],
        sampling_rate=rate,
        stype=max(types, key=types.count),
    )
    scale = np.array([unit.scale for unit in units])
    yield stream_of(info, _Samples(raw, scale), EvenStamps(0.0, rate, n))
    annotations = raw.annotations
    if len(annotations):
        # With a measurement date, onsets count from it; the samples from the first that is kept.
        origin = raw.first_time if annotations.orig_time is not None else 0.0
        yield stream_of(
            StreamInfo.markers("annotations", stype="Annotations"),
            [str(text) for text in annotations.description],
            np.asarray(annotations.onset, np.float64) - origin,
        )


class _Samples:
    """The samples of a file in the units of its channels."""

    def __init__(self, raw: Any, scale: npt.NDArray[np.float64]) -> None:
        self._raw = raw
        self._scale = scale

    def __len__(self) -> int:
        return len(self._raw.times)

    def __getitem__(self, wanted: slice) -> npt.NDArray[np.float64]:
        start, stop, step = wanted.indices(len(self))
        data = self._raw.get_data(start=start, stop=max(start, stop), verbose="ERROR")
        scaled: npt.NDArray[np.float64] = np.ascontiguousarray(data.T) * self._scale
        return scaled[::step]


class _Unit(NamedTuple):
    """A unit, and what MNE's values are multiplied by to be in it."""

    symbol: str
    scale: float = 1.0


def _unit(raw: Any, number: int, path: Path) -> _Unit:
    """Return the unit of a channel: that of the file, which MNE does not give publicly."""
    channel = raw.info["chs"][number]
    named = getattr(raw, "_orig_units", {}).get(channel["ch_name"], "")
    symbol = named.replace("\u00b5", "u").replace("\u03bc", "u")
    if channel["unit"] == _VOLT:
        symbol = symbol if symbol in _VOLTS else "uV"
        return _Unit(symbol, _VOLTS[symbol])
    if channel["unit"] in (_TESLA, _TESLA_PER_METRE):
        return _Unit("T" if channel["unit"] == _TESLA else "T/m")
    if symbol == "uS" and path.suffix.lower() == ".vhdr":  # the only other that MNE converts
        return _Unit("uS", 1e6)
    is_stated = symbol != "n/a" and symbol not in _VOLTS
    return _Unit(symbol if is_stated else "")
