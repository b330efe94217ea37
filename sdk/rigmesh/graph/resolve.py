"""What the references of a graph name, in which order its nodes come, and how mistakes are told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from rigmesh.errors import GraphError, UnknownName, near_miss
from rigmesh.graph.spec import GraphSpec, NodeSpec, split_port
from rigmesh.node.registry import NodeType, PortType

__all__ = ["check_order", "find_output", "locate", "raise_all"]

_PATH = re.compile(r"((?:nodes|groups|aliases)\S*): ")

Error = TypeVar("Error", bound=GraphError)


def find_output(
    stream: str, nodes: Mapping[str, NodeSpec], types: Mapping[str, NodeType], where: str = "stream"
) -> tuple[str, PortType]:
    """Return the full name and the port of ``node.port``, or of ``node`` with a single output.

    Raises
    ------
    UnknownName
        If there is none.
    """
    node_name, port = split_port(stream)
    if node_name not in nodes:
        raise UnknownName(f"{where}: {UnknownName.among('node', node_name, nodes)}")
    type_ = types[nodes[node_name].type]
    outputs = {p.name: p for p in type_.outputs}
    if not port and len(outputs) == 1:
        port = next(iter(outputs))
    if port not in outputs:
        hint = near_miss(port, outputs)
        known = ", ".join(f"{node_name}.{name}" for name in outputs) or "it has none"
        raise UnknownName(f"{where}: no output {stream!r}{hint}; known: {known}")
    return f"{node_name}.{port}", outputs[port]


def check_order(nodes: Mapping[str, NodeSpec]) -> list[str]:
    """Return the nodes' names, sources first.

    Raises
    ------
    GraphError
        If links form a circle.
    """
    before = {
        name: {split_port(s)[0] for streams in node.inputs.values() for s in streams}
        for name, node in nodes.items()
    }
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise GraphError(_explain_circle(circle, nodes)) from error


def _explain_circle(circle: list[str], nodes: Mapping[str, NodeSpec]) -> str:
    # It begins at the node that is written first, whichever the search came upon.
    order = list(nodes)
    first = min(range(len(circle) - 1), key=lambda at: order.index(circle[at]))
    circle = [*circle[first:-1], *circle[:first], circle[first]]
    source, sink = circle[-2:]
    port = next(
        port
        for port, streams in nodes[sink].inputs.items()
        if source in {split_port(s)[0] for s in streams}
    )
    edges = " → ".join(circle)
    return (
        f"nodes.{sink}.inputs.{port}: the links go round in a circle: {edges}; take one of them "
        "out: a value goes back as a state or live parameter that nodes share (aliases:), a stream "
        "by lsl.Outlet and lsl.Inlet, with the delay of that way"
    )


def raise_all(problems: Sequence[GraphError]) -> None:
    """Raise what there is: one error as it is, several as one with a line each.

    Raises
    ------
    GraphError
        If there is any.
    """
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise GraphError("\n".join(str(problem) for problem in problems))


def locate(error: Error, graph: GraphSpec) -> Error:
    """Return an error whose lines begin with their place in the file of a graph.

    Parameters
    ----------
    error : GraphError
        Of a check, here or in a daemon: its lines begin with paths.
    graph : GraphSpec
        As it was read; of one that was not read from a file, the error stays as it is.
    """
    if not graph.lines:
        return error
    told: dict[tuple[str, str], str] = {}
    for line in str(error).splitlines():
        match = _PATH.match(line)
        if match is None:
            told.setdefault(("", line), line)
            continue
        place = graph.where(match[1])
        # The nodes of a range have their mistakes in common.
        told.setdefault((place, line[match.end() :]), f"{place}: {line}")
    return type(error)("\n".join(told.values()))
