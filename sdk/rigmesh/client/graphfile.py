"""Graph files on their way to and from a daemon."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmesh.client.fleet import Fleet, Member
from rigmesh.client.host import Host
from rigmesh.client.windows import Windows, window_type
from rigmesh.errors import GraphError, UnknownName, Unsupported
from rigmesh.graph import GraphSpec, NodeSpec, check_graph, locate
from rigmesh.graph.hosts import joined, split_by_host
from rigmesh.graph.loader import dump_graph, load_graph
from rigmesh.graph.wire import graph_from_wire, graph_to_wire
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["load_into", "write_graph"]

_log = logging.getLogger(__name__)


def load_into(
    fleet: Fleet,
    path: Path | str,
    settings: Mapping[str, Mapping[str, Any]],
    add_host: Callable[[str], Host],
    windows: Windows,
) -> None:
    """Build the graph of a file, each part on its host; all or nothing.

    Parameters
    ----------
    fleet : Fleet
        The daemons.
    path : Path or str
        The file.
    settings : dict of str to dict
        Parameters to put in the place of those in the file, by node.
    add_host : callable
        Reaches a machine by its address.
    windows : Windows
        Opens those of the graph.

    Raises
    ------
    GraphError
        With the path to each mistake; an UnknownName if there is no node to set.
    """
    graph = _with_settings(load_graph(path), settings)
    members = {name: fleet.named(add_host(address).name) for name, address in graph.hosts.items()}
    members[""] = fleet.local
    graph, shown = _without_windows(graph, windows)
    parts = split_by_host(graph, {name: member.address for name, member in members.items()})
    loaded: list[Member] = []
    try:
        for host, part in parts.items():
            member = members[host]
            request = pb.LoadGraphRequest(graph=graph_to_wire(part))
            try:
                member.call(member.stub.LoadGraph, request, timeout=120.0)
            except GraphError as error:
                raise locate(error, graph) from error
            loaded.append(member)
    except BaseException:
        for member in loaded:
            member.call(member.stub.Clear, pb.ClearRequest())
        raise
    for host, part in parts.items():
        members[host].made.extend(node.spec.name for node in members[host].status().nodes)
        members[host].groups.extend(node.group for node in part.nodes.values())
    _open_windows(shown, windows)


def write_graph(fleet: Fleet, path: Path | str, windows: Windows) -> None:
    """Write the graph of all daemons as a file, and the windows of this manager."""
    parts = {}
    for member in fleet:
        response = member.call(member.stub.GetGraph, pb.GetGraphRequest())
        if response.graph.nodes or member is fleet.local:
            host = "" if member is fleet.local else member.name
            parts[host] = graph_from_wire(response.graph)
    graph = joined(parts, {member.name: member.address for member in fleet})
    working = [worker.node.name for worker in windows.workers.values()]
    nodes = {name: node for name, node in graph.nodes.items() if name not in working}
    theirs = [worker.group.name for worker in windows.workers.values()]
    groups = {name: group for name, group in graph.groups.items() if name not in theirs}
    graph = replace(graph, nodes={**nodes, **windows.specs()}, groups=groups)
    Path(path).write_text(dump_graph(graph), encoding="utf-8")


def _without_windows(graph: GraphSpec, windows: Windows) -> tuple[GraphSpec, list[NodeSpec]]:
    """Return what daemons run, and the windows, checked, with the full names of their streams."""
    known = windows.manager.node_types()
    names = {name for name, node in graph.nodes.items() if window_type(node.type, known)}
    if not names:
        return graph, []
    from rigmesh.node.registry import NodeType

    types = {name: NodeType.from_dict(each) for name, each in known.items()}
    checked = check_graph(graph, types)
    shown = [node for name, node in checked.nodes.items() if types[node.type].is_window]
    nodes = {name: node for name, node in graph.nodes.items() if name not in names}
    return replace(graph, nodes=nodes), shown


def _open_windows(shown: Sequence[NodeSpec], windows: Windows) -> None:
    """Open windows; where there is no screen the graph runs without."""
    for node in shown:
        try:
            windows.open(node.type, node.name, node.params)
        except Unsupported as error:
            _log.warning("window %s is not shown: %s", node.name, error)
            return
        for port, streams in node.inputs.items():
            for stream in streams:
                windows.link(stream, f"{node.name}.{port}")


def _with_settings(graph: GraphSpec, settings: Mapping[str, Mapping[str, Any]]) -> GraphSpec:
    nodes = dict(graph.nodes)
    for name, values in settings.items():
        if name not in nodes:
            raise UnknownName.among("node", name, nodes)
        nodes[name] = replace(nodes[name], params={**nodes[name].params, **values})
    return replace(graph, nodes=nodes)
