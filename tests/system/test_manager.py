"""A script drives a daemon of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmesh.client import Manager
from rigmesh.errors import (
    DaemonError,
    GraphError,
    NameTaken,
    NodeError,
    NotPermitted,
    ParameterError,
    PortMismatch,
    StateError,
    UnknownName,
    WaitTimeout,
)
from rigmesh.node import Input, Node, Output, param
from rigmesh.streams import Signal
from rigmesh_proto.v1 import control_pb2 as pb


class Doubler(Node):
    """Doubles; defined here, in a script, not in an installed package."""

    signal = Input(Signal)
    doubled = Output(Signal)
    fail_at: int = param(default=-1, doc="Fail at this sample.")

    def prepare(self) -> None:
        self.doubled.announce(self.signal.info)

    def process(self, chunk: Signal) -> Signal:
        if not chunk.index:
            self.log.warning("begins")
        if 0 <= self.fail_at < chunk.stop:
            raise ZeroDivisionError("on purpose")
        return chunk.with_data(chunk.data * 2)


def test_samples_come_to_a_script_in_order_through_two_processes(manager: Manager) -> None:
    source = manager.create_node(
        "sim.Oscillators", n_channels=3, sampling_rate=1000, sample_number=True, dtype="float64"
    )
    other = manager.create_nodegroup("other")
    picked = manager.create_node("channels.Select", host=other, channels=[0])
    picked.input.connect(source.output)
    manager.start_all()

    numbers = np.concatenate([c.data[:, 0] for c in picked.output.chunks(seconds=0.5)])

    assert len(numbers) > 100
    np.testing.assert_array_equal(np.diff(numbers), 1)


def test_a_node_with_one_port_answers_to_input_and_output(manager: Manager) -> None:
    alpha = manager.create_node("filters.BandPass", low="8 Hz", high=12)

    assert alpha.input is alpha.signal
    assert alpha.output is alpha.filtered
    assert alpha.parameters == {"low": "8 Hz", "high": 12}


def test_a_class_of_the_script_runs_in_a_process_of_the_script(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", n_channels=1, sample_number=True)
    doubler = manager.create_node(Doubler)
    doubler.input.connect(source.output)
    manager.start_all()

    with doubler.output.open(start="oldest") as stream:
        chunk = stream.read(timeout=10)

    assert chunk is not None
    np.testing.assert_array_equal(np.diff(chunk.data[:, 0]), 2)


def test_an_exception_in_a_node_fails_that_node_and_no_other(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", n_channels=1)
    doubler = manager.create_node(Doubler, fail_at=100)
    doubler.input.connect(source.output)
    manager.start_all()

    with pytest.raises(NodeError) as caught:
        doubler.wait("stopped", timeout=10)

    error = caught.value
    assert error.node == "doubler"
    assert error.hook == "process"
    assert error.host == manager.local.name
    assert "raise ZeroDivisionError" in error.remote_traceback
    assert source.state == "running"


def test_states_logs_and_counters_of_every_process_can_be_watched(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", n_channels=1)
    doubler = manager.create_node(Doubler)
    doubler.input.connect(source.output)

    with manager.events(logs=True, status_every=0.1) as events:
        manager.start_all()
        states, logs, produced = set(), set(), 0
        for event in events:
            if event.HasField("node"):
                states.add((event.node.spec.name, event.node.state))
            elif event.HasField("log"):
                logs.add((event.log.node, event.log.message))
            elif event.HasField("status"):
                produced = max([produced, *(c.produced for c in event.status.stream_counters)])
            if produced > 100 and ("doubler", "begins") in logs:
                break

    assert ("doubler", pb.NODE_STATE_RUNNING) in states


@pytest.mark.parametrize(
    ("kind", "parameters", "error", "message"),
    [
        ("BandPas", {}, UnknownName, "did you mean BandPass?"),
        ("filters.BandPass", {"lo": 3}, GraphError, "did you mean low?"),
        ("filters.BandPass", {"low": "3 kHz"}, GraphError, "expected a number in Hz"),
        ("filters.BandPass", {"low": -3}, GraphError, "params.low"),
    ],
)
def test_a_mistake_says_what_was_found_and_what_was_meant(
    manager: Manager, kind: str, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")):
        manager.create_node(kind, **parameters)

    assert not manager.nodes


def test_ports_that_do_not_fit_are_both_named(manager: Manager) -> None:
    marks = manager.create_node("sim.Markers", name="marks")
    alpha = manager.create_node("filters.BandPass", name="alpha")

    with pytest.raises(PortMismatch, match=r"alpha\.signal takes Signal; marks\.\w+ gives Markers"):
        alpha.input.connect(marks.output)


def test_a_name_is_given_once(manager: Manager) -> None:
    manager.create_node("sim.EEG", name="eeg")

    with pytest.raises(NameTaken, match="'eeg'"):
        manager.create_node("sim.EEG", name="eeg")


def test_a_circle_of_links_is_refused(manager: Manager) -> None:
    first = manager.create_node("filters.LowPass", name="first")
    second = manager.create_node("filters.LowPass", name="second")
    second.input.connect(first.output)

    with pytest.raises(GraphError, match="circle"):
        first.input.connect(second.output)


def test_an_input_without_a_link_keeps_the_graph_from_starting(manager: Manager) -> None:
    manager.create_node("filters.BandPass", name="alpha")

    with pytest.raises(GraphError, match=r"alpha\.inputs\.signal: missing; takes Signal"):
        manager.start_all()


def test_a_missing_lsl_stream_is_named_within_its_time(manager: Manager) -> None:
    manager.create_node("lsl.Inlet", name="eeg", predicate="name='nowhere-to-be-found'", timeout=1)

    with pytest.raises(NodeError, match="nowhere-to-be-found"):
        manager.start_all()

    assert manager.status().state == "idle"


def test_a_live_parameter_changes_at_a_known_sample(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", n_channels=1, sample_number=True)
    scale = manager.create_node("channels.Scale", gain=1.0)
    scale.input.connect(source.output)
    manager.start_all()
    with scale.output.open() as stream:
        stream.read(timeout=10)

        effective = scale.update(gain=3.0)

        epoch, index = effective[scale.output.stream]
        chunk = stream.read(timeout=10)
        while chunk is not None and chunk.stop <= index + 100:
            # A reader that was late gets samples of both sides of the change in one chunk.
            numbers = np.arange(chunk.index, chunk.stop)
            steps = np.where(numbers < index, numbers, 3 * numbers)
            np.testing.assert_array_equal(np.diff(chunk.data[:, 0]), np.diff(steps))
            chunk = stream.read(timeout=10)
        assert chunk is not None
        assert chunk.epoch == epoch


def test_one_wrong_parameter_changes_none(manager: Manager) -> None:
    scale = manager.create_node("channels.Scale", gain=2.0)

    with pytest.raises((ParameterError, GraphError), match="gian"):
        scale.update(gain=3.0, gian=4.0)

    assert scale.parameters["gain"] == 2.0


def test_a_stopped_graph_starts_again_in_a_new_epoch(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", n_channels=1)
    manager.start_all()
    first = next(source.output.chunks(timeout=10))
    manager.stop_all()
    assert source.state == "stopped"

    manager.start_all()

    assert next(source.output.chunks(timeout=10)).epoch == first.epoch + 1


def test_starting_twice_is_refused(manager: Manager) -> None:
    manager.create_node("sim.Oscillators")
    manager.start_all()

    with pytest.raises(StateError, match="running already"):
        manager.start_all()


def test_a_saved_graph_loads_as_it_was(manager: Manager, tmp_path: Path) -> None:
    source = manager.create_node("sim.EEG", name="eeg", sampling_rate="500 Hz")
    group = manager.create_nodegroup("loop", restart="on-failure")
    alpha = manager.create_node("filters.BandPass", name="alpha", host=group, low=9)
    alpha.input.connect(source.output)
    path = tmp_path / "graph.yaml"

    manager.save(path)

    with Manager() as second:
        second.load(path)
        assert second.nodes.keys() == {"eeg", "alpha"}
        assert second["alpha"].group == "loop"
        assert second["alpha"].parameters == {"low": 9}
        again = tmp_path / "again.yaml"
        second.save(again)
    assert again.read_text() == path.read_text()


def test_reading_a_stream_that_does_not_run_times_out(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators")

    with source.output.open() as stream, pytest.raises(WaitTimeout, match=source.output.stream):
        stream.read(timeout=0.2)


def test_a_machine_that_one_is_not_logged_in_to_is_refused_in_words(manager: Manager) -> None:
    with pytest.raises(NotPermitted, match=r"rigmesh login 10\.0\.0\.103"):
        manager.add_host("10.0.0.103:5678")

    assert manager.add_host("localhost") == manager.local
    assert manager.add_host("tcp://127.0.0.1:5678") == manager.local


def test_another_port_of_this_machine_is_another_machine(manager: Manager) -> None:
    with pytest.raises(NotPermitted, match=r"rigmesh login localhost:6000"):
        manager.add_host("localhost:6000")


def test_samples_are_looked_at_where_they_lie(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", n_channels=2, sample_number=True)
    manager.start_all()
    with source.output.open(start="oldest") as stream:
        chunk = stream.read(timeout=10)  # the ring begins when somebody wants it
        assert chunk is not None
        at, ring = chunk.index, stream.ring

        window = ring.window(at, at + 8)
        piece = ring[at + 2 : at + 5]

        np.testing.assert_array_equal(window.data[2:5], piece.data)
        assert window.valid()
        np.testing.assert_array_equal(np.diff(window.data[:, 0]), 1)


def test_the_script_of_the_architecture_page_runs(tmp_path: Path) -> None:
    with Manager() as manager:
        rig = manager.add_host("localhost:5678")
        worker = rig.create_nodegroup("analysis")
        device = manager.create_node(
            "Oscillators", host=rig, n_channels=32, sampling_rate=30_000, dtype="int16"
        )
        sorter = manager.create_node("Threshold", host=worker, channel=0, level=50)
        recorder = manager.create_node(
            "HDF5Recorder", host=worker, path=str(tmp_path / "session.h5")
        )
        sorter.input.connect(device.output)
        recorder.input.connect(device.output, sorter.output)
        manager.start_all()
        next(device.output.chunks(timeout=10))
        manager.stop_all()

        assert recorder.report["verdict"] == "OK"


def test_what_a_script_leaves_in_an_exception_is_stopped_and_removed() -> None:
    def leave() -> None:
        with Manager() as manager:
            manager.create_node("sim.Oscillators")
            manager.start_all()
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        leave()

    # The fixture that looks for left-overs does the rest.
    assert time.monotonic() - begin < 60


def test_a_group_whose_socket_cannot_be_named_is_refused_in_words(manager: Manager) -> None:
    group = manager.create_nodegroup("g" * 100)

    with pytest.raises(DaemonError, match=r"path of \d+ bytes, where the system takes 107; give"):
        group.create_node("sim.Oscillators")
