"""The demo as a whole: player, rigmesh, listener and comparison, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

RUN = Path(__file__).parents[3] / "examples" / "demo" / "run.py"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, playing four seconds."""
    process = subprocess.Popen(
        [sys.executable, str(RUN), "--duration", "4", "--output", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "RIGMESH_SOCKET"},
    )
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_the_demo_confirms_what_it_recorded(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    output, _ = demo.communicate(timeout=120)

    assert demo.returncode == 0, output
    assert "Everything is as it was sent." in output
    assert (tmp_path / "recording.h5").exists()
    assert (tmp_path / "recording.png").exists()


def test_a_demo_that_is_interrupted_leaves_no_process(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if "playing" in line:
            break
    started = psutil.Process(demo.pid).children(recursive=True)

    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 130, "".join(said)
    assert len(started) >= 4
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
