"""The graph that ``rigmesh latency`` runs: the one of the file, with stand-ins for devices."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from rigmesh.errors import GraphError, UnknownName
from rigmesh.graph import GraphSpec, NodeSpec, check_graph, split_port
from rigmesh.graph.spec import LatencySpec
from rigmesh.node.registry import NodeType, find_type

__all__ = ["ASIDE", "as_tried", "round_trips_of"]

ASIDE = "latency-trial-"
"""The names of recordings of a trial begin so."""

Settings = Mapping[str, Mapping[str, Any]]


def as_tried(
    graph: GraphSpec,
    types: Mapping[str, NodeType],
    settings: Settings,
    lines: Mapping[str, Mapping[str, str]],
    *,
    without_recorders: bool = False,
) -> GraphSpec:
    """Return the graph to run, checked.

    Parameters
    ----------
    graph : GraphSpec
        As it stands in the file.
    types : dict of str to NodeType
        All there are.
    settings : dict of str to dict
        Parameters to override, by node.
    lines : dict of str to dict
        Paths of virtual serial ports, by node and parameter.
    without_recorders : bool
        Leave recorders and LSL outlets out.

    Raises
    ------
    GraphError
        With file and line of each mistake.
    """
    latency = graph.latency or LatencySpec()
    nodes = {**graph.nodes, **latency.nodes}
    for values in (lines, settings):
        for name, params in values.items():
            if name not in nodes:
                raise UnknownName.among("node", name, nodes)
            nodes[name] = replace(nodes[name], params={**nodes[name].params, **params})
    graph = replace(graph, nodes=nodes, lines=_lines(graph, latency))
    if without_recorders:
        graph = _without(graph, {name for name, node in nodes.items() if _keeps(node, types)})
    check_graph(graph, types)
    _check_limits(graph, latency, types)
    return replace(
        graph,
        nodes={name: _aside(node, types) for name, node in graph.nodes.items()},
        latency=None,
    )


def round_trips_of(
    graph: GraphSpec, latency: LatencySpec, types: Mapping[str, NodeType]
) -> dict[str, tuple[str, str]]:
    """Return for each node that an output is looped back to the streams of what goes out and in.

    Raises
    ------
    GraphError
        If a node has not one output of markers.
    """
    return {
        split_port(into)[0]: (
            _markers_of(split_port(output)[0], graph, types),
            _markers_of(split_port(into)[0], graph, types),
        )
        for output, into in latency.loopback.items()
    }


def _markers_of(name: str, graph: GraphSpec, types: Mapping[str, NodeType]) -> str:
    type_ = find_type(graph.nodes[name].type, types)
    found = [port.name for port in type_.outputs if port.kinds == ("markers",)]
    if len(found) != 1:
        raise GraphError(
            f"latency.loopback: a round trip is timed by the markers of both ends; {name} "
            f"({type_.name}) has {len(found)} outputs of markers, not one"
        )
    return f"{name}.{found[0]}"


def _lines(graph: GraphSpec, latency: LatencySpec) -> dict[str, int]:
    """Return the lines with those of the stand-ins, where nodes of these names are looked for."""
    lines = {
        path: line
        for path, line in graph.lines.items()
        if not any(f"{path}.".startswith(f"nodes.{name}.") for name in latency.nodes)
    }
    lines |= {
        path.removeprefix("latency."): line
        for path, line in graph.lines.items()
        if path.startswith("latency.nodes.")
    }
    for output, into in latency.loopback.items():
        line = graph.lines.get(f"latency.loopback.{output}", 0)
        for name, param in map(split_port, (output, into)):
            lines[f"nodes.{name}.params.{param}"] = line
    return lines


def _keeps(node: NodeSpec, types: Mapping[str, NodeType]) -> bool:
    """Tell whether a node only takes what others give to somewhere else."""
    try:
        type_ = find_type(node.type, types)
    except GraphError:
        return False  # told by the check, with its line
    return type_.detached in ("record", "lsl") and not type_.outputs


def _without(graph: GraphSpec, left_out: set[str]) -> GraphSpec:
    aliases = {
        name: replace(alias, states=tuple(_kept(alias.states, left_out)))
        for name, alias in graph.aliases.items()
    }
    return replace(
        graph,
        nodes={name: node for name, node in graph.nodes.items() if name not in left_out},
        aliases={name: alias for name, alias in aliases.items() if alias.states},
    )


def _kept(states: tuple[str, ...], left_out: set[str]) -> Iterator[str]:
    for state in states:
        if split_port(state)[0] not in left_out:
            yield state


def _check_limits(graph: GraphSpec, latency: LatencySpec, types: Mapping[str, NodeType]) -> None:
    for where in latency.limits:
        name, port = split_port(where)
        if name not in graph.nodes:
            continue  # left out
        path, type_ = f"latency.limits.{where}", find_type(graph.nodes[name].type, types)
        try:
            if port:
                type_.input(port)
        except UnknownName as error:
            raise UnknownName(f"{graph.where(path)}: {path}: {error}") from error
        if not type_.inputs:
            raise GraphError(
                f"{graph.where(path)}: {path}: {type_.name} is a source; latencies are those of "
                "the nodes that it gives chunks to"
            )


def _aside(node: NodeSpec, types: Mapping[str, NodeType]) -> NodeSpec:
    """Let a recorder write beside its file, not into it."""
    own = PurePath(str(node.params.get("path", "")))
    if find_type(node.type, types).detached != "record" or not own.name:
        return node
    aside = own.with_name(f"{ASIDE}{uuid.uuid4().hex[:8]}-{own.name}")
    return replace(node, params={**node.params, "path": str(aside)})
