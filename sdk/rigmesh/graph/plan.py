"""Where each node runs, who waits for whom, and in which order things start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rigmesh.graph.resolve import check_order
from rigmesh.graph.spec import GraphSpec, NodeSpec, split_port
from rigmesh.node.registry import NodeType

__all__ = [
    "GraphPlan",
    "PlannedLink",
    "PlannedNode",
    "PlannedPath",
    "blocking_nodes",
    "plan_graph",
    "process_of",
    "start_order",
]

_MOST_PATHS = 256

Transport = Literal["call", "ring", "lsl"]


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """Where a node runs.

    Parameters
    ----------
    name, type, group : str
        Those of the node.
    process : str
        Its group's, or a companion of that.
    lane : int
        Number of its lane: nodes of a process that calls link have one together.
    layer : int
        Most links between a source and the node.
    wake_ups : int
        Most wake-ups until a sample is here; a source's own wait is the first.
    """

    name: str
    type: str
    group: str
    process: str
    lane: int
    layer: int
    wake_ups: int


@dataclass(frozen=True, slots=True)
class PlannedLink:
    """How a stream gets to an input.

    Parameters
    ----------
    stream : str
        ``node.port``; empty: it comes from LSL.
    sink, port : str
        The node that takes it, and its input; both empty: it goes to LSL.
    transport : str
        ``call`` within a process, ``ring`` of shared memory between two, ``lsl`` to other programs.
    """

    stream: str
    sink: str
    port: str
    transport: Transport


@dataclass(frozen=True, slots=True)
class PlannedPath:
    """A way from a source to a sink, and how many sleeping threads are woken on it."""

    nodes: tuple[str, ...]
    wake_ups: int


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """Where the nodes of a graph run, and how streams get from one to the other.

    Parameters
    ----------
    graph : GraphSpec
        As it was checked.
    nodes : dict of str to PlannedNode
        By name.
    links : tuple of PlannedLink
        In the order of the file.
    paths : tuple of PlannedPath
        From each source to each sink; at most 256.
    n_paths : int
        How many there are.
    """

    graph: GraphSpec
    nodes: Mapping[str, PlannedNode]
    links: tuple[PlannedLink, ...]
    paths: tuple[PlannedPath, ...]
    n_paths: int

    @property
    def groups(self) -> list[str]:
        """The groups that have nodes, those near the sources first."""
        return self._by_layer({name: node.group for name, node in self.nodes.items()})

    @property
    def processes(self) -> list[str]:
        """The processes, group by group, those near the sources first."""
        groups = self.groups
        inner = self._by_layer({name: node.process for name, node in self.nodes.items()})
        group_of = {node.process: node.group for node in self.nodes.values()}
        return sorted(inner, key=lambda process: groups.index(group_of[process]))

    def _by_layer(self, places: Mapping[str, str]) -> list[str]:
        layers: dict[str, list[int]] = {}
        for name, place in places.items():
            layers.setdefault(place, []).append(self.nodes[name].layer)
        return sorted(layers, key=lambda place: sum(layers[place]) / len(layers[place]))


def process_of(node: NodeSpec, type_: NodeType) -> str:
    """Return the name of the process of a node: its group's, or a companion of that.

    Examples
    --------
    >>> process_of(NodeSpec("rec", "record.HDF5Recorder"), NodeType("", detached="record"))
    'main.record'
    """
    return f"{node.group}.{type_.detached}" if type_.detached else node.group


def blocking_nodes(nodes: Mapping[str, NodeSpec], types: Mapping[str, NodeType]) -> set[str]:
    """Return the nodes whose outputs wait for lossless readers.

    A source does if it is told to, or if it can and is told to run unpaced; a node does if
    everything it is made of does. One hardware source upstream, and nobody waits.
    """
    blocking: set[str] = set()
    for name in check_order(nodes):
        node = nodes[name]
        type_ = types[node.type]
        if type_.is_source:
            unpaced = type_.can_wait and node.params.get("paced") is False
            if node.overflow == "block" or (unpaced and not node.overflow):
                blocking.add(name)
            continue
        upstream = {split_port(s)[0] for streams in node.inputs.values() for s in streams}
        if upstream and upstream <= blocking:
            blocking.add(name)
    return blocking


def start_order(nodes: Mapping[str, NodeSpec]) -> list[str]:
    """Return the nodes' names, sinks first, so that nobody misses the first sample."""
    return list(reversed(check_order(nodes)))


