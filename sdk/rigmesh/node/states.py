"""States that a node publishes, and commands that it obeys."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from rigmesh.errors import NotPermitted, ParameterError, UnknownName

__all__ = ["Commands", "StateField", "States", "Writers", "command", "state"]

Writers = Literal["self", "peers", "clients"]
"""Who may write a state: only the node; other nodes, too; also scripts and the command line."""

_ORDER: tuple[Writers, ...] = get_args(Writers)
_MARK = "__rigmesh_command__"

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StateField:
    """What :func:`state` declares."""

    default: Any
    doc: str
    write: Writers


def state(
    *,
    default: Any,
    doc: str,
    write: Writers = "self",
    init: Literal[False] = False,
) -> Any:
    """Declare a state: an attribute that others can read while the node runs.

    Parameters
    ----------
    default : any
        Value at each start, of a JSON type; what others wrote is kept from start to start.
    doc : str
        What it means.
    write : str
        Who may write it: ``self``, ``peers`` (other nodes, through an alias) or ``clients``.
    init : bool
        For type checkers: a state is no argument of the constructor.
    """
    return StateField(default, doc, write)


def command(method: Method) -> Method:
    """Make a method callable by scripts, the command line and other nodes.

    It runs in the node's lane, between two chunks. Arguments are checked against their type hints;
    the result, if any, is of a JSON type.
    """
    setattr(method, _MARK, True)
    return method


class States:
    """The states that a node class declares."""

    def __init__(self, owner: type) -> None:
        self._owner = owner.__name__
        self.fields: dict[str, StateField] = {}
        for klass in reversed(owner.__mro__):
            self.fields.update((n, v) for n, v in vars(klass).items() if isinstance(v, StateField))
        hints = get_type_hints(owner, include_extras=True) if self.fields else {}
        self._types: dict[str, TypeAdapter[Any]] = {n: TypeAdapter(hints[n]) for n in self.fields}

    def reset(self, node: object, *, own_only: bool) -> None:
        """Set the states of `node` to their defaults; `own_only` spares those others may write."""
        for name, field in self.fields.items():
            if not own_only or field.write == "self":
                setattr(node, name, copy.copy(field.default))

    def schema(self, name: str) -> dict[str, Any]:
        """Return the JSON schema of a state."""
        return self._types[name].json_schema()

    def validate(self, name: str, value: Any, *, writer: Writers, node: str = "") -> Any:
        """Return the value that a writer may put into a state.

        Raises
        ------
        UnknownName, NotPermitted, ParameterError
            If there is no such state, this writer may not, or the value has another type.
        """
        where = f"{node or self._owner}.{name}"
        if name not in self.fields:
            raise UnknownName.among(f"state of {node or self._owner}", name, self.fields)
        allowed = self.fields[name].write
        if _ORDER.index(writer) > _ORDER.index(allowed):
            who = "only the node itself" if allowed == "self" else "only nodes"
            raise NotPermitted(f"{where}: {who} may write it; it can be read")
        try:
            return self._types[name].validate_python(value)
        except ValidationError as error:
            raise ParameterError(f"{where}: {error.errors()[0]['msg']}; found {value!r}") from error


class Commands:
    """The commands that a node class declares."""

    def __init__(self, owner: type) -> None:
        self._owner = owner.__name__
        self.docs: dict[str, str] = {}
        self._models: dict[str, type[BaseModel]] = {}
        for name, method in inspect.getmembers(owner, inspect.isfunction):
            if getattr(method, _MARK, False):
                self.docs[name] = inspect.getdoc(method) or ""
                self._models[name] = _model_of(name, method)

    def schema(self, name: str) -> dict[str, Any]:
        """Return the JSON schema of a command's arguments."""
        schema = self._models[name].model_json_schema()
        schema.pop("title", None)
        return schema

    def validate(
        self, name: str, arguments: Mapping[str, Any], *, node: str = ""
    ) -> dict[str, Any]:
        """Return the arguments to call a command with, defaults filled in.

        Raises
        ------
        UnknownName, ParameterError
            If there is no such command, or an argument is unknown, missing or of another type.
        """
        where = node or self._owner
        if name not in self._models:
            raise UnknownName.among(f"command of {where}", name, self._models)
        model = self._models[name]
        try:
            checked = model(**arguments)
        except ValidationError as error:
            problems = "; ".join(
                f"{where}.{name}({'.'.join(map(str, p['loc']))}): {p['msg']}"
                for p in error.errors()
            )
            known = ", ".join(model.model_fields) or "none"
            raise ParameterError(f"{problems}; its arguments: {known}") from error
        return {key: getattr(checked, key) for key in model.model_fields}


def _model_of(name: str, method: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(method, include_extras=True)
    arguments = list(inspect.signature(method).parameters.values())[1:]
    definitions: dict[str, Any] = {
        argument.name: (
            hints.get(argument.name, Any),
            ... if argument.default is inspect.Parameter.empty else argument.default,
        )
        for argument in arguments
    }
    config = ConfigDict(extra="forbid", protected_namespaces=())
    return create_model(name, __config__=config, **definitions)
