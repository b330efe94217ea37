"""What a graph is: plain values, as they are saved, sent and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["MAIN", "GraphSpec", "GroupSpec", "NodeSpec", "Restart", "split_port"]

MAIN = "main"
"""The group of nodes without a placement."""

Restart = Literal["never", "on-failure"]


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group: nodes that share a process.

    Parameters
    ----------
    name : str
        Its name.
    restart : str
        ``never``, or ``on-failure``: with growing delays, until it fails 5 times in a minute.
    buffer_seconds : float
        How much its rings hold, in seconds.
    """

    name: str
    restart: Restart = "never"
    buffer_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node: its type, place, parameters, and the streams its inputs take.

    Parameters
    ----------
    name : str
        Its name in the graph.
    type : str
        Name of its class, such as ``filters.BandPass``.
    group : str
        Group it runs in.
    params : dict
        Parameters as written; units are allowed.
    inputs : dict of str to tuple of str
        For each input the streams, ``node.port``, linked to it.
    overflow : str
        ``block``: a source waits for the slowest lossless reader; ``drop``: it never waits;
        empty: as the type and its parameters ask for.
    """

    name: str
    type: str
    group: str = MAIN
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    overflow: Literal["", "drop", "block"] = ""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """Nodes, groups and links.

    Parameters
    ----------
    name : str
        What it is called.
    nodes, groups : dict
        By name.
    metadata : dict
        Subject, session and the like: written into recordings, usable in their paths.
    """

    name: str = "graph"
    nodes: Mapping[str, NodeSpec] = field(default_factory=dict)
    groups: Mapping[str, GroupSpec] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as it stands in a file; only JSON types, nothing that is a default."""
        written: dict[str, Any] = {"rigmesh": 1, "name": self.name}
        if self.metadata:
            written["metadata"] = dict(self.metadata)
        groups = {}
        for group in self.groups.values():
            values = asdict(group)
            defaults = asdict(GroupSpec(group.name))
            changed = {k: v for k, v in values.items() if v != defaults[k]}
            if changed:
                groups[group.name] = changed
        if groups:
            written["groups"] = groups
        written["nodes"] = {name: _node_to_dict(node) for name, node in self.nodes.items()}
        return written


def _node_to_dict(node: NodeSpec) -> dict[str, Any]:
    written: dict[str, Any] = {"type": node.type}
    if node.group != MAIN:
        written["group"] = node.group
    if node.inputs:
        written["inputs"] = {
            port: streams[0] if len(streams) == 1 else list(streams)
            for port, streams in node.inputs.items()
        }
    if node.params:
        written["params"] = dict(node.params)
    if node.overflow:
        written["overflow"] = node.overflow
    return written


def split_port(reference: str) -> tuple[str, str]:
    """Split ``node.port``; the port is empty if only a node is named.

    Examples
    --------
    >>> split_port("eeg.signal")
    ('eeg', 'signal')
    """
    node, _, port = reference.partition(".")
    return node, port
