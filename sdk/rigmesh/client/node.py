"""Handles of nodes and their ports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from rigmesh.errors import RigmeshError, StreamNotFound, UnknownName, WaitTimeout
from rigmesh.rpc import error_of
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    # numpy comes with these; a script that only drives does without until it reads a stream.
    from rigmesh.client.live import StateView
    from rigmesh.client.manager import Manager
    from rigmesh.client.stream import StreamReader
    from rigmesh.relay import RemoteStreamReader
    from rigmesh.streams import Chunk, StreamInfo
    from rigmesh.transports import StartAt

__all__ = ["InputHandle", "NodeHandle", "OutputHandle"]

Port = TypeVar("Port")


class OutputHandle:
    """An output of a node; what it gives can be linked, read and described."""

    def __init__(self, manager: Manager, stream: str) -> None:
        self._manager = manager
        self.stream = stream

    @property
    def info(self) -> StreamInfo:
        """Its description.

        Raises
        ------
        StreamNotFound
            Before the node has announced it.
        """
        from rigmesh.streams.wire import info_from_wire

        for info in self._manager.status().streams:
            if info.name == self.stream:
                return info_from_wire(info)
        raise StreamNotFound(f"{self.stream} is not announced yet; start the graph first")

    def open(self, *, start: StartAt = "now") -> StreamReader | RemoteStreamReader:
        """Read the stream; close the reader, or use it in a ``with`` block."""
        return self._manager.open_stream(self.stream, start=start)

    def chunks(
        self,
        seconds: float | None = None,
        *,
        start: StartAt = "now",
        timeout: float | None = None,
    ) -> Iterator[Chunk]:
        """Yield the chunks of the stream as they come.

        Parameters
        ----------
        seconds : float
            Stop after so long; otherwise when the stream is over.
        start : int, "now" or "oldest"
            Where to begin.
        timeout : float
            Raise WaitTimeout if nothing comes for so long.
        """
        with self.open(start=start) as reader:
            yield from reader.chunks(seconds, timeout)

    def connect(self, *inputs: InputHandle) -> None:
        """Link this output to inputs."""
        for handle in inputs:
            handle.connect(self)

    def __repr__(self) -> str:
        return f"<output {self.stream}>"


class InputHandle:
    """An input of a node."""

    def __init__(self, manager: Manager, reference: str) -> None:
        self._manager = manager
        self.reference = reference

    def connect(self, *outputs: OutputHandle | NodeHandle) -> None:
        """Link outputs (or nodes that have a single one) to this input."""
        for output in outputs:
            handle = output.output if isinstance(output, NodeHandle) else output
            self._manager.connect(handle, self)

    def disconnect(self, *outputs: OutputHandle) -> None:
        """Undo links."""
        for output in outputs:
            self._manager.disconnect(output, self)

    def __repr__(self) -> str:
        return f"<input {self.reference}>"


class NodeHandle:
    """A node on a daemon.

    Ports are attributes: ``alpha.filtered``; with a single one also ``alpha.output``.

    Attributes
    ----------
    name, type, group : str
        What it is called, what it is, where it runs.
    inputs, outputs : dict
        Its ports by name.
    """

    def __init__(self, manager: Manager, status: pb.NodeStatus, inputs: list[str]) -> None:
        self._manager = manager
        self.name = status.spec.name
        self.type = status.spec.type
        self.group = status.spec.group
        self.outputs = {
            stream.partition(".")[2]: OutputHandle(manager, stream) for stream in status.outputs
        }
        self.inputs = {port: InputHandle(manager, f"{status.spec.name}.{port}") for port in inputs}

    @property
    def input(self) -> InputHandle:
        """The only input.

        Raises
        ------
        UnknownName
            If there is none, or more than one.
        """
        return _only(f"{self.name} ({self.type})", "input", self.inputs)

    @property
    def output(self) -> OutputHandle:
        """The only output.

        Raises
        ------
        UnknownName
            If there is none, or more than one.
        """
        return _only(f"{self.name} ({self.type})", "output", self.outputs)

    def __getattr__(self, name: str) -> Any:
        ports = {**self.__dict__.get("inputs", {}), **self.__dict__.get("outputs", {})}
        if name in ports:
            return ports[name]
        if name.startswith("_") or "name" not in self.__dict__:
            raise AttributeError(name)
        raise AttributeError(str(UnknownName.among(f"port of {self.name}", name, ports)))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.inputs, *self.outputs]

    @property
    def status(self) -> pb.NodeStatus:
        """What the daemon says of it.

        Raises
        ------
        UnknownName
            If it has been removed.
        """
        for node in self._manager.status().nodes:
            if node.spec.name == self.name:
                return node
        raise UnknownName(f"node {self.name!r} has been removed")

    @property
    def state(self) -> str:
        """One of created, open, ready, running, ended, stopped, failed."""
        return pb.NodeState.Name(self.status.state).removeprefix("NODE_STATE_").lower()

    @property
    def error(self) -> RigmeshError | None:
        """Why it failed, with the traceback; None if it has not."""
        status = self.status
        if not status.HasField("failure"):
            return None
        return error_of(status.failure)

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters as they were set."""
        values: dict[str, Any] = json.loads(self.status.spec.params_json)
        return values

    @property
    def report(self) -> dict[str, Any]:
        """What the node says of itself: a recorder its ``path`` and ``verdict``."""
        values: dict[str, Any] = json.loads(self.status.report_json or "{}")
        return values

    def update(self, **parameters: Any) -> dict[str, tuple[int, int]]:
        """Change parameters between two chunks, all or none.

        Returns
        -------
        dict of str to (int, int)
            For each output the epoch and the sample index at which it took effect.

        Raises
        ------
        ParameterError
            If one is unknown or not acceptable; then none is changed.
        """
        return self._manager.set_parameters(self.name, parameters)

    @property
    def states(self) -> StateView:
        """What it publishes, and its live parameters: ``node.states["n_events"]``."""
        return self._manager.states.of(self.name)

    def call(self, command: str, **arguments: Any) -> Any:
        """Let it obey a command, between two chunks; return the result.

        Raises
        ------
        UnknownName, ParameterError
            If there is no such command, or an argument is wrong.
        StateError
            If the graph is not started.
        NodeError
            If the command raised; the node goes on.
        """
        return self._manager.call(self.name, command, **arguments)

    def wait(self, *states: str, timeout: float = 30.0) -> str:
        """Wait until it is in one of some states.

        Raises
        ------
        NodeError
            If it fails meanwhile (unless that is waited for).
        WaitTimeout
            If it does not come about.
        """
        deadline = time.monotonic() + timeout
        while (state := self.state) not in states:
            if state == "failed" and (error := self.error) is not None:
                raise error
            if time.monotonic() > deadline:
                wanted = " or ".join(states)
                raise WaitTimeout(f"{self.name} is {state}, not {wanted}, after {timeout} s")
            time.sleep(0.02)
        return state

    def remove(self) -> None:
        """Take the node and its links away."""
        self._manager.remove_node(self.name)

    def __repr__(self) -> str:
        return f"<node {self.name} ({self.type}) in {self.group}>"


def _only(owner: str, what: str, ports: Mapping[str, Port]) -> Port:
    if len(ports) != 1:
        names = ", ".join(ports) or "none"
        raise UnknownName(f"{owner} has not one {what} but: {names}")
    return next(iter(ports.values()))
