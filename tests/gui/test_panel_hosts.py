"""A panel of other machines: who may only look can only look, and one picture shows them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from tests.gui.panel_rig import open_panel, until
from tests.system.security_host import SecuredHost

from rigmesh.client import Manager
from rigmesh.credentials import Credentials, store_credentials
from rigmesh.node.registry import NodeType, PortType, StateType
from rigmesh.viewers.panel import Panel
from rigmesh.viewers.panel_model import (
    HostView,
    Rates,
    Trouble,
    nodes_of,
    plan_of,
    troubles_of,
    verdict_of,
)
from rigmesh.viewers.panel_words import TroubleList
from rigmesh_daemon.security.rules import Role
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import ReaderCounters

QTest: Any = QtTest.QTest  # its stubs take the static methods for those of an instance

SIGNAL = PortType("signal", ("signal",))
TYPES = {
    "sim.EEG": NodeType("sim.EEG", outputs=(SIGNAL,), is_source=True),
    "relay.Inlet": NodeType(
        "relay.Inlet", outputs=(PortType("relayed", ("signal",)),), detached="relay"
    ),
    "record.HDF5Recorder": NodeType(
        "record.HDF5Recorder", inputs=(PortType("streams", ("signal",)),), detached="record",
        states=tuple(StateType(name) for name in ("phase", "written_mb", "alarms")),
    ),
}  # fmt: skip


def node(name: str, type_: str, **more: Any) -> pb.NodeStatus:
    inputs = {port: pb.StreamNames(names=names) for port, names in more.get("inputs", {}).items()}
    params = json.dumps(more.get("params", {}))
    spec = pb.NodeSpec(name=name, type=type_, group="main", params_json=params, inputs=inputs)
    detached = TYPES[type_].detached
    outputs = [f"{name}.{port.name}" for port in TYPES[type_].outputs]
    process = f"main.{detached}" if detached else "main"
    return pb.NodeStatus(spec=spec, process=process, outputs=outputs, state=pb.NODE_STATE_RUNNING)


@pytest.fixture
def views() -> list[HostView]:
    """Two hosts: what one makes is recorded on the other."""
    amp = pb.Status(
        host="amp-pc", state="running", address="amp-pc:5678", nodes=[node("eeg", "sim.EEG")]
    )
    relay = {"address": "amp-pc:5678", "stream": "eeg.signal"}
    rec = pb.Status(
        host="rec-pc", state="running", nodes=[
            node("eeg-signal", "relay.Inlet", params=relay),
            node("recorder", "record.HDF5Recorder", inputs={"streams": ["eeg-signal.relayed"]}),
        ],
        reader_counters=[ReaderCounters(
            stream="eeg-signal.relayed", reader="recorder.streams", lag=50, fill=0.5,
            lost={"overrun": 12},
        )],
    )  # fmt: skip
    return [
        HostView("amp-pc", "live", status=amp, types=TYPES),
        HostView("rec-pc", "live", status=rec, types=TYPES, states={
            "recorder.phase": "recording", "recorder.alarms": ["eeg-signal.relayed is silent"],
            "recorder.free_seconds": 120.0,
        }),
    ]  # fmt: skip


def test_a_stream_between_hosts_is_a_link_of_one_picture(views: list[HostView]) -> None:
    found = plan_of(views)

    assert found is not None
    plan, _ = found
    assert {(link.stream, link.sink) for link in plan.links} == {
        ("0/eeg.signal", "1/eeg-signal"),
        ("1/eeg-signal.relayed", "1/recorder"),
    }
    assert [plan.nodes[key].layer for key in ("0/eeg", "1/eeg-signal", "1/recorder")] == [0, 1, 2]


def test_losses_alarms_and_a_full_disk_are_troubles_and_the_dead_host_comes_first(
    views: list[HostView],
) -> None:
    troubles = troubles_of(views, nodes_of(views))
    told = [(trouble.level, trouble.where, trouble.text) for trouble in troubles]
    assert told == [
        ("bad", "recorder", "eeg-signal.relayed is silent"),
        ("warn", "recorder", "the disk lasts 2 min"),
        ("warn", "recorder", "12 samples are missing"),
    ]
    recorder = nodes_of(views)["1/recorder"]
    assert (recorder.lag, recorder.fill, recorder.lost) == (50, 0.5, 12)
    assert verdict_of(recorder) == "recording"

    gone = HostView("amp-pc", "gone", "no answer", status=views[0].status, types=TYPES)

    assert next(troubles_of([gone], {})).where == "amp-pc"
    assert nodes_of([gone])["0/eeg"].state == "not known"


def test_rates_are_those_of_the_last_seconds_and_begin_anew_with_a_run() -> None:
    rates = Rates()

    assert rates.rate("a", 0, 10.0) is None
    assert rates.rate("a", 500, 10.5) == pytest.approx(1000)
    assert rates.rate("a", 500, 10.5) == pytest.approx(1000)  # the same counts once more
    assert rates.rate("a", 4000, 14.0) == pytest.approx(1000)
    assert rates.rate("a", 10, 15.0) is None


def test_what_strangers_call_things_stays_text(application: object) -> None:
    shown = TroubleList()
    shown.show_troubles([Trouble("bad", "<img src=x>", "<script>", "0/<a>")])

    assert "<img" not in shown.text()
    assert "&lt;script&gt;" in shown.text()


def test_a_name_that_two_hosts_have_is_not_guessed(views: list[HostView]) -> None:
    other = replace(
        views[0], key="amp-2", status=pb.Status(host="amp-2", nodes=[node("eeg", "sim.EEG")])
    )
    panel = Panel((), lambda: None)
    panel.views |= {"amp-pc": views[0], "amp-2": other}
    panel.refresh()

    panel.wishes.set_parameter(panel.nodes["1/eeg"], "seed", 1)

    assert "amp-pc and amp-2 each have a node 'eeg'" in panel.message.text
    panel.close()


def test_a_panel_follows_the_palette_at_any_time(views: list[HostView]) -> None:
    application = QtWidgets.QApplication
    before = application.palette()
    panel = Panel((), lambda: None)
    panel.views |= {view.key: view for view in views}
    panel.refresh()
    light = panel.hosts.styleSheet(), panel.troubles.text(), panel.chip.styleSheet()

    dark = QtGui.QPalette(QtGui.QColor("#1e2329"))
    application.setPalette(dark)
    application.processEvents()
    changed = panel.hosts.styleSheet(), panel.troubles.text(), panel.chip.styleSheet()
    application.setPalette(before)

    assert all(one != other for one, other in zip(light, changed, strict=True))
    panel.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredHost]:
    with SecuredHost(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of one's own, in which one is logged in nowhere."""
    monkeypatch.delenv("RIGMESH_SOCKET", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def panel_as(host: SecuredHost, role: Role) -> tuple[Panel, str]:
    """Open a panel of the host as if it were another machine; return it, too, the address."""
    # Written so that it is not taken for this machine.
    address = f"[::ffff:127.0.0.1]:{host.port}"
    store_credentials(Credentials(address, host.ca, host.token(role), "127.0.0.1"))
    return open_panel(None, [address]), address


def test_a_viewer_sees_everything_and_changes_nothing(host: SecuredHost) -> None:
    with Manager(socket=host.socket) as manager:
        manager.create_node("sim.EEG", name="eeg")
        panel, address = panel_as(host, Role.VIEWER)
        until(lambda: set(panel.picture.cards) == {"1/eeg"})
        assert list(panel.hosts.texts) == [address]
        assert panel.hosts.texts[address]["host"] == "rig-1"
        until(lambda: panel.hosts.texts[address]["clock"] == "same")

        panel.start.click()
        until(lambda: "could not start" in panel.message.text)
        assert "viewer" in panel.message.text
        assert panel.message.button.isHidden()
        assert manager.status().state == "idle"

        panel.choose("1/eeg")
        assert panel.inspector.parameters is not None
        write(panel.inspector.parameters.fields["seed"].editor, "7")
        until(lambda: "could not set seed" in panel.message.text)
        assert panel.inspector.parameters.problems
        assert manager["eeg"].parameters.get("seed") != 7
        panel.close()


def test_an_operator_of_another_machine_starts_and_stops(host: SecuredHost) -> None:
    with Manager(socket=host.socket) as manager:
        manager.create_node("sim.EEG", name="eeg")
        panel, _ = panel_as(host, Role.OPERATOR)
        until(lambda: panel.start.isEnabled())

        panel.start.click()
        until(lambda: panel.chip.text().startswith("● running"))
        assert manager.status().state == "running"
        panel.stop.click()
        until(lambda: panel.chip.text() == "● idle")

        assert manager.status().state == "idle"
        panel.close()


def write(line: QtWidgets.QWidget, text: str) -> None:
    assert isinstance(line, QtWidgets.QLineEdit)
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, QtCore.Qt.Key.Key_Return)
