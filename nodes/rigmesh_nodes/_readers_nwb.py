"""NWB files, read by pynwb."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pynwb

from rigmesh.recording import RecordedStream, Rows
from rigmesh.streams import ChannelInfo, StreamInfo
from rigmesh.streams.info import DTYPES
from rigmesh_nodes._readers import EvenStamps, stream_of

__all__ = ["open_nwb"]

_LABELS = ("label", "channel_name", "name")


@contextlib.contextmanager
def open_nwb(path: Path) -> Iterator[list[RecordedStream]]:
    """Open what has times in a file: series of numbers, pictures or annotations, and events."""
    with pynwb.NWBHDF5IO(path, "r") as file:
        taken: set[str] = set()
        streams = []
        for found in file.read().objects.values():
            name = found.name if found.name not in taken else f"{found.parent.name}/{found.name}"
            stream = None
            if isinstance(found, pynwb.TimeSeries):
                stream = _series(found, name)
            elif getattr(found, "neurodata_type", "") == "EventsTable":
                stream = _events(found, name)
            if stream is not None:
                taken.add(name)
                streams.append(stream)
        yield streams


def _events(table: Any, name: str) -> RecordedStream:
    stamps = np.asarray(table["timestamp"][:], np.float64)
    texts = [name] * len(stamps)
    if "annotation" in table.colnames:
        texts = [str(text) for text in table["annotation"][:]]
    return stream_of(StreamInfo.markers(name, stype="Events"), texts, stamps)


def _series(series: Any, name: str) -> RecordedStream | None:
    data = series.data
    n = len(data)
    rate = float(series.rate or 0.0)
    stamps: Rows = EvenStamps(float(series.starting_time), rate, n) if rate else series.timestamps
    if series.neurodata_type == "AnnotationSeries":
        texts = [str(text) for text in data[:]]
        return stream_of(StreamInfo.markers(name, stype="Annotations"), texts, stamps)
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "biuf" or not n:
        return None
    samples = _Samples(data, *_scaling(series))
    shape = samples[0:1].shape[1:]
    info = StreamInfo(
        name,
        kind="frames" if len(shape) > 1 else "signal",
        dtype=samples.dtype,
        sample_shape=shape,
        sampling_rate=rate,
        channels=() if len(shape) > 1 else tuple(_channels(series, shape[0])),
        stype=series.neurodata_type,
    )
    return stream_of(info, samples, stamps)


class _Samples:
    """The samples of a series in its unit; as they are stored if nothing has to be converted."""

    def __init__(self, data: Any, scale: Any, offset: float) -> None:
        self._data = data
        self._scale = scale
        self._offset = offset
        self._is_scaled = bool(np.any(np.asarray(scale) != 1.0) or offset)
        stored = np.dtype(data.dtype)
        plain = stored.name if stored.name in DTYPES else "float64"
        self.dtype = "float64" if self._is_scaled else plain

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        rows = np.asarray(self._data[wanted], self.dtype)
        if rows.ndim == 1:
            rows = rows[:, None]
        return rows * self._scale + self._offset if self._is_scaled else rows


def _scaling(series: Any) -> tuple[Any, float]:
    scale = series.conversion if series.conversion is not None else 1.0
    per_channel = getattr(series, "channel_conversion", None)
    if per_channel is not None:
        scale = scale * np.asarray(per_channel[:], np.float64)
    return scale, float(getattr(series, "offset", None) or 0.0)


def _channels(series: Any, n: int) -> Iterator[ChannelInfo]:
    labels = [f"ch{number}" for number in range(n)]
    electrodes = getattr(series, "electrodes", None)
    if electrodes is not None:
        table = electrodes.table
        column = next((label for label in _LABELS if label in table.colnames), None)
        for number, row in enumerate(electrodes.data[:]):
            labels[number] = str(table[column][int(row)] if column else table.id[int(row)])
    for label in labels:
        yield ChannelInfo(label, str(series.unit or ""))
