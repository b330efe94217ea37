"""The panel of a real daemon: it shows what is there, and changes it when it may."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PyQt5 import QtCore, QtTest, QtWidgets
from tests.gui.panel_rig import PanelDaemon, open_panel, until

from rigmesh.client import Manager
from rigmesh.recording import open_recording
from rigmesh.viewers.panel import Panel

Key = QtCore.Qt.Key
QTest: Any = QtTest.QTest  # its stubs take the static methods for those of an instance
Opening = Callable[[], Panel]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIGMESH_SOCKET", raising=False)
    monkeypatch.setenv("RIGMESH_OPERATOR", "alice@desk")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PanelDaemon]:
    made = PanelDaemon(tmp_path_factory.mktemp("d"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def own_daemon(tmp_path: Path) -> Iterator[PanelDaemon]:
    """One that a test may kill."""
    made = PanelDaemon(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def manager(daemon: PanelDaemon) -> Iterator[Manager]:
    with Manager(socket=daemon.socket) as made:
        yield made


@pytest.fixture
def panel(daemon: PanelDaemon, manager: Manager) -> Iterator[Panel]:
    made = panel_of(daemon, manager)
    yield made
    made.close()


def panel_of(daemon: PanelDaemon, manager: Manager) -> Panel:
    manager.create_node("sim.EEG", name="eeg", host=manager.create_nodegroup("amplifier"))
    alpha = manager.create_node("filters.BandPass", name="alpha", low=8, high=12)
    alpha.input.connect(manager["eeg"].output)
    made = open_panel(daemon.socket)
    until(lambda: len(made.picture.cards) == 2)
    return made


def write(line: QtWidgets.QWidget, text: str) -> None:
    assert isinstance(line, QtWidgets.QLineEdit)
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Key.Key_Return)


def start(panel: Panel) -> None:
    panel.start.click()
    until(lambda: panel.chip.text().startswith("● running"))
    until(lambda: all(card.state == "running" for card in panel.picture.cards.values()))


def stop(panel: Panel) -> None:
    panel.stop.click()
    until(lambda: panel.chip.text() == "● idle")


def test_the_picture_is_the_graph_of_the_daemon(panel: Panel, manager: Manager) -> None:
    assert set(panel.picture.cards) == {f"0/{name}" for name in manager.nodes}
    assert {c.node_type for c in panel.picture.cards.values()} == {"sim.EEG", "filters.BandPass"}
    assert panel.picture.links == {("0/eeg.signal", "0/alpha.signal")}
    assert panel.hosts.texts["here"]["nodes"] == "2"
    assert panel.hosts.texts["here"]["owner"] == "alice@desk"

    spectrum = manager.create_node("filters.BandPass", name="beta", low=12, high=30)
    spectrum.input.connect(manager["alpha"].output)
    until(lambda: ("0/alpha.filtered", "0/beta.signal") in panel.picture.links)
    manager.remove_node("beta")

    until(lambda: set(panel.picture.cards) == {"0/eeg", "0/alpha"})


def test_a_graph_is_started_watched_and_stopped(panel: Panel, manager: Manager) -> None:
    assert panel.start.isEnabled()
    assert not panel.stop.isEnabled()

    start(panel)

    assert manager.status().state == "running"
    until(lambda: panel.picture.cards["0/eeg"].rates.get("signal", "") not in ("", "0 Hz"))
    until(lambda: "no gaps" in panel.picture.cards["0/alpha"].foot)
    until(lambda: panel.streams.texts["0/eeg.signal"]["samples"] not in ("", "0"))
    row = panel.streams.texts["0/eeg.signal"]
    assert (row["format"], row["gaps"]) == ("19 ch float32", "0")
    assert row["slowest reader"] == "alpha.signal"
    assert not panel.start.isEnabled()

    stop(panel)

    assert manager.status().state == "idle"
    assert "stopped" in panel.status.text()


def test_a_parameter_is_set_in_the_running_node(panel: Panel, manager: Manager) -> None:
    start(panel)
    panel.choose("0/alpha")
    assert panel.inspector.parameters is not None
    fields = panel.inspector.parameters.fields

    write(fields["low"].editor, "9 Hz")
    until(lambda: manager["alpha"].parameters["low"] == 9)
    QTest.keyClick(fields["low"].editor, Key.Key_Up)

    until(lambda: manager["alpha"].parameters["low"] == 10)
    until(lambda: "alpha.low = 10.0, from sample" in panel.status.text())
    assert not panel.inspector.parameters.problems
    stop(panel)


def test_a_wrong_value_is_refused_in_words_by_the_form_and_by_the_node(
    panel: Panel, manager: Manager
) -> None:
    start(panel)
    panel.choose("0/alpha")
    form = panel.inspector.parameters
    assert form is not None

    write(form.fields["low"].editor, "8 kHz")
    assert "expected a number in Hz" in form.problems["low"]
    QTest.keyClick(form.fields["low"].editor, Key.Key_Escape)
    write(form.fields["high"].editor, "4 Hz")  # below low, which only the node knows
    until(lambda: "high" in form.problems)

    assert "4" in form.problems["high"]
    assert "could not set high" in panel.message.text
    assert manager["alpha"].parameters["high"] == 12
    seen = panel.views[""].status.run_time
    until(lambda: panel.views[""].status.run_time > seen + 4)
    assert "high" in form.problems  # as long as nobody does anything about it
    QTest.keyClick(form.fields["high"].editor, Key.Key_Escape)
    assert (form.problems, form.values["high"]) == ({}, 12)


def test_what_others_change_is_shown(panel: Panel, manager: Manager) -> None:
    panel.choose("0/alpha")
    form = panel.inspector.parameters
    assert form is not None

    manager["alpha"].update(low=7, order=2)

    until(lambda: (form.values["low"], form.values["order"]) == (7, 2))


def test_parameters_of_a_source_that_runs_are_locked_unless_they_are_live(panel: Panel) -> None:
    panel.choose("0/eeg")
    form = panel.inspector.parameters
    assert form is not None
    assert form.fields["sampling_rate"].isEnabled()

    start(panel)

    until(lambda: not form.fields["sampling_rate"].isEnabled())
    stop(panel)
    until(lambda: form.fields["sampling_rate"].isEnabled())


def test_states_are_shown_and_written_and_commands_obeyed(panel: Panel, manager: Manager) -> None:
    detector = manager.create_node("detectors.LevelCrossing", name="crossing")
    detector.input.connect(manager["eeg"].output)
    gate = manager.create_node("event_logic.EventState", name="gate", switch_on=["never"])
    gate.input.connect(*detector.outputs.values())
    until(lambda: "0/gate" in panel.picture.cards)
    start(panel)

    panel.choose("0/crossing")
    until(lambda: panel.inspector.commands["reset"].button.isEnabled())
    panel.inspector.commands["reset"].button.click()
    until(lambda: panel.status.text() == "crossing.reset: done")

    panel.choose("0/gate")
    form = panel.inspector.states
    assert form is not None
    assert manager.states["gate.is_on"] is False
    QTest.keyClick(form.fields["is_on"].editor, Key.Key_Space)
    until(lambda: "gate.is_on = True" in panel.status.text())
    assert manager.states["gate.is_on"] is True
    stop(panel)


def test_a_recording_is_annotated_and_its_verdict_shown(
    panel: Panel, manager: Manager, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    recorder = manager.create_node("record.HDF5Recorder", name="recorder", path=str(path))
    recorder.input.connect(manager["eeg"].output)
    until(lambda: "0/recorder" in panel.recorders.texts)
    start(panel)
    until(lambda: panel.recorders.texts["0/recorder"]["verdict"] == "recording")
    until(lambda: panel.note.isEnabled())

    write(panel.note, "the rat <sleeps>")
    until(lambda: "noted at" in panel.status.text())
    assert panel.note.text() == ""
    until(lambda: panel.recorders.texts["0/recorder"]["disk lasts"] != "–")
    stop(panel)

    until(lambda: panel.recorders.texts["0/recorder"]["verdict"] == "OK")
    assert panel.recorders.texts["0/recorder"]["file"] == "a.h5"
    with open_recording(path) as recording:
        notes = [note["text"] for note in recording.notes if note["kind"] == "note"]
    assert notes == ["the rat <sleeps>"]


def test_a_graph_of_another_operator_is_taken_over_only_when_one_says_so(
    panel: Panel, manager: Manager, daemon: PanelDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIGMESH_OPERATOR", "bob@lab")
    other = open_panel(daemon.socket)
    until(lambda: other.start.isEnabled())
    assert other.owner.text() == "belongs to alice@desk"

    other.start.click()
    until(lambda: "belongs to alice@desk" in other.message.text)
    assert other.message.button.text() == "Take over and start"
    assert manager.status().state == "idle"
    other.message.button.click()
    until(lambda: other.chip.text().startswith("● running"))

    assert manager.status().owner == "bob@lab"
    until(lambda: other.owner.text() == "yours")
    until(lambda: panel.log.table.texts != {})
    assert any("taken over by bob" in row["message"] for row in panel.log.table.texts.values())
    stop(other)
    monkeypatch.setenv("RIGMESH_OPERATOR", "alice@desk")
    until(lambda: panel.take_over.isVisible())
    panel.take_over.click()
    until(lambda: "the graph is yours now; it belonged to bob@lab" in panel.status.text())
    other.close()


def test_a_node_that_fails_is_an_alarm_that_leads_to_it(
    panel: Panel, manager: Manager, tmp_path: Path
) -> None:
    path = tmp_path / "there.h5"
    path.write_bytes(b"")
    recorder = manager.create_node("record.HDF5Recorder", name="recorder", path=str(path))
    recorder.input.connect(manager["eeg"].output)
    until(lambda: "0/recorder" in panel.picture.cards)

    panel.start.click()
    until(lambda: panel.picture.cards["0/recorder"].state == "failed")

    until(lambda: "could not start: recorder.open" in panel.message.text)
    until(lambda: any(t.node == "0/recorder" for t in panel.troubles.troubles))
    assert panel.troubles.isVisible()
    until(lambda: panel.hosts.texts["here"]["state"] == "idle, 1 failed")
    panel.troubles.linkActivated.emit("0/recorder")
    assert "exists, and recordings are never overwritten" in panel.inspector.title
    QTest.keyClick(panel, Key.Key_Escape)
    panel.message.dismiss.click()
    assert panel.message.text == ""


def test_a_daemon_that_is_killed_and_comes_back_is_told_and_nothing_is_lost(
    own_daemon: PanelDaemon,
) -> None:
    daemon = own_daemon
    with Manager(socket=daemon.socket) as manager:
        panel = panel_of(daemon, manager)
        try:
            survive(daemon, manager, panel)
        finally:
            panel.close()


def survive(daemon: PanelDaemon, manager: Manager, panel: Panel) -> None:
    start(panel)
    panel.choose("0/alpha")

    daemon.kill()
    until(lambda: panel.hosts.texts["here"]["state"] == "gone")
    assert panel.picture.cards["0/alpha"].state == "not known"
    assert panel.inspector.parameters is not None
    assert not panel.inspector.parameters.isEnabled()
    assert any("trying again" in trouble.text for trouble in panel.troubles.troubles)
    assert not panel.stop.isEnabled()
    daemon.start()

    until(lambda: panel.picture.cards["0/alpha"].state == "running")
    assert "answers again" in panel.status.text()
    messages = [row["message"] for row in panel.log.table.texts.values()]
    assert any("does not answer" in message for message in messages)
    until(lambda: panel.inspector.parameters is not None and panel.inspector.parameters.isEnabled())
    write(panel.inspector.parameters.fields["low"].editor, "9 Hz")
    until(lambda: manager["alpha"].parameters["low"] == 9)
    stop(panel)


def test_a_daemon_that_hangs_does_not_hang_the_window(panel: Panel, daemon: PanelDaemon) -> None:
    daemon.freeze()
    panel.start.click()
    longest, last = 0.0, time.monotonic()
    deadline = last + 2.0
    while last < deadline:
        QtWidgets.QApplication.processEvents()
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    began = time.monotonic()
    panel.close()
    closed_within = time.monotonic() - began
    daemon.thaw()

    assert longest < 1.0
    assert closed_within < 5.0


def test_an_empty_panel_says_what_it_waits_for(tmp_path: Path) -> None:
    daemon = PanelDaemon(tmp_path)
    panel = Panel((), lambda: daemon.socket if daemon.socket.exists() else None)
    panel.show()
    until(lambda: "no daemon runs on this machine" in panel.picture.empty_text)
    assert panel.chip.text() == "● waiting"
    assert not panel.start.isEnabled()

    daemon.start()

    until(lambda: "There are no nodes yet" in panel.picture.empty_text)
    panel.close()
    daemon.stop()


def test_the_log_is_filtered_by_level_and_text(panel: Panel) -> None:
    from rigmesh_proto.v1 import control_pb2 as pb

    for level, node in (("INFO", "eeg"), ("WARNING", "alpha"), ("ERROR", "alpha"), ("DEBUG", "")):
        panel.client.said.emit("rig", pb.LogRecord(level=level, node=node, message=f"<{level}>"))
    shown = panel.log.table

    until(lambda: len(shown.texts) == 3)
    assert [row["message"] for row in shown.texts.values()] == ["<ERROR>", "<WARNING>", "<INFO>"]
    assert panel.tabs.tabText(2) == "Log (2 new)"
    panel.tabs.setCurrentWidget(panel.log)
    assert panel.tabs.tabText(2) == "Log"
    panel.log.level.setCurrentIndex(2)
    assert [row["level"] for row in shown.texts.values()] == ["error", "warning"]
    panel.log.search.setText("ERR")
    assert [row["where"] for row in shown.texts.values()] == ["alpha"]


def test_nodes_are_chosen_by_mouse_and_keys_and_the_scale_is_changed(panel: Panel) -> None:
    picture = panel.picture
    place = picture.mapFromScene(picture.cards["0/alpha"].middle)
    QTest.mouseClick(picture.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    assert panel.selected == "0/alpha"
    assert panel.inspector.title.startswith("alpha")

    QTest.keyClick(picture, Key.Key_Left)
    assert panel.selected == "0/eeg"
    QTest.keyClick(picture, Key.Key_Right)
    assert panel.selected == "0/alpha"

    before = picture.transform().m11()
    QTest.keyClick(picture, Key.Key_Plus)
    assert picture.transform().m11() > before
    QTest.keyClick(picture, Key.Key_0)
    assert picture.transform().m11() == pytest.approx(before)
    QTest.keyClick(picture, Key.Key_Escape)
    assert panel.selected == ""
    assert "Choose a node" in panel.inspector.title


def test_every_control_has_a_tool_tip_and_the_window_a_key_for_each_deed(panel: Panel) -> None:
    controls = (panel.start, panel.stop, panel.take_over, panel.note)

    assert all(control.toolTip() for control in controls)
    assert [button.shortcut().toString() for button in controls[:3]] == ["F5", "F6", "Ctrl+T"]
    panel.activateWindow()
    assert all(card.toolTip() for card in panel.picture.cards.values())
