"""What the picture of a graph is made of: cards of nodes, bands of processes, curves of links."""

from __future__ import annotations

from collections.abc import Mapping

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.graph.layout import HEAD, PORT, Box, Card, Wire
from rigmesh.viewers.colours import Colours
from rigmesh.viewers.panel_model import NodeView

__all__ = ["BandItem", "CardItem", "WireItem", "font", "told_rate", "told_time", "width_of"]

_FULL, _VERY_FULL = 0.2, 0.4
"""How full a ring is from which on its reader is told to be behind."""
_RIGHT = QtCore.Qt.AlignmentFlag.AlignRight
_LEFT = QtCore.Qt.AlignmentFlag.AlignLeft
_ELIDE = QtCore.Qt.TextElideMode.ElideRight
_STYLES = {
    "call": (1.4, QtCore.Qt.PenStyle.SolidLine), "ring": (2.8, QtCore.Qt.PenStyle.SolidLine),
    "network": (2.8, QtCore.Qt.PenStyle.DashLine), "lsl": (2.0, QtCore.Qt.PenStyle.DotLine),
}  # fmt: skip
_MEANINGS = {
    "call": "a call within a process", "ring": "shared memory between two processes",
    "network": "over the network", "lsl": "LSL",
}  # fmt: skip


def font(size: float, *, bold: bool = False) -> QtGui.QFont:
    """Return the font of a picture, in its own units."""
    made = QtGui.QFont(QtWidgets.QApplication.font().family())
    made.setPixelSize(round(size))
    made.setWeight(QtGui.QFont.Weight.DemiBold if bold else QtGui.QFont.Weight.Normal)
    return made


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a text is."""
    return float(QtGui.QFontMetricsF(font(size, bold=bold)).horizontalAdvance(text))


def told_rate(rate: float | None) -> str:
    """Return a rate in words.

    Examples
    --------
    >>> told_rate(30000.0), told_rate(2.5), told_rate(None)
    ('30,000 Hz', '2.5 Hz', '')
    """
    if rate is None:
        return ""
    return f"{rate:,.0f} Hz" if rate >= 100 or rate == 0 else f"{rate:,.1f} Hz"


def told_time(seconds: float) -> str:
    """Return a short time in words.

    Examples
    --------
    >>> told_time(0.0123), told_time(0.00045)
    ('12.3 ms', '450 µs')
    """
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


class _Item(QtWidgets.QGraphicsItem):
    """Something that is drawn in the colours of the palette."""

    colours: Colours

    def paint(
        self,
        painter: QtGui.QPainter | None,
        option: QtWidgets.QStyleOptionGraphicsItem | None,
        widget: QtWidgets.QWidget | None = None,
    ) -> None:
        """Draw it."""
        if painter is not None:
            self.draw(painter)

    def draw(self, painter: QtGui.QPainter) -> None:
        """Draw it."""
        raise NotImplementedError


class BandItem(_Item):
    """The frame around the nodes of a group, or of one of its processes.

    Attributes
    ----------
    note : str
        How busy it is.
    is_process : bool
        Whether it is a process, and not a group of several.
    """

    def __init__(self, box: Box, title: str, tint: int, *, is_process: bool) -> None:
        super().__init__()
        self.is_process = is_process
        self.process = box.name
        self.title = title
        self.note = ""
        self._box = box
        self._tint = tint
        self.setPos(box.x, box.y)
        self.setZValue(-3 if box.is_group else -2)

    def boundingRect(self) -> QtCore.QRectF:  # noqa: N802
        """Return where it is."""
        return QtCore.QRectF(-2, -2, self._box.width + 4, self._box.height + 4)

    def draw(self, painter: QtGui.QPainter) -> None:
        """Draw frame and title."""
        fill, edge = self.colours.tints[self._tint % len(self.colours.tints)]
        rect = QtCore.QRectF(0, 0, self._box.width, self._box.height)
        dashed = QtCore.Qt.PenStyle.DashLine
        solid = QtCore.Qt.PenStyle.SolidLine
        painter.setPen(QtGui.QPen(QtGui.QColor(edge), 1.3, solid if self._box.is_group else dashed))
        painter.setBrush(QtGui.QColor(fill))
        painter.drawRoundedRect(rect, 12, 12)
        room = rect.adjusted(12, 5, -12, 0)
        painter.setFont(font(12, bold=self._box.is_group))
        painter.setPen(QtGui.QColor(self.colours.soft))
        painter.drawText(room, int(_LEFT), self.title)
        painter.setFont(font(11))
        painter.setPen(QtGui.QColor(self.colours.soft))
        painter.drawText(room, int(_RIGHT), self.note)


class WireItem(_Item):
    """A link."""

    def __init__(self, wire: Wire, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._path = _path_of(wire)
        stream = wire.link.stream.partition("/")[2]
        sink = wire.link.sink.partition("/")[2]
        self.setToolTip(f"{stream} → {sink}.{wire.link.port}: {_MEANINGS[kind]}")
        self.setZValue(-1)

    def boundingRect(self) -> QtCore.QRectF:  # noqa: N802
        """Return where it is."""
        return self._path.boundingRect().adjusted(-3, -3, 3, 3)

    def shape(self) -> QtGui.QPainterPath:
        """Return what shows the tool tip."""
        stroker = QtGui.QPainterPathStroker()
        stroker.setWidth(8)
        return stroker.createStroke(self._path)

    def draw(self, painter: QtGui.QPainter) -> None:
        """Draw the curve."""
        width, style = _STYLES[self.kind]
        colour = self.colours.faint if self.kind == "call" else self.colours.accent
        painter.setPen(QtGui.QPen(QtGui.QColor(colour), width, style))
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        painter.drawPath(self._path)


class CardItem(_Item):
    """A node: name, type, state, rates of its outputs, and how it keeps up.

    Attributes
    ----------
    key : str
        The node's.
    state, foot : str
        As it is written on the card.
    rates : dict of str to str
        By output.
    """

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.key = card.node
        self.name = card.node.partition("/")[2]
        self.state = self.foot = self.node_type = ""
        self.rates: dict[str, str] = {}
        self.is_chosen = False
        self._foot_level = 0
        self._card = card
        self._height = card.height
        self.setPos(card.x, card.y)
        self.setCursor(QtCore.Qt.CursorShape.PointingHandCursor)

    @property
    def middle(self) -> QtCore.QPointF:
        """Its middle, in the scene."""
        return self.pos() + QtCore.QPointF(self._card.width / 2, self._height / 2)

    def update_node(self, node: NodeView, rates: Mapping[str, float | None]) -> None:
        """Show how a node is now."""
        self.state = node.state
        self.node_type = node.status.spec.type
        self.rates = {port: told_rate(rate) for port, rate in rates.items()}
        lost, fill = node.lost, node.fill
        words = []
        if fill is not None:
            words.append(f"lag {node.lag:,} ({fill:.0%})")
        elif node.latency is not None:
            words.append(f"p99 {told_time(node.latency[1])}")
        is_seen = fill is not None or any(self.rates.values())
        words += [f"{lost:,} lost"] if lost else ["no gaps"] if is_seen else []
        self.foot = "  ·  ".join(words)
        self._foot_level = 2 if lost or (fill or 0) > _VERY_FULL else int((fill or 0) > _FULL)
        told = [f"<b>{_safe(self.name)}</b> ({_safe(self.node_type)}): {self.state}"]
        if node.failure:
            told.append(_safe(node.failure))
        if node.latency is not None:
            p50, p99, late = node.latency
            told.append(f"latency p50 {told_time(p50)}, p99 {told_time(p99)}; {late:,} late")
        self.setToolTip(f"<qt>{'<br>'.join(told)}</qt>")
        self.update()

    def boundingRect(self) -> QtCore.QRectF:  # noqa: N802
        """Return where it is."""
        return QtCore.QRectF(-6, -4, self._card.width + 12, self._height + 8)

    def shape(self) -> QtGui.QPainterPath:
        """Return what can be clicked."""
        path = QtGui.QPainterPath()
        path.addRect(0, 0, self._card.width, self._height)
        return path

    def draw(self, painter: QtGui.QPainter) -> None:
        """Draw the card."""
        colours, width = self.colours, self._card.width
        rect = QtCore.QRectF(0, 0, width, self._height)
        state = QtGui.QColor(colours.state(self.state))
        edge = colours.accent if self.is_chosen else colours.edge
        painter.setPen(QtGui.QPen(QtGui.QColor(edge), 2.6 if self.is_chosen else 1.2))
        painter.setBrush(QtGui.QColor(colours.card))
        painter.drawRoundedRect(rect, 8, 8)
        chip = width_of(self.state, 10.5, bold=True) + 26
        self._draw_state(painter, QtCore.QRectF(width - chip - 8, 8, chip, 18), state)
        _write(painter, QtCore.QRectF(12, 7, width - chip - 26, 20), self.name, 13.5,
               colours.ink, bold=True)  # fmt: skip
        _write(painter, QtCore.QRectF(12, 26, width - 24, 16), self.node_type, 11, colours.soft)
        self._draw_ports(painter)
        foot = QtCore.QRectF(12, self._height - 22, width - 24, 16)
        colour = (colours.soft, colours.warn, colours.bad)[self._foot_level]
        _write(painter, foot, self.foot, 11, colour, bold=self._foot_level > 1)

    def _draw_state(
        self, painter: QtGui.QPainter, rect: QtCore.QRectF, colour: QtGui.QColor
    ) -> None:
        fill = QtGui.QColor(colour)
        fill.setAlpha(36)
        painter.setPen(QtGui.QPen(colour, 1))
        painter.setBrush(fill)
        painter.drawRoundedRect(rect, 9, 9)
        painter.setBrush(colour)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.drawEllipse(QtCore.QPointF(rect.x() + 10, rect.center().y()), 3.2, 3.2)
        _write(painter, rect.adjusted(18, 0, -4, 0), self.state, 10.5, colour.name(), bold=True)

    def _draw_ports(self, painter: QtGui.QPainter) -> None:
        colours, width, size = self.colours, self._card.width, self._card.size
        if size is None:
            return
        for at, name in enumerate(size.inputs):
            level = HEAD + PORT * (at + 0.5)
            self._dot(painter, 0, level)
            _write(painter, QtCore.QRectF(10, level - 8, width / 2, 16), name, 11, colours.ink)
        for at, name in enumerate(size.outputs):
            level = HEAD + PORT * (at + 0.5)
            self._dot(painter, width, level)
            rate = self.rates.get(name, "")
            room = width_of(name, 11)
            _write(painter, QtCore.QRectF(width - 11 - room, level - 8, room + 2, 16), name, 11,
                   colours.ink)  # fmt: skip
            colour = colours.good if rate not in ("", "0 Hz") else colours.soft
            left = QtCore.QRectF(10, level - 8, width - 28 - room, 16)
            _write(painter, left, rate, 11, colour, right=True)

    def _dot(self, painter: QtGui.QPainter, x: float, y: float) -> None:
        painter.setPen(QtGui.QPen(QtGui.QColor(self.colours.soft), 1.3))
        painter.setBrush(QtGui.QColor(self.colours.card))
        painter.drawEllipse(QtCore.QPointF(x, y), 3.6, 3.6)


def _write(
    painter: QtGui.QPainter,
    room: QtCore.QRectF,
    text: str,
    size: float,
    colour: str,
    *,
    bold: bool = False,
    right: bool = False,
) -> None:
    """Write a line, cut off where there is no more room."""
    made = font(size, bold=bold)
    painter.setFont(made)
    painter.setPen(QtGui.QColor(colour))
    shown = QtGui.QFontMetricsF(made).elidedText(text, _ELIDE, room.width() + 1)
    middle = QtCore.Qt.AlignmentFlag.AlignVCenter
    painter.drawText(room, int(middle | (_RIGHT if right else _LEFT)), shown)


def _path_of(wire: Wire) -> QtGui.QPainterPath:
    path = QtGui.QPainterPath()
    for number, ((x0, y0), (x1, y1)) in enumerate(wire.points):
        if number:
            path.lineTo(x0, y0)
        else:
            path.moveTo(x0, y0)
        reach = max(24.0, (x1 - x0) / 2)
        path.cubicTo(x0 + reach, y0, x1 - reach, y1, x1, y1)
    return path


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
