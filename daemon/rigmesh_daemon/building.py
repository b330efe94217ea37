"""Makes processes, nodes and links."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmesh.errors import (
    GraphError,
    NameTaken,
    RigmeshError,
    StateError,
    UnknownName,
    Unsupported,
)
from rigmesh.graph import NodeSpec, check_link, check_node, check_order, process_of, split_port
from rigmesh.graph.spec import MAIN, GroupSpec
from rigmesh.node.registry import NodeType
from rigmesh_daemon.state import BUSY, GraphState, NodeRecord
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import group_pb2

__all__ = ["Builder"]

_MENDED_WITHIN = 120.0


class Builder:
    """Turns specs into nodes in processes, and links into rings or calls.

    Parameters
    ----------
    state : GraphState
        What there is.
    make_process : callable
        Makes (does not start) a process, given its name, its group and, of a session group,
        its socket.
    """

    def __init__(
        self,
        state: GraphState,
        make_process: Callable[[str, GroupSpec, Path | None], GroupProcess],
    ) -> None:
        self._state = state
        self._make_process = make_process

    async def create_node(self, spec: NodeSpec) -> NodeRecord:
        """Make a node and its links.

        Raises
        ------
        NameTaken, GraphError
            If it cannot be; then nothing is made.
        """
        state = self._state
        if spec.name in state.nodes:
            raise NameTaken(f"there is a node {spec.name!r} already")
        group = state.group(spec.group)
        spec = check_node(spec, state.types)
        if state.types[spec.type].is_window:
            raise Unsupported(
                f"{spec.type} is a window, which a client opens: Manager.create_node does, and "
                "`rigmesh view`"
            )
        inputs, spec = spec.inputs, replace(spec, inputs={})
        process_name = self._place(spec, group)
        process = await self.ensure_process(process_name, group)
        await self._add(process, spec)
        record = state.nodes[spec.name] = NodeRecord(spec, process_name)
        try:
            for port, streams in inputs.items():
                for stream in streams:
                    await self.connect(stream, f"{spec.name}.{port}")
        except RigmeshError:
            await self.remove_node(spec.name)
            raise
        state.set_state(spec.name, record.state)
        return record

    async def remove_node(self, name: str) -> None:
        """Take a node and its links away.

        Raises
        ------
        StateError
            While it runs.
        """
        state = self._state
        record = state.node(name)
        if record.state in BUSY:
            raise StateError(f"node {name!r} is running; stop it first")
        for stream, sink, port in list(state.links()):
            if name in (sink, split_port(stream)[0]):
                await self.disconnect(stream, f"{sink}.{port}")
        process = state.processes[record.process]
        if process.is_alive:
            await process.request(remove_node=group_pb2.NodeName(name=name))
        state.forget_rings(state.outputs(name))
        del state.nodes[name]
        # Nobody made the group that nodes without a placement share, so nobody removes it.
        if process.group.name == MAIN and not state.of_process(process.name):
            await process.stop()
            del state.processes[process.name]

    async def connect(self, stream: str, reference: str) -> None:
        """Link a stream to an input; both are named ``node.port``.

        Raises
        ------
        GraphError
            If the ends do not fit, or the link would close a circle.
        """
        state = self._state
        sink_name, port = self._input(reference)
        sink = state.node(sink_name)
        stream = check_link(stream, sink.spec, port, state.specs, state.types)
        there = sink.spec.inputs.get(port, ())
        if stream in there:
            raise NameTaken(f"{stream} is linked to {sink_name}.{port} already")
        type_port = state.types[sink.spec.type].input(port)
        if there and not type_port.many:
            raise GraphError(
                f"{sink_name}.{port} takes one stream and has {there[0]}; disconnect that first"
            )
        spec = replace(sink.spec, inputs={**sink.spec.inputs, port: (*there, stream)})
        check_order({**state.specs, sink_name: spec})
        await self.make_link(stream, sink_name, port)
        sink.spec = spec

    async def disconnect(self, stream: str, reference: str) -> None:
        """Undo a link.

        Raises
        ------
        UnknownName
            If there is none.
        """
        state = self._state
        sink_name, port = self._input(reference)
        sink = state.node(sink_name)
        stream = state.stream(stream)
        there = sink.spec.inputs.get(port, ())
        if stream not in there:
            raise UnknownName(f"{stream} is not linked to {sink_name}.{port}")
        source, output = split_port(stream)
        process = state.processes[sink.process]
        if process.is_alive:
            if state.node(source).process == sink.process:
                local = group_pb2.LocalLink(
                    source=source, output=output, sink=sink_name, input=port
                )
                await process.request(unlink=local)
            else:
                remote = group_pb2.RemoteLink(stream=stream, sink=sink_name, input=port)
                await process.request(remote_unlink=remote)
        inputs = {**sink.spec.inputs, port: tuple(s for s in there if s != stream)}
        sink.spec = replace(sink.spec, inputs={k: v for k, v in inputs.items() if v})

    async def make_link(self, stream: str, sink: str, port: str) -> None:
        """Tell the processes of both ends about a link."""
        state = self._state
        source, output = split_port(stream)
        reader = state.processes[state.node(sink).process]
        writer = state.processes[state.node(source).process]
        if reader is writer:
            await reader.request(
                link=group_pb2.LocalLink(source=source, output=output, sink=sink, input=port)
            )
            return
        await reader.request(remote_link=group_pb2.RemoteLink(stream=stream, sink=sink, input=port))
        if writer.is_alive:
            await self.publish(stream)
        if state.rings.get(stream):
            await self.send_rings(stream, f"{sink}.{port}")

    async def until_mended(self, stream: str) -> None:
        """Wait while the process that makes a stream is being made anew.

        Raises
        ------
        WaitTimeout
            If that takes minutes.
        """
        process = self._state.processes[self._state.process_of_stream(stream)]
        await self._state.until(
            lambda: not process.is_mending,
            _MENDED_WITHIN,
            lambda: f"the process of group {process.name!r} is still being restarted",
        )

    async def publish(self, stream: str) -> None:
        """Have a stream put into a ring; harmless if it is."""
        node, output = split_port(stream)
        process = self._state.processes[self._state.node(node).process]
        self._state.published.add(stream)
        await process.request(publish=group_pb2.Publish(node=node, output=output))

    async def send_rings(
        self, stream: str, reader: str = "", resume: tuple[int, int] | None = None
    ) -> None:
        """Tell who reads a stream where it lies.

        Parameters
        ----------
        stream, reader : str
            The stream, and the one input to tell; empty for all.
        resume : (int, int) or None
            Epoch and index up to which that input's dead predecessor has read.
        """
        state = self._state
        message = group_pb2.Rings(stream=stream, rings=state.rings.get(stream, []), reader=reader)
        if resume is not None:
            message.resumed = True
            message.read_to_epoch, message.read_to_index = resume
        sinks = {state.node(sink).process for s, sink, _ in state.links() if s == stream}
        if reader:
            sinks = {state.node(split_port(reader)[0]).process}
        for name in sinks - {state.process_of_stream(stream)}:
            process = state.processes[name]
            if process.is_alive:
                with contextlib.suppress(RigmeshError):
                    await process.request(rings=message)

    async def rebuild(self, process: GroupProcess) -> None:
        """Make the nodes and links of a process that was started anew."""
        state = self._state
        names = state.of_process(process.name)
        for name in names:
            await self._add(process, state.node(name).spec)
        for stream, sink, port in list(state.links()):
            source = split_port(stream)[0]
            if sink in names:
                await self.make_link(stream, sink, port)
            elif source in names:
                await self.publish(stream)
        for stream in state.published:
            if split_port(stream)[0] in names:
                await self.publish(stream)

    async def ensure_process(self, name: str, group: GroupSpec) -> GroupProcess:
        """Return a running process, started if need be."""
        process = self._state.processes.get(name)
        if process is None:
            process = self._make_process(name, group, None)
            self._state.processes[name] = process
        if not process.is_alive:
            if process.is_foreign:
                raise StateError(f"the session group {name!r} has ended")
            try:
                await process.start()
            except RigmeshError:
                if not self._state.of_process(name):
                    self._state.processes.pop(name, None)
                raise
        return process

    async def register(self, name: str, socket: Path) -> None:
        """Take in a process that a client started.

        Raises
        ------
        NameTaken
            If there is a group of that name.
        """
        state = self._state
        if name in state.groups or name in state.processes:
            raise NameTaken(f"there is a group {name!r} already")
        group = GroupSpec(name)
        process = self._make_process(name, group, socket)
        await process.start()
        state.groups[name] = group
        state.processes[name] = process
        for text in process.types:
            type_ = NodeType.from_dict(json.loads(text))
            state.types[f"{name}/{type_.name}"] = replace(type_, name=f"{name}/{type_.name}")

    def _place(self, spec: NodeSpec, group: GroupSpec) -> str:
        process = self._state.processes.get(group.name)
        if process is not None and process.is_foreign:
            return group.name  # a session group is one process
        return process_of(spec, self._state.types[spec.type])

    def _input(self, reference: str) -> tuple[str, str]:
        """Split ``node.port``; a node with a single input may be named alone."""
        name, port = split_port(reference)
        inputs = self._state.types[self._state.node(name).spec.type].inputs
        if not port and len(inputs) == 1:
            port = inputs[0].name
        return name, port

    async def _add(self, process: GroupProcess, spec: NodeSpec) -> dict[str, Any] | None:
        first = {
            port.name: self._state.epochs[stream] + 1
            for port in self._state.types[spec.type].outputs
            if (stream := f"{spec.name}.{port.name}") in self._state.epochs
        }
        request = group_pb2.AddNode(
            name=spec.name,
            type=spec.type.rpartition("/")[2],
            params_json=json.dumps(dict(spec.params)),
            first_epochs=first,
        )
        params: dict[str, Any] | None = await process.request(add_node=request)
        return params
