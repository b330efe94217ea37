"""What stands in a graph file: the models it is checked by, and its JSON schema is made of."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)

from rigmesh.graph.ranges import numbers_of
from rigmesh.graph.spec import MAIN, AliasWriters, spin_microseconds

__all__ = [
    "NAME",
    "AliasFile",
    "GraphFile",
    "GroupFile",
    "LatencyFile",
    "LimitsFile",
    "NodeFile",
]

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
"""Of groups, nodes and aliases."""

_DURATION = r"^\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)\s*(s|ms|us|µs|μs|ns)?\s*$"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "µs": 1_000_000, "μs": 1_000_000, "ns": 10**9}


# --- values that can be written in several ways --------------------------------------------------


def _streams(value: Any) -> list[str]:
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise ValueError("a text such as node.name, or a list of such texts")
    return written


def _cpus(value: Any) -> tuple[int, ...]:
    written = [value] if isinstance(value, int) else value
    if isinstance(written, str):
        written = list(numbers_of(written))
    if not isinstance(written, list) or not all(type(n) is int and n >= 0 for n in written):
        raise ValueError("numbers of CPUs, such as [2, 3], or a text such as '0,2-3'")
    return tuple(sorted(set(written)))


def _wait(value: Any) -> str:
    microseconds = spin_microseconds(value if isinstance(value, str) else repr(value))
    if microseconds is None:
        return "block"
    return "spin" if microseconds == float("inf") else f"spin({microseconds:g})"


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        match = re.match(_DURATION, value)
        if match:
            # Divided, not multiplied: 5 ms is 0.005, to the last digit.
            return float(match[1]) / _PER_SECOND[match[2] or "s"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError("a time, such as '5 ms' or '200 us', or a number of seconds")


def _alias(value: Any) -> Any:
    return value if isinstance(value, dict) else {"states": value}


def _one_or_many(what: str) -> dict[str, Any]:
    text = {"type": "string", "examples": [what]}
    return {"anyOf": [text, {"type": "array", "items": text}]}


_Streams = Annotated[
    list[str], BeforeValidator(_streams), WithJsonSchema(_one_or_many("node.port"))
]
_States = Annotated[
    list[str], BeforeValidator(_streams), WithJsonSchema(_one_or_many("node.state"))
]
_Cpus = Annotated[
    tuple[int, ...],
    BeforeValidator(_cpus),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "integer", "minimum": 0}},
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\s*[,-]\s*\d+)*\s*$"},
            ]
        }
    ),
]
_Wait = Annotated[
    str,
    BeforeValidator(_wait),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(block|spin(\s*\(.*\))?)\s*$"}),
]
_Time = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DURATION}]}
    ),
]


# --- what stands in a file -----------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GroupFile(_Strict):
    """Settings of a group."""

    host: str = Field(
        default="", description="Machine it runs on, one of `hosts`; the one that drives if empty."
    )

    restart: Literal["never", "on-failure"] = Field(
        default="never", description="Whether the group's processes are restarted after a failure."
    )
    buffer_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="How much its rings hold, in seconds."
    )
    cpus: _Cpus = Field(
        default=(), description="CPUs it may run on: numbers, or a text such as 0,2-3."
    )
    priority: StrictInt = Field(
        default=0,
        ge=0,
        le=100,
        description="0: as any process; 1 to 100: real-time, per cent of the SCHED_FIFO range.",
    )
    wait: _Wait = Field(
        default="block", description="How it waits for chunks: block, spin, or spin(50 us)."
    )
    lock_memory: StrictBool = Field(
        default=False, description="Whether its memory is kept from being swapped out."
    )
    deadline: _Time = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="Within which time a chunk is through its nodes, such as 5 ms; 0: no matter.",
    )


class NodeFile(_Strict):
    """A node, or several by a range."""

    type: str = Field(description="Class of the node, such as filters.BandPass.")
    group: str = Field(default=MAIN, pattern=NAME, description="Group it runs in.")
    host: str = Field(
        default="", description="Machine it runs on, one of `hosts`; that of its group if empty."
    )
    inputs: dict[str, _Streams] = Field(
        default_factory=dict,
        description="Streams (node or node.port; a range: node(1-4).port) for each input.",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the class.")
    overflow: Literal["", "drop", "block"] = Field(
        default="", description="Whether a file or simulation waits for slow readers."
    )
    replicate: StrictInt = Field(
        default=1,
        ge=1,
        le=1024,
        description="Number of parallel pipelines that divide the channels of its signal.",
    )


class AliasFile(_Strict):
    """A name for states."""

    states: _States = Field(description="States or live parameters (node.state) that share it.")
    write: AliasWriters = Field(default="clients", description="Who may write it by this name.")
    doc: str = Field(default="", description="What it means.")


class LimitsFile(_Strict):
    """The longest latencies that pass."""

    p50: _Time | None = Field(default=None, gt=0, description="Of half of the chunks.")
    p90: _Time | None = Field(default=None, gt=0, description="Of 90 % of the chunks.")
    p99: _Time | None = Field(default=None, gt=0, description="Of 99 % of the chunks.")
    p99_9: _Time | None = Field(
        default=None, gt=0, alias="p99.9", description="Of 99.9 % of the chunks."
    )
    max: _Time | None = Field(default=None, gt=0, description="Of all chunks.")


class LatencyFile(_Strict):
    """How ``rigmesh latency`` tries the graph out."""

    duration: _Time = Field(default=10.0, gt=0, le=86400, description="How long it measures.")
    warm_up: _Time = Field(
        default=1.0, ge=0, le=3600, description="How long it runs before it measures."
    )
    nodes: dict[str, NodeFile] = Field(
        default_factory=dict,
        description="Nodes in place of those of the same name, such as a simulation for a device, "
        "or beside them.",
    )
    loopback: dict[str, str] = Field(
        default_factory=dict,
        description="Ports of nodes (node.parameter) that a virtual serial line joins: "
        "output to input.",
    )
    limits: dict[str, LimitsFile] = Field(
        default_factory=dict,
        description="Longest latencies of nodes, or of inputs (node.port), from receiving a chunk "
        "until the node was done.",
    )
    round_trips: dict[str, LimitsFile] = Field(
        default_factory=dict,
        description="Longest times until what an output wrote was read by these nodes.",
    )


class GraphFile(_Strict):
    """The whole file."""

    rigmesh: Literal[1] = Field(description="Version of the format.")
    name: str = Field(default="graph", description="What the graph is called.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Subject, session …: kept in recordings."
    )
    hosts: dict[str, str] = Field(
        default_factory=dict,
        description="Other machines: a name for each and its address, such as 10.0.0.103:5678.",
    )
    groups: dict[str, GroupFile | None] = Field(
        default_factory=dict, description="Settings of groups."
    )
    nodes: dict[str, NodeFile] = Field(
        min_length=1, description="The nodes by name; a range makes several: sink(1-3)."
    )
    aliases: dict[str, Annotated[AliasFile, BeforeValidator(_alias)]] = Field(
        default_factory=dict, description="Names for states, and states that share a value."
    )
    latency: LatencyFile | None = Field(
        default=None, description="How `rigmesh latency` tries the graph out; else ignored."
    )
