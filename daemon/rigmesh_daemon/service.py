"""Everything the daemon can do, free of gRPC: the RPC layer and tests call this."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from rigmesh.errors import GraphError, NameTaken, RigmeshError, StateError
from rigmesh.graph import GraphSpec, NodeSpec, check_graph, check_order
from rigmesh.graph.check import check_params
from rigmesh.graph.spec import GroupSpec
from rigmesh.graph.wire import group_to_wire
from rigmesh.streams import local_clock
from rigmesh.transports import process_token, sweep
from rigmesh_daemon.building import Builder
from rigmesh_daemon.catalogue import Catalogue, read_catalogue
from rigmesh_daemon.config import DaemonConfig
from rigmesh_daemon.journal import Journal, JournalLock
from rigmesh_daemon.live import Live
from rigmesh_daemon.logs import LogStore
from rigmesh_daemon.ownership import Ownership
from rigmesh_daemon.readopt import Readoption
from rigmesh_daemon.running import Runs
from rigmesh_daemon.state import GraphState
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2, group_pb2, stream_pb2

__all__ = ["DaemonService"]

_log = logging.getLogger(__name__)

_STOP_WITHIN = 15.0


class DaemonService:
    """A daemon without its sockets.

    Parameters
    ----------
    config : DaemonConfig
        Its settings.
    """

    def __init__(self, config: DaemonConfig) -> None:
        self.config = config
        self.session = process_token()
        self.state = GraphState()
        self.logs = LogStore(lambda record: self.state.tell(control_pb2.Event(log=record)))
        self.ownership = Ownership(self.state, self.logs.add)
        self.catalogue = Catalogue()
        self._builder = Builder(self.state, self._make_process)
        self._runs = Runs(self.state, self._builder, config.host)
        self.live = Live(self.state, self._keep_parameters)
        self._journal_file = Journal(config.run_dir / "graph.json", self.state, self._session)
        self._lock = JournalLock(self._journal_file)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._self = psutil.Process()

    async def open(self) -> None:
        """Take over what a daemon that was killed had running here; find the node types."""
        if not self.config.private:
            await self._readopt()
        if not self.state.processes:
            for name in sweep():
                _log.info("removed %s, left by a process that is dead", name)
        await self.refresh_types()

    async def close(self) -> None:
        """Stop the graph, recordings sealed; end every process; leave nothing."""
        async with self._lock:
            with contextlib.suppress(RigmeshError):
                await self._runs.stop(_STOP_WITHIN)
        await asyncio.gather(*(p.stop() for p in self.state.processes.values()))
        for task in list(self._tasks):
            task.cancel()
        self.state.forget_rings()
        sweep(session=self.session)
        self._journal_file.end()

    # --- types and groups --------------------------------------------------------------------

    async def refresh_types(self, *, refresh: bool = False) -> Catalogue:
        """Find the node types anew."""
        self.catalogue = await read_catalogue(refresh=refresh)
        self.state.types.update(self.catalogue.types)
        return self.catalogue

    async def create_group(self, group: GroupSpec) -> GroupSpec:
        """Make a group; its process starts with its first node.

        Raises
        ------
        NameTaken
            If there is one of that name.
        """
        async with self._lock:
            name = group.name or self._free_name("group", self.state.groups)
            if name in self.state.groups:
                raise NameTaken(f"there is a group {name!r} already")
            self.state.groups[name] = replace(group, name=name)
            return self.state.groups[name]

    async def register_group(self, name: str, socket: str) -> None:
        """Take in a process that a client started as its own user."""
        async with self._lock:
            await self._builder.register(name, Path(socket))

    async def remove_group(self, name: str) -> None:
        """Remove a group and its nodes.

        Raises
        ------
        StateError
            While one of them runs.
        """
        async with self._lock:
            group = self.state.group(name)
            members = [n for n, r in self.state.nodes.items() if r.spec.group == name]
            for node in members:
                await self._builder.remove_node(node)
            for process in [p for p in self.state.processes.values() if p.group.name == name]:
                await process.stop()
                del self.state.processes[process.name]
            self.state.groups.pop(group.name, None)

    # --- nodes and links ---------------------------------------------------------------------

    async def create_node(self, spec: NodeSpec) -> control_pb2.NodeStatus:
        """Make a node; without a name it gets one from its class."""
        if spec.replicate > 1:
            raise GraphError(
                f"{spec.name or spec.type}: replicate={spec.replicate} belongs into a graph file, "
                "where the channels of its input are divided; make single nodes here"
            )
        async with self._lock:
            if not spec.name:
                stem = spec.type.rpartition(".")[2].rpartition("/")[2].lower()
                spec = replace(spec, name=self._free_name(stem, self.state.nodes))
            await self._builder.create_node(spec)
            return self.state.node_status(spec.name)

    async def remove_node(self, name: str) -> None:
        """Take a node away."""
        async with self._lock:
            await self._builder.remove_node(name)

    async def connect(self, stream: str, reference: str) -> None:
        """Link a stream to an input."""
        async with self._lock:
            await self._builder.connect(stream, reference)

    async def disconnect(self, stream: str, reference: str) -> None:
        """Undo a link."""
        async with self._lock:
            await self._builder.disconnect(stream, reference)

    async def set_parameters(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Change parameters of a node between two chunks, all or none.

        Returns
        -------
        dict
            ``effective``: epoch and index of each output at which it took effect; ``params``:
            all parameters.
        """
        record = self.state.node(name)
        check_params(name, {**record.spec.params, **values}, self.state.types[record.spec.type])
        process = self.state.processes[record.process]
        request = group_pb2.SetParams(node=name, params_json=json.dumps(values))
        result: dict[str, Any] = await process.request(set_params=request)
        self._keep_parameters(name, values)
        return result

    # --- the graph ---------------------------------------------------------------------------

    async def load(self, graph: GraphSpec, *, check_only: bool = False) -> None:
        """Build a whole graph; nothing is built if it has a mistake.

        Raises
        ------
        GraphError
            With a line a mistake.
        StateError
            If there are nodes already.
        """
        async with self._lock:
            checked = check_graph(graph, self.state.types)
            if check_only:
                return
            if self.state.nodes:
                raise StateError("there is a graph already; clear it first")
            for node in checked.nodes.values():
                if node.group not in self.state.groups and node.group not in checked.groups:
                    self.state.groups[node.group] = GroupSpec(node.group)
            self.state.groups.update(checked.groups)
            self.state.aliases.update(checked.aliases)
            self.state.name = checked.name
            self.state.metadata = dict(checked.metadata)
            try:
                for name in check_order(checked.nodes):
                    await self._builder.create_node(checked.nodes[name])
            except RigmeshError:
                await self._clear()
                raise

    async def clear(self) -> None:
        """Stop, and remove all nodes, groups and processes."""
        async with self._lock:
            with contextlib.suppress(RigmeshError):
                await self._runs.stop(_STOP_WITHIN)
            await self._clear()

    async def start(self, timeout: float) -> str:
        """Start the graph; return the id of the run."""
        async with self._lock:
            return await self._runs.start(timeout)

    async def stop(self, timeout: float) -> None:
        """Stop the graph."""
        async with self._lock:
            await self._runs.stop(timeout)

    async def take_over(self, operator: str) -> str:
        """Make the graph an operator's; return whose it was."""
        async with self._lock:
            return self.ownership.take_over(operator)

    async def annotate(self, text: str) -> None:
        """Put a note into all recordings."""
        if self.state.phase != "running":
            raise StateError("nothing runs that a note could go into")
        await self._journal({"kind": "note", "time": local_clock(), "text": text})

    # --- looking -----------------------------------------------------------------------------

    def status(self) -> control_pb2.Status:
        """Return the state of everything."""
        state = self.state
        status = control_pb2.Status(
            host=self.config.host,
            version=version("rigmesh"),
            pid=self._self.pid,
            state=state.phase,
            run_id=state.run_id,
            groups=[group_to_wire(group) for group in state.groups.values()],
            nodes=[state.node_status(name) for name in state.nodes],
            streams=[info for s, info in state.infos.items() if s.partition(".")[0] in state.nodes],
            run_time=local_clock() - state.run_start if state.phase == "running" else 0.0,
            memory_bytes=self._self.memory_info().rss,
            address=self.config.reached_at,
            owner=state.owner.name,
        )
        for process in state.processes.values():
            cpu, memory = process.usage()
            status.processes.add(
                name=process.name,
                group=process.group.name,
                pid=process.pid,
                alive=process.is_alive,
                restarts=process.restarts,
                cpu_percent=cpu,
                memory_bytes=memory,
                heartbeat_age=process.heartbeat_age if process.is_alive else 0.0,
            )
            page = process.counters()
            if page is not None:
                status.processes[-1].counters.CopyFrom(page.process)
                status.node_counters.extend(page.nodes)
                status.stream_counters.extend(page.streams)
                status.reader_counters.extend(page.readers)
        return status

    async def publish(self, reference: str) -> str:
        """See to it that a stream goes into rings from now on; return its name.

        Raises
        ------
        UnknownName
            If no node gives the stream.
        """
        stream = self.state.stream(reference)
        await self._builder.until_mended(stream)
        async with self._lock:
            await self._builder.publish(stream)
        return stream

    async def rings_of(self, stream: str) -> AsyncIterator[control_pb2.SubscribeResponse]:
        """Yield the ring of each epoch of a stream, then its end; for a client that reads."""
        async for ring in self.state.rings_of(stream):
            if ring is None:
                yield control_pb2.SubscribeResponse(ended=True, session=self.session)
            else:
                yield control_pb2.SubscribeResponse(ring=ring, session=self.session)

    # --- inside ------------------------------------------------------------------------------

    async def _readopt(self) -> None:
        readoption = Readoption(self.state, self._builder, self._runs, self._make_process)
        found = await readoption.find(self._journal_file, self.config.run_dir)
        if found is not None:
            self.session, own = found.session, self.session
            if not await readoption.take_over(found, self._announced):
                self.session = own
        self._journal_file.begin()
        if self.state.phase in ("starting", "stopping"):
            self._later(self._wind_up())

    async def _wind_up(self) -> None:
        async with self._lock:
            await self._runs.wind_up(_STOP_WITHIN)

    def _session(self) -> str:
        return self.session

    def _keep_parameters(self, name: str, values: Mapping[str, Any]) -> None:
        record = self.state.node(name)
        record.spec = replace(record.spec, params={**record.spec.params, **values})
        self._journal_file.mark()

    def _make_process(self, name: str, group: GroupSpec, socket: Path | None) -> GroupProcess:
        return GroupProcess(
            name,
            group,
            self.config,
            self.session,
            on_event=self._on_event,
            on_exit=self._runs.process_died,
            on_output=self.logs.add_output,
            on_spawn=self._journal_file.flush,
            socket=socket,
        )

    def _on_event(self, process: GroupProcess, event: group_pb2.GroupEvent) -> None:
        kind = event.WhichOneof("what")
        state = self.state
        if kind == "node":
            failure = event.node.failure if event.node.HasField("failure") else None
            if failure is not None:
                failure.host = self.config.host
            state.set_state(event.node.node, event.node.state, failure, event.node.report_json)
        elif kind == "announced":
            self._announced(event.announced)
        elif kind == "ring":
            state.add_ring(event.ring)
            self._later(self._builder.send_rings(event.ring.stream))
        elif kind == "log":
            self.logs.add(event.log)
        elif kind == "state_changed":
            self._later(self.live.pass_on(event.state_changed))
        elif kind == "journal":
            self._later(self._journal(json.loads(event.journal.entry_json)))

    def _announced(self, announced: group_pb2.OutputAnnounced) -> None:
        stream = f"{announced.node}.{announced.output}"
        self.state.infos[stream] = announced.info
        self.state.epochs[stream] = max(self.state.epochs.get(stream, 0), announced.epoch)
        self.state.tell(
            control_pb2.Event(
                ring=stream_pb2.Ring(stream=stream, epoch=announced.epoch, info=announced.info)
            )
        )

    async def _journal(self, entry: dict[str, Any]) -> None:
        request = group_pb2.JournalEntry(entry_json=json.dumps(entry))
        for process in self.state.processes.values():
            if process.is_alive:
                with contextlib.suppress(RigmeshError):
                    await process.request(journal=request)

    async def _clear(self) -> None:
        for process in list(self.state.processes.values()):
            await process.stop()
        self.state.forget_rings()
        self.state.clear(self.catalogue.types)

    def _free_name(self, stem: str, taken: Any) -> str:
        if stem and stem not in taken:
            return stem
        return next(n for i in range(2, 10_000) if (n := f"{stem}{i}") not in taken)

    def _later(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("in the background: %s", task.exception())
