"""Windows of traces that are fed by hand, and what can be read off their pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.node import Node
from rigmesh.streams import Gap, Markers, Signal, StreamInfo
from rigmesh.viewers.oscilloscope import Oscilloscope
from rigmesh.viewers.trace_panel import TITLE_HEIGHT, TracePanel
from rigmesh.viewers.trace_window import TraceWindow
from rigmesh_nodes import viewers as declared

Array = npt.NDArray[Any]
START = 1000.0


class Source:
    """Hands samples to the sink of a window, one after the other."""

    def __init__(self, window: TraceWindow, info: StreamInfo, *, stream: str = "") -> None:
        self.info = info
        self.sink = window.sink("signal", stream or info.name)
        self.time = START
        self.sink.describe(info)

    def give(self, data: Array, gaps: tuple[Gap, ...] = ()) -> None:
        """Hand on samples, shape (n_samples, n_channels)."""
        times = self.time + np.arange(len(data)) / self.info.sampling_rate
        chunk = Signal(data.astype(self.info.dtype), times, gaps=gaps, info=self.info)
        self.sink.take(chunk)
        self.time += len(data) / self.info.sampling_rate

    def change(self, info: StreamInfo) -> None:
        """Describe another format."""
        self.info = info
        self.sink.describe(info)


def shown(window: TraceWindow, width: int = 700, height: int = 500) -> None:
    """Show a window, without its timers."""
    window.resize(width, height)
    window.show()
    window._timer.stop()
    window._status.stop()
    QtWidgets.QApplication.processEvents()


def draw(window: TraceWindow) -> None:
    """Draw once, and let Qt lay out and paint."""
    window.refresh()
    QtWidgets.QApplication.processEvents()
    window.refresh()
    QtWidgets.QApplication.processEvents()


def mark(window: TraceWindow, times: list[float], texts: list[str]) -> None:
    """Hand markers to a window."""
    sink = window.sink("markers", "task.events")
    sink.describe(StreamInfo.markers("task.events"))
    sink.take(Markers.at(times, texts))


def named(node: Node, name: str = "scope") -> Node:
    """Give a declared window a name."""
    node.name = name
    return node


def only_panel(window: TraceWindow) -> TracePanel:
    """Return the panel of a window that has one."""
    (panel,) = window.panels.values()
    return panel


def column_of(panel: TracePanel, time: float) -> int:
    """Return where in its picture the column of a time is."""
    return int(np.floor(time / panel.base.step)) % panel.base.width


def shares_of(panel: TracePanel, column: int, colour: int) -> Array:
    """Return how much of each pixel of a column is covered by a trace of a colour."""
    pixels = panel.follower.raster.pixels[:, column].astype(np.int64)
    parts = np.stack([(pixels >> bits) & 255 for bits in (16, 8, 0)], axis=1)
    empty, full = (
        np.array([(rgb >> bits) & 255 for bits in (16, 8, 0)])
        for rgb in (panel.theme.background, colour)
    )
    share = (parts - empty) @ (full - empty) / ((full - empty) @ (full - empty))
    found: Array = np.where(share > 0.2, share, 0)  # lines behind the traces are pale
    return found


def height_drawn(panel: TracePanel, column: int, colour: int) -> float:
    """Return the height of the middle of a trace in a column; NaN if it is not there."""
    share = shares_of(panel, column, colour)
    total = share.sum()
    return float((share * (np.arange(len(share)) + 0.5)).sum() / total) if total else np.nan


def screen(window: QtWidgets.QWidget) -> QtGui.QImage:
    """Return what a widget looks like."""
    return window.grab().toImage()


def at_channel(panel: TracePanel, row: int) -> QtCore.QPoint:
    """Return where the label of a row is."""
    label = panel.look.labels[row]
    return QtCore.QPoint(panel.gutter // 2, TITLE_HEIGHT + int(label.y))


def in_picture(panel: TracePanel, x: int, y: int) -> QtCore.QPoint:
    """Return a place in the traces."""
    return QtCore.QPoint(panel.gutter + x, TITLE_HEIGHT + y)


def turn_wheel(
    panel: TracePanel,
    at: QtCore.QPoint,
    steps: int,
    keys: Any = QtCore.Qt.KeyboardModifier.NoModifier,
) -> None:
    """Turn the wheel over a panel."""
    qt = QtCore.Qt
    event = QtGui.QWheelEvent(
        QtCore.QPointF(at), QtCore.QPointF(panel.mapToGlobal(at)), QtCore.QPoint(),
        QtCore.QPoint(0, 120 * steps), qt.MouseButton.NoButton, keys,
        qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(panel, event)


def press_key(
    widget: QtWidgets.QWidget, key: Any, modifier: Any = QtCore.Qt.KeyboardModifier.NoModifier
) -> None:
    """Press a key and let go of it."""
    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        QtWidgets.QApplication.sendEvent(widget, QtGui.QKeyEvent(kind, int(key), modifier))


def mouse(panel: TracePanel, kind: str, at: QtCore.QPoint, button: Any = None) -> None:
    """Send an event of the mouse, such as ``MouseMove``, with a button held."""
    qt = QtCore.Qt
    none = qt.MouseButton.NoButton
    held = button or none
    event = QtGui.QMouseEvent(
        getattr(QtCore.QEvent.Type, kind), QtCore.QPointF(at),
        none if kind == "MouseMove" else held, none if kind == "MouseButtonRelease" else held,
        qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(panel, event)


def drag(panel: TracePanel, at: QtCore.QPoint, dx: int, dy: int, button: Any = None) -> None:
    """Drag with a button, the left one by default."""
    button = button or QtCore.Qt.MouseButton.LeftButton
    mouse(panel, "MouseButtonPress", at, button)
    for share in (0.5, 1.0):
        mouse(panel, "MouseMove", at + QtCore.QPoint(int(dx * share), int(dy * share)), button)
        QtWidgets.QApplication.processEvents()
    mouse(panel, "MouseButtonRelease", at + QtCore.QPoint(dx, dy), button)


def eeg_window() -> Oscilloscope:
    """Return an oscilloscope that shows two seconds of five seconds of three noisy channels."""
    made = Oscilloscope(named(declared.Oscilloscope(seconds=2)))
    shown(made)
    info = StreamInfo.signal(
        "eeg.signal", channels=["Cz", "Pz", "Oz"], sampling_rate=500, unit="uV"
    )
    source = Source(made, info)
    source.give(np.random.default_rng(1).normal([0, 100, -100], 10, (2500, 3)))
    draw(made)
    return made
