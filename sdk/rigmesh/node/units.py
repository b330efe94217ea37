"""Units of parameters: ``low: Hz`` takes ``8``, ``8.0`` or ``"8 Hz"``, never ``"8 kHz"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

__all__ = ["Hz", "MegaBytes", "Microvolts", "Milliseconds", "Percent", "Seconds", "Unit"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit a number is in; nothing is ever converted."""

    symbol: str

    @property
    def pattern(self) -> str:
        """Regular expression of a number with this unit."""
        return rf"^\s*({_NUMBER})\s*{re.escape(self.symbol)}\s*$"

    def parse(self, value: Any) -> Any:
        """Strip the unit off a text; anything else is left to the type's own validation."""
        if not isinstance(value, str):
            return value
        match = re.match(self.pattern, value)
        if match:
            return float(match[1])
        if re.match(rf"^\s*{_NUMBER}\s*$", value):
            return float(value)
        raise ValueError(f"expected a number in {self.symbol}, such as '8 {self.symbol}'")

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.parse, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "unit": self.symbol}


Hz = Annotated[float, Unit("Hz")]
Seconds = Annotated[float, Unit("s")]
Milliseconds = Annotated[float, Unit("ms")]
Microvolts = Annotated[float, Unit("uV")]
Percent = Annotated[float, Unit("%")]
MegaBytes = Annotated[float, Unit("MB")]
