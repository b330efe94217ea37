"""Whether a graph can run is known before anything starts."""

from __future__ import annotations

import pytest

from rigmesh.errors import GraphError, PortMismatch, UnknownName
from rigmesh.graph import (
    GraphSpec,
    NodeSpec,
    blocking_nodes,
    check_graph,
    locate,
    process_of,
    start_order,
)
from rigmesh.graph.loader import parse_graph
from rigmesh.node.registry import describe
from rigmesh_nodes.channels import Reference, Select
from rigmesh_nodes.events import Threshold
from rigmesh_nodes.filters import BandPass, LowPass
from rigmesh_nodes.sim import EEG, Markers, Oscillators

TYPES = {
    name: describe(cls, name)
    for name, cls in {
        "sim.EEG": EEG,
        "sim.Oscillators": Oscillators,
        "sim.Markers": Markers,
        "filters.BandPass": BandPass,
        "filters.LowPass": LowPass,
        "channels.Select": Select,
        "channels.Reference": Reference,
        "events.Threshold": Threshold,
    }.items()
}


def graph(nodes: str) -> GraphSpec:
    return parse_graph("rigmesh: 1\nnodes:\n" + nodes)


def test_short_names_are_completed() -> None:
    checked = check_graph(
        graph("  e: {type: eeg}\n  a: {type: bandpass, inputs: {signal: e}}\n"), TYPES
    )

    assert checked.nodes["a"].type == "filters.BandPass"
    assert checked.nodes["a"].inputs == {"signal": ("e.signal",)}


@pytest.mark.parametrize(
    ("nodes", "kind", "message"),
    [
        ("  e: {type: sim.EGG}\n", UnknownName, r"nodes\.e\.type: .*did you mean sim\.EEG"),
        ("  a: {type: BandPass}\n", GraphError, r"nodes\.a\.inputs\.signal: missing; takes Signal"),
        (
            "  a: {type: BandPass, inputs: {signal: egg.signal}}\n  eeg: {type: EEG}\n",
            UnknownName,
            r"nodes\.a\.inputs\.signal: no node 'egg' \(did you mean eeg\?\)",
        ),
        (
            "  a: {type: BandPass, inputs: {signal: eeg.signl}}\n  eeg: {type: EEG}\n",
            UnknownName,
            r"no output 'eeg\.signl' \(did you mean signal\?\); known: eeg\.signal",
        ),
        (
            "  a: {type: BandPass, inputs: {sgnal: eeg}}\n  eeg: {type: EEG}\n",
            GraphError,
            r"nodes\.a\.inputs\.sgnal: filters\.BandPass has no such input",
        ),
        (
            "  a: {type: BandPass, inputs: {signal: m}}\n  m: {type: Markers}\n",
            PortMismatch,
            r"a\.signal takes Signal; m\.\w+ gives Markers",
        ),
        (
            "  a: {type: BandPass, inputs: {signal: [e, f]}}\n  e: {type: EEG}\n  f: {type: EEG}\n",
            GraphError,
            r"nodes\.a\.inputs\.signal: takes one stream, not 2",
        ),
        (
            "  a: {type: LowPass, inputs: {signal: b}}\n"
            "  b: {type: LowPass, inputs: {signal: a}}\n",
            GraphError,
            r"nodes\.a\.inputs\.signal: the links go round in a circle: a → b → a; take one of "
            r"them out: .* \(aliases:\).* lsl\.Outlet",
        ),
        ("  e: {type: EEG, params: {sampling_rate: 1 kHz}}\n", GraphError, "a number in Hz"),
        ("  e: {type: EEG, params: {sampling_rat: 1}}\n", GraphError, "did you mean sampling_rate"),
        ("  e: {type: EEG, params: {sampling_rate: -1}}\n", GraphError, r"params\.sampling_rate"),
        (
            "  a: {type: LowPass, inputs: {signal: e}, overflow: block}\n  e: {type: EEG}\n",
            GraphError,
            "cannot wait",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(nodes: str, kind: type[GraphError], message: str) -> None:
    with pytest.raises(kind, match=message):
        check_graph(graph(nodes), TYPES)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        check_graph(graph("  e: {type: EGG}\n  f: {type: EEG, params: {lo: 1}}\n"), TYPES)

    assert len(str(caught.value).splitlines()) == 2


def test_a_circle_is_told_in_the_order_of_the_stream() -> None:
    nodes = (
        "  source: {type: EEG}\n"
        "  b: {type: LowPass, inputs: {signal: a}}\n"
        "  c: {type: LowPass, inputs: {signal: b}}\n"
        "  a: {type: LowPass, inputs: {signal: c}}\n"
    )

    with pytest.raises(GraphError, match="b → c → a → b"):
        check_graph(graph(nodes), TYPES)


def test_mistakes_of_a_file_are_told_with_their_lines() -> None:
    text = (
        "rigmesh: 1\nnodes:\n  e: {type: EEG}\n"
        "  a:\n    type: BandPass\n    inputs:\n      signal: f\n"
    )

    with pytest.raises(UnknownName, match=r"^g\.yaml:7: nodes\.a\.inputs\.signal: no node 'f'"):
        check_graph(parse_graph(text, source="g.yaml"), TYPES)


def test_what_a_daemon_found_is_told_with_its_line_too() -> None:
    found = parse_graph("rigmesh: 1\nnodes:\n  e: {type: EEG}\n", source="g.yaml")
    error = GraphError("nodes.e.type: no such type\nthere is a graph already")

    located = locate(error, found)

    assert str(located) == "g.yaml:3: nodes.e.type: no such type\nthere is a graph already"
    assert locate(located, found).args == located.args


def test_sinks_start_before_sources() -> None:
    checked = check_graph(
        graph(
            "  e: {type: EEG}\n"
            "  a: {type: BandPass, inputs: {signal: e}}\n"
            "  t: {type: Threshold, inputs: {signal: a}}\n"
        ),
        TYPES,
    )

    assert start_order(checked.nodes) == ["t", "a", "e"]


def test_waiting_is_inherited_unless_some_source_cannot_wait() -> None:
    nodes = {
        "slow": NodeSpec("slow", "sim.Oscillators", params={"paced": False}),
        "live": NodeSpec("live", "sim.Oscillators"),
        "a": NodeSpec("a", "filters.LowPass", inputs={"signal": ("slow.signal",)}),
        "b": NodeSpec("b", "filters.LowPass", inputs={"signal": ("live.signal",)}),
        "c": NodeSpec("c", "filters.LowPass", inputs={"signal": ("a.filtered", "b.filtered")}),
    }

    assert blocking_nodes(nodes, TYPES) == {"slow", "a"}


def test_drop_overrules_what_an_unpaced_source_would_do() -> None:
    nodes = {
        "s": NodeSpec("s", "sim.Oscillators", params={"paced": False}, overflow="drop"),
    }

    assert not blocking_nodes(nodes, TYPES)


def test_a_node_without_a_companion_runs_in_its_group() -> None:
    assert process_of(NodeSpec("e", "sim.EEG", group="amp"), TYPES["sim.EEG"]) == "amp"
