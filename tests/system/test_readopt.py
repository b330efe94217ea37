"""A daemon that is killed and started again: its groups, recordings and readers go on."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from rigmesh.client import Manager
from rigmesh.client.node import NodeHandle
from rigmesh.errors import DaemonUnavailable, NodeError
from rigmesh.node import Input, Node, Output
from rigmesh.recording import open_recording, read_info
from rigmesh.streams import Cause, Gap, Signal
from rigmesh_proto.v1 import control_pb2 as pb

Until = Callable[[Callable[[], object]], None]


class Doubler(Node):
    """Doubles; runs in a process that the test starts."""

    signal = Input(Signal)
    doubled = Output(Signal)

    def prepare(self) -> None:
        """Describe."""
        self.doubled.announce(self.signal.info)

    def process(self, chunk: Signal) -> Signal:
        """Double."""
        return chunk.with_data(2 * chunk.data)


class SlowSink(Node):
    """Takes its time to open and to close."""

    signal = Input(Signal)

    def open(self) -> None:
        """Wait for a device."""
        time.sleep(1.5)

    def process(self, chunk: Signal) -> None:
        """Take note of nothing."""

    def close(self) -> None:
        """Wait for a device."""
        time.sleep(1.5)


class Rig:
    """A daemon that is killed and started again in one run directory."""

    def __init__(self, folder: Path, until: Until) -> None:
        self.run_dir = folder
        self.socket = folder / "rigmeshd.sock"
        self.grace = "30"
        self._until = until
        self._log = folder.parent / "rigmeshd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[psutil.Process] = []

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "rigmesh_daemon", "--run-dir", self.run_dir,
                    "--grace", self.grace,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._until(self._is_answering)

    def _is_answering(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def kill(self) -> None:
        assert self._process is not None
        self._groups += psutil.Process(self._process.pid).children()
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in good order; nothing may be left of it then."""
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(60) == 0, self.said
            self._process = None
            self._until(lambda: not any(group.is_running() for group in self._groups))
            assert not (self.run_dir / "graph.json").exists()
            assert not list(self.run_dir.glob("*.group")) + list(self.run_dir.glob("*.out"))

    @property
    def said(self) -> str:
        return self._log.read_text()


@pytest.fixture
def rig(tmp_path: Path, until: Until) -> Iterator[Rig]:
    made = Rig(tmp_path / "run", until)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(rig: Rig) -> Iterator[Manager]:
    with Manager(socket=rig.socket) as made:
        yield made


def make_source(client: Manager, restart: Any = "never") -> NodeHandle:
    group = client.create_nodegroup("amp", restart=restart)
    return client.create_node(
        "sim.Oscillators", name="source", host=group, n_channels=2, sampling_rate=1000,
        sample_number=True, dtype="float64",
    )  # fmt: skip


def record(client: Manager, source: NodeHandle, path: Path) -> NodeHandle:
    recorder = client.create_node("record.HDF5Recorder", name="recorder", path=str(path))
    recorder.input.connect(source.output)
    return recorder


def recorded(path: Path) -> tuple[Any, list[Gap]]:
    with open_recording(path) as recording:
        stream = recording.streams["source.signal"]
        return np.asarray(stream.data[:])[:, 0], [found.gap for found in stream.gaps]


def pids(status: pb.Status) -> dict[str, int]:
    return {process.name: process.pid for process in status.processes if process.alive}


def running(status: pb.Status) -> set[str]:
    return {n.spec.name for n in status.nodes if n.state == pb.NODE_STATE_RUNNING}


class Script(threading.Thread):
    """A script that reads a stream to its end."""

    def __init__(self, source: NodeHandle) -> None:
        super().__init__(name="script")
        self._stream = source.output.open(start="oldest")
        self.numbers: list[Any] = []
        self.gaps: list[Gap] = []

    @property
    def n_read(self) -> int:
        return sum(len(part) for part in self.numbers)

    def run(self) -> None:
        with self._stream as stream:
            for chunk in stream.chunks():
                self.numbers.append(chunk.data[:, 0].copy())
                self.gaps.extend(chunk.gaps)


