"""XDF files, read by pyxdf."""

from __future__ import annotations

import contextlib
import json
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyxdf

from rigmesh.errors import StreamFormatError
from rigmesh.recording import EpochRows, RecordedStream, RowClock, Rows
from rigmesh.streams import IDENTITY, ClockModel, StreamInfo
from rigmesh.streams.lslxml import flagged, from_xml
from rigmesh_nodes._readers import stream_of

__all__ = ["open_xdf"]

_FIELDS = ("name", "type", "channel_count", "channel_format", "source_id", "nominal_srate")

Stamps = npt.NDArray[np.float64]


@contextlib.contextmanager
def open_xdf(path: Path) -> Iterator[list[RecordedStream]]:
    """Load a file: raw stamps, and the stamps that pyxdf maps onto the recorder's clock."""
    raw: dict[int, list[Stamps]] = defaultdict(list)

    def keep(data: Any, stamps: Stamps, info: Any, number: int) -> tuple[Any, Stamps, Any]:
        raw[number].append(np.array(stamps, np.float64))
        return data, stamps, info

    loaded, _ = pyxdf.load_xdf(path, on_chunk=keep, dejitter_timestamps=False, verbose=False)
    taken: set[str] = set()
    streams = []
    for one in loaded:
        number = one["info"]["stream_id"]
        info = _info(one["info"])
        name = info.name or f"stream {number}"
        info = info.renamed(name if name not in taken else f"{name} ({number})")
        taken.add(info.name)
        stamps = np.concatenate([np.empty(0), *raw[number]])[: len(one["time_stamps"])]
        streams.append(_stream(info, one, stamps))
    yield streams


def _stream(info: StreamInfo, loaded: Mapping[str, Any], raw: Stamps) -> RecordedStream:
    local = np.asarray(loaded["time_stamps"], np.float64)
    series = loaded["time_series"]
    data: Rows
    if info.kind == "markers":
        data = [row[0] if len(row) == 1 else json.dumps(row, ensure_ascii=False) for row in series]
    else:
        data = np.asarray(series, info.dtype).reshape(len(raw), info.n_channels)
    # A segment per clock: pyxdf finds where the clock of the sender was reset.
    segments = [(first, last + 1) for first, last in loaded["info"]["clock_segments"]]
    if not segments and len(raw):
        segments = [(0, len(raw))]
    return stream_of(
        info,
        data,
        raw,
        timestamps=local,
        epochs=[
            EpochRows(number, first, stop - first, 0, None, 0)
            for number, (first, stop) in enumerate(segments)
        ],
        clocks=[
            RowClock(first, _line(raw[first:stop], local[first:stop])) for first, stop in segments
        ],
    )


def _line(raw: Stamps, local: Stamps) -> ClockModel:
    """Return the line that pyxdf mapped a segment by."""
    span = float(raw[-1] - raw[0])
    offset = float(local[0] - raw[0])
    drift = (float(local[-1] - raw[-1]) - offset) / span if span else 0.0
    return ClockModel(offset, drift, float(raw[0])) if offset or drift else IDENTITY


def _info(header: Mapping[str, Any]) -> StreamInfo:
    core = {key: header.get(key) for key in _FIELDS}
    try:
        return from_xml(_xml("info", {**core, "desc": header.get("desc")}))
    except StreamFormatError as error:
        return flagged(from_xml(_xml("info", core)), str(error))


def _xml(tag: str, content: Mapping[str, Any]) -> str:
    """Write what pyxdf made of a header as XML again."""
    root = ET.Element(tag)
    _append(root, content)
    return ET.tostring(root, encoding="unicode")


def _append(parent: ET.Element, content: Mapping[str, Any]) -> None:
    for tag, values in content.items():
        for value in values or []:
            element = ET.SubElement(parent, tag)
            if isinstance(value, Mapping):
                _append(element, value)
            elif value is not None:
                element.text = str(value)
