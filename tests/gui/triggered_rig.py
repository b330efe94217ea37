"""A triggered oscilloscope that is fed by hand, and what can be read off its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtGui, QtWidgets

from rigmesh.streams import Markers, Signal, StreamInfo
from rigmesh.viewers.sweep_canvas import Slot
from rigmesh.viewers.triggered import TriggeredOscilloscope
from rigmesh_nodes import viewers as declared

Array = npt.NDArray[Any]
RATE = 500
INFO = StreamInfo.signal(
    "eeg.signal", channels=["Cz", "Pz", "<b>Oz</b>"], sampling_rate=RATE, dtype="float32", unit="uV"
)
TRIGGERS = [2.0, 3.0, 3.5, 5.0]


class Rig:
    """A window with a signal and events linked to it."""

    def __init__(self, **parameters: Any) -> None:
        parameters = {"before": 0.1, "after": 0.2, **parameters}
        self.window = TriggeredOscilloscope(declared.TriggeredOscilloscope(**parameters))
        self.changes: list[dict[str, Any]] = []
        self.window.changed.connect(self.changes.append)
        self.signal = self.window.sink("signal", "eeg.signal")
        self.events = self.window.sink("events", "stim.out")
        self.window.resize(900, 700)
        self.window.show()
        QtWidgets.QApplication.processEvents()

    @property
    def settings(self) -> Any:
        return self.window.settings

    def feed(self, data: Array | None = None, first: int = 0, info: StreamInfo = INFO) -> Array:
        data = (responses() if data is None else data).astype(info.dtype)
        self.signal.describe(info)
        for start in range(0, len(data), 73):
            part = data[start : start + 73]
            stamps = (first + start + np.arange(len(part))) / RATE
            self.signal.take(Signal(part, stamps, index=first + start, info=info))
        return data

    def trigger(self, *times: float, text: str = "go") -> None:
        self.events.take(Markers([text] * len(times), np.array(times)))

    def slots(self) -> list[Slot]:
        self.window.refresh()
        return self.window.canvas.slots

    def act(self, key: str) -> None:
        """Do what a key does."""
        keys = QtGui.QKeySequence(key)
        (action,) = (a for a in self.window.actions() if a.shortcut() == keys)
        action.trigger()


def responses(n: int = 3000) -> Array:
    """Noise with a bump after each trigger; the channels have other sizes and offsets."""
    t = np.arange(n) / RATE
    data = np.random.default_rng(0).normal(size=(n, 3))
    for trigger in TRIGGERS:
        data += 20 * np.exp(-(((t - trigger - 0.1) / 0.02) ** 2))[:, None]
    return data * [1, 2, 3] + [0, 1000, -500]


def sweeps(data: Array, times: list[float], *, baseline: bool = True) -> Array:
    """Cut with numpy."""
    at = [round(time * RATE) for time in times]
    cut = np.stack([data[k - 50 : k + 101] for k in at]).astype(float)
    return cut - cut[:, :50].mean(axis=1, keepdims=True) if baseline else cut


def values(slot: Slot, heights: Array) -> Array:
    """Read values off the screen."""
    return slot.centre + (slot.zero - heights) / slot.scale
