"""A daemon that serves more than one client: its socket, its end, its death."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from rigmesh.client import Manager
from rigmesh.errors import StateError

Until = Callable[[Callable[[], object]], None]
Daemon = subprocess.Popen[str]


def start(folder: Path, *options: str, **environment: str) -> Daemon:
    return subprocess.Popen(
        [sys.executable, "-m", "rigmesh_daemon", "--run-dir", folder, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # Unix sockets have short names; tmp_path of a long test name is too long for one.
    return tmp_path / "run"


@pytest.fixture
def daemon(folder: Path, until: Until) -> Iterator[Daemon]:
    process = start(folder, "--grace", "2")
    until((folder / "rigmeshd.sock").exists)
    yield process
    process.terminate()
    process.communicate(timeout=60)


@pytest.fixture
def socket_path(daemon: Daemon, folder: Path) -> Path:
    return folder / "rigmeshd.sock"


def test_the_socket_is_for_its_user_only(socket_path: Path) -> None:
    mode = stat.S_IMODE(socket_path.stat().st_mode)

    assert mode == 0o600
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700


def test_health_and_reflection_answer(socket_path: Path) -> None:
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())

    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert "rigmesh_proto.v1.ControlService" in services


def test_a_second_daemon_in_the_same_folder_refuses(socket_path: Path) -> None:
    second = start(socket_path.parent)

    said, _ = second.communicate(timeout=60)

    assert second.returncode == 1
    assert "runs in" in said
    assert "already" in said


def test_a_client_leaves_what_another_made(socket_path: Path) -> None:
    with Manager(socket=socket_path) as first:
        first.create_node("sim.Oscillators", name="kept")
        with Manager(socket=socket_path) as second:
            second.create_node("sim.Markers", name="own")
            assert second.nodes.keys() == {"kept", "own"}

        assert first.nodes.keys() == {"kept"}


def test_loading_over_a_graph_is_refused(socket_path: Path, examples: Path) -> None:
    graph = socket_path.parent / "graph.yaml"
    graph.write_text("rigmesh: 1\nnodes: {a: {type: sim.EEG}}\n")
    with Manager(socket=socket_path) as manager:
        manager.load(graph)

        with pytest.raises(StateError, match="clear it first"):
            manager.load(graph)


def test_sigterm_stops_the_graph_and_seals_what_it_records(
    folder: Path, tmp_path: Path, until: Until
) -> None:
    process = start(folder)
    until((folder / "rigmeshd.sock").exists)
    path = tmp_path / "file.h5"
    manager = Manager(socket=folder / "rigmeshd.sock")
    source = manager.create_node("sim.Oscillators", n_channels=1)
    recorder = manager.create_node("record.HDF5Recorder", path=str(path))
    recorder.input.connect(source.output)
    manager.start_all()
    next(source.output.chunks(timeout=10))

    process.terminate()
    said, _ = process.communicate(timeout=60)
    manager.close()

    assert process.returncode == 0, said
    assert path.exists()
    assert not list(tmp_path.glob("*.capture"))


def test_groups_outlive_a_killed_daemon_for_the_grace_time_and_end_their_recordings(
    folder: Path, tmp_path: Path, until: Until
) -> None:
    from rigmesh.recording import open_recording, read_info

    process = start(folder, "--grace", "2")
    until((folder / "rigmeshd.sock").exists)
    path = tmp_path / "file.h5"
    manager = Manager(socket=folder / "rigmeshd.sock")
    source = manager.create_node(
        "sim.Oscillators",
        n_channels=1,
        sampling_rate=1000,
        sample_number=True,
        dtype="float64",
        host=manager.create_nodegroup("amp"),
    )
    recorder = manager.create_node("record.HDF5Recorder", path=str(path))
    recorder.input.connect(source.output)
    manager.start_all()
    next(source.output.chunks(timeout=10))
    groups = [psutil.Process(p.pid) for p in manager.status().processes if p.alive]
    before = manager.status().stream_counters[0].produced

    process.kill()
    process.communicate(timeout=60)
    until(lambda: not any(group.is_running() for group in groups))
    manager.close()

    assert read_info(path).verdict == "OK"
    with open_recording(path) as recording:
        numbers = np.asarray(recording.streams[source.output.stream].data[:])[:, 0]
    np.testing.assert_array_equal(np.diff(numbers), 1)
    # Two seconds of grace at 1 kHz, less what a loaded machine takes from it.
    assert len(numbers) > before + 1000


def test_systemd_is_told_of_readiness_and_life(folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        address = str(tmp_path / "notify")
        receiver.bind(address)
        receiver.settimeout(60)
        process = start(folder, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
        said: list[str] = []
        while sum("WATCHDOG=1" in message for message in said) < 2:
            said.append(receiver.recv(4096).decode())
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in said:
            said.append(receiver.recv(4096).decode())
        process.communicate(timeout=60)

    assert any(message.startswith("READY=1\n") for message in said)


def test_an_idle_daemon_and_a_group_need_little(socket_path: Path, until: Until) -> None:
    with Manager(socket=socket_path) as manager:
        manager.create_node("sim.Oscillators")
        status = manager.status()
        processes = [psutil.Process(pid) for pid in (status.pid, status.processes[0].pid)]

        # What they need together: pages of libraries that both use count once.
        memory = sum(p.memory_full_info().pss for p in processes)
        until(lambda: cpu_of(processes, seconds=2.0) < 0.01)

    assert memory < 120e6


def cpu_of(processes: list[psutil.Process], seconds: float) -> float:
    """Return the part of a core that processes use during so many seconds."""

    def used() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    before, begin = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - begin)


def test_the_client_is_imported_without_numpy_or_pydantic() -> None:
    code = (
        "import sys, rigmesh.client, json;"
        "print(json.dumps([m for m in ('numpy', 'pydantic', 'h5py') if m in sys.modules]))"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert json.loads(said) == []
