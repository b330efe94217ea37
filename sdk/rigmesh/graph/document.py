"""The YAML of a graph file: safe, bounded, and with the line of every path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rigmesh.errors import GraphError

__all__ = ["read_document"]

_MOST_BYTES = 2**20
_MOST_ALIASES = 100
_MOST_VALUES = 100_000
_DEEPEST = 32
_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "value")
}


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses what is a mistake or an attack."""

    # A date stays a text: parameters and metadata are JSON.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str, place: str) -> None:
        super().__init__(stream)
        self._place = place
        self._aliases = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count aliases and depth on the way."""
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MOST_ALIASES:
                raise self._refused(f"more than {_MOST_ALIASES} aliases in a graph file")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._refused(f"a graph file nests deeper than {_DEEPEST}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refused(self, what: str) -> GraphError:
        return GraphError(f"{at_line(self._place, self.line + 1)}: {what}")


class _Walk:
    """Finds the line of each path; refuses keys given twice, and values JSON has not."""

    def __init__(self, place: str) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[str] = []
        self._place = place
        self._sizes: dict[yaml.Node, int] = {}

    def visit(self, node: yaml.Node, path: str) -> int:
        """Walk below a node; return of how many values it is made, aliases counted as often."""
        if node in self._sizes:
            if not self._sizes[node]:
                self._refuse(node, path, "holds itself")
            return self._sizes[node]
        self._sizes[node] = 0
        if node.tag not in _TAGS:
            self._refuse(node, path, f"a graph file has no values of the kind {node.tag}")
        size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(self.visit(item, self._enter(item, path, at))
                        for at, item in enumerate(node.value))  # fmt: skip
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else "?"
                if name in seen:
                    self._refuse(key, self._below(path, name), f"{name!r} is given twice")
                seen.add(name)
                size += self.visit(value, self._enter(key, path, name))
        self._sizes[node] = size
        return size

    def _enter(self, node: yaml.Node, path: str, step: str | int) -> str:
        below = self._below(path, step)
        self.lines.setdefault(below, node.start_mark.line + 1)
        return below

    def _refuse(self, node: yaml.Node, path: str, what: str) -> None:
        where = at_line(self._place, node.start_mark.line + 1)
        self.problems.append(f"{where}: {path}: {what}" if path else f"{where}: {what}")

    @staticmethod
    def _below(path: str, step: str | int) -> str:
        return f"{path}.{step}" if path else str(step)


def read_document(text: str, source: str) -> tuple[Mapping[str, Any], dict[str, int]]:
    """Read YAML; return its values, and the line of each path.

    Parameters
    ----------
    text : str
        What stands in the file.
    source : str
        Its name, for messages; may be empty.

    Raises
    ------
    GraphError
        If it is no YAML, or more or other than a graph file may hold.
    """
    if len(text) > _MOST_BYTES:
        raise GraphError(
            f"{source or 'graph'}: a graph file of {len(text)} characters; the most is "
            f"{_MOST_BYTES}"
        )
    walk = _Walk(source)
    loader = None
    try:
        loader = _Loader(text, source)
        root = loader.get_single_node()
        size = walk.visit(root, "") if root is not None else 0
        if size > _MOST_VALUES:
            walk.problems.append(f"{source or 'graph'}: holds {size} values, aliases counted")
        if walk.problems:
            raise GraphError("\n".join(walk.problems))
        values = loader.construct_document(root) if root is not None else None
    except yaml.YAMLError as error:
        raise GraphError(_explain(error, source)) from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(values, dict):
        raise GraphError(
            f"{at_line(source, 1)}: a graph file has `rigmesh: 1` and `nodes:` at its top"
        )
    return values, walk.lines


def at_line(source: str, line: int) -> str:
    """Return the name of a place, as compilers write it."""
    return f"{source}:{line}" if source else f"line {line}"


def _explain(error: yaml.YAMLError, source: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML has not
        return f"{source or 'graph'}: not YAML: {' '.join(str(error).split())}"
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    what = ", ".join(part for part in parts if part)
    return f"{at_line(source, mark.line + 1)}: not YAML: {what} (column {mark.column + 1})"
