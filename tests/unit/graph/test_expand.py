"""Ranges and replicas become the nodes and links they stand for."""

from __future__ import annotations

import pytest

from rigmesh.errors import GraphError
from rigmesh.graph import GraphSpec, check_graph
from rigmesh.graph.loader import parse_graph
from rigmesh.node.registry import NodeType, PortType

SIGNAL, MARKERS = ("signal",), ("markers",)


def node_type(
    name: str,
    takes: tuple[str, ...] = SIGNAL,
    gives: tuple[str, ...] = SIGNAL,
    *,
    many: bool = False,
    channel_wise: bool = False,
    groups: bool = False,
) -> NodeType:
    properties = {"level": {"type": "number", "live": True}, "k": {}, "of": {}}
    if groups:
        properties["groups"] = {"type": "integer"}
    return NodeType(
        name,
        inputs=(PortType("taken", takes, many=many),) if takes else (),
        outputs=(PortType("out", gives),) if gives else (),
        schema={"type": "object", "properties": properties, "additionalProperties": False},
        is_source=not takes,
        channel_wise=channel_wise,
    )


TYPES = {
    type_.name: type_
    for type_ in (
        node_type("t.Source", takes=()),
        node_type("t.Clock", takes=(), gives=MARKERS),
        node_type("t.Filter", channel_wise=True),
        node_type("t.Detector", gives=MARKERS),
        node_type("t.Grouped", gives=MARKERS, groups=True),
        node_type("t.Mixer"),
        node_type("t.Pulse", takes=MARKERS, gives=MARKERS),
        node_type("t.Recorder", takes=("signal", "markers"), gives=(), many=True),
        NodeType(
            "t.Gated",
            inputs=(PortType("taken", SIGNAL), PortType("gate", MARKERS)),
            outputs=(PortType("out", SIGNAL),),
        ),
        NodeType(
            "channels.Share",
            inputs=(PortType("signal", SIGNAL),),
            outputs=(PortType("share", SIGNAL),),
        ),
    )
}


def checked(nodes: str, more: str = "") -> GraphSpec:
    return check_graph(parse_graph(f"rigmesh: 1\nnodes:\n{nodes}{more}", source="g.yaml"), TYPES)


def links(graph: GraphSpec) -> dict[str, tuple[str, ...]]:
    """Streams of each node with a single input."""
    return {name: next(iter(n.inputs.values()), ()) for name, n in graph.nodes.items()}


# --- ranges -------------------------------------------------------------------------------------


def test_a_range_of_nodes_takes_a_range_of_as_many_one_to_one() -> None:
    graph = checked(
        "  eeg(1-3): {type: Source}\n  f(4-6): {type: Filter, inputs: {taken: eeg(1-3).out}}\n"
    )

    assert links(graph) == {
        "eeg1": (), "eeg2": (), "eeg3": (),
        "f4": ("eeg1.out",), "f5": ("eeg2.out",), "f6": ("eeg3.out",),
    }  # fmt: skip


def test_a_plain_stream_goes_to_every_node_of_a_range() -> None:
    graph = checked("  eeg: {type: Source}\n  f(1-2): {type: Filter, inputs: {taken: eeg}}\n")

    assert links(graph) == {"eeg": (), "f1": ("eeg.out",), "f2": ("eeg.out",)}


def test_an_input_for_many_takes_a_whole_range() -> None:
    graph = checked(
        "  eeg(1-3): {type: Source}\n"
        "  one: {type: Recorder, inputs: {taken: eeg(1-3)}}\n"
        "  two(1-2): {type: Recorder, inputs: {taken: [eeg(1-3).out]}}\n"
    )

    everything = ("eeg1.out", "eeg2.out", "eeg3.out")
    assert [links(graph)[name] for name in ("one", "two1", "two2")] == [everything] * 3


