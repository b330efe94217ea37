"""Draws sweeps on top of each other, a panel a channel or all in one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.viewers.sweep_pixels import column_spans, counted, shades
from rigmesh.viewers.sweeps import Shown, extremes, spread
from rigmesh.viewers.trace_theme import Theme

__all__ = ["Look", "Slot", "SweepCanvas", "nice"]

Array = npt.NDArray[Any]

_LEFT, _BOTTOM, _TOP, _RIGHT, _BETWEEN = 58, 22, 4, 24, 8
_FURTHEST = 20_000.0
_STEP = 1.25
_SAMPLED = 200_000


@dataclass(frozen=True, slots=True)
class Look:
    """How sweeps are drawn; the parameters of the window with the same names."""

    view: str
    show_sweeps: bool
    show_average: bool
    show_band: bool
    baseline: bool
    negative_up: bool
    half_range: float


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a channel is drawn: value ``v`` at the height ``zero - (v - centre) * scale``.

    Attributes
    ----------
    name : str
        Of the channel.
    area : QRectF
        What it is clipped to.
    zero, scale, centre : float
        The height of the centre, pixels for 1 (below 0: negative is up), and the centre's value.
    x : ndarray
        The pixel of each point.
    sweeps : ndarray, shape (n_sweeps, n_points)
        The heights of each sweep, in pixels.
    average, upper, lower : ndarray, shape (n_points,)
        The heights of the average, and one standard deviation from it.
    """

    name: str
    area: QtCore.QRectF
    zero: float
    scale: float
    centre: float
    x: Array
    sweeps: Array
    average: Array
    upper: Array
    lower: Array


