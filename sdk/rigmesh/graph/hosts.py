"""Graphs on several machines: a part for each, joined by relays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rigmesh.errors import GraphError
from rigmesh.graph.spec import MAIN, GraphSpec, NodeSpec, split_port
from rigmesh.names import RELAY, RELAY_OUTPUT, relay_name, relay_parameters

__all__ = ["joined", "split_by_host"]


def split_by_host(graph: GraphSpec, addresses: Mapping[str, str]) -> dict[str, GraphSpec]:
    """Divide a graph into a part for each machine.

    Streams that cross from one to another get a relay where they arrive: one for each stream and
    machine, however many read it there.

    Parameters
    ----------
    graph : GraphSpec
        Its nodes say where they run.
    addresses : dict of str to str
        Where each machine that nodes run on is reached by the others; empty: nowhere.

    Returns
    -------
    dict of str to GraphSpec
        By the name of the host; "" is the machine that drives.

    Raises
    ------
    GraphError
        If a stream comes from a machine that others cannot reach, or a relay has no name.
    """
    parts: dict[str, dict[str, NodeSpec]] = {node.host: {} for node in graph.nodes.values()}
    for name, node in graph.nodes.items():
        part = parts[node.host]
        inputs: dict[str, tuple[str, ...]] = {}
        for port, streams in node.inputs.items():
            inputs[port] = tuple(
                _arriving(stream, f"nodes.{name}.inputs.{port}", node.host, graph, addresses, part)
                for stream in streams
            )
        part[name] = replace(node, inputs=inputs, host="")
    return {
        host: replace(
            graph,
            nodes=nodes,
            groups={g: spec for g, spec in graph.groups.items() if _is_used(g, nodes)},
            aliases={
                alias: spec
                for alias, spec in graph.aliases.items()
                if all(split_port(state)[0] in nodes for state in spec.states)
            },
            hosts={},
            latency=None,
        )
        for host, nodes in parts.items()
    }


def joined(parts: Mapping[str, GraphSpec], addresses: Mapping[str, str]) -> GraphSpec:
    """Do the opposite of `split_by_host`: one graph, without relays.

    Parameters
    ----------
    parts : dict of str to GraphSpec
        By the name of the host; "" is the machine that drives.
    addresses : dict of str to str
        Of the other machines.
    """
    whole = next(iter(parts.values()), GraphSpec())
    nodes: dict[str, NodeSpec] = {}
    groups: dict[str, Any] = {}
    aliases: dict[str, Any] = {}
    for host, part in parts.items():
        brought = {
            name: str(node.params["stream"])
            for name, node in part.nodes.items()
            if node.type == RELAY
        }
        for name, node in part.nodes.items():
            if name not in brought:
                inputs = {
                    port: tuple(_departing(stream, brought) for stream in streams)
                    for port, streams in node.inputs.items()
                }
                nodes[name] = replace(node, inputs=inputs, host=host)
        groups.update(part.groups)
        aliases.update(part.aliases)
    hosts = {host: addresses[host] for host in parts if host}
    return replace(whole, nodes=nodes, groups=groups, aliases=aliases, hosts=hosts)


def _arriving(
    stream: str,
    path: str,
    host: str,
    graph: GraphSpec,
    addresses: Mapping[str, str],
    part: dict[str, NodeSpec],
) -> str:
    """Return what a stream is called on a machine, where it may need a relay."""
    source = graph.nodes.get(split_port(stream)[0])
    if source is None or source.host == host:
        return stream  # who is told of a stream that nobody gives is the daemon
    address = addresses.get(source.host, "")
    if not address:
        where = source.host or "this machine"
        raise GraphError(
            f"{path}: {stream} comes from {where}, whose daemon listens on no network; give it an "
            'address (listen = "0.0.0.0:5678" in rigmeshd.toml), or run the node elsewhere'
        )
    node = NodeSpec(relay_name(stream), RELAY, params=relay_parameters(address, stream))
    if node.name in graph.nodes:
        raise GraphError(
            f"{path}: the relay of {stream} would be called {node.name}, as a node is already"
        )
    part[node.name] = node
    return f"{node.name}.{RELAY_OUTPUT}"


def _departing(stream: str, brought: Mapping[str, str]) -> str:
    return brought.get(split_port(stream)[0], stream)


def _is_used(group: str, nodes: Mapping[str, NodeSpec]) -> bool:
    return group == MAIN or any(node.group == group for node in nodes.values())
