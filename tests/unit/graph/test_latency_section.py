"""The section ``latency`` of a graph file: read, refused with lines, written again."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from rigmesh.errors import GraphError
from rigmesh.graph.loader import dump_graph, graph_schema, parse_graph
from rigmesh.graph.spec import LatencySpec

GRAPH = """
rigmesh: 1
nodes:
  probe: {type: neuralynx.NeuralynxUDP, group: loop}
  band: {type: filters.BandPass, group: loop, inputs: {signal: probe}}
  ttl: {type: serial_ttl.SerialTTL, inputs: {events: band}, params: {device: /dev/ttyUSB0}}
latency:
  duration: 500 ms
  nodes:
    probe: {type: sim.Oscillators}
    ttl_in: {type: serial_ttl.SerialTTLIn}
  loopback: {ttl.device: ttl_in.device}
  limits:
    band: {p50: 200 us, p99.9: 5 ms, max: 1}
    ttl.events: {p99: 5 ms}
  round_trips:
    ttl_in: {p90: 10 ms}
"""


def read(text: str = GRAPH) -> LatencySpec:
    found = parse_graph(text, source="g.yaml").latency
    assert found is not None
    return found


def test_a_graph_without_the_section_has_none() -> None:
    assert parse_graph(GRAPH[: GRAPH.index("latency:")]).latency is None


def test_the_section_is_read_as_written() -> None:
    latency = read()

    assert (latency.duration, latency.warm_up) == (0.5, 1.0)
    assert latency.loopback == {"ttl.device": "ttl_in.device"}
    assert latency.limits == {
        "band": {"p50": 0.0002, "p99.9": 0.005, "max": 1.0},
        "ttl.events": {"p99": 0.005},
    }
    assert latency.round_trips == {"ttl_in": {"p90": 0.01}}


def test_a_stand_in_runs_in_the_group_of_the_node_it_stands_in_for() -> None:
    nodes = read().nodes

    assert (nodes["probe"].type, nodes["probe"].group) == ("sim.Oscillators", "loop")
    assert nodes["ttl_in"].group == "main"


def test_a_range_stands_in_for_a_range() -> None:
    latency = read(
        "rigmesh: 1\nnodes:\n  amp(1-2): {type: lsl.Inlet, group: left}\n"
        "latency:\n  nodes:\n    amp(1-2): {type: sim.EEG}\n"
    )

    assert {name: node.group for name, node in latency.nodes.items()} == {
        "amp1": "left",
        "amp2": "left",
    }


def test_a_graph_that_is_written_reads_with_the_same_section() -> None:
    graph = parse_graph(GRAPH)

    assert parse_graph(dump_graph(graph)) == graph


def test_editors_know_the_section() -> None:
    validator = Draft202012Validator(graph_schema([]))

    good = {"rigmesh": 1, "nodes": {"a": {"type": "b"}}, "latency": {"limits": {"a": {"p99.9": 1}}}}
    bad = {**good, "latency": {"limits": {"a": {"p98": 1}}}}

    assert validator.is_valid(good)
    assert not validator.is_valid(bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("duration:", "durtion:"), r"g\.yaml:8: latency\.durtion: unknown key \(did you mean dur"),
        (("500 ms", "0 ms"), r"g\.yaml:8: latency\.duration: .*greater than 0"),
        (("500 ms", "a while"), r"g\.yaml:8: latency\.duration: a time, such as .*found 'a while'"),
        (("p99: 5 ms", "p98: 5 ms"), r"g\.yaml:15: .*unknown key \(.*known: p50, p90, p99, p99\.9"),
        (("type: sim", "typ: sim"), r"g\.yaml:10: latency\.nodes\.probe\.typ: unknown key \(did "),
        (("    band: {p50", "    bend: {p50"), r"g\.yaml:14: latency\.limits\.bend: .*mean band\?"),
        (("ttl.device:", "ttx.device:"), r"g\.yaml:12: latency\.loopback\.ttx\.device: .*mean ttl"),
        ((" ttl_in.device", " ttl_in"), r"g\.yaml:12: .*'ttl_in' is not of the form node\.param"),
        (("    ttl_in: {p90", "    band: {p90"), r"g\.yaml:17: .*nothing is looped back to it"),
        (
            ("    ttl_in: {type", "    x y: {type"),
            r"g\.yaml:11: latency\.nodes\.x y: a name begins",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(change: tuple[str, str], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        read(GRAPH.replace(*change))
