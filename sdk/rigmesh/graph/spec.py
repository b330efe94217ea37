"""What a graph is: plain values, as they are saved, sent and recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rigmesh.errors import GraphError

__all__ = [
    "MAIN",
    "AliasSpec",
    "AliasWriters",
    "GraphSpec",
    "GroupSpec",
    "LatencySpec",
    "NodeSpec",
    "Restart",
    "spin_microseconds",
    "split_port",
]

MAIN = "main"
"""The group of nodes without a placement."""

Restart = Literal["never", "on-failure"]
AliasWriters = Literal["clients", "peers", "none"]

_SPIN = re.compile(r"\s*spin\s*\(\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:us|µs|μs)?\s*\)\s*")


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
    cpus : tuple of int
        CPUs its threads may run on; empty: all.
    priority : int
        0: as any process; 1 to 100: real-time, that per cent of the SCHED_FIFO range.
    wait : str
        How it waits for a chunk: ``block``; ``spin``, which keeps a CPU busy; or ``spin(50)``:
        spins for 50 µs, then blocks.
    lock_memory : bool
        Whether its memory is kept from being swapped out.
    deadline : float
        Within how many seconds a chunk is through its nodes; 0: no matter.
    """

    name: str
    restart: Restart = "never"
    buffer_seconds: float = 10.0
    cpus: tuple[int, ...] = ()
    priority: int = 0
    wait: str = "block"
    lock_memory: bool = False
    deadline: float = 0.0


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
    replicate : int
        Number of parallel pipelines, which divide the channels of its signal evenly, in order.
    host : str
        Machine it runs on, by its name in the graph; empty: the one that drives.
    """

    name: str
    type: str
    group: str = MAIN
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    overflow: Literal["", "drop", "block"] = ""
    replicate: int = 1
    host: str = ""


@dataclass(frozen=True, slots=True)
class AliasSpec:
    """A name for a value that clients see, and that states of several nodes may share.

    Parameters
    ----------
    states : tuple of str
        ``node.state`` or ``node.parameter`` of each member; linked, they have one value.
    write : str
        Who may write it by this name, as far as the members allow: ``clients`` (and nodes),
        ``peers`` (only nodes) or ``none``.
    doc : str
        What it means.
    """

    states: tuple[str, ...]
    write: AliasWriters = "clients"
    doc: str = ""


@dataclass(frozen=True, slots=True)
class LatencySpec:
    """How ``rigmesh latency`` tries a graph out; nobody else takes note of it.

    Parameters
    ----------
    duration, warm_up : float
        How long it measures, and how long it runs before that; in seconds.
    nodes : dict of str to NodeSpec
        Take the places of the graph's nodes of these names (a simulation that of a device), or
        come beside them (an input that an output is looped back to).
    loopback : dict of str to str
        Serial ports that a line joins, each ``node.parameter``: output to input.
    limits : dict of str to dict
        For nodes, or inputs as ``node.port``: the longest latency, in seconds, at ``p50``, ``p90``,
        ``p99``, ``p99.9`` or ``max``; from receiving a chunk until the node was done with it.
    round_trips : dict of str to dict
        The same for nodes that an output is looped back to: from writing until it was read.
    """

    duration: float = 10.0
    warm_up: float = 1.0
    nodes: Mapping[str, NodeSpec] = field(default_factory=dict)
    loopback: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    round_trips: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """Nodes, groups, links and aliases.

    Parameters
    ----------
    name : str
        What it is called.
    nodes, groups : dict
        By name.
    metadata : dict
        Subject, session and the like: written into recordings, usable in their paths.
    aliases : dict of str to AliasSpec
        By name.
    hosts : dict of str to str
        Addresses of the other machines, by the names that nodes use.
    latency : LatencySpec
        How the graph is tried out; stays in the file, is not sent.
    lines : dict of str to int
        For each path of the file it was read from, such as ``nodes.alpha.params``, its line; not
        saved, sent or compared.
    source : str
        That file, as it was named.
    """

    name: str = "graph"
    nodes: Mapping[str, NodeSpec] = field(default_factory=dict)
    groups: Mapping[str, GroupSpec] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, AliasSpec] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    latency: LatencySpec | None = None
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    source: str = field(default="", compare=False, repr=False)

    def where(self, path: str) -> str:
        """Return the place of a path in its file, as ``graph.yaml:12``; empty if none is known.

        The line is that of the nearest level that is written: ``nodes.alpha`` for a parameter that
        is missing, ``nodes.alpha`` for its replica ``nodes.alpha2``.
        """
        steps = path.split(".")
        if len(steps) > 1 and ".".join(steps[:2]) not in self.lines:
            steps[1] = steps[1].rstrip("0123456789")
        while steps and ".".join(steps) not in self.lines:
            steps.pop()
        line = self.lines[".".join(steps)] if steps else min(self.lines.values(), default=0)
        if not line:
            return self.source
        return f"{self.source}:{line}" if self.source else f"line {line}"

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as it stands in a file; only JSON types, nothing that is a default."""
        written: dict[str, Any] = {"rigmesh": 1, "name": self.name}
        if self.metadata:
            written["metadata"] = dict(self.metadata)
        if self.hosts:
            written["hosts"] = dict(self.hosts)
        groups = {}
        for group in self.groups.values():
            values = asdict(group)
            defaults = asdict(GroupSpec(group.name))
            changed = {
                k: list(v) if isinstance(v, tuple) else v
                for k, v in values.items()
                if v != defaults[k]
            }
            if changed:
                groups[group.name] = changed
        if groups:
            written["groups"] = groups
        written["nodes"] = {name: _node_to_dict(node) for name, node in self.nodes.items()}
        if self.aliases:
            written["aliases"] = {
                name: _alias_to_value(alias) for name, alias in self.aliases.items()
            }
        if self.latency is not None:
            written["latency"] = _latency_to_dict(self.latency)
        return written


