"""Where each node runs, who waits for whom, and in which order things start."""

from __future__ import annotations

from collections.abc import Mapping

from rigmesh.graph.check import check_order
from rigmesh.graph.spec import NodeSpec, split_port
from rigmesh.node.registry import NodeType

__all__ = ["blocking_nodes", "process_of", "start_order"]


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
