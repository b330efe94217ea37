"""Looks at one host again and again, for as long as somebody looks at the page."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rigmesh.client.connection import Connection
from rigmesh.client.fleet import Member
from rigmesh.client.private import find_running
from rigmesh.credentials import Credentials, load_credentials
from rigmesh.errors import DaemonUnavailable, NotPermitted, RigmeshError
from rigmesh.graph.spec import GraphSpec
from rigmesh.graph.wire import graph_from_wire
from rigmesh.node.registry import NodeType
from rigmesh.relay.clock import HostClock, borrow_clock, return_clock
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = [
    "HostView",
    "HostWatch",
    "Records",
    "Target",
    "is_recorder",
    "local_target",
    "remote_target",
]

_log = logging.getLogger(__name__)

_EVERY = 0.7
_IDLE_AFTER = 5.0
_FIRST_WITHIN = 2.5
_RATE_OVER = 2.0
_MOST_RECORDS = 60

Target = Path | Credentials


def local_target(given: Path | None) -> Callable[[], Target]:
    """Return what finds the daemon of this machine: a given socket, or whichever runs."""

    def find() -> Target:
        path = given or find_running()
        if path is None:
            raise DaemonUnavailable("no daemon runs on this machine; `rigmesh run` starts one")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError as error:
                raise DaemonUnavailable(f"no daemon answers on {path}: {error.strerror}") from error
        return path

    return find


def remote_target(address: str) -> Callable[[], Target]:
    """Return what finds another machine: what ``rigmesh login`` has stored of it."""
    return lambda: load_credentials(address)


class Records:
    """The newest warnings and errors of a host's log.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int = _MOST_RECORDS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: list[pb.LogRecord] = []

    def add(self, record: pb.LogRecord) -> None:
        """Keep a record, if it is one to worry about."""
        if record.level in ("WARNING", "ERROR", "CRITICAL"):
            with self._lock:
                self._kept = [*self._kept[1 - self._most :], record]

    def all(self) -> list[pb.LogRecord]:
        """Return them, oldest first."""
        with self._lock:
            return list(self._kept)


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host.

    Parameters
    ----------
    address : str
        As it was asked for; empty for this machine.
    where : str
        Socket or address by which its streams are read; empty while it does not answer.
    error : str
        Why it does not.
    status : pb.Status
        Its state; the last one there was.
    graph : GraphSpec
        Its graph.
    types : dict of str to NodeType
        Node types of that graph.
    rates : dict of str to float
        Samples per second by stream, measured over the last two seconds.
    clock : HostClock, optional
        Where its clock is.
    records : list of pb.LogRecord
        Its last warnings.
    states : dict
        What its recorders publish, as ``node.state``.
    """

    address: str
    where: str = ""
    error: str = ""
    status: pb.Status = field(default_factory=pb.Status)
    graph: GraphSpec = field(default_factory=GraphSpec)
    types: dict[str, NodeType] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    clock: HostClock | None = None
    records: list[pb.LogRecord] = field(default_factory=list)
    states: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the host calls itself, or its address."""
        return self.status.host or self.address or "this machine"


