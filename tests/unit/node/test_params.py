"""Parameters and their units: accepted, refused, described."""

from __future__ import annotations

from typing import Any, Literal

import jsonschema
import pytest

from rigmesh.errors import ParameterError
from rigmesh.node import Hz, Input, Milliseconds, Node, Output, param
from rigmesh.streams import Signal


class Tuned(Node):
    """A node with parameters of many kinds."""

    signal = Input(Signal)
    out = Output(Signal)

    low: Hz = param(default=8.0, gt=0, doc="Lower cut-off frequency.")
    high: Hz = param(default=12.0, gt=0, lt=500, doc="Upper cut-off frequency.", live=True)
    order: int = param(default=4, ge=1, le=8, doc="Order of the filter.")
    mode: Literal["fast", "exact"] = param(default="fast", doc="How.")
    channels: list[str] = param(default=["Cz"], min_length=1, doc="Which.")

    def process(self, chunk: Signal) -> Signal:
        return chunk


class Slower(Tuned):
    """A node that adds to another's parameters."""

    delay: Milliseconds = param(ge=0, doc="How long to wait.")


def made(cls: type[Node] = Tuned, **values: Any) -> Any:
    """Make a node of values as they come from a file, of any type."""
    return cls(**values)


@pytest.mark.parametrize("value", [9, 9.0, "9", "9 Hz", "9Hz", " 9.0 Hz ", "0.9e1 Hz", "+9 Hz"])
def test_a_number_may_come_with_its_unit(value: Any) -> None:
    assert made(low=value).low == 9.0


@pytest.mark.parametrize("value", ["9 kHz", "9 s", "9 hz", "nine", "", "Hz", "9 Hz 10", "1,5 Hz"])
def test_another_unit_is_refused(value: str) -> None:
    with pytest.raises(ParameterError, match=r"Tuned\.low: expected a number in Hz"):
        made(low=value)


def test_defaults_are_filled_in_and_are_attributes() -> None:
    node = Tuned(order=2)

    assert (node.low, node.high, node.order, node.mode) == (8.0, 12.0, 2, "fast")
    assert node.parameters["channels"] == ["Cz"]


def test_nodes_do_not_share_a_default() -> None:
    first, second = Tuned(), Tuned()

    first.channels.append("Pz")

    assert second.channels == ["Cz"]
    assert Tuned().channels == ["Cz"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 0}, r"Tuned\.low: .*greater than 0.*; found 0"),
        ({"high": 500}, r"Tuned\.high: .*less than 500.*; found 500"),
        ({"order": 2.5}, r"Tuned\.order: .*integer.*; found 2\.5"),
        ({"mode": "slow"}, r"Tuned\.mode: .*'fast' or 'exact'; found 'slow'"),
        ({"channels": []}, r"Tuned\.channels: .*at least 1"),
        ({"channels": ["a", 5]}, r"Tuned\.channels\.1: .*string; found 5"),
        ({"low": None}, r"Tuned\.low: .*number; found None"),
    ],
)
def test_a_value_that_is_not_acceptable_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        made(**values)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as raised:
        made(low=-1, order=9, mode="slow")

    assert all(f"Tuned.{name}:" in str(raised.value) for name in ("low", "order", "mode"))


def test_an_unknown_parameter_gets_a_near_miss() -> None:
    with pytest.raises(ParameterError, match=r"Tuned\.lwo: no such parameter \(did you mean low"):
        made(lwo=5)


def test_a_required_parameter_says_what_it_is() -> None:
    with pytest.raises(ParameterError, match=r"Slower\.delay: required; How long to wait\."):
        made(Slower)


def test_a_subclass_has_the_parameters_and_ports_of_its_base() -> None:
    node = made(Slower, delay="5 ms", low=3)

    assert (node.delay, node.low) == (5.0, 3.0)
    assert [port.name for port in node.bound_inputs()] == ["signal"]
    assert [port.name for port in node.bound_outputs()] == ["out"]


def test_a_parameter_says_whether_it_is_live() -> None:
    declared = Tuned.declared()

    assert declared.is_live("high")
    assert not declared.is_live("low")


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"low": 9}, True),
        ({"low": "9 Hz"}, True),
        ({"low": "9 kHz"}, False),
        ({"low": -1}, False),
        ({"mode": "slow"}, False),
        ({"lwo": 9}, False),
    ],
)
def test_the_schema_accepts_what_the_node_does(values: dict[str, Any], fits: bool) -> None:
    schema = Tuned.declared().schema()

    assert jsonschema.Draft202012Validator(schema).is_valid(values) is fits


def test_the_schema_carries_unit_bounds_doc_and_liveness() -> None:
    high = Tuned.declared().schema()["properties"]["high"]

    assert high["unit"] == "Hz"
    assert high["live"] is True
    assert high["description"] == "Upper cut-off frequency."
    assert high["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 500}
