"""What the daemon knows of its graph: nodes, groups, processes, rings, and who watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rigmesh.errors import UnknownName, WaitTimeout
from rigmesh.graph import MAIN, AliasSpec, GraphSpec, GroupSpec, NodeSpec, find_output
from rigmesh.graph.wire import node_to_wire
from rigmesh.node.registry import NodeType
from rigmesh.transports import unlink
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2, stream_pb2

__all__ = ["BUSY", "GraphState", "NodeRecord", "Owner"]

CREATED = control_pb2.NODE_STATE_CREATED
READY = control_pb2.NODE_STATE_READY
STOPPED = control_pb2.NODE_STATE_STOPPED
FAILED = control_pb2.NODE_STATE_FAILED
BUSY = (
    control_pb2.NODE_STATE_OPEN,
    control_pb2.NODE_STATE_READY,
    control_pb2.NODE_STATE_RUNNING,
    control_pb2.NODE_STATE_ENDED,
)

_KEPT_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may change a graph.

    Parameters
    ----------
    name : str
        As the client says and its token shows; empty: nobody yet.
    since : float
        Unix time.
    """

    name: str = ""
    since: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}, since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


@dataclass(slots=True)
class NodeRecord:
    """A node as the daemon keeps it."""

    spec: NodeSpec
    process: str
    state: control_pb2.NodeState.ValueType = CREATED
    failure: control_pb2.Failure | None = None
    report_json: str = ""


