"""The control side of a group's process: a socket, requests, events, and an orderly end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from rigmesh.errors import DaemonError, RigmeshError, StateError
from rigmesh.node import Node, NodeRunner, NodeState, Output
from rigmesh.node.registry import describe
from rigmesh.rpc import failure_of
from rigmesh.streams import Chunk
from rigmesh.transports import RingWriter, process_token
from rigmesh_daemon.group.description import announcement_of, change_of, description_of, ring_of
from rigmesh_daemon.group.framing import FrameReader, frame
from rigmesh_daemon.group.requests import Requests
from rigmesh_proto.v1 import control_pb2, group_pb2

__all__ = ["GroupControl"]

_log = logging.getLogger(__name__)

_COUNTERS_EVERY = 0.25
_END_WITHIN = 10.0
_KEPT_EVENTS = 1000
"""Events that wait for the next daemon: log records, journal entries, values of aliases."""
_KEPT_KINDS = ("log", "journal", "state_changed")


class GroupControl:
    """Serves one daemon after the other, on one socket.

    Parameters
    ----------
    name : str
        Name of this process.
    path : Path
        The socket to listen on.
    own_types : mapping of str to type of Node
        Classes that only this process has.
    shared : bool
        Whether the socket is open to the group of its folder.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        own_types: Mapping[str, type[Node]] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self._name = name
        self._path = path
        self._is_shared = shared
        self._own_types = own_types or {}
        self._requests: Requests | None = None
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._kept: deque[group_pb2.GroupEvent] = deque(maxlen=_KEPT_EVENTS)
        self._printing_to: tuple[int, int] | None = None
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="control")
        self._grace = 0.0
        self._ending = threading.Event()

    # --- life ------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until told to shut down, or until the daemon is gone and grace is over."""
        with socket.socket(socket.AF_UNIX) as listener:
            # It gets its name once it listens: who waits for the file is not refused.
            new = self._path.with_suffix(".new")
            new.unlink(missing_ok=True)
            listener.bind(str(new))
            mine = new.stat().st_ino
            if self._is_shared:
                os.chown(new, -1, new.parent.stat().st_gid)
            new.chmod(0o660 if self._is_shared else 0o600)
            listener.listen(1)
            new.replace(self._path)
            listener.settimeout(_COUNTERS_EVERY)
            ticker = threading.Thread(target=self._tick, name="counters", daemon=True)
            ticker.start()
            try:
                deadline = time.monotonic() + 30.0
                while not self._ending.is_set():
                    try:
                        connection, _ = listener.accept()
                    except TimeoutError:
                        if time.monotonic() > deadline:
                            self._give_up(listener, mine)
                        continue
                    self._serve_connection(connection)
                    deadline = time.monotonic() + self._grace
                    if not self._ending.is_set():
                        self._become_orphan()
            finally:
                self._ending.set()
                ticker.join()
                self._end()
                self._remove_socket(mine)

    def end_soon(self) -> None:
        """End as if told to shut down; for signal handlers."""
        self._ending.set()
        connection = self._connection
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)

    def _become_orphan(self) -> None:
        """Print nothing until there is a daemon again: a pipe nobody reads is full some day."""
        self._printing_to = self._printing_to or (os.dup(1), os.dup(2))
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)

    def _be_taken_over(self) -> None:
        if self._printing_to is not None:
            for number, kept in zip((1, 2), self._printing_to, strict=True):
                os.dup2(kept, number)
                os.close(kept)
            self._printing_to = None

    def _give_up(self, listener: socket.socket, mine: int) -> None:
        """Begin to end, beyond the reach of a daemon that comes now."""
        _log.warning("no daemon for %.0f s: ending", self._grace)
        self._remove_socket(mine)
        listener.close()
        self._ending.set()
        if self._requests is not None:
            # Nobody else says that what was read here has no writer any more.
            self._requests.nodes.orphaned = True

    def _remove_socket(self, mine: int) -> None:
        """Remove our socket, not that of a group of our name that came after us."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == mine:
                self._path.unlink()

    def _end(self) -> None:
        self._pool.shutdown(wait=True)
        if self._requests is None:
            return
        nodes = self._requests.nodes
        nodes.request_stop(list(nodes.runners))
        deadline = time.monotonic() + _END_WITHIN
        # Streams end from the sources on, through all groups; recorders are last.
        while nodes.busy and time.monotonic() < deadline:
            for runner in nodes.busy:
                if runner.state is NodeState.ENDED or not list(runner.node.bound_inputs()):
                    self._finish_node(runner, 5.0)
            time.sleep(0.02)
        for runner in nodes.busy:
            self._finish_node(runner, 1.0)
        self._requests.close()

    # --- requests ----------------------------------------------------------------------------

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection:
            self._connection = connection
            types = [
                json.dumps(describe(cls, name).to_dict()) for name, cls in self._own_types.items()
            ]
            self._send(
                hello=group_pb2.Hello(pid=os.getpid(), token=process_token(), types_json=types)
            )
            frames = FrameReader(connection)
            try:
                while not self._ending.is_set():
                    raw = frames.read()
                    if raw is None:
                        break
                    self._dispatch(connection, group_pb2.GroupRequest.FromString(raw))
            except (DaemonError, DecodeError) as error:
                self._connection = None
                _log.error("this is not a daemon: %s", error)
            finally:
                self._connection = None

    def _dispatch(self, connection: socket.socket, request: group_pb2.GroupRequest) -> None:
        what = request.WhichOneof("what")
        if what is None:
            raise DaemonError("a request for nothing that this version knows")
        argument = getattr(request, what)
        own: dict[str, Callable[[Any], None]] = {
            "configure": self._configure,
            "shutdown": self._shut_down,
        }
        if what in own:
            self._answer(connection, request.id, own[what], argument)
        elif self._requests is None:
            self._answer(connection, request.id, _refuse, argument)
        elif what == "describe":
            self._describe(request.id, self._requests)
        else:
            handler, is_slow = self._requests.handler(what)
            if is_slow:  # the socket must go on being served
                self._pool.submit(self._answer, connection, request.id, handler, argument)
            else:
                self._answer(connection, request.id, handler, argument)

    def _answer(
        self,
        connection: socket.socket,
        number: int,
        handler: Callable[[Any], Any],
        argument: Any,
    ) -> None:
        reply = group_pb2.GroupReply(id=number)
        try:
            result = handler(argument)
            if isinstance(result, group_pb2.Latencies):
                reply.latencies.CopyFrom(result)
            elif result is not None:
                reply.result_json = json.dumps(result, default=str)
        except Exception as error:
            if not isinstance(error, RigmeshError):
                _log.exception("request failed")
            reply.failure.CopyFrom(failure_of(error))
        # The daemon that has come meanwhile has requests of the same numbers.
        if self._connection is connection:
            self._send(reply=reply)

    def _describe(self, number: int, requests: Requests) -> None:
        """Say how everything stands, and what nobody was there to be told."""
        # Nothing else is sent meanwhile, so that no news is overtaken by what was before it.
        with self._sending:
            reply = group_pb2.GroupReply(id=number, description=description_of(requests.nodes))
            self._write(group_pb2.GroupEvent(reply=reply))
            while self._kept and self._write(self._kept[0]):
                self._kept.popleft()

    def _configure(self, request: group_pb2.Configure) -> None:
        self._grace = request.grace
        self._be_taken_over()
        if self._requests is None:
            self._requests = Requests(self._name, request, self._own_types, self)
        else:
            self._requests.configure(request)

    def _shut_down(self, request: group_pb2.Shutdown) -> None:
        self._ending.set()

    # --- reports -----------------------------------------------------------------------------

    def node_changed(self, runner: NodeRunner) -> None:
        """Report a state; a node that is over is closed, so that its recording is sealed."""
        self._send(node=change_of(runner))
        if runner.state in (NodeState.ENDED, NodeState.FAILED) and not self._ending.is_set():
            self._pool.submit(self._finish_node, runner, _END_WITHIN)

    def output_announced(self, runner: NodeRunner, output: Output[Chunk]) -> None:
        """Report a description."""
        self._send(announced=announcement_of(runner, output))

    def ring_made(self, writer: RingWriter) -> None:
        """Report where an epoch lies."""
        self._send(ring=ring_of(writer))

    @property
    def has_listener(self) -> bool:
        """Whether a daemon is there."""
        return self._connection is not None

    def say(self, entry: dict[str, Any]) -> None:
        """Tell of a change, for the journals of all recordings."""
        self._send(journal=group_pb2.JournalEntry(entry_json=json.dumps(entry, default=str)))

    def say_changed(self, alias: str, member: str, value: Any) -> None:
        """Tell of a new value of an alias that other processes share."""
        self._send(
            state_changed=group_pb2.StateChanged(
                alias=alias, member=member, value_json=json.dumps(value)
            )
        )

    def log(self, record: control_pb2.LogRecord) -> None:
        """Send a log record on."""
        record.process = self._name
        self._send(log=record)

    def _finish_node(self, runner: NodeRunner, timeout: float) -> None:
        try:
            runner.finish(timeout)
        except RigmeshError as error:
            _log.error("%s", error)

    def _send(self, **what: Any) -> None:
        event = group_pb2.GroupEvent(**what)
        with self._sending:
            is_kept = self._requests is not None and event.WhichOneof("what") in _KEPT_KINDS
            if not self._write(event) and is_kept:
                self._kept.append(event)

    def _write(self, event: group_pb2.GroupEvent) -> bool:
        """Send an event; whoever calls holds the lock. False if no daemon is there."""
        connection = self._connection
        if connection is None:
            return False
        try:
            connection.sendall(frame(event.SerializeToString()))
        except OSError:
            return False  # the reading side notices that the daemon is gone
        return True

    # --- counters ----------------------------------------------------------------------------

    def _tick(self) -> None:
        while not self._ending.wait(_COUNTERS_EVERY):
            if self._requests is None:
                continue
            try:
                self._requests.count()
            except RigmeshError as error:
                _log.error("no more counters: %s", error)
                return


def _refuse(request: object) -> None:
    raise StateError("this group is not configured yet")
