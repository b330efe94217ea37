"""The picture of the graph: nodes as cards in the bands of their processes, links as curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.graph.layout import HEAD, PORT, Card, Size, arrange
from rigmesh.graph.listing import options_of
from rigmesh.graph.plan import GraphPlan
from rigmesh.graph.spec import GroupSpec, split_port
from rigmesh.node.registry import NodeType
from rigmesh.viewers.colours import Colours, follow_palette
from rigmesh.viewers.panel_items import BandItem, CardItem, WireItem, font, width_of
from rigmesh.viewers.panel_model import HostView, NodeView, Rates, plan_of, shape_of

__all__ = ["GraphPicture"]

_FOOT = 26.0
_NARROW, _WIDE = 190.0, 360.0
_RATE_ROOM = 74.0
_LEAST, _MOST = 0.6, 1.15
"""Scales between which the whole is fitted into the window; smaller could not be read."""
_ZOOM = 1.2


class GraphPicture(QtWidgets.QGraphicsView):
    """Draws the graphs of all hosts as one, and what runs in them.

    A click or the arrow keys choose a node; Ctrl and the wheel, or + and -, change the scale, and
    0 fits the whole graph into the window.

    Attributes
    ----------
    chosen : pyqtSignal(str)
        The key of the node that a person has chosen; empty for none.
    cards : dict of str to CardItem
        By the keys of the nodes.
    links : set of (str, str)
        From which output to which input, ``key.port``.
    """

    chosen = QtCore.pyqtSignal(str)

    def __init__(self) -> None:
        self._scene = QtWidgets.QGraphicsScene()
        super().__init__(self._scene)
        self.cards: dict[str, CardItem] = {}
        self.links: set[tuple[str, str]] = set()
        self.selected = ""
        self.empty_text = ""
        self._bands: list[BandItem] = []
        self._shape: object = None
        self._rates = Rates()
        self._is_fitted = True
        self.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        self.setDragMode(QtWidgets.QGraphicsView.DragMode.ScrollHandDrag)
        self.setTransformationAnchor(QtWidgets.QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setAccessibleName("Graph")
        self.setMinimumHeight(160)
        follow_palette(self._paint)

    def show_hosts(self, views: Sequence[HostView], nodes: Mapping[str, NodeView]) -> None:
        """Draw what the hosts have now; places change only when nodes or links do."""
        shape = shape_of(views)
        if shape != self._shape:
            self._shape = shape
            self._build(views, nodes)
        for key, card in self.cards.items():
            card.update_node(nodes[key], self._rates_of(nodes[key]))
        for band in self._bands:
            band.note = _load_of(band.process, views) if band.is_process else ""
            band.update()

    def choose(self, key: str) -> None:
        """Mark a node."""
        self.selected = key if key in self.cards else ""
        for name, card in self.cards.items():
            card.is_chosen = name == self.selected
            card.update()
        if self.selected:
            self.ensureVisible(self.cards[key].sceneBoundingRect(), 20, 20)

    def fit(self) -> None:
        """Show the whole graph, as long as it can be read."""
        self._is_fitted = True
        rect = self._scene.sceneRect()
        viewport = self.viewport()
        if rect.isEmpty() or viewport is None:
            return
        room = viewport.rect()
        scale = min(room.width() / rect.width(), room.height() / rect.height())
        scale = min(_MOST, max(_LEAST, scale))
        self.setTransform(QtGui.QTransform.fromScale(scale, scale))
        # What does not fit is cut off at the end, not where the sources are.
        self.centerOn(
            rect.center().x() if rect.width() * scale <= room.width() else rect.left(),
            rect.center().y() if rect.height() * scale <= room.height() else rect.top(),
        )

    def zoom(self, factor: float) -> None:
        """Change the scale."""
        self._is_fitted = False
        scale = self.transform().m11() * factor
        if 0.2 <= scale <= 4.0:
            self.scale(factor, factor)

    # --- Qt ----------------------------------------------------------------------------------

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802
        """Choose the node under the mouse."""
        super().mousePressEvent(event)
        if event is not None and event.button() == QtCore.Qt.MouseButton.LeftButton:
            item = self.itemAt(event.pos())
            if isinstance(item, CardItem):
                self._pick(item.key)

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802
        """Change the scale while Ctrl is held."""
        if event is not None and event.modifiers() & QtCore.Qt.KeyboardModifier.ControlModifier:
            self.zoom(_ZOOM if event.angleDelta().y() > 0 else 1 / _ZOOM)
            event.accept()
        else:
            super().wheelEvent(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent | None) -> None:  # noqa: N802
        """Go from node to node, or change the scale."""
        if event is None:
            return
        key = QtCore.Qt.Key
        ways = {
            key.Key_Left: (-1, 0), key.Key_Right: (1, 0), key.Key_Up: (0, -1), key.Key_Down: (0, 1),
        }  # fmt: skip
        pressed: Any = event.key()
        if pressed in ways:
            self._go(*ways[pressed])
        elif pressed in (key.Key_Plus, key.Key_Equal):
            self.zoom(_ZOOM)
        elif pressed == key.Key_Minus:
            self.zoom(1 / _ZOOM)
        elif pressed == key.Key_0:
            self.fit()
        elif pressed == key.Key_Escape and self.selected:
            self._pick("")
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802
        """Keep the whole in the window, unless a person has chosen a scale."""
        super().resizeEvent(event)
        if self._is_fitted:
            self.fit()

    def drawForeground(  # noqa: N802
        self, painter: QtGui.QPainter | None, rect: QtCore.QRectF
    ) -> None:
        """Say what an empty picture waits for."""
        viewport = self.viewport()
        if self.cards or painter is None or viewport is None:
            return
        painter.save()
        painter.resetTransform()
        painter.setPen(QtGui.QColor(Colours.now().soft))
        painter.setFont(font(14))
        flags = QtCore.Qt.AlignmentFlag.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
        room = viewport.rect().adjusted(40, 20, -40, -20)
        painter.drawText(room, int(flags), self.empty_text)
        painter.restore()

    # --- inside ------------------------------------------------------------------------------

    def _build(self, views: Sequence[HostView], nodes: Mapping[str, NodeView]) -> None:
        self._scene.clear()
        self.cards.clear()
        self._bands.clear()
        self.links = set()
        found = plan_of(views)
        if found is None:
            self._scene.setSceneRect(QtCore.QRectF())
            self._paint()
            return
        plan, types = found
        several = sum(bool(view.status.nodes) for view in views) > 1
        titles = {name: _title(name, plan, views, several=several) for name in
                  (*plan.groups, *plan.processes)}  # fmt: skip
        sizes = {key: _size(nodes[key], types[plan.graph.nodes[key].type]) for key in plan.nodes}
        widths = {name: width_of(text, 12) + 150 for name, text in titles.items()}
        layout = arrange(plan, sizes, widths)
        group_of = {p.process: p.group for p in plan.nodes.values()}
        for box in layout.boxes:
            tint = plan.groups.index(box.name if box.is_group else group_of[box.name])
            several_inside = box.is_group and any(
                other.name == box.name and not other.is_group for other in layout.boxes
            )
            band = BandItem(box, titles[box.name], tint, is_process=not several_inside)
            self._bands.append(band)
            self._scene.addItem(band)
        for wire in layout.wires:
            stream, sink = wire.link.stream, wire.link.sink
            crosses = split_port(stream)[0].partition("/")[0] != sink.partition("/")[0]
            kind = "network" if crosses else wire.link.transport
            self._scene.addItem(WireItem(wire, kind))
            self.links.add((stream, f"{sink}.{wire.link.port}"))
        for card in layout.cards:
            self._add_card(card)
        left = min((box.x for box in layout.boxes), default=0.0)
        top = min((box.y for box in layout.boxes), default=0.0)
        rect = QtCore.QRectF(left, top, layout.width - left, layout.height - top)
        self._scene.setSceneRect(rect.adjusted(-16, -16, 0, 16))
        self._paint()
        self.choose(self.selected)
        if self._is_fitted:
            self.fit()

    def _add_card(self, card: Card) -> None:
        item = CardItem(card)
        self.cards[card.node] = item
        self._scene.addItem(item)

    def _paint(self) -> None:
        colours = Colours.now()
        self.setBackgroundBrush(QtGui.QColor(colours.sheet))
        for item in self._scene.items():
            if isinstance(item, (BandItem, CardItem, WireItem)):
                item.colours = colours
        self._scene.update()

    def _rates_of(self, node: NodeView) -> dict[str, float | None]:
        if node.state != "running":
            return {}
        return {
            counters.stream.partition(".")[2]: self._rates.rate(
                f"{node.key}.{counters.stream}", counters.produced, counters.time
            )
            for counters in node.outputs
        }

    def _pick(self, key: str) -> None:
        self.choose(key)
        self.chosen.emit(key)

    def _go(self, right: int, down: int) -> None:
        """Choose the next node in a direction."""
        if not self.cards:
            return
        if not self.selected:
            self._pick(min(self.cards, key=lambda k: (self.cards[k].x(), self.cards[k].y())))
            return
        here = self.cards[self.selected].middle
        best, least = "", math.inf
        for key, card in self.cards.items():
            way = card.middle - here
            ahead = way.x() * right + way.y() * down
            aside = abs(way.x() * down) + abs(way.y() * right)
            if ahead > 1 and ahead + 2 * aside < least:
                best, least = key, ahead + 2 * aside
        if best:
            self._pick(best)


def _size(node: NodeView, type_: NodeType) -> Size:
    inputs = [port.name for port in type_.inputs]
    outputs = [port.name for port in type_.outputs]
    state_room = width_of("not known", 10.5) + 40
    width = max(
        _NARROW,
        width_of(node.name, 13.5, bold=True) + state_room,
        width_of(node.status.spec.type, 11) + 28,
        max((width_of(p, 11) for p in inputs), default=0.0)
        + max((width_of(p, 11) + _RATE_ROOM for p in outputs), default=0.0)
        + 44,
    )
    n_ports = max(len(inputs), len(outputs))
    return Size(min(width, _WIDE), HEAD + PORT * n_ports + _FOOT, inputs, outputs)


def _title(name: str, plan: GraphPlan, views: Sequence[HostView], *, several: bool) -> str:
    number, _, bare = name.partition("/")
    words = [f"{views[int(number)].name} · {bare}" if several else bare]
    if name in plan.groups:
        words += options_of(plan.graph.groups.get(name, GroupSpec(name)))
    return "   ".join((words[0], " · ".join(words[1:]))) if len(words) > 1 else words[0]


def _load_of(process: str, views: Sequence[HostView]) -> str:
    """Return how busy a process is, in words."""
    number, _, bare = process.partition("/")
    view = views[int(number)]
    found: Mapping[str, Any] = {p.name: p for p in view.status.processes}
    if bare not in found or not view.is_live:
        return ""
    one = found[bare]
    if not one.alive:
        return "ended"
    restarts = f", {one.restarts} restarts" if one.restarts else ""
    return f"{one.cpu_percent:.0f} % CPU, {one.memory_bytes / 2**20:.0f} MB{restarts}"
