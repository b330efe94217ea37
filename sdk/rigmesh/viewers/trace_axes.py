"""What is above and below the traces of a window: the texts of markers, and the seconds."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.viewers.trace_follower import TimeBase
from rigmesh.viewers.trace_looks import shown_number
from rigmesh.viewers.trace_scales import ticks
from rigmesh.viewers.trace_theme import Theme

__all__ = ["LEAST_GUTTER", "MarkerStrip", "TimeAxis"]

LEAST_GUTTER = 72

_ROWS = 2
_PIXELS_A_TICK = 90


class _Strip(QtWidgets.QWidget):
    """A widget as wide as the traces, on the same time axis."""

    def __init__(self, base: TimeBase) -> None:
        super().__init__()
        self.base = base
        self.gutter = LEAST_GUTTER
        self.theme = Theme.now()

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow the palette of the desktop."""
        if event is not None and event.type() == QtCore.QEvent.Type.PaletteChange:
            self.theme = Theme.now()
        super().changeEvent(event)


class MarkerStrip(_Strip):
    """The texts of markers, each at its time.

    Attributes
    ----------
    markers : sequence of (float, str)
        Local times in seconds, and texts, in the order of their times.
    drawn : list of str
        The texts that there was room for when it was painted last.
    """

    def __init__(self, base: TimeBase) -> None:
        super().__init__(base)
        self.markers: Sequence[tuple[float, str]] = ()
        self.drawn: list[str] = []
        self._row = self.fontMetrics().height() + 1
        self.setFixedHeight(_ROWS * self._row + 2)
        self.setToolTip("Markers; a line through all traces is where each of them is.")

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Write texts where there is room for them."""
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), QtGui.QColor(self.theme.title))
        ratio = float(self.devicePixelRatioF())
        metrics = painter.fontMetrics()
        self.drawn = []
        placed = sorted((self.base.x_of(time) / ratio, text) for time, text in self.markers)
        free = [0.0] * _ROWS
        for x, text in placed:
            width = metrics.horizontalAdvance(text[:40]) + 8
            row = next((k for k in range(_ROWS) if free[k] <= x), -1)
            if row < 0:
                continue
            free[row] = x + width
            at = QtCore.QRectF(self.gutter + x, 1 + row * self._row, width, self._row - 1)
            colour = QtGui.QColor(self.theme.word(text))
            pale = QtGui.QColor(colour)
            pale.setAlpha(45)
            painter.fillRect(at, pale)
            painter.fillRect(QtCore.QRectF(at.left(), at.top(), 2, self.height()), colour)
            painter.setPen(colour)
            painter.drawText(
                at.adjusted(5, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, text[:40]
            )
            self.drawn.append(text)
        left_out = len(placed) - len(self.drawn)
        note = f"+{left_out}" if left_out else ""
        painter.fillRect(0, 0, self.gutter, self.height(), QtGui.QColor(self.theme.title))
        painter.setPen(QtGui.QColor(self.theme.soft))
        painter.drawText(
            QtCore.QRectF(0, 0, self.gutter - 6, self.height()),
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter, note,
        )  # fmt: skip
        painter.end()


class TimeAxis(_Strip):
    """Seconds: since the sweep began in a scanning picture, before the newest in a scrolling one.

    Attributes
    ----------
    note : str
        Written at the right, such as how far a paused picture lies back.
    """

    def __init__(self, base: TimeBase) -> None:
        super().__init__(base)
        self.note = ""
        self.setFixedHeight(24)
        self.setToolTip("Ctrl+wheel or drag on the traces: longer or shorter.")

    def labels(self) -> list[tuple[float, str]]:
        """Return what is written, and where, in pixels from the left edge of the traces."""
        width = self.width() - self.gutter
        seconds = self.base.seconds
        first = 0.0 if self.base.mode == "scan" else -seconds
        values = ticks(first, first + seconds, max(2, width // _PIXELS_A_TICK))
        return [
            ((value - first) / seconds * width, shown_number(float(value) or 0.0))
            for value in values
        ]

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw ticks and numbers."""
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), QtGui.QColor(self.theme.background))
        painter.setPen(QtGui.QColor(self.theme.edge))
        painter.drawLine(self.gutter - 1, 0, self.width(), 0)
        metrics = painter.fontMetrics()
        reserved = metrics.horizontalAdvance(self.note) + 12 if self.note else 0
        for x, text in self.labels():
            at = self.gutter + x
            painter.setPen(QtGui.QColor(self.theme.edge))
            painter.drawLine(QtCore.QPointF(at, 0), QtCore.QPointF(at, 5))
            width = metrics.horizontalAdvance(text)
            left = min(max(at - width / 2, self.gutter), self.width() - width - 3)
            if left + width > self.width() - reserved:
                continue
            painter.setPen(QtGui.QColor(self.theme.soft))
            painter.drawText(QtCore.QPointF(left, 6 + metrics.ascent()), text)
        painter.setPen(QtGui.QColor(self.theme.soft))
        painter.drawText(
            QtCore.QRectF(0, 5, self.gutter - 6, self.height() - 5),
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignTop, "s",
        )  # fmt: skip
        if self.note:
            painter.setPen(QtGui.QColor(self.theme.accent))
            painter.drawText(
                QtCore.QRectF(0, 5, self.width() - 6, self.height() - 5),
                QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignTop, self.note,
            )  # fmt: skip
        painter.end()
