"""A graph and its plan as tables of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rigmesh.graph.plan import GraphPlan, PlannedLink
from rigmesh.graph.spec import GraphSpec, GroupSpec, NodeSpec
from rigmesh.node.registry import NodeType

__all__ = ["Listing", "list_graph", "list_plan", "options_of", "parameters_of"]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table: its title, the heads of its columns, and rows of as many texts."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as a node has it; `unit` is empty if it has none."""

    name: str
    value: str
    is_default: bool
    is_live: bool
    unit: str = ""


def parameters_of(node: NodeSpec, type_: NodeType) -> Iterator[Parameter]:
    """Yield all parameters of a node, in the order of its class."""
    for name, schema in type_.schema.get("properties", {}).items():
        is_default = name not in node.params
        value = schema.get("default") if is_default else node.params[name]
        unit = str(schema.get("unit", ""))
        is_text = isinstance(value, str) and value
        text = str(value) if is_text else json.dumps(value, default=str)
        if unit and not isinstance(value, str):
            text = f"{text} {unit}"
        yield Parameter(name, text, is_default, bool(schema.get("live")), unit)


def options_of(group: GroupSpec) -> list[str]:
    """Return in words what is set about a group."""
    words: list[str] = []
    if group.cpus:
        words.append(f"CPU {_joined(group.cpus)}")
    if group.priority:
        words.append(f"real-time {group.priority} %")
    if group.wait != "block":
        words.append(group.wait.replace(")", " µs)"))
    if group.lock_memory:
        words.append("memory locked")
    if group.deadline:
        words.append(f"within {group.deadline * 1e3:g} ms")
    if group.restart != "never":
        words.append(f"restart {group.restart}")
    if group.buffer_seconds != GroupSpec("").buffer_seconds:
        words.append(f"rings of {group.buffer_seconds:g} s")
    return words


def list_graph(graph: GraphSpec, types: Mapping[str, NodeType]) -> Iterator[Listing]:
    """Yield the tables of a checked graph: nodes, ports with links, parameters, groups, aliases."""
    nodes = graph.nodes.values()
    yield Listing(
        "nodes",
        ("node", "type", "group", "replicas", "overflow"),
        [
            (n.name, n.type, n.group, str(n.replicate) if n.replicate > 1 else "", n.overflow)
            for n in nodes
        ],
    )
    yield Listing(
        "ports",
        ("port", "", "kind", "linked with"),
        [row for node in nodes for row in _ports(node, types[node.type], graph)],
    )
    yield Listing(
        "parameters",
        ("parameter", "value", "", "live"),
        [
            (
                f"{node.name}.{p.name}", p.value, "default" if p.is_default else "set",
                "live" if p.is_live else "",
            )
            for node in nodes
            for p in parameters_of(node, types[node.type])
        ],
    )  # fmt: skip
    if graph.groups:
        rows = [(g.name, ", ".join(options_of(g)) or "as usual") for g in graph.groups.values()]
        yield Listing("groups", ("group", "options"), rows)
    if graph.aliases:
        yield Listing(
            "aliases",
            ("alias", "states", "written by", "meaning"),
            [(name, ", ".join(a.states), a.write, a.doc) for name, a in graph.aliases.items()],
        )


def list_plan(plan: GraphPlan) -> Iterator[Listing]:
    """Yield the tables of a plan: where nodes run, how streams travel, and what wakes up."""
    processes = plan.processes
    yield Listing(
        "placement",
        ("node", "type", "host", "group", "process", "lane"),
        [
            (n.name, n.type, "local", n.group, n.process, str(n.lane))
            for n in sorted(plan.nodes.values(), key=lambda n: processes.index(n.process))
        ],
    )
    yield Listing(
        "links",
        ("stream", "input", "transport", "wake-ups"),
        [(*_ends(link), link.transport, _woken(link)) for link in plan.links],
    )
    shown = [(" → ".join(path.nodes), str(path.wake_ups)) for path in plan.paths]
    if plan.n_paths > len(shown):
        shown.append((f"… and {plan.n_paths - len(shown)} more", ""))
    yield Listing("paths", ("path", "wake-ups"), shown)


def _ports(node: NodeSpec, type_: NodeType, graph: GraphSpec) -> Iterator[tuple[str, ...]]:
    for port in type_.inputs:
        streams = ", ".join(node.inputs.get(port.name, ()))
        yield f"{node.name}.{port.name}", "in", " or ".join(port.kinds), streams
    for port in type_.outputs:
        stream = f"{node.name}.{port.name}"
        takers = ", ".join(
            f"{name}.{taking}"
            for name, other in graph.nodes.items()
            for taking, streams in other.inputs.items()
            if stream in streams
        )
        yield stream, "out", " or ".join(port.kinds), takers


def _ends(link: PlannedLink) -> tuple[str, str]:
    if link.transport == "lsl":
        return (link.stream, "LSL") if link.stream else ("LSL", link.sink)
    return link.stream, f"{link.sink}.{link.port}"


def _woken(link: PlannedLink) -> str:
    return {"call": "", "ring": "+1", "lsl": ""}[link.transport]


def _joined(numbers: Sequence[Any]) -> str:
    """Write numbers as ranges.

    Examples
    --------
    >>> _joined([0, 2, 3, 4])
    '0,2-4'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
