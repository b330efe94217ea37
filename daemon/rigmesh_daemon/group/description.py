"""What a daemon is told of a group that another daemon had started."""

from __future__ import annotations

import json

from rigmesh.node import NodeRunner, NodeState
from rigmesh.node.ports import Output
from rigmesh.rpc import failure_of
from rigmesh.streams import Chunk
from rigmesh.streams.wire import info_to_wire
from rigmesh.transports import RingWriter
from rigmesh_daemon.group.nodes import GroupNodes
from rigmesh_proto.v1 import control_pb2, group_pb2, stream_pb2

__all__ = ["announcement_of", "change_of", "description_of", "ring_of"]

_STATES = {state: control_pb2.NodeState.Value(f"NODE_STATE_{state.name}") for state in NodeState}


def change_of(runner: NodeRunner) -> group_pb2.NodeChanged:
    """Return the message of a node's state."""
    message = group_pb2.NodeChanged(
        node=runner.name,
        state=_STATES[runner.state],
        report_json=json.dumps(runner.node.report, default=str),
    )
    if runner.failure is not None:
        message.failure.CopyFrom(failure_of(runner.failure))
    return message


def announcement_of(runner: NodeRunner, output: Output[Chunk]) -> group_pb2.OutputAnnounced:
    """Return the message of an output's description."""
    return group_pb2.OutputAnnounced(
        node=runner.name, output=output.name, epoch=output.epoch, info=info_to_wire(output.info)
    )


def ring_of(writer: RingWriter) -> stream_pb2.Ring:
    """Return the message of where an epoch lies."""
    return stream_pb2.Ring(
        stream=writer.info.name,
        epoch=writer.epoch,
        segment=writer.segment.name,
        info=info_to_wire(writer.info),
    )


def description_of(nodes: GroupNodes) -> group_pb2.Description:
    """Return the states of all nodes, what they have announced, and where it lies."""
    runners = list(nodes.runners.values())
    return group_pb2.Description(
        nodes=[change_of(runner) for runner in runners],
        outputs=[
            announcement_of(runner, output)
            for runner in runners
            for output in runner.node.bound_outputs()
            if output.is_announced
        ],
        rings=[
            ring_of(writer)
            for publication in list(nodes.publications.values())
            for writer in publication.rings
        ],
    )
