"""The graphs of all hosts as one picture: where cards, boxes and wires are."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

from rigmesh.graph.layout import HEAD, PORT, Layout, Size, arrange
from rigmesh.graph.plan import plan_graph
from rigmesh.graph.spec import GraphSpec, GroupSpec, NodeSpec
from rigmesh.names import RELAY
from rigmesh.node.registry import NodeType
from rigmesh.web.watch import HostView

__all__ = ["Picture"]

_CHARACTER, _SMALL = 7.6, 6.4
_NARROW, _WIDE, _MARGIN = 148.0, 320.0, 24.0
_MOST_NODES = 400


class Picture:
    """The graphs of all hosts as one, with a place for everything.

    Hosts may have nodes of the same name, as the two rigs of one experiment do: each has a key of
    its own here.

    Parameters
    ----------
    views : list of HostView
        The hosts.
    """

    def __init__(self, views: list[HostView]) -> None:
        known = [(at, view) for at, view in enumerate(views) if view.graph.nodes]
        many = len(known) > 1
        self._counted = Counter(
            name
            for view in views
            for name in {*view.graph.nodes, *(node.spec.name for node in view.status.nodes)}
        )
        self._types: dict[str, NodeType] = {}
        self._nodes: dict[str, NodeSpec] = {}
        self._names: dict[str, str] = {}
        self._hosts: dict[str, str] = {}
        groups: dict[str, GroupSpec] = {}
        for at, view in known:
            self._types.update(view.types)
            for name, group in view.graph.groups.items():
                groups[f"{view.name} · {name}" if many else name] = group
            for name, node in view.graph.nodes.items():
                place = f"{view.name} · {node.group}" if many else node.group
                key = self.key_of(at, name)
                inputs = {
                    port: tuple(self.key_of(at, stream) for stream in streams)
                    for port, streams in node.inputs.items()
                }
                self._nodes[key] = replace(node, name=key, group=place, inputs=inputs)
                self._names[key], self._hosts[key] = name, view.name
        self._spec = GraphSpec(nodes=self._nodes, groups=groups)
        shape = [
            (node.name, self._hosts[node.name], node.type, node.group, sorted(node.inputs.items()))
            for node in self._nodes.values()
        ]
        known_types = sorted(self._types)
        self.key = hashlib.sha256(repr((shape, known_types)).encode()).hexdigest()[:16]

    def key_of(self, at: int, reference: str) -> str:
        """Return the key of ``node`` or ``node.port`` of the host number `at`."""
        node, dot, port = reference.partition(".")
        return f"{node}@{at}{dot}{port}" if self._counted[node] > 1 else reference

    def drawn(self) -> dict[str, Any]:
        """Return places of cards, boxes and wires."""
        if not self._nodes:
            return {"width": 0, "height": 0, "cards": [], "boxes": [], "wires": []}
        missing = {node.type for node in self._nodes.values()} - self._types.keys()
        if missing or len(self._nodes) > _MOST_NODES:
            why = (
                f"{len(self._nodes)} nodes are too many to draw"
                if not missing
                else f"the host does not describe {', '.join(sorted(missing))} (yet)"
            )
            return {"width": 0, "height": 0, "cards": [], "boxes": [], "wires": [], "why": why}
        plan = plan_graph(self._spec, self._types)
        sizes = {name: self._size(node) for name, node in self._nodes.items()}
        titles = {name: len(name) * _CHARACTER for name in (*plan.groups, *plan.processes)}
        return self._json(arrange(plan, sizes, titles))

    def _size(self, node: NodeSpec) -> Size:
        type_ = self._types[node.type]
        inputs = [port.name for port in type_.inputs]
        outputs = [port.name for port in type_.outputs]
        longest = max(map(len, inputs), default=0) + max(map(len, outputs), default=0)
        width = max(
            _NARROW,
            len(self._names[node.name]) * _CHARACTER + 28,
            # Beside the type stands the state.
            len(node.type) * _SMALL + 78,
            # Beside the name of an output stands how many samples it gives.
            longest * _SMALL + 96,
        )
        n_ports = max(len(inputs), len(outputs))
        return Size(min(width, _WIDE), HEAD + PORT * n_ports + 8, inputs, outputs)

    def _json(self, layout: Layout) -> dict[str, Any]:
        return {
            "width": layout.width,
            "height": layout.height + _MARGIN,
            "head": HEAD,
            "port": PORT,
            "cards": [
                {
                    "key": card.node,
                    "node": self._names[card.node],
                    "type": self._nodes[card.node].type,
                    "host": self._hosts[card.node],
                    "x": card.x,
                    "y": card.y,
                    "width": card.width,
                    "height": card.height,
                    "inputs": list(card.size.inputs),
                    "outputs": list(card.size.outputs),
                    "from": self._relayed(card.node),
                }
                for card in layout.cards
                if card.size is not None
            ],
            "boxes": [
                {
                    "name": box.name,
                    "is_group": box.is_group,
                    "x": box.x,
                    "y": box.y,
                    "width": box.width,
                    "height": box.height,
                }
                for box in layout.boxes
            ],
            "wires": [
                {
                    "key": wire.link.stream,
                    "reader": f"{wire.link.sink}.{wire.link.port}",
                    "stream": self._name_of(wire.link.stream),
                    "input": self._name_of(f"{wire.link.sink}.{wire.link.port}"),
                    "transport": wire.link.transport,
                    "points": [[*one, *other] for one, other in wire.points],
                }
                for wire in layout.wires
            ],
        }

    def _relayed(self, name: str) -> str:
        """Return the stream of another host that a node brings."""
        node = self._nodes[name]
        return str(node.params.get("stream", "")) if node.type == RELAY else ""

    def _name_of(self, reference: str) -> str:
        """Return ``node.port`` as its host calls it."""
        node, dot, port = reference.partition(".")
        return f"{self._names.get(node, node)}{dot}{port}"
