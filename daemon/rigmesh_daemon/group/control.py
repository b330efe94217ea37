"""The control side of a group's process: a socket, requests, events, and an orderly end."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rigmesh.errors import RigmeshError, StateError
from rigmesh.node import Node, NodeRunner, NodeState, Output
from rigmesh.node.registry import describe
from rigmesh.rpc import failure_of
from rigmesh.streams import Chunk, local_clock
from rigmesh.streams.wire import info_to_wire
from rigmesh.transports import RingWriter, ShmTransport, process_token
from rigmesh_daemon.group.framing import FrameReader, frame
from rigmesh_daemon.group.nodes import GroupNodes
from rigmesh_daemon.group.page import PageWriter
from rigmesh_daemon.group.runtime import RunFacts
from rigmesh_daemon.group.subscription import RingAt
from rigmesh_proto.v1 import control_pb2, group_pb2, stream_pb2

__all__ = ["GroupControl"]

_log = logging.getLogger(__name__)

_COUNTERS_EVERY = 0.25
_END_WITHIN = 10.0
_STATES = {state: control_pb2.NodeState.Value(f"NODE_STATE_{state.name}") for state in NodeState}


class GroupControl:
    """Serves one daemon, on one socket.

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
        self._facts = RunFacts()
        self._nodes: GroupNodes | None = None
        self._page: PageWriter | None = None
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="control")
        self._grace = 0.0
        self._ending = threading.Event()

    # --- life ------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until told to shut down, or until the daemon is gone and grace is over."""
        with socket.socket(socket.AF_UNIX) as listener:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            if self._is_shared:
                os.chown(self._path, -1, self._path.parent.stat().st_gid)
            self._path.chmod(0o660 if self._is_shared else 0o600)
            listener.listen(1)
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
                            _log.warning("no daemon for %.0f s: ending", self._grace)
                            break
                        continue
                    self._serve_connection(connection)
                    deadline = time.monotonic() + self._grace
                    if not self._ending.is_set():
                        self._become_orphan()
            finally:
                self._ending.set()
                ticker.join()
                self._end()
                self._path.unlink(missing_ok=True)

    def end_soon(self) -> None:
        """End as if told to shut down; for signal handlers."""
        self._ending.set()
        connection = self._connection
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)

    def _become_orphan(self) -> None:
        if self._nodes is not None:
            self._nodes.orphaned = True
        # Nobody reads our output any more; writing to the broken pipe would fail the nodes.
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)

    def _end(self) -> None:
        nodes = self._nodes
        self._pool.shutdown(wait=True)
        if nodes is not None:
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
            nodes.close()
        if self._page is not None:
            self._page.close()

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
                    self._dispatch(group_pb2.GroupRequest.FromString(raw))
            finally:
                self._connection = None

    def _dispatch(self, request: group_pb2.GroupRequest) -> None:
        what = request.WhichOneof("what") or ""
        handler: Callable[[Any], Any] = getattr(self, f"_do_{what}")
        argument = getattr(request, what)
        if what in ("open", "finish", "set_params", "journal"):
            # These may wait for devices, locks or disks; the socket must go on being served.
            self._pool.submit(self._answer, request.id, handler, argument)
        else:
            self._answer(request.id, handler, argument)

    def _answer(self, number: int, handler: Callable[[Any], Any], argument: Any) -> None:
        reply = group_pb2.GroupReply(id=number)
        try:
            result = handler(argument)
            if result is not None:
                reply.result_json = json.dumps(result, default=str)
        except Exception as error:
            if not isinstance(error, RigmeshError):
                _log.exception("request failed")
            reply.failure.CopyFrom(failure_of(error))
        self._send(reply=reply)

    @property
    def _group(self) -> GroupNodes:
        if self._nodes is None:
            raise StateError("this group is not configured yet")
        return self._nodes

    def _do_configure(self, request: group_pb2.Configure) -> None:
        self._grace = request.grace
        self._facts.recording_root = request.recording_root
        if self._nodes is None:
            transport = ShmTransport(
                request.session,
                share=request.shm_share,
                mode=request.shm_mode,
                gid=request.shm_gid,
            )
            self._nodes = GroupNodes(
                transport,
                self._facts,
                self,
                own_types=self._own_types,
                buffer_seconds=request.buffer_seconds,
            )
            self._page = PageWriter(
                request.session, self._name, mode=request.shm_mode, gid=request.shm_gid
            )
        self._nodes.orphaned = False

    def _do_add_node(self, request: group_pb2.AddNode) -> dict[str, Any]:
        return self._group.add(
            request.name,
            request.type,
            json.loads(request.params_json or "{}"),
            first_epochs=request.first_epochs,
        )

    def _do_remove_node(self, request: group_pb2.NodeName) -> None:
        self._group.remove(request.name)

    def _do_link(self, request: group_pb2.LocalLink) -> None:
        self._group.link(request.source, request.output, request.sink, request.input)

    def _do_unlink(self, request: group_pb2.LocalLink) -> None:
        self._group.unlink(request.source, request.output, request.sink, request.input)

    def _do_remote_link(self, request: group_pb2.RemoteLink) -> None:
        self._group.subscribe(request.stream, request.sink, request.input)

    def _do_remote_unlink(self, request: group_pb2.RemoteLink) -> None:
        self._group.unsubscribe(request.stream, request.sink, request.input)

    def _do_publish(self, request: group_pb2.Publish) -> None:
        self._group.publish(request.node, request.output)

    def _do_rings(self, request: group_pb2.Rings) -> None:
        rings = [RingAt(ring.epoch, ring.segment) for ring in request.rings]
        resume = (request.read_to_epoch, request.read_to_index) if request.resumed else None
        self._group.rings(request.stream, rings, request.reader, resume)

    def _do_stream_over(self, request: group_pb2.StreamOver) -> None:
        self._group.stream_over(request.stream)

    def _do_begin_run(self, request: group_pb2.BeginRun) -> None:
        self._facts.context = {
            **json.loads(request.context_json or "{}"),
            "run_id": request.run_id,
            "resumed": request.resumed,
        }
        self._group.begin_run(set(request.blocking))

    def _do_open(self, request: group_pb2.Open) -> None:
        self._group.open(list(request.nodes))

    def _do_start(self, request: group_pb2.Start) -> None:
        self._facts.run_start = request.run_start
        self._group.start(list(request.nodes))

    def _do_request_stop(self, request: group_pb2.RequestStop) -> None:
        self._group.request_stop(list(request.nodes))

    def _do_finish(self, request: group_pb2.Finish) -> None:
        for name in request.nodes:
            self._group.runner(name).finish(request.timeout)

    def _do_set_params(self, request: group_pb2.SetParams) -> dict[str, Any]:
        runner = self._group.runner(request.node)
        effective = runner.set_parameters(json.loads(request.params_json))
        entry = {
            "kind": "parameters",
            "time": local_clock(),
            "node": request.node,
            "values": json.loads(request.params_json),
            "effective": {s: {"epoch": e, "index": i} for s, (e, i) in effective.items()},
        }
        self._send(journal=group_pb2.JournalEntry(entry_json=json.dumps(entry)))
        return {"effective": entry["effective"], "params": dict(runner.node.parameters)}

    def _do_journal(self, request: group_pb2.JournalEntry) -> None:
        self._group.journal(json.loads(request.entry_json))

    def _do_shutdown(self, request: group_pb2.Shutdown) -> None:
        self._ending.set()

    # --- reports -----------------------------------------------------------------------------

    def node_changed(self, runner: NodeRunner) -> None:
        """Report a state; a node that is over is closed, so that its recording is sealed."""
        message = group_pb2.NodeChanged(
            node=runner.name,
            state=_STATES[runner.state],
            report_json=json.dumps(runner.node.report, default=str),
        )
        if runner.failure is not None:
            message.failure.CopyFrom(failure_of(runner.failure))
        self._send(node=message)
        if runner.state in (NodeState.ENDED, NodeState.FAILED) and not self._ending.is_set():
            self._pool.submit(self._finish_node, runner, _END_WITHIN)

    def output_announced(self, runner: NodeRunner, output: Output[Chunk]) -> None:
        """Report a description."""
        self._send(
            announced=group_pb2.OutputAnnounced(
                node=runner.name,
                output=output.name,
                epoch=output.epoch,
                info=info_to_wire(output.info),
            )
        )

    def ring_made(self, writer: RingWriter) -> None:
        """Report where an epoch lies."""
        self._send(
            ring=stream_pb2.Ring(
                stream=writer.info.name,
                epoch=writer.epoch,
                segment=writer.segment.name,
                info=info_to_wire(writer.info),
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
        connection = self._connection
        if connection is None:
            return
        payload = frame(group_pb2.GroupEvent(**what).SerializeToString())
        with self._sending:
            try:
                connection.sendall(payload)
            except OSError:
                return  # the reading side notices that the daemon is gone

    # --- counters ----------------------------------------------------------------------------

    def _tick(self) -> None:
        while not self._ending.wait(_COUNTERS_EVERY):
            if self._page is None or self._nodes is None:
                continue
            try:
                self._page.write(_counters(self._nodes))
            except RigmeshError as error:
                _log.error("no more counters: %s", error)
                return


def _counters(nodes: GroupNodes) -> group_pb2.GroupPage:
    page = group_pb2.GroupPage(heartbeat=local_clock())
    for runner in list(nodes.runners.values()):
        for output in runner.node.bound_outputs():
            page.streams.add(
                stream=output.stream,
                epoch=output.epoch,
                produced=output.index + output.lost,
                written=output.index,
                lost=output.lost,
                push_p99=output.pushes.percentile(99),
                push_max=output.pushes.largest / 1e9,
                time=page.heartbeat,
            )
        remote = {s.name for s in nodes.subscriptions}
        for port in runner.node.bound_inputs():
            name = f"{runner.name}.{port.name}"
            if name not in remote:
                for link in port.links:
                    page.readers.add(
                        stream=link.stream,
                        reader=name,
                        delivered=runner.delivered.get(port.name, 0),
                        time=page.heartbeat,
                    )
    for subscription in nodes.subscriptions:
        epoch, counters = subscription.counters()
        page.readers.add(
            stream=subscription.stream,
            reader=subscription.name,
            epoch=epoch,
            delivered=subscription.delivered,
            lost=dict(subscription.lost),
            lag=counters.lag if counters else 0,
            max_lag=counters.max_lag if counters else 0,
            fill=counters.fill if counters else 0.0,
            time=page.heartbeat,
        )
    return page
