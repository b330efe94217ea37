"""States of the nodes of one process, and aliases that several share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rigmesh.errors import NotPermitted, UnknownName
from rigmesh.node import Input, InputLink, Node, NodeRunner, command, param, state
from rigmesh.node.testing import sine
from rigmesh.streams import Signal, StreamInfo
from rigmesh_daemon.group.sharing import States


class Mean(Node):
    """Publishes."""

    signal = Input(Signal)
    mean: float = state(default=0.0, doc="Of the signal.")

    def process(self, chunk: Signal) -> None:
        self.mean = float(chunk.data.mean())


class Level(Node):
    """Follows."""

    signal = Input(Signal)
    level: float = param(default=1.0, live=True, doc="Level.")

    def process(self, chunk: Signal) -> None: ...

    @command
    def forget(self) -> None:
        """Do nothing."""


@pytest.fixture
def journal() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def told() -> list[tuple[str, str, Any]]:
    return []


@pytest.fixture
def runners() -> dict[str, NodeRunner]:
    return {"mean": NodeRunner(Mean(), "mean"), "level": NodeRunner(Level(), "level")}


@pytest.fixture
def states(
    runners: dict[str, NodeRunner],
    journal: list[dict[str, Any]],
    told: list[tuple[str, str, Any]],
) -> Iterator[States]:
    made = States(runners, journal.append, lambda *what: told.append(what))
    yield made
    made.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def write_own(runner: NodeRunner, value: float) -> None:
    """Do what a node does in its hook."""
    runner.node.mean = value  # type: ignore[attr-defined]
    runner.tell_watchers()


def test_states_of_one_or_all_nodes_are_read(states: States) -> None:
    assert states.get([]) == {"mean.mean": 0.0, "level.level": 1.0}
    assert states.get(["level"]) == {"level.level": 1.0}
    with pytest.raises(UnknownName, match="no node 'leve'"):
        states.get(["leve"])


def test_every_write_is_journalled_with_where_it_took_effect(
    states: States, journal: list[dict[str, Any]]
) -> None:
    states.set({"level.level": 2}, "clients")

    (entry,) = journal
    assert entry["kind"] == "state"
    assert entry["values"] == {"level": 2}
    assert entry["writer"] == "clients"
    assert entry["effective"] == {}
    assert entry["taken"] == {}
    with pytest.raises(NotPermitted):
        states.set({"mean.mean": 2}, "clients")
    assert len(journal) == 1


def test_it_is_journalled_how_much_each_input_had_been_handed(
    runners: dict[str, NodeRunner], states: States, journal: list[dict[str, Any]]
) -> None:
    runner = runners["level"]
    take, link = runner.handler("signal"), InputLink("amp.signal")
    runner.node.port("signal").links.append(link)
    runner.open()
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000)
    runner.input_announced(link, info, new_epoch=False)
    runner.start()
    take(sine(10, duration=0.03, sampling_rate=1000))
    states.set({"level.level": 2}, "clients")
    take(sine(10, duration=0.03, sampling_rate=1000))

    states.call("level", "forget", {})

    assert [entry["taken"] for entry in journal] == [{"signal": 30}, {"signal": 60}]


def test_a_parameter_follows_the_state_of_another_node(
    states: States, runners: dict[str, NodeRunner], journal: list[dict[str, Any]]
) -> None:
    states.share({"baseline": ["mean.mean", "level.level"]})

    write_own(runners["mean"], 3.5)
    until(lambda: runners["level"].node.parameters["level"] == 3.5)

    until(lambda: journal)
    assert journal[0]["writer"] == "peers"


def test_what_is_written_twice_is_passed_on_once(
    states: States, runners: dict[str, NodeRunner], journal: list[dict[str, Any]]
) -> None:
    states.share({"baseline": ["mean.mean", "level.level"]})

    for value in (3.5, 3.5, 3.5, 4.5):
        write_own(runners["mean"], value)
    until(lambda: runners["level"].node.parameters["level"] == 4.5)

    states.close()
    assert [entry["values"]["level"] for entry in journal] == [3.5, 4.5]


def test_members_elsewhere_are_told_of(
    states: States, runners: dict[str, NodeRunner], told: list[tuple[str, str, Any]]
) -> None:
    states.share({"baseline": ["mean.mean", "far.level"]})

    write_own(runners["mean"], 3.5)
    until(lambda: told)

    assert told == [("baseline", "mean.mean", 3.5)]
