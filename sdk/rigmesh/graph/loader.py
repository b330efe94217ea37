"""Graph files: YAML to a GraphSpec and back, and the JSON schema that editors use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rigmesh.errors import GraphError, near_miss
from rigmesh.graph.spec import MAIN, GraphSpec, GroupSpec, NodeSpec
from rigmesh.node.registry import NodeType

__all__ = ["dump_graph", "graph_schema", "load_graph", "parse_graph", "parse_setting"]

_MOST_BYTES = 2**20
_MOST_ALIASES = 100
_DEEPEST = 32
_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _GroupFile(_Strict):
    restart: Literal["never", "on-failure"] = Field(
        default="never", description="Whether the group's processes are restarted after a failure."
    )
    buffer_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="How much its rings hold, in seconds."
    )


class _NodeFile(_Strict):
    type: str = Field(description="Class of the node, such as filters.BandPass.")
    group: str = Field(default=MAIN, pattern=_NAME, description="Group it runs in.")
    inputs: dict[str, str | list[str]] = Field(
        default_factory=dict, description="Streams (node or node.port) for each input."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the class.")
    overflow: Literal["", "drop", "block"] = Field(
        default="", description="Whether a file or simulation waits for slow readers."
    )


class _GraphFile(_Strict):
    rigmesh: Literal[1] = Field(description="Version of the format.")
    name: str = Field(default="graph", description="What the graph is called.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Subject, session …: kept in recordings."
    )
    groups: dict[str, _GroupFile | None] = Field(
        default_factory=dict, description="Settings of groups."
    )
    nodes: dict[str, _NodeFile] = Field(min_length=1, description="The nodes by name.")


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses what is a mistake or an attack."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count aliases and depth on the way."""
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MOST_ALIASES:
                raise GraphError(f"more than {_MOST_ALIASES} aliases in a graph file")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise GraphError(f"a graph file nests deeper than {_DEEPEST}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice: the first would be lost in silence."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise GraphError(f"line {line}: {key.value!r} is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_graph(path: Path | str) -> GraphSpec:
    """Read a graph file.

    Raises
    ------
    GraphError
        If it cannot be read, or naming the path to each mistake.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise GraphError(f"cannot read the graph {path}: {error.strerror}") from error
    try:
        return parse_graph(text)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error


def parse_graph(text: str) -> GraphSpec:
    """Read the text of a graph file.

    Raises
    ------
    GraphError
        Naming the path to each mistake, what was found and what was expected.
    """
    if len(text) > _MOST_BYTES:
        raise GraphError(f"a graph file of {len(text)} characters; the most is {_MOST_BYTES}")
    loader = _Loader(text)
    try:
        values = loader.get_single_data()
    except yaml.YAMLError as error:
        raise GraphError(f"not YAML: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(values, dict):
        raise GraphError("a graph file has `rigmesh: 1` and `nodes:` at its top")
    try:
        file = _GraphFile(**values)
    except ValidationError as error:
        raise GraphError("\n".join(_explain(error))) from error
    return GraphSpec(
        name=file.name,
        metadata=file.metadata,
        groups={
            name: GroupSpec(name, **(group or _GroupFile()).model_dump())
            for name, group in file.groups.items()
        },
        nodes={
            name: NodeSpec(
                name=name,
                type=node.type,
                group=node.group,
                params=node.params,
                inputs={
                    port: (streams,) if isinstance(streams, str) else tuple(streams)
                    for port, streams in node.inputs.items()
                },
                overflow=node.overflow,
            )
            for name, node in file.nodes.items()
        },
    )


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
    schema = _GraphFile.model_json_schema()
    node = schema["$defs"]["_NodeFile"]
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
    schema["title"] = "rigmesh graph"
    return schema


_FIELDS: Mapping[str, Iterable[str]] = {
    "graph": _GraphFile.model_fields,
    "nodes": _NodeFile.model_fields,
    "groups": _GroupFile.model_fields,
}


def _explain(error: ValidationError) -> Iterable[str]:
    for problem in error.errors():
        steps = [str(step) for step in problem["loc"]]
        path = ".".join(steps)
        if problem["type"] == "extra_forbidden":
            level = "graph" if len(steps) == 1 else steps[0]
            known = list(_FIELDS.get(level, ()))
            hint = near_miss(steps[-1], known)
            yield f"{path}: unknown key{hint}; known: {', '.join(known)}"
        elif problem["type"] == "missing":
            yield f"{path}: missing"
        else:
            yield f"{path}: {problem['msg']}; found {problem['input']!r}"
