"""Whether the members of an alias are there, and can share a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rigmesh.errors import GraphError, UnknownName, near_miss
from rigmesh.graph.spec import AliasSpec, NodeSpec, split_port
from rigmesh.node.registry import NodeType

__all__ = ["alias_problems"]


@dataclass(frozen=True, slots=True)
class _Member:
    reference: str
    is_own: bool
    schema: Mapping[str, Any]


def alias_problems(
    aliases: Mapping[str, AliasSpec],
    nodes: Mapping[str, NodeSpec],
    types: Mapping[str, NodeType],
) -> Iterator[GraphError]:
    """Yield what is wrong with aliases: unknown members, members that cannot share a value."""
    for name, alias in aliases.items():
        where = f"aliases.{name}"
        if not alias.states:
            yield GraphError(
                f"{where}: names no state; give it one, such as {name}: detector.level"
            )
        members: list[_Member] = []
        for reference in alias.states:
            try:
                members.append(_find(where, reference, nodes, types))
            except GraphError as error:
                yield error
        yield from _disagreements(where, members)


def _find(
    where: str, reference: str, nodes: Mapping[str, NodeSpec], types: Mapping[str, NodeType]
) -> _Member:
    node, name = split_port(reference)
    if node not in nodes:
        raise UnknownName(f"{where}: {UnknownName.among('node', node, nodes)}")
    type_ = types[nodes[node].type]
    for state in type_.states:
        if state.name == name:
            return _Member(reference, state.write == "self", state.schema)
    params = type_.schema.get("properties", {})
    live = [each for each, schema in params.items() if schema.get("live")]
    if name in live:
        return _Member(reference, False, params[name])
    known = [*(state.name for state in type_.states), *live]
    listed = ", ".join(f"{node}.{each}" for each in known) or "it has none"
    if name in params:
        raise GraphError(
            f"{where}: {reference} is a parameter that cannot change while it runs; states and "
            f"live parameters of {node}: {listed}"
        )
    if not name:
        raise GraphError(
            f"{where}: {reference!r} names a node; a state is written node.state; known: {listed}"
        )
    raise UnknownName(
        f"{where}: {type_.name} has no state or live parameter {name!r}{near_miss(name, known)}; "
        f"known: {listed}"
    )


def _disagreements(where: str, members: list[_Member]) -> Iterator[GraphError]:
    own = [member.reference for member in members if member.is_own]
    if len(own) > 1:
        yield GraphError(
            f"{where}: {' and '.join(own)} are written by their own nodes only, so they cannot "
            "share a value; give each an alias of its own"
        )
    for member in members[1:]:
        first = members[0]
        kinds, others = _kinds(first.schema), _kinds(member.schema)
        if kinds and others and not kinds & others:
            yield GraphError(
                f"{where}: {first.reference} is {_listed(kinds)}, {member.reference} is "
                f"{_listed(others)}; they cannot share a value"
            )
        units = first.schema.get("unit", ""), member.schema.get("unit", "")
        if all(units) and units[0] != units[1]:
            yield GraphError(
                f"{where}: {first.reference} is in {units[0]}, {member.reference} in {units[1]}; "
                "they cannot share a value"
            )


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Return the JSON types of a value; empty: any."""
    if "unit" in schema:
        return {"number"}
    if "anyOf" in schema:
        options = [_kinds(option) for option in schema["anyOf"]]
        return set().union(*options) if all(options) else set()
    kind = schema.get("type", [])
    kinds = {kind} if isinstance(kind, str) else set(kind)
    return {"number" if each == "integer" else each for each in kinds}


def _listed(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))