class SweepCanvas(QtWidgets.QWidget):
    """The picture of a triggered oscilloscope.

    Attributes
    ----------
    turned : pyqtSignal(float)
        The wheel asks for a gain so many times as high.
    half_range : float
        How far panels reach, also if that was left to the canvas.
    slots : list of Slot
        What was drawn last.
    """

    turned = QtCore.pyqtSignal(float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(200, 120)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setToolTip("Wheel: gain")
        self.half_range = 1.0
        self.slots: list[Slot] = []
        self._shown: Shown | None = None
        self._look = Look("panels", True, True, False, True, False, 0.0)
        self._message = ""
        self._picture: QtGui.QPixmap | None = None

    def show_sweeps(self, shown: Shown | None, look: Look, message: str) -> None:
        """Draw other sweeps, or the same ones in another way; a message if there are none."""
        self._shown, self._look, self._message = shown, look, message
        if shown is not None:
            self.half_range = look.half_range or _fitting(shown, look, self.half_range)
        self._picture = None
        self.update()

    # --- Qt ----------------------------------------------------------------------------------

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Change the gain."""
        if event is not None and event.angleDelta().y():
            self.turned.emit(_STEP ** (event.angleDelta().y() / 120))
            event.accept()

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw anew in another size."""
        self._picture = None
        super().resizeEvent(event)

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw anew in other colours."""
        self._picture = None
        super().changeEvent(event)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Show the picture, and draw it first if it is not there."""
        if self._picture is None:
            self._picture = self._drawn()
        painter = QtGui.QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        painter.end()

    def _drawn(self) -> QtGui.QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QtGui.QPixmap(self.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        theme = Theme.now()
        picture.fill(_colour(theme.background))
        painter = QtGui.QPainter(picture)
        painter.setFont(self.font())
        shown = self._shown
        self.slots = []
        if shown is not None:
            self._draw(painter, theme, shown)
        if self._message:
            painter.setPen(_colour(theme.soft))
            wrap = QtCore.Qt.AlignmentFlag.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
            painter.drawText(QtCore.QRectF(self.rect()).adjusted(40, 40, -40, -40), wrap,
                             self._message)  # fmt: skip
        painter.end()
        return picture

    # --- inside ------------------------------------------------------------------------------

    def _draw(self, painter: QtGui.QPainter, theme: Theme, shown: Shown) -> None:
        areas, heights = self._areas(len(shown.names))
        for number, (name, area, (zero, height)) in enumerate(
            zip(shown.names, areas, heights, strict=True)
        ):
            is_first = number == 0 or area != areas[number - 1]
            slot = self._slot(shown, number, name, area, zero, height)
            self.slots.append(slot)
            painter.save()
            painter.setClipRect(area)
            if is_first:
                self._draw_ground(painter, theme, shown, area)
            painter.setPen(_colour(theme.faint))
            painter.drawLine(QtCore.QLineF(area.left(), zero, area.right(), zero))
            self._draw_slot(painter, theme, slot, number)
            painter.restore()
            self._label(painter, theme, slot, height, is_left=area.left() <= _LEFT + 1)
        for area in {(a.left(), a.width()): a for a in areas}.values():
            self._label_times(painter, theme, shown, area)

    def _areas(self, n: int) -> tuple[list[QtCore.QRectF], list[tuple[float, float]]]:
        """Return for each channel what it is clipped to, and its zero and height."""
        whole = QtCore.QRectF(self.rect()).adjusted(_LEFT, _TOP, -_RIGHT, -_BOTTOM)
        if self._look.view == "stacked":
            height = whole.height() / n
            zeros = [whole.top() + (k + 0.5) * height for k in range(n)]
            return [whole] * n, [(zero, height) for zero in zeros]
        n_columns = 1 if n <= 3 else math.ceil(math.sqrt(n))
        n_rows = math.ceil(n / n_columns)
        width = (whole.width() - (n_columns - 1) * _BETWEEN) / n_columns
        height = (whole.height() - (n_rows - 1) * _BETWEEN) / n_rows
        areas = [
            QtCore.QRectF(
                whole.left() + (k % n_columns) * (width + _BETWEEN),
                whole.top() + (k // n_columns) * (height + _BETWEEN), width, height,
            )
            for k in range(n)
        ]  # fmt: skip
        return areas, [(area.center().y(), height) for area in areas]

    def _slot(
        self, shown: Shown, number: int, name: str, area: QtCore.QRectF, zero: float, height: float
    ) -> Slot:
        look, mean = self._look, shown.mean[:, number]
        centre = 0.0 if look.baseline else _median(mean)
        scale = height / (2 * self.half_range) * (-1 if look.negative_up else 1)
        span = shown.times[-1] - shown.times[0] or 1.0
        x = area.left() + (shown.times - shown.times[0]) / span * area.width()
        n_bins = max(1, int(area.width()))

        def heights(values: Array) -> Array:
            y = zero - (extremes(values, n_bins).astype(np.float64) - centre) * scale
            return np.clip(y, -_FURTHEST, _FURTHEST)

        return Slot(
            name, area, zero, scale, centre, spread(x, n_bins),
            sweeps=heights(shown.sweeps[:, :, number].T).T,
            average=heights(mean),
            upper=heights(shown.upper[:, number]),
            lower=heights(shown.lower[:, number]),
        )  # fmt: skip

    def _draw_ground(
        self, painter: QtGui.QPainter, theme: Theme, shown: Shown, area: QtCore.QRectF
    ) -> None:
        painter.fillRect(area, _colour(theme.faint, 90))
        for time in _ticks(shown, area.width()):
            painter.setPen(_colour(theme.soft if time == 0 else theme.faint))
            x = _x_of(shown, area, time)
            painter.drawLine(QtCore.QLineF(x, area.top(), x, area.bottom()))

    def _draw_slot(self, painter: QtGui.QPainter, theme: Theme, slot: Slot, number: int) -> None:
        look, ink = self._look, theme.trace(number)
        if look.show_sweeps and len(slot.sweeps):
            alpha = round(max(28, 150 / math.sqrt(len(slot.sweeps))))
            self._lay(painter, slot, slot.sweeps[:-1], slot.sweeps[:-1], theme.soft, alpha)
            self._lay(painter, slot, slot.sweeps[-1:], slot.sweeps[-1:], theme.text, 130)
        if look.show_band:
            self._lay(painter, slot, slot.upper[None], slot.lower[None], ink, 60)
        if look.show_average:
            average = slot.average[None]
            self._lay(painter, slot, average - 0.5, average + 0.5, ink, 255)

    def _lay(
        self, painter: QtGui.QPainter, slot: Slot, first: Array, last: Array, ink: int, alpha: int
    ) -> None:
        """Lay spans from one line to another on each other; a line is a span to itself."""
        ratio, area = self.devicePixelRatioF(), slot.area
        width, height = round(area.width() * ratio), round(area.height() * ratio)
        if not len(first) or width < 1 or height < 1:
            return
        x = (slot.x - area.left()) * ratio
        top, bottom = column_spans(x, (first - area.top()) * ratio, width)
        if last is not first:
            others = column_spans(x, (last - area.top()) * ratio, width)
            top, bottom = np.minimum(top, others[0]), np.maximum(bottom, others[1])
        # Only where there is something: of 32 stacked channels each fills a small part.
        highest, lowest = np.fmin.reduce(top, axis=None), np.fmax.reduce(bottom, axis=None)
        if not (highest < height and lowest >= 0):
            return
        above = math.floor(max(highest, 0))
        height = min(math.floor(lowest) + 1, height) - above
        shade = shades(counted(top - above, bottom - above, height), ink, alpha)
        image = QtGui.QImage(
            shade.tobytes(), width, height, 4 * width,
            QtGui.QImage.Format.Format_ARGB32_Premultiplied,
        )  # fmt: skip
        image.setDevicePixelRatio(ratio)
        painter.drawImage(area.topLeft() + QtCore.QPointF(0, above / ratio), image)

    def _label(
        self, painter: QtGui.QPainter, theme: Theme, slot: Slot, height: float, *, is_left: bool
    ) -> None:
        metrics = painter.fontMetrics()
        line = metrics.height()
        # Where channels lie closer than words, every so many have their names.
        if height < line and (
            self._look.view == "panels" or (len(self.slots) - 1) % math.ceil(line / height)
        ):
            return
        # A stacked channel is named where its zero is, in a panel of its own at the top.
        if self._look.view == "stacked":
            painter.setPen(_colour(theme.trace(len(self.slots) - 1)))
            name = metrics.elidedText(slot.name, QtCore.Qt.TextElideMode.ElideRight, _LEFT - 10)
            painter.drawText(QtCore.QRectF(4, slot.zero - line / 2, _LEFT - 8, line),
                             QtCore.Qt.AlignmentFlag.AlignRight, name)  # fmt: skip
            return
        painter.setPen(_colour(theme.text))
        room = int(slot.area.width() - 8)
        name = metrics.elidedText(slot.name, QtCore.Qt.TextElideMode.ElideRight, room)
        painter.drawText(QtCore.QPointF(slot.area.left() + 5, slot.area.top() + line - 2), name)
        if not is_left:
            return
        painter.setPen(_colour(theme.soft))
        far = 0.5 * self.half_range
        for value in (-far, 0.0, far) if height > 4 * line else (0.0,):
            y = slot.zero - value * slot.scale
            painter.drawText(QtCore.QRectF(2, y - line / 2, _LEFT - 8, line),
                             QtCore.Qt.AlignmentFlag.AlignRight,
                             f"{slot.centre + value:.4g}")  # fmt: skip

    def _label_times(
        self, painter: QtGui.QPainter, theme: Theme, shown: Shown, area: QtCore.QRectF
    ) -> None:
        painter.setPen(_colour(theme.soft))
        factor, unit = (1, "s") if shown.times[-1] - shown.times[0] > 5 else (1000, "ms")
        top = self.height() - _BOTTOM + 3
        for time in _ticks(shown, area.width()):
            text = f"{time * factor:g}" if time else f"0 {unit}"
            width = painter.fontMetrics().horizontalAdvance(text)
            # Below its own panel: the next one's first label begins where this one's last ends.
            left = min(_x_of(shown, area, time) - width / 2, area.right() - width)
            painter.drawText(QtCore.QRectF(max(area.left(), left), top, width + 2, _BOTTOM - 4),
                             QtCore.Qt.AlignmentFlag.AlignLeft, text)  # fmt: skip


def nice(value: float, steps: tuple[float, ...] = (1, 2, 5, 10)) -> float:
    """Return the next step times a power of ten that is not less than a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))


def _fitting(shown: Shown, look: Look, present: float) -> float:
    """Return how far panels reach so that nearly everything fits; the same if that does."""
    values = shown.sweeps if look.show_sweeps else shown.mean[None]
    if not look.baseline:
        values = values - np.array([_median(column) for column in shown.mean.T])
    values = np.abs(values[..., :: max(1, values.size // _SAMPLED), :])
    values = values[np.isfinite(values)]
    if not len(values):
        return present
    need = float(np.percentile(values, 99.5)) * 1.1
    if not 0 < need < 1e30 or 0.3 * present < need <= present:
        return present
    return nice(need, (1, 1.5, 2, 3, 4, 6, 8, 10))


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _x_of(shown: Shown, area: QtCore.QRectF, time: float) -> float:
    span = shown.times[-1] - shown.times[0] or 1.0
    return float(area.left() + (time - shown.times[0]) / span * area.width())


def _ticks(shown: Shown, width: float) -> list[float]:
    first, last = float(shown.times[0]), float(shown.times[-1])
    if last <= first:
        return [0.0]
    step = nice((last - first) * 75 / max(width, 80))
    numbers = range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)
    return [number * step for number in numbers]


def _colour(rgb: int, alpha: int = 255) -> QtGui.QColor:
    colour = QtGui.QColor(rgb)
    colour.setAlpha(alpha)
    return colour
