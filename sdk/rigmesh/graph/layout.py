"""Where the parts of a drawn graph lie: layers from left to right, a band for each process.

The layers are those of Sugiyama, Tagawa & Toda (1981, IEEE Trans. Syst. Man Cybern. 11): links over
several layers pass through places kept free for them, and the order in a layer follows the mean
position of the neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rigmesh.graph.plan import GraphPlan, PlannedLink
from rigmesh.graph.spec import split_port

__all__ = ["HEAD", "PORT", "Box", "Card", "Layout", "Point", "Size", "Wire", "arrange"]

HEAD, PORT = 46.0, 19.0
_GAP_X, _GAP_Y, _LANE = 92.0, 18.0, 14.0
_PAD, _TITLE, _BETWEEN, _MARGIN = 16.0, 26.0, 34.0, 28.0
_SWEEPS = 6

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """What a card needs: width, height, and the names of its ports."""

    width: float
    height: float
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(slots=True, eq=False)
class Card:
    """A node, or (without a size) the place where a link passes through a layer.

    Cards of a layer are equally wide, so that links come and go at its edges.
    """

    node: str
    layer: int
    process: str
    size: Size | None = None
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    before: list[Card] = field(default_factory=list)
    after: list[Card] = field(default_factory=list)

    @property
    def height(self) -> float:
        """Its own, or that of the place a link needs."""
        return self.size.height if self.size else _LANE

    @property
    def middle(self) -> float:
        """Vertical middle."""
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        """Right end."""
        return self.x + self.width

    def port(self, name: str, *, is_input: bool) -> Point:
        """Return where a port is."""
        if self.size is None:
            return self.x, self.middle
        names = self.size.inputs if is_input else self.size.outputs
        at = list(names).index(name) if name in names else 0
        return self.x if is_input else self.right, self.y + HEAD + PORT * (at + 0.5)


@dataclass(frozen=True, slots=True)
class Box:
    """A frame around the nodes of a group, or of one of its processes."""

    name: str
    is_group: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Wire:
    """A link: curves between the pairs of points, straight from one pair to the next."""

    link: PlannedLink
    points: Sequence[tuple[Point, Point]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything with its place."""

    width: float
    height: float
    cards: Sequence[Card]
    boxes: Sequence[Box]
    wires: Sequence[Wire]


def arrange(plan: GraphPlan, sizes: Mapping[str, Size], titles: Mapping[str, float]) -> Layout:
    """Find a place for everything.

    Parameters
    ----------
    plan : GraphPlan
        What to draw.
    sizes : dict of str to Size
        Of each node.
    titles : dict of str to float
        How wide the title of each group and process is.
    """
    return _Arranging(plan, sizes, titles).run()


