"""What the daemon asks of a process of nodes, and how it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rigmesh.graph.spec import GroupSpec
from rigmesh.graph.wire import group_from_wire
from rigmesh.node import Node
from rigmesh.node.states import Writers
from rigmesh.streams import local_clock
from rigmesh.transports import ShmTransport
from rigmesh_daemon.group.counters import GroupCounters, latencies
from rigmesh_daemon.group.nodes import GroupNodes, Reports
from rigmesh_daemon.group.page import PageWriter
from rigmesh_daemon.group.runtime import RunFacts
from rigmesh_daemon.group.sharing import States, effective_json, taken
from rigmesh_daemon.group.subscription import RingAt
from rigmesh_daemon.group.tuning import Quiet, keep_to_cpus, lock_memory, set_priority
from rigmesh_proto.v1 import group_pb2

__all__ = ["GroupReports", "Requests"]

_SLOW = ("open", "finish", "set_params", "journal", "get_states", "set_states", "call")
"""These may wait for devices, locks or disks."""


class GroupReports(Reports, Protocol):
    """What is told to the daemon without being asked."""

    @property
    def has_listener(self) -> bool:
        """Whether a daemon is there."""

    def say(self, entry: dict[str, Any]) -> None:
        """Tell of a change, for the journals of all recordings."""

    def say_changed(self, alias: str, member: str, value: Any) -> None:
        """Tell of a new value of an alias that other processes share."""


class Requests:
    """The nodes of this process, and everything that the daemon can have done with them.

    Parameters
    ----------
    name : str
        Of the process.
    request : Configure
        The first one: how the group is to run.
    own_types : mapping of str to type of Node
        Classes that only this process has.
    reports : GroupReports
        Told what happens.

    Raises
    ------
    ParameterError, NotPermitted
        If the group cannot run as it is to.
    """

    def __init__(
        self,
        name: str,
        request: group_pb2.Configure,
        own_types: Mapping[str, type[Node]],
        reports: GroupReports,
    ) -> None:
        group = group_from_wire(request.group)
        _tune(group, is_companion=request.is_companion)
        self._name = name
        self._reports = reports
        self._facts = RunFacts()
        self._quiet = Quiet()
        transport = ShmTransport(
            request.session, share=request.shm_share, mode=request.shm_mode, gid=request.shm_gid
        )
        self.nodes = GroupNodes(transport, self._facts, reports, own_types=own_types, group=group)
        self.states = States(self.nodes.runners, reports.say, reports.say_changed)
        self._counters = GroupCounters(name, self.nodes, self._quiet)
        self._page = PageWriter(request.session, name, mode=request.shm_mode, gid=request.shm_gid)
        self.configure(request)

    def configure(self, request: group_pb2.Configure) -> None:
        """Belong to a (new) daemon."""
        self._facts.recording_root = request.recording_root
        self.nodes.orphaned = False

    def handler(self, what: str) -> tuple[Callable[[Any], Any], bool]:
        """Return the method that does something, and whether it may take long."""
        method: Callable[[Any], Any] = getattr(self, f"_do_{what}")
        return method, what in _SLOW

    def count(self) -> None:
        """Publish the counters and orders of delivery, and see to what the interpreter needs.

        Raises
        ------
        StreamError
            If there is too much to publish.
        """
        self._quiet.tend(running=bool(self.nodes.busy))
        self._page.write(self._counters.page())
        # Without a daemon they would crowd out what it should hear when it comes.
        if self._reports.has_listener:
            for runner in list(self.nodes.runners.values()):
                if (entry := runner.order.drain()) is not None:
                    self._reports.say(entry)

    def close(self) -> None:
        """End the threads and remove everything from shared memory."""
        self.states.close()
        self.nodes.close()
        self._page.close()

    # --- one method a request ----------------------------------------------------------------

    def _do_add_node(self, request: group_pb2.AddNode) -> dict[str, Any]:
        return self.nodes.add(
            request.name,
            request.type,
            json.loads(request.params_json or "{}"),
            first_epochs=request.first_epochs,
        )

    def _do_remove_node(self, request: group_pb2.NodeName) -> None:
        self.nodes.remove(request.name)

    def _do_link(self, request: group_pb2.LocalLink) -> None:
        self.nodes.link(request.source, request.output, request.sink, request.input)

    def _do_unlink(self, request: group_pb2.LocalLink) -> None:
        self.nodes.unlink(request.source, request.output, request.sink, request.input)

    def _do_remote_link(self, request: group_pb2.RemoteLink) -> None:
        self.nodes.subscribe(request.stream, request.sink, request.input)

    def _do_remote_unlink(self, request: group_pb2.RemoteLink) -> None:
        self.nodes.unsubscribe(request.stream, request.sink, request.input)

    def _do_publish(self, request: group_pb2.Publish) -> None:
        self.nodes.publish(request.node, request.output)

    def _do_rings(self, request: group_pb2.Rings) -> None:
        rings = [RingAt(ring.epoch, ring.segment) for ring in request.rings]
        resume = (request.read_to_epoch, request.read_to_index) if request.resumed else None
        self.nodes.rings(request.stream, rings, request.reader, resume)

    def _do_stream_over(self, request: group_pb2.StreamOver) -> None:
        self.nodes.stream_over(request.stream)

    def _do_begin_run(self, request: group_pb2.BeginRun) -> None:
        self._facts.context = {
            **json.loads(request.context_json or "{}"),
            "run_id": request.run_id,
            "resumed": request.resumed,
        }
        self.nodes.begin_run(set(request.blocking))
        self.states.share({alias.name: list(alias.states) for alias in request.aliases})

    def _do_open(self, request: group_pb2.Open) -> None:
        self.nodes.open(list(request.nodes))

    def _do_start(self, request: group_pb2.Start) -> None:
        self._facts.run_start = request.run_start
        self._quiet.begin()
        self.nodes.start(list(request.nodes))

    def _do_request_stop(self, request: group_pb2.RequestStop) -> None:
        self.nodes.request_stop(list(request.nodes))

    def _do_finish(self, request: group_pb2.Finish) -> None:
        for name in request.nodes:
            self.nodes.runner(name).finish(request.timeout)

    def _do_set_params(self, request: group_pb2.SetParams) -> dict[str, Any]:
        runner = self.nodes.runner(request.node)
        values = json.loads(request.params_json)
        with runner.lane:
            effective, inputs = effective_json(runner.set_parameters(values)), taken(runner)
        self._reports.say(
            {
                "kind": "parameters", "time": local_clock(), "node": request.node,
                "values": values, "effective": effective, "taken": inputs,
            }
        )  # fmt: skip
        return {"effective": effective, "params": dict(runner.node.parameters)}

    def _do_get_states(self, request: group_pb2.GetStates) -> dict[str, Any]:
        return self.states.get(list(request.nodes))

    def _do_set_states(self, request: group_pb2.SetStates) -> dict[str, Any]:
        writer: Writers = "peers" if request.writer == "peers" else "clients"
        return self.states.set(json.loads(request.values_json), writer)

    def _do_call(self, request: group_pb2.Call) -> dict[str, Any]:
        arguments = json.loads(request.arguments_json or "{}")
        return self.states.call(request.node, request.command, arguments)

    def _do_get_latencies(self, request: group_pb2.GetLatencies) -> group_pb2.Latencies:
        return group_pb2.Latencies(latencies=latencies(self._name, self.nodes))

    def _do_journal(self, request: group_pb2.JournalEntry) -> None:
        self.nodes.journal(json.loads(request.entry_json))


def _tune(group: GroupSpec, *, is_companion: bool) -> None:
    # A companion exists so that what blocks is out of the loop's way, also on its CPU.
    if group.cpus and not is_companion:
        keep_to_cpus(group.name, group.cpus)
    if group.priority and not is_companion:
        set_priority(group.name, group.priority)
    if group.lock_memory:
        lock_memory(group.name)
