"""What of a graph can run over a recording: what is computed, what is played, what is left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.graph import GraphSpec, NodeSpec, check_order, split_port
from rigmesh.node.registry import NodeType

__all__ = ["ReplayPlan", "plan_replay"]

_OUTSIDE = ("lsl", "neuralynx", "record", "relay", "replay", "serial_ttl")
"""Modules of nodes that reach the world outside: what they give is not computed."""


@dataclass(slots=True)
class ReplayPlan:
    """What is to be done with each node and stream.

    Attributes
    ----------
    computed : list of NodeSpec
        Nodes that run, those they take from first.
    played : list of str
        Streams that are played from the recording.
    compared : list of str
        Streams that are computed, and recorded.
    left_out : dict of str to str
        Nodes that do not run, and why.
    not_compared : dict of str to str
        Recorded streams that are neither played nor compared, and why.
    several_inputs : list of str
        Computed nodes to which chunks come from several streams.
    """

    computed: list[NodeSpec] = field(default_factory=list)
    played: list[str] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    not_compared: dict[str, str] = field(default_factory=dict)
    several_inputs: list[str] = field(default_factory=list)


def plan_replay(
    graph: GraphSpec,
    types: Mapping[str, NodeType],
    recorded: Collection[str],
    *,
    streams: Collection[str] = (),
    without: Collection[str] = (),
) -> ReplayPlan:
    """Decide which nodes run over a recording.

    A node runs if all it takes is computed or recorded; what another one gives is played.

    Parameters
    ----------
    graph : GraphSpec
        As it was checked.
    types : dict of str to NodeType
        Every type it has.
    recorded : collection of str
        Streams of the recording that have samples, or could have.
    streams : collection of str
        Compare only these.
    without : collection of str
        Nodes that are not to run.

    Raises
    ------
    UnknownName
        If a node or stream that is named does not exist.
    RecordingError
        If nothing would be compared.
    """
    plan = ReplayPlan()
    for name in without:
        if name not in graph.nodes:
            raise UnknownName.among("node", name, graph.nodes)
    runs: dict[str, NodeSpec] = {}
    for name in check_order(graph.nodes):
        node = graph.nodes[name]
        reason = _why_not(node, types[node.type], runs, types, recorded)
        if name in without:
            reason = "as asked"
        if reason:
            plan.left_out[name] = reason
        else:
            runs[name] = node
    computed = [f"{n}.{port.name}" for n, node in runs.items() for port in types[node.type].outputs]
    for stream in streams:
        if stream not in computed or stream not in recorded:
            both = [one for one in computed if one in recorded]
            raise UnknownName.among("stream that is recorded and computed", stream, both)
    plan.compared = [s for s in computed if s in recorded and (not streams or s in streams)]
    _keep_what_is_needed(plan, runs, types)
    plan.not_compared = dict(_others(plan, graph, recorded, computed, streams))
    if not plan.compared:
        raise RecordingError(
            "there is nothing to compare: no stream that this graph computes is recorded. "
            f"Recorded: {', '.join(recorded) or 'none'}; computed: {', '.join(computed) or 'none'}"
            + "".join(f"; {name} is left out: {why}" for name, why in plan.left_out.items())
        )
    return plan


def _why_not(
    node: NodeSpec,
    type_: NodeType,
    runs: Mapping[str, NodeSpec],
    types: Mapping[str, NodeType],
    recorded: Collection[str],
) -> str:
    """Return why a node does not run; empty if it does."""
    taken = [stream for streams in node.inputs.values() for stream in streams]
    module = type_.name.rpartition(".")[0]
    if type_.is_source or not taken:
        return "a source: what it gave is played"
    if module in _OUTSIDE or type_.detached:
        return "it acts on the world outside"
    if not type_.outputs:
        return "it gives nothing"
    missing = [
        stream for stream in taken if split_port(stream)[0] not in runs and stream not in recorded
    ]
    if missing:
        return f"it takes {', '.join(missing)}, which is not recorded"
    return ""


def _keep_what_is_needed(
    plan: ReplayPlan, runs: Mapping[str, NodeSpec], types: Mapping[str, NodeType]
) -> None:
    wanted = {split_port(stream)[0] for stream in plan.compared}
    played: dict[str, None] = {}
    for name in reversed(list(runs)):
        if name not in wanted:
            continue
        node = runs[name]
        plan.computed.insert(0, node)
        taken = [stream for streams in node.inputs.values() for stream in streams]
        wanted |= {split_port(stream)[0] for stream in taken}
        played |= {s: None for s in taken if split_port(s)[0] not in runs}
        if len(taken) > 1:
            plan.several_inputs.insert(0, name)
    plan.played = sorted(played)


def _others(
    plan: ReplayPlan,
    graph: GraphSpec,
    recorded: Collection[str],
    computed: Collection[str],
    streams: Collection[str],
) -> list[tuple[str, str]]:
    found = []
    for stream in recorded:
        node = split_port(stream)[0]
        if stream in plan.compared or stream in plan.played:
            continue
        if streams and stream in computed:
            continue
        if node not in graph.nodes:
            found.append((stream, "the graph has no such node"))
        elif node in plan.left_out:
            why = plan.left_out[node]
            found.append((stream, "" if why.startswith("a source") else why))
        else:
            found.append((stream, "the node has no such output"))
    return [(stream, why) for stream, why in found if why]
