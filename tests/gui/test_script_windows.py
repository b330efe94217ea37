"""Windows of a script: real ones, in a process of their own, of a graph that runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PyQt5 import QtGui

from rigmesh.client import Manager, NodeHandle
from rigmesh.errors import (
    GraphError,
    NameTaken,
    ParameterError,
    PortMismatch,
    StateError,
    UnknownName,
    Unsupported,
)


def until(condition: Callable[[], object], timeout: float = 40.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.05)


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager(private=True) as made:
        yield made


@pytest.fixture
def source(manager: Manager) -> NodeHandle:
    return manager.create_node("sim.Oscillators", name="amp", n_channels=4)


def pixels(handle: NodeHandle, folder: Path) -> npt.NDArray[np.uint8]:
    """Return what a window shows, as bytes."""
    path = folder / "picture.png"
    handle.grab(path)
    image = QtGui.QImage(str(path)).convertToFormat(QtGui.QImage.Format.Format_RGB888)
    bits = image.constBits()
    assert bits is not None
    return np.frombuffer(bytes(bits.asarray(image.byteCount())), np.uint8)


def test_a_window_shows_a_stream_of_the_graph(
    manager: Manager, source: NodeHandle, tmp_path: Path
) -> None:
    scope = manager.create_node("QOscilloscope", seconds=2)
    scope.input.connect(source.output)
    assert (scope.name, scope.type, scope.state) == ("oscilloscope", "viewers.Oscilloscope", "open")
    empty = pixels(scope, tmp_path)

    manager.start_all()

    until(lambda: len(pixels(scope, tmp_path)) and np.mean(pixels(scope, tmp_path) != empty) > 0.01)
    assert set(manager.windows) == {"oscilloscope"}
    assert set(manager.nodes) == {"amp"}


def test_a_frozen_window_is_no_matter_to_the_graph(manager: Manager, source: NodeHandle) -> None:
    scope = manager.create_node("Oscilloscope")
    scope.input.connect(source.output)
    manager.start_all()
    with source.output.open() as stream:
        stream.read(timeout=20)
        pid = manager._windows.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(20):
                chunk = stream.read(timeout=20)
                assert chunk is not None
                assert not chunk.gaps
            manager.stop_all()
            assert source.state == "stopped"
        finally:
            os.kill(pid, signal.SIGCONT)


def test_the_death_of_the_windows_is_no_matter_to_the_graph(
    manager: Manager, source: NodeHandle
) -> None:
    scope = manager.create_node("Oscilloscope")
    scope.input.connect(source.output)
    manager.start_all()

    os.kill(manager._windows.process.pid, signal.SIGKILL)

    until(lambda: scope.state == "failed")
    assert source.state == "running"
    with pytest.raises(StateError, match="ended"):
        scope.update(seconds=3)
    scope.remove()
    again = manager.create_node("Oscilloscope")  # in a new process
    assert (again.name, again.state) == ("oscilloscope", "open")


def test_a_window_that_is_removed_is_gone(manager: Manager, source: NodeHandle) -> None:
    scope = manager.create_node("Oscilloscope", name="scope")
    scope.input.connect(source.output)

    manager.remove_node("scope")

    assert scope.state == "closed"
    assert not manager.windows
    with pytest.raises(UnknownName):
        manager["scope"]


def test_a_window_is_saved_with_the_graph_and_opens_with_it(
    manager: Manager, source: NodeHandle, tmp_path: Path
) -> None:
    scope = manager.create_node("Oscilloscope", name="scope", seconds=4)
    scope.input.connect(source.output)
    scope.update(mode="scroll")
    file = tmp_path / "graph.yaml"

    manager.save(file)

    written = yaml.safe_load(file.read_text())["nodes"]["scope"]
    assert written["type"] == "viewers.Oscilloscope"
    assert written["params"] == {"seconds": 4.0, "mode": "scroll"}
    with Manager(private=True) as other:
        other.load(file)
        assert set(other.nodes) == {"amp"}
        opened = other["scope"]
        assert opened.parameters == {"seconds": 4.0, "mode": "scroll"}
        assert other._windows.links == [("scope", "signal", "amp.signal")]


def test_a_graph_runs_without_its_windows_where_there_is_no_screen(
    manager: Manager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(
        "rigmesh: 1\nnodes:\n"
        "  amp: {type: sim.Oscillators}\n"
        "  scope: {type: Oscilloscope, inputs: {signal: amp}}\n"
    )
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)

    manager.load(file)

    assert set(manager.nodes) == {"amp"}
    assert "scope is not shown: there is no screen" in caplog.text
    with pytest.raises(Unsupported, match="DISPLAY"):
        manager.create_node("Oscilloscope")


def test_a_mistake_in_a_window_of_a_graph_file_has_its_line(
    manager: Manager, tmp_path: Path
) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(
        "rigmesh: 1\nnodes:\n"
        "  amp: {type: sim.Oscillators}\n"
        "  scope:\n"
        "    type: Oscilloscope\n"
        "    params: {secnods: 3}\n"
        "    inputs: {signal: amp}\n"
    )

    with pytest.raises(GraphError, match=r"graph\.yaml:6.*secnods"):
        manager.load(file)

    assert not manager.nodes


def test_wrong_parameters_are_refused(manager: Manager) -> None:
    with pytest.raises(ParameterError, match="seconds"):
        manager.create_node("Oscilloscope", seconds=-1)
    scope = manager.create_node("Oscilloscope")

    with pytest.raises(ParameterError, match="secnods"):
        scope.update(seconds=3, secnods=4)

    assert scope.parameters == {}


def test_names_are_taken_once(manager: Manager, source: NodeHandle) -> None:
    with pytest.raises(NameTaken):
        manager.create_node("Oscilloscope", name="amp")
    manager.create_node("Oscilloscope")

    assert manager.create_node("Oscilloscope").name == "oscilloscope2"


def test_a_window_takes_what_it_can_show(manager: Manager, source: NodeHandle) -> None:
    raster = manager.create_node("Raster")

    with pytest.raises(PortMismatch, match=r"raster\.events takes markers; amp\.signal gives"):
        raster.input.connect(source.output)


def test_an_input_for_one_stream_takes_no_second(manager: Manager, source: NodeHandle) -> None:
    other = manager.create_node("sim.Oscillators", name="other")
    window = manager.create_node("TriggeredOscilloscope")
    window.inputs["signal"].connect(source.output)

    with pytest.raises(GraphError, match=r"shows amp\.signal already"):
        window.inputs["signal"].connect(other.output)

    window.inputs["signal"].disconnect(source.output)
    window.inputs["signal"].connect(other.output)


def test_a_daemon_runs_no_windows(manager: Manager, tmp_path: Path) -> None:
    from rigmesh_proto.v1 import control_pb2 as pb

    connection = manager._connection
    spec = pb.NodeSpec(name="scope", type="viewers.Oscilloscope")

    with pytest.raises(Unsupported, match="a client opens"):
        connection.call(connection.stub.CreateNode, pb.CreateNodeRequest(node=spec))


def test_a_scalogram_is_computed_in_a_group_of_its_own(
    manager: Manager, source: NodeHandle, tmp_path: Path
) -> None:
    window = manager.create_node("QTimeFreq", name="map", f_stop=50, n_frequencies=10)
    window.inputs["signal"].connect(source.output)
    worker = manager["map_worker"]
    assert (worker.type, worker.group) == ("spectra.Morlet", "map-worker")
    assert worker.parameters["n_frequencies"] == 10
    empty = pixels(window, tmp_path)

    window.update(n_frequencies=12)
    manager.start_all()

    assert worker.parameters["n_frequencies"] == 12
    until(lambda: np.mean(pixels(window, tmp_path) != empty) > 0.05)
    manager.save(tmp_path / "graph.yaml")
    written = yaml.safe_load((tmp_path / "graph.yaml").read_text())
    assert set(written["nodes"]) == {"amp", "map"}
    assert written["nodes"]["map"]["inputs"] == {"signal": "amp.signal"}
    manager.stop_all()
    window.remove()
    assert set(manager.nodes) == {"amp"}


def test_a_window_that_joins_a_running_graph_computes_by_itself(
    manager: Manager, source: NodeHandle, tmp_path: Path
) -> None:
    manager.start_all()
    window = manager.create_node("TimeFreq", f_stop=50, n_frequencies=10)
    empty = pixels(window, tmp_path)

    window.inputs["signal"].connect(source.output)

    until(lambda: np.mean(pixels(window, tmp_path) != empty) > 0.05)
    assert set(manager.nodes) == {"amp"}


def test_the_panel_of_a_script_shows_what_it_runs(
    manager: Manager, source: NodeHandle, tmp_path: Path
) -> None:
    panel = manager.create_node("Panel", title="My rig")
    idle = pixels(panel, tmp_path)

    manager.start_all()

    until(lambda: np.mean(pixels(panel, tmp_path) != idle) > 0.005)
    assert (panel.name, panel.type) == ("panel", "viewers.Panel")
    with pytest.raises(UnknownName, match="has no input"):
        panel.input.connect(source.output)
    manager.save(tmp_path / "graph.yaml")
    saved = yaml.safe_load((tmp_path / "graph.yaml").read_text(encoding="utf-8"))
    # Not the hosts: whoever loads it has his own.
    assert saved["nodes"]["panel"] == {"type": "viewers.Panel", "params": {"title": "My rig"}}


def test_the_panel_shows_other_hosts_once_it_is_told_them(manager: Manager, tmp_path: Path) -> None:
    panel = manager.create_node("Panel")
    alone = pixels(panel, tmp_path)

    panel.update(hosts=["10.99.99.99"])  # that nobody has logged in to

    until(lambda: np.mean(pixels(panel, tmp_path) != alone) > 0.001)
    assert panel.parameters["hosts"] == ["10.99.99.99"]
    panel.remove()
    assert panel.state == "closed"
