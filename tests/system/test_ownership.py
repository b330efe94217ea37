"""Two operators on one daemon: neither changes what is the other's without knowing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.system.conftest import Until
from typer.testing import CliRunner

from rigmesh.cli.app import app
from rigmesh.client import Manager
from rigmesh.errors import NotOwner

Operators = Callable[[str], Manager]


@pytest.fixture
def socket(manager: Manager) -> Path:
    """Of a daemon that stays while others come and go."""
    return manager._connection.socket


@pytest.fixture
def operator(socket: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operators]:
    """Connects people to it."""
    made = []

    def connect(name: str) -> Manager:
        monkeypatch.setenv("RIGMESH_OPERATOR", name)
        made.append(Manager(socket=socket))
        return made[-1]

    yield connect
    for one in reversed(made):
        one.close()


def test_who_begins_a_graph_owns_it_until_it_is_empty(operator: Operators) -> None:
    alice, bob = operator("alice@desk"), operator("bob@lab")
    alice.create_node("sim.EEG", name="eeg")

    assert bob.status().owner == "alice@desk"
    for change in (
        lambda: bob.create_node("sim.EEG"),
        lambda: bob.remove_node("eeg"),
        lambda: bob.create_nodegroup("mine"),
        lambda: bob.set_parameters("eeg", {"seed": 1}),
        bob.start_all,
        bob.stop_all,
    ):
        with pytest.raises(NotOwner, match=r"belongs to alice@desk.*you are bob@lab.*take-over"):
            change()

    alice.remove_node("eeg")
    bob.create_node("sim.EEG", name="eeg")
    with pytest.raises(NotOwner, match="belongs to bob@lab"):
        alice.remove_node("eeg")


def test_one_person_drives_from_several_places(operator: Operators) -> None:
    here, there = operator("alice@desk"), operator("alice@desk")
    here.create_node("sim.EEG", name="eeg")

    there.remove_node("eeg")

    assert not here.nodes


def test_another_looks_and_annotates_all_the_same(operator: Operators, tmp_path: Path) -> None:
    alice, bob = operator("alice@desk"), operator("bob@lab")
    eeg = alice.create_node("sim.EEG", name="eeg")
    with alice.running():
        bob.annotate("seen by bob")
        assert bob.open_stream("eeg.signal").read(timeout=20) is not None
        assert bob.states.read() is not None
    assert eeg.state == "stopped"


def test_a_graph_that_is_taken_over_leaves_its_first_owner_told(
    operator: Operators, until: Until
) -> None:
    alice, bob = operator("alice@desk"), operator("bob@lab")
    alice.create_node("sim.EEG", name="eeg")
    alice.start_all()
    with alice.events(logs=True) as events:
        assert bob.take_over() == ["alice@desk"]
        told = next(event.log.message for event in events if event.HasField("log"))

    assert "taken over by bob@lab; it belonged to alice@desk" in told
    with pytest.raises(NotOwner, match="belongs to bob@lab"):
        alice.stop_all()
    alice.close()  # takes nothing away that is another's
    assert bob.status().state == "running"
    bob.stop_all()
    bob.remove_node("eeg")


def test_a_graph_is_taken_over_from_the_command_line(
    operator: Operators, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = operator("alice@desk")
    alice.create_node("sim.EEG", name="eeg")
    alice.start_all()
    monkeypatch.setenv("RIGMESH_SOCKET", str(socket))
    monkeypatch.setenv("RIGMESH_OPERATOR", "bob@lab")
    run = CliRunner().invoke

    assert "the graph belongs to alice@desk" in run(app, ["status"]).output
    assert isinstance(run(app, ["stop"]).exception, NotOwner)
    assert alice.status().state == "running"
    assert run(app, ["stop", "--take-over"]).exit_code == 0
    assert (alice.status().state, alice.status().owner) == ("idle", "bob@lab")
    assert "nobody else's" in run(app, ["take-over"]).output
