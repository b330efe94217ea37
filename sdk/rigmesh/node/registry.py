"""Finds node classes: by the entry point group ``rigmesh.nodes``, and by nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from rigmesh.errors import GraphError, UnknownName
from rigmesh.node.base import Node

__all__ = [
    "CommandType",
    "NodeType",
    "StateType",
    "describe",
    "describe_all",
    "find_type",
    "load",
    "nodes_in",
]

GROUP = "rigmesh.nodes"
_OWN = "rigmesh"


@dataclass(frozen=True, slots=True)
class PortType:
    """A port as others see it."""

    name: str
    kinds: tuple[str, ...]
    many: bool = False
    optional: bool = False
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class StateType:
    """A state as others see it; `write` says who may change it."""

    name: str
    write: str = "self"
    doc: str = ""
    schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandType:
    """A command as others see it; `schema` is that of its arguments."""

    name: str
    doc: str = ""
    schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeType:
    """A node class as others see it: everything but its code.

    Parameters
    ----------
    name : str
        ``module.Class``; packages other than the built-in library go first.
    doc : str
        Its docstring.
    inputs, outputs : tuple of PortType
        Its ports.
    schema : dict
        JSON schema of its parameters.
    is_source : bool
        Whether it makes chunks by itself.
    detached : str
        Companion process it runs in, empty for the group's own.
    can_wait : bool
        Whether it is a source that may be told to wait for slow readers.
    channel_wise : bool
        Whether replicas run as one call over the stacked channels.
    is_window : bool
        Whether it is a window, which clients open and no daemon runs.
    aliases : tuple of str
        Other names of the class.
    workers : dict of str to (str, str)
        Of a window: for an input the type of a node that computes for it, and the input that takes
        what that gives.
    states : tuple of StateType
        What it publishes while it runs.
    commands : tuple of CommandType
        What it can be told to do.
    version : str
        Version of the package it comes from.
    """

    name: str
    doc: str = ""
    inputs: tuple[PortType, ...] = ()
    outputs: tuple[PortType, ...] = ()
    schema: dict[str, Any] = field(default_factory=dict)
    is_source: bool = False
    detached: str = ""
    can_wait: bool = False
    channel_wise: bool = False
    is_window: bool = False
    aliases: tuple[str, ...] = ()
    workers: dict[str, tuple[str, str]] = field(default_factory=dict)
    states: tuple[StateType, ...] = ()
    commands: tuple[CommandType, ...] = ()
    version: str = ""

    def input(self, name: str) -> PortType:
        """Return an input by name.

        Raises
        ------
        UnknownName
            If there is none.
        """
        return self._port("input", name, self.inputs)

    def output(self, name: str) -> PortType:
        """Return an output by name.

        Raises
        ------
        UnknownName
            If there is none.
        """
        return self._port("output", name, self.outputs)

    def _port(self, what: str, name: str, ports: Iterable[PortType]) -> PortType:
        by_name = {port.name: port for port in ports}
        if name not in by_name:
            raise UnknownName.among(f"{what} of {self.name}", name, by_name)
        return by_name[name]

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` takes; only JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NodeType:
        """Make a description of what :meth:`to_dict` gave."""
        known = dict(values)
        for side in ("inputs", "outputs"):
            known[side] = tuple(
                PortType(**{**port, "kinds": tuple(port["kinds"])}) for port in known[side]
            )
        known["aliases"] = tuple(known.get("aliases", ()))
        known["states"] = tuple(StateType(**each) for each in known.get("states", ()))
        known["commands"] = tuple(CommandType(**each) for each in known.get("commands", ()))
        return cls(**known)


def describe(cls: type[Node], name: str, version: str = "") -> NodeType:
    """Describe a node class."""
    states, commands = cls.states(), cls.commands()
    return NodeType(
        name=name,
        doc=inspect.getdoc(cls) or "",
        inputs=tuple(
            PortType(p.name, p.kinds, p.many, p.optional, p.lossless) for p in cls.inputs.values()
        ),
        outputs=tuple(PortType(p.name, p.kinds) for p in cls.outputs.values()),
        schema=cls.declared().schema(),
        is_source=cls.is_source(),
        detached=cls.detached,
        can_wait=cls.can_wait,
        channel_wise=cls.channel_wise,
        is_window=cls.is_window,
        aliases=cls.aliases,
        workers=cls.workers,
        states=tuple(
            StateType(name, each.write, each.doc, states.schema(name))
            for name, each in states.fields.items()
        ),
        commands=tuple(
            CommandType(name, doc, commands.schema(name)) for name, doc in commands.docs.items()
        ),
        version=version,
    )


def nodes_in(module: ModuleType) -> Iterator[type[Node]]:
    """Yield the node classes that a module defines itself."""
    for name, value in vars(module).items():
        if (
            inspect.isclass(value)
            and issubclass(value, Node)
            and value.__module__ == module.__name__
            and not name.startswith("_")
            and not inspect.isabstract(value)
        ):
            yield value


def describe_all() -> Iterator[NodeType | tuple[str, Exception]]:
    """Import every installed node package and describe its classes.

    Yields
    ------
    NodeType or (str, Exception)
        A type, or the module that could not be imported and why.
    """
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        version = entry.dist.version if entry.dist else ""
        for prefix, module_name in _modules(entry):
            try:
                module = importlib.import_module(module_name)
                for cls in nodes_in(module):
                    yield describe(cls, f"{prefix}{cls.__name__}", version)
            except Exception as error:  # a broken plug-in must not hide the others
                yield module_name, error


def load(name: str) -> type[Node]:
    """Import one node class by the full name that :func:`describe_all` gave it.

    Raises
    ------
    UnknownName
        If no installed package has it.
    """
    wanted, _, class_name = name.rpartition(".")
    for entry in entry_points(group=GROUP):
        for prefix, module_name in _modules(entry):
            if prefix == f"{wanted}.":
                for cls in nodes_in(importlib.import_module(module_name)):
                    if cls.__name__ == class_name:
                        return cls
    raise UnknownName(f"no installed package has the node type {name!r}")


def find_type(name: str, known: Mapping[str, NodeType]) -> NodeType:
    """Find a type by its full name or its class name alone, in any case.

    Raises
    ------
    UnknownName
        If there is none; names a near miss.
    GraphError
        If several packages have a class of that name.
    """
    if name in known:
        return known[name]
    folded = name.lower()
    full = [t for key, t in known.items() if key.lower() == folded]
    found = full or [t for t in known.values() if folded in _short_names(t)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(t.name for t in found))
        raise GraphError(f"node type {name!r} may be any of {names}; write the full name")
    short = {key.rpartition(".")[2]: key for key in known}
    raise UnknownName.among("node type", name, [*known, *short] if "." not in name else known)


def _short_names(type_: NodeType) -> set[str]:
    return {type_.name.rpartition(".")[2].lower(), *(alias.lower() for alias in type_.aliases)}


def _modules(entry: EntryPoint) -> Iterator[tuple[str, str]]:
    """Yield the prefix of the type names and the name of each module of an entry point."""
    root = importlib.import_module(entry.value.partition(":")[0])
    prefix = "" if entry.name == _OWN else f"{entry.name}."
    if not hasattr(root, "__path__"):
        yield prefix or f"{entry.name}.", root.__name__
        return
    if prefix:
        yield prefix, root.__name__
    for info in pkgutil.iter_modules(root.__path__):
        if not info.name.startswith("_"):
            yield f"{prefix}{info.name}.", f"{root.__name__}.{info.name}"
