"""A panel's connections: a thread watches each host, two more do what people ask for."""

from __future__ import annotations

import json
import math
import socket as sockets
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PyQt5 import QtCore

from rigmesh.client.connection import Connection
from rigmesh.client.manager import Manager
from rigmesh.client.private import find_running
from rigmesh.credentials import Credentials, load_credentials
from rigmesh.errors import DaemonUnavailable, RigmeshError, WaitTimeout
from rigmesh.node.registry import NodeType
from rigmesh.relay.clock import HostClock, borrow_clock, return_clock
from rigmesh.viewers.panel_model import HostView, shape_of
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["Answer", "PanelClient"]

Lane = Literal["run", "quick"]
FindSocket = Callable[[], Path | None]

_STATUS_EVERY = 0.5
_STATES_EVERY = 1.0
_STATES_WITHIN = 2.0
_STATES_AGAIN = 10.0
_TYPES_AGAIN = 5.0
_RETRY = (0.3, 0.5, 1.0, 2.0)
_END_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of something that was asked for."""

    then: Callable[[Answer], None]
    value: Any = None
    error: RigmeshError | None = None


class PanelClient(QtCore.QObject):
    """What a panel talks to; nothing here waits for a daemon in Qt's thread.

    Parameters
    ----------
    hosts : sequence of str
        Addresses of other machines.
    find_socket : callable
        Finds the daemon of this machine.

    Attributes
    ----------
    seen : pyqtSignal(HostView)
        A host was looked at, or does not answer any more.
    said : pyqtSignal(str, LogRecord)
        Something was logged on a host.
    """

    seen = QtCore.pyqtSignal(object)
    said = QtCore.pyqtSignal(str, object)
    _answered = QtCore.pyqtSignal(object)

    def __init__(self, hosts: Sequence[str] = (), find_socket: FindSocket = find_running) -> None:
        super().__init__()
        self._answered.connect(lambda answer: answer.then(answer))
        self._watchers = [_Watcher(self, key, find_socket) for key in ("", *hosts)]
        self._lanes = {name: _Lane(self, name) for name in ("run", "quick")}

    @property
    def keys(self) -> list[str]:
        """The addresses of all hosts; empty for this machine."""
        return [watcher.view.key for watcher in self._watchers]

    @property
    def targets(self) -> tuple[tuple[Path | None, int], tuple[tuple[str, int], ...]]:
        """Which daemons answer: the socket of this machine's, and the addresses of others."""
        here, *others = self._watchers
        addresses = tuple((w.view.key, w.n_connected) for w in others if w.view.is_live)
        return (here.socket if here.view.is_live else None, here.n_connected), addresses

    def start(self) -> None:
        """Begin to watch."""
        for thread in (*self._watchers, *self._lanes.values()):
            thread.start()

    def ask(
        self,
        call: Callable[[Manager], Any],
        then: Callable[[Answer], None],
        *,
        lane: Lane = "quick",
        key: object = None,
    ) -> None:
        """Have something done by a manager of all hosts that answer.

        Parameters
        ----------
        call : callable
            Given the manager, in another thread.
        then : callable
            Given the answer, in Qt's thread.
        lane : str
            ``run`` for what takes long.
        key : any
            Of what waits with the same key only the last is done.
        """
        self._lanes[lane].put(call, then, key)

    def close(self) -> None:
        """Hang up."""
        threads = (*self._watchers, *self._lanes.values())
        for thread in threads:
            thread.end()
        deadline = time.monotonic() + _END_WITHIN
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def answer(self, answer: Answer) -> None:
        """Hand an answer to Qt's thread."""
        self._answered.emit(answer)


class _Thread(threading.Thread, ABC):
    """Emits signals of a client until that is closed, which may be at any moment."""

    def __init__(self, client: PanelClient, name: str) -> None:
        super().__init__(name=f"panel {name}", daemon=True)
        self._client = client
        self._over = threading.Event()

    def end(self) -> None:
        """End soon."""
        self._over.set()
        threading.Thread(target=self.hang_up, name="panel hangs up", daemon=True).start()

    @abstractmethod
    def hang_up(self) -> None:
        """Break off what is under way."""


