"""Recordings to export, and what was made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np

from rigmesh.recording import Capture, seal
from rigmesh.streams import ChannelInfo, Chunk, ClockModel, Gap, Markers, Signal, StreamInfo

RATE = 250.0
N = 1000
Record = Callable[..., Path]


def eeg_info(dtype: str = "float32", *, rate: float = RATE, unit: str = "uV") -> StreamInfo:
    return StreamInfo.signal(
        "amp.signal",
        channels=[
            ChannelInfo("Cz", unit, "EEG"), ChannelInfo("ECG1", "mV", "ECG"),
            ChannelInfo("acc", "g", "ACC"),
        ],
        sampling_rate=rate,
        dtype=dtype,
        stype="EEG",
    )  # fmt: skip


EVENTS = StreamInfo.markers("box.events")


def eeg(
    n: int = N, *, index: int = 0, epoch: int = 0, at: float = 100.0, gaps: Sequence[Gap] = (),
    info: StreamInfo | None = None, offset: float = 0.0,
) -> Signal:  # fmt: skip
    info = info or eeg_info()
    random = np.random.default_rng(index + 17 * epoch)
    data = (random.normal(size=(n, 3)) * 50).astype(info.dtype)
    stamps = at + np.arange(n) / info.sampling_rate
    return Signal(
        data, stamps, index=index, epoch=epoch, gaps=tuple(gaps), info=info,
        clock=ClockModel(offset),
    )  # fmt: skip


def marks(*given: tuple[float, str], info: StreamInfo = EVENTS) -> Markers:
    return Markers([text for _, text in given], np.array([t for t, _ in given]), info=info)


def recorded(
    path: Path, *chunks: Chunk, metadata: dict[str, Any] | None = None, notes: Sequence[Any] = (),
    sealed: bool = True,
) -> Path:  # fmt: skip
    capture = Capture.create(path, "run-1", {"metadata": metadata or {}})
    for chunk in chunks:
        capture.append(chunk)
    for note in notes:
        capture.note(note)
    capture.finish()
    return seal(capture) if sealed else path


def read_fif(path: Path) -> Any:
    return mne.io.read_raw_fif(path, preload=True, verbose="ERROR")


def in_volts(data: Any) -> Any:
    return data * np.array([1e-6, 1e-3, 1.0])


def listed(raw: Any) -> list[tuple[float, float, str]]:
    return [
        (round(float(a["onset"]), 6), round(float(a["duration"]), 6), str(a["description"]))
        for a in raw.annotations
    ]
