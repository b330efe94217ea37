"""Graph files: YAML to a GraphSpec and back, and the JSON schema that editors use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rigmesh.errors import GraphError, near_miss
from rigmesh.graph.document import read_document
from rigmesh.graph.model import NAME, AliasFile, GraphFile, GroupFile, NodeFile
from rigmesh.graph.ranges import has_range, names_of, streams_of
from rigmesh.graph.spec import AliasSpec, GraphSpec, GroupSpec, NodeSpec
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
    nodes = _by_name(_nodes(file, problems), lines, problems)
    aliases = {
        name: AliasSpec(_states(name, alias.states, problems), alias.write, alias.doc)
        for name, alias in file.aliases.items()
    }
    for kind, names in (("groups", file.groups), ("nodes", nodes), ("aliases", aliases)):
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
            name: GroupSpec(name, **(group or GroupFile()).model_dump())
            for name, group in file.groups.items()
        },
        nodes=nodes,
        aliases=aliases,
        lines=lines,
        source=source,
    )


def _nodes(file: GraphFile, problems: list[tuple[str, str]]) -> Iterator[tuple[str, NodeSpec]]:
    """Yield each node with its name in the file, which may be a range of several."""
    for written, node in file.nodes.items():
        path = f"nodes.{written}"
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
        for at, name in enumerate(names):
            spec = NodeSpec(
                name=name,
                type=node.type,
                group=node.group,
                params=node.params,
                inputs={port: tuple(each[at] for each in of) for port, of in shared.items()},
                overflow=node.overflow,
                replicate=node.replicate,
            )
            yield written, spec


def _by_name(
    written: Iterable[tuple[str, NodeSpec]],
    lines: dict[str, int],
    problems: list[tuple[str, str]],
) -> dict[str, NodeSpec]:
    made: dict[str, str] = {}
    nodes: dict[str, NodeSpec] = {}
    for key, node in written:
        if node.name in made:
            problems.append(
                (f"nodes.{key}", f"makes the node {node.name}, which {made[node.name]} makes, too")
            )
        made[node.name] = key
        nodes[node.name] = node
        if key != node.name:
            path = f"nodes.{key}"
            below = {k: n for k, n in lines.items() if k == path or k.startswith(f"{path}.")}
            for k, line in below.items():
                lines.setdefault(f"nodes.{node.name}{k.removeprefix(path)}", line)
    return nodes


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


_FIELDS: Mapping[str, Iterable[str]] = {
    "graph": GraphFile.model_fields,
    "nodes": NodeFile.model_fields,
    "groups": GroupFile.model_fields,
    "aliases": AliasFile.model_fields,
}


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each mistake."""
    for problem in error.errors():
        steps = [str(step) for step in problem["loc"]]
        path = ".".join(steps)
        if problem["type"] == "extra_forbidden":
            level = "graph" if len(steps) == 1 else steps[0]
            known = list(_FIELDS.get(level, ()))
            hint = near_miss(steps[-1], known)
            yield path, f"unknown key{hint}; known: {', '.join(known)}"
        elif problem["type"] == "missing":
            yield path, "missing"
        else:
            expected = problem["msg"].removeprefix("Value error, ")
            found = "" if "; found" in expected else f"; found {problem['input']!r}"
            yield path, f"{expected}{found}"
