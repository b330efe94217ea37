"""States, live parameters and commands of a running node: looked at, written and called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rigmesh.errors import RigmeshError, StateError, UnknownName
from rigmesh.node.runner import NodeRunner, NodeState
from rigmesh.node.states import Writers

__all__ = ["call", "live_values", "write"]

EffectiveAt = dict[str, tuple[int, int]]
"""For each output the epoch and sample index at which something took effect."""


def live_values(runner: NodeRunner) -> dict[str, Any]:
    """Return the states and live parameters of a node."""
    declared = type(runner.node).declared()
    live = [name for name in declared.fields if declared.is_live(name)]
    return {
        name: getattr(runner.node, name) for name in [*type(runner.node).states().fields, *live]
    }


def write(runner: NodeRunner, values: Mapping[str, Any], writer: Writers) -> EffectiveAt:
    """Write states and parameters between two chunks, all or none.

    Raises
    ------
    UnknownName, NotPermitted, ParameterError
        If one cannot be written by this writer.
    """
    states, declared = type(runner.node).states(), type(runner.node).declared()
    known = [*states.fields, *declared.fields]
    for name in values:
        if name not in known:
            raise UnknownName.among(f"state or parameter of {runner.name}", name, known)
    with runner.lane:
        checked = {
            name: states.validate(name, value, writer=writer, node=runner.name)
            for name, value in values.items()
            if name in states.fields
        }
        params = {name: value for name, value in values.items() if name not in checked}
        effective = runner.set_parameters(params)
        for name, value in checked.items():
            setattr(runner.node, name, value)
        runner.tell_watchers()
    return effective


def call(runner: NodeRunner, command: str, arguments: Mapping[str, Any]) -> tuple[Any, EffectiveAt]:
    """Call a command between two chunks; return its result and where it took effect.

    Raises
    ------
    UnknownName, ParameterError
        If there is no such command, or an argument is wrong.
    StateError
        If the node is not ready.
    NodeError
        If the command raises; the node goes on.
    """
    checked = type(runner.node).commands().validate(command, arguments, node=runner.name)
    with runner.lane:
        if runner.state not in (NodeState.READY, NodeState.RUNNING):
            raise StateError(
                f"node {runner.name!r} is {runner.state.value}; it obeys {command!r} once the "
                "graph is started"
            )
        try:
            result = getattr(runner.node, command)(**checked)
        except RigmeshError:
            raise
        except Exception as error:
            raise runner.node_error(command, error) from error
        runner.tell_watchers()
        return result, {o.stream: (o.epoch, o.index) for o in runner.node.bound_outputs()}
