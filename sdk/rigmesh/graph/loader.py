"""Graph files: YAML to a GraphSpec and back, and the JSON schema that editors use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from rigmesh.errors import GraphError, UnknownName, near_miss
from rigmesh.graph.document import read_document
from rigmesh.graph.model import (
    NAME,
    AliasFile,
    GraphFile,
    GroupFile,
    LatencyFile,
    LimitsFile,
    NodeFile,
)
from rigmesh.graph.ranges import has_range, names_of, streams_of
from rigmesh.graph.spec import (
    MAIN,
    AliasSpec,
    GraphSpec,
    GroupSpec,
    LatencySpec,
    NodeSpec,
    split_port,
)
from rigmesh.node.registry import NodeType

__all__ = ["dump_graph", "graph_schema", "load_graph", "parse_graph", "parse_setting"]


def load_graph(path: Path | str) -> GraphSpec:
    """Read a graph file.

    Raises
    ------
    GraphError
        If it cannot be read, or naming the line and path of each mistake.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise GraphError(f"cannot read the graph {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GraphError(f"cannot read the graph {path}: it is not text in UTF-8") from error
    return parse_graph(text, source=str(path))


def parse_graph(text: str, *, source: str = "") -> GraphSpec:
    """Read the text of a graph file.

    Parameters
    ----------
    text : str
        What stands in it.
    source : str
        Name of the file, for messages.

    Raises
    ------
    GraphError
        Naming the line and path of each mistake, what was found and what was expected.
    """
    values, lines = read_document(text, source)
    places = GraphSpec(lines=lines, source=source)
    try:
        file = GraphFile.model_validate(values)
    except ValidationError as error:
        raise _located(_explain(error), places) from error
    problems: list[tuple[str, str]] = []
    nodes = _by_name("nodes", file.nodes, lines, problems)
    nodes = dict(_on_hosts(nodes, file, problems))
    aliases = {
        name: AliasSpec(_states(name, alias.states, problems), alias.write, alias.doc)
        for name, alias in file.aliases.items()
    }
    latency = None
    named: list[tuple[str, Iterable[str]]] = [
        ("groups", file.groups), ("nodes", nodes), ("aliases", aliases), ("hosts", file.hosts)
    ]  # fmt: skip
    if file.latency is not None:
        latency = _latency(file.latency, nodes, lines, problems)
        named.append(("latency.nodes", latency.nodes))
    for kind, names in named:
        problems += [
            (f"{kind}.{name}", "a name begins with a letter and goes on with up to 63 letters, "
             "digits, _ and -")
            for name in names if not (re.match(NAME, name) or has_range(name))
        ]  # fmt: skip
    if problems:
        raise _located(problems, places)
    return GraphSpec(
        name=file.name,
        metadata=file.metadata,
        groups={
            name: GroupSpec(name, **(group or GroupFile()).model_dump(exclude={"host"}))
            for name, group in file.groups.items()
        },
        nodes=nodes,
        aliases=aliases,
        hosts=file.hosts,
        latency=latency,
        lines=lines,
        source=source,
    )


def _nodes(
    at: str, nodes: Mapping[str, NodeFile], problems: list[tuple[str, str]]
) -> Iterator[tuple[str, NodeSpec]]:
    """Yield each node with its name in the file, which may be a range of several."""
    for written, node in nodes.items():
        path = f"{at}.{written}"
        names = _tried(names_of, written, path, problems)
        if has_range(written) and node.replicate > 1:
            problems.append((f"{path}.replicate", "a range of names cannot be replicated, too"))
        shared = {
            port: [
                _shared_out(stream, len(names), f"{path}.inputs.{port}", problems)
                for stream in streams
            ]
            for port, streams in node.inputs.items()
        }
        for number, name in enumerate(names):
            spec = NodeSpec(
                name=name,
                type=node.type,
                group=node.group,
                params=node.params,
                inputs={port: tuple(each[number] for each in of) for port, of in shared.items()},
                overflow=node.overflow,
                replicate=node.replicate,
                host=node.host,
            )
            yield written, spec


def _by_name(
    at: str,
    written: Mapping[str, NodeFile],
    lines: dict[str, int],
    problems: list[tuple[str, str]],
) -> dict[str, NodeSpec]:
    made: dict[str, str] = {}
    nodes: dict[str, NodeSpec] = {}
    for key, node in _nodes(at, written, problems):
        if node.name in made:
            problems.append(
                (f"{at}.{key}", f"makes the node {node.name}, which {made[node.name]} makes, too")
            )
        made[node.name] = key
        nodes[node.name] = node
        if key != node.name:
            path = f"{at}.{key}"
            below = {k: n for k, n in lines.items() if k == path or k.startswith(f"{path}.")}
            for k, line in below.items():
                lines.setdefault(f"{at}.{node.name}{k.removeprefix(path)}", line)
    return nodes


def _on_hosts(
    nodes: Mapping[str, NodeSpec], file: GraphFile, problems: list[tuple[str, str]]
) -> Iterator[tuple[str, NodeSpec]]:
    """Yield the nodes with the machines that they, or their groups, are placed on."""
    groups = {name: group.host for name, group in file.groups.items() if group is not None}
    for path, host in [
        *((f"groups.{name}.host", host) for name, host in groups.items()),
        *((f"nodes.{node.name}.host", node.host) for node in nodes.values()),
    ]:
        if host and host not in file.hosts:
            problems.append((path, str(UnknownName.among("host", host, file.hosts))))
    for name, node in nodes.items():
        of_group = groups.get(node.group, "")
        if node.host and of_group and node.host != of_group:
            problems.append(
                (f"nodes.{name}.host", f"{node.host}, but its group {node.group} is on {of_group}")
            )
        yield name, replace(node, host=node.host or of_group)


def _latency(
    file: LatencyFile,
    nodes: Mapping[str, NodeSpec],
    lines: dict[str, int],
    problems: list[tuple[str, str]],
) -> LatencySpec:
    own = _by_name("latency.nodes", file.nodes, lines, problems)
    known = {**nodes, **own}
    for name, node in own.items():
        if name in nodes and node.group == MAIN:
            own[name] = replace(node, group=nodes[name].group)
    for output, into in file.loopback.items():
        for end in (output, into):
            path, (name, param) = f"latency.loopback.{output}", split_port(end)
            if not param:
                problems.append((path, f"{end!r} is not of the form node.parameter"))
            elif name not in known:
                problems.append((path, str(UnknownName.among("node", name, known))))
    for kind, of in (("limits", file.limits), ("round_trips", file.round_trips)):
        problems += [
            (f"latency.{kind}.{where}", str(UnknownName.among("node", name, known)))
            for where in of
            if (name := split_port(where)[0]) not in known
        ]
    looped_back = [split_port(into)[0] for into in file.loopback.values()]
    problems += [
        (f"latency.round_trips.{name}", "nothing is looped back to it; loopback: says what is")
        for name in file.round_trips
        if name in known and name not in looped_back
    ]
    return LatencySpec(
        duration=file.duration,
        warm_up=file.warm_up,
        nodes=own,
        loopback=file.loopback,
        limits=_limits(file.limits),
        round_trips=_limits(file.round_trips),
    )


def _limits(written: Mapping[str, LimitsFile]) -> dict[str, dict[str, float]]:
    return {
        name: limits.model_dump(by_alias=True, exclude_none=True)
        for name, limits in written.items()
    }


def _shared_out(stream: str, n_names: int, path: str, problems: list[tuple[str, str]]) -> list[str]:
    """Return what each of the nodes of a range takes: the kth of as many streams, else all."""
    streams = _tried(streams_of, stream, path, problems)
    if n_names > 1 and len(streams) == n_names:
        return list(streams)
    return [streams[0] if len(streams) == 1 else stream] * n_names


def _states(name: str, states: list[str], problems: list[tuple[str, str]]) -> tuple[str, ...]:
    path = f"aliases.{name}"
    return tuple(each for state in states for each in _tried(streams_of, state, path, problems))


def _tried(
    read: Callable[[str], tuple[str, ...]],
    text: str,
    path: str,
    problems: list[tuple[str, str]],
) -> tuple[str, ...]:
    try:
        return read(text)
    except GraphError as error:
        problems.append((path, str(error)))
        return (text,)


def _located(problems: Iterable[tuple[str, str]], graph: GraphSpec) -> GraphError:
    return GraphError("\n".join(f"{graph.where(path)}: {path}: {text}" for path, text in problems))


def dump_graph(graph: GraphSpec) -> str:
    """Write a graph as the text of a file."""
    text: str = yaml.safe_dump(graph.to_dict(), sort_keys=False, allow_unicode=True)
    return text


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Read ``node.param=value`` of a command line; the value as in a graph file.

    Raises
    ------
    GraphError
        If it has another form.

    Examples
    --------
    >>> parse_setting("alpha.low=9 Hz")
    ('alpha', 'low', '9 Hz')
    """
    target, equals, value = text.partition("=")
    node, dot, name = target.strip().partition(".")
    if not (equals and dot and node and name):
        raise GraphError(f"{text!r} is not of the form node.parameter=value")
    return node, name, yaml.safe_load(value)


def graph_schema(types: Iterable[NodeType]) -> dict[str, Any]:
    """Return the JSON schema of graph files, with the parameters of the given node types."""
    schema = GraphFile.model_json_schema()
    node = schema["$defs"]["NodeFile"]
    known = sorted(types, key=lambda t: t.name)
    node["properties"]["type"]["examples"] = [t.name for t in known]
    node["allOf"] = [
        {
            "if": {"properties": {"type": {"const": t.name}}},
            "then": {
                "description": t.doc.partition("\n")[0],
                "properties": {
                    "params": t.schema,
                    "inputs": {
                        "propertyNames": {"enum": [port.name for port in t.inputs]},
                    },
                },
            },
        }
        for t in known
    ]
    alias = schema["properties"]["aliases"]
    states = schema["$defs"]["AliasFile"]["properties"]["states"]
    alias["additionalProperties"] = {"anyOf": [alias["additionalProperties"], *states["anyOf"]]}
    schema["title"] = "rigmesh graph"
    return schema


_MODELS: Mapping[str, type[BaseModel]] = {
    "nodes": NodeFile,
    "groups": GroupFile,
    "aliases": AliasFile,
    "latency": LatencyFile,
    "latency.nodes": NodeFile,
    "latency.limits": LimitsFile,
    "latency.round_trips": LimitsFile,
}


def _known_keys(steps: list[str]) -> list[str]:
    """Return the keys that may stand beside the one that a path leads to."""
    section, name = ".".join(steps[:-1]), ".".join(steps[:-2])
    model = _MODELS.get(section) or _MODELS.get(name, GraphFile)
    return [field.alias or name for name, field in model.model_fields.items()]


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each mistake."""
    for problem in error.errors():
        steps = [str(step) for step in problem["loc"]]
        path = ".".join(steps)
        if problem["type"] == "extra_forbidden":
            known = _known_keys(steps)
            hint = near_miss(steps[-1], known)
            yield path, f"unknown key{hint}; known: {', '.join(known)}"
        elif problem["type"] == "missing":
            yield path, "missing"
        else:
            expected = problem["msg"].removeprefix("Value error, ")
            found = "" if "; found" in expected else f"; found {problem['input']!r}"
            yield path, f"{expected}{found}"
