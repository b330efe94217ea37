"""Graph files: what is read, what is refused and in which words."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from rigmesh.errors import GraphError
from rigmesh.graph import AliasSpec, GroupSpec, spin_microseconds
from rigmesh.graph.loader import dump_graph, graph_schema, load_graph, parse_graph, parse_setting
from rigmesh.node.registry import describe
from rigmesh_nodes.filters import BandPass
from rigmesh_nodes.sim import EEG

GRAPH = """
rigmesh: 1
name: alpha
metadata: {subject: s01}
groups:
  loop: {restart: on-failure, buffer_seconds: 20}
nodes:
  eeg:
    type: sim.EEG
    params: {sampling_rate: 500 Hz}
  alpha:
    type: filters.BandPass
    group: loop
    inputs: {signal: eeg.signal}
    params: {low: 8, high: 12 Hz}
"""


def test_a_graph_is_read_as_written() -> None:
    graph = parse_graph(GRAPH)

    assert graph.name == "alpha"
    assert graph.metadata == {"subject": "s01"}
    assert graph.groups["loop"].restart == "on-failure"
    assert graph.nodes["eeg"].group == "main"
    assert graph.nodes["alpha"].inputs == {"signal": ("eeg.signal",)}
    assert graph.nodes["alpha"].params == {"low": 8, "high": "12 Hz"}


def test_a_graph_that_is_written_reads_as_the_same_graph() -> None:
    graph = parse_graph(GRAPH)

    assert parse_graph(dump_graph(graph)) == graph


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [", "not YAML"),
        ("just words", "has `rigmesh: 1` and `nodes:`"),
        ("nodes: {a: {type: sim.EEG}}", "rigmesh: missing"),
        ("rigmesh: 2\nnodes: {a: {type: sim.EEG}}", r"rigmesh: .*found 2"),
        ("rigmesh: 1\nnodes: {}", "nodes: "),
        ("rigmesh: 1\nnodess: {}\nnodes: {a: {type: b}}", r"nodess: unknown key \(did you mean"),
        (
            "rigmesh: 1\nnodes: {alpha: {type: a, input: {signal: b}}}",
            r"nodes\.alpha\.input: unknown key \(did you mean inputs\?\)",
        ),
        ("rigmesh: 1\nnodes: {a: {inputs: {}}}", r"nodes\.a\.type: missing"),
        (
            "rigmesh: 1\nnodes:\n  a: {type: b}\n  a: {type: c}",
            r"line 4: nodes\.a: 'a' is given twice",
        ),
        ("rigmesh: 1\nnodes: !!python/object:os.system {}", "no values of the kind"),
        ("rigmesh: 1\nnodes: {a: {type: b, group: ../x}}", r"nodes\.a\.group"),
        ("[" * 40 + "]" * 40, "nests deeper"),
        ("x" * (2**20 + 1), "characters"),
    ],
)
def test_a_mistake_is_named_with_its_path(text: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse_graph(text)


def test_each_mistake_is_named_with_its_line_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(
        "rigmesh: 1\ngroups:\n  loop:\n    priority: 180\n    cpu: 2\nnodes:\n"
        "  eeg:\n    inputs: {signal: 5}\n  x y: {type: sim.EEG}\n"
    )

    with pytest.raises(GraphError) as caught:
        load_graph(path)

    lines = str(caught.value).splitlines()
    assert lines == [
        f"{path}:4: groups.loop.priority: Input should be less than or equal to 100; found 180",
        f"{path}:5: groups.loop.cpu: unknown key (did you mean cpus?); known: host, restart, "
        "buffer_seconds, cpus, priority, wait, lock_memory, deadline",
        f"{path}:7: nodes.eeg.type: missing",
        f"{path}:8: nodes.eeg.inputs.signal: a text such as node.name, or a list of such texts; "
        "found 5",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rigmesh: 1\nnodes:\n  x y: {type: b}", r"^g\.yaml:3: nodes\.x y: a name begins with"),
        (
            "rigmesh: 1\nnodes:\n  a: {type: b}\naliases:\n  1x: a.b",
            r"g\.yaml:5: aliases\.1x: a na",
        ),
        ("rigmesh: 1\nnodes:\n  a: [", r"^g\.yaml:3: not YAML: .*column"),
        ("rigmesh: 1\nnodes: {a: {type: b}}\nname: \x00", r"^g\.yaml: not YAML: "),
        (
            "rigmesh: 1\nnodes:\n  a(1-2): {type: b}\n  a2: {type: b}",
            r"^g\.yaml:4: nodes\.a2: makes",
        ),
        (
            "rigmesh: 1\nnodes:\n  a(1-2): {type: b, replicate: 2}",
            r"^g\.yaml:3: nodes\.a\(1-2\)\.replicate: a range of names cannot be replicated",
        ),
        (
            "rigmesh: 1\nnodes:\n  a: {type: b, inputs: {x: [u(1,2).out]}}",
            r"^g\.yaml:3: nodes\.a\.inputs\.x: a range of names is .* needs quotes; found 'u\(1'",
        ),
        ("rigmesh: 1\nmetadata: &m {x: *m}\nnodes: {a: {type: b}}", r"g\.yaml:2: .*holds itself"),
        ("rigmesh: 1\nnodes: {a: {type: b, replicate: 0}}", r"nodes\.a\.replicate: .*found 0"),
        (
            "rigmesh: 1\nnodes: {a: {type: b, replicate: true}}",
            r"nodes\.a\.replicate: .*found True",
        ),
        ("rigmesh: 1\nnodes: {1: {type: b}}", r"g\.yaml:2: nodes\.1"),
        ("rigmesh: 1\n? [a]\n: b", r"g\.yaml:2: not YAML: .*unhashable"),
    ],
)
def test_a_mistake_anywhere_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse_graph(text, source="g.yaml")


def test_aliases_that_multiply_are_refused() -> None:
    levels = ["x0: &x0 [1]"]
    levels += [f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}]" for n in range(1, 40)]

    with pytest.raises(GraphError, match="values, aliases counted"):
        parse_graph("\n".join(levels))


def test_a_date_stays_a_text_since_parameters_are_json() -> None:
    graph = parse_graph(GRAPH.replace("subject: s01", "day: 2024-05-01"))

    assert graph.metadata == {"day": "2024-05-01"}
    assert parse_graph(dump_graph(graph)).metadata == graph.metadata


GROUP = "rigmesh: 1\nnodes: {a: {type: b}}\ngroups: {loop: {%s}}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("cpus: [3, 2]", GroupSpec("loop", cpus=(2, 3))),
        ('cpus: "0,2-3"', GroupSpec("loop", cpus=(0, 2, 3))),
        ("cpus: 2-3", GroupSpec("loop", cpus=(2, 3))),
        ("cpus: 4", GroupSpec("loop", cpus=(4,))),
        ("priority: 80", GroupSpec("loop", priority=80)),
        ("wait: block", GroupSpec("loop")),
        ("wait: spin", GroupSpec("loop", wait="spin")),
        ("wait: spin( 50 us )", GroupSpec("loop", wait="spin(50)")),
        ("wait: spin(2.5 µs)", GroupSpec("loop", wait="spin(2.5)")),
        ("lock_memory: true", GroupSpec("loop", lock_memory=True)),
        ("deadline: 5 ms", GroupSpec("loop", deadline=0.005)),
        ("deadline: 1e-3", GroupSpec("loop", deadline=0.001)),
        ("deadline: 0.25", GroupSpec("loop", deadline=0.25)),
        ("deadline: 300 us", GroupSpec("loop", deadline=0.0003)),
        ("deadline: .5 s", GroupSpec("loop", deadline=0.5)),
    ],
)
def test_group_options_may_be_written_in_several_ways(options: str, expected: GroupSpec) -> None:
    graph = parse_graph(GROUP % options)

    assert graph.groups["loop"] == expected
    assert parse_graph(dump_graph(graph)) == replace(
        graph, groups={"loop": expected} if expected != GroupSpec("loop") else {}
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("cpus: [-1]", "numbers of CPUs"),
        ("cpus: [1.5]", "numbers of CPUs"),
        ("cpus: true", "numbers of CPUs"),
        ('cpus: "3-2"', "from small to large"),
        ("priority: true", r"priority: .*integer"),
        ("priority: -1", r"priority: .*found -1"),
        ("wait: spin(50 ms)", r"wait is block, spin or spin\(50 us\).*found 'spin\(50 ms\)'"),
        ("wait: 50", "wait is block"),
        ("lock_memory: 1", r"lock_memory: .*boolean"),
        ("deadline: 5 min", "a time, such as '5 ms'"),
        ("deadline: -1", r"deadline: .*found -1"),
        ("deadline: true", "a time, such as"),
    ],
)
def test_a_group_option_of_another_form_is_refused(options: str, message: str) -> None:
    with pytest.raises(GraphError, match=rf"g\.yaml:3: groups\.loop\.\w+: .*{message}"
                       if "." not in message else message):  # fmt: skip
        parse_graph(GROUP % options, source="g.yaml")


@pytest.mark.parametrize(
    ("wait", "microseconds"),
    [("block", None), ("spin", math.inf), ("spin(50)", 50.0), ("spin(.5 us)", 0.5)],
)
def test_a_way_to_wait_says_how_long_it_spins(wait: str, microseconds: float | None) -> None:
    assert spin_microseconds(wait) == microseconds


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a.level", AliasSpec(("a.level",))),
        ("[a.level, b.level]", AliasSpec(("a.level", "b.level"))),
        ("det(1-3).level", AliasSpec(("det1.level", "det2.level", "det3.level"))),
        (
            "{states: a.level, write: none, doc: How high.}",
            AliasSpec(("a.level",), "none", "How high."),
        ),
        ("{states: [a.x, b.y], write: peers}", AliasSpec(("a.x", "b.y"), "peers")),
    ],
)
def test_an_alias_is_a_state_a_list_of_states_or_more(written: str, expected: AliasSpec) -> None:
    graph = parse_graph(f"rigmesh: 1\nnodes: {{a: {{type: b}}}}\naliases:\n  x: {written}\n")

    assert graph.aliases == {"x": expected}
    assert parse_graph(dump_graph(graph)) == graph


def test_replicas_and_ranges_survive_saving() -> None:
    graph = parse_graph(
        "rigmesh: 1\nnodes:\n  up(1-3): {type: a}\n"
        "  mix(1-2): {type: b, inputs: {many: [up(1-3).out]}}\n"
        "  pipe: {type: c, replicate: 4, inputs: {signal: up1}}\n"
    )

    assert list(graph.nodes) == ["up1", "up2", "up3", "mix1", "mix2", "pipe"]
    assert parse_graph(dump_graph(graph)) == graph


def test_the_lines_of_a_file_are_not_part_of_the_graph() -> None:
    graph = parse_graph(GRAPH, source="graph.yaml")

    assert graph == parse_graph("\n\n" + GRAPH)
    assert graph.where("nodes.alpha.params.low") == "graph.yaml:15"
    assert graph.where("nodes.alpha.params.order") == "graph.yaml:15"
    assert graph.where("nodes.alpha7.type") == "graph.yaml:12"
    assert parse_graph(GRAPH).where("groups.loop") == "line 6"


def test_many_aliases_are_refused() -> None:
    laughs = "a: &a [1]\nb: [" + ", ".join(["*a"] * 101) + "]"

    with pytest.raises(GraphError, match="line 2: more than 100 aliases"):
        parse_graph(laughs)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"nowhere\.yaml: No such file"):
        load_graph(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpha.low=9 Hz", ("alpha", "low", "9 Hz")),
        ("alpha.low=9.5", ("alpha", "low", 9.5)),
        ("rec.path=a=b.h5", ("rec", "path", "a=b.h5")),
        ("sel.channels=[0, 2]", ("sel", "channels", [0, 2])),
        ("src.paced=false", ("src", "paced", False)),
    ],
)
def test_a_setting_has_a_value_as_in_a_graph_file(
    text: str, expected: tuple[str, str, object]
) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["alpha.low", "low=9", "alpha.=9", "=9"])
def test_a_setting_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match=r"node\.parameter=value"):
        parse_setting(text)


def test_the_schema_accepts_what_the_loader_accepts_and_knows_the_types() -> None:
    types = [describe(EEG, "sim.EEG"), describe(BandPass, "filters.BandPass")]
    validator = Draft202012Validator(graph_schema(types))

    whole = parse_graph(GRAPH).to_dict()
    wrong = parse_graph(GRAPH.replace("low: 8", "lo: 8")).to_dict()

    assert not list(validator.iter_errors(whole))
    assert [e.json_path for e in validator.iter_errors(wrong)] == ["$.nodes.alpha.params"]


def test_the_schema_accepts_every_way_to_write_an_option() -> None:
    validator = Draft202012Validator(graph_schema([describe(EEG, "sim.EEG")]))
    node = {"type": "sim.EEG", "inputs": {}, "replicate": 4}
    group = {"priority": 80, "lock_memory": True}

    for cpus, wait, deadline, alias in [
        ([0, 2], "block", 0.005, "a.level"),
        ("0,2-3", "spin", "5 ms", ["a.level", "b.level"]),
        (3, "spin(50 us)", "200 µs", {"states": "a.level", "write": "none"}),
    ]:
        options = {**group, "cpus": cpus, "wait": wait, "deadline": deadline}
        whole = {
            "rigmesh": 1, "nodes": {"a": node}, "groups": {"g": options}, "aliases": {"x": alias},
        }  # fmt: skip
        assert not list(validator.iter_errors(whole))
    assert list(validator.iter_errors({**whole, "aliases": {"x": 5}}))
    assert list(validator.iter_errors({**whole, "groups": {"g": {"deadline": "5 min"}}}))
