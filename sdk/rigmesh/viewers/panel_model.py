"""What a panel knows of its hosts, and what follows from it: no windows, no calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from rigmesh.graph import GraphSpec, GroupSpec, NodeSpec, plan_graph
from rigmesh.graph.plan import GraphPlan
from rigmesh.graph.wire import group_from_wire, node_from_wire
from rigmesh.names import RELAY
from rigmesh.node.registry import NodeType, PortType
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import ReaderCounters, StreamCounters

__all__ = [
    "HostView",
    "NodeView",
    "Rates",
    "Trouble",
    "graph_state",
    "nodes_of",
    "plan_of",
    "shape_of",
    "state_of",
    "troubles_of",
    "verdict_of",
]

Counters = TypeVar("Counters")
Link = Literal["waiting", "live", "gone"]

_RATE_OVER = 2.0
_DISK_LOW = 600.0
"""Seconds that a disk lasts below which that is told."""
_REMOTE_PORT = "from the other host"
_UNKNOWN = NodeType("")


@dataclass(frozen=True, slots=True)
class HostView:
    """A host as it was seen last.

    Parameters
    ----------
    key : str
        Its address as it was asked for; empty for this machine.
    link : str
        Whether its daemon answers: ``waiting`` (not yet), ``live`` or ``gone``.
    why : str
        Why it does not.
    status : Status
        As the daemon told it last.
    types : dict of str to NodeType
        Of its nodes.
    states : dict of str to any
        States and live parameters of the nodes, ``node.state``, and aliases.
    graph : GraphSpec
        Its name and aliases.
    clock : str
        What has to be added to its stamps.
    """

    key: str
    link: Link = "waiting"
    why: str = ""
    status: pb.Status = field(default_factory=pb.Status)
    types: Mapping[str, NodeType] = field(default_factory=dict)
    states: Mapping[str, Any] = field(default_factory=dict)
    graph: pb.GraphSpec = field(default_factory=pb.GraphSpec)
    clock: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.status.host or self.key or "this machine"

    @property
    def is_live(self) -> bool:
        """Whether its daemon answers."""
        return self.link == "live"

    @property
    def cpu(self) -> float:
        """CPU time of all processes, in % of one core."""
        return sum(process.cpu_percent for process in self.status.processes)

    @property
    def memory(self) -> int:
        """Memory of the daemon and all processes, in bytes."""
        of_processes = sum(process.memory_bytes for process in self.status.processes)
        return of_processes + self.status.memory_bytes

    def address(self) -> str:
        """Return where others reach it."""
        return self.status.address or self.key


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node on a host.

    Parameters
    ----------
    key : str
        Names it among all nodes of all hosts.
    states : dict of str to any
        States and live parameters, by their own names.
    outputs, readers, counters
        What is counted of its streams, of what it reads, and of its chunks.
    """

    key: str
    host: HostView
    status: pb.NodeStatus
    type: NodeType
    states: Mapping[str, Any]
    outputs: Sequence[StreamCounters]
    readers: Sequence[ReaderCounters]
    counters: Sequence[pb.NodeCounters]

    @property
    def name(self) -> str:
        """As its graph calls it."""
        return self.status.spec.name

    @property
    def state(self) -> str:
        """In words; ``not known`` while its host does not answer."""
        return state_of(self.status) if self.host.is_live else "not known"

    @property
    def failure(self) -> str:
        """Why it failed, if it did."""
        return self.status.failure.message if self.status.HasField("failure") else ""

    @property
    def report(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = json.loads(self.status.report_json or "{}")
        return found

    @property
    def parameters(self) -> dict[str, Any]:
        """As they are now: live ones as the node has them, the others as they were set."""
        given: dict[str, Any] = json.loads(self.status.spec.params_json or "{}")
        known = self.type.schema.get("properties", {})
        return {**given, **{n: v for n, v in self.states.items() if n in known}}

    @property
    def lost(self) -> int:
        """Samples missing in what it gives or got."""
        given = sum(counters.lost for counters in self.outputs)
        return given + sum(sum(reader.lost.values()) for reader in self.readers)

    @property
    def fill(self) -> float | None:
        """How full the fullest ring is that it reads, 0 to 1; None if it reads none."""
        return max((reader.fill for reader in self.readers), default=None)

    @property
    def lag(self) -> int:
        """How many samples it is behind, at most."""
        return max((reader.lag for reader in self.readers), default=0)

    @property
    def latency(self) -> tuple[float, float, int] | None:
        """p50 and p99 in seconds, and how many chunks were late; None without chunks."""
        counted = [counters for counters in self.counters if counters.chunks]
        if not counted:
            return None
        worst = max(counted, key=lambda c: c.latency_p99)
        return worst.latency_p50, worst.latency_p99, worst.late

    @property
    def is_recorder(self) -> bool:
        """Whether it writes files."""
        return {"phase", "written_mb", "alarms"} <= {state.name for state in self.type.states}


class Rates:
    """Rates of counters over the last two seconds."""

    def __init__(self) -> None:
        self._history: dict[str, list[tuple[float, int]]] = {}

    def rate(self, key: str, count: int, time: float) -> float | None:
        """Return how fast a count grows, a second; None before there are two.

        Parameters
        ----------
        time : float
            Of the count: it is made anew a few times a second only.
        """
        history = self._history.setdefault(key, [])
        if history and (history[-1][0] > time or history[-1][1] > count):
            history.clear()  # another run
        if not history or history[-1][0] < time:
            history.append((time, count))
        while len(history) > 2 and time - history[0][0] > _RATE_OVER:
            history.pop(0)
        (first, begin), (last, end) = history[0], history[-1]
        return (end - begin) / (last - first) if last > first else None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know now."""

    level: Literal["bad", "warn"]
    where: str
    text: str
    node: str = ""
    """Key of the node, if it is one."""


def state_of(status: pb.NodeStatus) -> str:
    """Return a node's state in words."""
    return pb.NodeState.Name(status.state).removeprefix("NODE_STATE_").lower()


def graph_state(views: Sequence[HostView]) -> str:
    """Return what all the hosts together do."""
    states = {view.status.state for view in views if view.is_live and view.status.nodes}
    for name in ("starting", "stopping", "running"):
        if name in states:
            return name
    return "idle" if any(view.is_live for view in views) else "gone"


def nodes_of(views: Sequence[HostView]) -> dict[str, NodeView]:
    """Return all nodes by their keys."""
    found = {}
    for number, view in enumerate(views):
        states: dict[str, dict[str, Any]] = {}
        for reference, value in view.states.items():
            node, _, name = reference.partition(".")
            states.setdefault(node, {})[name] = value
        outputs = _by_node(view.status.stream_counters, lambda c: c.stream)
        readers = _by_node(view.status.reader_counters, lambda c: c.reader)
        counters = _by_node(view.status.node_counters, lambda c: c.node)
        for status in view.status.nodes:
            name = status.spec.name
            key = f"{number}/{name}"
            found[key] = NodeView(
                key,
                view,
                status,
                view.types.get(status.spec.type, _UNKNOWN),
                states.get(name, {}),
                outputs.get(name, ()),
                readers.get(name, ()),
                counters.get(name, ()),
            )
    return found


def _by_node(
    counted: Iterable[Counters], name: Callable[[Counters], str]
) -> dict[str, list[Counters]]:
    found: dict[str, list[Counters]] = {}
    for each in counted:
        found.setdefault(name(each).partition(".")[0], []).append(each)
    return found


def shape_of(views: Sequence[HostView]) -> tuple[object, ...]:
    """Return what the picture of the graph depends on."""
    return tuple(
        (
            view.key, spec.name, spec.type, spec.group, node.process, spec.params_json
            if spec.type == RELAY else "", spec.type in view.types,
            tuple((port, tuple(s.names)) for port, s in sorted(spec.inputs.items())),
        )
        for view in views
        for node in view.status.nodes
        for spec in [node.spec]
    )  # fmt: skip


def plan_of(views: Sequence[HostView]) -> tuple[GraphPlan, dict[str, NodeType]] | None:
    """Return the graphs of all hosts as one, with the keys as names; None if there are no nodes.

    A stream that a relay brings is a link to the relay from the node that makes it.
    """
    nodes: dict[str, NodeSpec] = {}
    groups: dict[str, GroupSpec] = {}
    types: dict[str, NodeType] = {}
    keys = nodes_of(views)
    for number, view in enumerate(views):
        groups.update({f"{number}/{g.name}": group_from_wire(g) for g in view.status.groups})
    for key, node in keys.items():
        at = key.partition("/")[0]
        spec = node_from_wire(node.status.spec)
        type_ = f"{at}/{spec.type}"
        types[type_] = _with_ports(node)
        inputs = {
            port: tuple(f"{at}/{s}" for s in streams) for port, streams in spec.inputs.items()
        }
        if spec.type == RELAY and (source := _source_of(spec, views, keys)):
            inputs[_REMOTE_PORT] = (source,)
            type_ = f"{type_} from afar"
            types[type_] = replace(node.type, inputs=(PortType(_REMOTE_PORT, ()),))
        group = f"{at}/{spec.group}"
        groups.setdefault(group, GroupSpec(group))
        nodes[key] = replace(spec, name=key, type=type_, group=group, inputs=inputs)
    if not nodes:
        return None
    name = next((view.graph.name for view in views if view.graph.name), "graph")
    return plan_graph(GraphSpec(name, nodes, groups), types), types


def _with_ports(node: NodeView) -> NodeType:
    """Return the type of a node; made up from its links as long as it is not known."""
    if node.type.name:
        return node.type
    spec = node.status.spec
    inputs = tuple(PortType(port, ()) for port in spec.inputs)
    outputs = tuple(PortType(stream.partition(".")[2], ()) for stream in node.status.outputs)
    return NodeType(spec.type, inputs=inputs, outputs=outputs)


def _source_of(relay: NodeSpec, views: Sequence[HostView], keys: Mapping[str, NodeView]) -> str:
    """Return the stream that a relay brings, if its host is one of ours."""
    address, stream = str(relay.params.get("address", "")), str(relay.params.get("stream", ""))
    for number, view in enumerate(views):
        key = f"{number}/{stream.partition('.')[0]}"
        if address and address in (view.key, view.address()) and key in keys:
            outputs = keys[key].status.outputs
            full = stream if "." in stream else next(iter(outputs), "")
            return f"{number}/{full}" if full in outputs else ""
    return ""


def verdict_of(node: NodeView) -> str:
    """Return how a recording is, in a word or two."""
    if node.state in ("failed", "not known"):
        return node.state
    verdict = str(node.report.get("verdict", ""))
    phase = str(node.states.get("phase", ""))
    if node.state == "running" or not verdict:
        return phase or "idle"
    return verdict


def troubles_of(views: Sequence[HostView], by_key: Mapping[str, NodeView]) -> Iterator[Trouble]:
    """Yield all that is wrong now with hosts and their nodes, the worst first."""
    nodes = by_key.values()
    for view in views:
        if view.link == "gone":
            yield Trouble("bad", view.name, f"{view.why} (trying again)")
    for node in nodes:
        if node.state == "failed":
            yield Trouble("bad", node.name, node.failure or "failed", node.key)
        for alarm in node.states.get("alarms", []) if node.is_recorder else []:
            yield Trouble("bad", node.name, str(alarm), node.key)
    for node in nodes:
        left = node.states.get("free_seconds", -1.0) if node.is_recorder else -1.0
        if 0 <= left < _DISK_LOW:
            yield Trouble("warn", node.name, f"the disk lasts {left / 60:.0f} min", node.key)
        if node.lost:
            yield Trouble("warn", node.name, f"{node.lost:,} samples are missing", node.key)
    for view in views:
        for process in view.status.processes:
            if not process.alive and view.status.state == "running":
                yield Trouble("bad", f"{view.name}: {process.name}", "its process has ended")
            elif process.restarts:
                n = process.restarts
                times = "once" if n == 1 else f"{n} times"
                yield Trouble("warn", f"{view.name}: {process.name}", f"was restarted {times}")