class _Arranging:
    def __init__(
        self, plan: GraphPlan, sizes: Mapping[str, Size], titles: Mapping[str, float]
    ) -> None:
        self._plan = plan
        self._titles = titles
        self._cards = {
            name: Card(name, node.layer, node.process, sizes[name])
            for name, node in plan.nodes.items()
        }
        self._occupied = {(card.layer, card.process) for card in self._cards.values()}
        self._chains = [(link, self._chain(link)) for link in plan.links if link.transport != "lsl"]
        self._items = [
            *self._cards.values(),
            *(place for _, chain in self._chains for place in chain[1:-1]),
        ]
        self._columns = self._place_columns()

    def run(self) -> Layout:
        """Order the layers, then stack the bands."""
        tops = self._stack()
        for sweep in range(_SWEEPS):
            self._sweep(backwards=bool(sweep % 2))
            tops = self._stack()
        boxes = list(self._boxes(tops))
        right = max(box.x + box.width for box in boxes)
        bottom = max(box.y + box.height for box in boxes)
        if any(link.transport == "lsl" for link in self._plan.links):
            right = max(right, max(card.right for card in self._items) + _GAP_X * 0.7)
        return Layout(
            right + _MARGIN, bottom, list(self._cards.values()), boxes, list(self._wires())
        )

    def _chain(self, link: PlannedLink) -> list[Card]:
        """Return the cards of a link, with a place in each layer between them."""
        source, sink = self._cards[split_port(link.stream)[0]], self._cards[link.sink]
        chain = [source]
        for layer in range(source.layer + 1, sink.layer):
            is_taken = (layer, sink.process) in self._occupied
            process = source.process if is_taken else sink.process
            chain.append(Card("", layer, process))
        chain.append(sink)
        for one, other in pairwise(chain):
            one.after.append(other)
            other.before.append(one)
        return chain

    def _place_columns(self) -> list[tuple[float, float]]:
        """Return left end and width of each layer."""
        n_layers = 1 + max(card.layer for card in self._items)
        widths = [_LANE] * n_layers
        for card in self._cards.values():
            if card.size:
                widths[card.layer] = max(widths[card.layer], card.size.width)
        has_lsl = any(not link.stream for link in self._plan.links)
        x = _MARGIN + _PAD * 2 + (_GAP_X * 0.7 if has_lsl else 0.0)
        columns = []
        for width in widths:
            columns.append((x, width))
            x += width + _GAP_X
        return columns

    def _cells(self) -> Iterator[list[Card]]:
        cells: dict[tuple[int, str], list[Card]] = {}
        for card in self._items:
            cells.setdefault((card.layer, card.process), []).append(card)
        yield from (cells[key] for key in sorted(cells, key=lambda key: key[0]))

    def _sweep(self, *, backwards: bool) -> None:
        cells = list(self._cells())
        for cell in reversed(cells) if backwards else cells:
            order = {card: self._pull(card, backwards=backwards) for card in cell}
            top = min(card.y for card in cell)
            cell.sort(key=lambda card: order[card])
            for card in cell:
                card.y = top
                top += card.height
        self._items.sort(key=lambda card: card.y)

    @staticmethod
    def _pull(card: Card, *, backwards: bool) -> float:
        near = card.after if backwards else card.before
        return sum(other.middle for other in near) / len(near) if near else card.middle

    def _stack(self) -> dict[str, tuple[float, float]]:
        """Stack the bands; return top and height of each process."""
        tops: dict[str, tuple[float, float]] = {}
        y = _MARGIN + 44.0
        group = ""
        for process in self._plan.processes:
            inside = next(n.group for n in self._plan.nodes.values() if n.process == process)
            if inside != group:
                y += (_PAD + _BETWEEN if group else 0.0) + _TITLE + _PAD
                group = inside
            else:
                y += _BETWEEN
            if self._has_companions(inside):
                y += _TITLE
            cells = [cell for cell in self._cells() if cell[0].process == process]
            height = max(_pile(cell)[-1] for cell in cells)
            for cell in cells:
                *offsets, own = _pile(cell)
                for card, offset in zip(cell, offsets, strict=True):
                    card.x, card.width = self._columns[card.layer]
                    card.y = y + (height - own) / 2 + offset
            tops[process] = y, height
            y += height
        return tops

    def _has_companions(self, group: str) -> bool:
        return len({n.process for n in self._plan.nodes.values() if n.group == group}) > 1

    def _boxes(self, tops: Mapping[str, tuple[float, float]]) -> Iterator[Box]:
        for group in self._plan.groups:
            inner = []
            members = [n for n in self._plan.nodes.values() if n.group == group]
            several = self._has_companions(group)
            for process in [p for p in self._plan.processes if p in {n.process for n in members}]:
                cards = [c for c in self._cards.values() if c.process == process]
                left = min(c.x for c in cards) - _PAD
                right = max(c.right for c in cards) + _PAD
                top, height = tops[process]
                title = _TITLE if several else 0.0
                width = max(right - left, self._titles.get(process, 0.0) + 2 * _PAD)
                inner.append(
                    Box(process, False, left, top - title - _PAD / 2, width,
                        height + title + _PAD * 1.25)
                )  # fmt: skip
            pad = _PAD if several else 0.0
            x = min(box.x for box in inner) - pad
            right = max(box.x + box.width for box in inner) + pad
            y = min(box.y for box in inner) - _TITLE
            bottom = max(box.y + box.height for box in inner) + pad
            width = max(right - x, self._titles.get(group, 0.0) + 2 * _PAD)
            yield Box(group, True, x, y, width, bottom - y)
            if several:
                yield from inner

    def _wires(self) -> Iterator[Wire]:
        for link, chain in self._chains:
            points: list[tuple[Point, Point]] = []
            start = chain[0].port(split_port(link.stream)[1], is_input=False)
            for card in chain[1:]:
                end = card.port(link.port, is_input=True)
                points.append((start, end))
                start = card.right, card.middle
            yield Wire(link, points)


def _pile(cell: Sequence[Card]) -> list[float]:
    """Return where each card of a pile begins, and the height of all; links lie close together."""
    offsets = [0.0]
    for card, following in zip(cell, [*cell[1:], None], strict=True):
        gap = _GAP_Y if following and (card.size or following.size) else 0.0
        offsets.append(offsets[-1] + card.height + gap)
    return offsets
