"""Takes over what a daemon that was killed had running: its groups go on as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmesh.errors import DaemonError, RigmeshError
from rigmesh.graph import GroupSpec, split_port
from rigmesh.node.registry import NodeType
from rigmesh.transports import token_is_alive
from rigmesh_daemon.building import Builder
from rigmesh_daemon.group.framing import frame
from rigmesh_daemon.journal import Journal, KnownProcess, Snapshot
from rigmesh_daemon.processes import Adopted
from rigmesh_daemon.running import Runs
from rigmesh_daemon.state import BUSY, GraphState, NodeRecord
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2, group_pb2, stream_pb2

__all__ = ["Readoption"]

_log = logging.getLogger(__name__)

_RUNNING = control_pb2.NODE_STATE_RUNNING
_BEGUN = (_RUNNING, control_pb2.NODE_STATE_ENDED, control_pb2.NODE_STATE_STOPPED)


class Readoption:
    """Finds the processes of a dead daemon, and makes its graph ours.

    Parameters
    ----------
    state : GraphState
        Filled in.
    builder : Builder
        Tells groups again where streams lie.
    runs : Runs
        Deals with what died meanwhile.
    make_process : callable
        Makes a process, given its name, its group and, of a session group, its socket.
    """

    def __init__(
        self,
        state: GraphState,
        builder: Builder,
        runs: Runs,
        make_process: Callable[[str, GroupSpec, Path | None], GroupProcess],
    ) -> None:
        self._state = state
        self._builder = builder
        self._runs = runs
        self._make_process = make_process
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, journal: Journal, run_dir: Path) -> Snapshot | None:
        """Return what is worth taking over; groups nobody knows of are asked to end."""
        try:
            snapshot = journal.read()
        except DaemonError as error:
            _log.warning("%s; groups of the daemon that wrote it are asked to end", error)
            snapshot = None
        known = snapshot.processes.values() if snapshot is not None else ()
        living = {
            p.socket
            for p in known
            if (p.is_alive or p.is_mending) and p.token and token_is_alive(p.token)
        }
        for path in run_dir.glob("*.group"):
            if str(path) not in living:
                await _send_home(path)
        for each in () if living else known:
            with contextlib.suppress(ProcessLookupError, ValueError):
                if not (each.is_alive or each.is_foreign):  # it will listen where others are to
                    Adopted(each.token).kill()
        if snapshot is not None and not living and snapshot.phase != "idle":
            _log.warning(
                "a daemon was killed here while run %s was %s, and nothing of it is left; what "
                "its groups could not seal, `rigmesh recover` makes a file of",
                snapshot.run_id, snapshot.phase,
            )  # fmt: skip
        return snapshot if living else None

    async def take_over(
        self, snapshot: Snapshot, announced: Callable[[group_pb2.OutputAnnounced], None]
    ) -> bool:
        """Make a graph, and all of it that still runs, ours.

        Parameters
        ----------
        snapshot : Snapshot
            What was found.
        announced : callable
            Told of every description of an output.

        Returns
        -------
        bool
            Whether a process has answered; if not, nothing has been taken over.
        """
        state = self._state
        self._restore(snapshot)
        known = snapshot.processes
        answers = await asyncio.gather(
            *(self._adopt(state.processes[name], known[name]) for name in known)
        )
        processes = [state.processes[name] for name in known]
        adopted = [p for p, answered in zip(processes, answers, strict=True) if answered]
        lost = [p for p in processes if p not in adopted]
        if not adopted and not any(_is_half_made(each, snapshot) for each in known.values()):
            state.clear({})
            state.rings.clear()
            state.phase = "idle"
            return False
        # Only once all are connected: what they say now may be for the others.
        for process in adopted:
            await self._learn(process, known[process.name], announced)
        if state.phase == "idle" and state.busy():
            state.phase = "starting"
        self._drop_dangling_links()
        await self._tell_again()
        for process in lost:
            self._bury(process, known[process.name], snapshot)
        _log.warning(
            "took over %s from a daemon that was killed (%s)",
            ", ".join(process.name for process in adopted) or "a graph without processes",
            f"run {state.run_id}, {state.phase}" if state.phase != "idle" else "idle",
        )
        return True

    # --- inside ------------------------------------------------------------------------------

    def _restore(self, snapshot: Snapshot) -> None:
        state = self._state
        state.name, state.metadata = snapshot.name, dict(snapshot.metadata)
        state.phase, state.run_id = snapshot.phase, snapshot.run_id
        state.owner = snapshot.owner
        state.run_start, state.started = snapshot.run_start, snapshot.started
        state.groups.update(snapshot.groups)
        state.aliases.update(snapshot.aliases)
        state.published.update(snapshot.published)
        state.over.update(snapshot.over)
        state.epochs.update(snapshot.epochs)
        for name, text in snapshot.types.items():
            state.types[name] = NodeType.from_dict(json.loads(text))
        for name, node in snapshot.nodes.items():
            value = control_pb2.NodeState.Value(node.state)
            state.nodes[name] = NodeRecord(node.spec, node.process, value)
        for stream, rings in snapshot.rings.items():
            state.rings[stream] = [
                stream_pb2.Ring(stream=stream, epoch=ring.epoch, segment=ring.segment)
                for ring in rings
            ]
        for name, known in snapshot.processes.items():
            socket = Path(known.socket) if known.is_foreign else None
            process = self._make_process(name, state.groups[known.group], socket)
            process.restarts = known.restarts
            state.processes[name] = process

    async def _adopt(self, process: GroupProcess, known: KnownProcess) -> bool:
        if not known.token:
            return False
        if known.is_alive:
            return await process.adopt(known.token)
        # It had been started, but was not in order yet: another one is made.
        await process.bury(known.token)
        return False

    async def _learn(
        self,
        process: GroupProcess,
        known: KnownProcess,
        announced: Callable[[group_pb2.OutputAnnounced], None],
    ) -> None:
        """Ask a process how everything stands, and make what we know of it the same."""
        state = self._state
        try:
            found: group_pb2.Description = await process.request(describe=group_pb2.Describe())
        except RigmeshError as error:
            _log.error("group %s cannot be taken over: %s", process.name, error)
            await process.stop()
            return
        if process.is_foreign:
            for text in process.types:
                type_ = NodeType.from_dict(json.loads(text))
                name = f"{process.name}/{type_.name}"
                state.types[name] = replace(type_, name=name)
        there = {node.node: node for node in found.nodes}
        if known.is_mending and state.phase == "running" and not self._is_mended(process, there):
            for name in state.of_process(process.name):
                state.set_state(name, _RUNNING)
            process.kill()  # as any that dies, it is then made anew
            return
        for name in state.of_process(process.name):
            if name not in there:
                _log.info("node %s was being removed when the daemon was killed", name)
                del state.nodes[name]
        for name, node in there.items():
            if name in state.nodes:
                failure = node.failure if node.HasField("failure") else None
                state.set_state(name, node.state, failure, node.report_json)
            else:
                _log.info("node %s was being made when the daemon was killed", name)
                await _quietly(process.request(remove_node=group_pb2.NodeName(name=name)))
        for output in found.outputs:
            announced(output)
        for ring in found.rings:
            rings = state.rings.setdefault(ring.stream, [])
            rings[:] = [each for each in rings if each.segment != ring.segment]
            state.add_ring(ring)

    def _is_mended(self, process: GroupProcess, there: Mapping[str, group_pb2.NodeChanged]) -> bool:
        names = self._state.of_process(process.name)
        return all(name in there and there[name].state in _BEGUN for name in names)

    def _drop_dangling_links(self) -> None:
        state = self._state
        for record in state.nodes.values():
            inputs = {
                port: tuple(s for s in streams if split_port(s)[0] in state.nodes)
                for port, streams in record.spec.inputs.items()
            }
            inputs = {port: streams for port, streams in inputs.items() if streams}
            if inputs != record.spec.inputs:
                record.spec = replace(record.spec, inputs=inputs)

    async def _tell_again(self) -> None:
        """Say what the dead daemon may not have come to say."""
        state = self._state
        across = {
            stream
            for stream, sink, _ in state.links()
            if state.process_of_stream(stream) != state.node(sink).process
        }
        for stream in sorted(across | state.published):
            if split_port(stream)[0] not in state.nodes:
                state.published.discard(stream)
                continue
            if state.processes[state.process_of_stream(stream)].is_alive:
                await _quietly(self._builder.publish(stream))
            await self._builder.send_rings(stream)
        known = [s for s in state.over if split_port(s)[0] in state.nodes]
        if known:
            await self._runs.end_streams(known)

    def _bury(self, process: GroupProcess, known: KnownProcess, snapshot: Snapshot) -> None:
        """See to it that a process which is gone, or about to be, is dealt with as any other."""
        names = self._state.of_process(process.name)
        if _is_half_made(known, snapshot):
            for name in names:
                self._state.set_state(name, _RUNNING)
        was_busy = any(self._state.nodes[name].state in BUSY for name in names)
        if not known.token or not (known.is_alive or was_busy):
            return
        task = asyncio.create_task(self._bury_once_gone(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury_once_gone(self, process: GroupProcess) -> None:
        # It may be sealing what it recorded, because it waited for a daemon for too long.
        await process.bury()
        await self._runs.process_died(process)


def _is_half_made(known: KnownProcess, snapshot: Snapshot) -> bool:
    """Whether a process had died, and was being made anew."""
    return known.is_mending and snapshot.phase == "running"


async def _send_home(path: Path) -> None:
    """Ask a process to end that nobody knows, and remove what one that is dead has left."""
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        path.unlink(missing_ok=True)
        path.with_suffix(".out").unlink(missing_ok=True)
        return
    _log.warning("asking %s, which this daemon does not know, to end", path.stem)
    request = group_pb2.GroupRequest(id=1, shutdown=group_pb2.Shutdown())
    writer.write(frame(request.SerializeToString()))
    with contextlib.suppress(OSError):
        await writer.drain()
        writer.write_eof()
    # Closed at once it would be gone before the group, which has to take it first, reads it.
    asyncio.get_running_loop().call_later(5.0, writer.close)


async def _quietly(request: Any) -> None:
    try:
        await request
    except RigmeshError as error:
        _log.warning("%s", error)
