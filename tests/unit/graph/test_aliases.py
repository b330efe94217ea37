"""Aliases: names for states, and states that share a value."""

from __future__ import annotations

import pytest

from rigmesh.errors import GraphError
from rigmesh.graph import AliasSpec, GraphSpec, NodeSpec, check_graph
from rigmesh.node.registry import NodeType, StateType

TYPES = {
    "t.Detector": NodeType(
        "t.Detector",
        states=(
            StateType("n_found", "self", schema={"type": "integer"}),
            StateType("threshold", "peers", schema={"type": "number"}),
            StateType("mode", "clients", schema={"type": "string"}),
        ),
        schema={
            "properties": {
                "level": {"anyOf": [{"type": "number"}, {"type": "string"}], "unit": "uV",
                          "live": True},
                "cutoff": {"anyOf": [{"type": "number"}, {"type": "string"}], "unit": "Hz",
                           "live": True},
                "order": {"type": "integer"},
                "anything": {"live": True},
            }
        },
    ),
}  # fmt: skip
NODES = {name: NodeSpec(name, "t.Detector") for name in ("a", "b")}


def check(*states: str) -> GraphSpec:
    return check_graph(GraphSpec(nodes=NODES, aliases={"x": AliasSpec(states)}), TYPES)


@pytest.mark.parametrize(
    "states",
    [
        ("a.n_found",),
        ("a.threshold", "b.threshold"),
        ("a.threshold", "b.level"),
        ("a.n_found", "b.threshold"),  # one node writes, the other follows
        ("a.level", "a.anything", "b.level"),
    ],
)
def test_states_and_live_parameters_can_share_a_value(states: tuple[str, ...]) -> None:
    assert check(*states).aliases["x"].states == states


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ((), r"aliases\.x: names no state; give it one, such as x: detector\.level"),
        (("c.level",), r"aliases\.x: no node 'c'"),
        (("a.lvel",), r"aliases\.x: .* no state or live parameter 'lvel' \(did you mean level\?\)"),
        (("a.order",), r"a\.order is a parameter that cannot change while it runs; .*a\.level"),
        (("a",), r"'a' names a node; a state is written node\.state; known: a\.n_found, "),
        (("a.n_found", "b.n_found"), r"a\.n_found and b\.n_found are written by their own nodes"),
        (("a.mode", "b.level"), r"a\.mode is string, b\.level is number; they cannot share"),
        (("a.level", "b.cutoff"), r"a\.level is in uV, b\.cutoff in Hz; they cannot share"),
    ],
)
def test_a_mistake_in_an_alias_is_named(states: tuple[str, ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        check(*states)
