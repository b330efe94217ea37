"""A daemon that is started where another one was killed, and finds nothing it could take over."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from rigmesh.client import Manager
from rigmesh.errors import DaemonUnavailable, StreamLost
from rigmesh.recording import open_recording, read_info

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def start(run_dir: Path, until: Until, *options: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "rigmesh_daemon", "--run-dir", run_dir, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    def is_answering() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(run_dir / "rigmeshd.sock")) == 0

    until(is_answering)
    return process


def record(run_dir: Path, path: Path) -> list[psutil.Process]:
    """Start a recording; return its processes. The manager is gone with its daemon."""
    manager = Manager(socket=run_dir / "rigmeshd.sock")
    source = manager.create_node(
        "sim.Oscillators", name="source", n_channels=1, sampling_rate=1000, sample_number=True,
        dtype="float64",
    )  # fmt: skip
    recorder = manager.create_node("record.HDF5Recorder", path=str(path))
    recorder.input.connect(source.output)
    manager.start_all()
    next(source.output.chunks(timeout=10))
    return [psutil.Process(process.pid) for process in manager.status().processes]


def end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=60)


def test_a_damaged_journal_is_warned_of_and_the_groups_end_with_sealed_recordings(
    run_dir: Path, tmp_path: Path, until: Until
) -> None:
    first = start(run_dir, until)
    groups = record(run_dir, tmp_path / "file.h5")
    kill(first)
    journal = run_dir / "graph.json"
    journal.write_text(journal.read_text()[:-100])

    second = start(run_dir, until)
    with Manager(socket=run_dir / "rigmeshd.sock") as manager:
        assert manager.status().state == "idle"
        assert not manager.nodes
        until(lambda: not any(group.is_running() for group in groups))
    said = end(second)

    assert "graph.json is not what a daemon writes" in said
    assert read_info(tmp_path / "file.h5").verdict == "OK"


def test_a_daemon_that_comes_after_the_grace_time_is_idle(
    run_dir: Path, tmp_path: Path, until: Until
) -> None:
    first = start(run_dir, until, "--grace", "0.5")
    groups = record(run_dir, tmp_path / "file.h5")
    kill(first)
    until(lambda: not any(group.is_running() for group in groups))

    second = start(run_dir, until)
    with Manager(socket=run_dir / "rigmeshd.sock") as manager:
        assert manager.status().state == "idle"
        assert not manager.nodes
    said = end(second)

    assert "nothing of it is left" in said
    with open_recording(tmp_path / "file.h5") as recording:
        numbers = np.asarray(recording.streams["source.signal"].data[:])[:, 0]
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))


def test_a_second_daemon_is_refused_and_changes_nothing(
    run_dir: Path, tmp_path: Path, until: Until
) -> None:
    first = start(run_dir, until)
    groups = record(run_dir, tmp_path / "file.h5")

    refused = subprocess.run(
        [sys.executable, "-m", "rigmesh_daemon", "--run-dir", run_dir],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 1
    assert "already" in refused.stderr
    with Manager(socket=run_dir / "rigmeshd.sock") as manager:
        status = manager.status()
        assert status.state == "running"
        assert [p.pid for p in status.processes] == [group.pid for group in groups]
    end(first)


def test_a_private_daemon_writes_nothing_down() -> None:
    with Manager(private=True) as manager:
        manager.create_node("sim.Oscillators")
        manager.start_all()
        daemon = psutil.Process(manager.status().pid)
        run_dir = Path(daemon.cmdline()[-1])

        assert (run_dir / "rigmeshd.sock").exists()
        assert not (run_dir / "graph.json").exists()


def test_a_call_waits_for_a_daemon_that_is_away_and_not_for_one_that_has_ended(
    run_dir: Path, until: Until
) -> None:
    first = start(run_dir, until)
    manager = Manager(socket=run_dir / "rigmeshd.sock")
    kill(first)
    second = start(run_dir, until)

    manager.create_node("sim.Oscillators", name="made")
    assert manager.nodes.keys() == {"made"}

    end(second)
    began = time.monotonic()
    with pytest.raises(DaemonUnavailable):
        manager.status()
    assert time.monotonic() - began < 5
    manager.close()


def test_a_script_whose_stream_does_not_come_back_is_told(
    run_dir: Path, tmp_path: Path, until: Until
) -> None:
    first = start(run_dir, until, "--grace", "0.5")
    manager = Manager(socket=run_dir / "rigmeshd.sock")
    source = manager.create_node("sim.Oscillators")
    manager.start_all()
    with source.output.open() as stream:
        stream.read(timeout=10)
        groups = [psutil.Process(process.pid) for process in manager.status().processes]

        kill(first)
        for group in groups:
            group.kill()
        second = start(run_dir, until)

        with pytest.raises(StreamLost):
            list(stream.chunks(timeout=20))
    manager.close()
    end(second)
