"""Where nodes run, how streams travel, how many sleeping threads that wakes; drawn and listed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from rigmesh.graph import GraphSpec, GroupSpec, NodeSpec, check_graph, plan_graph
from rigmesh.graph.layout import Size, arrange
from rigmesh.graph.listing import list_graph, list_plan, options_of
from rigmesh.graph.loader import parse_graph
from rigmesh.graph.picture import draw
from rigmesh.graph.plan import GraphPlan, PlannedLink, PlannedPath
from rigmesh.node.registry import NodeType, PortType

SIGNAL = ("signal",)
TYPES = {
    "t.Source": NodeType("t.Source", outputs=(PortType("out", SIGNAL),), is_source=True),
    "t.Filter": NodeType(
        "t.Filter",
        inputs=(PortType("taken", SIGNAL),),
        outputs=(PortType("out", SIGNAL),),
        schema={"properties": {"low": {"default": 8.0, "unit": "Hz"}, "name": {"default": ""}}},
    ),
    "t.Recorder": NodeType(
        "t.Recorder", inputs=(PortType("taken", SIGNAL, many=True),), detached="record"
    ),
    "lsl.In": NodeType(
        "lsl.In", outputs=(PortType("out", SIGNAL),), is_source=True, detached="lsl"
    ),
    "lsl.Out": NodeType("lsl.Out", inputs=(PortType("taken", SIGNAL),), detached="lsl"),
}

GRAPH = """
rigmesh: 1
groups: {loop: {cpus: "0,2-3", wait: spin(50 us)}}
nodes:
  eeg: {type: Source}
  alpha: {type: Filter, inputs: {taken: eeg}}
  beta: {type: Filter, group: loop, inputs: {taken: alpha}, params: {low: 9}}
  rec: {type: Recorder, inputs: {taken: [eeg, beta]}}
