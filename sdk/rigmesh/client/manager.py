"""The Manager: what a script says to daemons."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from rigmesh.client.driver import Driver
from rigmesh.client.fleet import Fleet, Member
from rigmesh.client.host import GroupOptions, Host, NodeGroup, group_message
from rigmesh.client.node import InputHandle, NodeHandle, OutputHandle
from rigmesh.client.private import PrivateDaemon, find_socket
from rigmesh.client.recording import Records
from rigmesh.client.retry import PatientConnection, connect
from rigmesh.client.session import Sessions
from rigmesh.client.windows import WindowHandle, Windows, window_type
from rigmesh.errors import DaemonUnavailable, RigmeshError, Unsupported
from rigmesh.names import DEFAULT_PORT
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.client.stream import StreamReader
    from rigmesh.relay import RemoteStreamReader
    from rigmesh.transports import StartAt

__all__ = ["Manager"]

_log = logging.getLogger(__name__)

_LOCAL = ("", "localhost", "local", "127.0.0.1", "::1", "[::1]")


class Manager(Records, Driver):
    """Drives the daemon of this machine, and those of others.

    Here it is the one at `socket`, at ``$RIGMESH_SOCKET``, the system's, or the manager's own.
    Leaving the ``with`` block stops and removes what the manager made, also after an exception
    or Ctrl-C. A script that is killed leaves all as it is, for :meth:`attach`. Everything is
    synchronous.

    Parameters
    ----------
    *hosts : str
        Addresses of other machines to drive, too; see :meth:`add_host`.
    socket : Path or str
        The Unix socket of a daemon.
    private : bool
        Start a daemon of one's own whatever else runs.

    Raises
    ------
    DaemonUnavailable
        If no daemon can be reached or started.
    NotPermitted
        If this user has not logged in to one of the hosts.

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

    def __init__(
        self, *hosts: str, socket: Path | str | None = None, private: bool = False
    ) -> None:
        self._private: PrivateDaemon | None = None
        self._readers: list[StreamReader | RemoteStreamReader] = []
        self._keeps_all = self._closed = False
        found = None if private else Path(socket) if socket is not None else find_socket()
        if found is None:
            self._private = PrivateDaemon()
            found = self._private.socket
        try:
            self._connection = connect(found, is_private=self._private is not None)
            self._sessions = Sessions(self._connection)
            self._fleet = Fleet(Member(self._connection))
            self._windows = Windows(self, self._fleet)
            self.local = Host(self, self._fleet.local.name)
            for address in hosts:
                self.add_host(address)
        except BaseException:
            if self._private is not None:
                self._private.close()
            raise

    @classmethod
    def attach(cls, *hosts: str, socket: Path | str | None = None, take_over: bool = False) -> Self:
        """Drive what runs already, made by whoever: leaving takes nothing away.

        Parameters
        ----------
        *hosts, socket
            As for the class.
        take_over : bool
            Make it one's own, whosever it is; see :meth:`take_over`.

        Raises
        ------
        DaemonUnavailable
            If there is no daemon here: one that begins now has nothing to attach to.
        """
        found = Path(socket) if socket is not None else find_socket()
        if found is None and not hosts:
            raise DaemonUnavailable("no daemon runs here that one could attach to")
        manager = cls(*hosts, socket=found)
        manager._keeps_all = True
        if take_over:
            manager.take_over()
        return manager

    # --- hosts, groups, nodes ----------------------------------------------------------------

    @property
    def is_private(self) -> bool:
        """Whether the daemon is this manager's own."""
        return self._private is not None

    @property
    def hosts(self) -> dict[str, Host]:
        """All machines that it drives, by name; this one first."""
        return {member.name: Host(self, member.name) for member in self._fleet}

    def add_host(self, address: str) -> Host:
        """Drive the daemon of another machine, too.

        Parameters
        ----------
        address : str
            ``name`` or ``name:port``, also with ``tcp://`` before it. Log in first:
            ``rigmesh login ADDRESS``.

        Raises
        ------
        DaemonUnavailable
            If no daemon answers there.
        NotPermitted
            If this user has not logged in there, or may not.
        """
        # With another port it may be the end of a tunnel.
        bare = address.removeprefix("tcp://").removesuffix(f":{DEFAULT_PORT}")
        if bare in (*_LOCAL, self.local.name):
            return self.local
        from rigmesh.credentials import load_credentials

        credentials = load_credentials(bare)
        for member in self._fleet:
            if member.address == credentials.address:
                return Host(self, member.name)
        member = Member(PatientConnection(credentials), credentials.address)
        self._fleet.add(member)
        return Host(self, member.name)

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
        member = self._fleet.named(host.name) if host is not None else self._fleet.local
        request = pb.CreateGroupRequest(group=group_message(name, options))
        made = member.call(member.stub.CreateGroup, request)
        member.groups.append(made.group.name)
        return NodeGroup(host or self.local, made.group.name)

    def remove_nodegroup(self, group: NodeGroup) -> None:
        """Remove a group and its nodes."""
        self._fleet.named(group.host.name).remove_group(group.name)

    def create_node(
        self,
        type: str | type,  # noqa: A002
        *,
        name: str = "",
        host: Host | NodeGroup | None = None,
        overflow: Literal["", "drop", "block"] = "",
        **parameters: Any,
    ) -> NodeHandle:
        """Make a node, or open a window.

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
        Unsupported
            If there is no screen for a window.

        Returns
        -------
        NodeHandle or WindowHandle
            A window (``Oscilloscope``) opens on this machine and looks like a node, but is
            none: no graph waits for it, or minds its end.
        """
        if isinstance(type, str) and (window := window_type(type, self.node_types())):
            return self._windows.open(window, name, parameters)
        group = host.name if isinstance(host, NodeGroup) else ""
        place = host.host if isinstance(host, NodeGroup) else host or self.local
        member = self._fleet.named(place.name)
        type_name = type if isinstance(type, str) else ""
        if not isinstance(type, str):
            if member is not self._fleet.local:
                raise Unsupported(
                    f"{type.__name__} is a class of this script, which runs on this machine only; "
                    f"asked for {place.name}: install it there as a package with an entry point"
                )
            group, type_name = self._sessions.type_of(type)
            member.groups.append(group)
        spec = pb.NodeSpec(
            name=self._fleet.free_name(name, type_name),
            type=type_name,
            group=group,
            params_json=json.dumps(parameters, default=str),
            overflow=overflow,
        )
        return self._handle(member.create(spec), member)

    def remove_node(self, name: str) -> None:
        """Take a node and its links away; close a window."""
        if self._windows.remove(name):
            return
        self._fleet.of(name).remove(name)

    @property
    def windows(self) -> dict[str, WindowHandle]:
        """The windows of this manager by name."""
        return dict(self._windows.handles)

    def __getitem__(self, name: str) -> NodeHandle:
        return self._windows.handles.get(name) or super().__getitem__(name)

    # --- links and parameters ----------------------------------------------------------------

    def connect(self, output: OutputHandle, into: InputHandle) -> None:
        """Link an output to an input; a stream of another host is brought here by a relay.

        Raises
        ------
        PortMismatch
            If the input does not take what the output gives.
        GraphError
            If the input is taken, or the link closes a circle.
        """
        if self._windows.link(output.stream, into.reference):
            return
        member = self._fleet.of(into.reference.partition(".")[0])
        stream = self._fleet.bring(output.stream, member)
        member.call(member.stub.Connect, pb.ConnectRequest(stream=stream, input=into.reference))

    def disconnect(self, output: OutputHandle, into: InputHandle) -> None:
        """Undo a link."""
        if self._windows.unlink(output.stream, into.reference):
            return
        member = self._fleet.of(into.reference.partition(".")[0])
        stream = self._fleet.bring(output.stream, member)
        request = pb.DisconnectRequest(stream=stream, input=into.reference)
        member.call(member.stub.Disconnect, request)

    # --- graph files -------------------------------------------------------------------------

    def load(self, path: Path | str, *, settings: dict[str, dict[str, Any]] | None = None) -> None:
        """Build the graph of a file, each part on its host.

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
        from rigmesh.client.graphfile import load_into

        load_into(self._fleet, path, settings or {}, self.add_host, self._windows)

    def save(self, path: Path | str) -> None:
        """Write the graph as a file that `load` and ``rigmesh run`` take."""
        from rigmesh.client.graphfile import write_graph

        write_graph(self._fleet, path, self._windows)

    # --- streams ----------------------------------------------------------------------------

    def open_stream(
        self, stream: str, *, start: StartAt = "now"
    ) -> StreamReader | RemoteStreamReader:
        """Read a stream by its name, ``node.port``."""
        member = self._fleet.of(stream.partition(".")[0])
        reader: StreamReader | RemoteStreamReader
        if member is self._fleet.local:
            from rigmesh.client.stream import StreamReader

            reader = StreamReader(self._connection, stream, start=start)
        else:
            from rigmesh.credentials import load_credentials
            from rigmesh.relay import RemoteStreamReader

            reader = RemoteStreamReader(load_credentials(member.address), stream, start=start)
        self._readers = [r for r in self._readers if not r.is_closed] + [reader]
        return reader

    def host_of(self, node: str) -> Host:
        """Return the machine that a node runs on."""
        return Host(self, self._fleet.of(node).name)

    def where(self, stream: str) -> str:
        """Return where a stream is read: its daemon's socket on this machine, or an address."""
        member = self._fleet.of(stream.partition(".")[0])
        return str(self._connection.socket) if member is self._fleet.local else member.address

    # --- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Stop and remove what this manager made; end its own daemon."""
        if self._closed:
            return
        self._closed = True
        self._windows.close()
        for reader in self._readers:
            reader.close()
        try:
            if not self._keeps_all:
                self._remove_mine()
        finally:
            for member in self._fleet:
                member.connection.close()
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
        if self._private is None and not any(m.made or m.groups for m in self._fleet):
            return
        with contextlib.suppress(RigmeshError):
            self.stop_all()
        for member in self._fleet:
            if member is not self._fleet.local or self._private is None:
                member.remove_mine()
