"""Graph files: what is read, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from rigmesh.errors import GraphError
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
        ("rigmesh: 1\nnodes:\n  a: {type: b}\n  a: {type: c}", "line 4: 'a' is given twice"),
        ("rigmesh: 1\nnodes: !!python/object:os.system {}", "not YAML"),
        ("rigmesh: 1\nnodes: {a: {type: b, group: ../x}}", r"nodes\.a\.group"),
        ("[" * 40 + "]" * 40, "nests deeper"),
        ("x" * (2**20 + 1), "characters"),
    ],
)
def test_a_mistake_is_named_with_its_path(text: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse_graph(text)


def test_many_aliases_are_refused() -> None:
    laughs = "a: &a [1]\nb: [" + ", ".join(["*a"] * 101) + "]"

    with pytest.raises(GraphError, match="aliases"):
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
