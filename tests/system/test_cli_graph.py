"""``rigmesh graph``, as a person types it, and graphs with ranges and replicas that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]

RIGMESH = Path(sys.executable).with_name("rigmesh")

GRAPH = """
rigmesh: 1
nodes:
  source: {type: sim.Oscillators, params: {n_channels: 4, sampling_rate: 500 Hz}}
  pick(1-2):
    type: channels.Select
    inputs: {signal: source}
    params: {channels: ["0:2"]}
  scaled(1-2): {type: channels.Scale, inputs: {signal: pick(1-2).selected}}
  mean:
    type: channels.Reference
    replicate: 2
    inputs: {signal: source}
  recorder:
    type: record.HDF5Recorder
    inputs: {streams: [source, scaled(1-2), mean]}
    params: {path: PATH}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RIGMESH, *arguments],
            capture_output=True,
            text=True,
            timeout=50,
            env={**os.environ, "COLUMNS": "160"},
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH.replace("PATH", str(tmp_path / "file.h5")))
    return path


def test_a_graph_with_ranges_and_replicas_runs(cli: Cli, graph: Path, tmp_path: Path) -> None:
    checked = cli("graph", "check", "graph.yaml")
    done = cli("run", graph, "--duration", "1", "--set", "scaled2.gain=2")

    assert checked.stdout == "graph.yaml: ok, 10 nodes, 13 links, 1 group\n"
    assert done.returncode == 0, done.stderr
    info = json.loads(cli("info", tmp_path / "file.h5", "--json").stdout)
    shapes = {s["name"]: s["shape"] for s in info["streams"]}
    assert info["verdict"] == "OK"
    assert shapes == {
        "source.signal": [4],
        "scaled1.scaled": [2],
        "scaled2.scaled": [2],
        "mean1.referenced": [2],
        "mean2.referenced": [2],
    }


def test_a_plan_is_told_and_drawn_without_a_daemon(cli: Cli, graph: Path, tmp_path: Path) -> None:
    done = cli("graph", "plan", graph, "--svg", "plan.svg")

    assert done.returncode == 0, done.stderr
    assert "source → source_signal_1of2 → mean1 → recorder" in done.stdout
    assert (tmp_path / "plan.svg").read_text().startswith("<svg")
    assert not (tmp_path / "file.h5.capture").exists()


@pytest.mark.parametrize("command", ["check", "show", "plan"])
def test_a_mistake_is_wrong_use_and_told_with_its_line(cli: Cli, graph: Path, command: str) -> None:
    graph.write_text(graph.read_text().replace("replicate: 2", "replicate: 2\n    group: 9"))

    done = cli("graph", command, "graph.yaml")

    assert done.returncode == 2
    assert "graph.yaml:13: nodes.mean.group" in " ".join(done.stderr.split())


def test_every_command_of_a_graph_has_help(cli: Cli) -> None:
    for name in ("check", "show", "plan"):
        done = cli("graph", name, "--help")
        assert done.returncode == 0
        assert "GRAPH.yaml" in done.stdout
