"""Starts, stops and mends a graph."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from rigmesh.errors import NodeError, RigmeshError, StateError, WaitTimeout
from rigmesh.graph import blocking_nodes, check_graph, split_port, start_order
from rigmesh.graph.wire import aliases_to_wire
from rigmesh.rpc import error_of, failure_of
from rigmesh.streams import clock_id, local_clock
from rigmesh.transports import declare_lost, position_of
from rigmesh_daemon.building import Builder
from rigmesh_daemon.state import BUSY, FAILED, READY, GraphState
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2, group_pb2

__all__ = ["Runs"]

_log = logging.getLogger(__name__)

_SEAL_WITHIN = 3600.0
"""A node whose inputs are over may take this long to close, in seconds: sealing is slow."""

_ROUNDS = 5

_RUNNING = control_pb2.NODE_STATE_RUNNING
_DONE = (control_pb2.NODE_STATE_STOPPED, FAILED, control_pb2.NODE_STATE_CREATED)


class Runs:
    """Takes the graph from idle to running and back, and restarts what dies on the way.

    Parameters
    ----------
    state : GraphState
        The graph.
    builder : Builder
        Makes nodes anew after a restart.
    host : str
        Name of this machine, for recordings and errors.
    """

    def __init__(self, state: GraphState, builder: Builder, host: str) -> None:
        self._state = state
        self._builder = builder
        self._host = host
        self._mending: set[asyncio.Task[None]] = set()

    # --- start -------------------------------------------------------------------------------

    async def start(self, timeout: float) -> str:
        """Open, prepare and start every node, sinks first; all or none.

        Returns
        -------
        str
            Id of the run.

        Raises
        ------
        StateError
            If it runs already.
        GraphError
            If it cannot run as it is.
        NodeError
            That of the first node which failed.
        WaitTimeout
            If a node does not become ready in time; names those and what they wait for.
        """
        state = self._state
        if state.phase != "idle":
            raise StateError(f"the graph is {state.phase} already")
        if not state.nodes:
            raise StateError("there is no node to start; create one, or load a graph")
        check_graph(state.graph, state.types)
        for name, process in list(state.processes.items()):
            if not process.is_alive and state.of_process(name):
                await self._builder.ensure_process(name, state.group(process.group.name))
                await self._builder.rebuild(process)
        state.run_id, state.started = uuid.uuid4().hex, time.time()
        state.set_phase("starting")
        try:
            await self._begin(list(state.processes.values()), resumed=False)
            await self._open(list(state.nodes), timeout)
            state.run_start = local_clock()
            await self._start_in_order(list(state.nodes))
        except BaseException:
            await self._force_stop()
            state.set_phase("idle")
            raise
        state.set_phase("running")
        return state.run_id

    async def _begin(self, processes: list[GroupProcess], *, resumed: bool) -> None:
        state = self._state
        if not resumed:
            state.forget_rings()
            state.over.clear()
        for process in processes:
            if process.is_alive:
                await process.request(
                    begin_run=group_pb2.BeginRun(
                        run_id=state.run_id,
                        context_json=json.dumps(self._context(), default=str),
                        resumed=resumed,
                        blocking=blocking_nodes(state.specs, state.types),
                        aliases=aliases_to_wire(
                            {n: a for n, a in state.aliases.items() if len(a.states) > 1}
                        ),
                    )
                )

    def _context(self) -> Mapping[str, Any]:
        state = self._state
        packages = {"rigmesh": version("rigmesh")}
        for record in state.nodes.values():
            type_ = state.types[record.spec.type]
            packages[type_.name] = type_.version
        return {
            "host": self._host,
            "clock_id": clock_id(),
            "graph": state.graph.to_dict(),
            "metadata": state.metadata,
            "versions": packages,
            "started": state.started,
        }

    async def _open(self, names: list[str], timeout: float) -> None:
        state = self._state
        by_process = self._by_process(names)
        results = await asyncio.gather(
            *(
                state.processes[process].request(open=group_pb2.Open(nodes=nodes), timeout=timeout)
                for process, nodes in by_process.items()
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, NodeError):
                result.host = self._host
            if isinstance(result, BaseException):
                raise result

        def settled() -> bool:
            states = [state.nodes[name].state for name in names if name in state.nodes]
            return FAILED in states or all(s == READY for s in states)

        def waiting() -> str:
            late = [n for n in names if state.nodes[n].state != READY]
            reasons = [
                f"{name} waits for {', '.join(missing)}" if missing else f"{name} is not ready"
                for name in late
                if (missing := self._missing(name)) is not None
            ]
            return f"not ready within {timeout:.0f} s: " + "; ".join(reasons)

        await state.until(settled, timeout, waiting)
        self._raise_failures(names)

    def _missing(self, name: str) -> list[str]:
        inputs = self._state.nodes[name].spec.inputs.values()
        return [s for streams in inputs for s in streams if s not in self._state.infos]

    def _raise_failures(self, names: list[str]) -> None:
        for name in names:
            record = self._state.nodes[name]
            if record.state == FAILED and record.failure is not None:
                record.failure.host = self._host
                raise error_of(record.failure)

    async def _start_in_order(self, names: list[str]) -> None:
        state = self._state
        for name in start_order(state.specs):
            if name in names:
                await state.processes[state.nodes[name].process].request(
                    start=group_pb2.Start(nodes=[name], run_start=state.run_start)
                )

    # --- stop --------------------------------------------------------------------------------

    async def stop(self, timeout: float) -> None:
        """End the sources; everything behind them drains, closes and seals by itself.

        Raises
        ------
        WaitTimeout
            If something had to be forced; names it.
        """
        state = self._state
        if state.phase not in ("running", "starting"):
            return
        if self._mending:
            # A recorder that is just coming back gets the rest of its streams, and seals.
            await asyncio.wait(self._mending, timeout=timeout)
        state.set_phase("stopping")
        for task in list(self._mending):
            task.cancel()
        try:
            forced = await self._drain(timeout)
        finally:
            await self._force_stop()
            state.set_phase("idle")
        if forced:
            raise WaitTimeout(f"did not end within {timeout:.0f} s, and were forced: {forced}")

    async def wind_up(self, timeout: float) -> None:
        """Bring to rest what another daemon was about to start or to stop when it was killed."""
        state = self._state
        if state.phase == "stopping":
            state.phase = "running"
            await self._quietly(self.stop(timeout))
            return
        # A hook that was opening a device then returns only now, and is closed in another round.
        for _ in range(_ROUNDS):
            await self._force_stop()
            with contextlib.suppress(WaitTimeout):
                await state.until(lambda: not state.busy(), timeout / _ROUNDS, lambda: "")
                break
        state.set_phase("idle")

    async def _drain(self, timeout: float) -> str:
        state = self._state
        sources = [n for n, r in state.nodes.items() if state.types[r.spec.type].is_source]
        for process, names in self._by_process(sources).items():
            await self._quietly(
                state.processes[process].request(request_stop=group_pb2.RequestStop(nodes=names))
            )
        for name, record in state.nodes.items():
            if not record.spec.inputs and name not in sources:
                await self._finish([name], timeout)

        def flowing() -> list[str]:
            return [n for n, r in state.nodes.items() if r.state == _RUNNING]

        try:
            await state.until(lambda: not flowing(), timeout, lambda: ", ".join(flowing()))
        except WaitTimeout as error:
            return str(error)
        await state.until(lambda: not state.busy(), _SEAL_WITHIN, lambda: ", ".join(state.busy()))
        return ""

    async def _force_stop(self) -> None:
        state = self._state
        for name in reversed(start_order(state.specs)):
            if state.nodes[name].state in BUSY:
                await self._finish([name], 5.0)

    async def _finish(self, names: list[str], timeout: float) -> None:
        for process, mine in self._by_process(names).items():
            request = group_pb2.Finish(nodes=mine, timeout=timeout)
            await self._quietly(
                self._state.processes[process].request(finish=request, timeout=_SEAL_WITHIN)
            )

    async def _quietly(self, request: Any) -> None:
        try:
            await request
        except RigmeshError as error:
            _log.warning("%s", error)

    def _by_process(self, names: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self._state.nodes[name].process, []).append(name)
        return found

    # --- mend --------------------------------------------------------------------------------

    async def process_died(self, process: GroupProcess) -> None:
        """Say what was lost, and restart it if its group asks for that."""
        state = self._state
        names = state.of_process(process.name)
        was_busy = [n for n in names if state.nodes[n].state in BUSY]
        streams = [stream for name in names for stream in state.outputs(name)]
        for stream in streams:
            for ring in state.rings.get(stream, []):
                declare_lost(ring.segment)
        if not process.is_ending:
            _log.error("the process of group %s died (%s)", process.name, process.exit_text)
        error = NodeError(
            f"the process of group {process.name!r} died ({process.exit_text})", host=self._host
        )
        for name in was_busy:
            failure = failure_of(error)
            failure.node = name
            state.set_state(name, FAILED, failure)
        if process.is_ending or not was_busy:
            return
        if process.group.restart == "on-failure" and state.phase == "running":
            process.is_mending = True
            task = asyncio.create_task(self._mend(process, names, streams))
            self._mending.add(task)
            task.add_done_callback(partial(self._mended, process))
        else:
            await self.end_streams(streams)

    async def end_streams(self, streams: list[str]) -> None:
        """Tell who reads them that nothing follows."""
        state = self._state
        state.over.update(streams)
        for stream in streams:
            readers = {state.node(sink).process for s, sink, _ in state.links() if s == stream}
            for name in readers:
                if state.processes[name].is_alive:
                    await self._quietly(
                        state.processes[name].request(
                            stream_over=group_pb2.StreamOver(stream=stream)
                        )
                    )
        state.tell(control_pb2.Event(state=state.phase))

    async def _mend(self, process: GroupProcess, names: list[str], streams: list[str]) -> None:
        state = self._state
        while state.phase == "running":
            delay = process.backoff.delay(time.monotonic())
            if delay is None:
                _log.error(
                    "group %s failed 5 times in a minute; it is not restarted again", process.name
                )
                await self.end_streams(streams)
                return
            await asyncio.sleep(delay)
            try:
                await self._restart(process, names)
            except RigmeshError as error:
                _log.warning("restarting group %s failed: %s", process.name, error)
                continue
            process.restarts += 1
            _log.warning("group %s runs again (restart %d)", process.name, process.restarts)
            return

    def _mended(self, process: GroupProcess, task: asyncio.Task[None]) -> None:
        self._mending.discard(task)
        process.is_mending = False
        status = control_pb2.ProcessStatus(name=process.name, restarts=process.restarts)
        self._state.tell(control_pb2.Event(process=status))

    async def _restart(self, process: GroupProcess, names: list[str]) -> None:
        state = self._state
        # Before the new readers take the dead ones' slots.
        resume = {
            (stream, sink, port): self._dead_position(stream, f"{sink}.{port}")
            for stream, sink, port in state.links()
            if sink in names and split_port(stream)[0] not in names
        }
        if not process.is_alive:
            await process.start()
        else:
            for name in names:
                await self._quietly(process.request(remove_node=group_pb2.NodeName(name=name)))
        await self._builder.rebuild(process)
        await self._begin([process], resumed=True)
        for name in names:
            state.set_state(name, control_pb2.NODE_STATE_CREATED)
        for (stream, sink, port), position in resume.items():
            await self._builder.send_rings(stream, f"{sink}.{port}", position)
        await self._open(names, 30.0)
        await self._start_in_order(names)

    def _dead_position(self, stream: str, reader: str) -> tuple[int, int] | None:
        for ring in reversed(self._state.rings.get(stream, [])):
            index = position_of(ring.segment, reader)
            if index is not None:
                return ring.epoch, index
        return None
