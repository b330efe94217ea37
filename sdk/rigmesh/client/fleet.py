"""The daemons that one manager drives: which has what, started and stopped in the right order."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rigmesh.client.connection import Connection
from rigmesh.errors import (
    DaemonUnavailable,
    NameTaken,
    NotOwner,
    RigmeshError,
    UnknownName,
    Unsupported,
    WaitTimeout,
)
from rigmesh.names import RELAY, RELAY_OUTPUT, relay_name, relay_parameters
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["Fleet", "Member"]

Response = TypeVar("Response")

_OPENED = (
    pb.NODE_STATE_OPEN,
    pb.NODE_STATE_READY,
    pb.NODE_STATE_RUNNING,
    pb.NODE_STATE_ENDED,
    pb.NODE_STATE_FAILED,
)
_FLOWING = (pb.NODE_STATE_OPEN, pb.NODE_STATE_READY, pb.NODE_STATE_RUNNING)
_LOOK = 0.02


class Member:
    """One daemon, and what a manager made there.

    Parameters
    ----------
    connection : Connection
        To the daemon.
    address : str
        Where other machines reach it; empty: as it says itself.

    Attributes
    ----------
    name : str
        The host's.
    made, groups : list of str
        Nodes and groups that go when the manager does.
    """

    def __init__(self, connection: Connection, address: str = "") -> None:
        self.connection = connection
        self.stub = connection.stub
        status = connection.status()
        self.name = status.host
        self.address = address or status.address
        self.made: list[str] = []
        self.groups: list[str] = []

    def call(
        self, method: Callable[..., Response], request: Any, *, timeout: float | None = 60.0
    ) -> Response:
        """Call an RPC; raises what the daemon raised."""
        return self.connection.call(method, request, timeout=timeout)

    def status(self) -> pb.Status:
        """Return the state of this daemon."""
        return self.connection.status()

    def start(self, timeout: float) -> str:
        """Start its part of the graph; return the id of the run."""
        request = pb.StartRequest(timeout=timeout)
        return self.call(self.stub.Start, request, timeout=3 * timeout + 30).run_id

    def stop(self, timeout: float) -> None:
        """Stop its part of the graph."""
        self.call(self.stub.Stop, pb.StopRequest(timeout=timeout), timeout=None)

    def create(self, spec: pb.NodeSpec) -> pb.NodeStatus:
        """Make a node."""
        made = self.call(self.stub.CreateNode, pb.CreateNodeRequest(node=spec)).node
        self.made.append(made.spec.name)
        return made

    def remove(self, node: str) -> None:
        """Take a node away."""
        self.call(self.stub.RemoveNode, pb.RemoveNodeRequest(name=node))
        self.made = [made for made in self.made if made != node]

    def remove_group(self, group: str) -> None:
        """Take a group and its nodes away."""
        self.call(self.stub.RemoveGroup, pb.RemoveGroupRequest(name=group))
        self.groups = [name for name in self.groups if name != group]

    def remove_mine(self) -> None:
        """Take away all that the manager made.

        A daemon that is gone has nothing any more; what another took over is his.
        """
        with contextlib.suppress(DaemonUnavailable, NotOwner):
            for name in reversed(list(self.made)):
                with contextlib.suppress(UnknownName):
                    self.remove(name)
            for name in dict.fromkeys(self.groups):
                with contextlib.suppress(UnknownName):
                    self.remove_group(name)


class Fleet:
    """The daemons of a manager, by host; started and stopped in the order that streams ask for.

    Parameters
    ----------
    local : Member
        The daemon of this machine.
    """

    def __init__(self, local: Member) -> None:
        self.local = local
        self.members = {local.name: local}
        self._where: dict[str, str] = {}
        self._twice: dict[str, list[str]] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def add(self, member: Member) -> None:
        """Drive another daemon, too.

        Raises
        ------
        NameTaken
            If there is a host of that name.
        """
        if member.name in self.members:
            raise NameTaken(
                f"there is a host {member.name!r} already; asked for another one at "
                f'{member.address}: set host = "…" in the rigmeshd.toml of one of them'
            )
        self.members[member.name] = member

    def named(self, host: str) -> Member:
        """Return a host's."""
        if host not in self.members:
            raise UnknownName.among("host", host, self.members)
        return self.members[host]

    def of(self, node: str) -> Member:
        """Return who has a node; with a single daemon that one, which knows better.

        Raises
        ------
        NameTaken
            If several hosts have one of that name: nobody knows which is meant.
        """
        if len(self.members) == 1:
            return self.local
        if node not in self._where or node in self._twice:
            self._look()
        if hosts := self._twice.get(node):
            raise NameTaken(
                f"the node {node!r} is on {' and '.join(hosts)}; drive these hosts by managers of "
                "their own, or give the nodes other names"
            )
        return self.named(self._where[node]) if node in self._where else self.local

    def free_name(self, wanted: str, type_: str) -> str:
        """Return a name that no node of any host has; with a single daemon it will find one.

        Raises
        ------
        NameTaken
            If the wanted one is taken on another host.
        """
        if len(self.members) == 1:
            return wanted
        self._look()
        if wanted in self._where:
            raise NameTaken(f"there is a node {wanted!r} on {self._where[wanted]} already")
        stem = wanted or type_.rpartition(".")[2].rpartition("/")[2].lower()
        names = (stem, *(f"{stem}{number}" for number in range(2, 10_000)))
        return next(name for name in names if name not in self._where)

    def _look(self) -> None:
        self._where, self._twice = {}, {}
        for member in self:
            for node in member.status().nodes:
                name = node.spec.name
                # Each host that a stream is brought to has a relay of its name.
                if name in self._where and node.spec.type != RELAY:
                    self._twice.setdefault(name, [self._where[name]]).append(member.name)
                self._where[name] = member.name

    # --- all of them -------------------------------------------------------------------------

    def status(self) -> pb.Status:
        """Return the state of everything; what is elsewhere says on which host."""
        whole = self.local.status()
        for member in self:
            if member is self.local:
                continue
            part = member.status()
            for node in part.nodes:
                node.spec.host = member.name
                node.process = f"{member.name}:{node.process}"
            for process in part.processes:
                process.name = f"{member.name}:{process.name}"
            for field in ("nodes", "processes", "groups", "streams", "stream_counters",
                          "reader_counters", "node_counters"):  # fmt: skip
                getattr(whole, field).extend(getattr(part, field))
        return whole

    def call_all(self, call: Callable[[Member], Response]) -> list[Response]:
        """Call something on every daemon, in turn."""
        return [call(member) for member in self]

    @contextlib.contextmanager
    def watch(self, request: pb.WatchRequest) -> Iterator[Iterator[pb.Event]]:
        """Yield the events of all daemons as they come."""
        with contextlib.ExitStack() as stack:
            streams = [
                stack.enter_context(member.connection.stream(member.stub.Watch, request))
                for member in self
            ]
            if len(streams) == 1:
                yield (response.event for response in streams[0])
            else:
                yield _merged(streams)

    # --- running -----------------------------------------------------------------------------

    def start(self, timeout: float) -> str:
        """Start on every host: who receives opens before who sends starts; all or none.

        Returns
        -------
        str
            Id of the run on this machine, or on the first host that has nodes.
        """
        order = [member for member in self._receivers_first() if member.status().nodes]
        if len(order) <= 1:
            return (order[0] if order else self.local).start(timeout)
        runs: dict[str, Future[str]] = {}
        with ThreadPoolExecutor(len(order)) as pool:
            for member in order:
                runs[member.name] = run = pool.submit(member.start, timeout)
                # A host that waits for streams of another is open, and its relays listen.
                deadline = time.monotonic() + timeout
                while not run.done() and not _is_open(member) and time.monotonic() < deadline:
                    time.sleep(_LOOK)
                if run.done() and run.exception() is not None:
                    break
        failures = [error for run in runs.values() if (error := run.exception()) is not None]
        if failures:
            for member in order:
                with contextlib.suppress(RigmeshError):
                    member.stop(timeout)
            # What one failed of is the reason that others waited in vain.
            raise min(failures, key=lambda error: isinstance(error, WaitTimeout))
        own = self.local.name if self.local.name in runs else order[-1].name
        return runs[own].result()

    def stop(self, timeout: float) -> None:
        """Stop on every host, who sends first, so that all that was sent arrives.

        One that does not answer keeps none of the others going.
        """
        failures: list[RigmeshError] = []
        try:
            order = self._receivers_first()
        except DaemonUnavailable:
            order = list(self)
        for member in reversed(order):
            with contextlib.suppress(RigmeshError):
                self._until_drained(member, timeout)
            try:
                member.stop(timeout)
            except RigmeshError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def bring(self, stream: str, into: Member) -> str:
        """Have a stream of another host on `into`; return what it is called there.

        Raises
        ------
        Unsupported
            If the daemon that has it listens on no network.
        """
        source = self.of(stream.partition(".")[0])
        if source is into:
            return stream
        if not source.address:
            raise Unsupported(
                f"{stream} comes from {source.name}, whose daemon listens on no network; give it "
                'an address (listen = "0.0.0.0:5678" in rigmeshd.toml)'
            )
        name = relay_name(stream)
        if name not in {node.spec.name for node in into.status().nodes}:
            params = relay_parameters(source.address, stream)
            into.create(pb.NodeSpec(name=name, type=RELAY, params_json=json.dumps(params)))
            self._where[name] = into.name
        return f"{name}.{RELAY_OUTPUT}"

    def _until_drained(self, member: Member, timeout: float) -> None:
        """Wait until the relays of a host are through with what has been stopped elsewhere."""
        stopped = self._senders_to(member)
        deadline = time.monotonic() + timeout
        while stopped and time.monotonic() < deadline:
            status = member.status()
            if not any(
                node.spec.type == RELAY and node.state in _FLOWING and _sender(node) in stopped
                for node in status.nodes
            ):
                return
            time.sleep(_LOOK)

    def _senders_to(self, member: Member) -> set[str]:
        """Return the nodes on other hosts whose streams come to a host."""
        return {_sender(node) for node in member.status().nodes if node.spec.type == RELAY}

    def _receivers_first(self) -> list[Member]:
        """Order the hosts: who receives from another comes before it, where there is no circle."""
        self._look()
        senders = {
            member.name: {self._where.get(node, "") for node in self._senders_to(member)}
            for member in self
        }
        order: list[Member] = []
        rest = list(self.members)
        while rest:
            # Nobody that is left receives from it; in a circle the first one goes first.
            free = [name for name in rest if not any(name in senders[o] for o in rest if o != name)]
            name = free[0] if free else rest[0]
            rest.remove(name)
            order.append(self.members[name])
        return order


def _sender(node: pb.NodeStatus) -> str:
    stream: str = json.loads(node.spec.params_json or "{}").get("stream", "")
    return stream.partition(".")[0]


def _is_open(member: Member) -> bool:
    return all(node.state in _OPENED for node in member.status().nodes)


def _merged(streams: Iterable[Iterator[pb.WatchResponse]]) -> Iterator[pb.Event]:
    found: queue.Queue[pb.Event | RigmeshError] = queue.Queue()

    def forward(stream: Iterator[pb.WatchResponse]) -> None:
        try:
            for response in stream:
                found.put(response.event)
        except RigmeshError as error:
            found.put(error)

    for stream in streams:
        threading.Thread(target=forward, args=(stream,), daemon=True).start()
    while True:
        event = found.get()
        if isinstance(event, RigmeshError):
            raise event
        yield event
