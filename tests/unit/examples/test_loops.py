"""The examples of closed loops: as they are, on the rig, and tried out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rigmesh.cli._latency_graph import as_tried, round_trips_of
from rigmesh.graph import check_graph, plan_graph
from rigmesh.graph.loader import load_graph, parse_graph
from rigmesh.graph.picture import draw
from rigmesh.node.registry import NodeType, describe_all

ROOT = Path(__file__).parents[3]
LOOPS = ["ripple_loop", "phase_stimulation"]
DEVICE = re.compile(r"^  # +(type: .*)\n  # +(params: .*)\n  (\w+):\n    type: .*\n", re.MULTILINE)


@pytest.fixture(scope="module")
def types() -> dict[str, NodeType]:
    return {found.name: found for found in describe_all() if isinstance(found, NodeType)}


@pytest.mark.parametrize("name", LOOPS)
def test_everything_between_a_sample_and_its_pulse_is_one_call(
    name: str, types: dict[str, NodeType]
) -> None:
    graph = check_graph(load_graph(ROOT / "examples" / f"{name}.yaml"), types)

    plan = plan_graph(graph, types)

    assert plan.nodes["ttl"].wake_ups == 1
    assert plan.nodes["recorder"].process == "loop.record"


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_can_be_tried_out_to_its_output_and_back(
    name: str, types: dict[str, NodeType]
) -> None:
    graph = load_graph(ROOT / "examples" / f"{name}.yaml")
    latency = graph.latency
    assert latency is not None

    tried = as_tried(graph, types, {}, {"ttl_in": {"device": "/dev/pts/0"}})

    assert round_trips_of(tried, latency, types) == {"ttl_in": ("ttl.fired", "ttl_in.events")}
    assert set(latency.limits) == {"ttl", "detector" if name == "ripple_loop" else "trigger"}


@pytest.mark.parametrize("name", LOOPS)
def test_the_device_named_in_the_file_fits_in(name: str, types: dict[str, NodeType]) -> None:
    text = (ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8")
    match = DEVICE.search(text)
    assert match is not None
    device, params, source = match.groups()
    begin = match.end()
    end = text.index("params:", begin)
    changed = f"{text[: match.start()]}  {source}:\n    {device}\n{text[begin:end]}{params}" + text[
        text.index("\n", end) :
    ].replace("        - probe.truth\n", "", 1)

    checked = check_graph(parse_graph(changed), types)

    assert checked.nodes[source].type == device.removeprefix("type: ")


@pytest.mark.parametrize("name", LOOPS)
def test_the_drawing_of_a_tutorial_is_that_of_its_graph(
    name: str, types: dict[str, NodeType]
) -> None:
    drawing = ROOT / "docs" / "images" / f"{name}.svg"
    graph = check_graph(load_graph(ROOT / "examples" / f"{name}.yaml"), types)

    made = draw(plan_graph(graph, types), types)

    assert drawing.read_text(encoding="utf-8") == made, (
        f"run: rigmesh graph plan examples/{name}.yaml --svg docs/images/{name}.svg"
    )
