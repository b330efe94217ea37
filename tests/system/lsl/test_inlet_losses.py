"""Outlets that die, come back, change or fall silent."""

import signal
import socket
import subprocess
from collections.abc import Callable

import numpy as np
import pylsl
import pytest
from tests.system.lsl.harness import Peer, live, wait_for

from rigmesh.errors import NodeError, StreamLost
from rigmesh.node import NodeState
from rigmesh.streams import Cause, local_clock
from rigmesh_nodes._lsl_connection import Connection
from rigmesh_nodes._lsl_search import Silence
from rigmesh_nodes.lsl import Inlet

StartPeer = Callable[..., Peer]


def test_an_outlet_that_is_killed_and_started_again_begins_a_new_epoch(
    peer: StartPeer, name: str
) -> None:
    first = peer("outlet", name=name, rate=500.0, format="int32", source_id="amp-7")
    with live(Inlet(stream=name)) as running:
        tape = running.tapes["signal"]
        first.ask(forever=0)
        running.wait_for_samples("signal", 500)
        first.kill()
        second = peer("outlet", name=name, rate=500.0, format="int32", source_id="amp-7")
        second.ask(consumers=20.0)
        second.ask(forever=100_000)
        wait_for(lambda: tape.chunks[-1].epoch == 1 and tape.chunks[-1].index > 100, "epoch 1")

    before = np.concatenate([c.data[:, 0] for c in tape.chunks if c.epoch == 0])
    after = np.concatenate([c.data[:, 0] for c in tape.chunks if c.epoch == 1])
    assert np.array_equal(before, np.arange(len(before)))
    assert np.array_equal(after, np.arange(after[0], after[0] + len(after)))
    assert tape.epochs == [0, 1]


def test_an_outlet_that_comes_back_in_another_format_is_announced_anew(
    peer: StartPeer, name: str
) -> None:
    first = peer("outlet", name=name, rate=100.0, n_channels=2, source_id="amp-7")
    with live(Inlet(stream=name)) as running:
        first.ask(push=[[1.0, 2.0]], stamps=[1.0])
        tape = running.wait_for_samples("signal", 1)
        first.kill()
        second = peer(
            "outlet", name=name, rate=200.0, n_channels=3, format="int16", source_id="amp-7"
        )
        second.ask(consumers=20.0)
        second.ask(push=[[1, 2, 3]], stamps=[2.0])
        running.wait_for_samples("signal", 2)

    assert [(i.dtype, i.n_channels, i.sampling_rate) for i in tape.infos] == [
        ("float32", 2, 100.0),
        ("int16", 3, 200.0),
    ]
    assert [chunk.epoch for chunk in tape.chunks] == [0, 1]
    assert tape.chunks[1].data.tolist() == [[1, 2, 3]]


def test_an_outlet_that_comes_back_with_texts_fails_the_node(peer: StartPeer, name: str) -> None:
    first = peer("outlet", name=name, source_id="amp-7")
    with live(Inlet(stream=name)) as running:
        first.kill()
        peer("outlet", name=name, format="string", source_id="amp-7")
        wait_for(lambda: running.runner.state is NodeState.FAILED, "failure")

    assert "came back as markers" in str(running.runner.failure)


def test_a_lost_stream_fails_the_node_that_shall_not_wait(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, source_id="amp-7")
    with live(Inlet(stream=name, recover=False)) as running:
        outlet.kill()
        wait_for(lambda: running.runner.state is NodeState.FAILED, "failure")

    assert f"{name!r}" in str(running.runner.failure)
    assert running.tapes["signal"].is_ended


