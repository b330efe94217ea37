"""Looking at and changing a graph that runs: states, live parameters, aliases, commands."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from rigmesh.errors import NotPermitted, RigmeshError, UnknownName
from rigmesh.graph.check import check_params
from rigmesh_daemon.state import GraphState
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2, group_pb2

__all__ = ["Live"]

_log = logging.getLogger(__name__)


class Live:
    """Finds the process of what is asked for, and asks it.

    Parameters
    ----------
    state : GraphState
        The graph.
    changed : callable
        Told the node and the values of each parameter that was changed, to keep them.
    """

    def __init__(
        self, state: GraphState, changed: Callable[[str, Mapping[str, Any]], None]
    ) -> None:
        self._state = state
        self._changed = changed

    async def get(self, name: str) -> dict[str, Any]:
        """Return states and live parameters.

        Parameters
        ----------
        name : str
            A node, ``node.state``, an alias, or empty for everything.

        Raises
        ------
        UnknownName
            If there is none of that name.
        """
        aliases = self._state.aliases
        if name in aliases:
            member = aliases[name].states[0]
            return {name: (await self._of_node(member.partition(".")[0]))[member]}
        node, dot, attribute = name.partition(".")
        if dot:
            found = await self._of_node(node)
            if name not in found:
                known = [key.partition(".")[2] for key in found]
                raise UnknownName.among(f"state of {node}", attribute, known)
            return {name: found[name]}
        if name:
            return await self._of_node(name, hint=list(aliases))
        everything: dict[str, Any] = {}
        for each in self._alive():
            everything.update(await each.request(get_states=group_pb2.GetStates()))
        for alias, spec in aliases.items():
            if spec.states[0] in everything:
                everything[alias] = everything[spec.states[0]]
        return everything

    async def set(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write states, parameters and aliases; return where it took effect.

        Those of one process change in one go; each node's all or none.

        Raises
        ------
        UnknownName, NotPermitted, ParameterError
            If one cannot be written; then none of its process is.
        """
        by_process: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            for member in self._members(name):
                record = self._state.node(member.partition(".")[0])
                by_process.setdefault(record.process, {})[member] = value
        self._check(by_process)
        effective: dict[str, Any] = {}
        for process, mine in by_process.items():
            request = group_pb2.SetStates(values_json=json.dumps(mine), writer="clients")
            effective |= await self._state.processes[process].request(set_states=request)
            self._keep(mine)
        return effective

    def _check(self, by_process: Mapping[str, Mapping[str, Any]]) -> None:
        for values in by_process.values():
            for member, value in values.items():
                node, _, attribute = member.partition(".")
                record = self._state.node(node)
                type_ = self._state.types[record.spec.type]
                if attribute in type_.schema.get("properties", {}):
                    check_params(node, {**record.spec.params, attribute: value}, type_)

    def _keep(self, values: Mapping[str, Any]) -> None:
        for member, value in values.items():
            node, _, attribute = member.partition(".")
            type_ = self._state.types[self._state.node(node).spec.type]
            if attribute in type_.schema.get("properties", {}):
                self._changed(node, {attribute: value})

    async def call(self, node: str, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Let a node obey a command; return its result and where it took effect.

        Raises
        ------
        UnknownName, ParameterError, StateError, NodeError
            If it cannot, or the command raises.
        """
        process = self._state.processes[self._state.node(node).process]
        request = group_pb2.Call(
            node=node, command=command, arguments_json=json.dumps(dict(arguments))
        )
        result: dict[str, Any] = await process.request(call=request)
        return result

    async def latencies(self) -> list[control_pb2.Latency]:
        """Return the histograms of every process."""
        answers = await asyncio.gather(
            *(p.request(get_latencies=group_pb2.GetLatencies()) for p in self._alive())
        )
        return [latency for answer in answers for latency in answer.latencies]

    async def pass_on(self, changed: group_pb2.StateChanged) -> None:
        """Write what a node wrote into a member of an alias into those of other processes."""
        spec = self._state.aliases.get(changed.alias)
        if spec is None:
            return
        value = json.loads(changed.value_json)
        source = self._state.node(changed.member.partition(".")[0]).process
        for member in spec.states:
            process = self._state.node(member.partition(".")[0]).process
            if process != source:
                request = group_pb2.SetStates(
                    values_json=json.dumps({member: value}), writer="peers"
                )
                try:
                    await self._state.processes[process].request(set_states=request)
                except RigmeshError as error:
                    _log.warning("alias %s: %s", changed.alias, error)

    # --- inside ------------------------------------------------------------------------------

    def _members(self, name: str) -> tuple[str, ...]:
        alias = self._state.aliases.get(name)
        if alias is None:
            if "." not in name:
                raise UnknownName.among("alias", name, self._state.aliases)
            return (name,)
        if alias.write != "clients":
            raise NotPermitted(f"alias {name!r}: only nodes may write it; it can be read")
        return alias.states

    async def _of_node(self, node: str, hint: list[str] | None = None) -> dict[str, Any]:
        if node not in self._state.nodes:
            raise UnknownName.among("node or alias", node, [*self._state.nodes, *(hint or [])])
        process = self._state.processes[self._state.node(node).process]
        found: dict[str, Any] = await process.request(get_states=group_pb2.GetStates(nodes=[node]))
        return found

    def _alive(self) -> list[GroupProcess]:
        return [process for process in self._state.processes.values() if process.is_alive]
