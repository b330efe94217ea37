"""Looking at a graph that runs, and changing it: states, live parameters, aliases, latencies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rigmesh.client.fleet import Fleet, Member
from rigmesh.errors import Unsupported
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.node.histogram import Histogram

__all__ = ["Latency", "StateView", "call_command", "get_latencies"]


class StateView(MutableMapping[str, Any]):
    """The states and live parameters of a graph, or of one node, as a mapping.

    Reading asks the node; writing changes it between two chunks and is journalled in recordings
    with the sample index at which it took effect.

    Parameters
    ----------
    fleet : Fleet
        The daemons.
    node : str
        Show this node's only, by their own names.

    Examples
    --------
    ::

        manager.states["ripples.n_ripples"]
        manager.states["threshold"] = 4.5          # an alias of the graph file
        detector.states["k"] = 4.5
    """

    def __init__(self, fleet: Fleet, node: str = "") -> None:
        self._fleet = fleet
        self._prefix = f"{node}." if node else ""
        self._node = node

    def of(self, node: str) -> StateView:
        """Return those of one node."""
        return StateView(self._fleet, node)

    def read(self) -> dict[str, Any]:
        """Return all of them, looked at together."""
        return {
            name.removeprefix(self._prefix): value for name, value in self._get(self._node).items()
        }

    def write(self, values: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        """Change several, each node's all or none.

        Returns
        -------
        dict of str to (int, int)
            For each output the epoch and the sample index at which it took effect.

        Raises
        ------
        UnknownName, NotPermitted, ParameterError
            If one cannot be written.
        """
        named = {self._prefix + name: value for name, value in values.items()}
        by_host: dict[str, dict[str, Any]] = {}
        for name, value in named.items():
            by_host.setdefault(self._host_of(name).name, {})[name] = value
        effective: dict[str, tuple[int, int]] = {}
        for host, mine in by_host.items():
            member = self._fleet.named(host)
            request = pb.SetStatesRequest(values_json=json.dumps(mine, default=str))
            response = member.call(member.stub.SetStates, request)
            effective.update({at.stream: (at.epoch, at.index) for at in response.effective})
        return effective

    def _get(self, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for member in [self._host_of(name)] if name else self._fleet:
            response = member.call(member.stub.GetStates, pb.GetStatesRequest(name=name))
            values.update(json.loads(response.states_json))
        return values

    def _host_of(self, name: str) -> Member:
        """Return who has a state; an alias is where its members are."""
        if "." in name or len(self._fleet.members) == 1:
            return self._fleet.of(name.partition(".")[0])
        for member in self._fleet:
            response = member.call(member.stub.GetStates, pb.GetStatesRequest())
            if name in json.loads(response.states_json):
                return member
        return self._fleet.of(name)

    def __getitem__(self, name: str) -> Any:
        full = self._prefix + name
        found = self._get(full)
        return found.get(full, found)  # a node alone is asked for as a whole

    def __setitem__(self, name: str, value: Any) -> None:
        self.write({name: value})

    def __delitem__(self, name: str) -> None:
        raise Unsupported(f"{name} is part of its node and cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def __repr__(self) -> str:
        return f"<states {self.read()}>"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long chunks took to a place.

    Parameters
    ----------
    process : str
        Process that counted.
    reader : str
        The input, ``node.port``.
    stream : str
        Of a link through a ring: from publishing until the reader had it. Else empty: from
        receiving a chunk until the node was done with it.
    is_last : bool
        Whether the node ends a chain in its process.
    histogram : Histogram
        Counts since the start.
    work : float
        Time spent in the node itself, in seconds.
    late : int
        Chunks that missed the deadline of the group.
    """

    process: str
    reader: str
    stream: str
    is_last: bool
    histogram: Histogram
    work: float
    late: int


def get_latencies(member: Member) -> list[Latency]:
    """Return the latencies of every node and ring."""
    from rigmesh.node.histogram import Histogram

    response = member.call(member.stub.GetLatencies, pb.GetLatenciesRequest())
    return [
        Latency(
            each.process,
            each.reader,
            each.stream,
            each.is_last,
            Histogram(each.counts),
            each.work,
            each.late,
        )
        for each in response.latencies
    ]


def call_command(member: Member, node: str, command: str, arguments: Mapping[str, Any]) -> Any:
    """Let a node obey a command; return its result."""
    request = pb.CallCommandRequest(
        node=node, command=command, arguments_json=json.dumps(dict(arguments), default=str)
    )
    response = member.call(member.stub.CallCommand, request)
    return json.loads(response.result_json) if response.result_json else None
