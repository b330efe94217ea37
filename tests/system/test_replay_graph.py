"""What was recorded comes out again: a graph run live, and the same over its recording."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rigmesh.client import Manager
from rigmesh.recording import read_info

Cli = Callable[..., subprocess.CompletedProcess[str]]

RIGMESH = Path(sys.executable).with_name("rigmesh")

GRAPH: dict[str, Any] = {
    "rigmesh": 1,
    "nodes": {
        "eeg": {"type": "sim.EEG", "params": {"sampling_rate": 500}},
        "alpha": {
            "type": "filters.BandPass", "inputs": {"signal": "eeg"},
            "params": {"low": 8, "high": 12},
        },
        "events": {
            "type": "events.Threshold", "inputs": {"signal": "alpha"},
            "params": {"level": 3.0, "direction": "both"},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 2 s, in whose middle the filter and the level of the events were changed."""
    path = tmp_path_factory.mktemp("recorded") / "session.h5"
    with Manager(private=True) as manager:
        source = manager.create_nodegroup("amp")
        eeg = manager.create_node("sim.EEG", name="eeg", host=source, sampling_rate=500)
        alpha = manager.create_node("filters.BandPass", name="alpha", low=8, high=12)
        events = manager.create_node("events.Threshold", name="events", level=3.0, direction="both")
        recorder = manager.create_node("record.HDF5Recorder", name="recorder", path=str(path))
        alpha.input.connect(eeg.output)
        events.input.connect(alpha.output)
        recorder.input.connect(eeg.output, alpha.output, events.output)
        manager.start_all()
        for _ in alpha.output.chunks(seconds=1):
            pass
        alpha.update(low=9, high=14)
        for _ in alpha.output.chunks(seconds=0.3):
            pass
        events.update(level=1.5)
        for _ in alpha.output.chunks(seconds=1):
            pass
        manager.stop_all()
    assert read_info(path).verdict == "OK"
    return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RIGMESH, *arguments], capture_output=True, text=True, timeout=100, cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    return run


def test_the_recorded_graph_gives_the_recorded_results(cli: Cli, recording: Path) -> None:
    done = cli("replay", recording, "--compare")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The results match (alpha.filtered: max |Δ| = 0; events.events " in done.stdout
    n = next(s.n_samples for s in read_info(recording).streams if s.name == "events.events")
    assert n > 5
    assert f"{n}/{n} identical" in done.stdout
    assert "2 changes while it was recorded made again" in done.stdout
    assert "is not recorded" not in done.stdout + done.stderr
    assert "left out: recorder" in done.stdout


def test_in_recorded_time_it_gives_the_same(cli: Cli, recording: Path) -> None:
    length = max(stream.duration for stream in read_info(recording).streams)

    begin = time.monotonic()
    done = cli("replay", recording, "--compare", "--paced")

    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - begin > length


def test_another_parameter_is_a_table_of_differences(
    cli: Cli, recording: Path, tmp_path: Path
) -> None:
    graph = yaml.safe_load(yaml.safe_dump(GRAPH))
    graph["nodes"]["events"]["params"]["level"] = 4.0
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(graph))

    done = cli("replay", recording, "--graph", "other.yaml", "-o", "kept.h5")

    assert done.returncode == 1
    assert "The results differ" in done.stdout
    assert "events.events: missing at" in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert rows["alpha.filtered"].split()[3:6] == ["0", "0", "0"]
    assert read_info(tmp_path / "kept.h5").verdict == "OK"


def test_the_stream_that_is_asked_for_is_compared_alone(cli: Cli, recording: Path) -> None:
    done = cli("replay", recording, "--compare", "--stream", "alpha.filtered")

    assert done.returncode == 0
    assert "The results match (alpha.filtered: max |Δ| = 0)" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compare", "--loop"], "for playing over LSL"),
        (["--atol", "1"], "add --compare"),
        (["--compare", "--stream", "alpha"], "known: alpha.filtered, events.events"),
        (["--graph", "none.yaml"], "cannot read the graph none.yaml"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_words(
    cli: Cli, recording: Path, options: list[str], message: str
) -> None:
    done = cli("replay", recording, *options)

    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_export_is_said_and_never_repeated(cli: Cli, recording: Path, tmp_path: Path) -> None:
    first = cli("export", recording, "--to", "edf", "--stream", "eeg.signal", "-o", "eeg.edf")
    again = cli("export", recording, "--to", "edf", "--stream", "eeg.signal", "-o", "eeg.edf")

    assert (first.returncode, again.returncode) == (0, 1)
    assert f"wrote {tmp_path}/eeg.edf" in first.stdout
    assert "is not overwritten; choose another name by -o" in " ".join(again.stderr.split())