class HostWatch:
    """A thread that looks at a host while somebody wants to know.

    Parameters
    ----------
    address : str
        Empty for this machine.
    find : callable
        Returns where to connect, or raises a RigmeshError.
    """

    def __init__(self, address: str, find: Callable[[], Target]) -> None:
        self.address = address
        self._find = find
        self._view = HostView(address)
        self._condition = threading.Condition()
        self._n_looks = self._fresh_from = 0
        self._asked = -_IDLE_AFTER
        self._now = threading.Event()
        self._leave = threading.Event()
        self._connection: Connection | None = None
        self._gone: Connection | None = None
        self._member: Member | None = None
        self._clock: HostClock | None = None
        self._records = Records()
        self._types: dict[str, NodeType] = {}
        self._types_at = 0.0
        self._history: dict[str, list[tuple[float, int]]] = {}
        self._thread = threading.Thread(target=self._run, name=f"watch {address}", daemon=True)
        self._thread.start()

    def view(self) -> HostView:
        """Return what is known, at most some 0.7 s old; after a pause it is looked at first."""
        with self._condition:
            idle = time.monotonic() - self._asked > _IDLE_AFTER
            self._asked = time.monotonic()
            if idle:
                self._fresh_from = self._n_looks + 1
                self._now.set()
            # Who comes while that look lasts waits for it, too.
            self._condition.wait_for(lambda: self._n_looks >= self._fresh_from, _FIRST_WITHIN)
            return self._view

    def refresh(self) -> None:
        """Look at once: something was changed."""
        self._now.set()

    def member(self) -> Member:
        """Return a member for questions that change nothing.

        Raises
        ------
        DaemonUnavailable
            If the host does not answer.
        """
        member = self._member
        if member is None:
            raise DaemonUnavailable(self._view.error or f"{self._view.name} does not answer")
        return member

    def close(self) -> None:
        """Look no more."""
        self._leave.set()
        self._now.set()
        self._thread.join()

    # --- inside ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._leave.is_set():
                if time.monotonic() - self._asked > _IDLE_AFTER:
                    self._now.wait()
                self._now.clear()
                if self._leave.is_set():
                    break
                self._look()
                self._now.wait(_EVERY)
        finally:
            self._drop()

    def _look(self) -> None:
        try:
            view = self._seen()
        except Exception as error:  # as of a daemon of another version: told, and tried again
            text = _told(error)
            # Were this thread to end, the host would seem to run for ever.
            if not isinstance(error, RigmeshError) and text != self._view.error:
                _log.exception("%s: a mistake while it was looked at", self._view.name)
            self._drop()
            view = HostView(self.address, error=text, status=_gone(self._view.status))
        with self._condition:
            self._view = view
            self._n_looks += 1
            self._condition.notify_all()

    def _seen(self) -> HostView:
        if self._connection is not None and self._connection is self._gone:
            # gRPC would connect to the next daemon by itself, which may know other types.
            self._drop()
        if self._connection is None:
            target = self._find()
            self._connection = Connection(target)
            self._member = Member(self._connection, self.address)
            if isinstance(target, Credentials):
                self._clock = borrow_clock(target)
            threading.Thread(
                target=self._listen, args=(self._connection,), name="watch log", daemon=True
            ).start()
        connection = self._connection
        status = connection.status()
        graph = connection.call(connection.stub.GetGraph, pb.GetGraphRequest()).graph
        known = graph_from_wire(graph)
        self._learn_types({node.type for node in known.nodes.values()}, connection)
        target = connection.target
        return HostView(
            self.address,
            where=target.address if isinstance(target, Credentials) else str(target),
            status=status,
            graph=known,
            types=self._types,
            rates=self._rates(status),
            clock=self._clock,
            records=self._records.all(),
            states=self._recorders(status, connection),
        )

    def _recorders(self, status: pb.Status, connection: Connection) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for node in status.nodes:
            if is_recorder(node) and node.state == pb.NODE_STATE_RUNNING:
                request = pb.GetStatesRequest(name=node.spec.name)
                found = connection.call(connection.stub.GetStates, request)
                states.update(json.loads(found.states_json))
        return states

    def _learn_types(self, wanted: set[str], connection: Connection) -> None:
        now = time.monotonic()
        if wanted <= self._types.keys() or now - self._types_at < 1.0:
            return
        self._types_at = now
        found = connection.call(connection.stub.ListNodeTypes, pb.ListNodeTypesRequest())
        made = (NodeType.from_dict(json.loads(text)) for text in found.types_json)
        self._types = {type_.name: type_ for type_ in made}

    def _rates(self, status: pb.Status) -> dict[str, float]:
        rates = {}
        for counted in status.stream_counters:
            history = self._history.setdefault(counted.stream, [])
            if history and counted.produced < history[-1][1]:
                history.clear()  # it began anew
            if not history or history[-1][0] < counted.time:
                history.append((counted.time, counted.produced))
            while len(history) > 2 and counted.time - history[0][0] > _RATE_OVER:
                history.pop(0)
            (first, begin), (last, end) = history[0], history[-1]
            rates[counted.stream] = (end - begin) / (last - first) if last > first else 0.0
        self._history = {name: self._history[name] for name in rates}
        return rates

    def _listen(self, connection: Connection) -> None:
        request = pb.WatchRequest(logs=True)
        try:
            with connection.stream(connection.stub.Watch, request) as responses:
                for response in responses:
                    if response.event.WhichOneof("what") == "log":
                        self._records.add(response.event.log)
        except NotPermitted:
            return  # it is there all the same
        except (RigmeshError, ValueError):  # ValueError: gRPC's, of a channel closed meanwhile
            pass
        self._gone = connection

    def _drop(self) -> None:
        connection, self._connection, self._member = self._connection, None, None
        if connection is not None:
            connection.close()
        clock, self._clock = self._clock, None
        if clock is not None:
            return_clock(clock)
        self._history.clear()
        self._types, self._types_at = {}, 0.0  # the next daemon may have other ones


def is_recorder(node: pb.NodeStatus) -> bool:
    """Whether a node writes files."""
    return node.spec.type.rpartition(".")[2].endswith("Recorder")


def _gone(status: pb.Status) -> pb.Status:
    """Return what is still to be said of a host that does not answer."""
    return pb.Status(host=status.host, version=status.version, address=status.address)


def _told(error: Exception) -> str:
    """Return an error in words, with its class unless it was raised on purpose."""
    if isinstance(error, RigmeshError):
        return str(error)
    return f"{type(error).__name__}: {error}"