def test_parameters_and_groups_are_the_same_for_the_nodes_of_a_range() -> None:
    graph = checked("  eeg(1-2): {type: Source, group: amp, params: {level: 3}}\n")

    assert {(n.group, n.params["level"]) for n in graph.nodes.values()} == {("amp", 3)}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            "  eeg(1-3): {type: Source}\n  f(1-2): {type: Filter, inputs: {taken: eeg(1-3)}}\n",
            r"^g\.yaml:4: nodes\.f1\.inputs\.taken: takes one stream; eeg\(1-3\) names 3, and "
            r"2 nodes take it \(f1 to f2\); 3 nodes would take one each$",
        ),
        (
            "  eeg(1-3): {type: Source}\n  f: {type: Filter, inputs: {taken: eeg(1-3)}}\n",
            r"g\.yaml:4: nodes\.f\.inputs\.taken: takes one stream; .* and 1 node takes it",
        ),
        (
            "  eeg(1-2): {type: Source}\n  r: {type: Recorder, inputs: {taken: eeg(1-3).out}}\n",
            r"g\.yaml:4: nodes\.r\.inputs\.taken: no node 'eeg3' \(did you mean eeg",
        ),
        ("  eeg(1-2): {type: Sauce}\n", r"^g\.yaml:3: nodes\.eeg1\.type: no node type 'Sauce'.*$"),
    ],
)
def test_a_mistake_with_a_range_is_told_once_with_its_line(nodes: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        checked(nodes)


# --- replicas -----------------------------------------------------------------------------------


def test_replicas_of_a_channel_wise_class_are_one_node_over_all_channels() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  f: {type: Filter, replicate: 4, inputs: {taken: eeg}}\n"
        "  g: {type: Filter, replicate: 4, inputs: {taken: f}}\n"
        "  all: {type: Mixer, inputs: {taken: g}}\n"
    )

    assert links(graph) == {"eeg": (), "f": ("eeg.out",), "g": ("f.out",), "all": ("g.out",)}
    assert graph.nodes["g"].replicate == 4


def test_replicas_of_a_class_with_groups_are_one_node_with_as_many_groups() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  f: {type: Filter, replicate: 8, inputs: {taken: eeg}}\n"
        "  det: {type: Grouped, replicate: 8, params: {level: 2}, inputs: {taken: f}}\n"
    )

    assert list(graph.nodes) == ["eeg", "f", "det"]
    assert graph.nodes["det"].params == {"level": 2, "groups": 8}


def test_replicas_of_any_other_class_are_nodes_with_a_share_of_the_channels_each() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  f: {type: Filter, replicate: 2, inputs: {taken: eeg}}\n"
        "  det: {type: Detector, group: loop, replicate: 2, inputs: {taken: f}}\n"
    )

    assert links(graph) == {
        "eeg": (),
        "f": ("eeg.out",),
        "f_out_1of2": ("f.out",),
        "f_out_2of2": ("f.out",),
        "det1": ("f_out_1of2.share",),
        "det2": ("f_out_2of2.share",),
    }
    assert graph.nodes["f_out_2of2"].params == {"k": 2, "of": 2}
    assert graph.nodes["f_out_2of2"].group == "loop"  # so that the whole signal crosses over once


def test_replicas_are_linked_one_to_one() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  mix: {type: Mixer, replicate: 2, inputs: {taken: eeg}}\n"
        "  det: {type: Detector, replicate: 2, inputs: {taken: mix}}\n"
    )

    assert links(graph)["det1"] == ("mix1.out",)
    assert links(graph)["det2"] == ("mix2.out",)


def test_what_could_be_one_node_comes_apart_behind_replicas_that_did() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  mix: {type: Mixer, replicate: 2, inputs: {taken: eeg}}\n"
        "  f: {type: Filter, replicate: 2, inputs: {taken: mix}}\n"
        "  det: {type: Grouped, replicate: 2, inputs: {taken: f}}\n"
    )

    assert links(graph)["f2"] == ("mix2.out",)
    assert links(graph)["det2"] == ("f2.out",)
    assert "groups" not in graph.nodes["det2"].params


def test_a_node_without_a_signal_has_replicas_behind_replicas() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  det: {type: Detector, replicate: 2, inputs: {taken: eeg}}\n"
        "  pulse: {type: Pulse, replicate: 2, inputs: {taken: det}}\n"
    )

    assert links(graph)["pulse2"] == ("det2.out",)


def test_an_input_for_many_takes_all_replicas() -> None:
    graph = checked(
        "  rec: {type: Recorder, inputs: {taken: [det, eeg]}}\n"
        "  det: {type: Detector, replicate: 3, inputs: {taken: eeg}}\n"
        "  eeg: {type: Source}\n"
    )

    assert links(graph)["rec"] == ("det1.out", "det2.out", "det3.out", "eeg.out")


def test_one_of_the_replicas_can_be_named() -> None:
    graph = checked(
        "  pulse: {type: Pulse, inputs: {taken: det2.out}}\n"
        "  det: {type: Detector, replicate: 3, inputs: {taken: eeg}}\n"
        "  eeg: {type: Source}\n"
    )

    assert links(graph)["pulse"] == ("det2.out",)


def test_markers_which_have_no_channels_go_to_every_replica() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  clock: {type: Clock}\n"
        "  g: {type: Gated, replicate: 2, inputs: {taken: eeg, gate: clock}}\n"
    )

    assert graph.nodes["g2"].inputs == {"taken": ("eeg_out_2of2.share",), "gate": ("clock.out",)}


