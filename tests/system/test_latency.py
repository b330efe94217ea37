"""``rigmesh latency``, as a person types it. No limit here is one of speed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]

RIGMESH = Path(sys.executable).with_name("rigmesh")
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "RIGMESH_SOCKET"},
    "COLUMNS": "120",
}

GRAPH = """
rigmesh: 1
name: loop
groups:
  loop: {deadline: 60 s}
nodes:
  probe: {type: lsl.Inlet, group: loop, params: {stream: an amplifier}}
  marks:
    type: events.Threshold
    group: loop
    inputs: {signal: probe.signal}
    params: {level: 0, direction: both}
  ttl: {type: serial_ttl.SerialTTL, group: loop, inputs: {events: marks},
        params: {device: /dev/nowhere}}
  recorder: {type: record.HDF5Recorder, inputs: {streams: [probe.signal, ttl.fired]},
             params: {path: "{date}.h5"}}
latency:
  duration: 1 s
  warm_up: 0 s
  nodes:
    probe: {type: sim.Oscillators, params: {frequencies: [10], noise: 0}}
    ttl_in: {type: serial_ttl.SerialTTLIn}
  loopback: {ttl.device: ttl_in.device}
  limits:
    marks: {p50: 60 s, max: 60 s}
    ttl.events: {p99: 60 s}
  round_trips:
    ttl_in: {p99.9: 60 s}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RIGMESH, "latency", *arguments], capture_output=True, text=True, timeout=100,
            env=ENVIRONMENT, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return path


def test_a_graph_whose_limits_are_held_passes(cli: Cli, graph: Path, tmp_path: Path) -> None:
    done = cli(graph, "--json", "numbers.json", "--plot", "figure.svg")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK 4 limits held, nothing lost" in done.stdout
    found = json.loads((tmp_path / "numbers.json").read_text())
    nodes = {node["name"]: node for node in found["nodes"]}
    assert set(nodes) == {"marks.signal", "ttl.events", "recorder.streams"}
    assert nodes["marks.signal"]["n_chunks"] > 10
    assert 0 < nodes["marks.signal"]["p50"] <= nodes["marks.signal"]["max"]
    assert {link["reader"] for link in found["links"]} == {"recorder.streams"}
    assert {each["process"] for each in found["processes"]} == {"loop", "main", "main.record"}
    assert (tmp_path / "figure.svg").exists()


def test_what_is_looped_back_is_timed_and_none_of_it_is_missing(
    cli: Cli, graph: Path, tmp_path: Path
) -> None:
    done = cli(graph, "--json", "numbers.json")

    assert done.returncode == 0, done.stdout + done.stderr
    (trip,) = json.loads((tmp_path / "numbers.json").read_text())["round_trips"]
    assert trip["name"] == "ttl.fired → ttl_in.events"
    assert trip["n_chunks"] > 5
    assert trip["n_missing"] == 0


def test_a_limit_that_nothing_can_hold_fails_and_says_by_how_much(cli: Cli, graph: Path) -> None:
    graph.write_text(GRAPH.replace("marks: {p50: 60 s", "marks: {p50: 1 ns"))

    done = cli(graph, "--without-recorders")

    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("FAILED marks.signal: p50 is ")
    assert last.endswith(" over the limit of 1 ns")


def test_recordings_of_a_trial_are_removed(cli: Cli, graph: Path, tmp_path: Path) -> None:
    done = cli(graph)

    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == [graph]


def test_recorders_can_be_left_out(cli: Cli, graph: Path) -> None:
    done = cli(graph, "--without-recorders")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "recorder" not in done.stdout


def test_a_graph_without_the_section_runs_as_it_is(cli: Cli, graph: Path) -> None:
    graph.write_text("rigmesh: 1\nnodes:\n  eeg: {type: sim.EEG}\n"
                     "  low: {type: filters.LowPass, inputs: {signal: eeg}}\n")  # fmt: skip

    done = cli(graph, "--duration", "0.5")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "low.signal" in done.stdout
    assert "OK no limits to hold" in done.stdout


def test_a_node_that_fails_is_told_and_fails(cli: Cli, graph: Path) -> None:
    graph.write_text(GRAPH.replace("{frequencies: [10]", "{n_channels: 1, n_samples: 300"))
    settings = ("--set", "marks.channel=7")

    done = cli(graph, "--without-recorders", *settings)

    assert done.returncode == 1
    assert "7" in done.stdout + done.stderr


def test_a_mistake_in_the_section_is_wrong_use_and_starts_nothing(cli: Cli, graph: Path) -> None:
    graph.write_text(GRAPH.replace("noise: 0", "nois: 0"))

    done = cli(graph)

    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    line = GRAPH[: GRAPH.index("noise: 0")].count("\n") + 1
    assert f"graph.yaml:{line}: nodes.probe.params.nois: no such parameter" in said
    assert "did you mean noise?" in said
    assert "starting" not in done.stdout


def test_ctrl_c_ends_the_trial_and_tells_what_was_measured(graph: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [RIGMESH, "latency", graph, "--duration", "600", "--json", "numbers.json"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("measuring"):
        assert line, "it ended"

    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=100)

    assert "stopping …" in said
    assert "marks.signal" in said
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert found["duration"] < 60
    assert not list(tmp_path.glob("latency-trial-*"))


def test_a_cable_is_asked_for_by_hardware(cli: Cli, graph: Path) -> None:
    done = cli(graph, "--hardware", "--set", "ttl_in.device=/dev/not-there")

    assert done.returncode == 1
    assert "/dev/nowhere" in done.stderr or "/dev/not-there" in done.stderr
