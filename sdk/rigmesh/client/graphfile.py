"""Graph files on their way to and from a daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmesh.errors import GraphError, UnknownName
from rigmesh.graph import locate
from rigmesh.graph.loader import dump_graph, load_graph
from rigmesh.graph.wire import graph_from_wire, graph_to_wire
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["read_graph", "write_graph"]


def read_graph(
    path: Path | str, settings: Mapping[str, Mapping[str, Any]]
) -> tuple[pb.GraphSpec, Callable[[GraphError], GraphError]]:
    """Read a graph file, with some parameters of its nodes replaced.

    Returns
    -------
    GraphSpec, callable
        The message, and what adds file and line to a mistake that the daemon finds in it.

    Raises
    ------
    GraphError
        With the path to each mistake; an UnknownName if there is no node to set.
    """
    graph = load_graph(path)
    nodes = dict(graph.nodes)
    for name, values in settings.items():
        if name not in nodes:
            raise UnknownName.among("node", name, nodes)
        nodes[name] = replace(nodes[name], params={**nodes[name].params, **values})
    graph = replace(graph, nodes=nodes)
    return graph_to_wire(graph), lambda error: locate(error, graph)


def write_graph(graph: pb.GraphSpec, path: Path | str) -> None:
    """Write a graph as a file."""
    Path(path).write_text(dump_graph(graph_from_wire(graph)), encoding="utf-8")