def plan_graph(graph: GraphSpec, types: Mapping[str, NodeType]) -> GraphPlan:
    """Say where each node of a checked graph will run, and how each stream will travel.

    What costs on a way from source to sink is waking a sleeping core, once for each ring; a call
    costs next to nothing.
    """
    nodes = graph.nodes
    process = {name: process_of(node, types[node.type]) for name, node in nodes.items()}
    links = tuple(_links(nodes, types, process))
    order = check_order(nodes)
    lanes = _lanes(order, links)
    layer = dict.fromkeys(order, 0)
    wake_ups = dict.fromkeys(order, 1)
    below: dict[str, dict[str, int]] = {name: {} for name in order}
    ways = dict.fromkeys(order, 1)
    for link in links:
        if link.transport != "lsl":
            below[split_port(link.stream)[0]][link.sink] = int(link.transport == "ring")
    for name in order:
        for sink, woken in below[name].items():
            layer[sink] = max(layer[sink], layer[name] + 1)
            wake_ups[sink] = max(wake_ups[sink], wake_ups[name] + woken)
    for name in reversed(order):
        ways[name] = sum(ways[sink] for sink in below[name]) or 1
    sources = [name for name in nodes if not any(nodes[name].inputs.values())]
    return GraphPlan(
        graph=graph,
        nodes={
            name: PlannedNode(
                name, node.type, node.group, process[name], lanes[name], layer[name],
                wake_ups[name],
            )
            for name, node in nodes.items()
        },
        links=links,
        paths=tuple(_paths(sources, below)),
        n_paths=sum(ways[name] for name in sources),
    )  # fmt: skip


def _links(
    nodes: Mapping[str, NodeSpec], types: Mapping[str, NodeType], process: Mapping[str, str]
) -> Iterator[PlannedLink]:
    for name, node in nodes.items():
        type_ = types[node.type]
        speaks_lsl = type_.detached == "lsl"
        if speaks_lsl and type_.is_source:
            yield PlannedLink("", name, "", "lsl")
        for port, streams in node.inputs.items():
            for stream in streams:
                is_call = process[split_port(stream)[0]] == process[name]
                yield PlannedLink(stream, name, port, "call" if is_call else "ring")
        if speaks_lsl and not type_.is_source:
            yield PlannedLink(name, "", "", "lsl")


def _lanes(order: list[str], links: tuple[PlannedLink, ...]) -> dict[str, int]:
    """Give each set of nodes that calls link, directly or over others, a number."""
    of = {name: {name} for name in order}
    for link in links:
        if link.transport == "call":
            ours, theirs = of[split_port(link.stream)[0]], of[link.sink]
            if ours is not theirs:
                ours |= theirs
                of.update(dict.fromkeys(theirs, ours))
    distinct = {id(lane): lane for lane in of.values()}
    return {name: n for n, lane in enumerate(distinct.values(), start=1) for name in lane}


def _paths(sources: list[str], below: Mapping[str, Mapping[str, int]]) -> Iterator[PlannedPath]:
    found = 0
    stack = [PlannedPath((name,), 1) for name in reversed(sources)]
    while stack and found < _MOST_PATHS:
        path = stack.pop()
        sinks = below[path.nodes[-1]]
        if not sinks:
            found += 1
            yield path
        stack += [
            PlannedPath((*path.nodes, sink), path.wake_ups + woken)
            for sink, woken in reversed(list(sinks.items()))
        ]