def test_two_replicated_nodes_of_a_group_use_the_same_shares() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  a: {type: Detector, replicate: 2, inputs: {taken: eeg}}\n"
        "  b: {type: Mixer, replicate: 2, inputs: {taken: eeg}}\n"
        "  c: {type: Mixer, group: other, replicate: 2, inputs: {taken: eeg}}\n"
    )

    assert links(graph)["a1"] == links(graph)["b1"] == ("eeg_out_1of2.share",)
    assert links(graph)["c1"] == ("eeg_out_1_1of2.share",)


def test_an_alias_of_replicas_is_one_of_each() -> None:
    graph = checked(
        "  eeg: {type: Source}\n  det: {type: Detector, replicate: 2, inputs: {taken: eeg}}\n",
        "aliases: {level: det.level}\n",
    )

    assert graph.aliases["level"].states == ("det1.level", "det2.level")


def test_a_graph_that_is_expanded_stays_as_it_is() -> None:
    graph = checked(
        "  eeg: {type: Source}\n"
        "  f: {type: Filter, replicate: 4, inputs: {taken: eeg}}\n"
        "  det: {type: Grouped, replicate: 4, inputs: {taken: f}}\n"
        "  mix: {type: Mixer, replicate: 4, inputs: {taken: f}}\n"
        "  rec: {type: Recorder, inputs: {taken: [f, mix, det]}}\n"
    )

    assert check_graph(graph, TYPES) == graph


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            "  f: {type: Filter, replicate: 4, inputs: {taken: eeg}}\n"
            "  g: {type: Filter, replicate: 3, inputs: {taken: f}}\n",
            r"nodes\.g\.replicate: 3, but f, which it takes f\.out from, has 4",
        ),
        (
            "  mix: {type: Mixer, replicate: 4, inputs: {taken: eeg}}\n"
            "  one: {type: Mixer, inputs: {taken: mix}}\n",
            r"nodes\.one\.inputs\.taken: takes one stream; mix\.out is 4 .* "
            r"give one `replicate: 4`, too, or name one of them, such as mix1\.out",
        ),
        (
            "  src: {type: Source, replicate: 2}\n",
            r"nodes\.src\.replicate: t\.Source takes no signal .* name it src\(1-2\)",
        ),
        (
            "  clock: {type: Clock}\n  p: {type: Pulse, replicate: 2, inputs: {taken: clock}}\n",
            r"nodes\.p\.replicate: t\.Pulse takes no signal .* name it p\(1-2\)",
        ),
        (
            "  det: {type: Grouped, replicate: 2, inputs: {taken: eeg}}\n"
            "  p: {type: Gated, replicate: 2, inputs: {taken: eeg, gate: det}}\n",
            r"nodes\.p\.inputs\.gate: det\.out is one stream for all 2 replicas",
        ),
        (
            "  det: {type: Grouped, replicate: 2, params: {groups: 3}, inputs: {taken: eeg}}\n",
            r"nodes\.det\.params\.groups: 3, but replicate is 2",
        ),
        (
            "  det: {type: Detector, replicate: 2, inputs: {taken: eeg}}\n"
            "  det2: {type: Mixer, inputs: {taken: eeg}}\n",
            r"nodes\.det\.replicate: its nodes are called det1 to det2, and there is a node det2",
        ),
        (
            "  det: {type: Detector, replicate: 2, inputs: {taken: eg}}\n",
            r"nodes\.det\.inputs\.taken: no node 'eg' \(did you mean eeg\?\)",
        ),
        ("  det: {type: Detector, replicate: 2}\n", r"nodes\.det\.inputs\.taken: missing"),
        (
            "  a: {type: Mixer, replicate: 2, inputs: {taken: b}}\n"
            "  b: {type: Mixer, replicate: 2, inputs: {taken: a1}}\n",
            r"nodes\.\w+\.inputs\.taken: the links go round in a circle",
        ),
        (
            f"  {'n' * 64}: {{type: Detector, replicate: 2, inputs: {{taken: eeg}}}}\n",
            r"nodes\.n+\.replicate: n+2 is longer than 64 characters",
        ),
    ],
)
def test_what_cannot_be_replicated_is_refused_with_a_way_out(nodes: str, message: str) -> None:
    with pytest.raises(GraphError, match=rf"g\.yaml:\d+: {message}"):
        checked("  eeg: {type: Source}\n" + nodes)


def test_without_the_node_that_divides_channels_it_is_said_what_to_install() -> None:
    graph = parse_graph(
        "rigmesh: 1\nnodes:\n"
        "  eeg: {type: Source}\n  det: {type: Detector, replicate: 2, inputs: {taken: eeg}}\n"
    )
    types = {name: type_ for name, type_ in TYPES.items() if name != "channels.Share"}

    with pytest.raises(GraphError, match=r"needs the node type channels\.Share"):
        check_graph(graph, types)
