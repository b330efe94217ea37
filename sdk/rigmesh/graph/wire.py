"""Graphs as protobuf."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from rigmesh.errors import GraphError
from rigmesh.graph.spec import (
    AliasSpec,
    AliasWriters,
    GraphSpec,
    GroupSpec,
    NodeSpec,
    Restart,
)
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = [
    "aliases_from_wire",
    "aliases_to_wire",
    "graph_from_wire",
    "graph_to_wire",
    "group_from_wire",
    "group_to_wire",
    "node_from_wire",
    "node_to_wire",
    "object_of",
]

_RESTART: dict[Restart, pb.RestartPolicy.ValueType] = {
    "never": pb.RESTART_POLICY_NEVER,
    "on-failure": pb.RESTART_POLICY_ON_FAILURE,
}


def object_of(text: str, field: str) -> dict[str, Any]:
    """Read a field with an object of JSON; empty for an empty one.

    Raises
    ------
    GraphError
        If it is something else.
    """
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{field} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise GraphError(f"{field} is an object of JSON; found {type(found).__name__}")
    return found


def group_to_wire(group: GroupSpec) -> pb.GroupSpec:
    """Return the message of a group."""
    return pb.GroupSpec(
        name=group.name,
        restart=_RESTART[group.restart],
        buffer_seconds=group.buffer_seconds,
        cpus=group.cpus,
        priority=group.priority,
        wait=group.wait,
        lock_memory=group.lock_memory,
        deadline=group.deadline,
    )


def group_from_wire(message: pb.GroupSpec) -> GroupSpec:
    """Read a group."""
    restart: Restart = "on-failure" if message.restart == pb.RESTART_POLICY_ON_FAILURE else "never"
    return GroupSpec(
        message.name,
        restart,
        message.buffer_seconds or 10.0,
        tuple(message.cpus),
        message.priority,
        message.wait or "block",
        message.lock_memory,
        message.deadline,
    )


def node_to_wire(node: NodeSpec) -> pb.NodeSpec:
    """Return the message of a node."""
    return pb.NodeSpec(
        name=node.name,
        type=node.type,
        group=node.group,
        params_json=json.dumps(dict(node.params)),
        inputs={port: pb.StreamNames(names=streams) for port, streams in node.inputs.items()},
        overflow=node.overflow,
        replicate=node.replicate,
        host=node.host,
    )


def node_from_wire(message: pb.NodeSpec) -> NodeSpec:
    """Read a node."""
    return NodeSpec(
        name=message.name,
        type=message.type,
        group=message.group or "main",
        params=object_of(message.params_json, "params_json"),
        inputs={port: tuple(streams.names) for port, streams in message.inputs.items()},
        overflow=cast('Literal["", "drop", "block"]', message.overflow),
        replicate=message.replicate or 1,
        host=message.host,
    )


def aliases_to_wire(aliases: Mapping[str, AliasSpec]) -> list[pb.AliasSpec]:
    """Return the messages of aliases."""
    return [
        pb.AliasSpec(name=name, states=alias.states, write=alias.write, doc=alias.doc)
        for name, alias in aliases.items()
    ]


def aliases_from_wire(messages: Iterable[pb.AliasSpec]) -> dict[str, AliasSpec]:
    """Read aliases."""
    return {
        message.name: AliasSpec(
            tuple(message.states), cast("AliasWriters", message.write or "clients"), message.doc
        )
        for message in messages
    }


def graph_to_wire(graph: GraphSpec) -> pb.GraphSpec:
    """Return the message of a graph."""
    return pb.GraphSpec(
        name=graph.name,
        groups=[group_to_wire(group) for group in graph.groups.values()],
        nodes=[node_to_wire(node) for node in graph.nodes.values()],
        metadata_json=json.dumps(dict(graph.metadata), default=str),
        aliases=aliases_to_wire(graph.aliases),
    )


def graph_from_wire(message: pb.GraphSpec) -> GraphSpec:
    """Read a graph."""
    return GraphSpec(
        name=message.name,
        nodes={node.name: node_from_wire(node) for node in message.nodes},
        groups={group.name: group_from_wire(group) for group in message.groups},
        metadata=object_of(message.metadata_json, "metadata_json"),
        aliases=aliases_from_wire(message.aliases),
    )
