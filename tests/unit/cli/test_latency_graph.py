"""The graph that is tried out: stand-ins, virtual lines, recordings aside."""

from __future__ import annotations

import pytest

from rigmesh.cli._latency_graph import ASIDE, as_tried, round_trips_of
from rigmesh.errors import GraphError, UnknownName
from rigmesh.graph import GraphSpec
from rigmesh.graph.loader import parse_graph
from rigmesh.node.registry import NodeType, describe
from rigmesh_nodes.events import Threshold
from rigmesh_nodes.lsl import Outlet
from rigmesh_nodes.neuralynx import NeuralynxUDP
from rigmesh_nodes.record import HDF5Recorder
from rigmesh_nodes.serial_ttl import SerialTTL, SerialTTLIn
from rigmesh_nodes.sim import Oscillators

CLASSES = (NeuralynxUDP, Oscillators, Threshold, SerialTTL, SerialTTLIn, HDF5Recorder, Outlet)
TYPES: dict[str, NodeType] = {
    f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}": describe(
        cls, f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
    )
    for cls in CLASSES
}
GRAPH = """
rigmesh: 1
nodes:
  probe: {type: neuralynx.NeuralynxUDP, group: loop}
  marks: {type: events.Threshold, inputs: {signal: probe.signal}}
  ttl: {type: serial_ttl.SerialTTL, inputs: {events: marks}, params: {device: /dev/ttyUSB0}}
  rec: {type: HDF5Recorder, inputs: {streams: [marks, ttl]}, params: {path: "{subject}/a.h5"}}
  lsl: {type: lsl.Outlet, inputs: {stream: marks}}
aliases:
  level: marks.level
  both: {states: [marks.level, marks.hysteresis]}
latency:
  nodes:
    probe: {type: sim.Oscillators, params: {n_channels: 4}}
    ttl_in: {type: serial_ttl.SerialTTLIn}
  loopback: {ttl.device: ttl_in.device}
  limits:
    ttl.events: {p50: 1}
"""
LINES = {"ttl": {"device": "/dev/pts/1"}, "ttl_in": {"device": "/dev/pts/2"}}


def tried(text: str = GRAPH, *, without_recorders: bool = False) -> GraphSpec:
    graph = parse_graph(text, source="g.yaml")
    return as_tried(graph, TYPES, {}, LINES, without_recorders=without_recorders)


def test_stand_ins_take_the_places_of_devices_and_ports_those_of_a_line() -> None:
    nodes = tried().nodes

    assert (nodes["probe"].type, nodes["probe"].group) == ("sim.Oscillators", "loop")
    assert nodes["ttl"].params["device"] == "/dev/pts/1"
    assert nodes["ttl_in"].params["device"] == "/dev/pts/2"


def test_a_setting_beats_a_virtual_line() -> None:
    graph = parse_graph(GRAPH)

    found = as_tried(graph, TYPES, {"ttl": {"device": "/dev/ttyS0"}}, LINES)

    assert found.nodes["ttl"].params["device"] == "/dev/ttyS0"


def test_a_setting_of_a_node_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean marks"):
        as_tried(parse_graph(GRAPH), TYPES, {"mark": {"level": 1}}, LINES)


def test_a_recorder_writes_beside_its_file() -> None:
    path = tried().nodes["rec"].params["path"]

    folder, _, name = path.partition("/")
    assert folder == "{subject}"
    assert name.startswith(ASIDE)
    assert name.endswith("-a.h5")
    assert path != tried().nodes["rec"].params["path"]


def test_recorders_and_outlets_can_be_left_out() -> None:
    assert set(tried(without_recorders=True).nodes) == {"probe", "marks", "ttl", "ttl_in"}


def test_aliases_of_what_is_left_out_are_left_out() -> None:
    text = GRAPH.replace("both: {", "speed: rec.commit_interval\n  both: {")

    found = tried(text, without_recorders=True)

    assert set(found.aliases) == {"level", "both"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("n_channels: 4", "n_chanels: 4"),
            r"g\.yaml:14: nodes\.probe\.params\.n_chanels: no such",
        ),
        (("ttl.device:", "ttl.port:"), r"g\.yaml:16: nodes\.ttl\.params\.port: no such parameter"),
        (
            ("ttl.events: {p50", "ttl.event: {p50"),
            r"g\.yaml:18: latency\.limits\.ttl\.event: .*mean",
        ),
        (("ttl.events: {p50", "probe: {p50"), r"g\.yaml:18: .*sim\.Oscillators is a source"),
        (
            ("sim.Oscillators, params: {n_channels: 4}", "SerialTTLIn, params: {device: x}"),
            r"g\.yaml:5: .*no output 'probe\.signal'",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_in_the_section(
    change: tuple[str, str], message: str
) -> None:
    text = GRAPH.replace(*change)
    graph = parse_graph(text, source="g.yaml")
    lines = {"ttl": {"port": "x"}} if "ttl.port:" in text else LINES

    with pytest.raises(GraphError, match=message):
        as_tried(graph, TYPES, {}, lines)


def test_a_round_trip_is_timed_by_the_markers_of_both_ends() -> None:
    graph = parse_graph(GRAPH)
    assert graph.latency is not None

    assert round_trips_of(tried(), graph.latency, TYPES) == {
        "ttl_in": ("ttl.fired", "ttl_in.events")
    }


def test_a_node_without_markers_cannot_be_looped_back() -> None:
    graph = parse_graph(GRAPH.replace("{ttl.device:", "{rec.path:"))
    assert graph.latency is not None

    with pytest.raises(GraphError, match=r"rec .* has 0 outputs of markers"):
        round_trips_of(tried(), graph.latency, TYPES)
