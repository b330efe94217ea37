"""What is drawn beside and over the picture of a stream's traces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PyQt5 import QtCore, QtGui

from rigmesh.viewers.trace_follower import TimeBase
from rigmesh.viewers.trace_looks import Label
from rigmesh.viewers.trace_sinks import Hole
from rigmesh.viewers.trace_theme import Theme

__all__ = ["draw_labels", "paint_cursor", "paint_holes", "paint_markers"]

_ERASED = 12
"""Pixels ahead of a scanning cursor that are kept empty."""


def draw_labels(
    labels: Sequence[Label],
    theme: Theme,
    chosen_name: str,
    ratio: float,
    size: QtCore.QSize,
    font: QtGui.QFont,
) -> QtGui.QPixmap:
    """Return a picture of labels, of as many as are legible.

    Parameters
    ----------
    labels : sequence of Label
        From the top.
    theme : Theme
        Colours.
    chosen_name : str
        The channel that stands out, and is there in any case.
    ratio : float
        Pixels of the screen in one of Qt's.
    size : QSize
        Of the picture, in Qt's pixels.
    font : QFont
        Of the texts.
    """
    width, height = size.width(), size.height()
    side = QtGui.QPixmap(round(width * ratio), max(1, round(height * ratio)))
    side.setDevicePixelRatio(ratio)
    side.fill(QtGui.QColor(theme.background))
    painter = QtGui.QPainter(side)
    painter.setFont(font)
    metrics = painter.fontMetrics()
    needed = metrics.height() * 0.9
    chosen_at = next((label.y / ratio for label in labels if _is(label, chosen_name)), -2 * needed)
    until = -needed
    for label in labels:
        y = label.y / ratio
        is_chosen = _is(label, chosen_name)
        if not is_chosen and (y - until < needed or abs(y - chosen_at) < needed):
            continue
        until = y
        top = max(0.0, min(height - needed, y - needed / 2))
        box = QtCore.QRectF(2, top, width - 8, needed)
        if is_chosen:
            painter.fillRect(box.adjusted(0, -1, 2, 1), QtGui.QColor(label.colour))
            painter.setPen(QtGui.QColor(theme.background))
        else:
            painter.setPen(QtGui.QColor(label.colour))
        text = metrics.elidedText(label.text, QtCore.Qt.TextElideMode.ElideRight, width - 10)
        painter.drawText(
            box, QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter, text
        )
    painter.setPen(QtGui.QColor(theme.edge))
    painter.drawLine(width - 1, 0, width - 1, height)
    painter.end()
    return side


def paint_holes(
    painter: QtGui.QPainter,
    holes: Iterable[Hole],
    base: TimeBase,
    theme: Theme,
    ratio: float,
    bottom: int,
) -> None:
    """Shade times without samples; the shortest can be seen, too."""
    shade, edge = QtGui.QColor(theme.gap), QtGui.QColor(theme.gap)
    shade.setAlpha(46)
    edge.setAlpha(150)
    for hole in holes:
        begin, stop = max(hole.start, base.start), min(hole.stop, base.stop)
        x = base.x_of(begin) / ratio
        width = max(2.0, (stop - begin) / base.step / ratio)
        for at in (x, x - base.width / ratio) if base.mode == "scan" else (x,):
            painter.fillRect(QtCore.QRectF(at, 0, width, bottom), shade)
            painter.fillRect(QtCore.QRectF(at, 0, 1, bottom), edge)


def paint_markers(
    painter: QtGui.QPainter,
    markers: Iterable[tuple[float, str]],
    base: TimeBase,
    theme: Theme,
    ratio: float,
    bottom: int,
) -> None:
    """Draw a line where each marker is."""
    last = -1
    for time, text in markers:
        x = int(base.x_of(time) / ratio)
        if x == last:
            continue
        last = x
        colour = QtGui.QColor(theme.word(text))
        colour.setAlpha(190)
        painter.setPen(QtGui.QPen(colour, 1, QtCore.Qt.PenStyle.DashLine))
        painter.drawLine(x, 0, x, bottom)


def paint_cursor(
    painter: QtGui.QPainter, base: TimeBase, theme: Theme, ratio: float, bottom: int
) -> None:
    """Draw where a scanning picture is written, and leave out what is about to be written over."""
    x = (base.right % base.width + 1) / ratio
    background = QtGui.QColor(theme.background)
    for at in (x, x - base.width / ratio):
        painter.fillRect(QtCore.QRectF(at, 0, _ERASED, bottom), background)
    painter.fillRect(QtCore.QRectF(x - 1, 0, 1.5, bottom), QtGui.QColor(theme.accent))


def _is(label: Label, name: str) -> bool:
    return bool(name) and label.name == name
