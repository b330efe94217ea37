"""Whether a graph can run: types, inputs, links and parameters, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rigmesh.errors import GraphError, PortMismatch, UnknownName, near_miss
from rigmesh.graph.aliases import alias_problems
from rigmesh.graph.expand import expand_graph
from rigmesh.graph.resolve import find_output, locate, raise_all
from rigmesh.graph.spec import GraphSpec, NodeSpec
from rigmesh.node.registry import NodeType, PortType, find_type

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["check_graph", "check_link", "check_node", "check_params"]


def check_graph(graph: GraphSpec, types: Mapping[str, NodeType]) -> GraphSpec:
    """Check a whole graph and complete it: full type names and ports, ranges and replicas.

    Raises
    ------
    GraphError
        With one line a mistake, each with the path to it, and with its place in the graph's file
        if there is one. A PortMismatch or UnknownName if that is the only one.
    """
    try:
        return _checked(graph, types)
    except GraphError as error:
        raise locate(error, graph) from error


def _checked(graph: GraphSpec, types: Mapping[str, NodeType]) -> GraphSpec:
    problems: list[GraphError] = []
    nodes: dict[str, NodeSpec] = {}
    for name, node in graph.nodes.items():
        try:
            nodes[name] = check_node(node, types)
        except GraphError as error:
            problems.append(error)
    raise_all(problems)
    graph = expand_graph(replace(graph, nodes=nodes), types)
    nodes = dict(graph.nodes)
    for name, node in nodes.items():
        nodes[name] = replace(node, inputs=dict(_links(node, nodes, types, problems)))
        problems.extend(_missing_inputs(node, types))
    problems.extend(alias_problems(graph.aliases, nodes, types))
    raise_all(problems)
    return replace(graph, nodes=nodes)


def check_node(node: NodeSpec, types: Mapping[str, NodeType]) -> NodeSpec:
    """Check a node's type and parameters; return it with the full name of its type.

    Raises
    ------
    GraphError
        Naming what is wrong.
    """
    try:
        found = find_type(node.type, types)
    except GraphError as error:
        raise type(error)(f"nodes.{node.name}.type: {error}") from error
    check_params(node.name, node.params, found)
    if node.overflow == "block" and not found.can_wait:
        raise GraphError(
            f"nodes.{node.name}.overflow: {found.name} cannot wait; only sources backed by a file "
            "or a simulation can"
        )
    return replace(node, type=found.name)


def check_params(name: str, params: Mapping[str, Any], type_: NodeType) -> None:
    """Check parameters against the schema of their type.

    Raises
    ------
    GraphError
        With a line a mistake.
    """
    # Each node group imports this module, and none of them checks a graph.
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(type_.schema)
    lines = [_explain(name, error, params, type_) for error in validator.iter_errors(dict(params))]
    if lines:
        raise GraphError("\n".join(sorted(lines)))


def check_link(
    stream: str,
    sink: NodeSpec,
    port: str,
    nodes: Mapping[str, NodeSpec],
    types: Mapping[str, NodeType],
) -> str:
    """Check one link; return the full name of the stream.

    Raises
    ------
    UnknownName
        If the node or one of the ports does not exist.
    PortMismatch
        If the input does not take what the output gives.
    """
    where = f"nodes.{sink.name}.inputs.{port}"
    into = types[sink.type]
    by_name = {p.name: p for p in into.inputs}
    if port not in by_name:
        hint = near_miss(port, by_name)
        known = ", ".join(by_name) or "it has none"
        raise UnknownName(f"{where}: {into.name} has no such input{hint}; known: {known}")
    full, output = find_output(stream, nodes, types, where)
    if not set(output.kinds) & set(by_name[port].kinds):
        raise PortMismatch(
            f"{where}: {sink.name}.{port} takes {_kinds(by_name[port])}; "
            f"{full} gives {_kinds(output)}"
        )
    return full


def _links(
    node: NodeSpec,
    nodes: Mapping[str, NodeSpec],
    types: Mapping[str, NodeType],
    problems: list[GraphError],
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for port, streams in node.inputs.items():
        found = []
        for stream in streams:
            try:
                found.append(check_link(stream, node, port, nodes, types))
            except GraphError as error:
                problems.append(error)
        known = {p.name: p for p in types[node.type].inputs}
        if len(found) > 1 and port in known and not known[port].many:
            problems.append(
                GraphError(
                    f"nodes.{node.name}.inputs.{port}: takes one stream, not {len(found)}: "
                    f"{', '.join(found)}"
                )
            )
        yield port, tuple(found)


def _missing_inputs(node: NodeSpec, types: Mapping[str, NodeType]) -> Iterator[GraphError]:
    for port in types[node.type].inputs:
        if not port.optional and not node.inputs.get(port.name):
            yield GraphError(f"nodes.{node.name}.inputs.{port.name}: missing; takes {_kinds(port)}")


def _kinds(port: PortType) -> str:
    return " or ".join(kind.capitalize() for kind in port.kinds)


def _explain(node: str, error: ValidationError, params: Mapping[str, Any], type_: NodeType) -> str:
    path = ".".join([f"nodes.{node}.params", *(str(step) for step in error.absolute_path)])
    known = list(type_.schema.get("properties", {}))
    if error.validator == "additionalProperties":
        extra = next(name for name in params if name not in known)
        hint = near_miss(extra, known)
        return (
            f"{path}.{extra}: no such parameter{hint}; known: {', '.join(sorted(known)) or 'none'}"
        )
    if error.validator == "required":
        required = type_.schema["required"]
        missing = next(name for name in required if name not in params)
        doc = type_.schema["properties"][missing].get("description", "")
        return f"{path}.{missing}: required; {doc}"
    name = str(error.absolute_path[0]) if error.absolute_path else ""
    unit = type_.schema["properties"].get(name, {}).get("unit")
    if error.validator == "anyOf" and unit and isinstance(error.instance, str):
        return f"{path}: expected a number in {unit}, such as '8 {unit}'; found {error.instance!r}"
    from jsonschema.exceptions import best_match

    deepest = best_match([error]) or error
    return f"{path}: {deepest.message}"