def _node_to_dict(node: NodeSpec) -> dict[str, Any]:
    written: dict[str, Any] = {"type": node.type}
    if node.host:
        written["host"] = node.host
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
    if node.replicate != 1:
        written["replicate"] = node.replicate
    return written


def _alias_to_value(alias: AliasSpec) -> str | dict[str, Any]:
    if alias == AliasSpec(alias.states) and len(alias.states) == 1:
        return alias.states[0]
    written: dict[str, Any] = {"states": list(alias.states)}
    if alias.write != "clients":
        written["write"] = alias.write
    if alias.doc:
        written["doc"] = alias.doc
    return written


def _latency_to_dict(latency: LatencySpec) -> dict[str, Any]:
    written: dict[str, Any] = {"duration": latency.duration, "warm_up": latency.warm_up}
    if latency.nodes:
        written["nodes"] = {name: _node_to_dict(node) for name, node in latency.nodes.items()}
    if latency.loopback:
        written["loopback"] = dict(latency.loopback)
    for key, of in (("limits", latency.limits), ("round_trips", latency.round_trips)):
        if of:
            written[key] = {name: dict(limits) for name, limits in of.items()}
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


def spin_microseconds(wait: str) -> float | None:
    """Return for how many µs a way to wait spins before it blocks; None: it only blocks.

    Raises
    ------
    GraphError
        If it is no way to wait.

    Examples
    --------
    >>> spin_microseconds("block"), spin_microseconds("spin(50 us)"), spin_microseconds("spin")
    (None, 50.0, inf)
    """
    if wait.strip() == "block":
        return None
    if wait.strip() == "spin":
        return math.inf
    match = _SPIN.fullmatch(wait)
    if match is None:
        raise GraphError(f"wait is block, spin or spin(50 us), in microseconds; found {wait!r}")
    return float(match[1])
