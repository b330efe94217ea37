"""What happens when processes are killed: noticed, counted, mended, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from rigmesh.client import Manager
from rigmesh.client.node import NodeHandle
from rigmesh.errors import DaemonUnavailable, NodeError, StreamLost
from rigmesh.streams import Cause, Gap

Until = Callable[[Callable[[], object]], None]


def pid_of(manager: Manager, process: str) -> int:
    pids = {p.name: p.pid for p in manager.status().processes if p.alive}
    return pids[process]


def kill(manager: Manager, process: str) -> None:
    os.kill(pid_of(manager, process), signal.SIGKILL)


def restarts(manager: Manager, process: str) -> int:
    return next(p.restarts for p in manager.status().processes if p.name == process)


@pytest.fixture
def source(manager: Manager) -> NodeHandle:
    group = manager.create_nodegroup("amp", restart="on-failure")
    return manager.create_node(
        "sim.Oscillators",
        name="source",
        host=group,
        n_channels=2,
        sampling_rate=1000,
        sample_number=True,
        dtype="float64",
    )


def test_a_killed_group_is_noticed_within_a_second(manager: Manager, until: Until) -> None:
    source = manager.create_node("sim.Oscillators")
    manager.start_all()

    killed = time.monotonic()
    kill(manager, "main")
    until(lambda: source.state == "failed")

    # Generous for a loaded machine; the bound proper is one second.
    assert time.monotonic() - killed < 5
    error = source.error
    assert isinstance(error, NodeError)
    assert "signal 9" in str(error)


def test_a_killed_source_goes_on_after_an_exactly_counted_gap(
    manager: Manager, source: NodeHandle, until: Until
) -> None:
    follower = manager.create_node("channels.Select", name="follower", channels=[0])
    follower.input.connect(source.output)
    manager.start_all()
    with source.output.open(start="oldest") as stream:
        numbers: list[Any] = []
        gaps: list[Gap] = []

        def count() -> int:
            return sum(len(part) for part in numbers)

        def read(n: int) -> None:
            while count() < n:
                chunk = stream.read(timeout=20)
                assert chunk is not None
                numbers.append(chunk.data[:, 0].copy())
                gaps.extend(chunk.gaps)

        read(300)
        kill(manager, "amp")
        read(count() + 600)

    got = np.concatenate(numbers)
    holes = np.diff(got) - 1
    assert (holes >= 0).all()
    assert [gap.cause for gap in gaps] == [Cause.RESTART]
    assert gaps[0].count == holes.sum()
    until(lambda: restarts(manager, "amp") == 1)
    lost = {r.reader: dict(r.lost) for r in manager.status().reader_counters}
    assert lost["follower.signal"] == {"restart": holes.sum()}


def test_a_killed_filter_goes_on_where_the_time_is(manager: Manager, until: Until) -> None:
    source = manager.create_node(
        "sim.Oscillators", n_channels=1, sampling_rate=1000, sample_number=True, dtype="float64"
    )
    group = manager.create_nodegroup("loop", restart="on-failure")
    picked = manager.create_node("channels.Select", name="picked", host=group, channels=[0])
    picked.input.connect(source.output)
    manager.start_all()
    with picked.output.open(start="oldest") as stream:
        before = stream.read(timeout=20)
        assert before is not None

        kill(manager, "loop")
        chunks = [before]
        while chunks[-1].epoch == before.epoch:
            chunk = stream.read(timeout=20)
            assert chunk is not None
            chunks.append(chunk)

    got = np.concatenate([c.data[:, 0] for c in chunks])
    holes = np.diff(got) - 1
    gaps = [gap for c in chunks for gap in c.gaps]
    assert (holes >= 0).all()
    assert sum(gap.count for gap in gaps if gap.cause is Cause.RESTART) == holes.sum()


def test_a_group_that_is_not_to_be_restarted_ends_its_streams(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", host=manager.create_nodegroup("amp"))
    manager.start_all()

    with source.output.open() as stream:
        stream.read(timeout=10)
        kill(manager, "amp")

        def read_to_the_end() -> None:
            while stream.read(timeout=20) is not None:
                pass
            raise StreamLost("over")

        with pytest.raises(StreamLost):
            read_to_the_end()


def test_a_group_that_fails_again_is_restarted_again(manager: Manager, until: Until) -> None:
    group = manager.create_nodegroup("amp", restart="on-failure")
    source = manager.create_node("sim.Oscillators", host=group, sampling_rate=100)
    manager.start_all()

    until(lambda: source.state == "running")
    kill(manager, "amp")
    until(lambda: restarts(manager, "amp") == 1 and source.state == "running")
    kill(manager, "amp")

    until(lambda: restarts(manager, "amp") == 2)
    assert source.state == "running"


def test_a_killed_private_daemon_takes_its_groups_with_it(until: Until) -> None:
    with Manager() as manager:
        manager.create_node("sim.Oscillators")
        manager.start_all()
        status = manager.status()
        groups = [psutil.Process(p.pid) for p in status.processes]

        os.kill(status.pid, signal.SIGKILL)

        until(lambda: not any(group.is_running() for group in groups))
        with pytest.raises(DaemonUnavailable):
            manager.status()


def test_a_killed_script_leaves_nothing(tmp_path: Path, until: Until) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from rigmesh.client import Manager\n"
        "with Manager() as manager:\n"
        "    manager.create_node('sim.Oscillators')\n"
        "    manager.start_all()\n"
        "    print(manager.status().pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        daemon = psutil.Process(int(process.stdout.readline()))
        groups = daemon.children()

        process.kill()
        process.wait()

    until(lambda: not daemon.is_running() and not any(g.is_running() for g in groups))


def test_ctrl_c_in_a_script_ends_everything(tmp_path: Path, until: Until) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from rigmesh.client import Manager\n"
        "with Manager() as manager:\n"
        "    source = manager.create_node('sim.Oscillators')\n"
        "    manager.start_all()\n"
        "    chunks = source.output.chunks()\n"
        # What interrupts an import may be lost: Python ignores errors in callbacks of its locks.
        "    next(chunks)\n"
        "    print(manager.status().pid, flush=True)\n"
        "    for chunk in chunks: pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    daemon = psutil.Process(int(process.stdout.readline()))

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert "KeyboardInterrupt" in said
    until(lambda: not daemon.is_running())
