"""The Manager: what a script says to daemons."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from rigmesh.client.connection import Connection
from rigmesh.client.host import GroupOptions, Host, NodeGroup, group_message
from rigmesh.client.live import Latency, StateView, call_command, get_latencies
from rigmesh.client.node import InputHandle, NodeHandle, OutputHandle
from rigmesh.client.private import PrivateDaemon, find_socket
from rigmesh.client.session import Sessions
from rigmesh.errors import DaemonUnavailable, GraphError, RigmeshError, UnknownName, Unsupported
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.client.stream import StreamReader
    from rigmesh.transports import StartAt

__all__ = ["Manager"]

_log = logging.getLogger(__name__)

_LOCAL = ("", "localhost", "local", "127.0.0.1")


class Manager:
    """Drives a daemon: the one at `socket`, at ``$RIGMESH_SOCKET``, the system's, or its own.

    Leaving the ``with`` block stops and removes what the manager made, also after an exception
    or Ctrl-C. Everything is synchronous.

    Parameters
    ----------
    socket : Path or str
        The Unix socket of a daemon.
    private : bool
        Start a daemon of one's own whatever else runs.

    Raises
    ------
    DaemonUnavailable
        If no daemon can be reached or started.

    Examples
    --------
    ::

        with Manager() as manager:
            eeg = manager.create_node("sim.EEG")
            alpha = manager.create_node("filters.BandPass", low=8, high=12)
            alpha.input.connect(eeg.output)
            manager.start_all()
            for chunk in alpha.output.chunks(seconds=2):
                print(chunk.timestamps[-1], chunk.data.std())
    """

    def __init__(self, socket: Path | str | None = None, *, private: bool = False) -> None:
        self._private: PrivateDaemon | None = None
        self._readers: list[StreamReader] = []
        self._made: list[str] = []
        self._groups: list[str] = []
        self._closed = False
        found = None if private else Path(socket) if socket is not None else find_socket()
        if found is None:
            self._private = PrivateDaemon()
            found = self._private.socket
        try:
            self._connection = Connection(found)
            self._sessions = Sessions(self._connection)
            self.local = Host(self, self.status().host)
        except BaseException:
            if self._private is not None:
                self._private.close()
            raise

    # --- hosts, groups, nodes ----------------------------------------------------------------

    @property
    def is_private(self) -> bool:
        """Whether the daemon is this manager's own."""
        return self._private is not None

    def add_host(self, address: str) -> Host:
        """Use a daemon on another machine.

        Raises
        ------
        Unsupported
            For any machine but this one.
        """
        if address.removeprefix("tcp://").partition(":")[0] in (*_LOCAL, self.local.name):
            return self.local
        raise Unsupported(
            f"this version drives the daemon of its own machine only; asked for {address!r}"
        )

    def create_nodegroup(
        self,
        name: str = "",
        *,
        host: Host | None = None,
        **options: Unpack[GroupOptions],
    ) -> NodeGroup:
        """Make a group: a process for nodes that share it.

        Parameters
        ----------
        name : str
            Made up if empty.
        host : Host
            Where.
        **options : GroupOptions
            How it runs: ``priority=50``, ``cpus=[1]``, ``wait="spin(50)"`` and the like.

        Raises
        ------
        NameTaken
            If there is one of that name.
        """
        request = pb.CreateGroupRequest(group=group_message(name, options))
        made = self._connection.call(self._connection.stub.CreateGroup, request)
        self._groups.append(made.group.name)
        return NodeGroup(host or self.local, made.group.name)

    def remove_nodegroup(self, group: NodeGroup) -> None:
        """Remove a group and its nodes."""
        request = pb.RemoveGroupRequest(name=group.name)
        self._connection.call(self._connection.stub.RemoveGroup, request)
        self._groups = [name for name in self._groups if name != group.name]

    def create_node(
        self,
        type: str | type,  # noqa: A002
        *,
        name: str = "",
        host: Host | NodeGroup | None = None,
        overflow: Literal["", "drop", "block"] = "",
        **parameters: Any,
    ) -> NodeHandle:
        """Make a node.

        Parameters
        ----------
        type : str or type of Node
            Name of an installed class, full (``filters.BandPass``) or short, in any case; or a
            class of this script, which then runs in a process started by this script.
        name : str
            Its name in the graph; made from the class if empty.
        host : Host or NodeGroup
            Where; group ``main`` of this machine if not given.
        overflow : str
            ``block``: a source that is a file or a simulation waits for slow readers.
        **parameters
            Its parameters; units may be written: ``low="8 Hz"``.

        Raises
        ------
        UnknownName, ParameterError, NameTaken
            If it cannot be made.
        """
        group = host.name if isinstance(host, NodeGroup) else ""
        type_name = type if isinstance(type, str) else ""
        if not isinstance(type, str):
            group, type_name = self._sessions.type_of(type)
            self._groups.append(group)
        spec = pb.NodeSpec(
            name=name,
            type=type_name,
            group=group,
            params_json=json.dumps(parameters, default=str),
            overflow=overflow,
        )
        request = pb.CreateNodeRequest(node=spec)
        made = self._connection.call(self._connection.stub.CreateNode, request)
        self._made.append(made.node.spec.name)
        return self._handle(made.node)

    def remove_node(self, name: str) -> None:
        """Take a node and its links away."""
        self._connection.call(self._connection.stub.RemoveNode, pb.RemoveNodeRequest(name=name))
        self._made = [made for made in self._made if made != name]

    def node_types(self, *, refresh: bool = False) -> dict[str, dict[str, Any]]:
        """Return every node type by name: docs, ports, and the JSON schema of its parameters."""
        request = pb.ListNodeTypesRequest(refresh=refresh)
        found = self._connection.call(self._connection.stub.ListNodeTypes, request)
        return {t["name"]: t for t in map(json.loads, found.types_json)}

    @property
    def nodes(self) -> dict[str, NodeHandle]:
        """The nodes of the graph by name."""
        return {node.spec.name: self._handle(node) for node in self.status().nodes}

    def __getitem__(self, name: str) -> NodeHandle:
        nodes = self.nodes
        if name not in nodes:
            raise UnknownName.among("node", name, nodes)
        return nodes[name]

    # --- links and parameters ----------------------------------------------------------------

    def connect(self, output: OutputHandle, into: InputHandle) -> None:
        """Link an output to an input.

        Raises
        ------
        PortMismatch
            If the input does not take what the output gives.
        GraphError
            If the input is taken, or the link closes a circle.
        """
        request = pb.ConnectRequest(stream=output.stream, input=into.reference)
        self._connection.call(self._connection.stub.Connect, request)

    def disconnect(self, output: OutputHandle, into: InputHandle) -> None:
        """Undo a link."""
        request = pb.DisconnectRequest(stream=output.stream, input=into.reference)
        self._connection.call(self._connection.stub.Disconnect, request)

    def set_parameters(self, node: str, values: dict[str, Any]) -> dict[str, tuple[int, int]]:
        """Change parameters of a node; see :meth:`NodeHandle.update`."""
        request = pb.SetParametersRequest(node=node, params_json=json.dumps(values, default=str))
        response = self._connection.call(self._connection.stub.SetParameters, request)
        return {at.stream: (at.epoch, at.index) for at in response.effective}

    @property
    def states(self) -> StateView:
        """States, live parameters and aliases: ``manager.states["detector.level"] = 4``."""
        return StateView(self._connection)

    def call(self, node: str, command: str, **arguments: Any) -> Any:
        """Let a node obey a command; see :meth:`NodeHandle.call`."""
        return call_command(self._connection, node, command, arguments)

    def latencies(self) -> list[Latency]:
        """Return how long chunks took to each node and over each ring, since the start."""
        return get_latencies(self._connection)

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
        request, stub = pb.StartRequest(timeout=timeout), self._connection.stub
        return self._connection.call(stub.Start, request, timeout=3 * timeout + 30).run_id

    def stop_all(self, *, timeout: float = 15.0) -> None:
        """End the sources, let everything drain, seal the recordings."""
        request = pb.StopRequest(timeout=timeout)
        self._connection.call(self._connection.stub.Stop, request, timeout=None)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Start all on entering, stop all on leaving."""
        self.start_all()
        try:
            yield self
        finally:
            self.stop_all()

    def annotate(self, text: str) -> None:
        """Put a note into all recordings."""
        self._connection.call(self._connection.stub.Annotate, pb.AnnotateRequest(text=text))

    # --- graph files -------------------------------------------------------------------------

    def load(self, path: Path | str, *, settings: dict[str, dict[str, Any]] | None = None) -> None:
        """Build the graph of a file.

        Parameters
        ----------
        path : Path or str
            A YAML file.
        settings : dict of str to dict
            Parameters to override, by node.

        Raises
        ------
        GraphError
            With file, line and path of each mistake; then nothing is built.
        """
        # Imported here: pydantic and jsonschema would double the time this module takes.
        from rigmesh.client.graphfile import read_graph

        message, located = read_graph(path, settings or {})
        request, stub = pb.LoadGraphRequest(graph=message), self._connection.stub
        try:
            self._connection.call(stub.LoadGraph, request, timeout=120.0)
        except GraphError as error:
            raise located(error) from error
        self._made.extend(node.spec.name for node in self.status().nodes)
        self._groups.extend(node.group for node in message.nodes)

    def save(self, path: Path | str) -> None:
        """Write the graph as a file that `load` and ``rigmesh run`` take."""
        from rigmesh.client.graphfile import write_graph

        response = self._connection.call(self._connection.stub.GetGraph, pb.GetGraphRequest())
        write_graph(response.graph, path)

    # --- looking -----------------------------------------------------------------------------

    def status(self) -> pb.Status:
        """Return the state of everything: nodes, processes, streams, counters."""
        return self._connection.status()

    @contextlib.contextmanager
    def events(
        self, *, logs: bool = False, status_every: float = 0.0
    ) -> Iterator[Iterator[pb.Event]]:
        """Watch states, if asked for also logs, and counters every so many seconds."""
        request = pb.WatchRequest(logs=logs, status_every=status_every)
        with self._connection.stream(self._connection.stub.Watch, request) as responses:
            yield (response.event for response in responses)

    def open_stream(self, stream: str, *, start: StartAt = "now") -> StreamReader:
        """Read a stream by its name, ``node.port``."""
        from rigmesh.client.stream import StreamReader

        reader = StreamReader(self._connection, stream, start=start)
        self._readers = [r for r in self._readers if not r.is_closed] + [reader]
        return reader

    # --- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Stop and remove what this manager made; end its own daemon."""
        if self._closed:
            return
        self._closed = True
        for reader in self._readers:
            reader.close()
        try:
            if self._private is None:
                # A daemon that is gone has nothing of ours any more.
                with contextlib.suppress(DaemonUnavailable):
                    self._remove_mine()
            else:
                with contextlib.suppress(RigmeshError):
                    self.stop_all()
        finally:
            self._connection.close()
            if self._private is not None:
                self._private.close()
            self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except RigmeshError:
            if error is None:
                raise
            # The first error is the one to be seen.
            _log.exception("while closing the manager")

    def _remove_mine(self) -> None:
        if not self._made and not self._groups:
            return
        with contextlib.suppress(RigmeshError):
            self.stop_all()
        for name in reversed(self._made):
            with contextlib.suppress(UnknownName):
                self.remove_node(name)
        for name in dict.fromkeys(self._groups):
            with contextlib.suppress(UnknownName):
                self._connection.call(
                    self._connection.stub.RemoveGroup, pb.RemoveGroupRequest(name=name)
                )

    def _handle(self, status: pb.NodeStatus) -> NodeHandle:
        types = self.node_types()
        inputs = [port["name"] for port in types[status.spec.type]["inputs"]]
        return NodeHandle(self, status, inputs)