def test_a_stream_of_another_source_does_not_take_the_place_of_a_lost_one(
    peer: StartPeer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = peer("outlet", name=name, source_id="amp-7")
    with live(Inlet(stream=name)) as running:
        first.kill()
        other = peer("outlet", name=name, source_id="amp-8")
        wait_for(lambda: "amp-8" in caplog.text, "warning")
        has_consumer = other.ask(consumers=0.0)

    assert not has_consumer
    assert running.tapes["signal"].epochs == [0]


def test_an_outlet_that_says_nothing_gives_way_to_its_successor(
    peer: StartPeer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Silence, "FIRST", 0.2)
    first = peer("outlet", name=name, rate=100.0, source_id="amp-7")
    with live(Inlet(stream=name)) as running:
        first.ask(push=[[1.0]], stamps=[1.0])
        tape = running.wait_for_samples("signal", 1)
        first.process.send_signal(signal.SIGSTOP)
        second = peer("outlet", name=name, rate=100.0, source_id="amp-7")
        second.ask(consumers=20.0)
        second.ask(push=[[2.0]], stamps=[2.0])
        running.wait_for_samples("signal", 2)

    assert [chunk.epoch for chunk in tape.chunks] == [0, 1]


def test_a_silent_outlet_without_a_successor_is_kept(
    peer: StartPeer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Silence, "FIRST", 0.05)
    monkeypatch.setattr(Silence, "SEARCH", 0.3)
    monkeypatch.setattr(Silence, "AGAIN", 0.05)
    outlet = peer("outlet", name=name, source_id="amp-7")
    with live(Inlet(stream=name)) as running:
        inlet = running.runner.node
        assert isinstance(inlet, Inlet)
        wait_for(lambda: inlet._silence._search is not None, "search")
        wait_for(lambda: inlet._silence._search is None, "end of the search")
        outlet.ask(push=[[1.0]], stamps=[1.0])
        tape = running.wait_for_samples("signal", 1)

    assert (tape.epochs, tape.gaps) == ([0], [])


def test_samples_that_were_not_read_before_the_loss_are_told(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name)
    found = pylsl.resolve_byprop("name", name, 1, 10.0)
    connection = Connection(found[0], 60.0, lambda: False)
    outlet.ask(push=[[float(n)] for n in range(50)], stamps=[1.0 + n for n in range(50)])
    wait_for(lambda: connection._inlet.samples_available() == 50, "50 samples")
    outlet.kill()
    wait_for(lambda: connection._inlet.samples_available() > 50, "end of the connection")

    with pytest.raises(StreamLost):
        connection.pull(0.0)

    connection.close()
    assert connection.unread >= 50


def test_metadata_that_are_too_long_are_flagged_and_the_samples_arrive(
    peer: StartPeer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    outlet = peer("outlet", name=name, desc={"notes": "x" * 2**20})

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=[[1.0]], stamps=[1.0])
        tape = running.wait_for_samples("signal", 1)

    assert "<bad_metadata>" in tape.infos[0].description
    assert "bad metadata" in caplog.text


def test_a_stream_of_too_many_channels_is_refused(peer: StartPeer, name: str) -> None:
    peer("outlet", name=name, n_channels=70_000, format="int8")

    with (
        pytest.raises(NodeError, match="70000 channels; 1 to 65536 are taken"),
        live(Inlet(stream=name)),
    ):
        pass


def test_stamps_of_another_clock_are_kept_and_mapped(peer: StartPeer, name: str) -> None:
    ahead = ["unshare", "--user", "--map-root-user", "--time", "--monotonic", "5000"]
    if subprocess.run([*ahead, "true"], check=False).returncode:
        pytest.skip("this system gives no time namespace")
    outlet = peer("outlet", prefix=[*ahead, "--fork", "--kill-child"], name=name)

    with live(Inlet(stream=name)) as running:
        before = local_clock()
        outlet.ask(push=[[1.0]], stamps=[0.0])
        tape = running.wait_for_samples("signal", 1)
        after = local_clock()

    chunk = tape.chunks[0]
    assert chunk.clock.offset == pytest.approx(-5000, abs=1e-3)
    assert 0 < chunk.clock.uncertainty < 0.1
    assert tape.infos[0].clock_id == f"lsl:{socket.gethostname()}"
    assert before - 0.01 < chunk.timestamps[0] < after + 0.01
    assert chunk.raw_timestamps[0] == pytest.approx(before + 5000, abs=5)


def test_a_jump_of_even_stamps_is_counted_as_lost_samples(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, rate=100.0)
    numbers = [*range(250), *range(260, 300)]

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=[[n] for n in numbers], stamps=[10 + n / 100 for n in numbers])
        tape = running.wait_for_samples("signal", len(numbers))

    gap = tape.gaps[0]
    assert (gap.cause, gap.index, gap.count, gap.exact) == (Cause.TRANSPORT, 250, 10, False)
    assert gap.duration == pytest.approx(0.1)
    assert tape.data[:, 0].tolist() == numbers
