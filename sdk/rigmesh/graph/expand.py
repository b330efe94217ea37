"""Makes of ranges and replicas the nodes and links that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

from rigmesh.errors import GraphError
from rigmesh.graph.ranges import has_range, streams_of
from rigmesh.graph.resolve import check_order, find_output, raise_all
from rigmesh.graph.spec import AliasSpec, GraphSpec, NodeSpec, split_port
from rigmesh.node.registry import NodeType

__all__ = ["expand_graph"]

_SHARE = "channels.Share"
_LONGEST = 64


def expand_graph(graph: GraphSpec, types: Mapping[str, NodeType]) -> GraphSpec:
    """Return a graph without ranges, and with as many nodes as its replicas need.

    A replicated node whose class treats each channel by itself, or has a parameter ``groups``,
    stays one node over all channels and keeps its count. Any other becomes ``name1`` to ``nameN``,
    each with its share of the channels. A graph that is expanded already stays as it is.

    Parameters
    ----------
    graph : GraphSpec
        With full type names.
    types : dict of str to NodeType
        Every type it has, and ``channels.Share``.

    Raises
    ------
    GraphError
        With a line a mistake: counts that do not agree, signals that cannot be divided, circles.
    """
    nodes = _without_ranges(graph.nodes, types)
    return _Expansion(replace(graph, nodes=nodes), types).run()


# --- ranges -------------------------------------------------------------------------------------


def _without_ranges(
    nodes: Mapping[str, NodeSpec], types: Mapping[str, NodeType]
) -> dict[str, NodeSpec]:
    problems: list[GraphError] = []
    found: dict[str, NodeSpec] = {}
    for name, node in nodes.items():
        inputs = {}
        single = {port.name for port in types[node.type].inputs if not port.many}
        for port, streams in node.inputs.items():
            where = f"nodes.{name}.inputs.{port}"
            each: list[str] = []
            for stream in streams:
                try:
                    each += streams_of(stream)
                except GraphError as error:
                    problems.append(GraphError(f"{where}: {error}"))
                    continue
                if has_range(stream) and len(streams_of(stream)) > 1 and port in single:
                    problems.append(GraphError(_too_many(where, stream, port, node, nodes)))
            inputs[port] = tuple(each)
        found[name] = replace(node, inputs=inputs)
    raise_all(problems)
    return found


def _too_many(
    where: str, stream: str, port: str, node: NodeSpec, nodes: Mapping[str, NodeSpec]
) -> str:
    # Equal counts were linked one to one when the file was read; these are left over.
    takers = [
        name
        for name, other in nodes.items()
        if other.type == node.type and stream in other.inputs.get(port, ())
    ]
    n_streams = len(streams_of(stream))
    taken_by = f"node takes it ({takers[0]})"
    if len(takers) > 1:
        taken_by = f"nodes take it ({takers[0]} to {takers[-1]})"
    return (
        f"{where}: takes one stream; {stream} names {n_streams}, and {len(takers)} {taken_by}; "
        f"{n_streams} nodes would take one each"
    )


# --- replicas -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """A stream that an input takes, and how it can be had by N replicas."""

    stream: str
    replicas: tuple[str, ...] = ()
    is_divisible: bool = False
    is_merged: bool = False

    def of(self, node: str) -> str:
        """Return the stream of one replica of its node."""
        return f"{node}.{split_port(self.stream)[1]}"


class _Expansion:
    def __init__(self, graph: GraphSpec, types: Mapping[str, NodeType]) -> None:
        self._graph = graph
        self._types = types
        self._made: dict[str, list[NodeSpec]] = {}
        self._replicas: dict[str, tuple[str, ...]] = {}
        self._shares: dict[tuple[str, int, int, str], str] = {}
        self._names = set(graph.nodes)
        self._known = dict(graph.nodes)

    def run(self) -> GraphSpec:
        """Expand every node, those it takes from first."""
        problems: list[GraphError] = []
        for name in self._order():
            node = self._graph.nodes[name]
            try:
                self._made[name] = (
                    self._replicated(node) if node.replicate > 1 else [self._plain(node)]
                )
            except GraphError as error:
                problems.append(error)
                self._made[name] = [node]
        raise_all(problems)
        made = [node for name in self._graph.nodes for node in self._made[name]]
        aliases = {name: self._alias(alias) for name, alias in self._graph.aliases.items()}
        return replace(self._graph, nodes={node.name: node for node in made}, aliases=aliases)

    def _order(self) -> list[str]:
        nodes = self._graph.nodes
        owned = {
            name: replace(
                node,
                inputs={
                    port: tuple(f"{self._owner(s)}." for s in streams)
                    for port, streams in node.inputs.items()
                },
            )
            for name, node in nodes.items()
        }
        return [name for name in check_order(owned) if name in nodes]

    def _owner(self, stream: str) -> str:
        """Return the node that a stream is of; ``det`` for its replica ``det2``, too."""
        name = split_port(stream)[0]
        stem = name.rstrip("0123456789")
        nodes = self._graph.nodes
        is_replica = name not in nodes and stem in nodes and nodes[stem].replicate > 1
        return stem if is_replica else name

    # --- a node that is one ----------------------------------------------------------------------

    def _plain(self, node: NodeSpec) -> NodeSpec:
        many = {port.name for port in self._types[node.type].inputs if port.many}
        inputs = {}
        for port, streams in node.inputs.items():
            each: list[str] = []
            for stream in streams:
                replicas = self._replicas.get(split_port(stream)[0], ())
                if not replicas:
                    each.append(stream)
                    continue
                where = f"nodes.{node.name}.inputs.{port}"
                full, _ = find_output(stream, self._known, self._types, where)
                source = _Source(full, replicas)
                each += [source.of(replica) for replica in replicas]
                if port not in many:
                    raise GraphError(
                        f"{where}: takes one stream; {full} is {len(replicas)} (replicate: "
                        f"{len(replicas)}): give {node.name} `replicate: {len(replicas)}`, too, or "
                        f"name one of them, such as {each[0]}"
                    )
            inputs[port] = tuple(each)
        return replace(node, inputs=inputs)

    # --- a node that is several ------------------------------------------------------------------

    def _replicated(self, node: NodeSpec) -> list[NodeSpec]:
        where = f"nodes.{node.name}.replicate"
        type_ = self._types[node.type]
        sources = {
            port: [self._source(stream, node, port) for stream in streams]
            for port, streams in node.inputs.items()
        }
        all_sources = [source for each in sources.values() for source in each]
        comes_apart = any(source.replicas for source in all_sources)
        if not comes_apart and type_.channel_wise:
            return [replace(node, inputs=_whole(sources))]
        if not comes_apart and _has_groups(type_):
            return [replace(node, inputs=_whole(sources), params=_grouped(node))]
        if not all_sources and any(not port.optional for port in type_.inputs):
            return [node]  # that its input is missing is told with all others that miss one
        _check_whole(node, sources)
        if not any(source.replicas or source.is_divisible for source in all_sources):
            raise GraphError(
                f"{where}: {type_.name} takes no signal here whose channels could be divided; for "
                f"several of a kind name it {node.name}(1-{node.replicate})"
            )
        names = self._take_names(node)
        shares = list(self._shares_for(node, sources))
        self._replicas[node.name] = names
        return [*shares, *self._each(node, names, sources)]

    def _source(self, stream: str, node: NodeSpec, port: str) -> _Source:
        where = f"nodes.{node.name}.inputs.{port}"
        full, output = find_output(stream, self._known, self._types, where)
        above = self._known[split_port(full)[0]]
        if above.replicate not in (1, node.replicate):
            raise GraphError(
                f"nodes.{node.name}.replicate: {node.replicate}, but {above.name}, which it takes "
                f"{full} from, has {above.replicate}; the counts of linked nodes agree"
            )
        replicas = self._replicas.get(above.name, ())
        is_signal = "signal" in output.kinds and self._takes_signal(node, port)
        return _Source(
            full,
            replicas,
            is_divisible=is_signal and not replicas,
            is_merged=not is_signal and above.replicate > 1 and not replicas,
        )

    def _takes_signal(self, node: NodeSpec, port: str) -> bool:
        return any(p.name == port and "signal" in p.kinds for p in self._types[node.type].inputs)

    def _take_names(self, node: NodeSpec) -> tuple[str, ...]:
        names = tuple(f"{node.name}{k}" for k in range(1, node.replicate + 1))
        where = f"nodes.{node.name}.replicate"
        taken = [name for name in names if name in self._names]
        if taken:
            raise GraphError(
                f"{where}: its nodes are called {names[0]} to {names[-1]}, and there is a node "
                f"{taken[0]} already; rename one of them"
            )
        if len(names[-1]) > _LONGEST:
            raise GraphError(f"{where}: {names[-1]} is longer than {_LONGEST} characters")
        self._names.update(names)
        self._known.update({name: replace(node, name=name, replicate=1) for name in names})
        return names

    def _each(
        self, node: NodeSpec, names: tuple[str, ...], sources: Mapping[str, list[_Source]]
    ) -> Iterator[NodeSpec]:
        for k, name in enumerate(names, start=1):
            inputs = {
                port: tuple(self._kth(source, k, node) for source in each)
                for port, each in sources.items()
            }
            yield replace(node, name=name, inputs=inputs, replicate=1)

    def _kth(self, source: _Source, k: int, node: NodeSpec) -> str:
        if source.replicas:
            return source.of(source.replicas[k - 1])
        if source.is_divisible:
            share = self._shares[source.stream, k, node.replicate, node.group]
            return f"{share}.share"
        return source.stream

    def _shares_for(
        self, node: NodeSpec, sources: Mapping[str, list[_Source]]
    ) -> Iterator[NodeSpec]:
        """Yield the nodes, not there yet, that divide a node's signals."""
        for each in sources.values():
            for source in each:
                if source.is_divisible:
                    yield from self._divide(source.stream, node)

    def _divide(self, stream: str, node: NodeSpec) -> Iterator[NodeSpec]:
        # In the group of who takes them, so that the whole signal crosses over once.
        if _SHARE not in self._types:
            raise GraphError(
                f"nodes.{node.name}.replicate: needs the node type {_SHARE} to divide {stream}; "
                "install the node library (rigmesh[nodes])"
            )
        for k in range(1, node.replicate + 1):
            key = (stream, k, node.replicate, node.group)
            if key in self._shares:
                continue
            name = self._shares[key] = self._free_name(stream, f"{k}of{node.replicate}")
            yield NodeSpec(
                name,
                _SHARE,
                node.group,
                {"k": k, "of": node.replicate},
                {"signal": (stream,)},
            )

    def _free_name(self, stream: str, end: str) -> str:
        stem = stream.replace(".", "_")
        ends = (f"_{n}_{end}" if n else f"_{end}" for n in count())
        name = next(n for e in ends if (n := stem[: _LONGEST - len(e)] + e) not in self._names)
        self._names.add(name)
        return name

    def _alias(self, alias: AliasSpec) -> AliasSpec:
        states: list[str] = []
        for reference in alias.states:
            node, name = split_port(reference)
            replicas = self._replicas.get(node, ())
            states += [f"{each}.{name}" for each in replicas] or [reference]
        return replace(alias, states=tuple(states))


def _whole(sources: Mapping[str, Iterable[_Source]]) -> dict[str, tuple[str, ...]]:
    return {port: tuple(source.stream for source in each) for port, each in sources.items()}


def _check_whole(node: NodeSpec, sources: Mapping[str, Iterable[_Source]]) -> None:
    for port, each in sources.items():
        for source in each:
            if source.is_merged:
                raise GraphError(
                    f"nodes.{node.name}.inputs.{port}: {source.stream} is one stream for all "
                    f"{node.replicate} replicas and cannot be divided; link it to a node without "
                    "`replicate`"
                )


def _has_groups(type_: NodeType) -> bool:
    groups = type_.schema.get("properties", {}).get("groups", {})
    return bool(groups.get("type") == "integer")


def _grouped(node: NodeSpec) -> dict[str, object]:
    given = node.params.get("groups", node.replicate)
    if given != node.replicate:
        raise GraphError(
            f"nodes.{node.name}.params.groups: {given}, but replicate is {node.replicate}; "
            "leave one of them out"
        )
    return {**node.params, "groups": node.replicate}
