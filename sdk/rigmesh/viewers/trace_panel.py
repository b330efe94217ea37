"""The traces of one stream, with labels beside them and a title above."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore, QtGui, QtWidgets, sip

from rigmesh.viewers.trace_axes import LEAST_GUTTER
from rigmesh.viewers.trace_drawing import draw_labels, paint_cursor, paint_holes, paint_markers
from rigmesh.viewers.trace_follower import Follower, TimeBase
from rigmesh.viewers.trace_looks import Label, Look, shown_number, shown_rate
from rigmesh.viewers.trace_theme import Theme

__all__ = ["TITLE_HEIGHT", "TracePanel"]

TITLE_HEIGHT = 22
_WHEEL_STEP = 120
_FAR = 86_400.0
_LEAST_DRAG = 3
_THICKNESS, _THIN = 1.1, 0.35
"""Of lines; thinner where rows are so close that nothing else would be seen."""

_ALL_HIDDEN = "all channels are hidden: Ctrl+H shows them"

MakeLook = Callable[["TracePanel", float], Look]


class TracePanel(QtWidgets.QWidget):
    """Draws one stream.

    Parameters
    ----------
    stream : str
        Its name.
    follower : Follower
        What follows it.
    base : TimeBase
        The time axis of the window.
    make_look : callable
        Returns how it looks, for a height in pixels.

    Attributes
    ----------
    gain_turned : pyqtSignal(float, str)
        Steps of the wheel, and the channel's name or ``""`` for all.
    time_turned : pyqtSignal(float)
        Steps of the wheel.
    dragged : pyqtSignal(int, bool)
        Pixels to the right since the drag began, and whether it was begun by the right button.
    drag_begun, asked : pyqtSignal
        A drag begins; a double click asks for the settings.
    moved : pyqtSignal(str, float)
        A label was dragged: the channel's name, and how much is to be added to its offset.
    chosen : pyqtSignal(str)
        A label was clicked: the channel's name.
    """

    gain_turned = QtCore.pyqtSignal(float, str)
    time_turned = QtCore.pyqtSignal(float)
    dragged = QtCore.pyqtSignal(int, bool)
    drag_begun = QtCore.pyqtSignal()
    moved = QtCore.pyqtSignal(str, float)
    chosen = QtCore.pyqtSignal(str)
    asked = QtCore.pyqtSignal()

    def __init__(
        self, stream: str, follower: Follower, base: TimeBase, make_look: MakeLook
    ) -> None:
        super().__init__()
        self.stream = stream
        self.follower = follower
        self.base = base
        self.gutter = LEAST_GUTTER
        self.look = Look()
        self.chosen_name = ""
        self.waiting_for = ""
        self.markers: Sequence[tuple[float, str]] = ()
        self.theme = Theme.now()
        self._make_look = make_look
        self._is_look_old = True
        self._format: tuple[object, int] = (None, -1)
        self._side: QtGui.QPixmap | None = None
        self._pointer: QtCore.QPoint | None = None
        self._pressed: QtCore.QPoint | None = None
        self._grip: Label | None = None
        self._is_dragging = False
        self.setMinimumHeight(60)
        self.setAccessibleName(f"Traces of {stream}")
        self.setMouseTracking(True)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
        self.setToolTip(
            "Wheel: gain (over a label: of its channel). Ctrl+wheel, drag: time.\n"
            "Drag a label: offset. Double click: settings."
        )

    # --- what the window does ----------------------------------------------------------------

    @property
    def ratio(self) -> float:
        """Pixels of the screen in one of Qt's."""
        return float(self.devicePixelRatioF())

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the picture, in pixels of the screen."""
        width = max(1, round((self.width() - self.gutter) * self.ratio))
        return width, max(1, round((self.height() - TITLE_HEIGHT) * self.ratio))

    def look_anew(self) -> None:
        """Let the settings, the format or the scale be another one from the next drawing on."""
        self._is_look_old = True

    def draw(self, *, is_live: bool) -> None:
        """Bring the picture up to date; it follows the signal only if it is live."""
        width, height = self.picture_size
        follower = self.follower
        buffer = follower.sink.buffer
        known, self._format = self._format, (buffer, buffer.generation)
        if follower.resize(width, height) or self._is_look_old or self._format != known:
            self._is_look_old = False
            self.look = self._make_look(self, height)
            follower.rows = self.look.rows
            follower.raster.background = self.theme.background
            follower.raster.faint = self.theme.faint
            row = height / max(1, len(self.look.rows.channels))
            follower.raster.thickness = self.ratio * (
                _THICKNESS if self.look.legend else min(_THICKNESS, max(_THIN, 0.25 * row))
            )
            self._side = None
            if not follower.is_stale:
                follower.redraw()
        if is_live:
            follower.follow(self.base)
        elif follower.is_stale or follower.columns.right != self.base.right:
            follower.load(self.base)
        self.update()

    def label_width(self) -> int:
        """Return how wide the labels are."""
        metrics = self.fontMetrics()
        texts = {label.text for label in self.look.labels}
        longest = sorted(texts, key=len)[-8:]
        return max((metrics.horizontalAdvance(text) for text in longest), default=30) + 14

    # --- painting ----------------------------------------------------------------------------

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the picture, and over it what is not in it."""
        painter = QtGui.QPainter(self)
        theme = self.theme
        painter.fillRect(0, 0, self.width(), TITLE_HEIGHT, QtGui.QColor(theme.title))
        self._paint_title(painter)
        if self._side is None:
            self._side = draw_labels(
                self.look.labels, self.theme, self.chosen_name, self.ratio,
                QtCore.QSize(self.gutter, self.height() - TITLE_HEIGHT), self.font(),
            )  # fmt: skip
        painter.drawPixmap(0, TITLE_HEIGHT, self._side)
        painter.translate(self.gutter, TITLE_HEIGHT)
        painter.setClipRect(0, 0, self.width() - self.gutter, self.height() - TITLE_HEIGHT)
        self._paint_picture(painter)
        if not self.follower.n_channels or not len(self.look.rows.channels):
            self._paint_message(painter)
        else:
            base, ratio, bottom = self.base, self.ratio, self.height() - TITLE_HEIGHT
            holes = self.follower.sink.holes(base.start, base.stop)
            paint_holes(painter, holes, base, theme, ratio, bottom)
            paint_markers(painter, self.markers, base, theme, ratio, bottom)
            if base.mode == "scan":
                paint_cursor(painter, base, theme, ratio, bottom)
        painter.end()

    def _paint_picture(self, painter: QtGui.QPainter) -> None:
        pixels = self.follower.raster.pixels
        height, width = pixels.shape
        image = QtGui.QImage(
            sip.voidptr(pixels.ctypes.data),
            width,
            height,
            pixels.strides[0],
            QtGui.QImage.Format.Format_RGB32,
        )
        image.setDevicePixelRatio(self.ratio)
        begin = 0 if self.base.mode == "scan" else (self.base.right + 1) % width
        if not begin:
            painter.drawImage(0, 0, image)
            return
        painter.drawImage(QtCore.QPointF(0, 0), image, QtCore.QRectF(begin, 0, width, height))
        painter.drawImage(
            QtCore.QPointF((width - begin) / self.ratio, 0), image,
            QtCore.QRectF(0, 0, begin, height),
        )  # fmt: skip

    def _paint_title(self, painter: QtGui.QPainter) -> None:
        theme = self.theme
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        box = QtCore.QRectF(8, 0, self.width() - 16, TITLE_HEIGHT)
        painter.setPen(QtGui.QColor(theme.text))
        used = painter.boundingRect(box, QtCore.Qt.AlignmentFlag.AlignVCenter, self.stream)
        painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignVCenter, self.stream)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(QtGui.QColor(theme.soft))
        right = self.pointed_at()
        painter.drawText(
            box, QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.AlignmentFlag.AlignRight, right
        )
        free = painter.fontMetrics().horizontalAdvance(right) + 16
        box.setLeft(used.right() + 12)
        painter.drawText(
            box.adjusted(0, 0, -free, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self._description()
        )
        metrics = painter.fontMetrics()
        box.setLeft(box.left() + metrics.horizontalAdvance(self._description()) + 14)
        for name, colour in self.look.legend[:24]:
            width = metrics.horizontalAdvance(name)
            if width > box.width() - free:
                break
            painter.setPen(QtGui.QColor(colour))
            painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignVCenter, name)
            box.setLeft(box.left() + width + 10)
        painter.setPen(QtGui.QColor(theme.edge))
        painter.drawLine(0, TITLE_HEIGHT - 1, self.width(), TITLE_HEIGHT - 1)

    def _description(self) -> str:
        info = self.follower.sink.buffer.info
        if info is None:
            return self.waiting_for
        parts = [shown_rate(info.sampling_rate), *([self.look.title] if self.look.title else [])]
        lost = self.follower.sink.buffer.n_lost
        if lost:
            parts.append(f"{lost:,} samples lost")
        behind = self.base.stop - self.follower.newest
        if behind > max(1.0, 0.1 * self.base.seconds):
            parts.append(f"nothing for {behind:.0f} s" if behind < _FAR else "of another time")
        return " · ".join(parts)

    def _paint_message(self, painter: QtGui.QPainter) -> None:
        info = self.follower.sink.buffer.info
        if info is None:
            text = self.waiting_for or "waiting for the stream"
        else:
            text = "no bit has changed yet" if "never" in self.look.title else _ALL_HIDDEN
        painter.setPen(QtGui.QColor(self.theme.soft))
        box = QtCore.QRectF(0, 0, self.width() - self.gutter, self.height() - TITLE_HEIGHT)
        painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, text)

    # --- what is under the pointer -----------------------------------------------------------

    def pointed_at(self) -> str:
        """Return channel, value and time under the pointer; empty if there is none."""
        at = self._pointer
        rows = self.look.rows
        if at is None or at.x() < self.gutter or at.y() < TITLE_HEIGHT or not len(rows.channels):
            return ""
        base = self.base
        x, y = (at.x() - self.gutter) * self.ratio, (at.y() - TITLE_HEIGHT) * self.ratio
        column = math.floor(base.time_at(x) / base.step + 1e-6) % base.width
        columns = self.follower.columns
        if column >= columns.width or len(columns.low) <= int(rows.channels.max()):
            return ""
        low, high = columns.low[rows.channels, column], columns.high[rows.channels, column]
        row = self._row_at(y, (low + high) / 2)
        if row < 0:
            return ""
        behind = base.stop - base.time_at(x)
        return f"{self._value_text(row, low[row], high[row])}  −{behind:.3g} s"

    def _row_at(self, y: float, values: npt.NDArray[Any]) -> int:
        rows, n = self.look.rows, len(self.look.rows.channels)
        if self.look.legend:  # on top of each other: the nearest
            distance = np.abs(rows.zero - values * rows.scale - y)
            return int(np.nanargmin(distance)) if np.isfinite(distance).any() else -1
        return min(n - 1, int(y / self.picture_size[1] * n))

    def _value_text(self, row: int, low: float, high: float) -> str:
        info = self.follower.sink.buffer.info
        channel = int(self.look.rows.channels[row])
        name = info.channel_names[channel] if info is not None else ""
        unit = self.look.units[row]
        if math.isnan(low):
            return f"{name}  –"
        values = shown_number(float(low))
        if high - low > 1e-3 * abs(high):
            values += f" … {shown_number(float(high))}"
        return f"{name}  {values} {unit}".rstrip()

    def label_at(self, at: QtCore.QPoint) -> Label | None:
        """Return the label at a place beside the traces."""
        if at.x() >= self.gutter or at.y() < TITLE_HEIGHT:
            return None
        y = (at.y() - TITLE_HEIGHT) * self.ratio
        found = [label for label in self.look.labels if abs(label.y - y) <= label.height / 2]
        return found[0] if found else None

    # --- mouse -------------------------------------------------------------------------------

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Change the gain, or the time."""
        if event is None:
            return
        turned = event.angleDelta()
        steps = (turned.y() or turned.x()) / _WHEEL_STEP
        modifiers = event.modifiers()
        label = self.label_at(event.pos())
        if modifiers & QtCore.Qt.KeyboardModifier.ControlModifier:
            self.time_turned.emit(steps)
        elif label is not None and label.name:
            self.gain_turned.emit(steps, label.name)
        elif modifiers & QtCore.Qt.KeyboardModifier.ShiftModifier:
            self.gain_turned.emit(steps, self.chosen_name)
        else:
            self.gain_turned.emit(steps, "")
        event.accept()

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin a drag, or choose a channel."""
        if event is None:
            return
        super().mousePressEvent(event)
        self._pressed, self._is_dragging = event.pos(), False
        self._grip = self.label_at(event.pos())
        if self._grip is not None and self._grip.name:
            self.chosen.emit(self._grip.name)
        event.accept()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Go on with a drag; tell what is under the pointer."""
        if event is None:
            return
        self._pointer = event.pos()
        if self._pressed is not None and event.buttons():
            self._drag(event)
        self.update(0, 0, self.width(), TITLE_HEIGHT)

    def _drag(self, event: QtGui.QMouseEvent) -> None:
        pressed = self._pressed
        if pressed is None:
            return
        way = event.pos() - pressed
        if self._grip is not None:
            row = [k for k, c in enumerate(self.look.rows.channels) if c == self._grip.channel]
            if row and way.y():
                self.moved.emit(
                    self._grip.name, -way.y() * self.ratio / float(self.look.rows.scale[row[0]])
                )
                self._pressed = event.pos()
            return
        if not self._is_dragging and abs(way.x()) >= _LEAST_DRAG:
            self._is_dragging = True
            self.drag_begun.emit()
        if self._is_dragging:
            self.dragged.emit(way.x(), bool(event.buttons() & QtCore.Qt.MouseButton.RightButton))

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """End a drag."""
        self._pressed = self._grip = None
        self._is_dragging = False
        super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ask for the settings."""
        self._pressed = None
        self.asked.emit()

    def leaveEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell nothing about what is under the pointer."""
        self._pointer = None
        self.update()
        super().leaveEvent(event)

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow the palette of the desktop."""
        if event is not None and event.type() in (
            QtCore.QEvent.Type.PaletteChange, QtCore.QEvent.Type.FontChange,
        ):  # fmt: skip
            self.theme = Theme.now()
            self.look_anew()
        super().changeEvent(event)
