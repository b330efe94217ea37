"""A window of cameras."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.display import FrameBuffer, NewestFrame, Sink
from rigmesh.node import Node
from rigmesh.streams import local_clock
from rigmesh.viewers.image_pixels import colour_table, levels_of, pixels
from rigmesh.viewers.trace_theme import Theme
from rigmesh.viewers.window import ViewerWindow

__all__ = ["Camera", "ImageViewer"]

_GAP = 6
_RATE_OVER = 2.0
_OLD = 1.0
_LEVELS = {"auto": "levels: auto", "full": "levels: full range", "fixed": "levels: fixed"}
_COLOURS = ("gray", "viridis", "inferno", "diverging")


class Camera(QtWidgets.QWidget):
    """One camera's newest frame, its rate and age.

    Parameters
    ----------
    name : str
        Of the stream.
    settings : viewers.ImageViewer
        How it is drawn.

    Attributes
    ----------
    buffer : FrameBuffer
        Where its frames come in.
    image : QImage or None
        What is drawn.
    place : QRectF
        Where that is.
    levels : (float, float)
        What is black and what is white.
    """

    def __init__(self, name: str, settings: Any) -> None:
        super().__init__()
        self.name = name
        self.buffer = FrameBuffer()
        self.image: QtGui.QImage | None = None
        self.place = QtCore.QRectF()
        self.levels = 0.0, 255.0
        self._settings = settings
        self._shown: NewestFrame | None = None
        self._stamps: deque[tuple[float, int]] = deque()
        self._now = math.nan
        self._mouse: QtCore.QPointF | None = None
        self.setMinimumSize(80, 60)
        self.setMouseTracking(True)

    @property
    def rate(self) -> float:
        """Frames in a second, by the stamps of the last 2 s; NaN if it is not known."""
        if len(self._stamps) < 2:
            return math.nan
        (first, before), (last, after) = self._stamps[0], self._stamps[-1]
        return (after - before) / (last - first) if last > first else math.nan

    @property
    def age(self) -> float:
        """How old the frame is that is shown, in seconds; NaN before the first."""
        return self._now - self._shown.time if self._shown is not None else math.nan

    @property
    def line(self) -> str:
        """What is told of the camera."""
        frame, parts = self._shown, [self.name]
        if frame is None:
            return f"{self.name}  waiting for frames"
        height, width = frame.frame.shape[:2]
        parts.append(f"{width} \N{MULTIPLICATION SIGN} {height}")
        if not math.isnan(self.rate):
            parts.append(f"{self.rate:.1f} Hz")
        age = self.age
        parts.append(f"{age * 1000:.0f} ms" if age < _OLD else f"nothing for {age:.0f} s")
        if (value := self._value()) is not None:
            parts.append(value)
        elif frame.frame.dtype != np.uint8 or self._settings.levels == "fixed":
            parts.append(f"{self.levels[0]:.4g} to {self.levels[1]:.4g}")
        return "  ".join(parts)

    def look(self, now: float) -> None:
        """Take the newest frame; `now` is the local clock, in seconds."""
        newest, self._now = self.buffer.newest, now
        if newest is not self._shown:
            self._shown = newest
            if newest is None or (self._stamps and newest.time < self._stamps[-1][0]):
                self._stamps.clear()
            if newest is not None and math.isfinite(newest.time):
                self._stamps.append((newest.time, newest.number))
                while self._stamps[-1][0] - self._stamps[0][0] > _RATE_OVER:
                    self._stamps.popleft()
            self.draw()
        self.update()

    def draw(self) -> None:
        """Make the picture of the frame."""
        settings, newest = self._settings, self._shown
        self.image = None
        if newest is None:
            return
        frame, room = newest.frame, self._room()
        if frame.ndim not in (2, 3) or not frame.size:
            return
        self.levels = levels_of(frame, settings.levels, settings.low, settings.high)
        # What would not be seen is left out before it costs anything.
        ratio = self.devicePixelRatioF()
        step = max(1, int(min(frame.shape[0] / max(1.0, room.height() * ratio),
                              frame.shape[1] / max(1.0, room.width() * ratio))))  # fmt: skip
        drawn = pixels(frame[::step, ::step], *self.levels, colour_table(settings.colours))
        if drawn is None:
            return
        height, width = drawn.shape[:2]
        is_gray = drawn.ndim == 2
        format_ = QtGui.QImage.Format.Format_Grayscale8 if is_gray else (
            QtGui.QImage.Format.Format_RGB888
        )  # fmt: skip
        stride = width if is_gray else 3 * width
        self.image = QtGui.QImage(drawn.tobytes(), width, height, stride, format_).copy()
        scale = min(room.width() / frame.shape[1], room.height() / frame.shape[0])
        size = QtCore.QSizeF(frame.shape[1] * scale, frame.shape[0] * scale)
        self.place = QtCore.QRectF(QtCore.QPointF(), size)
        self.place.moveCenter(room.center())

    # --- Qt ----------------------------------------------------------------------------------

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Show the picture and the line below it."""
        theme = Theme.now()
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), QtGui.QColor(theme.faint))
        room = self._room()
        if self.image is not None:
            painter.setRenderHint(
                QtGui.QPainter.RenderHint.SmoothPixmapTransform, self._settings.smooth
            )
            painter.drawImage(self.place, self.image)
        elif self._shown is not None:
            painter.setPen(QtGui.QColor(theme.soft))
            shape = " \N{MULTIPLICATION SIGN} ".join(map(str, self._shown.frame.shape))
            wrap = QtCore.Qt.AlignmentFlag.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
            painter.drawText(room, wrap, f"Frames of the shape {shape} are no pictures")
        is_old = self._shown is None or not self.age < _OLD
        painter.setPen(QtGui.QColor(theme.gap if is_old and self._shown else theme.text))
        line = QtCore.QRectF(6, room.bottom() + 2, self.width() - 12, self.height())
        text = painter.fontMetrics().elidedText(
            self.line, QtCore.Qt.TextElideMode.ElideRight, int(line.width())
        )
        painter.drawText(line, QtCore.Qt.AlignmentFlag.AlignLeft, text)
        painter.end()

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw in another size."""
        super().resizeEvent(event)
        self.draw()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell the value under the mouse."""
        if event is not None:
            self._mouse = event.localPos()
            self.update()

    def leaveEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell no value."""
        self._mouse = None
        self.update()

    def _room(self) -> QtCore.QRectF:
        return QtCore.QRectF(self.rect()).adjusted(0, 0, 0, -self.fontMetrics().height() - 4)

    def _value(self) -> str | None:
        if self._mouse is None or self._shown is None or not self.place.contains(self._mouse):
            return None
        frame, at = self._shown.frame, self._mouse - self.place.topLeft()
        column = min(int(at.x() / self.place.width() * frame.shape[1]), frame.shape[1] - 1)
        row = min(int(at.y() / self.place.height() * frame.shape[0]), frame.shape[0] - 1)
        values = " ".join(f"{value:.6g}" for value in np.atleast_1d(frame[row, column]))
        return f"({column}, {row}): {values}"


class ImageViewer(ViewerWindow):
    """The newest frames of several cameras, side by side.

    Attributes
    ----------
    cameras : dict of str to Camera
        By stream, in the order in which they were linked.
    clock : callable
        What time it is, by the local clock, in seconds.
    """

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.clock = local_clock
        self.cameras: dict[str, Camera] = {}
        self._enlarged: Camera | None = None
        self._empty = QtWidgets.QLabel("Waiting for frames: link a camera")
        self._empty.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self._grid = QtWidgets.QGridLayout()
        self._grid.setSpacing(_GAP)
        self._grid.setContentsMargins(_GAP, _GAP, _GAP, 0)
        self._add_actions()
        self._add_fields()
        self.body.addWidget(self._empty, 1)
        self.body.addLayout(self._grid, 1)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setFocus()
        self.applied(set())

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the frames of a camera."""
        camera = self.cameras[stream] = Camera(stream, self.settings)
        self._arrange()
        return camera.buffer

    def drop(self, port: str, stream: str) -> None:
        """Forget a camera."""
        camera = self.cameras.pop(stream, None)
        if camera is not None:
            if self._enlarged is camera:
                self._enlarged = None
            self._grid.removeWidget(camera)
            camera.deleteLater()
            self._arrange()

    def applied(self, names: set[str]) -> None:
        """Show what has changed."""
        settings = self.settings
        self.columns.setValue(settings.n_columns)
        self.low.setValue(settings.low)
        self.high.setValue(settings.high)
        self.levels.setCurrentIndex(self.levels.findData(settings.levels))
        self.colours.setCurrentIndex(self.colours.findText(settings.colours))
        self._smooth.setChecked(settings.smooth)
        for field in (self.low, self.high):
            field.setEnabled(settings.levels == "fixed")
        if "n_columns" in names:
            self._arrange()
        for camera in self.cameras.values():
            camera.draw()
            camera.update()

    def refresh(self) -> None:
        """Show the newest frames."""
        now = self.clock()
        for camera in self.cameras.values():
            camera.look(now)

    def mouseDoubleClickEvent(  # noqa: N802 - Qt's name
        self, event: QtGui.QMouseEvent | None
    ) -> None:
        """Show the camera under the mouse alone, or all again."""
        if event is not None:
            widget = self.childAt(event.pos())
            self._enlarge(widget if isinstance(widget, Camera) else None)

    def _enlarge(self, camera: Camera | None) -> None:
        self._enlarged = None if camera is self._enlarged else camera
        for each in self.cameras.values():
            each.setVisible(self._enlarged in (None, each))

    def _next_alone(self) -> None:
        order = [None, *self.cameras.values()]
        camera = order[(order.index(self._enlarged) + 1) % len(order)]
        self._enlarge(camera if camera is not None else self._enlarged)

    def _arrange(self) -> None:
        n = self.settings.n_columns
        for number, camera in enumerate(self.cameras.values()):
            self._grid.removeWidget(camera)
            self._grid.addWidget(camera, number // n, number % n)
        rows, columns = math.ceil(len(self.cameras) / n), min(n, len(self.cameras))
        for at in range(max(rows, self._grid.rowCount())):
            self._grid.setRowStretch(at, int(at < rows))
        for at in range(max(columns, self._grid.columnCount())):
            self._grid.setColumnStretch(at, int(at < columns))
        self._empty.setVisible(not self.cameras)

    def _add_actions(self) -> None:
        alone = self.add_action("Alone", "Return", "Show one camera after the other alone, then "
                                "all; also a double click")  # fmt: skip
        alone.triggered.connect(self._next_alone)
        self._smooth = self.add_action("Smooth", "M", "Smooth what is enlarged")
        self._smooth.setCheckable(True)
        self._smooth.triggered.connect(lambda on: self.change(smooth=bool(on)))
        for text, keys, tip, step in (
            ("Fewer", "Left", "Fewer cameras side by side", -1),
            ("More", "Right", "More cameras side by side", 1),
        ):
            action = self.add_action(text, keys, tip)
            action.triggered.connect(lambda _, by=step: self._add_columns(by))
        for text, keys, tip, todo in (
            ("Levels", "L", "Other levels", self._next_levels),
            ("Colours", "C", "Other colours of gray frames", self._next_colours),
        ):
            action = self.add_action(text, keys, tip)
            action.triggered.connect(todo)
            self.tools.removeAction(action)

    def _add_fields(self) -> None:
        bar = QtWidgets.QToolBar(self)
        self.columns = QtWidgets.QSpinBox()
        self.columns.setRange(1, 32)
        self.columns.setToolTip("Cameras side by side (Left, Right)")
        self.levels, self.colours = QtWidgets.QComboBox(), QtWidgets.QComboBox()
        for value, text in _LEVELS.items():
            self.levels.addItem(text, value)
        self.levels.setToolTip("What is black and what is white, of more than 8 bits (L)")
        self.colours.addItems(_COLOURS)
        self.colours.setToolTip("Colours of gray frames (C)")
        self.low, self.high = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        for field, name, tip in (
            (self.low, "low", "What is black, if the levels are fixed"),
            (self.high, "high", "What is white, if the levels are fixed"),
        ):
            field.setRange(-1e9, 1e9)
            field.setToolTip(tip)
            field.setMaximumWidth(130)
            field.editingFinished.connect(lambda f=field, n=name: self._enter(n, f.value()))
        for part in (" columns ", self.columns, "  ", self.colours, self.levels, self.low, "to",
                     self.high):  # fmt: skip
            bar.addWidget(QtWidgets.QLabel(part) if isinstance(part, str) else part)
        self.body.addWidget(bar)
        self.columns.editingFinished.connect(lambda: self._enter("n_columns", self.columns.value()))
        self.levels.activated.connect(lambda _: self._enter("levels", self.levels.currentData()))
        self.colours.activated.connect(lambda at: self._enter("colours", _COLOURS[at]))

    def _enter(self, name: str, value: Any) -> None:
        if self.settings.parameters[name] != value:
            self.change(**{name: value})

    def _add_columns(self, by: int) -> None:
        self.change(n_columns=min(max(self.settings.n_columns + by, 1), 32))

    def _next_levels(self) -> None:
        levels = list(_LEVELS)
        self.change(levels=levels[(levels.index(self.settings.levels) + 1) % len(levels)])

    def _next_colours(self) -> None:
        at = _COLOURS.index(self.settings.colours)
        self.change(colours=_COLOURS[(at + 1) % len(_COLOURS)])
