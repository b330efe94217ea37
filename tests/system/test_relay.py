"""Streams that go from daemon to daemon, through processes that are killed and stopped."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pytest
from tests.system.test_recording import load

from rigmesh.client import Manager
from rigmesh.client.node import NodeHandle
from rigmesh.relay import RemoteStreamReader, SocketHost
from rigmesh.streams import Cause, Chunk, Gap

Until = Callable[[Callable[[], object]], None]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


class RelayOf:
    """A relay of a private daemon, on a Unix socket."""

    def __init__(self, manager: Manager, folder: Path, *arguments: str) -> None:
        self.socket = folder / "relay.sock"
        self._command = [
            sys.executable, "-m", "rigmesh_daemon.relay", "--listen", f"unix:{self.socket}",
            "--socket", str(manager._connection.socket), *arguments,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == {"port": 0}

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@pytest.fixture
def relay(manager: Manager, tmp_path: Path) -> Iterator[RelayOf]:
    with RelayOf(manager, tmp_path) as made:
        yield made


@pytest.fixture
def there() -> Iterator[Manager]:
    """The manager of another host."""
    with Manager(private=True) as made:
        yield made


@pytest.fixture
def source(manager: Manager) -> NodeHandle:
    group = manager.create_nodegroup("amp", restart="on-failure")
    return manager.create_node(
        "sim.Oscillators", name="source", host=group, n_channels=2, sampling_rate=1000,
        sample_number=True, dtype="float64",
    )  # fmt: skip


def remote(relay: RelayOf, **settings: Any) -> RemoteStreamReader:
    settings = {"start": "oldest", **settings}
    return RemoteStreamReader(SocketHost(relay.socket), "source.signal", **settings)


def read(stream: Any, n: int) -> list[Chunk]:
    """Read chunks of at least so many samples."""
    chunks: list[Chunk] = []
    while sum(map(len, chunks)) < n:
        chunk = stream.read(timeout=20)
        assert chunk is not None
        chunks.append(chunk.copy())
    return chunks


def samples(chunks: list[Chunk]) -> list[tuple[int, int, float, float]]:
    """Epoch, index, stamp and number of each sample."""
    return [
        (c.epoch, c.index + k, float(c.raw_timestamps[k]), float(c.data[k, 0]))
        for c in chunks
        for k in range(len(c))
    ]


def gaps(chunks: list[Chunk]) -> list[Gap]:
    return [gap for chunk in chunks for gap in chunk.gaps]


def test_another_host_sees_each_sample_as_this_one_does(
    manager: Manager, source: NodeHandle, relay: RelayOf
) -> None:
    manager.start_all()
    with source.output.open(start="oldest") as near, remote(relay) as far:
        here, there = read(near, 2000), read(far, 2000)

    assert samples(there)[:2000] == samples(here)[:2000]
    assert gaps(there) == []


def test_a_killed_source_looks_the_same_from_another_host(
    manager: Manager, source: NodeHandle, relay: RelayOf
) -> None:
    manager.start_all()
    with source.output.open(start="oldest") as near, remote(relay) as far:
        here, there = read(near, 300), read(far, 300)
        pid = next(p.pid for p in manager.status().processes if p.name == "amp")
        os.kill(pid, signal.SIGKILL)
        for stream, chunks in ((near, here), (far, there)):
            while chunks[-1].epoch == 0:
                chunks += read(stream, 1)
            chunks += read(stream, 300)

    n = min(len(samples(here)), len(samples(there)))
    assert samples(there)[:n] == samples(here)[:n]
    assert gaps(there) == gaps(here)
    assert [gap.cause for gap in gaps(there)] == [Cause.RESTART]


def test_nothing_is_lost_when_the_relay_is_killed(
    manager: Manager, source: NodeHandle, relay: RelayOf
) -> None:
    manager.start_all()
    with remote(relay) as far:
        chunks = read(far, 500)
        for _ in range(3):
            relay.kill()
            time.sleep(0.3)  # the time that samples are missed for unless the ring has them
            relay.start()
            chunks += read(far, 700)

    numbers = [number for *_, number in samples(chunks)]
    # Nobody had read it before, and so it had no ring for its first samples.
    assert numbers == list(range(int(numbers[0]), int(numbers[0]) + len(numbers)))
    assert gaps(chunks) == []


def test_an_inlet_gives_its_host_what_the_other_one_has(
    manager: Manager, there: Manager, source: NodeHandle, relay: RelayOf, until: Until
) -> None:
    inlet = there.create_node("relay.Inlet", address=relay.address, stream="source.signal")
    manager.start_all()
    there.start_all()
    with source.output.open(start="oldest") as near, inlet.output.open(start="oldest") as far:
        arrived = read(far, 1500)
        here = read(near, arrived[-1].stop)
        relay.kill()
        until(lambda: not inlet.states["is_connected"])
        relay.start()
        arrived += read(far, 2000)
        here += read(near, arrived[-1].stop - here[-1].stop)

    known = {(epoch, index): (stamp, number) for epoch, index, stamp, number in samples(here)}
    found = samples(arrived)
    assert all(known[e, i] == (stamp, number) for e, i, stamp, number in found)
    indices = [index for _, index, *_ in found]
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    assert gaps(arrived) == []
    until(lambda: inlet.states["n_outages"] == 1)
    assert inlet.states["clock_state"] == "same"
    assert inlet.states["n_lost"] == 0


def test_an_inlet_ends_with_its_stream_and_is_recorded_whole(
    manager: Manager, there: Manager, relay: RelayOf, tmp_path: Path, until: Until
) -> None:
    manager.create_node(
        "sim.Oscillators", name="source", n_channels=2, sampling_rate=1000, n_samples=1500,
        sample_number=True, dtype="float64",
    )  # fmt: skip
    inlet = there.create_node("relay.Inlet", address=relay.address, stream="source.signal")
    recorder = there.create_node("HDF5Recorder", path=str(tmp_path / "session.h5"))
    recorder.input.connect(inlet.output)

    receiving = threading.Thread(target=there.start_all)
    receiving.start()
    until(lambda: inlet.state == "open")
    manager.start_all()
    receiving.join(30)
    recorder.wait("stopped", timeout=60)

    assert recorder.report["verdict"] == "OK"
    (stream,) = load(tmp_path / "session.h5").values()
    np.testing.assert_array_equal(stream.data[:, 0], np.arange(1500))


def test_texts_arrive_on_another_host(manager: Manager, there: Manager, relay: RelayOf) -> None:
    texts = ["go {n}", "λ {n}"]
    manager.create_node("sim.Markers", name="marks", texts=texts, period=0.01)
    inlet = there.create_node("relay.Inlet", address=relay.address, stream="marks.markers")
    manager.start_all()
    there.start_all()
    with inlet.output.open(start="oldest") as far:
        found = [text for chunk in read(far, 50) for text in chunk.data]

    numbers = [int(text.split()[1]) for text in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert found == [texts[n % 2].replace("{n}", str(n)) for n in numbers]


def test_a_stopped_viewer_costs_the_source_nothing_and_is_bounded_in_memory(
    manager: Manager, source: NodeHandle, relay: RelayOf, tmp_path: Path
) -> None:
    manager.start_all()
    script = tmp_path / "viewer.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from rigmesh.relay import RemoteStreamReader, SocketHost\n"
        "host = SocketHost(Path(sys.argv[1]))\n"
        "with RemoteStreamReader(host, 'source.signal', lossless=False) as stream:\n"
        "    for chunk in stream:\n"
        "        lost = sum(gap.count for gap in chunk.gaps)\n"
        "        print(chunk.index, chunk.stop, lost, flush=True)\n",
        encoding="utf-8",
    )
    command = [sys.executable, str(script), str(relay.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as viewer:
        assert viewer.stdout is not None
        viewer.stdout.readline()
        viewer.send_signal(signal.SIGSTOP)
        with source.output.open() as near:
            before = psutil.Process(relay.process.pid).memory_info().rss
            chunks = read(near, 3000)
            grown = psutil.Process(relay.process.pid).memory_info().rss - before
            viewer.send_signal(signal.SIGCONT)
            lines = [list(map(int, viewer.stdout.readline().split())) for _ in range(30)]
            newest = read(near, 1)[-1].stop
        viewer.terminate()

    assert gaps(chunks) == []
    assert grown < 32 * 2**20
    assert sum(lost for _, _, lost in lines) > 1000
    for (_, stop, _), (index, _, lost) in itertools.pairwise(lines):
        assert index == stop + lost
    assert newest - lines[-1][1] < 2000


def test_the_relay_ends_with_its_daemon(manager: Manager, relay: RelayOf) -> None:
    # Its daemon holds its standard input; a private one ends with its client.
    assert relay.process.stdin is not None
    relay.process.stdin.close()

    assert relay.process.wait(10) == 0

    relay.process.stdin = None
    if relay.process.stdout is not None:
        relay.process.stdout.close()
    relay.start()
