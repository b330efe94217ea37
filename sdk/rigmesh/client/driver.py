"""What a manager says to a graph that is there: run, look, change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, cast

from rigmesh.client.fleet import Fleet, Member
from rigmesh.client.live import Latency, StateView, call_command, get_latencies
from rigmesh.client.node import NodeHandle
from rigmesh.errors import StateError, UnknownName
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.client.host import Host
    from rigmesh.client.manager import Manager

__all__ = ["Driver"]


class Driver:
    """The part of a manager that works on what was made, by whoever."""

    _fleet: Fleet

    # --- looking -----------------------------------------------------------------------------

    def status(self) -> pb.Status:
        """Return the state of everything: nodes, processes, streams, counters.

        What runs on another host says so: nodes by ``spec.host``, processes by their names.
        """
        return self._fleet.status()

    @contextlib.contextmanager
    def events(
        self, *, logs: bool = False, status_every: float = 0.0
    ) -> Iterator[Iterator[pb.Event]]:
        """Watch states, if asked for also logs, and counters every so many seconds."""
        request = pb.WatchRequest(logs=logs, status_every=status_every)
        with self._fleet.watch(request) as found:
            yield found

    def node_types(
        self, *, refresh: bool = False, host: Host | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return every node type by name: docs, ports, and the JSON schema of its parameters."""
        member = self._fleet.named(host.name) if host is not None else self._fleet.local
        return _types_of(member, refresh=refresh)

    @property
    def nodes(self) -> dict[str, NodeHandle]:
        """The nodes of the graph by name."""
        return {
            node.spec.name: self._handle(node, member)
            for member in self._fleet
            for node in member.status().nodes
        }

    def __getitem__(self, name: str) -> NodeHandle:
        nodes = self.nodes
        if name not in nodes:
            raise UnknownName.among("node", name, nodes)
        return nodes[name]

    def _handle(self, status: pb.NodeStatus, member: Member) -> NodeHandle:
        inputs = [port["name"] for port in _types_of(member)[status.spec.type]["inputs"]]
        return NodeHandle(cast("Manager", self), status, inputs)

    # --- running -----------------------------------------------------------------------------

    def start_all(self, *, timeout: float = 30.0) -> str:
        """Start every node, sinks first; all or none.

        Returns
        -------
        str
            Id of the run.

        Raises
        ------
        NodeError
            That of the first node which failed, with its traceback.
        WaitTimeout
            If a node does not get ready in time.
        """
        return self._fleet.start(timeout)

    def stop_all(self, *, timeout: float = 15.0, wait_sealed: bool | None = None) -> None:
        """End the sources, let everything drain, seal the recordings.

        Parameters
        ----------
        timeout : float
            How long draining may take, in seconds.
        wait_sealed : bool
            Whether to wait for the files, which takes as long as copying them. If not, they are
            made by processes of their own, whatever becomes of the graph; all samples are safe on
            the disk already. By default it is as each recorder's ``wait_sealed`` says. How far
            they are: ``manager.states["recorder.sealing"]``.
        """
        if wait_sealed is not None:
            there = self.states.read()
            names = [name for name in there if name.endswith(".wait_sealed")]
            self.states.write({name: wait_sealed for name in names if there[name] != wait_sealed})
        self._fleet.stop(timeout)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Start all on entering, stop all on leaving."""
        self.start_all()
        try:
            yield self
        finally:
            self.stop_all()

    def annotate(self, text: str) -> None:
        """Put a note into all recordings.

        Raises
        ------
        StateError
            If nothing runs anywhere.
        """
        request = pb.AnnotateRequest(text=text)
        refused: list[StateError] = []

        def annotate(member: Member) -> bool:
            try:
                member.call(member.stub.Annotate, request)
            except StateError as error:  # nothing runs there
                refused.append(error)
                return False
            return True

        if not any(self._fleet.call_all(annotate)):
            raise refused[0]

    def take_over(self) -> list[str]:
        """Make the graph one's own; return whose it was.

        It belongs to who began it. Others may look at it and annotate, but not change, start or
        stop it before they have taken it over; the one it belonged to is told.
        """
        request = pb.TakeOverRequest()
        found = self._fleet.call_all(lambda member: member.call(member.stub.TakeOver, request))
        return list(dict.fromkeys(answer.previous for answer in found if answer.previous))

    # --- changing ----------------------------------------------------------------------------

    def set_parameters(self, node: str, values: dict[str, Any]) -> dict[str, tuple[int, int]]:
        """Change parameters of a node; see :meth:`NodeHandle.update`."""
        request = pb.SetParametersRequest(node=node, params_json=json.dumps(values, default=str))
        member = self._fleet.of(node)
        response = member.call(member.stub.SetParameters, request)
        return {at.stream: (at.epoch, at.index) for at in response.effective}

    @property
    def states(self) -> StateView:
        """States, live parameters and aliases: ``manager.states["detector.level"] = 4``."""
        return StateView(self._fleet)

    def call(self, node: str, command: str, **arguments: Any) -> Any:
        """Let a node obey a command; see :meth:`NodeHandle.call`."""
        return call_command(self._fleet.of(node), node, command, arguments)

    def latencies(self) -> list[Latency]:
        """Return how long chunks took to each node and over each ring, since the start."""
        return [found for each in self._fleet.call_all(get_latencies) for found in each]


def _types_of(member: Member, *, refresh: bool = False) -> dict[str, dict[str, Any]]:
    found = member.call(member.stub.ListNodeTypes, pb.ListNodeTypesRequest(refresh=refresh))
    return {each["name"]: each for each in map(json.loads, found.types_json)}