@dataclass
class GraphState:
    """Everything about the graph that is not a process's own business."""

    name: str = "graph"
    metadata: dict[str, object] = field(default_factory=dict)
    types: dict[str, NodeType] = field(default_factory=dict)
    groups: dict[str, GroupSpec] = field(default_factory=dict)
    aliases: dict[str, AliasSpec] = field(default_factory=dict)
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    processes: dict[str, GroupProcess] = field(default_factory=dict)
    rings: dict[str, list[stream_pb2.Ring]] = field(default_factory=dict)
    infos: dict[str, stream_pb2.StreamInfo] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    phase: str = "idle"
    run_id: str = ""
    run_start: float = 0.0
    started: float = 0.0
    owner: Owner = Owner()
    watchers: set[asyncio.Queue[control_pb2.Event]] = field(default_factory=set)
    on_change: Callable[[control_pb2.Event], None] = lambda event: None
    """Told of each event, but not of each change that a client asked for."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    # --- looking -----------------------------------------------------------------------------

    @property
    def specs(self) -> dict[str, NodeSpec]:
        """The nodes' specs by name."""
        return {name: record.spec for name, record in self.nodes.items()}

    @property
    def graph(self) -> GraphSpec:
        """The graph as it could be saved."""
        return GraphSpec(self.name, self.specs, self.groups, self.metadata, self.aliases)

    def node(self, name: str) -> NodeRecord:
        """Return a node.

        Raises
        ------
        UnknownName
            If there is none.
        """
        if name not in self.nodes:
            raise UnknownName.among("node", name, self.nodes)
        return self.nodes[name]

    def group(self, name: str) -> GroupSpec:
        """Return a group; `main` is always there.

        Raises
        ------
        UnknownName
            If there is none.
        """
        if name == MAIN and name not in self.groups:
            self.groups[MAIN] = GroupSpec(MAIN)
        if name not in self.groups:
            raise UnknownName.among("group", name, self.groups)
        return self.groups[name]

    def stream(self, reference: str) -> str:
        """Return the full name of a stream.

        Raises
        ------
        UnknownName
            If no node gives it.
        """
        return find_output(reference, self.specs, self.types)[0]

    def links(self) -> Iterator[tuple[str, str, str]]:
        """Yield (stream, sink, port) of every link."""
        for name, record in self.nodes.items():
            for port, streams in record.spec.inputs.items():
                for stream in streams:
                    yield stream, name, port

    def process_of_stream(self, stream: str) -> str:
        """Return the process that makes a stream."""
        return self.node(stream.partition(".")[0]).process

    async def rings_of(self, stream: str) -> AsyncIterator[stream_pb2.Ring | None]:
        """Yield the ring of each epoch of a stream as it comes, then None at its end."""
        queue = self.watch()
        sent: set[int] = set()
        run_id = self.run_id
        try:
            while True:
                for ring in list(self.rings.get(stream, [])):
                    if ring.epoch not in sent:
                        sent.add(ring.epoch)
                        yield ring
                if stream in self.over or (sent and self.run_id != run_id):
                    yield None
                    return
                run_id = self.run_id
                await queue.get()
        finally:
            self.unwatch(queue)

    def of_process(self, process: str) -> list[str]:
        """Return the nodes of a process."""
        return [name for name, record in self.nodes.items() if record.process == process]

    def busy(self) -> list[str]:
        """Return the nodes that have not stopped."""
        return [name for name, record in self.nodes.items() if record.state in BUSY]

    def outputs(self, name: str) -> list[str]:
        """Return the full names of a node's streams."""
        type_ = self.types[self.node(name).spec.type]
        return [f"{name}.{port.name}" for port in type_.outputs]

    def node_status(self, name: str) -> control_pb2.NodeStatus:
        """Return the message of a node."""
        record = self.node(name)
        return control_pb2.NodeStatus(
            spec=node_to_wire(record.spec),
            process=record.process,
            state=record.state,
            failure=record.failure,
            outputs=self.outputs(name),
            report_json=record.report_json,
        )

    # --- changing ----------------------------------------------------------------------------

    def set_state(
        self,
        name: str,
        state: control_pb2.NodeState.ValueType,
        failure: control_pb2.Failure | None = None,
        report_json: str = "",
    ) -> None:
        """Take note of a node's state."""
        record = self.nodes.get(name)
        if record is None:
            return
        record.state = state
        record.report_json = report_json or record.report_json
        if failure is not None or state != FAILED:
            record.failure = failure
        self.tell(control_pb2.Event(node=self.node_status(name)))

    def set_phase(self, phase: str) -> None:
        """Take note of what the graph as a whole does."""
        self.phase = phase
        self.tell(control_pb2.Event(state=phase))

    def add_ring(self, ring: stream_pb2.Ring) -> None:
        """Take note of where an epoch lies."""
        known = self.rings.setdefault(ring.stream, [])
        if all(ring.segment != each.segment for each in known):
            known.append(ring)
        self.tell(control_pb2.Event(ring=ring))

    def forget_rings(self, streams: list[str] | None = None) -> None:
        """Remove the rings of streams, or all, that their writers may have left."""
        for stream in list(self.rings) if streams is None else streams:
            for ring in self.rings.pop(stream, []):
                unlink(ring.segment)

    def clear(self, types: Mapping[str, NodeType]) -> None:
        """Forget the graph; keep who watches, and the types that are installed."""
        self.name, self.metadata, self.types = "graph", {}, dict(types)
        for kept in (
            self.aliases,
            self.groups,
            self.nodes,
            self.processes,
            self.infos,
            self.epochs,
        ):
            kept.clear()
        self.published.clear()
        self.over.clear()
        self.run_id = ""

    def tell(self, event: control_pb2.Event) -> None:
        """Wake who waits for a change, and hand the event to who watches."""
        self._changed.set()
        self._changed = asyncio.Event()
        self.on_change(event)
        for queue in self.watchers:
            if queue.full():  # a watcher that does not read loses the oldest, never stops us
                queue.get_nowait()
            queue.put_nowait(event)

    def watch(self) -> asyncio.Queue[control_pb2.Event]:
        """Return a queue of all events from now on; give it back with `unwatch`."""
        queue: asyncio.Queue[control_pb2.Event] = asyncio.Queue(_KEPT_EVENTS)
        self.watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[control_pb2.Event]) -> None:
        """Stop watching."""
        self.watchers.discard(queue)

    async def until(
        self, condition: Callable[[], bool], timeout: float, what: Callable[[], str]
    ) -> None:
        """Wait for a condition.

        Parameters
        ----------
        condition : callable
            Looked at after each change.
        timeout : float
            In seconds.
        what : callable
            Says what was waited for, and what stands in the way.

        Raises
        ------
        WaitTimeout
            If it does not come true in time.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), deadline - time.monotonic())
            except TimeoutError:
                if condition():
                    return
                raise WaitTimeout(what()) from None
