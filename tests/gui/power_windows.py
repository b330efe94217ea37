"""What tests of windows of power feed them with, and how they are handled."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets

from rigmesh.display import Sink
from rigmesh.node.testing import chunked
from rigmesh.streams import Chunk, Signal, StreamInfo
from rigmesh.viewers.window import ViewerWindow

Array = npt.NDArray[Any]
Window = TypeVar("Window", bound=ViewerWindow)
Key = QtCore.Qt.Key
QTest: Any = QtTest.QTest  # its stubs take the static methods for those of an instance


def tones(
    *frequencies: float,
    duration: float = 8.0,
    rate: float = 250.0,
    start: float = 100.0,
    amplitude: float = 3.0,
    index: int = 0,
) -> Signal:
    """Make a channel for each frequency: a sine of that amplitude, and weak noise."""
    stamps = start + np.arange(round(duration * rate)) / rate
    data = amplitude * np.sin(2 * np.pi * np.outer(stamps, frequencies))
    data += 0.01 * np.random.default_rng(0).normal(size=data.shape)
    info = StreamInfo.signal(
        "amp.signal",
        channels=[f"E{i}" for i in range(len(frequencies))],
        sampling_rate=rate,
        unit="uV",
    )
    return Signal(data, stamps, index=index, info=info)


def feed(sink: Sink, signal: Chunk, *, is_first: bool = True) -> None:
    """Hand a signal to a sink, as a feed does."""
    assert signal.info is not None
    if is_first:
        sink.describe(signal.info)
    for chunk in chunked(signal, 50):
        sink.take(chunk)


def press(window: ViewerWindow, text: str) -> None:
    """Trigger the action that is called so."""
    found = [action for action in window.actions() if action.text() == text]
    assert len(found) == 1, [action.text() for action in window.actions()]
    found[0].trigger()


def turn_wheel(view: Any, steps: int) -> None:
    """Turn the wheel over a view."""
    none = QtCore.Qt.MouseButton.NoButton
    event = QtGui.QWheelEvent(
        QtCore.QPointF(50, 50), QtCore.QPointF(50, 50), QtCore.QPoint(),
        QtCore.QPoint(0, 120 * steps),
        QtCore.Qt.MouseButtons(none), QtCore.Qt.KeyboardModifiers(),
        QtCore.Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(view.viewport(), event)


def shown(window: Window) -> Window:
    """Show a window that is drawn when a test says so."""
    window.resize(700, 500)
    window.show()
    window._timer.stop()
    return window


def fed(window: Window) -> Window:
    """Show a window tones of 10 and 40 Hz."""
    feed(window.sink("signal", "amp.signal"), tones(10, 40))
    window.refresh()
    QtWidgets.QApplication.processEvents()
    return window
