"""``rigmesh graph``: what a graph file says, told without starting anything."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rigmesh.cli.app import app
from rigmesh.errors import GraphError

GRAPH = """
rigmesh: 1
groups: {loop: {cpus: "0,2-3", priority: 80}}
nodes:
  eeg: {type: sim.EEG}
  alpha:
    type: filters.BandPass
    group: loop
    inputs: {signal: eeg}
    params: {low: 9 Hz}
  sink: {type: record.HDF5Recorder, inputs: {streams: [eeg, alpha]}, params: {path: x.h5}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "160")
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return path


def test_a_graph_that_can_run_is_ok(file: Path) -> None:
    done = CliRunner().invoke(app, ["graph", "check", str(file)])

    assert done.output == f"{file}: ok, 3 nodes, 3 links, 2 groups\n"
    assert done.exit_code == 0


def test_every_mistake_is_told_on_a_line_that_editors_can_follow(file: Path) -> None:
    file.write_text(GRAPH.replace("low: 9 Hz", "lo: 9 Hz").replace("sim.EEG", "sim.EGG"))

    done = CliRunner().invoke(app, ["graph", "check", str(file)])

    assert done.exit_code == 2
    found = [re.match(r"(.*):(\d+): (\S+): ", line) for line in done.stderr.splitlines()]
    assert [match.groups() for match in found if match] == [
        (str(file), "5", "nodes.eeg.type"),
        (str(file), "10", "nodes.alpha.params.lo"),
    ]


def test_showing_fills_in_what_the_file_leaves_out(file: Path) -> None:
    done = CliRunner().invoke(app, ["graph", "show", str(file)])

    assert done.exit_code == 0
    assert re.search(r"alpha\.low +9 Hz +set +live", done.stdout)
    assert re.search(r"alpha\.high +12\.0 Hz +default +live", done.stdout)
    assert re.search(r"alpha\.signal +in +signal +eeg\.signal", done.stdout)
    assert "CPU 0,2-3, real-time 80 %" in done.stdout


def test_a_plan_tells_places_transports_and_wake_ups(file: Path) -> None:
    done = CliRunner().invoke(app, ["graph", "plan", str(file)])

    assert done.exit_code == 0
    assert re.search(r"sink +record\.HDF5Recorder +local +main +main\.record +\d", done.stdout)
    assert re.search(r"eeg\.signal +alpha\.signal +ring +\+1", done.stdout)
    assert re.search(r"eeg → alpha → sink +3", done.stdout)


@pytest.mark.parametrize("command", ["show", "plan"])
def test_a_drawing_is_written_beside(file: Path, tmp_path: Path, command: str) -> None:
    svg = tmp_path / "graph.svg"

    done = CliRunner().invoke(app, ["graph", command, str(file), "--svg", str(svg)])

    assert done.exit_code == 0
    assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_drawing_that_cannot_be_written_is_an_error(file: Path, tmp_path: Path) -> None:
    svg = tmp_path / "nowhere" / "graph.svg"

    done = CliRunner().invoke(app, ["graph", "plan", str(file), "--svg", str(svg)])

    assert isinstance(done.exception, GraphError)
    assert "No such file" in str(done.exception)
