"""Graphs as protobuf."""

from __future__ import annotations

import json
from typing import Literal, cast

from rigmesh.graph.spec import GraphSpec, GroupSpec, NodeSpec, Restart
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = [
    "graph_from_wire",
    "graph_to_wire",
    "group_from_wire",
    "group_to_wire",
    "node_from_wire",
    "node_to_wire",
]

_RESTART: dict[Restart, pb.RestartPolicy.ValueType] = {
    "never": pb.RESTART_POLICY_NEVER,
    "on-failure": pb.RESTART_POLICY_ON_FAILURE,
}


def group_to_wire(group: GroupSpec) -> pb.GroupSpec:
    """Return the message of a group."""
    return pb.GroupSpec(
        name=group.name, restart=_RESTART[group.restart], buffer_seconds=group.buffer_seconds
    )


def group_from_wire(message: pb.GroupSpec) -> GroupSpec:
    """Read a group."""
    restart: Restart = "on-failure" if message.restart == pb.RESTART_POLICY_ON_FAILURE else "never"
    return GroupSpec(message.name, restart, message.buffer_seconds or 10.0)


def node_to_wire(node: NodeSpec) -> pb.NodeSpec:
    """Return the message of a node."""
    return pb.NodeSpec(
        name=node.name,
        type=node.type,
        group=node.group,
        params_json=json.dumps(dict(node.params)),
        inputs={port: pb.StreamNames(names=streams) for port, streams in node.inputs.items()},
        overflow=node.overflow,
    )


def node_from_wire(message: pb.NodeSpec) -> NodeSpec:
    """Read a node."""
    return NodeSpec(
        name=message.name,
        type=message.type,
        group=message.group or "main",
        params=json.loads(message.params_json or "{}"),
        inputs={port: tuple(streams.names) for port, streams in message.inputs.items()},
        overflow=cast('Literal["", "drop", "block"]', message.overflow),
    )


def graph_to_wire(graph: GraphSpec) -> pb.GraphSpec:
    """Return the message of a graph."""
    return pb.GraphSpec(
        name=graph.name,
        groups=[group_to_wire(group) for group in graph.groups.values()],
        nodes=[node_to_wire(node) for node in graph.nodes.values()],
        metadata_json=json.dumps(dict(graph.metadata), default=str),
    )


def graph_from_wire(message: pb.GraphSpec) -> GraphSpec:
    """Read a graph."""
    return GraphSpec(
        name=message.name,
        nodes={node.name: node_from_wire(node) for node in message.nodes},
        groups={group.name: group_from_wire(group) for group in message.groups},
        metadata=json.loads(message.metadata_json or "{}"),
    )
