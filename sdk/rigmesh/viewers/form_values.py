"""Values of a form as people write them: read, checked against a JSON schema, refused in words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from rigmesh.errors import ParameterError
from rigmesh.node.units import Unit

__all__ = ["Kind", "Reading", "step"]

Kind = Literal["switch", "choice", "number", "text", "json"]
"""What a value is edited by."""

_NUMBER = re.compile(r"^(\s*)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(.*)$", re.DOTALL)
_WORDS = {
    "integer": "a whole number", "number": "a number", "string": "a text", "boolean": "yes or no",
    "array": "a list such as [1, 2]", "object": 'an object such as {"name": "value"}',
    "null": "nothing",
}  # fmt: skip
_AT_LEAST = {"minLength": "characters", "minItems": "items", "minProperties": "entries"}
_AT_MOST = {"maxLength": "characters", "maxItems": "items", "maxProperties": "entries"}


class Reading:
    """Turns texts into values of one property of a schema, and values into texts.

    Parameters
    ----------
    name : str
        Of the property.
    schema : dict
        Of the object that has it.
    """

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self.name = name
        prop = schema.get("properties", {}).get(name, {})
        definitions = schema.get("$defs", {})
        self.schema: dict[str, Any] = {**_followed(prop, definitions)}
        branches = [self.schema, *self.schema.get("anyOf", [])]
        self.unit: str = next((b["unit"] for b in branches if "unit" in b), "")
        self.is_required = name in schema.get("required", [])
        self._validator = Draft202012Validator({**self.schema, "$defs": definitions})

    @property
    def kind(self) -> Kind:
        """What the value is edited by."""
        if self.choices:
            return "choice"
        if self.unit:
            return "number"
        type_ = self.schema.get("type")
        if type_ == "boolean":
            return "switch"
        if type_ in ("integer", "number"):
            return "number"
        return "text" if type_ == "string" else "json"

    @property
    def choices(self) -> list[Any]:
        """What there is to choose from, if it is a choice."""
        options = self.schema.get("enum", [])
        return list(options) or [self.schema["const"]] if "const" in self.schema else list(options)

    @property
    def bounds(self) -> str:
        """What a number must be, in words; empty for any."""
        branch = next(
            (b for b in self.schema.get("anyOf", []) if b.get("type") in ("number", "integer")),
            self.schema,
        )
        words = [
            f"{sign} {branch[key]:g}{f' {self.unit}' if self.unit else ''}"
            for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"),
                              ("exclusiveMaximum", "<"))
            if key in branch
        ]  # fmt: skip
        return ", ".join(words)

    def read(self, text: str) -> Any:
        """Return the value that was written.

        Raises
        ------
        ParameterError
            With the reason why it cannot be it.
        """
        value = self._parse(text)
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """See whether a value is acceptable.

        Raises
        ------
        ParameterError
            With the reason why it is not.
        """
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError("expected a finite number")
        errors = list(self._validator.iter_errors(value))
        if errors:
            raise ParameterError(self._reason(best_match(errors) or errors[0]))

    def write(self, value: Any) -> str:
        """Return the text of a value."""
        if value is None:
            return ""
        if self.kind == "number" and isinstance(value, (int, float)):
            number = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
            return f"{number} {self.unit}" if self.unit else number
        if isinstance(value, str) and (self.kind in ("text", "number") or _is_bare(value)):
            return value
        return json.dumps(value, ensure_ascii=False)

    def same(self, one: Any, other: Any) -> bool:
        """Whether two values are the same, ``8`` and ``"8 Hz"`` included."""
        return bool(self._plain(one) == self._plain(other)) and isinstance(one, bool) == isinstance(
            other, bool
        )

    def _plain(self, value: Any) -> Any:
        if self.unit and isinstance(value, str):
            try:
                return Unit(self.unit).parse(value)
            except ValueError:
                return value
        return value

    def _parse(self, text: str) -> Any:
        bare = text.strip()
        if not bare and self.kind != "text":
            if self._validator.is_valid(None):
                return None
            if self.kind == "json" and self._validator.is_valid(""):
                return ""
            raise ParameterError("something has to be here")
        if self.kind == "text":
            return text
        if self.unit:
            return self._measure(bare)
        if self.kind == "number":
            return self._number(bare)
        try:
            return json.loads(bare)
        except ValueError as error:
            if self._validator.is_valid(bare):
                return bare
            raise ParameterError(f"not JSON: {error}") from error

    def _measure(self, text: str) -> float:
        try:
            return float(Unit(self.unit).parse(text))
        except ValueError as error:
            raise ParameterError(str(error)) from error

    def _number(self, text: str) -> int | float:
        try:
            return int(text)
        except ValueError:
            pass
        try:
            value = float(text)
        except ValueError:
            expected = _WORDS[self.schema.get("type", "number")]
            raise ParameterError(f"expected {expected}, found {text!r}") from None
        return value

    def _reason(self, error: ValidationError) -> str:
        wanted: Any = error.validator_value
        rule = error.validator
        where = "".join(f"[{part}]" for part in error.path)
        said = f"{where}: " if where else ""
        unit = f" {self.unit}" if self.unit else ""
        comparisons = {
            "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than",
            "exclusiveMaximum": "less than", "multipleOf": "a multiple of",
        }  # fmt: skip
        if rule in comparisons:
            return f"{said}has to be {comparisons[rule]} {wanted:g}{unit}"
        if rule in _AT_LEAST:
            return f"{said}has to have at least {wanted} {_AT_LEAST[rule]}"
        if rule in _AT_MOST:
            return f"{said}has to have at most {wanted} {_AT_MOST[rule]}"
        if rule == "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            expected = " or ".join(_WORDS.get(each, each) for each in types)
            return f"{said}expected {expected}, found {_shown(error.instance)}"
        if rule in ("enum", "const"):
            known = [wanted] if rule == "const" else wanted
            return f"{said}has to be one of {', '.join(map(str, known))}"
        if rule == "pattern":
            return f"{said}has to be of the form {wanted}"
        if rule == "anyOf":
            options = " or ".join(_expected(branch) for branch in wanted)
            return f"{said}expected {options}, found {_shown(error.instance)}"
        return f"{said}{error.message}"


def step(text: str, by: int, *, is_whole: bool = False) -> str | None:
    """Return a number that is written `by` units of its last digit more, with what is behind it.

    Returns
    -------
    str or None
        None if it does not begin with a number.

    Examples
    --------
    >>> step("8 Hz", 1)
    '9 Hz'
    >>> step("0.05", -1)
    '0.04'
    """
    match = _NUMBER.match(text)
    if match is None:
        return None
    number = Decimal(match[2])
    exponent = number.as_tuple().exponent
    unit = Decimal(1) if is_whole or not isinstance(exponent, int) else Decimal(1).scaleb(exponent)
    return f"{match[1]}{number + by * unit}{match[3]}"


def _followed(prop: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property with what its reference says."""
    reference = prop.get("$ref")
    if not isinstance(reference, str):
        return dict(prop)
    found = definitions.get(reference.rpartition("/")[2], {})
    return {**found, **{key: value for key, value in prop.items() if key != "$ref"}}


def _is_bare(text: str) -> bool:
    """Whether a text can stand without quotes where JSON is expected."""
    try:
        json.loads(text)
    except ValueError:
        return bool(text.strip() == text)
    return False


def _expected(branch: Mapping[str, Any]) -> str:
    if "const" in branch:
        return str(branch["const"])
    if "enum" in branch:
        return " or ".join(map(str, branch["enum"]))
    return _WORDS.get(str(branch.get("type", "")), "something else")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
