"""Streams of a graph that runs, as figures and as lines in a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rigmesh.cli.completion import complete_recording_or_stream
from rigmesh.cli.plot import plot
from rigmesh.client import Manager
from rigmesh.errors import UnknownName

RIGMESH = Path(sys.executable).with_name("rigmesh")
GRAPH = """
rigmesh: 1
nodes:
  source: {type: sim.Oscillators, params: {n_channels: 2, sampling_rate: 500 Hz}}
  marks: {type: sim.Markers, params: {period: 0.2}}
"""


@pytest.fixture
def running(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """A graph that others find."""
    assert manager._private is not None
    monkeypatch.setenv("RIGMESH_SOCKET", str(manager._private.socket))
    manager.create_node("sim.Oscillators", name="amp", n_channels=3, sampling_rate=500)
    manager.create_node("sim.Markers", name="marks", period=0.1)
    manager.start_all()
    return manager


def test_seconds_of_streams_are_drawn(running: Manager, tmp_path: Path) -> None:
    plot(["amp", "marks.markers"], tmp_path / "now.svg", seconds=1.0)

    text = (tmp_path / "now.svg").read_text(encoding="utf-8")
    assert "amp.signal" in text
    assert "marks.markers" in text
    assert "event 1" in text


def test_a_stream_that_is_not_there_is_said(running: Manager, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no recording or stream 'eeg'.*amp.signal"):
        plot(["eeg"], tmp_path / "now.svg")


def test_streams_are_completed(running: Manager) -> None:
    assert complete_recording_or_stream("am") == ["amp.signal"]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return path


def test_signals_are_lines_in_the_terminal(graph: Path) -> None:
    ours, theirs = pty.openpty()
    command: list[str | Path] = [RIGMESH, "run", "--private", "--live", "--duration", "3", graph]
    environment = {**os.environ, "COLUMNS": "140", "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )  # fmt: skip
    os.close(theirs)
    said, deadline = b"", time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode("utf-8", "replace"))

    assert process.wait(20) == 0
    assert re.search(r"source.signal +ch0 +·*[▁-█]+", text)
    assert re.search(r"event \d", text)
    assert re.search(r"-\d+(\.\d+)? … \d+", text)


def test_without_a_terminal_nothing_more_is_printed(graph: Path) -> None:
    command: list[str | Path] = [RIGMESH, "run", "--private", "--live", "--duration", "0.5", graph]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines() == ["starting … (Ctrl-C stops and seals)", "running 2 nodes"]
