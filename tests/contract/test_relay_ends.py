"""What comes out at the two ends of a relay: a node's output, and a script's reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.bad_cable import Cable
from tests.contract.relay_rig import Rig, Source, TextSource, until

from rigmesh.errors import NodeError, ParameterError, Unsupported, WaitTimeout
from rigmesh.node import NodeRunner, NodeState, Output
from rigmesh.node.testing import Collector
from rigmesh.relay import RemoteStreamReader
from rigmesh.streams import Cause, Chunk, ClockModel
from rigmesh_nodes.relay import Inlet


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture
def source(rig: Rig) -> Source:
    return Source(rig).begin()


class Run:
    """An inlet that runs in this process."""

    def __init__(self, address: str, stream: str = "source.signal", **params: Any) -> None:
        self.node = Inlet(address=address, stream=stream, **params)
        self.runner = NodeRunner(self.node, "inlet")
        self.seen = Collector()
        self.output: Output[Chunk] = self.node.relayed
        self.output.add_target(self.seen)

    def start(self) -> Run:
        self.runner.open()
        if self.runner.failure is not None:
            raise self.runner.failure
        self.runner.start()
        return self

    def stop(self) -> None:
        self.runner.finish(timeout=10)

    @property
    def n(self) -> int:
        return sum(len(chunk) for chunk in list(self.seen.chunks))

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(c.epoch, i) for c in list(self.seen.chunks) for i in range(c.index, c.stop)]

    def wait(self, n: int) -> None:
        until(lambda: self.n >= n)

    def __enter__(self) -> Run:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


def address(rig: Rig) -> str:
    return f"unix:{rig.socket}"


# --- the node --------------------------------------------------------------------------------


def test_an_inlet_publishes_what_the_other_host_has(rig: Rig, source: Source) -> None:
    source.send(300)
    with Run(address(rig)) as run:
        source.send(100)
        run.wait(100)
        until(lambda: run.node.is_connected)

    assert run.places == [(0, index) for index in range(300, 400)]
    info = run.seen.infos[0]
    assert info.name == "inlet.relayed"
    assert info.same_format(source.info)
    assert info.clock_id == ""
    stamps = np.concatenate([chunk.raw_timestamps for chunk in run.seen.chunks])
    np.testing.assert_array_equal(stamps, 100.0 + np.arange(300, 400) / 1000)
    assert run.node.clock_state == "same"


def test_epochs_gaps_and_device_counts_are_those_of_the_source(rig: Rig, source: Source) -> None:
    with Run(address(rig)) as run:
        source.send(50)
        source.lose(5)
        source.send(50)
        run.wait(100)
        source.begin()
        source.send(20)
        run.wait(120)
        device = run.output.device_index
        source.end()
        until(lambda: run.seen.is_ended)

    assert run.seen.epochs == [0, 1]
    assert device == 105
    assert [(gap.cause, gap.index, gap.count) for gap in run.seen.gaps] == [(Cause.DEVICE, 50, 5)]
    assert run.places[-20:] == [(1, index) for index in range(20)]


def test_a_gap_between_the_hosts_is_told_and_the_index_counts_on(
    rig: Rig, source: Source, tmp_path: Path
) -> None:
    with (
        Cable(str(tmp_path / "cable.sock"), str(rig.socket)) as cable,
        Run(f"unix:{cable.address}", spool_seconds=1) as run,
    ):
        source.send(100)
        run.wait(100)
        cable.cut()
        cable.drop()
        until(lambda: rig.relay.n_consumers == 0)
        until(lambda: not run.node.is_connected)
        source.send(40_000, at_once=1000)
        cable.heal()
        run.wait(20_100)
        until(lambda: run.node.n_lost)

    assert [(gap.cause, gap.index, gap.count) for gap in run.seen.gaps] == [
        (Cause.TRANSPORT, 100, 20_000)
    ]
    assert run.places == [(0, index) for index in range(20_100)]
    assert run.output.index + run.output.lost == 40_100
    assert run.node.n_lost == 20_000
    assert run.node.n_outages == 1


def test_an_inlet_waits_for_its_stream(rig: Rig) -> None:
    run = Run(address(rig), "late.signal")
    opening = threading.Thread(target=run.start)
    opening.start()
    late = Source(rig, "late.signal").begin()
    opening.join(10)
    late.send(10)
    run.wait(10)
    run.stop()

    assert run.places == [(0, index) for index in range(10)]


def test_an_inlet_whose_stream_does_not_come_says_so(rig: Rig) -> None:
    run = Run(address(rig), "no.signal", timeout=0.3)

    with pytest.raises(NodeError, match=r"no stream 'no\.signal' from unix:.* within 0\.3 s: no"):
        run.start()
    run.stop()


def test_an_inlet_that_waits_can_be_stopped(rig: Rig) -> None:
    run = Run(address(rig), "no.signal", timeout=60)
    opening = threading.Thread(target=run.runner.open)
    opening.start()
    until(lambda: run.node._reader is not None)

    begin = time.monotonic()
    run.runner.request_stop()
    opening.join(10)
    run.stop()

    assert time.monotonic() - begin < 5


def test_an_inlet_without_a_link_can_be_stopped(rig: Rig, source: Source) -> None:
    run = Run(address(rig)).start()
    source.send(10)
    run.wait(10)
    rig.stop_relay()
    until(lambda: not run.node.is_connected)
    until(lambda: run.node.seconds_behind > 0)

    run.stop()
    rig.start_relay()

    assert run.runner.state is NodeState.STOPPED


def test_an_inlet_started_again_within_an_epoch_gives_it_a_higher_number(
    rig: Rig, source: Source
) -> None:
    run = Run(address(rig)).start()
    source.send(10)
    run.wait(10)
    run.stop()

    run.runner.begin_run()
    run.start()
    source.send(10)
    run.wait(20)
    source.begin()
    source.send(10)
    run.wait(30)
    ahead = run.node.epochs_ahead
    run.stop()

    assert ahead == 1
    assert run.places == (
        [(0, index) for index in range(10)]
        + [(1, index) for index in range(10, 20)]
        + [(2, index) for index in range(10)]
    )


def test_texts_come_through_an_inlet(rig: Rig) -> None:
    marks = TextSource(rig).begin()
    with Run(address(rig), "marks.out") as run:
        marks.say("go", "λ", "\udcff")
        run.wait(3)

    assert [text for chunk in run.seen.chunks for text in chunk.data] == ["go", "λ", "\udcff"]


def test_an_inlet_needs_an_address_and_a_stream() -> None:
    run = Run("", "")

    with pytest.raises(NodeError, match="give the address of a host") as raised:
        run.start()
    run.stop()

    assert isinstance(raised.value.__cause__, ParameterError)


# --- the script's reader ---------------------------------------------------------------------


def test_a_script_reads_chunks_until_the_stream_is_over(rig: Rig, source: Source) -> None:
    with RemoteStreamReader(rig.host, "source.signal", start="oldest") as stream:
        source.send(50)
        source.end()

        numbers = [int(v) for chunk in stream for v in chunk.data[:, 0]]

    assert numbers == list(range(50))


def test_a_script_is_told_that_nothing_comes(rig: Rig, source: Source) -> None:
    with (
        RemoteStreamReader(rig.host, "source.signal") as stream,
        pytest.raises(WaitTimeout, match=r"no sample of source\.signal within 0\.2 s"),
    ):
        stream.read(timeout=0.2)


def test_a_script_is_told_why_nothing_comes(rig: Rig) -> None:
    with RemoteStreamReader(rig.host, "no.signal") as stream:
        until(lambda: stream.reader.failure)

        with pytest.raises(WaitTimeout, match=r"no stream 'no\.signal'"):
            stream.read(timeout=0.1)


def test_a_script_reads_for_some_seconds(rig: Rig, source: Source) -> None:
    source.send(30)
    with RemoteStreamReader(rig.host, "source.signal", start="oldest") as stream:
        chunks = list(stream.chunks(seconds=0.5))

    assert sum(map(len, chunks)) == 30


def test_a_script_sees_a_restart_as_a_gap(rig: Rig, source: Source) -> None:
    with RemoteStreamReader(rig.host, "source.signal", start="oldest") as stream:
        source.send(50)
        source.begin(lost=20)
        source.send(10)
        chunks: list[Chunk] = []
        while sum(map(len, chunks)) < 60:
            chunk = stream.read(timeout=10)
            assert chunk is not None
            chunks.append(chunk)

    gaps = [gap for chunk in chunks for gap in chunk.gaps]
    assert [(gap.cause, gap.epoch, gap.count) for gap in gaps] == [(Cause.RESTART, 1, 20)]


def test_a_script_gets_the_streams_own_clock_model_too(rig: Rig, source: Source) -> None:
    model = ClockModel(5.0, 0.0, 3.0, 1e-3)
    source.writer.set_clock(model)
    with RemoteStreamReader(rig.host, "source.signal", start="oldest") as stream:
        source.send(5)
        chunk = stream.read(timeout=10)

    assert chunk is not None
    np.testing.assert_allclose(chunk.timestamps, chunk.raw_timestamps + 5.0)


def test_a_script_that_does_not_read_loses_nothing_and_holds_little(
    rig: Rig, source: Source
) -> None:
    with RemoteStreamReader(rig.host, "source.signal", start="oldest") as stream:
        until(lambda: stream.reader.is_connected)
        for _ in range(10):
            source.send(10_000, at_once=1000)
            until(lambda: rig.relay.waiting == 0)
        source.end()
        numbers = [int(v) for chunk in stream for v in chunk.data[:, 0]]

    assert numbers == list(range(100_000))


def test_there_is_no_ring_of_another_host(rig: Rig, source: Source) -> None:
    with (
        RemoteStreamReader(rig.host, "source.signal") as stream,
        pytest.raises(Unsupported, match=r"relay\.Inlet"),
    ):
        _ = stream.ring


def test_a_stream_of_another_host_does_not_begin_at_an_index(rig: Rig) -> None:
    with pytest.raises(Unsupported, match="'now' or with the 'oldest'"):
        RemoteStreamReader(rig.host, "source.signal", start=5)