class _Watcher(_Thread):
    """Looks at one host, again and again, for as long as there is a panel."""

    def __init__(self, client: PanelClient, key: str, find_socket: FindSocket) -> None:
        super().__init__(client, f"watches {key or 'here'}")
        self.view = HostView(key)
        self.socket: Path | None = None
        self.n_connected = 0
        self._find_socket = find_socket
        self._connection: Connection | None = None
        self._clock: HostClock | None = None
        self._next_states = self._next_types = 0.0

    def run(self) -> None:
        """Watch; when the daemon is gone, wait for the next one."""
        n_failed = 0
        while not self._over.is_set():
            try:
                self._connection = self._connect()
                self.n_connected += 1
                n_failed = 0
                self._watch(self._connection)
            except (RigmeshError, ValueError) as error:  # ValueError: the channel is closed
                if not self._over.is_set():
                    was_there = bool(self.view.status.host)
                    link: Any = "gone" if was_there or self.view.key else "waiting"
                    self._show(replace(self.view, link=link, why=str(error)))
            self.hang_up()
            self._over.wait(_RETRY[min(n_failed, len(_RETRY) - 1)])
            n_failed += 1
        if self._clock is not None:
            return_clock(self._clock)

    def hang_up(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        if self.view.key:
            credentials = load_credentials(self.view.key)
            self._measure(credentials)
            return Connection(credentials)
        self.socket = self._find_socket()
        if self.socket is None:
            raise DaemonUnavailable(
                "no daemon runs on this machine; `rigmesh run` or a script starts one"
            )
        if not _answers(self.socket):
            raise DaemonUnavailable(f"no daemon answers on {self.socket}")
        return Connection(self.socket)

    def _watch(self, connection: Connection) -> None:
        self._next_states = self._next_types = 0.0
        request = pb.WatchRequest(logs=True, status_every=_STATUS_EVERY)
        with connection.stream(connection.stub.Watch, request) as responses:
            for response in responses:
                if self._over.is_set():
                    return
                event = response.event
                if event.HasField("log"):
                    self._client.said.emit(self.view.name, event.log)
                elif event.HasField("status"):
                    self._take(connection, event.status)
        raise DaemonUnavailable(f"the daemon on {connection.where} has ended")

    def _take(self, connection: Connection, status: pb.Status) -> None:
        before = shape_of([self.view])
        view = replace(
            self.view, link="live", why="", status=status, clock=_told(self._clock, self.view.key)
        )
        now = time.monotonic()
        unknown = not view.types or any(n.spec.type not in view.types for n in status.nodes)
        if unknown and now >= self._next_types:
            self._next_types = now + _TYPES_AGAIN
            found = connection.call(connection.stub.ListNodeTypes, pb.ListNodeTypesRequest())
            types = (NodeType.from_dict(json.loads(text)) for text in found.types_json)
            view = replace(view, types={each.name: each for each in types})
        if shape_of([view]) != before or not view.graph.name:
            graph = connection.call(connection.stub.GetGraph, pb.GetGraphRequest()).graph
            view = replace(view, graph=graph)
        if now >= self._next_states:
            view = self._with_states(connection, view, now)
        self._show(view)

    def _with_states(self, connection: Connection, view: HostView, now: float) -> HostView:
        self._next_states = now + _STATES_EVERY
        get = connection.stub.GetStates
        try:
            found = connection.call(get, pb.GetStatesRequest(), timeout=_STATES_WITHIN)
        except DaemonUnavailable:
            raise
        except WaitTimeout:  # a process that hangs; its state is told by the status
            self._next_states = now + _STATES_AGAIN
            return view
        except RigmeshError:  # a process that has just ended
            return view
        return replace(view, states=json.loads(found.states_json or "{}"))

    def _measure(self, credentials: Credentials) -> None:
        if self._clock is None:
            self._clock = borrow_clock(credentials)

    def _show(self, view: HostView) -> None:
        if view != self.view or view.link == "live":
            self.view = view
            self._client.seen.emit(view)


class _Lane(_Thread):
    """Does what people ask for, one thing after the other."""

    def __init__(self, client: PanelClient, name: str) -> None:
        super().__init__(client, name)
        self._waiting: OrderedDict[object, tuple[Callable[[Manager], Any], Any]] = OrderedDict()
        self._ready = threading.Condition()
        self._manager: Manager | None = None
        self._targets: object = None

    def put(
        self, call: Callable[[Manager], Any], then: Callable[[Answer], None], key: object
    ) -> None:
        """Let something be done once what was asked for before is done."""
        with self._ready:
            self._waiting[key if key is not None else object()] = call, then
            self._ready.notify()

    def run(self) -> None:
        """Do things."""
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._over.is_set())
                if self._over.is_set():
                    break
                _, (call, then) = self._waiting.popitem(last=False)
            try:
                answer = Answer(then, call(self._get_manager()))
            except RigmeshError as error:
                answer = Answer(then, error=error)
            except ValueError as error:  # the channel is closed
                answer = Answer(then, error=DaemonUnavailable(str(error)))
            if not self._over.is_set():
                self._client.answer(answer)
        self.hang_up()

    def end(self) -> None:
        """End soon."""
        super().end()
        with self._ready:
            self._ready.notify()

    def hang_up(self) -> None:
        """Close the manager, which breaks off what it is doing."""
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.close()

    def _get_manager(self) -> Manager:
        targets = self._client.targets
        if self._manager is None or targets != self._targets:
            self.hang_up()
            (socket, _), addresses = targets
            if socket is None and not addresses:
                raise DaemonUnavailable("no daemon answers that could do it")
            manager = Manager.attach(*(address for address, _ in addresses), socket=socket)
            self._manager, self._targets = manager, targets
        return self._manager


def _answers(path: Path) -> bool:
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _told(clock: HostClock | None, key: str) -> str:
    """Return in words what has to be added to stamps of a host."""
    if clock is None:
        return "" if key else "own"
    if clock.is_same:
        return "same"
    estimate = clock.estimate
    if not math.isfinite(estimate.uncertainty):
        return "not known yet"
    offset, around = estimate.offset, 1e3 * estimate.uncertainty
    return f"{offset:+,.6f} s ± {around:.2f} ms, {clock.state}"
