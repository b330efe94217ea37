"""Parameters of a node: one declaration for static checks, validation and the JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rigmesh.errors import ParameterError, near_miss
from rigmesh.node.units import Unit

__all__ = ["Parameters", "param"]


def param(
    *,
    default: Any = PydanticUndefined,
    doc: str,
    live: bool = False,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    min_length: int | None = None,
    pattern: str | None = None,
    examples: list[Any] | None = None,
) -> Any:
    """Declare a parameter of a node.

    Parameters
    ----------
    default : any
        Value if none is given; without it the parameter is required.
    doc : str
        What it does. The unit is part of its type.
    live : bool
        Whether a change takes effect between two chunks, without `prepare`.
    gt, ge, lt, le : float
        Bounds.
    min_length : int
        Least length of a text or list.
    pattern : str
        Regular expression a text matches.
    examples : list
        Values to show in help and forms.
    """
    return Field(
        default=default,
        description=doc,
        gt=gt,
        ge=ge,
        lt=lt,
        le=le,
        min_length=min_length,
        pattern=pattern,
        examples=examples,
        json_schema_extra={"live": live},
    )


class Parameters:
    """The parameters that a node class declares."""

    def __init__(self, owner: type) -> None:
        self._owner = owner.__name__
        hints = get_type_hints(owner, include_extras=True)
        self.fields: dict[str, FieldInfo] = {}
        for klass in reversed(owner.__mro__):
            for name, value in vars(klass).items():
                if isinstance(value, FieldInfo):
                    self.fields[name] = value
        definitions: dict[str, Any] = {
            name: (hints[name], field) for name, field in self.fields.items()
        }
        self._model: type[BaseModel] = create_model(
            owner.__name__,
            __config__=ConfigDict(extra="forbid", validate_default=True, protected_namespaces=()),
            **definitions,
        )

    def is_live(self, name: str) -> bool:
        """Whether a change of a parameter needs no `prepare`."""
        extra = self.fields[name].json_schema_extra
        return bool(isinstance(extra, dict) and extra.get("live"))

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema; numbers with a unit may also be texts such as ``"8 Hz"``."""
        schema = self._model.model_json_schema()
        schema.pop("title", None)
        for name, prop in schema.get("properties", {}).items():
            prop.pop("title", None)
            unit = prop.get("unit")
            if unit:
                number = {
                    key: prop.pop(key)
                    for key in ("type", "anyOf", "minimum", "maximum", "exclusiveMinimum",
                                "exclusiveMaximum")
                    if key in prop
                }  # fmt: skip
                text = {"type": "string", "pattern": Unit(unit).pattern}
                schema["properties"][name] = {"anyOf": [number, text], **prop}
        return schema

    def validate(self, values: Mapping[str, Any], *, node: str = "") -> dict[str, Any]:
        """Return all parameters, defaults filled in.

        Raises
        ------
        ParameterError
            Naming each parameter that is wrong, what was found and what is expected.
        """
        try:
            model = self._model(**values)
        except ValidationError as error:
            raise ParameterError("; ".join(self._explain(error, node or self._owner))) from error
        return {name: getattr(model, name) for name in self.fields}

    def _explain(self, error: ValidationError, node: str) -> Iterator[str]:
        for problem in error.errors():
            path = ".".join(str(part) for part in problem["loc"])
            name = str(problem["loc"][0]) if problem["loc"] else ""
            where = f"{node}.{path}"
            if problem["type"] == "extra_forbidden":
                known = ", ".join(sorted(self.fields)) or "none"
                hint = near_miss(name, self.fields)
                yield f"{where}: no such parameter{hint}; known: {known}"
            elif problem["type"] == "missing":
                yield f"{where}: required; {self.fields[name].description}"
            else:
                message = problem["msg"].removeprefix("Value error, ")
                yield f"{where}: {message}; found {problem['input']!r}"
