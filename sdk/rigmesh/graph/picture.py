"""A graph and its plan as a drawing, in SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from rigmesh.graph.layout import HEAD, PORT, Box, Card, Layout, Point, Size, Wire, arrange
from rigmesh.graph.listing import options_of, parameters_of
from rigmesh.graph.plan import GraphPlan, PlannedLink
from rigmesh.graph.spec import GroupSpec
from rigmesh.node.registry import NodeType

__all__ = ["draw"]

_FONT = "Inter, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
_INK, _SOFT, _FAINT = "#1b2733", "#5b6b7b", "#98a5b3"
_STYLE = {
    "call": ("#8d9bab", 1.4, ""),
    "ring": ("#2563c9", 3.2, ""),
    "lsl": ("#0b8a74", 2.4, "5 4"),
}
_MEANING = {
    "call": "a call within a process",
    "ring": "shared memory between processes: one wake-up",
    "lsl": "LSL, other programs",
}
_TINTS = (
    ("#f2f6fd", "#b9cbea"), ("#f3f9f4", "#b5d6bd"), ("#fdf6ec", "#e6cda4"),
    ("#f8f3fc", "#d2bde6"), ("#fdf2f3", "#e9bec3"), ("#eff8fa", "#a9d3dc"),
)  # fmt: skip
_NARROW, _WIDE = 132.0, 340.0
_ROW = 16.0
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(plan: GraphPlan, types: Mapping[str, NodeType], *, parameters: bool = False) -> str:
    """Return an SVG of a plan.

    Parameters
    ----------
    plan : GraphPlan
        What to draw.
    types : dict of str to NodeType
        The types of its nodes.
    parameters : bool
        Whether cards list all parameters, instead of how many wake-ups it takes to get there.
    """
    return "\n".join(_Drawing(plan, types, parameters=parameters).lines()) + "\n"


class _Drawing:
    def __init__(self, plan: GraphPlan, types: Mapping[str, NodeType], *, parameters: bool) -> None:
        self._plan = plan
        self._types = types
        self._parameters = parameters
        self._rows = {
            name: [(p.name, p.value, p.is_default) for p in parameters_of(node, types[node.type])]
            if parameters
            else []
            for name, node in plan.graph.nodes.items()
        }
        self._options = {
            group: options_of(plan.graph.groups.get(group, GroupSpec(group)))
            for group in plan.groups
        }

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        titles = {g: _width(f"{g}   {' · '.join(o)}", 13) for g, o in self._options.items()}
        titles.update({p: _width(p, 12) for p in self._plan.processes if p not in titles})
        sizes = {name: self._size(name) for name in self._plan.nodes}
        layout = arrange(self._plan, sizes, titles)
        head = self._head()
        width = max(layout.width, _width(head, 12) + 60, 560.0)
        height = layout.height + 56
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{_FONT}">'
        )
        yield f"<title>{_text(self._plan.graph.name)}</title>"
        yield '<rect width="100%" height="100%" fill="#ffffff"/>'
        yield _words(28, 38, self._plan.graph.name, 19, weight=650)
        yield _words(28, 58, head, 12, _SOFT)
        for box in layout.boxes:
            yield self._box(box)
        # Thin below thick, and all below the cards.
        for wire in sorted(layout.wires, key=lambda w: w.link.transport):
            yield self._wire(wire)
        cards = {card.node: card for card in layout.cards}
        for link in self._plan.links:
            if link.transport == "lsl":
                yield from _stub(link, cards[link.stream or link.sink])
        for box in layout.boxes:
            yield from self._title(box)
        if not self._parameters:
            yield from _plus_ones([w for w in layout.wires if w.link.transport == "ring"])
        for card in layout.cards:
            yield from self._card(card)
        yield from self._legend(layout)
        yield "</svg>"

    def _head(self) -> str:
        nodes, processes = len(self._plan.nodes), len(self._plan.processes)
        worst = max(node.wake_ups for node in self._plan.nodes.values())
        return (
            f"{nodes} node{'s' * (nodes != 1)} in {processes} process{'es' * (processes != 1)}, "
            f"at most {worst} wake-up{'s' * (worst != 1)} on a path"
        )

    # --- cards -----------------------------------------------------------------------------------

    def _size(self, name: str) -> Size:
        node = self._plan.graph.nodes[name]
        type_ = self._types[node.type]
        inputs = [port.name for port in type_.inputs]
        outputs = [port.name for port in type_.outputs]
        n_ports = max(len(inputs), len(outputs))
        width = max(
            _NARROW,
            _width(name, 13.5, bold=True) + (28 if self._parameters else 56),
            _width(self._subtitle(name), 11) + 28,
            max((_width(p, 11) for p in inputs), default=0)
            + max((_width(p, 11) for p in outputs), default=0)
            + 40,
            *(_width(f"{label}  {value}", 11) + 32 for label, value, _ in self._rows[name]),
        )
        height = HEAD + PORT * n_ports + 8
        if self._rows[name]:
            height += _ROW * len(self._rows[name]) + 10
        return Size(min(width, _WIDE), height, inputs, outputs)

    def _subtitle(self, name: str) -> str:
        node = self._plan.graph.nodes[name]
        return f"{node.type}  ×{node.replicate}" if node.replicate > 1 else node.type

    def _card(self, card: Card) -> Iterator[str]:
        if card.size is None:
            return
        x, y, width = card.x, card.y, card.width
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{card.size.height:.1f}" '
            'rx="8" fill="#ffffff" stroke="#c3ccd6" stroke-width="1.2"/>'
        )
        room = width - (24 if self._parameters else 52)
        yield _words(x + 12, y + 20, card.node, 13.5, weight=600, room=room)
        yield _words(x + 12, y + 36, self._subtitle(card.node), 11, _SOFT, room=width - 24)
        if not self._parameters:
            yield _badge(x + width - 20, y + 17, self._plan.nodes[card.node].wake_ups)
        room = width - 36 - max((_width(p, 11) for p in card.size.outputs), default=0.0)
        for name in card.size.inputs:
            at, level = card.port(name, is_input=True)
            yield _dot(at, level)
            yield _words(at + 10, level + 4, name, 11, room=max(room, width / 2 - 24))
        for name in card.size.outputs:
            at, level = card.port(name, is_input=False)
            yield _dot(at, level)
            yield _words(at - 10, level + 4, name, 11, anchor="end", room=width - 24)
        yield from self._parameter_rows(card, card.size)

    def _parameter_rows(self, card: Card, size: Size) -> Iterator[str]:
        rows = self._rows[card.node]
        if not rows:
            return
        level = card.y + size.height - _ROW * len(rows) - 8
        yield (
            f'<path d="M{card.x + 10:.1f} {level - 3:.1f}h{card.width - 20:.1f}" '
            'stroke="#e4e9ee" stroke-width="1"/>'
        )
        for label, value, is_default in rows:
            level += _ROW
            named = _width(label, 11)
            yield _words(card.x + 12, level - 3, label, 11, _FAINT if is_default else _SOFT)
            yield _words(
                card.x + card.width - 12, level - 3, value, 11, _FAINT if is_default else _INK,
                anchor="end", weight=400 if is_default else 600,
                room=max(30.0, card.width - named - 32),
            )  # fmt: skip

    # --- groups, links, legend -------------------------------------------------------------------

    def _box(self, box: Box) -> str:
        fill, edge = self._tint(box)
        opacity, dashes = ("1", "none") if box.is_group else ("0.55", "4 3")
        return (
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
            f'height="{box.height:.1f}" rx="{14 if box.is_group else 10}" fill="{fill}" '
            f'fill-opacity="{opacity}" stroke="{edge}" stroke-width="1.4" '
            f'stroke-dasharray="{dashes}"/>'
        )

    def _title(self, box: Box) -> Iterator[str]:
        """Yield the words of a box, with a seam that keeps links away from them."""
        seam = self._tint(box)[0]
        size, colour = (13.0, _INK) if box.is_group else (11.5, _SOFT)
        yield _words(box.x + 14, box.y + 19, box.name, size, colour, weight=600, seam=seam)
        if box.is_group and self._options[box.name]:
            x = box.x + 28 + _width(box.name, 13, bold=True)
            words = " · ".join(self._options[box.name])
            yield _words(x, box.y + 19, words, 11, _SOFT, seam=seam)

    def _tint(self, box: Box) -> tuple[str, str]:
        if not box.is_group:
            return "#ffffff", "#c6d0db"
        return _TINTS[self._plan.groups.index(box.name) % len(_TINTS)]

    def _wire(self, wire: Wire) -> str:
        colour, thick, _ = _STYLE[wire.link.transport]
        steps: list[str] = []
        for start, end in wire.points:
            (x0, y0), (x1, y1), reach = start, end, _reach(start, end)
            steps.append(f"{'L' if steps else 'M'}{x0:.1f} {y0:.1f}")
            steps.append(f"C{x0 + reach:.1f} {y0:.1f} {x1 - reach:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
        title = f"{wire.link.stream} → {wire.link.sink}.{wire.link.port}: {wire.link.transport}"
        return (
            f'<path d="{" ".join(steps)}" fill="none" stroke="{colour}" stroke-width="{thick}" '
            f'stroke-linecap="round"><title>{_text(title)}</title></path>'
        )

    def _legend(self, layout: Layout) -> Iterator[str]:
        x, y = 28.0, layout.height + 34
        used = {link.transport for link in self._plan.links}
        for transport, meaning in _MEANING.items():
            if transport not in used:
                continue
            colour, thick, dashes = _STYLE[transport]
            yield (
                f'<path d="M{x:.1f} {y - 4:.1f}h26" stroke="{colour}" stroke-width="{thick}" '
                f'stroke-dasharray="{dashes or "none"}"/>'
            )
            yield _words(x + 34, y, meaning, 11, _SOFT)
            x += 34 + _width(meaning, 11) + 26
        if not self._parameters:
            yield _badge(x + 8, y - 4, "n")
            yield _words(x + 24, y, "wake-ups until here", 11, _SOFT)


# --- small things -------------------------------------------------------------------------------


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _width(text: str, size: float, *, bold: bool = False) -> float:
    # Of the widest of the fonts above, measured over texts as they occur here.
    return len(text) * size * (0.62 if bold else 0.57)


def _words(
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str = _INK,
    *,
    weight: int = 400,
    anchor: str = "start",
    room: float = 0.0,
    seam: str = "",
) -> str:
    most = int(room / _width("x", size, bold=weight > 500)) if room else len(text)
    shown = text if len(text) <= most else f"{text[: max(1, most - 1)]}…"
    title = f"<title>{_text(text)}</title>" if shown != text else ""
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    bold = "" if weight == 400 else f' font-weight="{weight}"'
    if seam:
        bold += f' stroke="{seam}" stroke-width="4" paint-order="stroke"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}"{anchored}{bold}>'
        f"{title}{_text(shown)}</text>"
    )


def _dot(x: float, y: float) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="#ffffff" stroke="{_SOFT}" '
        'stroke-width="1.4"/>'
    )


def _badge(x: float, y: float, number: int | str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="#fff4d6" stroke="#d9a21b" '
        'stroke-width="1.2"><title>wake-ups until here</title></circle>'
        + _words(x, y + 3.8, str(number), 10.5, "#7a5600", anchor="middle", weight=600)
    )


def _plus_ones(wires: Sequence[Wire]) -> Iterator[str]:
    """Yield a mark on each ring, as near to its middle as others leave place."""
    taken: list[Point] = []
    for wire in wires:
        places = [_on_curve(*wire.points[0], t) for t in (0.5, 0.35, 0.65, 0.25, 0.75, 0.15, 0.85)]
        free = [
            (x, y) for x, y in places if all(abs(x - u) > 24 or abs(y - v) > 18 for u, v in taken)
        ]
        if not free:
            continue
        x, y = free[0]
        taken.append(free[0])
        colour = _STYLE["ring"][0]
        yield (
            f'<rect x="{x - 11:.1f}" y="{y - 8:.1f}" width="22" height="16" rx="8" '
            f'fill="#ffffff" stroke="{colour}" stroke-width="1.2"/>'
            + _words(x, y + 3.8, "+1", 10.5, colour, anchor="middle", weight=600)
        )


def _reach(start: Point, end: Point) -> float:
    return max(24.0, (end[0] - start[0]) / 2)


def _on_curve(start: Point, end: Point, t: float) -> Point:
    """Return a point of the curve that is drawn between two points."""
    reach = _reach(start, end)
    xs = (start[0], start[0] + reach, end[0] - reach, end[0])
    ys = (start[1], start[1], end[1], end[1])
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    return (
        sum(w * x for w, x in zip(weights, xs, strict=True)),
        sum(w * y for w, y in zip(weights, ys, strict=True)),
    )


def _stub(link: PlannedLink, card: Card) -> Iterator[str]:
    """Yield a short line to the outside."""
    if card.size is None:
        return
    colour, thick, dashes = _STYLE["lsl"]
    goes_out = bool(link.stream)
    x = card.right if goes_out else card.x
    y = card.y + HEAD / 2
    way = 26 if goes_out else -26
    yield (
        f'<path d="M{x:.1f} {y:.1f}h{way}" stroke="{colour}" stroke-width="{thick}" '
        f'stroke-dasharray="{dashes}"/>'
    )
    left = x + way if goes_out else x + way - 34
    yield (
        f'<rect x="{left:.1f}" y="{y - 10:.1f}" width="34" height="20" rx="10" fill="#e7f6f3" '
        f'stroke="{colour}" stroke-width="1.2"/>'
    )
    yield _words(left + 17, y + 4, "LSL", 10.5, colour, anchor="middle", weight=600)
