"""A window of events in rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.display import Sink
from rigmesh.node import Node
from rigmesh.streams import local_clock
from rigmesh.viewers.event_rows import EventRows, RasterView, RowSink
from rigmesh.viewers.sweep_canvas import nice
from rigmesh.viewers.trace_theme import Theme
from rigmesh.viewers.window import ViewerWindow

__all__ = ["Raster", "RasterCanvas", "Ticks"]

Array = npt.NDArray[Any]

_STEP = 1.25
_TOP, _BOTTOM, _BETWEEN = 6, 22, 8
_TALLEST = 48.0
_TALLEST_TICK = 14.0
_THICK = 14.0
_OPAQUE = 0xFF000000
_ORDERS = {"name": "by name", "first": "by first event", "rate": "busiest first"}


@dataclass(frozen=True, slots=True)
class Ticks:
    """What was drawn last.

    Attributes
    ----------
    area : QRectF
        Where the ticks are.
    height : float
        Of a row, in pixels.
    x : ndarray
        The pixel of each tick, from the left of the window.
    at : ndarray
        Its row.
    """

    area: QtCore.QRectF
    height: float
    x: Array
    at: Array


class RasterCanvas(QtWidgets.QWidget):
    """The picture of a raster.

    Attributes
    ----------
    turned : pyqtSignal(float)
        The wheel asks for so many times as much time.
    ticks : Ticks or None
        What was drawn last.
    """

    turned = QtCore.pyqtSignal(float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(200, 100)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setToolTip("Wheel: how much time is shown")
        self.ticks: Ticks | None = None
        self._view: RasterView | None = None
        self._stop = 0.0
        self._seconds = 1.0
        self._message = ""
        self._names: list[str] = []
        self._longest = 0

    def show_events(
        self, view: RasterView | None, stop: float, seconds: float, message: str
    ) -> None:
        """Draw events up to `stop` (local clock, in seconds); a message if there are none."""
        self._view, self._stop, self._seconds, self._message = view, stop, seconds, message
        self.update()

    # --- Qt ----------------------------------------------------------------------------------

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Show more or less time."""
        if event is not None and event.angleDelta().y():
            self.turned.emit(_STEP ** (-event.angleDelta().y() / 120))
            event.accept()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw."""
        theme = Theme.now()
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), QtGui.QColor(theme.background))
        self.ticks = None
        if self._view is not None and self._view.rows:
            self._draw(painter, theme, self._view)
        if self._message:
            painter.setPen(QtGui.QColor(theme.soft))
            wrap = QtCore.Qt.AlignmentFlag.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
            painter.drawText(QtCore.QRectF(self.rect()).adjusted(40, 20, -40, -20), wrap,
                             self._message)  # fmt: skip
        painter.end()

    # --- inside ------------------------------------------------------------------------------

    def _draw(self, painter: QtGui.QPainter, theme: Theme, view: RasterView) -> None:
        metrics = painter.fontMetrics()
        names = [_label(row.stream, row.name) for row in view.rows]
        rates = [f"{row.rate:.3g} /s" for row in view.rows]
        if names != self._names:
            self._names, self._longest = names, max(map(metrics.horizontalAdvance, names))
        left = min(self._longest, self.width() // 3) + 2 * _BETWEEN + 2
        right = metrics.horizontalAdvance("0.0333 /s") + 2 * _BETWEEN
        area = QtCore.QRectF(self.rect()).adjusted(left, _TOP, -right, -_BOTTOM)
        height = min(area.height() / len(names), _TALLEST)
        area.setHeight(height * len(names))
        x = area.right() + (view.times - self._stop) / self._seconds * area.width()
        self.ticks = Ticks(area, height, x, view.at)
        self._draw_grid(painter, theme, area)
        self._draw_ticks(painter, theme, self.ticks, len(names))
        # Where rows are lower than words, every so many have their words.
        step = max(1, round(np.ceil(metrics.height() * 0.9 / height)))
        for row in range(0, len(names), step):
            top = area.top() + row * height + height / 2 - metrics.height() / 2
            painter.setPen(QtGui.QColor(theme.trace(row)))
            place = QtCore.QRectF(_BETWEEN, top, left - 2 * _BETWEEN, metrics.height())
            text = metrics.elidedText(
                names[row], QtCore.Qt.TextElideMode.ElideMiddle, int(place.width())
            )
            painter.drawText(place, QtCore.Qt.AlignmentFlag.AlignRight, text)
            painter.setPen(QtGui.QColor(theme.soft))
            place = QtCore.QRectF(area.right(), top, right - _BETWEEN, metrics.height())
            painter.drawText(place, QtCore.Qt.AlignmentFlag.AlignRight, rates[row])

    def _draw_grid(self, painter: QtGui.QPainter, theme: Theme, area: QtCore.QRectF) -> None:
        step = nice(self._seconds * 90 / max(area.width(), 100))
        for number in range(int(self._seconds / step + 1e-9) + 1):
            x = area.right() - number * step / self._seconds * area.width()
            painter.setPen(QtGui.QColor(theme.faint))
            painter.drawLine(QtCore.QLineF(x, area.top(), x, area.bottom()))
            painter.setPen(QtGui.QColor(theme.soft))
            text = f"\N{MINUS SIGN}{number * step:g}" if number else "now"
            place = QtCore.QRectF(x - 50, area.bottom() + 3, 100, _BOTTOM - 4)
            painter.drawText(place, QtCore.Qt.AlignmentFlag.AlignHCenter,
                             f"{text} s" if number else text)  # fmt: skip

    def _draw_ticks(self, painter: QtGui.QPainter, theme: Theme, ticks: Ticks, n: int) -> None:
        # One picture of pixels: lines cost 5 µs each, which at 5000 of them is all of a core.
        ratio = self.devicePixelRatioF()
        area, height = ticks.area, ticks.height * ratio
        size = QtCore.QSize(int(area.width() * ratio) + 1, int(area.height() * ratio))
        if size.isEmpty():
            return
        is_there = np.zeros((n + 1, size.width() + 2), np.bool_)
        x = np.round((ticks.x - area.left()) * ratio).astype(np.intp)
        inside = (x >= 0) & (x < size.width())
        for thick in range(2 if height > _THICK else 1):
            is_there[ticks.at[inside], x[inside] + thick] = True
        y = (np.arange(size.height()) + 0.5) / height
        row = np.minimum(y.astype(np.intp), n - 1)
        half = min(0.38 * height, _TALLEST_TICK * ratio)
        row[(np.abs(y - row - 0.5) * height > max(half, 0.5)) & (height > 2)] = n
        colours = np.array([theme.trace(k) | _OPAQUE for k in range(n)] + [0], np.uint32)
        pixels = np.where(is_there[row, : size.width()], colours[row][:, None], np.uint32(0))
        image = QtGui.QImage(
            pixels.tobytes(), size.width(), size.height(), 4 * size.width(),
            QtGui.QImage.Format.Format_ARGB32,
        )  # fmt: skip
        image.setDevicePixelRatio(ratio)
        painter.drawImage(area.topLeft(), image)


class Raster(ViewerWindow):
    """Events of the last seconds, a row for each text or group of texts.

    Attributes
    ----------
    canvas : RasterCanvas
        The picture.
    clock : callable
        What time it is, by the local clock, in seconds.
    """

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.clock = local_clock
        self._rows = EventRows()
        self._linked: set[str] = set()
        self._drawn: tuple[Any, ...] = ()
        self.canvas = RasterCanvas()
        self.canvas.turned.connect(self._zoom)
        again = self.add_action("Reset", "R", "Forget the events")
        again.triggered.connect(self._rows.clear)
        for text, keys, tip, factor in (
            ("Longer", "Down", "Show more time", _STEP),
            ("Shorter", "Up", "Show less time", 1 / _STEP),
        ):
            action = self.add_action(text, keys, tip)
            action.triggered.connect(lambda _, by=factor: self._zoom(by))
        other = self.add_action("Order", "O", "Sort the rows in another way")
        other.triggered.connect(self._other_order)
        self._add_fields()
        self.body.addWidget(self.canvas, 1)
        self.canvas.setFocus()
        self.applied(set())

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the events of a stream."""
        self._linked.add(stream)
        return RowSink(self._rows, stream)

    def drop(self, port: str, stream: str) -> None:
        """Forget a stream and its events."""
        self._linked.discard(stream)
        self._rows.forget(stream)

    def applied(self, names: set[str]) -> None:
        """Show what has changed."""
        settings = self.settings
        self.seconds.setValue(settings.seconds)
        self.over.setValue(settings.rate_seconds)
        self.group.setText(settings.group)
        self.order.setCurrentIndex(self.order.findData(settings.order))

    def refresh(self) -> None:
        """Draw the events up to now, if anything has moved by a pixel."""
        settings, now = self.settings, self.clock()
        width = max(100, self.canvas.width())
        state = (int(now * width / settings.seconds), self._rows.version, self.canvas.size(),
                 sorted(self._linked), dict(settings.parameters))  # fmt: skip
        if state == self._drawn:
            return
        self._drawn = state
        view = self._rows.view(
            now - settings.seconds, now, group=settings.group, order=settings.order,
            rate_seconds=settings.rate_seconds,
        )  # fmt: skip
        self.canvas.show_events(view, now, settings.seconds, self._message(view, now))

    def _message(self, view: RasterView, now: float) -> str:
        if not self._linked:
            return "Waiting for events: link a marker stream"
        if not np.isfinite(view.newest):
            return f"Waiting for events of {', '.join(sorted(self._linked))}"
        if not view.rows:
            return f"No text has {self.settings.group} in it"
        if now - view.newest > self.settings.seconds:
            return f"No events for {now - view.newest:.0f} s"
        return ""

    def _add_fields(self) -> None:
        bar = QtWidgets.QToolBar(self)
        self.seconds, self.over = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        for field, name, tip in (
            (self.seconds, "seconds", "How much time is shown; also the wheel"),
            (self.over, "rate_seconds", "Time over which the rates are taken"),
        ):
            field.setRange(0.01, 3600)
            field.setSuffix(" s")
            field.setToolTip(tip)
            field.editingFinished.connect(lambda f=field, n=name: self._enter(n, f.value()))
        self.group = QtWidgets.QLineEdit()
        self.group.setPlaceholderText("each text")
        self.group.setToolTip(
            "Regular expression that finds the names of rows in texts, such as unit \\d+"
        )
        self.group.editingFinished.connect(lambda: self._enter("group", self.group.text()))
        self.order = QtWidgets.QComboBox()
        for value, text in _ORDERS.items():
            self.order.addItem(text, value)
        self.order.setToolTip("How the rows are sorted (O)")
        self.order.activated.connect(lambda _: self._enter("order", self.order.currentData()))
        for part in (" last ", self.seconds, "  rates over ", self.over, "  rows: ", self.group,
                     self.order):  # fmt: skip
            widget = QtWidgets.QLabel(part) if isinstance(part, str) else part
            bar.addWidget(widget)
        self.body.addWidget(bar)

    def _enter(self, name: str, value: Any) -> None:
        if self.settings.parameters[name] != value:
            self.change(**{name: value})

    def _zoom(self, factor: float) -> None:
        seconds = float(f"{self.settings.seconds * factor:.3g}")
        self.change(seconds=min(max(seconds, 0.01), 3600.0))

    def _other_order(self) -> None:
        orders = list(_ORDERS)
        self.change(order=orders[(orders.index(self.settings.order) + 1) % len(orders)])


def _label(stream: str, name: str) -> str:
    """Return what a row is called; line breaks and the like are shown, not obeyed."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return f"{stream}: {shown}" if stream else shown
