"""Recordings to replay, and what comes of them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rigmesh.node.testing import collect, run
from rigmesh.streams import (
    Chunk,
    ClockModel,
    Gap,
    Signal,
    StreamInfo,
)
from rigmesh.streams.lslxml import to_xml
from rigmesh_nodes.record import HDF5Recorder
from rigmesh_nodes.replay import File

EEG = StreamInfo.signal("amp.eeg", channels=["Cz", "Pz"], sampling_rate=100.0, unit="uV")


def replayed(path: Path, **parameters: Any) -> Any:
    """Everything a file gives, unpaced, an entry for each output."""
    return collect(File(path=str(path), paced=False, **parameters))


def joined(tape: Any) -> Any:
    return np.concatenate([chunk.data for chunk in tape.chunks])


def stamps(tape: Any) -> Any:
    return np.concatenate([chunk.raw_timestamps for chunk in tape.chunks])


def texts(tape: Any) -> list[str]:
    return [text for chunk in tape.chunks for text in chunk.data]


def eeg(
    first: int, n: int, *, epoch: int = 0, gaps: Sequence[Gap] = (), clock: float = 0.0
) -> Signal:
    """Samples `first` to `first + n - 1`, of which channel 0 carries the number."""
    numbers = np.arange(first, first + n, dtype=np.float64)
    return Signal(
        np.stack([numbers, -numbers], axis=1),
        50.0 + numbers / 100,
        index=first,
        epoch=epoch,
        gaps=tuple(gaps),
        clock=ClockModel(offset=clock),
        info=EEG,
    )


def record(path: Path, *chunks: Chunk) -> Path:
    run(HDF5Recorder(path=str(path)), *chunks)
    return path


def chunk_of_xdf(tag: int, content: bytes) -> bytes:
    return b"\x08" + struct.pack("<QH", len(content) + 2, tag) + content


def write_xdf(
    path: Path, *streams: tuple[StreamInfo, Any, Sequence[float], Mapping[float, float]]
) -> Path:
    """Write streams, each with its samples, stamps and measured clock offsets."""
    out = b"XDF:" + chunk_of_xdf(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')
    for number, (info, samples, times, offsets) in enumerate(streams, 1):
        stream = struct.pack("<I", number)
        out += chunk_of_xdf(2, stream + to_xml(info).encode())
        content = stream + b"\x04" + struct.pack("<I", len(times))
        for sample, stamp in zip(samples, times, strict=True):
            content += b"\x08" + struct.pack("<d", stamp)
            if info.kind == "markers":
                for text in sample:
                    content += b"\x04" + struct.pack("<I", len(text.encode())) + text.encode()
            else:
                content += np.asarray(sample).tobytes()
        out += chunk_of_xdf(3, content)
        for when, offset in offsets.items():
            out += chunk_of_xdf(4, stream + struct.pack("<dd", when, offset))
        out += chunk_of_xdf(6, stream + b"<info/>")
    path.write_bytes(out)
    return path


# --- what is in the file -----------------------------------------------------------------------