"""


def plan(text: str = GRAPH) -> GraphPlan:
    return plan_graph(check_graph(parse_graph(text), TYPES), TYPES)


def test_a_stream_within_a_process_is_a_call_and_between_two_a_ring() -> None:
    transports = {(link.stream, link.sink): link.transport for link in plan().links}

    assert transports == {
        ("eeg.out", "alpha"): "call",
        ("alpha.out", "beta"): "ring",
        ("eeg.out", "rec"): "ring",
        ("beta.out", "rec"): "ring",
    }


def test_each_ring_on_a_path_wakes_once_and_the_source_wakes_itself() -> None:
    assert plan().paths == (
        PlannedPath(("eeg", "alpha", "beta", "rec"), 3),
        PlannedPath(("eeg", "rec"), 2),
    )
    assert {name: node.wake_ups for name, node in plan().nodes.items()} == {
        "eeg": 1, "alpha": 1, "beta": 2, "rec": 3,
    }  # fmt: skip


def test_calls_make_a_lane_and_companions_are_processes_of_their_own() -> None:
    nodes = plan().nodes

    assert nodes["eeg"].lane == nodes["alpha"].lane
    assert len({node.lane for node in nodes.values()}) == 3
    assert nodes["rec"].process == "main.record"
    assert plan().processes == ["main", "main.record", "loop"]


def test_nodes_that_speak_lsl_have_a_link_to_the_outside() -> None:
    planned = plan(
        "rigmesh: 1\nnodes:\n  i: {type: lsl.In}\n  o: {type: lsl.Out, inputs: {taken: i}}\n"
    )

    assert planned.links == (
        PlannedLink("", "i", "", "lsl"),
        PlannedLink("i.out", "o", "taken", "call"),
        PlannedLink("o", "", "", "lsl"),
    )


def test_paths_beyond_the_most_that_are_listed_are_counted() -> None:
    # Each layer doubles the ways.
    wide = NodeType(
        "t.Wide", inputs=(PortType("taken", SIGNAL, many=True),), outputs=(PortType("out", SIGNAL),)
    )
    nodes = {"s": NodeSpec("s", "t.Source")}
    before: tuple[str, ...] = ("s.out",)
    for layer in range(20):
        names = [f"n{layer}{side}" for side in "ab"]
        nodes |= {name: NodeSpec(name, "t.Wide", inputs={"taken": before}) for name in names}
        before = tuple(f"{name}.out" for name in names)

    planned = plan_graph(GraphSpec(nodes=nodes), {**TYPES, "t.Wide": wide})

    assert len(planned.paths) == 256
    assert planned.n_paths == 2**20


# --- listings -----------------------------------------------------------------------------------


def test_the_listing_of_a_graph_marks_defaults_and_names_links() -> None:
    graph = check_graph(parse_graph(GRAPH), TYPES)

    listings = {listing.title: listing.rows for listing in list_graph(graph, TYPES)}

    assert ("alpha.low", "8.0 Hz", "default", "") in listings["parameters"]
    assert ("beta.low", "9 Hz", "set", "") in listings["parameters"]
    assert ("beta.name", '""', "default", "") in listings["parameters"]
    assert ("eeg.out", "out", "signal", "alpha.taken, rec.taken") in listings["ports"]
    assert listings["groups"] == [("loop", "CPU 0,2-3, spin(50 µs)")]


def test_the_listing_of_a_plan_has_places_transports_and_paths() -> None:
    listings = {listing.title: listing.rows for listing in list_plan(plan())}

    assert ("rec", "t.Recorder", "local", "main", "main.record", "3") in listings["placement"]
    assert ("alpha.out", "beta.taken", "ring", "+1") in listings["links"]
    assert listings["paths"][0] == ("eeg → alpha → beta → rec", "3")


def test_everything_that_is_set_about_a_group_is_said() -> None:
    group = GroupSpec("g", "on-failure", 3.0, (1, 2, 5), 80, "spin", True, 0.005)

    assert options_of(group) == [
        "CPU 1-2,5", "real-time 80 %", "spin", "memory locked", "within 5 ms",
        "restart on-failure", "rings of 3 s",
    ]  # fmt: skip


# --- drawing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [False, True])
def test_the_drawing_is_xml_with_each_node_group_and_link(parameters: bool) -> None:
    hostile = 'name: "<b>&\\"\\u0007"\n'

    svg = draw(plan(GRAPH.replace("rigmesh: 1\n", f"rigmesh: 1\n{hostile}")), TYPES,
               parameters=parameters)  # fmt: skip

    texts = {element.text or "" for element in ET.fromstring(svg).iter()}
    assert {"eeg", "alpha", "beta", "rec", "main", "loop", "main.record"} <= texts
    assert '<b>&"\N{REPLACEMENT CHARACTER}' in texts
    assert "alpha.out → beta.taken: ring" in texts
    assert ("low" in texts) == parameters


def test_nothing_overlaps_in_a_drawing() -> None:
    taken = ["eeg"] * 4 + [f"f{i}" for i in range(12)]
    wide = "".join(
        f"  f{i}: {{type: Filter, group: g{i % 3}, inputs: {{taken: {stream}}}}}\n"
        for i, stream in enumerate(taken)
    )
    planned = plan(GRAPH + wide)
    sizes = {name: Size(140 + len(name), 90, ["taken"], ["out"]) for name in planned.nodes}

    layout = arrange(planned, sizes, {})

    cards = layout.cards
    for at, card in enumerate(cards):
        for other in cards[at + 1 :]:
            apart = card.right <= other.x or other.right <= card.x
            assert apart or card.y + card.height <= other.y or other.y + other.height <= card.y
    groups = [box for box in layout.boxes if box.is_group]
    for upper, lower in pairwise(groups):
        assert upper.y + upper.height < lower.y
    for card in cards:
        group = planned.nodes[card.node].group
        box = next(b for b in groups if b.name == group)
        assert box.x < card.x
        assert card.right < box.x + box.width <= layout.width
        assert box.y < card.y
        assert card.y + card.height < box.y + box.height <= layout.height


def test_links_run_from_left_to_right() -> None:
    planned = plan()
    sizes = {name: Size(140, 90, ["taken"], ["out"]) for name in planned.nodes}

    wires = arrange(planned, sizes, {}).wires

    assert len(wires) == 4
    assert all(start[0] < end[0] for wire in wires for start, end in wire.points)