def test_recordings_and_scripts_go_on_although_the_daemon_is_killed_twice(
    rig: Rig, client: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    source = make_source(client)
    recorder = record(client, source, path)
    client.start_all()
    script = Script(source)
    script.start()
    until(lambda: script.n_read > 200)
    before = client.status()

    for _ in range(2):
        rig.kill()
        n = script.n_read
        until(lambda n=n: script.n_read > n + 500)  # type: ignore[misc]
        rig.start()
        after = client.status()
        assert after.pid != before.pid
        assert (after.state, after.run_id) == ("running", before.run_id)
        assert pids(after) == pids(before)
        assert running(after) == {"source", "recorder"}
        assert after.run_time > before.run_time

    client.stop_all()
    script.join(20)
    numbers = np.concatenate(script.numbers)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    assert not script.gaps
    assert recorder.report["verdict"] == "OK"
    stored, gaps = recorded(path)
    np.testing.assert_array_equal(stored, np.arange(len(numbers)))
    assert not gaps


def test_what_died_while_there_was_no_daemon_is_noticed_and_the_recording_sealed(
    rig: Rig, client: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    source = make_source(client)
    recorder = record(client, source, path)
    client.start_all()
    amp = psutil.Process(pids(client.status())["amp"])
    until(lambda: sum(r.delivered for r in client.status().reader_counters) > 200)

    rig.kill()
    amp.kill()
    until(lambda: not amp.is_running() or amp.status() == psutil.STATUS_ZOMBIE)
    rig.start()

    recorder.wait("stopped")
    until(lambda: source.state == "failed")
    assert isinstance(source.error, NodeError)
    stored, _ = recorded(path)
    np.testing.assert_array_equal(stored, np.arange(len(stored)))
    assert len(stored) > 200


def test_what_died_while_there_was_no_daemon_is_restarted_if_its_group_asks_for_that(
    rig: Rig, client: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    source = make_source(client, restart="on-failure")
    record(client, source, path)
    client.start_all()
    script = Script(source)
    script.start()
    until(lambda: script.n_read > 200)
    amp = psutil.Process(pids(client.status())["amp"])

    rig.kill()
    amp.kill()
    rig.start()
    until(lambda: running(client.status()) == {"source", "recorder"})
    n = script.n_read
    until(lambda: script.n_read > n + 200)
    client.stop_all()
    script.join(20)

    stored, gaps = recorded(path)
    holes = np.diff(stored) - 1
    assert (holes >= 0).all()
    assert sum(gap.count for gap in gaps if gap.cause is Cause.RESTART) == holes.sum()
    np.testing.assert_array_equal(np.concatenate(script.numbers), stored)


def test_the_end_of_an_adopted_group_is_noticed(rig: Rig, client: Manager, until: Until) -> None:
    source = make_source(client, restart="on-failure")
    client.start_all()
    rig.kill()
    rig.start()
    amp = pids(client.status())["amp"]

    psutil.Process(amp).kill()

    until(lambda: pids(client.status()).get("amp") not in (None, amp))
    # Written down, not only known: that takes another tenth of a second.
    until(lambda: '"restarts":1' in (rig.run_dir / "graph.json").read_text())
    rig.kill()
    rig.start()
    until(lambda: source.state == "running")
    assert client.status().processes[0].restarts >= 1


def test_a_class_of_a_script_goes_on_in_its_session_group(rig: Rig, client: Manager) -> None:
    source = make_source(client)
    doubler = client.create_node(Doubler, name="doubler")
    doubler.input.connect(source.output)
    client.start_all()

    rig.kill()
    rig.start()

    chunk = next(doubler.output.chunks(timeout=10))
    np.testing.assert_array_equal(np.diff(chunk.data[:, 0]), 2)
    assert running(client.status()) == {"source", "doubler"}


def test_a_graph_that_was_being_started_comes_to_rest_and_can_be_started(
    rig: Rig, client: Manager, until: Until
) -> None:
    source = make_source(client)
    sink = client.create_node(SlowSink, name="sink")
    sink.input.connect(source.output)
    errors: list[DaemonUnavailable] = []

    def start() -> None:
        try:
            client.start_all()
        except DaemonUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    until(lambda: client.status().state == "starting" and source.state == "ready")
    rig.kill()
    rig.start()
    thread.join(20)

    assert "may have done it or not" in str(errors[0])
    until(lambda: client.status().state == "idle")
    assert not running(client.status())
    client.start_all()
    assert running(client.status()) == {"source", "sink"}


def test_a_graph_that_was_being_stopped_is_stopped_and_its_recording_sealed(
    rig: Rig, client: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    source = make_source(client)
    record(client, source, path)
    sink = client.create_node(SlowSink, name="sink")
    sink.input.connect(source.output)
    client.start_all()
    thread = threading.Thread(target=client.stop_all)
    thread.start()
    until(lambda: client.status().state == "stopping")

    rig.kill()
    rig.start()
    thread.join(20)

    assert client.status().state == "idle"
    assert {n.state for n in client.status().nodes} == {pb.NODE_STATE_STOPPED}
    assert read_info(path).verdict == "OK"
